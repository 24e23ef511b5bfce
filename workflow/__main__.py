"""``python -m workflow``, and the ``workflow`` command."""

import atexit
import gc
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line, and leave with its exit code.  Never returns."""
    if sys.platform == "win32":
        from workflow.errors import NEEDS_POSIX
        from workflow.run.exit_code import ExitCode

        sys.stderr.write(f"{NEEDS_POSIX}\n")
        sys.exit(ExitCode.BROKEN)
    # Before anything else is imported, which takes longest: a signal that comes meanwhile ends us with its documented
    # code.
    from workflow.cli.leaving import leave_on_signals

    leave_on_signals()
    # Nothing that is imported, or that a plan is made of, is garbage: the collector would look in vain again and again.
    gc.set_threshold(20_000, 20, 50)
    from workflow.cli.main import cut_short
    from workflow.cli.main import main as command_line

    try:
        command_line()
    except SystemExit as end:
        if isinstance(end.code, int):
            atexit.register(cut_short, end.code)
        raise


if __name__ == "__main__":
    main()
