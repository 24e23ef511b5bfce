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
    tasks: dict[str, list[PlannedTask]] = {}
    for task in plan.tasks:
        tasks.setdefault(task.name, []).append(task)
    number = {name: at for at, name in enumerate(tasks)}
    lines = ["flowchart LR"]
    if plan.name:
        lines = ["---", f"title: {json.dumps(plan.name)}", "---", *lines]
    lines += [f'  t{number[name]}["{_label(name, instances)}"]' for name, instances in tasks.items()]
    edges: dict[tuple[int, int, str], None] = {}
    seen: set[tuple[str, int]] = set()
    for name, instances in tasks.items():
        for task in instances:
            if (name, id(task.needs)) in seen:
                continue  # of all instances of a task, mostly
            seen.add((name, id(task.needs)))
            for need in task.needs:
                label = "" if need.status == "success" else need.status
                edges[number[need.name], number[name], "files" if need.by_files else label] = None
    lines += [f"  t{needed} {f'-->|{label}|' if label else '-->'} t{of}" for needed, of, label in edges]
    return "\n".join(lines) + "\n"


def _label(name: str, instances: list[PlannedTask]) -> str:
    kind = instances[0].kind
    count = f" × {len(instances)}" if instances[0].matrix is not None else ""
    return f"{_escaped(name)}{count}<br/>{kind}"


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda match: f"#{ord(match.group())};", text)
