"""The way of answers from a worker to the dispatcher: looked at first, and taken out when they have been passed on.

An answer must be in the kernel before the next task begins, so each is a write of its own.  Writing 60 bytes costs
1.2 µs into a local socket, which makes a buffer for each write, and 0.4 into a pipe.  A socket can be peeked at and
a pipe cannot; but the kernel copies from pipe to pipe without taking anything out (``tee``), and the copy is read.

Price: a pipe carries no descriptors, and may hold as little as one page.  What does not fit into a page is sent the
other way along the worker's task channel, one answer a message, with the file it may be in.  So answers may overtake
one another; each names its attempt, and nobody asks for their order.  Where there is no ``tee``, or it is forbidden,
the pipe is a socket.
"""

from __future__ import annotations

import os

from workflow.engine import system
from workflow.engine.channel import DONT_WAIT, PEEK, stream_from, stream_pair

BRIEF = 4096
"""Bytes up to which an answer goes this way: what a pipe takes whole or not at all, and in one page."""
_READ = 1 << 16
_KIND, _SOCKET = 0o170000, 0o140000
"""As ``stat`` has them, which would have to be imported."""


def answer_pair() -> tuple[int, int]:
    """The reading and the writing end, as descriptors."""
    if system.can_tee():
        return os.pipe()
    ours, theirs = stream_pair()
    return ours.detach(), theirs.detach()


class Answers:
    """The dispatcher's end."""

    __slots__ = ("_socket", "descriptor")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        # Whoever made it may have known otherwise, so what it is counts.
        is_socket = os.fstat(descriptor).st_mode & _KIND == _SOCKET
        self._socket = stream_from(descriptor) if is_socket else None

    def look(self) -> bytes:
        """What is there, and stays there; empty at the end.  Raises BlockingIOError when nothing is."""
        if self._socket is not None:
            return self._socket.recv(_READ, PEEK | DONT_WAIT)
        copy, copy_to = _copy()
        count = system.tee(self.descriptor, copy_to, _READ)
        return os.read(copy, count) if count else b""

    def take_out(self, count: int) -> None:
        """Let go of so many bytes that were looked at."""
        while count:
            count -= len(os.read(self.descriptor, count))

    def close(self) -> None:
        """Neither look nor take out any more."""
        if self._socket is not None:
            self._socket.close()
        else:
            os.close(self.descriptor)


copies: list[int] = []
"""Both ends of the pipe that the others are copied into, once there is one; it is empty between two looks."""


def _copy() -> list[int]:
    if not copies:
        copies.extend(os.pipe())
    return copies
