"""Text in which the number of the attempt stands: known in the worker, anew for each attempt.

The number comes with ``WORKFLOW_ATTEMPT``, which the worker sets before it unpickles anything.  The alternative was to
have the parent pickle the arguments again for each attempt: it would have to hear of every attempt before the next,
and a new dispatcher could not go on by itself.  Price: such a task needs an ``id``, for only then it is told its
number.
"""

from __future__ import annotations

import os


class AttemptText:
    """A text, or only the number: ``parts`` are texts, and None where the number goes.

    It may stand anywhere in the arguments of a task that has an ``id``, where unpickling makes it a text (the number
    alone: an int), and as a value of its ``env``.
    """

    __slots__ = ("parts",)

    def __init__(self, parts: tuple[str | None, ...]) -> None:
        self.parts = parts

    def example(self) -> str:
        """The text of an attempt."""
        return join_attempt(self.parts, 1)

    def __repr__(self) -> str:
        return f"AttemptText({self.parts!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AttemptText) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)

    def __reduce__(self) -> tuple[object, ...]:
        return (of_attempt, (self.parts,))


def of_attempt(parts: tuple[str | None, ...]) -> str | int | AttemptText:
    """What ``AttemptText`` becomes in the attempt; where there is none, it stays what it is."""
    told = os.environ.get("WORKFLOW_ATTEMPT")
    if told is None:
        return AttemptText(parts)
    number = int(told)
    return number if parts == (None,) else join_attempt(parts, number)


def join_attempt(parts: tuple[str | None, ...], number: int) -> str:
    """The text of this attempt."""
    return "".join([str(number) if part is None else part for part in parts])
