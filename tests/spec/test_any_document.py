"""Whatever stands in a file, there is a plan or there are mistakes, told in every form: never a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date, time, timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workflow.diagnostics.codes import CODES
from workflow.diagnostics.formats import FORMATS, formatted
from workflow.diagnostics.mistake import InvalidPipeline
from workflow.plan.build import load_plan
from workflow.plan.printing import plan_json
from workflow.spec.document import SECTIONS
from workflow.spec.models import OnTable, PipelineTable, TaskTable, keys_of

LONGEST = timedelta(seconds=5)
"""Of one file.  It takes milliseconds, on a machine that does other things as well."""
COMMON = settings(
    max_examples=150, deadline=LONGEST, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

WORDS = st.sampled_from([
    "", "a", "b", "c", "a@1", "m:f", "m.F", "none", "1h30m", "90", "10%", "2GB", "cpus", "soon", "any", "é日", "${",
    "$${", "${vars.x}", "${matrix.x}", "${tasks.a.result}", "${tasks.b.results.0}", "${tasks.a.items}", "${vars}",
    "${HOME}", "x ${matrix.x} ${vars.x}", "\0", "\x1b[2J", "*.toml", "..", "/", "true", "ls | wc -l", "'", '"', "\\",
    "\n",
])  # fmt: skip
NUMBERS = st.one_of(st.integers(), st.integers(-2, 12), st.floats(), st.sampled_from([10**400, 2**63, 1e308, -0.0]))
ATOMS = st.one_of(st.booleans(), NUMBERS, WORDS, st.text(max_size=8), st.dates(), st.times())
NAMES = [
    "a",
    "b",
    "c",
    "x",
    "task",
    "status",
    "match",
    "range",
    "glob",
    "lines",
    "like",
    "max",
    "tokens",
    "per",
    "include",
    "exclude",
    "success",
    "failure",
]
KEYS = st.sampled_from([*NAMES, *keys_of(TaskTable), *keys_of(PipelineTable), *keys_of(OnTable)])
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS | WORDS, inner, max_size=3)),
    max_leaves=6,
)
# Mostly what belongs there, so that not every file ends at its first check.
GOOD: dict[str, st.SearchStrategy[object]] = {
    "needs": st.lists(st.sampled_from(["a", "b", "c"]), max_size=2),
    "matrix": st.fixed_dictionaries({"x": st.lists(st.integers(0, 3) | WORDS, min_size=1, max_size=3)}),
    "call": st.just("m:f"),
    "cmd": st.lists(WORDS, max_size=2).map(lambda words: ["echo", *words]),
    "shell": st.sampled_from(["true", "echo ${matrix.x}", "echo ${tasks.a.result} $X", "echo '${vars.x}'"]),
    "args": st.lists(WORDS | NUMBERS, max_size=2),
    "kwargs": st.dictionaries(KEYS | WORDS, WORDS | NUMBERS, max_size=2),
    "env": st.dictionaries(KEYS, WORDS | st.just(False), max_size=2),
    "timeout": st.sampled_from([1, "90s", "none", "${matrix.x}"]),
    "if": st.sampled_from(["matrix.x == 1", "vars.x in [1, 2]", "env.HOME != ''", "not", "matrix.x == ", "true"]),
    "retries": st.sampled_from([0, 3, {"max": 2, "delay": "1s"}]),
    "uses": st.sampled_from(["x", ["x", "y"], {"x": 2}]),
    "extends": st.sampled_from(["x", ["x", "y"]]),
    "inputs": st.lists(WORDS, max_size=2),
    "outputs": st.lists(WORDS, max_size=2),
}


def tables(fields: tuple[str, ...]) -> st.SearchStrategy[dict[str, object]]:
    one = st.sampled_from(fields).flatmap(lambda key: st.tuples(st.just(key), GOOD.get(key, VALUES) | VALUES))
    return st.lists(one, max_size=4).map(dict)


def task(kind: str) -> st.SearchStrategy[dict[str, object]]:
    """What runs, and keys with values that they take."""
    fit = {
        key: values
        for key, values in GOOD.items()
        if key not in {"call", "cmd", "shell"} and (kind == "call" or key not in {"args", "kwargs"})
    }
    return st.fixed_dictionaries({kind: GOOD[kind]}, optional=fit)


GOOD_TASK = st.sampled_from(["call", "cmd", "shell"]).flatmap(task)
ANY_TASK = tables(keys_of(TaskTable))
TASKS = st.dictionaries(st.sampled_from(["a", "b", "c"]), GOOD_TASK | GOOD_TASK | ANY_TASK, min_size=1, max_size=3)
VARIABLES = st.dictionaries(st.sampled_from(["x", "y"]), VALUES, max_size=2)
DOCUMENTS = st.one_of(
    st.fixed_dictionaries({"vars": VARIABLES, "tasks": st.dictionaries(st.sampled_from(["a", "b"]), GOOD_TASK)}),
    st.fixed_dictionaries(
        {"tasks": TASKS},
        optional={
            "pipeline": tables(keys_of(PipelineTable)),
            "vars": VARIABLES,
            "defaults": ANY_TASK,
            "limits": st.dictionaries(st.sampled_from(["x", "y"]), st.integers(0, 3) | VALUES),
            "secrets": st.dictionaries(st.sampled_from(["x", "y"]), st.just({"env": "HOME"}) | VALUES),
            "templates": st.dictionaries(st.sampled_from(["x", "y"]), ANY_TASK | VALUES),
            "profiles": st.dictionaries(st.sampled_from(["x", "y"]), ANY_TASK | VALUES),
        },
    ),
    st.dictionaries(st.sampled_from([*SECTIONS, "task"]), ANY_TASK | VALUES, max_size=4),
)
PIECES = st.sampled_from([
    "[", "]", "[[", "]]", "{", "}", "=", ",", ".", "\n", "\r\n", " ", "\t", "#", '"', "'", '"""', "'''", "\\", "\\u12",
    "tasks", "pipeline", "vars", "defaults", "[tasks.a]\n", "[tasks.a.env]\n", "[vars]\n", 'cmd = ["true"]\n', "env",
    "timeout", "needs", "matrix", "x", "a", "1", "90s", "1:30", "01:30:00", "1979-05-27", "true", "True", "nan", "-",
    ":", "${vars.x}", "${matrix.x}", "é", "\0", "\ufeff", "\u202e", "0x", "1e9", "_", ";", "//", "==",
])  # fmt: skip


def check(path: Path) -> None:
    """The claim of this file."""
    try:
        plan = load_plan(path)
    except InvalidPipeline as error:
        check_mistakes(error)
    else:
        assert plan.tasks
        json.loads(plan_json(plan))


def check_mistakes(error: InvalidPipeline) -> None:
    """Each has what a mistake must have, and all can be told in every form."""
    assert error.mistakes
    for mistake in error.mistakes:
        assert mistake.code in CODES
        assert mistake.line is None or mistake.line >= 1
        assert mistake.end > mistake.column >= 1
        assert mistake.headline
    for form in FORMATS:
        assert formatted(error.file, error.mistakes, form)
    json.loads(formatted(error.file, error.mistakes, "json"))


def over(strategy: st.SearchStrategy[bytes], path: Path) -> None:
    """Check a file with each of these contents."""

    @COMMON
    @given(strategy)
    def each(data: bytes) -> None:
        path.write_bytes(data)
        check(path)

    each()


def test_any_bytes_are_a_plan_or_mistakes(tmp_path: Path) -> None:
    """Nothing at all is known of them."""
    over(st.binary(max_size=200), tmp_path / "pipeline.toml")


def test_any_text_is_a_plan_or_mistakes(tmp_path: Path) -> None:
    """Without surrogates, which no file has."""
    text = st.text(st.characters(codec="utf-8"), max_size=200)
    over(text.map(str.encode), tmp_path / "pipeline.toml")


def test_any_heap_of_pieces_is_a_plan_or_mistakes(tmp_path: Path) -> None:
    """Signs and words of a pipeline file in any order: almost TOML, most of the time."""
    pieces = st.lists(PIECES, max_size=25).map("".join)
    over(pieces.map(str.encode), tmp_path / "pipeline.toml")


def test_any_document_of_known_keys_is_a_plan_or_mistakes(tmp_path: Path) -> None:
    """Whatever values they have."""
    over(DOCUMENTS.map(lambda document: written(document).encode()), tmp_path / "pipeline.toml")


def written(document: dict[str, object]) -> str:
    """A document as TOML: its tables below headers, what is in them in braces."""
    lines: list[str] = []
    for key, value in document.items():
        if isinstance(value, dict) and key == "tasks":
            for name, table in value.items():
                lines += [f"[tasks.{quoted(name)}]", *_pairs(table)] if isinstance(table, dict) else []
        elif isinstance(value, dict):
            lines += [f"[{key}]", *_pairs(value)]
        else:
            lines.insert(0, f"{key} = {one(value)}")
    return "\n".join(lines) + "\n"


def _pairs(table: dict[str, object]) -> Iterator[str]:
    return (f"{quoted(key)} = {one(value)}" for key, value in table.items())


def quoted(text: str) -> str:
    """A text, or a key."""
    shown = json.dumps(text, ensure_ascii=False)
    return "".join(f"\\u{ord(each):04X}" if each < " " or each == "\x7f" else each for each in shown)


def one(value: object) -> str:
    """A value, on one line."""
    writers: list[tuple[type, Callable[..., str]]] = [
        (bool, lambda flag: "true" if flag else "false"),
        (float, str),
        (int, str),
        (str, quoted),
        (date, lambda day: day.isoformat()),
        (time, lambda moment: moment.replace(tzinfo=None).isoformat()),
        (list, lambda items: "[" + ", ".join(map(one, items)) + "]"),
        (dict, lambda table: "{" + ", ".join(_pairs(table)) + "}"),
    ]
    return next(write(value) for kind, write in writers if isinstance(value, kind))
