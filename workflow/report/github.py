"""What a run tells GitHub Actions: an annotation for each failure, and the summary of the step.

A step shows ten annotations of each level and drops the rest, so the failures that hindered most come first, and those
that are alike have one.  It drops
a summary above 1 MiB whole, with what other commands of the step have written, so less is told where less has room.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from workflow.outcome import ErrorRecord
from workflow.report.alike import Failure, told
from workflow.report.markdown import markdown_pieces
from workflow.report.material import Material, TaskPart, error_of, headline_of
from workflow.report.summary import likewise
from workflow.report.tails import output_tail
from workflow.report.terminal import neutral
from workflow.report.whereabouts import place

ANNOTATIONS_MAX = 10
SUMMARY_MAX = 1024 * 1024
_TAIL_LINES = 5
_ENDED = {"timed_out": "timed out", "interrupted": "was interrupted", "broken": "is broken"}
_CUT = "\n*The rest has no room here: GitHub shows at most 1 MiB.*\n"


def annotation_lines(material: Material, environ: Mapping[str, str] = os.environ) -> Iterator[str]:
    """Answer the commands, a line each: errors, and warnings for what was allowed to fail."""
    run = material.document["run"]
    by_itself = run["status"] in {"succeeded", "failed"}
    room = ANNOTATIONS_MAX if by_itself else ANNOTATIONS_MAX - 1
    errors, _ = told([failure for failure in material.failures if not failure.allowed], room)
    warnings, _ = told([failure for failure in material.failures if failure.allowed], ANNOTATIONS_MAX)
    if not by_itself:
        properties = {"file": _in_workspace(run["file"], environ), "title": f"the run {_ENDED[run['status']]}"}
        yield _command("error", properties, neutral(material.ending or f"exit code {run['exit_code']}"))
    lines = _task_lines(material, {failure.task["name"] for failure in errors + warnings})
    for failure in errors:
        yield _annotation(material, failure, "error", lines, environ)
    for failure in warnings:
        yield _annotation(material, failure, "warning", lines, environ)


def append_summary(material: Material, path: Path) -> None:
    """Append the summary to the step's file.  Raises OSError."""
    with path.open("ab") as file:
        room = SUMMARY_MAX - file.tell()
        data = _summary(material, room)
        file.write(data)


def _summary(material: Material, room: int) -> bytes:
    data = b""
    for detailed, listed in ((50, 500), (10, 100), (3, 20), (0, 20), (0, 0)):
        data = "".join(markdown_pieces(material, detailed=detailed, listed=listed)).encode("utf-8", "backslashreplace")
        if len(data) <= room:
            return data
    keep = room - len(_CUT.encode())
    if keep <= 0:
        return b""
    return data[:keep].rpartition(b"\n")[0] + _CUT.encode()


def _annotation(
    material: Material, failure: Failure[TaskPart], level: str, lines: Mapping[str, int], environ: Mapping[str, str]
) -> str:
    task = failure.task
    file, line = material.document["run"]["file"], lines.get(task["name"])
    error = error_of(task)
    if error is not None:
        found = place(ErrorRecord(**error))
        if found is not None and _in_workspace(found[0], environ) != found[0]:
            file, line = found
    properties = {"file": _in_workspace(file, environ)}
    if line is not None:
        properties["line"] = str(line)
    properties["title"] = f"{task['id']} {task['outcome'].replace('_', ' ')}"
    said = [headline_of(task) or task["outcome"]]
    if failure.like:
        said.append(f"and {likewise(failure.like)}")
    if failure.skipped:
        said.append(f"{failure.skipped} skipped because of {'them' if failure.like else 'it'}")
    tail = output_tail(material.folder, task["log"], failed=True, lines=_TAIL_LINES, max_bytes=2000)
    if tail is not None:
        said += tail.text.split("\n")
    return _command(level, properties, "\n".join(neutral(text) for text in said))


def _in_workspace(file: str, environ: Mapping[str, str]) -> str:
    """The path as GitHub has it, of a file that is checked out; of others the path as it is."""
    workspace = environ.get("GITHUB_WORKSPACE") or str(Path.cwd())
    return file.removeprefix(workspace.rstrip("/") + "/")


def _command(name: str, properties: Mapping[str, str], message: str) -> str:
    """A command to the runner.  What would end it, or a property of it, is escaped."""
    given = ",".join(f"{key}={_property(neutral(value))}" for key, value in properties.items())
    return f"::{name} {given}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _task_lines(material: Material, names: Iterable[str]) -> dict[str, int]:
    """Where the tasks stand in the pipeline file, as far as they do."""
    from workflow.diagnostics.locate import locate
    from workflow.diagnostics.mistake import Mistake

    try:
        text = Path(material.document["run"]["file"]).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return {}
    wanted = _declared(names, text)
    found = locate(text, [Mistake(name, ("tasks", name), name, at_key=True) for name in wanted])
    return {mistake.code: mistake.line for mistake in found if mistake.line is not None}


def _declared(names: Iterable[str], text: str) -> list[str]:
    """Those that this file itself has: one may be in a file that it includes."""
    return [name for name in names if re.search(rf"(?m)^\s*(?:\[\s*tasks\s*\.)?[^#\n]*\b{re.escape(name)}\b", text)]
