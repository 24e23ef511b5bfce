"""The template: a process in which modules were imported once, and of which workers are forks.

Imports are the user's code, so they happen in a process of their own, never in the warden, which forks it, limits it
and replaces it.  The workers must be the warden's children nevertheless, to be reaped and guarded by it: they are
forked twice, and the one in the middle names them to the warden before it leaves.  From then on the kernel gives them
to the nearest subreaper, and the warden already knows who they are.
"""

from __future__ import annotations

import os
import time

from workflow import messages
from workflow.engine import system
from workflow.engine.channel import receive_message, send_message

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from typing import Any, NoReturn

    from workflow.engine.channel import Socket
else:
    import _signal

_ADOPTION_S = 5.0
_NAMED = 17
"""Exit code of the one in the middle, when it has named its worker: a number that nobody else would choose."""


def run_template(config: dict[str, Any], warden: Socket, words: memoryview, warden_pid: int) -> NoReturn:
    """Import what is to be preloaded, then fork a worker at each request.  Called in a fork of the warden."""
    from workflow.engine.importing import import_module

    for name in config["preload"]:
        try:
            import_module(name)
        except BaseException as error:  # noqa: BLE001  # an import may raise anything
            reason = f"preload of {name!r} failed: {_named(error)}"
            send_message(warden, messages.encode(messages.TemplateFailed(reason[:10_000])))
            os._exit(1)
    send_message(warden, messages.encode(messages.TemplateReady()))
    while True:
        data, descriptors = receive_message(warden)
        if not data:
            os._exit(0)
        request = messages.decode(data)
        try:
            middle = os.fork()
        except OSError as error:
            _tell_failure(warden, request.worker, system.explain(error))
        else:
            if middle == 0:
                _fork_worker(config, warden, words, warden_pid, request, descriptors)
            if os.waitstatus_to_exitcode(os.waitpid(middle, 0)[1]) != _NAMED:  # or it may have said so already
                _tell_failure(warden, request.worker, "the process between it and its template ended")
        for descriptor in descriptors:
            os.close(descriptor)


def _named(error: BaseException) -> str:
    text = system.explain(error)
    name = type(error).__name__
    return text if text.startswith(name) else f"{name}: {text}"


def _tell_failure(warden: Socket, worker: int, reason: str) -> None:
    send_message(warden, messages.encode(messages.TemplateForked(worker, 0, f"fork failed: {reason}")))


def _fork_worker(
    config: dict[str, Any],
    warden: Socket,
    words: memoryview,
    warden_pid: int,
    request: messages.TemplateFork,
    descriptors: list[int],
) -> NoReturn:
    """In the middle process: fork the worker, name it to the warden, and leave."""
    try:
        pid = os.fork()
    except OSError as error:
        _tell_failure(warden, request.worker, system.explain(error))
        os._exit(1)
    if pid:
        send_message(warden, messages.encode(messages.TemplateForked(request.worker, pid, "")))
        os._exit(_NAMED)
    try:
        end = time.monotonic() + _ADOPTION_S
        while os.getppid() != warden_pid:
            if time.monotonic() > end:
                os._exit(1)
            time.sleep(0.0002)
        system.die_with_parent(_signal.SIGKILL)
        if os.getppid() != warden_pid:
            os._exit(1)
        from workflow.engine.boot import become_worker

        become_worker(config, descriptors[0], descriptors[1], words, request.slot, descriptors[2])
    except BaseException:  # noqa: BLE001
        system.show_own_failure(descriptors[2])
    os._exit(70)
