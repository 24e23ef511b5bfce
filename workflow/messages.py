"""Everything that crosses between processes, one union for each arrow.

Two kinds.  *Frames* carry tasks and their results: packed headers and opaque bytes, many to a read, because this is
where the throughput is.  *Orders and facts* between the supervising processes are rare: named tuples, marshalled.
Nothing here is unpickled on the way; ``marshal`` reads only plain values, and only from processes of our own.

    parent ── TASK frames ──▶ dispatcher ── the same frames ──▶ worker
    parent ◀─ RETURNED frames ── dispatcher ◀── RETURNED frames ── worker

Named tuples and not dataclasses: the warden and the worker import this, and ``dataclasses`` costs them 6 ms.
"""

from __future__ import annotations

from collections import namedtuple
from marshal import dumps, loads
from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container
    from typing import Any

# -- frames towards the worker -------------------------------------------------------------------------------------

TASK = Struct("<IBHQdHI")
"""Length of the frame, kind, attempt, number, timeout (s; inf for none), lengths of module and options.

Behind it: the module's path, the options (a marshalled dict, or nothing when all are default), the pickled arguments.
"""
PARTS = Struct("<HI")
"""How such a header ends: the two lengths."""
PARTS_AT = TASK.size - PARTS.size
PUSH = 1
OWED = 2
"""A settled task whose callback is still to be run; a RETURNED frame stands in place of the arguments."""
CANCEL = 3
"""The task with this number is to be ended."""
CANCEL_ALL = 4
"""All are; ``timeout`` is the grace in seconds, negative for each task's own."""
SNAPSHOT_END = 5
"""Everything the parent holds has been told to this dispatcher."""
LET_GO = 6
"""This attempt, a retry that is held, may begin."""
PUSH_IN_FILE = 7
"""A task whose arguments are in a file; its descriptor comes with the frame (see ``engine/bulk.py``)."""

RUN = Struct("<QB")
"""Head of a message to a worker: its growing number, and whether the frames are in a file that comes with it, before
those with the arguments of tasks, in their order."""

# -- frames from the worker ----------------------------------------------------------------------------------------

RETURNED = Struct("<IBBHQQQIQII")
"""Length of the frame, status, flags, processes left, ticket, start (monotonic ns), duration (ns), pid,
log offset, log size, log file.  Behind it: notes (when flagged), then the result or the error."""

ANSWER = Struct("<IBBHQ")
"""How such a header begins, up to the ticket: all that is read of it on the way."""

STATUSES = ("succeeded", "failed", "timed_out", "crashed", "memory_exceeded", "cancelled")
SUCCEEDED, FAILED, TIMED_OUT, CRASHED, MEMORY_EXCEEDED, CANCELLED = range(6)
# Frames that are not about an attempt's end have a status from 100 on.
READY = 100
"""A worker has started."""
CALLBACKS_ENDED = 101
"""Callbacks that succeeded: their tasks' numbers, as 64-bit words."""
CALLBACK_TOLD = 102
"""A callback that went wrong, or printed, or that the task turned out not to have: marshalled outcome (or None) and
problem (or None)."""
ENGINE_FAILED = 103
"""The dispatcher cannot go on: the reason, as text."""
RETRY_DUE = 104
"""The pause before this attempt is over, and it is held."""

HAS_CALLBACK = 1
HAS_ERROR_CALLBACK = 2
MORE_ATTEMPTS = 4
"""Not the task's last attempt."""
HAS_NOTES = 8
"""What lies behind the header begins with a length and a marshalled dict of facts about the process."""
IN_FILE = 16
"""The result, or the error, is in a file whose descriptor comes along; notes are not."""
UNRESOLVED = 32
"""The task's class could not be loaded, so its callbacks cannot be either."""
SENTENCED = 64
"""The attempt was being killed when it ended: the word of the warden stands, this adds where it was."""


def pack_told(status: int, body: bytes, ticket: int = 0, log: tuple[int, int, int] = (0, 0, 0)) -> bytes:
    """A frame that is not about an attempt's end."""
    return RETURNED.pack(RETURNED.size + len(body), status, 0, 0, ticket, 0, 0, 0, *log) + body


BUILT_IN = frozenset(
    (b"workflow.tasks.Call", b"workflow.tasks.Command", b"workflow.tasks.Shell", b"workflow.engine.calls.Called")
)
"""Paths of the Models of ours, which have no callbacks: that is known before they are loaded."""


def unseen_flags(path: bytes, options: Container[str]) -> int:
    """What is known of the error callback of a task whose class was not loaded, and will not be."""
    if "on_failure" in options:
        return HAS_ERROR_CALLBACK
    return 0 if path in BUILT_IN else UNRESOLVED


def owes_callback(status: int, flags: int) -> bool:
    """Whether a final answer with these is followed by a callback."""
    return bool(flags & (HAS_ERROR_CALLBACK | UNRESOLVED) if status else flags & HAS_CALLBACK)


NOTES = Struct("<I")
NUMBER = Struct("<Q")

TICKET_BITS = 16
"""A ticket is ``number << TICKET_BITS | attempt``."""

SMALL = 64 * 1024
"""Bytes up to which a task or a result travels inside its channel; a larger one goes in a file beside it."""


def pack_error(
    type_name: str,
    message: str,
    traceback: str | None = None,
    pickled: bytes | None = None,
    stack: str | None = None,
    signal: str | None = None,
    exit_code: int | None = None,
) -> bytes:
    """What lies behind the header of an attempt that did not succeed."""
    return dumps((type_name, message, traceback, pickled, stack, signal, exit_code))


def unpack_error(
    data: bytes,
) -> tuple[str, str, str | None, bytes | None, str | None, str | None, int | None]:
    """The arguments of ``pack_error``."""
    fields: tuple[str, str, str | None, bytes | None, str | None, str | None, int | None] = loads(data)
    return fields


# -- parent to warden ----------------------------------------------------------------------------------------------

ReplaceDispatcher = namedtuple("ReplaceDispatcher", ["epoch"])
"""Start a new dispatcher on the channel that comes along."""
Quit = namedtuple("Quit", [])
"""End everything."""
TellStacks = namedtuple("TellStacks", ["request"])
"""Say where every running task is; they go on."""

# -- warden to parent ----------------------------------------------------------------------------------------------

DispatcherForked = namedtuple("DispatcherForked", ["epoch", "pid"])
WardenFailed = namedtuple("WardenFailed", ["reason"])
"""The warden, or the guardian before there was one, cannot go on."""

StackTold = namedtuple("StackTold", ["request", "pid", "ticket", "stack"])
"""Of one running attempt; empty where its process did not write one."""
StacksTold = namedtuple("StacksTold", ["request"])
"""That was all."""

# -- dispatcher to warden, which passes it on to the parent ----------------------------------------------------------

LastWords = namedtuple("LastWords", ["reason"])
"""The dispatcher is about to end for this reason."""

# -- dispatcher to warden ------------------------------------------------------------------------------------------

Spawn = namedtuple("Spawn", ["count"])
Kill = namedtuple("Kill", ["worker", "ticket", "grace_ns"])
"""End this attempt as cancelled, if it still runs; grace None for the task's own."""
Retire = namedtuple("Retire", ["worker"])
Forget = namedtuple("Forget", ["worker"])
"""Everything about this dead worker has been dealt with."""

# -- warden to dispatcher ------------------------------------------------------------------------------------------

WorkerForked = namedtuple("WorkerForked", ["worker", "slot", "pid"])
"""Its task channel and its answer channel come along."""
WorkerDied = namedtuple(
    "WorkerDied", ["worker", "exit_code", "signal", "sentenced", "reason", "stack", "left", "at_ns", "used"]
)
"""``sentenced`` is the ticket it was killed for (0: none) and ``reason`` the status to give; ``stack`` what
faulthandler wrote; ``left`` how many processes it left; ``at_ns``
when it was found dead, monotonic; ``used`` how many bytes it and all it started used when that was too much."""
ForkFailed = namedtuple("ForkFailed", ["reason"])

# -- warden to template, and back ----------------------------------------------------------------------------------

TemplateFork = namedtuple("TemplateFork", ["worker", "slot"])
"""Fork a worker; its channels and its stack file come along."""
TemplateReady = namedtuple("TemplateReady", [])
TemplateFailed = namedtuple("TemplateFailed", ["reason"])
TemplateForked = namedtuple("TemplateForked", ["worker", "pid", "problem"])
"""``pid`` is 0 when it could not be forked."""

_KINDS = (
    ReplaceDispatcher,
    Quit,
    DispatcherForked,
    WardenFailed,
    Spawn,
    Kill,
    Retire,
    Forget,
    WorkerForked,
    WorkerDied,
    ForkFailed,
    TemplateFork,
    TemplateReady,
    TemplateFailed,
    TemplateForked,
    LastWords,
    TellStacks,
    StackTold,
    StacksTold,
)
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}


def encode(message: tuple[Any, ...]) -> bytes:
    """A message between supervising processes, as bytes."""
    fields: tuple[Any, ...] = (_NUMBERS[type(message)], *message)
    return dumps(fields)


def decode(data: bytes) -> Any:
    """The message that was encoded."""
    number, *fields = loads(data)
    return _KINDS[number](*fields)
