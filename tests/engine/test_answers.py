"""The way of answers, within one process."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

import pytest

from workflow.engine import answers as answers_module
from workflow.engine import system
from workflow.engine.answers import BRIEF, Answers, answer_pair


@pytest.fixture(params=["tee", "no tee"])
def ends(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Answers, int]]:
    """Both ends, a pipe's or, where ``tee`` is forbidden, a socket's; a test closes the writing one itself."""
    if request.param == "no tee":
        monkeypatch.setattr(system, "_can_tee", None)
        monkeypatch.setattr(system, "tee", _forbidden)
    reading, writing = answer_pair()
    assert stat.S_ISFIFO(os.fstat(reading).st_mode) is (request.param == "tee")
    ours = Answers(reading)
    yield ours, writing
    ours.close()
    for descriptor in answers_module.copies:
        os.close(descriptor)
    answers_module.copies.clear()


def _forbidden(*_arguments: object) -> int:
    raise PermissionError(errno.EPERM, "Operation not permitted")


def test_what_is_looked_at_stays_until_it_is_taken_out(ends: tuple[Answers, int]) -> None:
    """Whoever dies in between has taken nothing from the next one who looks."""
    answers, writing = ends
    os.write(writing, b"one")
    assert answers.look() == answers.look() == b"one"
    os.write(writing, b"two")
    assert answers.look() == b"onetwo"
    answers.take_out(3)
    assert answers.look() == b"two"
    os.close(writing)


def test_looking_never_waits(ends: tuple[Answers, int]) -> None:
    """Nothing there yet, and nothing any more, are told apart."""
    answers, writing = ends
    with pytest.raises(BlockingIOError):
        answers.look()
    os.write(writing, b"last")
    os.close(writing)
    assert answers.look() == b"last"
    answers.take_out(4)
    assert answers.look() == b""


def test_a_pipe_full_of_answers_is_seen_piece_by_piece(ends: tuple[Answers, int]) -> None:
    """Every size up to the largest, whole and in order."""
    answers, writing = ends
    for size in (1, BRIEF - 1, BRIEF, 60):
        sent = [bytes([number]) * size for number in range(15)]
        for answer in sent:
            os.write(writing, answer)
        seen = b""
        while len(seen) < size * len(sent):
            found = answers.look()
            answers.take_out(len(found))
            seen += found
        assert seen == b"".join(sent)
    os.close(writing)
