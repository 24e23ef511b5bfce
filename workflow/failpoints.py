"""Named points inside the engine where a fault may strike: declared here, all of them, and nowhere else.

A process killed from outside dies somewhere; to die *exactly* between two writes it has to do it itself.  A point is
a line ``if ARMED: reached("warden.forked")`` in the code.  ARMED is a constant of the process, so a point costs one
test of a flag, and nothing is imported for it.

Points are armed by the fault harness alone, through two environment variables that only it sets: a folder, and
``point:action:hit``.  ``workflow run`` drops both before it starts anything.  A fault strikes once in a run, whichever
process comes first to that hit of the point: a file in the folder, made by whoever strikes, is the proof that it
fired, and keeps the next process, a replacement say, from striking again.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal

HARNESS_VARIABLE = "WORKFLOW_CHAOS_MARK"
"""In the environment of all that is under the harness: the harness's pid, ``-``, and what tells experiments apart."""
FOLDER_VARIABLE = "WORKFLOW_CHAOS_FOLDER"
POINT_VARIABLE = "WORKFLOW_CHAOS_POINT"

POINTS: dict[str, str] = {
    "parent.pushed": "a task is in the table and not yet in the channel",
    "parent.half_sent": "half of what is said to the dispatcher is in the channel",
    "parent.took": "an answer was taken from the channel, and nobody has been told",
    "parent.replacing": "a dead dispatcher is about to be replaced",
    "guardian.forked": "the warden was forked, and is not watched yet",
    "warden.started": "the warden is there, and has forked nobody",
    "warden.forked": "a worker was forked, and the dispatcher has not been told",
    "warden.dispatcher_forked": "a dispatcher was forked, and the parent has not been told",
    "warden.sentenced": "a sentence is written, and no signal was sent",
    "warden.reaped": "a death was reaped, and nobody has been told",
    "warden.quitting": "the end was ordered, and nobody has been ended",
    "dispatcher.started": "a dispatcher is there, and has read nothing",
    "dispatcher.read": "tasks were read from the parent, and nothing was decided",
    "dispatcher.sent": "tasks were sent to a worker",
    "dispatcher.peeked": "answers were peeked at, and not passed on",
    "dispatcher.half_forwarded": "half of an answer is in the parent's channel",
    "dispatcher.forwarded": "answers were passed on, and not consumed",
    "dispatcher.consumed": "answers were passed on and consumed, and their callbacks not begun",
    "dispatcher.recalling": "a worker was told to refuse, and not asked what it runs",
    "dispatcher.adopting": "the snapshot was read, and no worker adopted",
    "dispatcher.writing": "the lock on the parent's channel is held",
    "callback.begun": "a callback is marked as begun, and was not called",
    "callback.ended": "a callback has returned, and nobody has been told",
    "worker.started": "a worker is there, and has not said so",
    "worker.claimed": "a task is claimed and not begun",
    "worker.begun": "a task is marked as begun, and nothing of it has run",
    "worker.returned": "a task has returned, and is still marked as running",
    "worker.answering": "a result is ready, and nothing of it is sent",
    "worker.answered": "a result is sent, and the worker still marked as answering",
}
"""What is true at each point."""

ACTIONS = ("kill", "stop", "exit")
"""SIGKILL; SIGSTOP, until somebody continues or kills it; ``os._exit(70)``."""

STACKS_SIGNAL = _signal.SIGRTMIN + 7 if hasattr(_signal, "SIGRTMIN") else _signal.SIGUSR2
"""Has a process that was told of the harness write its stacks."""

_folder = os.environ.get(FOLDER_VARIABLE, "")
_point, _, _rest = os.environ.get(POINT_VARIABLE, "").partition(":")
ARMED = bool(_folder and _point)
"""Whether any point is armed in this process."""

_hits = 0


def reached(point: str) -> None:
    """Strike, if this is the armed point at the armed hit, and nobody has."""
    global _hits
    if point != _point:
        return
    _hits += 1
    action, _, hit = _rest.partition(":")
    if _hits >= int(hit) and claim(os.path.join(_folder, "point"), f"{point} {action} {os.getpid()}\n".encode()):
        _strike(action)


def halves(point: str, data: bytes | memoryview) -> tuple[bytes | memoryview, bytes | memoryview]:
    """What is about to be written, cut where ``point`` lies; the second part is empty when that is not armed."""
    if not ARMED or point != _point or len(data) < 2:
        return data, b""
    middle = len(data) // 2
    return data[:middle], data[middle:]


def drop() -> None:
    """Take what arms a point out of the environment, before anything is started that could be struck."""
    global ARMED, _folder
    ARMED, _folder = False, ""
    for name in (FOLDER_VARIABLE, POINT_VARIABLE):
        os.environ.pop(name, None)


def stack_file(folder: str, pid: int) -> str:
    """Where a process writes its stacks when it is asked."""
    return os.path.join(folder, f"stacks-{pid}")


def show_stacks_when_asked() -> None:
    """Under the harness: write all stacks at STACKS_SIGNAL, the GIL held or not.  Every process of ours calls this."""
    if _folder:
        import faulthandler

        file = os.open(stack_file(_folder, os.getpid()), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        faulthandler.register(STACKS_SIGNAL, file, all_threads=True, chain=False)


def claim(path: str, text: bytes) -> bool:
    """Make a file that only one process can make; whether this one did."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return False
    os.write(descriptor, text)
    os.close(descriptor)
    return True


def _strike(action: str) -> None:
    if action == "kill":
        os.kill(os.getpid(), _signal.SIGKILL)
    elif action == "stop":
        os.kill(os.getpid(), _signal.SIGSTOP)
    else:
        os._exit(70)
