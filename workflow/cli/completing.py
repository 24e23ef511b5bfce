"""What the shell offers when somebody presses Tab: names that stand in the pipeline file, runs, and their tasks.

The file is only parsed, never checked: whoever is in the middle of writing it wants completion too.  Whatever goes
wrong, nothing is offered; a message in the middle of a command line would be worse.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

_FILE = "pipeline.toml"
_OFFERED_MAX = 10_000


def pipeline_files(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Files as the shell itself completes them."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def task_names(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The tasks of the file, with what they are for."""
    tasks = _table(context, "tasks")
    return _items(((name, _doc(task)) for name, task in tasks.items()), incomplete)


def tags(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Every tag that stands in the file."""
    tables = [*_table(context, "tasks").values(), *_table(context, "templates").values(), _table(context, "defaults")]
    found = [tag for table in tables if isinstance(table, dict) for tag in _list(table.get("tags"))]
    return _items(((tag, None) for tag in dict.fromkeys(found)), incomplete)


def profiles(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The profiles of the file."""
    return _items(((name, None) for name in _table(context, "profiles")), incomplete)


def variables(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The variables of the file, up to the equals sign."""
    return _items(((f"{name}=", str(value)) for name, value in _table(context, "vars").items()), incomplete)


def run_and_task(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Runs as the first word; then, or when no digit begins it, the tasks of that run, or of the latest."""
    words = [word for word in _given_words(context) if not word.startswith("-")]
    if context.params.get("resolved") or "--resolved" in _line_words():
        return task_names(context, _parameter, incomplete) if not words else pipeline_files(context, _parameter, "")
    if words:
        return _tasks_of(context, words[0], incomplete)
    return [*_runs(context, incomplete), *_tasks_of(context, "latest", incomplete)]


def run_and_files(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Runs as the first word, and files."""
    runs = [] if _given_words(context) or not incomplete else _runs(context, incomplete)
    return runs or pipeline_files(context, parameter, incomplete)


def run_ids(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Runs."""
    return _runs(context, incomplete)


def _given_words(context: click.Context) -> list[str]:
    given = context.params.get("words")
    return [str(word) for word in given] if isinstance(given, (list, tuple)) else []


def _line_words() -> list[str]:
    return os.environ.get("COMP_WORDS", "").split()


def _state_dir(context: click.Context) -> Path:
    from workflow.cli.looking import the_state_dir

    given = context.params.get("state_dir")
    return the_state_dir(None if given is None else Path(given))


def _runs(context: click.Context, incomplete: str) -> list[CompletionItem]:
    """The newest first, with what each was."""
    try:
        from workflow.run.past import past_runs

        found = past_runs(_state_dir(context))
        named = [(run.folder.id, f"{run.head['name'] or Path(run.head['file']).name}, {run.status}") for run in found]
    except Exception:  # noqa: BLE001  whatever it is, it is not to be told here
        return []
    return _items([*named, *([("latest", "the newest run")] if named else [])], incomplete)


def _tasks_of(context: click.Context, run: str, incomplete: str) -> list[CompletionItem]:
    try:
        from workflow.cli.looking import the_run

        names: dict[str, str | None] = {}
        for task in the_run(_state_dir(context), run).tasks():
            names.setdefault(task["name"])
            if "@" in incomplete or task["name"] == task["id"]:
                names[task["id"]] = task["outcome"]
            if len(names) > _OFFERED_MAX:
                break
    except Exception:  # noqa: BLE001  as above
        return []
    return _items(names.items(), incomplete)


def _items(names: Iterable[tuple[str, str | None]], incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(name, help=doc) for name, doc in names if name.startswith(incomplete)]


def _doc(task: object) -> str | None:
    doc = task.get("doc") if isinstance(task, dict) else None
    return doc.split("\n")[0] if isinstance(doc, str) else None


def _list(value: object) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _file(context: click.Context) -> Path:
    """The file on the command line so far.  click has not read it where the last word is an option without value."""
    given = context.params.get("file")
    if given is not None and str(given) != _FILE:
        return Path(given)
    words = os.environ.get("COMP_WORDS", "").split()
    return next((Path(word) for word in words[1:] if word.endswith(".toml")), Path(_FILE))


def _table(context: click.Context, section: str) -> dict[str, Any]:
    import tomli

    from workflow.spec.reading import read_regular

    try:
        table = tomli.loads(read_regular(_file(context)).decode("utf-8")).get(section, {})
    except (OSError, ValueError, RecursionError):
        return {}
    return table if isinstance(table, dict) else {}
