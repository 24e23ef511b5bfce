"""Descriptors sent along channels: none is lost without a word."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from workflow.engine import system
from workflow.engine.channel import PEEK, Socket, packet_pair, receive_into, receive_message, send_message, stream_pair


@contextmanager
def room_for(count: int) -> Iterator[None]:
    """Let this process open so many descriptors and no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.dup(0)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 20, hard))
    try:
        while True:
            try:
                taken.append(os.dup(0))
            except OSError:
                break
        for _ in range(count):
            os.close(taken.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in taken:
            os.close(descriptor)


@pytest.mark.parametrize("pair", [packet_pair, stream_pair])
@pytest.mark.parametrize("room", [0, 1])
def test_descriptors_that_find_no_room_are_an_error(pair: Callable[..., tuple[Socket, Socket]], room: int) -> None:
    """Whoever went on without them would wait for a channel that nobody holds; what did come is closed."""
    here, there = pair()
    with closing(here), closing(there):
        send_message(here, b"x", (0, 0))
        with room_for(room), pytest.raises(OSError, match="Too many open files"):
            receive_message(there)


def test_what_was_only_looked_at_is_still_there(tmp_path: object) -> None:
    """A dispatcher without room can be replaced by one that has."""
    here, there = stream_pair()
    buffer = memoryview(bytearray(10))
    with closing(here), closing(there):
        send_message(here, b"x", (0,))
        with room_for(0), pytest.raises(OSError, match="Too many open files"):
            receive_into(there, buffer, PEEK)
        count, descriptors = receive_into(there, buffer)
        assert (count, len(descriptors)) == (1, 1)
        os.close(descriptors[0])


def test_room_is_asked_for_before_there_is_none() -> None:
    with room_for(3):
        system.require_room(3)
        with pytest.raises(OSError, match="Too many open files"):
            system.require_room(4)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (OSError(errno.EMFILE, "Too many open files", "/x"), "Too many open files: '/x' (a process may have"),
        (OSError(errno.ENFILE, "Too many open files in system"), "fs.file-max"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "ulimit -u"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (MemoryError(), "ulimit -v"),
        (OSError(errno.ETOOMANYREFS, "Too many references"), "on their way"),
        (ValueError("x"), "ValueError: x"),
        (KeyError(), "KeyError"),
    ],
)
def test_an_error_names_the_limit_it_ran_into(error: BaseException, said: str) -> None:
    assert said in system.explain(error)
