"""The pool below an executor and its views: an engine that starts when it is needed.

It ends with its last view, as the standard's does: whatever was submitted is completed first.  The program's end waits
for it in the place where the standard waits, ``threading``'s own list, and not in ``atexit``: a child that
``multiprocessing`` forked has only the first.  That list is private, so where it is gone ``atexit`` has to do.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

from workflow.engine import parent
from workflow.engine.calls import Called, pack_in_memory
from workflow.engine.client import Client
from workflow.engine.process_tree import Config
from workflow.errors import NEEDS_POSIX, EngineError, ExecutorBroken, WorkflowError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


class SharedPool:
    """``size`` workers, when they are needed."""

    def __init__(
        self,
        size: int,
        max_tasks_per_child: int | None,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
        initializer_s: float | None,
    ) -> None:
        if sys.platform == "win32":
            raise WorkflowError(NEEDS_POSIX)
        self.size = size
        self.push: Callable[..., Any] | None = None
        """``Client.push_packed``, while calls are taken."""
        self._initializer = initializer, initargs
        self._config = Config(
            pool=size,
            max_pending=None,
            log_dir=None,
            max_log=None,
            own_output=None,
            max_result=None,
            max_tasks_per_child=max_tasks_per_child,
            preload=(),
            path=(),
            env=None,
            main=None,  # what a worker needs of the program's script comes along
            apart=True,
            initializer_s=initializer_s,
        )
        self._lock = threading.RLock()  # a signal handler may submit
        self._starting = False
        self._client: Client | None = None
        self._refusal: str | None = None
        _pools.add(self)

    @property
    def client(self) -> Client:
        """The engine's end in this process."""
        assert self._client is not None
        return self._client

    def start(self) -> Callable[..., Any]:
        """Start it, if it was not; ``push``.

        Raises RuntimeError when nothing is taken any more, and what pickling the initializer raises.
        """
        with self._lock:
            if self._refusal is not None:
                raise RuntimeError(self._refusal)
            if _exiting:
                raise RuntimeError(_AT_EXIT)
            if self._starting:
                message = "a signal handler submits, and has interrupted the first submit() while it starts the engine"
                raise RuntimeError(message)
            if self.push is None:
                _refuse_in_an_import()
                self._starting = True
                try:
                    client = self._start()
                finally:
                    self._starting = False
                self._client, self.push = client, client.push_packed
            return self.push

    def _start(self) -> Client:
        function, args = self._initializer
        packed = None if function is None else pack_in_memory((function, args, {}))
        key = bytes(multiprocessing.current_process().authkey)
        client = Client(self._config._replace(initializer=packed, authkey=key), None)
        try:
            client.start()
        except EngineError as error:
            raise ExecutorBroken(str(error)) from error.__cause__
        _engines.add(client)
        parent.started.add(client)
        weakref.finalize(self, client.release).atexit = False
        return client

    def shut_down(self, *, wait: bool, cancel: bool) -> None:
        """Take no more; ``cancel`` what has not begun, ``wait`` for the rest and for the end of the processes."""
        why = "cannot schedule new futures after shutdown"
        if wait and self._client is not None:
            self._client.check_may_wait()
        with self._lock:
            self._refusal = self._refusal or why
            self.push = None
            client = self._client
        if client is None:
            return
        client.close(why)
        if cancel:
            client.cancel_unbegun()
        if not wait or client.is_reader():
            client.release()
        else:
            parent.complete(client, why)
            parent.started.discard(client)
            _engines.discard(client)

    def interrupt(self) -> None:
        """End everything now."""
        if self._client is not None:
            self._client.cancel_all("the program was interrupted", 0.0)

    def _forked(self) -> None:
        """In a child: a pool that runs is the parent's; one that was not started is the child's own."""
        self._lock, self._starting = threading.RLock(), False
        if self._client is not None:
            self._refusal = "this executor belongs to the process that started it; a forked child needs one of its own"
            self.push = self._client = None


def _refuse_in_an_import() -> None:
    """A module that uses an executor when it is imported must not be imported for a call: each worker would start one.

    What a call itself imports is its own business, so only what is imported before it is called counts.
    """
    importing, frame = None, sys._getframe(1)  # noqa: SLF001  # the only way to ask; documented
    above: FrameType | None = frame
    while above is not None:
        code = above.f_code
        if code is Called.runnable.__code__:
            return
        if code.co_name == "<module>" and importing is None:
            importing = above.f_globals.get("__name__")
        if code.co_name == "_attempt" and code.co_filename == _WORKER and importing is not None:
            message = (
                f"an executor was used while {importing!r} was imported for a call: each worker would start a pool of "
                'its own, over and over; put what uses it under `if __name__ == "__main__":`, or into a function'
            )
            raise RuntimeError(message)
        above = above.f_back


_WORKER = os.path.join(os.path.dirname(__file__), "worker.py")
_pools: weakref.WeakSet[SharedPool] = weakref.WeakSet()
_engines: weakref.WeakSet[Client] = weakref.WeakSet()
"""Those that run.  Their threads keep them."""
_exiting = False
_AT_EXIT = "cannot schedule new futures after interpreter shutdown"


def _count_fork() -> None:
    _engines.clear()
    for pool in list(_pools):
        pool._forked()  # noqa: SLF001


os.register_at_fork(after_in_child=_count_fork)


def _complete_all() -> None:
    global _exiting
    _exiting = True
    for client in list(_engines):
        parent.complete(client, _AT_EXIT)


getattr(threading, "_register_atexit", atexit.register)(_complete_all)
