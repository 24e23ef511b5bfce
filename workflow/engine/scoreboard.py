"""What every worker is doing right now, in shared memory: a row of 64-bit words for each.

A worker must be judged by others exactly when it can say nothing itself: it is dead, or a C loop holds its GIL.  So
it writes down what it begins before it begins it, in memory that the warden (deadlines), the dispatcher (blame) and
the parent (live view) read without asking.  Every word has one writer at a time and is stored whole: a store
through a ``memoryview`` cast to ``Q`` is one aligned move.  There is no lock, so nobody can die holding one.

Alternatives were a message for each start (a wake-up each, 40 µs, and none from a process that hangs in a C loop)
and a token read from a pipe for each claim (0.4 µs; this costs as much for the whole row).

The reasoning about order leans on stores becoming visible within 0.1 ms and not out of order: true on x86 and, in
practice, on ARM at that distance.
"""

from __future__ import annotations

import mmap
import os

WORDS = 16
"""Words in a row."""

# Words of a worker's row, and who writes them.
STATE = 0
"""Worker: ``ticket << 2 | phase``, 0 when it holds nothing."""
REFUSE_BELOW = 1
"""Dispatcher: messages with a smaller number are refused by the worker."""
STARTED = 2
"""Worker: when the attempt began, monotonic ns; before the first, when it was ready.  0 until then."""
DEADLINE = 3
"""Worker: when the attempt is to be killed, monotonic ns; NEVER without a limit."""
SENTENCE = 4
"""Warden (or, standing in for it, the worker's second thread): the ticket that is being ended; 0 when none."""
SENTENCE_REASON = 5
"""The same: index into ``messages.STATUSES``."""
GRACE = 6
"""Worker: ns between SIGTERM and SIGKILL."""
MEMORY = 7
"""Worker: limit in bytes, 0 without."""
STAGE = 8
"""Worker: index into ``STAGES``."""
LOG_FILE = 9
"""Worker: number of the file its output goes to, ``slot << 16 | generation``; 0 when output is not captured."""
LOG_START = 10
"""Worker: where in that file the output of the attempt begins."""
PID = 11
"""Warden: the worker's process, 0 when the row is free."""
WORKER = 12
"""Warden: the worker's number."""
SENTENCED_STAGE = 13
"""Warden: what STAGE was when the attempt was sentenced; at its death it may be further."""

# Words of the dispatcher's row, which is row 0.
CALLBACK = 0
"""Callback thread: ticket of the callback begun last."""
CALLBACK_DEADLINE = 1
"""Callback thread: when it must have ended, monotonic ns; NEVER without a limit or without a callback."""
DISPATCHER_PID = 2
"""Warden."""
CALLBACK_END = 3
"""Warden: ticket of the callback for whose lateness it ended the dispatcher."""
BEAT = 4
"""Warden: another number in each turn of its loop."""
WARDEN_PID = 5
"""Warden."""

CLAIMED, RUNNING, ANSWERING, CLEANING = 0, 1, 2, 3
"""Phases: taken but not begun; begun; finished, and its answer on the way; answered, and its objects are dying.

Limits hold while it runs.  Answering has none, for it waits for a dispatcher that may be stopped, and runs no code of
the task's.  Destructors are the task's code again: the DEADLINE is then a few seconds after the answer.
"""

NEVER = (1 << 63) - 1

STAGES = ("start", "import", "arguments", "init", "run", "result")
AT_START, AT_IMPORT, AT_ARGUMENTS, AT_INIT, AT_RUN, AT_RESULT = range(6)


def size_for(slots: int) -> int:
    """Bytes of a scoreboard for so many workers (numbered from 1; row 0 is the dispatcher's)."""
    needed = (slots + 1) * WORDS * 8
    return -(-needed // mmap.PAGESIZE) * mmap.PAGESIZE


def map_words(descriptor: int) -> memoryview:
    """The scoreboard as a sequence of words, shared with every process that maps the same descriptor."""
    memory = mmap.mmap(descriptor, os.fstat(descriptor).st_size)
    return memoryview(memory).cast("Q")


def read_state(words: memoryview, slot: int) -> tuple[int, int]:
    """Ticket and phase of a worker; ticket 0 when it holds nothing."""
    state = words[slot * WORDS + STATE]
    return state >> 2, state & 3
