from __future__ import annotations

import json
import struct
import subprocess
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

Copy = Callable[[str], Path]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
Outcomes = Callable[[Path], dict[str, str]]
PANORAMA = "shrink@panorama_4000x1000"
CROSS = bytes([0xD1, 0x49, 0x5B])


@pytest.fixture
def images(copy_of: Copy) -> Path:
    return copy_of("images")


def test_a_picture_that_is_too_large_costs_only_itself(images: Path, python: Run, outcomes: Outcomes) -> None:
    """Its task ends by its memory, and the sheet has the five others and a field that is crossed out."""
    run = python("-m", "workflow", "run", images / "pipeline.toml")
    assert run.returncode == 0, run.stderr
    ended = outcomes(images)
    assert ended.pop(PANORAMA) == "memory_exceeded"
    assert set(ended.values()) == {"succeeded"}
    assert len(ended) == 12
    assert sorted(path.name for path in (images / "out/thumbnails").iterdir()) == [
        f"{photo}.png" for photo in _photos(images) if photo not in PANORAMA
    ]
    sheet = _picture(images / "out/contact.png")
    assert len(sheet) == 2 * 176
    assert sum(row.count(CROSS) for row in sheet) == 2 * 112
    log = (images / ".workflow/latest/logs/sheet.log").read_text()
    assert f"5 pictures on out/contact.png, without {PANORAMA} memory_exceeded" in log


def test_only_what_did_not_succeed_is_done_again(images: Path, python: Run, outcomes: Outcomes) -> None:
    """Twelve tasks have outputs, and eleven have made them."""
    first = python("-m", "workflow", "run", images / "pipeline.toml")
    assert first.returncode == 0, first.stderr
    before = (images / "out/contact.png").read_bytes()
    again = python("-m", "workflow", "run", images / "pipeline.toml")
    assert again.returncode == 0, again.stderr
    ended = outcomes(images)
    assert ended.pop(PANORAMA) == "memory_exceeded"
    assert ended.pop("sheet") == "succeeded"
    assert set(ended.values()) == {"cached"}
    assert (images / "out/contact.png").read_bytes() == before


def test_row_by_row_every_picture_fits(images: Path, python: Run, outcomes: Outcomes) -> None:
    """The same thumbnails, without the memory; the photographs are not made twice."""
    assert python("-m", "workflow", "run", images / "pipeline.toml").returncode == 0
    before = {file.name: file.read_bytes() for file in (images / "out/thumbnails").iterdir()}
    run = python("-m", "workflow", "run", images / "pipeline.toml", "--var", "load=rows")
    assert run.returncode == 0, run.stderr
    assert Counter(outcomes(images).values()) == {"succeeded": 7, "cached": 6}
    after = {file.name: file.read_bytes() for file in (images / "out/thumbnails").iterdir()}
    assert set(after) - set(before) == {"panorama_4000x1000.png"}
    assert all(after[name] == thumbnail for name, thumbnail in before.items())
    assert not any(CROSS in row for row in _picture(images / "out/contact.png"))


def test_the_limit_is_not_allowed_where_the_file_does_not_say_so(images: Path, python: Run) -> None:
    """As the README says: without that line the run exits 1."""
    file = images / "pipeline.toml"
    lines = file.read_text("utf-8").splitlines(keepends=True)
    file.write_text("".join(line for line in lines if not line.startswith("allow_failure")), "utf-8")
    assert python("-m", "workflow", "run", file).returncode == 1
    report = json.loads((images / ".workflow/latest/report.json").read_text())
    assert report["counts"]["memory_exceeded"] == 1


def _photos(images: Path) -> list[str]:
    return (images / "photos.txt").read_text("utf-8").split()


def _picture(file: Path) -> list[bytes]:
    """The rows of a PNG, read without the example's own reader."""
    data = file.read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    at, packed = 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind == b"IDAT":
            packed += data[at + 8 : at + 8 + length]
        at += length + 12
    rows = zlib.decompress(packed)
    step = 3 * width + 1
    assert len(rows) == height * step
    return [rows[number * step + 1 : (number + 1) * step] for number in range(height)]
