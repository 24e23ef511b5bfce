"""From a path of keys to line and column.

A TOML parser gives values without positions.  Choices: a parser of our own, a parser that keeps positions (tomlkit:
forty times slower than tomli on a large file), or a second look at the text only when there is a mistake to show.
This is the second look: tree-sitter parses the text once more, and only tables on the way to a wanted key are
walked.  The price is a second grammar that could disagree with the first; then a mistake is shown at the nearest
key that both know, in the worst case at the first line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Union

from workflow.diagnostics.mistake import Mistake, Place

if TYPE_CHECKING:
    from tree_sitter import Node

_Span = tuple[int, int]
"""First byte, byte after the last."""


def locate(text: str, mistakes: Sequence[Mistake]) -> list[Mistake]:
    """The same mistakes with their positions, sorted by them, doubles left out.

    Those that have a position keep it; those without a place (a ``--var``) get none.
    """
    lines = _Lines(text)
    tree = _tree(lines.data) if any(mistake.line is None and mistake.place for mistake in mistakes) else None
    found = [mistake if tree is None else _located(mistake, tree, lines) for mistake in dict.fromkeys(mistakes)]
    unique: dict[tuple[Place, str, int | None, int], Mistake] = {}
    for mistake in found:
        unique.setdefault((mistake.place, mistake.headline, mistake.line, mistake.column), mistake)
    return sorted(unique.values(), key=lambda mistake: (mistake.line or 0, mistake.column))


@dataclass(slots=True)
class _Entry:
    """What stands at one key: where its name is, where its value is, what is below it."""

    key: _Span
    value: _Span
    below: dict[Union[str, int], _Entry] = field(default_factory=dict)


class _Lines:
    """Positions in a text: bytes to line and column."""

    def __init__(self, text: str) -> None:
        self.data = text.encode()
        self._ascii = self.data.isascii()
        self._shown: dict[int, str] = {}
        """Lines that were asked for: many mistakes may stand on one that is very long."""
        self._starts = [0]
        at = self.data.find(b"\n")
        while at != -1:
            self._starts.append(at + 1)
            at = self.data.find(b"\n", at + 1)

    def position(self, span: _Span) -> tuple[int, int, int, str]:
        """Line, column, column after the end (on that line), and the line."""
        from bisect import bisect_right

        line = bisect_right(self._starts, span[0])
        start = self._starts[line - 1]
        stop = self._starts[line] - 1 if line < len(self._starts) else len(self.data)
        column = self._length(start, span[0]) + 1
        end = self._length(start, max(min(span[1], stop), span[0])) + 1
        if line not in self._shown:
            self._shown[line] = self.data[start:stop].decode(errors="replace").rstrip("\r")
        return line, column, max(end, column + 1), self._shown[line]

    def _length(self, start: int, stop: int) -> int:
        """In characters."""
        return stop - start if self._ascii else len(self.data[start:stop].decode(errors="replace"))


def _located(mistake: Mistake, tree: _Entry, lines: _Lines) -> Mistake:
    if mistake.line is not None or not mistake.place:
        return mistake
    entry, whole = tree, True
    for step in mistake.place:
        below = entry.below.get(step)
        if below is None:
            whole = False
            break
        entry = below
    span = entry.value if whole and not mistake.at_key else entry.key
    if whole and mistake.needle is not None:
        at = lines.data.find(mistake.needle.encode(), *entry.value)
        if at != -1:
            span = (at, at + len(mistake.needle.encode()))
    line, column, end, source_line = lines.position(span)
    return replace(mistake, line=line, column=column, end=end, source_line=source_line)


def _tree(data: bytes) -> _Entry:
    import tree_sitter
    import tree_sitter_toml

    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_toml.language()))
    top = _Entry(key=(0, 0), value=(0, 0))
    for node in parser.parse(data).root_node.named_children:
        if node.type == "pair":
            _add_pair(top, node)
        elif node.type in {"table", "table_array_element"}:
            _add_table(top, node)
    return top


def _add_table(top: _Entry, node: Node) -> None:
    children = node.named_children
    if not children or children[0].type not in {"bare_key", "quoted_key", "dotted_key"}:
        return
    keys = _keys(children[0])
    table = _enter(top, keys[:-1])
    name, span = keys[-1]
    if node.type == "table_array_element":
        array = table.below.setdefault(name, _Entry(span, span))
        entry = array.below[len(array.below)] = _Entry(span, span)
    else:
        known = table.below.get(name)
        # A table may have been made by a header below it, [a.b] before [a]: its own header is the better place.
        entry = table.below[name] = _Entry(span, span, known.below if known else {})
    for child in children[1:]:
        if child.type == "pair":
            _add_pair(entry, child)


def _add_pair(table: _Entry, node: Node) -> None:
    children = _parts(node)
    if len(children) < 2:
        return
    keys = _keys(children[0])
    name, span = keys[-1]
    value = children[-1]
    entry = _Entry(span, (value.start_byte, value.end_byte))
    _enter(table, keys[:-1]).below.setdefault(name, entry)
    _add_value(entry, value)


def _add_value(entry: _Entry, node: Node) -> None:
    """What is inside arrays and inline tables.  A loop, since how deep they go is the file's choice."""
    waiting = [(entry, node)]
    while waiting:
        into, value = waiting.pop()
        if value.type == "array":
            for number, item in enumerate(_parts(value)):
                span = (item.start_byte, item.end_byte)
                below = into.below[number] = _Entry(span, span)
                waiting.append((below, item))
        elif value.type == "inline_table":
            for pair in value.named_children:
                children = _parts(pair)
                if pair.type != "pair" or len(children) < 2:
                    continue
                keys = _keys(children[0])
                name, span = keys[-1]
                below = _Entry(span, (children[-1].start_byte, children[-1].end_byte))
                _enter(into, keys[:-1]).below.setdefault(name, below)
                waiting.append((below, children[-1]))


def _enter(table: _Entry, keys: Sequence[tuple[str, _Span]]) -> _Entry:
    """The table at these keys; of an array of tables, its last one, as TOML has it."""
    for name, span in keys:
        table = table.below.setdefault(name, _Entry(span, span))
        if table.below and all(isinstance(step, int) for step in table.below):
            table = table.below[len(table.below) - 1]
    return table


def _keys(node: Node) -> list[tuple[str, _Span]]:
    """The names of a key, left to right.  A dotted key is nested to the left, once for each dot."""
    nodes: list[Node] = []
    while node.type == "dotted_key":
        children = _parts(node)
        nodes.extend(reversed(children[1:]))
        node = children[0]
    nodes.append(node)
    return [(_name(each), (each.start_byte, each.end_byte)) for each in reversed(nodes)]


def _parts(node: Node) -> list[Node]:
    """What a node is made of: for a pair its key and its value.  The grammar hangs comments anywhere."""
    return [child for child in node.named_children if child.type not in {"comment", "ERROR"}]


def _name(node: Node) -> str:
    text = (node.text or b"").decode(errors="replace")
    if node.type != "quoted_key":
        return text
    if text.startswith("'"):
        return text[1:-1]
    import tomli

    try:
        return str(tomli.loads(f"name = {text}")["name"])  # its escapes are TOML's business
    except tomli.TOMLDecodeError:
        return text[1:-1]
