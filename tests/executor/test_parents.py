"""Wherever a program runs that makes an executor: under any start method, in threads, in a session, in a task."""

from __future__ import annotations

import asyncio
import concurrent.futures
import multiprocessing
import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import called
import pytest

from workflow import WorkflowExecutor

Make = Callable[..., WorkflowExecutor]
Program = Callable[..., subprocess.CompletedProcess[str]]

METHODS = multiprocessing.get_all_start_methods()


# -- processes of multiprocessing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_child_of_multiprocessing_has_executors_of_its_own(program: Program, method: str) -> None:
    """With functions and classes of ``__main__``, which a spawned child calls ``__mp_main__``.

    It need not shut them down: what it submitted is completed when it ends.
    """
    done = program(f"""
        import multiprocessing, os, pathlib
        from workflow import WorkflowExecutor
        class Box:
            def __init__(self, value):
                self.value = value
        class Mine(Exception):
            pass
        def double(number):
            return Box(2 * number)
        def fail():
            raise Mine("so")
        def child(queue):
            executor = WorkflowExecutor(1)
            box = executor.submit(double, 21).result()
            error = executor.submit(fail).exception()
            queue.put((type(box) is Box, box.value, type(error) is Mine))
            executor.submit(pathlib.Path("late").write_text, "done")
        if __name__ == "__main__":
            context = multiprocessing.get_context({method!r})
            queue = context.SimpleQueue()
            process = context.Process(target=child, args=(queue,))
            process.start()
            print(queue.get())
            process.join()
            print(process.exitcode, pathlib.Path("late").read_text())
    """)
    assert done.stdout == "(True, 42, True)\n0 done\n", done.stderr


def test_proxies_of_a_manager_reach_it_from_a_call(program: Program) -> None:
    """A worker knows the program's key, whether the manager was there before the executor or not."""
    done = program("""
        import multiprocessing
        from workflow import WorkflowExecutor
        if __name__ == "__main__":
            with WorkflowExecutor(1) as executor:
                executor.submit(abs, 0).result()
                with multiprocessing.get_context("spawn").Manager() as manager:
                    queue = manager.Queue()
                    executor.submit(queue.put, "hello").result()
                    print(queue.get())
    """)
    assert done.stdout == "hello\n", done.stderr


# -- os.fork -----------------------------------------------------------------------------------------------------------


def test_a_fork_of_the_program_neither_has_the_pool_nor_harms_it(program: Program) -> None:
    """The child is told so, may cancel, shut down, forget and end as it likes, and may make another."""
    done = program("""
        import gc, os, sys, time, warnings
        from workflow import WorkflowExecutor
        warnings.simplefilter("ignore", DeprecationWarning)  # of each fork of a program with threads, from 3.12 on
        executor = WorkflowExecutor(1)
        untouched = WorkflowExecutor(1)
        executor.submit(abs, -1).result()
        pending = [executor.submit(time.sleep, 0.5), executor.submit(abs, -2)]
        pid = os.fork()
        if pid == 0:
            try:
                executor.submit(abs, -3)
            except RuntimeError as error:
                print(error, flush=True)
            for future in pending:
                future.cancel()
            executor.shutdown()
            del executor
            gc.collect()
            print(untouched.submit(abs, -4).result(), flush=True)
            print(WorkflowExecutor(1).submit(abs, -5).result(), flush=True)
            sys.exit(0)
        print("child", os.waitpid(pid, 0)[1])
        print([future.result() for future in pending], executor.submit(abs, -6).result())
    """)
    assert done.stdout.splitlines() == [
        "this executor belongs to the process that started it; a forked child needs one of its own",
        "4",
        "5",
        "child 0",
        "[None, 2] 6",
    ], done.stderr
    assert done.stderr == ""


def test_a_pool_that_a_forked_child_forgets_goes_on(program: Program) -> None:
    """The same for ``MultiProcess``: what is collected in a fork ends nothing."""
    done = program("""
        import gc, os, time
        from workflow import InfoTask, MultiProcess
        mp = MultiProcess(1)
        mp.start()
        first = mp.push(InfoTask("workflow.tasks.Call", 9, "builtins:abs", (-1,)))
        first.result()
        pid = os.fork()
        if pid == 0:
            del mp
            gc.collect()
            time.sleep(0.2)
            os._exit(0)
        os.waitpid(pid, 0)
        print(mp.push(InfoTask("workflow.tasks.Call", 9, "builtins:abs", (-2,))).result())
        mp.stop()
    """)
    assert done.stdout == "2\n", done.stderr


# -- threads and asyncio -----------------------------------------------------------------------------------------------


def test_many_threads_share_an_executor(executor: WorkflowExecutor) -> None:
    """Those that use it first start it once."""
    found: list[int] = []

    def use(number: int) -> None:
        found.append(sum(executor.map(called.identity, range(number))))

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [sum(range(number)) for number in range(8)]


def test_asyncio_awaits_calls(executor: WorkflowExecutor) -> None:
    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        calls = [loop.run_in_executor(executor, called.identity, number) for number in range(20)]
        results: list[Any] = await asyncio.gather(*calls)
        with pytest.raises(called.Refused):
            await loop.run_in_executor(executor, called.refuse, "no")
        return results

    assert asyncio.run(main()) == list(range(20))


def test_a_timeout_of_asyncio_ends_the_call(make_executor: Make, tmp_path: Path) -> None:
    """It is not only waited for no longer: its process is gone, and the worker's place is free."""
    executor = make_executor(1)
    path = tmp_path / "pid"

    async def main() -> None:
        loop = asyncio.get_running_loop()
        call = loop.run_in_executor(executor, called.mark_and_hang, str(path))
        while not path.exists() or not path.read_text():  # noqa: ASYNC110  # another process writes it
            await asyncio.sleep(0.002)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(call, 0.05)
        assert await loop.run_in_executor(executor, called.identity, 1) == 1

    asyncio.run(main())
    with pytest.raises(ProcessLookupError):
        os.kill(int(path.read_text()), 0)


# -- sessions and other programs without a script ----------------------------------------------------------------------

_OF_MAIN = """
from workflow import WorkflowExecutor
import dataclasses
factor = 2
def double(number): return number * factor

@dataclasses.dataclass
class Point:
    x: int

class Mine(Exception): pass

def move(point): return Point(point.x + factor)

def fail(): raise Mine("so")

executor = WorkflowExecutor(1)
print(executor.submit(double, 21).result(), list(executor.map(double, range(3), chunksize=2)))
print(executor.submit(move, Point(1)).result() == Point(3), type(executor.submit(fail).exception()) is Mine)
factor = 10
print(executor.submit(double, 1).result())
executor.shutdown()
"""


@pytest.mark.parametrize("way", ["script", "-c", "stdin", "session"])
def test_functions_and_classes_of_main_need_no_file(program: Program, way: str) -> None:
    """Neither in a session, where what was typed again is used at once, nor in a script without a guard."""
    done = program(_OF_MAIN, way=way)
    assert done.stdout.split("\n") == ["42 [0, 2, 4]", "True True", "10", ""], done.stderr


def test_a_notebooks_event_loop_may_run_around_it(executor: WorkflowExecutor) -> None:
    """Where a loop runs already, as in a notebook, waiting for a result blocks it and nothing else happens."""

    async def cell() -> object:
        return executor.submit(called.identity, 3).result()

    assert asyncio.run(cell()) == 3


# -- in a task ---------------------------------------------------------------------------------------------------------


def test_a_call_may_have_an_executor_of_its_own(executor: WorkflowExecutor) -> None:
    def outer(number: int) -> int:
        with WorkflowExecutor(2) as inner:
            return sum(inner.map(lambda value: value * number, range(4)))

    assert list(executor.map(outer, range(3))) == [0, 6, 12]


def test_a_call_that_is_ended_takes_its_own_executor_with_it(make_executor: Make, tmp_path: Path) -> None:
    """That nothing is left is looked at after every test."""
    executor = make_executor(1)

    def outer(path: str) -> None:
        WorkflowExecutor(1).submit(called.mark_and_hang, path).result()

    future = executor.submit(outer, str(tmp_path / "inner"))
    while not (tmp_path / "inner").exists():
        time.sleep(0.002)
    assert future.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result()


def test_a_module_that_uses_an_executor_while_a_worker_imports_it_is_refused(program: Program, tmp_path: Path) -> None:
    """Else each worker would start a pool, whose workers start a pool each."""
    (tmp_path / "endless.py").write_text(
        "import os\nfrom workflow import WorkflowExecutor\n"
        "def work(): return 1\n"
        "if os.environ.get('PROGRAM') != str(os.getpid()):\n"
        "    executor = WorkflowExecutor(1)\n    print(executor.submit(work).result())\n"
    )
    done = program(
        "import os\nos.environ['PROGRAM'] = str(os.getpid())\nimport endless\nfrom workflow import WorkflowExecutor\n"
        "print(WorkflowExecutor(1).submit(endless.work).result())",
        code=1,
        limit=20,
    )
    assert "RuntimeError: an executor was used while 'endless' was imported for a call" in done.stderr
    assert done.stdout == ""


def test_a_module_that_uses_an_executor_when_it_is_imported_is_imported_by_workers_down_to_there(
    program: Program, tmp_path: Path
) -> None:
    """When it is the one that started this pool: its functions stand above."""
    (tmp_path / "brief.py").write_text(
        "from workflow import WorkflowExecutor\ndef work(): return 1\n"
        "with WorkflowExecutor(1) as executor: print(executor.submit(work).result())\n"
    )
    done = program("import brief")
    assert (done.stdout, done.stderr) == ("1\n", "")
