"""What comes back made of the program's own classes."""

from __future__ import annotations

import pickle
import sys
from types import ModuleType
from typing import Any

import pytest

from workflow.engine.own_module import loads_from_main


class Point:
    def __init__(self, at: object) -> None:
        self.at = at

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and other.at == self.at

    def __hash__(self) -> int:
        return hash(self.at)


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A program: /folder/prog.py, in which there is Point."""
    module = ModuleType("__main__")
    vars(module).update(__file__="/folder/prog.py", Point=Point)
    monkeypatch.setitem(sys.modules, "__main__", module)
    return module


def _as_in_a_worker(value: object, monkeypatch: pytest.MonkeyPatch, **options: Any) -> bytes:
    with monkeypatch.context() as patched:
        patched.setattr(Point, "__module__", "prog")
        there = ModuleType("prog")
        vars(there)["Point"] = Point
        patched.setitem(sys.modules, "prog", there)
        return pickle.dumps(value, 5, **options)


LARGE = bytes(range(256)) * 8000
VALUES = {
    "small": Point(1),
    "many": [Point(number) for number in range(10_000)],
    "behind what is large": [LARGE, LARGE.decode("latin-1"), Point(2)],
    "none": {"prog": [1, 2.5, None]},
    "large, none": [LARGE] * 3,
}


@pytest.mark.usefixtures("main")
@pytest.mark.parametrize("name", VALUES)
def test_the_programs_own_classes_are_those_of_main(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its module is not imported, which would run it once more; wherever in the pickle its name stands."""
    pickled = _as_in_a_worker(VALUES[name], monkeypatch)
    assert loads_from_main(pickled) == VALUES[name]
    assert loads_from_main(memoryview(pickled)) == VALUES[name]
    assert "prog" not in sys.modules


@pytest.mark.usefixtures("main")
def test_buffers_beside_the_pickle_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    buffers: list[pickle.PickleBuffer] = []
    value = [Point(1), pickle.PickleBuffer(bytearray(b"beside"))]
    pickled = _as_in_a_worker(value, monkeypatch, buffer_callback=buffers.append)
    assert loads_from_main(pickled, buffers=[bytearray(b"beside")]) == [Point(1), bytearray(b"beside")]


def test_a_class_that_the_program_has_not_is_an_error_and_no_import(
    main: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    pickled = _as_in_a_worker(Point(1), monkeypatch)
    del main.Point
    with pytest.raises(AttributeError, match="Point"):
        loads_from_main(pickled)


@pytest.mark.usefixtures("main")
def test_a_program_that_has_imported_itself_gets_the_classes_it_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it would expect of the name that it has given to the task."""
    pickled = _as_in_a_worker(Point(1), monkeypatch)
    there = ModuleType("prog")
    there.Point = type("Other", (Point,), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "prog", there)
    assert type(loads_from_main(pickled)) is there.Point
