"""What is in files: a digest for each, for the keys of tasks and for what they made.

A snapshot names every file that a list of paths, folders and globs stands for, with the SHA-256 of its content.  An
input that is a link is followed.  In a folder, a link to a file counts by where it leads and by the content there, a
link to a folder only by where it leads, so that no circle is walked; an empty folder counts, modes and owners do not.
What is not there is in the snapshot as missing.  Nothing that is no file or folder is opened: a pipe would block.

Within a run the digest of a file is remembered by its device, inode, size, and times of content and of inode.  The
time of content alone is not trusted: it can be set, and a file that is written twice within one tick of the file
system's clock has the same time before and after.  So as git's index does, what was changed less than two seconds
before it was read ("racily clean") is read again the next time.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from glob import glob, has_magic

MISSING = "missing"
RACY_NS = 2_000_000_000
"""File systems have clocks of up to two seconds."""
FILES_MAX = 2000
"""Files of one entry that are told apart; a folder with more is one digest."""
_CHUNK = 1 << 20

Stamp = tuple[int, int, int, int, int]
"""Device, inode, size, mtime and ctime in nanoseconds."""


class Unstable(Exception):
    """A file cannot be read, or does not stay the same for as long as reading it takes."""


class Stopped(Exception):
    """Nobody waits for the answer any more."""


class Contents:
    """Digests of files, remembered for one run.  May be asked from several threads."""

    def __init__(self, stopped: Callable[[], bool] = lambda: False) -> None:
        self._known: dict[Stamp, str] = {}
        self._lock = threading.Lock()
        self._stopped = stopped

    def snapshot(self, root: str, entries: Sequence[str], without: frozenset[str] = frozenset()) -> dict[str, str]:
        """Digests by path.  ``without`` is left out of folders and globs.  Raises Unstable, Stopped."""
        found: dict[str, str] = {}
        for entry in entries:
            files = dict(self._entry(root, entry, without, self.file))
            if len(files) > FILES_MAX:
                whole = hashlib.sha256()
                for path in sorted(files):
                    whole.update(f"{path!r} {files[path]}\n".encode("utf-8", "surrogateescape"))
                files = {entry: f"{len(files)} files {whole.hexdigest()}"}
            found.update(files)
        return found

    def look(self, root: str, entries: Sequence[str], at_most: int | None = None) -> dict[str, str] | None:
        """What tells by path whether anything was written since, without opening a file.

        None where there are more than ``at_most``.  Raises Unstable, Stopped.
        """
        found: dict[str, str] = {}
        for entry in entries:
            for path, seen in self._entry(root, entry, frozenset(), _seen):
                found[path] = seen
                if at_most is not None and len(found) > at_most:
                    return None
        return found

    def trust(self, stamp: Sequence[int], digest: str) -> None:
        """Take over what an earlier run has remembered."""
        device, inode, size, modified, changed = stamp
        with self._lock:
            self._known.setdefault((device, inode, size, modified, changed), digest)

    def stamps(self, root: str, snapshot: Mapping[str, str]) -> dict[str, Stamp]:
        """Of the files in it that are remembered."""
        found: dict[str, Stamp] = {}
        for path, digest in snapshot.items():
            with suppress(OSError, ValueError):
                stamp = stamp_of(os.stat(os.path.join(root, path)))
                if self._known.get(stamp) == digest:
                    found[path] = stamp
        return found

    def file(self, path: str) -> str:
        """The digest of one file."""
        for _ in range(3):
            before = time.time_ns()
            digest, stamp = self._read(path)
            if digest is not None:
                if not is_racy(stamp, before):
                    with self._lock:
                        self._known[stamp] = digest
                return digest
        raise Unstable(f"{path} changes while it is read")

    def _read(self, path: str) -> tuple[str | None, Stamp]:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise Unstable(f"{path} cannot be read: {error.strerror or error}") from None
        try:
            stamp = stamp_of(os.fstat(descriptor))
            known = self._known.get(stamp)
            if known is not None:
                return known, stamp
            whole = hashlib.sha256()
            while chunk := os.read(descriptor, _CHUNK):
                whole.update(chunk)
                if self._stopped():
                    raise Stopped
            after = stamp_of(os.fstat(descriptor))
            return (whole.hexdigest() if after == stamp else None), stamp
        except OSError as error:
            raise Unstable(f"{path} cannot be read: {error.strerror or error}") from None
        finally:
            os.close(descriptor)

    def _entry(
        self, root: str, entry: str, without: frozenset[str], file: Callable[[str], str]
    ) -> Iterator[tuple[str, str]]:
        if not has_magic(entry):
            yield from self._path(root, entry.rstrip("/") or "/", without, file)
            return
        matches = sorted(glob(entry, root_dir=root, recursive=True), key=os.fsencode)
        if not matches:
            yield entry, MISSING
        for match in matches:
            path = match.rstrip("/")
            if path and path not in without:
                yield from self._path(root, path, without, file)

    def _path(
        self, root: str, path: str, without: frozenset[str], file: Callable[[str], str]
    ) -> Iterator[tuple[str, str]]:
        whole = os.path.join(root, path)
        try:
            mode = os.stat(whole).st_mode
        except (FileNotFoundError, NotADirectoryError):
            yield path, MISSING
            return
        except OSError as error:
            raise Unstable(f"{path} cannot be read: {error.strerror or error}") from None
        if stat.S_ISREG(mode):
            yield path, file(whole)
        elif stat.S_ISDIR(mode):
            yield from self._folder(root, path, without, file)
        else:
            yield path, "no file"

    def _folder(
        self, root: str, top: str, without: frozenset[str], file: Callable[[str], str]
    ) -> Iterator[tuple[str, str]]:
        waiting = [top]
        while waiting:
            if self._stopped():
                raise Stopped
            folder = waiting.pop()
            try:
                with os.scandir(os.path.join(root, folder)) as entries:
                    found = sorted(entries, key=lambda each: os.fsencode(each.name))
            except OSError as error:
                raise Unstable(f"{folder} cannot be read: {error.strerror or error}") from None
            yield f"{folder}/", "folder"
            for each in found:
                path = each.name if folder == "." else f"{folder}/{each.name}"
                if path in without:
                    continue
                if each.is_symlink():
                    yield path, _link(each.path, file)
                elif each.is_dir():
                    waiting.append(path)
                elif each.is_file():
                    yield path, file(each.path)
                else:
                    yield path, "no file"


def _link(path: str, file: Callable[[str], str]) -> str:
    try:
        target = os.readlink(path)
        content = file(path) if os.path.isfile(path) else ""
    except OSError as error:
        raise Unstable(f"{path} cannot be read: {error.strerror or error}") from None
    return hashlib.sha256(f"link {target!r} {content}".encode("utf-8", "surrogateescape")).hexdigest()


def _seen(path: str) -> str:
    try:
        return repr(stamp_of(os.stat(path)))
    except OSError as error:
        raise Unstable(f"{path} cannot be read: {error.strerror or error}") from None


def stamp_of(found: os.stat_result) -> Stamp:
    """What stays the same while a file is not touched."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def is_racy(stamp: Stamp, read_at_ns: int) -> bool:
    """Whether a file was changed so shortly before it was read that it may have been changed again unseen."""
    return max(stamp[3], stamp[4]) > read_at_ns - RACY_NS
