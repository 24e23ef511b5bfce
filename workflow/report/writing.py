"""A file, written in one piece or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def write_whole(path: Path, pieces: Iterable[str], *, lasting: bool = True, private: bool = False) -> None:
    """Write text to ``path``, replacing what is there at once: a reader sees the old file or the whole new one.

    ``lasting`` is whether it is to be on the disk, and not only with the operating system, before this returns, and
    ``private`` whether its owner alone may read it.

    Raises OSError when that is not possible, and whatever ``pieces`` raises; ``path`` is then as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    opener = _for_the_owner if private else None
    try:
        # Lone surrogates, which file names and output may hold, cannot be written as UTF-8.
        with open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="", opener=opener) as file:
            file.writelines(pieces)
            file.flush()
            if lasting:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _for_the_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
