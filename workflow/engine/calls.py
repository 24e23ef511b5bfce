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
from _io import BytesIO
from _pickle import dumps

from workflow.engine.bulk import SMALL_KINDS, HasLarge, NoRoom, is_large, pack_by, write
from workflow.model import Model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from workflow.engine.bulk import File

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


def pack_call(function: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, Any]) -> bytes | File:
    """A call as the arguments of ``Called.runnable``; in a file when it is large and there is room for one.

    Raises what pickling raises, which is the user's code.
    """
    call = (function, args, kwargs)
    for argument in args:
        if argument.__class__ not in SMALL_KINDS:
            return _pack(call)
    return _pack(call) if kwargs else pack_in_memory(call)


def _pack(call: tuple[Callable[..., object], tuple[object, ...], dict[str, Any]]) -> bytes | File:
    _function, args, kwargs = call
    large = is_large(args) or (bool(kwargs) and is_large(kwargs))
    return pack_by(call, pack_in_memory, _write, large=large)


def pack_in_memory(call: object, on_buffer: Callable[[Any], bool] | None = None) -> bytes:
    """A call (function, arguments, keywords) as bytes.  Raises what pickling and ``on_buffer`` raise."""
    try:
        packed = dumps(call, 5, buffer_callback=on_buffer)
    except HasLarge:
        raise
    except Exception:  # noqa: BLE001  # cloudpickle may know better; if not, it says what is wrong
        return _pack_by_value(call, on_buffer)
    if _MAIN in packed or ("cloudpickle" in sys.modules and _has_chosen_modules()):
        return _pack_by_value(call, on_buffer)
    return packed


def _pack_by_value(call: object, on_buffer: Callable[[Any], bool] | None) -> bytes:
    from workflow.engine.by_value import pickler

    file = BytesIO()
    pickler()(file, 5, on_buffer).dump(call)
    return file.getvalue()


def _write(call: object) -> File:
    """The same into a file."""
    if "cloudpickle" not in sys.modules or not _has_chosen_modules():
        try:
            return write(call, unless=_MAIN)
        except NoRoom:
            raise
        except Exception:  # noqa: BLE001, S110  # as above
            pass
    from workflow.engine.by_value import pickler

    return write(call, pickler())


def _has_chosen_modules() -> bool:
    """Whether the program asked cloudpickle to take some modules by value although they can be imported."""
    return bool(sys.modules["cloudpickle"].list_registry_pickle_by_value())
