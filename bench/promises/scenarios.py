"""The faults, as data: those of the catalogue of ``workflow chaos`` that can be asked of any pool of functions.

Each is a batch of small tasks on a pool of two workers.  Victims do what the fault says (``workflow.harness.victims``,
the same for every pool); neighbours run beside them, wait behind them, and come after them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from workflow.harness import journal
from workflow.harness.blows import Blow, When

WORKERS = 2
LIMIT_S = 1.0
"""Of a victim that hangs, where the pool has a time limit; of a callback that hangs, where it has one for that."""
GRACE_S = 3.0
"""Between asking and killing, where it can be set; it is what pebble has built in, so no pool is asked for more."""
LATE_S = 0.5
NEIGHBOUR_LIMIT_S = 13.0
"""Of all other tasks and callbacks.  Some pools take ten seconds to see a worker's death, some see it by this alone."""
LATE_LIMIT_S = 3.0
"""Of the tasks that are pushed last, so that a pool that ends them only by their limit is in time too."""
BOUND_S = 20.0
"""Of a whole trial."""
GONE_S = 2.0
"""What is left after the end of the program has so long to go."""


class Promise(Enum):
    """What can be asked of any pool, by the letter that stands for it in the table."""

    OUTCOME = "O"
    RIGHT = "R"
    DEAD = "D"
    LEFT = "L"
    ENDS = "E"
    NEIGHBOURS = "N"


PROMISES: Mapping[Promise, str] = {
    Promise.OUTCOME: "every task gets one outcome, and one call of its callback",
    Promise.RIGHT: "the outcome is the right one: timed out, or failed in some way, or succeeded",
    Promise.DEAD: f"what is past its limit is dead, with all it started, within limit + {GRACE_S:g} s + {LATE_S:g} s",
    Promise.LEFT: f"{GONE_S:g} s after the program's end nothing is left: processes, shared memory, temporary files",
    Promise.ENDS: f"the program ends by itself, within {BOUND_S:g} s",
    Promise.NEIGHBOURS: "the other tasks, running, queued or pushed later, give their results as if nothing had been",
}


class Needs(Enum):
    """What a pool must have for a fault to be anything it promises about."""

    NOTHING = 0
    LIMIT = 1
    """A time limit for tasks.  Without it the scenario is not asked."""
    CALLBACK_LIMIT = 2
    """A time limit for callbacks.  Without it only the other tasks are asked about, whose callbacks return."""


class Ends(Enum):
    """How the program comes to its end."""

    CLOSED = 0
    """It waits for every outcome, pushes a few tasks more, and closes the pool as its documentation says."""
    ABANDONED = 1
    """It just ends, after the last push."""


_BATCH = frozenset({Promise.OUTCOME, Promise.RIGHT, Promise.LEFT, Promise.ENDS, Promise.NEIGHBOURS})
_OF_THE_OTHERS = frozenset({Promise.OUTCOME, Promise.NEIGHBOURS})
FAILED = frozenset({"failed", "crashed"})
"""Whether a pool tells a crash from an exception is not asked here: that it does not take it for something else is."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One fault."""

    id: str
    kind: str
    """Of ``victims.ACTS``."""
    stage: str = "run"
    """Where it strikes: ``run``, ``arguments`` (as they are unpickled in the worker), ``callback``, ``idle``."""
    right: frozenset[str] = FAILED
    """Outcomes of a victim that are right."""
    asks: frozenset[Promise] = _BATCH
    needs: Needs = Needs.NOTHING
    victims: int = 1
    limit_s: float | None = NEIGHBOUR_LIMIT_S
    """Of a victim."""
    neighbours: int = 6
    ends: Ends = Ends.CLOSED
    blow: Blow | None = None
    called_once: bool = True
    """Whether a victim's callback must have been called: not when there is nothing that it could be given."""

    def asked_of(self, *, limit: bool, callback_limit: bool) -> frozenset[Promise]:
        """What is asked of a pool with or without such limits; nothing at all for a dash in the table."""
        if self.needs is Needs.LIMIT and not limit:
            return frozenset()
        if self.needs is Needs.CALLBACK_LIMIT and not callback_limit:
            return self.asks & _OF_THE_OTHERS
        return self.asks

    @property
    def callback_limit_s(self) -> float:
        return LIMIT_S if self.needs is Needs.CALLBACK_LIMIT else NEIGHBOUR_LIMIT_S

    @property
    def victim_names(self) -> tuple[str, ...]:
        return tuple(f"victim-{number}" for number in range(self.victims))

    @property
    def neighbour_names(self) -> tuple[str, ...]:
        return tuple(f"neighbour-{number}" for number in range(self.neighbours))


LATE_NAMES = ("late-100", "late-101")
"""Pushed when the first have ended: is the pool still of use?"""


def number_of(name: str) -> int:
    """What a neighbour of that name is given."""
    return int(name.partition("-")[2])


def _hang(kind: str, *, stage: str = "run") -> Scenario:
    asks = _BATCH | {Promise.DEAD}
    timed_out = frozenset({"timed_out"})
    return Scenario(kind, kind, stage, timed_out, asks, Needs.LIMIT, limit_s=LIMIT_S)


def _crash(id_: str, kind: str | None = None, *, stage: str = "run", called_once: bool = True) -> Scenario:
    return Scenario(id_, kind or id_, stage, called_once=called_once)


def _callback(id_: str, needs: Needs = Needs.NOTHING) -> Scenario:
    return Scenario(id_, id_, "callback", frozenset({"succeeded"}), needs=needs)


def _killed(id_: str, kind: str) -> Scenario:
    busy = When(journal.FIRED, "victim*", WORKERS, 0.2)
    blow = Blow("SIGKILL", "parent", busy)
    asks = frozenset({Promise.LEFT})
    return Scenario(id_, kind, asks=asks, victims=WORKERS, limit_s=None, neighbours=2, blow=blow)


_LIVE_ON = frozenset({Promise.LEFT, Promise.ENDS})
_ALL: tuple[Scenario, ...] = (
    _hang("hang.sleep"),
    _hang("hang.gil"),
    _hang("hang.ignore_term"),
    _hang("hang.setsid"),
    _hang("hang.unpickle", stage="arguments"),
    _crash("crash.segv"),
    _crash("crash.sigkill"),
    _crash("crash.exit"),
    _crash("crash.sys_exit"),
    _crash("crash.bad_exception"),
    _crash("crash.unpickle_args", "crash.unpickle_args.raise", stage="arguments"),
    _crash("crash.pickle_result", "crash.pickle_result.raise"),
    _crash("crash.unpickle_result", "crash.unpickle_result.raise", called_once=False),
    Scenario("crash.idle", "crash.idle", "idle", asks=_BATCH - {Promise.RIGHT}, victims=0),
    Scenario("crash.storm", "crash.sigkill", victims=20, neighbours=10),
    _crash("payload.unpicklable", "payload.unpicklable.lock"),
    Scenario("payload.huge", "payload.huge", right=frozenset({"succeeded"})),
    _callback("callback.raise"),
    _callback("callback.hang", Needs.CALLBACK_LIMIT),
    _callback("callback.gil", Needs.CALLBACK_LIMIT),
    _callback("callback.exit"),
    _killed("death.parent.sleep", "hang.sleep"),
    _killed("death.parent.gil", "hang.gil"),
    Scenario("stop.int", "hang.sleep", asks=_LIVE_ON, victims=WORKERS, limit_s=None, neighbours=2,
             blow=Blow("SIGINT", "group", When(journal.FIRED, "victim*", WORKERS, 0.2))),
    Scenario("stop.exit", "", "idle", asks=_LIVE_ON, victims=0, ends=Ends.ABANDONED),
)  # fmt: skip

SCENARIOS: Mapping[str, Scenario] = {scenario.id: scenario for scenario in _ALL}
"""By id, in the order of the table."""
