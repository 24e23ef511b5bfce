"""The errors that are a ``BrokenProcessPool`` too, as ``workflow.errors`` hands them out when they are asked for.

They stand apart because their base loads all of multiprocessing, which is a tenth of what a start takes, and most
programs never see one.
"""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool

from workflow.errors import EngineError, TaskError


class TaskCrashed(TaskError, BrokenProcessPool):
    """The process of the task died under it.  The pool itself is well: a new worker stands in its place."""

    __module__ = "workflow.errors"


class ExecutorBroken(EngineError, BrokenProcessPool):
    """The engine below a ``WorkflowExecutor`` could not go on: its workers do not start, for one.

    What every task that had not ended ends with, and what ``submit`` raises from then on.  A task that crashes is none
    of this: it ends alone, as ``TaskCrashed``.
    """

    __module__ = "workflow.errors"
