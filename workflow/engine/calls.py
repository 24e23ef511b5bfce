"""A call of a function as a task: what ``WorkflowExecutor`` pushes, and how a call becomes bytes.

Two picklers.  Python's own, in C, takes what can be imported by name; a call costs it 2 µs.  What it cannot take
(lambdas, closures, a session's functions), and what it would take by a name that only this program knows
(``__main__``), is taken by cloudpickle, by value, at 30 µs.  Either is read by the same ``loads`` in the worker, which
imports cloudpickle when such bytes ask for it and not before.

So no worker ever imports the program's script: one without an ``if __name__ == "__main__":`` works, and so does one
that has no file.  Price: functions of ``__main__`` travel with all they refer to, in each call; what they change in
their globals stays in that call.
"""

from __future__ import annotations

import sys
from _pickle import dumps

from workflow.model import Model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

PATH = b"workflow.engine.calls.Called"
"""The class of such a task, as it stands in its frame."""

_MAINS = ("__main__", "__mp_main__")
_MAIN = b"_main__"
"""In bytes that may name ``__main__``, or ``__mp_main__``, which it is in a process that multiprocessing spawned."""


class Called(Model):
    """Call a function that came along."""

    def runnable(self, function: Callable[..., object], args: Sequence[object], kwargs: Mapping[str, object]) -> object:
        """Call it."""
        if initialized:
            _give_initialized(function)
        return function(*args, **kwargs)


def call_each(function: Callable[..., object], rows: Sequence[Sequence[object]]) -> list[object]:
    """A chunk of ``map``: one call for each row."""
    if initialized:
        _give_initialized(function)
    return [function(*row) for row in rows]


initialized: dict[str, object] = {}
"""In a worker: what its initializer left in the global names of the program's ``__main__``."""


def _give_initialized(function: Callable[..., object]) -> None:
    own = globals_of(function)
    if own is not None:
        own.update({name: value for name, value in initialized.items() if name in own})


def globals_of(function: object) -> dict[str, object] | None:
    """The global names that came with a function of ``__main__``, also below a partial or a method; else None."""
    while not hasattr(function, "__globals__"):
        function = getattr(function, "func", None) or getattr(function, "__func__", None)
        if function is None:
            return None
    own: dict[str, object] = function.__globals__
    return own if own.get("__name__") in _MAINS else None


def pack_call(function: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, Any]) -> bytes:
    """A call as the arguments of ``Called.runnable``.  Raises what pickling raises, which is the user's code."""
    call = (function, args, kwargs)
    try:
        packed = dumps(call, 5)
    except Exception:  # noqa: BLE001  # cloudpickle may know better; if not, it says what is wrong
        return _pack_by_value(call)
    if _MAIN in packed or ("cloudpickle" in sys.modules and _has_chosen_modules()):
        return _pack_by_value(call)
    return packed


def _pack_by_value(call: object) -> bytes:
    from workflow.engine.by_value import dumps as dumps_by_value

    return dumps_by_value(call)


def _has_chosen_modules() -> bool:
    """Whether the program asked cloudpickle to take some modules by value although they can be imported."""
    return bool(sys.modules["cloudpickle"].list_registry_pickle_by_value())
