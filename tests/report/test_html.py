"""The page as text: whole, and with nothing in it that a browser could run but ours."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from workflow.report import html
from workflow.report.html import html_pieces


class Page(HTMLParser):
    """The elements of a page, and what stands in its scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.words: list[str] = []
        self._in: str | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in self.raw:
            self._in = tag
            self.raw[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._in:
            self._in = None

    def handle_data(self, data: str) -> None:
        if self._in is None:
            self.words.append(data)
        else:
            self.raw[self._in][-1] += data

    @property
    def policy(self) -> str:
        (policy,) = (given["content"] for tag, given in self.elements if "http-equiv" in given)
        return policy or ""


def test_the_policy_allows_the_one_script_and_the_one_style(material: Callable[..., Any], record: Any) -> None:
    """By their hashes, as they stand in the page; nothing is taken from anywhere else."""
    text = "".join(html_pieces(material(record("a"))))
    page = Page(text)
    data, script = page.raw["script"]
    (style,) = page.raw["style"]
    for kind, content in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in page.policy
    assert page.policy.startswith("default-src 'none'; ")
    assert json.loads(data)["tasks"][0][0] == "a"
    assert not any({"src", "href", "style", "srcset"} & set(given) for _, given in page.elements)
    assert not any(name.startswith("on") for _, given in page.elements for name in given)
    assert "http://www.w3.org/2000/svg" in script
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert not re.search(r"\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|Function)\b", script)


def test_the_policy_comes_before_anything_it_is_about(material: Callable[..., Any], record: Any) -> None:
    """Behind the encoding alone."""
    page = Page("".join(html_pieces(material(record("a")))))
    assert [tag for tag, _ in page.elements][:5] == ["html", "head", "meta", "meta", "meta"]
    assert "http-equiv" in page.elements[3][1]


def test_no_name_and_no_output_makes_an_element(
    material: Callable[..., Any], record: Any, hostile: tuple[str, ...], callback: Any
) -> None:
    """Whatever stands in a name, a message or a log: the elements are the same as with harmless ones."""

    def elements(texts: Any, name: str) -> list[str]:
        records = [record(f"t{text}", "failed", message=text, callback=callback) for text in texts]
        log = {each.id: text for each, text in zip(records, texts, strict=True)}
        given = material(*records, log=log, name=name, host=name, git=name, argv=(name,), file="/here/" + name)
        page = Page("".join(html_pieces(given)))
        assert len(page.raw["script"]) == 2
        assert "<" not in page.raw["script"][0]
        assert [row[0] for row in json.loads(page.raw["script"][0])["tasks"]] == [each.id for each in records]
        return [tag for tag, _ in page.elements]

    for text in hostile:
        assert elements([text] * 10, text) == elements(["harmless"] * 10, "harmless")


def test_what_went_wrong_is_there_without_a_script(material: Callable[..., Any], record: Any) -> None:
    """With error and output; the first twenty."""
    records = [record(f"t{n}", "failed") for n in range(25)]
    page = Page("".join(html_pieces(material(*records, log={"t0": "hello\n--- error ---\nValueError: bad\n"}))))
    words = "".join(page.words)
    assert "t19 failed after 0.25s" in words
    assert "t20" not in words
    assert "and 5 more, in the table below" in words
    assert "at feeds.py:14 in fetch" in words
    assert "What it printed\nhello\n" in words
    assert 'raise ValueError("bad")' in words


def test_what_went_wrong_alike_is_told_once(material: Callable[..., Any], record: Any) -> None:
    """So that the one that crashed is seen behind ten thousand; what has no room is counted."""
    same = [record(f"t@{n}", "failed", message=f"no host {n}") for n in range(10_000)]
    page = Page("".join(html_pieces(material(*same, record("u", "crashed")))))
    words = re.sub(r"\s+", " ", "".join(page.words))
    assert "t@0 failed after 0.25s and 9,999 more like it" in words
    assert f"Like it: {', '.join(f't@{n}' for n in range(1, 21))} and 9,979 more" in words
    assert "u crashed after 0.25s" in words
    assert "in the table below" not in words
    opened = [given["data-open"] for _, given in page.elements if "data-open" in given]
    assert opened == [*(f"t@{n}" for n in range(1, 21)), "t@0", "u"]
    odd = [record(f"t{'x' * n}", "failed") for n in range(40)]
    words = "".join(Page("".join(html_pieces(material(*odd, *same, record("u", "crashed"))))).words)
    assert "u crashed after" in words
    assert "t@0 failed after" in words
    assert "and 22 more, in the table below" in words


def test_a_run_in_which_all_went_well_says_so(material: Callable[..., Any], record: Any) -> None:
    """And has no heading for what went wrong."""
    page = Page("".join(html_pieces(material(record("a"), record("b", "succeeded", "failed")))))
    words = "".join(page.words)
    assert "succeeded audit" in words
    assert "went wrong" not in words
    assert "1 flaky" in words


def test_the_same_error_is_kept_once(material: Callable[..., Any], record: Any) -> None:
    """A thousand tasks that need the same server fail in the same way."""
    page = Page("".join(html_pieces(material(*[record(f"t@{n}", "failed") for n in range(1000)]))))
    data = json.loads(page.raw["script"][0])
    assert len(data["errors"]) == 1
    assert {row[6][-1][9] for row in data["tasks"]} == {0}


def test_output_and_errors_have_limits(
    material: Callable[..., Any], record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failures come first; what has no room is left out, with a word."""
    monkeypatch.setattr(html, "FAILURES_MAX", 20_000)
    monkeypatch.setattr(html, "OTHERS_MAX", 3_000)
    monkeypatch.setattr(html, "ERRORS_MAX", 200)
    bad = [record(f"bad{n}", "failed", message=f"{n}") for n in range(3)]
    good = [record(f"good{n}") for n in range(3)]
    log = {each.id: "line\n" * 20_000 for each in (*good, *bad)}
    page = Page("".join(html_pieces(material(*good, *bad, log=log))))
    data = json.loads(page.raw["script"][0])
    sizes = {data["tasks"][int(number)][0]: len(tail[0]) for number, tail in data["tails"].items()}
    assert sizes == {"bad0": 999, "bad1": 999, "bad2": 999, "good0": 99, "good1": 99, "good2": 99}
    assert "no room" in data["errors"][2][2]
