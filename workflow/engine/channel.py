"""Sockets between the processes of the engine, and descriptors sent along them.

Two shapes.  A *stream* carries frames of any size, many to a read; whoever dies in the middle of one leaves a half
frame, which the reader throws away.  A *packet* socket delivers a message whole or not at all; tasks go to workers
that way, so that a dispatcher which dies while sending leaves nothing half said behind.

Every channel has one process on each side and one writer a side: no lock is shared between processes, so a killed
one can spoil only its own channel.

Descriptors that find no room in the receiver's table are dropped by the kernel, which says so by a flag.  Whoever went
on without them would wait for a channel that nobody holds: so this is an error here, of which the receiver ends or
replaces itself.
"""

from __future__ import annotations

import _socket
import errno
import os
import time
from array import array

Socket = _socket.socket

_PACKET = getattr(_socket, "SOCK_SEQPACKET", _socket.SOCK_DGRAM)
if hasattr(_socket, "SOCK_SEQPACKET") and not hasattr(_socket, "AF_PACKET"):
    _PACKET = _socket.SOCK_DGRAM  # the constant exists on macOS, the local sockets do not have it
MAX_DESCRIPTORS = 8
"""In one message."""
_ANCILLARY = _socket.CMSG_SPACE(MAX_DESCRIPTORS * array("i").itemsize)

_CLOSE_ON_EXEC = getattr(_socket, "MSG_CMSG_CLOEXEC", 0)

PEEK = _socket.MSG_PEEK
DONT_WAIT = _socket.MSG_DONTWAIT
SHUT_WR = _socket.SHUT_WR

_IN_FLIGHT_S = 5.0
"""How long descriptors that others have not yet received may keep one from being sent, before that is an error."""


def stream_pair() -> tuple[Socket, Socket]:
    """Two connected ends for frames."""
    return _pair(_socket.SOCK_STREAM)


def packet_pair() -> tuple[Socket, Socket]:
    """Two connected ends for whole messages, of up to about 100 kB."""
    return _pair(_PACKET)


def _pair(kind: int) -> tuple[Socket, Socket]:
    first, second = _socket.socketpair(_socket.AF_UNIX, kind)
    for end in (first, second):
        # The usual 208 kB hold few tasks; the kernel cuts the wish down to what it allows.
        end.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, 1 << 20)
    return first, second


def stream_from(descriptor: int) -> Socket:
    """The stream end with this descriptor."""
    return Socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, descriptor)


def packet_from(descriptor: int) -> Socket:
    """The packet end with this descriptor."""
    return Socket(_socket.AF_UNIX, _PACKET, 0, descriptor)


def send_message(channel: Socket, data: bytes, descriptors: tuple[int, ...] = (), flags: int = 0) -> None:
    """Send a whole message with descriptors.

    Raises BlockingIOError when there is no room now, ConnectionError when the other side is gone, and OSError.
    """
    if not descriptors:
        channel.send(data, flags)
        return
    ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array("i", descriptors))]
    end = 0.0
    while True:
        try:
            channel.sendmsg([data], ancillary, flags)
        except OSError as error:
            # The kernel lets a user have only so many descriptors on their way, as many as may be open.
            if error.errno != errno.ETOOMANYREFS:
                raise
            if flags & DONT_WAIT or channel.gettimeout() == 0:
                raise BlockingIOError(error.errno, error.strerror) from None
            end = end or time.monotonic() + _IN_FLIGHT_S
            if time.monotonic() > end:
                raise
            time.sleep(0.001)
        else:
            return


def send_some(channel: Socket, data: bytes | memoryview, descriptor: int, flags: int) -> int:
    """Send a descriptor along a stream with as much of this as goes; how much, and never nothing.

    Raises BlockingIOError when neither has gone, and OSError.
    """
    try:
        return channel.sendmsg([data], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array("i", [descriptor]))], flags)
    except OSError as error:
        if error.errno == errno.ETOOMANYREFS:
            raise BlockingIOError(error.errno, error.strerror) from None
        raise


def receive_message(channel: Socket, flags: int = 0, size: int = 1 << 17) -> tuple[bytes, list[int]]:
    """One message with its descriptors, or up to ``size`` bytes of a stream; empty when the other side is gone.

    Raises BlockingIOError, and OSError when its descriptors found no room here: the message is lost with them.
    """
    for _ in range(2):
        try:
            data, ancillary, said, _address = channel.recvmsg(size, _ANCILLARY, flags | _CLOSE_ON_EXEC)
        except ConnectionError:
            continue  # a packet socket tells that its peer died with input unread before it gives what is left
        return data, _descriptors(ancillary, said)
    return b"", []


def receive_into(channel: Socket, buffer: memoryview, flags: int = 0) -> tuple[int, list[int]]:
    """Bytes of a stream, and the descriptors that came with the last of them.

    Raises BlockingIOError, and OSError when the descriptors found no room here.  The kernel ends a read behind bytes
    that carry descriptors, so they belong to the last frame in it.
    """
    while True:
        try:
            count, ancillary, said, _address = channel.recvmsg_into([buffer], _ANCILLARY, flags | _CLOSE_ON_EXEC)
        except ConnectionResetError:
            continue
        return count, _descriptors(ancillary, said) if ancillary or said & _socket.MSG_CTRUNC else []


def _descriptors(ancillary: list[tuple[int, int, bytes]], said: int) -> list[int]:
    found = array("i")
    for level, kind, data in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    if said & _socket.MSG_CTRUNC:
        for descriptor in found:
            os.close(descriptor)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return found.tolist()
