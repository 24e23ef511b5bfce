"""The commit that is checked out, read from git's own files: asking git itself would cost more than a small run."""

from __future__ import annotations

from pathlib import Path


def git_commit(folder: Path) -> str | None:
    """Answer the commit checked out where ``folder`` lies; None if it lies in no repository, or an unusual one."""
    try:
        for parent in (folder, *folder.parents):
            git = parent / ".git"
            if git.is_file():  # a work tree of its own, or a submodule
                git = parent / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
            if git.is_dir():
                return _head(git)
    except (OSError, UnicodeDecodeError):
        return None
    return None


def _head(git: Path) -> str | None:
    head = (git / "HEAD").read_text(encoding="utf-8").strip()
    if not head.startswith("ref:"):
        return head or None
    reference = head.removeprefix("ref:").strip()
    common = git / "commondir"
    shared = git / common.read_text(encoding="utf-8").strip() if common.is_file() else git
    for place in (git, shared):
        if (place / reference).is_file():
            return (place / reference).read_text(encoding="utf-8").strip()
    packed = shared / "packed-refs"
    if packed.is_file():
        for line in packed.read_text(encoding="utf-8").splitlines():
            commit, _, name = line.partition(" ")
            if name == reference:
                return commit
    return None
