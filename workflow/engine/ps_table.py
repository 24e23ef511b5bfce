"""What ``processes`` needs to know, asked of the ``ps`` command: for systems without /proc, such as macOS.

Each question starts a process, so this is the slow way and only ever the second choice.  It has been run against the
``ps`` of Linux; the options are those that POSIX and the BSDs share.
"""

from __future__ import annotations

import os
import time


def parents() -> dict[int, int]:
    """The parent of every process, by pid."""
    text, own_pid = _ps("-A", "-o", "pid=,ppid=")
    table = {int(pid): int(parent) for pid, parent in (line.split() for line in text.splitlines())}
    table.pop(own_pid, None)  # the ps that said so
    return table


def start_time(pid: int) -> int | None:
    """Seconds since the epoch; None when it is gone."""
    text = column(pid, "lstart")
    return None if text is None else int(time.mktime(time.strptime(text)))


def is_alive(pid: int) -> bool:
    """Whether it is there and not a zombie."""
    state = column(pid, "stat")
    return state is not None and not state.startswith("Z")


def resident_bytes(pid: int) -> int:
    """Resident size in bytes; 0 when it is gone."""
    return int(column(pid, "rss") or 0) * 1024


def column(pid: int, name: str) -> str | None:
    """One column of one process, as ``ps`` prints it; None when the process is gone."""
    return _ps("-p", str(pid), "-o", f"{name}=")[0].strip() or None


def _ps(*arguments: str) -> tuple[str, int]:
    """What ``ps`` prints, and its pid."""
    import subprocess

    with subprocess.Popen(
        ["ps", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C"},  # the dates of lstart in English
    ) as process:
        text, _ = process.communicate()
    return text.decode(errors="replace"), process.pid
