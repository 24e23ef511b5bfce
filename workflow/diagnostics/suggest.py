"""What somebody may have meant: the nearest known name, or names."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NEAR = 0.75


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A sentence end such as ``did you mean 'timeout'?``, or None when nothing known is near."""
    near = nearest(name, known)
    return None if near is None else f"did you mean {near!r}?"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like this one, or None."""
    from difflib import get_close_matches

    names = sorted(set(known))
    same = [each for each in names if each.casefold() == name.casefold()]
    close = (
        same
        or get_close_matches(name, names, 1)
        or get_close_matches(name.lower(), [n for n in names if n.islower()], 1)
    )
    return close[0] if close else None


def did_you_mean_some(glob: str, known: Iterable[str], most: int = 3) -> str | None:
    """The same for a glob over dotted names that matches none of them: a whole group, or the nearest few."""
    from difflib import get_close_matches

    names = sorted(set(known))
    bare = max(re.split(r"[][*?!]+", glob.lower()), key=len).strip(".")
    if bare and any(name.startswith(f"{bare}.") for name in names):
        return f"did you mean '{bare}.*'?"
    within = [name for name in names if bare and bare in name]
    near = list(dict.fromkeys([*get_close_matches(bare, names, most, _NEAR), *within]))[:most]
    if not near:
        return None
    *others, last = map(repr, near)
    return f"did you mean {', '.join(others)} or {last}?" if others else f"did you mean {last}?"
