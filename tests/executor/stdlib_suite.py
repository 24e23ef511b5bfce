"""The interpreter's own tests of process pools, run on ``WorkflowExecutor``; a program of its own, for it patches much.

What reaches into the private parts of ``ProcessPoolExecutor`` is left out, and what asserts the very thing in which
this executor means to be different; either is listed here with its reason, and printed.  The rest of the suite has to
pass as it is.

Start methods make no difference here, so the tests for one of them are run: "spawn", which no test excuses from
anything.

Many interpreters are installed without these tests.  ``WORKFLOW_TEST_STDLIB`` then names a folder that has the whole
``test`` package of that version in it, to be used in place of the interpreter's own.
"""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.process
import importlib
import json
import os
import sys
import unittest
from typing import Any

from workflow import WorkflowExecutor

PRIVATE = {
    "_processes": "looks at the processes of ProcessPoolExecutor (_processes)",
    "_manager": "joins the thread of ProcessPoolExecutor (_executor_manager_thread)",
    "_patch": "replaces private parts of ProcessPoolExecutor with mocks",
}
SKIPPED = {
    "test_killed_child": PRIVATE["_processes"] + ", and wants one death to break the whole pool",
    "test_saturation": PRIVATE["_processes"],
    "test_idle_process_reuse_one": PRIVATE["_processes"],
    "test_idle_process_reuse_multiple": PRIVATE["_processes"],
    "test_max_tasks_per_child": PRIVATE["_processes"],
    "test_max_tasks_per_child_defaults_to_spawn_context": "looks at the context of ProcessPoolExecutor (_mp_context)",
    "test_python_finalization_error": PRIVATE["_patch"],
    "test_traceback": "wants the private class _RemoteTraceback as the cause; what it shows is tested in our own",
    "test_processes_terminate": PRIVATE["_processes"],
    "test_context_manager_shutdown": PRIVATE["_processes"],
    "test_del_shutdown": PRIVATE["_manager"],
    "test_shutdown_no_wait": PRIVATE["_manager"],
    "test_hang_gh83386": "the standard skips it for its own process pool; our own test has it",
    "test_cancel_futures": "wants calls that no worker has begun to count as running, because they are in a queue",
    "test_error_at_task_unpickle": "wants what cannot be unpickled to break the pool: it is that call's error",
    "test_exit_at_task_unpickle": "the same, for SystemExit",
    "test_error_during_result_unpickle_in_result_handler": "the same, of a result",
    "test_exit_during_result_unpickle_in_result_handler": "the same, of a result, for SystemExit",
    "test_shutdown_deadlock_pickle": PRIVATE["_manager"],
    "test_gh105829_should_not_deadlock_if_wakeup_pipe_full": PRIVATE["_patch"],
    "FailingInitializerTest.test_initializer": "gives the initializer a queue by inheritance, and looks at _broken",
    "FailingInitializerResourcesTest": "runs the one before, and looks at multiprocessing's resource tracker",
}
PARTS = {
    "as_completed": "AsCompleted",
    "deadlock": "ExecutorDeadlock",
    "init": "Initializer",
    "process_pool": "ProcessPoolExecutor",
    "shutdown": "ProcessPoolShutdown",
    "wait": "Wait",
}
"""By module of the suite, part of the names of its test cases: up to 3.11 it was one module."""


def load(part: str) -> unittest.TestSuite:
    """The tests of a part, for process pools started by "spawn"."""
    package = importlib.import_module("test.test_concurrent_futures")
    split = hasattr(package, "__path__")  # from 3.12 on it is one
    module = importlib.import_module(f"{package.__name__}.test_{part}") if split else package
    suite = unittest.TestSuite()
    for name, case in vars(module).items():
        wanted = name.startswith("ProcessPoolSpawn") or name == "FailingInitializerResourcesTest"
        if wanted and PARTS[part] in name and isinstance(case, type) and case.__module__ == module.__name__:
            suite.addTests(unittest.defaultTestLoader.loadTestsFromTestCase(case))
    return suite


def reason_to_skip(test: unittest.TestCase) -> str | None:
    """From the list above."""
    case, method = test.id().split(".")[-2:]
    for name, reason in SKIPPED.items():
        wanted_case, _, wanted_method = name.rpartition(".")
        if wanted_method in (method, case) and case.endswith(wanted_case):
            return reason
    return None


class Quiet(unittest.TextTestResult):
    """Keeps what was run."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.passed: list[str] = []

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802  # unittest's name
        self.passed.append(test.id())


def main() -> None:
    """Run a part of them, and write what came of each as JSON: ``stdlib_suite.py PART FILE``."""
    folder = os.environ.get("WORKFLOW_TEST_STDLIB")
    if folder is not None:
        sys.path.insert(0, folder)
    helper = importlib.import_module("test.support.script_helper")

    # Programs that the tests start import the executor by the name of its class.  They are isolated, so it is the text
    # that has to tell them where the tests are.
    run = helper.assert_python_ok
    head = "import concurrent.futures, workflow\nconcurrent.futures.WorkflowExecutor = workflow.WorkflowExecutor\n"
    if folder is not None:
        head = f"import sys\nsys.path.insert(0, {folder!r})\n{head}"

    def run_with_ours(*args: str, **options: Any) -> Any:
        return run(*[head + arg if "Executor" in arg else arg for arg in args], **options)

    helper.assert_python_ok = run_with_ours  # type: ignore[attr-defined]
    concurrent.futures.ProcessPoolExecutor = WorkflowExecutor  # type: ignore[assignment,misc]
    chosen, skipped = unittest.TestSuite(), {}
    for test in load(sys.argv[1]):
        assert isinstance(test, unittest.TestCase)
        reason = reason_to_skip(test)
        if reason is None:
            chosen.addTest(test)
        else:
            skipped[test.id()] = reason
    result = unittest.TextTestRunner(stream=sys.stderr, resultclass=Quiet, verbosity=1).run(chosen)
    assert isinstance(result, Quiet)
    skipped |= {test.id(): reason for test, reason in result.skipped}
    failed = {test.id(): text for test, text in [*result.failures, *result.errors]}
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump({"passed": result.passed, "skipped": skipped, "failed": failed}, file)


if __name__ == "__main__":
    main()
