"""A file, written in one piece or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def write_whole(path: Path, pieces: Iterable[str]) -> None:
    """Write text to ``path``, replacing what is there at once: a reader sees the old file or the whole new one.

    Raises OSError when that is not possible, and whatever ``pieces`` raises; ``path`` is then as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # Lone surrogates, which file names and output may hold, cannot be written as UTF-8.
        with temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
