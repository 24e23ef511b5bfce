"""cloudpickle, as this engine uses it.  Importing it costs 20 ms: only a call that needs it pays."""

from __future__ import annotations

import sys
from collections import ChainMap
from collections.abc import Callable
from functools import _lru_cache_wrapper, lru_cache
from types import CodeType
from typing import Any, ClassVar

import cloudpickle

_FILE = "<dynamic-code>"
"""What cloudpickle puts in place of the file of a piece of code, so that equal code is equal bytes everywhere.  Here it
would cost every traceback and every stack of a hung task its lines."""
_reduce_code = cloudpickle.Pickler.dispatch_table[CodeType]


def _reduce_with_file(code: CodeType) -> tuple[Any, ...]:
    make, parts, *more = _reduce_code(code)
    return (make, tuple(code.co_filename if part == _FILE else part for part in parts), *more)


def _cached(function: Callable[..., object], maxsize: int | None, typed: bool) -> object:
    return lru_cache(maxsize, typed)(function)


def _reduce_cached(function: Any) -> str | tuple[Any, ...]:
    """A function behind ``lru_cache``: by name where it can be imported, or else it and what it was made with."""
    if function.__module__ not in ("__main__", "__mp_main__"):
        return str(function.__qualname__)
    return _cached, (function.__wrapped__, *function.cache_parameters().values())


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it ships no types
    dispatch_table: ClassVar[ChainMap[Any, Any]] = ChainMap(
        {CodeType: _reduce_with_file, _lru_cache_wrapper: _reduce_cached}, cloudpickle.Pickler.dispatch_table
    )


def pickler() -> type[cloudpickle.Pickler]:
    """What writes that which ``pickle.loads`` takes wherever cloudpickle is; what is of ``__main__`` by value."""
    main = sys.modules.get("__mp_main__")
    if main is not None:
        cloudpickle.register_pickle_by_value(main)  # nobody else could import it
    return _Pickler
