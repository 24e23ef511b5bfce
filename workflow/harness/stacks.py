"""Where every process of a run is, when the run hangs: the engine's own testimony, and the kernel's."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from workflow.failpoints import STACKS_SIGNAL, stack_file
from workflow.harness.census import Census

_WAIT_S = 0.5


def dump_stacks(census: Census, folder: Path) -> str:
    """The stacks of all that are alive, as text.

    Processes that were told of the harness write their Python stacks to a file when they are asked by a signal, the
    GIL held or not; of the others, and of those that are stopped, there is what the kernel tells.
    """
    alive = census.look()
    for seen in alive:
        if Path(stack_file(str(folder), seen.pid)).exists():  # else the signal would kill it
            with contextlib.suppress(ProcessLookupError):
                os.kill(seen.pid, STACKS_SIGNAL)
    time.sleep(_WAIT_S)
    parts = []
    for seen in alive:
        written = Path(stack_file(str(folder), seen.pid))
        python = written.read_text(errors="replace").strip() if written.exists() else ""
        parts.append(f"== {seen.role} {seen.pid}: {seen.command}\n{python or _by_kernel(seen.pid)}")
    return "\n".join(parts)


def _by_kernel(pid: int) -> str:
    lines = []
    for name in ("wchan", "syscall", "stack"):
        with contextlib.suppress(OSError):
            lines.append(f"{name}: {Path(f'/proc/{pid}/{name}').read_text().strip()}")
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        lines += [line for line in status if line.startswith(("State", "Threads", "SigBlk", "SigIgn"))]
    return "\n".join(lines) or "(it is gone)"
