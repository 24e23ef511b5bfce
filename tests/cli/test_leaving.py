"""What a signal does to the command before and after a run."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from workflow.cli import leaving


@pytest.fixture
def codes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The exit codes that were left with; nobody leaves."""
    before = {number: signal.getsignal(number) for number in leaving.SIGNALS}
    found: list[int] = []
    monkeypatch.setattr(os, "_exit", found.append)
    monkeypatch.setattr(leaving, "_code", None)
    yield found
    for number, handler in before.items():
        signal.signal(number, handler)


def test_before_a_run_a_signal_is_its_own_exit_code(codes: list[int]) -> None:
    leaving.leave_on_signals()
    for number in leaving.SIGNALS:
        signal.raise_signal(number)
    assert codes == [130, 143, 129]


def test_after_a_run_the_exit_code_is_the_one_in_its_report(codes: list[int]) -> None:
    leaving.leave_on_signals()
    leaving.keep_code(1)
    signal.raise_signal(signal.SIGTERM)
    assert codes == [1]


def test_at_the_very_end_a_signal_changes_nothing(codes: list[int]) -> None:
    """The interpreter takes Python's handlers down before it ends: then the default would kill us."""
    leaving.leave_on_signals()
    leaving.ignore_signals()
    for number in leaving.SIGNALS:
        signal.raise_signal(number)
        assert signal.getsignal(number) is signal.SIG_IGN
    assert codes == []
