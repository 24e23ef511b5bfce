"""``python -m workflow.cli.subject``: ``workflow run``, with the faults that the harness has put into a folder.

The harness starts this, and nobody else should.  It is the command itself, so what is judged is what users run; only
its engine is another, which disguises every task (see ``workflow.harness.injection``).
"""

from __future__ import annotations

import os
import signal
import sys

from workflow.cli.leaving import leave_on_signals
from workflow.engine.system import die_with_parent

HARNESS_VARIABLE = "WORKFLOW_CHAOS_MARK"  # as in workflow.failpoints, which is not imported yet


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # this run is another user's, as scenarios may have it
    return True


def run() -> None:
    """Run what the arguments say."""
    # Before anything is imported, which takes a while: a harness that is killed leaves no run behind, and signals are
    # answered as by ``python -m workflow``.
    die_with_parent(signal.SIGKILL)
    if os.getppid() and not _lives(int(os.environ[HARNESS_VARIABLE].partition("-")[0])):
        os._exit(0)  # it was killed before that; where it cannot be seen, in a namespace of pids, our parent is 0
    leave_on_signals()
    from functools import partial
    from pathlib import Path

    from workflow.cli.main import main
    from workflow.failpoints import FOLDER_VARIABLE, show_stacks_when_asked
    from workflow.harness.injection import FaultyEngine, read_injection

    show_stacks_when_asked()
    injected = read_injection(Path(os.environ[FOLDER_VARIABLE]))
    # What the run without faults has made must not keep the others from running; what was resumed, it must.
    force = [] if "--resume-from" in sys.argv else ["--force=*"]
    main(["run", *force, *sys.argv[1:]], engine=partial(FaultyEngine, injected))


if __name__ == "__main__":
    run()
