"""What passes through the engine is large, cannot pass, never ends, or is more than it can take."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random

from workflow.harness import backlog, journal
from workflow.harness.batch import CALLED, Batch
from workflow.harness.blows import Blow, When
from workflow.harness.evidence import Evidence, Expected, ExpectedTask
from workflow.harness.experiment import Run
from workflow.harness.faulty import digest_of
from workflow.harness.injection import Injected
from workflow.harness.oracle import Unjudged
from workflow.harness.payloads import sized
from workflow.harness.scenario import Scenario, Trial, of_batch

_KiB, _MiB, _MB = 1 << 10, 1 << 20, 10**6
_PAGE, _INLINE = 4 * _KiB, 64 * _KiB
"""About here a payload changes the way it is sent, and from the second on goes in a file."""
_SIZED, _SIZE_OF = "workflow.harness.payloads:sized", "workflow.harness.payloads:size_of"
_BARE = Injected(bare=True)


def _returns(size: int) -> ExpectedTask:
    return ExpectedTask(attempts=1, digest=digest_of(sized(size)))


# -- huge ----------------------------------------------------------------------------------------------------------


def _huge() -> Scenario:
    size = 1000 * _MB
    return Scenario(
        "payload.huge",
        "a task returns 1 GB",
        "it arrives, whole, in its callback; the others run meanwhile",
        of_batch(
            Batch(
                extra=f'[tasks.huge]\nmodule = "workflow.harness.payloads.Huge"\nargs = [{size}]\n',
                extra_tasks={"huge": ExpectedTask(attempts=1)},
                extra_injected={"huge": _BARE},
            ),
            checks={7: lambda evidence: _arrived(evidence, size)},
            longest_s=120.0,
        ),
    )


def _arrived(evidence: Evidence, size: int) -> Iterator[str]:
    callback = evidence.tasks["huge"]["callback"] if "huge" in evidence.tasks else None
    if callback is None or callback["outcome"] != "succeeded":
        yield f"the callback of huge is told as {callback}"
    noted = [entry.task for entry in evidence.journal if entry.what == journal.CALLBACK]
    if noted.count(f"{size} bytes") != 1:
        yield f"no callback got {size} bytes, once"


def _limited() -> Scenario:
    limit = _MiB
    over = ExpectedTask(frozenset({"failed"}), attempts=1, error="ValueError", says=f"more than max_result = {limit}")
    fits = limit - 100  # the pickle adds some
    return Scenario(
        "payload.huge.limit",
        "a result is over the declared max_result, one is just below it, one is over it by a byte",
        "a clear error with both sizes; the one that fits arrives",
        of_batch(
            Batch(
                settings={"max_result": limit},
                extra="".join(
                    f'[tasks.{id_}]\ncall = "{_SIZED}"\nargs = [{size}]\n'
                    for id_, size in (("over", 2 * limit), ("just_over", limit), ("fits", fits))
                ),
                extra_tasks={"over": over, "just_over": over, "fits": _returns(fits)},
            )
        ),
        smoke=True,
    )


def _renewed() -> Scenario:
    size, count = 10 * _MB, 8
    return Scenario(
        "payload.huge.renewed",
        "results of 10 MB from workers that are renewed for each attempt",
        "all arrive, in order; the workers are replaced",
        of_batch(
            Batch(
                extra=f'[tasks.part]\ncall = "{_SIZED}"\nargs = [{size}]\nisolate = true\n'
                f"matrix = {{ n = {{ range = [0, {count}] }} }}\n"
                f'[tasks.whole]\ncall = "{_SIZE_OF}"\nargs = ["${{tasks.part.results}}"]\n',
                extra_tasks={
                    **{f"part@{number}": _returns(size) for number in range(count)},
                    "whole": ExpectedTask(attempts=1, digest=digest_of(size * count)),
                },
            ),
            longest_s=60.0,
        ),
    )


# -- killed midway -------------------------------------------------------------------------------------------------


def _killed_writing() -> Scenario:
    sizes = [size * _MiB for size in (32, 128, 256, 256)]
    killed = ExpectedTask(frozenset({"crashed"}), attempts=1, signal="SIGKILL", error="TaskCrashed")
    return Scenario(
        "payload.killed_midway",
        "workers are killed when half of a result of 32 to 256 MiB is written",
        "crashed, that task alone; nobody waits for the rest of the message",
        of_batch(
            Batch(
                extra="".join(
                    f'[tasks.large{number}]\nmodule = "workflow.harness.payloads.HalfWritten"\nargs = [{size}]\n'
                    for number, size in enumerate(sizes)
                ),
                extra_tasks={f"large{number}": killed for number in range(len(sizes))},
                extra_injected={f"large{number}": _BARE for number in range(len(sizes))},
            ),
            longest_s=60.0,
        ),
    )


def _killed_at_the_edges(folder: Path, draw: Random) -> Trial:
    """Before, or behind, one of the answers that go another way than those a little smaller or larger."""
    sizes = [edge + step for edge in (_PAGE, _INLINE) for step in (-200, -100, -80, -60, -40, -1, 1)]
    rounds = 4
    ids = [f"near@{n}-{size}" for n in range(rounds) for size in sizes]
    batch = Batch(
        neighbours=0,
        extra=f'[tasks.near]\ncall = "{_SIZED}"\nargs = ["${{matrix.size}}"]\n'
        f"matrix = {{ n = {{ range = [0, {rounds}] }}, size = {sizes} }}\n",
        extra_tasks={f"near@{n}-{size}": _returns(size) for n in range(rounds) for size in sizes},
    )
    point = f"{draw.choice(('worker.answering', 'worker.answered'))}:kill:{draw.randint(1, len(ids) // 3)}"
    return Trial(batch.run(folder, point=point), batch.expected(longest_s=60.0), {2: _point_fired}, forgiving=True)


def _point_fired(evidence: Evidence) -> Iterator[str]:
    if evidence.point is None:
        raise Unjudged("the point was not reached")
    yield from ()


def _killed_reading(folder: Path, draw: Random) -> Trial:
    """Large arguments are on their way from the parent to the dispatcher, and from there to workers."""
    size = 48 * _MiB
    near = [_INLINE - 60, _INLINE + 1]
    reading = {f"reads@{number}": size for number in range(6)}
    extra = (
        f'[tasks.source]\ncall = "{_SIZED}"\nargs = [{size}]\n'
        f'[tasks.reads]\ncall = "{_SIZE_OF}"\nargs = ["${{tasks.source.result}}"]\n'
        f"matrix = {{ n = {{ range = [0, {len(reading)}] }} }}\n"
    )
    tasks = {"source": _returns(size)}
    for index, small in enumerate(near):
        extra += (
            f'[tasks.near{index}]\ncall = "{_SIZED}"\nargs = [{small}]\n'
            f'[tasks.reads_near{index}]\ncall = "{_SIZE_OF}"\nargs = ["${{tasks.near{index}.result}}"]\n'
            f"matrix = {{ n = {{ range = [0, 100] }} }}\n"
        )
        tasks[f"near{index}"] = _returns(small)
        reading.update({f"reads_near{index}@{number}": small for number in range(100)})
    for id_, length in reading.items():
        tasks[id_] = ExpectedTask(attempts=1, digest=digest_of(length))
    batch = Batch(neighbours=0, extra=extra, extra_tasks=tasks)
    # When the first is read, most of the others are still to be sent: the parent stands in the middle of one.
    blows = [
        Blow("SIGSTOP", "dispatcher", When("began", "reads@*")),
        Blow("SIGKILL", "dispatcher", When("began", "reads@*", 1, 0.15)),
        *(
            Blow("SIGKILL", "worker", When("began", "reads@*", count, draw.uniform(0, 0.05)), pick=draw.random())
            for count in (2, 4)
        ),
    ]
    return Trial(batch.run(folder, blows), batch.expected(longest_s=90.0), forgiving=True)


# -- unpicklable ---------------------------------------------------------------------------------------------------


def _unpicklable() -> Scenario:
    kinds = [f"payload.unpicklable{which}" for which in ("", ".lock", ".file", ".generator")]
    return Scenario(
        "payload.unpicklable",
        "results that are a lambda, a lock, an open file, a generator",
        "failed; says what the result is and why it cannot travel",
        of_batch(Batch(kinds, calls=kinds)),
        smoke=True,
    )


# -- flood ---------------------------------------------------------------------------------------------------------

_MAX_LOG = _MiB
_FLOODS: Mapping[str, tuple[str, bool]] = {
    "binary": ("binary", False),
    "nul": ("nul", False),
    "endless": ("endless", True),
    "control": ("control", True),
    "mixed": ("binary", True),
}
_STEERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def _flood(id_: str, size: int, *options: str) -> Scenario:
    """The first of them prints most."""

    def prepare(folder: Path, _draw: Random) -> Trial:
        lines = [
            f'[tasks.{name}]\nmodule = "workflow.harness.payloads.Flood"\n'
            f'args = ["{garbage}", {size if name == "binary" else size // 50}]\n'
            f"kwargs = {{ fails = {json.dumps(fails)} }}\n"
            for name, (garbage, fails) in _FLOODS.items()
        ]
        lines.append(f'[tasks.shell]\nshell = "yes | head -c {size // 10}"\n')
        failed = ExpectedTask(frozenset({"failed"}), CALLED, error="workflow.harness.victims.Harm", attempts=1)
        tasks = {
            name: failed if fails else ExpectedTask(callback=CALLED, attempts=1, digest=digest_of("said"))
            for name, (_, fails) in _FLOODS.items()
        }
        tasks["shell"] = ExpectedTask(attempts=1)
        batch = Batch(settings={"max_log": _MAX_LOG}, extra="\n".join(lines), extra_tasks=tasks)
        run = batch.run(folder)
        state = folder / "state"
        return Trial(
            Run((*run.arguments, *options), injected=run.injected),
            batch.expected(longest_s=90.0),
            {
                4: lambda _evidence: _logs_are_capped(state / "latest"),
                8: lambda evidence: _is_readable(evidence, state),
            },
        )

    return Scenario(
        id_,
        f"tasks print {size // _MB} MB, invalid UTF-8, NULs, control sequences, lines without end, also as they fail",
        "logs are capped as configured; nothing steers the terminal; report and events are valid",
        prepare,
    )


def _logs_are_capped(run: Path) -> Iterator[str]:
    for log in sorted((run / "logs").iterdir()):
        # A callback prints behind its task; an error, and how much was cut, are told in a few lines.
        if log.stat().st_size > 2 * _MAX_LOG + 16 * _KiB:
            yield f"{log.name} takes {log.stat().st_size} bytes, with max_log = {_MAX_LOG}"
        elif log.stat().st_size < _MAX_LOG // 2:
            yield f"of {log.name} only {log.stat().st_size} bytes are left"
    used = sum(path.stat().st_blocks * 512 for path in run.rglob("*"))
    if used > 20 * _MAX_LOG:
        yield f"the folder of the run takes {used} bytes"


def _is_readable(evidence: Evidence, state: Path) -> Iterator[str]:
    for name, text in (
        ("stderr", evidence.stderr),
        ("report.json", (state / "latest" / "report.json").read_text(encoding="utf-8")),
        ("events.jsonl", (state / "latest" / "events.jsonl").read_text(encoding="utf-8")),
    ):
        steering = _STEERS.search(text)
        if steering:
            around = text[max(0, steering.start() - 40) : steering.start() + 40]
            yield f"{name} has control characters in it: {around!r}"


# -- backlog -------------------------------------------------------------------------------------------------------

_BYTES_EACH_MAX = 1500
"""What the parent may need for a task that pends, its handle and a place in the program's own list included."""


def _backlog(id_: str, count: int) -> Scenario:
    def prepare(_folder: Path, _draw: Random) -> Trial:
        run = Run(
            ("-m", backlog.__name__, str(count)),
            program=True,
            blows=[
                Blow("SIGSTOP", "dispatcher", When(backlog.READY)),
                Blow("SIGCONT", "dispatcher", When(backlog.PUSHED)),
            ],
            environment={"PYTHONPATH": ":".join(path for path in sys.path if path)},
        )
        return Trial(
            run,
            Expected({}, longest_s=60.0 + count / 3000, report=False),
            {2: lambda found: _all_came_back(found, count)},
        )

    return Scenario(
        id_,
        f"{count:,} tasks are pushed while the dispatcher is stopped",
        f"push never blocks; the parent needs at most {_BYTES_EACH_MAX} bytes for each; all of them come back",
        prepare,
    )


def _all_came_back(evidence: Evidence, count: int) -> Iterator[str]:
    try:
        told = json.loads(evidence.stdout)
    except ValueError:
        yield f"the program did not tell how it went, but {evidence.stdout[-200:]!r}"
        return
    if not told["stopped"]:
        raise Unjudged("the dispatcher was never seen stopped")
    if told["right"] != count:
        yield f"{told['right']} of {count} results were right"
    if told["bytes_each"] > _BYTES_EACH_MAX:
        yield f"a task that pends takes {told['bytes_each']:.0f} bytes of the parent"


SCENARIOS = (
    _huge(),
    _limited(),
    _renewed(),
    _killed_writing(),
    Scenario(
        "payload.killed_midway.inline",
        "a worker is killed when a result is ready or sent, of a size about which it changes the way it is sent",
        "at most that task is crashed; nobody waits for the rest of the message; all others arrive",
        _killed_at_the_edges,
    ),
    Scenario(
        "payload.killed_midway.arguments",
        "workers and the dispatcher are killed while large arguments are sent to them",
        "a worker costs one task, the dispatcher none; nobody waits for the rest of the message",
        _killed_reading,
    ),
    _unpicklable(),
    _flood("payload.flood", 1000 * _MB),
    _flood("payload.flood.verbose", 200 * _MB, "-v"),
    _backlog("payload.backlog", 1_000_000),
    _backlog("payload.backlog.quick", 50_000),
)
