"""Which faults strike which tasks of a run, and the engine that puts them there.

The run is the user's own ``workflow run``, with this engine in the place of its own: tasks are replaced as they are
pushed, so the file, its plan and everything that decides about the run stay what they are.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from workflow import Handle, InfoTask, MultiProcess, RetryPolicy
from workflow.harness.faulty import Charge, Disguise, Strike, hook_of, missing_path_of, path_of
from workflow.harness.kinds import KINDS

_FILE = "injection.json"


class Injected(NamedTuple):
    """What is done to one task."""

    strikes: tuple[Strike, ...] = ()
    timeout_s: float | None = None
    """The longest it may be given, so that a hang does not take the hour that its file allows."""
    callback_timeout_s: float | None = None
    grace_s: float | None = None
    bare: bool = False
    """Whether it is run as it is, without disguise: for a task that is itself the fault."""
    retries: int = 0
    """How often it is tried again, whatever its file says."""
    delay_s: float = 0.0
    """What lies between two tries."""
    unpicklable: bool = False
    """Whether it is given one argument more, which cannot be pickled."""


NOTHING = Injected()


def write_injection(folder: Path, injected: Mapping[str, Injected]) -> None:
    """Put down what is to be injected, by task id, where the run under faults finds it."""
    (folder / _FILE).write_text(json.dumps(injected), encoding="utf-8")


def read_injection(folder: Path) -> dict[str, Injected]:
    """Read it."""
    written = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    return {
        task: Injected(tuple(Strike(*strike) for strike in strikes), *limits)
        for task, (strikes, *limits) in written.items()
    }


class FaultyEngine(MultiProcess):
    """The engine, with every task in disguise."""

    def __init__(self, injected: Mapping[str, Injected], pool: int | None = None, **options: Any) -> None:
        super().__init__(pool, **options)
        self._injected = injected

    def push(self, task: InfoTask) -> Handle:
        """Push it, to do the same, to note it, and to be struck by what is meant for it."""
        injected = self._injected.get(task.id or "", NOTHING)
        return super().push(task if injected.bare else disguised(task, injected))


def disguised(task: InfoTask, injected: Injected) -> InfoTask:
    """The task that stands in for another."""
    assert task.id is not None
    module, timeout, options = task.module, task.timeout, task.options()
    strikes = injected.strikes
    stages = {KINDS[strike.kind].stage for strike in strikes}
    hooked = not module.startswith("workflow.tasks.")
    disguise = Disguise(module, task.id, strikes)
    charges = [Charge(task.id, strike) for strike in strikes if KINDS[strike.kind].stage == "arguments"]
    new = dict(options)
    if not hooked:  # its callbacks are functions of their own
        # Strikes at a callback belong to the hooks then; they are not struck a second time as a Model's.
        disguise = disguise._replace(
            strikes=tuple(strike for strike in strikes if KINDS[strike.kind].stage != "callback")
        )
        for name, error in (("on_success", False), ("on_failure", True)):
            stage = "error_callback" if error else "callback"
            target: str | None = getattr(task, name)
            if target is not None or stage in stages:
                new[name] = hook_of(Disguise(target, task.id, strikes, error))
    memory = [kind.memory for strike in strikes if (kind := KINDS[strike.kind]).memory is not None]
    if memory:
        new["memory"] = min([*memory, *([task.memory] if task.memory else [])])
    if injected.callback_timeout_s is not None:
        own = task.callback_timeout
        new["callback_timeout"] = min(injected.callback_timeout_s, own if own is not None else float("inf"))
    if injected.retries:
        new["retries"] = RetryPolicy(injected.retries, delay_s=injected.delay_s, jitter=False, held=task.retries.held)
    if injected.grace_s is not None:
        new["grace"] = min(injected.grace_s, task.grace)
    if injected.timeout_s is not None:
        timeout = injected.timeout_s if timeout is None else min(timeout, injected.timeout_s)
    path = missing_path_of(disguise) if "path" in stages else path_of(disguise)
    spoilt = (threading.Lock(),) if injected.unpicklable else ()
    return InfoTask(path, timeout, *charges, *task.args, *spoilt, **new)
