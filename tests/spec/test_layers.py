"""The layers of a file: [defaults], templates, includes, a profile, ``--set``: who wins, where mistakes are shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from workflow.diagnostics.mistake import InvalidPipeline
from workflow.diagnostics.render import headline
from workflow.plan.build import load_plan
from workflow.plan.plan import PlannedTask

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Puts texts into files: the first is pipeline.toml, the others are named."""

    def write(text: str, **files: str) -> Path:
        for name, content in {"pipeline": text, **files}.items():
            path = tmp_path / (name.replace("__", "/") + ".toml")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        return tmp_path / "pipeline.toml"

    return write


def mistakes(path: Path, **given: object) -> list[str]:
    """Headlines, with the folder of the file taken away."""
    with pytest.raises(InvalidPipeline) as caught:
        load_plan(path, **given)  # type: ignore[arg-type]
    return [headline("F", mistake).replace(f"{path.parent}/", "") for mistake in caught.value.mistakes]


def task(path: Path, id_: str = "a", **given: object) -> PlannedTask:
    """One task of the plan."""
    return next(each for each in load_plan(path, **given).tasks if each.id == id_)  # type: ignore[arg-type]


# -- templates -----------------------------------------------------------------------------------------------------


def test_a_task_is_defaults_then_templates_from_left_to_right_then_itself(write: Write) -> None:
    """Tables key by key, everything else replaced."""
    path = write(
        "[defaults]\ntimeout = 1\ngrace = 1\npriority = 1\ncallback_timeout = 1\n"
        'env = {A = "d", B = "d", C = "d", D = "d"}\n'
        'tags = ["d"]\n'
        "[templates.left]\ngrace = 2\npriority = 2\ncallback_timeout = 2\n"
        'env = {B = "l", C = "l", D = "l"}\ntags = ["l"]\n'
        '[templates.right]\npriority = 3\ncallback_timeout = 3\nenv = {C = "r", D = "r"}\n'
        '[tasks.a]\ncmd = ["true"]\nextends = ["left", "right"]\ncallback_timeout = 4\nenv = {D = "t"}\n'
    )
    made = task(path)
    assert (made.timeout_s, made.grace_s, made.priority, made.callback_timeout_s) == (1, 2, 3, 4)
    assert made.env == {"A": "d", "B": "l", "C": "r", "D": "t"}
    assert made.tags == ("l",)


def test_what_runs_may_come_from_a_template_and_extends_from_defaults(write: Write) -> None:
    """A bundle is any task keys."""
    path = write('[defaults]\nextends = "t"\n[templates.t]\ncmd = ["echo", "${matrix.x}"]\n[tasks.a]\nmatrix.x = [1]\n')
    assert task(path, "a@1").target == ("echo", "1")


def test_a_mistake_in_a_template_is_shown_there_once_however_many_extend_it(write: Write) -> None:
    """Not at the tasks."""
    path = write(
        '[templates.t]\ntimeout = "soon"\nenv.A = "${vars.x}"\n'
        '[tasks.a]\ncmd = ["true"]\nextends = ["t"]\n[tasks.b]\ncmd = ["true"]\nextends = ["t"]\n'
    )
    assert mistakes(path) == [
        'F:2:11: templates.t.timeout: the text "soon" is not a duration',
        "F:3:10: templates.t.env.A: [vars] has no 'x'",
    ]


def test_templates_that_nobody_extends_are_checked_too(write: Write) -> None:
    """A misspelt key waits for nobody."""
    path = write('[templates.t]\ntimeot = 3\nextends = ["u"]\n[templates.u]\n[tasks.a]\ncmd = ["true"]\n')
    assert mistakes(path) == [
        "F:2:1: templates.t.timeot: unknown key, did you mean 'timeout'?",
        "F:3:1: templates.t.extends: a template does not extend another",
    ]


def test_an_unknown_template_is_shown_where_it_is_named(write: Write) -> None:
    """With the nearest that there is."""
    path = write('[templates.heavy]\n[tasks.a]\ncmd = ["true"]\nextends = ["heavy", "haevy"]\n')
    assert mistakes(path) == ["F:4:21: tasks.a.extends[1]: there is no template 'haevy', did you mean 'heavy'?"]


def test_two_kinds_from_two_layers_say_where_the_other_is(write: Write) -> None:
    """Since nobody sees both at once."""
    path = write('[templates.t]\ncmd = ["true"]\n[tasks.a]\nshell = "true"\nextends = ["t"]\n')
    assert mistakes(path) == [
        "F:4:1: tasks.a.shell: 'cmd' says already what the task runs, one of them in [templates.t]"
    ]


def test_a_combination_of_layers_may_be_wrong_where_each_is_right(write: Write) -> None:
    """The deadline of the template is too short for the timeout of the task."""
    path = write('[templates.t]\ndeadline = "1m"\n[tasks.a]\ncmd = ["true"]\nextends = ["t"]\ntimeout = "2m"\n')
    assert mistakes(path) == ["F:2:12: templates.t.deadline: is shorter than the timeout of one attempt, 120 s"]


# -- profiles ------------------------------------------------------------------------------------------------------

PROFILED = """
[pipeline]
pool = 8
[vars]
size = 10
[defaults]
timeout = "1h"
[profiles.ci]
pipeline.pool = 2
vars.size = 1
defaults.grace = 1
[profiles.ci.tasks.a]
timeout = "1m"
env = {CI = "1"}
[tasks.a]
cmd = ["echo", "${vars.size}"]
timeout = "2h"
env = {A = "a"}
[tasks.b]
cmd = ["true"]
"""


def test_a_profile_is_laid_over_the_file_before_tasks_are_made(write: Write) -> None:
    """It reaches [pipeline], [vars], [defaults] and single tasks."""
    path = write(PROFILED)
    plain, ci = load_plan(path), load_plan(path, profile="ci")
    assert (plain.settings.pool, ci.settings.pool) == (8, 2)
    assert (plain.tasks[0].target, ci.tasks[0].target) == (("echo", "10"), ("echo", "1"))
    assert [(each.timeout_s, each.grace_s) for each in plain.tasks] == [(7200, 5), (3600, 5)]
    assert [(each.timeout_s, each.grace_s) for each in ci.tasks] == [(60, 1), (3600, 1)]
    assert ci.tasks[0].env == {"A": "a", "CI": "1"}
    assert plain.hash != ci.hash


def test_a_variable_of_the_command_line_beats_the_profile(write: Write) -> None:
    """``--var`` is the nearest."""
    assert task(write(PROFILED), variables={"size": "5"}, profile="ci").target == ("echo", "5")


def test_an_unknown_profile_is_a_mistake_that_lists_them(write: Write) -> None:
    """Without a position: it stands on the command line."""
    assert mistakes(write(PROFILED), profile="cii") == [
        "F: --profile cii: there is no such profile, did you mean 'ci'?"
    ]


def test_a_mistake_in_a_profile_is_shown_there_whether_it_is_used_or_not(write: Write) -> None:
    """A profile for Sundays is not found broken on a Sunday."""
    path = write(
        '[profiles.ci]\npipeline.pol = 2\ntaks.a.timeout = 1\n[profiles.ci.tasks.a]\ntimeout = "soon"\n'
        '[tasks.a]\ncmd = ["true"]\n'
    )
    expected = [
        "F:2:10: profiles.ci.pipeline.pol: unknown key, did you mean 'pool'?",
        "F:3:1: profiles.ci.taks: unknown key, did you mean 'tasks'?",
        'F:5:11: profiles.ci.tasks.a.timeout: the text "soon" is not a duration',
    ]
    assert mistakes(path) == expected
    assert mistakes(path, profile="ci") == expected


# -- --set ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("tasks.a.timeout=9s", "timeout_s", 9),
        ("tasks.a.timeout=9", "timeout_s", 9),
        ("tasks.a.allow_failure=true", "allow_failure", True),
        ('tasks.a.tags=["x", "y"]', "tags", ("x", "y")),
        ("tasks.a.env.B=1=2", "env", {"A": "a", "B": "1=2"}),
        ("tasks.a.doc=", "doc", ""),
        ('tasks."a".priority=-3', "priority", -3),
        ("defaults.priority=7", "priority", 7),
        ("tasks.a.doc=a\nb", "doc", "a\nb"),
    ],
)
def test_set_is_laid_over_everything(write: Write, text: str, field: str, value: object) -> None:
    """A TOML value, or a text where it is none."""
    path = write('[templates.t]\ntimeout = 1\n[tasks.a]\ncmd = ["true"]\nextends = ["t"]\nenv = {A = "a"}\n')
    assert getattr(task(path, sets=[text]), field) == value


def test_the_last_set_wins_and_all_beat_the_profile(write: Write) -> None:
    """In the order of the command line."""
    sets = ["tasks.a.timeout=5", "tasks.a.timeout=6"]
    assert task(write(PROFILED), profile="ci", sets=sets).timeout_s == 6


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tasks.a.timeout=9q", '--set tasks.a.timeout=9q: the text "9q" is not a duration'),
        ("tasks.a.timeot=9", "--set tasks.a.timeot=9: unknown key, did you mean 'timeout'?"),
        ("tasks.b.timeout=9", "--set tasks.b.timeout=9: there is no task 'b'"),
        ("tasks.a=3", "--set tasks.a=3: does not say which key of the task"),
        ("taks.a.timeout=9", "--set taks.a.timeout=9: there is no such key, did you mean 'tasks'?"),
        ("timeout=9", "--set timeout=9: there is no such key"),
        ("tasks.a.timeout", "--set tasks.a.timeout: is not KEY=VALUE, with a key such as tasks.fetch.timeout"),
        ("tasks..timeout=9", "--set tasks..timeout=9: is not KEY=VALUE, with a key such as tasks.fetch.timeout"),
        ("=9", "--set =9: is not KEY=VALUE, with a key such as tasks.fetch.timeout"),
        ("pipeline.include=x.toml", "--set pipeline.include=x.toml: what is included cannot be set"),
    ],
)
def test_a_set_that_cannot_be_meant_names_itself(write: Write, text: str, told: str) -> None:
    """There is no line to point at."""
    assert mistakes(write('[tasks.a]\ncmd = ["true"]\n'), sets=[text]) == [told]


# -- include -------------------------------------------------------------------------------------------------------


def test_included_files_are_one_file_with_this_one(write: Write) -> None:
    """Their tasks, templates, variables, limits; each once, whoever includes it again."""
    path = write(
        '[pipeline]\ninclude = ["more/*.toml", "more/b.toml"]\n[tasks.a]\ncmd = ["echo", "${vars.x}"]\nneeds = ["b"]\n'
        'extends = ["t"]\nuses = "db"\n',
        more__b='[vars]\nx = 1\n[limits]\ndb = 1\n[tasks.b]\ncmd = ["true"]\n',
        more__c='[pipeline]\ninclude = "b.toml"\ndoc = "templates"\n[templates.t]\ntimeout = 3\n',
    )
    plan = load_plan(path)
    assert [each.id for each in plan.tasks] == ["b", "a"]
    assert (plan.tasks[1].target, plan.tasks[1].timeout_s) == (("echo", "1"), 3)
    assert list(plan.settings.limits) == ["db"]


def test_paths_are_relative_to_the_file_they_are_written_in(write: Write) -> None:
    """The folder of a task is that of its file; what a template says of paths is relative to the template's."""
    path = write(
        '[pipeline]\npath = ["src"]\ninclude = ["sub/b.toml"]\n[templates.t]\noutputs = ["out/${task.id}"]\n'
        '[tasks.a]\ncmd = ["true"]\ninputs = ["in"]\n',
        sub__b='[pipeline]\npath = ["lib"]\n[tasks.b]\ncmd = ["true"]\nextends = ["t"]\ninputs = "data/x"\n'
        '[tasks.c]\ncmd = ["true"]\ncwd = ".."\n[tasks.d]\ncmd = ["true"]\ncwd = "/tmp"\n'
        '[tasks.e]\ncmd = ["true"]\nmatrix.f = {lines = "lines.toml"}\n',
        sub__lines="# one",
    )
    plan = load_plan(path)
    assert plan.settings.path == (".", "sub", "src", "sub/lib")
    found = {each.id: (each.cwd, each.inputs, each.outputs) for each in plan.tasks}
    assert found["a"] == (".", ("in",), ())
    assert found["b"] == ("sub", ("sub/data/x",), ("out/b",))
    assert (found["c"][0], found["d"][0], found["e@%23%20one"][0]) == (".", "/tmp", "sub")


def test_a_name_in_two_files_is_a_mistake_that_names_both(write: Write) -> None:
    """It is shown in the file that comes later."""
    path = write(
        '[pipeline]\ninclude = ["b.toml"]\n[vars]\nx = 1\n[defaults]\ntimeout = 1\n[tasks.a]\ncmd = ["true"]\n',
        b='[vars]\nx = 2\n[defaults]\ntimeout = 2\ngrace = 1\n[tasks.a]\ncmd = ["true"]\n',
    )
    assert mistakes(path) == [
        "b.toml:2:1: vars.x: vars.x is defined in pipeline.toml too",
        "b.toml:4:1: defaults.timeout: pipeline.toml has this key too",
        "b.toml:6:8: tasks.a: tasks.a is defined in pipeline.toml too",
    ]


def test_mistakes_in_an_included_file_are_shown_there(write: Write) -> None:
    """With its own lines, after those of the file itself."""
    path = write(
        '[pipeline]\ninclude = ["sub/b.toml"]\n[tasks.a]\ncmd = 3\n',
        sub__b='[pipeline]\npool = 3\n[tasks.b]\ncmd = ["true"]\ntimeot = 3\nneeds = ["x"]\n',
    )
    assert mistakes(path) == [
        "F:4:7: tasks.a.cmd: must be an array of texts, not the number 3",
        "sub/b.toml:2:1: pipeline.pool: is for the file that is run, pipeline.toml",
        "sub/b.toml:5:1: tasks.b.timeot: unknown key, did you mean 'timeout'?",
        "sub/b.toml:6:10: tasks.b.needs[0]: there is no task 'x'",
    ]


def test_an_included_file_that_cannot_be_read_is_told_at_the_include(write: Write) -> None:
    """One that is no TOML, in itself."""
    path = write('[pipeline]\ninclude = ["b.toml", "x.toml"]\n[tasks.a]\ncmd = ["true"]\n', b="x = = 1\n")
    first, second = mistakes(path)
    assert first == "F:2:22: pipeline.include[1]: x.toml: there is no such file, did you mean 'b.toml'?"
    assert second.startswith("b.toml:1:5: not TOML: invalid value")


def test_files_that_include_each_other_are_told_as_a_path(write: Write) -> None:
    """And are read once all the same."""
    path = write(
        '[pipeline]\ninclude = ["b.toml"]\n[tasks.a]\ncmd = ["true"]\n', b='[pipeline]\ninclude = "pipeline.toml"\n'
    )
    assert mistakes(path) == [
        "b.toml:2:11: pipeline.include: files include each other in a circle: pipeline.toml → b.toml → pipeline.toml"
    ]


def test_what_is_included_depends_on_nothing(write: Write) -> None:
    """It is read before anything can be referred to."""
    path = write('[vars]\nx = "b"\n[pipeline]\ninclude = ["${vars.x}.toml"]\n[tasks.a]\ncmd = ["true"]\n')
    assert mistakes(path)[0] == ("F:4:12: pipeline.include[0]: includes are read before anything can be referred to")


# -- the environment -----------------------------------------------------------------------------------------------


def test_the_environment_is_read_when_planned_and_recorded(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set, not set, and set to nothing, with and without a default; also in [vars] and [pipeline]."""
    monkeypatch.setenv("W_SET", "3")
    monkeypatch.setenv("W_EMPTY", "")
    monkeypatch.delenv("W_NOT", raising=False)
    path = write(
        '[pipeline]\nname = "n${env.W_SET}"\n[vars]\nx = "${env.W_NOT:-d}"\n[tasks.a]\n'
        'cmd = ["echo", "${env.W_SET}", "${env.W_NOT:-}", "${env.W_EMPTY}", "${env.W_EMPTY:-e}", "${vars.x}"]\n'
    )
    plan = load_plan(path)
    assert plan.name == "n3"
    assert plan.tasks[0].target == ("echo", "3", "", "", "e", "d")
    assert plan.environ == {"W_EMPTY": "", "W_NOT": None, "W_SET": "3"}


def test_a_key_of_defaults_that_two_files_have_cannot_be_renamed(tmp_path: Path) -> None:
    """One of the two goes."""
    (tmp_path / "b.toml").write_text("[defaults]\ntimeout = 3\n")
    path = tmp_path / "pipeline.toml"
    path.write_text('[pipeline]\ninclude = ["b.toml"]\n[defaults]\ntimeout = 2\n[tasks.a]\ncmd = ["true"]\n')
    with pytest.raises(InvalidPipeline) as caught:
        load_plan(path)
    assert [each.help for each in caught.value.mistakes] == ["keep one of the two"]
