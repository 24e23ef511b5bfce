"""``validate --import``: whether the programs and folders that a plan names are there, on this machine, today.

Looked up as the run would: a program by the PATH of its task's own environment, relative to its folder.  What another
task makes need not be there yet: its outputs say so.  What waits for a result, a secret or the attempt is not known
yet, and an instance that its ``if`` removed needs nothing.  Of the instances of a task the first that misses
something is told, once for each key.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from workflow.diagnostics.mistake import Mistake, Place
from workflow.diagnostics.suggest import did_you_mean
from workflow.plan.files import Makers
from workflow.plan.plan import Plan, PlannedTask
from workflow.spec.pipeline import Pipeline


def check_programs(pipeline: Pipeline, plan: Plan) -> list[Mistake]:
    """What of a plan is not there, without positions."""
    look = _Look(plan)
    mistakes = [
        Mistake("no-folder", ("pipeline", "path", number), headline)
        for number, written in enumerate(pipeline.settings.path)
        if (headline := look.at_folder(pipeline.document.home(("pipeline", "path", number)), written))
    ]
    told: set[Place] = set()
    for task in plan.tasks:
        for missing in look.at_task(task):
            place = pipeline.place(task.name, *missing.place)
            if place not in told:
                told.add(place)
                headline = missing.headline if task.matrix is None else f"for {task.id}: {missing.headline}"
                mistakes.append(replace(missing, place=place, headline=headline))
    return mistakes


class _Look:
    """Looks on the disk, each thing once: a hundred thousand instances mostly name the same."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._root = plan.root
        self._makers: Makers | None = None
        self._found: dict[tuple[str, str, str], str | None] = {}

    def at_task(self, task: PlannedTask) -> Iterator[Mistake]:
        """What it misses, placed in its table."""
        if task.skipped or not isinstance(task.cwd, str):
            return
        if headline := self.at_folder(self._root, task.cwd):
            yield Mistake("no-folder", ("cwd",), headline)
            return  # and nothing is found from there
        program = task.target[0] if task.kind == "cmd" and isinstance(task.target, tuple) else None
        path = task.env.get("PATH", os.environ.get("PATH", os.defpath))
        path = os.defpath if path is None else path  # the task removes it
        if not isinstance(program, str) or not (isinstance(path, str) or "/" in program):
            return
        key = (program, task.cwd, str(path))
        folder = self._root / task.cwd
        entries = [folder / entry for entry in str(path).split(os.pathsep)]
        if key not in self._found:
            self._found[key] = self._by_path(folder / program) if "/" in program else self._by_name(program, entries)
        if headline := self._found[key]:
            near = [(folder / program).parent] if "/" in program else entries
            yield Mistake("no-program", ("cmd", 0), headline, _near(program, near))

    def at_folder(self, base: Path, written: str) -> str | None:
        """Why a folder cannot be one; None where it is there, or is to be made."""
        key = ("", str(base), written)
        if key not in self._found:
            folder = base / written
            found = folder.is_dir() or zipfile.is_zipfile(folder) or self._is_made(folder)
            what = "is no folder" if folder.exists() else "there is no such folder"
            self._found[key] = None if found else f"{what}: {os.path.normpath(folder)}"
        return self._found[key]

    def _by_path(self, file: Path) -> str | None:
        shown = os.path.normpath(file)
        if file.is_dir():
            return f"{shown} is a folder, not a program"
        if file.exists():
            return None if os.access(file, os.X_OK) else f"{shown} may not be executed (chmod +x?)"
        return None if self._is_made(file) else f"there is no program {shown}"

    def _by_name(self, program: str, entries: Sequence[Path]) -> str | None:
        for file in (entry / program for entry in entries):
            if (file.is_file() and os.access(file, os.X_OK)) or self._is_made(file):
                return None
        return f"there is no program {program!r} in PATH, which is {os.pathsep.join(map(str, entries))}"

    def _is_made(self, file: Path) -> bool:
        if self._makers is None:
            self._makers = Makers(self._plan.tasks, str(self._root))
        return bool(self._makers.of(str(file)))


def _near(program: str, folders: Sequence[Path]) -> str | None:
    if " " in program:
        return "each argument is a text of its own in the array"
    names: set[str] = set()
    for folder in folders:
        with suppress(OSError):
            names.update(each.name for each in folder.iterdir())
    last = program.rpartition("/")[2]
    return None if last in names else did_you_mean(last, names)
