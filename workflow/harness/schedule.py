"""A schedule: what is done to one live run, and when.  Drawn from a seed, kept as a file, done again.

A file is JSON: ``format``, ``seed``, ``kinds`` (the faults of the batch's own tasks), ``pool``, ``neighbours`` and
``blows``, each with ``signal``, ``role``, ``when`` and so on as in ``blows.Blow``.
"""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from workflow import WorkflowError
from workflow.harness.blows import Blow, When
from workflow.harness.kinds import KINDS

FORMAT = 1
_HEAVY = ("payload.", "crash.memory")
"""Kinds that take long, or much of the machine: they have scenarios of their own."""
_KINDS = tuple(kind for kind in KINDS if not kind.startswith(_HEAVY) and kind != "crash.del")
_ROLES = {"worker": 6, "dispatcher": 5, "task": 1}
_LAST = {None: 10, "guardian": 1, "warden": 1, "parent": 2}
"""Those without which a run ends: hardly ever, and at most one of them."""
_SIGNALS = {"SIGKILL": 7, "SIGSTOP": 3}
_INTERRUPTS = ("SIGINT", "SIGTERM", "SIGHUP")
_LONGEST_STOP_S = 1.5
_LONGEST_S = 3600
_KNOWN_ROLES = (
    "parent",
    "guardian",
    "warden",
    "dispatcher",
    "template",
    "worker",
    "workers",
    "task",
    "group",
    "engine",
)
MOMENTS = {"began": 6, "ended": 3, "callback": 3, "fired": 1}
"""What blows follow, and how often."""
PLAIN_MOMENTS = {"began": 2, "ended": 1}
"""The same, in a pipeline of which nobody knows whether it has callbacks."""


class BadSchedule(WorkflowError):
    """A schedule cannot be read, or says what cannot be done.  The fault is the file's."""


class Schedule(NamedTuple):
    """What a run is, and what is done to it."""

    seed: int
    kinds: tuple[str, ...]
    pool: int
    neighbours: int
    blows: tuple[Blow, ...]


def draw(seed: int) -> Schedule:
    """The schedule of this seed."""
    pick = random.Random(f"schedule {seed}")
    kinds = tuple(pick.sample(_KINDS, pick.randint(2, 5)))
    neighbours = pick.randint(40, 120)
    return Schedule(seed, kinds, pick.randint(1, 4), neighbours, draw_blows(seed, neighbours))


def draw_blows(seed: int, tasks: int, moments: Mapping[str, int] = MOMENTS) -> tuple[Blow, ...]:
    """The blows of this seed, to a run of so many tasks; ``moments`` are what they follow, with weights."""
    pick = random.Random(f"blows {seed}")
    roles = pick.choices(list(_ROLES), list(_ROLES.values()), k=pick.randint(2, 7))
    if set(roles) == {"task"}:
        roles[0] = "worker"  # there may be no process of a task at that moment, and then nothing was tried
    blows = [_blow(pick, role, tasks, moments) for role in roles]
    last = pick.choices(list(_LAST), list(_LAST.values()))[0]
    if last == "parent" and pick.random() < 0.6:
        blows.append(Blow(pick.choice(_INTERRUPTS), "parent", _when(pick, tasks, moments)))
    elif last is not None:
        blows.append(_blow(pick, last, tasks, moments))
    return tuple(blows)


def write(schedule: Schedule, path: Path) -> None:
    """Keep it.  Raises OSError."""
    path.write_text(as_json(schedule), encoding="utf-8")


def as_json(schedule: Schedule) -> str:
    """It, as its file has it."""
    blows = [{**blow._asdict(), "when": blow.when._asdict()} for blow in schedule.blows]
    return json.dumps({"format": FORMAT, **schedule._asdict(), "blows": blows}, indent=2) + "\n"


def read(path: Path) -> Schedule:
    """A schedule that was kept, or written by somebody.  Raises BadSchedule."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadSchedule(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise BadSchedule(f"{path} is not JSON that can be read: {error}") from None
    try:
        schedule = _read(document)
    except (TypeError, ValueError) as error:
        raise BadSchedule(f"{path} is no schedule: {error}") from None
    return schedule


def _read(document: Any) -> Schedule:
    if not isinstance(document, dict) or type(document.get("format")) is not int or document["format"] != FORMAT:
        raise ValueError(f"it does not say 'format': {FORMAT}")
    _only(document, ("format", *Schedule._fields), "it")
    for name, least, most in (("seed", 0, 2**63), ("pool", 1, 64), ("neighbours", 0, 10_000)):
        _number(document[name], name, least, most, whole=True)
    kinds, blows = document["kinds"], document["blows"]
    if not isinstance(kinds, list) or not isinstance(blows, list):
        raise TypeError("'kinds' and 'blows' are arrays")
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"there is no kind of fault {kind!r}")
    if not kinds and not blows:
        raise ValueError("it has neither kinds of faults nor blows, so it tests nothing")
    read = tuple(_read_blow(each) for each in blows)
    return Schedule(document["seed"], tuple(kinds), document["pool"], document["neighbours"], read)


def _read_blow(written: Any) -> Blow:
    _only(written, Blow._fields, "a blow")
    when = written["when"]
    _only(when, When._fields, "'when'")
    if str(written["signal"]) not in signal.Signals.__members__:
        raise ValueError(f"there is no signal {written['signal']!r}")
    for name, value, known in (("role", written["role"], _KNOWN_ROLES), ("what", when["what"], tuple(MOMENTS))):
        if value not in known:
            raise ValueError(f"there is no {name} {value!r}; there are {', '.join(known)}")
    if not isinstance(when["task"], str):
        raise TypeError(f"'task' is text, not {when['task']!r}")
    _number(when["count"], "count", 1, 1_000_000, whole=True)
    _number(when["delay_s"], "delay_s", 0, _LONGEST_S)
    _number(written["pick"], "pick", 0, 0.999_999)
    if written["continue_after_s"] is not None:
        _number(written["continue_after_s"], "continue_after_s", 0, _LONGEST_S)
    return Blow(**{**written, "when": When(**when)})


def _only(table: Any, keys: Sequence[str], what: str) -> None:
    """Raises TypeError or ValueError unless it is an object with just these keys."""
    if not isinstance(table, dict):
        raise TypeError(f"{what} is an object with {', '.join(keys)}, not {repr(table)[:80]}")
    for key in table.keys() - set(keys):
        raise ValueError(f"{what} has the unknown key {key!r}; there are {', '.join(keys)}")
    for key in keys:
        if key not in table:
            raise ValueError(f"{what} has no {key!r}")


def _number(value: Any, name: str, least: float, most: float, *, whole: bool = False) -> None:
    allowed = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, allowed) or not least <= value <= most:
        kind = "whole number" if whole else "number"
        raise ValueError(f"{name!r} must be a {kind} from {least} to {most}, not {repr(value)[:80]}")


def _blow(pick: random.Random, role: str, tasks: int, moments: Mapping[str, int]) -> Blow:
    name = pick.choices(list(_SIGNALS), list(_SIGNALS.values()))[0]
    continued = pick.uniform(0.05, _LONGEST_STOP_S) if name == "SIGSTOP" else None
    return Blow(name, role, _when(pick, tasks, moments), continued, pick.random())


def _when(pick: random.Random, tasks: int, moments: Mapping[str, int]) -> When:
    what = pick.choices(list(moments), list(moments.values()))[0]
    count = 1 if what == "fired" else pick.randint(1, max(1, tasks * 3 // 4))
    return When(what, "*", count, round(pick.uniform(0, 0.02), 4))


def told(blows: Sequence[Blow]) -> list[str]:
    """For people: each blow in a line."""
    return [
        f"{blow.signal} to {blow.role} {1000 * blow.when.delay_s:g} ms after {blow.when.what} number {blow.when.count}"
        + (f", continued after {blow.continue_after_s:.2f} s" if blow.continue_after_s is not None else "")
        for blow in blows
    ]
