"""What somebody may have meant: the nearest known name."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A sentence end such as ``did you mean 'timeout'?``, or None when nothing known is near."""
    near = nearest(name, known)
    return None if near is None else f"did you mean {near!r}?"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like this one, or None."""
    from difflib import get_close_matches

    names = sorted(set(known))
    close = get_close_matches(name, names, 1) or get_close_matches(name.lower(), [n for n in names if n.islower()], 1)
    return close[0] if close else None
