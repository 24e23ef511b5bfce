"""Which function a call was of, for the text of its error.

A future does not keep its function, which may hold much, nor its name, which would make each future larger for the few
that fail.  What it keeps is the call as bytes, and the function comes first in them.  They are read here without being
unpickled, which would run the user's code.  Price: a name is not found when it is not near the beginning, as behind a
large object of which a method was called; then the number of the task has to do.
"""

from __future__ import annotations

import pickletools
from typing import Any

_WRAPPERS = ("workflow.engine.calls.call_each", "functools.partial")
"""The function stands behind them."""
_BY_VALUE = "cloudpickle.cloudpickle._make_function"
_PICKLERS = ("cloudpickle.cloudpickle", "copyreg")
_TEXTS = ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8")
_GETS = ("BINGET", "LONG_BINGET")


def name_in(packed: bytes) -> str | None:
    """The function's name, with its module unless that is the program's own; None when it cannot be told.

    ``packed`` may end early.
    """
    try:
        return _name_in(packed)
    except Exception:  # noqa: BLE001  # cut off, or written by a pickler with habits of its own
        return None


def _name_in(packed: bytes) -> str | None:
    memo: list[str] = []
    texts = ["", ""]
    by_value = False
    argument: Any
    for operation, argument, _position in pickletools.genops(packed):
        if operation.name == "MEMOIZE":
            memo.append(texts[-1])
        elif operation.name in _TEXTS or operation.name in _GETS:
            text = memo[argument] if operation.name in _GETS else str(argument)
            if by_value and texts[-1] == "__qualname__":
                return text
            texts.append(text)
        elif operation.name == "STACK_GLOBAL" and not by_value:
            module, name = texts[-2:]
            path = f"{module}.{name}"
            by_value = path == _BY_VALUE
            if path == "builtins.getattr" or (module in _PICKLERS and not by_value):
                return None  # a method, or an object of the program's own class: what it is stands behind it in full
            if not by_value and path not in _WRAPPERS:
                return name if module in ("__main__", "__mp_main__", "builtins") else path
    return None
