"""Results as a table, as a story, as JSON and as JUnit XML."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from workflow.harness.oracle import PROMISES, Finding, Verdict
from workflow.harness.results import as_json, header, line, story, summary, write_junit
from workflow.harness.scenario import Result

WELL = tuple(Verdict(number, Finding.HELD) for number in PROMISES)
GOOD = Result("hang.sleep", 7, WELL, 1.25, "workflow chaos --scenario hang.sleep --seed 7")
MANY = tuple(f"reason {number}" for number in range(8))
BAD = replace(
    GOOD,
    name="crash.segv",
    verdicts=(
        *WELL[:1],
        Verdict(2, Finding.UNJUDGED, ("it did not fire",)),
        Verdict(3, Finding.DOES_NOT_APPLY, ("no limit",)),
        Verdict(4, Finding.BROKEN, MANY),
        *WELL[4:],
    ),
    details="what it said last:\noh",
    injected=("crash.segv on a",),
    outcomes={"a": "crashed"},
)
ERROR = replace(GOOD, verdicts=(), error="Traceback (most recent call last):\n  File\nKeyError: 'x'\n")


def test_a_result_passes_when_every_promise_holds_or_does_not_apply() -> None:
    """A result without verdicts is no pass; nor is one of a harness that failed."""
    assert GOOD.passed
    assert replace(GOOD, verdicts=(Verdict(9, Finding.DOES_NOT_APPLY), *WELL)).passed
    assert not BAD.passed
    assert not replace(GOOD, verdicts=(*WELL, Verdict(2, Finding.UNJUDGED))).passed
    assert not replace(GOOD, verdicts=()).passed
    assert not ERROR.passed
    assert not replace(GOOD, error="oh").passed


def test_the_table_has_a_mark_for_each_promise() -> None:
    """Below its number, in ASCII where the terminal has nothing else."""
    assert header(10).startswith(" " * 9 + " " * 10 + "  1 2 3 4 5 6 7 8 9")
    assert line(GOOD, 10) == "held     hang.sleep  ✓ ✓ ✓ ✓ ✓ ✓ ✓ ✓ ✓     1.2 s"
    assert line(BAD, 10, ascii_only=True) == "BROKEN   crash.segv  + ? - X + + + + +     1.2 s"
    assert line(ERROR, 10) == "ERROR    hang.sleep  not judged            1.2 s"


def test_a_story_says_why_and_how_to_do_it_again() -> None:
    """The promises that did not hold, the first reasons of each, what the run said."""
    told = story(BAD).splitlines()
    assert told[0] == f"  2. {PROMISES[2]}: not judged"
    assert told[1] == "       it did not fire"
    assert told[2:8] == [f"  4. {PROMISES[4]}: broken", *(f"       reason {number}" for number in range(5))]
    assert told[8] == "       and 3 more"
    assert told[-3:] == [
        "    | what it said last:",
        "    | oh",
        "  again: workflow chaos --scenario hang.sleep --seed 7",
    ]
    assert "    | KeyError: 'x'" in story(ERROR)


def test_a_result_explains_itself() -> None:
    """Whether it passed or not."""
    assert GOOD.explain() == f"hang.sleep: every promise held\n  again: {GOOD.reproduce}"
    assert BAD.explain().startswith("crash.segv: not every promise held\n  2. ")
    assert ERROR.explain().startswith("hang.sleep: the harness itself failed\n")


def test_a_summary_counts() -> None:
    """And says when the harness is to blame."""
    assert summary([GOOD, BAD]) == "1 of 2 held, 2.5 s of checks"
    assert summary([ERROR]) == "0 of 1 held, 1.2 s of checks; the harness itself failed in 1"
    assert summary([]) == "nothing was checked"


def test_json_has_everything_that_a_program_may_ask_for() -> None:
    """Verdicts by promise, what was injected, how each task ended."""
    document = json.loads(as_json([GOOD, BAD, ERROR], 7))
    assert (document["format"], document["passed"], document["seed"]) == (1, False, 7)
    assert document["promises"]["2"] == PROMISES[2]
    good, bad, error = document["results"]
    assert good["passed"]
    assert [each["promise"] for each in good["promises"]] == list(PROMISES)
    assert bad["promises"][3] == {"promise": 4, "finding": "broken", "reasons": list(MANY)}
    assert (bad["injected"], bad["outcomes"]) == (["crash.segv on a"], {"a": "crashed"})
    assert error["error"] == ERROR.error
    assert json.loads(as_json([GOOD], 7))["passed"]
    assert not json.loads(as_json([], 7))["passed"]


def test_junit_tells_broken_promises_as_failures_and_ours_as_errors(tmp_path: Path) -> None:
    """One case for each result, one suite."""
    write_junit([GOOD, BAD, ERROR], tmp_path / "out.xml")
    root = ElementTree.parse(tmp_path / "out.xml").getroot()
    (suite,) = root
    assert (root.tag, suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("testsuites", "3", "1", "1")
    good, bad, error = suite
    assert (good.get("name"), good.get("classname"), good.get("time")) == ("hang.sleep", "workflow.chaos", "1.25")
    assert len(good) == 0
    (failure,) = bad
    assert (failure.tag, failure.get("message")) == ("failure", f"{PROMISES[2]}; {PROMISES[4]}")
    assert failure.text == story(BAD)
    (mark,) = error
    assert (mark.tag, mark.get("message")) == ("error", "KeyError: 'x'")


@pytest.mark.parametrize("nasty", ["\x00\x1b[31m\x08", "]]>&<\"'", "\ud800", "\ufffe\uffff", "é\U0001f4a5"])
def test_junit_can_be_read_whatever_a_run_has_said(tmp_path: Path, nasty: str) -> None:
    """What XML cannot hold is replaced; what it can is kept."""
    results = [
        replace(BAD, name=f"a {nasty}", details=nasty, verdicts=(Verdict(1, Finding.BROKEN, (nasty,)),)),
        replace(ERROR, error=f"KeyError: {nasty}"),
    ]
    write_junit(results, tmp_path / "out.xml")
    ((failed, erred),) = ElementTree.parse(tmp_path / "out.xml").getroot()
    kept = "".join(each if each.isprintable() else "\ufffd" for each in nasty)
    assert failed.get("name") == f"a {kept}"
    assert kept in (failed[0].text or "")
    assert kept in (erred[0].text or "")


def test_junit_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    """The command says which file."""
    with pytest.raises(OSError, match="no"):
        write_junit([GOOD], tmp_path / "no" / "out.xml")
