"""A plan for people and for machines.

``plan_json`` is byte-identical on every machine and Python for the same file and the same files matched by its globs:
it holds what the file says (``"cpus"``, folders as they are written) and nothing a machine adds.  One task a line,
so that two plans can be compared with ``diff`` and a million tasks can be written quickly.  Strings that may hold
references are written as the file would write them: ``$${`` is a literal ``${``.  What a task needs is written by
name, and means every task of the plan with that name: ten thousand instances that need ten thousand stay short.

``FORMAT`` is the number of this format.  ``saved`` reads it back to the same ``Plan``: whoever adds a field adds it
there too, and a plan that an older version cannot run as it is meant gets the next number.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import compress, islice
from math import inf
from operator import attrgetter, is_not
from typing import Any, cast

from workflow.info_task import RetryPolicy
from workflow.plan.plan import Need, Plan, PlannedTask, SecretSource, Settings
from workflow.spec.reference import Template, escape

FORMAT = 1

_LINES_AT_ONCE = 1000
_NO_RETRIES = RetryPolicy()
_CELL = 60
"""Characters of a column of the listing."""
_PAIRED_SHOWN = 3
MODELS = {"call": "workflow.tasks.Call", "cmd": "workflow.tasks.Command", "shell": "workflow.tasks.Shell"}


def plan_document(plan: Plan) -> dict[str, object]:
    """What ``plan --json`` prints, as data."""
    return {**_head(plan), "tasks": [_task(task) for task in plan.tasks], "plan_hash": plan.hash}


def plan_json(plan: Plan) -> str:
    """The plan as JSON, ending in a newline."""
    return "".join(plan_json_pieces(plan))


def plan_json_pieces(plan: Plan) -> Iterator[str]:
    """The same bit by bit: of a million tasks it is half a gigabyte.

    A plan that has no hash gets it on the way, which is half the time of writing it and hashing it before.
    """
    digest = hashlib.sha256(_line(_head(plan)).encode())
    yield "{\n" + "".join(f"  {json.dumps(key)}: {_line(value)},\n" for key, value in _head(plan).items())
    yield '  "tasks": ['
    lines = _task_lines(plan)
    between = "\n    "
    while piece := list(islice(lines, _LINES_AT_ONCE)):
        if not plan.hash:
            digest.update(("\n" + "\n".join(piece)).encode())
        yield between + ",\n    ".join(piece)
        between = ",\n    "
    found = plan.hash or f"sha256:{digest.hexdigest()}"
    yield ("\n  ],\n" if plan.tasks else "],\n") + f'  "plan_hash": {json.dumps(found)}\n}}\n'


def plan_hash(plan: Plan) -> str:
    """Over everything that ``plan_json`` prints but the hash itself."""
    digest = hashlib.sha256(_line(_head(plan)).encode())
    lines = _task_lines(plan)
    while piece := list(islice(lines, _LINES_AT_ONCE)):
        digest.update(("\n" + "\n".join(piece)).encode())
    return f"sha256:{digest.hexdigest()}"


_LISTED_MAX = 1000
"""Instances of one task that are all listed."""
_LISTED = 10
"""Of more than that, so many, and the last."""


def plan_text(plan: Plan) -> str:
    """A short listing for a terminal, in the order of the plan, ending in a newline.

    What a task needs is shown by name, as the file has it; where ``match`` or files pair instances, by instance.  Of a
    task with more than a thousand instances, the first and the last are shown.
    """
    rows = [("id", "runs", "timeout", "needs")]
    first = 0
    for group in plan.tasks.groups:
        count = len(group)
        shown = range(count) if count <= _LISTED_MAX else (*range(_LISTED), count - 1)
        for at in shown:
            if at and at - 1 not in shown:
                rows.append((f"({count - _LISTED - 1:,} more)", "", "", ""))
            task = plan.tasks[first + at]
            rows.append((task.id, _what(task), _seconds(task.timeout_s), _needs(task)))
        first += count
    widths = [min(_CELL, max(len(row[column]) for row in rows)) for column in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]).rstrip()
        for row in rows
    ]
    count, skipped = len(plan.tasks), sum(group.skipped for group in plan.tasks.groups)
    by_if = f", {skipped:,} of them skipped" if skipped else ""
    lines.append(f"{count:,} task{'' if count == 1 else 's'}{by_if}, {plan.hash}")
    return "\n".join(lines) + "\n"


def _head(plan: Plan) -> dict[str, object]:
    return {
        "format": FORMAT,
        "name": plan.name,
        "doc": plan.doc,
        "settings": _settings(plan.settings),
        "inputs": {"env": dict(plan.environ)},
    }


def _settings(settings: Settings) -> dict[str, object]:
    return {
        "pool": settings.pool,
        "timeout_s": settings.timeout_s,
        "halt": settings.halt,
        "max_failures": settings.max_failures_written,
        "path": list(settings.path),
        "preload": list(settings.preload),
        "max_log_bytes": settings.max_log_bytes,
        "max_result_bytes": settings.max_result_bytes,
        "max_tasks_per_child": settings.max_tasks_per_child,
        "seed": settings.seed,
        "limits": {name: {"tokens": limit.tokens, "per_s": limit.per_s} for name, limit in settings.limits.items()},
        "secrets": {name: _secret(secret) for name, secret in settings.secrets.items()},
    }


def _secret(secret: SecretSource) -> dict[str, object]:
    value = list(secret.value) if isinstance(secret.value, tuple) else secret.value
    return {secret.source: value, "cwd": secret.cwd}


def _task_lines(plan: Plan) -> Iterator[str]:
    """Each task as JSON.

    Most of what a task holds is the very object that the task before it holds too, since instances share it: so it is
    written once, and only what is another object is written anew.
    """
    written: list[str] = []
    before: tuple[object, ...] = ()
    task: PlannedTask | None = None
    for group in plan.tasks.groups:
        own = [field for field in _FIELDS if field not in group.shared]
        look, changes = attrgetter(*own), [_CHANGES[field] for field in own]
        others = ""
        for number, task in enumerate(group.views()):
            if number:
                found = look(task)
                for keys in compress(changes, map(is_not, found, before)):
                    for key in keys:
                        written[key] = _WRITERS[key](task)
                    if keys[-1] >= _ALWAYS:
                        others = "".join([f",{each}" for each in written[_ALWAYS:] if each])
                before = found
            else:
                found = _RAW(task)
                if written:
                    for keys in compress(_CHANGES.values(), map(is_not, found, before)):
                        for key in keys:
                            written[key] = _WRITERS[key](task)
                else:
                    written = [write(task) for write in _WRITERS]
                before = look(task)
                others = "".join([f",{each}" for each in written[_ALWAYS:] if each])
            yield f"{{{','.join(written[:_ALWAYS])}{others}}}"
        if task is not None:
            before = _RAW(task)


DEFAULTS: dict[str, object] = {
    "grace_s": 5.0,
    "callback_timeout_s": 30.0,
    "env": {},
    "cwd": ".",
    "base": ".",
    "on": {},
    "isolate": False,
    "allow_failure": False,
    "tags": [],
    "doc": None,
    "retries": {},
    "deadline_s": None,
    "warn_after_s": None,
    "uses": {},
    "priority": 0,
    "memory_bytes": None,
    "seed": None,
    "inputs": [],
    "outputs": [],
    "if": None,
    "skipped": False,
}
"""What is left out of a task's line, which is most of it.  What a reader looks for first always stands there."""


def _task(task: PlannedTask) -> dict[str, object]:
    values = {key: shape(task) for key, (shape, *_fields) in _WRITTEN.items()}
    return {key: value for key, value in values.items() if key not in DEFAULTS or value != DEFAULTS[key]}


def _hooks(task: PlannedTask) -> dict[str, str]:
    hooks = {"success": task.on_success, "failure": task.on_failure}
    return {key: hook for key, hook in hooks.items() if hook is not None}


def _module(task: PlannedTask) -> object:
    """Module of the InfoTask that ``compile`` will make."""
    return task.target if task.kind == "module" else MODELS[task.kind]


def _args(task: PlannedTask) -> Sequence[object]:
    """Its arguments."""
    if task.kind == "module":
        return task.args
    return (task.target, task.args, task.kwargs) if task.kind == "call" else (task.target,)


def _kwargs(task: PlannedTask) -> Mapping[str, object]:
    """Its keyword arguments."""
    return task.kwargs if task.kind == "module" else {}


_WRITTEN: dict[str, tuple[Any, ...]] = {
    "id": (lambda task: task.id, "id"),
    "name": (lambda task: task.name, "name"),
    "kind": (lambda task: task.kind, "kind"),
    "module": (_module, "kind", "target"),
    "needs": (lambda task: [_need(need) for need in task.needs], "needs"),
    "matrix": (lambda task: None if task.matrix is None else dict(task.matrix), "matrix"),
    "args": (lambda task: _written(_args(task)), "kind", "target", "args", "kwargs"),
    "kwargs": (lambda task: _written(_kwargs(task)), "kind", "kwargs"),
    "timeout_s": (lambda task: task.timeout_s, "timeout_s"),
    "grace_s": (lambda task: task.grace_s, "grace_s"),
    "callback_timeout_s": (lambda task: task.callback_timeout_s, "callback_timeout_s"),
    "env": (lambda task: _written(task.env) if task.env else {}, "env"),
    "cwd": (lambda task: _written(task.cwd), "cwd"),
    "base": (lambda task: task.base, "base"),
    "on": (_hooks, "on_success", "on_failure"),
    "isolate": (lambda task: task.isolate, "isolate"),
    "allow_failure": (lambda task: task.allow_failure, "allow_failure"),
    "tags": (lambda task: list(task.tags), "tags"),
    "doc": (lambda task: task.doc, "doc"),
    "retries": (lambda task: _retries(task.retries), "retries"),
    "deadline_s": (lambda task: task.deadline_s, "deadline_s"),
    "warn_after_s": (lambda task: task.warn_after_s, "warn_after_s"),
    "uses": (lambda task: dict(task.uses), "uses"),
    "priority": (lambda task: task.priority, "priority"),
    "memory_bytes": (lambda task: task.memory_bytes, "memory_bytes"),
    "seed": (lambda task: task.seed, "seed"),
    "inputs": (lambda task: list(task.inputs), "inputs"),
    "outputs": (lambda task: list(task.outputs), "outputs"),
    "if": (lambda task: task.condition, "condition"),
    "skipped": (lambda task: task.skipped, "skipped"),
}
"""The keys of a task, what stands there, and the fields that it is made of."""
_FIELDS = tuple(dict.fromkeys(field for _, *fields in _WRITTEN.values() for field in fields))
_RAW = attrgetter(*_FIELDS)
_CHANGES = {
    field: tuple(number for number, (_, *fields) in enumerate(_WRITTEN.values()) if field in fields)
    for field in _FIELDS
}
"""Of each field, the places of the keys that are made of it."""
_ALWAYS = next(number for number, key in enumerate(_WRITTEN) if key in DEFAULTS)
"""How many keys stand first, and in every line."""


def _writer(key: str) -> Callable[[PlannedTask], str]:
    """What writes one key of a task, empty where it is left out."""
    shape, head, left_out = _WRITTEN[key][0], f'"{key}":', DEFAULTS.get(key, ...)

    def write(task: PlannedTask) -> str:
        value = shape(task)
        return "" if value == left_out else head + _line(value)

    return write


def _retries(policy: RetryPolicy) -> dict[str, object]:
    if policy == _NO_RETRIES:
        return {}
    max_delay = None if policy.max_delay_s == inf else policy.max_delay_s
    written = {**policy._asdict(), "max_delay_s": max_delay, "on": list(policy.on)}
    del written["seed"], written["held"]  # of a run, not of a plan
    return written


def _need(need: Need) -> dict[str, object]:
    """By name alone where it means every instance of that task."""
    written: dict[str, object] = {"task": need.name}
    if need.status != "success":
        written["status"] = need.status
    if need.matched:
        written["ids"] = list(need.every)
    if need.by_files:
        written["by_files"] = True
    return written


def _written(value: object) -> object:
    """A value as the file would write it: templates as text, literal text escaped."""
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, Template):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_written(each) for each in value]
    if isinstance(value, Mapping):
        return {key: _written(each) for key, each in value.items()}
    return value


# One encoder for all lines: json.dumps makes a new one for each call with options.
_line = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_string = json.encoder.encode_basestring_ascii


def _string_written(text: str) -> str:
    return _string(escape(text))


def _encoded(value: object, text: Callable[[str], str] = _string) -> str:
    """The same as ``_line``; ``text`` encodes a string that is no key.

    An encoder makes itself ready at each call for whatever may come, and that takes longer than what a task has.
    """
    kind = type(value)
    if kind is str:
        return text(cast("str", value))
    if kind is int:
        return str(value)
    if isinstance(value, (tuple, list)):
        return f"[{','.join([str(each) if type(each) is int else _encoded(each, text) for each in value])}]"
    if kind is dict or isinstance(value, Mapping):
        items = cast("Mapping[str, object]", value).items()
        told = [f"{_string(key)}:{each if type(each) is int else _encoded(each, text)}" for key, each in items]
        return f"{{{','.join(told)}}}"
    return _string(str(value)) if kind is Template else _line(value)


_target_text = lru_cache(100)(_string_written)


def _args_text(task: PlannedTask) -> str:
    """Its arguments; of a function, which all instances have alike, what it is called is written once."""
    if task.kind == "call" and type(task.target) is str:
        kwargs = _encoded(task.kwargs, _string_written) if task.kwargs else "{}"
        return f"[{_target_text(task.target)},{_encoded(task.args, _string_written)},{kwargs}]"
    return _encoded(_args(task), _string_written)


_WRITERS: list[Callable[[PlannedTask], str]] = [
    {
        "id": lambda task: '"id":' + _string(task.id),
        "matrix": lambda task: '"matrix":' + _encoded(task.matrix),
        "args": lambda task: '"args":' + _args_text(task),
        "kwargs": lambda task: '"kwargs":' + _encoded(_kwargs(task), _string_written),
    }.get(key, _writer(key))
    for key in _WRITTEN
]
"""For each key, what writes it; those that differ from instance to instance in a way of their own, which is quicker."""


def _what(task: PlannedTask) -> str:
    from workflow.diagnostics.render import visible

    target = task.target
    text = " ".join(str(each) for each in target) if isinstance(target, tuple) else str(target)
    return _cut(visible(f"{task.kind} {text}"))


def _cut(text: str) -> str:
    return text if len(text) <= _CELL else text[: _CELL - 1] + "…"


def _seconds(seconds: float | None) -> str:
    """As the file would write it: ``1h30m``."""
    if seconds is None:
        return "none"
    text, rest = "", round(seconds * 1000)
    for unit, length in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, rest = divmod(rest, length)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def _needs(task: PlannedTask) -> str:
    if task.skipped:
        from workflow.diagnostics.render import visible

        return _cut(visible(f"skipped, for its 'if' is false: {task.condition}"))
    names = (_needed(need) + ("" if need.status == "success" else f" ({need.status})") for need in task.needs)
    return ", ".join(dict.fromkeys(names))


def _needed(need: Need) -> str:
    if not need.matched:
        return need.name
    if len(need.ids) <= _PAIRED_SHOWN:
        return ", ".join(need.ids)
    return f"{need.ids[0]}, ({len(need.ids) - 2:,} more), {need.ids[-1]}"
