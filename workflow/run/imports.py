"""``validate --import``: whether everything a plan names can be imported and called as the plan calls it.

Importing runs the user's code, which may hang, exit, crash or start processes.  Choices: import here (a module that
crashes ends the command), a process for each module (safe, and a second for each hundred milliseconds of a heavy
package they share), or one process for all of them, replaced when a module has spoilt it.  It is the last: a bad module
costs itself and one start of an interpreter.  The price is that modules see one another, as they do in a worker.

The process has a session of its own, the path and the environment that the run would have, and a mark in its
environment: what it leaves behind is found by that, whichever way it left.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from workflow.diagnostics.mistake import Mistake, Place
from workflow.engine import marks, processes, system
from workflow.plan.plan import Plan, PlannedTask
from workflow.run.import_child import Problem
from workflow.spec.pipeline import Pipeline
from workflow.spec.reference import Template

LIMIT_S = 30.0
"""For the import of one module, with all that it imports."""
_TAIL_BYTES = 4096
_BOOT = """\
import json, sys
requests, answers, path, parent = json.loads(sys.argv[1])
sys.path[:] = path
from workflow.run.import_child import serve
serve(open(requests, encoding="utf-8"), open(answers, "w", encoding="utf-8"), path, parent)
"""


@dataclass(frozen=True, slots=True)
class _Use:
    """Where something is named, and the number of positional arguments and the names of others it is called with."""

    task: str
    key: tuple[str, ...]
    call: tuple[int, tuple[str, ...]] | None
    """None where the arguments are not known yet."""


@dataclass(slots=True)
class _Target:
    """Something to import, and who uses it."""

    kind: str
    path: str
    cwd: str | None
    env: dict[str, str]
    uses: list[_Use] = field(default_factory=list)

    @property
    def module(self) -> str:
        """As far as the path tells."""
        return self.path.rpartition(".")[0] if self.kind == "module" else self.path.partition(":")[0]

    @property
    def calls(self) -> list[tuple[int, tuple[str, ...]]]:
        """Those to compare with the signature, each once."""
        return list(dict.fromkeys(use.call for use in self.uses if use.call is not None))


def check_imports(
    pipeline: Pipeline, plan: Plan, limit_s: float = LIMIT_S, guard: Callable[[Callable[[], None]], None] | None = None
) -> list[Mistake]:
    """What of a plan cannot be imported or does not take its arguments, without positions.

    Nothing that the modules start is left when this returns or raises.  ``guard`` is given a function that sees to
    it, for who leaves in another way.
    """
    importer = _Importer(plan, limit_s)
    if guard is not None:
        guard(importer.end)
    mistakes: list[Mistake] = []
    bad_modules: set[str] = set()
    try:
        for target in _targets(plan):
            if target.module in bad_modules:
                continue  # told already, and with it all that is in it
            for problem in importer.ask(target):
                if problem.whole:
                    bad_modules.add(target.module)
                mistakes += _placed(pipeline, target, problem)
    finally:
        importer.end()
    return mistakes


def _targets(plan: Plan) -> list[_Target]:
    """What is to be imported, in the order in which a run would first need it."""
    found: dict[tuple[str, str], _Target] = {}
    for name in plan.settings.preload:
        found["preload", name] = _Target("preload", name, None, {})
    for task in plan.tasks.differing("kind", "target", "args", "kwargs", "env", "cwd", "on_success", "on_failure"):
        for kind, path, key, call in _named(task):
            target = found.get((kind, path))
            if target is None:
                env = {name: value for name, value in task.env.items() if isinstance(value, str)}
                cwd = os.path.normpath(plan.root / task.cwd) if isinstance(task.cwd, str) else None
                target = found[kind, path] = _Target(kind, path, cwd, env)
            use = _Use(task.name, key, call)
            if not target.uses or target.uses[-1] != use:  # of a thousand instances alike, one
                target.uses.append(use)
    return list(found.values())


def _named(task: PlannedTask) -> Iterator[tuple[str, str, tuple[str, ...], tuple[int, tuple[str, ...]] | None]]:
    if task.kind in ("module", "call") and isinstance(task.target, str):
        given: tuple[object, ...] = (task.args, task.kwargs)  # all of them may be one result
        known = not any(isinstance(each, Template) for each in given)
        yield task.kind, task.target, (task.kind,), (len(task.args), tuple(sorted(task.kwargs))) if known else None
    for key, path in (("success", task.on_success), ("failure", task.on_failure)):
        if isinstance(path, str):
            yield "hook", path, ("on", key), (1, ())


def _placed(pipeline: Pipeline, target: _Target, problem: Problem) -> list[Mistake]:
    """A mistake for each task that is concerned: all that use it, or those that call it so."""
    if target.kind == "preload":
        place: Place = ("pipeline", "preload", pipeline.settings.preload.index(target.path))
        return [Mistake(problem.code, place, problem.headline, problem.help)]
    call = None if problem.call is None else target.calls[problem.call]
    uses = [use for use in target.uses if call is None or use.call == call]
    if problem.whole:
        uses = uses[:1]  # of a module that cannot be imported, the first who wants it
    mistakes = []
    for use in uses:
        below = () if target.kind == "hook" else problem.below  # what a hook is given does not stand in the file
        place = pipeline.place(use.task, *(below or use.key))
        at_key = len(below) > 1 and place[-1] == below[-1]
        mistakes.append(Mistake(problem.code, place, problem.headline, problem.help, at_key=at_key))
    return list(dict.fromkeys(mistakes))


class _Importer:
    """The process that imports, started when it is needed, again after a module has spoilt it."""

    def __init__(self, plan: Plan, limit_s: float) -> None:
        self._limit_s = limit_s
        own = [str(Path.cwd() / entry) for entry in sys.path]
        path = [os.path.normpath(plan.root / each) for each in plan.settings.path]
        self._path = [*path, *(entry for entry in own if entry not in path)]
        self._mark = marks.new_mark()
        self._marked = False
        """Whether there may be somebody who bears it."""
        self._process: subprocess.Popen[bytes] | None = None
        self._pipes: dict[str, int] = {}
        """Our ends: ``requests``, ``answers``, ``output``; and ``end``, readable when the process has ended."""
        self._read = b""
        self._tail = b""

    def ask(self, target: _Target) -> list[Problem]:
        """What is wrong with it."""
        if self._process is None:
            self._start()
            found = self._answer("python")  # that it is ready
            if isinstance(found, Problem):
                self.end()
                return [found]
        self._tail = b""
        asked = {name: getattr(target, name) for name in ("kind", "path", "module", "cwd", "env", "calls")}
        with suppress(OSError):  # it has died, which the answer tells
            _write(self._pipes["requests"], json.dumps(asked).encode() + b"\n")
        found = self._answer(target.module)
        problems = [found] if isinstance(found, Problem) else found
        if any(problem.whole for problem in problems):
            self.end()  # who knows what the module did before it failed
        return problems

    def _start(self) -> None:
        environment = dict(os.environ)
        if self._mark is not None:
            environment[marks.NAME] = self._mark.text()
        requests, self._pipes["requests"] = os.pipe()
        self._pipes["answers"], answers = os.pipe()
        self._pipes["output"], output = os.pipe()
        told = json.dumps([requests, answers, self._path, os.getpid()])
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001
        self._read, self._marked = b"", True
        try:
            self._process = subprocess.Popen(
                [sys.executable, *flags, "-c", _BOOT, told],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                pass_fds=(requests, answers),
                start_new_session=True,
            )
        finally:
            for descriptor in (requests, answers, output):
                os.close(descriptor)
        end = system.process_descriptor(self._process.pid)
        if end is not None:
            self._pipes["end"] = end

    def _answer(self, module: str) -> list[Problem] | Problem:
        """The next answer; the problem, when there is none because the process hangs or has ended."""
        until = time.monotonic() + self._limit_s
        with selectors.DefaultSelector() as selector:
            for name in ("answers", "output", "end"):
                if name in self._pipes:
                    selector.register(self._pipes[name], selectors.EVENT_READ, name)
            while b"\n" not in self._read:
                ready = {str(key.data) for key, _ in selector.select(max(0.0, until - time.monotonic()))}
                if "output" in ready:
                    said = os.read(self._pipes["output"], 1 << 16)
                    self._tail = (self._tail + said)[-_TAIL_BYTES:]
                    if not said:
                        selector.unregister(self._pipes["output"])
                if "answers" in ready:
                    data = os.read(self._pipes["answers"], 1 << 16)
                    self._read += data
                    if not data:
                        return self._death(module)
                elif "end" in ready:
                    return self._death(module)
                elif time.monotonic() >= until:
                    headline = f"the import of {module!r} has not ended after {self._limit_s:g} s"
                    return Problem("import-hangs", headline, self._last_line(), whole=True)
        line, _, self._read = self._read.partition(b"\n")
        return [
            Problem(code, headline, help_, tuple(below), *rest)
            for code, headline, help_, below, *rest in json.loads(line)
        ]

    def _death(self, module: str) -> Problem:
        assert self._process is not None
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            headline = f"importing {module!r} closes the pipes of the process that imports it"
        else:
            how = f"exit code {code}" if code >= 0 else processes.signal_name(-code)
            headline = f"importing {module!r} ends the process: {how}"
        return Problem("import-dies", headline, self._last_line(), whole=True)

    def _last_line(self) -> str | None:
        lines = self._tail.decode(errors="replace").strip().splitlines()
        return f"the last it said: {lines[-1][:200]}" if lines else None

    def end(self) -> None:
        """End the process and everything that it has started, and whatever that has started elsewhere."""
        process, self._process = self._process, None
        if process is not None:
            if process.poll() is None:
                processes.kill_tree(process.pid)
            process.wait()
        if self._marked and self._mark is not None:
            marks.end_bearers(self._mark)
        self._marked = False
        while self._pipes:
            os.close(self._pipes.popitem()[1])


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
