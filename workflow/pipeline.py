"""``Pipeline``: the Python form of the command, and of the file.

A pipeline is loaded from a file, or made by a program; what is made is written as the text of a file and then goes the
same way, so it has the same keys, the same checks and the same messages, and can be kept as a file (``to_toml``).
Objects of their own for tasks, matrices and limits were the alternative: a second grammar beside the first.

A run belongs to the thread that calls ``run``.  In the main thread INT, TERM, HUP and QUIT are the run's while it goes
on, as they are the command's, and the program's own handlers are put back when it has ended.  The signal that ended it
is then passed on to them: SIGINT is a KeyboardInterrupt, SIGTERM ends the program, as if there had been no run; but the
run was ended, and its report is written.  In any other thread signals are none of the run's business.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from workflow.errors import NEEDS_POSIX, WorkflowError
from workflow.info_task import POOL_MAX, SEEDS

if sys.platform == "win32":
    raise WorkflowError(NEEDS_POSIX)
from workflow.event_stream import Ends, Events, EventStream

if TYPE_CHECKING:
    from typing_extensions import Self, TypedDict, Unpack

    from workflow.model import Model
    from workflow.plan.plan import Plan
    from workflow.report.console import Console
    from workflow.report.models import Event
    from workflow.report.report import Report
    from workflow.run.conductor import RunOptions

    Table = Mapping[str, Any]
    Path_ = str | os.PathLike[str]

    class PipelineKeys(TypedDict, total=False):
        """The keys of [pipeline]."""

        format: int
        doc: str
        pool: int | str
        timeout: float | str
        include: str | list[str]
        path: list[str]
        preload: list[str]
        halt: Literal["never", "soon", "now"]
        max_failures: int | str
        max_log: int | str
        max_result: int | str
        max_tasks_per_child: int | str
        seed: int
        engine: str

    class TaskKeys(TypedDict, total=False):
        """The keys of a task; ``if_`` is the key ``if``."""

        module: str | type[Model]
        call: str | Callable[..., object]
        cmd: list[str]
        shell: str
        args: list[Any] | tuple[Any, ...]
        kwargs: Table
        timeout: float | str
        grace: float | str
        needs: str | list[Any] | Table
        matrix: Table
        env: Table
        cwd: str
        on: Table
        deadline: float | str
        warn_after: float | str
        retries: int | Table
        if_: str
        uses: str | list[str] | Table
        priority: int
        memory: int | str
        seed: int
        inputs: str | list[str]
        outputs: str | list[str]
        extends: str | list[str]
        callback_timeout: float | str
        isolate: bool
        allow_failure: bool
        tags: list[str]
        doc: str

    class RunKeys(TypedDict, total=False):
        """How to run: see ``Pipeline.run``."""

        jobs: int | None
        seed: int | None
        select: str | Iterable[str]
        tags: str | Iterable[str]
        force: str | None
        resume: bool | str
        state_dir: Path_ | None
        reports: Path_ | Iterable[Path_]
        console: Literal["quiet", "normal", "verbose"] | None


class Pipeline:
    """A batch of tasks: loaded from a file, or made here, and run.

    ::

        report = Pipeline.load("pipeline.toml", variables={"day": "2026-01-31"}).run()

        pipeline = Pipeline("feeds", pool=4)
        pipeline.task("fetch", call=feeds.fetch, matrix={"country": ["de", "fr"]}, args=["${matrix.country}"])
        pipeline.task("merge", call=feeds.merge, args=["${tasks.fetch.results}"], timeout="30s")
        report = pipeline.run()

    ``name`` and further keywords are keys of ``[pipeline]``.  ``root`` is the folder that relative paths are relative
    to, and that modules are found in (None: the current one).  ``vars``, ``defaults``, ``templates``, ``limits`` and
    ``secrets`` are the tables of those names.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        root: Path_ | None = None,
        vars: Table | None = None,  # noqa: A002  # the name of the table
        defaults: Table | None = None,
        templates: Table | None = None,
        limits: Table | None = None,
        secrets: Table | None = None,
        **settings: Unpack[PipelineKeys],
    ) -> None:
        table = {**({} if name is None else {"name": name}), **settings}
        given = {"vars": vars, "secrets": secrets, "limits": limits, "defaults": defaults, "templates": templates}
        self._tables: dict[str, Any] | None = {"pipeline": table, **{key: each for key, each in given.items() if each}}
        self._root = Path(os.path.realpath(root or Path.cwd()))
        self._variables: dict[str, str] = {}
        self._layers: tuple[str | None, tuple[str, ...]] = (None, ())
        self._file: _Loaded | None = None
        self._plan: Plan | None = None

    @classmethod
    def load(
        cls,
        path: Path_ = "pipeline.toml",
        *,
        profile: str | None = None,
        variables: Mapping[str, object] | None = None,
        sets: Iterable[str] = (),
        root: Path_ | None = None,
    ) -> Self:
        """A pipeline file, or a plan that was saved.

        ``profile``    as ``--profile``
        ``variables``  as ``--var``: text as it would be typed, or the value itself
        ``sets``       as ``--set``: "tasks.fetch.timeout=9s"
        ``root``       of a saved plan: the folder its paths are relative to

        Raises InvalidPipeline with all mistakes.
        """
        made = cls(root=Path(path).parent)
        made._tables = None
        layers = profile, _words("sets", sets)
        loaded = _Loaded(Path(path), None if root is None else Path(root), _typed(variables or {}), *layers)
        made._plan = loaded.plan()
        made._file = loaded.absolute()
        return made

    @classmethod
    def from_dict(
        cls,
        tables: Mapping[str, Any],
        *,
        root: Path_ | None = None,
        profile: str | None = None,
        variables: Mapping[str, object] | None = None,
        sets: Iterable[str] = (),
    ) -> Self:
        """What a file of these tables would be: ``{"pipeline": {...}, "tasks": {"fetch": {...}}}``.

        Raises InvalidPipeline with all mistakes, TypeError for what TOML cannot say.
        """
        made = cls(root=root)
        made._tables = {**tables}
        made._variables = _typed(variables or {})
        made._layers = profile, _words("sets", sets)
        made._planned()
        return made

    def task(self, name: str, **keys: Unpack[TaskKeys]) -> Self:
        """Add a task, with the keys of its table; returns the pipeline.

        ``call`` and ``module`` may be the function, or the class, itself: it has to be found under its name in a
        module, for its name is what a worker gets.  Where that module is the program's own script, the script is
        imported by the workers: what it does belongs below ``if __name__ == "__main__":``; without that it is imported
        down to where it runs the pipeline.  ``if`` is written ``if_``.

        Mistakes are told when it is run, or by ``ids``.
        """
        if self._tables is None:
            message = "this pipeline was loaded from a file: its tasks stand there (sets= lays values over them)"
            raise WorkflowError(message)
        tasks = self._tables.setdefault("tasks", {})
        if name in tasks:
            message = f"this pipeline has a task {name!r} already"
            raise ValueError(message)
        table = {key.removesuffix("_"): value for key, value in keys.items()}
        tasks[name] = {key: _named(key, value, f"tasks.{name}.{key}") for key, value in table.items()}
        self._plan = None
        return self

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all tasks there would be, in the order of the plan.  Raises InvalidPipeline."""
        return tuple(task.id for task in self._planned().tasks)

    def to_toml(self) -> str:
        """The text of the file that says the same.  Raises TypeError for what TOML cannot say."""
        from workflow.spec.writing import toml_text

        if self._tables is None:
            message = "this pipeline was loaded from a file: that is its text"
            raise WorkflowError(message)
        return toml_text({name: table for name, table in self._tables.items() if table})

    def run(self, *, on_event: Callable[[Event], object] | None = None, **how: Unpack[RunKeys]) -> Report:
        """Run it to its end; what came of it.

        ``jobs``       workers (None: what the pipeline says)
        ``seed``       of the run
        ``select``, ``tags``  only tasks whose id or name matches a glob, that have a tag, and what they need
        ``force``      a glob of tasks that run although they are cached, or ended in the run that is resumed
        ``resume``     True completes the latest run of this pipeline, the id of a run that one (or the beginning of its
                       id, or "latest"): what succeeded there is not run again
        ``state_dir``  where the run is recorded (``.workflow`` in the pipeline's folder)
        ``reports``    a file or files to write reports to, each as its name ends: .html, .md, .xml, .json, .trace.json
        ``console``    None says nothing; else what ``workflow run`` says on stderr: "quiet", "normal" or "verbose"
        ``on_event``   called with each event, in their order, in a thread of its own.  The run does not wait for it
                       until its end, unless it falls far behind.  What it raises ends the run, and is raised here.

        Tasks that fail are in the report, and raise nothing.  Raises InvalidPipeline; WorkflowError when the run cannot
        be recorded, or there is none to complete; ValueError when nothing is selected.  A signal that ends the run is
        passed on afterwards.
        """
        if on_event is not None and not callable(on_event):
            raise TypeError(f"on_event is a function that takes an event, or None, not {on_event!r}")
        plan, options = self._chosen(**how)
        ends = Ends()
        report = _go(plan, options, ends, on_event, how.get("console"))
        if ends.heard is not None and threading.current_thread() is threading.main_thread():
            signal.raise_signal(ends.heard)
        return report

    def stream(self, **how: Unpack[RunKeys]) -> EventStream:
        """Run it in the background; its events as they come, then its report.

        ::

            with pipeline.stream() as events:
                for event in events:
                    if event.event == "task_finished":
                        print(event.task, event.outcome)
            print(events.report.counts)

        Takes what ``run`` takes, and raises what it raises.  Events that are not taken are kept.
        """
        plan, options = self._chosen(**how)
        console = how.get("console")
        return EventStream(lambda ends, on_event: _go(plan, options, ends, on_event, console))

    def __repr__(self) -> str:
        if self._file is not None:
            return f"<Pipeline of {self._file.path}>"
        tables = self._tables or {}
        return f"<Pipeline {tables['pipeline'].get('name', 'without a name')!r}: {len(tables.get('tasks', ()))} tasks>"

    def __getstate__(self) -> dict[str, object]:
        """What it is pickled as: its tables, or which file it is of, which is read again."""
        return {**self.__dict__, "_plan": None}

    def _planned(self) -> Plan:
        if self._plan is None and self._file is not None:
            self._plan = self._file.plan()
        elif self._plan is None:
            from workflow.diagnostics.mistake import InvalidPipeline
            from workflow.plan.build import build_plan
            from workflow.spec.document import lay_over
            from workflow.spec.load import check_document
            from workflow.spec.pipeline import raise_mistakes
            from workflow.spec.source import source_of

            name = str((self._tables or {}).get("pipeline", {}).get("name", "pipeline")).replace("/", "-")
            # It is as if this file were there: nothing reads it, and nobody else's runs have this name.
            source = source_of(self.to_toml(), f"<{name}>", self._root / f"<{name}>")
            profile, sets = self._layers
            document, mistakes = lay_over(source, profile=profile, sets=sets)
            pipeline, more = check_document(document, self._variables)
            try:
                self._plan = build_plan(pipeline)
            except InvalidPipeline as error:
                more += error.mistakes
            if mistakes or more:
                self._plan = None
                raise_mistakes(document, [*mistakes, *more])
            assert self._plan is not None
        return self._plan

    def _chosen(
        self,
        *,
        jobs: int | None = None,
        seed: int | None = None,
        select: str | Iterable[str] = (),
        tags: str | Iterable[str] = (),
        force: str | None = None,
        resume: bool | str = False,
        state_dir: Path_ | None = None,
        reports: Path_ | Iterable[Path_] = (),
        console: Literal["quiet", "normal", "verbose"] | None = None,
        **unknown: object,
    ) -> tuple[Plan, RunOptions]:
        """What is to be run, and how.  Raises TypeError and ValueError for what cannot be meant."""
        from workflow.diagnostics.suggest import did_you_mean
        from workflow.engine.importing import refuse_start
        from workflow.run.conductor import RunOptions
        from workflow.run.folder import STATE_DIR
        from workflow.run.results import taken_by_others
        from workflow.run.resume import Resume

        refuse_start("what runs the pipeline")  # before there is a run, and before the file is read in each worker
        for name in unknown:
            near = did_you_mean(name, _RUN_KEYS)
            raise TypeError(
                f"run() takes no {name!r}" + (f", {near}" if near else f"; it takes {', '.join(_RUN_KEYS)}")
            )
        _check_number("seed", seed, 0, SEEDS - 1)
        _check_number("jobs", jobs, 1, POOL_MAX)
        _check_text("force", force, None, "a glob")
        if resume is not True:
            _check_text("resume", resume, False, "True, the id of a run")
        if console not in (None, "quiet", "normal", "verbose"):
            raise ValueError(f"console is None, 'quiet', 'normal' or 'verbose', not {console!r}")
        whole = plan = self._planned()
        globs, wanted_tags = _words("select", select), _words("tags", tags)
        if globs or wanted_tags:
            from workflow.plan.select import select as select_tasks

            plan = select_tasks(plan, globs=globs, tags=wanted_tags)
            if not plan.tasks:
                message = f"nothing is selected by {', '.join(map(repr, (*globs, *wanted_tags)))}"
                raise ValueError(message)
        if state_dir is not None and not os.fspath(state_dir):
            message = "state_dir is a folder, or None, and not empty"
            raise ValueError(message)
        options = RunOptions(
            state_dir=plan.root / STATE_DIR if state_dir is None else Path(state_dir).absolute(),
            jobs=jobs,
            seed=seed,
            argv=tuple(sys.argv),
            reports=_report_paths(reports),
            force=force,
            resume=None if resume is False else Resume(None if resume is True else resume),
            keep_results=taken_by_others(whole.tasks) if whole is not plan else frozenset(),
        )
        return plan, options


class _Loaded(NamedTuple):
    """The file that a pipeline is of, and what lies over it."""

    path: Path
    root: Path | None
    variables: dict[str, str]
    profile: str | None
    sets: tuple[str, ...]

    def absolute(self) -> _Loaded:
        return self._replace(path=self.path.absolute(), root=None if self.root is None else self.root.absolute())

    def plan(self) -> Plan:
        """Read it.  Raises InvalidPipeline, and ValueError for what does not go together."""
        from workflow.plan.build import load_plan
        from workflow.plan.saved import load_saved, looks_saved

        path, root, variables, profile, sets = self
        if looks_saved(path):
            if profile is not None or variables or sets:
                message = f"{path} is a saved plan: profile, variables and sets are for the file it was made from"
                raise ValueError(message)
            return load_saved(path, root)
        if root is not None:
            message = f"root is for a saved plan; in {path} paths are relative to the file"
            raise ValueError(message)
        return load_plan(path, variables, profile=profile, sets=sets)


def _go(
    plan: Plan,
    options: RunOptions,
    ends: Ends,
    on_event: Callable[[Event], object] | None,
    console: Literal["quiet", "normal", "verbose"] | None,
) -> Report:
    from workflow.engine.parent import MultiProcess
    from workflow.report.graph import graph_of
    from workflow.report.material import material_of
    from workflow.report.report import Report
    from workflow.run.conductor import run_plan

    shown = _console(console)
    events = None if on_event is None else Events(on_event, ends)
    try:
        descriptor = None if events is None else events.descriptor
        result = run_plan(plan, replace(options, events=descriptor, make_signals=ends.signals), shown, MultiProcess)
    finally:
        if events is not None:
            events.finish()
    if events is not None and events.error is not None:
        raise events.error
    records = dict(enumerate(result.records))
    material = material_of(result.run, result.verdict, records, graph_of(plan.tasks), Path(result.run.folder))
    return Report.of(material, result.problem)


class _Nowhere:
    """The stream of a run that says nothing."""

    def write(self, _text: str, /) -> object:
        return None

    def flush(self) -> object:
        return None

    def isatty(self) -> bool:
        return False


def _console(verbosity: Literal["quiet", "normal", "verbose"] | None) -> Console:
    from workflow.report.console import Console
    from workflow.report.terminal import Terminal

    if verbosity is None:
        return Console(Terminal(_Nowhere()), "quiet")
    return Console(Terminal(sys.stderr), verbosity)


_RUN_KEYS = ("jobs", "seed", "select", "tags", "force", "resume", "state_dir", "reports", "console")


def _check_number(name: str, value: object, least: int, most: int) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is a number or None, not {value!r}")
    if not least <= value <= most:
        raise ValueError(f"{name} is from {least} to {most}, not {value}")


def _check_text(name: str, value: object, nothing: object, what: str) -> None:
    if value is nothing:
        return
    if not isinstance(value, str):
        raise TypeError(f"{name} is {what}, or {nothing}, not {value!r}")
    if not value:
        raise ValueError(f"{name} is {what}, or {nothing}, and not empty")


def _words(name: str, value: object) -> tuple[str, ...]:
    words = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    for word in words:
        if not isinstance(word, str):
            raise TypeError(f"{name} is a text, or several, not {value!r}")
    return words


def _report_paths(value: Path_ | Iterable[Path_]) -> tuple[Path, ...]:
    from workflow.report.formats import suffix_of, unknown_format

    paths = tuple(map(Path, (value,) if isinstance(value, (str, os.PathLike)) else value))
    for path in paths:
        if suffix_of(path) is None:
            raise ValueError(unknown_format(path))
    return tuple(path.absolute() for path in paths)


def _typed(variables: Mapping[str, object]) -> dict[str, str]:
    """Values as they would be typed."""
    from workflow.spec.writing import toml_text

    texts = {}
    for name, value in variables.items():
        text = value if isinstance(value, str) else toml_text({name: value}).partition(" = ")[2].rstrip("\n")
        texts[name] = text
    return texts


def _named(key: str, value: Any, place: str) -> Any:
    """Functions and classes by their names, wherever a task can name one."""
    if key == "call" and callable(value):
        return _name(value, ":", place)
    if key == "module" and isinstance(value, type):
        return _name(value, ".", place)
    if key == "on" and isinstance(value, Mapping):
        return {
            ending: _name(hook, ":", f"{place}.{ending}") if callable(hook) else hook for ending, hook in value.items()
        }
    return value


def _name(target: Any, separator: str, place: str) -> str:
    module, name = getattr(target, "__module__", None), getattr(target, "__qualname__", "")
    where = "has no name"
    if module == "__main__":
        from workflow.engine.own_module import name_of_main, why_main_has_no_name

        module, where = name_of_main(), f"{why_main_has_no_name()}, and has no name"
    if not module or not name or not all(part.isidentifier() for part in f"{module}.{name}".split(".")):
        message = (
            f"{place}: {target!r} {where} that a worker could find it by: a task is a function or a class of a "
            "module (WorkflowExecutor takes anything)"
        )
        raise TypeError(message)
    return f"{module}{separator}{name}"
