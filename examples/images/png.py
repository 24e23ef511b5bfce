"""Pictures as PNG files, in pure Python: 8 bits for each of red, green and blue, and only what ``write`` writes.

A row is ``bytes``, three for each pixel.  Rows are given and taken one by one, so that who wants no more than a row in
memory needs no more.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER = struct.Struct(">IIBBBBB")
RGB_8_BITS = (8, 2, 0, 0, 0)
AS_IT_IS = b"\0"
"""Before each row stands how it was stored: this way, or as the difference to its neighbours."""
PIECE = 1 << 16


class NotReadError(Exception):
    """The file is no PNG, or one of a kind that this module does not read."""


def write(file: Path, width: int, height: int, rows: Iterable[bytes]) -> None:
    """Write a picture."""
    packer = zlib.compressobj(6)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as out:
        out.write(SIGNATURE + _chunk(b"IHDR", HEADER.pack(width, height, *RGB_8_BITS)))
        for row in rows:
            if packed := packer.compress(AS_IT_IS + row):
                out.write(_chunk(b"IDAT", packed))
        out.write(_chunk(b"IDAT", packer.flush()) + _chunk(b"IEND", b""))


def size(file: Path) -> tuple[int, int]:
    """Say how wide and how high a picture is."""
    with file.open("rb") as data:
        head = data.read(len(SIGNATURE) + 8 + HEADER.size)
    if not head.startswith(SIGNATURE):
        raise NotReadError(f"{file} is no PNG")
    width, height, *kind = HEADER.unpack(head[len(SIGNATURE) + 8 :])
    if tuple(kind) != RGB_8_BITS:
        raise NotReadError(f"{file} is no picture of 8 bits for each of red, green and blue")
    return width, height


def rows(file: Path) -> Iterator[bytes]:
    """Give the rows of a picture, from the top."""
    length = 1 + 3 * size(file)[0]
    waiting = bytearray()
    for unpacked in _unpacked(file):
        waiting += unpacked
        while len(waiting) >= length:
            if not waiting.startswith(AS_IT_IS):
                raise NotReadError(f"{file} stores rows as differences")
            yield bytes(waiting[1:length])
            del waiting[:length]


def _unpacked(file: Path) -> Iterator[bytes]:
    unpacker = zlib.decompressobj()
    with file.open("rb") as data:
        data.seek(len(SIGNATURE))
        while head := data.read(8):
            length, kind = struct.unpack(">I4s", head)
            packed = data.read(length)
            data.seek(4, 1)  # the checksum of the chunk; zlib has its own
            while kind == b"IDAT" and packed:
                yield unpacker.decompress(packed, PIECE)
                packed = unpacker.unconsumed_tail


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
