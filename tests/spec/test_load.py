"""Loading a file: variables, defaults, paths, and files that are no files."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from workflow.diagnostics.mistake import InvalidPipeline
from workflow.diagnostics.render import headline
from workflow.plan.build import load_plan
from workflow.spec.load import Given, load_pipeline

VALID = sorted((Path(__file__).parents[1] / "corpus/valid").glob("*.toml"))
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Puts text into a pipeline.toml."""

    def write(text: str) -> Path:
        path = tmp_path / "pipeline.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def mistakes(path: Path, **variables: str) -> list[str]:
    with pytest.raises(InvalidPipeline) as caught:
        load_plan(path, variables)
    return [headline("F", mistake) for mistake in caught.value.mistakes]


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(write: Write) -> None:
    """Of the file's keys, its values, its references and its graph."""
    path = write(
        '[tasks.b]\ncmd = ["${vars.x}"]\nneeds = ["nobody"]\n[tasks.a]\ncmd = ["true"]\ntimeout = "x"\nretires = 3\n'
        '[tasks.c]\ncmd = ["true"]\nneeds = ["nobody"]\n'
    )
    assert mistakes(path) == [
        "F:2:9: tasks.b.cmd[0]: [vars] has no 'x'",
        "F:3:10: tasks.b.needs[0]: there is no task 'nobody'",
        'F:6:11: tasks.a.timeout: the text "x" is not a duration',
        "F:7:1: tasks.a.retires: unknown key, did you mean 'retries'?",
        "F:10:10: tasks.c.needs[0]: there is no task 'nobody'",
    ]


def test_needing_a_broken_task_is_no_second_mistake(write: Write) -> None:
    """It is in the file, only wrong."""
    path = write('[tasks.a]\ncmd = 3\n[tasks.b]\ncmd = ["true"]\nneeds = ["a"]\n')
    assert len(mistakes(path)) == 1


def test_a_mistake_in_needs_is_shown_where_it_is_written_however_it_is_written(write: Write) -> None:
    """As one table, as one name, as a variable; never in the needs of [defaults], which the task's own replace."""
    path = write(
        '[vars]\nlist = ["a", "b@1"]\n'
        '[defaults]\nneeds = ["a", "a"]\n'
        '[tasks.a]\ncmd = ["true"]\nneeds = []\n'
        '[tasks.b]\ncmd = ["true"]\nneeds = {task = "a", statuss = 1}\n'
        '[tasks.c]\ncmd = ["true"]\nneeds = {task = "nobody"}\n'
        '[tasks.d]\ncmd = ["true"]\nneeds = "nobody"\n'
        '[tasks.e]\ncmd = ["true"]\nneeds = "${vars.list}"\n'
    )
    assert mistakes(path) == [
        "F:10:22: tasks.b.needs.statuss: unknown key, did you mean 'status'?",
        "F:13:9: tasks.c.needs: there is no task 'nobody'",
        "F:16:9: tasks.d.needs: there is no task 'nobody'",
        'F:19:9: tasks.e.needs: the text "b@1" is one instance: a task is needed with all its instances',
    ]


def test_a_mistake_in_the_one_need_of_defaults_is_shown_there(write: Write) -> None:
    """Once, at its key."""
    path = write(
        '[defaults]\nneeds = {task = "a", status = 1}\n[tasks.a]\ncmd = ["true"]\nneeds = []\n'
        '[tasks.b]\ncmd = ["true"]\n'
    )
    (mistake,) = mistakes(path)
    assert mistake.startswith("F:2:")
    assert mistake.endswith('must be "success", "failure" or "any", not the number 1')


@pytest.mark.parametrize(
    ("declared", "given", "value"),
    [
        ('"a"', "3", "3"),
        ("1", "3", 3),
        ("1.5", "3", 3.0),
        ("true", "false", False),
        ("[1]", "[2, 3]", [2, 3]),
        ("{a = 1}", "{a = 2}", {"a": 2}),
        ('"a"', "${vars.y} ${HOME}", "${vars.y} ${HOME}"),
    ],
)
def test_a_variable_given_takes_the_type_of_the_declared_one(
    write: Write, declared: str, given: str, value: object
) -> None:
    """And is data: nothing in it is read as a reference."""
    path = write(f'[vars]\nx = {declared}\n[tasks.a]\ncall = "m:f"\nargs = ["${{vars.x}}"]\n')
    (task,) = load_plan(path, {"x": given}).tasks
    assert task.args == (value,)
    assert type(task.args[0]) is type(value)


@pytest.mark.parametrize(
    ("declared", "given"), [("1", "1.5"), ("1", "x"), ("1.5", "nan"), ("true", "yes"), ("[1]", "3"), ("[1]", "[")]
)
def test_a_variable_of_another_type_is_a_mistake(write: Write, declared: str, given: str) -> None:
    """It says what was declared."""
    path = write(f'[vars]\nx = {declared}\n[tasks.a]\ncmd = ["true"]\n')
    (told,) = mistakes(path, x=given)
    assert told.startswith("F: --var x: ")


def test_an_undeclared_variable_is_a_mistake(write: Write) -> None:
    """With the nearest that is declared."""
    path = write('[vars]\nsize = 1\n[tasks.a]\ncmd = ["true"]\n')
    assert mistakes(path, siez="2") == ["F: --var siez: the file declares no such variable, did you mean 'size'?"]


def test_defaults_lie_under_each_task_table_by_table(write: Write) -> None:
    """Tables key by key, everything else replaced."""
    path = write(
        '[defaults]\ntimeout = 5\ntags = ["x"]\nenv = {A = "1", B = "2"}\n'
        '[tasks.a]\ncmd = ["true"]\n[tasks.b]\ncmd = ["true"]\ntimeout = 9\ntags = ["y"]\nenv = {B = "3"}\n'
    )
    a, b = load_plan(path).tasks
    assert (a.timeout_s, a.tags, a.env) == (5, ("x",), {"A": "1", "B": "2"})
    assert (b.timeout_s, b.tags, b.env) == (9, ("y",), {"A": "1", "B": "3"})


def test_the_defaults_of_the_language_are_the_promised_ones(write: Write) -> None:
    """What a file that says nothing gets."""
    plan = load_plan(write('[tasks.a]\ncmd = ["true"]\n'))
    (task,) = plan.tasks
    assert (task.timeout_s, task.grace_s, task.callback_timeout_s) == (3600, 5, 30)
    assert (task.isolate, task.allow_failure, task.cwd) == (False, False, ".")
    settings = plan.settings
    assert (settings.pool, settings.timeout_s, settings.halt, settings.max_failures) == ("cpus", None, "never", None)
    assert (settings.max_log_bytes, settings.max_result_bytes) == (10 * 2**20, 2**30)


@pytest.mark.parametrize(
    ("written", "halt", "failures"),
    [
        ('halt = "now"', "now", 1),
        ("max_failures = 3", "soon", 3),
        ('max_failures = "10%"', "soon", 2),
        ('max_failures = "0.1%"\nhalt = "now"', "now", 1),
        ('halt = "never"', "never", None),
    ],
)
def test_halt_and_max_failures_imply_each_other(write: Write, written: str, halt: str, failures: int | None) -> None:
    """And a percentage is of all planned tasks, rounded up."""
    path = write(f'[pipeline]\n{written}\n[tasks.a]\ncmd = ["true"]\nmatrix.x = {{range = [0, 11]}}\n')
    settings = load_plan(path).settings
    assert (settings.halt, settings.max_failures) == (halt, failures)


def test_paths_are_relative_to_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the run was started."""
    path = write('[pipeline]\npath = ["src", "/opt/lib"]\n[tasks.a]\ncmd = ["true"]\ncwd = "work/../out"\n')
    monkeypatch.chdir(path.parent)
    plan = load_plan(Path("pipeline.toml"))
    assert (plan.file, plan.root) == (path, path.parent)
    assert plan.settings.path == (".", "src", "/opt/lib")
    assert plan.tasks[0].cwd == "out"


def test_a_file_that_is_no_file_is_a_mistake(tmp_path: Path) -> None:
    """One sentence, no exception of the system's."""
    (tmp_path / "pipeline.toml").write_bytes(b"# caf\xe9\n")
    assert mistakes(tmp_path / "pipelin.toml") == ["F: there is no such file, did you mean 'pipeline.toml'?"]
    assert "no folder" in mistakes(tmp_path / "nowhere/pipeline.toml")[0]
    assert mistakes(tmp_path) == ["F: is a folder, not a file"]
    assert mistakes(tmp_path / "pipeline.toml") == ["F:1:6: is not UTF-8: byte 0xe9 cannot be read"]
    assert "NUL" in mistakes(Path("a\0b"))[0]
    assert mistakes(tmp_path / ("x" * 300))[0].startswith("F: cannot be read: ")


def test_a_byte_order_mark_and_windows_lines_are_fine(tmp_path: Path) -> None:
    """Some editors write them."""
    path = tmp_path / "pipeline.toml"
    path.write_bytes(b'\xef\xbb\xbf[tasks.a]\r\ncmd = ["true"]\r\n')
    assert load_pipeline(path).tasks["a"].table.cmd == ("true",)


@pytest.mark.parametrize("seed", range(200))
def test_a_damaged_file_gives_mistakes_with_a_line_or_a_plan(seed: int, tmp_path: Path) -> None:
    """Never another exception, whatever was cut, doubled, swapped or thrown in."""
    draw = random.Random(seed)
    text = damaged(draw, draw.choice(VALID).read_text("utf-8"))
    path = tmp_path / "pipeline.toml"
    path.write_text(text, encoding="utf-8", newline="")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").touch()
    try:
        load_plan(path)
    except InvalidPipeline as error:
        found = error
    else:
        return
    assert all(mistake.line is not None for mistake in found.mistakes)
    assert str(found)


def damaged(draw: random.Random, text: str) -> str:
    """One to three changes of the kinds an editor, a merge or a bad day makes."""
    pieces = [
        "${",
        "}",
        "[",
        "]",
        '"',
        "'",
        "=",
        ".",
        ",",
        "\n",
        "\\",
        "\0",
        "é",
        "1979-05-27",
        "nan",
        "{}",
        "[[x]]",
        "@",
    ]
    for _ in range(draw.randint(1, 3)):
        at, length = draw.randrange(len(text)), draw.choice([1, 1, 2, 5, 20])
        lines = text.split("\n")
        kind = draw.randrange(6)
        if kind == 0:
            text = text[:at] + text[at + length :]
        elif kind == 1:
            text = text[:at] + draw.choice(pieces) + text[at:]
        elif kind == 2:
            text = text[:at] + text[at : at + length] * 2 + text[at + length :]
        elif kind == 3:
            lines.insert(draw.randrange(len(lines)), draw.choice(lines))
            text = "\n".join(lines)
        elif kind == 4:
            draw.shuffle(lines)
            text = "\n".join(lines)
        else:
            values = ["3", "-1", '""', "[]", "{}", "true", "nan", '"${matrix.x}"', '"${tasks.a.result}"', "[[1]]"]
            number = draw.choice([at for at, line in enumerate(lines) if "=" in line] or [0])
            lines[number] = lines[number].split("=")[0] + "= " + draw.choice(values)
            text = "\n".join(lines)
        text = text or "x"
    return text


def test_a_text_that_cannot_be_written_is_no_value_of_an_axis(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """An id is made of it; it comes from bytes of the environment or of the command line that are not UTF-8."""
    path = write('[tasks.d]\ncmd = ["true"]\nmatrix.x = ["${env.ZZ}"]\n')
    monkeypatch.setenv("ZZ", "\udcff")
    said = 'the text "\\udcff" cannot be a value here'
    assert mistakes(path) == [f"F:3:13: tasks.d.matrix.x[0]: {said}"]
    path = write('[tasks.d]\ncmd = ["true"]\nmatrix = {include = [{x = "${env.ZZ}"}]}\n')
    assert mistakes(path) == [f"F:3:27: tasks.d.matrix.include[0].x: {said}"]
    path = write('[tasks.d]\ncmd = ["true"]\nmatrix.x = [1]\n')
    with pytest.raises(InvalidPipeline, match="cannot be a value here"):
        load_pipeline(path, Given(sets=('tasks.d.matrix.x=["\udcff"]',)))
    path = write('[tasks.d]\ncmd = ["true"]\ntimeout = "${env.ZZ}"\n')
    assert mistakes(path) == ['F:3:11: tasks.d.timeout: the text "\\udcff" is not a duration']


def test_a_long_chain_of_includes_is_a_mistake(tmp_path: Path) -> None:
    """However long it is; a hundred are read."""
    for number in range(1500):
        text = f'[pipeline]\ninclude = ["{number + 1}.toml"]\n[tasks.t{number}]\ncmd = ["true"]\n'
        (tmp_path / f"{number}.toml").write_text(text)
    found = mistakes(tmp_path / "0.toml")
    assert len(found) == 1
    assert found[0].endswith("100.toml:2:12: pipeline.include[0]: files include each other more than 100 deep")
    (tmp_path / "100.toml").write_text('[tasks.last]\ncmd = ["true"]\n')
    assert len(load_plan(tmp_path / "0.toml").tasks) == 101
