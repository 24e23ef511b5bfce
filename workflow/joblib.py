"""``import workflow.joblib`` makes ``"workflow"`` a backend of joblib, and so of scikit-learn.

::

    import workflow.joblib
    from joblib import parallel_config

    with parallel_config(backend="workflow", n_jobs=4, timeout=600, memory=4 << 30):
        search.fit(X, y)                       # GridSearchCV and everything else that uses joblib

What stands beside ``backend`` and ``n_jobs`` are options of ``WorkflowExecutor``: ``timeout``, ``retries``, ``grace``,
``memory``, ``priority``, ``env``, ``name``, ``max_tasks_per_child``, ``initializer``, ``initargs``.  (The ``timeout``
of ``Parallel`` itself is how long joblib waits for a result; it ends everything then.)

- joblib puts short calls together.  A batch of n has n times the ``timeout``, so no call is ended early; a call of
  0.2 s or more is in a batch of its own, and there the limit is exact.  What is tried again, or crashes, is the batch.
- One crashed call does not break the pool: ``Parallel`` raises ``TaskCrashed`` and can be used again.
- Also ``n_jobs=1`` is a process of its own, for a limit cannot be kept in the caller's.  Without ``n_jobs`` it is one
  for each processor.
- A ``Parallel`` inside a call runs in threads of its worker, as with joblib's own backends.
- Large arrays are copied to the workers; they are not put into files that all of them map.

joblib is no dependency of this package: it is imported here, and by nobody else.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from joblib import cpu_count, register_parallel_backend
from joblib._parallel_backends import AutoBatchingMixin, ParallelBackendBase

from workflow.executor import WorkflowExecutor

if TYPE_CHECKING:
    from collections.abc import Callable

    from workflow.engine.task_future import TaskFuture


class WorkflowBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]  # joblib has no types
    """A pool for each use of ``Parallel``: for one call of it, or for its ``with``."""

    default_n_jobs = -1
    supports_retrieve_callback = True
    supports_inner_max_num_threads = True

    def __init__(
        self, nesting_level: int | None = None, inner_max_num_threads: int | None = None, **options: Any
    ) -> None:
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
        self._options = options
        self._executor: WorkflowExecutor | None = None
        self._going: set[TaskFuture[Any]] = set()
        self._lock = threading.Lock()

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many workers that is: negative ones count back from the processors, as everywhere in joblib."""
        if n_jobs == 0:
            message = "n_jobs == 0 in Parallel has no meaning"
            raise ValueError(message)
        if n_jobs is None:
            return 1
        return n_jobs if n_jobs > 0 else max(cpu_count() + 1 + n_jobs, 1)

    def configure(self, n_jobs: int = 1, parallel: Any = None, **_for_other_backends: Any) -> int:
        """Make the pool; answers how many jobs joblib is to keep going.

        Raises what ``WorkflowExecutor`` raises for options that cannot be meant.
        """
        self.parallel = parallel
        workers: int = self.effective_n_jobs(n_jobs)
        options = {**self._options}
        options["env"] = {**self._prepare_worker_env(workers), **(options.get("env") or {})}
        options["initargs"] = (options.get("initializer"), options.get("initargs", ()))
        options["initializer"] = _begin
        self._executor = WorkflowExecutor(workers, **options)
        # What has one job joblib would run in the caller's own process: without limits, and a crash would be its own.
        return max(workers, 2)

    def submit(self, func: Any, callback: Callable[[Any], object] | None = None) -> TaskFuture[Any]:
        """Have a batch of calls run."""
        assert self._executor is not None, "submit before configure"
        timeout, calls = self._options.get("timeout"), len(func)
        executor = self._executor
        if timeout is not None and calls > 1:
            executor = executor.with_options(timeout=timeout * calls)
        future: TaskFuture[Any] = executor.submit(func)
        with self._lock:
            self._going.add(future)
        future.add_done_callback(self._ended)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, future: TaskFuture[Any]) -> Any:
        """What a batch returned.  Raises what it raised."""
        return future.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """End what runs and drop what waits.  The pool stays as good as new."""
        if ensure_ready:
            # joblib 1.6 keeps batches that it had not dispatched yet, and the next call of the same ``Parallel`` would
            # get their results before its own: with each of its own backends too.
            waiting = getattr(self.parallel, "_ready_batches", None)
            while waiting is not None and not waiting.empty():
                waiting.get(block=False)
        with self._lock:
            going = list(self._going)
        for future in going:
            future.cancel()

    def terminate(self) -> None:
        """End the pool."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown()
        self.reset_batch_stats()

    def _ended(self, future: Any) -> None:
        with self._lock:
            self._going.discard(future)


def _begin(initializer: Callable[..., object] | None, initargs: tuple[Any, ...]) -> None:
    """In a new worker.  To find this function it has imported joblib, which then counts against no call's limit."""
    if initializer is not None:
        initializer(*initargs)


register_parallel_backend("workflow", WorkflowBackend)
