"""An exception as it leaves its process: as text always, and as an object when that can travel.

Imported at a process's first failure, because ``traceback`` costs milliseconds.  Nothing here may fail, whatever the
exception is made of: its ``__str__``, ``__repr__`` and ``__reduce__`` are the user's code and may raise.
"""

from __future__ import annotations

import os
import traceback
from _pickle import dumps, loads

from workflow import messages
from workflow.engine.importing import say_what_is_missing

_MAX_TEXT = 200_000
"""Characters of a traceback that are kept; head and tail."""
_HERE = os.path.dirname(__file__)


def pack_exception(error: BaseException, stage: str) -> bytes:
    """What lies behind the header of an attempt that raised."""
    say_what_is_missing(error)
    return messages.pack_error(
        type_name(type(error)),
        message_of(error, stage),
        traceback_of(error),
        pickled(error),
        None,
        None,
        exit_code_of(error),
    )


def type_name(cls: type) -> str:
    """A class as tracebacks name it: with its module unless it is a built-in."""
    if cls.__module__ in ("builtins", "__main__"):
        return cls.__qualname__
    return f"{cls.__module__}.{cls.__qualname__}"


def message_of(error: BaseException, stage: str) -> str:
    """The exception's own text, with what a person should know about the situation."""
    try:
        text = str(error)
    except Exception as second:  # noqa: BLE001
        text = f"<its __str__ raised {type_name(type(second))}>"
    text = _shorten(text)
    if isinstance(error, SystemExit):
        code = error.code
        text = f"the task called for the exit of its process (code {code!r}); a main() that ends so belongs in 'cmd'"
    elif stage == "arguments":
        text = f"while its arguments were unpickled: {text}"
    elif stage == "init":
        text = f"while its Model was made: {text}"
    return text


def traceback_of(error: BaseException) -> str:
    """The traceback as Python prints it, without the frames of the engine."""
    trace = error.__traceback__
    while trace is not None and os.path.dirname(trace.tb_frame.f_code.co_filename) == _HERE:
        trace = trace.tb_next
    try:
        return _shorten("".join(traceback.format_exception(type(error), error, trace or error.__traceback__)))
    except Exception as second:  # noqa: BLE001
        return f"<the traceback of {type_name(type(error))} could not be written: {type_name(type(second))}>\n"


def pickled(error: BaseException) -> bytes | None:
    """The exception as bytes, if it comes back from them as what it was."""
    try:
        try:
            data = dumps(error, 5)
        except Exception as refusal:  # noqa: BLE001
            if "_main__" not in str(refusal):  # or __mp_main__
                return None
            from workflow.engine import main_names

            data = main_names.dumps(error)
        return data if type(loads(data)) is type(error) else None
    except Exception:  # noqa: BLE001
        return None


def exit_code_of(error: BaseException) -> int | None:
    """The exit code that a failed command's exception carries."""
    code = getattr(error, "exit_code", None)
    return code if type(code) is int else None


def _shorten(text: str) -> str:
    if len(text) <= _MAX_TEXT:
        return text
    half = _MAX_TEXT // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters cut …\n{text[-half:]}"
