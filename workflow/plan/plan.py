"""A Plan: every task of a run, its matrix expanded, in an order in which prerequisites come first.

Written, checked, runnable are three types: TOML text, ``Pipeline`` (``spec``), ``Plan``.  A plan is frozen data and
depends on the file alone, never on the machine: the same file gives the same plan, and the same ``hash``, anywhere.
What a task needs from tasks that must run first stays open in it until ``compile`` is given their results.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Union

from workflow.spec.reference import Template

Json = Union[None, bool, int, float, str, "list[Json]", "dict[str, Json]"]
Value = Union[None, bool, int, float, str, Template, "list[Value]", "dict[str, Value]"]
"""As ``Json``, with a ``Template`` where a result of another task goes in."""
Kind = Literal["module", "call", "cmd", "shell"]
Halt = Literal["never", "soon", "now"]
Status = Literal["success", "failure", "any"]


@dataclass(frozen=True, slots=True)
class Settings:
    """The file-wide settings, defaults filled in."""

    pool: int | Literal["cpus"]
    timeout_s: float | None
    """Limit for the whole run."""
    halt: Halt
    max_failures: int | None
    """Failures after which ``halt`` applies; a percentage is already a count here.  None when ``halt`` is never."""
    max_failures_written: int | str | None
    """The count or the percentage it was made from."""
    path: tuple[str, ...]
    """Folders for ``sys.path``, absolute, the file's own folder first."""
    path_written: tuple[str, ...]
    """The same without the file's own, as the file has them."""
    preload: tuple[str, ...]
    max_log_bytes: int | None
    max_result_bytes: int | None


@dataclass(frozen=True, slots=True)
class Need:
    """All instances of one other task, and how they have to end."""

    name: str
    ids: tuple[str, ...]
    """In matrix order; the same tuple in every Need of that task, so that many needs of many instances cost little."""
    status: Status
    """All of them succeeded; at least one went wrong, and all ended; all ended."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How an instance ended, as far as other tasks can refer to it."""

    matrix: Mapping[str, Json] | None
    """Of the instance."""
    outcome: str
    """The value of an ``Outcome``."""
    result: object
    """None where the outcome is no success."""


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """One instance of one task of the file."""

    id: str
    """``name``, or ``name@a-b`` for an instance of a matrix."""
    name: str
    matrix: Mapping[str, Json] | None
    kind: Kind
    target: str | Template | tuple[str | Template, ...]
    """Dotted path, ``pkg.mod:function``, argv, or shell line; argv and line may hold references to results."""
    args: tuple[Value, ...]
    kwargs: Mapping[str, Value]
    needs: tuple[Need, ...]
    """One for each task that must end before, those that are only referred to included, in the order of the file."""
    uses_results: frozenset[str]
    """Ids among them that ``compile_task`` is told the ends of; the results of others need not be kept."""
    timeout_s: float | None
    grace_s: float
    callback_timeout_s: float | None
    env: Mapping[str, str | Template | None]
    """None removes the variable."""
    cwd: str
    """Absolute."""
    cwd_written: str | None
    """As the file has it; None is the file's folder."""
    on_success: str | None
    on_failure: str | None
    isolate: bool
    allow_failure: bool
    tags: tuple[str, ...]
    doc: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does."""

    file: Path
    """Absolute path of the pipeline file."""
    name: str | None
    doc: str | None
    settings: Settings
    tasks: tuple[PlannedTask, ...]
    """Prerequisites before what needs them; otherwise in the order of the file, then of the matrix."""
    hash: str
    """``sha256:`` and 64 hex digits, over what ``plan --json`` prints without it."""
