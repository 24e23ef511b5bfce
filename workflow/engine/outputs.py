"""The outputs that a task declared: whether they are there when it has returned.

It is looked in the worker, as a part of the attempt: so a task without them fails like one that raises, its retries
see it, and the right callback is called.  The parent would find them missing only after it had been told of a success.

What a failed attempt leaves may be half of an output, and the next one may succeed without touching it.  So from the
second attempt on, an output counts only if it is another than at the attempt's beginning.  Alternatives: to remove
what a failed attempt left (the engine then deletes files by a glob, which may match more than anybody meant), or to
trust times against the start of the attempt (file systems have coarse clocks, and another machine's).  Price: such an
attempt looks at its outputs twice, all files of a folder; and a program that finds an output ready and leaves it as it
is, as make does, must touch it in a retry.
"""

from __future__ import annotations

import os
from stat import S_ISDIR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    State = Mapping[str, Mapping[str, object]]

_SHOWN = 5
"""Names in a folder that are told when none is like the one that is missing."""


class OutputMissing(Exception):
    """A task ended without an output that it declared; ``missing`` are all of those."""

    __module__ = "workflow"  # where it is public, and found when it is unpickled

    def __init__(self, message: str, missing: tuple[str, ...] = ()) -> None:
        super().__init__(message, missing)
        self.message = message
        self.missing = missing

    def __str__(self) -> str:
        return self.message


def state(outputs: Sequence[str]) -> State:
    """What is there of them: for each output, what it means and how that looks."""
    return {output: {path: _look(path) for path in _meant(output)} for output in outputs}


def check(outputs: Sequence[str], before: State | None) -> None:
    """Raise OutputMissing unless all are there, and are others than ``before``, the beginning of a later attempt."""
    problems: dict[str, str] = {}
    for output in outputs:
        found = _meant(output)
        if not found:
            problems[output] = _what_is_near(output)
        elif before is not None and all(before[output].get(path) == _look(path) for path in found):
            problems[output] = f"its output {output} was left by an earlier attempt, and this one did not touch it"
    if problems:
        first, *others = problems.values()
        more = f"; nor are {len(others)} others as they must be: {', '.join([*problems][1:])}" if others else ""
        raise OutputMissing(first + more, tuple(problems))


def _meant(output: str) -> list[str]:
    if os.path.exists(output):
        return [output]
    if not _is_pattern(output):
        return []
    from glob import glob

    return glob(output, recursive=True)


def _look(path: str) -> object:
    """Something that is another whenever what is there was written; of a folder, all that is in it."""
    try:
        found = os.stat(path)
        looks = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        if not S_ISDIR(found.st_mode):
            return looks
        inside = {name: _look_inside(os.path.join(path, name)) for name in os.listdir(path)}
    except OSError:
        return None
    return looks, inside


def _look_inside(path: str) -> object:
    return os.readlink(path) if os.path.islink(path) else _look(path)  # a link may lead to a folder above


def _is_pattern(output: str) -> bool:
    return any(character in output for character in "*?[")


def _what_is_near(output: str) -> str:
    """The sentence about one that is not there: with a name that is like it, or what else is in its folder."""
    what = f"nothing matches its output {output}" if _is_pattern(output) else f"its output {output} is not there"
    if output.endswith("/") and os.path.exists(output.rstrip("/")):
        return f"{what}: what is there is not a folder"
    folder, name = os.path.split(output.rstrip("/"))
    while folder != os.path.dirname(folder) and (_is_pattern(folder) or not os.path.isdir(folder)):
        folder, name = os.path.split(folder)
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        return f"{what}: its folder cannot be read: {error.strerror}"
    if not names:
        return f"{what}: the folder {folder} is empty"
    from workflow.diagnostics.suggest import did_you_mean

    near = did_you_mean(name, names)
    if near is not None:
        return f"{what}, {near}"
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    return f"{what}: in {folder} there are {shown}"
