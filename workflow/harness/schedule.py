"""A schedule: what is done to one live run, and when.  Drawn from a seed, kept as a file, done again.

A file is JSON: ``format``, ``seed``, ``kinds`` (the faults of the batch's own tasks), ``pool``, ``neighbours`` and
``blows``, each with ``signal``, ``role``, ``when`` and so on as in ``blows.Blow``.
"""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Sequence
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


def draw_blows(seed: int, tasks: int) -> tuple[Blow, ...]:
    """The blows of this seed, to a run of so many tasks."""
    pick = random.Random(f"blows {seed}")
    blows = [
        _blow(pick, pick.choices(list(_ROLES), list(_ROLES.values()))[0], tasks) for _ in range(pick.randint(2, 7))
    ]
    last = pick.choices(list(_LAST), list(_LAST.values()))[0]
    if last == "parent" and pick.random() < 0.6:
        blows.append(Blow(pick.choice(_INTERRUPTS), "parent", _when(pick, tasks)))
    elif last is not None:
        blows.append(_blow(pick, last, tasks))
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
    except ValueError as error:
        raise BadSchedule(f"{path} is not JSON: {error}") from None
    try:
        schedule = _read(document)
    except (TypeError, KeyError, ValueError) as error:
        raise BadSchedule(f"{path} is no schedule: {error.args[0] if error.args else error!r}") from None
    return schedule


def _read(document: Any) -> Schedule:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"it does not say 'format': {FORMAT}")
    unknown = document.keys() - {"format", *Schedule._fields}
    if unknown:
        raise ValueError(f"it has the unknown key {min(unknown)!r}; there are {', '.join(Schedule._fields)}")
    missing = [name for name in Schedule._fields if name not in document]
    if missing:
        raise ValueError(f"it has no {missing[0]!r}")
    for name, least in (("seed", 0), ("pool", 1), ("neighbours", 0)):
        value = document[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name!r} must be a whole number of {least} or more, not {value!r}")
    for kind in document["kinds"]:
        if kind not in KINDS:
            raise ValueError(f"there is no kind of fault {kind!r}")
    blows = tuple(_read_blow(each) for each in document["blows"])
    return Schedule(document["seed"], tuple(document["kinds"]), document["pool"], document["neighbours"], blows)


def _read_blow(written: Any) -> Blow:
    if not isinstance(written, dict):
        raise TypeError(f"a blow is an object with signal, role and when, not {written!r}")
    blow = Blow(**{**written, "when": When(**written["when"])})
    if str(blow.signal) not in signal.Signals.__members__:
        raise ValueError(f"there is no signal {blow.signal!r}")
    roles = ("parent", "guardian", "warden", "dispatcher", "template", "worker", "workers", "task", "group", "engine")
    if blow.role not in roles:
        raise ValueError(f"there is no role {blow.role!r}; there are {', '.join(roles)}")
    return blow


def _blow(pick: random.Random, role: str, tasks: int) -> Blow:
    name = pick.choices(list(_SIGNALS), list(_SIGNALS.values()))[0]
    continued = pick.uniform(0.05, _LONGEST_STOP_S) if name == "SIGSTOP" else None
    return Blow(name, role, _when(pick, tasks), continued, pick.random())


def _when(pick: random.Random, tasks: int) -> When:
    what = pick.choices(["began", "ended", "callback", "fired"], [6, 3, 3, 1])[0]
    count = 1 if what == "fired" else pick.randint(1, max(1, tasks * 3 // 4))
    return When(what, "*", count, round(pick.uniform(0, 0.02), 4))


def told(blows: Sequence[Blow]) -> list[str]:
    """For people: each blow in a line."""
    return [
        f"{blow.signal} to {blow.role} {1000 * blow.when.delay_s:g} ms after {blow.when.what} number {blow.when.count}"
        + (f", continued after {blow.continue_after_s:.2f} s" if blow.continue_after_s is not None else "")
        for blow in blows
    ]
