"""The throw-away process of ``validate --import``: imports what it is asked for, and says what is wrong with it.

It answers a line of JSON for each line of JSON.  What the user's modules print goes where it was told to go; that they
may hang, exit or crash is the business of ``imports``, which ends this process with all that it has started.
"""

from __future__ import annotations

import inspect
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from workflow.diagnostics.suggest import did_you_mean
from workflow.engine import system
from workflow.engine.importing import import_module
from workflow.engine.resolve import resolve_function, resolve_model
from workflow.model import Model

_LONGEST = 300
_RESOLVER = "workflow.engine.resolve"


class Problem(NamedTuple):
    """What is wrong, as a ``Mistake`` has it."""

    code: str
    headline: str
    help: str | None = None
    below: tuple[str, ...] = ()
    """Which key of the task it is about, where that is not the one that names the function."""
    whole: bool = False
    """Whether the module itself cannot be imported, with all that is in it."""
    call: int | None = None
    """The one of the calls asked about that it is about, by its number; None for all of them."""


Calls = Sequence[tuple[int, Sequence[str]]]
"""How something is called: the number of positional arguments, the names of the others."""


def serve(requests: IO[str], answers: IO[str], path: Sequence[str], parent: int) -> None:
    """Answer every request; called in a process that does nothing else."""
    system.die_with_parent(signal.SIGKILL)
    if os.getppid() not in (parent, 0):  # it ended before that; 0 is one whom we cannot see
        os._exit(0)
    for pipe in (requests, answers):
        os.set_inheritable(pipe.fileno(), False)
    system.adopt_orphans()  # so that whoever ends us finds below us what the modules have started
    sys.path[:] = path
    me = os.getpid()
    _say(answers, [])
    for line in requests:
        request = json.loads(line)
        problems = _judge(request)
        if os.getpid() != me:
            os._exit(0)  # a module has forked, and its child came back as well
        _say(answers, problems)


def _say(answers: IO[str], problems: Sequence[Problem]) -> None:
    answers.write(json.dumps(problems) + "\n")
    answers.flush()


def _judge(request: dict[str, Any]) -> list[Problem]:
    environment, folder = dict(os.environ), Path.cwd()
    os.environ.update(request["env"])
    try:
        if request["cwd"] is not None:
            with suppress(OSError):  # without its folder the task fails, which is not a matter of imports
                os.chdir(request["cwd"])
        return _judged(request["kind"], request["path"], request["calls"])
    except BaseException as error:  # noqa: BLE001  an import may raise anything
        return [_refused(error, request["module"])]
    finally:
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)


def _judged(kind: str, path: str, calls: Calls) -> list[Problem]:
    if kind == "preload":
        import_module(path)
        return []
    if kind == "module":
        return _model(resolve_model(path), calls)
    function = resolve_function(path)
    # A hook is given the keyword task where it takes it; whether it needs it is then no question.
    if kind == "hook" and not _fits(function, path, [(1, ["task"])]):
        return _useless(function, path)
    return _useless(function, path) or _fits(function, path, calls)


def _model(model: type[Model], calls: Calls) -> list[Problem]:
    name = model.__qualname__
    if model.runnable is Model.runnable:
        return [Problem("not-runnable", f"the class {name} does not define runnable", "runnable is what the task does")]
    if inspect.isabstract(model):
        missing = ", ".join(sorted(getattr(model, "__abstractmethods__", ())))
        return [Problem("not-runnable", f"{name} is abstract: it does not define {missing}")]
    if _fits(model, name, [(0, [])]):
        return [Problem("not-runnable", f"{name} cannot be made without arguments, as a Model is made")]
    if isinstance(inspect.getattr_static(model, "runnable"), (staticmethod, classmethod)):
        return _useless(model.runnable, f"{name}.runnable") or _fits(model.runnable, f"{name}.runnable", calls)
    return _useless(model.runnable, f"{name}.runnable") or _fits(
        model.runnable, f"{name}.runnable", calls, of_an_object=True
    )


def _useless(function: Callable[..., object], name: str) -> list[Problem]:
    """What is called and then does nothing: nobody awaits it, nobody takes values from it."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        help_ = "call asyncio.run in a plain function"
        return [Problem("not-runnable", f"{name} is a coroutine function, and nobody awaits it", help_)]
    if inspect.isgeneratorfunction(function):
        help_ = "let it return a list"
        return [Problem("not-runnable", f"{name} is a generator function, and its values cannot travel", help_)]
    return []


def _fits(function: Callable[..., object], name: str, calls: Calls, *, of_an_object: bool = False) -> list[Problem]:
    """Which calls the signature refuses; none where there is no signature."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return []
    parameters = list(signature.parameters.values())[of_an_object:]
    try:
        shown = _shortened(f"{name.rpartition(':')[2]}{signature.replace(parameters=parameters)}")
    except Exception:  # noqa: BLE001  the text of a default is the user's code
        shown = f"{name}(…)"
    problems = []
    for number, (count, names) in enumerate(calls):
        misfit = _unknown_name(parameters, names)
        try:
            signature.bind(*[None] * (count + of_an_object), **dict.fromkeys(names))
        except TypeError as error:
            said, below = misfit or _misfit(str(error), names)
            headline = f"{name} does not take these arguments: {said}"
            problems.append(Problem("bad-signature", headline, f"its signature is {shown}", below, call=number))
    return problems


def _unknown_name(parameters: Sequence[inspect.Parameter], names: Sequence[str]) -> tuple[str, tuple[str, ...]] | None:
    """A keyword that is not taken: the surest sign of what went wrong, where other things are wrong as well."""
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return None
    known = [each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    for name in names:
        if name not in known:
            near = did_you_mean(name, known)
            return f"it has no {name!r}" + (f", {near}" if near else ""), ("kwargs", name)
    return None


def _misfit(said: str, names: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """What ``inspect`` says, and which key it is about."""
    if "multiple values" in said:
        named = next((name for name in names if said.endswith(repr(name))), None)
        return said, ("kwargs",) if named is None else ("kwargs", named)
    return said, ("args",) if "too many positional" in said else ()


def _refused(error: BaseException, module: str) -> Problem:
    """Why something could not be imported, or is not what it should be."""
    if isinstance(error, SystemExit):
        code = "" if error.code is None else _shortened(repr(error.code))
        return Problem(
            "import-dies", f"importing {module!r} ends the process: sys.exit({code})", _where(error), whole=True
        )
    if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
        return _missing(error.name)
    if _last_module(error) == _RESOLVER:  # it was imported, and what is named in it is not there or of no use
        if isinstance(error, TypeError):
            return Problem("not-runnable", _shortened(str(error)))
        return Problem("cannot-import", _shortened(str(error)))
    said = _shortened(str(error))
    headline = f"importing {module!r} raises {type(error).__name__}" + (f": {said}" if said else "")
    return Problem("cannot-import", headline, _where(error), whole=True)


def _missing(name: str) -> Problem:
    from pkgutil import iter_modules

    parent, _, last = name.rpartition(".")
    folders = getattr(sys.modules.get(parent), "__path__", None) if parent else None
    try:
        siblings = [each.name for each in iter_modules(folders)] if folders is not None or not parent else []
    except Exception:  # noqa: BLE001  a finder of somebody's
        siblings = []
    near = did_you_mean(last, siblings + ([] if parent else list(sys.builtin_module_names)))
    where = f"{parent!r} has no module {last!r}" if parent else f"there is no module {name!r} on the path"
    help_ = None if near or parent else f"the path begins with {', '.join(sys.path[:2])}"
    return Problem("cannot-import", where + (f", {near}" if near else ""), help_, whole=True)


def _last_module(error: BaseException) -> str | None:
    trace, name = error.__traceback__, None
    while trace is not None:
        name = trace.tb_frame.f_globals.get("__name__")
        trace = trace.tb_next
    return name if isinstance(name, str) else None


def _where(error: BaseException) -> str | None:
    """The line of the user's that was last on the way to the error."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"at {error.filename}, line {error.lineno}"
    trace, found = error.__traceback__, None
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        name = str(trace.tb_frame.f_globals.get("__name__"))
        if not file.startswith("<") and not name.startswith(("workflow.", "importlib.")) and name != "importlib":
            found = f"at {file}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return found


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[:_LONGEST] + "…"
