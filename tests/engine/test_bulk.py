"""Large pickles in files."""

from __future__ import annotations

import os
import pickle
import sys
from typing import Any

import pytest

from workflow.engine import bulk, system
from workflow.engine.bulk import LARGE, Arrived, File, NoRoom, TooLarge, load, pack, write

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="files in memory are Linux's")


class Array:
    """What an array does: its memory is handed out as a buffer."""

    def __init__(self, memory: Any) -> None:
        self.memory = memory

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Array, (pickle.PickleBuffer(self.memory),)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Array) and bytes(self.memory) == bytes(other.memory)

    __hash__ = None  # type: ignore[assignment]


VALUES = {
    "bytes": bytes(range(256)) * 8192,
    "text": "ä" * LARGE,
    "an array": Array(bytearray(b"abc" * LARGE)),
    "a read-only one": Array(b"abc" * LARGE),
    "several, small ones among them": [Array(bytearray(bytes([n]) * (LARGE + n))) for n in range(20)]
    + [Array(bytearray(10)), bytes(3 * LARGE)],
    "many small values": list(range(400_000)),
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("apart", [True, False], ids=["apart", "together"])
@pytest.mark.parametrize("mapped", [True, False], ids=["mapped", "read"])
def test_what_is_written_is_read(value: object, apart: bool, mapped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the worker, by the program, and by whoever wants it as one pickle; no descriptor is left."""
    before = len(os.listdir("/proc/self/fd"))
    if not mapped:
        monkeypatch.setattr(bulk, "_MAPPINGS_MAX", 0)

        def refuse(*_arguments: int) -> Any:
            raise OSError

        monkeypatch.setattr(system, "map_privately", refuse)
    file = write(value, apart=apart)
    assert load(file.descriptor) == value
    arrived = Arrived(file.descriptor)
    del file
    assert len(os.listdir("/proc/self/fd")) == before
    assert arrived.load() == value
    assert pickle.loads(arrived.pickled()) == value
    assert arrived.load() == value


def test_what_a_reader_changes_nobody_else_sees() -> None:
    """Neither another attempt, nor who asks for the pickle afterwards; and nobody can change or shorten the file."""
    file = write(Array(bytearray(3 * LARGE)))
    first: Any = load(file.descriptor)
    first.memory[0] = 1
    arrived = Arrived(file.descriptor)
    second: Any = arrived.load()
    assert second.memory[0] == 0
    second.memory[0] = 2
    agains: list[Any] = [load(file.descriptor), pickle.loads(arrived.pickled())]
    for again in agains:
        assert again.memory[0] == 0
    for change in (lambda: os.ftruncate(file.descriptor, 0), lambda: os.pwrite(file.descriptor, b"x", 0)):
        with pytest.raises(PermissionError):
            change()


def test_a_mapping_lasts_as_long_as_what_was_made_of_it() -> None:
    """And not as long as the others that came with it."""
    file = write([Array(bytearray(LARGE)), Array(bytearray(LARGE))])
    arrived: Any = Arrived(file.descriptor)
    before = len(bulk._mappings())
    pair: Any = arrived.load()
    del arrived
    assert len(bulk._mappings()) == before - 3
    pair.pop()
    assert len(bulk._mappings()) == before - 4
    assert bytes(pair[0].memory) == bytes(LARGE)


class Endless:
    """Takes more than there is, piece by piece, and counts them."""

    def __init__(self) -> None:
        self.pieces = 0

    def __reduce__(self) -> Any:
        return list, (), None, self._all()

    def _all(self) -> Any:
        while True:
            self.pieces += 1
            yield bytes(LARGE)


def test_what_is_too_large_is_not_written_to_its_end() -> None:
    """Hardly more than it may."""
    value = Endless()
    with pytest.raises(TooLarge):
        write(value, most=10 * LARGE)
    assert value.pieces < 20
    with pytest.raises(TooLarge):
        write(Array(bytearray(11 * LARGE)), most=10 * LARGE)


def test_what_pickling_raises_comes_out() -> None:
    """And leaves no file."""
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        write([bytes(LARGE), lambda: None])
    assert len(os.listdir("/proc/self/fd")) == before


def test_arguments_go_in_their_frames_when_there_is_no_room_for_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of descriptors, or of memory."""
    value = bytes(2 * LARGE), Array(bytearray(LARGE))
    monkeypatch.setattr(bulk, "_FILES_MAX", 2)
    packed = [pack(value) for _ in range(3)]
    assert [isinstance(each, File) for each in packed] == [True, True, False]
    assert pickle.loads(packed[2]) == value  # type: ignore[arg-type]
    del packed
    assert isinstance(pack(value), File)

    def refuse(_descriptor: int, _body: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(system, "write_all", refuse)
    assert pickle.loads(pack(value)) == value  # type: ignore[arg-type]
    with pytest.raises(NoRoom, match="No space left"):
        write(value)


@pytest.mark.parametrize("value", [(1, "a", {"b": [2.0, None]}), (bytes(1000),), (Array(bytearray(100)),), ()])
def test_small_arguments_have_no_file(value: object) -> None:
    """They are one pickle."""
    packed = pack(value)
    assert isinstance(packed, bytes)
    assert pickle.loads(packed) == value
