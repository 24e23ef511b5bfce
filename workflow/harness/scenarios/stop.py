"""The way out: signals to a run, what a run is piped into, and programs that leave without saying so."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from workflow.harness import journal
from workflow.harness.batch import CALLED, Batch
from workflow.harness.blows import Blow, When
from workflow.harness.evidence import NOT_EXPECTED, Evidence, Expected, ExpectedTask
from workflow.harness.experiment import Run
from workflow.harness.scenario import Check, Scenario, Trial, of_batch

NEIGHBOURS = "workflow.harness.neighbours"
CODES = {"SIGHUP": 129, "SIGINT": 130, "SIGTERM": 143}
NOTHING_MORE_S = 1.0
"""From the first signal on, what nothing more may begin after, on a slow machine."""
ENDED = ExpectedTask(frozenset({"succeeded", "cancelled"}), callback=CALLED | NOT_EXPECTED | {"failed"})
"""Of a task that may have ended before the run was; ended while its module is imported, it has nothing to call."""

# -- one signal ----------------------------------------------------------------------------------------------------

_TIDY = f'\n[tasks.tidy]\nmodule = "{NEIGHBOURS}.Tidy"\nargs = [0, 1000]\ntimeout = 2000\ngrace = 60\n'
_RUNNING = Batch(
    neighbours=400,
    neighbour_s=0.01,
    first=_TIDY,
    extra_tasks={"tidy": ExpectedTask(frozenset({"cancelled"}), callback=CALLED, attempts=1)},
)
"""One worker has a task that would run for long, another has one short task after the other."""
_STARTED = replace(_RUNNING, extra_tasks={"tidy": ENDED})
_STARTING = (When("handled", delay_s=0.2), When("made"), When("made", delay_s=0.1), When("engine", delay_s=0.1))
_PUSHING = Batch(neighbours=3500, neighbour_s=0.0)
_CALLING = Batch(["callback.hang"], neighbours=200, neighbour_s=0.01)
_AFTER = 8_000
"""Tasks that are skipped all at once: to tell of them takes long enough for a signal to come in between."""
_ENDING = Batch(
    ["crash.base_exception"],
    neighbours=0,
    extra='\n[tasks.after]\ncmd = ["true"]\nneeds = ["crash_base_exception"]\n'
    f"matrix = {{ n = {{ range = [0, {_AFTER}] }} }}\n",
    extra_tasks=dict.fromkeys(
        (f"after@{n}" for n in range(_AFTER)), ExpectedTask(frozenset({"skipped", "cancelled"}), NOT_EXPECTED)
    ),
)


def _of_signal(
    batch: Batch, signal: str, role: str, *whens: When, launcher: tuple[str, ...] = (), **more: object
) -> Callable[[Path, random.Random], Trial]:
    """A signal ends a run of this batch.  Of several moments one is drawn, and so is the role where it is empty."""

    def prepare(folder: Path, draw: random.Random) -> Trial:
        moment = draw.choice(whens)
        moment = moment._replace(delay_s=draw.uniform(0, moment.delay_s))
        blow = Blow(signal, role or draw.choice(("parent", "group")), moment)
        # Resumed, thousands would run in place of being skipped, and nothing more be learned.
        again = batch is _ENDING
        run = replace(batch.run(folder, [blow]), launcher=launcher, resumed_unhurt=not again)
        checks = {2: _starts_nothing_more, 7: _each_called, 8: _report_of(folder)}
        expected = _ended(batch, signal, **more)
        return Trial(run, replace(expected, succeeding=frozenset()) if again else expected, checks)

    return prepare


def _ended(batch: Batch, signal: str, **more: object) -> Expected:
    """What a run comes to that was ended by a signal."""
    whole = batch.expected()
    tasks = {
        id_: replace(task, outcomes=ENDED.outcomes, callback=ENDED.callback, attempts=None)
        if id_.startswith("good@")
        else task
        for id_, task in whole.tasks.items()
    }
    changes = {"exit_codes": frozenset({CODES[signal]}), "longest_s": 20.0, **more}
    return replace(whole, tasks=tasks, **changes)  # type: ignore[arg-type]


def _starts_nothing_more(evidence: Evidence) -> Iterator[str]:
    if evidence.struck:
        first_s = evidence.struck[0].at_s
        for entry in evidence.journal:
            if entry.what == journal.BEGAN and entry.at_s > first_s + NOTHING_MORE_S:
                yield f"{entry.task} was begun {entry.at_s - first_s:.2f} s after the signal"
    tidied = {entry.task for entry in evidence.journal if entry.what == journal.TIDIED}
    for entry in evidence.journal:
        if entry.what == journal.UNTIDY and entry.task not in tidied:
            yield f"{entry.task} was not let clean up"


def _each_called(evidence: Evidence) -> Iterator[str]:
    """Every task of these batches has both callbacks, so whatever began and was imported has to have had one."""
    for id_, task in evidence.tasks.items():
        if task["attempts"] and task["callback"] is None:
            yield f"{id_} began, and had no callback"
        elif task["attempts"] and task["callback"]["outcome"] == "failed":
            error = task["attempts"][-1]["error"]
            if error is None or "while its module was imported" not in error["message"]:
                yield f"the callback of {id_} failed: {task['callback']['error']}"


def _report_of(folder: Path) -> Check:
    def check(_evidence: Evidence) -> Iterator[str]:
        for run in (folder / "state" / "runs").glob("*"):
            if not (run / "report.json").exists():
                yield f"the folder of run {run.name} was left without a report"

    return check


def _signals() -> Iterator[Scenario]:
    running = When(journal.BEGAN, "tidy", delay_s=0.1)
    for signal, code in CODES.items():
        name = f"stop.{signal[3:].lower()}"
        again = f"the report is written, exit {code}, nothing left"
        yield Scenario(
            name,
            f"{signal} to the run's own process, while tasks run",
            f"nothing more starts, tasks clean up, {again}",
            _of_signal(_RUNNING, signal, "parent", running),
            smoke=signal == "SIGINT",
        )
        yield Scenario(
            f"{name}.group",
            f"{signal} to the run's process group, as a terminal sends it",
            f"nothing more starts, tasks clean up, {again}",
            _of_signal(_RUNNING, signal, "group", running),
        )
        yield Scenario(
            f"{name}.start",
            f"{signal} while the command starts",
            f"exit {code}; where there is a run already, its report is written; nothing left",
            _of_signal(_STARTED, signal, "", *_STARTING, report=False),
        )
        yield Scenario(
            f"{name}.push",
            f"{signal} while tasks are pushed",
            f"nothing more starts, {again}",
            _of_signal(_PUSHING, signal, "", When(journal.BEGAN)),
        )
        yield Scenario(
            f"{name}.callback",
            f"{signal} while a callback hangs",
            f"nothing more starts, the callback is given up at its limit, {again}",
            _of_signal(_CALLING, signal, "", When(journal.FIRED, "callback_hang")),
        )
        either = frozenset({1, code})
        yield Scenario(
            f"{name}.stop",
            f"{signal} when everything has ended and is being written down",
            f"exit {code} or that of the run, as the report says; nothing left",
            _of_signal(_ENDING, signal, "", When(journal.FIRED, delay_s=0.1), exit_codes=either),
        )
        yield Scenario(
            f"{name}.exit",
            f"{signal} when the report is written and the command about to leave",
            "the exit code that is in the report; nothing left",
            _of_signal(_ENDING, signal, "", When("reported"), exit_codes=either),
        )
    yield Scenario(
        "stop.int.ignored",
        "SIGINT to a run that was started with it ignored, as by `&`",
        "as otherwise",
        _of_signal(_RUNNING, "SIGINT", "parent", running, launcher=("sh", "-c", "trap '' INT; exec \"$@\"", "sh")),
    )
    yield Scenario(
        "stop.hup.ignored",
        "SIGHUP to a run that was started with it ignored, as by nohup",
        "as otherwise",
        _of_signal(_RUNNING, "SIGHUP", "parent", running, launcher=("sh", "-c", "trap '' HUP; exec \"$@\"", "sh")),
    )


# -- more than one -------------------------------------------------------------------------------------------------

_STUBBORN = Batch(["hang.ignore_term", "hang.setsid"], timeout_s=1000, grace_s=1000, neighbours=50, pool=3)
_AT = When(journal.FIRED, "hang_*", 2)
_AGAIN_S = 0.5
_KILLED_S = 2.0
"""How long after the second signal something may live, on a slow machine."""


def _of_signals(*signals: str, third: bool = False) -> Callable[[Path, random.Random], Trial]:
    """The first at once, the others a while after it."""

    def prepare(folder: Path, _draw: random.Random) -> Trial:
        blows = [
            Blow(signal, "parent", _AT._replace(delay_s=_AGAIN_S if number else 0.1))
            for number, signal in enumerate(signals)
        ]
        whole = _ended(_STUBBORN, signals[2] if third else signals[0], report=not third)
        tasks = {
            id_: task
            if id_.startswith("good@")
            else replace(task, outcomes=frozenset({"cancelled"}), callback=CALLED, stack="")
            for id_, task in whole.tasks.items()
        }
        expected = replace(whole, tasks=tasks)
        checks: Mapping[int, Check] = {3: _killed_by_the_second, 7: _each_called}
        return Trial(_STUBBORN.run(folder, blows), expected, checks)

    return prepare


def _killed_by_the_second(evidence: Evidence) -> Iterator[str]:
    """The first leaves them their grace, which is long; the second does not."""
    began = {entry.pid: entry.task for entry in evidence.journal if entry.what == journal.FIRED}
    second_s = evidence.struck[1].at_s if len(evidence.struck) > 1 else evidence.ended_s
    for one in evidence.sightings:
        if began.get(one.pid) == "hang_ignore_term" and one.last_s < second_s - 0.1:
            yield f"{one.role} {one.pid} was killed by the first signal"
        if one.worker in began and one.last_s > second_s + _KILLED_S:
            late_s = one.last_s - second_s
            yield f"{one.role} {one.pid} ({one.command}) was alive {late_s:.2f} s after the second signal"


_MORE = (
    Scenario(
        "stop.twice",
        "SIGINT, and again while tasks that ignore SIGTERM have their grace",
        "they are killed now, the report is written, exit 130",
        _of_signals("SIGINT", "SIGINT"),
    ),
    Scenario(
        "stop.twice.mixed",
        "SIGTERM, then SIGHUP while tasks that ignore SIGTERM have their grace",
        "they are killed now, the report is written, exit 143",
        _of_signals("SIGTERM", "SIGHUP"),
    ),
    Scenario(
        "stop.thrice",
        "SIGTERM, SIGHUP and SIGINT",
        "the third ends the run at once: exit 130; nothing is left alive",
        # The last two in one instant, for the second alone would end the run; in this order also for the kernel.
        _of_signals("SIGTERM", "SIGHUP", "SIGINT", third=True),
    ),
)

# -- programs ------------------------------------------------------------------------------------------------------

PROGRAM = """\
import gc, os, signal, sys, threading, time
from workflow import InfoTask
from workflow.harness import journal
from workflow.harness.program import make_engine

def push(mp, model, tasks, seconds):
    return [mp.push(InfoTask("workflow.harness.neighbours." + model, 60, n, seconds, id=f"good@{n}", grace=0.5))
            for n in range(tasks)]

def main():
    mp = make_engine(POOL)
    mp.start()
BODY

if __name__ == "__main__":
    main()
"""
"""Of which the body is told."""


def program(
    body: str, *, pool: int = 2, tasks: Mapping[str, ExpectedTask] | None = None, blows: tuple[Blow, ...] = (),
    checks: Mapping[int, Check] | None = None, **more: object,
) -> Callable[[Path, random.Random], Trial]:  # fmt: skip
    """A program of its own with this body; ``tasks`` are those of twelve neighbours unless it is said otherwise."""
    known = dict(Batch(neighbours=12).expected().tasks) if tasks is None else tasks

    def prepare(folder: Path, _draw: random.Random) -> Trial:
        text = "".join(f"    {line}\n" for line in body.strip().splitlines())
        script = folder / "program.py"
        script.write_text(PROGRAM.replace("POOL", str(pool)).replace("BODY\n", text), encoding="utf-8")
        run = Run((str(script),), program=True, blows=blows)
        return Trial(run, replace(Expected(known, longest_s=30.0), **more), checks or {})  # type: ignore[arg-type]

    return prepare


def _stops_within(limit_s: float) -> Check:
    def check(evidence: Evidence) -> Iterator[str]:
        at_s = {entry.what: entry.at_s for entry in evidence.journal}
        if not {journal.STOPPING, journal.STOPPED} <= at_s.keys():
            yield "stop() was not called, or did not return"
        elif (took_s := at_s[journal.STOPPED] - at_s[journal.STOPPING]) > limit_s:
            yield f"stop() took {took_s:.1f} s, more than {limit_s:g} s"

    return check


def _ends_within(limit_s: float) -> Check:
    def check(evidence: Evidence) -> Iterator[str]:
        if evidence.struck and evidence.ended_s - evidence.struck[0].at_s > limit_s:
            yield f"it took {evidence.ended_s - evidence.struck[0].at_s:.1f} s to end, more than {limit_s:g} s"

    return check


_STOP = """
journal.note(journal.STOPPING, "", 0)
mp.stop({timeout})
journal.note(journal.STOPPED, "", 0)
"""
_RAISING = ExpectedTask(frozenset({"failed"}), callback=CALLED, attempts=1, error="ValueError", traceback="runnable")
_BULKY = Batch(
    neighbours=0,
    pool=4,
    extra=f'\n[tasks.good]\nmodule = "{NEIGHBOURS}.Bulky"\n'
    'args = ["${matrix.n}"]\nmatrix = { n = { range = [0, 8] } }\n',
    extra_tasks={f"good@{n}": ENDED for n in range(8)},
)

_DRAIN = (
    Scenario(
        "stop.drain",
        "stop() while 32 workers have tasks that all raise",
        "every task failed with its own error, and stop() returns in under 5 s",
        program(
            'push(mp, "Raising", 200, 0.05)\n' + _STOP.format(timeout=""),
            pool=32,
            tasks={f"good@{n}": _RAISING for n in range(200)},
            checks={5: _stops_within(5)},
        ),
    ),
    Scenario(
        "stop.drain.results",
        "stop(0) while four workers write results of 50 MB",
        "what was not there is cancelled, and stop() returns in under 5 s",
        program(
            'first = push(mp, "Bulky", 4, 0)[0]\nfirst.exception()\n' + _STOP.format(timeout="0"),
            pool=4,
            tasks=dict.fromkeys(
                (f"good@{n}" for n in range(4)),
                replace(ENDED, callback=CALLED | NOT_EXPECTED | {"timed_out"}),  # given up a second later
            ),
            checks={5: _stops_within(5)},
        ),
    ),
    Scenario(
        "stop.drain.signal",
        "SIGTERM while four workers write results of 50 MB",
        "the run ends in under 5 s, with exit 143 and its report",
        of_batch(
            _BULKY,
            blows=[Blow("SIGTERM", "parent", When(journal.ENDED))],
            checks={5: _ends_within(5)},
            exit_codes=frozenset({143}),
        ),
    ),
)

_PUSH = 'handles = push(mp, "Neighbour", 12, 0.05)\n'
_SURVIVOR_S = 3


def _gone_before_the_child(evidence: Evidence) -> Iterator[str]:
    """The engine must not wait for the end of a child of the program's that has inherited its channels."""
    root = next(one.pid for one in evidence.sightings if one.role == "parent")
    child = [one for one in evidence.sightings if one.role == "task" and not one.worker and one.parent == root]
    if not child:
        yield "the forked child was not seen"
    for one in evidence.sightings:
        if one.role not in ("parent", "task") and child and one.last_s > child[0].last_s - 0.2:
            yield f"{one.role} {one.pid} lived until the forked child had ended"


_EXIT = (
    Scenario(
        "stop.exit",
        "a program ends without stop()",
        "what was pushed is completed; nothing left",
        program(_PUSH),
        smoke=True,
    ),
    Scenario(
        "stop.exit.raise",
        "a program raises without stop()",
        "what was pushed is completed; its own traceback, exit 1; nothing left",
        program(
            _PUSH + 'raise ValueError("its own")', exit_codes=frozenset({1}), tracebacks=1, says="ValueError: its own"
        ),
    ),
    Scenario(
        "stop.exit.collected",
        "a program lets go of its pool and goes on",
        "what was pushed is completed, and the engine ends although the program does not",
        program(
            _PUSH
            + """
del mp
gc.collect()
results = [handle.result() for handle in handles]
until = time.monotonic() + 10
while open(f"/proc/self/task/{os.getpid()}/children").read():
    if time.monotonic() > until:
        sys.exit("the engine did not end")
    time.sleep(0.01)
"""
        ),
    ),
    Scenario(
        "stop.exit.fork",
        "a program forks after start, and the child ends first",
        "the child does nothing to the pool of its parent, which is completed",
        program(_PUSH + "if os.fork() == 0:\n    sys.exit(0)\nos.wait()"),
    ),
    Scenario(
        "stop.exit.fork_lives",
        "a program forks after start, ends, and its child lives on",
        "the engine ends with the program, and does not wait for the child",
        program(
            _PUSH + f"if os.fork() == 0:\n    time.sleep({_SURVIVOR_S})\n    os._exit(0)",
            checks={4: _gone_before_the_child},
            gone_s=10.0,
        ),
    ),
    Scenario(
        "stop.exit.os_exit",
        "a program calls os._exit(3) while its tasks run",
        "exit 3; nothing left",
        program(_PUSH + "handles[0].result()\nos._exit(3)", exit_codes=frozenset({3}), report=False),
    ),
    Scenario(
        "stop.exit.thread",
        "a thread of a program pushes tasks and calls sys.exit(5)",
        "only the thread ends; what was pushed is completed, exit 0",
        program(
            """
def work():
    push(mp, "Neighbour", 12, 0.05)
    sys.exit(5)
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""
        ),
    ),
    Scenario(
        "stop.exit.interrupt",
        "Ctrl-C while a program waits in stop()",
        "what runs is killed and cancelled; its own KeyboardInterrupt; nothing left",
        program(
            # Whoever started us may have had it ignored.
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            'push(mp, "Neighbour", 12, 30)\n' + _STOP.format(timeout=""),
            tasks=dict.fromkeys((f"good@{n}" for n in range(12)), replace(ENDED, outcomes=frozenset({"cancelled"}))),
            blows=(Blow("SIGINT", "group", When(journal.STOPPING, delay_s=0.5)),),
            checks={5: _ends_within(5)},
            exit_codes=frozenset({-2}),
            tracebacks=1,
            says="KeyboardInterrupt",
        ),
    ),
    Scenario(
        "stop.exit.term",
        "SIGTERM, which a program does not handle, while its tasks run",
        "it dies of the signal; nothing left",
        program(
            'push(mp, "Neighbour", 12, 0.5)\nmp.stop()',
            blows=(Blow("SIGTERM", "group", When(journal.BEGAN, count=3)),),
            exit_codes=frozenset({-15}),
            report=False,
        ),
    ),
)

# -- pipes ---------------------------------------------------------------------------------------------------------

_PIPED = Batch(neighbours=60, neighbour_s=0.01)
_CANCELLED = dict.fromkeys(_PIPED.expected().tasks, ENDED)
_TO_HEAD = '{ "$@"; echo $? > code; } | head -1; exit "$(cat code)"'
_TO_NOBODY = '{ "$@" 2>&1; echo $? > code; } | true; exit "$(cat code)"'


def _of_shell(line: str, *arguments: str, **more: object) -> Callable[[Path, random.Random], Trial]:
    """The run as the command "$@" in a line of the shell."""

    def prepare(folder: Path, _draw: random.Random) -> Trial:
        run = _PIPED.run(folder)
        run = replace(run, arguments=(*run.arguments, *arguments), launcher=("sh", "-c", line, "sh"))
        return Trial(run, _PIPED.expected(**more), {5: _no_traceback})

    return prepare


def _no_traceback(evidence: Evidence) -> Iterator[str]:
    for name, text in (("stdout", evidence.stdout), ("stderr", evidence.stderr)):
        for sign in ("Traceback", "Exception ignored", "Broken pipe"):
            if sign in text:
                yield f"{sign!r} is on {name}"


def _one_line(evidence: Evidence) -> Iterator[str]:
    lines = evidence.stdout.splitlines()
    if len(lines) != 1 or json.loads(lines[0])["event"] != "run_started":
        yield f"head got {len(lines)} lines"


_PIPE = (
    Scenario(
        "stop.pipe",
        "`workflow run --events - | head -1`",
        "the run completes; no complaint",
        _of_shell(_TO_HEAD, "--events", "-"),
        smoke=True,
    ),
    Scenario(
        "stop.pipe.stderr",
        "whoever reads standard output and error leaves at once",
        "the run completes",
        _of_shell(_TO_NOBODY),
    ),
    Scenario(
        "stop.pipe.no_stdout",
        "started with standard output closed, and told to write its events there",
        "the run completes; nothing of it goes elsewhere",
        _of_shell('exec "$@" >&-', "--events", "-"),
    ),
    Scenario(
        "stop.pipe.no_stderr",
        "started with standard error closed",
        "the run completes; nothing of it goes elsewhere",
        _of_shell('exec "$@" 2>&-'),
    ),
    Scenario(
        "stop.pipe.full",
        "the events go to a standard output that takes nothing",
        "exit 4, with a reason that names it",
        _of_shell(
            'exec "$@" >/dev/full',
            "--events",
            "-",
            tasks=_CANCELLED,
            exit_codes=frozenset({4}),
            says="cannot write to standard output",
        ),
    ),
)

SCENARIOS = (*_signals(), *_MORE, *_DRAIN, *_PIPE, *_EXIT)
