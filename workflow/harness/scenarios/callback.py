"""A callback that does what it must not: it changes neither its task nor anybody else's, and is only recorded.

Each fault strikes a ``callback`` of a Model and a hook of a plain function, beside neighbours whose callbacks wait in
the same queue.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from random import Random

from workflow.harness import journal
from workflow.harness.batch import CALLED, Batch
from workflow.harness.census import withheld_s
from workflow.harness.evidence import Evidence, ExpectedTask
from workflow.harness.faulty import Strike, digest_of
from workflow.harness.injection import Injected
from workflow.harness.neighbours import value_of
from workflow.harness.oracle import Unjudged
from workflow.harness.scenario import Check, Scenario, Trial, of_batch

_LIMIT_S = 0.5
_LATE_S = 1.5
"""By how much a queue of callbacks may stand still beyond the limit of the one that blocks it."""
_RAISING = ("raise", "base_exception", "exit_raised", "interrupt", "memory_error")
_LONG = "".join(
    f'[tasks.long{number}]\nmodule = "workflow.harness.neighbours.Neighbour"\nargs = [{number}, 1.0]\n'
    for number in range(3)
)
"""They run while one dispatcher after the other dies."""
_LONG_TASKS = {
    f"long{number}": ExpectedTask(callback=CALLED, attempts=1, digest=digest_of(value_of(number)))
    for number in range(3)
}
_RECORDED = "the task's outcome is unchanged, the callback's is recorded, the run ends"


def _raising() -> Scenario:
    kinds = [f"callback.{name}" for name in _RAISING]
    return Scenario(
        "callback.raise",
        "callbacks raise an Exception, a BaseException, SystemExit, KeyboardInterrupt, MemoryError",
        _RECORDED,
        of_batch(Batch(kinds, calls=kinds)),
        smoke=True,
    )


def _error_raising() -> Scenario:
    """Also what stands for an ending by the engine is raised again: of a task that ran out of time."""
    kinds = [f"error_callback.{name}" for name in (*_RAISING, "reraise")]
    late = ExpectedTask(
        frozenset({"timed_out"}),
        frozenset({"failed"}),
        ("hang.sleep", "error_callback.reraise"),
        timeout_s=0.3,
        grace_s=0.4,
        attempts=1,
        error="TaskTimeout",
        callback_error="workflow.errors.TaskTimeout",
    )
    strikes = (Strike("hang.sleep", None), Strike("error_callback.reraise", None))
    return Scenario(
        "error_callback.raise",
        "error_callbacks raise the same, and what they were given",
        _RECORDED,
        of_batch(
            Batch(
                kinds,
                calls=kinds,
                extra='[tasks.late]\nmodule = "workflow.harness.neighbours.Neighbour"\nargs = [1]\ngrace = 0.4\n',
                extra_tasks={"late": late},
                extra_injected={"late": Injected(strikes, timeout_s=0.3)},
            )
        ),
    )


def _blocking(name: str, fault: str) -> Scenario:
    kind = f"callback.{name}"
    return Scenario(
        kind,
        fault,
        "abandoned at its own limit; the callbacks and deadlines of others go on; the run ends",
        of_batch(
            Batch([kind, "hang.sleep", "hang.gil"], calls=[kind], pool=3, callback_timeout_s=_LIMIT_S, neighbours=60),
            checks={7: _queue_goes_on(kind)},
        ),
    )


def _killing(name: str, fault: str) -> Scenario:
    kind, pool = f"callback.{name}", 3
    return Scenario(
        kind,
        fault,
        "the dispatcher is replaced; that callback is crashed and not repeated; neighbours go on in their workers",
        of_batch(
            Batch([kind] * 3, calls=[kind] * 3, pool=pool, neighbours=12, extra=_LONG, extra_tasks=_LONG_TASKS),
            checks={2: _same_workers(kind, pool), 5: _dispatchers(7)},
        ),
    )


# -- what cannot be loaded -----------------------------------------------------------------------------------------

_MODULES = {
    "broken": """\
from workflow import Model
class Constructor(Model):
    def __init__(self): raise ValueError("no instance of this can be made")
    def runnable(self): return 1
    def error_callback(self, error): pass
class NoModel:
    def runnable(self): return 1
thing = 3
""",
    "leaves": "import sys\nsys.exit(3)\n",
    "hangs": "import time\ntime.sleep(1000)\n",
}
_FAILED: frozenset[str] = frozenset({"failed"})
_CALLBACK_FAILED: frozenset[str | None] = frozenset({"failed"})


def _unloadable(error: str, says: str, callback_error: str = "ImportError") -> ExpectedTask:
    return ExpectedTask(_FAILED, _CALLBACK_FAILED, attempts=1, error=error, says=says, callback_error=callback_error)


_MODELS: Mapping[str, tuple[str, ExpectedTask]] = {
    "no_module": ("no_such_module.Thing", _unloadable("ModuleNotFoundError", "no_such_module")),
    "no_class": ("broken.Thing", _unloadable("ImportError", "broken")),
    "no_instance": ("broken.Constructor", _unloadable("ValueError", "no instance", "ValueError")),
    "no_model": ("broken.NoModel", _unloadable("TypeError", "not derived from workflow.Model")),
    "no_type": ("broken.thing", _unloadable("TypeError", "not a class derived from workflow.Model")),
    "import_leaves": ("leaves.Thing", _unloadable("SystemExit", "3")),
    "import_hangs": (
        "hangs.Thing",
        ExpectedTask(
            frozenset({"timed_out"}),
            _CALLBACK_FAILED,
            timeout_s=0.5,
            grace_s=0.3,
            attempts=1,
            error="TaskTimeout",
            says="while its module was imported",
            callback_error="ImportError",
        ),
    ),
}


def _hooked(outcome: str, error: str) -> ExpectedTask:
    return ExpectedTask(callback=frozenset({outcome}), attempts=1, callback_error=error)


_HOOKS: Mapping[str, tuple[str, ExpectedTask]] = {
    "hook_no_module": ("no_such_module:hook", _hooked("failed", "ModuleNotFoundError")),
    "hook_no_function": ("broken:hook", _hooked("failed", "ImportError")),
    "hook_not_callable": ("broken:thing", _hooked("failed", "TypeError")),
    "hook_leaves": ("leaves:hook", _hooked("failed", "SystemExit")),
    "hook_hangs": ("hangs:hook", _hooked("timed_out", "TaskTimeout")),
}


def _missing(folder: Path, _draw: Random) -> Trial:
    """Real modules, and tasks in no disguise: what is missing here is what the disguise would stand before."""
    for name, text in _MODULES.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    lines = [f'[tasks.{id_}]\nmodule = "{path}"\ntimeout = 0.5\ngrace = 0.3\n' for id_, (path, _) in _MODELS.items()]
    lines += [
        f'[tasks.{id_}]\ncall = "workflow.harness.neighbours:value_of"\nargs = [0]\n'
        f'callback_timeout = {_LIMIT_S}\non.success = "{path}"\n'
        for id_, (path, _) in _HOOKS.items()
    ]
    tasks = {id_: task for id_, (_, task) in (*_MODELS.items(), *_HOOKS.items())}
    batch = Batch(
        extra="\n".join(lines),
        extra_tasks=tasks,
        extra_injected=dict.fromkeys(tasks, Injected(bare=True)),
    )
    return Trial(batch.run(folder), batch.expected())


# -- checks --------------------------------------------------------------------------------------------------------


def _queue_goes_on(kind: str) -> Check:
    """The callback behind one that blocks is begun when the limit of that one is over."""

    def check(evidence: Evidence) -> Iterator[str]:
        begun = [entry for entry in evidence.journal if entry.what == journal.CALLBACK]
        blocking = {entry.task for entry in evidence.journal if entry.what == journal.FIRED and entry.detail == kind}
        engine = {one.pid for one in evidence.sightings if one.role in ("parent", "warden", "dispatcher")}
        for entry, following in pairwise(begun):
            waited_s = following.at_s - entry.at_s
            behind = [e for e in evidence.journal if e.what == journal.ENDED and e.at_s < entry.at_s + _LIMIT_S]
            owed = {e.task for e in behind} - {e.task for e in begun if e.at_s <= entry.at_s}
            machine_s = withheld_s(evidence.samples, engine, entry.at_s, following.at_s)
            if entry.task in blocking and owed and waited_s > _LIMIT_S + _LATE_S + machine_s:
                yield f"{following.task} had to wait {waited_s:.1f} s for the callback of {entry.task}"

    return check


def _same_workers(kind: str, pool: int) -> Check:
    """Somebody ran on while the dispatcher was away, and no worker was lost for it."""

    def check(evidence: Evidence) -> Iterator[str]:
        deaths = [e.at_s for e in evidence.journal if e.what == journal.FIRED and e.detail == kind]
        began = {(e.task, e.pid): e.at_s for e in evidence.journal if e.what == journal.BEGAN}
        across = [
            e.task
            for e in evidence.journal
            if e.what == journal.ENDED
            and any(began.get((e.task, e.pid), e.at_s) < death_s < e.at_s for death_s in deaths)
        ]
        if not across:
            raise Unjudged("no neighbour was running when a dispatcher died")
        workers = {one.pid for one in evidence.sightings if one.role == "worker"}
        if len(workers) != pool:
            yield f"{len(workers)} workers were seen, for a pool of {pool} that lost none"

    return check


def _dispatchers(count: int) -> Check:
    """One for each death, and no more."""

    def check(evidence: Evidence) -> Iterator[str]:
        seen = {one.pid for one in evidence.sightings if one.role == "dispatcher"}
        if len(seen) > count:
            yield f"there were {len(seen)} dispatchers, more than {count}"

    return check


SCENARIOS = (
    _raising(),
    _error_raising(),
    _blocking("hang", "a callback and a hook sleep for ever"),
    _blocking("gil", "a callback and a hook hold the GIL"),
    _killing("exit", "callbacks and hooks call os._exit(1), six in a row"),
    _killing("segv", "callbacks and hooks segfault, six in a row"),
    Scenario(
        "callback.missing",
        "class paths that are wrong, or no Model; constructors that raise; imports that exit or hang; hooks likewise",
        "those tasks fail, or run out of time, with the reason; a hook is only recorded; the rest run",
        _missing,
    ),
)
