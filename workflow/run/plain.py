"""Results that other tasks take, as far as the parent may look at them.

A result arrives pickled, and unpickling runs the code of the classes in it: it may raise, hang, or end the process.
The parent is the one process that nobody replaces, so it unpickles plain values only: those of Python itself and of
the standard library's simple types.  What holds anything else travels on as bytes, as an ``Opaque``, and is unpickled
by the worker of the task that takes it, under that task's limits; what it does there is that task's outcome.

Alternatives: a process that tries it first (60 ms for each class of result, and no proof: it may do harm the second
time), or no classes at all (a data frame handed from task to task is why people use Python here).  The price is that
a reference *into* a result (``${tasks.a.result.rows}``), or one inside text, needs a plain one.
"""

from __future__ import annotations

from io import BytesIO
from pickle import Unpickler, UnpicklingError, loads
from typing import Any

_PLAIN = {
    "_codecs": {"encode"},  # how bytes were pickled by old protocols
    "builtins": {"bytearray", "complex", "frozenset", "range", "set", "slice"},
    "collections": {"OrderedDict", "defaultdict", "deque"},
    "datetime": {"date", "datetime", "time", "timedelta", "timezone"},
    "decimal": {"Decimal"},
    "fractions": {"Fraction"},
    "pathlib": {"Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"},
    "pathlib._local": {"Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"},
    "uuid": {"SafeUUID", "UUID"},
}
"""What is built by code of Python's own that does nothing else.  ``list``, ``dict`` and so on need no name."""


class Opaque:
    """A result that only the worker of the task which takes it may unpickle: there, it is what was returned."""

    __slots__ = ("kind", "pickled")

    def __init__(self, pickled: bytes, kind: str) -> None:
        self.pickled = pickled
        self.kind = kind
        """The first class in it that is not plain."""

    def __reduce__(self) -> Any:
        return (loads, (self.pickled,))

    def __str__(self) -> str:
        return f"a {self.kind}, which only the task that takes it as a whole can read"


def read_plain(pickled: bytes) -> object:
    """The value, if it is plain; else an ``Opaque``.  Runs no code of anybody's, and does not raise."""
    reader = _Reader(BytesIO(pickled))
    try:
        return reader.load()
    except _NotPlain as found:
        return Opaque(pickled, str(found))
    except Exception:  # noqa: BLE001  bytes that are no pickle: the task that takes them will say so
        return Opaque(pickled, "broken pickle")


class _NotPlain(UnpicklingError):
    pass


class _Reader(Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name in _PLAIN.get(module, ()):
            return super().find_class(module, name)
        raise _NotPlain(f"{module}.{name}")
