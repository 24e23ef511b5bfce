"""Results made of the program's own ``__main__``, from a worker that has none.

A worker of an executor gets functions and classes of ``__main__`` by value, and never imports the script they are
from.  What it sends back must be made of the program's own classes all the same, or ``isinstance`` would say no there.
So they go back by name, which pickle refuses to write for a name it cannot look up: that is done here, when it has
refused.
"""

from __future__ import annotations

import sys
from _pickle import Pickler
from types import FunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from io import BytesIO
    from typing import Any

_MAINS = ("__main__", "__mp_main__")
_sent: dict[str, object] = {}
"""By name, what this process sent so: it must be able to read what it writes."""


class _ByName(Pickler):
    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, (type, FunctionType)) or value.__module__ not in _MAINS:
            return NotImplemented
        name = value.__qualname__
        if not all(part.isidentifier() for part in name.split(".")):
            return NotImplemented  # a lambda, or local to a function: nobody could find it
        _sent[name] = value
        return (in_main, (name,))


def dumps(value: object) -> bytes:
    """As pickle's, with what is of ``__main__`` by name, wherever that is."""
    from _io import BytesIO

    file: BytesIO = BytesIO()
    _ByName(file, 5).dump(value)
    return file.getvalue()


def in_main(name: str) -> object:
    """What has this name in the program's ``__main__``."""
    found: object = sys.modules["__main__"]
    try:
        for part in name.split("."):
            found = getattr(found, part)
    except AttributeError:
        if name in _sent:
            return _sent[name]
        raise
    return found
