"""From the dotted path of a task to its class, and from the path of a hook to its function.

Importing runs the user's code: it may raise anything, exit or hang.  So this is called only where that is somebody's
bounded time: in a worker, under the task's limit, or in the callback thread, under the callback's.
"""

from __future__ import annotations

from importlib import import_module as _import_module
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from workflow.model import Model


importing: list[str] = []
"""Modules whose import, for a task, is going on in this process: a pool must not be started from there."""


STARTED_BY_IMPORT = "a pool was started while "
"""How the refusal of that begins; whoever finds it in the error of a task can tell the program."""


def import_module(name: str) -> ModuleType:
    """Import a module for a task."""
    importing.append(name)
    try:
        return _import_module(name)
    finally:
        importing.pop()


def resolve_model(path: str) -> type[Model]:
    """The class at ``package.module.Class``; nested classes are found too.

    Raises ImportError when there is no such module or class, TypeError when what is there is not a Model, and
    whatever importing the module raises.
    """
    from workflow.model import Model

    found = _resolve(path, *_import_longest(path))
    if not isinstance(found, type):
        message = f"{path!r} is {_kind(found)}, not a class derived from workflow.Model"
        raise TypeError(message)
    if not issubclass(found, Model):
        message = f"{path!r} is a class, but not derived from workflow.Model"
        raise TypeError(message)
    return found


def resolve_function(path: str) -> Callable[..., object]:
    """The callable at ``package.module:function``.

    Raises ImportError when there is no such module or name, TypeError when it cannot be called, and whatever
    importing the module raises.
    """
    module_name, _, names = path.partition(":")
    found = _resolve(path, import_module(module_name), names.split("."))
    if not callable(found):
        message = f"{path!r} is {_kind(found)}, which cannot be called"
        raise TypeError(message)
    return found


def _import_longest(path: str) -> tuple[ModuleType, list[str]]:
    """The longest importable beginning of a dotted path, and the names that remain."""
    parts = path.split(".")
    for end in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:end])
        try:
            return import_module(name), parts[end:]
        except ModuleNotFoundError as error:
            # For 'pkg.mod.Outer.Inner', 'pkg.mod.Outer' is what is missing, and a shorter name is worth a try.  A
            # module that exists but misses something it imports, or whose package is missing, is told as it is.
            if error.name != name or end == 1:
                raise
    raise ImportError(path)  # not reached: the loop returns or raises


def _resolve(path: str, module: ModuleType, names: list[str]) -> object:
    found: object = module
    for name in names:
        try:
            found = getattr(found, name)
        except AttributeError:
            from difflib import get_close_matches

            close = get_close_matches(name, [known for known in dir(found) if not known.startswith("_")], 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            origin = getattr(module, "__file__", None)
            where = f"module {module.__name__!r}" + (f" ({origin})" if origin else "")
            message = f"{path!r} does not exist: {where} has no {name!r}{hint}"
            raise ImportError(message, name=module.__name__, path=origin) from None
    return found


def _kind(value: object) -> str:
    if isinstance(value, ModuleType):
        return "a module"
    if isinstance(value, type):
        return "a class"
    return f"a {type(value).__name__}"
