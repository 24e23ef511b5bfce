"""What is pushed, checked when it is made."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from workflow.attempt_text import AttemptText
from workflow.info_task import InfoTask, RetryPolicy


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"deadline": 0}, "deadline must be above 0 seconds, not 0"),
        (
            {"deadline": "1s"},
            "deadline must be a number of seconds or None, not '1s'; write it as a number: deadline=1",
        ),
        ({"grace": "1.5 min"}, "grace must be a number of seconds, not '1.5 min'; write it as a number: grace=90"),
        ({"grace": "soon"}, "grace must be a number of seconds, not 'soon'"),
        ({"grace": 10**400}, "grace is more seconds than a number can hold"),
        ({"memory": "1GB"}, "memory must be a whole number of bytes, such as 512 * 2**20, or None, not '1GB'"),
        ({"memory": 0}, "memory must be 1 or more, not 0"),
        ({"memory": 1 << 63}, "memory must be below 2**63 bytes, not 9223372036854775808; None is no limit"),
        ({"memory": 10**5000}, "memory must be below 2**63 bytes, not a value of type int"),
        ({"id": b"a" * 1000}, "id must be text, not b'aaa"),
        ({"id": "\ud800"}, r"id must be text that the system can hold, and '\ud800' has half of a character in it"),
        ({"cwd": "/\ud800"}, "cwd must be text that the system can hold"),
        ({"env": {"A": "\ud800"}}, r"env cannot hold 'A' = '\ud800'"),
        ({"env": {"\ud800": ""}}, r"env cannot hold '\ud800' = ''"),
        ({"seed": -1}, "seed must be 0 or more, not -1"),
        ({"seed": 1 << 32}, "seed must be below 4294967296, which is what numpy takes"),
        ({"seed": True}, "seed must be a whole number, not True"),
        ({"outputs": "/a"}, "outputs must be a list of paths, not '/a'"),
        ({"outputs": ["a"]}, "outputs must be absolute paths, unlike 'a'"),
        ({"outputs": ["/a", ""]}, "outputs must not be empty"),
        ({"retries": RetryPolicy(1, seed=-1)}, "seed must be 0 or more, not -1"),
        ({"retries": RetryPolicy("3")}, "retries must be a whole number, not '3'"),  # type: ignore[arg-type]
        ({"retries": RetryPolicy(1, backoff="2")}, "backoff must be a number, not '2'"),  # type: ignore[arg-type]
        ({"retries": RetryPolicy(1, on="failed")}, "on must be outcomes that are tried again"),  # type: ignore[arg-type]
        ({"retries": RetryPolicy(1, jitter="no")}, "jitter must be true or false, not 'no'"),  # type: ignore[arg-type]
        ({"env": {"A": AttemptText(("\0", None))}}, "env cannot hold 'A'"),
        ({"dedline": 1}, "InfoTask has no option 'dedline', did you mean 'deadline'?"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused_and_named(options: dict[str, Any], told: str) -> None:
    """Where it is written, and not in a process far away."""
    with pytest.raises((TypeError, ValueError), match=".") as caught:
        InfoTask("m.C", 1, **options)
    assert told in str(caught.value)
    assert len(str(caught.value)) < 250


def test_a_task_with_every_option_travels(monkeypatch: pytest.MonkeyPatch) -> None:
    """And is plain only without any."""
    monkeypatch.delenv("WORKFLOW_ATTEMPT", raising=False)
    task = InfoTask("m.C", 1, 2, deadline=3, seed=4, outputs=["/a"], env={"A": AttemptText(("n", None))}, retries=1)
    assert pickle.loads(pickle.dumps(task)) == task
    assert not task.plain
    assert (task.deadline, task.seed, task.outputs) == (3.0, 4, ("/a",))
    plain = InfoTask("m.C", 1)
    assert plain.plain
    assert (plain.deadline, plain.seed, plain.outputs) == (None, None, None)


def test_the_number_of_the_attempt_is_known_when_it_is_unpickled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone it is a number, anywhere else it is text."""
    monkeypatch.setenv("WORKFLOW_ATTEMPT", "3")
    given = [AttemptText((None,)), AttemptText(("", None)), AttemptText(("try ", None, " of ", None))]
    assert pickle.loads(pickle.dumps(given)) == [3, "3", "try 3 of 3"]
