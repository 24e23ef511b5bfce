"""The key of a task: everything that should make it run again when it changes.

What is in it: what runs, with its arguments as they are after interpolation; the environment and the folder the file
gives it; its seed; the content of its inputs; the keys of the tasks whose results it takes.  A secret is in it by a
digest.  Source code is not: who wants that lists the file in ``inputs``.  Nor is what only says *how* it runs, such
as timeouts, retries and tokens.

A value from another task counts twice: as the value that was put in, since a task that always runs may return
something else with the same key, and by the key of that task, since a result may be all that says where data lies.

A key is made of parts, each with a name and a digest of its own, so that a run can say which of them changed.  A part
that says nothing (no arguments, a seed that is drawn) is left out: every task of every run has a key, and most of what
there is to say of a task is nothing.  Digests have 128 bits: enough that no two are the same by chance, and nobody
gains anything from making two so.
This room is pure: content and results come in as digests.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import pickle
from collections.abc import Callable, Mapping
from hashlib import blake2b
from json.encoder import encode_basestring_ascii
from os.path import normpath
from typing import NamedTuple

from workflow.plan.plan import PlannedTask
from workflow.spec.reference import Template

VERSION = 2
"""Of how a key is made.  With another, every key is another."""
_SIZE = 16

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
    parts: Parts = {task.kind: digest(filled.target)}
    if filled.args:
        parts["args"] = digest(filled.args)
    if filled.kwargs:
        parts["kwargs"] = digest(filled.kwargs)
    if filled.env:
        parts["env"] = digest(filled.env)
    parts["cwd"] = digest(filled.cwd)
    if task.seed is not None or run_seed is not None:
        parts["seed"] = digest(task.seed if task.seed is not None else [run_seed])
    parts.update((f"input {path}", content) for path, content in inputs.items())
    parts.update((f"result of {name}", key) for name, key in results.items())
    return parts


class Whole:
    """The parts of keys of tasks that are whole as the file has them, without what many of them share made again."""

    def __init__(self, run_seed: int | None) -> None:
        """``run_seed`` as for ``key_parts``."""
        self._seed = {} if run_seed is None else {"seed": digest([run_seed])}
        self._shared: dict[int, tuple[object, str]] = {}  # by the identity of what is kept beside

    def parts(self, task: PlannedTask) -> Parts | None:
        """What ``key_parts`` answers; None where something is still to be put into the task, or is to be read."""
        if task.inputs or task.uses_results or not isinstance(task.cwd, str):
            return None
        try:
            parts: Parts = {task.kind: self._once(task.target)}
            if task.args:
                parts["args"] = _whole_digest(task.args)
            if task.kwargs:
                parts["kwargs"] = _whole_digest(task.kwargs)
            if task.env:
                parts["env"] = self._once(task.env)
            parts["cwd"] = self._once(task.cwd, normpath)
            if task.seed is not None:
                parts["seed"] = digest(task.seed)
            else:
                parts.update(self._seed)
        except (_Unfilled, TypeError, ValueError, RecursionError):
            return None
        return parts

    def _once(self, value: object, made: Callable[[str], str] | None = None) -> str:
        known = self._shared.get(id(value))
        if known is None:
            if len(self._shared) >= _SHARED_MAX:
                self._shared.clear()
            told = _whole_digest(made(value) if made is not None and isinstance(value, str) else value)
            known = self._shared[id(value)] = (value, told)
        return known[1]


class _Unfilled(Exception):
    """A template is in it."""


def _whole(value: object) -> object:
    if isinstance(value, Template):
        raise _Unfilled
    return _pickled(value)


_SHARED_MAX = 1000
"""Values whose digests are remembered: a plan has few targets and environments, and may have a million of another."""


def key_of(parts: Mapping[str, str]) -> str:
    """The key itself."""
    _, order, whole, _ = _form(parts)
    told = whole % tuple([parts[part] for part in order])
    return blake2b(told.encode("utf-8", "backslashreplace"), digest_size=_SIZE).hexdigest()


def parts_text(parts: Mapping[str, str]) -> str:
    """The parts as JSON."""
    return _form(parts)[3] % tuple(map(encode_basestring_ascii, parts.values()))


class _Form(NamedTuple):
    """What is written of all keys that have the same parts."""

    names: tuple[str, ...]
    order: tuple[str, ...]
    """In which they are in a key."""
    whole: str
    """Of which a key is made, with a place for the digest of each."""
    text: str
    """As JSON, with places in the order of the names."""


_form_before = _Form((), (), f"key {VERSION}", "{}")
"""A memo: mostly it is the key of another instance of the same task that is wanted next."""


def _form(parts: Mapping[str, str]) -> _Form:
    global _form_before  # noqa: PLW0603  replaced as a whole
    names = tuple(parts)
    form = _form_before
    if form.names != names:
        order = tuple(sorted(names))
        lines = [f"key {VERSION}", *(_literal(repr(part)) + " %s" for part in order)]
        text = ", ".join([_literal(encode_basestring_ascii(part)) + ": %s" for part in names])
        form = _form_before = _Form(names, order, "\n".join(lines), f"{{{text}}}")
    return form


def _literal(text: str) -> str:
    return text.replace("%", "%%")


def digest(value: object) -> str:
    """A digest of a value as canonical JSON; what JSON has not is in it as the digest of its pickle."""
    return blake2b(_ENCODE(value).encode(), digest_size=_SIZE).hexdigest()


def _whole_digest(value: object) -> str:
    return blake2b((_flat(value) or _ENCODE_WHOLE(value)).encode(), digest_size=_SIZE).hexdigest()


def _flat(value: object) -> str | None:
    """The same JSON where it is a text, or a list of texts and whole numbers: the encoder is slow to begin."""
    if type(value) is str:
        return encode_basestring_ascii(value)
    if type(value) is not tuple:
        return None
    told = []
    for each in value:
        if type(each) is str:
            told.append(encode_basestring_ascii(each))
        elif type(each) is int:
            told.append(int.__repr__(each))
        else:
            return None
    return f"[{','.join(told)}]"


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


def _encoder(other: Callable[[object], object]) -> Callable[[object], str]:
    return json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=other).encode


_ENCODE = _encoder(_pickled)
_ENCODE_WHOLE = _encoder(_whole)
