"""Models for the scenarios that need something else than a victim and its neighbours: each acts a part."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Mapping

from workflow.harness.neighbours import Neighbour, value_of

_SPIN_S = 0.0005
_EARLIER_S = 0.0005
_AFTER_S = 0.005
_GOLDEN = 0.6180339887498949


class Racer(Neighbour):
    """Returns about when its time is up: those of even number.  The others, which come behind them, work a little."""

    def runnable(self, number: int, limit_s: float = 0.0, spread_s: float = 0.0) -> list[int]:
        """Answer ``value_of(number)``, up to ``spread_s`` before or after ``limit_s``."""
        begin = time.monotonic()
        if number % 2 == 0:
            # Spread evenly, whatever the number, and the same each time.  The engine's clock began a little earlier.
            end = begin + limit_s - _EARLIER_S + (2 * (number * _GOLDEN % 1) - 1) * spread_s
            time.sleep(max(0.0, end - time.monotonic() - _SPIN_S))
            while time.monotonic() < end:
                pass
        else:
            time.sleep(_AFTER_S)  # long enough for what was meant for the one before to arrive
        return value_of(number)


class OneOfACrowd(Neighbour):
    """Most are done at once; some take their time, with the GIL held or without, or crash after a while."""

    def runnable(  # type: ignore[override]
        self,
        number: int,
        sleeping: Mapping[str, float],
        holding: Mapping[str, float],
        crashing: Mapping[str, float] | None = None,
    ) -> list[int]:
        """Answer ``value_of(number)``; those named sleep, hold the GIL, or live, for so many seconds."""
        if crashing is not None and str(number) in crashing:
            time.sleep(crashing[str(number)])
            ctypes.string_at(0)
        if str(number) in sleeping:
            time.sleep(sleeping[str(number)])
        if str(number) in holding:
            # Called like a function of Python's own: nobody lets go of the GIL for it.
            ctypes.PyDLL(None).usleep(int(holding[str(number)] * 1e6))
        return value_of(number)


class Lingerer(Neighbour):
    """Its callback takes a while."""

    def callback(self, _result: object) -> None:
        """Take the result, slowly."""
        time.sleep(0.8)
