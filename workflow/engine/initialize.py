"""The initializer of an executor's workers: called once in each, before its first call.

A worker whose initializer raises, leaves or dies was not started: another is, and after so many in a row the pool gives
up (see ``restarts``).  The reason then holds the last one's traceback.

Functions of ``__main__`` come by value, each with globals of its own, so what an initializer sets in its globals would
be seen by nobody.  It is the very purpose of most initializers.  So the data that it refers to by global names belongs
to the worker: whichever function of ``__main__`` is called there later finds what the initializer left in them.
"""

from __future__ import annotations

import os
import sys
from _pickle import loads
from types import FunctionType, ModuleType

from workflow.engine import calls
from workflow.engine.describe import message_of, traceback_of, type_name
from workflow.engine.system import OWN_FAILURE

_STORY_BYTES = 8000


def initialize(packed: bytes, stack_file: int) -> None:
    """Call it.  Does not return when it does not."""
    try:
        function, args, _kwargs = loads(packed)
        function(*args)
        own = calls.globals_of(function)
        if own is not None:
            code = (FunctionType, type, ModuleType)
            calls.initialized.update({
                name: value for name, value in own.items() if not name.startswith("__") and not isinstance(value, code)
            })  # fmt: skip
    except BaseException as error:  # noqa: BLE001  # it is the user's code
        text = repr(error.code) if isinstance(error, SystemExit) else message_of(error, "start")
        told = f"its initializer raised {type_name(type(error))}: {text}".replace("\n", " ")
        story = traceback_of(error)[-_STORY_BYTES:]
        os.write(stack_file, f"{story}{OWN_FAILURE}{told[:_STORY_BYTES]}\n".encode(errors="replace"))
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:  # noqa: BLE001, S110  # it is the user's too
                pass
        os._exit(70)
