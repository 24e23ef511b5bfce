"""What is read in a comment or a step's summary."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from workflow.report.markdown import fenced, markdown_pieces


def outside(text: str) -> str:
    """What is left without blocks and spans of code, as CommonMark finds them."""
    kept: list[str] = []
    fence = None
    for line in text.split("\n"):
        mark = re.match(r"(`{3,})(text)?$", line)
        if fence is None and mark and mark[2]:
            fence = mark[1]
        elif fence is not None and re.match(rf"`{{{len(fence)},}}$", line):
            fence = None
        elif fence is None:
            kept.append(re.sub(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)", "§", line))
    assert fence is None
    return "\n".join(kept)


def test_it_tells_what_went_wrong_and_why(material: Callable[..., Any], record: Any, callback: Any) -> None:
    """Counts, failures with their causes first, callbacks, flaky tasks, the slowest."""
    made = material(
        record("fine", callback=callback),
        record("lesser", "timed_out"),
        record("fetch@de", "failed"),
        record("after", "skipped", reason="it needs fetch@de, which failed"),
        record("later", "skipped", reason="it needs after, which was skipped because fetch@de failed"),
        record("shaky", "succeeded", "failed"),
        record("odd", "failed", allow_failure=True),
        log={"fetch@de": "hello\n--- error ---\nValueError: bad\n"},
    )
    text = "".join(markdown_pieces(made))
    assert text.startswith("# ❌ `audit`: failed\n\n7 tasks in 9.00s · exit code 1 ·")
    assert "| ❌ failed | 2 |" in text
    titles = re.findall("### (.*)", text)
    assert titles == [
        "❌ `fetch@de` failed after 0.25s (2 skipped because of it)",
        "⏱️ `lesser` timed out after 0.25s",
        "❌ `odd` failed after 0.25s (allowed)",
    ]
    assert "`at feeds.py:14 in fetch`" in text
    assert "What it printed:\n\n```text\nhello\n```\n" in text
    assert "- `error_callback` of `fine` failed: `oh`" in text
    assert "- `shaky` succeeded at attempt 2" in text
    assert "| `shaky` | 1.25s | 2 | 0.50s | 1 MiB |" in text


def test_why_a_run_did_not_end_by_itself_is_said(material: Callable[..., Any], record: Any) -> None:
    """Which the tasks that it did not run know."""
    made = material(record("a", "cancelled", reason="the run was ended by SIGINT"), code=130, status="interrupted")
    text = "".join(markdown_pieces(made))
    assert text.startswith("# ❌ `audit`: interrupted\n")
    assert "The run did not end by itself: `the run was ended by SIGINT`" in text


def test_no_content_leaves_its_span_or_block(
    material: Callable[..., Any], record: Any, hostile: tuple[str, ...], callback: Any
) -> None:
    """Outside of them are only our own words."""
    records = [record(f"t{text}", "failed", message=text, callback=callback) for text in hostile]
    logs = {each.id: text for each, text in zip(records, hostile, strict=True)}
    text = "".join(markdown_pieces(material(*records, log=logs, name=hostile[4])))
    assert set(re.sub("[\\w\\s§#|:·,.-]", "", outside(text))) <= set("()❌\ufe0f")
    assert not re.search("[\\x00-\\x08\\x0b-\\x1f\\x7f\u2028\u202e]", text)


def test_a_block_is_longer_than_what_it_holds() -> None:
    """Also where the content is nothing but fences, and where it is cut."""
    assert fenced("a\n`````\nb") == "``````text\na\n`````\nb\n``````\n"
    assert fenced("\n".join("abc"), last=2) == "```text\n…\nb\nc\n```\n"
    assert outside(fenced("`" * 500, max_chars=400)) == ""


def test_a_thousand_failures_stay_readable(material: Callable[..., Any], record: Any) -> None:
    """Some in detail, more by name, the others as a number."""
    text = "".join(markdown_pieces(material(*[record(f"t{n}", "failed") for n in range(1000)])))
    assert text.count("### ") == 50
    assert text.count("\n- ❌") == 500
    assert "- and 450 more" in text


def test_what_went_wrong_alike_is_told_once(material: Callable[..., Any], record: Any) -> None:
    """So that the one that crashed is seen behind ten thousand; with the ids of some, and how many there are."""
    same = [record(f"t@{n}", "failed", message=f"no host {n}") for n in range(10_000)]
    skipped = [record(f"s{n}", "skipped", reason=f"it needs t@{n}, which failed") for n in range(3)]
    made = material(*same, record("u", "crashed"), *skipped)
    text = "".join(markdown_pieces(made))
    assert re.findall("### (.*)", text) == [
        "❌ `t@0` failed after 0.25s (and 9,999 more like it) (3 skipped because of them)",
        "💥 `u` crashed after 0.25s",
    ]
    assert f"\nLike it: {', '.join(f'`t@{n}`' for n in range(1, 11))}, …\n" in text
    assert "more\n" not in text
    (line,) = re.findall("- (💥.*)", "".join(markdown_pieces(made, detailed=0, listed=2)))
    assert line == "💥 `u` crashed after 0.25s: `ValueError: bad`"
    assert "- and 1 more\n" in "".join(markdown_pieces(made, detailed=0, listed=1))
