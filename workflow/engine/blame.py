"""What of a call keeps it from being pickled: asked only when it could not be.

Pickle says of which type the thing is that it refuses, and not where it found it; of a function of ``__main__`` that
may be a global name that the function only mentions.  So the parts of the call are tried one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import CodeType
from typing import Any

from workflow.engine.calls import globals_of, pack_in_memory

_ADVICE = "what cannot travel can be made by the initializer, or by a module that the function imports"


def blame(
    error: BaseException, function: Callable[..., object], args: Sequence[object], kwargs: Mapping[str, object]
) -> None:
    """Have the error say which argument, or which name that the function uses, it is of, where that can be told."""
    if len(error.args) != 1 or not isinstance(error.args[0], str):
        return
    for said, part in _parts(function, args, kwargs):
        if _is_refused(part):
            error.args = (f"{error.args[0]}: {said} refuses to be pickled; {_ADVICE}",)
            return


def _parts(
    function: Callable[..., object], args: Sequence[object], kwargs: Mapping[str, object]
) -> Iterator[tuple[str, object]]:
    for place, value in enumerate(args, 1):
        yield f"argument {place}", value
    for name, value in kwargs.items():
        yield f"the argument {name!r}", value
    inner: Any = function
    while not hasattr(inner, "__code__"):
        inner = getattr(inner, "func", None) or getattr(inner, "__func__", None) or getattr(inner, "__wrapped__", None)
        if inner is None:
            return
    called = getattr(inner, "__qualname__", "the function")
    for name, cell in zip(inner.__code__.co_freevars, inner.__closure__ or (), strict=False):
        try:
            yield f"{name!r}, which {called} has from around it,", cell.cell_contents
        except ValueError:
            continue  # it has no value yet
    own = globals_of(inner) or {}
    for name in dict.fromkeys(_names(inner.__code__)):
        if name in own:
            yield f"the global name {name!r}, which {called} uses,", own[name]


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _is_refused(value: object) -> bool:
    try:
        pack_in_memory(value)
    except (Exception, SystemExit):  # noqa: BLE001  pickling runs the user's code
        return True
    return False
