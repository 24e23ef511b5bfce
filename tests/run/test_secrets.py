"""Where secrets come from, and what is said when they cannot be had."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from workflow.diagnostics.mistake import InvalidPipeline
from workflow.engine.memory import MemoryFolder
from workflow.outcome import Attempt, CallbackRecord, ErrorRecord, LogRange, Outcome
from workflow.plan.build import load_plan
from workflow.plan.plan import SecretSource
from workflow.run import logs as logs_module
from workflow.run import secrets as secrets_module
from workflow.run.logs import Cut, Logs, Streams, tail
from workflow.run.mask import Mask
from workflow.run.secrets import errors_masked, read_secrets
from workflow.spec.reference import Reference, Template

TASK = '[tasks.a]\ncmd = ["true"]\nenv = {T = "${secrets.T}"}\n'


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], str]:
    """Answer ``read('{env = "X"}')``: the secret from such a source."""

    def read_one(source: str) -> str:
        file = tmp_path / "pipeline.toml"
        file.write_text(f"[secrets]\nT = {source}\n{TASK}")
        return read_secrets(load_plan(file)).values["T"]

    return read_one


@pytest.fixture
def refused(read: Callable[[str], str]) -> Callable[[str], str]:
    """Answer what is said when a secret cannot be had from such a source."""

    def refuse(source: str) -> str:
        with pytest.raises(InvalidPipeline) as caught:
            read(source)
        return str(caught.value)

    return refuse


def test_a_secret_comes_from_each_source(
    read: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a file and a command without the last newline, and with all others."""
    monkeypatch.setenv("X_TOKEN", " tok\n")
    assert read('{env = "X_TOKEN"}') == " tok\n"
    (tmp_path / "token.txt").write_bytes(b"a\nb\r\n")
    assert read('{file = "token.txt"}') == "a\nb"
    (tmp_path / "token.txt").write_text("ü\n\n")
    assert read('{file = "token.txt"}') == "ü\n"
    assert read("{cmd = ['sh', '-c', 'pwd; echo not this >&2']}") == str(tmp_path)


def test_only_what_tasks_refer_to_is_read(tmp_path: Path) -> None:
    """Not what the tasks that are left out need, nor what a skipped one would."""
    file = tmp_path / "pipeline.toml"
    file.write_text(f'[secrets]\nT = {{env = "HOME"}}\nU = {{env = "WORKFLOW_TEST_NOT_SET"}}\n{TASK}')
    plan = load_plan(file)
    assert set(read_secrets(plan).values) == {"T"}
    file.write_text('[secrets]\nU = {env = "WORKFLOW_TEST_NOT_SET"}\n[tasks.a]\ncmd = ["true"]\n')
    secrets = read_secrets(load_plan(file))
    assert not secrets.mask
    with secrets:
        assert secrets.folder is None
        assert secrets.own_output is None
        assert secrets.heard(last=True) == []
        assert secrets.log_bound(None, 2) is None
        assert secrets.pushed_max(2) == 4096


def test_what_cannot_be_had_is_a_mistake_with_its_place(
    refused: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the secret and its source, and shows the line."""
    said = refused('{env = "WORKFLOW_TEST_NOT_SET"}')
    assert "pipeline.toml:2:5: secrets.T: the variable WORKFLOW_TEST_NOT_SET of the environment is not set" in said
    assert 'T = {env = "WORKFLOW_TEST_NOT_SET"}' in said
    monkeypatch.setenv("X_TOKEN", "")
    assert "is empty" in refused('{env = "X_TOKEN"}')
    monkeypatch.setitem(os.environ, "X_TOKEN", os.fsdecode(b"\xff"))
    assert "no text in UTF-8" in refused('{env = "X_TOKEN"}')
    assert f"the file {tmp_path}/none cannot be read: No such file or directory" in refused('{file = "none"}')
    assert "is not a regular file" in refused('{file = "."}')
    os.mkfifo(tmp_path / "pipe")
    assert "is not a regular file" in refused('{file = "pipe"}')
    (tmp_path / "f").write_bytes(b"\n")
    assert "is empty" in refused('{file = "f"}')
    (tmp_path / "f").write_bytes(b"a\0b")
    assert "holds a NUL character" in refused('{file = "f"}')
    (tmp_path / "f").write_bytes(b"a" * 70_000)
    assert "holds more than 64 KiB" in refused('{file = "f"}')


def test_a_command_that_does_not_give_it_is_told_with_what_it_said(refused: Callable[[str], str]) -> None:
    """Only then is its standard error shown."""
    said = refused("{cmd = ['sh', '-c', 'echo half; echo locked >&2; exit 3']}")
    assert "the command 'sh' failed with exit code 3" in said
    assert "it said: locked" in said
    assert "half" not in said.partition("\n")[0]
    assert "cannot be started: No such file" in refused("{cmd = ['no-such-program-xyz']}")
    assert "prints nothing" in refused("{cmd = ['true']}")
    assert "died by SIGKILL" in refused("{cmd = ['sh', '-c', 'kill -9 $$']}")
    assert "holds more than 64 KiB" in refused("{cmd = ['sh', '-c', 'yes | head -c 9000000']}")


def test_a_command_that_hangs_is_killed_with_all_it_started(
    refused: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its limit; that nothing is left is checked after every test."""
    monkeypatch.setattr(secrets_module, "COMMAND_S", 0.3)
    started = time.monotonic()
    command = "sleep 60 & (setsid sleep 60 &) ; sleep 60"
    assert "did not end in 0.3 s, and was killed" in refused(f"{{cmd = ['sh', '-c', '{command}']}}")
    assert time.monotonic() - started < 5


def test_what_a_command_leaves_running_is_not_waited_for(read: Callable[[str], str]) -> None:
    """An agent, say, which holds its output for ever."""
    started = time.monotonic()
    assert read("{cmd = ['sh', '-c', 'sleep 2 & echo tok']}") == "tok"
    assert time.monotonic() - started < 1.5
    time.sleep(1.5)


def test_a_signal_ends_the_command_and_then_what_it_ends(read: Callable[[str], str]) -> None:
    """As it would have done before the run."""
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            read("{cmd = ['sleep', '60']}")
    finally:
        signal.signal(signal.SIGTERM, before)
        timer.join()
    assert heard == [signal.SIGTERM]


def test_all_that_are_missing_are_told_at_once(tmp_path: Path) -> None:
    """And those that could be had are masked in what commands say of others."""
    file = tmp_path / "pipeline.toml"
    file.write_text(
        "[secrets]\nT = {cmd = ['echo', 'hunter2hunter2']}\nU = {env = 'WORKFLOW_TEST_NOT_SET'}\n"
        "V = {cmd = ['sh', '-c', 'x=hunter2; echo no $x$x >&2; false']}\n"
        "[tasks.a]\ncmd = ['true']\nenv = {T = '${secrets.T} ${secrets.U} ${secrets.V}'}\n"
    )
    with pytest.raises(InvalidPipeline) as caught:
        read_secrets(load_plan(file))
    assert [mistake.place for mistake in caught.value.mistakes] == [("secrets", "U"), ("secrets", "V")]
    assert "it said: no ***" in str(caught.value)
    assert "hunter2hunter2" not in str(caught.value).replace("['echo', 'hunter2hunter2']", "")


def test_a_mistake_of_ours_tells_no_secret() -> None:
    """Neither its message nor its traceback; what holds none is left as it is."""
    with pytest.raises(RuntimeError, match=r"^ValueError: no \*\*\* here") as caught, errors_masked(Mask(["hunter2"])):
        raise ValueError("no hunter2 here")
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__
    with pytest.raises(ValueError, match="other"), errors_masked(Mask(["hunter2"])):
        raise ValueError("other")


# Logs of a run with secrets

SECRET = "s3cr3t\ntwo-lines"
MASK = Mask([SECRET])


def attempt(path: Path, offset: int, size: int) -> Attempt:
    return Attempt(1, Outcome.SUCCEEDED, 0.0, 0.0, 1, log=LogRange(str(path), offset, size))


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """Answer the folder for logs, and a file that workers share elsewhere."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "memory").mkdir()
    return tmp_path / "logs", tmp_path / "memory/worker-1.0.log"


def test_logs_are_masked_also_where_they_are_cut(places: tuple[Path, Path]) -> None:
    """What is left of a secret at the end of the head and the beginning of the tail is no part of it any more."""
    folder, shared = places
    logs = Logs(folder, tasks=1, max_bytes=20, mask=MASK, memory=shared.parent)
    shared.write_text(f"head s3{SECRET}" + "x" * 50 + f"{SECRET} end")
    size = shared.stat().st_size
    for limit in range(2, size + 2):
        logs = Logs(folder, tasks=1, max_bytes=limit, mask=MASK, memory=shared.parent)
        logs.keep("a", [attempt(shared, 0, size)])
        text = (folder / "a.log").read_text()
        for part in ("cr3", "two", "lines"):
            assert part not in text
    logs.remove_shared()
    assert shared.exists()


def test_above_ten_thousand_tasks_masked_logs_are_in_one_file(places: tuple[Path, Path]) -> None:
    """Nothing of the workers' own files stays; a callback's output stands behind its task's."""
    folder, shared = places
    logs = Logs(folder, tasks=10_001, max_bytes=None, mask=MASK, memory=shared.parent)
    shared.write_text(f"one {SECRET}\ntwo\nhook {SECRET}\n")
    first = logs.keep("a", [attempt(shared, 0, 21)])
    second = logs.keep("b", [attempt(shared, 21, 4)])
    both = logs.keep_callback("a", LogRange(str(shared), 25, 22), first)
    assert (first, second) == ("logs/output.log#0+8", "logs/output.log#8+4")
    assert both == "logs/output.log#12+34"
    data = (folder / "output.log").read_bytes()
    assert data == b"one ***\ntwo\none ***\n--- callback ---\nhook ***\n"
    assert [path.name for path in folder.iterdir()] == ["output.log"]
    assert logs.keep_reason("c", "why").startswith("logs/output.log#46+")


def test_the_tail_is_masked_where_it_begins(places: tuple[Path, Path]) -> None:
    """It begins somewhere in the middle."""
    _folder, shared = places
    shared.write_bytes(b"x" * 100 + SECRET.encode() + b"z" * (logs_module._TAIL_BYTES - 9) + b"\nend")
    lines = tail([attempt(shared, 0, shared.stat().st_size)], mask=MASK)
    assert lines[0].startswith("***z")
    assert lines[-1] == "end"


def test_streamed_output_is_masked_wherever_it_was_looked_at(places: tuple[Path, Path]) -> None:
    """A secret seen in two looks, or in as many as it has bytes; what may be the beginning of one is masked too."""
    _folder, shared = places
    data = f"a\nnot {SECRET}!\ns3cr".encode()
    shared.write_bytes(data)
    streams = Streams(None, MASK)
    shown: list[str] = []
    for size in range(1, len(data) + 1):
        for piece in streams.news("t", 1, LogRange(str(shared), 0, size)):
            assert not isinstance(piece, Cut)
            shown += piece
    for piece in streams.last("t", [attempt(shared, 0, len(data))]):
        assert not isinstance(piece, Cut)
        shown += piece
    assert shown == ["a", "not ***!", "***"]


def test_memory_of_logs_that_were_kept_is_given_back(places: tuple[Path, Path]) -> None:
    """Small ones together; those that are still wanted keep theirs."""
    with MemoryFolder() as memory:
        shared = Path(memory.path, "worker-1.0.log")
        size = 10_000
        shared.write_bytes(b"x" * size * 1000)
        logs = Logs(places[0], tasks=1, max_bytes=None, mask=MASK, memory=shared.parent)
        wanted = 500
        for number in range(1000):
            if number != wanted:
                logs.let_go(LogRange(str(shared), number * size, size))
        with shared.open("rb") as file:
            file.seek(wanted * size)
            assert file.read(size) == b"x" * size
        assert shared.stat().st_blocks * 512 < 6 * size * 100
        logs.let_go(LogRange(str(shared), wanted * size, size))
        assert shared.stat().st_blocks * 512 < 3 << 20
        logs.let_go(None)


def test_masking_needs_memory(tmp_path: Path) -> None:
    """That is for us, not for users: nobody may forget it."""
    with pytest.raises(AssertionError):
        Logs(tmp_path, tasks=1, max_bytes=None, mask=MASK)


def test_an_error_record_is_what_a_mask_leaves() -> None:
    """Whatever part of it holds a secret."""
    from workflow.run.book import _masked_error

    assert _masked_error(ErrorRecord("E", "hunter2", "in hunter2", None), Mask(["hunter2"])) == ErrorRecord(
        "E", "***", "in ***", None
    )


def test_what_is_kept_of_a_task_leads_to_nothing_that_is_not_masked(
    go: Callable[..., Any],
    make_plan: Callable[..., Any],
    make_task: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Reports of whatever kind are made of the records: of their own texts, and of the logs they name."""
    monkeypatch.setenv("X_TOKEN", "hunter2-hunter2")
    reference = Template((Reference("secrets", ("T",)),), "text")
    plan = make_plan(make_task("a", env={"T": reference}), secrets={"T": SecretSource("env", "X_TOKEN", ".")})
    plan = replace(plan, name="about hunter2-hunter2")

    class Telling:
        def acts(self: Any, handle: Any) -> None:
            log = self.print("it is hunter2-hunter2\n")
            error = CallbackRecord("callback", Outcome.FAILED, ErrorRecord("E", "hunter2-hunter2"), log)
            self.end(handle, Outcome.FAILED, error="no hunter2-hunter2", log=log, callback=error)

    ran = go(plan, Telling, argv=("run", "--var", "t=hunter2-hunter2"))
    record = ran.records["a"]
    assert "hunter2" not in repr(record)
    assert "hunter2" not in ran.text
    assert "hunter2" not in repr(ran.result.run)
    assert record.attempts[0].log is None
    assert record.callback.log is None
    assert (ran.folder / record.log).read_text() == (
        "it is ***\n--- error ---\nValueError: no ***\n--- callback ---\nit is ***\n"
    )
    assert not Path(ran.engine.options["log_dir"]).exists()
