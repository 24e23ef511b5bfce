"""What a callback was given, as the journal notes it in the dispatcher, and whether that is its own task's outcome.

A result is noted by its digest, which the task has noted as well when it returned.  A value may be pickled in another
way once it has travelled (a set in another order, say); of a task of which that is not known, only errors are compared.
Of an error there are its class, what it stands for, its task and its text; the report tells all of these.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from workflow.harness import journal

if TYPE_CHECKING:
    from workflow.harness.journal import Entry

_TEXT_MAX = 500
_OURS = "workflow.errors."
_ADDRESS = re.compile("0x[0-9a-f]+")


class GivenError(NamedTuple):
    """An exception that an ``error_callback`` was given."""

    of: str
    """Its class, with the module."""
    type: str
    """The type that a report would tell: of what it stands for, when it stands for one that could not travel."""
    task: str | None
    """The task that it says it is about; None when it says nothing of that."""
    text: str
    """Its beginning."""


def note_given(task: str, name: str, argument: object, digest: str) -> None:
    """Note what the ``name`` of a task was given: ``digest``, if that is ``callback``."""
    if name == "callback":
        journal.note(journal.GIVEN, task, 0, digest)
    else:
        journal.note(journal.GIVEN_ERROR, task, 0, json.dumps(_told_of(argument)))


def given_errors(entries: Sequence[Entry]) -> dict[str, GivenError]:
    """What was noted of errors, by task."""
    return {entry.task: _read(entry.detail) for entry in entries if entry.what == journal.GIVEN_ERROR}


def strange_results(entries: Sequence[Entry], tasks: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The tasks whose callback was given something else than their last attempt returned."""
    returned = {(entry.task, entry.attempt): entry.detail for entry in entries if entry.what == journal.ENDED}
    for entry in entries:
        if entry.what == journal.GIVEN and tasks.get(entry.task, {}).get("attempts"):
            digest = returned.get((entry.task, tasks[entry.task]["attempts"][-1]["number"]))
            if digest and entry.detail and digest != entry.detail:
                yield entry.task


def strange_errors(entries: Sequence[Entry], tasks: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """The tasks whose ``error_callback`` was given another error than is told of their last attempt, and how so."""
    for task, given in given_errors(entries).items():
        attempts = tasks.get(task, {}).get("attempts")
        error = attempts[-1].get("error") if attempts else None
        if error is None:
            continue
        # A task may raise such an error itself, about a task of a pool of its own.
        by_engine = not error["type"].startswith(_OURS)
        if by_engine and given.task not in (None, task):
            yield task, f"{given.type} of {given.task}"
        elif error["type"] not in (given.type, given.of):
            yield task, f"{given.type}, not {error['type']}"
        elif not _letters(given.text) <= _letters(error["message"]):
            yield task, f"{given.type}: {given.text!r}, not {error['message'][:_TEXT_MAX]!r}"


def _told_of(error: object) -> GivenError:
    from workflow.errors import TaskError, TaskFailed

    cls = type(error)
    of = f"{cls.__module__}.{cls.__qualname__}"
    name = cls.__qualname__ if cls.__module__ in ("builtins", "__main__") else of.removeprefix(_OURS)
    name = error.type_name if isinstance(error, TaskFailed) else name
    if isinstance(error, (TaskError, SystemExit)):  # whose texts are the engine's, and differ from those that are told
        return GivenError(of, name, error.task_id if isinstance(error, TaskError) else None, "")
    try:
        return GivenError(of, name, None, str(error)[:_TEXT_MAX])
    except Exception:  # noqa: BLE001  it is the user's code
        return GivenError(of, name, None, "")


def _read(detail: str) -> GivenError:
    try:
        return GivenError(*json.loads(detail))
    except (TypeError, ValueError):
        return GivenError("", "", None, detail)


def _letters(text: str) -> Counter[str]:
    """How often it has each character, addresses aside: a set in it may be written in another order."""
    return Counter(_ADDRESS.sub("", text))
