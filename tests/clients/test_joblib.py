from __future__ import annotations

import os
import warnings

import pytest
import steps

from workflow import TaskCrashed, TaskTimeout

pytest.importorskip("joblib")

from joblib import Parallel, delayed, effective_n_jobs, parallel_config  # behind the check for it

import workflow.joblib  # the same


@pytest.fixture(autouse=True)
def _no_folders_of_joblib(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own backends make folders in shared memory."""
    monkeypatch.setenv("JOBLIB_TEMP_FOLDER", os.environ["TMPDIR"])


def test_calls_run_in_workers_in_order_and_in_batches() -> None:
    """Short calls are put together by joblib."""
    with parallel_config(backend="workflow", n_jobs=2):
        assert Parallel()(delayed(steps.square)(n) for n in range(2_000)) == [n * n for n in range(2_000)]
        assert os.getpid() not in Parallel()(delayed(steps.where)(n) for n in range(4))


@pytest.mark.parametrize("way", ["generator", "generator_unordered"])
def test_results_can_be_taken_as_they_come(way: str) -> None:
    """In order, or as they end; who stops in between ends the rest."""
    with parallel_config(backend="workflow", n_jobs=2):
        assert sorted(Parallel(return_as=way)(delayed(steps.square)(n) for n in range(5))) == [0, 1, 4, 9, 16]
        results = Parallel(return_as=way)(delayed(steps.hang)(n + 3) for n in range(0, -9, -1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # joblib's, of what was computed for nothing
            results.close()


def test_an_error_ends_the_rest_and_is_raised() -> None:
    """Also those that run: 3 would hang."""
    with parallel_config(backend="workflow", n_jobs=2, grace=1), pytest.raises(ValueError, match="3 is not liked"):
        Parallel(batch_size=1)([delayed(steps.hang)(3), delayed(steps.refuse)(3)])


def test_a_crash_leaves_the_pool_usable() -> None:
    """By the next call of the same ``Parallel``."""
    with parallel_config(backend="workflow", n_jobs=2), Parallel() as parallel:
        with pytest.raises(TaskCrashed, match="SIGKILL"):
            parallel(delayed(steps.die)(number) for number in range(6))
        assert parallel(delayed(steps.square)(number) for number in range(4)) == [0, 1, 4, 9]


def test_nothing_of_a_failed_call_is_in_the_next_one() -> None:
    """Not the results of those that joblib had ready and not sent."""
    with parallel_config(backend="workflow", n_jobs=2, grace=1), Parallel(batch_size=1) as parallel:
        with pytest.raises(ValueError, match="1 is not liked"):
            parallel(delayed(steps.refuse_while_others_run)(number) for number in range(6))
        assert parallel(delayed(steps.square)(number) for number in range(4)) == [0, 1, 4, 9]


def test_limits_are_the_executor_s_or_joblib_s() -> None:
    """``timeout`` beside the backend limits a call; that of ``Parallel`` how long joblib waits."""
    with parallel_config(backend="workflow", n_jobs=2, timeout=1, grace=1):
        with pytest.raises(TaskTimeout):
            Parallel()(delayed(steps.hang)(number) for number in range(6))
        assert Parallel(n_jobs=1)(delayed(steps.square)(number) for number in range(3)) == [0, 1, 4]
    with parallel_config(backend="workflow", n_jobs=2, grace=1), pytest.raises(Exception) as raised:  # noqa: PT011
        Parallel(timeout=1)(delayed(steps.hang)(number) for number in range(6))
    assert type(raised.value).__name__ == "TimeoutError"


def test_a_batch_has_the_limits_of_its_calls_together() -> None:
    """Ten calls of 0.4 s in one batch, of which each has one second."""
    import time

    with parallel_config(backend="workflow", n_jobs=1, timeout=1):
        assert Parallel(batch_size=10)(delayed(time.sleep)(0.2) for _ in range(10)) == [None] * 10


def test_a_parallel_call_in_a_parallel_call_runs_in_its_worker() -> None:
    """In threads; by an explicit backend in processes of its own."""
    with parallel_config(backend="workflow", n_jobs=2):
        assert Parallel()(delayed(steps.sum_of_squares)(n) for n in range(4)) == [0, 0, 1, 5]


def test_how_many_workers_there_are() -> None:
    """One for each processor, where nothing is said; a pool of one is a process all the same."""
    with parallel_config(backend="workflow"):
        assert effective_n_jobs(3) == 3
        assert effective_n_jobs(-1) >= 1
        with pytest.raises(ValueError, match="n_jobs == 0"):
            Parallel(n_jobs=0)(delayed(steps.square)(n) for n in range(3))
        (process,) = set(Parallel(n_jobs=1)(delayed(steps.where)(n) for n in range(3)))
        assert process != os.getpid()


def test_options_are_those_of_the_executor() -> None:
    """One that it has not is a TypeError; an initializer and an environment reach the workers."""
    with parallel_config(backend="workflow", n_jobs=1, timeot=3), pytest.raises(TypeError, match="timeot"):
        Parallel()(delayed(steps.square)(n) for n in range(3))
    with parallel_config(
        backend="workflow", n_jobs=1, env={"MARK": "x"}, initializer=steps.remember, initargs=("y",), retries=1
    ):
        assert Parallel()([delayed(os.getenv)("MARK"), delayed(steps.remembered)()]) == ["x", "y"]
    with parallel_config(backend="workflow", n_jobs=2, inner_max_num_threads=7):
        assert Parallel()([delayed(os.getenv)("OMP_NUM_THREADS")]) == ["7"]


def test_scikit_learn_searches_on_it() -> None:
    """``GridSearchCV`` finds what it finds by itself."""
    pytest.importorskip("sklearn")
    from sklearn.datasets import load_iris
    from sklearn.model_selection import GridSearchCV
    from sklearn.neighbors import KNeighborsClassifier

    samples, kinds = load_iris(return_X_y=True)
    grid = {"n_neighbors": [1, 5, 40]}
    alone = GridSearchCV(KNeighborsClassifier(), grid, n_jobs=1).fit(samples, kinds)
    with parallel_config(backend="workflow", n_jobs=2, timeout=50):
        search = GridSearchCV(KNeighborsClassifier(), grid).fit(samples, kinds)
    assert (search.best_params_, search.best_score_) == (alone.best_params_, alone.best_score_)


def test_the_backend_is_one() -> None:
    """Of the name that a program gives."""
    with parallel_config(backend="workflow") as config:
        assert type(config["backend"]) is workflow.joblib.WorkflowBackend
