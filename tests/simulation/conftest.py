"""Loads the pretend world, which is too long for a fixture and no test."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def world() -> ModuleType:
    """The module ``world`` beside this file."""
    name = "simulation_world"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("world.py"))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
