"""The program of one trial: a pool, some tasks, a fault.  Run as ``python -m bench.promises.program POOL SCENARIO``.

What it gets is noted in the journal at once, for it may be killed at any moment.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.promises import tasks
from bench.promises.notes import FINISHED, OUTCOME, PUSHED, REFUSED, STARTED
from bench.promises.pools import POOLS, Pending, Pool, Task
from bench.promises.scenarios import LATE_LIMIT_S, LATE_NAMES, NEIGHBOUR_LIMIT_S, SCENARIOS, Ends, Scenario, number_of
from workflow.failpoints import FOLDER_VARIABLE
from workflow.harness import journal
from workflow.harness.faulty import Charge, Strike, digest_of

_LOOK_S = 0.005
_IDLE_S = 0.3
_kept: list[Pool] = []


def main() -> None:
    name, id_ = sys.argv[1:]
    scenario = SCENARIOS[id_]
    if scenario.stage == "callback":
        os.environ[tasks.CALLBACK_VARIABLE] = scenario.kind  # before the pool is there, so that all of it has it
    journal.note(STARTED, "", 0)
    pool = POOLS[name]()
    if scenario.ends is Ends.ABANDONED:
        _kept.append(pool)
        _push_first(pool, scenario)
        journal.note(FINISHED, "", 0)
        return
    with pool:
        _await_all(pool, _push_first(pool, scenario))
        if scenario.stage == "idle":
            _kill_an_idle_worker(scenario.kind)
        _await_all(pool, _push_all(pool, [_neighbour(scenario, name, 0.05, LATE_LIMIT_S) for name in LATE_NAMES]))
    journal.note(FINISHED, "", 0)


def _push_first(pool: Pool, scenario: Scenario) -> dict[str, Pending]:
    """A neighbour that is running when the first victim strikes, the victims, and neighbours behind them.

    Of a storm, every second task is a neighbour while there are some.
    """
    victims = [_victim(scenario, name) for name in scenario.victim_names]
    neighbours = [
        _neighbour(scenario, name, 0.05 if number else 0.3) for number, name in enumerate(scenario.neighbour_names)
    ]
    if scenario.blow is not None:  # the workers are to be busy with victims
        return _push_all(pool, victims + neighbours)
    mixed = []
    while victims or neighbours:
        mixed += neighbours[:1] + victims[:1]
        del neighbours[:1], victims[:1]
    return _push_all(pool, mixed)


def _neighbour(scenario: Scenario, name: str, seconds: float, limit_s: float = NEIGHBOUR_LIMIT_S) -> Task:
    return Task(name, limit_s, scenario.callback_limit_s, tasks.neighbour, (name, number_of(name), seconds))


def _victim(scenario: Scenario, name: str) -> Task:
    seconds = 0.1 if scenario.victims == 1 else 0.0
    kind = scenario.kind if scenario.stage == "run" else None
    charge = Charge(name, Strike(scenario.kind, None)) if scenario.stage == "arguments" else None
    return Task(name, scenario.limit_s, scenario.callback_limit_s, tasks.victim, (name, seconds, kind, charge))


def _push_all(pool: Pool, pushed: Sequence[Task]) -> dict[str, Pending]:
    pending = {}
    for task in pushed:
        journal.note(PUSHED, task.name, 0)
        try:
            pending[task.name] = pool.push(task)
        except Exception as error:  # noqa: BLE001  whatever it is, that is the answer
            journal.note(REFUSED, task.name, 0, f"{pool.word_for(error)} {_type_of(error)}")
    return pending


def _await_all(pool: Pool, pending: dict[str, Pending]) -> None:
    """Note each outcome when it is there.

    Looked for in the main thread: a thread for each task would be there when a pool forks a new worker.
    """
    while pending:
        for name in [name for name, each in pending.items() if each.ready()]:
            journal.note(OUTCOME, name, 0, _outcome(pool, pending.pop(name)))
        if pending:
            time.sleep(_LOOK_S)


def _outcome(pool: Pool, pending: Pending) -> str:
    try:
        value = pending.get()
    except BaseException as error:  # noqa: BLE001  tasks raise anything
        return f"{pool.word_for(error)} {_type_of(error)}"
    return f"succeeded {digest_of(value)}"


def _type_of(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:100]!r}"


def _kill_an_idle_worker(kind: str) -> None:
    """As the out-of-memory killer would; and some time after it, so that the pool may see it."""
    reader = journal.Reader(os.environ[FOLDER_VARIABLE])
    pid = next(entry.pid for entry in reversed(reader.news()) if entry.what == journal.BEGAN)
    time.sleep(_IDLE_S)
    os.kill(pid, signal.SIGKILL)
    journal.note(journal.FIRED, "", 0, kind)
    while _is_alive(pid):
        time.sleep(_LOOK_S)
    time.sleep(_IDLE_S)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


if __name__ == "__main__":
    main()
