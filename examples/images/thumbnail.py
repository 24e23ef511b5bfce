"""Thumbnails: each pixel of the small picture is the mean of a box of pixels of the large one.

There are two ways to read the large one.  ``whole`` is what comes to mind: all pixels in a list, then the boxes.  A
pixel is a tuple then, of 64 bytes, and four million of them are more than this task may have.  ``rows`` adds up the
boxes while the rows go by, and has never more than one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import png

LARGEST = 160
"""Of a thumbnail, in pixels, the longer side."""


def shrink(photo: str, thumbnail: str, load: str) -> dict[str, object]:
    """Write the thumbnail of a photograph, and say which size it has."""
    width, height = png.size(Path(photo))
    scale = LARGEST / max(width, height)
    small = max(1, round(width * scale)), max(1, round(height * scale))
    rows = list(WAYS[load](Path(photo), *small))  # all of them before the file: who is ended in between leaves no half
    png.write(Path(thumbnail), *small, rows)
    print(f"{width} x {height} became {small[0]} x {small[1]}")
    return {"file": thumbnail, "width": small[0], "height": small[1]}


def whole(photo: Path, width: int, height: int) -> Iterator[bytes]:
    """Load every pixel, then take the boxes."""
    wide, high = png.size(photo)
    pixels = [pixel for row in png.rows(photo) for pixel in zip(row[0::3], row[1::3], row[2::3], strict=True)]
    for top, bottom in edges(high, height):
        row = bytearray()
        for left, right in edges(wide, width):
            box = [pixel for y in range(top, bottom) for pixel in pixels[y * wide + left : y * wide + right]]
            row += bytes(sum(channel) // len(box) for channel in zip(*box, strict=True))
        yield bytes(row)


def by_rows(photo: Path, width: int, height: int) -> Iterator[bytes]:
    """Add up the boxes while the rows go by."""
    wide, high = png.size(photo)
    columns = list(edges(wide, width))
    rows = png.rows(photo)
    for top, bottom in edges(high, height):
        sums = [0] * (3 * width)
        for _ in range(top, bottom):
            row = next(rows)
            for number, (left, right) in enumerate(columns):
                for channel in range(3):
                    sums[3 * number + channel] += sum(row[3 * left + channel : 3 * right : 3])
        sizes = [(right - left) * (bottom - top) for left, right in columns for _ in range(3)]
        yield bytes(total // size for total, size in zip(sums, sizes, strict=True))


WAYS: dict[str, Callable[[Path, int, int], Iterator[bytes]]] = {"whole": whole, "rows": by_rows}


def edges(large: int, small: int) -> Iterator[tuple[int, int]]:
    """Cut a length into so many pieces, as equal as whole numbers allow."""
    for number in range(small):
        yield number * large // small, (number + 1) * large // small
