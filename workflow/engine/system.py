"""What the operating system offers beyond POSIX, each behind one function that says whether it is there.

Linux has all of it.  Elsewhere the engine works with what POSIX has: a process that guards another notices its end
by an end-of-file instead of a process descriptor, and a temporary file stands in for anonymous memory.
"""

from __future__ import annotations

import errno
import os
import sys

LINUX = sys.platform == "linux"

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_FALLOC_PUNCH_HOLE_KEEP_SIZE = 3
_IONBF = 2
_SPLICE_F_NONBLOCK = 2
_F_ADD_SEALS = 1033
_SEAL_ALL = 0x1 | 0x2 | 0x4 | 0x8
"""Neither seals, shorter, longer, nor written."""
_MAP_PRIVATE, _MAP_FIXED, _MAP_ANONYMOUS = 0x02, 0x10, 0x20
"""As every Linux but that on Alpha, MIPS and PA-RISC has them."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctypes import CDLL
    from mmap import mmap
    from typing import Any

_libc: CDLL | None = None
_can_tee: bool | None = None


def libc() -> CDLL:
    """The C library of this process."""
    global _libc
    if _libc is None:
        import ctypes

        _libc = ctypes.CDLL(None, use_errno=True)
    return _libc


def die_with_parent(signal: int) -> None:
    """Have the kernel send ``signal`` to this process when the thread that forked it ends.

    Survives exec and setsid, and works whoever holds the GIL.  The caller must compare getppid() afterwards: the
    parent may have died before.  Without Linux the caller's own watching has to do.
    """
    if LINUX:
        libc().prctl(_PR_SET_PDEATHSIG, signal, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of every process below this one whose own parent dies (a subreaper).  Linux only."""
    if LINUX:
        libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def name_process(role: str) -> None:
    """Have ``ps`` and ``top`` show which part of the engine this process is, as ``wf-role``.  Linux only."""
    try:
        descriptor = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.write(descriptor, f"wf-{role}".encode())  # the kernel keeps 15 bytes
    except OSError:
        pass
    finally:
        os.close(descriptor)


def process_descriptor(pid: int) -> int | None:
    """A descriptor that becomes readable when the process has ended, or None where there is no such thing."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def anonymous_file(name: str) -> int:
    """A descriptor of a file without a name: gone with its last user, whatever ends that one."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    import tempfile

    descriptor, path = tempfile.mkstemp(prefix=f"{name}-")
    os.unlink(path)
    os.set_inheritable(descriptor, False)
    return descriptor


def seal(descriptor: int) -> None:
    """Have such a file stay as it is, for ever and for everybody.  Linux only."""
    if LINUX:
        import fcntl

        try:
            fcntl.fcntl(descriptor, _F_ADD_SEALS, _SEAL_ALL)
        except OSError:
            pass  # it is a temporary file, or a system that has no seals: whoever holds it is ours


def map_privately(descriptor: int, offset: int, size: int) -> mmap:
    """A part of a file as memory that may be written into, which nobody else sees; no descriptor is kept.

    Raises OSError where that is not possible.
    """
    if not LINUX:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    import ctypes
    from mmap import ACCESS_COPY, mmap

    # The module's own mapping of a file keeps a descriptor.  So memory is reserved by it, which it will give back, and
    # the file is put in the place.
    place = mmap(-1, size, access=ACCESS_COPY)
    address = ctypes.addressof(ctypes.c_char.from_buffer(place))
    mapped = _mapper()(address, size, 3, _MAP_PRIVATE | _MAP_FIXED, descriptor, offset)
    if mapped != address:
        number = ctypes.get_errno()
        # What was reserved may be gone, and must not be given back when it is somebody else's.
        if _mapper()(address, size, 0, _MAP_PRIVATE | _MAP_ANONYMOUS | _MAP_FIXED, -1, 0) != address:
            _lost.append(place)
        raise OSError(number, os.strerror(number))
    return place


_lost: list[mmap] = []


def _mapper() -> Any:
    import ctypes

    call = libc().mmap
    call.restype = ctypes.c_void_p
    call.argtypes = (
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_long,
    )
    return call


def punch_hole(descriptor: int, offset: int, size: int) -> bool:
    """Give back the disk blocks of a part of a file; offsets stay.  False where the file system cannot."""
    if not LINUX:
        return False
    import ctypes

    place, length = ctypes.c_int64(offset), ctypes.c_int64(size)
    return bool(libc().fallocate(descriptor, _FALLOC_PUNCH_HOLE_KEEP_SIZE, place, length) == 0)


def unbuffer_c_streams() -> None:
    """Let what C code prints reach its descriptor at once; otherwise it dies with a killed process."""
    if LINUX:
        import ctypes

        for name in ("stdout", "stderr"):
            libc().setvbuf(ctypes.c_void_p.in_dll(libc(), name), None, _IONBF, 0)


def tee(source: int, target: int, count: int) -> int:
    """Copy from pipe to pipe without taking anything out; how many bytes, 0 at the end.  Linux only.

    Raises BlockingIOError when there is nothing, or no room.
    """
    import ctypes

    copied: int = libc().tee(source, target, ctypes.c_size_t(count), _SPLICE_F_NONBLOCK)
    if copied < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return copied


def can_tee() -> bool:
    """Whether ``tee`` works here: a container's filter of system calls may forbid it.  Tried once in a process.

    Raises OSError when there are not enough descriptors to try it.
    """
    global _can_tee
    if _can_tee is None:
        _can_tee = LINUX and _try_tee()
    return _can_tee


def _try_tee() -> bool:
    ends = [*os.pipe()]
    try:
        ends += os.pipe()
        tee(ends[0], ends[3], 1)
    except BlockingIOError:  # nothing is in it
        return True
    except OSError:
        if len(ends) < 4:
            raise
        return False
    else:
        return True
    finally:
        for end in ends:
            os.close(end)


def keep_only(descriptors: set[int]) -> None:
    """Close every descriptor but these and the standard three."""
    keep = descriptors | {0, 1, 2}
    try:
        names = os.listdir("/proc/self/fd" if LINUX else "/dev/fd")
    except OSError:  # the table is full, perhaps
        names = []
        low = 3
        for kept in sorted(keep - {0, 1, 2} | {os.sysconf("SC_OPEN_MAX")}):
            if low < kept:
                os.closerange(low, kept)
            low = kept + 1
    for name in names:
        if int(name) not in keep:
            try:
                os.close(int(name))
            except OSError:
                pass  # the one that listed the folder is gone already


def fill_standard_descriptors() -> None:
    """Open what is closed of descriptors 0, 1 and 2, on nothing.

    A program may be started with them closed.  Sockets of ours would get those numbers, and what is printed would go
    into them.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest number, which is this one


def require_room(count: int) -> None:
    """Raise OSError when fewer than so many descriptors are free.

    Who grows asks this first, so that reading /proc, on which every kill of a tree depends, goes on working.
    """
    probes: list[int] = []
    try:
        for _ in range(count):
            probes.append(os.dup(0))  # noqa: PERF401  # what was opened before one fails is to be closed
    finally:
        for probe in probes:
            os.close(probe)


def explain(error: BaseException) -> str:
    """An error in words, with the limit it ran into when it is one of those a user can raise."""
    number = getattr(error, "errno", None)
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
        if error.filename is not None:
            text += f": {error.filename!r}"
    else:
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if number == errno.ENFILE:
        return f"{text} (the limit of the whole system: fs.file-max)"
    if number == errno.EMFILE or f"Error {errno.EMFILE}" in text or os.strerror(errno.EMFILE) in text:
        return f"{text} (a process may have {_limit('SC_OPEN_MAX')} open: ulimit -n)"
    if number == errno.EAGAIN or "can't start new thread" in text:
        return (
            f"{text} (no more processes or threads: this user may have {_limit('SC_CHILD_MAX')}, ulimit -u, "
            "or the limit of a container, pids.max)"
        )
    if number == errno.ENOMEM or isinstance(error, MemoryError):
        return f"{text} (out of memory, or the limit of a process: ulimit -v)"
    if number == errno.EFBIG:
        return f"{text} (the limit of a file's size, which counts for what is shared in memory too: ulimit -f)"
    if number == errno.ETOOMANYREFS:
        return f"{text} (of descriptors on their way, a user may have {_limit('SC_OPEN_MAX')}: ulimit -n)"
    return text


def _limit(name: str) -> str:
    value = os.sysconf(name)
    return "any number" if value < 0 else str(value)


def usable_cpus() -> int:
    """Processors this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


OWN_FAILURE = "workflow: a process of the engine could not go on: "


def show_own_failure(also: int | None = None) -> None:
    """Say what ended a process of ours where the program's errors go: there is nobody left to tell it to.

    A line; the traceback, when WORKFLOW_DEBUG is set.  ``also`` is a descriptor to which the line is written too.
    """
    try:
        error = sys.exc_info()[1] or RuntimeError("unknown")
        line = f"{OWN_FAILURE}{explain(error)}\n".encode(errors="replace")
        if also is not None:
            os.write(also, line)
        if os.environ.get("WORKFLOW_DEBUG"):
            import traceback

            traceback.print_exc()
        else:
            os.write(2, line)
    except BaseException:  # noqa: BLE001, S110  # the process is ending anyway
        pass


def read_file(descriptor: int) -> bytes:
    """All of a file that came along a channel, which is closed."""
    parts: list[bytes] = []
    position = 0
    while True:
        part = os.pread(descriptor, 1 << 30, position)
        if not part:
            break
        parts.append(part)
        position += len(part)
    os.close(descriptor)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def write_all(descriptor: int, body: bytes | memoryview) -> None:
    """Write all of it, in as many writes as that takes."""
    written = os.write(descriptor, body)
    if written < len(body):
        view = memoryview(body)[written:]
        while view:
            view = view[os.write(descriptor, view) :]
