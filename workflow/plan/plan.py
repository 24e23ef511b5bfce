"""A Plan: every task of a run, its matrix expanded, in an order in which prerequisites come first.

Written, checked, runnable are three types: TOML text, ``Pipeline`` (``spec``), ``Plan``.  A plan is frozen data and
depends on the file alone, never on the machine: the same file gives the same plan, and the same ``hash``, anywhere.
What a task needs from tasks that must run first stays open in it until ``compile`` is given their results.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Union

from workflow.info_task import RetryPolicy
from workflow.spec.reference import Template

if TYPE_CHECKING:
    from workflow.plan.tasks import Tasks

Json = Union[None, bool, int, float, str, "list[Json]", "dict[str, Json]"]
Value = Union[None, bool, int, float, str, Template, "list[Value]", "dict[str, Value]"]
"""As ``Json``, with a ``Template`` where a result of another task goes in."""
Kind = Literal["module", "call", "cmd", "shell"]
Halt = Literal["never", "soon", "now"]
Status = Literal["success", "failure", "any"]


@dataclass(frozen=True, slots=True)
class TokenLimit:
    """Tokens that tasks take while they run."""

    tokens: int
    per_s: float | None
    """Of a rate: a token that was taken comes back after so long, whoever took it; None is when its task has ended."""


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where a secret is read when a run begins; the plan never holds it."""

    source: Literal["env", "file", "cmd"]
    value: str | tuple[str, ...]
    """Name of the variable, path of the file (as ``cwd``), or argv."""
    cwd: str
    """Where a ``cmd`` is run: the folder of the file that declares it."""


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
    """Folders for ``sys.path``, relative to the plan's root where they are not absolute, the file's own first."""
    preload: tuple[str, ...]
    max_log_bytes: int | None
    max_result_bytes: int | None
    max_tasks_per_child: int | None
    """Attempts before a worker is renewed."""
    seed: int | None
    """What the file says; None is drawn by each run."""
    limits: Mapping[str, TokenLimit]
    secrets: Mapping[str, SecretSource]


@dataclass(frozen=True, slots=True)
class Need:
    """All instances of one other task, and how they have to end."""

    name: str
    ids: Sequence[str]
    """In matrix order, without those that ``if`` removed unless it removed all; the same object in every Need of that
    task with the same ``match``, so that many needs of many instances cost little."""
    every: Sequence[str]
    """The same with those that ``if`` removed."""
    status: Status
    """All of them succeeded; at least one went wrong, and all ended; all ended."""
    matched: bool = False
    """Whether these are some of the instances, as ``match`` paired them or files do, and not all there are."""
    by_files: bool = False
    """Whether it is there because they make an input; what is said of their results is another Need's."""


class Deferred(ABC):
    """A result that is not in memory: it is handed on as a whole, and read only where a part or text of it is asked."""

    __slots__ = ()

    @property
    @abstractmethod
    def problem(self) -> str | None:
        """Why nobody can have it."""

    @abstractmethod
    def whole(self) -> object:
        """What becomes the result where the task that takes it is run."""

    @abstractmethod
    def read(self) -> object:
        """The result, as far as the parent may look at it.  Raises LookupError with a sentence."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How an instance ended, as far as other tasks can refer to it."""

    matrix: Mapping[str, Json] | None
    """Of the instance."""
    outcome: str
    """The value of an ``Outcome``."""
    result: object
    """None where the outcome is no success."""


class PlannedTask(NamedTuple):
    """One instance of one task of the file.  A tuple, because a million may be made: it is made in one step."""

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
    cwd: str | Template
    """Relative to the plan's root where it is not absolute, with ``/``."""
    base: str
    """What a ``cwd`` that waits, once it is known, is relative to: the folder of the file that says it."""
    on_success: str | None
    on_failure: str | None
    isolate: bool
    allow_failure: bool
    tags: tuple[str, ...]
    doc: str | None
    retries: RetryPolicy
    deadline_s: float | None
    """Limit over all attempts and the waits between them, from the first's start."""
    warn_after_s: float | None
    uses: Mapping[str, int]
    """Tokens of the plan's limits."""
    priority: int
    memory_bytes: int | None
    seed: int | None
    """None is made from the run's seed and the id."""
    inputs: tuple[str, ...]
    """Files, folders and globs; paths as ``cwd``."""
    outputs: tuple[str, ...]
    condition: str | None
    """Its ``if``, as the file has it."""
    skipped: bool
    """Whether the condition is false, so that it ends as skipped."""


def count_failures(written: int | str | None, tasks: int) -> int | None:
    """``max_failures`` as a count: a percentage of all planned tasks, rounded up."""
    if isinstance(written, str):
        return max(1, ceil(Fraction(written[:-1]) * tasks / 100))
    return written


@dataclass(frozen=True, slots=True)
class Resolved:
    """The file that a plan was made of, with everything laid into it, for whoever asks why two runs differ."""

    document: Mapping[str, Json]
    """Before its matrices, so that it is as small as the file; references that wait, as they are written."""
    sources: Mapping[str, str]
    """Every file it was read from, by its absolute path, the main one first, with the SHA-256 of its content."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does."""

    file: Path
    """Absolute path of the pipeline file, or of the saved plan."""
    root: Path
    """Absolute; what relative paths in the plan are relative to: the folder of the file."""
    name: str | None
    doc: str | None
    settings: Settings
    tasks: Tasks
    """Prerequisites before what needs them; otherwise in the order of the file, then of the matrix."""
    environ: Mapping[str, str | None]
    """What the file took from the environment; None for a variable that is not set."""
    hash: str
    """``sha256:`` and 64 hex digits, over what ``plan --json`` prints without it; empty if nobody wants to know it."""
    resolved: Resolved | None = field(default=None, compare=False)
    """None of a saved plan, and where nobody asked for it."""
