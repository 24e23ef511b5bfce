"""What dies again and again is not started for ever: the run ends with a reason."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow import EngineError, InfoTask, MultiProcess
from workflow.engine import processes
from workflow.restarts import DISPATCHERS_MAX, STARTS_MAX, TEMPLATES_MAX

Program = Callable[..., "subprocess.Popen[str]"]
Wait = Callable[[Callable[[], bool]], None]

# Loaded by every Python of the engine.  The module is imported by one kind of its processes, after the fork: that dies
# at once, each time.
SITE = """
import os, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "workflow.engine.{module}":
            {then}
sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize("then", ["os._exit(3)", "os.kill(os.getpid(), 9)", "raise MemoryError", "sys.exit('no')"])
@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("boot", f"workers cannot be started: {STARTS_MAX} tries in a row failed"),
        ("dispatcher", f"its dispatcher died {DISPATCHERS_MAX} times, and nothing had ended meanwhile"),
    ],
)
def test_a_part_that_dies_at_once_each_time_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python: Program, then: str, module: str, said: str
) -> None:
    """With exit code 4 and a reason that says how the last one died."""
    (tmp_path / "sitecustomize.py").write_text(SITE.format(module=module, then=then))
    (tmp_path / "pipeline.toml").write_text('[pipeline]\npool = 2\n[tasks.a]\ncmd = ["true"]\n')
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    run = python(tmp_path, "-m", "workflow", "run")
    _, err = run.communicate(timeout=50)
    assert run.returncode == 4, err
    assert said in err
    assert "Traceback" not in err
    if then == "raise MemoryError":
        assert "ulimit -v" in err.split(said)[1]
    elif module == "boot" and "_exit" in then:
        assert "with exit code 3" in err.split(said)[1]


def test_a_dispatcher_that_is_killed_again_and_again_ends_the_engine(pool: MultiProcess, wait_until: Wait) -> None:
    """Though each had taken over what pends: nothing ended meanwhile."""
    handle = pool.push(InfoTask("victims.Sleep", 60))
    wait_until(handle.running)
    killed: list[int] = []
    while pool.failure is None:
        dispatcher = pool._client.dispatcher_pid
        if dispatcher not in killed:
            processes.signal_process(dispatcher, 9)
            killed.append(dispatcher)
        assert len(killed) <= 2 * DISPATCHERS_MAX
    assert f"died {DISPATCHERS_MAX} times" in pool.failure
    with pytest.raises(EngineError):
        handle.result(20)


def test_dispatchers_may_die_as_long_as_tasks_end(pool: MultiProcess, wait_until: Wait) -> None:
    for number in range(DISPATCHERS_MAX + 5):
        dispatcher = pool._client.dispatcher_pid
        assert pool.push(InfoTask("victims.Echo", 20, number)).result(20) == number
        processes.signal_process(pool._client.dispatcher_pid, 9)
        wait_until(lambda dispatcher=dispatcher: pool._client.dispatcher_pid != dispatcher)  # type: ignore[misc]
    assert pool.failure is None


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("crashes_at_import", f"died {TEMPLATES_MAX} times without forking a worker, the last time by SIGKILL"),
        ("dies_at_fork", f"workers cannot be started: {STARTS_MAX} tries in a row failed"),
        ("exits_at_import", "preload of 'exits_at_import' failed"),
    ],
)
def test_a_preload_that_ends_its_process_ends_the_engine_with_a_reason(module: str, said: str) -> None:
    """Whether the import does, or a hook of it in each process that is forked."""
    mp = MultiProcess(2, preload=[module])
    mp.start()
    handle = mp.push(InfoTask("victims.Echo", 20))
    with pytest.raises(EngineError, match=said):
        handle.result(30)
    with pytest.raises(EngineError, match=said):
        mp.stop()


def test_a_fork_that_ends_as_if_all_were_well_is_not_taken_for_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 0 of the process between the template and its worker says nothing: it has to have named one."""
    monkeypatch.setenv("AT_FORK", "0")
    mp = MultiProcess(2, preload=["dies_at_fork"])
    mp.start()
    handle = mp.push(InfoTask("victims.Echo", 20))
    with pytest.raises(EngineError, match=f"workers cannot be started: {STARTS_MAX} tries in a row failed"):
        handle.result(5)
    with pytest.raises(EngineError):
        mp.stop()


def test_a_preload_that_hangs_in_each_fork_ends_the_engine_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """The template that waits for such a fork is replaced, but not for ever."""
    monkeypatch.setenv("AT_FORK", "hang")
    shortened(monkeypatch, FORK_S=0.2)
    mp = MultiProcess(2, preload=["dies_at_fork"])
    mp.start()
    handle = mp.push(InfoTask("victims.Echo", 20))
    with pytest.raises(EngineError, match=f"died {TEMPLATES_MAX} times without forking a worker, the last time by"):
        handle.result(30)
    with pytest.raises(EngineError):
        mp.stop()


def test_a_worker_that_hangs_before_it_is_ready_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What it was sent has no limit yet; after some such the engine gives up."""
    shortened(monkeypatch, START_S=0.3)
    (tmp_path / "sitecustomize.py").write_text(SITE.format(module="boot", then="__import__('time').sleep(1000)"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    mp = MultiProcess(2)
    mp.start()
    handle = mp.push(InfoTask("victims.Echo", 20))
    with pytest.raises(EngineError, match="workers cannot be started"):
        handle.result(30)
    with pytest.raises(EngineError):
        mp.stop()


def shortened(monkeypatch: pytest.MonkeyPatch, **numbers: Any) -> None:
    """Have the engine's processes use other numbers: they read ``workflow.restarts`` when they start."""
    from workflow.engine import process_tree

    lines = "".join(
        f"\nimport workflow.restarts; workflow.restarts.{name} = {value}" for name, value in numbers.items()
    )
    monkeypatch.setattr(process_tree, "_BOOT", process_tree._BOOT.replace("main(config)", f"{lines}\nmain(config)"))
