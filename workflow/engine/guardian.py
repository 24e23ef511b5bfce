"""The guardian: between the program and the warden, it only waits.

It is what the program starts, and it starts the warden.  Should the warden die, or be stopped when the program is
gone, the guardian ends every process of the engine: as a subreaper it inherits all that the warden leaves.  It runs
no user code, holds no channel, and answers nothing, so there is hardly a way to hurt it but to kill it; then the
warden, which watches it in turn, ends everything.
"""

from __future__ import annotations

import os
import select
import sys
import time

from workflow.engine import processes, system
from workflow.failpoints import ARMED, reached, show_stacks_when_asked

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from typing import Any, NoReturn
else:
    import _signal

_WARDEN_TIME_S = 1.0
"""What the warden gets to end everything when the program has died."""
_SWEEP_S = 5.0


def main(config: dict[str, Any]) -> NoReturn:
    """Start the warden and wait.  The entry point of the engine's first process."""
    # A name of its own: -c would be shown for every process of the engine.
    sys.argv = ["workflow-engine"]
    parent = config["parent"]
    parent_descriptor = system.process_descriptor(parent)
    if os.getppid() != parent:
        os._exit(0)
    # What the program, or only the thread that started us, blocks or ignores is inherited: without SIGCHLD nobody would
    # hear of a death.
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    # Whatever the user sends to the group or the terminal is the program's to answer, not ours.
    for number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT, _signal.SIGPIPE):
        _signal.signal(number, _signal.SIG_IGN)
    system.adopt_orphans()
    system.name_process("guardian")
    me = os.getpid()
    try:
        # The warden's end of this pipe closes with it, where there are no process descriptors.
        alive, alive_other_end = os.pipe()
        warden = os.fork()
    except OSError as error:
        _tell_failure(config, f"its warden could not be started: {system.explain(error)}")
    if warden == 0:
        try:
            os.close(alive)
            from workflow.engine.warden import Warden

            Warden(config, guardian=me, parent_descriptor=parent_descriptor).run()
        except BaseException as error:  # noqa: BLE001
            _tell_failure(config, f"its warden could not start: {system.explain(error)}")
    show_stacks_when_asked()
    if ARMED:
        reached("guardian.forked")
    os.close(alive_other_end)
    for descriptor in (config["control"], config["channel"], config["scoreboard"]):
        os.close(descriptor)
    _wait(parent, parent_descriptor, warden, alive)
    _end_all()
    os._exit(0)


def _wait(parent: int, parent_descriptor: int | None, warden: int, alive: int) -> None:
    """Until the warden has ended, or the program has and the warden had its time."""
    warden_descriptor = system.process_descriptor(warden)
    warden_end = alive if warden_descriptor is None else warden_descriptor
    poll = select.poll()
    poll.register(warden_end, select.POLLIN)
    if parent_descriptor is not None:
        poll.register(parent_descriptor, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll(None if parent_descriptor is not None else 200)}
        if warden_end in ready:
            return
        if ready or os.getppid() != parent:
            last = select.poll()
            last.register(warden_end, select.POLLIN)
            if not last.poll(_WARDEN_TIME_S * 1000):
                processes.signal_process(warden, _signal.SIGKILL)
            return


def _tell_failure(config: dict[str, Any], reason: str) -> NoReturn:
    """Tell the program why there is no engine, and leave."""
    os.close(config["channel"])  # what follows needs a descriptor or two, and there may be none
    os.close(config["scoreboard"])
    from workflow import messages
    from workflow.engine.channel import packet_from, send_message

    send_message(packet_from(config["control"]), messages.encode(messages.WardenFailed(reason)))
    os._exit(70)


def _end_all() -> None:
    """Kill and reap until this process has no descendant left."""
    end = time.monotonic() + _SWEEP_S
    while time.monotonic() < end:
        for pid in processes.descendants(os.getpid()):
            processes.signal_process(pid, _signal.SIGKILL)
        try:
            while os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG) is not None:
                pass
        except ChildProcessError:
            return
        time.sleep(0.001)
