"""``python -m workflow.harness.backlog COUNT``: a program that pushes while its dispatcher is stopped.

It says in the journal when it is ready, and waits until somebody has stopped its dispatcher; it says when it has
pushed, and then waits for the end.  What it found out stands on its standard output, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from workflow import InfoTask, MultiProcess
from workflow.failpoints import HARNESS_VARIABLE
from workflow.harness import journal
from workflow.harness.census import Census

READY, PUSHED = "ready", "pushed"
"""What it says in the journal."""
_NUMBER = "workflow.harness.payloads.Number"
_PATIENCE_S = 60.0


def main(count: int) -> None:
    """Push so many, and tell how it went."""
    with MultiProcess(2) as pool:
        pool.push(InfoTask(_NUMBER, 30, 0)).result(_PATIENCE_S)
        journal.note(READY, "", 0)
        stopped = _wait_until_stopped()
        before = _resident_bytes()
        began_s = time.monotonic()
        handles = [pool.push(InfoTask(_NUMBER, 30, number)) for number in range(count)]
        pushed_s = time.monotonic() - began_s
        grown = _resident_bytes() - before
        ended = sum(handle.done() for handle in handles)
        journal.note(PUSHED, "", 0)
        right = sum(handle.result() == number for number, handle in enumerate(handles))
    told = {"stopped": stopped, "ended": ended, "right": right, "pushed_s": pushed_s, "bytes_each": grown / count}
    json.dump(told, sys.stdout)


def _wait_until_stopped() -> bool:
    census = Census(f"{HARNESS_VARIABLE}={os.environ[HARNESS_VARIABLE]}", os.getpid())
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        for pid in census.of_role("dispatcher"):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
                return True
        time.sleep(0.01)
    return False


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main(int(sys.argv[1]))
