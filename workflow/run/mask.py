"""``***`` in the place of secrets, in text and in bytes, however they arrive.  Pure: it reads and writes nothing.

What is looked for, for each secret:

- the secret itself, whole, however short it is;
- what it becomes when a program shows it as a value: in JSON, in Python's ``repr`` and ``ascii`` (of text and of bytes,
  with either quote), in one of these inside another, quoted for a shell, percent-encoded, escaped for XML, and in
  base64, by itself and with other text before and behind it (the header of a basic authorization is the base64 of
  ``user:token``);
- the secret without the blanks around it, and each of its lines: a line is what programs print of a key.  Of fewer
  than 4 characters they say next to nothing, and masking ``{`` or ``}`` of a JSON document would destroy every line
  of a log.

Others: GitHub Actions looks for the value, for each of its lines, and for such encoded forms, base64 in three
positions among them; GitLab masks only values of at least 8 characters; Jenkins masks values, and warns
of short ones.  To refuse a short secret would keep people from using what they have to use, and would protect it no
better: here it is masked, and whoever uses ``1`` as a password sees ``***`` wherever a 1 was.

What is found overlaps: of ``abcd`` and ``cdef`` nothing of ``abcdef`` may stay.  So every place where a form begins
counts, and what they cover together becomes one ``***``.  Where text is cut, a part of a secret may stand at the cut;
what may be one is masked there too, however short.  In a text that says where it was cut, by an ``…``, and at the end
of what a task printed, which may have died in the middle of it, such a part needs 4 characters.

It cannot find what was encoded in another way: compressed, encrypted, in hexadecimal, spelled backwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import AnyStr, Generic

STARS = "***"
PART_MIN = 4
"""Characters of a line, or of a part of a secret at an ``…``, from which on it is masked by itself."""
_ALIKE = 4
"""Characters with which forms of a group begin."""
_EDGE = 8
"""Characters of a part of a form at an edge, below which such parts are looked up."""
_DEEP_LINES = 20
"""Lines of a secret up to which all forms of each are looked for: with quotes in it, they are hundreds."""
_BASE64_MIN = 6
"""Characters of base64 that do not depend on what surrounds the secret: fewer would be found everywhere."""


class Mask:
    """All that is to be masked in one run.  It is false when that is nothing."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets if secret for form in _forms(secret)}
        in_order = sorted(forms, key=len, reverse=True)
        self._text = _Finder(in_order, STARS)
        self._data = _Finder(sorted([form.encode() for form in forms], key=len, reverse=True), STARS.encode())

    def __bool__(self) -> bool:
        return bool(self._text.forms)

    def text(self, text: str) -> str:
        """The text without secrets."""
        if not self._text.forms:
            return text
        masked = self._text.whole(text)
        return _at_cuts(masked, self._text) if "…" in masked else masked

    def maybe(self, text: str | None) -> str | None:
        """The same, where there may be none."""
        return None if text is None else self.text(text)

    def data(
        self, data: bytes, *, cut_before: bool = False, cut_behind: bool = False, broken_off: bool = False
    ) -> bytes:
        """The bytes without secrets; whether something is missing before or behind them, of which they are a part.

        ``broken_off`` is whether they may end in the middle of a secret of which there is no more.
        """
        if not self._data.forms:
            return data
        if not (cut_before or cut_behind or broken_off):
            return self._data.whole(data)
        stream = self.stream(cut_before=cut_before)
        if not (cut_behind or broken_off):
            return stream.feed(data, last=True)
        return stream.feed(data) + stream.end(cut=cut_behind, broken_off=broken_off)

    def stream(self, *, cut_before: bool = False) -> MaskedStream:
        """For bytes that come in pieces."""
        return MaskedStream(self._data, cut_before=cut_before)


class MaskedStream:
    """Bytes that come in pieces: what comes out is what would have come of the whole.

    A piece that ends in what may be the beginning of a secret is held back as far as that, until the next.
    """

    __slots__ = ("_covered", "_cut_before", "_finder", "_held")

    def __init__(self, finder: _Finder[bytes], *, cut_before: bool = False) -> None:
        self._finder = finder
        self._held = b""
        self._covered = 0  # bytes of what is held that belong to what has been told as masked
        self._cut_before = cut_before

    def feed(self, data: bytes, *, last: bool = False) -> bytes:
        """Answer what is certain by now; with ``last``, everything."""
        finder = self._finder
        if not finder.forms or not data:
            return data if not last else data + self.end()
        text = self._held + data if self._held else data
        stars = b""
        if self._cut_before:
            self._cut_before = False
            self._covered = finder.rest_at_start(text)
            stars = finder.stars if self._covered else b""
        until = len(text) if last else finder.begun_at_end(text)
        pieces, self._covered = finder.masked(text, self._covered, until)
        self._held = text[until:]
        return stars + b"".join(pieces)

    def end(self, *, cut: bool = False, broken_off: bool = False) -> bytes:
        """Answer what was held back.

        ``cut`` is whether something is missing behind it; ``broken_off``, whether it may end in the middle of a secret.
        """
        held, covered = self._held, self._covered
        self._held, self._covered, self._cut_before = b"", 0, cut
        if not held:
            return b""
        if not (
            cut or (broken_off and len(held) >= PART_MIN)
        ):  # what might have become a longer form may hold a shorter one
            return b"".join(self._finder.masked(held, covered, len(held))[0])
        return self._finder.stars if len(held) > covered else b""


class _Finder(Generic[AnyStr]):
    """Finds forms in text or in bytes.

    Most forms of a secret begin alike, so what is searched for is what they have in common: one search at the speed of
    memory for each such group, and a look at what really is there only where that was found.
    """

    __slots__ = ("_begins", "_ends", "_groups", "forms", "longest", "stars")

    def __init__(self, forms: list[AnyStr], stars: AnyStr) -> None:
        """``forms`` are sorted, the longest first."""
        self.forms: list[AnyStr] = forms
        self.stars: AnyStr = stars
        self.longest = max(map(len, forms), default=0)
        groups: dict[AnyStr, list[AnyStr]] = {}
        for form in forms:
            groups.setdefault(form[:_ALIKE], []).append(form)
        # Not as one pattern with many alternatives: to compile that takes seconds where they are long.
        self._groups: list[tuple[AnyStr, list[AnyStr]]] = [
            (_common_beginning(group), group) for group in groups.values()
        ]
        self._begins: set[AnyStr] = {form[:size] for form in forms for size in range(1, min(_EDGE, len(form)))}
        self._ends: set[AnyStr] = {
            form[len(form) - size :] for form in forms for size in range(1, min(_EDGE, len(form)))
        }

    def whole(self, text: AnyStr) -> AnyStr:
        """All of a text, masked."""
        if not any(beginning in text for beginning, _ in self._groups):
            return text
        return text[:0].join(self.masked(text, 0, len(text))[0])

    def masked(self, text: AnyStr, covered: int, until: int) -> tuple[list[AnyStr], int]:
        """The pieces up to ``until``, and how much behind it belongs to the last ``***`` among them.

        The first ``covered`` characters belong to one that was told before.
        """
        pieces: list[AnyStr] = []
        position = 0
        for start, end in self._places(text, covered):
            told = start == 0 and covered > 0
            if start >= until and not told:
                break
            if start > position:
                pieces.append(text[position:start])
            if not told:
                pieces.append(self.stars)
            position = end
        if position < until:
            pieces.append(text[position:until])
        return pieces, max(0, position - until)

    def begun_at_end(self, text: AnyStr) -> int:
        """Where what may be the beginning of a form, with its rest still to come, begins; else the end."""
        size = len(text)
        first = next((place for place in range(max(0, size - _EDGE + 1), size) if text[place:] in self._begins), size)
        for form in self.forms:
            # Where there is so much of it, it is looked for as fast as memory is read.
            place = text.find(form[:_EDGE], max(0, size - len(form) + 1), first + _EDGE)
            while place >= 0:
                if form.startswith(text[place:]):
                    first = place
                    break
                place = text.find(form[:_EDGE], place + 1, first + _EDGE)
        return first

    def rest_at_start(self, text: AnyStr) -> int:
        """How much of the beginning may be the end of a form."""
        most = next((size for size in range(min(len(text), _EDGE - 1), 0, -1) if text[:size] in self._ends), 0)
        for form in self.forms:
            ending = form[-_EDGE:]
            place = text.rfind(ending, 0, len(form) - 1)
            while place >= 0 and place + len(ending) > most:
                if form.endswith(text[: place + len(ending)]):
                    most = place + len(ending)
                    break
                place = text.rfind(ending, 0, place + len(ending) - 1)
        return most

    def _places(self, text: AnyStr, covered: int) -> Iterator[tuple[int, int]]:
        """What forms cover, overlapping ones together, from left to right."""
        found = [(0, covered)] if covered else []
        for beginning, group in self._groups:
            place = text.find(beginning)
            while place >= 0:
                for form in group:
                    if text.startswith(form, place):
                        found.append((place, place + len(form)))
                        break
                place = text.find(beginning, place + 1)  # it may overlap itself
        if not found:
            return
        found.sort()
        start, end = found[0]
        for next_start, next_end in found:
            if next_start >= end:
                yield start, end
                start = next_start
            end = max(end, next_end)
        yield start, end


def _at_cuts(text: str, finder: _Finder[str]) -> str:
    """Mask parts of secrets beside the ``…`` with which text is shortened, here and elsewhere."""
    parts = text.split("…")
    for number in range(len(parts) - 1):
        begins, ends = parts[number].rstrip("\n"), parts[number + 1]
        begun = finder.begun_at_end(begins)
        if len(begins) - begun >= PART_MIN:
            parts[number] = begins[:begun] + STARS + parts[number][len(begins) :]
        blank = len(ends) - len(ends.lstrip("\n"))
        rest = finder.rest_at_start(ends[blank : blank + finder.longest])
        if rest >= PART_MIN:
            parts[number + 1] = ends[:blank] + STARS + ends[blank + rest :]
    return "…".join(parts)


def _common_beginning(forms: list[AnyStr]) -> AnyStr:
    first, last = min(forms), max(forms)
    size = 0
    while size < min(len(first), len(last)) and first[size] == last[size]:
        size += 1
    return first[:size]


def _forms(secret: str) -> Iterator[str]:
    yield from _shown(secret)
    yield from _encoded(secret)
    yield secret.replace("\r\n", "\n").replace("\n", "\r\n")  # as a terminal has it
    yield secret.replace("\r\n", "\n")
    lines = secret.splitlines()
    for part in (secret, *lines):
        stripped = part.strip()
        if stripped != secret and len(stripped) >= PART_MIN:
            yield from _shown(stripped, deep=len(lines) <= _DEEP_LINES)


def _shown(secret: str, *, deep: bool = True) -> Iterator[str]:
    """Itself, and how programs show it as a value, without the quotes around it."""
    in_shell = _in_shell(secret)
    yield from in_shell
    if deep:
        in_shell |= {twice for once in in_shell for twice in _in_shell(once)}
    for base in {secret, *(in_shell if deep else ())}:
        yield base
        for literal in _literals(base):
            yield literal
            yield from _literals(literal)  # of an exception whose message holds what was shown already, say
            if deep:
                yield from _in_shell(literal)
    if not secret.isascii():
        yield secret.encode("ascii", "backslashreplace").decode()  # on standard error, where that is ASCII
    if not (secret.isascii() and secret.isprintable()):
        yield "".join(map(_dumped, secret))
    in_xml = secret.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for double, single in (('"', "'"), ("&quot;", "'"), ("&quot;", "&#x27;"), ("&#34;", "&#39;"), ("&quot;", "&apos;")):
        yield in_xml.replace('"', double).replace("'", single)


def _in_shell(text: str) -> set[str]:
    """What stands between the outer quotes of a word of a shell line, other than itself."""
    return {text.replace("'", "'\"'\"'"), text.replace("'", "'\\''")} - {text}


def _dumped(character: str) -> str:
    """As ``faulthandler`` writes it."""
    if " " <= character <= "~":
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _literals(text: str) -> set[str]:
    """What stands between the quotes of a literal of JSON or Python."""
    import json

    found = set()
    for is_ascii in (True, False):
        in_json = json.dumps(text, ensure_ascii=is_ascii)[1:-1]
        found |= {in_json, in_json.replace("/", "\\/")}
    # Python chooses its quotes, and what to escape, by the whole text, of which this may be a part.
    parts = text.split("'")
    for show in (repr, ascii, lambda part: repr(part.encode())[1:]):
        shown = [show(part)[1:-1] for part in parts]
        found |= {"'".join(shown), "\\'".join(shown)}
    return found


def _encoded(secret: str) -> Iterator[str]:
    """What programs make of it on its way elsewhere."""
    from base64 import b64encode
    from urllib.parse import quote, quote_plus

    data = secret.encode()
    for escaped in (quote(secret), quote(secret, safe=""), quote_plus(secret)):
        yield escaped
        yield _lower_escapes(escaped)
    # Three bytes make four characters, so it matters how many bytes stand before.  What depends on neighbours is left.
    for before in range(3):
        encoded = b64encode(bytes(before) + data).decode().rstrip("=")
        first = (0, 2, 3)[before]
        own = encoded[first : (before + len(data)) * 8 // 6]
        if len(own) >= _BASE64_MIN:
            yield own
            yield own.replace("+", "-").replace("/", "_")


def _lower_escapes(text: str) -> str:
    return re.sub("%[0-9A-F]{2}", lambda match: match.group().lower(), text)


NO_MASK = Mask()
"""For a run without secrets."""
