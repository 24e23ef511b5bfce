"""However often something happens, no part of the engine grows by it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from workflow import InfoTask, MultiProcess, Outcome

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it is measured in /proc")

Program = Callable[..., "subprocess.Popen[str]"]
Wait = Callable[[Callable[[], bool]], None]

GROWTH_BYTES = 6 << 20
"""What an allocator may keep; 400 crashes that left 20 kB each would be more."""


class Size(NamedTuple):
    """What is measured of each process."""

    descriptors: dict[str, int]
    threads: dict[str, int]
    memory: dict[str, int]
    processes: int
    zombies: int


def measure(mp: MultiProcess) -> Size:
    guardian, warden = mp._client._tree.guards()
    pids = {"parent": os.getpid(), "guardian": guardian, "warden": warden, "dispatcher": mp._client.dispatcher_pid}
    below = psutil.Process(guardian).children(recursive=True)
    return Size(
        {name: len(os.listdir(f"/proc/{pid}/fd")) for name, pid in pids.items()},
        {name: len(os.listdir(f"/proc/{pid}/task")) for name, pid in pids.items()},
        {name: psutil.Process(pid).memory_full_info().uss for name, pid in pids.items()},
        len(below),
        sum(process.status() == psutil.STATUS_ZOMBIE for process in below if process.is_running()),
    )


def settled(mp: MultiProcess, wait_until: Wait) -> Size:
    """Measured when both workers are there and idle."""

    def is_calm() -> bool:
        try:
            size = measure(mp)
        except psutil.NoSuchProcess:
            return False
        return size.processes == 4 and size.zombies == 0

    for _ in range(4):
        mp.push(InfoTask("victims.Echo", 20)).result(20)
    wait_until(is_calm)
    return measure(mp)


def crash(mp: MultiProcess, count: int) -> None:
    ways = ["kill", "segv", "exit7", "abort"]
    handles = [mp.push(InfoTask("victims.Crash", 120, ways[number % 4])) for number in range(count)]
    for handle in handles:
        handle.exception()
    assert {handle.outcome for handle in handles} == {Outcome.CRASHED}


@pytest.mark.timeout(500)  # on a machine that does much else beside it
def test_500_crashes_leave_the_engine_as_it_was(make_pool: Callable[..., Any], wait_until: Wait) -> None:
    """Descriptors, threads, processes, zombies and memory of every part; and no limit of restarts is met."""
    mp = make_pool(2)
    crash(mp, 100)
    before = settled(mp, wait_until)
    crash(mp, 400)
    after = settled(mp, wait_until)
    assert mp.failure is None
    assert after.descriptors == before.descriptors
    assert after.threads == before.threads
    grown = {name: size - before.memory[name] for name, size in after.memory.items()}
    assert {name: size for name, size in grown.items() if size > GROWTH_BYTES} == {}


POOLS = """
import gc, os, threading, psutil
from workflow import MultiProcess, InfoTask
def use(count):
    for number in range(count):
        with MultiProcess(1) as mp:
            if number % 10 == 0:
                assert mp.push(InfoTask("victims.Echo", 60, number)).result() == number
def size():
    gc.collect()
    me = psutil.Process()
    return [len(os.listdir("/proc/self/fd")), threading.active_count(), len(me.children(recursive=True))], (
        me.memory_full_info().uss
    )
use(20)
before, memory = size()
use(180)
after, grown = size()
assert before == after, (before, after)
assert grown - memory < 6 << 20, grown - memory
print("flat")
"""


@pytest.mark.timeout(500)  # on a machine that does much else beside it
def test_200_pools_leave_their_program_as_it_was(tmp_path: Path, python: Program) -> None:
    """And nobody warns of anything at its end, as a tracker of shared memory would."""
    out, err = python(tmp_path, "-W", "error", "-c", POOLS).communicate(timeout=480)
    assert (out, err) == ("flat\n", "")


def test_a_pool_that_could_not_start_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is tried."""
    from workflow import EngineError

    monkeypatch.setattr(sys, "executable", "/no/such/python")
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(50):
        with pytest.raises(EngineError):
            MultiProcess(2).start()
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before
