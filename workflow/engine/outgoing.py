"""What goes to the dispatcher: frames that wait to be written, and who writes them.

Whoever pushes writes himself when there is enough for a write, without ever blocking; what is left is written by the
sender thread, which waits a moment for more: to wake the dispatcher costs ten times what a task does.

Ctrl-C may interrupt a write between any two steps, and then nobody knows how far it came.  So its dispatcher is sent
away, and the next one is told everything that pends; what was to be written is forgotten with the old one.  A frame
that carries a descriptor is written by itself, for the descriptor goes with its first byte, and not again.
"""

from __future__ import annotations

import errno
import select
import threading
import time
from _queue import SimpleQueue
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from workflow.engine.channel import DONT_WAIT, SHUT_WR, send_message, send_some
from workflow.failpoints import ARMED, halves, reached
from workflow.messages import PUSH_IN_FILE, TASK

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from workflow.engine.bulk import File
    from workflow.engine.channel import Socket

FLUSH_BYTES = 32 * 1024
"""What is worth a write."""
_CROWDED_S = 0.001
_LINGER_S = 0.0005
"""How long a few frames wait for more, while the pool has work."""


class Outgoing:
    """The frames on their way to whoever is the dispatcher now.

    ``lock`` is held by whoever adds to ``frames`` and ``size``, never while anything is sent.  ``files`` are the
    arguments of tasks that have them in a file, by number.
    """

    def __init__(self, lock: threading.RLock, files: Mapping[int, File]) -> None:
        self.channel: Socket
        self.frames: list[bytes] = []
        """Added, and not yet taken to be written."""
        self.size = 0
        """Their bytes."""
        self.writing = threading.RLock()
        """Held by the one who writes."""
        self.ending = False
        self._lock = lock
        self._files = files
        self._rest: bytes | memoryview = b""
        """What is left of what was being written; a view, for it may be large."""
        self._carried: File | None = None
        """What goes with the first byte of that."""
        self._behind: deque[tuple[bytes, File | None]] = deque()
        """What is written next."""
        self._crowded = False
        """Whether no more descriptors may be on their way, so that waiting for room in the channel is of no use."""
        self._halfway = False
        """Whether it is not known, at this moment, what of it was written."""
        self._bell = Bell()
        self.due = False
        """Whether the sender thread was woken for what was added and has not begun to write."""

    def flush(self) -> None:
        """Write what there is, as far as that goes without waiting; the sender thread writes the rest."""
        if not self.is_writing():  # or else this has interrupted a write, in the same thread
            try:
                # An interruption may come when the lock was just taken: so it is taken inside.
                if self.writing.acquire(blocking=False) and self._write(DONT_WAIT):
                    return
            except BaseException:
                if self._halfway and self.is_writing():
                    with suppress(OSError):
                        self.channel.shutdown(SHUT_WR)  # the dispatcher leaves, and the reader puts another in place
                raise
            finally:
                try:  # `suppress` is Python, in which a second interruption could come first
                    self.writing.release()
                except RuntimeError:
                    pass  # somebody else has it
        self.ring()

    def is_writing(self) -> bool:
        """Whether this thread is in the middle of a write."""
        owned: bool = self.writing._is_owned()  # type: ignore[attr-defined]  # noqa: SLF001
        return owned

    def ring(self) -> None:
        """Have the sender thread write, or see that the end has come."""
        self._bell.set()

    def ring_once(self) -> None:
        """The same, when it is not ``due``."""
        self.due = True
        self._bell.set()

    def send_until_end(self) -> None:
        """The sender thread: what pushing threads could not write, or did not find worth a write."""
        while True:
            self._bell.wait()
            time.sleep(_LINGER_S)
            self._bell.clear()
            if self.ending:  # looked at behind the clearing: who ends sets this first, and then the bell
                return
            self.due = False  # before it writes: whoever saw the flag up had put his frame there
            done = False
            while not done and not self.ending:
                with self.writing:
                    done = self._write(DONT_WAIT)
                if not done:
                    # Not with the lock held: a dispatcher that is stopped would keep the next one from being told.
                    poll = select.poll()
                    poll.register(self.channel.fileno(), select.POLLOUT)
                    poll.poll(50)
                    if self._crowded:
                        self._crowded = False
                        time.sleep(_CROWDED_S)

    def start_over(self, channel: Socket) -> None:
        """With ``writing`` held: forget what was under way, for a new dispatcher."""
        # In this order: the sender thread looks at it without the lock, and must never find it closed.
        old, self.channel = self.channel, channel
        old.close()
        self._rest = b""
        self._carried = None
        self._behind.clear()
        self._halfway = False

    def forget(self) -> None:
        """With ``lock`` held: what was added is told to the dispatcher in another way."""
        self.frames.clear()
        self.size = 0

    def send_all(self, frames: Iterable[bytes]) -> None:
        """With ``writing`` held: write these, and wait for it.  Raises OSError."""
        for frame in frames:
            if frame[4] == PUSH_IN_FILE:
                file = self._files[TASK.unpack_from(frame)[3]]
                send_message(self.channel, frame[:1], (file.descriptor,))
                self.channel.sendall(memoryview(frame)[1:])
            else:
                self.channel.sendall(frame)

    def _write(self, flags: int) -> bool:
        """With ``writing`` held: whether everything is gone."""
        while True:
            if not self._rest and self._behind:
                self._rest, self._carried = self._behind.popleft()
            elif not self._rest:
                with self._lock:
                    if not self.frames:
                        return True
                    self._halfway = True
                    frames, self.frames = self.frames, []
                    self.size = 0
                self._take_next(frames)
            self._halfway = True
            view = memoryview(self._rest)
            sent = 0
            try:
                if self._carried is not None:
                    sent = self._send_carried(view, flags)
                if ARMED and halves("parent.half_sent", view)[1]:
                    sent = self.channel.send(view[: len(view) // 2], flags)
                    reached("parent.half_sent")
                while sent < len(view):
                    sent += self.channel.send(view[sent:], flags)
            except BlockingIOError:
                self._rest = view[sent:]
                self._halfway = False
                return False
            except OSError:
                self._behind.clear()  # the dispatcher is dead: the next one is told everything
            self._rest = b""
            self._carried = None
            self._halfway = False

    def _take_next(self, frames: list[bytes]) -> None:
        """Have these written next: together, but for each that carries a descriptor."""
        if not self._files:
            self._rest = b"".join(frames)
            return
        together: list[bytes] = []
        for frame in frames:
            if frame[4] != PUSH_IN_FILE:
                together.append(frame)
                continue
            if together:
                self._behind.append((b"".join(together), None))
                together = []
            file = self._files.get(TASK.unpack_from(frame)[3])
            if file is not None:  # else the engine has failed, and the task has ended
                self._behind.append((frame, file))
        if together:
            self._behind.append((b"".join(together), None))

    def _send_carried(self, view: memoryview, flags: int) -> int:
        """Begin with what carries a descriptor, which must not be sent again; how much of it went with that."""
        assert self._carried is not None
        try:
            sent = send_some(self.channel, view, self._carried.descriptor, flags)
        except BlockingIOError as error:
            self._crowded = error.errno == errno.ETOOMANYREFS
            raise
        self._carried = None
        return sent


class Bell:
    """What an Event does for one who waits, with no lock that an interrupted ringer could leave locked."""

    def __init__(self) -> None:
        self._rings: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """Wake whoever waits, now or next."""
        self._rings.put(None)

    def wait(self) -> None:
        """Until it was rung since it was cleared."""
        self._rings.get()

    def clear(self) -> None:
        """Forget how often it was rung."""
        while not self._rings.empty():
            self._rings.get_nowait()
