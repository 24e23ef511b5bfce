"""The runs that a state folder holds, found by what a person types."""

from __future__ import annotations

from pathlib import Path

from workflow.run.folder import LATEST, RunFolder


class NoSuchRun(Exception):
    """No run, or more than one, is meant; the message says so."""


def no_runs(state_dir: Path) -> NoSuchRun:
    """That there are none, and where others may be."""
    where = state_dir.absolute()
    return NoSuchRun(
        f"there are no runs in {where}: runs are kept beside their pipeline file; go there, or say --state-dir"
    )


def find_run(state_dir: Path, name: str = LATEST) -> RunFolder:
    """The run of that id, the one run whose id begins so, or the latest.  Raises NoSuchRun."""
    ids = run_ids(state_dir)
    if not ids:
        raise no_runs(state_dir)
    runs = state_dir / "runs"
    if name == LATEST:
        try:
            newest = (state_dir / LATEST).resolve(strict=True).name
        except (OSError, RuntimeError):  # it is missing, or leads nowhere
            newest = ids[-1]
        newest = newest if newest in ids else ids[-1]
        return RunFolder(newest, runs / newest)
    found = [name] if name in ids else [each for each in ids if name and each.startswith(name)]
    if len(found) == 1:
        return RunFolder(found[0], runs / found[0])
    if found:
        raise NoSuchRun(f"{len(found)} runs begin with {name!r}, {found[-1]} among them; give more of the id")
    from workflow.diagnostics.suggest import did_you_mean

    near = did_you_mean(name, [*ids, LATEST]) or f"the latest is {ids[-1]}"
    raise NoSuchRun(f"there is no run {name!r} in {state_dir}; {near}")


def run_ids(state_dir: Path) -> list[str]:
    """The ids of all runs, oldest first: they begin with the time."""
    try:
        return sorted(path.name for path in (state_dir / "runs").iterdir() if path.name[:1].isdigit())
    except OSError:
        return []
