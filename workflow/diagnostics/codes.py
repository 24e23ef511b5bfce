"""Every kind of mistake in a pipeline file: its code, what it means, and a file with it beside one without it.

A code is a promise: it does not change, and does not come to mean something else, so that a program may look for it.
New kinds get new codes.  ``workflow explain`` prints this file; a test holds that each code used anywhere stands here,
that each of these is used, and that each example gives its code and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True, slots=True)
class Example:
    """A file, and what there has to be for the command to say of it what is claimed."""

    text: str
    beside: Mapping[str, str] = field(default_factory=dict)
    """Other files that are needed, by name."""
    options: tuple[str, ...] = ()
    """Of the command."""
    command: Literal["validate", "run", "chaos"] = "validate"
    """The first that finds it; of ``chaos`` the file is a faults file, ``faults.toml``."""

    @property
    def file(self) -> str:
        """What the text is the text of."""
        return "faults.toml" if self.command == "chaos" else "pipeline.toml"


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of mistake."""

    code: str
    title: str
    meaning: str
    bad: Example
    good: Example


_HELLO = '[tasks.hello]\ncmd = ["echo", "hello"]\n'
_IMPORT = ("--import",)


def _code(code: str, title: str, meaning: str, bad: str | Example, good: str | Example) -> Code:
    return Code(
        code,
        title,
        meaning,
        bad if isinstance(bad, Example) else Example(bad),
        good if isinstance(good, Example) else Example(good),
    )


_ALL = (
    # The file as a whole
    _code(
        "unreadable-file",
        "The file cannot be read",
        "There is no file at this path, it is a folder, or it may not be read by this user.",
        Example("", options=("nowhere/pipeline.toml",)),
        Example(_HELLO, options=("pipeline.toml",)),
    ),
    _code(
        "not-utf-8",
        "The file is not text in UTF-8",
        "TOML is always UTF-8. An editor may have saved the file in another encoding, such as Latin-1.",
        '[tasks.hello]\ncmd = ["echo", "\udce9t\udce9"]  # saved as Latin-1\n',
        '[tasks.hello]\ncmd = ["echo", "été"]\n',
    ),
    _code(
        "not-toml",
        "The text is not TOML",
        "A quote, a bracket or a sign is missing where this line stands, or a little before it. Texts stand in quotes, "
        "durations and sizes too; a key stands once in its table, and a table once in its file.",
        '[tasks.hello]\ncmd = ["echo", "hello"]\ntimeout = 90s\n',
        '[tasks.hello]\ncmd = ["echo", "hello"]\ntimeout = "90s"\n',
    ),
    _code(
        "toml-1.1",
        "The text is TOML 1.1",
        "Pipeline files are TOML 1.0, which every parser reads alike. TOML 1.1 allows line breaks and a last comma "
        "inside { }, the escapes \\e and \\xHH, and times without seconds.",
        '[tasks.hello]\ncmd = ["echo", "hello"]\nenv = {\n  LANG = "C",\n}\n',
        '[tasks.hello]\ncmd = ["echo", "hello"]\n[tasks.hello.env]\nLANG = "C"\n',
    ),
    _code(
        "too-deep",
        "Tables and arrays are nested too deeply",
        "More than 64 levels of tables and arrays in each other; no pipeline needs as many.",
        "[vars]\nx = " + "[" * 70 + "]" * 70 + "\n" + _HELLO,
        "[vars]\nx = [[1, 2], [3]]\n" + _HELLO,
    ),
    _code(
        "no-tasks",
        "There are no tasks",
        "A pipeline file has at least one table [tasks.NAME].",
        '[pipeline]\nname = "nightly"\n',
        '[pipeline]\nname = "nightly"\n' + _HELLO,
    ),
    # Keys
    _code(
        "unknown-key",
        "A key that means nothing",
        "Every key that is not in the grammar is a mistake, so that a misspelt one cannot be overlooked: a timeout "
        "that is not read is no timeout. The key may be known elsewhere: keys of [pipeline] hold for the file, keys of "
        "[tasks.NAME] for one task.",
        '[tasks.hello]\ncmd = ["echo", "hello"]\ntimeot = "90s"\n',
        '[tasks.hello]\ncmd = ["echo", "hello"]\ntimeout = "90s"\n',
    ),
    _code(
        "misplaced-key",
        "A key that does not belong where it stands",
        "The key is known, and does nothing here. args and kwargs are for module and call; on is not for module; a key "
        "of a task that stands below a header such as [tasks.NAME.env] belongs to that table, and not to the task.",
        '[tasks.hello]\ncmd = ["echo"]\nargs = ["hello"]\n',
        '[tasks.hello]\ncmd = ["echo", "hello"]\n',
    ),
    _code(
        "no-kind",
        "A task that says nothing to run",
        "A task has exactly one of module, call, cmd and shell, of its own or from [defaults].",
        '[tasks.hello]\ntimeout = "90s"\n',
        '[tasks.hello]\ntimeout = "90s"\ncmd = ["echo", "hello"]\n',
    ),
    _code(
        "two-kinds",
        "A task that says twice what to run",
        "A task has exactly one of module, call, cmd and shell; one of the two may have come from [defaults].",
        '[tasks.hello]\ncmd = ["echo", "hello"]\nshell = "echo hello"\n',
        '[tasks.hello]\nshell = "echo hello"\n',
    ),
    _code(
        "contradiction",
        "Two things that exclude each other",
        "Each of the two is right by itself; together they cannot be done.",
        '[pipeline]\nhalt = "never"\nmax_failures = 3\n' + _HELLO,
        '[pipeline]\nhalt = "soon"\nmax_failures = 3\n' + _HELLO,
    ),
    # Values
    _code(
        "bad-value",
        "A value that this key cannot have",
        "It is of another type (text for a number, one text for an array), or out of range. The README lists what each "
        "key takes.",
        '[tasks.hello]\ncmd = ["echo", "hello"]\nisolate = "true"\n',
        '[tasks.hello]\ncmd = ["echo", "hello"]\nisolate = true\n',
    ),
    _code(
        "bad-duration",
        "Not a duration",
        'A duration is a number of seconds, or text such as "250ms", "90s", "1h30m", above 0; where there may be no '
        'limit at all, "none".',
        '[tasks.hello]\ncmd = ["echo", "hello"]\ntimeout = "5 minutes"\n',
        '[tasks.hello]\ncmd = ["echo", "hello"]\ntimeout = "5m"\n',
    ),
    _code(
        "bad-size",
        "Not a size",
        'A size is a number of bytes, or text such as "512MiB", "2GB", of at least one byte; "none" for no limit. '
        "The memory of a task is at least 1 MiB: no process runs in less.",
        '[pipeline]\nmax_log = "10 megs"\n' + _HELLO,
        '[pipeline]\nmax_log = "10MB"\n' + _HELLO,
    ),
    _code(
        "bad-path",
        "Not the path of something in Python",
        'A Model is written "package.module.Class", a function "package.module:function", a module "package.module".',
        '[tasks.fetch]\ncall = "feeds.fetch"\n',
        '[tasks.fetch]\ncall = "feeds:fetch"\n',
    ),
    _code(
        "bad-name",
        "A name that cannot be used",
        "Names of tasks and variables are made of letters, digits, '_' and '-', and begin with a letter or '_'.",
        '[tasks."say hello"]\ncmd = ["echo", "hello"]\n',
        '[tasks.say-hello]\ncmd = ["echo", "hello"]\n',
    ),
    _code(
        "bad-matrix",
        "A matrix that gives no instances, or none that can be told apart",
        'An axis is a list of values, {range = [0, 10]} or {glob = "photos/*.jpg"}, and has at least one value. '
        "include adds instances that give every axis; each exclude takes at least one away.",
        '[tasks.hello]\ncmd = ["echo", "${matrix.size}"]\nmatrix = {size = "small large"}\n',
        '[tasks.hello]\ncmd = ["echo", "${matrix.size}"]\nmatrix = {size = ["small", "large"]}\n',
    ),
    # References
    _code(
        "bad-reference",
        "A reference that cannot be read",
        "A reference is ${vars.NAME}, ${matrix.AXIS} or ${tasks.NAME.result}. A literal ${ is written $${: that is how "
        "the shell's own variables are written in shell.",
        '[tasks.hello]\nshell = "echo ${HOME}"\n',
        '[tasks.hello]\nshell = "echo $${HOME}"\n',
    ),
    _code(
        "misplaced-reference",
        "A reference where its value is not known yet",
        "What the matrix says is not known in [pipeline], matrix and needs; results go into args, kwargs, cmd, shell "
        "and env, since all else must be known before anything runs.",
        '[tasks.hello]\ncmd = ["echo", "hello"]\nmatrix = {size = ["1s", "2s"]}\nneeds = ["${matrix.size}"]\n',
        '[tasks.hello]\ncmd = ["echo", "hello"]\nmatrix = {size = ["1s", "2s"]}\ntimeout = "${matrix.size}"\n',
    ),
    _code(
        "unknown-variable",
        "A variable that is not declared",
        "Variables are declared in [vars], with a value that --var NAME=VALUE may replace.",
        '[vars]\nwho = "world"\n[tasks.hello]\ncmd = ["echo", "${vars.whom}"]\n',
        '[vars]\nwho = "world"\n[tasks.hello]\ncmd = ["echo", "${vars.who}"]\n',
    ),
    _code(
        "bad-variable",
        "A --var of another type than its variable",
        "What --var gives takes the type of the declared value: a whole number stays a whole number.",
        Example("[vars]\nlevel = 3\n" + _HELLO, options=("--var", "level=high")),
        Example("[vars]\nlevel = 3\n" + _HELLO, options=("--var", "level=4")),
    ),
    _code(
        "unknown-axis",
        "An axis that the matrix of the task does not have",
        "${matrix.NAME} is the value of an axis of the same task's matrix.",
        '[tasks.hello]\ncmd = ["echo", "${matrix.siz}"]\nmatrix = {size = [1, 2]}\n',
        '[tasks.hello]\ncmd = ["echo", "${matrix.size}"]\nmatrix = {size = [1, 2]}\n',
    ),
    _code(
        "bad-condition",
        "An if that cannot be answered",
        "An if compares vars, env and matrix: == != in, not in, not, and, or, with texts in quotes, numbers, true, "
        "false and lists. There are no functions, and no ${…}: a name stands by itself. A text is never a number, so "
        "to compare the two is a mistake; variables of the environment are text.",
        '[tasks.hello]\ncmd = ["echo", "hello"]\nif = "env.LEVEL == 3"\n',
        '[tasks.hello]\ncmd = ["echo", "hello"]\nif = "env.LEVEL == \'3\'"\n',
    ),
    _code(
        "unreachable-if",
        "An if that is false whatever is given",
        "It asks neither vars nor env, so nothing can change its answer, and that is false for the task, or for every "
        "instance of its matrix: the task would never run.",
        '[tasks.hello]\ncmd = ["echo", "hello"]\nmatrix = {os = ["linux", "mac"]}\nif = "matrix.os == \'win\'"\n',
        '[tasks.hello]\ncmd = ["echo", "hello"]\nmatrix = {os = ["linux", "mac"]}\nif = "matrix.os == \'mac\'"\n',
    ),
    # How tasks fit together
    _code(
        "unknown-task",
        "A task that is not there",
        "needs and ${tasks.NAME.…} name tasks of the file; of a task with a matrix the name, without an instance.",
        '[tasks.build]\ncmd = ["make"]\n[tasks.test]\ncmd = ["make", "test"]\nneeds = ["biuld"]\n',
        '[tasks.build]\ncmd = ["make"]\n[tasks.test]\ncmd = ["make", "test"]\nneeds = ["build"]\n',
    ),
    _code(
        "cycle",
        "Tasks that wait for each other",
        "A task waits for those in its needs, for those whose results it takes, and for those that make its inputs. In "
        "a circle nobody can begin. Instances of one task never wait for each other: where one reads what another one "
        "makes, the steps are tasks of their own.",
        '[tasks.a]\ncmd = ["true"]\nneeds = ["b"]\n[tasks.b]\ncmd = ["true"]\nneeds = ["a"]\n',
        '[tasks.a]\ncmd = ["true"]\nneeds = ["b"]\n[tasks.b]\ncmd = ["true"]\n',
    ),
    _code(
        "output-twice",
        "A file that two tasks make",
        "An output has one maker: of two tasks, or two instances of one, that write the same path each would undo what "
        "the other did, and nobody could say whose it is. A folder and something in it are the same output.",
        '[tasks.a]\ncmd = ["make"]\nmatrix = {x = [1, 2]}\noutputs = "out.txt"\n',
        '[tasks.a]\ncmd = ["make"]\nmatrix = {x = [1, 2]}\noutputs = "out-${matrix.x}.txt"\n',
    ),
    _code(
        "result-of-matrix",
        "The one result of a task that has many",
        "A task with a matrix has a result for each instance: ${tasks.NAME.results} lists those that succeeded, "
        "${tasks.NAME.items} all.",
        '[tasks.a]\ncall = "m:f"\nmatrix = {x = [1, 2]}\n[tasks.b]\ncall = "m:g"\nargs = ["${tasks.a.result}"]\n',
        '[tasks.a]\ncall = "m:f"\nmatrix = {x = [1, 2]}\n[tasks.b]\ncall = "m:g"\nargs = ["${tasks.a.results}"]\n',
    ),
    # Several files, and the command line
    _code(
        "bad-plan",
        "A saved plan that cannot be used",
        "What plan --json has written can be run, as it was written. It was changed or cut since, it is of a format "
        "that this version does not know, or it is no plan at all. Its paths are relative to its folder, or to --root.",
        Example(_HELLO, {"plan.json": "{}"}, ("plan.json",)),
        Example(_HELLO, options=("pipeline.toml",)),
    ),
    _code(
        "bad-include",
        "A file that is included cannot be read",
        "pipeline.include names other pipeline files, relative to the one that includes them: paths, or globs such as "
        '"parts/*.toml".',
        Example('[pipeline]\ninclude = ["parst.toml"]\n' + _HELLO, {"parts.toml": "[vars]\nx = 1\n"}),
        Example('[pipeline]\ninclude = ["parts.toml"]\n' + _HELLO, {"parts.toml": "[vars]\nx = 1\n"}),
    ),
    _code(
        "include-cycle",
        "Files that include each other",
        "An included file may include others, but none of those that lead to it. One that is named twice counts once.",
        Example('[pipeline]\ninclude = ["a.toml"]\n' + _HELLO, {"a.toml": '[pipeline]\ninclude = ["pipeline.toml"]\n'}),
        Example('[pipeline]\ninclude = ["a.toml", "b.toml"]\n' + _HELLO, {"a.toml": "", "b.toml": ""}),
    ),
    _code(
        "defined-twice",
        "A name that two files define",
        "Tables of an included file are added to those of the same name, key by key. A key that both have would be one "
        "or the other by the order of the files, and so it is a mistake.",
        Example('[pipeline]\ninclude = ["a.toml"]\n' + _HELLO, {"a.toml": _HELLO}),
        Example('[pipeline]\ninclude = ["a.toml"]\n' + _HELLO, {"a.toml": _HELLO.replace("hello]", "again]")}),
    ),
    _code(
        "unknown-profile",
        "A profile that is not in the file",
        "--profile P lays the keys of the table [profiles.P] over the file.",
        Example("[profiles.night.pipeline]\npool = 8\n" + _HELLO, options=("--profile", "nigth")),
        Example("[profiles.night.pipeline]\npool = 8\n" + _HELLO, options=("--profile", "night")),
    ),
    _code(
        "bad-set",
        "A --set that sets nothing",
        "--set KEY=VALUE lays a value over a key of the file: tasks.NAME.KEY, defaults.KEY, pipeline.KEY, vars.NAME. "
        "The value is TOML, or text where it is none.",
        Example(_HELLO, options=("--set", "tasks.helo.timeout=9s")),
        Example(_HELLO, options=("--set", "tasks.hello.timeout=9s")),
    ),
    _code(
        "unknown-template",
        "A template that is not in the file",
        "extends names tables [templates.NAME]; their keys are laid under those of the task, from left to right.",
        '[templates.heavy]\ntimeout = "2h"\n[tasks.hello]\ncmd = ["true"]\nextends = ["haevy"]\n',
        '[templates.heavy]\ntimeout = "2h"\n[tasks.hello]\ncmd = ["true"]\nextends = ["heavy"]\n',
    ),
    _code(
        "unknown-secret",
        "A secret that is not declared",
        "Secrets are declared in [secrets], each with where it comes from: a variable of the environment, a file or a "
        "command. ${secrets.NAME} may stand in env, args and kwargs.",
        '[secrets]\ntoken = {env = "TOKEN"}\n[tasks.hello]\ncmd = ["true"]\nenv = {T = "${secrets.tokn}"}\n',
        '[secrets]\ntoken = {env = "TOKEN"}\n[tasks.hello]\ncmd = ["true"]\nenv = {T = "${secrets.token}"}\n',
    ),
    _code(
        "secret-missing",
        "A secret that cannot be had",
        "A run reads the secrets that its tasks refer to before it begins: a variable must be set, a file readable, a "
        "command exit with 0 within 30 s. What comes of it must be text in UTF-8, not empty, and at most 64 KiB. "
        "validate and plan read no secret.",
        Example(
            '[secrets]\ntoken = {file = "token.txt"}\n[tasks.hello]\ncmd = ["true"]\nenv = {T = "${secrets.token}"}\n',
            command="run",
        ),
        Example(
            '[secrets]\ntoken = {file = "token.txt"}\n[tasks.hello]\ncmd = ["true"]\nenv = {T = "${secrets.token}"}\n',
            {"token.txt": "abc\n"},
            command="run",
        ),
    ),
    _code(
        "unknown-limit",
        "A limit that is not declared",
        'uses takes tokens of [limits] while the task runs: db = 1 is one token, {tokens = 10, per = "1s"} is a rate.',
        '[limits]\ndb = 1\n[tasks.hello]\ncmd = ["true"]\nuses = "bd"\n',
        '[limits]\ndb = 1\n[tasks.hello]\ncmd = ["true"]\nuses = "db"\n',
    ),
    _code(
        "above-limit",
        "More tokens than there are",
        "A task that takes more tokens of a limit than the limit has could never start.",
        '[limits]\ndb = 1\n[tasks.hello]\ncmd = ["true"]\nuses = {db = 2}\n',
        '[limits]\ndb = 2\n[tasks.hello]\ncmd = ["true"]\nuses = {db = 2}\n',
    ),
    # What --import finds
    _code(
        "cannot-import",
        "What a task names cannot be imported",
        "There is no such module on the path that the run would have, there is no such name in it, or importing it "
        "raises an error. The folder of the file and those of pipeline.path come first on the path.",
        Example('[tasks.a]\ncall = "feeds:fetsh"\n', {"feeds.py": "def fetch():\n    pass\n"}, _IMPORT),
        Example('[tasks.a]\ncall = "feeds:fetch"\n', {"feeds.py": "def fetch():\n    pass\n"}, _IMPORT),
    ),
    _code(
        "import-hangs",
        "A module whose import does not end",
        "The import was ended at the limit of --import-timeout. Work belongs into functions; what stands at the top of "
        "a module is done at each import, in each worker.",
        Example(
            '[tasks.a]\ncall = "feeds:fetch"\n',
            {"feeds.py": "import time\n\ntime.sleep(3600)\n\ndef fetch():\n    pass\n"},
            ("--import", "--import-timeout", "1s"),
        ),
        Example('[tasks.a]\ncall = "feeds:fetch"\n', {"feeds.py": "def fetch():\n    pass\n"}, _IMPORT),
    ),
    _code(
        "import-dies",
        "A module whose import ends the process",
        "The process in which the module was imported was killed by a signal, or the module left it (sys.exit). A "
        'program does its work below `if __name__ == "__main__":`, so that it can be imported.',
        Example(
            '[tasks.a]\ncall = "feeds:fetch"\n',
            {"feeds.py": "import sys\n\ndef fetch():\n    pass\n\nsys.exit(3)\n"},
            _IMPORT,
        ),
        Example(
            '[tasks.a]\ncall = "feeds:fetch"\n',
            {"feeds.py": 'import sys\n\ndef fetch():\n    pass\n\nif __name__ == "__main__":\n    sys.exit(3)\n'},
            _IMPORT,
        ),
    ),
    _code(
        "not-runnable",
        "What is named is there, and cannot be run",
        "module names a class derived from workflow.Model that defines runnable and is made without arguments; call "
        "and on name something that can be called.",
        Example('[tasks.a]\ncall = "feeds:LIMIT"\n', {"feeds.py": "LIMIT = 3\n"}, _IMPORT),
        Example('[tasks.a]\ncall = "feeds:limit"\n', {"feeds.py": "def limit():\n    return 3\n"}, _IMPORT),
    ),
    _code(
        "bad-signature",
        "Arguments that the function does not take",
        "args and kwargs are compared with the function's signature, as the call would; what a function takes that has "
        "no signature (some of C) is not known before the run.",
        Example(
            '[tasks.a]\ncall = "feeds:fetch"\nkwargs = {contry = "de"}\n',
            {"feeds.py": "def fetch(country='fr'):\n    pass\n"},
            _IMPORT,
        ),
        Example(
            '[tasks.a]\ncall = "feeds:fetch"\nkwargs = {country = "de"}\n',
            {"feeds.py": "def fetch(country='fr'):\n    pass\n"},
            _IMPORT,
        ),
    ),
    _code(
        "no-program",
        "A program that is not there",
        "The first text of cmd is a program: by its name in PATH, as the environment of the task has it, or by a path "
        "relative to the task's folder. One that another task makes is not missed, if it lies in its outputs.",
        Example('[tasks.a]\ncmd = ["./cleen.sh"]\n', {"clean.sh": "#!/bin/sh\n"}, _IMPORT),
        Example('[tasks.a]\ncmd = ["sh", "clean.sh"]\n', {"clean.sh": "#!/bin/sh\n"}, _IMPORT),
    ),
    _code(
        "no-folder",
        "A folder that is not there",
        "cwd and pipeline.path name folders, relative to the file. One that another task makes is not missed, if it "
        "lies in its outputs.",
        Example('[tasks.a]\ncmd = ["ls"]\ncwd = "build"\n', options=_IMPORT),
        Example(
            '[tasks.a]\ncmd = ["ls"]\ncwd = "build"\nneeds = "b"\n'
            '[tasks.b]\ncmd = ["mkdir", "build"]\noutputs = ["build/"]\n',
            options=_IMPORT,
        ),
    ),
    # Faults files
    _code(
        "no-faults",
        "There are no faults in a faults file",
        "A faults file has at least one table [[fault]].",
        Example("seed = 7\n", command="chaos"),
        Example('seed = 7\n[[fault]]\ntask = "*"\nkind = "crash.segv"\n', command="chaos"),
    ),
    _code(
        "missing-key",
        "A key that must be there is not",
        "A fault says which tasks it strikes and what it does: task and kind.",
        Example('[[fault]]\ntask = "*"\n', command="chaos"),
        Example('[[fault]]\ntask = "*"\nkind = "crash.segv"\n', command="chaos"),
    ),
    _code(
        "fault-does-not-fit",
        "A fault that cannot strike this pipeline",
        "No task matches, or what matches is of a kind to which this cannot happen: a payload.* fault is one of values "
        "that Python hands over, and a command has none.",
        Example('[[fault]]\ntask = "nobody"\nkind = "crash.segv"\n', beside={"pipeline.toml": _HELLO}, command="chaos"),
        Example('[[fault]]\ntask = "hello"\nkind = "crash.segv"\n', beside={"pipeline.toml": _HELLO}, command="chaos"),
    ),
)

CODES: Mapping[str, Code] = MappingProxyType({each.code: each for each in _ALL})
"""By code, in the order in which they are listed."""
