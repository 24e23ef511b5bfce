"""The last task: one report and one chart from what all the others found, failed ones included.

Each item is ``{id, matrix, outcome, result}``; the result of a task that did not succeed is null, so its module is
counted among the failed and measured nowhere.
"""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import chart

TOP = 15


def write(audits: list[dict[str, Any]], packages: list[dict[str, Any]], folder: str) -> dict[str, object]:
    """Write both files and return the numbers of the report's first table."""
    machine = f"{platform.system()} {platform.machine()}"
    python = f"{platform.python_implementation()} {platform.python_version()} on {machine}"
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    (target / "chart.svg").write_text(chart.draw(audits, python), encoding="utf-8")
    (target / "report.md").write_text("\n".join(report(audits, packages, python)), encoding="utf-8")
    print(f"report: {target.resolve() / 'report.md'}")
    print(f"chart: {target.resolve() / 'chart.svg'}")
    return dict(Counter(chart.state(item) for item in audits))


def report(audits: list[dict[str, Any]], packages: list[dict[str, Any]], python: str) -> Iterable[str]:
    """Give the lines of the Markdown report."""
    states = Counter(chart.state(item) for item in audits)
    found = [item["result"] for item in audits if chart.state(item) == "succeeded"]
    yield f"# The standard library of {python}\n\n![every module and what became of it](chart.svg)\n"
    rows = ([kind, states[kind], meaning] for kind, meaning in chart.MEANING.items() if states[kind])
    yield from table(["state", "modules", "meaning"], rows)
    sums = (f"{sum(row[key] for row in found):,} {key}" for key in ("files", "lines", "functions", "classes"))
    yield f"Measured: {', '.join(sums)}. Modules that did not succeed or are absent are not in these sums.\n"
    yield "## What does not work here\n"
    run = os.environ.get("WORKFLOW_RUN_ID", "<run-id>")
    yield f"Why is in `.workflow/runs/{run}/report.json`, under the id of the task, and on the terminal.\n"
    failed = [item for item in audits if chart.state(item) not in ("succeeded", "absent")]
    yield from table(
        ["module", "outcome", "task"],
        ([f"`{chart.name(item)}`", item["outcome"], f"`{item['id']}`"] for item in failed),
    )
    yield "## The largest\n"
    yield from top(found, "lines", ["files", "functions", "classes"])
    yield "## The longest functions\n"
    yield from top(found, "longest_function_lines", ["longest_function"])
    yield "## The deepest nesting\n"
    yield from top(found, "deepest_nesting", ["deepest_nesting_in"])
    yield "## The slowest to import\n"
    yield from top(found, "import_s", [])
    yield "## Beside it\n"
    yield from beside(packages)


def top(found: list[dict[str, Any]], key: str, more: list[str]) -> Iterable[str]:
    """Give a table of the modules with the most of something."""
    largest = sorted(found, key=_by(key), reverse=True)[:TOP]
    heads = ["module", key.replace("_", " "), *(column.replace("_", " ") for column in more)]
    return table(heads, ([f"`{row['module']}`", *(row[column] for column in (key, *more))] for row in largest))


def beside(packages: list[dict[str, Any]]) -> Iterable[str]:
    """Give the installed distributions, as pip told them."""
    for item in packages:
        if item["outcome"] != "succeeded":
            yield f"pip could not be asked: the task `{item['id']}` ended as {item['outcome']}.\n"
            return
        installed = json.loads(item["result"])
        yield f"{len(installed)} packages: " + ", ".join(f"{one['name']} {one['version']}" for one in installed) + ".\n"


def table(heads: list[str], rows: Iterable[list[object]]) -> Iterable[str]:
    """Give a Markdown table; a cell that is missing is empty."""
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join("" if cell is None else str(cell).replace("|", "\\|") for cell in row) + " |"
    yield ""


def _by(key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda row: row[key]
