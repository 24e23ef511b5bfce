"""What ``workflow`` says to whoever called it, as one number."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """Every exit code of the command line, and nothing else uses a number."""

    SUCCEEDED = 0
    """Every task succeeded; allowed failures and skipped tasks count as that."""
    FAILED = 1
    """A task without ``allow_failure`` failed, timed out, crashed, ran out of memory or was cancelled."""
    USAGE = 2
    """The command line or the file holds a mistake; nothing was run."""
    NOTHING_SELECTED = 3
    """No task of the file is selected; nothing was run."""
    BROKEN = 4
    """The engine, or the disk that the run is recorded on, failed: what the tasks did is not the reason."""
    NOT_HELD = 5
    """A check of ``workflow chaos`` did not hold."""
    TIMED_OUT = 124
    """The run reached its own time limit."""
    HUNG_UP = 129
    """SIGHUP ended the run."""
    INTERRUPTED = 130
    """SIGINT ended the run."""
    TERMINATED = 143
    """SIGTERM ended the run."""

    @classmethod
    def of_signal(cls, number: int) -> ExitCode:
        """Answer the code for a run that this signal ended."""
        return cls(128 + number)
