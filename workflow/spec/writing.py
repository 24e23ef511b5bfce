"""Tables to the text of a pipeline file: what a program says is checked, shown and kept as what stands in a file is.

Every table below the second level is written inline, so that a value and its key are in one line.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from datetime import date, datetime, time

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(tables: Mapping[str, object]) -> str:
    """The text of a file with these tables.  Raises TypeError, with the place, for what TOML cannot say."""
    blocks: list[str] = []
    for section, table in tables.items():
        if not isinstance(table, Mapping):
            blocks.insert(0, f"{_key(section, section)} = {_value(table, section)}")
        elif table and all(isinstance(each, Mapping) for each in table.values()):
            for name, inner in table.items():
                place = f"{section}.{name}"
                blocks.append(_block(f"{_key(section, section)}.{_key(name, place)}", inner, place))
        else:
            blocks.append(_block(_key(section, section), table, section))
    return "\n\n".join(blocks) + "\n"


def _block(header: str, table: Mapping[object, object], place: str) -> str:
    rows = (f"{_key(key, place)} = {_value(value, f'{place}.{key}')}" for key, value in table.items())
    return "\n".join([f"[{header}]", *rows])


def _key(key: object, place: str) -> str:
    if not isinstance(key, str):
        message = f"{place}: a key is text, not {key!r}"
        raise TypeError(message)
    return key if _BARE.fullmatch(key) else _text(key, place)


def _value(value: object, place: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return repr(float(value)) if math.isfinite(value) else str(float(value))
    if isinstance(value, str):
        return _text(value, place)
    if isinstance(value, os.PathLike):
        return _text(os.fsdecode(value), place)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(key, place)} = {_value(each, f'{place}.{key}')}" for key, each in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, (list, tuple, range)):
        return f"[{', '.join(_value(each, f'{place}[{number}]') for number, each in enumerate(value))}]"
    hint = "; leave the key out" if value is None else ": text, numbers, flags, lists and tables can"
    message = f"{place}: {value!r} cannot stand in a pipeline{hint}"
    raise TypeError(message)


def _text(value: str, place: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        message = f"{place}: {value!r} holds half a character, which is no text"
        raise TypeError(message) from None
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
