"""From the dotted path of a task to its class, and from the path of a call or a hook to its function.

Importing runs the user's code: it may raise anything, exit or hang.  So this is called only where that is somebody's
bounded time: in a worker, under the task's limit, or in the callback thread, under the callback's.
"""

from __future__ import annotations

import sys
from types import ModuleType

from workflow.engine.importing import import_module, refuse_what_is_below

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from workflow.model import Model


def resolve_model(path: str) -> type[Model]:
    """The class at ``package.module.Class``; nested classes are found too.

    Raises ImportError when there is no such module or class, TypeError when what is there is not a Model, and
    whatever importing the module raises.
    """
    from workflow.model import Model

    module, names = _import_longest(path)
    found = _walk(module, names, path)
    if not isinstance(found, type):
        message = f"{path!r} is {_kind(found)}, not a class derived from workflow.Model"
        raise TypeError(message)
    if not issubclass(found, Model):
        message = f"{path!r} is a class, but not derived from workflow.Model"
        raise TypeError(message)
    return found


def resolve_function(target: str) -> Callable[..., object]:
    """What ``"package.module:function"`` names; the function may be an attribute of an attribute.

    Raises ModuleNotFoundError or ImportError saying which part is missing and what was probably meant, TypeError
    for what cannot be called.  What the module's own import raises is raised as it is.
    """
    from workflow.model import Model

    module_name, colon, function = target.partition(":")
    names = function.split(".")
    if not colon or not all(part.isidentifier() for part in (*module_name.split("."), *names)):
        message = f"a function is named as 'package.module:function', not {target!r}"
        raise TypeError(message)
    found = _walk(_import_whole(module_name, target), names, target)
    if isinstance(found, type) and issubclass(found, Model):
        message = f"{target!r} is a Model, not a function: a task runs it as module = {target.replace(':', '.')!r}"
        raise TypeError(message)
    if not callable(found):
        from reprlib import repr as brief

        message = f"{target!r} is no function but {brief(found)}, which cannot be called"
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


def _import_whole(name: str, target: str) -> ModuleType:
    """The module of a function; when it is missing, the error says where it would have to be."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name
        if missing is None or not f"{name}.".startswith(f"{missing}."):
            raise  # the module is there; what it imports is not
    from pkgutil import iter_modules

    parent, _, last = missing.rpartition(".")
    folders = getattr(sys.modules.get(parent), "__path__", []) if parent else None
    where = f"{parent!r} has no module {last!r}" if parent else f"there is no module {missing!r} on sys.path"
    siblings = [*(module.name for module in iter_modules(folders)), *(() if parent else sys.builtin_module_names)]
    message = f"{where} (of {target!r}){_suggestion(last, siblings)}"
    raise ModuleNotFoundError(message, name=missing)


def _walk(module: ModuleType, names: list[str], target: str) -> object:
    """What is found in a module, name by name; ``target`` is the module's name with these behind it."""
    found: object = module
    end = len(target) - sum([len(name) + 1 for name in names])
    for name in names:
        try:
            found = getattr(found, name)
        except AttributeError:
            suggestion = _suggestion(name, dir(found))
            refuse_what_is_below(found, name, suggestion)
            origin = getattr(module, "__file__", None)
            where = f", in {origin}" if origin else ""
            message = f"{target[:end]!r} has no {name!r} (of {target!r}{where}){suggestion}"
            raise ImportError(message, name=module.__name__, path=origin) from None
        end += 1 + len(name)
    return found


def _suggestion(name: str, there_are: Iterable[str]) -> str:
    from workflow.diagnostics.suggest import did_you_mean

    near = did_you_mean(name, there_are)
    return f", {near}" if near else ""


def _kind(value: object) -> str:
    if isinstance(value, ModuleType):
        return "a module"
    if isinstance(value, type):
        return "a class"
    return f"a {type(value).__name__}"
