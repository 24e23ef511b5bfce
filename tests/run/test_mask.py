"""Nothing of a secret is left, however it arrives."""

from __future__ import annotations

import ast
import base64
import json
import re
import shlex
import urllib.parse
from collections.abc import Callable
from html import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow.run.mask import NO_MASK, Mask

NASTY = 's3cr3t \'tis\n"quoted"\\ü/€&<tail>'
# Few letters, so that secrets overlap themselves, one another, and what is around them.
few = st.text("ab\n'\"", min_size=1, max_size=8)
texts = st.text("ab\n'\"c", max_size=60)


def covered(secrets: list[str], text: str) -> str:
    """What a mask of these secrets alone has to come to, by the plainest way there is."""
    hidden = [False] * len(text)
    begins = [False] * len(text)
    spans = sorted(
        (start, start + len(secret))
        for secret in secrets
        for start in range(len(text))
        if text.startswith(secret, start)
    )
    end = 0
    for start, stop in spans:
        begins[start] = begins[start] or start >= end
        end = max(end, stop)
        hidden[start:stop] = [True] * (stop - start)
    return "".join(
        ("***" if begins[place] else "") if hidden[place] else character for place, character in enumerate(text)
    )


@given(st.lists(st.text("ab", min_size=1, max_size=5), min_size=1, max_size=3), st.text("abc", max_size=40))
@settings(max_examples=200, deadline=None)
def test_all_that_secrets_cover_is_masked_and_nothing_else(secrets: list[str], text: str) -> None:
    """Secrets that overlap leave nothing of one another; of such letters, no form is another one than the secret."""
    mask = Mask(secrets)
    assert {form for form in mask._text.forms if set(form) <= set("abc")} >= set(secrets)
    plain = [form for form in mask._text.forms if set(form) <= set("abc")]
    assert mask.text(text) == covered(plain, text)
    assert mask.data(text.encode()) == covered(plain, text).encode()


@given(st.lists(few, min_size=1, max_size=3), texts, st.data())
@settings(max_examples=200, deadline=None)
def test_any_split_gives_the_same_as_the_whole(secrets: list[str], text: str, data: st.DataObject) -> None:
    """Also byte by byte, and also when what was written is itself only a part."""
    mask = Mask(secrets)
    whole = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=len(whole))))
    stream = mask.stream()
    pieces = [stream.feed(whole[start:end]) for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert b"".join(pieces) + stream.end() == mask.data(whole)
    stream = mask.stream()
    assert b"".join(stream.feed(bytes([byte])) for byte in whole) + stream.end() == mask.data(whole)


@given(st.text("ab\n'\"", min_size=2, max_size=8), texts, st.integers(0, 70))
@settings(max_examples=200, deadline=None)
def test_nothing_of_a_secret_stands_at_a_cut(secret: str, text: str, place: int) -> None:
    """What is left of one that was cut in two is masked on both sides, however little it is."""
    mask = Mask([secret])
    cut = 1 + place % (len(secret) - 1)
    before, behind = (text + secret[:cut]).encode(), (secret[cut:] + text).encode()
    head, tail = mask.data(before, cut_behind=True), mask.data(behind, cut_before=True)
    assert head.endswith(b"***")
    assert tail.startswith(b"***")
    stream = mask.stream()
    assert b"".join(stream.feed(bytes([byte])) for byte in before) + stream.end(cut=True) == head
    assert mask.data(b"xyz", cut_before=True, cut_behind=True) == b"xyz"


@pytest.mark.parametrize(
    "shown",
    [
        NASTY,
        repr(NASTY),
        ascii(NASTY),
        repr(f"it's {NASTY}"),
        repr([NASTY, "it's"]),
        repr(f"it's {[NASTY]}"),
        repr(json.dumps([NASTY, "'"])),
        json.dumps(f"it's {[NASTY]}"),
        repr(NASTY.encode()),
        json.dumps(NASTY),
        json.dumps(NASTY, ensure_ascii=False),
        json.dumps(NASTY).replace("/", "\\/"),
        shlex.quote(NASTY),
        urllib.parse.quote(NASTY),
        urllib.parse.quote(NASTY, safe=""),
        urllib.parse.urlencode({"token": NASTY}),
        escape(NASTY),
        escape(NASTY, quote=False),
        NASTY.replace("\n", "\r\n"),
        base64.b64encode(NASTY.encode()).decode(),
        base64.b64encode(f"me:{NASTY}:end".encode()).decode(),
        base64.b64encode(f"you:{NASTY}".encode()).decode(),
        base64.urlsafe_b64encode(f"user:{NASTY}".encode()).decode(),
    ],
)
def test_what_programs_make_of_a_secret_is_masked(shown: str) -> None:
    """As text and as bytes: no six characters of it are left."""
    mask = Mask([NASTY])
    for masked in (mask.text(f"x {shown} y"), mask.data(f"x {shown} y".encode()).decode()):
        assert "***" in masked
        for part in ("s3cr3t", "quoted", "tail", shown[8:14], shown[-14:-8]):
            assert part not in masked


SHOWS: list[Callable[[str], str]] = [
    repr,
    ascii,
    json.dumps,
    shlex.quote,
    lambda text: "'" + text.replace("'", "'\\''") + "'",
]


@given(
    st.text("ab'\"\\\n é€", max_size=6),
    st.lists(st.sampled_from(SHOWS), min_size=1, max_size=2),
    st.sampled_from(["", "'", '"', "it's"]),
)
@settings(max_examples=400, deadline=None)
def test_a_secret_that_was_shown_twice_is_masked(middle: str, shows: list[Callable[[str], str]], around: str) -> None:
    """A shell line in the ``repr`` of an error, say: whatever quotes are in the secret, and beside it."""
    shown_as_stars(f"K{middle}Z", shows, around)


@given(
    st.lists(st.text("ab'\"\\\n é€", min_size=1, max_size=6), min_size=2, max_size=4),
    st.integers(100, 2000),
    st.lists(st.sampled_from(SHOWS), min_size=1, max_size=2),
    st.sampled_from(["", "'", '"', "it's"]),
)
@settings(max_examples=60, deadline=None)
def test_a_long_secret_is_masked_as_a_short_one_is(
    middles: list[str], length: int, shows: list[Callable[[str], str]], around: str
) -> None:
    """A key in JSON, say, with quotes far from one another."""
    shown_as_stars(f"K{('x' * length).join(middles)}Z", shows, around)


def shown_as_stars(secret: str, shows: list[Callable[[str], str]], around: str) -> None:
    """Hold that a secret in this text, shown so, leaves what ``***`` in it would have been shown as."""

    def shown(word: str) -> str:
        text = f"<{word}>"
        for show in shows:
            text = show(f"{around} {text}")
        return re.sub(r"[\\'\"]", "", text)

    mask = Mask([secret])
    text = f"<{secret}>"
    for show in shows:
        text = show(f"{around} {text}")
    assert re.sub(r"[\\'\"]", "", mask.text(text)) == shown("***")
    assert re.sub(r"[\\'\"]", "", mask.data(text.encode()).decode()) == shown("***")


def test_a_secret_in_the_line_of_an_error_in_a_document_is_masked() -> None:
    """Three deep."""
    secret = "it's-a-Secret99"
    text = json.dumps({"message": f"the shell line {f'echo {shlex.quote(secret)}; exit 3'!r}"})
    assert "***; exit 3" in Mask([secret]).text(text).replace("\\", "").replace("'", "")
    assert "Secret" not in Mask([secret]).text(text)


def test_what_is_no_ascii_is_masked_where_it_was_escaped() -> None:
    """As on a standard error that is ASCII, and as ``faulthandler`` has it."""
    secret = "a\\b\n-é€😀"
    mask = Mask([secret])
    assert mask.text(f"<{secret.encode('ascii', 'backslashreplace').decode()}>") == "<***>"
    assert mask.text(r"<a\b\x0a-\xe9\u20ac\U0001f600>") == "<***>"


def test_a_mask_of_the_longest_secret_is_made_and_used_in_seconds() -> None:
    """With quotes all over it; neither is what it costs to look at a text quadratic in its length."""
    import time

    secret = 'it\'s a "key" of \\ ' * 800
    begun = time.process_time()
    mask = Mask([secret])
    for text in (secret, shlex.quote(secret), repr(shlex.quote(secret))):
        assert len(mask.text(f"x {text} y")) < 20
        stream = mask.stream(cut_before=True)
        assert len(stream.feed(text[5:-5].encode()) + stream.end(cut=True)) < 20
    assert time.process_time() - begun < 30


def test_a_mask_of_many_lines_with_quotes_is_made_in_no_time() -> None:
    """What is looked for is bounded: each line of a long secret has its forms."""
    mask = Mask(["\n".join(f'it\'s "line" {number}\\' for number in range(100))])
    assert len(mask._text.forms) < 100 * 25


@given(st.text("abc'", min_size=5, max_size=12), st.text("xy", max_size=5), st.integers(4, 12))
@settings(max_examples=200, deadline=None)
def test_the_beginning_of_a_secret_is_masked_where_output_breaks_off(secret: str, before: str, size: int) -> None:
    """From 4 characters on, in pieces as well: who wrote it may have died of it."""
    mask = Mask([secret])
    begun = secret[:size]
    assert mask.data((before + begun).encode(), broken_off=True).decode() == f"{before}***"
    stream = mask.stream()
    pieces = [stream.feed(bytes([byte])) for byte in (before + begun).encode()]
    assert (b"".join(pieces) + stream.end(broken_off=True)).decode() == f"{before}***"
    assert Mask(["secret"]).data(b"x sec", broken_off=True) == b"x sec"


def test_lines_are_masked_by_themselves_but_not_the_shortest() -> None:
    """Braces of a JSON document are everywhere."""
    key = '{\n  "id": "4711-0815",\n  "n": 1\n}\n'
    mask = Mask([key])
    assert mask.text('found   "id": "4711-0815", there') == "found   *** there"
    assert mask.text("f() { }") == "f() { }"
    assert mask.text(key) == "***"


def test_blanks_around_a_secret_do_not_protect_it() -> None:
    """Programs strip what they read."""
    assert Mask(["  token \n"]).text("<token>") == "<***>"


def test_a_short_secret_is_masked_wherever_it_is() -> None:
    """It is not for us to say what is a secret."""
    assert Mask(["1"]).text("1 of 11") == "*** of ******"


def test_text_that_was_shortened_keeps_no_part_of_a_secret() -> None:
    """Errors are shortened before anybody can mask them."""
    mask = Mask(["abcdefghijklmnop"])
    assert mask.text("the text 'abcdefgh…") == "the text '***…"
    assert mask.text("abcdefg\n… 10 characters cut …\nmnop.") == "***\n… 10 characters cut …\n***."
    assert mask.text("a… b") == "a… b"


def test_nothing_costs_nothing() -> None:
    """Without secrets what goes in comes out, the same object."""
    text, data = "x" * 100, b"x" * 100
    assert not NO_MASK
    assert not Mask([""])
    assert NO_MASK.text(text) is text
    assert NO_MASK.data(data) is data
    assert NO_MASK.data(data, cut_before=True, cut_behind=True) is data
    assert NO_MASK.stream().feed(data) is data
    assert NO_MASK.maybe(None) is None


def test_what_is_masked_in_a_literal_stays_a_literal() -> None:
    """The quotes are not part of it."""
    assert ast.literal_eval(Mask([NASTY]).text(repr(f"a {NASTY} b"))) == "a *** b"
