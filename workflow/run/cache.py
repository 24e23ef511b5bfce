"""Which tasks need not run, because an earlier run has made what they would make.

A task with ``outputs`` is cached when one of the runs in the ledger had the same key for it, and all it made then is
there with the same content.  Content decides, and nothing else: an output that somebody has touched without changing
it still counts, and one that was replaced does not, whatever its times say.  While a file has the very stamp it had
when it was read (inode, size, both times, and not racily clean, see ``content``) it is not read again.

If others take its result, the result is kept too, in a file of its own that only the owner can read, named by its
digest; when it is not there or not as it was, the task runs.

The files are read by threads, so that the run goes on beside it: ``ask`` about a task that may start, and hear
``Judged``.  What a task has made is noted by the same threads, after its end: a run that is killed in between has a
task more to run the next time, and never one too few.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import secrets
import stat
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from workflow.plan.compile import Surroundings, filled
from workflow.plan.key import Filled, Parts, changes, digest, key_of, key_parts, secret_digest
from workflow.plan.plan import Ended, Plan, PlannedTask
from workflow.run.content import MISSING, Contents, Stopped, Unstable
from workflow.run.database import Unusable
from workflow.run.inbox import Judged, KeptResult, Noted
from workflow.run.ledger import Ledger, Made

RESULTS = "results"
THREADS = 2
LOOK_MAX = 2000
"""Files of one task that are looked at before the tasks that wait for it may start; it takes a few milliseconds."""
LEAVE_S = 2.0
"""What notes that are still to be written are given when the run does not end by itself."""


def keyed(tasks: Sequence[PlannedTask]) -> set[str]:
    """The ids of tasks that need a key: those that make something, and those whose results such tasks take."""
    wanted: set[str] = set()
    seen: set[int] = set()
    for task in reversed(tasks):  # who takes a result comes after whoever it is from
        if task.outputs or task.id in wanted:
            wanted.add(task.id)
            if id(task.uses_results) not in seen:
                seen.add(id(task.uses_results))
                wanted |= task.uses_results
    return wanted


class Keys:
    """The keys of the tasks of one run or of one look at a plan."""

    def __init__(self, around: Surroundings, run_seed: int | None, salt: bytes, contents: Contents) -> None:
        """``run_seed`` is the one that somebody chose, None where it is drawn."""
        digests = {name: secret_digest(value, salt) for name, value in around.secrets.items()}
        self._around = around._replace(secrets=digests)
        self._run_seed = run_seed
        self._contents = contents
        self._of: dict[str, str | None] = {}
        self._together: dict[int, tuple[object, str | None]] = {}

    def filled(self, task: PlannedTask, results: Mapping[str, Ended]) -> Filled:
        """Raises MissingResult."""
        return filled(task, results, self._around)

    def settle(self, task: PlannedTask, parts: Parts) -> None:
        """Take these for the parts of its key."""
        self._of[task.id] = key_of(parts)

    def parts(self, task: PlannedTask, filled: Filled) -> Parts | None:
        """The parts of its key; None where it has none, because something cannot be read or compared.

        Reads the inputs.  Raises Stopped.
        """
        self._of.setdefault(task.id, None)
        results: dict[str, str] = {}
        for need in task.needs:
            if need.by_files or not task.uses_results.issuperset(need.every[:1]):
                continue
            known = self._together.get(id(need.every))
            if known is None:
                each = [self._of.get(id_, "skipped") for id_ in need.every]
                known = self._together[id(need.every)] = (need.every, None if None in each else digest(each))
            if known[1] is None:
                return None
            results[need.name] = known[1]
        try:
            parts = key_parts(task, filled, self._inputs(task), results, self._run_seed)
        except (Unstable, OSError, TypeError, ValueError, RecursionError):
            return None
        self._of[task.id] = key_of(parts)
        return parts

    def stays(self, task: PlannedTask, parts: Parts) -> bool:
        """Whether its inputs are still those of which its key was made.  Raises Unstable, Stopped."""
        before = {part: content for part, content in parts.items() if part.startswith("input ")}
        return before == {f"input {path}": content for path, content in self._inputs(task).items()}

    def _inputs(self, task: PlannedTask) -> dict[str, str]:
        own = frozenset(os.path.normpath(output) for output in task.outputs)
        return self._contents.snapshot(self._around.root, task.inputs, own)


def find(
    ledger: Ledger,
    contents: Contents,
    root: str,
    task: PlannedTask,
    parts: Parts,
    kept: Path | None,
    *,
    write: bool = True,
) -> tuple[Made | None, list[str]]:
    """The run that has made what this task would make, or why there is none.

    ``kept`` is the folder of kept results, for a task whose result somebody takes.  Raises Unusable, Stopped.
    """
    rows = ledger.made(root, task.id)
    made = next((row for row in rows if row.key == key_of(parts)), None)
    if made is None:
        return None, changes(rows[0].parts, parts) if rows else ["it has not been run yet"]
    for path, stamp in made.stamps.items():
        contents.trust(stamp, made.outputs[path])
    try:
        now = contents.snapshot(root, task.outputs)
    except (Unstable, OSError) as error:
        return None, [str(error)]
    if now != made.outputs:
        gone = [path for path in {**made.outputs, **now} if now.get(path, MISSING) == MISSING]
        other = [path for path in now if now[path] != made.outputs.get(path)]
        said = [f"output {path} is missing" for path in gone]
        return None, said or [f"output {path} was changed since" for path in other]
    if kept is not None and (made.result is None or not (kept / made.result).is_file()):
        return None, ["its result is taken by others, and was not kept"]
    stamps = contents.stamps(root, now)
    if write and stamps != made.stamps:
        ledger.record(root, replace(made, stamps=stamps))
    return made, []


def read_result(folder: Path, name: str) -> KeptResult | None:
    """A result that was kept; None where it is not as it was."""
    with contextlib.suppress(OSError):
        path = folder / name
        found = path.lstat()
        # It will be unpickled: nothing that somebody else could have put there.
        if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022:
            pickled = path.read_bytes()
            if hashlib.sha256(pickled).hexdigest() == name:
                return KeptResult(pickled)
    return None


class Cache:
    """What is asked and noted in the course of one run."""

    def __init__(
        self,
        plan: Plan,
        ledger: Ledger,
        state_dir: Path,
        around: Surroundings,
        post: Callable[[object], None],
        *,
        force: str | None,
        seed: int | None,
        taken: Callable[[PlannedTask], bool],
    ) -> None:
        """``post`` is called on other threads; ``taken`` says whether somebody takes a task's result."""
        self._ledger = ledger
        self._root = str(plan.root)
        self._run = around.run_id
        self._post = post
        self._force = force
        self._taken = taken
        self._kept = state_dir / RESULTS
        self._wanted = keyed(plan.tasks)
        self._left = False
        self._contents = Contents(lambda: self._left)
        self._keys = Keys(around, seed, ledger.salt, self._contents)
        self._parts: dict[int, Parts] = {}
        self._jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._noting = 0
        self.problem: str | None = None
        """The first thing that went wrong with the database, after which nothing is cached."""
        self._threads = [
            threading.Thread(target=self._work, name="workflow-cache", daemon=True) for _ in range(THREADS)
        ]
        self._started = False

    def concerns(self, task: PlannedTask) -> bool:
        """Whether to ask before it starts."""
        return task.id in self._wanted

    @property
    def busy(self) -> bool:
        """Whether something is still to be noted."""
        return self._noting > 0

    def ask(self, number: int, task: PlannedTask, results: Mapping[str, Ended]) -> None:
        """Have ``Judged`` posted.  Raises MissingResult when the task cannot be made."""
        what = self._keys.filled(task, results)
        taken = self._taken(task)
        self._put(lambda: self._post(self._judge(number, task, what, taken)))

    def note(self, number: int, task: PlannedTask, result: Callable[[], bytes]) -> None:
        """Write down what a task has made that succeeded, and have ``Noted`` posted.

        Call it before anything may start that has waited for the task: how its outputs look is taken now, and content
        is read later, beside tasks that may write to them.  More than ``LOOK_MAX`` files are looked at later, too.
        """
        parts = self._parts.pop(number, None)
        if parts is None or not task.outputs or self.problem is not None:
            return
        try:
            look = self._contents.look(self._root, task.outputs, LOOK_MAX)
        except (Stopped, Unstable, OSError, ValueError):
            return
        self._noting += 1
        taken = self._taken(task)
        self._put(lambda: self._note(task, parts, look, result if taken else None))

    def noted(self) -> None:
        """Hear of ``Noted``."""
        self._noting -= 1

    def leave(self, *, wait: bool) -> None:
        """End it; with ``wait``, after everything is noted."""
        self._left = not wait
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads if self._started else ():
            thread.join(None if wait else LEAVE_S)
        if not any(thread.is_alive() for thread in self._threads):
            self._ledger.close()

    def _put(self, job: Callable[[], object]) -> None:
        if not self._started:  # not before there is work: the engine is started from a process with few threads
            self._started = True
            for thread in self._threads:
                thread.start()
        self._jobs.put(job)

    # On the threads

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            job()

    def _judge(self, number: int, task: PlannedTask, what: Filled, taken: bool) -> Judged:
        runs = Judged(number, None, None)
        try:
            parts = self._keys.parts(task, what)
            if parts is None or not task.outputs:
                return runs
            self._parts[number] = parts
            if self.problem is not None or self._forced(task):
                return runs
            made, _ = find(self._ledger, self._contents, self._root, task, parts, self._kept if taken else None)
            if made is None:
                return runs
            result = None
            if taken and made.result is not None:
                result = read_result(self._kept, made.result)
                if result is None:
                    return runs
        except Stopped:
            return runs
        except Unusable as error:
            self.problem = self.problem or str(error)
            return runs
        except Exception as error:  # noqa: BLE001  whatever it is, the task can still run
            self.problem = self.problem or f"{type(error).__name__}: {error}"
            return runs
        return Judged(number, made.run, result)

    def _forced(self, task: PlannedTask) -> bool:
        return self._force is not None and (fnmatchcase(task.id, self._force) or fnmatchcase(task.name, self._force))

    def _note(
        self, task: PlannedTask, parts: Parts, look: dict[str, str] | None, result: Callable[[], bytes] | None
    ) -> None:
        """Record what a task has made, unless its inputs or its outputs have moved.

        Its key says what was in them before it started, and it reads them later: of one that was written in between,
        nobody knows which of the two contents the outputs were made from.  To record them for the first would serve
        them for ever to whoever goes back to it; so nothing is recorded, and the task runs once more.

        Nor is it when the outputs, once they are read, look other than at the end of the task: then a task that came
        after has written to them, and whether it did so before or after they were read would be chance.
        """
        try:
            if not self._keys.stays(task, parts):
                return
            look = self._contents.look(self._root, task.outputs) if look is None else look
            outputs = self._contents.snapshot(self._root, task.outputs)
            if MISSING not in outputs.values() and look == self._contents.look(self._root, task.outputs):
                kept = None if result is None else self._write(result())
                stamps = self._contents.stamps(self._root, outputs)
                made = Made(task.id, key_of(parts), parts, self._run, outputs, stamps, kept)
                for old in self._ledger.record(self._root, made):
                    (self._kept / old).unlink(missing_ok=True)
        except (Stopped, Unstable):
            pass
        except Unusable as error:
            self.problem = self.problem or str(error)
        except Exception as error:  # noqa: BLE001  the task succeeded all the same
            self.problem = self.problem or f"{type(error).__name__}: {error}"
        finally:
            self._post(Noted())

    def _write(self, pickled: bytes) -> str:
        name = hashlib.sha256(pickled).hexdigest()
        path = self._kept / name
        if not path.is_file():
            self._kept.mkdir(mode=0o700, exist_ok=True)
            temporary = self._kept / f".{name}-{secrets.token_hex(4)}"
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                with open(descriptor, "wb") as file:  # noqa: PTH123  it is a descriptor
                    file.write(pickled)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        return name


def open_cache(
    plan: Plan,
    state_dir: Path,
    around: Surroundings,
    post: Callable[[object], None],
    *,
    force: str | None,
    seed: int | None,
    taken: Callable[[PlannedTask], bool],
) -> tuple[Cache | None, str | None]:
    """The cache of a run; or None, and why there is none."""
    try:
        ledger = Ledger(state_dir)
    except Unusable as error:
        return None, str(error)
    return Cache(plan, ledger, state_dir, around, post, force=force, seed=seed, taken=taken), None
