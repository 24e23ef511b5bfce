"""Which instance makes which file, and who therefore waits for whom.

Paths are compared as text, as the plan has them: nothing here looks at a disk, because what is made by the run is not
there yet.  An output that lies inside another is a mistake, so a path has one maker.  An input waits for a maker when

- it is the output itself, or lies inside of it, or inside of it the output lies: a folder waits for all made in it;
- it matches an output that is a glob, or as a glob matches an output, or may match something in a folder that is one;
- both are globs, and one matches the text of the other.

Every question is answered from an index, never by comparing each with each: a hundred thousand instances that each
read what one other has made cost a few look-ups apiece.  A glob is looked for among the outputs that begin as it
begins, or that end as it ends, whichever are fewer.
"""

from __future__ import annotations

import os
import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from glob import has_magic
from typing import NamedTuple

from workflow.plan.plan import Need
from workflow.plan.tasks import Group, Ids, Tasks


class Output(NamedTuple):
    """One path that one instance makes."""

    task: int
    """Its place among the tasks given."""
    number: int
    """Its place among the task's outputs."""
    path: str
    """As it is compared: without a slash at its end."""
    folder: bool
    """Whether it was written with one."""


class Clash(NamedTuple):
    """Two instances that write the same."""

    first: Output
    second: Output
    """The later one of the plan."""


class Makers:
    """The outputs of all tasks, to look for the makers of inputs."""

    def __init__(self, tasks: Tasks, root: str) -> None:
        self._names: dict[int, str] = {}  # of the tasks that make something
        self._root = root
        self._at: dict[str, Output] = {}  # those that are no globs, by path
        self._inside: dict[str, list[int]] = {}  # of each folder: the tasks that make something in it
        self._globs: dict[str, list[Output]] = {}  # by the text before their first special character
        self.clashes: list[Clash] = []
        """Told once for each two tasks of the file."""
        self._told: set[tuple[str, str]] = set()
        globs: list[Output] = []
        for task, planned in tasks.having("outputs"):
            self._names[task] = planned.name
            for number, written in enumerate(planned.outputs):
                output = Output(task, number, canonical(written, root), written.endswith("/"))
                if has_magic(output.path):
                    globs.append(output)
                    continue
                first = self._at.setdefault(output.path, output)
                if first.task != task:
                    self._clash(first, output)
                for folder in _above(output.path):
                    self._note(folder, task)
        for output in globs:
            known = self._globs.setdefault(_literal(output.path), [])
            same = next((each for each in known if each.path == output.path and each.task != output.task), None)
            if same is not None:
                self._clash(same, output)
            known.append(output)
            for folder in _above(_literal(output.path) + "x"):
                self._note(folder, output.task)
        for output in self._at.values():
            above = (self._at[folder] for folder in _above(output.path) if folder in self._at)
            for other in (*above, *self._globs_matching(output.path)):
                if other.task != output.task:
                    self._clash(*sorted((other, output)))
        self._forward = sorted(self._at)
        self._backward = sorted(path[::-1] for path in self._at)
        self._folders = [output.path for output in self._at.values() if output.folder]
        self._begun = sorted(self._globs)
        self._known: dict[str, tuple[int, ...]] = {}

    def of(self, written: str) -> tuple[int, ...]:
        """The tasks that make an input, each once, in the order of the plan."""
        known = self._known.get(written)
        if known is None:
            path = canonical(written, self._root)
            found = set(self._of_glob(path) if has_magic(path) else self._of_path(path))
            known = self._known[written] = tuple(sorted(found))
        return known

    def _note(self, folder: str, task: int) -> None:
        tasks = self._inside.setdefault(folder, [])
        if not tasks or tasks[-1] != task:
            tasks.append(task)

    def _clash(self, first: Output, second: Output) -> None:
        names = (self._names[first.task], self._names[second.task])
        if names not in self._told:
            self._told.add(names)
            self.clashes.append(Clash(first, second))

    def _of_path(self, path: str) -> Iterator[int]:
        for place in (path, *_above(path)):
            if place in self._at:
                yield self._at[place].task
        yield from self._inside.get(path, ())
        for output in self._globs_matching(path):
            yield output.task

    def _globs_matching(self, path: str) -> Iterator[Output]:
        if self._globs:
            for end in range(len(path) + 1):
                for output in self._globs.get(path[:end], ()):
                    if _pattern(output.path).fullmatch(path):
                        yield output

    def _of_glob(self, glob: str) -> Iterator[int]:
        start = _literal(glob)
        for place in _above(start + "x"):  # a folder that is made whole, with what it would match in it
            if place in self._at:
                yield self._at[place].task
        matches = _pattern(glob)
        for path in self._candidates(glob, start):
            output = self._at[path]
            if matches.fullmatch(path) or (output.folder and _may_hold(glob, path)):
                yield output.task
        first, last = _range(self._begun, start)
        for before in (*(start[:end] for end in range(len(start))), *self._begun[first:last]):
            for output in self._globs.get(before, ()):
                if matches.fullmatch(output.path) or _pattern(output.path).fullmatch(glob):
                    yield output.task

    def _candidates(self, glob: str, start: str) -> Iterator[str]:
        first, last = _range(self._forward, start)
        end = _ending(glob)
        if end:
            first_back, last_back = _range(self._backward, end[::-1])
            if last_back - first_back + len(self._folders) < last - first:
                yield from (path[::-1] for path in self._backward[first_back:last_back])
                yield from self._folders
                return
        yield from self._forward[first:last]


def implied_needs(tasks: Tasks, makers: Makers) -> dict[int, tuple[Need, ...]]:
    """What tasks need because of their inputs: by their place, those that have any.

    A need for a task that the file names already is left as it is there, if all the instances in question are in it.
    """
    implied: dict[int, tuple[Need, ...]] = {}
    shared: dict[tuple[int, ...], tuple[Need, ...]] = {}
    for number, task in tasks.having("inputs"):
        if task.skipped:
            continue
        if len(task.inputs) == 1:
            found = makers.of(task.inputs[0])
        else:
            found = tuple(sorted({maker for written in task.inputs for maker in makers.of(written)}))
        if number in found:  # what it makes itself in a folder it reads is nobody's to wait for
            found = tuple(each for each in found if each != number)
        if not found:
            continue
        needs = shared.get(found)
        if needs is None:
            needs = shared[found] = _needs(tasks, found)
        named = {need.name: need for need in task.needs}
        missing = tuple(need for need in needs if not _covered(need, named.get(need.name)))
        if missing:
            implied[number] = missing if len(missing) < len(needs) else needs
    return implied


def _needs(tasks: Tasks, found: Sequence[int]) -> tuple[Need, ...]:
    places: dict[Group, array[int]] = {}
    for number in found:
        group, place = tasks.where(number)
        places.setdefault(group, array("I")).append(place)
    needs = []
    for group, makers in places.items():
        every = Ids(group, makers)
        running = array("I", (place for place in makers if not group.is_skipped(place)))
        ids = every if len(running) in (0, len(makers)) else Ids(group, running)
        needs.append(Need(group.name, ids, every, "success", matched=True, by_files=True))
    return tuple(needs)


def _covered(need: Need, named: Need | None) -> bool:
    if named is None:
        return False
    if not named.matched:
        return True
    return set(need.every) <= set(named.every)


def canonical(written: str, root: str) -> str:
    """A path as it is compared: normal, relative to the root if it lies in it, without a slash at its end."""
    path = os.path.normpath(written)
    if os.path.isabs(path) and (path == root or path.startswith(root.rstrip("/") + "/")):
        path = os.path.relpath(path, root)
    return path


def _above(path: str) -> Iterator[str]:
    """The folders that a path lies in, the nearest first; the root itself is ``.``."""
    while True:
        folder = os.path.dirname(path)
        if folder == path:
            return
        if not folder:
            if path not in (".", "..") and not path.startswith("../"):
                yield "."
            return
        yield folder
        path = folder


def _range(paths: Sequence[str], start: str) -> tuple[int, int]:
    return bisect_left(paths, start), bisect_left(paths, start + "\U0010ffff") if start else len(paths)


_MAGIC = re.compile(r"[*?\[]")


def _literal(glob: str) -> str:
    """What every match begins with."""
    return _MAGIC.split(glob, maxsplit=1)[0]


def _ending(glob: str) -> str:
    """What every match ends with."""
    return re.split(r"[*?\]]", glob)[-1] if "]" in glob or "[" not in glob else ""


@lru_cache(maxsize=4096)
def _pattern(glob: str) -> re.Pattern[str]:
    """A glob as the ``glob`` module reads it: ``**`` is any number of folders, a ``*`` does not begin with a dot."""
    parts = glob.split("/")
    text = ""
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "**":
            text += r"(?:(?!\.)[^/]+(?:/(?!\.)[^/]+)*)?" if last else r"(?:(?!\.)[^/]+/)*"
            continue
        text += ("(?!\\.)" if part[:1] in ("*", "?", "[") else "") + _segment(part) + ("" if last else "/")
    try:
        return re.compile(text, re.DOTALL)
    except re.error:  # a set such as [z-a], in which there is nothing
        return re.compile("(?!)")


def _segment(part: str) -> str:
    text, at = "", 0
    while at < len(part):
        each = part[at]
        at += 1
        if each == "*":
            text += "[^/]*"
        elif each == "?":
            text += "[^/]"
        elif each == "[" and (end := part.find("]", at + (2 if part[at : at + 1] == "!" else 1))) > 0:
            inner = part[at:end].replace("\\", "\\\\").replace("[", "\\[")
            text += f"[^{inner[1:]}]" if inner.startswith("!") else f"[{inner}]"
            at = end + 1
        else:
            text += re.escape(each)
    return text


def _may_hold(glob: str, folder: str) -> bool:
    """Whether something in this folder could match."""
    parts = folder.split("/")
    for number, pattern in enumerate(glob.split("/")):
        if pattern == "**":
            return True
        if number == len(parts):
            return True
        if not _pattern(pattern).fullmatch(parts[number]):
            return False
    return False


def edges_of(tasks: Tasks, implied: Mapping[int, tuple[Need, ...]]) -> dict[tuple[str, str], int]:
    """The pairs of tasks of the file that files tie together, each with the first instance that is tied."""
    pairs: dict[tuple[str, str], int] = {}
    seen: set[tuple[str, int]] = set()
    for number, needs in implied.items():
        name = tasks.where(number)[0].name
        if (name, id(needs)) in seen:
            continue
        seen.add((name, id(needs)))
        for need in needs:
            pairs.setdefault((name, need.name), number)
    return pairs
