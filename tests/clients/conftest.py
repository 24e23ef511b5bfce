"""Executors for libraries that take one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from workflow import WorkflowExecutor

sys.path.append(str(Path(__file__).parent / "victims"))  # the tests import them as a program would; so do the workers


@pytest.fixture
def executor() -> Iterator[WorkflowExecutor]:
    """One of 2 workers; whatever a failing test leaves in it is ended."""
    made = WorkflowExecutor(2, timeout=40, grace=1)
    yield made
    made._pool.interrupt()
    made.shutdown()
