"""Start, stop, and everything in between that a program may do with a pool."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from workflow import EngineError, Handle, InfoTask, MultiProcess, Outcome, TaskCancelled
from workflow.engine import outgoing, processes

Program = Callable[..., "subprocess.Popen[str]"]
Wait = Callable[[Callable[[], bool]], None]


def test_a_pool_starts_works_and_stops() -> None:
    with MultiProcess(2) as mp:
        handles = [mp.push(InfoTask("victims.Echo", 10, number, kwargs={"x": 1})) for number in range(100)]
    assert [handle.result() for handle in handles] == [(number, {"x": 1}) for number in range(100)]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"max_log": "1GB"}, "max_log must be a whole number, not '1GB'"),
        ({"max_result": 0}, "max_result must be 1 or more, not 0"),
        ({"own_output": -1}, "own_output must be 0 or more, not -1"),
        ({"own_output": 1 << 40}, "own_output must be 2147483647 or less"),
        ({"log_dir": 3}, "log_dir must be text, not 3"),
        ({"preload": "json"}, "preload must be a list of texts, not 'json'"),
        ({"preload": [json]}, "preload must be text, not <module 'json'"),
        ({"path": None}, "path must be a list of texts, not None"),
        ({"env": "A=1"}, "env must be a mapping, not 'A=1'"),
        ({"env": {"A": 1}}, "env maps names to text, not 'A' to 1"),
        ({"on_retry": "retry"}, "on_retry must be a callable, not 'retry'"),
        ({"on_callback": 1}, "on_callback must be a callable, not 1"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused_where_it_is_written(options: dict[str, Any], told: str) -> None:
    """And not by a process of the engine, which could only die of it."""
    with pytest.raises((TypeError, ValueError), match=re.escape(told)):
        MultiProcess(1, **options)


def test_each_misuse_has_one_answer() -> None:
    with pytest.raises(ValueError, match="1 or more, not -1"):
        MultiProcess(-1)
    with pytest.raises(ValueError, match="1 or more, not 0"):
        MultiProcess(0)
    with pytest.raises(TypeError, match="whole number"):
        MultiProcess(True)
    mp = MultiProcess(1)
    with pytest.raises(RuntimeError, match="start"):
        mp.push(InfoTask("victims.Echo", 1))
    mp.start()
    mp.start()
    handle = mp.push(InfoTask("victims.Echo", 10, 1))
    mp.stop()
    mp.stop()
    assert handle.result() == 1
    with pytest.raises(RuntimeError, match="stopped"):
        mp.push(InfoTask("victims.Echo", 1))
    with pytest.raises(RuntimeError, match="stopped"):
        mp.start()
    never = MultiProcess(1)
    never.stop()
    with pytest.raises(RuntimeError, match="stopped"):
        never.start()


def test_no_pool_given_is_one_worker_for_each_usable_processor() -> None:
    assert MultiProcess().pool == len(os.sched_getaffinity(0))


def test_a_pool_that_ends_while_its_sender_lingers_wakes_it(
    make_pool: Callable[..., MultiProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Woken for a push, the sender thread waits a moment for more: what it is told in that moment, it hears."""
    mp = make_pool(1)
    client = mp._client
    lingers, told, wake = threading.Event(), threading.Event(), client._out._bell.set

    def tell() -> None:
        wake()
        if client._out.ending:
            told.set()

    def linger(_seconds: float) -> None:
        lingers.set()
        told.wait(10)

    monkeypatch.setattr(outgoing, "time", types.SimpleNamespace(monotonic=time.monotonic, sleep=linger))
    monkeypatch.setattr(client._out._bell, "set", tell)
    wake()
    assert lingers.wait(10)
    stop = threading.Thread(target=mp.stop, daemon=True)
    stop.start()
    stop.join(10)
    stopped = not stop.is_alive()
    wake()  # one that waits for ever would be left behind
    stop.join(10)
    assert stopped
    assert told.is_set()


def test_stop_with_a_timeout_cancels_what_has_not_ended() -> None:
    mp = MultiProcess(1)
    mp.start()
    done = mp.push(InfoTask("victims.Echo", 10, 1))
    running, queued = (mp.push(InfoTask("victims.Sleep", 60, grace=0.1)) for _ in range(2))
    done.result(20)
    mp.stop(0.2)
    assert [handle.outcome for handle in (done, running, queued)] == [
        Outcome.SUCCEEDED,
        Outcome.CANCELLED,
        Outcome.CANCELLED,
    ]


def test_handles_are_futures(pool: MultiProcess) -> None:
    """wait, as_completed, done callbacks, asyncio: whatever takes a Future takes a Handle."""
    handles = [pool.push(InfoTask("victims.Echo", 10, number)) for number in range(10)]
    done, pending = concurrent.futures.wait(handles, timeout=20)
    assert (len(done), len(pending)) == (10, 0)
    more: list[concurrent.futures.Future[Any]] = [pool.push(InfoTask("victims.Sleep", 10, 0.05)) for _ in range(4)]
    assert len(list(concurrent.futures.as_completed(more, timeout=20))) == 4
    called = threading.Event()
    seen: list[Any] = []
    last = pool.push(InfoTask("victims.Sleep", 10, 0.05))

    def take(handle: Any) -> None:
        seen.append(handle)
        called.set()

    last.add_done_callback(take)
    assert called.wait(20)
    last.add_done_callback(seen.append)
    assert seen == [last, last]

    async def ask() -> Any:
        return await asyncio.wrap_future(pool.push(InfoTask("victims.Echo", 10, "async")))

    assert asyncio.run(ask()) == "async"
    slow = pool.push(InfoTask("victims.Sleep", 60, grace=0.1))
    with pytest.raises(concurrent.futures.TimeoutError):
        slow.result(0.01)
    slow.cancel()


def test_many_threads_may_push_and_wait(pool: MultiProcess) -> None:
    results: list[int] = []

    def work(start: int) -> None:
        results.extend(pool.push(InfoTask("victims.Echo", 10, start + number)).result(30) for number in range(50))

    threads = [threading.Thread(target=work, args=(100 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted(100 * number + one for number in range(4) for one in range(50))


def test_max_pending_blocks_push_until_there_is_room(make_pool: Callable[..., MultiProcess]) -> None:
    mp = make_pool(1, max_pending=3)
    most = 0
    handles: list[Handle] = []
    for number in range(30):
        handles.append(mp.push(InfoTask("victims.Echo", 10, number)))
        most = max(most, sum(not handle.done() for handle in handles))
    assert [handle.result(20) for handle in handles] == list(range(30))
    assert most <= 4  # one may end between being counted and being asked


def test_running_tells_what_the_workers_do(pool: MultiProcess, wait_until: Wait) -> None:
    handle = pool.push(InfoTask("victims.Sleep", 60, id="sleeper", grace=0.1))
    wait_until(lambda: any(one.stage == "run" for one in pool.running()))
    (running,) = pool.running()
    assert (running.id, running.attempt) == ("sleeper", 1)
    assert processes.is_alive(running.pid)
    handle.cancel()


@pytest.mark.parametrize("how", ["python", "-m", "session"])
def test_a_program_finds_its_own_class(tmp_path: Path, python: Program, how: str) -> None:
    """From a script, where the class lives in __main__; with -m; and from a session that imports the module."""
    (tmp_path / "prog.py").write_text(
        "from workflow import MultiProcess, InfoTask, Model\n"
        "class Point:\n    def __init__(self, x): self.x = x\n"
        "class Demo(Model):\n    def runnable(self, a): return a.x + 1\n"
        "def main():\n"
        "    mp = MultiProcess(2)\n    mp.start()\n"
        "    hs = [mp.push(InfoTask(n, 5, Point(1))) for n in ('prog.Demo', __name__ + '.Demo')]\n"
        "    mp.stop()\n    print([h.result() for h in hs])\n"
        "if __name__ == '__main__':\n    main()\n"
    )
    arguments = {"python": ["prog.py"], "-m": ["-m", "prog"], "session": ["-c", "import prog; prog.main()"]}[how]
    out, err = python(tmp_path, *arguments).communicate(timeout=30)
    assert (out, err) == ("[2, 2]\n", "")


OWN = """
from workflow import MultiProcess, InfoTask, Model, Pipeline
class Own(Model):
    def runnable(self, x): return x + 1
if __name__ == "__main__":
    try:
        with MultiProcess(1) as mp: print(mp.push(InfoTask("__main__.Own", 10, 1)).result())
    except ValueError as error: print(error)
    try: print(Pipeline().task("a", module=Own, args=[1]).run().exit_code)
    except TypeError as error: print(error)
"""


@pytest.mark.parametrize(
    ("file", "arguments"),
    [("pkg/__main__.py", ["-m", "pkg"]), ("real.py", ["links/link.py"])],
    ids=["a package that is run", "a link to a script"],
)
def test_a_program_is_found_however_it_is_run(tmp_path: Path, python: Program, file: str, arguments: list[str]) -> None:
    for folder in ("pkg", "links"):
        (tmp_path / folder).mkdir()
    (tmp_path / "links/link.py").symlink_to(tmp_path / "real.py")
    (tmp_path / file).write_text(OWN)
    assert python(tmp_path, *arguments).communicate(timeout=30) == ("2\n0\n", "")


@pytest.mark.parametrize("file", ["noext", "my-own.v2.py", "folder/__main__.py"])
def test_a_program_that_no_process_can_import_is_told_so(tmp_path: Path, python: Program, file: str) -> None:
    """Before anything runs: by its file, for nobody has typed it."""
    (tmp_path / "folder").mkdir()
    (tmp_path / file).write_text(OWN)
    out, err = python(tmp_path, file.removesuffix("/__main__.py")).communicate(timeout=30)
    assert err == ""
    pushed, made = out.splitlines()
    assert f"stands in {tmp_path / file}, where no worker process can import it" in pushed
    assert f"stands in {tmp_path / file}, and has no name that a worker could find it by" in made


def test_a_class_typed_into_a_session_is_a_clear_error_at_push(tmp_path: Path, python: Program) -> None:
    code = (
        "from workflow import *\n"
        "class Typed(Model):\n    def runnable(self): return 1\n"
        "with MultiProcess(1) as mp:\n"
        "    try: mp.push(InfoTask('__main__.Typed', 1))\n"
        "    except ValueError as e: print(e)\n"
    )
    out, err = python(tmp_path, "-c", code).communicate(timeout=30)
    assert "typed into a session" in out
    assert "WorkflowExecutor" in out
    assert err == ""


PROGRAM = """
import os, sys, time
from workflow import MultiProcess, InfoTask
mp = MultiProcess(2)
mp.start()
{body}
"""


FORK = "if os.fork() == 0: sys.exit(0)\nos.wait()"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("hs = [mp.push(InfoTask('victims.Recorder', 20, {note!r}, str(n), 0.01)) for n in range(8)]", 0),
        ("for n in range(8): mp.push(InfoTask('victims.Recorder', 20, {note!r}, str(n), 0.01))\nraise ValueError", 1),
        ("for n in range(8): mp.push(InfoTask('victims.Recorder', 20, {note!r}, str(n), 0.01))\ndel mp", 0),
        ("for n in range(8): mp.push(InfoTask('victims.Recorder', 20, {note!r}, str(n), 0.01))\n" + FORK, 0),
    ],
    ids=["no stop", "raises", "collected", "forks"],
)
def test_a_program_that_ends_without_stop_completes_what_it_pushed(
    tmp_path: Path, python: Program, body: str, code: int
) -> None:
    note = tmp_path / "note"
    program = python(tmp_path, "-c", PROGRAM.format(body=body.format(note=str(note))))
    program.communicate(timeout=30)
    assert program.returncode == code
    lines = note.read_text().split("\n")
    assert len([line for line in lines if line.startswith("run")]) == 8
    assert len([line for line in lines if line.startswith("callback")]) == 8


def test_ctrl_c_in_stop_kills_what_runs(tmp_path: Path, python: Program, wait_until: Wait) -> None:
    import signal

    body = (
        # Whoever runs these tests in the background of a shell has SIGINT ignored, and so have all below.
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"mp.push(InfoTask('victims.Grandchildren', 60, {str(tmp_path / 'pids')!r}, kwargs={{'stay': True}}))\n"
        "mp.stop()"
    )
    program = python(tmp_path, "-c", PROGRAM.format(body=body))
    wait_until((tmp_path / "pids").exists)
    program.send_signal(signal.SIGINT)
    _, err = program.communicate(timeout=30)
    assert "KeyboardInterrupt" in err
    assert not any(processes.is_alive(int(pid)) for pid in (tmp_path / "pids").read_text().split())


def test_a_forked_child_may_not_use_its_parents_pool(pool: MultiProcess) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            pool.push(InfoTask("victims.Echo", 1))
        except RuntimeError:
            os._exit(7)
        os._exit(8)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert pool.push(InfoTask("victims.Echo", 10, 1)).result(20) == 1


def test_preloaded_modules_are_there_before_the_first_task(make_pool: Callable[..., MultiProcess]) -> None:
    mp = make_pool(2, preload=["victims", "decimal"])
    crashed = mp.push(InfoTask("victims.Crash", 10, "segv"))
    handles = [mp.push(InfoTask("victims.Echo", 10, number)) for number in range(20)]
    assert [handle.result(20) for handle in handles] == list(range(20))
    crashed.exception(20)
    assert crashed.outcome is Outcome.CRASHED


def test_a_preload_that_fails_ends_the_engine_with_the_reason(make_pool: Callable[..., MultiProcess]) -> None:
    mp = make_pool(1, preload=["no_such_module"])
    handle = mp.push(InfoTask("victims.Echo", 10))
    with pytest.raises(EngineError, match="no_such_module"):
        handle.result(20)
    assert handle.outcome is Outcome.CANCELLED
    assert mp.failure is not None
    with pytest.raises(EngineError):
        mp.push(InfoTask("victims.Echo", 10))


def test_the_pool_may_be_made_many_times(make_pool: Callable[..., MultiProcess]) -> None:
    """Descriptors, threads and processes stay flat; the fixture that watches every test checks the end."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        with MultiProcess(1) as mp:
            assert mp.push(InfoTask("victims.Echo", 10, 1)).result(20) == 1
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_cancel_all_ends_running_and_queued_and_later_ones(pool: MultiProcess) -> None:
    handles = [pool.push(InfoTask("victims.Sleep", 60, grace=0.1)) for _ in range(6)]
    pool.cancel_all("the run was stopped")
    later = pool.push(InfoTask("victims.Sleep", 60))
    for handle in (*handles, later):
        with pytest.raises(TaskCancelled, match="the run was stopped"):
            handle.result(20)
        assert handle.reason == "the run was stopped"


def test_stop_with_a_timeout_does_not_wait_for_a_callback_for_ever(make_pool: Callable[..., MultiProcess]) -> None:
    mp = make_pool(1)
    handle = mp.push(InfoTask("victims.Callback", 10, "hang", callback_timeout=None))
    assert handle.result(20) == "hang"
    mp.stop(0.1)
    assert handle.callback is not None
    assert handle.callback.outcome is Outcome.TIMED_OUT


def test_a_failed_engine_is_an_error_at_stop(make_pool: Callable[..., MultiProcess]) -> None:
    """A program that never looks at its handles must not take it for success."""
    with pytest.raises(EngineError, match="no_such_module"), MultiProcess(1, preload=["no_such_module"]) as mp:
        mp.push(InfoTask("victims.Echo", 10))


def test_a_done_callback_may_push_more(make_pool: Callable[..., MultiProcess]) -> None:
    """Also above max_pending, for only its own thread could make room; stopping is refused there."""
    mp = make_pool(1, max_pending=2)
    results: list[Any] = []
    over = threading.Event()

    def go_on(handle: Any) -> None:
        results.append(handle.result())
        if len(results) < 20:
            mp.push(InfoTask("victims.Echo", 10, len(results))).add_done_callback(go_on)
            return
        try:
            mp._client.wait_idle(None)
        except RuntimeError as error:
            results.append(str(error))
        over.set()

    mp.push(InfoTask("victims.Echo", 10, 0)).add_done_callback(go_on)
    assert over.wait(20)
    assert results[:20] == list(range(20))
    assert "done callback" in results[20]


def test_push_takes_a_task(pool: MultiProcess) -> None:
    with pytest.raises(TypeError, match="takes an InfoTask, not 'x'"):
        pool.push("x")  # type: ignore[arg-type]


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_a_program_may_be_started_with_closed_streams(tmp_path: Path, closed: str) -> None:
    """What its tasks print then goes nowhere, and least of all into the channels."""
    code = (
        "import sys\n"
        "from workflow import MultiProcess, InfoTask\n"
        "with MultiProcess(2) as mp:\n"
        "    hs = [mp.push(InfoTask('victims.Print', 10, how)) for how in ('python', 'stderr', 'c', 'child') * 5]\n"
        "sys.exit(sum(h.exception() is not None or h.callback.outcome != 'succeeded' for h in hs))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done


INHERITED = """
import signal, threading
from workflow import InfoTask, MultiProcess
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
pools = []
def begin():
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    mp = MultiProcess(2)
    mp.start()
    pools.append(mp)
thread = threading.Thread(target=begin)
thread.start()
thread.join()
mp = pools[0]
crashed = mp.push(InfoTask("workflow.tasks.Call", 10, "os:_exit", kwargs={"args": [7]}))
ended = mp.push(InfoTask("workflow.tasks.Shell", 10, "exit 3"))
asked = mp.push(InfoTask("workflow.tasks.Call", 0.2, "time:sleep", kwargs={"args": [1000]}, grace=20))
print(*(handle.outcome for handle in (crashed, ended, asked) if handle.exception(20)))
mp.stop()
"""


def test_blocked_and_ignored_signals_of_the_program_are_not_the_engines(tmp_path: Path, python: Program) -> None:
    """A death is heard of, a command has its exit code, and a task ends when it is asked to."""
    start = time.monotonic()
    out, err = python(tmp_path, "-c", INHERITED).communicate(timeout=50)
    assert (out, err) == ("crashed failed timed_out\n", "")
    assert time.monotonic() - start < 15, "the task that was asked to end sat its grace out"


def test_a_push_that_is_interrupted_in_the_middle_of_a_write_loses_nothing_and_doubles_nothing(
    make_pool: Callable[..., MultiProcess], capfd: pytest.CaptureFixture[str]
) -> None:
    """By Ctrl-C, say: nobody knows how much of it the dispatcher has, so another is told everything."""
    mp = make_pool(2)
    mp.push(InfoTask("victims.Echo", 20, 1)).result(20)
    out, real = mp._client._out, mp._client._out.channel

    class Interrupted:
        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def send(self, data: memoryview, flags: int) -> int:
            out.channel = real
            real.send(data[: len(data) // 2], flags)
            raise KeyboardInterrupt

    out.channel = Interrupted()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        mp.push(InfoTask("victims.Echo", 20, 2))
    handles = [mp.push(InfoTask("victims.Echo", 20, number)) for number in range(100)]
    assert [handle.result(20) for handle in handles] == [*range(100)]
    mp.stop()
    assert capfd.readouterr().err == ""


def test_a_push_that_is_interrupted_as_it_takes_the_right_to_write_does_not_keep_it(
    make_pool: Callable[..., MultiProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interruption comes when the lock has just been taken, and before anybody knows of it."""
    mp = make_pool(1)
    mp.push(InfoTask("victims.Echo", 20, 1)).result(20)
    out, real = mp._client._out, mp._client._out.writing

    class Interrupting:
        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def acquire(self, *, blocking: bool) -> bool:
            assert real.acquire(blocking=blocking)
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(out, "writing", Interrupting())
        with pytest.raises(KeyboardInterrupt):
            mp.push(InfoTask("victims.Echo", 20, 2))
    assert not out.is_writing()
    assert mp.push(InfoTask("victims.Echo", 20, 3)).result(20) == 3
    pushed: list[Handle] = []
    other = threading.Thread(target=lambda: pushed.append(mp.push(InfoTask("victims.Echo", 20, 4))))
    other.start()
    other.join(20)
    assert pushed[0].result(20) == 4


def test_who_rings_the_sender_may_be_interrupted() -> None:
    """An Event would stay locked: whoever rings next, and the one who waits, would hang."""
    from workflow.engine.outgoing import Bell

    bell = Bell()
    locks = [each for each in vars(bell).values() if hasattr(each, "acquire") or hasattr(each, "notify")]
    assert locks == []
    bell.set()
    bell.set()
    bell.wait()
    bell.clear()
    waits = threading.Thread(target=bell.wait)
    waits.start()
    bell.set()
    waits.join(10)
    assert not waits.is_alive()


REMOVED = """
import os, signal
from workflow import InfoTask, MultiProcess
def run(target, *args, **options):
    return mp.push(InfoTask("workflow.tasks.Call", 20, target, kwargs={"args": args}, **options))
mp = MultiProcess(1)
mp.start()
run("os:getpid").result(20)
os.rmdir(os.getcwd())
print(*(type(run("os:_exit", 3).exception(20)).__name__ for _ in range(2)))
print(run("os:getcwd", cwd="/").result(20), type(run("os:getcwd").exception(20)).__name__)
os.kill(mp._client.dispatcher_pid, signal.SIGKILL)
print(mp.push(InfoTask("workflow.tasks.Command", 20, ["true"])).result(20) == "")
mp.stop()
"""


def test_the_programs_folder_may_be_removed_while_the_pool_works(tmp_path: Path, python: Program) -> None:
    """Workers and dispatchers are replaced there all the same, and a task in another folder leaves nobody in that."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "script.py").write_text(REMOVED)
    out, err = python(folder, "../script.py").communicate(timeout=50)
    assert (out, err) == ("TaskCrashed TaskCrashed\n/ FileNotFoundError\nTrue\n", "")


def test_what_is_no_text_in_the_import_path_is_passed_over(
    make_pool: Callable[..., MultiProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Python itself does."""
    monkeypatch.setattr(sys, "path", [*sys.path, b"/bytes", None])
    assert make_pool(1).push(InfoTask("workflow.tasks.Call", 10, "os:getpid")).result(20)


def test_signals_that_a_preloaded_module_blocked_reach_the_tasks(
    make_pool: Callable[..., MultiProcess], tmp_path: Path
) -> None:
    """Which are asked to end by one."""
    (tmp_path / "blocks.py").write_text("import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})")
    mp = make_pool(1, preload=["blocks"], path=[str(tmp_path)])
    start = time.monotonic()
    handle = mp.push(InfoTask("workflow.tasks.Call", 0.2, "time:sleep", kwargs={"args": [1000]}, grace=20))
    handle.exception(30)
    assert handle.outcome is Outcome.TIMED_OUT
    assert time.monotonic() - start < 15


@pytest.mark.parametrize(("attribute", "value"), [("executable", ""), ("executable", None), ("frozen", True)])
def test_a_program_without_an_interpreter_to_start_is_told_so(
    monkeypatch: pytest.MonkeyPatch, attribute: str, value: object
) -> None:
    """A frozen one would start itself over and over."""
    monkeypatch.setattr(sys, attribute, value, raising=False)
    with pytest.raises(EngineError, match=r"further runs of the Python interpreter, and sys\.executable is"):
        MultiProcess(1).start()


SNIPPET = """
from workflow import MultiProcess, InfoTask, Model

class Demo(Model):
    def runnable(self, *args):
        if args[0]["test"] == 3: raise ValueError(args)
        return args
    def callback(self, result): print("result", result)
    def error_callback(self, error): print("error", error)

mp = MultiProcess(5)
mp.start()
for i in range(10):
    mp.push(InfoTask("example.Demo", 10, {"test": i}, {"error": i}))
mp.stop()
"""


@pytest.mark.parametrize("how", [["example.py"], ["-m", "example"], ["-c", "import example"]])
def test_a_program_that_is_nothing_but_class_pool_and_pushes_runs_and_ends(
    tmp_path: Path, python: Program, how: list[str]
) -> None:
    """Without a guard: as a script, as a module, and imported by a session; callbacks, too, find the class."""
    (tmp_path / "example.py").write_text(SNIPPET)
    said, complained = python(tmp_path, *how).communicate(timeout=30)
    pairs = [({"test": number}, {"error": number}) for number in range(10)]
    told = [f"{'error' if number == 3 else 'result'} {pair}" for number, pair in enumerate(pairs)]
    assert (sorted(said.splitlines()), complained) == (sorted(told), "")


UNGUARDED = """
import asyncio, os, pickle, sys, time
from workflow import InfoTask, Model, MultiProcess, WorkflowExecutor
class Point:
    def __init__(self, x): self.x = x
class Refused(Exception): pass
class Demo(Model):
    def runnable(self, point):
        if point.x < 0: raise Refused(point.x)
        return Point(point.x + 1)
def use(mp):
    with open("below", "a") as below: below.write("once")
    handles = [mp.push(InfoTask(name, 10, Point(x))) for name in ("demo.Demo", "__main__.Demo") for x in (-1, 1, 2)]
    print(*(type(h.exception()) is Refused if h.exception() else h.result().x + isinstance(h.result(), Point)
            for h in handles))
def main():
    with MultiProcess(2) as mp: use(mp)
async def amain():
    main()
"""
STARTS = {
    "start": "mp = MultiProcess(2)\nmp.start()\nuse(mp)\nmp.stop()",
    "with": "with MultiProcess(2) as mp: use(mp)",
    "function": "main()",
    "asyncio": "asyncio.run(amain())",
    "except Exception": "try: main()\nexcept Exception as error: print(error)",
    "except": "try: main()\nexcept:\n    print('stopped')\n    raise",
    "exit": "try: main()\nfinally: sys.exit()",
    "return": "def swallow():\n    try: main()\n    finally: return\nswallow()",
    "executor": "print(WorkflowExecutor(1).submit(abs, -1).result())\nmain()",
}


@pytest.mark.parametrize("start", STARTS)
def test_whatever_stands_below_the_start_of_a_pool_is_done_by_the_program_alone(
    tmp_path: Path, python: Program, start: str
) -> None:
    """However it starts it; and what comes back, of its own classes, is of these, for the program imports nothing."""
    (tmp_path / "demo.py").write_text(UNGUARDED + STARTS[start])
    program = python(tmp_path, "demo.py")
    said, complained = program.communicate(timeout=30)
    lines = [line for line in said.splitlines() if line != "stopped"]  # `except:` and `finally` are passed by each
    told = ["1"] * (start == "executor") + ["True 3 4 True 3 4"]
    assert (lines, complained, program.returncode) == (told, "", 0)
    assert (tmp_path / "below").read_text() == "once"


MORTAL = """
import os, queue, signal, sys
from workflow import InfoTask, Model, MultiProcess
print(*sys.argv, __name__, flush=True)
settled = queue.SimpleQueue()
class Demo(Model):
    def runnable(self, mark):
        if mark and not os.path.exists(mark):
            open(mark, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return os.getpid()
    def callback(self, pid): print("called", flush=True)
mp = MultiProcess(1, on_callback=settled.put{options})
mp.start()
def run(mark, **options):
    handle = mp.push(InfoTask("demo.Demo", 20, mark, **options))
    assert settled.get(timeout=20) is handle
    os.kill(mp._client.dispatcher_pid, signal.SIGKILL)
    return handle.result()
workers = {{run(""), run("mark", retries=1), run("", isolate=True)}}
mp.stop()
print(len(workers))
"""


@pytest.mark.parametrize("options", ["", ", preload=['demo']"], ids=["forks of nothing", "forks of a template"])
def test_a_process_that_takes_the_place_of_another_imports_such_a_program_again(
    tmp_path: Path, python: Program, options: str
) -> None:
    """A worker, a dispatcher; with what the program was called with.  Forks of one that has, do not."""
    (tmp_path / "demo.py").write_text(MORTAL.format(options=options))
    said, complained = python(tmp_path, "demo.py", "an", "argument").communicate(timeout=50)
    assert complained == ""
    first, *lines, workers = said.splitlines()
    assert first == "demo.py an argument __main__"
    assert int(workers) >= 2
    assert lines.count("called") == 3
    dispatchers, templates = 3, 1
    assert lines.count("demo.py an argument demo") == dispatchers + (templates if options else int(workers))


SPREAD = {
    "pkg/__init__.py": "",
    "pkg/lib.py": """
        from workflow import Model
        from pkg.prog import FACTOR
        import pkg.prog
        class Times(Model):
            def runnable(self, number): return number * FACTOR + pkg.prog.FACTOR
            def callback(self, result): print("called", flush=True)
    """,
    "pkg/prog.py": """
        from workflow import InfoTask, Model, MultiProcess, WorkflowExecutor
        FACTOR = 2
        def twice(number): return FACTOR * number
        class Nests(Model):
            def runnable(self, number):
                with WorkflowExecutor(1) as executor, MultiProcess(1) as mp:
                    found = mp.push(InfoTask("pkg.lib.Times", 10, number)).result()
                    return found + executor.submit(twice, number).result()
        with MultiProcess(2) as mp:
            names = "pkg.lib.Times", "__main__.Nests"
            print(*(mp.push(InfoTask(name, 20, 10)).result() for name in names), flush=True)
    """,
}


def test_such_a_program_is_imported_so_by_whoever_does(tmp_path: Path, python: Program) -> None:
    """By another module, and in pools that its tasks start."""
    for name, text in SPREAD.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(dedent(text))
    said, complained = python(tmp_path, "-m", "pkg.prog").communicate(timeout=50)
    assert (sorted(said.splitlines()), complained) == (["22 42", "called", "called"], "")


@pytest.mark.parametrize("place", ["above", "finally"])
def test_an_import_that_hangs_beside_the_start_of_the_pool_has_the_limit_of_its_task(
    tmp_path: Path, python: Program, place: str
) -> None:
    above, below = ("hang()", "pass") if place == "above" else ("pass", "hang()")
    (tmp_path / "demo.py").write_text(
        "import time\nfrom workflow import InfoTask, Model, MultiProcess\n"
        "class Demo(Model):\n    def runnable(self): open('ran', 'w').close()\n"
        "def hang():\n    if __name__ != '__main__': time.sleep(1000)\n"
        f"{above}\ntry:\n    with MultiProcess(1) as mp: handle = mp.push(InfoTask('demo.Demo', 0.3, grace=20))\n"
        f"finally: {below}\nprint(handle.outcome, handle.exception())\n"
    )
    said, complained = python(tmp_path, "demo.py").communicate(timeout=30)
    assert said == "timed_out task 1: killed at its limit of 0.3 s, while its module was imported\n"
    assert complained == ""
    assert not (tmp_path / "ran").exists()


BELOW = """
import pickle, sys
from workflow import InfoTask, Model, MultiProcess
class Above(Model):
    def runnable(self, what):
        if what == "name": return helper()
        if what == "attribute": return sys.modules["demo"].helper()
        if what == "import":
            from demo import helper as found
        return pickle.loads(b"cdemo\\nPoint\\n.")
    def error_callback(self, error): helper()
mp = MultiProcess(2)
mp.start()
def helper(): pass
class Point: pass
class Below(Model):
    def runnable(self): pass
tasks = [InfoTask("demo.Above", 10, what) for what in ("name", "attribute", "import", "pickle", Point())]
handles = [mp.push(task) for task in (*tasks, InfoTask("demo.Below", 10), InfoTask("demo.Bellow", 10))]
mp.stop()
for handle in handles: print(type(handle.exception()).__name__, handle.exception())
print(handles[0].callback.error.message)
"""


def test_what_a_task_needs_of_the_program_and_stands_below_the_start_of_the_pool_is_told_so(
    tmp_path: Path, python: Program
) -> None:
    """In the error, and once on stderr where no task of the class can run: the program may never look at a handle."""
    (tmp_path / "demo.py").write_text(BELOW)
    said, complained = python(tmp_path, "demo.py").communicate(timeout=30)
    lines = said.splitlines()
    hint = (
        " ('demo' was imported down to line 13, where it starts its pool; put what its tasks need above that, or what "
        'starts the pool under `if __name__ == "__main__":`)'
    )
    assert lines[0] == f"NameError name 'helper' is not defined{hint}"
    assert lines[1] == f"AttributeError module 'demo' has no attribute 'helper'{hint}"
    assert lines[2].startswith("ImportError cannot import name 'helper' from 'demo'")
    assert lines[3].startswith("AttributeError ")
    assert "Point" in lines[3]
    assert all(line.endswith(hint) for line in lines[2:4])
    refusal = (
        "a pool was started while 'demo' was imported for a task, which ends there, in line 13: 'NAME' does not stand "
        'above it; put it there, or what starts the pool under `if __name__ == "__main__":`'
    )
    assert lines[4] == f"RuntimeError {refusal.replace('NAME', 'Point')}"
    assert lines[5] == f"RuntimeError {refusal.replace('NAME', 'Below')}"
    assert lines[6].startswith("RuntimeError ")
    assert lines[7] == f"name 'helper' is not defined{hint}"
    (complaint,) = complained.splitlines()
    assert complaint.startswith("workflow: tasks fail: a pool was started while 'demo' was imported for a task, which")


STARTS_ONE = """
from workflow import InfoTask, Model, MultiProcess
class Demo(Model):
    def runnable(self): pass
with MultiProcess(1) as mp: print(type(mp.push(InfoTask("{name}.Demo", 10)).exception()).__name__, flush=True)
"""
REFUSAL = (
    "workflow: tasks fail: a pool was started while '{}' was imported for a task: the program starts itself over and "
    'over; put what starts it under `if __name__ == "__main__":`\n'
)


@pytest.mark.parametrize("by", ["a session", "a guarded program", "the program's own import"])
def test_another_module_that_starts_a_pool_when_it_is_imported_for_a_task_is_refused(
    tmp_path: Path, python: Program, by: str
) -> None:
    """It would be started over and over; only the module that started this pool is imported down to there."""
    (tmp_path / "other.py").write_text(STARTS_ONE.format(name="other"))
    program = STARTS_ONE.format(name="other").replace("class Demo", "class Mine")
    if by == "a guarded program":
        program = program.replace("with", "if __name__ == '__main__':\n  with")
    if by == "the program's own import":
        program = "import other" + STARTS_ONE.format(name="demo")
    (tmp_path / "demo.py").write_text(program)
    how = ["-c", program] if by == "a session" else ["demo.py"]
    said, complained = python(tmp_path, *how).communicate(timeout=30)
    name = "demo" if by == "the program's own import" else "other"
    assert said.splitlines()[-1] == "RuntimeError"
    assert complained == REFUSAL.format(name)


def test_a_task_that_fails_with_such_words_is_no_such_program(tmp_path: Path, python: Program) -> None:
    """Nothing is said; and where the program has no stderr, that is no error."""
    words = "raise ValueError('so it is said: a pool was started while asleep')"
    code = f"from workflow import Model\nclass Demo(Model):\n    def runnable(self): {words}\n"
    (tmp_path / "lib.py").write_text(code)
    push = "from workflow import *\nwith MultiProcess(1) as mp: mp.push(InfoTask('lib.Demo', 10))\n"
    assert python(tmp_path, "-c", push).communicate(timeout=30) == ("", "")
    (tmp_path / "demo.py").write_text(BELOW)
    closed = python(tmp_path, "demo.py", prefix=["sh", "-c", 'exec "$@" 2>&-', "sh"])
    said, complained = closed.communicate(timeout=30)
    assert (len(said.splitlines()), complained) == (8, "")
