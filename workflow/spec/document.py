"""One document out of several layers: the file, what it includes, a profile, ``--set``; and where each value came from.

Every later stage works on the one merged document and names what is wrong by its place there.  Where that is written
is looked up only when there is something to show: each layer notes, for every value it brought, the file and the
place in it, and the longest noted beginning of a place is its home.  Merging values that carry their position with
them was the alternative; then each check would unwrap them, for the sake of a mistake that is mostly not there.

How files become one: a table of an included file is added to the table of the same name, key by key; a name that two
files define is a mistake that names both.  Of [pipeline] an included file has only what adds up (``path``,
``preload``, ``include``) or concerns the file alone (``format``, ``doc``).  A file that is included twice counts once.
A profile and ``--set`` are laid over the result: tables key by key, everything else replaced.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from workflow.diagnostics.mistake import InvalidPipeline, Mistake, Place
from workflow.diagnostics.suggest import did_you_mean
from workflow.spec.reference import describe
from workflow.spec.source import Source, read_source

SECTIONS = ("pipeline", "vars", "secrets", "limits", "defaults", "templates", "profiles", "tasks")
_OF_INCLUDED = ("format", "doc", "include", "path", "preload")
_ADDED_UP = ("path", "preload")
_DEEPEST = 100
"""Files of which each includes the next."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value is written."""

    layer: str
    """``file``, ``profile P``, or the ``--set`` as it was given."""
    source: Source | None
    """None for the command line."""
    place: Place
    """In that file."""


@dataclass(frozen=True, slots=True)
class Document:
    """What all layers say together."""

    main: Source
    value: dict[str, object]
    sources: tuple[Source, ...]
    """Every file that was read, the main one first."""
    origins: Mapping[Place, Origin] = field(default_factory=dict)
    """Of values that are not from the main file itself."""
    globs: tuple[tuple[str, str, str], ...] = ()
    """Of includes: folder, pattern, and a digest of what matched."""

    @property
    def file(self) -> Path:
        """Of the main file; absolute."""
        return self.main.file

    @property
    def folder(self) -> Path:
        """Of the main file."""
        return self.main.folder

    def origin(self, place: Place) -> Origin:
        """Where the value at this place of the document is written."""
        for length in range(len(place), 0, -1):
            home = self.origins.get(place[:length])
            if home is not None:
                return replace(home, place=(*home.place, *place[length:]))
        return Origin("file", self.main, place)

    def home(self, place: Place) -> Path:
        """The folder that a relative path at this place is relative to."""
        source = self.origin(place).source
        return self.folder if source is None else source.folder

    @property
    def homes(self) -> tuple[Path, ...]:
        """The folders of all files, the main one's first."""
        return tuple(dict.fromkeys(source.folder for source in self.sources))


def read_document(
    path: Path, *, profile: str | None = None, sets: Sequence[str] = ()
) -> tuple[Document, list[Mistake]]:
    """Read a file and everything it includes, and lay the profile and the ``--set`` over it.

    Raises InvalidPipeline where the main file cannot be read; mistakes of the other layers are returned.
    """
    return lay_over(read_source(path), profile=profile, sets=sets)


def lay_over(main: Source, *, profile: str | None = None, sets: Sequence[str] = ()) -> tuple[Document, list[Mistake]]:
    """The same for a file that has been read."""
    reader = _Reader(main)
    reader.include(main, main.document, (main.file,))
    value, origins = reader.value, reader.origins
    if profile is not None:
        value = _with_profile(main, value, profile, origins, reader.mistakes)
    for text in sets:
        value = _with_set(value, text, origins, reader.mistakes)
    return Document(main, value, tuple(reader.sources.values()), origins, tuple(reader.globs)), reader.mistakes


class _Reader:
    """Reads included files, depth first, in the order in which they are named."""

    def __init__(self, main: Source) -> None:
        self.value: dict[str, object] = dict(main.document)
        self.sources: dict[Path, Source] = {main.file: main}
        self.origins: dict[Place, Origin] = {}
        self.mistakes: list[Mistake] = []
        self.globs: list[tuple[str, str, str]] = []
        self._main = main

    def include(self, source: Source, document: Mapping[str, object], chain: tuple[Path, ...]) -> None:
        pipeline = document.get("pipeline")
        written = pipeline.get("include", []) if isinstance(pipeline, dict) else []
        if not isinstance(written, (str, list)):
            return  # its check tells, with those of the other keys
        for number, pattern in enumerate([written] if isinstance(written, str) else written):
            if not isinstance(pattern, str) or not pattern or "\0" in pattern:
                continue  # and here
            place: Place = ("pipeline", "include") if isinstance(written, str) else ("pipeline", "include", number)
            for file in self._matches(source, place, pattern):
                self._include_one(source, place, file, chain)

    def _matches(self, source: Source, place: Place, pattern: str) -> list[Path]:
        from glob import glob, has_magic

        if "${" in pattern:
            headline = "includes are read before anything can be referred to"
            self._wrong(source, "misplaced-reference", place, headline, "write the path itself, or a glob")
            return []
        if not has_magic(pattern):
            return [source.folder / pattern]
        found = glob(pattern, root_dir=source.folder, recursive=True)
        matches = sorted(map(os.fsencode, found))
        self.globs.append((str(source.folder), pattern, hashlib.sha256(b"\0".join(matches)).hexdigest()))
        return [source.folder / os.fsdecode(each) for each in matches]

    def _include_one(self, source: Source, place: Place, file: Path, chain: tuple[Path, ...]) -> None:
        real = Path(os.path.realpath(file))
        if real in chain:
            shown = " → ".join(os.path.relpath(each, self._main.folder) for each in (*chain[chain.index(real) :], real))
            self._wrong(source, "include-cycle", place, f"files include each other in a circle: {shown}", None)
            return
        if real in self.sources:
            return
        if len(chain) > _DEEPEST:
            headline = f"files include each other more than {_DEEPEST} deep"
            self._wrong(source, "bad-include", place, headline, "include several files from one")
            return
        try:
            included = read_source(file)
        except InvalidPipeline as error:
            if all(mistake.code == "unreadable-file" for mistake in error.mistakes):
                for mistake in error.mistakes:
                    self._wrong(source, "bad-include", place, f"{error.file}: {mistake.headline}", mistake.help)
            else:
                self.mistakes += [replace(mistake, file=error.file) for mistake in error.mistakes]
            return
        included = replace(included, shown=os.path.join(os.path.dirname(self._main.shown), self._relative(real)))
        self.sources[real] = included
        self._merge(included)
        self.include(included, included.document, (*chain, real))

    def _relative(self, file: Path) -> str:
        return os.path.relpath(file, self._main.folder)

    def _merge(self, source: Source) -> None:
        for section, table in source.document.items():
            if section not in SECTIONS:
                if section not in self.value:  # nobody reads it: the check of the whole says so
                    self.value[section] = table
                    self.origins[section,] = Origin("file", source, (section,))
                continue
            if not isinstance(table, dict):
                self._wrong(source, "bad-value", (section,), f"must be a table, not {describe(table)}", None)
                continue
            mine = self.value.get(section, {})
            if not isinstance(mine, dict):
                continue  # of the main file, which is told
            if section not in self.value:
                self.origins[section,] = Origin("file", source, (section,))
            mine = self.value[section] = dict(mine)
            if section == "pipeline":
                self._merge_pipeline(source, table, mine)
                continue
            for key, value in table.items():
                if key in mine:
                    other = self._home((section, key))
                    what = "the key" if section == "defaults" else f"{section}.{key}"
                    headline = f"{what} is defined in {other} too" if what != "the key" else f"{other} has this key too"
                    help_ = "keep one of the two" if section == "defaults" else "rename one of the two"
                    self._wrong(source, "defined-twice", (section, key), headline, help_, at_key=True)
                    continue
                mine[key] = value
                self.origins[section, key] = Origin("file", source, (section, key))

    def _merge_pipeline(self, source: Source, table: Mapping[str, object], mine: dict[str, object]) -> None:
        for key, value in table.items():
            if key in _ADDED_UP and isinstance(value, list) and isinstance(mine.get(key, []), list):
                already = list(mine.get(key, []))  # type: ignore[call-overload]  # it is a list
                for number in range(len(value)):
                    home = Origin("file", source, ("pipeline", key, number))
                    self.origins["pipeline", key, len(already) + number] = home
                mine[key] = [*already, *value]
            elif key not in _OF_INCLUDED:
                headline = f"is for the file that is run, {self._main.shown}"
                help_ = f"an included file has only {', '.join(_OF_INCLUDED)} in [pipeline]"
                self._wrong(source, "misplaced-key", ("pipeline", key), headline, help_, at_key=True)
            elif key in _ADDED_UP:
                self._wrong(source, "bad-value", ("pipeline", key), f"must be an array, not {describe(value)}", None)
            elif key == "format" and not (type(value) is int and value == 1):
                headline = f"must be 1, the only format there is, not {describe(value)}"
                self._wrong(source, "bad-value", ("pipeline", key), headline, None)

    def _home(self, place: Place) -> str:
        home = self.origins.get(place)
        return self._main.shown if home is None or home.source is None else home.source.shown

    def _wrong(
        self, source: Source, code: str, place: Place, headline: str, help_: str | None, *, at_key: bool = False
    ) -> None:
        self.mistakes.append(Mistake(code, place, headline, help_, at_key=at_key, file=source.shown))


def _with_profile(
    main: Source, value: dict[str, object], name: str, origins: dict[Place, Origin], mistakes: list[Mistake]
) -> dict[str, object]:
    profiles = value.get("profiles")
    known = profiles if isinstance(profiles, dict) else {}
    profile = known.get(name)
    if not isinstance(profile, dict):
        if name not in known:
            near = did_you_mean(name, known)
            help_ = f"the file has {', '.join(known)}" if known else "the file has no table [profiles.NAME]"
            headline = f"--profile {name}: there is no such profile" + (f", {near}" if near else "")
            mistakes.append(Mistake("unknown-profile", (), headline, help_, file=main.shown))
        return value
    base = origins.get(("profiles", name)) or Origin("file", main, ("profiles", name))
    return _laid_over(value, profile, (), replace(base, layer=f"profile {name}"), origins)


def _with_set(
    value: dict[str, object], text: str, origins: dict[Place, Origin], mistakes: list[Mistake]
) -> dict[str, object]:
    shown = f"--set {text}"
    written, equals, what = text.partition("=")
    keys = _keys(written)
    if not equals or not keys:
        headline = "is not KEY=VALUE, with a key such as tasks.fetch.timeout"
        mistakes.append(Mistake("bad-set", (), headline, file=shown))
        return value
    if keys[0] == "pipeline" and keys[1:2] == ("include",):
        mistakes.append(Mistake("bad-set", (), "what is included cannot be set", file=shown))
        return value
    if keys[0] not in SECTIONS or keys[0] == "profiles" or len(keys) < 2:
        near = did_you_mean(keys[0], SECTIONS) if keys[0] not in SECTIONS else None
        help_ = "such as tasks.NAME.timeout, defaults.timeout, pipeline.pool or vars.x"
        mistakes.append(
            Mistake("bad-set", (), "there is no such key" + (f", {near}" if near else ""), help_, file=shown)
        )
        return value
    tasks = value.get("tasks")
    if keys[0] == "tasks" and not isinstance(tasks, dict):
        return value
    if keys[0] == "tasks" and isinstance(tasks, dict) and (keys[1] not in tasks or len(keys) < 3):
        near = did_you_mean(keys[1], tasks) if keys[1] not in tasks else None
        headline = f"there is no task {keys[1]!r}" if keys[1] not in tasks else "does not say which key of the task"
        mistakes.append(Mistake("bad-set", (), headline + (f", {near}" if near else ""), file=shown))
        return value
    overlay: object = _typed(what)
    for key in reversed(keys):
        overlay = {key: overlay}
    assert isinstance(overlay, dict)
    return _laid_over(value, overlay, (), Origin(shown, None, ()), origins)


def _keys(text: str) -> tuple[str, ...]:
    """The dotted key of a ``--set``, read as TOML reads one; empty where it is none."""
    import tomli

    try:
        document: object = tomli.loads(f"{text} = 0") if "\n" not in text else {}
    except (tomli.TOMLDecodeError, RecursionError):
        return ()
    keys: list[str] = []
    while isinstance(document, dict) and len(document) == 1:
        ((key, document),) = document.items()
        keys.append(key)
    return tuple(keys) if len(keys) <= 64 else ()


def _typed(text: str) -> object:
    """A TOML value, or the text itself where it is none."""
    import tomli

    try:
        document = tomli.loads(f"value = {text}")
    except (tomli.TOMLDecodeError, RecursionError, ValueError):
        return text
    return document["value"] if len(document) == 1 else text


def _laid_over(
    below: dict[str, object], above: Mapping[str, object], place: Place, home: Origin, origins: dict[Place, Origin]
) -> dict[str, object]:
    """Tables key by key, everything else replaced; notes where each value that is new came from."""
    merged = dict(below)
    for key, value in above.items():
        here = (*place, key)
        there = replace(home, place=(*home.place, key)) if home.source is not None else home
        under = merged.get(key)
        if isinstance(under, dict) and isinstance(value, dict):
            merged[key] = _laid_over(under, value, here, there, origins)
            continue
        for stale in [each for each in origins if each[: len(here)] == here]:
            del origins[stale]
        merged[key] = value
        origins[here] = there
    return merged
