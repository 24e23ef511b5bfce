"""Every exception this package raises, or hands to whoever asks how a task ended.

Each is raised in one situation only, pickles, and carries its story as attributes.  A task's own exception is not
among them: it arrives as it is when it can travel, else as a ``TaskFailed``.
"""

from __future__ import annotations

import concurrent.futures
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

    from workflow.broken import ExecutorBroken as ExecutorBroken  # noqa: PLC0414  it is handed on
    from workflow.broken import TaskCrashed as TaskCrashed  # noqa: PLC0414  it is handed on
else:

    def __getattr__(name: str) -> type[Exception]:
        """Load ``workflow.broken`` when one of its errors is asked for, and not before."""
        if name not in ("ExecutorBroken", "TaskCrashed"):
            message = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(message)
        from workflow import broken

        error: type[Exception] = getattr(broken, name)
        globals()[name] = error
        return error


NEEDS_POSIX = "workflow needs a POSIX system such as Linux or macOS; on Windows, use WSL"


class WorkflowError(Exception):
    """Base of the errors of this package."""


class EngineError(WorkflowError):
    """The engine itself could not go on.  Never raised for what a task does."""


class TaskError(WorkflowError):
    """How a task ended, when it did not succeed.

    ``task_id`` is the id given to the task, or its number; ``stack`` is where the task was when it was killed or
    crashed (all threads, as faulthandler prints them); ``signal`` is the name of the signal that ended its process
    and ``exit_code`` its exit code, each None where it does not apply.
    """

    def __init__(
        self,
        message: str,
        *,
        task_id: str | None = None,
        stack: str | None = None,
        signal: str | None = None,
        exit_code: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.task_id = task_id
        self.stack = stack
        self.signal = signal
        self.exit_code = exit_code

    def __reduce__(self) -> tuple[object, ...]:
        # The default would call the class with the message alone and lose nothing of __dict__, but classes that
        # mix in OSError or MemoryError have a __reduce__ of their own: one answer for all of them.
        return (_remake, (type(self), self.args, self.__dict__))

    def __str__(self) -> str:
        return self.message


def _remake(cls: type[TaskError], args: tuple[object, ...], state: dict[str, object]) -> TaskError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class TaskFailed(TaskError):
    """The task raised an exception that could not travel: its type name, text and traceback, as text."""

    def __init__(
        self,
        message: str,
        *,
        type_name: str = "Exception",
        traceback: str | None = None,
        task_id: str | None = None,
        stack: str | None = None,
        signal: str | None = None,
        exit_code: int | None = None,
    ) -> None:
        super().__init__(message, task_id=task_id, stack=stack, signal=signal, exit_code=exit_code)
        self.type_name = type_name
        self.traceback = traceback


if issubclass(concurrent.futures.TimeoutError, TimeoutError):  # one class from Python 3.11 on

    class TaskTimeout(TaskError, TimeoutError):
        """The task was killed at its time limit."""

else:

    class TaskTimeout(TaskError, TimeoutError, concurrent.futures.TimeoutError):  # type: ignore[no-redef]
        """The task was killed at its time limit."""


class TaskCancelled(TaskError, concurrent.futures.CancelledError):
    """The task was ended, queued or running, because somebody asked for it or because the run ended."""


class MemoryLimitExceeded(TaskError, MemoryError):
    """The task and the processes it started used more memory than its limit."""

    def __new__(cls, *args: object, **_more: object) -> Self:
        """Any arguments; ``__init__`` looks at them."""
        # That of MemoryError, which comes next, refuses a class whose first base is not it.
        return Exception.__new__(cls, *args)
