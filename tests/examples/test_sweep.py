from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

Copy = Callable[[str], Path]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
Outcomes = Callable[[Path], dict[str, str]]
RAN_AWAY = {"fit@0.1-0.9-1", "fit@0.1-0.9-2", "fit@0.1-0.9-3"}
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def sweep(copy_of: Copy) -> Path:
    return copy_of("sweep")


def test_the_best_is_chosen_and_drawn(sweep: Path, python: Run, outcomes: Outcomes) -> None:
    """The numbers of the README are what its seeds give; a try that ran away is a cross."""
    run = python("-m", "workflow", "run", sweep / "pipeline.toml")
    assert run.returncode == 0, run.stderr
    ended = outcomes(sweep)
    assert {task for task, outcome in ended.items() if outcome == "failed"} == RAN_AWAY
    assert Counter(ended.values()) == {"succeeded": 42, "failed": 3}
    told = (sweep / ".workflow/latest/logs/best.log").read_text("utf-8").strip()
    assert told.endswith((sweep / "README.md").read_text("utf-8").split("```\n")[2].strip())
    trained = json.loads((sweep / "out/trained.json").read_text("utf-8"))
    assert (trained["rate"], trained["momentum"], len(trained["losses"])) == (0.005, 0.5, 40)
    drawing = ET.parse(sweep / "out/sweep.svg")
    assert {str(title.text) for title in drawing.iter(f"{SVG}title")} == {
        "the best",
        *(f"{task}: failed" for task in RAN_AWAY),
    }
    assert len(list(drawing.iter(f"{SVG}circle"))) == 39 + 1


def test_a_sweep_grows(sweep: Path, python: Run, outcomes: Outcomes) -> None:
    """What was tried is cached; of a new value, what is new is run; the choice is the same."""
    file = sweep / "pipeline.toml"
    assert python("-m", "workflow", "run", file).returncode == 0
    drawing = (sweep / "out/sweep.svg").read_bytes()
    assert python("-m", "workflow", "run", file).returncode == 0
    ended = outcomes(sweep)
    assert {task for task, outcome in ended.items() if outcome != "cached"} == {*RAN_AWAY, "best", "plot"}
    assert (sweep / "out/sweep.svg").read_bytes() == drawing
    text = file.read_text("utf-8")
    file.write_text(text.replace("rate = [0.0003,", "rate = [0.0001, 0.0003,"), "utf-8")
    assert python("-m", "workflow", "run", file).returncode == 0
    ended = outcomes(sweep)
    assert {task for task, outcome in ended.items() if outcome != "cached"} == {
        *RAN_AWAY,
        "best",
        "plot",
        "train",  # the key of `best` is part of its own
        *(f"fit@0.0001-{momentum}-{seed}" for momentum in ("0.0", "0.9") for seed in (1, 2, 3)),
    }
    assert "the best is rate 0.005, momentum 0.5" in (sweep / ".workflow/latest/logs/best.log").read_text("utf-8")


def test_other_code_is_another_try(sweep: Path, python: Run, outcomes: Outcomes) -> None:
    """The code stands among the inputs, so a change of it counts."""
    file = sweep / "pipeline.toml"
    assert python("-m", "workflow", "run", file).returncode == 0
    with (sweep / "fit.py").open("a", encoding="utf-8") as code:
        code.write("\n# other code\n")
    assert python("-m", "workflow", "run", file).returncode == 0
    assert "cached" not in outcomes(sweep).values()
