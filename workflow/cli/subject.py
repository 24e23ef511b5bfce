"""``python -m workflow.cli.subject``: ``workflow run``, with the faults that the harness has put into a folder.

The harness starts this, and nobody else should.  It is the command itself, so what is judged is what users run; only
its engine is another, which disguises every task (see ``workflow.harness.injection``).
"""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import NoReturn

from workflow.cli.leaving import leave_on_signals
from workflow.failpoints import FOLDER_VARIABLE


def main() -> NoReturn:
    """Run it, in the same order as ``python -m workflow`` does.  Never returns."""
    leave_on_signals()
    from workflow.cli.main import main as command_line
    from workflow.harness.injection import FaultyEngine, read_injection

    injected = read_injection(Path(os.environ[FOLDER_VARIABLE]))
    command_line(["run", *sys.argv[1:]], engine=functools.partial(FaultyEngine, injected))


if __name__ == "__main__":
    main()
