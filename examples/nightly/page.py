"""The last tasks: a report with a chart, and the page that people see."""

from __future__ import annotations

import csv
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

COLOURS = {"garden": "#2a9d6f", "kitchen": "#3d6fb4", "living": "#e08e2b"}
WIDTH, HEIGHT, MARGIN = 720, 240, 32


def write(sales: str, folder: str) -> dict[str, float]:
    """Write ``report.md`` and ``chart.svg``; what is returned is what each category has earned."""
    with Path(sales).open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    days: dict[str, dict[str, int]] = defaultdict(dict)
    earned: dict[str, int] = defaultdict(int)
    orders: dict[str, int] = defaultdict(int)
    for row in rows:
        days[row["day"]][row["category"]] = int(row["cents"])
        earned[row["category"]] += int(row["cents"])
        orders[row["category"]] += int(row["orders"])
    visits = sum({row["day"]: int(row["visits"]) for row in rows}.values())
    Path(folder, "chart.svg").write_text(draw(days), encoding="utf-8")
    Path(folder, "report.md").write_text(
        "\n".join(
            [
                f"# {len(days)} days in the shop, {min(days)} to {max(days)}",
                "",
                "![what was sold on each day](chart.svg)",
                "",
                "| category | orders | earned |",
                "|---|--:|--:|",
                *(f"| {category} | {orders[category]} | {cents / 100:,.2f} |" for category, cents in earned.items()),
                "",
                f"{sum(orders.values()) / visits:.1%} of {visits:,} visits were orders.",
                "",
            ]
        ),
        encoding="utf-8",
    )
    return {category: cents / 100 for category, cents in earned.items()}


def draw(days: dict[str, dict[str, int]]) -> str:
    """Give a bar for each day, of a piece for each category, as SVG."""
    most = max(sum(sold.values()) for sold in days.values())
    step = (WIDTH - 2 * MARGIN) / len(days)
    parts = []
    for number, (day, sold) in enumerate(days.items()):
        y = float(HEIGHT - MARGIN)
        for category, cents in sold.items():
            tall = (HEIGHT - 2 * MARGIN) * cents / most
            y -= tall
            place = f'x="{MARGIN + number * step:.1f}" y="{y:.1f}" width="{step * 0.8:.1f}" height="{tall:.1f}"'
            hint = f"{day}: {category} {cents / 100:,.2f}"
            parts.append(f'<rect {place} fill="{COLOURS[category]}"><title>{hint}</title></rect>')
    for number, (category, colour) in enumerate(COLOURS.items()):
        parts.append(f'<text x="{MARGIN + 90 * number}" y="{MARGIN - 12}" fill="{colour}">{category}</text>')
    parts.append(f'<text x="{MARGIN}" y="{HEIGHT - 10}" fill="#66707c">{min(days)}</text>')
    parts.append(f'<text x="{WIDTH - MARGIN}" y="{HEIGHT - 10}" fill="#66707c" text-anchor="end">{max(days)}</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>', *parts, "</svg>", ""])


def publish(folder: str, to: str, weather: list[dict[str, Any]]) -> str:
    """Put the report where people see it; where there is no weather the page says so."""
    target = Path(to)
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(folder, "chart.svg"), target)
    told = ["fair" if item["outcome"] == "succeeded" else f"not known ({item['outcome']})" for item in weather]
    page = Path(folder, "report.md").read_text("utf-8") + f"\nThe weather tonight: {told[0]}.\n"
    (target / "index.md").write_text(page, encoding="utf-8")
    return told[0]
