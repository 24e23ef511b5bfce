"""The hook: called with the error when all attempts of a task were in vain."""

from __future__ import annotations


def ring(error: BaseException, task: str) -> None:
    """Wake somebody.  Here it prints, which goes to the task's log; yours sends a message."""
    print(f"ALARM: {task}: {error}")
