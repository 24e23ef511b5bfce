"""The fixture that looks for leaks finds each kind of leak: otherwise its silence would mean nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"
PATIENCE = "PATIENCE_S = 3.0"
TESTS = """
import atexit, os, subprocess, sys, tempfile, threading, time

def test_process():
    subprocess.Popen(["sleep", "60"])

def test_orphan():
    code = "import subprocess; subprocess.Popen(['sleep', '60'], start_new_session=True)"
    subprocess.run([sys.executable, "-c", code], check=True)

def test_zombie():
    if os.fork() == 0:
        os._exit(0)

def test_descriptor():
    os.pipe()

def test_thread():
    threading.Thread(target=time.sleep, args=(2,)).start()

def test_shared_memory():
    name = f"/dev/shm/workflow-test-leak-{os.getpid()}"
    atexit.register(os.unlink, name)
    open(name, "w").close()

def test_temporary_file():
    with open(tempfile.mkdtemp() + "/x", "w"):
        pass

def test_clean():
    subprocess.run(["true"], check=True)
    thread = threading.Thread(target=time.sleep, args=(0.01,))
    thread.start()
    thread.join()
    with tempfile.TemporaryFile() as file:
        file.write(b"x")
"""
FOUND = {
    "process": "process *sleep 60*",
    "orphan": "process *sleep 60*",
    "zombie": "process * (zombie)*",
    "descriptor": "descriptor * of pipe:*",
    "thread": "thread Thread-*",
    "shared_memory": "shared memory /dev/shm/workflow-test-leak-*",
    "temporary_file": "temporary file *",
}


def test_every_kind_of_leak_fails_the_test_that_leaks(pytester: pytest.Pytester) -> None:
    """What is left behind is named in the error of the very test that left it; a clean test passes."""
    conftest = CONFTEST.read_text()
    assert PATIENCE in conftest
    pytester.makeconftest(conftest.replace(PATIENCE, "PATIENCE_S = 0.2"))
    pytester.makepyfile(TESTS)

    # A Popen that is never waited for warns when it is collected; what counts here is the fixture.
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "ignore", timeout=40)

    result.assert_outcomes(passed=len(FOUND) + 1, errors=len(FOUND))
    for kind, text in FOUND.items():
        result.stdout.fnmatch_lines([f"test_{kind} left behind:", f"  {text}"])
