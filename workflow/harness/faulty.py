"""The Models that stand in for the tasks of a run under faults: each does what its task does, notes it, and strikes.

Workers and dispatcher find them as they find any Model, by a dotted path.  The path *is* the definition:
``workflow.harness.faulty.Task_<hex>`` is made when it is first asked for, from what the hex digits say: which Model is
stood in for, which task it is, which faults strike it at which attempt.  So nothing has to be registered in processes
that the harness never sees, and a worker that was replaced finds the same class again.

The class derives from the Model it stands in for; what that overrides stays overridden, so a task has a callback if
and only if it had one, or if a fault adds one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, NamedTuple

from workflow.harness import journal
from workflow.model import Model

if TYPE_CHECKING:
    from workflow.harness.kinds import Kind

_MODULE = "workflow.harness.faulty"
_TASK = "Task_"
_HOOK = "hook_"
_MISSING = "Missing_"


class Strike(NamedTuple):
    """A fault of one task."""

    kind: str
    attempt: int | None
    """None: at each."""


class Disguise(NamedTuple):
    """What stands in for a task, or for a hook."""

    target: str | None
    """The Model's dotted path, or the hook's; None for a hook that the task did not have."""
    task: str
    strikes: tuple[Strike, ...]
    error: bool = False
    """Whether the hook is the one for failures."""


def path_of(disguise: Disguise) -> str:
    """The dotted path that makes a Model of it."""
    return f"{_MODULE}.{_TASK}{_encoded(disguise)}"


def missing_path_of(disguise: Disguise) -> str:
    """A dotted path at which there is nothing."""
    return f"{_MODULE}.{_MISSING}{_encoded(disguise)}"


def hook_of(disguise: Disguise) -> str:
    """The path that makes a hook of it."""
    return f"{_MODULE}:{_HOOK}{_encoded(disguise)}"


def detonate(task: str, kind: str, attempts: tuple[int | None, ...]) -> object:
    """Unpickled in front of the arguments of a task: the fault that strikes at that stage.  What it gives is one."""
    if _attempt() not in attempts and None not in attempts:
        return None
    _fire(kind, task)
    return _act(kind)


class Charge:
    """Stands in front of a task's arguments; its pickle calls ``detonate`` where it is unpickled."""

    def __init__(self, task: str, strike: Strike) -> None:
        self._arguments = (task, strike.kind, (strike.attempt,))

    def __reduce__(self) -> Any:
        return (detonate, self._arguments)


def __getattr__(name: str) -> object:
    if name.startswith(_TASK):
        made: object = _model(_decoded(name[len(_TASK) :]))
    elif name.startswith(_HOOK):
        made = _hook(_decoded(name[len(_HOOK) :]))
    elif name.startswith(_MISSING):
        _fire("callback.missing", _decoded(name[len(_MISSING) :]).task)
        raise AttributeError(name)
    else:
        raise AttributeError(f"module {_MODULE!r} has no attribute {name!r}")
    globals()[name] = made
    return made


def _model(disguise: Disguise) -> type[Model]:
    if disguise.strikes:
        import workflow.harness.victims  # noqa: F401  here, or it would be part of what is struck
    if _attempt():
        _strike(disguise, "import")
    assert disguise.target is not None
    base: type[Model] = resolve_name(disguise.target)
    charges = sum(_kind(strike.kind).stage == "arguments" for strike in disguise.strikes)

    def make(self: Any) -> None:
        if _attempt():  # not where a callback is about to be called
            _strike(disguise, "init")
        base.__init__(self)

    def runnable(self: Any, *args: Any, **kwargs: Any) -> Any:
        task, attempt = disguise.task, _attempt()
        journal.note(journal.BEGAN, task, attempt)
        value = _strike(disguise, "run", "result", "error_callback")
        if getattr(value, "dies_with_its_task", False):
            self._held, value = value, None
        if value is None:
            value = base.runnable(self, *args[charges:], **kwargs)
        journal.note(journal.ENDED, task, attempt, digest_of(value))
        return value

    members: dict[str, Any] = {"__init__": make, "runnable": runnable, "__module__": _MODULE}
    for name in ("callback", "error_callback"):
        striking = [strike.kind for strike in disguise.strikes if _kind(strike.kind).stage == name]
        of_base = getattr(base, name)
        if striking or of_base is not getattr(Model, name):
            members[name] = _callback(disguise.task, name, striking, of_base)
    return type(f"Faulty{base.__name__}", (base,), members)


def _callback(task: str, name: str, striking: list[str], of_base: Callable[..., object]) -> Callable[..., object]:
    def callback(self: Any, argument: object) -> object:
        _note_callback(task, name, argument)
        for kind in striking:
            _fire(kind, task)
            _act_in_callback(kind, argument)
        return of_base(self, argument)

    return callback


def _hook(disguise: Disguise) -> Callable[..., object]:
    name = "error_callback" if disguise.error else "callback"

    def hook(argument: object, *, task: str) -> object:
        _note_callback(disguise.task, name, argument)
        for strike in disguise.strikes:
            if _kind(strike.kind).stage == name:
                _fire(strike.kind, disguise.task)
                _act_in_callback(strike.kind, argument)
        if disguise.target is None:
            return None
        function = resolve_name(disguise.target)
        return function(argument, task=task) if _takes_task(function) else function(argument)

    return hook


def _note_callback(task: str, name: str, argument: object) -> None:
    from workflow.harness.given import note_given

    journal.note(journal.CALLBACK, task, 0, name)
    note_given(task, name, argument, digest_of(argument) if name == "callback" else "")


def _takes_task(function: Callable[..., object]) -> bool:
    from inspect import Parameter, signature

    try:
        parameters = signature(function).parameters.values()
    except (TypeError, ValueError):  # some of those written in C do not tell
        return False
    named = (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return any(
        each.kind is Parameter.VAR_KEYWORD or (each.name == "task" and each.kind in named) for each in parameters
    )


def _strike(disguise: Disguise, *stages: str) -> object:
    """Let what strikes at this stage of this attempt strike, up to the first that has a value: that value."""
    attempt = _attempt()
    for strike in disguise.strikes:
        if _kind(strike.kind).stage in stages and strike.attempt in (None, attempt):
            _fire(strike.kind, disguise.task)
            value = _act(strike.kind)
            if value is not None:
                return value
    return None


def _fire(kind: str, task: str) -> None:
    journal.note(journal.FIRED, task, _attempt(), kind)


def _act(kind: str) -> object:
    from workflow.harness.victims import ACTS

    return ACTS[kind]()


def _act_in_callback(kind: str, argument: object) -> None:
    from workflow.harness.victims import ACTS, IN_CALLBACK

    if kind in IN_CALLBACK:
        IN_CALLBACK[kind](argument)
    else:
        ACTS[kind]()


def _kind(name: str) -> Kind:
    from workflow.harness.kinds import KINDS

    return KINDS[name]


def _attempt() -> int:
    """The attempt that this process is in the middle of; 0 where it is no worker."""
    return int(os.environ.get("WORKFLOW_ATTEMPT", "0"))


def digest_of(value: object) -> str:
    """Something to compare results by; nothing for what cannot be pickled, which is for its task to tell."""
    import pickle
    from hashlib import sha256

    if type(value).__module__ == "workflow.harness.victims":
        return ""
    digest = sha256()
    try:
        pickle.Pickler(_Into(digest.update), 5).dump(value)  # a large value is not copied
    except Exception:  # noqa: BLE001  # user code runs there
        return ""
    return digest.hexdigest()[:16]


class _Into(NamedTuple):
    """A file into which one can only write."""

    write: Callable[[Any], object]


def _encoded(disguise: Disguise) -> str:
    return json.dumps(disguise, separators=(",", ":")).encode().hex()


def _decoded(digits: str) -> Disguise:
    target, task, strikes, error = json.loads(bytes.fromhex(digits))
    return Disguise(target, task, tuple(Strike(*strike) for strike in strikes), error)
