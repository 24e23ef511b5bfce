"""The summary: a point for each try, a cross for one that ran away, and a ring around what was chosen."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import Any

import choose
from choose import Pair

WIDTH, HEIGHT, MARGIN, TOP = 720, 420, 56, 96
COLOURS = ("#3d6fb4", "#e08e2b", "#2a9d6f", "#7b2d8b")
PALE = "#66707c"


def draw(file: str, tries: list[dict[str, Any]], best: dict[str, float], trained: dict[str, float]) -> int:
    """Write the SVG; what is returned is how many tries are in it."""
    rates = sorted({choose.pair_of(each)[0] for each in tries})
    momenta = sorted({choose.pair_of(each)[1] for each in tries})
    colours = dict(zip(momenta, itertools.cycle(COLOURS), strict=False))
    losses: dict[Pair, list[float]] = defaultdict(list)
    for each in tries:
        if each["result"] is not None:
            losses[choose.pair_of(each)].append(each["result"]["loss"])
    least, most = min(map(min, losses.values())), max(map(max, losses.values()))

    def x(rate: float) -> float:
        return MARGIN + 24 + (WIDTH - 2 * MARGIN - 48) * share(rate, rates[0], rates[-1])

    def y(loss: float) -> float:
        return HEIGHT - MARGIN - 12 - (HEIGHT - MARGIN - TOP - 24) * share(loss, least, most)

    title = f"best: rate {best['rate']}, momentum {best['momentum']}; trained: {trained['accuracy']:.1%} right"
    parts = [text(MARGIN, 28, title, size=17)]
    for number, (momentum, colour) in enumerate(colours.items()):
        parts.append(text(MARGIN + 120 * number, 52, f"momentum {momentum}", fill=colour))
    parts += [text(x(rate), HEIGHT - MARGIN + 24, f"{rate}", anchor="middle") for rate in rates]
    for loss in (least, math.sqrt(least * most), most):
        parts.append(text(MARGIN - 8, y(loss) + 4, f"{loss:.2f}", anchor="end"))
        parts.append(f'<path d="M{MARGIN} {y(loss):.1f}H{WIDTH - MARGIN}" stroke="#d8dce2"/>')
    parts.append(text(WIDTH / 2, HEIGHT - 10, "learning rate; upwards the loss on held-out data", anchor="middle"))
    for momentum, colour in colours.items():
        found = {rate: losses[rate, momentum] for rate in rates if losses.get((rate, momentum))}
        line = "L".join(f"{x(rate):.1f} {y(mean(some)):.1f}" for rate, some in found.items())
        parts.append(f'<path d="M{line}" fill="none" stroke="{colour}"/>')
        for rate, some in found.items():
            parts += [f'<circle cx="{x(rate):.1f}" cy="{y(loss):.1f}" r="4" fill="{colour}"/>' for loss in some]
    beside: dict[float, int] = defaultdict(int)
    for each in tries:
        if each["result"] is None:
            rate, momentum = choose.pair_of(each)
            hint = f"<title>{each['id']}: {each['outcome']}</title>"
            parts.append(text(x(rate) - 15 + 11 * beside[rate], TOP - 16, "×", fill=colours[momentum], more=hint))
            beside[rate] += 1
    ring = f'cx="{x(best["rate"]):.1f}" cy="{y(best["loss"]):.1f}" r="11"'
    parts.append(f'<circle {ring} fill="none" stroke="#1f2933" stroke-width="2"><title>the best</title></circle>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">'
    svg = [head, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>', *parts, "</svg>", ""]
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text("\n".join(svg), encoding="utf-8")
    return len(tries)


def share(value: float, least: float, most: float) -> float:
    """Say where between the two a value is, from 0 to 1, on an axis of powers."""
    return math.log(value / least) / math.log(most / least) if most > least else 0.5


def text(
    x: float, y: float, words: str, *, size: int = 13, fill: str = PALE, anchor: str = "start", more: str = ""
) -> str:
    """Give a line of text."""
    look = f'font-size="{size}" fill="{fill}" text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {look}>{words}{more}</text>'
