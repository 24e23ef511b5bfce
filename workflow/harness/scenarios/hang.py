"""A task that does not end."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

from workflow.harness import journal
from workflow.harness.batch import CALLED, MODEL, Batch
from workflow.harness.blows import Blow, When
from workflow.harness.census import withheld_s
from workflow.harness.evidence import NOT_EXPECTED, Evidence, Expected, ExpectedTask
from workflow.harness.experiment import Run
from workflow.harness.faulty import Strike, digest_of
from workflow.harness.injection import Injected
from workflow.harness.kinds import KINDS
from workflow.harness.neighbours import value_of
from workflow.harness.oracle import Unjudged, beginning_of, last_attempt_of, told_of
from workflow.harness.order import taken_back, waits
from workflow.harness.scenario import Check, Scenario, Trial, of_batch

_ACTORS = "workflow.harness.actors."


# -- processes that the task started -------------------------------------------------------------------------------


def _had_a_process(command: str) -> Check:
    """The worst of the fault is a process that the task started: it must have been there."""

    def check(evidence: Evidence) -> Iterator[str]:
        if not any(one.command == command and one.worker for one in evidence.sightings):
            raise Unjudged(f"no process {command!r} of a task was ever seen")
        yield from ()

    return check


def _leaving(kind: str) -> Callable[[Path, random.Random], Trial]:
    """With a neighbour that outlasts it: what the end of the run kills says nothing about the end of the task."""
    outlasting = f"[tasks.long]\nmodule = {json.dumps(MODEL)}\nargs = [1, 2.4]\n"
    long = ExpectedTask(callback=CALLED, attempts=1, digest=digest_of(value_of(1)))
    batch = Batch([kind], timeout_s=1.0, grace_s=0.2, extra=outlasting, extra_tasks={"long": long})
    return of_batch(batch, checks={3: _had_a_process("sleep 1000")})


_PIPE_HELD = """
[tasks.shell]
shell = "sleep 1000 & echo returned"
timeout = 20

[tasks.cmd]
cmd = ["sh", "-c", "sleep 1000 & echo returned"]
timeout = 20

[tasks.taken]
cmd = ["test", "${tasks.shell.result}", "=", "${tasks.cmd.result}"]
"""
# Only where somebody takes its result is the output of a command a pipe of ours.
_TAKEN = ExpectedTask(callback=NOT_EXPECTED, attempts=1)
_LEFT_ONE = ExpectedTask(callback=NOT_EXPECTED, attempts=1, left=1)
_HELD = {"shell": _LEFT_ONE, "cmd": _LEFT_ONE, "taken": _TAKEN}


def _nobody_waited(evidence: Evidence) -> Iterator[str]:
    for id_ in ("hang_pipe_held", "shell", "cmd"):
        took_s = told_of(evidence, id_)["duration_s"]
        if took_s > 5:
            yield f"{id_} took {took_s:.1f} s: somebody waited for the end of output that is held open"


# -- a grace that delays nobody ------------------------------------------------------------------------------------

# The others stopped themselves: nobody but the warden can end them, and it must not be waiting for somebody else.
_STUBBORN = {"timeout_s": 0.6, "grace_s": 1.5}
_STAGGERED = Batch(
    ["hang.ignore_term"] * 2 + ["hang.stopped"] * 3,
    pool=4,
    changes={
        "hang_ignore_term": _STUBBORN,
        "hang_ignore_term_2": _STUBBORN,
        "hang_stopped": {"timeout_s": 0.8, "grace_s": 0.1},
        "hang_stopped_2": {"timeout_s": 1.0, "grace_s": 0.1},
        "hang_stopped_3": {"timeout_s": 0.9, "grace_s": 0.1},
    },
)


def _fell_into_the_grace(evidence: Evidence) -> Iterator[str]:
    """Others must have been due while a stubborn one had 0.6 s of its grace left: else it proves little."""
    due: dict[str, float] = {
        id_: beginning_of(evidence, id_).at_s + limits["timeout_s"] for id_, limits in _STAGGERED.changes.items()
    }
    stubborn = [(at, at + 1.5 - 0.6) for id_, at in due.items() if "ignore_term" in id_]
    others = [at for id_, at in due.items() if "ignore_term" not in id_]
    inside = sum(any(begin <= at <= end for begin, end in stubborn) for at in others)
    if inside < 2:
        raise Unjudged(f"only {inside} other limits were reached while a stubborn task had its grace")
    yield from ()


# -- the race with the limit ---------------------------------------------------------------------------------------

_RACERS = 1000
_RACE_S, _SPREAD_S = 0.012, 0.002


def _race(folder: Path, _draw: random.Random) -> Trial:
    file = folder / "pipeline.toml"
    file.write_text(
        '[pipeline]\npool = 4\npreload = ["traceback", "workflow.harness.actors", "workflow.harness.faulty"]\n\n'
        f"[tasks.race]\nmodule = {json.dumps(_ACTORS + 'Racer')}\n"
        f'args = ["${{matrix.n}}", {_RACE_S}, {_SPREAD_S}]\ngrace = 2\ntimeout = 60\n'
        f"matrix = {{ n = {{ range = [0, {2 * _RACERS}] }} }}\n",
        encoding="utf-8",
    )
    tasks, injected = {}, {}
    for number in range(2 * _RACERS):
        races = number % 2 == 0
        # A new worker may reach its limit while it still imports; its callback is then not called, and that is told.
        tasks[f"race@{number}"] = ExpectedTask(
            frozenset({"succeeded", "timed_out"} if races else {"succeeded"}),
            CALLED | {"failed"} if races else CALLED,
            timeout_s=_RACE_S if races else None,
            grace_s=2.0,
            attempts=1,
            digest=digest_of(value_of(number)),
        )
        if races:
            injected[f"race@{number}"] = Injected(timeout_s=_RACE_S)
    return Trial(
        Run((str(file),), injected=injected),
        Expected(tasks, frozenset({1}), longest_s=90),
        {2: _raced, 7: _called_but_for_imports},
    )


def _raced(evidence: Evidence) -> Iterator[str]:
    """A race that always ends alike is none; and who is said to have succeeded has returned."""
    outcomes = {id_: told["outcome"] for id_, told in evidence.tasks.items() if int(id_[5:]) % 2 == 0}
    for outcome in ("succeeded", "timed_out"):
        count = sum(one == outcome for one in outcomes.values())
        if count < _RACERS // 20:
            raise Unjudged(f"only {count} of {_RACERS} were {outcome}: that was no race")
    returned = {entry.task for entry in evidence.journal if entry.what == journal.ENDED}
    for id_, outcome in outcomes.items():
        if outcome == "succeeded" and id_ not in returned:
            yield f"{id_} is succeeded and never returned"


def _called_but_for_imports(evidence: Evidence) -> Iterator[str]:
    for id_ in evidence.tasks:
        error = last_attempt_of(evidence, id_)["error"] or {}
        imported = "while its module was imported" not in error.get("message", "")
        callback = told_of(evidence, id_)["callback"] or {}
        if imported and callback.get("outcome") != "succeeded":
            yield f"the callback of {id_} is {callback.get('outcome')}, although its module was imported"


# -- behind another ------------------------------------------------------------------------------------------------
#
# Five workers, and at first each is sent four tasks.  Four of the firsts hold their workers up, each in its own way.
# The fifth worker is busy for a while, and then free: at once, or after longer than those who wait may take.
#
# How long one of them waits while that worker is free is taken from the journal, that is from the tasks' own word.
# Under load such a wait holds time in which those who had to act, the dispatcher and the workers, stood ready and were
# given no processor.  The kernel counts that for each of them, and it is taken off: what is left is what the engine
# decided, with its timers, however slow the machine.

_START_S = 0.05
_HUNG = {0: "hang.sleep", 4: "hang.gil"}
_HOLDERS, _BUSY = (0, 4, 8, 12), 16
_CROWD = 40
_PLACES = {f"crowd@{number}": number for number in range(_CROWD)}


def _behind(held_s: float, busy_s: float, patience_s: float) -> Callable[[Path, random.Random], Trial]:
    """``patience_s`` is the limit of those who wait."""

    def prepare(folder: Path, _draw: random.Random) -> Trial:
        sleeping, holding = f'{{ "8" = {held_s}, "{_BUSY}" = {busy_s} }}', f'{{ "12" = {held_s} }}'
        file = folder / "pipeline.toml"
        file.write_text(
            f"[pipeline]\npool = 5\n\n[tasks.crowd]\nmodule = {json.dumps(_ACTORS + 'OneOfACrowd')}\n"
            f'args = ["${{matrix.n}}", {sleeping}, {holding}]\n'
            f"timeout = 20\ngrace = 0.2\nmatrix = {{ n = {{ range = [0, {_CROWD}] }} }}\n",
            encoding="utf-8",
        )
        tasks: dict[str, ExpectedTask] = {}
        injected: dict[str, Injected] = {}
        for id_, number in _PLACES.items():
            tasks[id_] = ExpectedTask(callback=CALLED, attempts=1, digest=digest_of(value_of(number)))
            if number in _HUNG:
                kind = _HUNG[number]
                injected[id_] = Injected((Strike(kind, None),), timeout_s=held_s)
                tasks[id_] = ExpectedTask(
                    frozenset({"timed_out"}), CALLED, (kind,), held_s, 0.2, attempts=1, stack=KINDS[kind].stack
                )
            elif number not in (*_HOLDERS, _BUSY):
                injected[id_] = Injected(timeout_s=patience_s)
        checks = {2: _waiting_did_not_count(held_s, busy_s, patience_s), 6: _started_elsewhere}
        return Trial(Run((str(file),), injected=injected), Expected(tasks, frozenset({1}), longest_s=60), checks)

    return prepare


def _waiting_did_not_count(held_s: float, busy_s: float, patience_s: float) -> Check:
    def check(evidence: Evidence) -> Iterator[str]:
        waited_s = []
        for number in _HOLDERS:
            holder = beginning_of(evidence, f"crowd@{number}")
            behind = [
                entry
                for entry in taken_back(evidence.journal, _PLACES)
                if number < _PLACES[entry.task] < number + 4
                and entry.pid != holder.pid
                and entry.at_s < holder.at_s + held_s
            ]
            if not behind:
                raise Unjudged(f"nobody stood behind {holder.task}")
            waited_s += [entry.at_s - holder.at_s for entry in behind]
            for entry in behind:
                took_s = last_attempt_of(evidence, entry.task)["duration_s"]
                if took_s > patience_s:
                    yield f"{entry.task} waited behind another, and is said to have taken {took_s:.2f} s"
        if busy_s > patience_s > max(waited_s):
            raise Unjudged(f"nobody waited for longer than his own limit, but {max(waited_s):.2f} s at most")

    return check


def _started_elsewhere(evidence: Evidence) -> Iterator[str]:
    dispatchers = {one.pid for one in evidence.sightings if one.role == "dispatcher"}
    for wait in waits(evidence.journal, _PLACES):
        acting = {wait.pid, *wait.free, *dispatchers}
        withheld = withheld_s(evidence.samples, acting, wait.since_s, wait.until_s)
        if wait.took_s - withheld > _START_S:
            yield (
                f"{wait.task} waited for {wait.took_s * 1000:.0f} ms while another worker was free; of that the "
                f"machine accounts for {withheld * 1000:.0f} ms"
            )


# -- in the queue --------------------------------------------------------------------------------------------------

_QUEUED = f"""
[tasks.long]
module = {json.dumps(MODEL)}
args = [1, 5]
timeout = 30

[tasks.queued]
module = {json.dumps(MODEL)}
args = ["${{matrix.n}}"]
timeout = 1
matrix = {{ n = {{ range = [0, 20] }} }}
"""
_IN_TIME = {f"queued@{n}": ExpectedTask(callback=CALLED, attempts=1, digest=digest_of(value_of(n))) for n in range(20)}


def _waited(evidence: Evidence) -> Iterator[str]:
    long_s = beginning_of(evidence, "long").at_s
    for id_ in _IN_TIME:
        if beginning_of(evidence, id_).at_s - long_s < 4.5:
            raise Unjudged(f"{id_} did not wait")
        took_s = last_attempt_of(evidence, id_)["duration_s"]
        if took_s > 1:
            yield f"{id_} is said to have taken {took_s:.1f} s: that was the queue"


# -- the dispatcher stands still -----------------------------------------------------------------------------------

_STOPPED_S = 3.0
_STANDSTILL = Batch(
    ["hang.sleep", "hang.gil", "hang.sleep"],
    pool=4,
    changes={
        "hang_sleep": {"timeout_s": 0.6},
        "hang_gil": {"timeout_s": 1.0},
        "hang_sleep_2": {"timeout_s": 1.4},
    },
    extra=f"[tasks.long]\nmodule = {json.dumps(MODEL)}\nargs = [1, 3.3]\ntimeout = 8\n",
    extra_tasks={"long": ExpectedTask(callback=CALLED, attempts=1, digest=digest_of(value_of(1)))},
)  # fmt: skip
_LATE = ("hang_sleep", "hang_gil", "hang_sleep_2")


def _stood_still(evidence: Evidence) -> Iterator[str]:
    """The limits must have been reached, and time have been left to the other, while nothing could be told."""
    stopped = [blow.at_s for blow in evidence.struck if blow.signal == "SIGSTOP"]
    continued = [blow.at_s for blow in evidence.struck if blow.signal == "SIGCONT"]
    if not stopped or not continued:
        raise Unjudged("the dispatcher was not stopped and continued")
    due = {id_: beginning_of(evidence, id_).at_s + _STANDSTILL.changes[id_]["timeout_s"] for id_ in _LATE}
    outside = [id_ for id_, at in due.items() if not stopped[0] < at < continued[0] - 1]
    if outside or not beginning_of(evidence, "long").at_s < stopped[0]:
        raise Unjudged(f"not everything was under way when the dispatcher was stopped: {outside}")
    for id_ in _LATE:
        pid = beginning_of(evidence, id_).pid
        if any(one.pid == pid and one.last_s > continued[0] for one in evidence.sightings):
            yield f"{id_} lived until the dispatcher was continued"


SCENARIOS = (
    Scenario(
        "hang.sleep",
        "a task sleeps for ever",
        "timed_out; the stack shows the sleeping line",
        of_batch(Batch(["hang.sleep"])),
        smoke=True,
    ),
    Scenario(
        "hang.gil",
        "a task holds the GIL in a C loop, another in a catastrophic regular expression",
        "timed_out, on time; the stack shows the line",
        of_batch(Batch(["hang.gil", "hang.regex"])),
        smoke=True,
    ),
    Scenario(
        "hang.ignore_term",
        "two tasks ignore and block every signal that asks; the limits of others fall into their grace of 1.5 s",
        "timed_out, with its stack; dead at timeout + grace, and nobody's end is delayed by it",
        of_batch(_STAGGERED, checks={3: _fell_into_the_grace}),
    ),
    Scenario(
        "hang.swallow",
        "a task swallows whatever is raised in it, in a loop; another returns a result when it is ended",
        "timed_out, whatever comes after the limit; dead at timeout + grace",
        of_batch(Batch(["hang.swallow", "hang.returns"])),
    ),
    Scenario(
        "hang.stopped",
        "a task stops itself with SIGSTOP",
        "timed_out; dead on time",
        of_batch(Batch(["hang.stopped"])),
    ),
    Scenario(
        "hang.grandchild",
        "a task waits for a process that it started and that does not end",
        "timed_out; both dead",
        _leaving("hang.grandchild"),
    ),
    Scenario(
        "hang.setsid",
        "the same, and that process has a session of its own",
        "timed_out; both dead",
        _leaving("hang.setsid"),
    ),
    Scenario(
        "hang.daemon",
        "the same, and that process was forked twice, has no parent that lives and no open output",
        "timed_out; both dead",
        _leaving("hang.daemon"),
    ),
    Scenario(
        "hang.pipe_held",
        "a Python task, a shell line and a command each leave a process that holds their output open",
        "succeeded at once: nothing waits for the end of that output; the process is counted and killed",
        of_batch(
            Batch(["hang.pipe_held"], extra=_PIPE_HELD, extra_tasks=_HELD),
            checks={4: _had_a_process("sleep 1000"), 5: _nobody_waited},
        ),
        smoke=True,
    ),
    Scenario(
        "hang.import",
        "the import of a task's module does not return",
        "timed_out; it says in which stage",
        of_batch(Batch(["hang.import"])),
    ),
    Scenario(
        "hang.init",
        "the constructor of a task's Model does not return",
        "timed_out; it says in which stage",
        of_batch(Batch(["hang.init"])),
    ),
    Scenario(
        "hang.pickle",
        "pickling a task's result, and unpickling another's arguments, does not return",
        "timed_out; it says in which stage",
        of_batch(Batch(["hang.pickle", "hang.unpickle"])),
    ),
    Scenario(
        "hang.deadline_race",
        "a thousand tasks return within 2 ms before or after their limit, each with another behind it",
        "one outcome each, succeeded or timed_out, with the callback that belongs to it; the next is safe",
        _race,
    ),
    Scenario(
        "hang.behind",
        "tasks were sent ahead to workers that are held up, by a hang or a slow task, with the GIL or without, and "
        "nobody else is free for longer than they may take",
        "each starts elsewhere within 50 ms of another worker being free; its wait counts for nothing",
        _behind(held_s=2.0, busy_s=1.1, patience_s=1.0),
    ),
    Scenario(
        "hang.behind.free",
        "the same, and somebody else is free at once",
        "the same",
        _behind(held_s=0.8, busy_s=0.1, patience_s=20.0),
    ),
    Scenario(
        "hang.queue",
        "tasks with a limit of 1 s wait for 5 s behind a long one, some of them in its worker's own queue",
        "succeeded: time counts from the start of the task",
        of_batch(
            Batch(neighbours=0, pool=1, extra=_QUEUED, extra_tasks={
                "long": ExpectedTask(callback=CALLED, attempts=1, digest=digest_of(value_of(1))), **_IN_TIME,
            }),
            checks={2: _waited}, longest_s=60.0,
        ),
    ),
    Scenario(
        "hang.dispatcher_stopped",
        "the dispatcher is stopped for 3 s, then continued, while tasks reach their limits and another has time left",
        "the limits are kept meanwhile; nobody with time left is killed",
        of_batch(
            _STANDSTILL,
            blows=[Blow("SIGSTOP", "dispatcher", When(task="long", delay_s=0.05), continue_after_s=_STOPPED_S)],
            checks={3: _stood_still},
        ),
    ),
)  # fmt: skip
