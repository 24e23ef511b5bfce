"""``manifest.json``: what a run was made of, written before anything runs, so that a run that is killed has one too.

It is there to say why two runs differ, and for that a list of everything that might be the reason is better than a
clever choice: so it names every distribution that is installed, not only those that the tasks' modules seem to come
from, whose own requirements would be missing.  Their names and versions are the names of folders beside the
libraries; to ask ``importlib.metadata`` for the same takes a hundred times as long, which a small run would notice.
Which module of a task is in which of them is looked up by its name, and in ``top_level.txt`` only where that fails.
No module of a user is imported; the file of one that lies beside the pipeline is hashed.

Of the environment there are names alone, and no secret gets further than the mask.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from workflow.report.records import RunRecord, iso
from workflow.report.writing import write_whole

if TYPE_CHECKING:
    from workflow.plan.plan import Plan
    from workflow.run.mask import Mask

FORMAT = 1
_MODULE_MAX = 16 * 2**20
"""Bytes of a file that is hashed."""
_INSTALLED = re.compile(r"(?P<name>[A-Za-z0-9][\w.]*)-(?P<version>[^-]+)(?:-[^-]+)*\.(?:dist|egg)-info")
_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, default=str).encode


def write_manifest(path: Path, plan: Plan, run: RunRecord, mask: Mask) -> None:
    """Write the manifest of a run that is about to begin: the whole of it, or nothing.  Raises OSError."""
    write_whole(path, _text(manifest(plan, run, mask)), private=True)


def manifest(plan: Plan, run: RunRecord, mask: Mask) -> dict[str, object]:
    """What a run is made of, as ``report.models.Manifest`` describes it."""
    resolved = (
        None if plan.resolved is None else _masked(plan.resolved.document, mask) if mask else plan.resolved.document
    )
    settings = plan.settings
    installed, places = _installed()
    system = os.uname()
    return {
        "format": FORMAT,
        "run": run.id,
        "started_at": iso(run.started_at),
        "name": run.name,
        "file": run.file,
        "sources": _sources(plan),
        "resolved": resolved,
        "resolved_hash": None if resolved is None else _hash(_encode(resolved).encode("ascii")),
        "plan_hash": run.plan_hash,
        "tasks": run.tasks,
        "argv": list(run.argv),
        "seed": run.seed,
        "engine": {
            "name": run.engine,
            "pool": run.pool,
            "pool_written": settings.pool,
            "timeout_s": settings.timeout_s,
            "halt": settings.halt,
            "max_failures": settings.max_failures,
            "max_log_bytes": settings.max_log_bytes,
            "max_result_bytes": settings.max_result_bytes,
            "max_tasks_per_child": settings.max_tasks_per_child,
            "path": list(settings.path),
            "preload": list(settings.preload),
        },
        "git": run.git,
        "version": run.version,
        "python": {
            "version": run.python,
            "implementation": sys.implementation.name,
            "executable": sys.executable,
        },
        "platform": {"system": system.sysname, "release": system.release, "machine": system.machine},
        "host": run.host,
        "distributions": installed,
        "modules": dict(_modules(plan, installed, places)),
        "environment": sorted(map(mask.text, os.environ)),
    }


def _masked(value: object, mask: Mask) -> object:
    """With what somebody has written out that is a secret's value."""
    if isinstance(value, str):
        return mask.text(value)
    if isinstance(value, Mapping):
        return {mask.text(key): _masked(each, mask) for key, each in value.items()}
    if isinstance(value, list):
        return [_masked(each, mask) for each in value]
    return value


def _text(document: Mapping[str, object]) -> Iterator[str]:
    """A key a line, and of the tables a name a line, so that two of them can be compared by a program for lines."""
    separator = "{"
    for key, value in document.items():
        yield f"{separator}\n {_encode(key)}: "
        separator = ","
        if key == "resolved" and isinstance(value, Mapping):
            yield from _nested(value, 2)
        elif isinstance(value, Mapping):
            yield from _nested(value, 1)
        else:
            yield _encode(value)
    yield "\n}\n"


def _nested(table: Mapping[str, object], levels: int) -> Iterator[str]:
    indent = " " * (4 - levels)
    separator = "{"
    for key, value in table.items():
        yield f"{separator}\n{indent}{_encode(key)}: "
        separator = ","
        if levels > 1 and isinstance(value, Mapping) and value:
            yield from _nested(value, levels - 1)
        else:
            yield _encode(value)
    yield "}" if table else "{}"


def _sources(plan: Plan) -> dict[str, str]:
    if plan.resolved is not None:
        return {file: f"sha256:{digest}" for file, digest in plan.resolved.sources.items()}
    digest = _file_hash(plan.file)  # of a saved plan, which is read once more: it is one file
    return {} if digest is None else {str(plan.file): digest}


def _hash(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _file_hash(path: Path) -> str | None:
    from workflow.spec.reading import open_regular

    try:
        with open_regular(path) as file:
            data = file.read(_MODULE_MAX + 1)
    except OSError:
        return None
    return _hash(data) if len(data) <= _MODULE_MAX else None


# What is installed


def _installed() -> tuple[dict[str, str], dict[str, str]]:
    """Versions of all distributions by their normal names, and where each keeps what is known of it."""
    versions: dict[str, str] = {}
    places: dict[str, str] = {}
    for folder in sys.path:  # which an import would search in this order
        try:
            names = os.listdir(folder or os.curdir)  # noqa: PTH208  of strings, which are all that is wanted
        except OSError:
            continue
        for name in names:
            if not name.endswith("-info"):
                continue
            found = _INSTALLED.fullmatch(name)
            if found is not None and (known := _normal(found["name"])) not in versions:
                versions[known] = found["version"]
                places[known] = f"{folder}/{name}"
    return dict(sorted(versions.items())), places


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# Modules of tasks


def _modules(plan: Plan, installed: Mapping[str, str], places: Mapping[str, str]) -> Iterator[tuple[str, object]]:
    """What is behind each module that a task names: a file beside the pipeline, or a distribution."""
    roots = [Path(os.path.normpath(plan.root / each)) for each in plan.settings.path] or [plan.root]
    tops: dict[str, str] | None = None
    for module in sorted(_named(plan)):
        file = next((found for root in roots if (found := _file_of(root, module)) is not None), None)
        if file is not None:
            yield module, {"file": str(file), "hash": _file_hash(file)}
            continue
        top = module.partition(".")[0]
        distribution = _normal(top) if _normal(top) in installed else None
        if distribution is None and top not in sys.stdlib_module_names:
            tops = _tops(places) if tops is None else tops
            distribution = tops.get(top)
        version = None if distribution is None else installed[distribution]
        yield module, {"distribution": distribution, "version": version}


def _named(plan: Plan) -> set[str]:
    """The modules that hold what tasks call."""
    tasks = plan.resolved.document.get("tasks") if plan.resolved is not None else None
    if isinstance(tasks, dict):  # so that a million instances are not looked at
        written = [(task.get("module"), task.get("call")) for task in tasks.values() if isinstance(task, dict)]
        models = {str(model) for model, _ in written if model is not None}
        functions = {str(function) for _, function in written if function is not None}
    else:
        models = {str(task.target) for task in plan.tasks if task.kind == "module"}
        functions = {str(task.target) for task in plan.tasks if task.kind == "call"}
    named = {model.rpartition(".")[0] for model in models} | {function.partition(":")[0] for function in functions}
    return {name for name in named if name and "$" not in name}


def _file_of(root: Path, module: str) -> Path | None:
    base = root.joinpath(*module.split("."))
    files = (base / "__init__.py", base.with_name(f"{base.name}.py"))
    return next((file for file in files if file.is_file()), None)


def _tops(places: Mapping[str, str]) -> dict[str, str]:
    """By the name of a module, the distribution that says it has it."""
    tops: dict[str, str] = {}
    for name, place in places.items():
        for top in _lines(Path(place, "top_level.txt")):
            tops.setdefault(top, name)
    return tops


def _lines(path: Path) -> Iterable[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return ()
