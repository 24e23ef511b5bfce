"""What the tasks of these tests do: mostly things that a task should not do."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from pickle import PickleBuffer
from typing import Any

from workflow import Model


def twice(number: int) -> int:
    return 2 * number


class Echo(Model):
    """Returns what it is given."""

    def runnable(self, value: Any = None, **kwargs: Any) -> Any:
        return (value, kwargs) if kwargs else value


class Recorder(Model):
    """Writes a line for each thing that is called, each in one write."""

    def runnable(self, path: str, name: str, seconds: float = 0.0) -> str:
        note(path, f"run {name}")
        time.sleep(seconds)
        return f"{path}|{name}"

    def callback(self, result: str) -> None:
        path, name = result.split("|")
        note(path, f"callback {name}")


def note(path: str, line: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


class Sleep(Model):
    def runnable(self, seconds: float = 1000.0) -> float:
        time.sleep(seconds)
        return seconds


class SleepDeep(Model):
    """Hangs, and has much to say when it is ended."""

    def runnable(self) -> None:
        try:
            time.sleep(1000)
        finally:
            raise ValueError("x" * 70_000)


class HoldTheInterpreter(Model):
    """A C loop that never lets go of the GIL: no thread and no signal handler of Python runs."""

    def runnable(self) -> int:
        return sum(range(10**13))


class IgnoreSignals(Model):
    """Ignores and blocks what can be, and swallows what is raised."""

    def runnable(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
        while True:
            try:
                time.sleep(1000)
            except BaseException:  # noqa: BLE001
                continue


class Swallow(Model):
    def runnable(self) -> None:
        while True:
            try:
                time.sleep(1000)
            except BaseException:  # noqa: BLE001
                continue


class StopItself(Model):
    def runnable(self) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(1000)


class CleanUp(Model):
    """Takes its time at the end, within the grace."""

    def runnable(self, path: str) -> None:
        try:
            time.sleep(1000)
        finally:
            note(path, "cleaned up")


DAEMON = """
import os
os.setsid()
if os.fork():
    os._exit(0)
print(os.getpid(), flush=True)
os.execvp("sleep", ["sleep", "1000"])
"""


class Grandchildren(Model):
    """Starts a child, one in its own session, and a daemon; then hangs, or returns."""

    def runnable(self, path: str, *, stay: bool) -> str:
        children = [
            subprocess.Popen(["sleep", "1000"]),
            subprocess.Popen(["sleep", "1000"], start_new_session=True),
        ]
        with subprocess.Popen([sys.executable, "-c", DAEMON], stdout=subprocess.PIPE, text=True) as starter:
            assert starter.stdout is not None
            pid = starter.stdout.readline().strip()
        note(path, " ".join([*(str(child.pid) for child in children), pid]))
        if stay:
            time.sleep(1000)
        return pid


class Crash(Model):
    def runnable(self, how: str) -> None:
        if how == "segv":
            ctypes.string_at(0)
        elif how == "abort":
            os.abort()
        elif how == "exit":
            os._exit(0)
        elif how == "exit7":
            os._exit(7)
        elif how == "libc_exit":
            ctypes.CDLL(None).exit(0)
        elif how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif how == "thread":
            threading.Thread(target=ctypes.string_at, args=(0,)).start()
            time.sleep(1000)


class CrashOnce(Model):
    """Crashes in its first attempts, and counts them."""

    def runnable(self, path: str, times: int) -> int:
        note(path, "begun")
        begun = len(Path(path).read_text().splitlines())
        if begun <= times:
            os.kill(os.getpid(), signal.SIGSEGV)
        return begun


class Raise(Model):
    def runnable(self, kind: str) -> None:
        error: BaseException = ERRORS[kind]()
        raise error


class NeedsKeyword(Exception):
    """Its pickle does not come back: the class takes a keyword that the pickle does not give."""

    def __init__(self, *, code: int = 0) -> None:
        if not code:
            raise TypeError("code is required")
        super().__init__(f"code {code}")


class RaisingStr(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class RaisingReduce(Exception):
    def __reduce__(self) -> Any:
        raise RuntimeError("no pickle")


class Unpicklable(Exception):
    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.lock = threading.Lock()


def chained() -> Exception:
    outer = ValueError("outer")
    outer.__cause__ = KeyError("inner")
    return outer


ERRORS: dict[str, Any] = {
    "value": lambda: ValueError("a value"),
    "chained": chained,
    "keyword": lambda: NeedsKeyword(code=3),
    "str": RaisingStr,
    "reduce": RaisingReduce,
    "lock": Unpicklable,
    "sys_exit": lambda: SystemExit(3),
    "base": lambda: BaseException("bare"),
    "generator": GeneratorExit,
    "keyboard": KeyboardInterrupt,
    "recursion": lambda: RecursionError("deep"),
}


class Unsendable(Model):
    def runnable(self, kind: str) -> Any:
        return {"lambda": lambda: 0, "lock": threading.Lock(), "generator": (n for n in [1])}[kind]


class Bomb:
    """Does harm to whoever unpickles it."""

    def __init__(self, how: str) -> None:
        self.how = how

    def __reduce__(self) -> Any:
        return (explode, (self.how,))


def explode(how: str) -> None:
    if how == "raise":
        raise ValueError("boom")
    if how == "exit":
        sys.exit(5)
    if how == "hang":
        time.sleep(1000)
    ctypes.string_at(0)


class ReturnBomb(Model):
    def runnable(self, how: str) -> Bomb:
        return Bomb(how)


class ReturnBombCalled(ReturnBomb):
    def callback(self, result: object) -> None:
        raise AssertionError("its result cannot be made")


class DeadlyDestructor(Model):
    def runnable(self, value: object) -> str:
        return "sent"


class Deadly:
    def __del__(self) -> None:
        if os.environ.get("WORKFLOW_TASK_ID"):
            os.kill(os.getpid(), signal.SIGSEGV)


class Callback(Model):
    """Its callback does as it is told, by the result."""

    def runnable(self, how: str, *, fail: bool = False) -> str:
        if fail:
            raise ValueError(how)
        return how

    def callback(self, result: str) -> None:
        harm(result)

    def error_callback(self, error: BaseException) -> None:
        harm(str(error))


def harm_task(task: str) -> None:
    harm(task)


def harm(how: str) -> None:
    if how == "raise":
        raise ValueError("in the callback")
    if how == "sys_exit":
        sys.exit(3)
    if how == "keyboard":
        raise KeyboardInterrupt
    if how == "hang":
        time.sleep(1000)
    if how == "gil":
        sum(range(10**13))
    if how == "exit":
        os._exit(1)
    if how == "segv":
        ctypes.string_at(0)  # not a signal to itself: that would be delivered to another thread
    if how.startswith("note "):
        note(how[5:], "called")


class Change(Model):
    """Changes its environment and folder, and says what it found."""

    def runnable(self, folder: str) -> tuple[str | None, str]:
        found = os.environ.get("MARKED"), os.getcwd()
        os.environ["MARKED"] = "yes"
        os.environ.pop("HOME", None)
        os.chdir(folder)
        return found


class Environment(Model):
    def runnable(self, *names: str) -> list[str | None]:
        return [os.environ.get(name) for name in names]


class Print(Model):
    def runnable(self, how: str) -> None:
        if how == "python":
            print("from python")
        elif how == "unterminated":
            sys.stdout.write("no newline")
        elif how == "stderr":
            sys.stderr.write("to stderr\n")
        elif how == "c":
            ctypes.CDLL(None).printf(b"from C\n")
        elif how == "child":
            subprocess.run(["sh", "-c", "echo from a child; echo its stderr >&2"], check=True)
        elif how == "bytes":
            os.write(1, b"\xff\x00\x1b[31m\n")
        elif how == "crash":
            print("last words")
            os.kill(os.getpid(), signal.SIGKILL)
        elif how == "flood":
            for number in range(64):
                os.write(1, str(number % 10).encode() * (1 << 16))
                time.sleep(0.01)

    def callback(self, result: object) -> None:
        print("from the callback")


class Allocate(Model):
    def runnable(self, size: int) -> int:
        return len(bytes(bytearray(size)) * 1)


class Hoard(Model):
    """Takes memory in a child, and stays."""

    def runnable(self, size: int, *, child: bool) -> None:
        if child:
            code = f"import time; x = bytearray({size}); x[::4096] = b'1' * len(x[::4096]); time.sleep(1000)"
            subprocess.run([sys.executable, "-c", code], check=True)
        else:
            held = bytearray(size)
            held[::4096] = b"1" * len(held[::4096])
            time.sleep(1000)


class ForkAndReturn(Model):
    """Forks, and both come back from the task."""

    def runnable(self) -> str:
        if os.fork() == 0:
            return "child"
        os.wait()
        return "parent"


class UseMultiprocessing(Model):
    def runnable(self) -> list[int]:
        import multiprocessing

        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return pool.map(abs, [-1, -2])


class Async(Model):
    async def runnable(self) -> None:
        return None


class Pid(Model):
    def runnable(self) -> int:
        return os.getpid()


class NotAModel:
    def runnable(self) -> None: ...


class RaisingInit(Model):
    def __init__(self) -> None:
        raise ValueError("no instance")


class Stream:
    """Stands in the place of sys.stdout."""

    def __init__(self, how: str) -> None:
        self.how = how

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        if self.how == "hang":
            time.sleep(1000)
        elif self.how == "exit":
            sys.exit(3)
        else:
            raise ValueError("no flush")


class LeaveStream(Model):
    def runnable(self, how: str) -> None:
        sys.stdout = Stream(how)


class CallbackLeavesStream(Model):
    def runnable(self, how: str) -> str:
        return how

    def callback(self, result: str) -> None:
        sys.stdout = Stream(result)


class CallbackEmptiesModules(Model):
    def runnable(self) -> None: ...

    def callback(self, result: object) -> None:
        for name in list(sys.modules):
            del sys.modules[name]


class CallbackStops(Model):
    def runnable(self) -> None: ...

    def callback(self, result: object) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)


class Hanging:
    def __del__(self) -> None:
        time.sleep(1000)

    def __reduce__(self) -> Any:
        return (int, (5,))


class HangingDestructor(Model):
    def runnable(self) -> Hanging:
        return Hanging()


class Large(Model):
    def runnable(self, size: int) -> bytes:
        return b"x" * size


class Relay(Model):
    """Takes something large and returns as much; writes a line for each thing that is called."""

    def runnable(self, path: str, name: str, data: Any, act: str = "") -> tuple[str, str, bytearray]:
        note(path, f"run {name}")
        if act in Path(path).read_text().splitlines():
            act = ""  # it has done that
        mine = bytearray(data.memory) if isinstance(data, Memory) else bytearray(data)
        if isinstance(data, Memory):
            data.memory[:4] = b"mine"
        if act:
            note(path, act)
        if act.startswith("fail"):
            raise ValueError(act)
        if act.startswith("crash"):
            os.kill(os.getpid(), signal.SIGKILL)
        if act.startswith("sleep"):
            time.sleep(1000)
        return path, name, mine

    def callback(self, result: tuple[str, str, bytearray]) -> None:
        path, name, data = result
        note(path, f"callback {name} {len(data)}")


class Memory:
    """Hands its memory to pickle as a buffer, as arrays do."""

    def __init__(self, memory: Any) -> None:
        self.memory = memory

    def __reduce_ex__(self, _protocol: Any) -> Any:
        return Memory, (PickleBuffer(self.memory),)


class LargeCallback(Large):
    def callback(self, result: bytes) -> None:
        assert len(result) == 100_000


class SlowCallback(Model):
    def runnable(self, seconds: float) -> float:
        return seconds

    def callback(self, result: float) -> None:
        time.sleep(result)


class ForksAndTerminates(Model):
    """Ends each of many children in the moment in which it is made; how many of them did not die of it."""

    def runnable(self, count: int) -> int:
        survived = 0
        for _ in range(count):
            pid = os.fork()
            if pid == 0:
                time.sleep(1)
                os._exit(3)
            os.kill(pid, signal.SIGTERM)
            survived += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != -signal.SIGTERM
        return survived


class ForksWithItsOwnHandler(Model):
    """A child keeps the handler for SIGTERM that its task had installed, and the signals that were blocked."""

    def runnable(self) -> tuple[int, bool, bool]:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        pid = os.fork()
        if pid == 0:
            time.sleep(20)
            os._exit(3)
        os.kill(pid, signal.SIGTERM)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        return code, signal.SIGTERM in blocked, signal.SIGUSR1 in blocked


class Attempts(Model):
    """Does another thing in each attempt, the last of them in all later ones, and writes a line for each."""

    def runnable(self, path: str, *acts: str) -> int:
        note(path, "begun")
        begun = len(Path(path).read_text().splitlines())
        act = acts[min(begun, len(acts)) - 1]
        if act == "fail":
            raise ValueError(act)
        if act == "gil":
            sum(range(10**13))
        if act == "sleep":
            time.sleep(1000)
        return begun

    def error_callback(self, error: BaseException) -> None:
        if isinstance(error, ValueError):
            sys.exit("the error of the last attempt is not why the task ended")


class Draw(Model):
    """Draws random numbers, of generators that it imports itself."""

    def runnable(self, *names: str) -> list[object]:
        import importlib

        return [importlib.import_module(name).random() for name in names]


class Write(Model):
    """Writes the files that are named for its attempt, and fails in those before the last."""

    def runnable(self, log: str, *attempts: list[str]) -> None:
        note(log, "begun")
        begun = len(Path(log).read_text().splitlines())
        for path in attempts[begun - 1]:
            Path(path).parent.mkdir(exist_ok=True)
            Path(path).write_text(f"attempt {begun}")
        if begun < len(attempts):
            raise ValueError(begun)

    def callback(self, result: None) -> None: ...

    def error_callback(self, error: BaseException) -> None: ...


class TooMuch(Model):
    """Returns more than there is."""

    def runnable(self) -> TooMuch:
        return self

    def __reduce__(self) -> Any:
        return list, (), None, (bytes(2_000_000) for _ in range(10**6))


class Cramped(Model):
    """Returns what is larger than a file may be."""

    def runnable(self, size: int) -> bytes:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
        return bytes(size)


class Weigh(Model):
    """Takes something large, and returns little."""

    def runnable(self, data: bytes, seconds: float = 0.0) -> int:
        time.sleep(seconds)
        return len(data)

    def callback(self, result: int) -> None:
        assert result


class Noted(Model):
    """What a command is that takes no time: how it ended is noted, and nothing else was done."""

    def runnable(self, exit_code: int | None, signal: str | None) -> None:
        from workflow.engine.attempt_notes import notes

        notes.exit_code, notes.signal = exit_code, signal
        if exit_code or signal:
            raise ValueError("it did not succeed")
