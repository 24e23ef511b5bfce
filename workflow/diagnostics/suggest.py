"""What somebody may have meant: the nearest known name."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A sentence end such as ``did you mean 'timeout'?``, or None when nothing known is near."""
    from difflib import get_close_matches

    names = sorted(set(known))
    close = get_close_matches(name, names, 1) or get_close_matches(name.lower(), [n for n in names if n.islower()], 1)
    return f"did you mean {close[0]!r}?" if close else None
