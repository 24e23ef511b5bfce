"""Whether what a task says it reads is there when it may start.

An input that is written out must be: a name with a slip in it would else be in the key as missing, and the task would
be cached for ever, whatever becomes of the file that was meant.  So the task fails, and says so, before it runs.  A
glob may match nothing, as in a folder that is empty today.  What a task of the plan makes is not asked about here: it
is there unless that task did not succeed, and who runs all the same has asked for it.

A pipe or a device has no content that stays, so it is no input.
"""

from __future__ import annotations

import os
import stat
from functools import cached_property
from glob import has_magic, iglob

from workflow.diagnostics.suggest import did_you_mean
from workflow.plan.files import Makers
from workflow.plan.plan import Plan, PlannedTask


class Inputs:
    """The inputs of the tasks of one plan."""

    def __init__(self, plan: Plan) -> None:
        self._tasks = plan.tasks
        self._root = str(plan.root)

    @cached_property
    def _makers(self) -> Makers:
        return Makers(self._tasks, self._root)

    def problem(self, task: PlannedTask) -> str | None:
        """Why a task cannot start now."""
        for entry in task.inputs:
            if has_magic(entry):
                continue
            try:
                mode = os.stat(os.path.join(self._root, entry.rstrip("/") or "/")).st_mode
            except (FileNotFoundError, NotADirectoryError):
                if not self._makers.of(entry):
                    return self._not_there(entry)
                continue
            except (OSError, ValueError):
                continue  # something is there, and whether the task can read it is its own affair
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                what = "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
                return f"its input {entry!r} is {what}: only files and folders have a content to compare"
        return None

    def empty(self, task: PlannedTask) -> list[str]:
        """Its globs that match nothing, and nothing that a task of the plan makes."""
        globs = [entry for entry in task.inputs if has_magic(entry)]
        return [each for each in globs if not self._matches(each) and not self._makers.of(each)]

    def _matches(self, entry: str) -> bool:
        return next(iglob(entry, root_dir=self._root, recursive=True), None) is not None

    def _not_there(self, entry: str) -> str:
        folder = os.path.dirname(entry.rstrip("/"))
        try:
            known = [os.path.join(folder, name) for name in os.listdir(os.path.join(self._root, folder))]
        except OSError:
            known = []
        near = did_you_mean(entry.rstrip("/"), known)
        return f"its input {entry!r} is not there" + (f", {near}" if near else "")
