"""What a fresh worker process does before it is one."""

from __future__ import annotations

import sys
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from workflow.engine.channel import Socket


def become_worker(
    config: dict[str, object], tasks: Socket, answers: Socket, words: memoryview, slot: int, stack_file: int
) -> NoReturn:
    """Set up what tasks expect of their process, and run them."""
    from workflow.engine.worker import Worker

    stand_in_for_main(config["main"])  # type: ignore[arg-type]
    Worker(tasks, answers, words, slot, stack_file, config["log_dir"], config["max_result"]).run()  # type: ignore[arg-type]


def stand_in_for_main(name: str | None) -> None:
    """Have ``__main__`` stand for the program's own module, loaded under its own name when somebody looks.

    Arguments made of a script's own classes name ``__main__`` in their pickles.  The script is imported, not run
    again: under its own name its ``if __name__ == "__main__"`` part stays out.
    """
    module = ModuleType("__main__")
    if name is not None:

        def find(attribute: str) -> object:
            if attribute.startswith("__"):
                raise AttributeError(attribute)
            from importlib import import_module

            return getattr(import_module(name), attribute)

        module.__getattr__ = find  # type: ignore[method-assign]
    sys.modules["__main__"] = module
