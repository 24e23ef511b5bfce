"""Keys that somebody took from another tool, spelled another way, or wrote below another header than was meant.

All of it is data and pure functions, and only looked at once a mistake has been found.  The one exception is a key of a
task that stands below a header such as [tasks.a.env].  To TOML it is a variable of the environment, and a right one; to
whoever wrote it there, it is a timeout.  Choices: say nothing (and the limit is silently none), warn (nobody reads
the warnings of a nightly run), refuse every variable with such a name, or refuse it only below a header, where the slip
happens.  It is the last; the price: somebody who does want a variable `timeout` writes it in braces or with a dot.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import NamedTuple

from workflow.diagnostics.mistake import Mistake, Place
from workflow.diagnostics.suggest import did_you_mean, nearest
from workflow.spec.document import Document


class Meant(NamedTuple):
    """What an unknown key was probably meant to be."""

    near: str | None
    """The end of the headline, such as ``did you mean 'needs'?``."""
    help: str | None


def _named(target: str, *words: str) -> dict[str, str]:
    return dict.fromkeys(words, target)


# What other tools call a key of ours: make, tox, nox, poe, just, GitLab, GitHub Actions, Airflow, Prefect, Snakemake.
OF_TASK: Mapping[str, str] = {
    **_named('needs = ["fetch"]', "after", "deps", "dependencies", "depends", "depends_on", "dependson", "need",
             "prerequisites", "requires", "require", "upstream", "wait_for", "previous"),
    **_named('cmd = ["ls", "-l"]', "argv", "command", "commands", "exec", "program", "cmds", "execute"),
    **_named('shell = "ls | wc -l"', "run", "script", "sh", "bash", "line", "recipe"),
    **_named('call = "package.module:function"', "func", "function", "callable", "python", "entrypoint", "entry_point",
             "target", "action", "python_callable", "fn"),
    **_named('module = "package.module.Class"', "class", "model", "cls"),
    **_named('args = ["photo.jpg", 3]', "arguments", "params", "parameters", "inputs_args", "op_args"),
    **_named("kwargs = {size = 3}", "keywords", "options", "op_kwargs", "keyword_arguments", "with"),
    **_named('env = {LANG = "C"}', "env_vars", "environment", "envs", "variables", "environ", "setenv", "set_env"),
    **_named('cwd = "sub/folder"', "working_dir", "working_directory", "workdir", "dir", "directory", "chdir",
             "change_dir", "folder", "workspace"),
    **_named('timeout = "90s"', "time_limit", "limit", "max_time", "timeout_seconds", "timeout_minutes", "timeout_s",
             "timeout_sec", "execution_timeout", "max_runtime", "walltime", "duration"),
    **_named('grace = "5s"', "kill_after", "grace_period", "kill_delay", "terminate_timeout", "stop_grace_period"),
    **_named("allow_failure = true", "continue_on_error", "ignore_errors", "ignore_error", "ignore_failure",
             "may_fail", "optional", "ignore_exit_code", "ignore_outcome", "ignore_fail", "soft_fail", "allow_fail"),
    **_named('matrix = {size = ["small", "large"]}', "strategy", "foreach", "for_each", "parametrize", "parameterize",
             "expand", "loop", "with_items", "axes"),
    **_named('tags = ["slow"]', "labels", "groups", "group", "tag", "marks", "markers", "category"),
    **_named('doc = "what it is for"', "description", "desc", "help", "comment", "summary", "note", "docstring"),
    **_named('on = {success = "package.module:function"}', "on_success", "on_success_callback", "callback",
             "on_done", "on_complete"),
    **_named('on = {failure = "package.module:function"}', "on_failure", "on_error", "error_callback", "on_fail",
             "on_failure_callback", "errback"),
    **_named("isolate = true", "isolated", "sandbox", "own_process", "fork"),
    **_named("retries = 3", "retry", "attempts", "max_attempts", "tries", "max_retries", "retry_count"),
    **_named('retries = {max = 3, delay = "3s"}', "delay", "backoff", "retry_delay", "max_delay", "jitter"),
    **_named('if = "vars.level == 3"', "when", "condition", "only_if", "run_if", "rules"),
    **_named('memory = "512MiB"', "memory_limit", "mem", "max_memory", "mem_limit", "mem_mb"),
    **_named('outputs = ["out.txt"]', "output", "targets", "creates", "produces", "artifacts", "generates"),
    **_named('inputs = ["in.txt"]', "input", "sources", "file_dep", "reads", "files"),
}  # fmt: skip
"""By name elsewhere, spelled in lower case with ``_``: our key, as an example of it."""

OF_PIPELINE: Mapping[str, str] = {
    **_named("pool = 4", "jobs", "workers", "parallel", "parallelism", "concurrency", "max_workers", "max_parallel",
             "processes", "num_workers", "n_jobs", "threads", "cpus", "pool_size"),
    **_named('halt = "soon"', "fail_fast", "failfast", "stop_on_error", "stop_on_failure", "keep_going", "on_error",
             "on_failure", "exitfirst"),
    **_named("max_failures = 3", "max_fail", "maxfail", "max_errors", "failures"),
    **_named('path = ["src"]', "pythonpath", "python_path", "sys_path", "paths", "search_path"),
    **_named('preload = ["numpy"]', "imports", "import", "modules", "preloads"),
    **_named("format = 1", "version", "schema", "schema_version", "format_version"),
    **_named('name = "nightly"', "title", "id", "project"),
    **_named('doc = "what it is for"', "description", "desc", "help", "comment", "summary"),
    **_named('timeout = "2h"', "time_limit", "limit", "max_time", "timeout_seconds", "deadline"),
    **_named('max_log = "10MiB"', "log_limit", "log_size", "max_log_size", "max_output"),
    **_named('max_result = "1GiB"', "result_limit", "max_result_size"),
    **_named('include = ["more.toml"]', "includes", "extends", "imports_files"),
}  # fmt: skip
"""The same for [pipeline]."""

OF_FILE: Mapping[str, str] = {
    **_named("tasks", "task", "job", "jobs", "step", "steps", "stage", "stages", "target", "targets", "rule", "rules",
             "command", "commands", "recipe", "recipes"),
    **_named("vars", "var", "variable", "variables", "params", "parameters", "constants", "args", "vals"),
    **_named("defaults", "default", "common", "base", "global_defaults"),
    **_named("pipeline", "config", "settings", "options", "workflow", "project", "global", "globals", "general",
             "pipelines", "batch", "flow", "dag"),
}  # fmt: skip
"""Tables of other tools, and ours."""


def meant_key(key: str, known: Sequence[str], words: Mapping[str, str]) -> Meant | None:
    """Which of the known keys was meant: one that is spelled otherwise, or that another tool calls so."""
    table, dot, _ = key.partition(".")
    if dot and table in known:
        return Meant(f"did you mean {key} without quotes?", f"write {key} = …; within quotes a dot is part of the name")
    plain = _plain(key)
    for name in known:
        if plain == _plain(name) and key != name:
            return Meant(f"did you mean {name!r}?", "keys are in lower case, their words joined by '_'")
    example = words.get(re.sub(r"[- ]", "_", key).casefold()) or words.get(_snake(key))
    if example is not None and (target := example.partition(" =")[0]) in known:
        return Meant(f"did you mean {target!r}?", f"here it is written {example}")
    near = did_you_mean(key, known)
    return Meant(near, None) if near else None


def meant_table(key: str, known: Sequence[str]) -> Meant:
    """Which of the tables of a file was meant."""
    table = OF_FILE.get(key.casefold())
    if table not in known:
        table = nearest(key, known)
    if table is None:
        return Meant(None, None)
    help_ = "a task is a table [tasks.NAME]" if table == "tasks" else f"its table is [{table}]"
    return Meant(f"did you mean {table!r}?", help_)


def stray_keys(
    document: Document, keys: Container[str], kinds: Container[str], mistakes: Sequence[Mistake]
) -> list[Mistake]:
    """All mistakes, those left out that come of keys which fell into a table below their task, and those told instead.

    A header such as [tasks.a.env] is not over until the next header: a key of the task that is written after it
    belongs to the environment.  Where the table is written in braces, or with dots, nobody can have meant the task.  An
    axis may have such a name, if it is asked for.
    """
    told = list(mistakes)
    without_kind = {each.place for each in mistakes if each.code == "no-kind"}
    for base, table in _task_tables(document.value):
        lost = base in without_kind
        for inner in ("env", "kwargs", "matrix"):
            below = table.get(inner)
            for key in below if isinstance(below, dict) else ():
                place = (*base, inner, key)
                fell = key in keys if inner == "env" else lost and key in kinds
                fell = fell or (inner == "matrix" and key in keys and not _is_named(document, place))
                if not fell or not _is_below_a_header(document, place):
                    continue
                headline = (
                    f"'{key}' is a key of the task, and stands below [{'.'.join(place[:-1])}], as part of its {inner}"
                )
                help_ = (
                    f"write it above that header; if it is meant so, write {inner}.{key} = … below [{'.'.join(base)}]"
                )
                if key in kinds:
                    told = [each for each in told if (each.code, each.place) != ("no-kind", base)]
                told = [each for each in told if each.place[: len(place)] != place]
                told.append(Mistake("misplaced-key", place, headline, help_, at_key=True))
    return told


def _task_tables(document: Mapping[str, object]) -> Iterator[tuple[tuple[str, ...], dict[str, object]]]:
    for section, value in document.items():
        if section == "defaults" and isinstance(value, dict):
            yield (section,), value
        elif section in ("tasks", "templates") and isinstance(value, dict):
            yield from (((section, name), table) for name, table in value.items() if isinstance(table, dict))


def _is_named(document: Document, place: Place) -> bool:
    """Whether anything asks for the axis at this place, as far as the text tells: nobody writes one for nothing."""
    name = re.escape(str(place[-1]))
    asks = re.compile(rf"""matrix\.{name}(?![\w-])|["']{name}["']""")
    return any(asks.search(re.sub(r"(?m)^[ \t]*#.*", "", source.text)) for source in document.sources)


def _is_below_a_header(document: Document, place: Place) -> bool:
    """Whether a line is the header of the table of this key.  One inside a text of several lines is taken for it."""
    home = document.origin(place)
    if home.source is None:
        return False
    names = (re.escape(str(name)) for name in home.place[:-1])
    dotted = r"[ \t]*\.[ \t]*".join(rf"""(?:{name}|"{name}"|'{name}')""" for name in names)
    return re.search(rf"^[ \t]*\[[ \t]*{dotted}[ \t]*\]", home.source.text, re.MULTILINE) is not None


def _plain(key: str) -> str:
    return re.sub(r"[-_ ]", "", key).casefold()


def _snake(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", key).casefold()
