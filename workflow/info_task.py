"""What is pushed: one task, its limits and its arguments.

An ``InfoTask`` is checked when it is made, so that a mistake is raised where it was written and not in a process
far away.  It is frozen, and made of slots set through their descriptors: a program may push a million of them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple

from workflow.attempt_text import AttemptText

POOL_MAX: Final = 4096
"""Workers in a pool: more processes than any machine that this runs on has use for."""
RETRYABLE: Final = ("failed", "timed_out", "crashed", "memory_exceeded")
MAX_RETRIES: Final = 65_534
"""An attempt's number has 16 bits of the word that names it in shared memory."""

SEEDS: Final = 1 << 32
"""There are so many seeds: from 0 on, what numpy takes as well as Python."""


class RetryPolicy(NamedTuple):
    """When an attempt that did not succeed is followed by another."""

    max: int = 0
    """Tries after the first."""
    delay_s: float = 0.0
    """Seconds between an attempt's end and the next one's place in the queue."""
    backoff: float = 1.0
    """Factor by which the delay grows from try to try."""
    max_delay_s: float = math.inf
    jitter: bool = True
    """Whether the delay is drawn between its half and its whole, so that failures do not return in step."""
    on: tuple[str, ...] = RETRYABLE
    """Outcomes that are tried again."""
    seed: int | None = None
    """What the jitter is drawn from: the same seed, the same delays.  None is the number of the task in its pool."""
    held: bool = False
    """Whether another attempt waits, when its delay is over, until it is let go: see ``MultiProcess``, ``on_retry``."""


class InfoTask:
    """One task: what runs, for how long at most, and with which arguments.

    ``module`` is ``"package.module.Class"``, a ``Model``.  ``timeout`` is the limit of one attempt in seconds, counted
    from its start in a worker; None is no limit.  Further positional arguments go to ``runnable``.

    ``kwargs``            keyword arguments for ``runnable``
    ``id``                name in errors, reports and ``WORKFLOW_TASK_ID`` (its number, when not given)
    ``retries``           tries after the first, or a ``RetryPolicy``
    ``grace``             seconds between SIGTERM and SIGKILL (5)
    ``callback_timeout``  seconds the callback may take (30), with the unpickling of the result or error that it is
                          given, and the first time the import of its module; None is no limit
    ``deadline``          seconds that all attempts and the waits between them may take, counted from the first one's
                          start: what runs then is ended as at ``timeout``, and nothing follows (None: no limit)
    ``memory``            bytes that the task and all processes it starts may use together
    ``priority``          higher starts first (0)
    ``seed``              what ``random`` and, where numpy is loaded, its global generator are seeded with before each
                          attempt (None: they are left alone); callbacks are not seeded
    ``outputs``           files, folders and globs, absolute, without which the task has failed
    ``env``               added environment; None as a value removes the variable
    ``cwd``               working folder
    ``isolate``           whether it gets a worker of its own, which ends with it
    ``on_success`` ``on_failure``  ``"package.module:function"``, called in place of ``callback``/``error_callback``

    Raises TypeError or ValueError, naming the value, for anything that cannot be meant.  Whether ``module`` can be
    imported is found out by the worker, and is that task's failure.
    """

    __slots__ = (
        "args",
        "callback_timeout",
        "cwd",
        "deadline",
        "env",
        "grace",
        "id",
        "isolate",
        "kwargs",
        "memory",
        "module",
        "on_failure",
        "on_success",
        "outputs",
        "plain",
        "priority",
        "retries",
        "seed",
        "shared",
        "timeout",
    )

    module: str
    timeout: float | None
    args: tuple[object, ...]
    kwargs: Mapping[str, object] | None
    id: str | None
    retries: RetryPolicy
    grace: float
    callback_timeout: float | None
    deadline: float | None
    memory: int | None
    priority: int
    seed: int | None
    outputs: tuple[str, ...] | None
    env: Mapping[str, str | AttemptText | None] | None
    cwd: str | None
    isolate: bool
    on_success: str | None
    on_failure: str | None
    plain: bool
    """Whether every option has its default: such a task travels without them."""
    shared: Shared | None
    """What it has in common with the tasks that were made ``like`` it."""

    def __init__(self, module: str, timeout: float | None, *args: object, **options: object) -> None:
        # The type first: an instance of a class, or the class itself, is the likeliest mistake here.
        if type(module) is not str:
            raise TypeError(_not_a_path(module))
        if module not in _known_paths:
            _check_path(module)
        if timeout is not None and not (type(timeout) is float and timeout > 0):
            whole = type(timeout) is int and 0 < timeout < _PLAIN_INT
            timeout = float(timeout) if whole else _seconds("timeout", timeout, above_zero=True)
        _set_module(self, module)
        _set_timeout(self, timeout)
        _set_args(self, args)
        _set_plain(self, not options)
        if options:
            _set_shared(self, None)
            _set_options(self, options)

    def like(
        self,
        args: tuple[object, ...],
        *,
        id: str,  # noqa: A002  as the option is called
        seed: int | None,
        env: Mapping[str, str | AttemptText | None] | None,
        retries: RetryPolicy,
    ) -> InfoTask:
        """Make another that differs in these; for a hundred thousand of which only these have to be looked at.

        ``env`` and ``retries`` are such that they could have been given to this one: they are not checked.
        """
        shared = self.shared
        if shared is None:
            shared = Shared(self)
            _set_shared(self, shared)
        if not id or "\0" in id:
            check_text("id", id)
        if seed is not None and not 0 <= seed < SEEDS:
            _seed("seed", seed)
        made = _new(InfoTask)
        for put, value in shared.slots:
            put(made, value)
        _set_args(made, args)
        _set_id(made, id)
        _set_seed(made, seed)
        _set_env(made, env)
        _set_retries(made, retries)
        return made

    def __setattr__(self, name: str, value: object) -> None:
        message = f"an InfoTask does not change: {name!r} cannot be set"
        raise AttributeError(message)

    def __delattr__(self, name: str) -> None:
        message = f"an InfoTask does not change: {name!r} cannot be deleted"
        raise AttributeError(message)

    def __getattr__(self, name: str) -> object:
        # Reached for slots that were never set, that is for options left at their default.
        try:
            return _DEFAULTS[name]
        except KeyError:
            message = f"'InfoTask' object has no attribute {name!r}"
            raise AttributeError(message) from None

    def __repr__(self) -> str:
        options = "".join(
            f", {name}={getattr(self, name)!r}" for name in _CHECKS if getattr(self, name) != _DEFAULTS[name]
        )
        args = "".join(f", {arg!r}" for arg in self.args)
        return f"InfoTask({self.module!r}, {self.timeout!r}{args}{options})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, InfoTask):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__ if name != "shared")

    __hash__ = None  # type: ignore[assignment]  # its arguments may be anything

    def options(self) -> dict[str, object]:
        """The options that are not their default, as they would be given to make another task like it."""
        return {name: getattr(self, name) for name in _CHECKS if getattr(self, name) != _DEFAULTS[name]}

    def __reduce__(self) -> tuple[object, ...]:
        return (_remake, (self.module, self.timeout, self.args, self.options()))


class Shared:
    """What tasks that were made ``like`` another have in common."""

    __slots__ = ("options", "slots")

    slots: tuple[tuple[Callable[[InfoTask, object], None], object], ...]
    options: dict[str, object] | None
    """For the engine: those they have in common, as they travel."""

    def __init__(self, task: InfoTask) -> None:
        names = [name for name in _CHECKS if name not in _OWN and getattr(task, name) != _DEFAULTS[name]]
        names += ["module", "timeout", *(() if "kwargs" in names else ("kwargs",))]  # these are looked at in any case
        put = {name: getattr(task, name) for name in names}
        self.slots = tuple(
            (_slots[name].__set__, value) for name, value in {**put, "plain": False, "shared": self}.items()
        )
        self.options = None


def _remake(module: str, timeout: float | None, args: tuple[object, ...], options: dict[str, object]) -> InfoTask:
    return InfoTask(module, timeout, *args, **options)


# The slots' own setters: a plain assignment would go through __setattr__, and object.__setattr__ costs twice as much.
_slots = vars(InfoTask)
_set_module = _slots["module"].__set__
_set_timeout = _slots["timeout"].__set__
_set_args = _slots["args"].__set__
_set_plain = _slots["plain"].__set__
_set_id = _slots["id"].__set__
_set_seed = _slots["seed"].__set__
_set_env = _slots["env"].__set__
_set_retries = _slots["retries"].__set__
_set_shared = _slots["shared"].__set__
_new = object.__new__

_known_paths: set[str] = set()
_PLAIN_INT = 1 << 53
"""Below this a whole number is a float as it is."""
_PLAIN_SECONDS = 1_000_000
"""Below this a number of seconds is written without an exponent."""
_MEMORY_MAX: Final = 1 << 63
"""A limit has a word of 64 bits in shared memory."""
_SHOWN_MAX: Final = 80
"""Of a value in a message."""


def _check_path(module: str) -> None:
    parts = module.split(".")
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        raise ValueError(_not_a_path(module))
    if len(_known_paths) < 10_000:  # a memo of checks, not a registry: a program that makes names up may not fill it
        _known_paths.add(module)


def _not_a_path(module: object) -> str:
    hint = ""
    if isinstance(module, type):
        hint = f"; for this class that is {module.__module__ + '.' + module.__qualname__!r}"
    elif isinstance(module, str) and ":" in module:
        hint = f"; did you mean {module.replace(':', '.')!r}?"
    return f"module must be the dotted path of a Model, 'package.module.Class', not {module!r}{hint}"


def shown(value: object) -> str:
    """What was given, for a message: never long, and never an error of its own."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # the user's __repr__, or a number of too many digits
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= _SHOWN_MAX else f"{text[: _SHOWN_MAX - 20]}…{text[-19:]}"


def _seconds(name: str, value: object, *, above_zero: bool = False) -> float:
    limit = " or None" if above_zero else ""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        message = f"{name} must be a number of seconds{limit}, not {shown(value)}{_in_seconds(name, value)}"
        raise TypeError(message)
    if not (value > 0 or (value == 0 and not above_zero)):  # also refuses NaN
        message = f"{name} must be {'above 0' if above_zero else '0 or more'} seconds, not {shown(value)}"
        raise ValueError(message)
    try:
        return float(value)
    except OverflowError:
        message = f"{name} is more seconds than a number can hold{'; None is no limit' if above_zero else ''}"
        raise ValueError(message) from None


def _in_seconds(name: str, value: object) -> str:
    """What to write in place of a text such as "1.5 min"; it is for pipelines that durations are text."""
    if not isinstance(value, str):
        return ""
    import re

    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|sec|m|min|h|)\s*", value[:40])
    if found is None:
        return ""
    seconds = float(found[1]) * {"ms": 0.001, "m": 60, "min": 60, "h": 3600}.get(found[2], 1)
    return f"; write it as a number: {name}={seconds:g}" if seconds < _PLAIN_SECONDS else ""


def _retries(value: object) -> RetryPolicy:
    if isinstance(value, RetryPolicy):
        policy = value
    elif isinstance(value, int) and not isinstance(value, bool):
        policy = RetryPolicy(max=value)
    else:
        message = f"retries must be a whole number or a RetryPolicy, not {shown(value)}"
        raise TypeError(message)
    _whole("retries", policy.max, None)
    if not 0 <= policy.max <= MAX_RETRIES:
        message = f"retries must be from 0 to {MAX_RETRIES}, not {shown(policy.max)}"
        raise ValueError(message)
    unknown = [outcome for outcome in _several("on", policy.on) if outcome not in RETRYABLE]
    if unknown:
        message = f"a retry is possible on {', '.join(RETRYABLE)}, not on {shown(unknown[0])}"
        raise ValueError(message)
    _seconds("delay_s", policy.delay_s)
    _seconds("max_delay_s", policy.max_delay_s)
    if policy.seed is not None:
        _whole("seed", policy.seed, 0)
    _factor("backoff", policy.backoff)
    _flag("jitter", policy.jitter)
    _flag("held", policy.held)
    return policy


def _several(name: str, value: object) -> Collection[object]:
    if isinstance(value, str) or not isinstance(value, Collection):  # a text would be taken for its letters
        message = f"{name} must be outcomes that are tried again, such as ('failed',), not {shown(value)}"
        raise TypeError(message)
    return value


def _factor(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        message = f"{name} must be a number, not {shown(value)}"
        raise TypeError(message)
    if not value >= 1:  # also refuses NaN
        message = f"{name} is a factor of 1 or more, not {shown(value)}"
        raise ValueError(message)


def _whole(name: str, value: object, least: int | None) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        message = f"{name} must be a whole number, not {shown(value)}"
        raise TypeError(message)
    if least is not None and value < least:
        message = f"{name} must be {least} or more, not {shown(value)}"
        raise ValueError(message)
    return value


def _memory(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        message = f"{name} must be a whole number of bytes, such as 512 * 2**20, or None, not {shown(value)}"
        raise TypeError(message)
    if _whole(name, value, 1) >= _MEMORY_MAX:
        message = f"{name} must be below 2**63 bytes, not {shown(value)}; None is no limit"
        raise ValueError(message)
    return value


def _seed(name: str, value: object) -> int:
    seed = _whole(name, value, 0)
    if seed >= SEEDS:
        message = f"{name} must be below {SEEDS}, which is what numpy takes, not {shown(seed)}"
        raise ValueError(message)
    return seed


def check_text(name: str, value: object) -> str:
    """The value, a text that can name something; what else it may be is a TypeError or ValueError."""
    if not isinstance(value, str):
        message = f"{name} must be text, not {shown(value)}"
        raise TypeError(message)
    if not value or "\0" in value:
        message = f"{name} must not be empty or hold a NUL, as {shown(value)} does"
        raise ValueError(message)
    if not _is_encodable(value):
        message = f"{name} must be text that the system can hold, and {shown(value)} has half of a character in it"
        raise ValueError(message)
    return value


def _is_encodable(text: str) -> bool:
    """Whether it can become bytes: of names that are no UTF-8, what Python makes of them can."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _folder(name: str, value: object) -> str:
    return check_text(name, os.fspath(value) if isinstance(value, os.PathLike) else value)


def _kwargs(_name: str, value: object) -> dict[str, object]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        message = f"kwargs must be a mapping with text keys, not {shown(value)}"
        raise TypeError(message)
    return dict(value)


def _env(_name: str, value: object) -> dict[str, str | None]:
    if not isinstance(value, Mapping):
        message = f"env must be a mapping, not {shown(value)}"
        raise TypeError(message)
    for key, text in value.items():
        if isinstance(key, str) and isinstance(text, AttemptText):
            _env("env", {key: text.example()})
            continue
        if not isinstance(key, str) or not (text is None or isinstance(text, str)):
            message = f"env maps names to text, or to None for removal, not {shown(key)} to {shown(text)}"
            raise TypeError(message)
        if not key or "=" in key or "\0" in key or "\0" in (text or "") or not _is_encodable(key + (text or "")):
            message = f"env cannot hold {shown(key)} = {shown(text)}"
            raise ValueError(message)
    return dict(value)


def _outputs(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, (tuple, list)):
        message = f"{name} must be a list of paths, not {shown(value)}"
        raise TypeError(message)
    for path in value:
        if not check_text(name, path).startswith("/"):
            message = f"{name} must be absolute paths, unlike {path!r}: a worker has a folder of its own"
            raise ValueError(message)
    return tuple(value)


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        message = f"{name} must be true or false, not {shown(value)}"
        raise TypeError(message)
    return value


def _hook(name: str, value: object) -> str:
    path = check_text(name, value)
    module, colon, function = path.partition(":")
    parts = [*module.split("."), *function.split(".")]
    if not colon or not all(part.isidentifier() for part in parts):
        message = f"{name} must be 'package.module:function', not {shown(value)}"
        raise ValueError(message)
    return path


_DEFAULTS: Final[dict[str, object]] = {
    "kwargs": None,
    "id": None,
    "retries": RetryPolicy(),
    "grace": 5.0,
    "callback_timeout": 30.0,
    "deadline": None,
    "memory": None,
    "priority": 0,
    "seed": None,
    "outputs": None,
    "env": None,
    "cwd": None,
    "isolate": False,
    "on_success": None,
    "on_failure": None,
    "shared": None,
}
_OWN: Final = ("id", "seed", "env", "retries")
"""What each of the tasks has for itself that were made ``like`` another."""
_CHECKS: Final[dict[str, Callable[[str, object], object]]] = {
    "kwargs": _kwargs,
    "id": check_text,
    "retries": lambda _name, value: _retries(value),
    "grace": _seconds,
    "callback_timeout": lambda name, value: _seconds(name, value, above_zero=True),
    "deadline": lambda name, value: _seconds(name, value, above_zero=True),
    "memory": _memory,
    "priority": lambda name, value: _whole(name, value, None),
    "seed": _seed,
    "outputs": _outputs,
    "env": _env,
    "cwd": _folder,
    "isolate": _flag,
    "on_success": _hook,
    "on_failure": _hook,
}


def _set_options(task: InfoTask, options: dict[str, object]) -> None:
    for name, value in options.items():
        check = _CHECKS.get(name)
        if check is None:
            from difflib import get_close_matches

            close = get_close_matches(name, _CHECKS, 1)
            hint = f", did you mean {close[0]!r}?" if close else f"; it takes {', '.join(_CHECKS)}"
            message = f"InfoTask has no option {name!r}{hint}"
            raise TypeError(message)
        # None is "no limit" for two of the options and "not given" for the others: the default, both times.
        if value is None and name != "callback_timeout":
            continue
        checked = None if value is None else check(name, value)
        _slots[name].__set__(task, checked)
