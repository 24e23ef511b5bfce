"""The key of a task: everything that should make it run again when it changes.

What is in it: what runs, with its arguments as they are after interpolation; the environment and the folder the file
gives it; its seed; the content of its inputs; the keys of the tasks whose results it takes.  A secret is in it by a
digest.  Source code is not: who wants that lists the file in ``inputs``.  Nor is what only says *how* it runs, such
as timeouts, retries and tokens.

A value from another task counts twice: as the value that was put in, since a task that always runs may return
something else with the same key, and by the key of that task, since a result may be all that says where data lies.

A key is made of parts, each with a name and a digest of its own, so that a run can say which of them changed.
This room is pure: content and results come in as digests.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import pickle
from collections.abc import Mapping
from typing import NamedTuple

from workflow.plan.plan import PlannedTask

VERSION = 1
"""Of how a key is made.  With another, every key is another."""

Parts = dict[str, str]
"""Names of parts, such as ``args``, ``input data/a.csv`` and ``result of fetch``, and their digests."""


class Filled(NamedTuple):
    """What the file says of a task, with the results of others in place."""

    target: object
    args: object
    kwargs: object
    env: Mapping[str, object]
    cwd: str


def key_parts(
    task: PlannedTask,
    filled: Filled,
    inputs: Mapping[str, str],
    results: Mapping[str, str],
    run_seed: int | None,
) -> Parts:
    """The parts of a task's key.

    ``inputs`` are digests of content by path, ``results`` by name those of the keys of the tasks it takes results
    from.  ``run_seed`` is the one the file gives; one that each run draws would make each key another.
    """
    parts = {
        task.kind: digest(filled.target),
        "args": digest(filled.args),
        "kwargs": digest(filled.kwargs),
        "env": digest(filled.env),
        "cwd": digest(filled.cwd),
        "seed": digest(task.seed if task.seed is not None else [run_seed]),
    }
    parts.update((f"input {path}", content) for path, content in inputs.items())
    parts.update((f"result of {name}", key) for name, key in results.items())
    return parts


def key_of(parts: Mapping[str, str]) -> str:
    """The key itself."""
    return digest({"version": VERSION, "parts": dict(parts)})


def digest(value: object) -> str:
    """SHA-256 over a value as canonical JSON; what JSON has not is in it as the digest of its pickle."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=_pickled)
    return hashlib.sha256(text.encode()).hexdigest()


def secret_digest(value: str, salt: bytes) -> str:
    """What stands for a secret in a key: without the salt, nobody can try whether a guess is right."""
    return "secret:" + hmac.new(salt, value.encode(), hashlib.sha256).hexdigest()


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What makes one key another, in words."""
    said = []
    for part in dict.fromkeys((*now, *before)):
        if before.get(part) == now.get(part):
            continue
        kind, _, name = part.partition(" ")
        if kind == "input":
            word = "is new" if part not in before else "is no input any more" if part not in now else "changed"
            said.append(f"inputs: {name} {word}")
        elif kind == "result":
            said.append(f"{name.removeprefix('of ')} was made otherwise, and it takes its result")
        else:
            said.append(f"{part} changed")
    return said


def _pickled(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):  # whose order differs from process to process
        return {"set": sorted(digest(each) for each in value)}
    try:
        held = getattr(value, "pickled", None)  # of a result that is not read here
        data: bytes = held() if callable(held) else held or pickle.dumps(value, 4)
    except Exception as error:  # noqa: BLE001  whatever its class does when it is pickled
        raise TypeError(f"{type(value).__name__} has no key: {error}") from None
    return {"pickle": hashlib.sha256(data).hexdigest()}
