"""Which tasks need not run, because an earlier run has made what they would make.

A task with ``outputs`` is cached when one of the runs in the ledger had the same key for it, and all it made then is
there with the same content.  Content decides, and nothing else: an output that somebody has touched without changing
it still counts, and one that was replaced does not, whatever its times say.  While a file has the very stamp it had
when it was read (inode, size, both times, and not racily clean, see ``content``) it is not read again.

If others take its result, the result is kept too, in a file of its own that only the owner can read, named by its
digest; when it is not there or not as it was, the task runs.

In a run that completes another (``resume``), what that has run comes first, whether it has outputs or not.

Files are read by threads, so that the run goes on beside it: ``ask`` about a task that may start, and hear
``Judged`` where there are any.  What a task has made is noted by the same threads, after its end: a run that is
killed in between has a task more to run the next time, and never one too few.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import secrets
import stat
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from workflow.plan.compile import Surroundings, filled
from workflow.plan.key import Filled, Parts, Whole, changes, digest, key_of, key_parts, secret_digest
from workflow.plan.plan import Deferred, Ended, Plan, PlannedTask
from workflow.run.content import MISSING, Contents, Stopped, Unstable
from workflow.run.database import Unusable
from workflow.run.inbox import Answer, Cached, Judged, KeptResult, Noted
from workflow.run.ledger import Ledger, Made
from workflow.run.results import taken_by_others
from workflow.run.resume import Carried, Earlier

RESULTS = "results"
THREADS = 2
LOOK_MAX = 2000
"""Files of one task that are looked at before the tasks that wait for it may start; it takes a few milliseconds."""
LEAVE_S = 2.0
"""What notes that are still to be written are given when the run does not end by itself."""


class Keys:
    """The keys of the tasks of one run or of one look at a plan."""

    def __init__(
        self, around: Surroundings, run_seed: int | None, salt: bytes, contents: Contents, taken: frozenset[str]
    ) -> None:
        """``run_seed`` is the one that somebody chose, None where it is drawn; ``taken`` whose results others take."""
        digests = {name: secret_digest(value, salt) for name, value in around.secrets.items()}
        self._around = around._replace(secrets=digests)
        self._run_seed = run_seed
        self._contents = contents
        self._taken = taken
        self._whole = Whole(run_seed)
        self._of: dict[str, str | None] = {}  # of those whose results are taken
        self._together: dict[int, tuple[object, str | None]] = {}

    def filled(self, task: PlannedTask, results: Mapping[str, Ended]) -> Filled:
        """Raises MissingResult."""
        return filled(task, results, self._around)

    def settle(self, task: PlannedTask, parts: Parts | None) -> None:
        """Take these for the parts of its key."""
        if task.id in self._taken:
            self._of[task.id] = None if parts is None else key_of(parts)

    def at_once(self, task: PlannedTask, results: Mapping[str, Ended]) -> Parts | None:
        """The same as ``parts``, for a task that reads no inputs."""
        parts = self._whole.parts(task)
        if parts is None:
            with contextlib.suppress(Exception):  # what is wrong with results is found out when the task is made
                return self.parts(task, self.filled(task, results))
        self.settle(task, parts)
        return parts

    def parts(self, task: PlannedTask, filled: Filled) -> Parts | None:
        """The parts of its key; None where it has none, because something cannot be read or compared.

        Reads the inputs.  Raises Stopped.
        """
        self.settle(task, None)
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
        self.settle(task, parts)
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
        return None, changes(rows[0].parts, parts) if rows else ["it has not succeeded yet"]
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


def is_forced(task: PlannedTask, glob: str | None) -> bool:
    """Whether it runs whatever is known of it."""
    return glob is not None and (fnmatchcase(task.id, glob) or fnmatchcase(task.name, glob))


def outputs_gone(
    ledger: Ledger, contents: Contents, root: str, task: PlannedTask, parts: Parts, looked: str | None
) -> list[str]:
    """What became of the outputs of a task that has succeeded with this key; nothing, if they are as it left them.

    ``looked`` is the digest of how they looked then.  When they look so still, nobody has touched them.  Otherwise
    their content decides, if it was noted before the run was killed; if not, they count as changed, except where they
    were too many to be looked at: then it is enough that they are there.  Raises Unusable, Stopped.
    """
    if not task.outputs:
        return []
    try:
        if looked is not None and look_digest(contents.look(root, task.outputs, LOOK_MAX)) == looked:
            return []
        made, said = find(ledger, contents, root, task, parts, None, write=False)
        if made is not None:
            return []
        if any(row.key == key_of(parts) for row in ledger.made(root, task.id)):
            return said
        now = contents.look(root, task.outputs) or {}
    except (Unstable, OSError, ValueError) as error:
        return [str(error)]
    missing = [f"output {path} is missing" for path, seen in now.items() if seen == MISSING]
    return missing or ([] if looked is None else ["its outputs were changed since"])


def look_digest(look: Mapping[str, str] | None) -> str | None:
    """What is remembered of how outputs look."""
    return None if look is None else digest(look)


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
        around: Surroundings,
        post: Callable[[object], None],
        *,
        force: str | None,
        seed: int | None,
        taken: Callable[[PlannedTask], bool],
        earlier: Earlier | None = None,
        results: Path | None = None,
    ) -> None:
        """``post`` is called on other threads; ``taken`` says whether somebody takes a task's result.

        ``earlier`` is the run that is completed, and ``results`` the folder for large results of this one.
        """
        self._ledger = ledger
        self._root = str(plan.root)
        self._run = around.run_id
        self._post = post
        self._force = force
        self._taken = taken
        self._earlier = earlier
        self._results = results
        self._kept = ledger.folder / RESULTS
        self._left = False
        self._contents = Contents(lambda: self._left)
        self._keys = Keys(around, seed, ledger.salt, self._contents, taken_by_others(plan.tasks))
        self._jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._noting = 0
        self.problem: str | None = None
        """The first thing that went wrong with what tasks have made, after which nothing is cached."""
        self._threads: list[threading.Thread] = []
        self._started = False

    @property
    def busy(self) -> bool:
        """Whether something is still to be noted."""
        return self._noting > 0

    def ask(self, number: int, task: PlannedTask, results: Mapping[str, Ended]) -> Answer | None:
        """What is known of a task that may start; None where files are read for that: then ``Judged`` is posted."""
        if not task.inputs and not task.outputs and not (task.uses_results and _large(task, results)):
            parts = self._keys.at_once(task, results)
            if self._earlier is None:
                return Answer(parts)
            if not self._taken(task) or not self._earlier.stored(number, task.id):
                return self._guarded(lambda: self._find_earlier(number, task, parts), parts)
        try:
            what = self._keys.filled(task, results)
        except Exception:  # noqa: BLE001  values of results: what is wrong with them is found out when it is made
            return Answer(None)
        self._put(lambda: self._post(Judged(number, self._judge(number, task, what))))
        return None

    def look(self, task: PlannedTask) -> dict[str, str] | None:
        """How the outputs of a task look that has just succeeded; None where it has none, or too many.

        Take it before anything may start that has waited for the task: content is read later, beside tasks that may
        write to it.
        """
        if not task.outputs:
            return None
        try:
            return self._contents.look(self._root, task.outputs, LOOK_MAX)
        except (Stopped, Unstable, OSError, ValueError):
            return None

    def note(
        self,
        task: PlannedTask,
        parts: Parts | None,
        look: dict[str, str] | None,
        result: Callable[[], bytes],
    ) -> None:
        """Write down what a task has made that succeeded, and have ``Noted`` posted."""
        if parts is None or not task.outputs or self.problem is not None:
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
        for thread in self._threads:
            thread.join(None if wait else LEAVE_S)

    def _put(self, job: Callable[[], object]) -> None:
        if not self._started:  # not before there is work: the engine is started from a process with few threads
            self._started = True
            with contextlib.suppress(RuntimeError):  # no more threads may be made: then it takes longer
                for _ in range(THREADS):
                    thread = threading.Thread(target=self._work, name="workflow-cache", daemon=True)
                    thread.start()
                    self._threads.append(thread)
        if self._threads:
            self._jobs.put(job)
        else:
            job()

    # On the threads

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            job()

    def _judge(self, number: int, task: PlannedTask, what: Filled) -> Answer:
        try:
            parts = self._keys.parts(task, what)
        except Stopped:
            return Answer(None)
        return self._guarded(lambda: self._find(number, task, parts), parts)

    def _guarded(self, find: Callable[[], Answer], parts: Parts | None) -> Answer:
        """Whatever goes wrong, the task can still run."""
        try:
            return find()
        except Stopped:
            pass
        except Unusable as error:
            self.problem = self.problem or str(error)
        except Exception as error:  # noqa: BLE001  see above
            self.problem = self.problem or f"{type(error).__name__}: {error}"
        return Answer(parts)

    def _find(self, number: int, task: PlannedTask, parts: Parts | None) -> Answer:
        answer = Answer(parts)
        if self._earlier is not None:
            answer = self._find_earlier(number, task, parts)
            if answer.found is not None:
                return answer
        if parts is None or not task.outputs or self.problem is not None or self._forced(task):
            return answer
        taken = self._taken(task)
        made, _ = find(self._ledger, self._contents, self._root, task, parts, self._kept if taken else None)
        if made is None:
            return answer
        result = None
        if taken and made.result is not None:
            result = read_result(self._kept, made.result)
            if result is None:
                return answer
        return Answer(parts, Cached(made.run, result))

    def _find_earlier(self, number: int, task: PlannedTask, parts: Parts | None) -> Answer:
        assert self._earlier is not None
        if self._forced(task):
            return Answer(parts, again=("--force",))
        key = None if parts is None else key_of(parts)
        found = self._earlier.find(number, task.id, parts, key, self._results if self._taken(task) else None)
        if isinstance(found, Carried):
            gone = self._gone(task, parts, found.row.outputs)
            return Answer(parts, found) if not gone else Answer(parts, again=tuple(gone))
        return Answer(parts, again=tuple(found))

    def _gone(self, task: PlannedTask, parts: Parts | None, looked: str | None) -> list[str]:
        return outputs_gone(self._ledger, self._contents, self._root, task, parts or {}, looked)

    def _forced(self, task: PlannedTask) -> bool:
        return is_forced(task, self._force)

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


def _large(task: PlannedTask, results: Mapping[str, Ended]) -> bool:
    """Whether it takes a result that is in a file: the file is read for its key."""
    return any(id_ in results and isinstance(results[id_].result, Deferred) for id_ in task.uses_results)
