"""The graph of a plan as a flowchart of Mermaid, which code hosts draw: the tasks of the file, not their instances.

Nodes are numbered, because a name such as ``end`` is a word of Mermaid; what is shown stands in quotes, and what would
end them or be read as markup is written by its number.
"""

from __future__ import annotations

import json
import re

from workflow.plan.plan import Plan, PlannedTask

_SPECIAL = re.compile(r"[^A-Za-z0-9 _.,:/@×()+-]")


def mermaid(plan: Plan) -> str:
    """The flowchart, ending in a newline."""
    names = plan.tasks.names
    number = {name: at for at, name in enumerate(names)}
    first = {group.name: group[0] for group in reversed(plan.tasks.groups)}
    lines = ["flowchart LR"]
    if plan.name:
        lines = ["---", f"title: {json.dumps(plan.name)}", "---", *lines]
    lines += [f'  t{number[name]}["{_label(first[name], count)}"]' for name, count in names.items()]
    edges: dict[tuple[int, int, str], None] = {}
    for task in plan.tasks.differing("needs"):
        for need in task.needs:
            label = "files" if need.by_files else "" if need.status == "success" else need.status
            edges[number[need.name], number[task.name], label] = None
    lines += [f"  t{needed} {f'-->|{label}|' if label else '-->'} t{of}" for needed, of, label in edges]
    return "\n".join(lines) + "\n"


def _label(task: PlannedTask, instances: int) -> str:
    count = f" × {instances}" if task.matrix is not None else ""
    return f"{_escaped(task.name)}{count}<br/>{task.kind}"


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda match: f"#{ord(match.group())};", text)
