"""The seed of an attempt: what ``random``, and numpy's global generator, begin with.

Seeding takes 7 µs, a fifth of what a task of a file costs that does nothing, so it is done only where it can be seen: a
generator whose module is loaded is seeded before the task runs, any other when its module is first imported, should
that happen in the same attempt.  Then a function that imports ``random`` itself draws the same numbers, whether its
worker had it before or not.  What the import of the task's own module draws is drawn once for each worker, so it comes
before the seed.

Alternatives: to import ``random`` into every worker (5 ms at the start of each, and the price of seeding for tasks that
draw nothing), or to put a state in place that was made before (a tuple of 625 numbers: as slow as seeding).

Not seeded: generators of the task's own, ``secrets`` and ``os.urandom``, processes that a task starts, and callbacks,
which run one after the other in the dispatcher, in an order that no seed decides.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_GENERATORS = ("random", "numpy.random")


class Seeds:
    """Those of this process, of one attempt at a time."""

    def __init__(self) -> None:
        self._seed: int | None = None
        self._applies: Callable[[], bool] = bool

    def begin(self, seed: int, applies: Callable[[], bool]) -> None:
        """Seed what is loaded, and what is loaded later for as long as ``applies`` says that the attempt runs."""
        self._seed = seed
        self._applies = applies
        if self not in sys.meta_path and not all(name in sys.modules for name in _GENERATORS):
            sys.meta_path.insert(0, self)
        self.again()

    def again(self) -> None:
        """Seed once more: what was drawn since was not drawn by the task."""
        if self._seed is not None and self._applies():
            for name in _GENERATORS:
                seed = getattr(sys.modules.get(name), "seed", None)  # a module that is being imported has none yet
                if seed is not None:
                    seed(self._seed)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Leave every import to whoever does it, and be told of the end of those of generators."""
        if name not in _GENERATORS:
            return None
        for finder in sys.meta_path:
            if finder is not self and (spec := finder.find_spec(name, path, target)) is not None:
                break
        else:
            return None
        loader = spec.loader
        if loader is None or isinstance(loader, type):  # a class is the loader of many modules
            return spec
        load = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            self.again()

        loader.exec_module = exec_module  # type: ignore[method-assign]  # of this one, which is for one module
        return spec


seeds = Seeds()
"""The one of this process."""
