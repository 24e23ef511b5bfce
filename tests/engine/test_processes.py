"""Facts about real processes, and kills of real trees of them."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from workflow.engine import processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the children are made with Linux's means")

PR_SET_CHILD_SUBREAPER = 36

# A root that starts a plain child, one in its own session, one that is double-forked, says who they are, and waits.
FAMILY = """
import os, signal, sys, time
def start(*ways):
    pid = os.fork()
    if pid == 0:
        for way in ways:
            way()
        print(os.getpid(), flush=True)
        time.sleep(1000)
        os._exit(0)
    return pid
def again():
    if os.fork():
        os._exit(0)
start()
start(os.setsid)
daemon = start(os.setsid, again)
os.waitpid(daemon, 0)
signal.signal(signal.SIGTERM, lambda *_: os.write(1, b"told\\n"))
print("ready", flush=True)
while True:
    time.sleep(1000)
"""
SUBREAPER = "import ctypes\nctypes.CDLL(None).prctl(36, 1, 0, 0, 0)\n"


@pytest.fixture
def adopting() -> Iterator[frozenset[int]]:
    """This process adopts what its children orphan, as a worker does; gives who was there before; leaves nothing."""
    prctl = ctypes.CDLL(None).prctl
    before = frozenset(processes.descendants(os.getpid()))
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    yield before
    processes.kill_children(os.getpid(), before)
    while remaining := set(processes.children(os.getpid())) - before:
        for pid in remaining:
            os.waitpid(pid, 0)
    prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@pytest.fixture
def run(adopting: frozenset[int]) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts a Python program; what it is and what it started are gone after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-I", "-S", "-c", program]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            processes.kill_tree(process.pid)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def family(root: subprocess.Popen[str]) -> set[int]:
    """Pids of the three that a FAMILY started, once all are there."""
    assert root.stdout is not None
    lines = [root.stdout.readline().strip() for _ in range(4)]
    assert "ready" in lines
    return {int(line) for line in lines if line != "ready"}


def wait_until_dead(pids: set[int], within_s: float = 5) -> None:
    """Returns when none is alive, by pidfd where it is not our child; fails after a while."""
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            ready, _, _ = select.select([descriptor], [], [], within_s)
        finally:
            os.close(descriptor)
        assert ready, f"{processes.describe(pid)} is alive"


def state(pid: int) -> str:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return file.read().rpartition(")")[2].split()[0]


def test_a_daemon_is_below_the_process_that_adopts_it(run: Callable[[str], subprocess.Popen[str]]) -> None:
    """A tree is found whole when its root is a subreaper: plain child, own session, double fork."""
    root = run(SUBREAPER + FAMILY)
    started = family(root)
    assert set(processes.descendants(root.pid)) == started
    assert root.pid in processes.children(os.getpid())
    assert set(processes.children(root.pid)) == started


def test_descendants_come_after_their_parents(run: Callable[[str], subprocess.Popen[str]]) -> None:
    """The order is one in which everybody may be signalled."""
    program = """
import os, time
depth = 0
while depth < 4 and os.fork() == 0:
    depth += 1
if depth == 4:
    print("ready", flush=True)
time.sleep(1000)
"""
    root = run(program)
    assert root.stdout is not None
    root.stdout.readline()
    line = processes.descendants(root.pid)
    assert len(line) == 4
    for parent, child in zip([root.pid, *line], line, strict=False):
        assert processes.children(parent) == [child]


def test_children_started_by_another_thread_are_found(run: Callable[[str], subprocess.Popen[str]]) -> None:
    """The kernel keeps children by thread; all threads are asked."""
    program = """
import os, threading, time
def start():
    if os.fork() == 0:
        print(os.getpid(), flush=True)
    time.sleep(1000)
threading.Thread(target=start).start()
time.sleep(1000)
"""
    root = run(program)
    assert root.stdout is not None
    started = int(root.stdout.readline())
    assert processes.children(root.pid) == [started]


@pytest.mark.parametrize("way", ["stat", "ps"])
def test_every_way_of_listing_gives_the_same_tree(
    run: Callable[[str], subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Kernels without CONFIG_PROC_CHILDREN, and systems without /proc, find the same processes."""
    root = run(SUBREAPER + FAMILY)
    started = family(root)
    if way == "ps":
        if not os.path.exists("/bin/ps") and not os.path.exists("/usr/bin/ps"):
            pytest.skip("no ps here")
        monkeypatch.setitem(processes._known, "/proc/self/stat", False)
    monkeypatch.setitem(processes._known, "/proc/thread-self/children", False)
    assert set(processes.descendants(root.pid)) == started
    assert processes.is_alive(root.pid)
    assert processes.start_time(root.pid) is not None
    assert processes.tree_memory(root.pid) > 1_000_000
    assert "-I -S -c" in processes.describe(root.pid)
    assert processes.kill_tree(root.pid) == 3
    root.wait()
    assert not processes.is_alive(root.pid)
    assert processes.start_time(root.pid) is None


def test_kill_tree_leaves_nobody_and_counts_who_lived(run: Callable[[str], subprocess.Popen[str]]) -> None:
    """Root, plain child, own session and daemon die; the zombie among them is not counted."""
    root = run(SUBREAPER + FAMILY.replace("os.waitpid(daemon, 0)", ""))
    started = family(root)
    wait_until_dead({pid for pid in processes.children(root.pid) if pid not in started})
    assert processes.kill_tree(root.pid) == 3
    wait_until_dead({root.pid, *started})
    assert root.wait() == -signal.SIGKILL


def test_kill_tree_catches_who_hops_from_pid_to_pid(run: Callable[[str], subprocess.Popen[str]]) -> None:
    """Ten chains that fork and leave the old process every millisecond, for ever: none gets away."""
    program = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(10):
    if os.fork() == 0:
        while True:
            time.sleep(0.001)
            if os.fork():
                os._exit(0)
print("ready", flush=True)
time.sleep(1000)
"""
    root = run(SUBREAPER + program)
    assert root.stdout is not None
    root.stdout.readline()
    assert processes.kill_tree(root.pid) >= 10
    root.wait()
    # Whoever got away would have been adopted here, and would go on hopping.
    wait_until_dead(set(processes.descendants(os.getpid())))
    assert not any(map(processes.is_alive, processes.descendants(os.getpid())))


def test_kill_tree_can_keep_the_root(run: Callable[[str], subprocess.Popen[str]]) -> None:
    """A kept root runs on, without its children."""
    root = run(SUBREAPER + FAMILY)
    started = family(root)
    assert processes.kill_tree(root.pid, keep_root=True) == 3
    wait_until_dead(started)
    assert root.poll() is None
    root.terminate()
    assert root.stdout is not None
    assert root.stdout.readline() == "told\n"


def test_a_process_can_kill_its_own_tree(run: Callable[[str], subprocess.Popen[str]]) -> None:
    """From a thread beside a hung one; it must not stop itself before it is done."""
    folder = os.path.dirname(os.path.dirname(os.path.dirname(processes.__file__)))
    suicide = f"""
import sys, threading
sys.path.insert(0, {folder!r})
from workflow.engine import processes
threading.Timer(0.01, processes.kill_tree, (os.getpid(),)).start()
"""
    root = run(SUBREAPER + FAMILY.replace("while True:", suicide + "while True:"))
    started = family(root)
    wait_until_dead({root.pid, *started})
    assert root.wait() == -signal.SIGKILL


def test_kill_children_spares_who_was_there_and_all_below(
    run: Callable[[str], subprocess.Popen[str]], adopting: frozenset[int]
) -> None:
    """What an earlier command of the same worker may keep, a later one does not lose."""
    kept, ended = run(SUBREAPER + FAMILY), run(FAMILY)
    family(kept)
    started = family(ended)
    below_kept = processes.descendants(kept.pid)
    killed = processes.kill_children(os.getpid(), adopting | {kept.pid})
    assert killed == 4
    wait_until_dead({ended.pid, *started})
    assert len(below_kept) == 3
    assert all(processes.is_alive(pid) for pid in (kept.pid, *below_kept))


def test_kill_children_counts_no_zombie(adopting: frozenset[int]) -> None:
    """A child that ended and waits to be reaped was not left behind."""
    process = subprocess.Popen(["true"])
    wait_until_dead({process.pid})
    assert process.pid in processes.children(os.getpid())
    assert not processes.is_alive(process.pid)
    assert processes.kill_children(os.getpid(), adopting) == 0
    assert process.wait() == 0


def test_signal_tree_reaches_everybody(run: Callable[[str], subprocess.Popen[str]]) -> None:
    """The list is made before the first signal, so daemons of who dies at once get theirs too."""
    root = run(SUBREAPER + FAMILY)
    started = family(root)
    assert processes.signal_tree(root.pid, signal.SIGTERM) == 4
    wait_until_dead(started)
    assert root.stdout is not None
    assert root.stdout.readline() == "told\n"


def test_signal_process_says_whether_somebody_was_there() -> None:
    """A pid that is gone is an answer, not an error."""
    process = subprocess.Popen(["sleep", "1000"])
    assert processes.signal_process(process.pid, signal.SIGKILL)
    process.wait()
    assert not processes.signal_process(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("pid", [1, 0, -1, -100])
def test_pids_that_mean_groups_are_refused(pid: int) -> None:
    """A pid variable that was emptied must not become a signal to our own group."""
    for use in (processes.signal_process, processes.signal_tree):
        with pytest.raises(ValueError, match=f"^{pid} is not the pid"):
            use(pid, 0)
    with pytest.raises(ValueError, match=f"^{pid} is not the pid"):
        processes.kill_tree(pid)
    with pytest.raises(ValueError, match=f"^{pid} is not the pid"):
        processes.kill_children(pid, frozenset())


def test_a_name_with_parentheses_and_spaces_confuses_nothing(run: Callable[[str], subprocess.Popen[str]]) -> None:
    """A process chooses its name; it may look like the fields that follow it."""
    root = run("""
import ctypes, time
ctypes.CDLL(None).prctl(15, b"a) Z 1 (b\\n", 0, 0, 0)
print("ready", flush=True)
time.sleep(1000)
""")
    assert root.stdout is not None
    root.stdout.readline()
    assert processes.is_alive(root.pid)
    started = processes.start_time(root.pid)
    assert started is not None
    now = processes.start_time(os.getpid())
    assert now is not None
    assert started >= now
    root.kill()
    root.wait()
    assert processes.start_time(root.pid) is None


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the number of the exit system call is x86-64's")
def test_a_process_whose_main_thread_ended_is_alive(run: Callable[[str], subprocess.Popen[str]]) -> None:
    """Its state reads zombie, but its other threads run."""
    root = run("""
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(1000,)).start()
ctypes.CDLL(None).syscall(60, 0)
""")
    deadline = time.monotonic() + 5
    while state(root.pid) != "Z" and time.monotonic() < deadline:
        os.sched_yield()
    assert state(root.pid) == "Z"
    assert processes.is_alive(root.pid)


def test_shared_pages_count_once(run: Callable[[str], subprocess.Popen[str]]) -> None:
    """Four processes that share 40 MB by fork use 40 MB, not 160."""
    root = run("""
import os, time
block = b"x" * 40_000_000
for _ in range(3):
    if os.fork() == 0:
        time.sleep(1000)
print("ready", flush=True)
time.sleep(1000)
""")
    assert root.stdout is not None
    root.stdout.readline()
    used = processes.tree_memory(root.pid)
    assert 40_000_000 < used < 80_000_000
    assert processes.tree_memory_exceeds(root.pid, 100_000_000) is None
    over = processes.tree_memory_exceeds(root.pid, 30_000_000)
    assert over is not None
    assert 40_000_000 < over < 80_000_000


def test_memory_of_who_is_gone_is_nothing() -> None:
    """A tree that ends while it is measured is not an error."""
    process = subprocess.Popen(["true"])
    process.wait()
    assert processes.tree_memory(process.pid) == 0
    assert processes.tree_memory_exceeds(process.pid, 0) is None


def test_describe_shows_a_hostile_command_line_harmlessly() -> None:
    """Control sequences and endless arguments do not reach a terminal."""
    process = subprocess.Popen(["sleep", "1000", "\x1b[31m", "y" * 1000], stderr=subprocess.DEVNULL)
    try:
        text = processes.describe(process.pid)
    finally:
        process.kill()
        process.wait()
    assert text.isprintable()
    assert len(text) < 220
    assert processes.describe(process.pid) == f"{process.pid} (gone)"


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (signal.SIGSEGV, "SIGSEGV"),
        (signal.SIGABRT, "SIGABRT"),
        (signal.SIGCHLD, "SIGCHLD"),
        (signal.SIGIO, "SIGIO"),
        (9, "SIGKILL"),
        (signal.SIGRTMIN, "SIGRTMIN"),
        (signal.SIGRTMIN + 5, "SIGRTMIN+5"),
        (signal.SIGRTMAX, "SIGRTMAX"),
        (99, "signal 99"),
        (0, "signal 0"),
    ],
)
def test_signals_have_names(number: int, name: str) -> None:
    """Names are what reports show."""
    assert processes.signal_name(number) == name


def test_every_named_signal_has_the_name_python_knows() -> None:
    """The table is made without ``signal``, and agrees with it."""
    for known in signal.Signals:
        assert processes.signal_name(known) == known.name


def test_the_import_is_light() -> None:
    """A warden and every worker import this at their start."""
    program = "import sys; import workflow.engine.processes; print(*sys.modules)"
    text = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True).stdout
    heavy = {"re", "enum", "typing", "dataclasses", "subprocess", "socket", "signal", "threading", "ctypes"}
    loaded_anyway = set(
        subprocess.run(
            [sys.executable, "-c", "import sys; print(*sys.modules)"], stdout=subprocess.PIPE, text=True, check=True
        ).stdout.split()
    )
    assert not heavy & (set(text.split()) - loaded_anyway)


def test_has_children_counts_who_runs_and_who_is_not_reaped_yet(run: Callable[[str], subprocess.Popen[str]]) -> None:
    folder = os.path.dirname(os.path.dirname(os.path.dirname(processes.__file__)))
    child = run(
        f"""
import os, sys
sys.path.insert(0, {folder!r})
from workflow.engine import processes

told = [processes.has_children()]
reading, writing = os.pipe()
pid = os.fork()
if not pid:
    os.close(writing)
    os.read(reading, 1)
    os._exit(0)
told.append(processes.has_children())
os.close(writing)
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
told.append(processes.has_children())
os.waitpid(pid, 0)
print(*told, processes.has_children(), flush=True)
"""
    )
    assert child.stdout is not None
    assert child.stdout.readline().split() == ["False", "True", "True", "False"]
