"""Places where a run cannot be: another system, a name that nothing can be written down with."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

WINDOWS = """
    import runpy, signal, sys

    sys.platform = "win32"
    for name in ("SIGHUP", "SIGQUIT", "SIGKILL", "SIGCHLD", "SIGUSR1", "pthread_sigmask", "SIG_SETMASK", "setitimer"):
        delattr(signal, name)
    for name in ("fcntl", "grp", "pwd", "resource", "termios"):
        sys.modules[name] = None
    sys.argv = ["workflow", "run"]
"""
SENTENCE = "workflow needs a POSIX system such as Linux or macOS; on Windows, use WSL"


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("runpy.run_module('workflow', run_name='__main__')", SENTENCE),
        ("from workflow.__main__ import main; main()", SENTENCE),
        ("from workflow import Pipeline", f"workflow.errors.WorkflowError: {SENTENCE}"),
        ("from workflow import MultiProcess; MultiProcess()", f"workflow.errors.WorkflowError: {SENTENCE}"),
    ],
)
def test_windows_is_refused_at_the_start_in_a_sentence(environ: dict[str, str], start: str, said: str) -> None:
    """Before anything is used that is not there."""
    program = dedent(WINDOWS) + start
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.stderr.splitlines()[-1] == said
    assert "AttributeError" not in ended.stderr
    if said == SENTENCE:
        assert (ended.returncode, ended.stderr) == (4, SENTENCE + "\n")


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems take UTF-8 only")
def test_a_folder_whose_name_is_not_utf_8_is_refused_before_there_is_a_run(
    tmp_path: Path, workflow: Callable[..., Any]
) -> None:
    """Nothing could write it down: not the ledger, and no report."""
    folder = Path(os.fsdecode(bytes(tmp_path) + b"/b\xff"))
    folder.mkdir()
    (folder / "pipeline.toml").write_text('[tasks.a]\ncmd = ["true"]\n')
    ran = workflow("run", cwd=folder)
    assert ran.returncode == 4
    assert ran.stderr == (
        f"workflow: cannot record a run of {tmp_path}/b\\udcff/pipeline.toml: this name is not UTF-8, and a ledger and "
        "reports are; rename the folder, or run a copy of it elsewhere\n"
    )
    assert [each.name for each in folder.iterdir()] == ["pipeline.toml"]
