"""The chart: a square for every module, coloured by what became of it, and a bar for each of the largest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

MEANING = {
    "succeeded": "every file parses and compiles, and the module can be imported",
    "failed": "a file does not parse, or the module cannot be imported",
    "timed_out": "it was still at it when its time was over",
    "crashed": "its process died",
    "memory_exceeded": "it took more memory than it may",
    "cancelled": "the run ended before it did",
    "absent": "not part of this version of Python",
}
COLOURS = {
    "succeeded": "#2a9d6f",
    "failed": "#d1495b",
    "timed_out": "#e08e2b",
    "crashed": "#7b2d8b",
    "memory_exceeded": "#8c5a2b",
    "cancelled": "#5b6472",
    "absent": "#c9ced6",
}
INK, PALE, PAPER = "#1f2933", "#66707c", "#ffffff"
WIDTH, MARGIN = 960, 32
CELL, COLUMNS = 22, 40
BAR, BARS, LABELS = 18, 20, 120
CHARACTER = 7  # width of one, about, in the size of the text


def draw(items: list[dict[str, Any]], title: str) -> str:
    """Give the chart as SVG."""
    parts: list[str] = []
    y = MARGIN + 12
    parts.append(text(MARGIN, y, f"The standard library of {title}", size=20, weight=600))
    y = legend(parts, items, y + 30)
    y = squares(parts, items, y + 24)
    y = names(parts, items, y + 32)
    y = bars(parts, items, y + 36)
    height = y + MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="system-ui, -apple-system, Segoe UI, DejaVu Sans, sans-serif" role="img">'
    )
    return "\n".join([head, f'<rect width="{WIDTH}" height="{height}" fill="{PAPER}"/>', *parts, "</svg>", ""])


def state(item: dict[str, Any]) -> str:
    """Name what became of a module: the outcome of its task, or that there is no such module here."""
    result = item["result"]
    if item["outcome"] == "succeeded" and result["state"] == "absent":
        return "absent"
    return str(item["outcome"])


def name(item: dict[str, Any]) -> str:
    """Name the module."""
    return str(item["matrix"]["module"])


def legend(parts: list[str], items: list[dict[str, Any]], y: int) -> int:
    """Draw what the colours mean, with how many there are of each."""
    counts = Counter(map(state, items))
    x = MARGIN
    for kind, meaning in MEANING.items():
        if counts[kind]:
            words = f"{counts[kind]} {kind.replace('_', ' ')}"
            parts.append(box(x, y - 11, 12, 12, COLOURS[kind], meaning))
            parts.append(text(x + 18, y, words))
            x += 18 + CHARACTER * len(words) + 24
    return y


def squares(parts: list[str], items: list[dict[str, Any]], y: int) -> int:
    """Draw one square for each module, in the order of the plan."""
    for number, item in enumerate(items):
        row, column = divmod(number, COLUMNS)
        hint = f"{name(item)}: {state(item).replace('_', ' ')}"
        parts.append(box(MARGIN + column * CELL, y + row * CELL, CELL - 3, CELL - 3, COLOURS[state(item)], hint))
    return y + -(-len(items) // COLUMNS) * CELL


def names(parts: list[str], items: list[dict[str, Any]], y: int) -> int:
    """Write out which modules did not succeed, in lines that fit."""
    for kind in MEANING:
        wanted = [name(item) for item in items if state(item) == kind]
        if not wanted or kind == "succeeded":
            continue
        fill = PALE if kind == "absent" else COLOURS[kind]
        parts.append(text(MARGIN, y, kind.replace("_", " "), fill=fill, weight=600))
        for line in lines(wanted, (WIDTH - 2 * MARGIN - LABELS) // CHARACTER):
            parts.append(text(MARGIN + LABELS, y, line))
            y += 20
        y += 6
    return y - 26


def bars(parts: list[str], items: list[dict[str, Any]], y: int) -> int:
    """Draw the modules with the most lines of source."""
    measured = [item["result"] for item in items if state(item) == "succeeded"]
    found = sorted(measured, key=lambda row: -row["lines"])[:BARS]
    if not found:
        return y
    parts.append(text(MARGIN, y, "Lines of source in the largest", size=15, weight=600))
    y += 16
    room = WIDTH - 2 * MARGIN - LABELS - 200
    for row in found:
        length = max(1, round(room * row["lines"] / max(1, found[0]["lines"])))
        parts.append(text(MARGIN + LABELS - 10, y + 13, row["module"], anchor="end"))
        parts.append(box(MARGIN + LABELS, y + 2, length, BAR - 4, "#3d6fb4", f"{row['files']} files"))
        told = f"{row['lines']:,} · {row['functions']:,} functions"
        parts.append(text(MARGIN + LABELS + length + 8, y + 13, told, fill=PALE))
        y += BAR + 3
    return y


def lines(words: Iterable[str], width: int) -> Iterator[str]:
    """Set words, with commas, in lines of at most so many characters."""
    line = ""
    for word in words:
        if line and len(line) + 2 + len(word) > width:
            yield line + ","
            line = word
        else:
            line = f"{line}, {word}" if line else word
    yield line


def box(x: int, y: int, width: int, height: int, fill: str, hint: str) -> str:
    """Give a rectangle that says something when pointed at."""
    corners = f'x="{x}" y="{y}" width="{width}" height="{height}" rx="2"'
    return f'<rect {corners} fill="{fill}"><title>{escape(hint)}</title></rect>'


def text(
    x: int, y: int, words: str, *, size: int = 13, fill: str = INK, weight: int = 400, anchor: str = "start"
) -> str:
    """Give a line of text."""
    look = f'font-size="{size}" fill="{fill}" font-weight="{weight}" text-anchor="{anchor}"'
    return f'<text x="{x}" y="{y}" {look}>{escape(words)}</text>'
