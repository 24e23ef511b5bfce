"""``MultiProcess``: a pool of worker processes to push tasks to."""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from workflow.engine import resolve
from workflow.engine.client import Client
from workflow.engine.lookout import Running, Stack
from workflow.engine.process_tree import Config
from workflow.engine.system import usable_cpus
from workflow.errors import NEEDS_POSIX, EngineError, WorkflowError
from workflow.info_task import POOL_MAX, InfoTask, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from workflow.engine.handle import Handle


_CALLBACKS_S = 1.0
"""What callbacks get when the time of ``stop`` is over."""
_DESCRIPTOR_MAX = (1 << 31) - 1
_PATHS_MAX = 10_000
"""Paths of classes that are remembered: a program that makes names up may not fill the memory."""


class MultiProcess:
    """A pool of worker processes, behind a dispatcher process that runs the callbacks.

    ::

        mp = MultiProcess(5)
        mp.start()
        handle = mp.push(InfoTask("package.module.Class", 10, argument))
        mp.stop()

    or as a context manager, which starts and stops it.  A program that ends without ``stop()`` ends as if it had
    called it: what was pushed is completed first.

    ``pool``         workers; None is one for each processor this process may use
    ``max_pending``  tasks that may be pushed and not ended: ``push`` blocks above it (None: never)
    ``log_dir``      folder in which output of tasks and callbacks is captured (None: it goes where the program's goes)
    ``own_output``   descriptor for what the engine's own processes and preloaded modules have to say (None: it goes
                     where the program's goes)
    ``max_log``      bytes of one task's output worth keeping, head and tail each; the middle of more is given up
    ``max_result``   bytes that a pickled result may take; a larger one makes its task fail
    ``max_tasks_per_child``  attempts after which a worker is renewed (None: never)
    ``preload``      modules imported once, in a process of which the workers are forks; it must not start threads
    ``path``         folders put before ``sys.path`` in the engine's processes
    ``env``          environment of the engine's processes, in place of this one's
    ``on_retry``     called with the Handle of a task whose ``RetryPolicy`` is ``held`` when the delay before its next
                     attempt is over: that begins after ``Handle.retry()``, which anybody may call (None: it begins).
                     Runs in a thread of the engine, and must return soon and not raise.
    ``on_callback``  called with each Handle once nothing more will happen to it: its callback has ended, or it has
                     none.  Runs in a thread of the engine, and must return soon and not raise.

    Raises ValueError for a pool below 1 or above 4096.  The engine needs a POSIX system; on Windows this raises
    WorkflowError.
    """

    def __init__(
        self,
        pool: int | None = None,
        *,
        max_pending: int | None = None,
        log_dir: str | os.PathLike[str] | None = None,
        max_log: int | None = None,
        own_output: int | None = None,
        max_result: int | None = None,
        max_tasks_per_child: int | None = None,
        preload: Sequence[str] = (),
        path: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        on_retry: Callable[[Handle], None] | None = None,
        on_callback: Callable[[Handle], None] | None = None,
    ) -> None:
        if sys.platform == "win32":
            raise WorkflowError(NEEDS_POSIX)
        self.pool = usable_cpus() if pool is None else count("pool", pool, POOL_MAX)
        """Workers."""
        config = Config(
            pool=self.pool,
            max_pending=None if max_pending is None else count("max_pending", max_pending),
            log_dir=None if log_dir is None else os.path.abspath(_path("log_dir", log_dir)),
            max_log=None if max_log is None else count("max_log", max_log, least=0),
            own_output=None if own_output is None else count("own_output", own_output, _DESCRIPTOR_MAX, least=0),
            max_result=None if max_result is None else count("max_result", max_result),
            max_tasks_per_child=None
            if max_tasks_per_child is None
            else count("max_tasks_per_child", max_tasks_per_child),
            preload=_texts("preload", preload),
            path=tuple(os.path.abspath(folder) for folder in _texts("path", path)),
            env=None if env is None else _environment(env),
            main=name_of_main(),
        )
        for name, call in (("on_retry", on_retry), ("on_callback", on_callback)):
            if call is not None and not callable(call):
                message = f"{name} must be a callable, not {shown(call)}"
                raise TypeError(message)
        self._client = Client(config, on_callback, on_retry)
        self._owner = _generation
        self._state = "new"
        self._paths: dict[str, bytes] = {}

    def start(self) -> None:
        """Start the pool.  Does nothing when it runs.

        Raises RuntimeError after ``stop``, and in a module that is imported for a task: a script that starts a pool
        without an ``if __name__ == "__main__":`` would start another one in every worker.  Its tasks fail with that,
        and the program says so once on stderr, for it may never look at them.  Raises EngineError when the processes
        cannot be started.
        """
        self._check_owner()
        if self._state == "stopped":
            message = "this pool was stopped, and cannot be started again; make a new MultiProcess"
            raise RuntimeError(message)
        if self._state == "new":
            if resolve.importing:
                message = (
                    f"{resolve.STARTED_BY_IMPORT}{resolve.importing[-1]!r} was imported for a task: the program starts "
                    'itself over and over; put what starts it under `if __name__ == "__main__":`'
                )
                raise RuntimeError(message)
            self._client.start()
            self._state = "running"
            started.add(self._client)
            # A pool that nobody holds any more completes what was pushed, and ends.
            weakref.finalize(self, self._client.release).atexit = False

    def push(self, task: InfoTask) -> Handle:
        """Have a task run; returns at once, with a future that ends with it.

        Blocks only while ``max_pending`` tasks pend.  A signal handler may push too: at a moment when the program could
        not go on otherwise, one more than ``max_pending``.  Raises RuntimeError before ``start`` and after ``stop``,
        EngineError when the engine has failed, what pickling the arguments raises, and ValueError for a class typed
        into an interactive session, which no other process could import.
        """
        if self._state != "running":
            message = (
                "start() comes before push()"
                if self._state == "new"
                else "this pool was stopped, and takes no more tasks"
            )
            raise RuntimeError(message)
        if self._owner != _generation:
            self._check_owner()
        if not isinstance(task, InfoTask):
            message = f"push takes an InfoTask, not {task!r}"
            raise TypeError(message)
        path = self._paths.get(task.module)
        if path is None:
            path = self._path(task.module)
        return self._client.push(task, path)

    def stop(self, timeout: float | None = None) -> None:
        """Take no more tasks, wait until all have ended and their callbacks have, and end the processes.

        After ``timeout`` seconds, what has not ended is cancelled: it gets SIGTERM, its grace, SIGKILL; callbacks get
        one more second, and are then recorded as abandoned.  When the
        wait is interrupted (Ctrl-C), everything is killed at once.  Does nothing before ``start`` or when called
        again.  Raises EngineError when the engine could not go on, so that a program which never looks at its handles
        does not take that for success, and RuntimeError in a done callback of a handle, which it would wait for,
        and in a signal handler that has interrupted a push, which could not go on.
        """
        if self._state == "new":
            self._state = "stopped"
        if self._state == "stopped" or self._owner != _generation:
            return
        self._client.check_may_wait()
        self._state = "stopped"
        started.discard(self._client)
        try:
            if not self._client.wait_idle(timeout):
                self._client.cancel_all("stop() had waited as long as it was told to", None)
                self._client.wait_ended()
                if not self._client.wait_idle(_CALLBACKS_S):
                    self._client.abandon_callbacks()
        except BaseException:
            self._client.cancel_all("the program was interrupted", 0.0)
            self._client.wait_idle(5.0)
            raise
        finally:
            self._client.shut_down()
        if self.failure is not None:
            raise EngineError(self.failure)

    def cancel_all(self, reason: str, grace: float | None = None) -> None:
        """End every task that has not ended, and whatever is pushed later.

        Running ones get SIGTERM and after ``grace`` seconds (None: each its own) SIGKILL.  May be called again with
        a shorter grace.  Returns at once.
        """
        if self._state == "running":
            self._client.cancel_all(reason, grace)

    def running(self) -> tuple[Running, ...]:
        """What the workers are doing at this moment."""
        return self._client.running() if self._state == "running" else ()

    def stacks(self, timeout: float = 1.0) -> tuple[Stack, ...]:
        """Where every running task is, in every thread of its process; the tasks go on.

        Takes about 30 ms, whatever they do: a task that holds the interpreter's lock is asked by a signal too.  At most
        ``timeout`` seconds; what was not told by then is missing.
        """
        return self._client.stacks(timeout) if self._state == "running" else ()

    @property
    def failure(self) -> str | None:
        """Why the engine could not go on, when it could not: every task has then ended as cancelled."""
        return self._client.failure

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None and not issubclass(kind, Exception):
            self.cancel_all("the program was interrupted", 0.0)
        try:
            self.stop()
        except EngineError:
            if kind is None:  # else the program has its own exception on the way, often this very one
                raise

    def _check_owner(self) -> None:
        if self._owner != _generation:
            message = "this pool belongs to the process that started it; a forked child needs one of its own"
            raise RuntimeError(message)

    def _path(self, module: str) -> bytes:
        """The path under which a worker finds the class."""
        path = (self._in_main(module) if module.startswith("__main__.") else module).encode()
        if len(self._paths) < _PATHS_MAX:
            self._paths[module] = path
        return path

    def _in_main(self, module: str) -> str:
        main = name_of_main()
        if main is None:
            message = (
                f"{module!r} {why_main_has_no_name()}, where no worker process can import it; "
                "put the class into a module (a .py file) and give its path, or call a function with WorkflowExecutor"
            )
            raise ValueError(message)
        return f"{main}{module[len('__main__') :]}"


_generation = 0


def _count_fork() -> None:
    global _generation
    _generation += 1
    for client in started:
        client.disown()
    started.clear()  # the parent's pools are none of the child's business


# Pools belong to the process that started them.  A counter, because asking the kernel for the pid would be a tenth of
# the cost of a push.
os.register_at_fork(after_in_child=_count_fork)

started: weakref.WeakSet[Client] = weakref.WeakSet()
"""The engines of this process.  Their threads keep them while they run."""


@atexit.register
def _complete_all() -> None:
    for client in list(started):
        complete(client, "the program is ending, and its pool takes no more tasks")
        if client.failure is not None:
            raise EngineError(client.failure)


def complete(client: Client, why: str) -> None:
    """Take no more tasks, for this reason; wait for what was pushed, then end the engine."""
    client.close(why)
    try:
        client.wait_idle(None)
    except BaseException:
        client.cancel_all("the program was interrupted", 0.0)
        client.wait_idle(5.0)
        raise
    finally:
        client.shut_down()


def name_of_main() -> str | None:
    """The name under which the running program can be imported; None where there is none, as in a session."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        name = str(spec.name)
        return name if name != "__main__" else None  # of a folder or an archive that was run
    # Through links, for the folder that Python puts on the import path is that of the file itself.
    name, suffix = os.path.splitext(os.path.basename(os.path.realpath(str(getattr(main, "__file__", "")))))
    return name if suffix in (".py", ".pyc") and "." not in name else None


def why_main_has_no_name() -> str:
    """Of something in ``__main__``: where it is instead."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return "was typed into a session" if file is None or str(file).startswith("<") else f"stands in {file}"


def count(name: str, value: object, most: int | None = None, *, least: int = 1) -> int:
    """The value, a whole number from ``least`` to ``most``; what else it may be is a TypeError or ValueError."""
    if isinstance(value, bool) or not isinstance(value, int):
        message = f"{name} must be a whole number, not {shown(value)}"
        raise TypeError(message)
    if value < least:
        message = f"{name} must be {least} or more, not {shown(value)}"
        raise ValueError(message)
    if most is not None and value > most:
        message = f"{name} must be {most} or less, not {shown(value)}"
        raise ValueError(message)
    return value


def _texts(name: str, value: object) -> tuple[str, ...]:
    """A text by itself would be taken for its letters."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        message = f"{name} must be a list of texts, not {shown(value)}"
        raise TypeError(message)
    return tuple(_path(name, text) for text in value)


def _path(name: str, value: object) -> str:
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str):
        message = f"{name} must be text, not {shown(value)}"
        raise TypeError(message)
    return text


def _environment(env: object) -> Mapping[str, str]:
    if not isinstance(env, Mapping):
        message = f"env must be a mapping, not {shown(env)}"
        raise TypeError(message)
    for name, text in env.items():
        if not isinstance(name, str) or not isinstance(text, str):
            message = f"env maps names to text, not {shown(name)} to {shown(text)}"
            raise TypeError(message)
    return env
