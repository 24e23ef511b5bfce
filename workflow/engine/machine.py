"""What this machine offers the engine, as data: gathered here, shown by ``workflow doctor``.

Each fact says what was found, whether the engine needs it, and what it does without.  A limit is judged for a pool of
a given size.  Nothing is concluded from version numbers: what can be tried is tried.
"""

from __future__ import annotations

import os
import platform
import resource
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from workflow.engine import marks, processes, system
from workflow.engine.system import explain

State = Literal["good", "weak", "missing", "info"]

_GET_CHILD_SUBREAPER = 37
_DESCRIPTORS_FOR_WORKER = 3
_DESCRIPTORS_OF_OURS = 15
_PROCESSES_FOR_WORKER = 2
_PROCESSES_OF_OURS = 8
_ADDRESSES_MIN = 1 << 28
_LIBRARIES = ("click", "pydantic", "pydantic-settings", "tomli", "tree-sitter", "tree-sitter-toml")


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing about this machine."""

    name: str
    value: str
    state: State = "info"
    """``good``; ``weak``: the engine does with less; ``missing``: a run would not work; ``info``: neither."""
    without: str | None = None
    """What the engine does without it, or what to do."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of starting a pool, running a task and stopping it."""

    pool: int
    duration_s: float
    problem: str | None


def gather(pool: int) -> tuple[Fact, ...]:
    """Everything about this machine that matters to a pool of this size.  What cannot be found out is said so."""
    found: list[Fact] = []
    for name, look in _LOOKS.items():
        try:
            found += [Fact(name, *rest) for rest in look(pool)]
        except (OSError, ValueError, AttributeError) as error:
            found.append(Fact(name, f"cannot be found out: {explain(error)}"))
    return tuple(found)


def try_pool(pool: int) -> Trial:
    """Start a pool, run a task in it, and stop it."""
    from workflow.engine.parent import MultiProcess
    from workflow.errors import WorkflowError
    from workflow.info_task import InfoTask

    start = time.monotonic()
    problem = None
    try:
        with MultiProcess(pool) as mp:
            mp.push(InfoTask("workflow.tasks.Call", 30, "os:getpid")).result()
    except (WorkflowError, OSError) as error:
        problem = str(error)
    return Trial(pool, time.monotonic() - start, problem)


Rest = tuple[str, State, "str | None"]


def _versions(_pool: int) -> Iterator[Rest]:
    versions = []
    for name in _LIBRARIES:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            versions.append(f"{name} is missing")
    yield f"{platform.python_implementation()} {platform.python_version()}, {', '.join(versions)}", "info", None


def _kernel(_pool: int) -> Iterator[Rest]:
    yield f"{platform.system()} {platform.release()} {platform.machine()}", "info", None


def _process_descriptors(_pool: int) -> Iterator[Rest]:
    without = "the end of a process is noticed by the end of a pipe, and some of it by asking again and again"
    descriptor = system.process_descriptor(os.getpid())
    if descriptor is None:
        yield "there are none", "weak", without
    else:
        os.close(descriptor)
        yield "pidfd_open works", "good", None


def _subreaper(_pool: int) -> Iterator[Rest]:
    import ctypes

    without = "a process that a task put into the background is not found again when the task ends"
    held = ctypes.c_int()
    works = system.LINUX and system.libc().prctl(_GET_CHILD_SUBREAPER, ctypes.byref(held), 0, 0, 0) == 0
    yield ("prctl knows it", "good", None) if works else ("there is none", "weak", without)


def _tee(_pool: int) -> Iterator[Rest]:
    without = "answers of workers travel through sockets, each of which costs three times as much as one through a pipe"
    yield ("tee works", "good", None) if system.can_tee() else ("tee does not work", "weak", without)


def _signals(_pool: int) -> Iterator[Rest]:
    import faulthandler

    without = "SIGUSR1 and SIGUSR2 ask for the stack of a task that hangs, which a task may want for itself"
    if not hasattr(faulthandler, "register"):
        yield "no signal can ask for a stack", "weak", "there are no stacks of tasks that hang"
    elif hasattr(signal, "SIGRTMIN"):
        yield f"{signal.SIGRTMIN:d} to {signal.SIGRTMAX:d}", "good", None
    else:
        yield "there are none", "weak", without


def _proc(_pool: int) -> Iterator[Rest]:
    if not os.path.exists("/proc/self/stat"):
        yield "there is none", "weak", "the command ps is asked, which takes long; nobody is found by a mark"
    elif marks.where() is None:
        without = "processes of a task are not found, so they are not ended with it: mount /proc for this namespace"
        yield "it shows the processes of another pid namespace", "missing", without
    elif not os.path.exists("/proc/thread-self/children"):
        yield "it does not list children", "weak", "all processes of the machine are looked at to kill those of a task"
    else:
        yield "it lists children and environments", "good", None


def _memory_files(_pool: int) -> Iterator[Rest]:
    descriptor = system.anonymous_file("workflow-doctor")
    os.close(descriptor)
    if hasattr(os, "memfd_create"):
        yield "memfd_create works", "good", None
    else:
        yield "there are none", "weak", "large arguments and results travel in temporary files"


def _shared_memory(_pool: int) -> Iterator[Rest]:
    folder = "/dev/shm"  # noqa: S108  # it is only measured
    found = os.statvfs(folder)
    size = f"{folder}: {_size(found.f_bavail * found.f_frsize)} free of {_size(found.f_blocks * found.f_frsize)}"
    yield size, "info", "what the tasks of a run with secrets print is there; tasks may use it, with multiprocessing"


def _cgroup(_pool: int) -> Iterator[Rest]:
    without = "the engine does not use it: it kills a tree process by process"
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        paths = [line.rstrip("\n")[3:] for line in file if line.startswith("0::")]
    if not paths:
        yield "there is no version 2", "info", without
        return
    folder = f"/sys/fs/cgroup{paths[0]}"
    kill = "with cgroup.kill" if os.path.exists(f"{folder}/cgroup.kill") else "without cgroup.kill"
    delegated = "delegated to this user" if os.access(folder, os.W_OK) else "not delegated to this user"
    yield f"{paths[0]}, {delegated}, {kill}", "info", without


def _descriptors(pool: int) -> Iterator[Rest]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = _DESCRIPTORS_OF_OURS + _DESCRIPTORS_FOR_WORKER * pool
    if soft == resource.RLIM_INFINITY or soft >= needed:
        yield f"{_count(soft)} for each process, of which a pool of {pool} needs {needed}", "good", None
    else:
        advice = f"raise it with `ulimit -n`, which may go up to {_count(hard)}, or take fewer workers"
        yield f"{soft} for each process; a pool of {pool} needs {needed}", "missing", advice


def _processes(pool: int) -> Iterator[Rest]:
    needed = _PROCESSES_OF_OURS + _PROCESSES_FOR_WORKER * pool
    advice = "raise it with `ulimit -u` (a container: pids.max), or take fewer workers"
    soft = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if os.geteuid() == 0 or soft == resource.RLIM_INFINITY:
        yield "this user has no limit", "good", None
    else:
        yield _judged(soft - _threads_of(os.geteuid()), soft, needed, pool, "this user", advice)
    limit = _cgroup_number("pids.max")
    if limit is not None:
        used = _cgroup_number("pids.current") or 0
        yield _judged(limit - used, limit, needed, pool, "this control group", advice)


def _judged(left: int, limit: int, needed: int, pool: int, whose: str, advice: str) -> Rest:
    value = f"{max(0, left)} left of the {limit} processes and threads of {whose}; a pool of {pool} needs {needed}"
    return (value, "good", None) if left >= needed else (value, "missing", advice)


def _addresses(_pool: int) -> Iterator[Rest]:
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    if soft == resource.RLIM_INFINITY:
        yield "without limit", "good", None
    else:
        state: State = "good" if soft >= _ADDRESSES_MIN else "weak"
        yield f"{_size(soft)} for each process (ulimit -v)", state, "a process that needs more fails or crashes"


def _start_method(pool: int) -> Iterator[Rest]:
    ways = "one process by exec, and the others as forks of that one, which has a single thread"
    yield f"{ways}; {system.usable_cpus()} processors may be used, for a pool of {pool}", "info", None


def _user(_pool: int) -> Iterator[Rest]:
    yield f"uid {os.geteuid()}", "info", None


def _namespace(_pool: int) -> Iterator[Rest]:
    if os.getpid() == 1:
        without = "start it under an init process (docker run --init), which collects what tasks leave"
        yield "this is process 1", "weak", without
    else:
        with open("/proc/1/comm", encoding="utf-8", errors="replace") as file:
            first = file.read().strip()
        yield f"{os.readlink('/proc/self/ns/pid')}, whose process 1 is {first}", "info", None


def _container(_pool: int) -> Iterator[Rest]:
    hints = [path for path in ("/.dockerenv", "/run/.containerenv") if os.path.exists(path)]
    name = os.environ.get("container")  # noqa: SIM112  # it is called so
    if name:
        hints.append(f"container={name}")
    if os.path.exists("/proc/1/cgroup"):
        with open("/proc/1/cgroup", encoding="utf-8") as file:
            text = file.read()
        hints += [word for word in ("docker", "kubepods", "lxc", "libpod") if word in text]
    yield ", ".join(hints) or "nothing hints at one", "info", None


def _core(_pool: int) -> Iterator[Rest]:
    if resource.getrlimit(resource.RLIMIT_CORE)[0] == 0:
        yield "none are written", "good", None
        return
    with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as file:
        pattern = file.read().strip()
    yield f"a crash writes one to {pattern!r}", "weak", "a task that crashes takes as long as that; `ulimit -c 0`"


_LOOKS: dict[str, Callable[[int], Iterator[Rest]]] = {
    "versions": _versions,
    "system": _kernel,
    "workers": _start_method,
    "process descriptors": _process_descriptors,
    "subreaper": _subreaper,
    "pipes": _tee,
    "real-time signals": _signals,
    "/proc": _proc,
    "anonymous files": _memory_files,
    "descriptors": _descriptors,
    "processes": _processes,
    "address space": _addresses,
    "core dumps": _core,
    "control group": _cgroup,
    "shared memory": _shared_memory,
    "user": _user,
    "pid namespace": _namespace,
    "container": _container,
}


def _threads_of(uid: int) -> int:
    count = 0
    for pid, _, _, owner in processes.table():
        if owner == uid:
            try:
                count += len(os.listdir(f"/proc/{pid}/task"))
            except OSError:
                continue  # it has ended
    return count


def _cgroup_number(name: str) -> int | None:
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            path = next(line.rstrip("\n")[3:] for line in file if line.startswith("0::"))
        with open(f"/sys/fs/cgroup{path}/{name}", encoding="utf-8") as file:
            return int(file.read())
    except (OSError, StopIteration, ValueError):  # there is none, or it says "max"
        return None


def _count(number: int) -> str:
    return "any number" if number == resource.RLIM_INFINITY else str(number)


def _size(number: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number} bytes"
