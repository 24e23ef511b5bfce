"""Which report a file's name asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from workflow.report.material import Material

FORMATS = {
    ".trace.json": "workflow.report.trace:trace_pieces",
    ".json": "workflow.report.json_report:json_pieces",
    ".xml": "workflow.report.junit:junit_pieces",
    ".html": "workflow.report.html:html_pieces",
    ".md": "workflow.report.markdown:markdown_pieces",
}
"""By the end of the name, the longer end first, what makes its text.  Each is imported when it is wanted."""
KNOWN = ".json, .xml (JUnit), .html, .md (Markdown) or .trace.json (Perfetto)"


def suffix_of(path: Path) -> str | None:
    """The end of the name that says what the report is; None where it says nothing that is known."""
    name = path.name.lower()
    return next((suffix for suffix in FORMATS if name.endswith(suffix) and name != suffix), None)


def unknown_format(path: Path) -> str:
    """What to say of a name that asks for nothing that there is."""
    from workflow.diagnostics.suggest import did_you_mean

    near = did_you_mean(_ALIASES.get(path.suffix.lower(), path.suffix), FORMATS) if path.suffix else None
    return f"{str(path)!r} must end in {KNOWN}" + (f"; {near}" if near else "")


_ALIASES = {".markdown": ".md", ".junit": ".xml", ".htm": ".html", ".xhtml": ".html", ".trace": ".trace.json"}


def report_pieces(path: Path, material: Material) -> Iterator[str]:
    """The text of the report that ``path`` asks for, bit by bit.  Its name must ask for one."""
    suffix = suffix_of(path)
    assert suffix is not None, path
    module, _, function = FORMATS[suffix].partition(":")
    pieces = cast("Callable[[Material], Iterator[str]]", getattr(import_module(module), function))
    return pieces(material)
