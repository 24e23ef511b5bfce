"""Importing the user's modules in a process of the engine, from where no pool may start.

A worker imports the module of a task's class, the dispatcher that of its callback.  A module that starts a pool when
it is imported would start one in each of these processes, and each of those again; so that is refused.

But a program may be nothing else: the class, the start of the pool, the pushes, and no ``if __name__ == "__main__":``.
So the module that started this pool is imported down to where it did, and then stands as if it ended there.  What
would start a pool raises ``ReachedStart``, of a kind that ``except Exception`` lets pass, and the loader of that one
module takes it.  Whoever imports the module gets it so: a task, a pickle, another module of the user's.

Seen, and not chosen: to leave out the statement and all below before the module runs, which would have to tell a
guard, of whatever form, from none by its looks; to let pools do nothing there, which would have every process do all
that the program does besides; to go on with the task from within ``start()``, above frames that never end, and whose
``with`` blocks never do.  Price: what stands above the start is done again in each process, as where multiprocessing
spawns them, and so are ``finally`` and ``with`` around it.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import FrameType, ModuleType
    from typing import Any
else:
    ModuleType = type(sys)  # its own module would cost each process of the engine as much as this one


STARTED_BY_IMPORT = "a pool was started while "
"""How the refusal begins; whoever finds it in the error of a task can tell the program."""

_GUARD = '`if __name__ == "__main__":`'
_importing: list[str] = []
"""Modules whose import, for a task, is going on in this process."""


class ReachedStart(BaseException):
    """Ends the import of the program where it starts its pool; no error, so nothing there is to take it for one."""


def import_module(name: str) -> ModuleType:
    """Import a module for a task."""
    _importing.append(name)
    try:
        __import__(name)  # importlib, which asks for the same, would have to be imported first
        return sys.modules[name]
    finally:
        _importing.pop()


def refuse_start(what: str = "what starts it") -> None:
    """Called by what is about to start a pool; raises where it must not.

    ``what`` should be below the guard.
    """
    end_import_of_program()
    if _importing or (_program is not None and _program.running is not None):
        name = _importing[-1] if _importing else name_of_program()
        message = (
            f"{STARTED_BY_IMPORT}{name!r} was imported for a task: the program starts itself over and over; put {what} "
            f"under {_GUARD}"
        )
        raise RuntimeError(message)


def end_import_of_program() -> None:
    """Raise ReachedStart when it is the program's own code that comes here, as it is imported.

    A module that the program imports is another matter: nobody could take that as far as it goes.
    """
    if _program is None or _program.running is None:
        return
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # the only way to ask; documented
    while frame is not None:
        if frame.f_code.co_name == "<module>":
            if frame.f_globals is not vars(_program.running):
                return
            _program.line = frame.f_lineno
            message = f"the import of {_program.name!r} ends here, in a process of the pool that it starts"
            raise ReachedStart(message)
        frame = frame.f_back


def know_program(config: dict[str, Any]) -> None:
    """Be told what the program is, in a fork of the warden that is to run its tasks or callbacks.

    ``main`` is the name under which what runs as ``__main__`` can be imported, ``program`` that of the module which
    started the pool: the same, unless it did so when it was imported.
    """
    global _program
    sys.modules["__main__"] = _stand_in(config["main"])
    if config["program"] is not None:
        _program = _Program(config["program"], config["argv"])
        sys.meta_path.insert(0, _program)


def _stand_in(main: str | None) -> ModuleType:
    """A ``__main__`` that stands for the program's own module, loaded under its own name when somebody looks.

    Arguments made of a script's own classes name ``__main__`` in their pickles.  The script is imported, not run
    again: under its own name its ``if __name__ == "__main__"`` part stays out.
    """
    module = ModuleType("__main__")
    if main is not None:

        def find(attribute: str) -> object:
            if attribute.startswith("__"):
                raise AttributeError(attribute)
            program = import_module(main)
            try:
                return getattr(program, attribute)
            except AttributeError:
                refuse_what_is_below(program, attribute)
                raise

        module.__getattr__ = find  # type: ignore[method-assign]
    return module


def name_of_program() -> str | None:
    """The program's name in a process that runs its tasks, which may start pools of their own; None elsewhere."""
    return None if _program is None else _program.name


class _Program:
    """The finder of the program's module."""

    def __init__(self, name: str, argv: Sequence[str]) -> None:
        self.name = name
        self.argv = argv
        self.running: ModuleType | None = None
        """It, while it is being imported."""
        self.line = 0
        """Where it came to the start of its pool."""
        self.ended: ModuleType | None = None
        """It, when its import ended there."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the other finders find, with a loader that knows where to end."""
        if name != self.name:
            return None
        for finder in [*sys.meta_path]:
            find = getattr(finder, "find_spec", None)
            if finder is self or find is None:
                continue
            spec: ModuleSpec | None = find(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader, self)  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    """The loader of the program's module."""

    def __init__(self, loader: Any, program: _Program) -> None:
        self._loader = loader
        self._program = program

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        """Run it, to its end or to the start of its pool."""
        program = self._program
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader  # whoever looks finds what is there in the program itself
        module.__loader__ = self._loader
        sys.argv = [*program.argv]
        before, program.running, program.line = program.running, module, 0
        try:
            self._loader.exec_module(module)
        except BaseException as error:
            from workflow.engine.attempt_notes import Terminated

            # Whatever else comes from there, by `finally: sys.exit()`, say, came after it.
            if not program.line or isinstance(error, Terminated):
                raise
            program.ended = module
        finally:
            program.running = before


_program: _Program | None = None


# -- what is not there -------------------------------------------------------------------------------------------------


def refuse_what_is_below(module: object, name: str, suggestion: str = "") -> None:
    """Raise RuntimeError for what a module lacks, when that is the program and its import ended too early."""
    if _program is not None and module is _program.ended:
        message = (
            f"{STARTED_BY_IMPORT}{_program.name!r} was imported for a task, which ends there, in line {_program.line}: "
            f"{name!r} does not stand above it{suggestion}; put it there, or what starts the pool under {_GUARD}"
        )
        raise RuntimeError(message) from None


def say_what_is_missing(error: BaseException) -> None:
    """Have the error of a task say so, when it comes of something that stands below the start of the pool."""
    module = None if _program is None else _program.ended
    if _program is None or module is None or not _misses(error, module):
        return
    text = (
        f"{error} ({_program.name!r} was imported down to line {_program.line}, where it starts its pool; put what its "
        f"tasks need above that, or what starts the pool under {_GUARD})"
    )
    error.args = (text,)
    if isinstance(error, ImportError):
        error.msg = text


def _misses(error: BaseException, module: ModuleType) -> bool:
    """Whether it is the error of looking for a name in this module."""
    if type(error) is NameError:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        return trace is not None and trace.tb_frame.f_globals is vars(module) and error.name not in vars(module)
    if type(error) is AttributeError:
        return error.obj is module or str(error).endswith(repr(module))  # or as pickle has it
    return type(error) is ImportError and error.name == module.__name__
