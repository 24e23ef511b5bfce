"""The program's own module, as the program knows it: ``__main__``, where the workers import it under its own name.

So what comes back made of its classes names that module.  To import it in the program as well would run the program
once more, all of it where it has no guard, and ``isinstance`` would say no to the outcome.  So what names it is taken
from ``__main__``, while nobody else has imported it.
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pickle import Unpickler, loads

from workflow.engine.importing import name_of_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType
    from typing import Any

_SHORT = 1 << 14
"""Bytes of a pickle that is searched for the name before it is read in the slower way; a search takes time, too."""
CLASS = b"\x93"
"""The opcode without which there is no class in a pickle of ours: then it need not be read here, which takes longer."""


def name_of_main() -> str | None:
    """The name under which the running program can be imported; None where there is none, as in a session."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        name = str(spec.name)
        return name if name != "__main__" else None  # of a folder or an archive that was run
    return _name_of_file(str(getattr(main, "__file__", "")))


@lru_cache(maxsize=1)  # asked for each result
def _name_of_file(file: str) -> str | None:
    # Through links, for the folder that Python puts on the import path is that of the file itself.
    name, suffix = os.path.splitext(os.path.basename(os.path.realpath(file)))
    return name if suffix in (".py", ".pyc") and "." not in name else None


def why_main_has_no_name() -> str:
    """Of something in ``__main__``: where it is instead."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return "was typed into a session" if file is None or str(file).startswith("<") else f"stands in {file}"


def name_of_starter() -> str | None:
    """The name of the module whose own code, as it is run or imported, calls us; the program's in a thread of it.

    In a task it is the program that the task is of.
    """
    if (program := name_of_program()) is not None:
        return program
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # the only way to ask; documented
    while frame is not None:
        if frame.f_code.co_name == "<module>":
            name = frame.f_globals.get("__name__")
            return name if isinstance(name, str) and name != "__main__" else name_of_main()
        frame = frame.f_back
    return name_of_main()


def loads_from_main(pickled: bytes | memoryview, *, buffers: Iterable[Any] | None = None) -> Any:
    """As pickle's, with what is of the program's own module from ``__main__``."""
    name = name_of_main()
    if name is None or name in sys.modules or (len(pickled) < _SHORT and name.encode() not in bytes(pickled)):
        return loads(pickled, buffers=buffers)
    return _FromMain(_Reader(pickled), buffers=buffers).load()


class _FromMain(Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return super().find_class("__main__" if module == name_of_main() else module, name)


class _Reader:
    """A file to unpickle from that copies nothing twice, however large the pickle is."""

    def __init__(self, pickled: bytes | memoryview) -> None:
        self._view = memoryview(pickled)
        self._position = 0

    def read(self, size: int) -> Any:  # pickle takes a view as well as bytes
        taken = self._view[self._position : self._position + size]
        self._position += len(taken)
        return taken

    def readinto(self, buffer: Any) -> int:
        taken = self.read(len(buffer))
        buffer[: len(taken)] = taken
        return len(taken)

    def readline(self) -> Any:
        end = bytes(self._view[self._position :]).find(b"\n")
        return self.read(len(self._view) if end < 0 else end + 1)
