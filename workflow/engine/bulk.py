"""Large arguments and results: each in a file in memory, which its writer fills and its reader maps.

Through the channels such a thing would be copied four or five times: into a pickle, a socket, a buffer, a file and
out of that.  So it is pickled straight into a file, and the file's descriptor travels in its place.  What pickle hands
out as a buffer (the memory of an array) stands behind the pickle, at the beginning of a page: the reader maps that,
privately, and the array that it unpickles *is* this mapping.  It may write into it; nobody else sees what it writes.

    pickle │ to the next page │ buffer │ to the next page │ buffer … │ where they lie │ their number, size of pickle

Nobody shortens a file: it is sealed when it is complete, so a mapping of it cannot end its reader by SIGBUS.

Descriptors are few.  A program has a share of them on their way at a time, beyond which its arguments travel inside
their frames; a mapping keeps none (that of ``mmap`` would, so a file is mapped over an anonymous one).  Mappings are
few too: beyond a number of them the parent reads what arrives.

Alternatives: one shared block for all (a killed worker leaves holes in it, and somebody has to know who reads what);
``vmsplice``, which needs memory that nobody touches meanwhile.  Price: what is large is pickled in pieces of 64 KiB,
each a call of Python, and a buffer below ``LARGE`` is copied once more.

A worker imports this, so it imports almost nothing.
"""

from __future__ import annotations

import os
from _pickle import Pickler, dumps, loads
from struct import Struct

from workflow.engine import system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

LARGE = 1 << 20
"""Bytes from which arguments, and each buffer, are worth a file, or a mapping."""
_FILES_MAX = 256
_SHARE = 16
"""Of the descriptors that this process may have, one in so many may be such a file."""
_MAPPINGS_MAX = 8192
"""Of the 65,530 mappings that Linux gives a process; threads and the program's own memory need some."""
_PAGE = 1 << 16
"""A multiple of the pages of every processor; what is skipped of a file takes no memory."""
_NAMES = 1 << 17
"""Pickle writes in pieces of half of this; what is longer is one value, and holds no names of classes."""
_PART = Struct("<QQ")
_END = Struct("<QQ")

_BLOCKS = frozenset((bytes, bytearray, str))
_LOOKED_INTO = 16
"""Elements up to which a container is looked into: who looks pays, and most are small."""
SMALL_KINDS = frozenset((int, float, bool, type(None)))


class TooLarge(ValueError):
    """What was pickled takes more than it may."""


class NoRoom(Exception):
    """The file could not be written: memory, or a limit of this process."""


class NamesIt(Exception):  # no error: it is to be pickled in another way
    """A name that was not to be in a pickle is there."""


_open: set[int] = set()
"""Descriptors of the files that this process has."""


class File:
    """A file with a pickle in it, open as long as somebody holds this."""

    __slots__ = ("descriptor",)

    def __init__(self) -> None:
        self.descriptor = system.anonymous_file("workflow-bulk")
        _open.add(self.descriptor)

    # What it needs is bound here: at the end of a program names of modules may be gone before it.
    def __del__(self, forget: Callable[[int], None] = _open.discard, close: Callable[[int], None] = os.close) -> None:
        try:
            descriptor = self.descriptor
        except AttributeError:
            return  # it could not be opened
        forget(descriptor)
        close(descriptor)


def is_large(value: object, depth: int = 2) -> bool:
    """Whether it is, or openly holds, a block of bytes or text that is worth a file.  Quick, and may miss some."""
    kind = value.__class__
    if kind in _BLOCKS:
        return len(value) >= LARGE  # type: ignore[arg-type]
    if kind is tuple or kind is list or kind is dict:
        inside: Any = value
        if depth and len(inside) <= _LOOKED_INTO:
            for part in inside.values() if kind is dict else inside:
                kind = part.__class__
                if kind in _BLOCKS:
                    if len(part) >= LARGE:
                        return True
                elif depth > 1 and kind not in SMALL_KINDS and is_large(part, depth - 1):
                    return True
    return False


def refuse_large(buffer: Any) -> bool:
    """As the callback for buffers of an ordinary pickle: into it with small ones; raises HasLarge for a large one."""
    if _raw(buffer) is not None:
        raise HasLarge
    return True


class HasLarge(Exception):  # no error: it says that there is a better way
    """There is a buffer that is worth a file."""


def pack(value: object) -> bytes | File:
    """Arguments, pickled; in a file when they are large and there is room for one.  Raises what pickling raises."""
    return pack_by(value, _pickled, write, large=is_large(value))


def pack_by(
    value: object,
    in_memory: Callable[[object, Callable[[Any], bool] | None], bytes],
    in_file: Callable[[object], File],
    *,
    large: bool,
) -> bytes | File:
    """The same, by other picklers; the first is told what to ask about each buffer."""
    if not large:
        try:
            packed = in_memory(value, refuse_large)
        except HasLarge:
            pass
        else:
            return packed if len(packed) < LARGE else put_aside(packed)
    if may_open():
        try:
            return in_file(value)
        except NoRoom:
            pass
    return in_memory(value, None)


def _pickled(value: object, on_buffer: Callable[[Any], bool] | None) -> bytes:
    return dumps(value, 5, buffer_callback=on_buffer)


def put_aside(packed: bytes) -> bytes | File:
    """What is pickled already, in a file when there is room for one."""
    if may_open():
        try:
            return write_pickled(packed)
        except NoRoom:
            pass
    return packed


def may_open() -> bool:
    """Whether this process may have one more such file.  Elsewhere than on Linux there is no memory for them."""
    if not hasattr(os, "memfd_create"):
        return False
    most = os.sysconf("SC_OPEN_MAX")
    return len(_open) < (_FILES_MAX if most < 0 else min(_FILES_MAX, most // _SHARE))


def write(
    value: object,
    pickler: Callable[..., Any] = Pickler,
    *,
    apart: bool = True,
    most: int = 1 << 63,
    unless: bytes | None = None,
) -> File:
    """Pickle into a file.  ``apart``: with large buffers behind the pickle.

    Raises what pickling raises; TooLarge beyond ``most`` bytes, of which hardly more are written; NamesIt when the name
    ``unless`` may be in it; NoRoom.
    """
    writer = _Writer(most, unless)
    writer.open()
    _pickle(value, pickler, writer, apart=apart)
    return writer.finish()


def write_what_is_large(value: object, *, apart: bool, most: int) -> bytes | File:
    """The same, of what may be small: that comes as bytes.  Slower than ``dumps``, and ends at ``most``."""
    writer = _Writer(most, None)
    _pickle(value, Pickler, writer, apart=apart)
    return writer.in_memory() or writer.finish()


def write_pickled(packed: bytes) -> File:
    """The same, of what is pickled already, or need not be.  Raises NoRoom."""
    writer = _Writer(1 << 63, None)
    writer.open()
    try:
        writer.write(packed)
    except OSError:
        if writer.problem is not None:
            raise writer.problem from None
        raise
    return writer.finish()


def _pickle(value: object, pickler: Callable[..., Any], writer: _Writer, *, apart: bool) -> None:
    try:
        if apart:
            pickler(writer, 5, buffer_callback=writer.take).dump(value)
        else:
            pickler(writer, 5).dump(value)
    except Exception:
        if writer.problem is not None:
            raise writer.problem from None
        raise


class _Writer:
    """What a pickler writes to: memory, and from ``LARGE`` on, or when it is opened, a file."""

    __slots__ = ("_buffers", "_file", "_most", "_parts", "_size", "_unless", "problem")

    def __init__(self, most: int, unless: bytes | None) -> None:
        self.problem: Exception | None = None
        self._most, self._unless = most, unless
        self._size = 0
        self._file: File | None = None
        self._parts: list[bytes] = []
        self._buffers: list[memoryview] = []

    def open(self) -> None:
        """Go on in a file.  Raises NoRoom."""
        try:
            self._file = File()
            for part in self._parts:
                system.write_all(self._file.descriptor, part)
        except OSError as error:
            self.problem = NoRoom(system.explain(error))
            raise self.problem from None
        self._parts = []

    def in_memory(self) -> bytes:
        """All of it; empty when it is in a file."""
        return b"" if self._file is not None or self._buffers else b"".join(self._parts)

    def write(self, data: Any) -> None:
        """Called by the pickler, with its own pieces and with each large block as it is."""
        if data.__class__ is not bytes and hasattr(data, "raw"):
            data = data.raw()  # a buffer that is to stand in the pickle
        size = len(data)
        self._grow(size)
        if self._unless is not None and size < _NAMES and self._unless in bytes(data):
            self.problem = NamesIt()
            raise self.problem
        if self._file is None:
            if self._size < LARGE:
                self._parts.append(bytes(data))  # of which the pickler may want the memory back
                return
            self.open()
            assert self._file is not None
        try:
            system.write_all(self._file.descriptor, data)
        except OSError as error:
            self.problem = NoRoom(system.explain(error))
            raise

    def take(self, buffer: Any) -> bool:
        """Called by the pickler: whether this buffer is to stand in the pickle."""
        view = _raw(buffer)
        if view is None:
            return True
        self._grow(view.nbytes)
        self._buffers.append(view)
        return False

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > self._most:
            self.problem = TooLarge(self._size)
            raise self.problem

    def finish(self) -> File:
        """Complete the file.  Raises NoRoom."""
        if self._file is None:
            self.open()
        assert self._file is not None
        descriptor = self._file.descriptor
        try:
            size = end = os.fstat(descriptor).st_size
            parts = []
            for view in self._buffers:
                start = -(-end // _PAGE) * _PAGE
                os.lseek(descriptor, start, os.SEEK_SET)
                system.write_all(descriptor, view)
                end = start + view.nbytes
                parts.append(_PART.pack(start, view.nbytes))
            system.write_all(descriptor, b"".join(parts) + _END.pack(len(parts), size))
            system.seal(descriptor)
        except OSError as error:
            raise NoRoom(system.explain(error)) from None
        return self._file


def _raw(buffer: Any) -> memoryview | None:
    """The memory of a large buffer, as bytes; None of one that is small, or not in one piece."""
    try:
        view: memoryview = buffer.raw()
    except BufferError:
        return None
    return view if view.nbytes >= LARGE else None


# -- reading -------------------------------------------------------------------------------------------------------


def load(descriptor: int) -> object:
    """Unpickle what is in such a file.  Raises what unpickling raises."""
    size, parts = _layout(descriptor)
    buffers = [memoryview(_private(descriptor, *part)) for part in parts]
    # Unpickled from a mapping, for all who hold such a file share its position.
    with memoryview(_private(descriptor, 0, size)) as pickled:
        return loads(pickled, buffers=buffers)


def read_pickle(descriptor: int, before: bytes) -> bytearray:
    """The pickle in such a file that has no buffers, behind something else."""
    size, _parts = _layout(descriptor)
    # Read to where it is to stand: a large result is worth a copy less.
    whole = bytearray(len(before) + size)
    whole[: len(before)] = before
    with memoryview(whole) as view:
        _read_into(descriptor, view[len(before) :], 0)
    return whole


class Arrived:
    """A large result in the process that pushed, until somebody asks for it."""

    __slots__ = ("_buffers", "_pickle", "_pristine")

    def __init__(self, descriptor: int) -> None:
        """Raises OSError when it can neither be mapped nor read."""
        size, parts = _layout(descriptor)
        self._pickle: Any
        self._pristine: list[Any] = []
        self._buffers: list[Any] | None
        if len(_mappings()) + 1 + 2 * len(parts) < _MAPPINGS_MAX:
            self._pickle = _keep(_private(descriptor, 0, size))
            self._pristine = [_keep(_private(descriptor, *part)) for part in parts]
            self._buffers = [_keep(_private(descriptor, *part)) for part in parts]
        else:
            self._pickle = _read(descriptor, 0, size)
            self._pristine = [_read(descriptor, *part) for part in parts]
            self._buffers = None

    def load(self) -> object:
        """Unpickle it; what comes of it may be written into.  Raises what unpickling raises."""
        buffers, self._buffers = self._buffers, None
        if buffers is None:
            buffers = [bytearray(buffer) for buffer in self._pristine]
        # As views, which know more of what a bytearray knows than mappings do.
        buffers = [memoryview(buffer) for buffer in buffers]
        from workflow.engine.own_module import loads_from_main

        with memoryview(self._pickle) as pickled:
            return loads_from_main(pickled, buffers=buffers)

    def pickled(self) -> bytes:
        """As one pickle, as it arrived."""
        if not self._pristine:
            return bytes(self._pickle)
        return dumps(_Whole(bytes(self._pickle), self._pristine), 5)


class _Whole:
    """A pickle and its buffers as one pickle, which the standard library alone can read."""

    def __init__(self, pickled: bytes, buffers: Sequence[Any]) -> None:
        self._pickled = pickled
        self._buffers = buffers

    def __reduce__(self) -> tuple[Any, ...]:
        from functools import partial

        return partial(loads, buffers=[bytearray(buffer) for buffer in self._buffers]), (self._pickled,)


def _layout(descriptor: int) -> tuple[int, list[tuple[int, int]]]:
    """The size of the pickle; where the buffers lie, and how large they are."""
    end = os.fstat(descriptor).st_size - _END.size
    count, size = _END.unpack(os.pread(descriptor, _END.size, end))
    index = os.pread(descriptor, count * _PART.size, end - count * _PART.size) if count else b""
    return size, list(_PART.iter_unpack(index))


def _private(descriptor: int, offset: int, size: int) -> Any:
    """A part of a file, mapped so that nobody else sees what is written into it; read, where that is not possible."""
    try:
        return system.map_privately(descriptor, offset, size)
    except OSError:
        return _read(descriptor, offset, size)


def _read(descriptor: int, offset: int, size: int) -> bytearray:
    whole = bytearray(size)
    with memoryview(whole) as view:
        _read_into(descriptor, view, offset)
    return whole


def _read_into(descriptor: int, view: memoryview, offset: int) -> None:
    position = 0
    while position < len(view):
        count = os.preadv(descriptor, [view[position:]], offset + position)
        if not count:
            break
        position += count


_kept: Any = None


def _mappings() -> Any:
    """Those that this process keeps."""
    global _kept
    if _kept is None:
        from weakref import WeakSet  # no worker comes here

        _kept = WeakSet()
    return _kept


def _keep(mapping: Any) -> Any:
    if not isinstance(mapping, bytearray):
        _mappings().add(mapping)
    return mapping
