"""Ids of instances: ``name@a-b``, safe as file names, never the same for two different instances.

Values are text as it is, the rest as JSON; every character outside ``[A-Za-z0-9._=+]`` is percent-escaped, ``-``
included, so that the ``-`` between values cannot be one of them.  An id too long for a file system is cut and ends
in ``~`` and a digest of the whole; ``~`` occurs in no other id.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable

from workflow.spec.reference import as_text

LONGEST = 200
"""Characters; file systems take 255 bytes, and a log's name is a little longer than its id."""

_UNSAFE = re.compile(rb"[^A-Za-z0-9._=+]")


def instance_id(name: str, values: Iterable[object]) -> str:
    """The id of the instance of a task with these values, one for each axis."""
    return joined_id(name, "-".join([escaped(as_text(value)) for value in values]))


def joined_id(name: str, parts: str) -> str:
    """The same of values that are escaped and joined."""
    whole = f"{name}@{parts}"
    if len(whole) <= LONGEST:
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()[:20]
    return f"{whole[: LONGEST - 21]}~{digest}"


def meant(typed: str, known: Collection[str]) -> str | None:
    """The known id whose values are these as the file has them, or else the one nearest: ``did you mean 'a@%2F'?``."""
    from urllib.parse import unquote

    from workflow.diagnostics.suggest import did_you_mean

    id_ = next((each for each in known if "%" in each and unquote(each) == typed), None)
    return did_you_mean(typed, known) if id_ is None else f"did you mean {id_!r}?"


def escaped(text: str) -> str:
    """Text with everything escaped that an id may not hold."""
    if text.isascii() and text.isalnum():
        return text
    return _UNSAFE.sub(lambda match: b"%%%02X" % match.group()[0], text.encode()).decode("ascii")
