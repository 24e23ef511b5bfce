"""The plan of a file that was checked once already, so that the next run of it need not check it again.

Checking is what makes a start slow: the models, the parser and what they import take most of it.  So a run keeps its
plan, as the text that ``plan --json`` prints, beside everything that was looked at to make it: the files, matches of
globs, lists of lines, variables of the environment.  The next run of the same file with the same options looks again
whether all of that is as it was, and only then takes the plan.

What is kept is trusted no further than a saved plan: it is read by ``saved``, which checks each value and runs
nothing.  But it must also belong to the file beside it, or a folder from elsewhere could hold a harmless file with
another file's plan.  So a kept plan names the inode and the times of each file it was made of, which nobody who packs
a folder knows beforehand, and it counts only if nobody but its owner can have written it.

Whatever does not fit, cannot be read or cannot be written is passed over: then the file is checked.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from workflow import __version__
from workflow.diagnostics.mistake import InvalidPipeline
from workflow.plan.plan import Plan, Resolved
from workflow.plan.printing import FORMAT, plan_json
from workflow.plan.saved import read_saved
from workflow.spec.reading import open_regular

FOLDER = "cache"
TASKS_MAX = 20_000
"""Of a larger plan it takes as long to read it as to make it."""
PLANS_MAX = 32
_BYTES_MAX = 64 * 2**20
_STALE_S = 3600.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What a plan was made from."""

    files: Mapping[str, Sequence[object]]
    """Absolute paths of pipeline files, with what tells that they are the same (see ``file_fact``)."""
    lists: Mapping[str, Sequence[object]]
    """The same of files whose lines are the values of an axis."""
    globs: Sequence[tuple[str, str, str]]
    """Folder, pattern, digest of what matches."""
    environ: Mapping[str, str | None]
    """Names of variables, digests of their values."""


def same_request(file: Path, variables: Mapping[str, str], profile: str | None, sets: Sequence[str]) -> str:
    """A name for everything that is asked for: the file, and what the command line says about it."""
    asked = [__version__, FORMAT, os.path.realpath(file), sorted(variables.items()), profile, list(sets)]
    return hashlib.sha256(json.dumps(asked).encode("utf-8", "surrogatepass")).hexdigest()


def read_kept(folder: Path, name: str) -> Plan | None:
    """The plan that was kept under this name, if everything it was made from is as it was."""
    try:
        path = folder / f"{name}.json"
        found = os.lstat(path)
        mine = found.st_uid == os.geteuid() and not found.st_mode & 0o022
        if not stat.S_ISREG(found.st_mode) or not mine or found.st_size > _BYTES_MAX:
            return None
        kept = json.loads(path.read_text(encoding="utf-8"))
        facts = kept["facts"]
        same = (
            all(_is(file_fact(each), fact) for each, fact in facts["files"].items())
            and all(_is(file_fact(each), fact) for each, fact in facts["lists"].items())
            and all(glob_fact(Path(place), pattern)[2] == fact for place, pattern, fact in facts["globs"])
            and environ_facts(facts["environ"], os.environ) == facts["environ"]
        )
        if not same:
            return None
        file = Path(next(iter(facts["files"])))
        resolved = Resolved(kept["resolved"], {name: fact[0] for name, fact in facts["files"].items()})
        return replace(read_saved(kept["plan"], str(path), file, file.parent), resolved=resolved)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, StopIteration, RecursionError, InvalidPipeline):
        return None


def keep(folder: Path, name: str, facts: Facts, plan: Plan, mask: Callable[[str], str] = str) -> None:
    """Keep a plan for the next run, where that is possible, and where nothing in it would have to be masked."""
    if len(plan.tasks) > TASKS_MAX:
        return
    found = {"files": facts.files, "lists": facts.lists, "globs": facts.globs, "environ": facts.environ}
    if not facts.files or not all(facts.files.values()) or not all(facts.lists.values()):
        return
    resolved = {} if plan.resolved is None else plan.resolved.document
    text = json.dumps({"facts": found, "resolved": resolved, "plan": plan_json(plan)})
    if mask(text) != text:
        return
    with contextlib.suppress(OSError, ValueError):
        folder.mkdir(mode=0o700, exist_ok=True)
        temporary = folder / f".{name}-{secrets.token_hex(4)}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            temporary.replace(folder / f"{name}.json")
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _forget_oldest(folder)


def _forget_oldest(folder: Path) -> None:
    kept = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in kept[PLANS_MAX:]:
        path.unlink(missing_ok=True)
    for path in folder.glob(".*"):  # of a run that was killed while it wrote
        if time.time() - path.stat().st_mtime > _STALE_S:
            path.unlink(missing_ok=True)


def file_fact(path: str) -> tuple[object, ...] | None:
    """Digest, inode, size and times of a file; None where it cannot be read, or is none: a pipe would block."""
    try:
        with open_regular(Path(path)) as file:
            found = os.fstat(file.fileno())
            data = file.read()
    except OSError:
        return None
    digest = hashlib.sha256(data).hexdigest()
    return digest, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _is(now: tuple[object, ...] | None, before: object) -> bool:
    return now is not None and list(now) == before


def glob_fact(folder: Path, pattern: str) -> tuple[str, str, str]:
    """What matches a pattern now."""
    from glob import glob

    matches = sorted(map(os.fsencode, glob(pattern, root_dir=folder, recursive=True)))
    return str(folder), pattern, hashlib.sha256(b"\0".join(matches)).hexdigest()


def environ_facts(names: Iterable[str], environ: Mapping[str, str]) -> dict[str, str | None]:
    """What these variables are now."""
    values = {name: environ.get(name) for name in names}
    return {
        name: None if value is None else hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()
        for name, value in values.items()
    }
