"""The world around a run: limits, disks, folders, other runs, what tasks start themselves, and the file it reads."""

from __future__ import annotations

import json
import random
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from workflow.harness import journal
from workflow.harness.batch import CALLED, Batch
from workflow.harness.blows import Blow, When
from workflow.harness.children import WAYS
from workflow.harness.evidence import NOT_EXPECTED, Evidence, Expected, ExpectedTask
from workflow.harness.experiment import Run
from workflow.harness.faulty import digest_of
from workflow.harness.mutations import mutated
from workflow.harness.neighbours import value_of
from workflow.harness.scenario import Check, Scenario, Trial
from workflow.harness.scenarios.stop import NEIGHBOURS, program
from workflow.harness.surroundings import Launcher, in_namespaces, limited, mounting, with_processes

Prepare = Callable[[Path, random.Random], Trial]
ENDED = ExpectedTask(frozenset({"succeeded", "cancelled"}), callback=CALLED | NOT_EXPECTED | {"crashed"})
"""Of a task whose engine may fail."""


def _neighbours(count: int, task: ExpectedTask) -> dict[str, ExpectedTask]:
    return {f"good@{number}": task for number in range(count)}


def _all_or_broken(*reasons: str) -> Check:
    """Either everything succeeded, or it is said why nothing could; never something in between."""

    def check(evidence: Evidence) -> Iterator[str]:
        if evidence.exit_code == 0:
            for id_, task in evidence.tasks.items():
                if task["outcome"] != "succeeded":
                    yield f"{id_} is {task['outcome']}, and the exit code 0"
        elif not any(reason in evidence.stderr for reason in reasons):
            yield f"it says none of {', '.join(map(repr, reasons))} on stderr: {evidence.stderr[-300:]!r}"

    return check


def _no_traceback(evidence: Evidence) -> Iterator[str]:
    for name, text in (("stdout", evidence.stdout), ("stderr", evidence.stderr)):
        for sign in ("Traceback", "Exception ignored", "a mistake in workflow itself"):
            if sign in text:
                yield f"{sign!r} is on {name}: {text[-300:]!r}"


def _each(*checks: Check) -> Check:
    def check(evidence: Evidence) -> Iterator[str]:
        for one in checks:
            yield from one(evidence)

    return check


# -- limits --------------------------------------------------------------------------------------------------------

_NO_ROOM = ("open files", "descriptor")


def _with_limit(pool: int, launcher: Callable[[Path, random.Random], Launcher], *reasons: str) -> Prepare:
    batch = Batch(neighbours=40, neighbour_s=0.002, pool=pool)
    expected = batch.expected(tasks=_neighbours(40, ENDED), exit_codes=frozenset({0, 4}), report=False, longest_s=40.0)

    def prepare(folder: Path, draw: random.Random) -> Trial:
        run = batch.run(folder)
        run = replace(run, launcher=launcher(folder, draw))
        return Trial(run, expected, {2: _all_or_broken(*reasons), 5: _no_traceback})

    return prepare


_LIMITS = (
    Scenario(
        "place.fds",
        "a limit of 64 descriptors",
        "everything succeeds, or exit 4 with a clear reason; nothing left",
        _with_limit(2, lambda _folder, _draw: limited("RLIMIT_NOFILE", 64), *_NO_ROOM),
        smoke=True,
    ),
    Scenario(
        "place.fds.wide",
        "a limit of 64 descriptors, and a pool of 32",
        "everything succeeds, or exit 4 with a clear reason; nothing left",
        _with_limit(32, lambda _folder, _draw: limited("RLIMIT_NOFILE", 64), *_NO_ROOM),
    ),
    Scenario(
        "place.fds.few",
        "a limit of 8 to 32 descriptors, as drawn",
        "everything succeeds, or exit 4 with a clear reason; nothing left",
        _with_limit(2, lambda _folder, draw: limited("RLIMIT_NOFILE", draw.randint(8, 32)), *_NO_ROOM),
    ),
    Scenario(
        "place.procs",
        "a limit of 2 to 14 processes and threads, as drawn: fork fails with EAGAIN",
        "everything succeeds, or exit 4 with a clear reason; nothing left",
        _with_limit(4, lambda folder, draw: with_processes(draw.randint(2, 14), folder, draw), "process", "thread"),
    ),
)

# -- disks ---------------------------------------------------------------------------------------------------------

_MANY = Batch(neighbours=400, neighbour_s=0.002)
_FILE_BYTES = 90_000
"""Which the ledger reaches with a part of them, and a report of all of them passes."""
_DISK_BYTES = 300_000
"""Of which the ledger takes a half to begin with."""
_FINISHED = re.compile(r"^\[ *\d+/\d+\] (succeeded|cancelled) .*?(good@\d+)", re.MULTILINE)


def _full(folder: Path, launcher: Launcher, *arguments: str) -> Trial:
    run = _MANY.run(folder)
    run = replace(run, arguments=(*run.arguments, *arguments, "-v"), launcher=launcher)
    expected = _MANY.expected(
        tasks=_neighbours(_MANY.neighbours, ENDED), exit_codes=frozenset({4}), report=False, says="cannot write "
    )
    checks: Mapping[int, Check] = {4: _no_half(folder), 5: _each(_no_traceback, _names_file), 8: _announced_is_written}
    return Trial(run, expected, checks)


def _names_file(evidence: Evidence) -> Iterator[str]:
    if not re.search(r"cannot write \S*/(events\.jsonl|report\.json|runs\.db|logs/\S+)", evidence.stderr):
        yield f"it names no file: {evidence.stderr[-300:]!r}"


def _announced_is_written(evidence: Evidence) -> Iterator[str]:
    """What the console said before the disk was full is in the events; that the ledger has it, resuming shows."""
    before, said, _ = evidence.stderr.partition("ending: ")
    announced = {match.group(2): match.group(1) for match in _FINISHED.finditer(before)}
    if not said or not announced:
        yield "nothing was announced, or the disk was never full"
    told = {event["task"]: event["outcome"] for event in evidence.events or () if event["event"] == "task_finished"}
    for task, outcome in announced.items():
        if told.get(task) != outcome:
            yield f"{task} was announced as {outcome}, and events.jsonl says {told.get(task)}"


_OF_A_RUN = frozenset({"events.jsonl", "graph.json", "lock", "logs", "manifest.json", "report.json"})
"""What there may be in the folder of a run that has no results to keep."""


def _no_half(folder: Path) -> Check:
    """A report that could not be written is not there, in whole or in part."""

    def check(_evidence: Evidence) -> Iterator[str]:
        for path in (folder / "state" / "runs").glob("*/*"):
            if path.name == "planned.txt" and not (path.parent / "report.json").exists():
                continue  # it says in place of the report what was planned
            if path.name not in _OF_A_RUN:
                yield f"file {path.relative_to(folder)}"
            elif path.suffix == ".json":
                try:
                    json.loads(path.read_bytes())
                except ValueError:
                    yield f"{path.name} is half written"

    return check


def _disk_limit(folder: Path, _draw: random.Random) -> Trial:
    return _full(folder, limited("RLIMIT_FSIZE", _FILE_BYTES))


def _disk_full(folder: Path, _draw: random.Random) -> Trial:
    small, kept = folder / "small", folder / "state"
    small.mkdir()
    line = (
        f'small="$1" kept="$2"; shift 2; mount -t tmpfs -o size={_DISK_BYTES} none "$small" || exit 99; '
        '"$@"; code=$?; cp -a "$small" "$kept"; exit "$code"'
    )
    trial = _full(folder, mounting(line, small, kept), "--state-dir", str(small))
    return replace(trial, run=replace(trial.run, resume=trial.run.arguments[:1]))  # where there is room again


def _not_recorded(folder: Path, run: Run, name: str) -> Trial:
    """A run that cannot be recorded is not begun."""
    expected = Batch().expected(exit_codes=frozenset({4}), report=False, says=f"cannot write {folder}/{name}")
    return Trial(run, expected, {2: _nothing_began, 5: _no_traceback})


def _nothing_began(evidence: Evidence) -> Iterator[str]:
    began = [entry.task for entry in evidence.journal if entry.what == journal.BEGAN]
    if began:
        yield f"{len(began)} tasks were begun that could not be recorded"


def _read_only(folder: Path, _draw: random.Random) -> Trial:
    state = folder / "state"
    (state / "runs").mkdir(parents=True)
    line = (
        'state="$1"; shift; mount --bind "$state" "$state" && mount -o remount,bind,ro "$state" || exit 99; exec "$@"'
    )
    return _not_recorded(folder, replace(Batch().run(folder), launcher=mounting(line, state)), "state")


def _under_a_file(folder: Path, _draw: random.Random) -> Trial:
    (folder / "file").write_text("", encoding="ascii")
    run = Batch().run(folder)
    state = folder / "file" / "state"
    return _not_recorded(folder, replace(run, arguments=(*run.arguments, "--state-dir", str(state))), "file")


_DISKS = (
    Scenario(
        "place.disk",
        "a limit on the size of files, which the ledger or the events reach in the middle of the run",
        "exit 4 with a reason that names the file; what was announced is in the events",
        _disk_limit,
    ),
    Scenario(
        "place.disk.full",
        "the disk under the state folder is full in the middle of the run",
        "exit 4 with a reason that names the file; what was announced is in the events",
        _disk_full,
    ),
    Scenario(
        "place.readonly",
        "the state folder is on a disk that is read-only",
        "exit 4 with a reason that names it; nothing is run",
        _read_only,
    ),
    Scenario(
        "place.readonly.file",
        "the state folder would have to be in a file",
        "exit 4 with a reason that names it; nothing is run",
        _under_a_file,
        smoke=True,
    ),
)

# -- what programs and tasks do besides ----------------------------------------------------------------------------

_LOGGING = """
import logging
nowhere = open(os.devnull, "w")
logger = logging.getLogger("program")
logger.addHandler(logging.StreamHandler(nowhere))
over = threading.Event()
def talk():
    while not over.is_set():
        logger.warning("still there")
        print("still there", file=nowhere, flush=True)
talkers = [threading.Thread(target=talk) for _ in range(4)]
for talker in talkers:
    talker.start()
mp.stop()
for turn in range(4):
    mp = make_engine(4)
    mp.start()
    for n in range(8 * turn, 8 * turn + 8):
        mp.push(InfoTask("workflow.harness.neighbours.Chatty", 30, n, id=f"good@{n}"))
    mp.stop()
over.set()
for talker in talkers:
    talker.join()
"""


def _times(way: str) -> int:
    """How often each is tried: a pool that forks is ended so soon that it hits the first moments of its children."""
    return 40 if way == "fork" else 2


_PARENTS = Batch(
    neighbours=0,
    extra="".join(
        f'[tasks.{way}]\nmodule = "workflow.harness.children.Parent"\nargs = ["${{matrix.n}}", "{way}"]\n'
        f"matrix = {{ n = {{ range = [0, {_times(way)}] }} }}\ntimeout = 30\n"
        for way in WAYS
    ),
    extra_tasks={
        f"{way}@{n}": ExpectedTask(callback=CALLED, attempts=1, digest=digest_of(value_of(n)))
        for way in WAYS
        for n in range(_times(way))
    },
)


def _of_parents(folder: Path, _draw: random.Random) -> Trial:
    return Trial(_PARENTS.run(folder), _PARENTS.expected(longest_s=90.0))


_BESIDES = (
    Scenario(
        "place.thread_fork",
        "threads of a program log and print while it starts and stops engines, whose tasks log as well",
        "no deadlock: every task succeeds",
        program(_LOGGING, tasks=dict(Batch(neighbours=32).expected().tasks)),
    ),
    Scenario(
        "place.children",
        "tasks use multiprocessing, subprocess, asyncio, executors, threads and alarms themselves",
        "all work, and the results are right",
        _of_parents,
    ),
)

# -- folders and containers ----------------------------------------------------------------------------------------

_WHERE = Batch(extra='\n[tasks.where]\nshell = "pwd > where.txt"\n', extra_tasks={"where": ExpectedTask(attempts=1)})
_STRANGE = "ein Ordner, 数据 é 'x' $HOME ;%41"


def _from_elsewhere(folder: Path, files: Path, argument: str, launcher: Launcher = (), **more: object) -> Trial:
    """A run of a file in ``files``, started beside it."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    run = replace(_WHERE.run(files), arguments=(argument,), cwd=elsewhere, launcher=launcher)
    return Trial(replace(run, **more), _WHERE.expected(), {2: _ran_in(files)})  # type: ignore[arg-type]


def _ran_in(files: Path) -> Check:
    def check(_evidence: Evidence) -> Iterator[str]:
        written = files / "where.txt"
        said = written.read_text(encoding="utf-8").rstrip("\n") if written.exists() else "nowhere"
        if not Path(said).is_dir() or not Path(said).samefile(files):
            yield f"the task ran in {said}, not in {files}"

    return check


def _elsewhere(folder: Path, _draw: random.Random) -> Trial:
    files = folder / "files"
    files.mkdir()
    return _from_elsewhere(folder, files, "../files/pipeline.toml")


def _strange_names(folder: Path, draw: random.Random) -> Trial:
    files = folder / _STRANGE
    files.mkdir()
    locale = draw.choice(("C", "C.UTF-8", "POSIX"))
    return _from_elsewhere(folder, files, f"../{_STRANGE}/pipeline.toml", environment={"LC_ALL": locale})


def _through_a_link(folder: Path, _draw: random.Random) -> Trial:
    files = folder / "files"
    files.mkdir()
    (folder / "link").symlink_to(files, target_is_directory=True)
    return _from_elsewhere(folder, files, "../link/pipeline.toml")


def _as_first_process(folder: Path, _draw: random.Random) -> Trial:
    files = folder / "files"
    files.mkdir()
    launcher = in_namespaces("--pid", "--fork", "--mount-proc")
    return _from_elsewhere(folder, files, "../files/pipeline.toml", launcher)


def _stopped_as_first_process(folder: Path, _draw: random.Random) -> Trial:
    """As `docker stop` does it; unshare itself takes no notice."""
    batch = Batch(neighbours=400, neighbour_s=0.02)
    run = batch.run(folder, [Blow("SIGTERM", "group", When(journal.BEGAN, "*", 3))])
    run = replace(run, launcher=in_namespaces("--pid", "--fork", "--mount-proc"))
    return Trial(run, batch.expected(tasks=_neighbours(400, ENDED), exit_codes=frozenset({143})))


def _small_shared_memory(folder: Path, _draw: random.Random) -> Trial:
    batch = Batch(
        extra=f'\n[tasks.bulky]\nmodule = "{NEIGHBOURS}.Bulky"\nargs = ["${{matrix.n}}"]\n'
        "matrix = { n = { range = [0, 3] } }\n",
        extra_tasks={f"bulky@{n}": ExpectedTask(callback=CALLED, attempts=1) for n in range(3)},
    )
    launcher = mounting('mount -t tmpfs -o size=64k none /dev/shm || exit 99; exec "$@"')
    return Trial(replace(batch.run(folder), launcher=launcher), batch.expected())


_FOLDERS = (
    Scenario(
        "place.cwd", "started from another folder", "everything as written beside the file", _elsewhere, smoke=True
    ),
    Scenario(
        "place.cwd.names",
        "a folder with spaces, quotes and letters of other scripts, with a locale that knows none of them",
        "everything succeeds",
        _strange_names,
    ),
    Scenario("place.cwd.link", "started through a symbolic link", "everything succeeds", _through_a_link),
    Scenario(
        "place.cwd.pid_1",
        "the run is the first process of a container",
        "everything succeeds, nothing left",
        _as_first_process,
    ),
    Scenario(
        "place.cwd.pid_1_stopped",
        "SIGTERM to a run that is the first process of a container",
        "it ends as any run: report, exit 143, nothing left",
        _stopped_as_first_process,
    ),
    Scenario(
        "place.cwd.small_shm",
        "64 KiB of /dev/shm, as in a container, and results of 50 MB",
        "everything succeeds",
        _small_shared_memory,
    ),
)

# -- two runs ------------------------------------------------------------------------------------------------------

_PAIR = Batch(neighbours=120, neighbour_s=0.005)


def _shared_state(state: Path, runs: int) -> Check:
    """So many runs have used it, those that were resumed included, and it is whole."""

    def check(evidence: Evidence) -> Iterator[str]:
        folders = list((state / "runs").iterdir())
        if len(folders) != runs:
            yield f"there are {len(folders)} runs in the state folder, not {runs}"
        if not (state / "latest" / "report.json").exists():
            yield "latest leads to no report"
        for path in state.iterdir():
            if path.name.startswith(".") and path.name != ".gitignore":
                yield f"file {path.name}"
            if path.suffix == ".db":
                with sqlite3.connect(path) as database:
                    said = database.execute("pragma integrity_check").fetchone()[0]
                database.close()
                if said != "ok":
                    yield f"{path.name}: {said}"
        if evidence.events is None:
            yield "the run is not in the shared folder"

    return check


def _two_at_once(folder: Path, _draw: random.Random) -> Trial:
    state = folder / "shared"
    run = replace(_PAIR.run(folder), state=state)
    other = Trial(run, _PAIR.expected())
    return Trial(run, _PAIR.expected(), {8: _shared_state(state, 4)}, beside=other)


def _killed_before(folder: Path, draw: random.Random) -> Trial:
    run = _PAIR.run(folder)
    moment = When(journal.ENDED, "*", draw.randint(1, 60), draw.uniform(0, 0.05))
    # With other ids, for both say in one journal what begins.
    again = folder / "again.toml"
    again.write_text(Path(run.arguments[0]).read_text(encoding="utf-8").replace("tasks.good", "tasks.again"))
    run = replace(run, blows=(Blow("SIGKILL", "parent", moment),), then=(str(again),))
    expected = _PAIR.expected(tasks=_neighbours(120, ENDED), exit_codes=frozenset({-9}), report=False)
    return Trial(run, expected, {8: _each(_shared_state(folder / "state", 3), _second_is_whole)})


def _second_is_whole(evidence: Evidence) -> Iterator[str]:
    second = evidence.second
    if second is None or second.exit_code != 0 or second.report is None:
        yield f"the run behind it left with {second and second.exit_code}: {second and second.stderr[-300:]}"
    elif [task["outcome"] for task in second.report["tasks"]] != ["succeeded"] * _PAIR.neighbours:
        yield "the run behind it did not report every task as succeeded"


_TWO_RUNS = (
    Scenario(
        "place.two_runs",
        "two runs of one file at once, with one state folder",
        "neither notices the other: two folders, two whole reports",
        _two_at_once,
    ),
    Scenario(
        "place.two_runs.killed",
        "a run is killed while it writes, then another uses the same state folder",
        "the second is whole, and the folder of the first can be read",
        _killed_before,
    ),
)

# -- the file ------------------------------------------------------------------------------------------------------

_PLACE = re.compile(r"^[^\n]*\.toml:\d+(:\d+)?: ", re.MULTILINE)
_STEERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_ONE_FILE_S = 120.0
"""For one file, on a slow machine; to look at most takes milliseconds."""


def _looked_at(folder: Path, files: Mapping[str, bytes], codes: Callable[[str], frozenset[int]]) -> Trial:
    """``workflow validate`` and ``run --dry-run`` of these files; each comes to one of the codes for its name."""
    place = folder / "files"
    place.mkdir()
    for name, data in files.items():
        (place / name).write_bytes(data)
    run = Run(("-m", "workflow.cli.many", str(place), str(_ONE_FILE_S)), program=True, cwd=place)

    def right(evidence: Evidence) -> Iterator[str]:
        seen = set()
        for line in evidence.stdout.splitlines():
            answer = json.loads(line)
            seen.add(answer["file"])
            for reason in _wrong(answer, codes(answer["file"])):
                yield f"{answer['command']} {answer['file']}: {reason}"
        for name in sorted(files.keys() - seen):
            yield f"{name} was not looked at"

    def written(_evidence: Evidence) -> Iterator[str]:
        for path in sorted(path for path in place.rglob("*") if path.relative_to(place).as_posix() not in files):
            yield f"{path.relative_to(folder)} was written"
        for path in sorted(folder.iterdir()):
            if path.name not in ("files", "chaos", "tmp", "stdout", "stderr"):
                yield f"{path.name} was written"

    return Trial(run, Expected({}, longest_s=300.0), {2: right, 4: written})


def _wrong(answer: Mapping[str, object], codes: frozenset[int]) -> Iterator[str]:
    code, said = answer["code"], f"{answer['stdout']}{answer['stderr']}"
    if code not in codes:
        yield f"{code}, not one of {sorted(codes)}: {said[:300]!r}"
    elif code == 2 and not _PLACE.search(said):
        yield f"no line is named: {said[:300]!r}"
    for sign in ("Traceback", "a mistake in workflow itself"):
        if sign in said:
            yield f"it says {sign!r}: {said[:300]!r}"
    if _STEERS.search(said):
        yield f"it says what steers a terminal: {said[:300]!r}"


def _mutations(folder: Path, draw: random.Random) -> Trial:
    files = {f"{number:03}.toml": mutated(draw) for number in range(200)}
    trial = _looked_at(folder, files, lambda _name: frozenset({0, 2}))

    def both(evidence: Evidence) -> Iterator[str]:
        yield from trial.checks[2](evidence)
        answered = {json.loads(line)["code"] for line in evidence.stdout.splitlines()}
        if not {0, 2} <= answered:
            yield f"of 200 mutations all came to {answered}, so nothing was tested"

    return replace(trial, checks={**trial.checks, 2: both})


_RING = 10_000


def _large(folder: Path, _draw: random.Random) -> Trial:
    valid = {
        "size": "".join(f'[tasks.t{n}]\ncmd = ["true", "{"x" * 5_000}"]\n' for n in range(2_000)),
        "line": f'# {"x" * 5_000_000}\n[tasks.t]\ncmd = ["true", "{"x" * 5_000_000}"]\n',
        "chain": _needing(range(1, 2_000), 2_000) + '[tasks.t0]\ncmd = ["true"]\n',
    }
    invalid = {
        "cycle": _needing(range(_RING), _RING),
        "mistakes": "".join(f"[tasks.t{n}]\ncmdd = 1\n" for n in range(2_000)),
        "arrays": f"[vars]\nx = {'[' * 100_000}{']' * 100_000}\n",
        "open": f"[vars]\nx = {'[' * 100_000}",
        "tables": f"[vars]\nx = {'{a=' * 50_000}1{'}' * 50_000}\n",
        "keys": f"[vars]\n{'a.' * 50_000}a = 1\n",
        "headers": f"[{'a.' * 50_000}a]\n",
    }
    files = {f"{name}.toml": text.encode() for name, text in {**valid, **invalid}.items()}
    return _looked_at(folder, files, lambda name: frozenset({0 if name[:-5] in valid else 2}))


def _needing(numbers: range, count: int) -> str:
    """Tasks that each need the one before, the first the last."""
    return "".join(f'[tasks.t{n}]\ncmd = ["true"]\nneeds = ["t{(n - 1) % count}"]\n' for n in numbers)


def _many_tasks(folder: Path, _draw: random.Random) -> Trial:
    matrix = "{ a = { range = [0, 1000] }, b = { range = [0, 100] } }"
    files = {"tasks.toml": f'[tasks.t]\ncmd = ["true"]\nmatrix = {matrix}\n'.encode()}
    return _looked_at(folder, files, lambda _name: frozenset({0}))


_HOSTILE = (
    "../x", "/etc/passwd", "..", ".", "", "~", "-rf", "<script>alert(1)</script>", "\x1b[31mred\x1b]0;title\x07",
    "'; touch pwned; '", "$(touch pwned)", "`touch pwned`", "\x07\x08\x7f\x9b", "a\nb\r\nc", "\u202egnp.exe", "\u2028",
    "é", "e\u0301", "😀", "%2e%2e", "%s%n", "{}", "con", "x" * 400, "x" * 399 + "y",
)  # fmt: skip
"""Values that end in ids, in names of files, on the console and in commands.  A NUL no command can be given."""


def _hostile(folder: Path, _draw: random.Random) -> Trial:
    files = folder / "files"
    files.mkdir()
    values = f"[{', '.join(map(_toml, _HOSTILE))}]"
    file = files / "pipeline.toml"
    file.write_text(
        f"[pipeline]\npool = 2\nname = {_toml(_HOSTILE[7] + _HOSTILE[8])}\n"
        f"[tasks.shell]\nmatrix.v = {values}\nshell = 'printf %s ${{matrix.v}}'\n"
        f"[tasks.cmd]\nmatrix.v = {values}\ncmd = ['printf', '%s', '${{matrix.v}}']\n"
        f"env = {{ V = '${{matrix.v}}' }}\ndoc = {_toml(''.join(_HOSTILE))}\n"
        f"[tasks.fails]\nmatrix.v = {values}\nallow_failure = true\n"
        "cmd = ['sh', '-c', 'printf %s \"$1\" >&2; exit 3', 'sh', '${matrix.v}']\n",
        encoding="utf-8",
    )

    def right(evidence: Evidence) -> Iterator[str]:
        wanted = {"shell": ("succeeded", None), "cmd": ("succeeded", None), "fails": ("failed", 3)}
        for id_, task in evidence.tasks.items():
            code = task["attempts"][-1]["exit_code"] if task["attempts"] else None
            outcome, exit_code = wanted[task["name"]]
            if task["outcome"] != outcome or (exit_code is not None and code != exit_code):
                yield f"{id_} is {task['outcome']} with exit code {code}: {task['reason']}"
            if not re.fullmatch(r"[A-Za-z0-9._=+%~@-]+", id_):
                yield f"the id {id_!r} is no safe name"
        if len(evidence.tasks) != 3 * len(_HOSTILE):
            yield f"there are {len(evidence.tasks)} tasks, not {3 * len(_HOSTILE)}"
        if _STEERS.search(evidence.stderr):
            yield "what steers a terminal is on stderr"

    def written(_evidence: Evidence) -> Iterator[str]:
        known = {"files", "chaos", "tmp", "state", "stdout", "stderr", "resumed"}
        found = [path for path in folder.iterdir() if path.name not in known]
        found += [path for path in files.iterdir() if path != file]
        for own in (folder / "state" / "runs").iterdir():
            logs = own / "logs"
            found += [path for path in own.iterdir() if path.name not in _OF_A_RUN]
            found += [path for path in logs.rglob("*") if path.parent != logs or path.suffix != ".log"]
        yield from (f"{path.relative_to(folder)} was written" for path in found)

    run = Run((str(file), "-v"))
    ids = _ids_in(file)
    expected = Expected({id_: ExpectedTask(frozenset({"succeeded", "failed"})) for id_ in ids}, longest_s=60.0)
    return Trial(run, expected, {2: right, 4: written})


def _toml(text: str) -> str:
    """As JSON writes it, but for what JSON may leave as it is and TOML may not."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def _ids_in(file: Path) -> Sequence[str]:
    """The ids of the tasks of a file, as its plan has them."""
    command = [sys.executable, "-m", "workflow", "plan", "--json", str(file)]
    plan = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return [task["id"] for task in plan["tasks"]]


_FILES = (
    Scenario(
        "place.file",
        "200 mutations of valid files, by seed",
        "a diagnostic with a line, or a plan; never a traceback; nothing is written",
        _mutations,
    ),
    Scenario(
        "place.file.large",
        "files of 10 MB, of great depth, with thousands of mistakes, with a cycle of ten thousand tasks",
        "a diagnostic with a line, or a plan; never a traceback",
        _large,
    ),
    Scenario("place.file.tasks", "a file of 100,000 tasks", "a plan", _many_tasks),
    Scenario(
        "place.file.names",
        "names and values that would be paths, markup, commands, or steer a terminal",
        "each is itself and nothing else; nothing is written outside the state folder",
        _hostile,
    ),
)

SCENARIOS = (*_LIMITS, *_DISKS, *_BESIDES, *_FOLDERS, *_TWO_RUNS, *_FILES)
