"""Tasks that start processes and threads of their own, in every way the standard library has, and stay right."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import multiprocessing.process
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import forkserver

from workflow.harness.neighbours import Neighbour, value_of

_ANSWER = "import json, sys; n = int(sys.argv[1]); print(json.dumps([n, n * n, -n]))"


class Parent(Neighbour):
    """Has somebody else find out what a neighbour answers."""

    def runnable(self, number: int, how: str = "") -> list[int]:  # type: ignore[override]  # that many seconds here
        """Answer ``value_of(number)``, as one of WAYS finds it."""
        return WAYS[how](number)


def _by_pool(method: str, number: int) -> list[int]:
    with multiprocessing.get_context(method).Pool(2) as pool:
        return pool.map(value_of, [number, 1, 2])[0]


def _by_forkserver(number: int) -> list[int]:
    """A worker is killed, not left to exit, so what multiprocessing does at the exit of its process is done here."""
    try:
        return _by_pool("forkserver", number)
    finally:
        forkserver._forkserver._stop()  # type: ignore[attr-defined]  # noqa: SLF001  there is no public way
        shutil.rmtree(multiprocessing.process.current_process()._config.pop("tempdir"))  # type: ignore[attr-defined]  # noqa: SLF001


def _by_process(number: int) -> list[int]:
    queue: multiprocessing.SimpleQueue[list[int]] = multiprocessing.SimpleQueue()
    process = multiprocessing.Process(target=_put, args=(queue, number))
    process.start()
    value = queue.get()
    process.join()
    queue.close()
    return value


def _put(queue: multiprocessing.SimpleQueue[list[int]], number: int) -> None:
    queue.put(value_of(number))


def _by_executor(number: int) -> list[int]:
    with ProcessPoolExecutor(2) as executor:
        return executor.submit(value_of, number).result()


def _by_threads(number: int) -> list[int]:
    with ThreadPoolExecutor(4) as executor:
        return list(executor.map(value_of, [number] * 8))[-1]


def _by_daemon_thread(number: int) -> list[int]:
    """The thread is left behind, waiting."""
    found: list[list[int]] = []
    over = threading.Event()

    def work() -> None:
        found.append(value_of(number))
        over.set()
        threading.Event().wait()

    threading.Thread(target=work, daemon=True).start()
    over.wait()
    return found[0]


def _by_subprocess(number: int) -> list[int]:
    done = subprocess.run([sys.executable, "-c", _ANSWER, str(number)], check=True, capture_output=True)
    answer: list[int] = json.loads(done.stdout)
    return answer


def _by_asyncio(number: int) -> list[int]:
    async def one(number: int) -> list[int]:
        await asyncio.sleep(0.01)
        return value_of(number)

    async def all_of_them() -> list[list[int]]:
        return await asyncio.gather(*(one(number) for _ in range(10)))

    return asyncio.run(all_of_them())[-1]


def _by_asyncio_subprocess(number: int) -> list[int]:
    async def ask() -> bytes:
        command = (sys.executable, "-c", _ANSWER, str(number))
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        return (await process.communicate())[0]

    answer: list[int] = json.loads(asyncio.run(ask()))
    return answer


class _Rang(Exception):
    """The alarm went off."""


def _by_alarm(number: int) -> list[int]:
    def ring(_number: int, _frame: object) -> None:
        raise _Rang

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        time.sleep(60)
    except _Rang:
        return value_of(number)
    finally:
        signal.signal(signal.SIGALRM, before)
    return []


WAYS: dict[str, Callable[[int], list[int]]] = {
    "fork": partial(_by_pool, "fork"),
    "spawn": partial(_by_pool, "spawn"),
    "forkserver": _by_forkserver,
    "process": _by_process,
    "executor": _by_executor,
    "threads": _by_threads,
    "daemon_thread": _by_daemon_thread,
    "subprocess": _by_subprocess,
    "asyncio": _by_asyncio,
    "asyncio_subprocess": _by_asyncio_subprocess,
    "alarm": _by_alarm,
}
"""By name."""
