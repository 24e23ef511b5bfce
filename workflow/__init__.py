"""A batch of Python functions and commands: every task ends, and gets exactly one outcome.

The way of a task::

     pipeline.toml ─ spec ─▶ Pipeline ─ plan ─▶ Plan ─ run ─▶ one InfoTask at a time, when it may start
                                                                  │  ▲ outcome
     ┌ parent ───────────────┐ ToDispatcher  ┌ dispatcher ────────┴──┴──┐   Run    ┌ worker × n ──────────────┐
     │ run/: which task may  │ ────────────▶ │ scheduler (pure):        │ ───────▶ │ thread 1 (main): runs it │
     │ start, events, report │ ◀──────────── │ attempts, priority, whom │ ◀─────── │ thread 2: stacks, time   │
     │ table of what pends   │   ToParent    │ callback thread: user's  │ Returned │ scoreboard: what it runs │
     └───────┬───────────────┘               │ callback/error_callback  │          └────────▲─────────────────┘
             │ exec                          └───────────▲──────────────┘                   │
             ▼                                           │ forks, replaces                  │ forks, kills, reaps
         guardian ──fork──▶ warden ──────────────────────┴──────────────────────────────────┘
                            (never runs user code; reads deadlines from the scoreboard)

The parent is the user's program.  It pushes tasks and keeps a table of all that have not ended, so a dispatcher
that dies loses nothing.  The dispatcher hands tasks to the pool and runs the callbacks.  A worker runs one task at
a time and says in shared memory which.  The warden, which runs no user code, reads the deadlines there, kills whole
process trees, and replaces what died.  The guardian only waits, to end everything should the warden not be able to.
The parent looks whether these two still move; and whoever outlives all of them is found by a mark in its environment.

Importing this package imports nothing else: every public name is loaded when it is first used, because a worker's
start and ``import workflow`` are hot paths.
"""

from __future__ import annotations

TYPE_CHECKING = False  # what type checkers take for true; importing typing for it would cost every worker 5 ms
if TYPE_CHECKING:
    from workflow.diagnostics.mistake import InvalidPipeline, Mistake
    from workflow.engine.handle import Handle
    from workflow.engine.outputs import OutputMissing
    from workflow.engine.parent import MultiProcess
    from workflow.engine.task_future import TaskFuture
    from workflow.errors import (
        EngineError,
        ExecutorBroken,
        MemoryLimitExceeded,
        TaskCancelled,
        TaskCrashed,
        TaskError,
        TaskFailed,
        TaskTimeout,
        WorkflowError,
    )
    from workflow.event_stream import EventStream
    from workflow.executor import WorkflowExecutor
    from workflow.info_task import InfoTask, RetryPolicy
    from workflow.model import Model
    from workflow.outcome import Attempt, CallbackRecord, ErrorRecord, Outcome
    from workflow.outcomes import Outcomes
    from workflow.pipeline import Pipeline
    from workflow.report.report import Report

__version__ = "0.1.0"

_HOMES = {
    "Attempt": "workflow.outcome",
    "CallbackRecord": "workflow.outcome",
    "EngineError": "workflow.errors",
    "ErrorRecord": "workflow.outcome",
    "EventStream": "workflow.event_stream",
    "ExecutorBroken": "workflow.errors",
    "Handle": "workflow.engine.handle",
    "InfoTask": "workflow.info_task",
    "InvalidPipeline": "workflow.diagnostics.mistake",
    "MemoryLimitExceeded": "workflow.errors",
    "Mistake": "workflow.diagnostics.mistake",
    "Model": "workflow.model",
    "MultiProcess": "workflow.engine.parent",
    "Outcome": "workflow.outcome",
    "Outcomes": "workflow.outcomes",
    "OutputMissing": "workflow.engine.outputs",
    "Pipeline": "workflow.pipeline",
    "Report": "workflow.report.report",
    "RetryPolicy": "workflow.info_task",
    "TaskCancelled": "workflow.errors",
    "TaskCrashed": "workflow.errors",
    "TaskError": "workflow.errors",
    "TaskFailed": "workflow.errors",
    "TaskFuture": "workflow.engine.task_future",
    "TaskTimeout": "workflow.errors",
    "WorkflowError": "workflow.errors",
    "WorkflowExecutor": "workflow.executor",
}

__all__ = [
    "Attempt",
    "CallbackRecord",
    "EngineError",
    "ErrorRecord",
    "EventStream",
    "ExecutorBroken",
    "Handle",
    "InfoTask",
    "InvalidPipeline",
    "MemoryLimitExceeded",
    "Mistake",
    "Model",
    "MultiProcess",
    "Outcome",
    "Outcomes",
    "OutputMissing",
    "Pipeline",
    "Report",
    "RetryPolicy",
    "TaskCancelled",
    "TaskCrashed",
    "TaskError",
    "TaskFailed",
    "TaskFuture",
    "TaskTimeout",
    "WorkflowError",
    "WorkflowExecutor",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        message = f"module 'workflow' has no attribute {name!r}"
        raise AttributeError(message)
    from importlib import import_module

    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
