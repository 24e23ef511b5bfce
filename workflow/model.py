"""The base class of what a task runs."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any  # not object: a subclass may then ask for what it likes, as every subclass does


class Model:
    """What a task does, and what happens after it.

    A Model is made without arguments: once in a worker for each attempt, where ``runnable`` is called, and once in
    the dispatcher, where ``callback`` or ``error_callback`` is called.  These are different processes, so nothing
    that ``runnable`` sets on ``self`` is seen by the callbacks; what should travel is returned.
    """

    def runnable(self, *args: Any, **kwargs: Any) -> object:
        """Do the work, in a worker process.  What it returns must pickle."""
        message = f"{type(self).__qualname__} does not define runnable()"
        raise NotImplementedError(message)

    def callback(self, result: Any) -> None:
        """Take the result, in the dispatcher process, after the task succeeded."""

    def error_callback(self, error: Any) -> None:
        """Take the error, in the dispatcher process, after the task ended in any other way.

        ``error`` is the exception that the task raised where that can travel, otherwise a ``TaskFailed`` with its
        type name, text and traceback; for endings made by the engine a ``TaskTimeout``, ``TaskCrashed``,
        ``TaskCancelled`` or ``MemoryLimitExceeded``.
        """
