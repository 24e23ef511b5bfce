"""Only regular files are read, and only so much of them: nothing waits for a pipe, or reads a device without end."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from workflow.diagnostics.mistake import InvalidPipeline
from workflow.plan.build import load_plan
from workflow.plan.saved import load_saved, looks_saved
from workflow.spec import reading
from workflow.spec.reading import Unfit, read_regular

pytestmark = pytest.mark.timeout(10)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _socket(path: Path) -> None:
    place = os.getcwd()
    os.chdir(path.parent)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path.name)
    os.chdir(place)


MAKERS = pytest.mark.parametrize(("make", "said"), [(_pipe, "a pipe"), (_device, "a device"), (_socket, "a socket")])
Make = Callable[[Path], None]


def _mistakes(path: Path) -> list[str]:
    with pytest.raises(InvalidPipeline) as caught:
        load_plan(path)
    return [mistake.headline for mistake in caught.value.mistakes]


@MAKERS
def test_what_is_no_regular_file_is_not_read_as_a_pipeline(tmp_path: Path, make: Make, said: str) -> None:
    """Nor waited for."""
    make(tmp_path / "ff")
    assert _mistakes(tmp_path / "ff") == [f"is {said}, not a regular file"]
    assert not looks_saved(tmp_path / "ff")
    with pytest.raises(InvalidPipeline, match=f"is {said}, not a regular file"):
        load_saved(tmp_path / "ff")


@MAKERS
def test_what_is_no_regular_file_is_not_included(tmp_path: Path, make: Make, said: str) -> None:
    """The mistake is at the include."""
    make(tmp_path / "ff")
    path = tmp_path / "pipeline.toml"
    path.write_text('[pipeline]\ninclude = ["ff"]\n[tasks.a]\ncmd = ["true"]\n')
    assert _mistakes(path) == [f"{tmp_path}/ff: is {said}, not a regular file"]


@MAKERS
def test_what_is_no_regular_file_has_no_lines(tmp_path: Path, make: Make, said: str) -> None:
    """The mistake is at the axis."""
    make(tmp_path / "ff")
    path = tmp_path / "pipeline.toml"
    path.write_text('[tasks.a]\ncmd = ["true"]\nmatrix.x = {lines = "ff"}\n')
    assert _mistakes(path) == [f"'ff' is {said}, not a regular file"]


def test_a_file_that_nobody_can_have_written_is_not_read(tmp_path: Path) -> None:
    """One byte more is too much."""
    path = tmp_path / "pipeline.toml"
    with path.open("wb") as file:
        file.truncate(reading.MOST + 1)
    assert _mistakes(path) == ["is larger than 64 MiB"]
    (tmp_path / "small").write_bytes(b"x" * 2**20)
    assert len(read_regular(tmp_path / "small", 2**20)) == 2**20
    with pytest.raises(Unfit, match="is larger than 0 MiB"):
        read_regular(tmp_path / "small", 2**20 - 1)
