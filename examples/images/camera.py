"""The photographs, made rather than taken: a sky, a sun or moon, and some ranges of hills before it."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import png

Colour = tuple[int, int, int]
SCENES: dict[str, tuple[Colour, Colour, Colour, Colour]] = {  # sky above and below, hills far and near
    "coast": ((70, 130, 200), (230, 235, 225), (90, 140, 160), (30, 70, 90)),
    "dunes": ((120, 170, 220), (250, 225, 180), (235, 190, 120), (170, 110, 50)),
    "hills": ((100, 160, 220), (225, 240, 245), (130, 180, 130), (40, 90, 40)),
    "night": ((5, 8, 30), (45, 50, 90), (30, 35, 60), (8, 10, 20)),
    "panorama": ((240, 130, 80), (255, 225, 160), (150, 90, 110), (50, 25, 50)),
    "ridge": ((90, 110, 150), (215, 205, 215), (140, 140, 165), (50, 55, 80)),
}
RANGES = 5


def take(photo: str, file: str) -> int:
    """Make the photograph with the name ``SCENE_WIDTHxHEIGHT``; what is returned is how many pixels it has."""
    scene, _, size = photo.partition("_")
    width, height = map(int, size.split("x"))
    png.write(Path(file), width, height, picture(scene, width, height))
    return width * height


def picture(scene: str, width: int, height: int) -> Iterator[bytes]:
    """Give its rows.  A pixel is first a number: 0 for the sky, 1 for the sun, 2 and above for the hills."""
    above, below, far, near = SCENES[scene]
    dice = random.Random(scene)
    sun_x, sun_y, radius = dice.uniform(0.2, 0.8) * width, dice.uniform(0.15, 0.35) * height, 0.09 * height
    begins: dict[int, list[tuple[int, int]]] = defaultdict(list)  # where, going down, a column comes to a hill
    for number in range(RANGES):
        for x, edge in enumerate(ridge(dice, width, height, number)):
            begins[edge].append((x, 2 + number))
    colours = [mix(below, (255, 255, 255), 0.8), *(mix(far, near, number / (RANGES - 1)) for number in range(RANGES))]
    pixels = bytearray(width)
    for y in range(height):
        for x, hill in begins[y]:
            pixels[x] = max(pixels[x], hill)
        seen = pixels[:]
        half = round(math.sqrt(max(0, radius**2 - (y - sun_y) ** 2)))
        sun = slice(max(0, round(sun_x) - half), round(sun_x) + half)
        seen[sun] = seen[sun].replace(b"\0", b"\1")
        palette = [mix(above, below, y / height), *colours]
        row = bytearray(3 * width)
        for channel in range(3):
            row[channel::3] = seen.translate(bytes(colour[channel] for colour in palette).ljust(256))
        yield bytes(row)


def ridge(dice: random.Random, width: int, height: int, number: int) -> list[int]:
    """Give the upper edge of a range of hills, for each column."""
    base = height * (0.45 + 0.12 * number)
    waves = [(dice.uniform(1, 3) * 2**n, dice.uniform(0, math.tau), 0.07 * height / 1.7**n) for n in range(5)]
    step = math.tau / (4 * height)  # the hills of a wide picture are more, not wider
    return [
        max(0, round(base + sum(size * math.sin(count * x * step + start) for count, start, size in waves)))
        for x in range(width)
    ]


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """Give a colour between two."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue
