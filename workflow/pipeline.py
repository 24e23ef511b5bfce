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
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from workflow.errors import NEEDS_POSIX, WorkflowError
from workflow.info_task import POOL_MAX, SEEDS

if sys.platform == "win32":
    raise WorkflowError(NEEDS_POSIX)
from workflow.run.signals import Signals

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self, TypedDict, Unpack

    from workflow.model import Model
    from workflow.plan.plan import Plan
    from workflow.report.console import Console
    from workflow.report.models import Event
    from workflow.report.report import Report

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
        reports: Iterable[Path_]
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
        from workflow.plan.saved import load_saved, looks_saved

        made = cls(root=Path(path).parent)
        made._tables = None
        sets = tuple(sets)
        if looks_saved(Path(path)):
            if profile is not None or variables or sets:
                message = f"{path} is a saved plan: profile, variables and sets are for the file it was made from"
                raise ValueError(message)
            made._plan = load_saved(Path(path), None if root is None else Path(root))
            return made
        if root is not None:
            message = f"root is for a saved plan; in {path} paths are relative to the file"
            raise ValueError(message)
        from workflow.plan.build import load_plan

        made._plan = load_plan(Path(path), _typed(variables or {}), profile=profile, sets=sets)
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
        made._layers = profile, tuple(sets)
        made._planned()
        return made

    def task(self, name: str, **keys: Unpack[TaskKeys]) -> Self:
        """Add a task, with the keys of its table; returns the pipeline.

        ``call`` and ``module`` may be the function, or the class, itself: it has to be found under its name in a
        module, for its name is what a worker gets.  Where that module is the program's own script, the script is
        imported by the workers: what it does belongs below ``if __name__ == "__main__":``.  ``if`` is written ``if_``.

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
        ``reports``    files to write reports to, each as its name ends: .html, .md, .xml, .json, .trace.json
        ``console``    None says nothing; else what ``workflow run`` says on stderr: "quiet", "normal" or "verbose"
        ``on_event``   called with each event, in their order, in a thread of its own.  The run does not wait for it
                       until its end, unless it falls far behind.  What it raises ends the run, and is raised here.

        Tasks that fail are in the report, and raise nothing.  Raises InvalidPipeline; WorkflowError when the run cannot
        be recorded, or there is none to complete; ValueError when nothing is selected.  A signal that ends the run is
        passed on afterwards.
        """
        result, mask = self._go(self._chosen(how), _Ends(), on_event, **how)
        if mask is not None and threading.current_thread() is threading.main_thread():
            signal.raise_signal(mask)
        return result

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
        return EventStream(self, self._chosen(how), how)

    def _planned(self) -> Plan:
        if self._plan is None:
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

    def _chosen(self, how: RunKeys) -> Plan:
        """What is to be run.  Raises TypeError and ValueError for what cannot be meant by ``how``."""
        from workflow.diagnostics.suggest import did_you_mean
        from workflow.report.formats import suffix_of, unknown_format

        for name in how.keys() - _RUN_KEYS:
            near = did_you_mean(name, _RUN_KEYS)
            raise TypeError(f"run() takes no {name!r}" + (f", {near}" if near else f"; it takes {_RUN_KEYS}"))
        _check_number("seed", how.get("seed"), 0, SEEDS - 1)
        _check_number("jobs", how.get("jobs"), 1, POOL_MAX)
        if how.get("console") not in (None, "quiet", "normal", "verbose"):
            raise ValueError(f"console is None, 'quiet', 'normal' or 'verbose', not {how.get('console')!r}")
        plan = self._planned()
        globs, tags = _words(how.get("select", ())), _words(how.get("tags", ()))
        if globs or tags:
            from workflow.plan.select import select

            plan = select(plan, globs=globs, tags=tags)
            if not plan.tasks:
                message = f"nothing is selected by {', '.join(map(repr, (*globs, *tags)))}"
                raise ValueError(message)
        for path in how.get("reports", ()):
            if suffix_of(Path(path)) is None:
                raise ValueError(unknown_format(Path(path)))
        _check_not_imported()
        return plan

    def _go(
        self,
        plan: Plan,
        ends: _Ends,
        on_event: Callable[[Event], object] | None,
        *,
        jobs: int | None = None,
        seed: int | None = None,
        force: str | None = None,
        resume: bool | str = False,
        state_dir: Path_ | None = None,
        reports: Iterable[Path_] = (),
        console: Literal["quiet", "normal", "verbose"] | None = None,
        **_chosen: object,
    ) -> tuple[Report, int | None]:
        from workflow.engine.parent import MultiProcess, count
        from workflow.info_task import POOL_MAX
        from workflow.report.graph import graph_of
        from workflow.report.material import material_of
        from workflow.report.report import Report
        from workflow.run.conductor import RunOptions, run_plan
        from workflow.run.folder import STATE_DIR
        from workflow.run.results import taken_by_others
        from workflow.run.resume import Resume

        whole = self._planned()
        workers = None if jobs is None else count("jobs", jobs, POOL_MAX)
        copies = tuple(Path(path).absolute() for path in reports)
        shown = _console(console)
        events = None if on_event is None else _Events(on_event, ends)
        options = RunOptions(
            state_dir=plan.root / STATE_DIR if state_dir is None else Path(state_dir),
            jobs=workers,
            seed=seed,
            argv=tuple(sys.argv),
            reports=copies,
            events=None if events is None else events.descriptor,
            make_signals=ends.signals,
            force=force,
            resume=None if resume is False else Resume(None if resume is True else resume),
            keep_results=taken_by_others(whole.tasks) if whole is not plan else frozenset(),
        )
        try:
            result = run_plan(plan, options, shown, MultiProcess)
        finally:
            if events is not None:
                events.finish()
        if events is not None and events.error is not None:
            raise events.error
        records = dict(enumerate(result.records))
        material = material_of(result.run, result.verdict, records, graph_of(plan.tasks), Path(result.run.folder))
        return Report.of(material, result.problem), ends.heard


class EventStream(Iterator["Event"]):
    """The events of a run that goes on in a thread of its own; ``report`` when they have ended.

    ``close()``, leaving its ``with`` early, and Ctrl-C while it waits end the run, as Ctrl-C ends a command; so does
    whoever forgets it before its end.  The program's end waits for the run.
    """

    def __init__(self, pipeline: Pipeline, plan: Plan, how: RunKeys) -> None:
        ends, events = _Ends(), queue.SimpleQueue["Event | None"]()
        outcome: list[Report | BaseException] = []

        def go() -> None:  # without this stream, which can then be forgotten
            try:
                outcome.append(pipeline._go(plan, ends, events.put, **how)[0])  # noqa: SLF001
            except BaseException as error:  # noqa: BLE001  # whoever asks for the report gets it
                outcome.append(error)
            finally:
                events.put(None)

        self._ends, self._events, self._outcome, self._over = ends, events, outcome, False
        self._thread = threading.Thread(target=go, name="workflow-run")
        self._thread.start()

    def __next__(self) -> Event:
        if self._over:
            raise StopIteration
        try:
            event = self._events.get()
        except BaseException:
            self._ends.end()
            raise
        if event is None:
            self._over = True
            self._thread.join()
            if isinstance(self._outcome[0], BaseException):
                raise self._outcome[0]
            raise StopIteration
        return event

    @property
    def report(self) -> Report:
        """What came of the run; waits for its end.  Raises what ``Pipeline.run`` would."""
        try:
            self._thread.join()
        except BaseException:
            self._ends.end()
            raise
        outcome = self._outcome[0]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def close(self) -> None:
        """End the run, if it goes on, and wait for that.  Events that were not taken are dropped."""
        if self._thread.is_alive():
            self._ends.end()
            self._thread.join()
        self._over = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._over:
            self.close()

    def __del__(self) -> None:
        if hasattr(self, "_ends") and self._thread.is_alive():
            self._ends.end()


class _Ends:
    """How a run comes to be ended from outside of it: by a signal, or by this program."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = False
        self._signals: Signals | None = None

    def signals(self, inbox: queue.SimpleQueue[object]) -> Signals:
        """What the run listens to."""
        with self._lock:
            self._signals = _Heard(inbox)
            if self._asked:
                self._signals.request(signal.SIGINT)
            return self._signals

    def end(self) -> None:
        """Have the run end as by Ctrl-C.  Once is enough."""
        with self._lock:
            if not self._asked and self._signals is not None:
                self._signals.request(signal.SIGINT)
            self._asked = True

    @property
    def heard(self) -> int | None:
        """The signal that came while it ran."""
        return self._signals.first if isinstance(self._signals, _Heard) else None


class _Heard(Signals):
    first: int | None = None
    """The first signal that came."""

    def _arrived(self, number: int, frame: Any) -> None:
        self.first = self.first or number
        super()._arrived(number, frame)


class _Events:
    """From the descriptor that the run writes its events to, to a function of the program's, in a thread."""

    def __init__(self, on_event: Callable[[Event], object], ends: _Ends) -> None:
        self.error: BaseException | None = None
        self._read, self.descriptor = os.pipe()
        self._ends = ends
        self._thread = threading.Thread(target=self._pass_on, args=(on_event,), name="workflow-events")
        self._thread.start()

    def finish(self) -> None:
        """Wait until all were passed on."""
        try:
            os.write(self.descriptor, b"\n")  # the end, whoever else has the pipe open
            self._thread.join()
        finally:
            os.close(self.descriptor)

    def _pass_on(self, on_event: Callable[[Event], object]) -> None:
        from pydantic import TypeAdapter

        from workflow.report import models

        adapter: TypeAdapter[Event] = TypeAdapter(models.Event)
        with open(self._read, "rb") as lines:  # noqa: PTH123  # it is a descriptor
            for line in lines:
                if line == b"\n":
                    return
                if self.error is not None:
                    continue
                try:
                    on_event(adapter.validate_json(line))
                except BaseException as error:  # noqa: BLE001  # raised by ``run``
                    self.error = error
                    self._ends.end()


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


def _words(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


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
    if module == "__main__":
        main = sys.modules["__main__"]
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        module = spec.name if spec is not None else None if file is None else Path(file).stem
    if not module or not name or "<" in name:
        message = (
            f"{place}: {target!r} has no name that a worker could find it by: a task is a function or a class of a "
            "module (WorkflowExecutor takes anything)"
        )
        raise TypeError(message)
    return f"{module}{separator}{name}"


def _check_not_imported() -> None:
    """Refuse, before there is a run, what the engine would refuse."""
    from workflow.engine import resolve

    if resolve.importing:
        message = (
            f"{resolve.STARTED_BY_IMPORT}{resolve.importing[-1]!r} was imported for a task: the program starts itself "
            'over and over; put what runs the pipeline under `if __name__ == "__main__":`'
        )
        raise RuntimeError(message)
