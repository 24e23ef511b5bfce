"""What a fresh worker process does before it is one."""

from __future__ import annotations

import os

from workflow.engine import system
from workflow.engine.channel import packet_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from typing import Any, NoReturn
else:
    import _signal


def become_worker(
    config: dict[str, Any], tasks: int, answers: int, words: memoryview, slot: int, stack_file: int
) -> NoReturn:
    """Be a worker, in a process that was just forked and is already guarded by the warden."""
    for number in (_signal.SIGINT, _signal.SIGHUP, _signal.SIGQUIT, _signal.SIGPIPE, _signal.SIGCHLD):
        _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())  # a module that was preloaded may have blocked some
    # A session of its own: what the task does to its group or terminal stays with it.  And a subreaper: whatever the
    # task starts stays below this process for as long as it lives, so "the tree of this worker" is exact.
    os.setsid()
    system.name_process("worker")
    system.adopt_orphans()
    system.keep_only({tasks, answers, stack_file})
    if config["authkey"] is not None:
        from workflow.engine.authkey import AuthKey

        AuthKey(config["authkey"]).give()
    from workflow.engine.worker import Worker

    Worker(
        packet_from(tasks),
        answers,
        words,
        slot,
        stack_file,
        config["log_dir"],
        config["max_result"],
        config["apart"],
        config["initializer"],
    ).run()
