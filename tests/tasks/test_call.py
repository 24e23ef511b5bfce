"""``call``: a plain function, by its name."""

from __future__ import annotations

import importlib
import pickle
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workflow.model import Model
from workflow.tasks import Call


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package on sys.path, for one test, and its name."""
    name = "a_package_of_a_test"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text("", encoding="utf-8")
    (folder / "functions.py").write_text(
        "from workflow.model import Model\n"
        "class Group:\n"
        "    @staticmethod\n"
        "    def add(a, b=1): return a + b\n"
        "class AModel(Model): pass\n"
        "def double(value): return value * 2\n"
        "limit = 5\n",
        encoding="utf-8",
    )
    (folder / "needs_more.py").write_text("import a_module_that_is_not_there\n", encoding="utf-8")
    (folder / "raises.py").write_text("raise ValueError('at import')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    for loaded in [module for module in sys.modules if module.split(".")[0] == name]:
        del sys.modules[loaded]


def test_a_function_gets_its_arguments(package: str) -> None:
    """Positional and keyword arguments arrive, the result comes back."""
    assert Call().runnable(f"{package}.functions:double", ["ab"], {}) == "abab"
    assert Call().runnable(f"{package}.functions:Group.add", [1], {"b": 5}) == 6
    assert Call().runnable("builtins:dict") == {}


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (
            "{}.functoins:double",
            ModuleNotFoundError,
            "'{0}' has no module 'functoins' (of '{0}.functoins:double'), did you mean 'functions'?",
        ),
        (
            "{}x.functions:double",
            ModuleNotFoundError,
            "there is no module '{0}x' on sys.path (of '{0}x.functions:double'), did you mean '{0}'?",
        ),
        (
            "{}.functions:duoble",
            ImportError,
            "'{0}.functions' has no 'duoble' (of '{0}.functions:duoble', in {1}), did you mean 'double'?",
        ),
        (
            "{}.functions:Group.sub",
            ImportError,
            "'{0}.functions:Group' has no 'sub' (of '{0}.functions:Group.sub', in {1})",
        ),
        ("{}.functions:limit", TypeError, "'{0}.functions:limit' is no function but 5, which cannot be called"),
        (
            "{}.functions:AModel",
            TypeError,
            "'{0}.functions:AModel' is a Model, not a function: a task runs it as module = '{0}.functions.AModel'",
        ),
        (
            "{}.functions.double",
            TypeError,
            "a function is named as 'package.module:function', not '{0}.functions.double'",
        ),
        ("{}.functions:", TypeError, "a function is named as 'package.module:function', not '{0}.functions:'"),
        (
            "{}.functions:double()",
            TypeError,
            "a function is named as 'package.module:function', not '{0}.functions:double()'",
        ),
    ],
)
def test_a_wrong_name_says_what_is_wrong(
    package: str, tmp_path: Path, target: str, error: type[Exception], message: str
) -> None:
    """Which part is missing, of what, and what was probably meant."""
    with pytest.raises(error) as raised:
        Call().runnable(target.format(package))
    assert type(raised.value) is error
    assert str(raised.value) == message.format(package, tmp_path / package / "functions.py")
    assert raised.value.__cause__ is None


def test_what_the_import_raises_is_the_users_own(package: str) -> None:
    """A module that is there, and cannot be imported, says itself why."""
    with pytest.raises(ModuleNotFoundError, match="^No module named 'a_module_that_is_not_there'$"):
        Call().runnable(f"{package}.needs_more:main")
    with pytest.raises(ValueError, match="^at import$"):
        Call().runnable(f"{package}.raises:main")


def test_the_models_are_made_without_arguments_and_travel() -> None:
    """As every Model."""
    assert isinstance(Call(), Model)
    assert pickle.loads(pickle.dumps(Call)) is Call


def test_a_callable_object_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """What can be called is a function."""
    import functools

    module = types.ModuleType("a_module_of_a_test")
    module.triple = functools.partial(max, 3)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_module_of_a_test", module)
    assert Call().runnable("a_module_of_a_test:triple", [1], {}) == 3


def test_a_function_is_the_one_its_module_has_now(package: str) -> None:
    """It is not looked for anew each time; what took its place is called all the same."""
    target = f"{package}.functions:late"
    module: Any = importlib.import_module(f"{package}.functions")
    for answer in (1, 2):
        module.late = lambda answer=answer: answer
        assert [Call().runnable(target) for _ in range(2)] == [answer, answer]
    module.late = Model
    with pytest.raises(TypeError):
        Call().runnable(target)
    del module.late
    with pytest.raises(ImportError):
        Call().runnable(target)
