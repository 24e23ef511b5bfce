"""How long to pause: before the next attempt of a task, and before the next try to start a worker."""

from __future__ import annotations

from workflow.info_task import RetryPolicy
from workflow.restarts import IDLE_DEATHS_MAX, STARTS_MAX, Restarts

PAUSES_S = (0.0, 0.01, 0.05, 0.2)
"""Before a worker is replaced that did nothing: the longer, the more of them died shortly after one another."""
CALM_S = 1.0
"""So long after the last such death the next is the first again."""
WAIT_S_MAX = 10_000_000.0


def retry_delay_s(policy: RetryPolicy, number: int, attempt: int) -> float:
    """Seconds between the end of this attempt and the next one's place in the queue."""
    if policy.delay_s <= 0:
        return 0.0
    try:
        delay_s = policy.delay_s * policy.backoff ** (attempt - 1)
    except OverflowError:
        delay_s = WAIT_S_MAX
    delay_s = min(delay_s, policy.max_delay_s, WAIT_S_MAX)
    if policy.jitter:
        delay_s *= 0.5 + 0.5 * _spread(number if policy.seed is None else policy.seed, attempt)
    return delay_s


def _spread(number: int, attempt: int) -> float:
    """A number from 0 to 1 that looks drawn, and is the same in every process that asks."""
    mixed = (number << 16 | attempt) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
    mixed = (mixed ^ mixed >> 32) * 0xD6E8FEB86659FD93 & 0xFFFFFFFFFFFFFFFF
    return (mixed ^ mixed >> 32) / 0xFFFFFFFFFFFFFFFF


class Starts:
    """Whether workers can be started at all, and when the next may be tried.

    Three things are counted apart.  Failed starts in a row end the pool at ``STARTS_MAX``; any sign of life of any
    worker ends the row.  Deaths of workers that were ready and did nothing end it at ``IDLE_DEATHS_MAX``; only a task
    that was begun ends that row, for whoever dies of what it is sent was ready too.  Deaths close to one another make
    the pause longer; only time makes it shorter, because a pool of which half can live must not spin on the other
    half.  What fails within a pause was started before it and proves nothing new: it is not counted.
    """

    __slots__ = ("_died_at", "_idle", "_row", "_steps", "allowed_at")

    def __init__(self) -> None:
        self.allowed_at = float("-inf")
        """No worker is to be started before."""
        self._died_at = float("-inf")
        self._steps = 0
        self._row = 0
        self._idle = Restarts(IDLE_DEATHS_MAX)

    def alive(self) -> None:
        """A worker gave a sign of life."""
        self._row = 0

    def begun(self) -> None:
        """A worker began an attempt of a task: the pool works."""
        self._row = 0
        self._idle.achieved()

    def failed(self, now: float) -> bool:
        """A worker did not start, or died before it was ready.  True when the pool must give up."""
        if now >= self.allowed_at:
            self._row += 1
        self._pause(now)
        return self._row >= STARTS_MAX

    def died(self, now: float) -> bool:
        """A worker died that was ready and did nothing.  True when the pool must give up."""
        given_up = now >= self.allowed_at and self._idle.died(now)
        self._pause(now)
        return given_up

    def _pause(self, now: float) -> None:
        if now < self.allowed_at:
            return
        if now - self._died_at >= CALM_S:
            self._steps = 0
        self._died_at = now
        self.allowed_at = now + PAUSES_S[min(self._steps, len(PAUSES_S) - 1)]
        self._steps += 1
