"""A worker that dies."""

from __future__ import annotations

import json
import os
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from textwrap import indent

from workflow.harness import journal
from workflow.harness.batch import CALLED, MODEL, Batch
from workflow.harness.blows import Blow, When
from workflow.harness.census import Sample
from workflow.harness.evidence import NOT_EXPECTED, Evidence, Expected, ExpectedTask
from workflow.harness.experiment import Run
from workflow.harness.faulty import Strike, digest_of
from workflow.harness.given import given_errors
from workflow.harness.injection import Injected
from workflow.harness.kinds import KINDS
from workflow.harness.neighbours import RESUMED_VARIABLE, value_of
from workflow.harness.oracle import Unjudged, beginning_of, last_attempt_of, told_of
from workflow.harness.order import stood_behind
from workflow.harness.scenario import Scenario, Trial, of_batch

_ACTORS = "workflow.harness.actors."


def _good(number: int) -> ExpectedTask:
    return ExpectedTask(callback=CALLED, attempts=1, digest=digest_of(value_of(number)))


def _workers_at(evidence: Evidence, since_s: float, until_s: float) -> list[int]:
    """How many workers were alive at each look in that time."""
    looks: dict[float, int] = defaultdict(int)
    for sample in evidence.samples:
        if since_s <= sample.at_s <= until_s and sample.role == "worker":
            looks[sample.at_s] += 1
    return list(looks.values())


# -- killed from outside -------------------------------------------------------------------------------------------

_KILLED = {
    "outcomes": frozenset({"crashed"}), "callback": CALLED, "signal": "SIGKILL", "says": "out-of-memory killer",
    "stack": "", "timeout_s": 30.0,
}  # fmt: skip
_STAGES = {  # of its way, and a victim that stays there until it is killed
    "start": "hang_import",
    "arguments": "hang_unpickle",
    "middle": "hang_sleep",
    "end": "hang_pickle",
    "last": "hang_sleep_2",
}
_KILLED_FROM_OUTSIDE = Batch(
    ["hang.import", "hang.unpickle", "hang.sleep", "hang.pickle", "hang.sleep"],
    neighbours=60,
    changes=dict.fromkeys(_STAGES.values(), _KILLED),
    lines={
        "hang_sleep_2": "needs = ["
        + ", ".join(f'{{ task = "{name}", status = "any" }}' for name in ["good", *list(_STAGES.values())[:-1]])
        + "]"
    },
)

# -- an exception as an object -------------------------------------------------------------------------------------

_TRAVELS = {
    "crash.bad_exception": False,
    "crash.bad_exception.init": False,
    "crash.bad_exception.reduce": False,
    "crash.bad_exception.str": True,
    "crash.bad_exception.members": False,
    "crash.bad_exception.cause": True,
}
if sys.version_info >= (3, 11):
    _TRAVELS |= {"crash.bad_exception.notes": True, "crash.bad_exception.group": True}


def _came_as_it_was(evidence: Evidence) -> Iterator[str]:
    given = {task: error.of for task, error in given_errors(evidence.journal).items()}
    for kind, travels in _TRAVELS.items():
        task = kind.replace(".", "_")
        name = KINDS[kind].error or ""
        wanted = (name if "." in name else f"builtins.{name}") if travels else "workflow.errors.TaskFailed"
        if given.get(task) != wanted:
            yield f"the error_callback of {task} was given a {given.get(task)}, not a {wanted}"


# -- arguments that cannot be pushed -------------------------------------------------------------------------------

_UNPICKLABLE = f"[tasks.unpicklable]\nmodule = {json.dumps(MODEL)}\nargs = [0]\n"


def _refused(evidence: Evidence) -> Iterator[str]:
    reason = told_of(evidence, "unpicklable")["reason"] or ""
    if "cannot pickle '_thread.lock' object" not in reason:
        yield f"the reason of what cannot be pushed is {reason!r}, and does not say why"


# -- memory --------------------------------------------------------------------------------------------------------


def _peak_is_told(evidence: Evidence) -> Iterator[str]:
    for id_ in ("crash_memory", "crash_memory_child"):
        peak = last_attempt_of(evidence, id_)["peak_rss_bytes"]
        if peak is None or peak < (KINDS["crash.memory"].memory or 0):
            yield f"{id_}: its peak is {peak}"


# -- idle workers --------------------------------------------------------------------------------------------------

_IDLE_POOL = 3


def _idle(folder: Path, _draw: random.Random) -> Trial:
    """Two of three idle, twice; then, while a last callback takes its time, all three."""

    def parallel(name: str, needs: str) -> str:
        return (
            f'[tasks.{name}]\nmodule = {json.dumps(MODEL)}\nargs = ["${{matrix.n}}", 0.3]\n'
            f"matrix = {{ n = {{ range = [0, {_IDLE_POOL}] }} }}\nneeds = [{needs}]\n"
        )  # fmt: skip

    file = folder / "pipeline.toml"
    file.write_text(
        f"[pipeline]\npool = {_IDLE_POOL}\n"
        + parallel("first", "")
        + f'[tasks.long]\nmodule = {json.dumps(MODEL)}\nargs = [1, 1.0]\nneeds = ["first"]\n'
        + parallel("second", '"long"')
        + f'[tasks.last]\nmodule = {json.dumps(_ACTORS + "Lingerer")}\nargs = [1]\nneeds = ["second"]\n',
        encoding="utf-8",
    )
    tasks = {f"{name}@{n}": _good(n) for name in ("first", "second") for n in range(_IDLE_POOL)}
    tasks |= {"long": _good(1), "last": _good(1)}
    blows = [
        Blow("SIGKILL", "idle workers", When(task="long", delay_s=0.2)),
        Blow("SIGKILL", "idle workers", When(task="long", delay_s=0.6)),
        Blow("SIGKILL", "idle workers", When(journal.CALLBACK, "last", delay_s=0.1)),
    ]
    return Trial(
        Run((str(file),), blows=blows),
        Expected(tasks, longest_s=60),
        {2: _killed_when_idle, 5: _full_again},
    )


def _killed_when_idle(evidence: Evidence) -> Iterator[str]:
    killed = {blow.pid for blow in evidence.struck}
    if len(killed) < 2 + 2 + _IDLE_POOL:
        raise Unjudged(f"only {len(killed)} idle workers were killed")
    yield from ()


def _full_again(evidence: Evidence) -> Iterator[str]:
    last_blow_s = max(blow.at_s for blow in evidence.struck)
    for name, span in (("second", _span(evidence, "second")), ("the last callback", (last_blow_s, evidence.ended_s))):
        most = max(_workers_at(evidence, *span), default=0)
        if most != _IDLE_POOL:
            yield f"while {name} ran there were {most} workers at most, not {_IDLE_POOL}"


def _span(evidence: Evidence, name: str) -> tuple[float, float]:
    """From the first beginning to the last end of a task's instances."""
    own = [entry for entry in evidence.journal if entry.task.partition("@")[0] == name]
    began = [entry.at_s for entry in own if entry.what == journal.BEGAN]
    ended = [entry.at_s for entry in own if entry.what == journal.ENDED]
    if not began or not ended:
        raise Unjudged(f"{name} was not seen to run")
    return min(began), max(ended)


# -- one crash after the other -------------------------------------------------------------------------------------

_STORM_POOL = 3
_ROUNDS, _CRASHES = 25, 20
_STORM_KINDS = ("crash.exit", "crash.exit_7", "crash.segv", "crash.abort", "crash.sigkill", "crash.libc_exit")


def _storm(folder: Path, draw: random.Random) -> Trial:
    """Rounds of crashes, and after each a rest for which the pool has to be full.

    What tasks and harness import is preloaded: 500 new workers would do little else.
    """
    preload = ["workflow.harness.faulty", "workflow.harness.neighbours", "workflow.harness.victims"]
    parts = [f"[pipeline]\npool = {_STORM_POOL}\npreload = {json.dumps(preload)}\n"]
    tasks: dict[str, ExpectedTask] = {}
    injected: dict[str, Injected] = {}
    for number in range(_ROUNDS):
        before = f'[{{ task = "rest{number - 1}", status = "any" }}]' if number else "[]"
        parts.append(
            f"[tasks.storm{number}]\nmodule = {json.dumps(MODEL)}\nargs = [0]\nneeds = {before}\n"
            f"matrix = {{ n = {{ range = [0, {_CRASHES}] }} }}\n"
            f'[tasks.rest{number}]\nmodule = {json.dumps(MODEL)}\nargs = ["${{matrix.n}}", 0.08]\n'
            f'needs = [{{ task = "storm{number}", status = "any" }}]\n'
            f"matrix = {{ n = {{ range = [0, {_STORM_POOL}] }} }}\n"
        )  # fmt: skip
        for n in range(_CRASHES):
            kind = KINDS[draw.choice(_STORM_KINDS)]
            injected[f"storm{number}@{n}"] = Injected((Strike(kind.id, None),))
            tasks[f"storm{number}@{n}"] = ExpectedTask(
                frozenset({"crashed"}), CALLED, (kind.id,), attempts=1, signal=kind.signal, exit_code=kind.exit_code,
                stack=kind.stack,
            )  # fmt: skip
        for n in range(_STORM_POOL):
            tasks[f"rest{number}@{n}"] = _good(n)
    file = folder / "pipeline.toml"
    file.write_text("\n".join(parts), encoding="utf-8")
    return Trial(
        Run((str(file),), injected=injected),
        Expected(tasks, frozenset({1}), longest_s=180),
        {4: _stays_flat, 5: _full_after_each},
    )


def _full_after_each(evidence: Evidence) -> Iterator[str]:
    for number in range(_ROUNDS):
        most = max(_workers_at(evidence, *_span(evidence, f"rest{number}")), default=0)
        if most != _STORM_POOL:
            yield f"after {_CRASHES * (number + 1)} crashes there were {most} workers, not {_STORM_POOL}"


_GROWTH = {"descriptors": 6, "threads": 1, "resident_bytes": 4 * 1024 * 1024}
"""What one process of ours may hold more of, typically, in the last third of a storm than in the one before: what 160
crashes have left.  Descriptors are those of workers that are just being replaced."""
_RECORD_BYTES = 16 * 1024  # of the parent, for each task that has ended: its attempts and errors, until the report
_ZOMBIES = 2 * _STORM_POOL


def _stays_flat(evidence: Evidence) -> Iterator[str]:
    _, first_s = _span(evidence, f"rest{_ROUNDS // 3 - 1}")
    _, second_s = _span(evidence, f"rest{2 * _ROUNDS // 3 - 1}")
    last_s, _ = _span(evidence, f"rest{_ROUNDS - 1}")
    for role in ("parent", "guardian", "warden", "dispatcher", "template"):
        # A fork has the name of whoever forked it until it takes its own, and some never do.
        lasting = [one for one in evidence.sightings if one.last_s - one.first_s > (last_s - first_s) / 2]
        pids = [one.pid for one in lasting if one.role == role]
        if len(pids) != 1:
            raise Unjudged(f"{len(pids)} processes were seen in the role of the {role}")
        own = [sample for sample in evidence.samples if sample.pid == pids[0]]
        early = [sample for sample in own if first_s < sample.at_s <= second_s]
        late = [sample for sample in own if second_s < sample.at_s <= last_s]
        if len(early) < 10 or len(late) < 10:
            raise Unjudged(f"the {role} was looked at {len(early)} and {len(late)} times")
        for name, allowed in _GROWTH.items():
            more = _typical(late, name) - _typical(early, name)
            records = _ROUNDS // 3 * _CRASHES * _RECORD_BYTES if (role, name) == ("parent", "resident_bytes") else 0
            if more > allowed + records:
                yield f"the {role} has {more:g} more {name} than a third of the storm before, {_typical(late, name):g}"
        zombies = max(sample.zombies for sample in own)
        if zombies > _ZOMBIES:
            yield f"the {role} had {zombies} zombies"


def _typical(samples: Sequence[Sample], name: str) -> float:
    return float(median(getattr(sample, name) for sample in samples))


# -- no worker can start -------------------------------------------------------------------------------------------

#
# Workers are forks, of the warden or of the process that preloads, so what kills them all has to be in those already:
# put there when Python itself starts, or by what is preloaded.

_FORKS_OF_THE_WARDEN = """
import os

forks = 0


def count():
    global forks
    forks += 1


def die():
    global forks
    before, forks = forks, 0
    with open(f"/proc/{os.getppid()}/comm") as file:
        if file.read().strip() == "wf-warden" and before > 1:  # the first is the dispatcher
            os._exit(3)


os.register_at_fork(before=count, after_in_child=die)
"""
_FORKS_OF_THE_TEMPLATE = """
import os

os.register_at_fork(after_in_child=lambda: os._exit(0))
"""
_BREAKS_THEIR_START = """
import faulthandler


def refuse(*_arguments, **_keywords):
    raise OSError("on purpose")


faulthandler.enable = refuse
"""


def _no_start(module: str, program: str) -> Callable[[Path, random.Random], Trial]:
    def prepare(folder: Path, _draw: random.Random) -> Trial:
        harmless = f"import os\nif {RESUMED_VARIABLE!r} not in os.environ:\n"
        (folder / f"{module}.py").write_text(harmless + indent(program, " " * 4), encoding="utf-8")
        batch = Batch(settings={} if module == "sitecustomize" else {"preload": [module]})
        expected = batch.expected(
            exit_codes=frozenset({4}),
            longest_s=20.0,
            tasks=dict.fromkeys(
                batch.expected().tasks, ExpectedTask(frozenset({"cancelled"}), NOT_EXPECTED, attempts=0)
            ),
            says="the engine failed: workers cannot be started",
        )
        path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
        return Trial(replace(batch.run(folder), environment={"PYTHONPATH": path}), expected)

    return prepare


_INITIALIZED = """
import os, sys, time
from workflow import ExecutorBroken, WorkflowExecutor
from workflow.harness.program import keep


def start(there, how):
    while not os.path.exists(there):
        time.sleep(0.005)
    if how == "raise":
        raise ValueError("on purpose")
    if how == "abort":
        os.abort()
    os._exit(0)


there = os.path.join(os.path.dirname(os.path.abspath(__file__)), "there")
with WorkflowExecutor(2, initializer=start, initargs=(there, HOW)) as executor:
    futures = [executor.with_options(name=f"call-{number}").submit(abs, number) for number in range(CALLS)]
    open(there, "w").close()
    for future in futures:
        error = future.exception()
        assert isinstance(error, ExecutorBroken), error
        keep(future)
    try:
        executor.submit(abs, 1)
    except ExecutorBroken as again:
        print(again, file=sys.stderr)
        sys.exit(4)
"""
_INITIALIZED_CALLS = 30


def _no_initializer(how: str) -> Callable[[Path, random.Random], Trial]:
    def prepare(folder: Path, _draw: random.Random) -> Trial:
        script = folder / "program.py"
        text = _INITIALIZED.replace("HOW", repr(how)).replace("CALLS", str(_INITIALIZED_CALLS))
        script.write_text(text, encoding="utf-8")
        cancelled = ExpectedTask(frozenset({"cancelled"}), NOT_EXPECTED, attempts=0)
        tasks = {f"call-{number}": cancelled for number in range(_INITIALIZED_CALLS)}
        expected = Expected(
            tasks,
            frozenset({4}),
            longest_s=20.0,
            says="the engine failed: workers cannot be started",
            tracebacks=int(how == "raise"),
        )
        return Trial(Run((str(script),), program=True), expected)

    return prepare


# -- behind one that crashes ---------------------------------------------------------------------------------------

_CRASH_S = 0.4
_VICTIMS = {"crowd@0": 0, "crowd@4": 4}
_BLAME = 24
_BLAME_PLACES = {f"crowd@{number}": number for number in range(_BLAME)}


def _blame(folder: Path, _draw: random.Random) -> Trial:
    """Three workers are sent four tasks each; two die in the middle of their first, the third is busy meanwhile."""
    file = folder / "pipeline.toml"
    file.write_text(
        f"[pipeline]\npool = 3\n\n[tasks.crowd]\nmodule = {json.dumps(_ACTORS + 'OneOfACrowd')}\n"
        f'args = ["${{matrix.n}}", {{ "4" = 30, "8" = 1.0 }}, {{}}, {{ "0" = {_CRASH_S} }}]\n'
        f"matrix = {{ n = {{ range = [0, {_BLAME}] }} }}\n",
        encoding="utf-8",
    )
    tasks = {id_: _good(number) for id_, number in _BLAME_PLACES.items()}
    crashed = frozenset({"crashed"})
    tasks["crowd@0"] = ExpectedTask(crashed, CALLED, attempts=1, signal="SIGSEGV", stack="in runnable")
    tasks["crowd@4"] = ExpectedTask(crashed, CALLED, attempts=1, signal="SIGKILL", says="out-of-memory killer")
    return Trial(
        Run((str(file),), blows=[Blow("SIGKILL", "worker of crowd@4", When(task="crowd@4", delay_s=_CRASH_S))]),
        Expected(tasks, frozenset({1}), longest_s=60),
        {6: _ran_elsewhere},
    )


def _ran_elsewhere(evidence: Evidence) -> Iterator[str]:
    for victim, place in _VICTIMS.items():
        began = beginning_of(evidence, victim)
        crash_s = began.at_s + _CRASH_S
        behind = [
            entry
            for entry in stood_behind(evidence.journal, _BLAME_PLACES, victim, crash_s)
            if _BLAME_PLACES[entry.task] < place + 4
        ]
        if not behind:
            raise Unjudged(f"nobody stood behind {victim}")
        for entry in behind:
            if entry.pid == began.pid:
                yield f"{entry.task} began on the worker that had died with {victim}"


def _one(kind: str, must: str, *, smoke: bool = False) -> Scenario:
    return Scenario(kind, f"a task {KINDS[kind].what}", must, of_batch(Batch([kind])), smoke)


_BY_SIGNAL = "crashed, with the signal's name and the stack; others untouched"
_HOW = ("raise", "exit", "segv")

SCENARIOS = (
    _one("crash.segv", _BY_SIGNAL, smoke=True),
    _one("crash.abort", _BY_SIGNAL),
    _one("crash.bus", _BY_SIGNAL),
    _one("crash.fpe", _BY_SIGNAL),
    Scenario(
        "crash.sigkill",
        "workers are killed from outside: at the import, the arguments, in the middle, at the end, at the last task",
        "crashed by SIGKILL, with the hint at the out-of-memory killer; the full queue is worked off",
        of_batch(
            _KILLED_FROM_OUTSIDE,
            blows=[Blow("SIGKILL", f"worker of {id_}", When("fired", id_, delay_s=0.1)) for id_ in _STAGES.values()],
            longest_s=60.0,
        ),
        smoke=True,
    ),
    Scenario(
        "crash.exit",
        "a task leaves with os._exit(0), another with os._exit(7)",
        "crashed, with the exit code; never taken for success",
        of_batch(Batch(["crash.exit", "crash.exit_7"])),
        smoke=True,
    ),
    _one("crash.libc_exit", "crashed, with the exit code"),
    Scenario(
        "crash.sys_exit",
        "a task raises SystemExit(0), another SystemExit(3)",
        "failed, type SystemExit, with the hint that a main() that ends so belongs in cmd",
        of_batch(Batch(["crash.sys_exit", "crash.sys_exit.3"])),
    ),
    Scenario(
        "crash.base_exception",
        "tasks raise what is no Exception: one of their own, GeneratorExit, KeyboardInterrupt, CancelledError",
        "failed, with the type",
        of_batch(
            Batch([
                "crash.base_exception", "crash.base_exception.generator_exit", "crash.base_exception.interrupt",
                "crash.base_exception.cancelled",
            ])
        ),
    ),
    _one("crash.recursion", "failed, type RecursionError"),
    _one("crash.stack", "crashed by SIGSEGV"),
    Scenario(
        "crash.memory",
        "a task allocates past its limit, another does so through a child",
        "memory_exceeded, with the peak",
        of_batch(Batch(["crash.memory", "crash.memory_child"]), checks={2: _peak_is_told}),
    ),
    Scenario(
        "crash.unpickle_args",
        "unpickling a task's arguments raises, exits, segfaults; an argument cannot be pickled at all",
        "an error of that task only; what cannot be pickled is an error at the push",
        of_batch(
            Batch(
                [f"crash.unpickle_args.{how}" for how in _HOW],
                extra=_UNPICKLABLE,
                extra_tasks={"unpicklable": ExpectedTask(frozenset({"failed"}), NOT_EXPECTED, attempts=0)},
                extra_injected={"unpicklable": Injected(unpicklable=True)},
            ),
            checks={2: _refused},
        ),
    ),
    Scenario(
        "crash.pickle_result",
        "pickling a task's result raises, exits, segfaults",
        "an error of that task only",
        of_batch(Batch([f"crash.pickle_result.{how}" for how in _HOW])),
    ),
    Scenario(
        "crash.unpickle_result",
        "unpickling a task's result raises, exits, segfaults, where its callback is to get it",
        "the task succeeded; it is that callback's outcome, and hits nobody else",
        of_batch(Batch([f"crash.unpickle_result.{how}" for how in _HOW])),
        smoke=True,
    ),
    Scenario(
        "crash.bad_exception",
        "tasks raise what does not come back from its pickle, has none, has no text, a lock, a cause, notes, members",
        "failed, with type, text and traceback as text; the object itself where it can travel",
        of_batch(Batch(list(_TRAVELS)), checks={7: _came_as_it_was}),
    ),
    Scenario(
        "crash.del",
        "an object of a task, and an argument of another, segfault when they are collected, after the result was sent",
        "succeeded; the next task is safe",
        of_batch(Batch(["crash.del", "crash.del.argument"])),
    ),
    Scenario(
        "crash.idle",
        "workers that are in the middle of nothing are killed: two of three, twice, then all",
        "no task is affected; the pool is full again",
        _idle,
    ),
    Scenario(
        "crash.storm",
        "500 crashes in a run, 20 in a row each time, in six ways",
        "the pool is full after each row; descriptors, threads, memory and zombies of the engine stay flat",
        _storm,
    ),
    Scenario(
        "crash.start",
        "every new worker dies at once",
        "the run ends, with a reason and exit code 4",
        _no_start("sitecustomize", _FORKS_OF_THE_WARDEN),
        smoke=True,
    ),
    Scenario(
        "crash.start.broken",
        "what is preloaded breaks something that a worker starts with",
        "the same",
        _no_start("deadly", _BREAKS_THEIR_START),
    ),
    Scenario(
        "crash.start.template",
        "every fork of the process that preloads dies at once, as if it had succeeded",
        "the same",
        _no_start("deadly", _FORKS_OF_THE_TEMPLATE),
    ),
    *(
        Scenario(
            f"crash.start.initializer.{how}",
            f"the initializer of an executor's workers {what} in each of them, while calls wait",
            "after so many in a row every call ends, with the reason, and so does each that is submitted later",
            _no_initializer(how),
        )
        for how, what in (("raise", "raises"), ("abort", "crashes"), ("exit", "leaves"))
    ),
    Scenario(
        "crash.blame",
        "two workers die, by a segfault and from outside, and tasks that were sent ahead stood behind",
        "those run elsewhere, are not blamed, and have one attempt",
        _blame,
    ),
)  # fmt: skip
