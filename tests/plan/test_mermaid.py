"""The graph as Mermaid."""

from __future__ import annotations

from pathlib import Path

from workflow.plan.build import load_plan
from workflow.plan.mermaid import mermaid


def test_the_graph_has_a_node_a_task_and_says_how_edges_are_meant(tmp_path: Path) -> None:
    """Names that are words of Mermaid, and a title with everything in it, do no harm."""
    path = tmp_path / "pipeline.toml"
    path.write_text(
        '[pipeline]\nname = "a \\"b\\" # c: --- [d]"\n'
        '[tasks.end]\ncmd = ["true"]\nmatrix.n = [1, 2]\noutputs = "o/${matrix.n}"\n'
        '[tasks.graph]\ncmd = ["true"]\nneeds = ["end"]\n'
        '[tasks.subgraph]\ncmd = ["true"]\nneeds = [{task = "graph", status = "failure"}]\ninputs = "o/1"\n'
    )
    assert mermaid(load_plan(path)).splitlines() == [
        "---",
        'title: "a \\"b\\" # c: --- [d]"',
        "---",
        "flowchart LR",
        '  t0["end × 2<br/>cmd"]',
        '  t1["graph<br/>cmd"]',
        '  t2["subgraph<br/>cmd"]',
        "  t0 --> t1",
        "  t1 -->|failure| t2",
        "  t0 -->|files| t2",
    ]
