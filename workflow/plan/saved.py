"""A saved plan back to a ``Plan``: what ``plan --json`` wrote, with the same meaning, or a reason why not.

Everything is checked, as for a file that a person wrote: nothing is taken for what it should be, no key is passed
over, and what was read is hashed again as ``printing`` writes it.  The hash tells that a plan was changed or cut; it
is no signature, and whoever runs somebody's plan runs somebody's program.

Only the standard library is imported here, and nothing is unpickled: a run of a saved plan starts faster than one of
its file, and this is what ``kept`` relies on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from math import inf, isfinite
from pathlib import Path
from typing import Any, NoReturn, cast

from workflow.diagnostics.mistake import InvalidPipeline, Mistake
from workflow.info_task import MAX_RETRIES, RETRYABLE, RetryPolicy
from workflow.plan.plan import (
    Kind,
    Need,
    Plan,
    PlannedTask,
    SecretSource,
    Settings,
    Status,
    TokenLimit,
    Value,
    count_failures,
)
from workflow.plan.printing import DEFAULTS, FORMAT, MODELS, plan_hash
from workflow.plan.tasks import Tasks
from workflow.spec.reading import Unfit, open_regular
from workflow.spec.reference import Mode, Template, describe, parse
from workflow.spec.values import LONGEST_S, NAME, Refused, function_path, model_path


def looks_saved(path: Path) -> bool:
    """Whether a file is to be read as a saved plan and not as a pipeline: by its name, or because it begins so."""
    if path.suffix == ".json":
        return True
    try:
        with open_regular(path) as file:
            return file.read(256).lstrip().startswith(b"{")  # no TOML begins with it
    except OSError:
        return False


def load_saved(path: Path, root: Path | None = None) -> Plan:
    """The plan in a file; relative paths in it are relative to ``root``, or else to the folder of the file.

    Raises InvalidPipeline with the reason, for whatever is not exactly a plan.
    """
    shown = str(path)
    try:
        with open_regular(path) as opened:
            text = opened.read().decode("utf-8")
    except UnicodeDecodeError:
        _refuse(shown, "is not a plan: it is not UTF-8")
    except Unfit as error:
        _refuse(shown, str(error), code="unreadable-file")
    except OSError as error:
        _refuse(shown, f"cannot be read: {error.strerror or error}", code="unreadable-file")
    file = Path(path.absolute())
    return read_saved(text, shown, file, file.parent.resolve() if root is None else root.resolve())


def read_saved(text: str, shown: str, file: Path, root: Path) -> Plan:
    """The plan in a text; ``shown`` names it in messages.  Raises InvalidPipeline."""
    try:
        document = json.loads(text, object_pairs_hook=_pairs, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", str(error)) if isinstance(error, ValueError) else "it is nested too deeply"
        line = getattr(error, "lineno", None)
        _refuse(shown, f"is not a plan: {reason}" + (f" in line {line}" if line else ""))
    if not isinstance(document, dict) or "plan_hash" not in document:
        _refuse(shown, "is not a plan: there is no plan_hash in it", "workflow plan --json writes one")
    if document.get("format") != FORMAT or isinstance(document.get("format"), bool):
        headline = f"is a plan of format {describe(document.get('format'))}, and this version reads only {FORMAT}"
        _refuse(shown, headline, "make it again from the pipeline file with plan --json")
    try:
        plan = _plan(document, file, root)
    except _Wrong as error:
        _refuse(shown, f"is not a plan: {error.where}: {error}" if error.where else f"is not a plan: {error}")
    if plan.hash != plan_hash(plan):
        _refuse(
            shown,
            "its content does not match its plan_hash: it was changed after it was saved",
            "change the pipeline file, and save its plan again",
        )
    return plan


def _refuse(shown: str, headline: str, help_: str | None = None, code: str = "bad-plan") -> NoReturn:
    raise InvalidPipeline(shown, [Mistake(code, (), headline, help_)]) from None


class _Wrong(Exception):
    """A value that no plan holds."""

    def __init__(self, message: str, where: str = "") -> None:
        super().__init__(message)
        self.where = where


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return table


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


_Read = Callable[[Any], Any]


def _plan(document: dict[str, object], file: Path, root: Path) -> Plan:
    table = _table(
        document,
        "",
        {
            "format": _whole,
            "name": _or_none(_text),
            "doc": _or_none(_text),
            "settings": lambda value: value,
            "inputs": lambda value: value,
            "tasks": _list,
            "plan_hash": _text,
        },
    )
    inputs = _table(table["inputs"], "inputs", {"env": partial(_mapping, value=_or_none(_text))})
    written = table["tasks"]
    settings = _settings(table["settings"], len(written))
    lines = [_line(each, number) for number, each in enumerate(written)]
    by_name: dict[str, list[dict[str, Any]]] = {}
    position: dict[str, int] = {}
    for number, line in enumerate(lines):
        if position.setdefault(line["id"], number) != number:
            raise _Wrong(f"the id {line['id']!r} stands twice", f"tasks[{number}]")
        by_name.setdefault(line["name"], []).append(line)
    needs = _Needs(by_name, position, lines)
    tasks = []
    for number, line in enumerate(lines):
        try:
            tasks.append(_task(line, number, needs, settings))
        except Refused as error:
            raise _Wrong(error.headline, f"tasks[{number}] ({line['id']})") from None
        except _Wrong as error:
            where = f"tasks[{number}] ({line['id']})"
            raise _Wrong(str(error), f"{where}.{error.where}" if error.where else where) from None
    return Plan(
        file, root, table["name"], table["doc"], settings, Tasks.of(tasks), dict(inputs["env"]), table["plan_hash"]
    )


def _settings(value: object, tasks: int) -> Settings:
    table = _table(
        value,
        "settings",
        {
            "pool": lambda each: each if each == "cpus" else _whole(each, least=1),
            "timeout_s": _or_none(_seconds),
            "halt": partial(_one_of, words=("never", "soon", "now")),
            "max_failures": _failures,
            "path": _texts,
            "preload": _texts,
            "max_log_bytes": _or_none(partial(_whole, least=1)),
            "max_result_bytes": _or_none(partial(_whole, least=1)),
            "max_tasks_per_child": _or_none(partial(_whole, least=1)),
            "seed": _or_none(_whole),
            "limits": partial(_mapping, value=_limit),
            "secrets": partial(_mapping, value=_secret),
        },
    )
    written = table.pop("max_failures")
    return Settings(max_failures=count_failures(written, tasks), max_failures_written=written, **table)


def _failures(value: object) -> int | str | None:
    if isinstance(value, str):
        try:
            share = float(value.removesuffix("%"))
        except ValueError:
            share = -1.0
        if not value.endswith("%") or not 0 < share <= 100:
            raise _Wrong(f"{describe(value)} is no percentage")
        return value
    return None if value is None else _whole(value, least=1)


def _limit(value: object) -> TokenLimit:
    return TokenLimit(**_table(value, "", {"tokens": partial(_whole, least=1), "per_s": _or_none(_seconds)}))


def _secret(value: object) -> SecretSource:
    if isinstance(value, dict):
        for source in ("env", "file", "cmd"):
            if source in value:
                read: _Read = _texts if source == "cmd" else _text
                table = _table(value, "", {source: read, "cwd": _text})
                return SecretSource(cast("Any", source), table[source], table["cwd"])
    raise _Wrong("is no source of a secret")


def _line(value: object, number: int) -> dict[str, Any]:
    """A task with its defaults filled in, and what each key holds checked; references are read later."""
    where = f"tasks[{number}]"
    if not isinstance(value, dict):
        raise _Wrong(f"must be an object, not {describe(value)}", where)
    given = {**_DEFAULTS, **value}
    return _table(given, where, _LINE)


def _task(line: dict[str, Any], number: int, needs: _Needs, settings: Settings) -> PlannedTask:
    kind = cast(Kind, line["kind"])
    target, args, kwargs = _what_runs(kind, line)
    env = {name: _template(each, "text", f"env.{name}", settings) for name, each in line["env"].items()}
    own = {
        "target": target if kind in ("module", "call") else _templates(target, _MODES[kind], "args", settings),
        "args": tuple(_templates(each, "value", f"args[{at}]", settings) for at, each in enumerate(args)),
        "kwargs": {name: _templates(each, "value", f"kwargs.{name}", settings) for name, each in kwargs.items()},
        "env": env,
        "cwd": _template(line["cwd"], "text", "cwd", settings),
    }
    needed = needs.of(line, number)
    for name in line["uses"]:
        if name not in settings.limits or settings.limits[name].tokens < line["uses"][name]:
            raise _Wrong(f"uses what the limits do not have: {name!r}", "uses")
    for hook in line["on"].values():
        function_path(hook)
    return PlannedTask(
        id=line["id"],
        name=line["name"],
        matrix=line["matrix"],
        kind=kind,
        target=cast("str | Template | tuple[str | Template, ...]", own["target"]),
        args=cast("tuple[Value, ...]", own["args"]),
        kwargs=cast("Mapping[str, Value]", own["kwargs"]),
        needs=needed,
        uses_results=frozenset() if line["skipped"] else needs.used(own, needed),
        timeout_s=line["timeout_s"],
        grace_s=line["grace_s"],
        callback_timeout_s=line["callback_timeout_s"],
        env=cast("Mapping[str, str | Template | None]", env),
        cwd=cast("str | Template", own["cwd"]),
        base=line["base"],
        on_success=line["on"].get("success"),
        on_failure=line["on"].get("failure"),
        isolate=line["isolate"],
        allow_failure=line["allow_failure"],
        tags=line["tags"],
        doc=line["doc"],
        retries=line["retries"],
        deadline_s=line["deadline_s"],
        warn_after_s=line["warn_after_s"],
        uses=line["uses"],
        priority=line["priority"],
        memory_bytes=line["memory_bytes"],
        seed=line["seed"],
        inputs=line["inputs"],
        outputs=line["outputs"],
        condition=line["if"],
        skipped=line["skipped"],
    )


def _what_runs(kind: str, line: dict[str, Any]) -> tuple[Any, list[Any], dict[str, Any]]:
    """Target, arguments and keyword arguments, from those of the InfoTask."""
    module, args, kwargs = line["module"], line["args"], line["kwargs"]
    if kind == "module":
        return model_path(module), args, kwargs
    if module != MODELS[kind] or kwargs:
        raise _Wrong(f"is no task with {kind}: its module is {MODELS[kind]}, without kwargs", "module")
    if kind == "call":
        if len(args) != 3 or not isinstance(args[1], list) or not isinstance(args[2], dict):
            raise _Wrong("must be a function, a list and an object", "args")
        return function_path(args[0]), args[1], args[2]
    if len(args) != 1:
        raise _Wrong(f"must be the one argument of {MODELS[kind]}", "args")
    target = args[0]
    if kind == "shell" and not isinstance(target, str):
        raise _Wrong(f"must be a line, not {describe(target)}", "args")
    if kind == "cmd":
        target = _texts(target)
        if not target or not target[0]:
            raise _Wrong("must be a program and its arguments", "args")
    return target, [], {}


_MODES: dict[str, Mode] = {"cmd": "text", "shell": "shell"}


class _Needs:
    """The needs of tasks: those that are written alike are one tuple of ids again, as the plan had them."""

    def __init__(
        self, by_name: dict[str, list[dict[str, Any]]], position: dict[str, int], lines: list[dict[str, Any]]
    ) -> None:
        self._position = position
        self._lines = lines
        self._whole = {name: self._ids([line["id"] for line in found]) for name, found in by_name.items()}
        self._some: dict[tuple[str, ...], tuple[tuple[str, ...], tuple[str, ...]]] = {}
        self._last = {name: position[every[-1]] for name, (_, every) in self._whole.items()}
        self._known: dict[tuple[object, ...], tuple[Need, ...]] = {}
        self._used: dict[tuple[object, ...], frozenset[str]] = {}

    def of(self, line: dict[str, Any], number: int) -> tuple[Need, ...]:
        key = tuple(line["needs"])
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = tuple(self._need(*each) for each in key)
        for need in known:
            last = self._position[need.every[-1]] if need.matched else self._last[need.name]
            if last >= number:
                raise _Wrong(f"needs {need.name!r}, which does not come before it", "needs")
        return known

    def used(self, own: Mapping[str, object], needs: tuple[Need, ...]) -> frozenset[str]:
        """The ids whose ends are referred to."""
        names = set(_referred(own))
        if not names:
            return frozenset()
        mine = {need.name: need for need in needs if not need.by_files}
        for name in names:
            if name not in mine:
                raise _Wrong(f"refers to {name!r} without needing it", "needs")
        key = (frozenset(names), *(id(need.every) for need in needs))
        known = self._used.get(key)
        if known is None:
            ids = frozenset(id_ for need in needs if need.name in names and not need.by_files for id_ in need.every)
            known = self._used[key] = ids
        return known

    def _need(self, name: str, status: Status, ids: tuple[str, ...] | None, by_files: bool) -> Need:
        if ids is None:
            if name not in self._whole:
                raise _Wrong(f"there is no task {name!r}", "needs")
            return Need(name, *self._whole[name], status, by_files=by_files)
        for id_ in ids:
            if id_ not in self._position or self._lines[self._position[id_]]["name"] != name:
                raise _Wrong(f"there is no instance {id_!r} of {name!r}", "needs")
        if list(ids) != sorted(ids, key=self._position.__getitem__) or not ids:
            raise _Wrong(f"the instances of {name!r} are not in their order", "needs")
        some = self._some.setdefault(ids, self._ids(list(ids)))
        return Need(name, *some, status, matched=True, by_files=by_files)

    def _ids(self, every: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        all_ = tuple(every)
        ids = tuple(id_ for id_ in every if not self._lines[self._position[id_]]["skipped"])
        return (ids if ids and len(ids) < len(all_) else all_), all_


def _referred(value: object) -> list[str]:
    if isinstance(value, Template):
        return [each.path[0] for each in value.references if each.namespace == "tasks"]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [name for each in value for name in _referred(each)] if isinstance(value, (list, tuple)) else []


def _templates(value: object, mode: Mode, where: str, settings: Settings) -> object:
    if isinstance(value, list):
        return [_templates(each, mode, where, settings) for each in value]
    if isinstance(value, tuple):
        return tuple(_templates(each, mode, where, settings) for each in value)
    if isinstance(value, dict):
        return {key: _templates(each, mode, where, settings) for key, each in value.items()}
    return _template(value, mode, where, settings)


def _template(value: object, mode: Mode, where: str, settings: Settings) -> object:
    if not isinstance(value, str):
        return value
    template, wrong = parse(value, mode)
    if wrong:
        raise _Wrong(wrong[0].headline, where)
    for reference in template.references if isinstance(template, Template) else ():
        known = reference.namespace in ("tasks", "run") or (
            (reference.namespace == "task" and reference.path == ("attempt",))
            or (reference.namespace == "secrets" and reference.path[0] in settings.secrets)
        )
        if not known:
            raise _Wrong(f"{reference} has no value in a plan", where)
    return template


# What a key may hold: functions that return the value, or raise _Wrong.


def _table(value: object, where: str, keys: Mapping[str, _Read]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong(f"must be an object, not {describe(value)}", where)
    for key in value:
        if key not in keys:
            raise _Wrong(f"there is no key {key!r}", where)
    read = {}
    for key, check in keys.items():
        place = f"{where}.{key}" if where else key
        if key not in value:
            raise _Wrong("is missing", place)
        try:
            read[key] = check(value[key])
        except _Wrong as error:
            inner = error.where if error.where.startswith("[") or not error.where else f".{error.where}"
            raise _Wrong(str(error), place + inner) from None
    return read


def _or_none(check: _Read) -> _Read:
    return lambda value: None if value is None else check(value)


def _text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise _Wrong(f"must be text, not {describe(value)}")
    return value


def _some(value: object) -> str:
    if not _text(value):
        raise _Wrong("must not be empty")
    return str(value)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(_text(each) for each in _list(value))


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise _Wrong(f"must be a list, not {describe(value)}")
    return value


def _mapping(written: object, value: _Read) -> dict[str, Any]:
    if not isinstance(written, dict):
        raise _Wrong(f"must be an object, not {describe(written)}")
    return {_text(key): value(each) for key, each in written.items()}


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise _Wrong(f"must be true or false, not {describe(value)}")
    return value


def _whole(value: object, least: int | None = None) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or (least is not None and value < least):
        more = "" if least is None else f" of {least} or more"
        raise _Wrong(f"must be a whole number{more}, not {describe(value)}")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        raise _Wrong(f"must be a number, not {describe(value)}")
    return float(value)


def _seconds(value: object) -> float:
    seconds = _number(value)
    if not 0 < seconds <= LONGEST_S:
        raise _Wrong(f"must be seconds above 0, not {describe(value)}")
    return seconds


def _grace(value: object) -> float:
    seconds = _number(value)
    if not 0 <= seconds <= LONGEST_S:
        raise _Wrong(f"must be seconds, not {describe(value)}")
    return seconds


def _one_of(value: object, words: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in words:
        raise _Wrong(f"must be one of {', '.join(words)}, not {describe(value)}")
    return value


def _name(value: object) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise _Wrong(f"must be the name of a task, not {describe(value)}")
    return value


def _id(value: object) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise _Wrong(f"must be the id of a task, not {describe(value)}")
    return value


def _needs(value: object) -> list[tuple[object, ...]]:
    needs: list[tuple[object, ...]] = []
    for number, each in enumerate(_list(value)):
        given = {"status": "success", "ids": None, "by_files": False}
        table = _table(
            {**given, **each} if isinstance(each, dict) else each,
            f"[{number}]",
            {
                "task": _name,
                "status": partial(_one_of, words=("success", "failure", "any")),
                "ids": _or_none(_texts),
                "by_files": _flag,
            },
        )
        needs.append((table["task"], table["status"], table["ids"], table["by_files"]))
    return needs


def _retries(value: object) -> RetryPolicy:
    if value == {}:
        return RetryPolicy()
    table = _table(
        value,
        "",
        {
            "max": partial(_whole, least=0),
            "delay_s": _grace,
            "backoff": _number,
            "max_delay_s": _or_none(_grace),
            "jitter": _flag,
            "on": _texts,
        },
    )
    policy = RetryPolicy(**{**table, "max_delay_s": inf if table["max_delay_s"] is None else table["max_delay_s"]})
    if policy.max > MAX_RETRIES or policy.backoff < 1 or not set(policy.on) <= set(RETRYABLE):
        raise _Wrong("is no policy of retries")
    return policy


def _hooks(value: object) -> dict[str, str]:
    hooks = _mapping(value, _text)
    if not set(hooks) <= {"success", "failure"}:
        raise _Wrong("has only success and failure")
    return hooks


def _matrix(value: object) -> dict[str, Any]:
    return _mapping(value, lambda each: each)


_ID = re.compile(r"[A-Za-z0-9._=+%@~_-]+")
_DEFAULTS = dict(DEFAULTS)
_LINE: dict[str, _Read] = {
    "id": _id,
    "kind": partial(_one_of, words=("module", "call", "cmd", "shell")),
    "module": _some,
    "name": _name,
    "needs": _needs,
    "matrix": _or_none(_matrix),
    "args": _list,
    "kwargs": _matrix,
    "timeout_s": _or_none(_seconds),
    "grace_s": _grace,
    "callback_timeout_s": _or_none(_seconds),
    "env": partial(_mapping, value=_or_none(_text)),
    "cwd": _some,
    "base": _some,
    "on": _hooks,
    "isolate": _flag,
    "allow_failure": _flag,
    "tags": _texts,
    "doc": _or_none(_text),
    "retries": _retries,
    "deadline_s": _or_none(_seconds),
    "warn_after_s": _or_none(_seconds),
    "uses": partial(_mapping, value=partial(_whole, least=1)),
    "priority": _whole,
    "memory_bytes": _or_none(partial(_whole, least=1)),
    "seed": _or_none(_whole),
    "inputs": _texts,
    "outputs": _texts,
    "if": _or_none(_text),
    "skipped": _flag,
}
