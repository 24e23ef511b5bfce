"""Whether a process that guards others still moves, judged by somebody who may himself be stopped at any moment.

A guard that was stopped is not dead, so nobody is told; it must be looked at.  Time alone is no judge: a laptop sleeps,
a user presses Ctrl-Z, a whole group is stopped and continued, and whoever then compares two times finds everybody
late.  So looks are counted, each a second after the one before.  Who is stopped himself does not look; when he goes on
and finds that more than that has passed, he begins to count anew, and the others go on at the same moment as he.

A guard found stopped again and again is first told to go on, which loses nothing; only who does not even then is given
up.  One that is not stopped and does not move either gets longer: the machine may be out of memory, or a disk slow.
"""

from __future__ import annotations

LOOK_S = 1.0
"""From one look to the next."""
PAUSED_S = 3.0
"""A look later than this after the one before proves nothing: we were stopped ourselves."""
WAKE_LOOKS = 4
"""In a row at which it was found stopped, before it is told to go on; and again after as many more."""
STOPPED_LOOKS = 12
"""In a row at which it was found stopped, before it is given up."""
STILL_LOOKS = 60
"""In a row at which it had not moved, before it is given up."""

FINE, WAKE, GIVE_UP = "fine", "wake", "give up"


class Vigil:
    """The looks at one guard.  Pure: who looks says what he saw, and when."""

    __slots__ = ("_beat", "_looked_at", "_still", "_stopped")

    def __init__(self) -> None:
        self._looked_at = float("-inf")
        self._beat: int | None = None
        self._still = 0
        self._stopped = 0

    def due(self, now: float) -> bool:
        """Whether it is time for a look."""
        return now >= self._looked_at + LOOK_S

    def look(self, now: float, *, stopped: bool, beat: int | None = None) -> str:
        """Judge by one more look: FINE, WAKE or GIVE_UP.  ``beat`` is a number it changes as long as it moves."""
        if now - self._looked_at > PAUSED_S:
            self._still = self._stopped = 0
        self._looked_at = now
        moved = beat is not None and beat != self._beat
        self._beat = beat
        self._stopped = self._stopped + 1 if stopped and not moved else 0
        self._still = self._still + 1 if beat is not None and not moved else 0
        if self._stopped >= STOPPED_LOOKS or self._still >= STILL_LOOKS:
            return GIVE_UP
        return WAKE if self._stopped and self._stopped % WAKE_LOOKS == 0 else FINE
