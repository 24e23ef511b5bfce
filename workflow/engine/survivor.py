"""A process that outlives this program, to tidy up behind it: it waits for the program's end, and then acts."""

from __future__ import annotations

import os
import subprocess
import sys

from workflow.engine import marks


def start_survivor(code: str, *arguments: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start a Python that runs ``code``, in a session of its own, in ``/``, with the standard library alone.

    Answers it and a descriptor: its standard input ends when that is closed, at the latest with this program.
    Raises OSError.
    """
    theirs, alive = os.pipe()
    environment = dict(os.environ)
    environment.pop(marks.NAME, None)  # it is to outlive whoever bears the mark of an engine around this program
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", code, *arguments],
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=environment,
            start_new_session=True,
        )
    except BaseException:
        os.close(alive)
        raise
    finally:
        os.close(theirs)
    return process, alive
