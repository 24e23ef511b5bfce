"""What a state folder keeps, and what is deleted from it: only by ``workflow runs --keep`` and ``--prune``.

Nothing is deleted but what has a name of ours at a place of ours, below folders that are no links: whatever somebody
has linked to from here stays as it is.  A run that goes on holds its lock, so it is left alone; the lock is taken for
as long as its folder is deleted.

The order is such that being killed in between does no harm.  First the ledger forgets a run, so that none is resumed
from it any more; then its folder is moved out of sight, in one step; then it is deleted.  What is left of any of these
is what ``--prune`` finds, or the next ``--keep``.

A run that begins has a folder before it has a lock, and what a task made is a file before it is in the ledger.  So what
seems to belong to nobody is deleted only when it has been lying there for a while.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from workflow.plan import kept
from workflow.run.cache import RESULTS
from workflow.run.database import NAME as DATABASE
from workflow.run.folder import LATEST, RunFolder, StateError, is_alive, link_latest
from workflow.run.ledger import Ledger
from workflow.run.past import PastRun, past_runs, read_head
from workflow.run.running import NAME as RUNNING_FILE

LYING_S = 3600.0
"""For so long nobody has touched what belongs to nobody."""
_REMOVED = ".removed-"
_ID = re.compile(r"\d{8}-\d{6}-\d{3}-[0-9a-f]{6}")
_DIGEST = re.compile(r"\.?[0-9a-f]{64}(?:-[0-9a-f]{8})?")


@dataclass
class Removed:
    """What was deleted."""

    runs: list[str] = field(default_factory=list)
    files: int = 0
    """What belonged to no run."""
    size: int = 0
    """Bytes."""
    problems: list[str] = field(default_factory=list)
    """What could not be."""


def keep(state_dir: Path, newest: int) -> Removed:
    """Delete all runs but the newest ones and those that go on.  Raises StateError, Unusable."""
    removed = Removed()
    with _opened(state_dir) as ledger:
        found = past_runs(state_dir)
        wanted = _resumed_now(found)
        old = [run for run in found if not is_alive(run.folder.path)][newest:]
        old = [run for run in old if run.known is None or run.known.number not in wanted]
        for run in reversed(old):  # the oldest first
            _remove_run(state_dir, run, ledger, removed)
        _mend_latest(state_dir)
        _remove_moved(state_dir, removed)
        _remove_results(state_dir, ledger, removed)
    return removed


def _resumed_now(found: list[PastRun]) -> set[int]:
    """The runs that others which go on complete, and take results from: their numbers in the ledger."""
    known = {run.known.number: run for run in found if run.known is not None}
    wanted: set[int] = set()
    for run in known.values():
        number = run.known.resumed if run.known is not None and is_alive(run.folder.path) else None
        while number is not None and number not in wanted:
            wanted.add(number)
            earlier = known.get(number)
            number = None if earlier is None or earlier.known is None else earlier.known.resumed
    return wanted


def prune(state_dir: Path) -> Removed:
    """Delete what belongs to no run.  Raises StateError, Unusable."""
    removed = Removed()
    with _opened(state_dir) as ledger:
        for run in past_runs(state_dir):
            folder = run.folder.path
            if not os.path.lexists(folder):
                if run.known is not None and ledger is not None:
                    ledger.forget([run.known.number])
                    removed.files += 1
            elif run.known is None and read_head(run.folder.report) is None and _lying(folder):
                _remove_run(state_dir, run, ledger, removed)
            elif not is_alive(folder):
                _remove_temporary(folder, removed)
        _mend_latest(state_dir)
        _remove_moved(state_dir, removed)
        _remove_links(state_dir, removed)
        _remove_kept_plans(state_dir, removed)
        if ledger is not None:
            for root in ledger.roots():
                if not Path(root).is_dir():
                    ledger.forget_root(root)
                    removed.files += 1
        _remove_results(state_dir, ledger, removed)
    return removed


@contextlib.contextmanager
def _opened(state_dir: Path) -> Iterator[Ledger | None]:
    """The ledger, where there is one.  One that is broken ends it here: what is still wanted stands in it."""
    for folder in (state_dir / "runs", state_dir / RESULTS, state_dir / kept.FOLDER):
        if folder.is_symlink():
            raise StateError(f"{folder} is a link: nothing is deleted through it")
    ledger = Ledger(state_dir) if (state_dir / DATABASE).exists() else None
    try:
        yield ledger
    finally:
        if ledger is not None:
            ledger.close()


def _remove_run(state_dir: Path, run: PastRun, ledger: Ledger | None, removed: Removed) -> None:
    folder = run.folder.path
    if not _ID.fullmatch(run.folder.id):
        return
    with _locked(folder) as mine:
        if not mine or (run.known is None and read_head(run.folder.report) is None and not _lying(folder)):
            return
        if run.known is not None and ledger is not None:
            ledger.forget([run.known.number])
        try:
            if folder.is_symlink():
                folder.unlink()
            elif folder.exists():
                moved = state_dir / "runs" / f"{_REMOVED}{run.folder.id}"
                folder.replace(moved)
                _delete(moved, removed)
        except FileNotFoundError:
            pass  # somebody else deletes it too
        except OSError as error:
            removed.problems.append(f"{folder} cannot be deleted: {error.strerror or error}")
            return
    removed.runs.append(run.folder.id)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold the lock of a run; answers whether that was possible, or there is none to hold."""
    try:
        descriptor = os.open(RunFolder(folder.name, folder).lock, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield not is_alive(folder)
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)


def _delete(folder: Path, removed: Removed) -> None:
    removed.size += _size(folder)
    try:
        shutil.rmtree(folder)  # which follows no link
    except OSError:
        for path, _, _ in os.walk(folder):  # a task may have taken our right to write away
            with contextlib.suppress(OSError):
                Path(path).chmod(stat.S_IRWXU)
        shutil.rmtree(folder)


def _size(folder: Path) -> int:
    size = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                size += os.lstat(os.path.join(path, name)).st_blocks * 512  # noqa: PTH118
    return size


def _mend_latest(state_dir: Path) -> None:
    """Have ``latest`` lead to the newest run that is there, also when one begins just now."""
    from workflow.run.lookup import run_ids

    link = state_dir / LATEST
    if not link.is_symlink() or link.exists():
        return
    ids: list[str] | None = None
    while (now := run_ids(state_dir)) != ids:
        ids = now
        if ids:
            link_latest(state_dir, RunFolder(ids[-1], state_dir / "runs" / ids[-1]))
        else:
            link.unlink(missing_ok=True)


def _remove_moved(state_dir: Path, removed: Removed) -> None:
    """Folders out of sight of which somebody was killed before they were gone."""
    for path in _entries(state_dir / "runs"):
        if path.name.startswith(_REMOVED) and _ID.fullmatch(path.name.removeprefix(_REMOVED)):
            with contextlib.suppress(FileNotFoundError), _telling(path, removed):
                _delete(path, removed)


def _remove_temporary(folder: Path, removed: Removed) -> None:
    """What is left of files that were not written to their end, and of what was said of a run that has ended since."""
    for path in _entries(folder):
        if re.fullmatch(r"\..+\.\d+\.tmp", path.name):
            _unlink(path, removed)
    if read_head(folder / "report.json") is not None:
        path = folder / RUNNING_FILE
        if os.path.lexists(path):
            _unlink(path, removed)


def _remove_links(state_dir: Path, removed: Removed) -> None:
    for path in _entries(state_dir):
        if path.name.startswith(".latest-") and path.is_symlink() and _lying(path):
            _unlink(path, removed)


def _remove_kept_plans(state_dir: Path, removed: Removed) -> None:
    """Plans of files that are gone, and what is left of those that were not written to their end."""
    for path in _entries(state_dir / kept.FOLDER):
        if not _lying(path):
            continue
        if re.fullmatch(r"\.[0-9a-f]{64}-[0-9a-f]{8}", path.name):
            _unlink(path, removed)
        elif re.fullmatch(r"[0-9a-f]{64}\.json", path.name) and path.is_file():
            try:
                files = list(json.loads(path.read_bytes())["facts"]["files"])
                gone = not Path(files[0]).exists()
            except (OSError, ValueError, TypeError, LookupError, RecursionError):
                gone = True  # nobody can read it
            if gone:
                _unlink(path, removed)


def _remove_results(state_dir: Path, ledger: Ledger | None, removed: Removed) -> None:
    """Results of tasks to which no row of the ledger leads."""
    wanted = set() if ledger is None else ledger.results()
    for path in _entries(state_dir / RESULTS):
        if _DIGEST.fullmatch(path.name) and path.name not in wanted and _lying(path):
            _unlink(path, removed)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _lying(path: Path) -> bool:
    try:
        return time.time() - path.lstat().st_mtime > LYING_S
    except OSError:
        return False


def _unlink(path: Path, removed: Removed) -> None:
    with contextlib.suppress(FileNotFoundError), _telling(path, removed):
        size = path.lstat().st_blocks * 512
        path.unlink()
        removed.size += size
        removed.files += 1


@contextlib.contextmanager
def _telling(path: Path, removed: Removed) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        removed.problems.append(f"{path} cannot be deleted: {error.strerror or error}")
