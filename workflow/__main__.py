"""``python -m workflow``, and the ``workflow`` command."""

from typing import NoReturn


def main() -> NoReturn:
    """Run the command line, and leave with its exit code.  Never returns."""
    # Before anything else is imported, which takes longest: a signal that comes meanwhile ends us with its documented
    # code.
    from workflow.cli.leaving import leave_on_signals

    leave_on_signals()
    from workflow.cli.main import main as command_line

    command_line()


if __name__ == "__main__":
    main()
