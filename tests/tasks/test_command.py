"""``cmd`` and ``shell``: real programs, run in this process as a worker would run them."""

from __future__ import annotations

import ctypes
import errno
import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from workflow import tasks
from workflow.engine import processes
from workflow.engine.attempt_notes import Terminated, notes
from workflow.tasks import (
    RESULT_BYTES_MAX,
    Command,
    CommandFailed,
    CommandKilled,
    CommandNotStarted,
    ResultTooLarge,
    Shell,
)

PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture(autouse=True)
def worker() -> Iterator[None]:
    """This process is a worker for one test: it adopts, has clean notes, and nothing of the test is left in it."""
    prctl = ctypes.CDLL(None).prctl
    notes.reset()
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    children, descriptors = processes.children(os.getpid()), os.listdir("/proc/self/fd")
    yield
    prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    notes.reset()
    assert processes.children(os.getpid()) == children
    assert os.listdir("/proc/self/fd") == descriptors


@pytest.fixture(params=["pidfd", "no pidfd"])
def any_watch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the descriptor that tells of a program's end, and on a system that has none."""
    if request.param == "no pidfd":
        monkeypatch.delattr(os, "pidfd_open")


class Interrupted(BaseException):
    """Raised by a signal's handler, as KeyboardInterrupt is."""


def python(program: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", program]


def at_limit(after_line: Path, after_s: float = 0.0, raising: type[BaseException] = Interrupted) -> threading.Thread:
    """When a file is there, SIGTERM for this process, whose handler raises."""

    def raise_it(_number: int, _frame: object) -> None:
        raise raising

    signal.signal(signal.SIGTERM, raise_it)

    def send() -> None:
        while not after_line.exists():
            time.sleep(0.001)
        time.sleep(after_s)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.fixture
def sigterm_restored() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("any_watch")
def test_the_result_is_what_it_printed_without_the_last_newline(capfd: pytest.CaptureFixture[str]) -> None:
    """One newline goes, the rest stays; the log has all of it."""
    assert Command().runnable(["printf", "a\\nb\\n\\n"]) == "a\nb\n"
    assert capfd.readouterr().out == "a\nb\n\n"
    assert (notes.exit_code, notes.signal, notes.left) == (0, None, 0)
    assert Command().runnable(["true"]) == ""
    assert Shell().runnable("echo $((1 + 1)); echo oh >&2") == "2"
    assert capfd.readouterr() == ("2\n", "oh\n")


def test_no_shell_reads_the_words_of_a_command() -> None:
    """An argv is taken as it is."""
    assert Command().runnable(["printf", "%s|", "$HOME", "*", "a b", ""]) == "$HOME|*|a b||"


def test_its_stdin_is_empty_and_its_session_its_own() -> None:
    """No program waits for a person, and no terminal's signal reaches it past the engine."""
    assert Command().runnable(["cat"]) == ""
    text = Command().runnable(python("import os; print(os.getsid(0) == os.getpid(), os.getppid())"))
    assert text == f"True {os.getpid()}"


def test_it_inherits_no_file_and_no_signal_settings(tmp_path: Path) -> None:
    """What the worker ignores or blocks, and has open, is the worker's."""
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        with open(tmp_path / "open_in_the_worker", "wb"):
            text = Shell().runnable("grep -E '^Sig(Blk|Ign)' /proc/self/status; ls -l /proc/self/fd")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.signal(signal.SIGUSR1, before)
    assert text is not None
    settings = dict(line.split(":\t") for line in text.splitlines()[:2])
    named = 0x7FFF_FFFF  # some systems start everybody with the two signals of the thread library ignored
    assert int(settings["SigBlk"], 16) == 0
    assert int(settings["SigIgn"], 16) & named == 0
    assert "open_in_the_worker" not in text


def test_it_has_the_environment_and_folder_of_its_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker sets both for the task; a program in a PATH set so is found."""
    (tmp_path / "tool").write_text('#!/bin/sh\necho "$A_VARIABLE $PWD"\n', encoding="utf-8")
    (tmp_path / "tool").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("A_VARIABLE", "ä")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert Command().runnable(["tool"]) == f"ä {tmp_path}"
    assert Command().runnable(["./tool"]) == f"ä {tmp_path}"


@pytest.mark.usefixtures("any_watch")
@pytest.mark.parametrize("code", [1, 7, 126, 127, 137, 255])
def test_a_nonzero_exit_code_fails(code: int) -> None:
    """The error names the program and the code, and what shells mean by it."""
    with pytest.raises(CommandFailed) as raised:
        Shell().runnable(f"echo out; exit {code}")
    error = raised.value
    assert error.exit_code == notes.exit_code == code
    assert notes.signal is None
    meaning = {
        126: " (a shell says so of a program that may not be executed)",
        127: " (a shell says so of a program that it did not find)",
        137: " (a shell says so of a program that was killed by SIGKILL)",
    }.get(code, "")
    assert str(error) == f"the shell line 'echo out; exit {code}' ended with exit code {code}{meaning}"


@pytest.mark.usefixtures("any_watch")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGTERM", "SIGPIPE"])
def test_a_signal_is_a_crash_by_name(name: str) -> None:
    """Not an exit code, and not the worker's end."""
    with pytest.raises(CommandKilled) as raised:
        Command().runnable(["sh", "-c", f"kill -{name[3:]} $$"])
    assert raised.value.signal == notes.signal == name
    assert notes.exit_code is None
    assert str(raised.value) == f"'sh' was killed by {name}"


@pytest.mark.parametrize(
    "error", [CommandFailed("text", 3), CommandKilled("text", "SIGILL"), CommandNotStarted("text")]
)
def test_the_errors_travel(error: Exception) -> None:
    """With what they carry."""
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == "text"
    assert vars(copy) == vars(error)


@pytest.mark.parametrize(
    ("name", "content", "mode", "why"),
    [
        ("plain", "echo hello\n", 0o644, "it may not be executed (chmod +x?)"),
        ("nonsense", "\0\1\2", 0o755, "it is neither a program for this machine nor a script with a #! line"),
        (
            "orphaned",
            "#!/no/such/interpreter\n",
            0o755,
            "it is there, but the interpreter that its first line names is not",
        ),
        ("missing", None, 0, "no such file, from "),
    ],
)
def test_a_file_that_cannot_run_says_why(tmp_path: Path, name: str, content: str | None, mode: int, why: str) -> None:
    """Nothing was started, so there is neither exit code nor signal."""
    path = tmp_path / name
    if content is not None:
        path.write_text(content, encoding="utf-8")
        path.chmod(mode)
    with pytest.raises(CommandNotStarted) as raised:
        Command().runnable([str(path)])
    assert why in str(raised.value)
    assert str(path) in str(raised.value) or " … " in str(raised.value)
    assert (notes.exit_code, notes.signal) == (None, None)


def test_a_name_that_is_not_in_path_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """And where was looked; a whole line in one string is the likely mistake."""
    monkeypatch.setenv("PATH", "/no/such/folder")
    with pytest.raises(
        CommandNotStarted, match="^cannot start 'gti': no program of this name in PATH, which is /no/such/folder$"
    ):
        Command().runnable(["gti", "status"])
    with pytest.raises(CommandNotStarted, match="each argument is a string of its own"):
        Command().runnable(["git status"])


@pytest.mark.parametrize("argv", ["ls", [], ["ls", 1], None])
def test_what_is_not_an_argv_is_refused(argv: object) -> None:
    """With the value shown."""
    with pytest.raises(TypeError, match="a command is a list of strings, the program first, not "):
        Command().runnable(argv)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cannot hold a NUL"):
        Command().runnable(["ls", "a\0b"])


def test_arguments_beyond_the_systems_limit_say_so() -> None:
    """The next step is in the message."""
    with pytest.raises(CommandNotStarted, match="pass them in a file"):
        Command().runnable(["true", "x" * 3_000_000])


def test_a_limit_that_a_user_can_raise_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of processes, here."""

    def refused(*_: object, **__: object) -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), "true")

    monkeypatch.setattr(os, "posix_spawnp", refused)
    with pytest.raises(CommandNotStarted, match=r"^cannot start 'true': Resource .* \(no more processes .* ulimit -u"):
        Command().runnable(["true"])


def test_the_output_is_passed_on_while_it_runs(tmp_path: Path) -> None:
    """Not at its end: here the program waits until what it said was seen."""
    seen = tmp_path / "seen"
    inner, outer = os.pipe()
    saved = os.dup(1)
    os.dup2(outer, 1)
    try:

        def watch() -> None:
            if os.read(inner, 100) == b"first\n":
                seen.touch()

        watcher = threading.Thread(target=watch)
        watcher.start()
        text = Shell().runnable(f"echo first; until [ -e '{seen}' ]; do sleep 0.01; done; echo second")
        watcher.join()
    finally:
        os.dup2(saved, 1)
        for descriptor in (inner, outer, saved):
            os.close(descriptor)
    assert text == "first\nsecond"


def test_a_closed_log_does_not_fail_the_task() -> None:
    """Whoever read it went away; the program is not told, and the result is whole."""
    inner, outer = os.pipe()
    saved = os.dup(1)
    os.dup2(outer, 1)
    os.close(outer)
    os.close(inner)
    try:
        text = Shell().runnable("echo one; echo two")
    finally:
        os.dup2(saved, 1)
        os.close(saved)
    assert text == "one\ntwo"


@pytest.mark.parametrize("closed", [(1,), (0, 1)])
def test_closed_standard_streams_do_not_swallow_the_result(closed: tuple[int, ...]) -> None:
    """The pipe then gets their numbers, and must not be taken for them."""
    saved = [os.dup(descriptor) for descriptor in closed]
    for descriptor in closed:
        os.close(descriptor)
    try:
        text = Command().runnable(["echo", "kept"])
    finally:
        for descriptor, copy in zip(closed, saved, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)
    assert text == "kept"


@pytest.mark.usefixtures("any_watch")
def test_a_grandchild_that_holds_the_output_is_not_waited_for() -> None:
    """The end of the program is the end of the task; the one in the background is killed and counted."""
    started = time.monotonic()
    assert Shell().runnable("sleep 1000 & echo $!") != ""
    assert time.monotonic() - started < 5
    assert notes.left == 1


def test_a_grandchild_that_floods_the_output_is_not_waited_for() -> None:
    """What is in the pipe when the program ends still counts; what comes later does not."""
    log, stdout, stderr = os.open("/dev/null", os.O_WRONLY), os.dup(1), os.dup(2)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        with pytest.raises(ResultTooLarge):
            Shell().runnable("yes & sleep 0.5")
    finally:
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        for descriptor in (log, stdout, stderr):
            os.close(descriptor)
    assert notes.left == 1


@pytest.mark.usefixtures("any_watch")
def test_a_daemon_in_its_own_session_is_killed_and_counted(tmp_path: Path) -> None:
    """Double-forked, setsid, with all its streams closed: it is below the worker all the same."""
    said = tmp_path / "pid"
    text = Command().runnable(
        python(f"""
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 100)
        with open({str(said)!r} + "~", "w") as file: file.write(str(os.getpid()))
        os.rename({str(said)!r} + "~", {str(said)!r})
        time.sleep(1000)
    os._exit(0)
os.wait()
while not os.path.exists({str(said)!r}): time.sleep(0.001)
print("done")
""")
    )
    assert text == "done"
    assert notes.left == 1
    assert processes.start_time(int(said.read_text())) is None


def test_processes_that_were_there_before_are_spared() -> None:
    """An earlier task's, or a preloaded module's: not of this command."""
    earlier = subprocess.Popen(["sleep", "1000"])
    try:
        Shell().runnable("sleep 1000 &")
        assert notes.left == 1
        assert earlier.poll() is None
    finally:
        earlier.kill()
        earlier.wait()


def test_what_it_left_is_killed_when_it_fails_too() -> None:
    """And when it was killed itself."""
    with pytest.raises(CommandFailed):
        Shell().runnable("sleep 1000 & sleep 1000 & exit 3")
    assert notes.left == 2
    notes.reset()
    with pytest.raises(CommandKilled):
        Shell().runnable("sleep 1000 & kill -9 $$")
    assert notes.left == 1


def test_a_daemon_that_ended_is_reaped_and_not_counted() -> None:
    """No zombie stays in the worker."""
    Shell().runnable("(true &) ; sleep 0.05")
    assert notes.left == 0


def test_bytes_that_are_no_text_are_replaced_in_the_result_and_kept_in_the_log(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    """A result can stand in JSON; NULs and control characters can, too."""
    assert Command().runnable(["printf", "a\\377b\\0c\\033[31m\\303\\244"]) == "a\ufffdb\0c\x1b[31mä"
    assert capfdbinary.readouterr().out == b"a\xffb\0c\x1b[31m\xc3\xa4"


def test_a_character_split_over_two_writes_is_whole() -> None:
    """The pieces in which output arrives mean nothing."""
    assert Shell().runnable("printf '\\303'; sleep 0.02; printf '\\244'") == "ä"


def test_more_than_a_result_can_hold_fails_the_task(capfd: pytest.CaptureFixture[str]) -> None:
    """Half of it would be taken for the whole; the log has all."""
    with pytest.raises(ResultTooLarge, match=r"printed 2.9 MiB, and a result can have 1 MiB"):
        Command().runnable(python("import sys; sys.stdout.write('x' + 'ä' * 1_500_000 + '\\n')"))
    assert capfd.readouterr().out == "x" + "ä" * 1_500_000 + "\n"


def test_what_is_not_kept_goes_to_the_log_in_its_order(capfd: pytest.CaptureFixture[str]) -> None:
    """Descriptors 1 and 2 of the program are those of the worker, and there is no result."""
    for _ in range(5):
        code = "import os; [os.write(n % 2 + 1, b'%d\\n' % n) for n in range(40)]"
        saved = os.dup(2)
        os.dup2(1, 2)
        try:
            assert Command().runnable(python(code), keep=False) is None
        finally:
            os.dup2(saved, 2)
            os.close(saved)
        assert capfd.readouterr().out.split() == [str(number) for number in range(40)]
    assert Shell().runnable("exit 0", keep=False) is None
    with pytest.raises(CommandFailed):
        Shell().runnable("exit 3", keep=False)


def test_one_mebibyte_and_a_newline_is_not_cut(capfd: pytest.CaptureFixture[str]) -> None:
    """The limit is on the result."""
    text = Command().runnable(python(f"print('x' * {RESULT_BYTES_MAX})"))
    assert text == "x" * RESULT_BYTES_MAX
    assert capfd.readouterr().err == ""


@pytest.mark.usefixtures("sigterm_restored")
def test_when_interrupted_the_program_may_tidy_up(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It gets one SIGTERM, its last words are in the log, and the exception goes on."""
    here = tmp_path / "here"
    sender = at_limit(after_line=here)
    with pytest.raises(Interrupted):
        Shell().runnable(f"trap 'echo told; sleep 0.05; echo tidy; exit 9' TERM; sleep 1000 & touch '{here}'; wait")
    sender.join()
    assert capfd.readouterr().out == "told\ntidy\n"
    assert notes.exit_code == 9


@pytest.mark.usefixtures("sigterm_restored")
def test_when_interrupted_what_is_left_is_killed(tmp_path: Path) -> None:
    """Also what left the program's group, and so did not get its SIGTERM."""
    here = tmp_path / "here"
    sender = at_limit(after_line=here)
    with pytest.raises(Interrupted):
        Shell().runnable(f"setsid sh -c \": >'{here}'; exec sleep 1000\" & wait")
    sender.join()
    assert notes.signal == "SIGTERM"
    assert notes.left == 1


@pytest.mark.usefixtures("sigterm_restored")
def test_at_its_limit_the_program_gets_no_second_sigterm(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The engine sends one to every process of the task; here nobody does, and the program is only waited for."""
    here = tmp_path / "here"
    sender = at_limit(here, raising=Terminated)
    with pytest.raises(Terminated):
        Shell().runnable(f"trap 'echo told' TERM; touch '{here}'; sleep 0.1; echo end")
    sender.join()
    assert capfd.readouterr().out == "end\n"
    assert notes.exit_code == 0


@pytest.mark.usefixtures("sigterm_restored")
def test_a_second_interruption_does_not_wait_any_more(tmp_path: Path) -> None:
    """A program that ignores the first is killed by the second, should it come to that."""
    here, told = tmp_path / "here", tmp_path / "told"
    first = at_limit(after_line=here)
    second = at_limit(after_line=told, after_s=0.02)
    with pytest.raises(Interrupted):
        Shell().runnable(f"trap \"touch '{told}'\" TERM; touch '{here}'; while :; do sleep 0.01; done")
    first.join()
    second.join()
    assert (notes.exit_code, notes.signal) == (None, None)


def test_an_end_that_somebody_else_collected_is_not_taken_for_success() -> None:
    """A task that ignores SIGCHLD leaves that mark on its worker."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with pytest.raises(RuntimeError, match="^how process .* ended is not known: .* isolate = true$"):
            Command().runnable(["true"])
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_processor_time_and_memory_are_the_programs_own() -> None:
    """Not the worker's, which the kernel counts for a program that was spawned from it."""
    # More than this process ever took: below that, the kernel's figure says nothing about the program.
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 + 100_000_000
    Command().runnable(python(f"block = b'x' * {size}; sum(range(3_000_000))"))
    assert notes.cpu_s is not None
    assert notes.cpu_s > 0.02
    assert notes.peak_rss_bytes is not None
    assert notes.peak_rss_bytes > size
    notes.reset()
    Command().runnable(["true"])
    assert notes.peak_rss_bytes is None


def test_memory_of_a_small_program_that_runs_for_long_is_known() -> None:
    """Half a second is when a report must have it."""
    Command().runnable(["sleep", "0.5"])
    assert notes.peak_rss_bytes is not None
    assert 0 < notes.peak_rss_bytes < 8_000_000


def test_a_libc_without_sessions_gets_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then signals to the group still reach the program and not the worker."""
    real = os.posix_spawnp

    def without_sessions(*arguments: object, setsid: bool = False, **options: object) -> int:
        if setsid:
            raise NotImplementedError
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "posix_spawnp", without_sessions)
    text = Command().runnable(python("import os; print(os.getpgrp() == os.getpid(), os.getsid(0) == os.getpid())"))
    assert text == "True False"


def test_the_import_is_light() -> None:
    """A worker that runs commands imports this, once for each new worker."""
    program = "import sys; before = set(sys.modules); import workflow.tasks; print(*(set(sys.modules) - before))"
    text = Command().runnable(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path.insert(0, {str(Path(tasks.__file__).parents[1])!r}); {program}",
        ]
    )
    assert text is not None
    loaded = set(text.split())
    assert "workflow.tasks" in loaded
    assert not loaded & {"subprocess", "enum", "re", "typing", "dataclasses", "selectors", "signal", "threading"}


def test_a_worker_with_a_thousand_open_files_runs_commands() -> None:
    """No table of descriptors with 1,024 places is in the way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2000:
        pytest.skip("the limit on open files is too low here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2000, hard))
    many = [os.open("/dev/null", os.O_RDONLY) for _ in range(1100)]
    try:
        assert Command().runnable(["echo", "here"]) == "here"
    finally:
        for descriptor in many:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
