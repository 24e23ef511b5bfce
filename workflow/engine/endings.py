"""Endings: the frame for one that no worker could announce, and the exception that stands for one."""

from __future__ import annotations

import os
from marshal import dumps

from workflow import messages
from workflow.engine import scoreboard
from workflow.engine.frames import body_of, options_of, path_of
from workflow.engine.output import log_file_name
from workflow.engine.system import OWN_FAILURE
from workflow.messages import HAS_ERROR_CALLBACK, HAS_NOTES, MORE_ATTEMPTS, RETURNED, STATUSES, TASK, UNRESOLVED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from workflow.engine.link import Link
    from workflow.scheduler.effects import Settle

_HERE = os.path.dirname(__file__) + os.sep
_STAGE_WORDS = {
    "start": "before it began",
    "import": "while its module was imported",
    "arguments": "while its arguments were unpickled",
    "init": "while its Model was made",
    "run": "while it ran",
    "result": "while its result was pickled",
}


def ending_frame(
    settle: Settle, task: bytes | None, link: Link | None, words: memoryview, log_dir: str | None, earlier: int | None
) -> bytes:
    """A RETURNED frame for an attempt whose worker is dead, or for a task that ended while no worker had it.

    ``earlier`` are the flags that an attempt before told of its callbacks, None when there was none.
    """
    status = STATUSES.index(settle.outcome)
    flags = 0 if settle.final else MORE_ATTEMPTS
    options = options_of(task) if task is not None else {}
    if link is None or link.died is None:
        if settle.outcome == "timed_out":
            deadline = f"its deadline of {options.get('deadline_ns', 0) / 1e9:g} s for all attempts"
            body = messages.pack_error("TaskTimeout", f"{deadline} left no time for another")
        else:
            when = "before it began" if earlier is None else "while it waited for another attempt"
            body = messages.pack_error("TaskCancelled", f"it was cancelled {when}")
        flags |= earlier or 0
        return RETURNED.pack(RETURNED.size + len(body), status, flags, 0, settle.ticket, 0, 0, 0, 0, 0, 0) + body

    died, base = link.died, link.base
    stage = scoreboard.STAGES[words[base + (scoreboard.SENTENCED_STAGE if died.sentenced else scoreboard.STAGE)]]
    started = words[base + scoreboard.STARTED]
    left, traceback = died.left, None
    facts: dict[str, Any] = {}
    offset, size, file = _log_range(words, base, log_dir)
    duration = max(0, died.at_ns - started)
    if link.sentenced is not None:  # it lived to say where it was
        _, _, _, left_told, _, started, duration, _, offset, size, file = RETURNED.unpack_from(link.sentenced[2])
        left += left_told
        facts, error = body_of(link.sentenced[2])
        if error:
            traceback = messages.unpack_error(bytes(error))[2]
    if died.used:  # of all together, where the worker knows of itself
        facts["peak_rss_bytes"] = max(died.used, facts.get("peak_rss_bytes") or 0)
    notes = b""
    if facts:
        packed = dumps(facts)
        notes = messages.NOTES.pack(len(packed)) + packed
        flags |= HAS_NOTES
    # An import that hung or crashed here would do so in the dispatcher too, so its class is not looked for; a SIGKILL
    # that nobody here sent says nothing about the import.
    came_to = scoreboard.STAGES[words[base + scoreboard.STAGE]]  # after the sentence it may have gone on
    importable = came_to not in ("start", "import") or (died.signal == "SIGKILL" and not died.sentenced)
    if importable:
        flags |= HAS_ERROR_CALLBACK
    else:
        flags |= UNRESOLVED if task is None else messages.unseen_flags(path_of(task), options)
    if task is not None and "deadline_ns" in options:
        options["by_deadline"] = words[base + scoreboard.DEADLINE] - started < _timeout_ns(task)
    type_name, message = _told(settle.outcome, task, options, died, stage, duration)
    stack = _without_engine(died.stack) or None
    if stack is None and settle.outcome in ("timed_out", "memory_exceeded"):
        stack = "no stack: the task replaced its signal handlers"
    body = notes + messages.pack_error(
        type_name, message, traceback, None, stack, died.signal, died.exit_code if settle.outcome == "crashed" else None
    )
    header = RETURNED.pack(
        RETURNED.size + len(body),
        status,
        flags,
        min(left, 0xFFFF),
        settle.ticket,
        started,
        duration,
        link.pid,
        offset,
        size,
        file,
    )
    return header + body


def _timeout_ns(task: bytes) -> int:
    timeout: float = TASK.unpack_from(task)[4]
    return int(min(timeout, 9e8) * 1e9)


def _without_engine(stack: str) -> str:
    """What faulthandler wrote, without our own frames below the task's, and without threads that are only ours."""
    sections = []
    for section in stack.strip().split("\n\n"):
        kept = [line for line in section.split("\n") if not line.startswith(f'  File "{_HERE}')]
        if kept and kept[-1].startswith('  File "<string>", ') and kept[-1].endswith(" in <module>"):
            kept.pop()  # which is how the first process of the engine began
        threads = [line for line in kept if line.startswith(("Thread 0x", "Current thread 0x"))]
        if len(kept) > len(threads):
            sections.append("\n".join(kept))
    return "\n\n".join(sections)


def _log_range(words: memoryview, base: int, log_dir: str | None) -> tuple[int, int, int]:
    file = words[base + scoreboard.LOG_FILE]
    if log_dir is None or not file:
        return 0, 0, 0
    start = words[base + scoreboard.LOG_START]
    try:
        size = os.stat(os.path.join(log_dir, log_file_name(file))).st_size - start
    except OSError:
        size = 0
    return (start, min(size, 0xFFFFFFFF), file) if size > 0 else (0, 0, 0)


def _told(
    outcome: str, task: bytes | None, options: dict[str, Any], died: messages.WorkerDied, stage: str, duration: int
) -> tuple[str, str]:
    """Type and message of an ending made by the engine: what happened, the likely cause, the next step."""
    where = _STAGE_WORDS[stage]
    took = f"{duration / 1e9:.1f} s"
    if outcome == "timed_out":
        if options.get("by_deadline"):
            return (
                "TaskTimeout",
                f"killed at its deadline of {options['deadline_ns'] / 1e9:g} s for all attempts, {where}",
            )
        limit = TASK.unpack_from(task)[4] if task is not None else 0.0
        return "TaskTimeout", f"killed at its limit of {limit:g} s, {where}"
    if outcome == "memory_exceeded":
        limit = options.get("memory", 0)
        used = f", with {_size(died.used)} in use" if died.used else ""
        return "MemoryLimitExceeded", f"killed at its memory limit of {_size(limit)}{used}, after {took}, {where}"
    if outcome == "cancelled":
        return "TaskCancelled", f"cancelled after {took}, {where}"
    if died.signal is None and died.exit_code == 70:
        return (
            "TaskCrashed",
            f"its worker broke after {took}, {where}: its process misses what it needs, such as descriptors or modules",
        )
    if died.signal is None:
        return (
            "TaskCrashed",
            f"its process left with exit code {died.exit_code} after {took}, {where}: a task must not call os._exit",
        )
    hint = ""
    if died.signal == "SIGKILL":
        hint = "; nobody here sent it: often it is the kernel's out-of-memory killer (see the kernel log)"
    return "TaskCrashed", f"its process died by {died.signal} after {took}, {where}{hint}"


def _size(number: int) -> str:
    """A size as a person would write it: in the largest unit that it fills, and no longer than it takes to compare."""
    for unit, size in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if number >= size:
            return f"{number / size:.4g} {unit}"
    return f"{number} bytes"


def how_it_died(died: messages.WorkerDied) -> str:
    """What is known of the death of a worker that ran no task, as an addition to a sentence."""
    lines = died.stack.strip().splitlines()
    told = lines[-1].removeprefix(OWN_FAILURE) if lines and lines[-1].startswith(OWN_FAILURE) else ""
    way = f"by {died.signal}" if died.signal else f"with exit code {died.exit_code}"
    story = "\n" + "\n".join(lines[:-1]) if told and len(lines) > 1 else ""
    return f" ({way}: {told}){story}" if told else f" ({way})"


def exception_from(frame: bytes, task_id: str, reason: str | None = None, label: str | None = None) -> BaseException:
    """The exception that stands for an ending: the task's own when it can travel, else one that tells its story.

    ``label`` is what it calls the task (None: its id).

    Unpickling is the user's code: what it raises is swallowed here, for the text is there in any case, but one that
    exits or hangs does so in the caller.
    """
    from workflow import errors
    from workflow.engine.own_module import loads_from_main

    status = frame[4]
    _notes, body = body_of(frame)
    type_name, message, traceback, pickled, stack, signal, exit_code = messages.unpack_error(bytes(body))
    if reason:
        message = f"{message} ({reason})"
    if status == messages.FAILED:
        if pickled is not None:
            try:
                error = loads_from_main(pickled)
            except Exception:  # noqa: BLE001
                error = None
            if isinstance(error, BaseException):
                error.__cause__ = RemoteTraceback(traceback or "")
                return error
        failed = errors.TaskFailed(
            f"{type_name}: {message}",
            type_name=type_name,
            traceback=traceback,
            task_id=task_id,
            stack=stack,
            signal=signal,
            exit_code=exit_code,
        )
        failed.__cause__ = RemoteTraceback(traceback) if traceback else None
        return failed
    kind = {
        messages.TIMED_OUT: errors.TaskTimeout,
        messages.CRASHED: errors.TaskCrashed,
        messages.MEMORY_EXCEEDED: errors.MemoryLimitExceeded,
        messages.CANCELLED: errors.TaskCancelled,
    }[status]
    ended = kind(
        f"task {label or task_id}: {message}", task_id=task_id, stack=stack, signal=signal, exit_code=exit_code
    )
    ended.__cause__ = RemoteStack(stack) if stack else None
    return ended


class RemoteTraceback(Exception):  # it is shown as a cause, and names what it is
    """The traceback of a task's exception, as it was in the process where it was raised."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n{self.text}"


class RemoteStack(RemoteTraceback):
    """Where a task was when it was killed, or crashed."""
