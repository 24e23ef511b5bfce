"""``python -m workflow``, and the ``workflow`` command."""

import os
import signal
from types import FrameType
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line, and leave with its exit code.  Never returns."""
    # Before anything is imported, which takes longest: a signal that comes meanwhile ends us with its documented code.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    from workflow.cli.main import main as command_line

    command_line()


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    os._exit(128 + number)


if __name__ == "__main__":
    main()
