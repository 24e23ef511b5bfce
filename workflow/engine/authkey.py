"""The key by which processes of ``multiprocessing`` know one another, in workers.

Managers (``multiprocessing.Manager()``) and connections ask for it.  A child of multiprocessing has its parent's; a
worker here is none, and would draw one of its own when ``multiprocessing.process`` is imported.  Few workers import
that, and it costs 4 ms, so the key waits for it.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_MODULE = "multiprocessing.process"


class AuthKey:
    """Waits on ``sys.meta_path`` for the import, and gives the key to the module once it is loaded."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def give(self) -> None:
        """Give it now, or when it is asked for."""
        if _MODULE in sys.modules:
            self._give_to(sys.modules[_MODULE])
        else:
            sys.meta_path.insert(0, self)

    def find_spec(self, name: str, *_path_and_target: object) -> ModuleSpec | None:
        """Leave every import to whoever does it, and be told of the end of this one."""
        if name != _MODULE:
            return None
        sys.meta_path.remove(self)
        from importlib.util import find_spec

        spec = find_spec(name)
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            self._give_to(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]  # of this one, which is for one module
        return spec

    def _give_to(self, module: ModuleType) -> None:
        module.current_process().authkey = self._key
