"""Audit one module of the standard library: measure its source, then import it.

The task succeeds when every file of the module parses and compiles and the module can be imported here.  A module that
another version of Python has and this one has not is a finding, not a failure; a module that this version has and
that cannot be imported on this machine is a failure, for that is what an audit is there to say.
"""

from __future__ import annotations

import ast
import importlib
import sys
import sysconfig
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

LIBRARY = Path(sysconfig.get_path("stdlib"))
NAMED_AT_MOST = 3
BLOCKS = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef),
    *(ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match),
    *([ast.TryStar] if sys.version_info >= (3, 11) else []),  # type: ignore[attr-defined,unused-ignore]
)


class DoesNotParseError(Exception):
    """Some files of the module are no Python, or not of this version."""


@dataclass
class Measure:
    """What the source of one module, or of many, amounts to."""

    files: int = 0
    lines: int = 0
    functions: int = 0
    classes: int = 0
    longest_function: str | None = None
    longest_function_lines: int = 0
    deepest_nesting: int = 0
    deepest_nesting_in: str | None = None


def audit(module: str) -> dict[str, object]:
    """Measure and import the module; what is returned goes to the report."""
    paths = list(sources(module))
    if not paths and module.partition(".")[0] not in sys.stdlib_module_names:
        return {"module": module, "state": "absent"}
    measure, unparsed = measure_files(paths)
    started = time.perf_counter()
    importlib.import_module(module)
    import_s = time.perf_counter() - started
    if unparsed:
        print(*unparsed, sep="\n")  # all of them, with the reason of each, to the task's log
        named = ", ".join(line.split(": ")[0] for line in unparsed[:NAMED_AT_MOST])
        more = f" and {len(unparsed) - NAMED_AT_MOST} more" if len(unparsed) > NAMED_AT_MOST else ""
        raise DoesNotParseError(f"{len(unparsed)} of {len(paths)} files do not parse: {named}{more}")
    return {"module": module, "state": "present", "import_s": round(import_s, 4), **asdict(measure)}


def sources(module: str) -> Iterator[Path]:
    """Give the module's files, in a fixed order, and with a package all that is below it.  A compiled one has none."""
    path = LIBRARY.joinpath(*module.split("."))
    if path.is_dir():
        yield from sorted(path.rglob("*.py"))
    elif path.with_suffix(".py").is_file():
        yield path.with_suffix(".py")


def measure_files(paths: list[Path]) -> tuple[Measure, list[str]]:
    """Measure all files together; what does not parse is told apart, as text."""
    total = Measure()
    unparsed = []
    for path in paths:
        name = path.relative_to(LIBRARY).as_posix()
        source = path.read_bytes()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # old spellings are not what is audited
                tree = ast.parse(source, name)
                compile(tree, name, "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:  # ValueError: a NUL byte, on some versions
            unparsed.append(f"{name}:{getattr(error, 'lineno', None) or 1}: {error.args[0]}")
            continue
        total.files += 1
        total.lines += source.count(b"\n")
        measure_tree(tree, name, total)
    return total, unparsed


def measure_tree(tree: ast.Module, file: str, total: Measure) -> None:
    """Add one file to the total."""
    pending: list[tuple[ast.AST, int]] = [(tree, 0)]
    while pending:  # not by recursion: a long chain of operators is a deep tree
        node, depth = pending.pop()
        if isinstance(node, BLOCKS):
            depth += 1
            if depth > total.deepest_nesting:
                total.deepest_nesting = depth
                total.deepest_nesting_in = f"{file}:{node.lineno}"
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            total.functions += 1
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > total.longest_function_lines:
                total.longest_function_lines = lines
                total.longest_function = f"{file}:{node.lineno} {node.name}"
        total.classes += isinstance(node, ast.ClassDef)
        pending.extend((child, depth - _is_elif(node, child)) for child in ast.iter_child_nodes(node))


def _is_elif(node: ast.AST, child: ast.AST) -> bool:
    """Whether a child is the `elif` of its parent, which the tree has as an `if` inside of its `else`.

    An `if` that is alone in an `else` looks the same but for its column, which is that of its parent in an `elif`.
    """
    if not (isinstance(node, ast.If) and isinstance(child, ast.If)):
        return False
    return node.orelse == [child] and child.col_offset == node.col_offset
