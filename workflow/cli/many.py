"""``python -m workflow.cli.many FOLDER LIMIT_S``: look at every file of a folder, as ``workflow`` does, one by one.

The harness starts this, and nobody else should.  ``validate`` is run on each ``*.toml``, and where that finds no
mistake ``run --dry-run``: the commands themselves, in one process, for a process each would cost more than the files.
A line of JSON on standard output tells what came of each.
"""

from __future__ import annotations

import contextlib
import io
import json
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from workflow.cli.main import main


class _TooLong(BaseException):
    """The time for a file is over."""


def look(folder: Path, limit_s: float) -> None:
    """Look at every file of it."""
    for file in sorted(folder.glob("*.toml")):
        for command in (["validate"], ["run", "--dry-run"]):
            began_s = time.monotonic()
            code, stdout, stderr = _run([*command, str(file)], limit_s)
            line = {
                "file": file.name,
                "command": command[0],
                "code": code,
                "stdout": stdout[:1000],
                "stderr": stderr[:5000],
                "took_s": time.monotonic() - began_s,
            }
            print(json.dumps(line), flush=True)  # noqa: T201  that is what it is for
            if code != 0:
                break


def _run(arguments: list[str], limit_s: float) -> tuple[int | str | None, str, str]:
    """Answer the exit code, or in words why there is none; and what was said."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace", write_through=True) for _ in range(2))
    signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    code: int | str | None = None
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main(arguments)
    except SystemExit as end:
        code = end.code
    except _TooLong:
        code = f"not over after {limit_s:g} s"
    except BaseException as error:  # noqa: BLE001  whatever it is, it is what is looked for
        code = f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return code, _text(out), _text(err)


def _text(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


def _ring(_number: int, _frame: FrameType | None) -> NoReturn:
    raise _TooLong


if __name__ == "__main__":
    look(Path(sys.argv[1]), float(sys.argv[2]))
