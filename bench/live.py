"""What the live view costs a run: the same batch with the view, with plain lines, and with none.

Each is a whole ``workflow run`` at a pseudo-terminal of 100 columns that is read as fast as it is written, so the
terminal is no brake.  ``TERM=dumb`` makes it plain lines.  Beside the time there is the processor time of the run's own
process, where the view is drawn, and how often it was drawn in a second of the run.
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
import re
import select
import struct
import sys
import tempfile
import termios
import time
from pathlib import Path
from typing import NamedTuple

from bench.interleaved import ENVIRONMENT, Spread, parser, ratios, show, spread, take_turns, this_machine

VIEWS = {"live view": ([], "xterm-256color"), "plain lines": ([], "dumb"), "-q": (["-q"], "dumb")}
BASE = "-q"
PIPELINE = """\
[pipeline]
pool = 2
[tasks.good]
call = "work:work"
args = ["${{matrix.n}}"]
matrix.n = {{ range = [0, {good}] }}
[tasks.bad]
call = "work:refuse"
matrix.n = {{ range = [0, {bad}] }}
allow_failure = true
"""
WORK = "def work(n):\n    return n\n\n\ndef refuse():\n    raise KeyError('no such day')\n"
_PROGRESS = re.compile(rb"\d+/\d+")


class Taken(NamedTuple):
    """What one run took."""

    seconds: float
    cpu_s: float
    """Of the run's own process, user and system."""
    drawn_per_s: float
    """Pieces of output with the view's bar in them."""


def take(tasks: int, arguments: list[str], term: str) -> Taken | None:
    """One run; None, which was told, where it did not end as it should."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        bad = tasks // 100
        (folder / "pipeline.toml").write_text(PIPELINE.format(good=tasks - bad, bad=bad))
        (folder / "work.py").write_text(WORK)
        master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        environ = {**ENVIRONMENT, "TERM": term}
        for name in ("CI", "NO_COLOR", "FORCE_COLOR", "GITHUB_ACTIONS"):
            environ.pop(name, None)
        began = time.monotonic()
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "workflow", "run", str(folder / "pipeline.toml"), *arguments],
            environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, slave, each) for each in (0, 1, 2)],
            setsid=True,
        )
        os.close(slave)
        drawn, held = 0, b""
        while True:
            try:
                piece = os.read(master, 1 << 16) if select.select([master], [], [], 120)[0] else b""
            except OSError:  # the other side is closed
                piece = b""
            if not piece:
                break
            held = held[-20:] + piece
            drawn += bool(_PROGRESS.search(piece))
        _, status, used = os.wait4(pid, 0)
        took = time.monotonic() - began
        os.close(master)
        if code := os.waitstatus_to_exitcode(status):
            print(f"workflow run ended with {code}: {held.decode(errors='replace')}", file=sys.stderr)
            return None
        return Taken(took, used.ru_utime + used.ru_stime, drawn / took)


def main() -> None:
    """Take turns, and print what was found."""
    arguments = parser(__doc__ or "", repetitions=5)
    arguments.add_argument("--tasks", type=int, default=20_000, help="tasks of the batch (20000), one in 100 fails")
    given = arguments.parse_args()
    candidates = {
        name: functools.partial(take, given.tasks, options, term) for name, (options, term) in VIEWS.items()
    }  # fmt: skip
    taken = take_turns(candidates, given.repetitions)
    found: dict[str, dict[str, tuple[Spread | None, Spread | None]]] = {}
    rows: list[tuple[str, ...]] = [
        ("run at a terminal", "s", "CPU s", "drawn/s", "time", "CPU", f"(medians of ratios to {BASE})")
    ]
    for name, runs in taken.items():
        columns = {}
        for field in Taken._fields:
            own = [None if run is None else float(getattr(run, field)) for run in runs]
            base = [None if run is None else float(getattr(run, field)) for run in taken[BASE]]
            columns[field] = spread([value for value in own if value is not None]), spread(ratios(own, base))
        found[name] = columns
        middles = [columns[field][0] for field in Taken._fields]
        beside = [columns[field][1] for field in ("seconds", "cpu_s")]
        rows.append(
            (
                name,
                *("-" if each is None else f"{each.median:.2f}" for each in middles),
                *("-" if each is None else f"{each.median:.3f}" for each in beside),
                "",
            )
        )
    if given.json:
        print(json.dumps({"machine": this_machine(), "tasks": given.tasks, "found": found}))
        return
    print(this_machine())
    show(rows)


if __name__ == "__main__":
    main()
