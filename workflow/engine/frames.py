"""Frames, made and taken apart: the few places that know what stands behind their headers (see ``messages``)."""

from __future__ import annotations

import os
from marshal import dumps as marshal_dumps
from marshal import loads as marshal_loads

from workflow import messages
from workflow.attempt_text import AttemptText
from workflow.engine.bulk import read_pickle
from workflow.messages import HAS_NOTES, IN_FILE, NOTES, RETURNED, TASK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from workflow.info_task import InfoTask

_NOTHING: Mapping[str, object] = {}


def options_of(frame: bytes) -> dict[str, Any]:
    """The options a task travels with; empty when all have their default."""
    header = TASK.unpack_from(frame)
    start = TASK.size + header[5]
    options: dict[str, Any] = marshal_loads(frame[start : start + header[6]]) if header[6] else {}
    return options


def path_of(frame: bytes) -> bytes:
    """The class a task is of."""
    return frame[TASK.size : TASK.size + TASK.unpack_from(frame)[5]]


def body_of(frame: bytes | memoryview) -> tuple[dict[str, Any], memoryview]:
    """What lies behind the header of a RETURNED frame: the notes, and the result or the error."""
    view = memoryview(frame)[RETURNED.size :]
    if frame[5] & HAS_NOTES:
        (size,) = NOTES.unpack_from(view)
        start = NOTES.size
        return marshal_loads(view[start : start + size]), view[start + size :]
    return {}, view


def pack_options(task: InfoTask) -> bytes:
    """The options with which a task travels: those that are not their default."""
    shared = task.shared
    if shared is None:
        options = _shared_options(task)
    else:
        if shared.options is None:
            shared.options = _shared_options(task)
        options = shared.options.copy()
    if task.id:
        options["id"] = task.id
    if task.env:
        options["env"] = {
            name: text.parts if isinstance(text, AttemptText) else text for name, text in task.env.items()
        }
    if task.seed is not None:
        options["seed"] = task.seed
    if task.retries.max:
        options["retries"] = tuple(task.retries)
    return marshal_dumps(options) if options else b""


def _shared_options(task: InfoTask) -> dict[str, object]:
    """Those that are the same for all tasks that were made ``like`` this one."""
    options: dict[str, object] = {}
    if task.kwargs is not None:
        options["kwargs"] = True
    for name in ("memory", "priority", "cwd", "isolate", "on_success", "on_failure", "outputs"):
        value = getattr(task, name)
        if value:
            options[name] = value
    if task.deadline is not None:
        options["deadline_ns"] = int(min(task.deadline, 9e8) * 1e9)
    if task.grace != 5.0:
        options["grace_ns"] = int(min(task.grace, 9e8) * 1e9)
    if task.callback_timeout != 30.0:
        options["callback_timeout"] = task.callback_timeout
    return options


def with_attempt(frame: bytes, attempt: int, more: Mapping[str, object] = _NOTHING) -> bytes:
    """The frame of a task, to begin with this attempt; ``more`` are options that came of the ones before it.

    ``until_ns``  when its deadline is over, monotonic
    ``flags``     of the attempt before, as far as they tell of callbacks
    """
    if attempt == 1:
        return frame
    header = list(TASK.unpack_from(frame))
    header[2] = attempt
    if not more:
        return TASK.pack(*header) + frame[TASK.size :]
    start = TASK.size + header[5]
    end = start + header[6]
    options = marshal_dumps({**options_of(frame), **more})
    header[0] += len(options) - header[6]
    header[6] = len(options)
    return TASK.pack(*header) + frame[TASK.size : start] + options + frame[end:]


def owed_frame(task: bytes, returned: bytes) -> bytes:
    """A frame that tells a new dispatcher of a task that ended and whose callback is still to be run."""
    _, _, _, number, timeout, module_size, options_size = TASK.unpack_from(task)
    middle = task[TASK.size : TASK.size + module_size + options_size]
    length = TASK.size + len(middle) + len(returned)
    return TASK.pack(length, messages.OWED, 0, number, timeout, module_size, options_size) + middle + returned


def with_file(frame: bytes, descriptor: int) -> bytes:
    """The frame with the contents of the file that came with it, as if it had all come in the channel."""
    header = list(RETURNED.unpack_from(frame))
    header[2] &= ~IN_FILE
    whole = read_pickle(descriptor, frame)
    os.close(descriptor)
    header[0] = min(len(whole), 0xFFFFFFFF)
    RETURNED.pack_into(whole, 0, *header)
    return whole  # type: ignore[return-value]  # nobody changes it, and bytes would be another copy
