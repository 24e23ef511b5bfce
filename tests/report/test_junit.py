"""What build servers are told: read by junitparser, and held against Jenkins's schema, written down here as a table."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped

from workflow.report.junit import junit_pieces

_RERUN: Any = (set(), {"type"}, {"message"}, {"stackTrace", "system-out", "system-err"})
_RESULT: Any = (set(), set(), {"type", "message"}, set())
SCHEMA: dict[str, Any] = {  # name: (text is allowed, required attributes, others, children), as in junit-10.xsd
    "testsuites": (set(), set(), {"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        set(),
        {"name", "tests", "failures", "errors"},
        {"group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"},
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
    ),
    "properties": (set(), set(), set(), {"property"}),
    "property": (set(), {"name", "value"}, set(), set()),
    "testcase": (
        set(),
        {"name"},
        {"time", "classname", "group"},
        {"skipped", "error", "failure", "rerunFailure", "rerunError", "flakyFailure", "flakyError", "system-out",
         "system-err"},
    ),
    "failure": _RESULT,
    "error": _RESULT,
    "skipped": _RESULT,
    "flakyFailure": _RERUN,
    "rerunFailure": _RERUN,
    "rerunError": _RERUN,
    "stackTrace": (set(), set(), set(), set()),
    "system-out": (set(), set(), set(), set()),
}  # fmt: skip
SUREFIRE_TIME = re.compile(r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?")
HAS_TEXT = {"failure", "error", "skipped", "flakyFailure", "rerunFailure", "rerunError", "stackTrace", "system-out"}


def check(element: ET.Element) -> None:
    _, required, others, children = SCHEMA[element.tag]
    assert required <= set(element.attrib) <= required | others, element.tag
    assert {child.tag for child in element} <= children, element.tag
    if element.tag not in HAS_TEXT:
        assert not (element.text or "").strip()
    if element.tag.startswith("testsuite"):
        assert SUREFIRE_TIME.fullmatch(element.attrib["time"])
    for child in element:
        check(child)


def cases(text: str) -> tuple[Any, dict[str, Any]]:
    check(ET.fromstring(text.encode()))
    (suite,) = JUnitXml.fromstring(text.encode())
    return suite, {case.name: case for case in suite}


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        ("failed", Failure),
        ("timed_out", Error),
        ("crashed", Error),
        ("memory_exceeded", Error),
        ("cancelled", Error),
        ("skipped", Skipped),
        ("succeeded", None),
        ("cached", None),
    ],
)
def test_each_outcome_has_its_element(material: Callable[..., Any], record: Any, outcome: str, kind: Any) -> None:
    """And is counted as that."""
    suite, found = cases("".join(junit_pieces(material(record("a", outcome), record("b")))))
    assert [type(result) for result in found["a"].result] == ([] if kind is None else [kind])
    assert suite.tests == 2
    assert (suite.failures, suite.errors, suite.skipped) == (
        int(kind is Failure), int(kind is Error), int(kind is Skipped),
    )  # fmt: skip
    assert found["a"].classname == "audit.a"


def test_a_failure_says_what_and_where_and_what_was_printed(material: Callable[..., Any], record: Any) -> None:
    """The traceback in the element, the output beside it, without the account of the error that the log ends with."""
    log = "one\ntwo\n--- error ---\nTraceback ...\nValueError: bad\n"
    _, found = cases("".join(junit_pieces(material(record("a", "failed"), log={"a": log}))))
    (failure,) = found["a"].result
    assert (failure.type, failure.message) == ("ValueError", "ValueError: bad")
    assert 'File "/here/feeds.py", line 14' in failure.text
    assert found["a"].system_out == "one\ntwo"


def test_a_flaky_task_passes_and_tells_of_its_earlier_attempts(material: Callable[..., Any], record: Any) -> None:
    """As Surefire does."""
    task = record("a", "succeeded", "failed", "timed_out")
    text = "".join(junit_pieces(material(task)))
    suite, found = cases(text)
    assert found["a"].result == []
    assert (suite.failures, suite.errors) == (0, 0)
    flaky = ET.fromstring(text.encode()).findall(".//flakyFailure")
    assert [element.attrib["type"] for element in flaky] == ["ValueError", "timed_out"]
    assert "line 14" in (flaky[0].findtext("stackTrace") or "")


def test_earlier_attempts_of_a_failure_are_reruns(material: Callable[..., Any], record: Any) -> None:
    """And the failure is the last one."""
    text = "".join(junit_pieces(material(record("a", "failed", "crashed", "failed"))))
    cases(text)
    case = ET.fromstring(text.encode()).find(".//testcase")
    assert case is not None
    assert [child.tag for child in case] == ["failure", "rerunError", "rerunFailure"]


def test_an_allowed_failure_turns_no_build_red(material: Callable[..., Any], record: Any) -> None:
    """It is skipped, and says that it failed."""
    suite, found = cases("".join(junit_pieces(material(record("a", "failed", allow_failure=True), record("b")))))
    assert (suite.failures, suite.errors, suite.skipped) == (0, 0, 1)
    assert found["a"].result[0].message == "failed, which was allowed: ValueError: bad"


def test_whatever_is_printed_or_raised_it_is_xml(
    material: Callable[..., Any], record: Any, hostile: tuple[str, ...]
) -> None:
    """Also where XML has no way to say it."""
    records = [record(f"t{text}", "failed", message=text) for text in hostile]
    logs = {each.id: text for each, text in zip(records, hostile, strict=True)}
    _, found = cases("".join(junit_pieces(material(*records, log=logs, name=hostile[0], host=hostile[5]))))
    assert len(found) == len(hostile)
    assert any("nul \ufffd bell \ufffd escape red del" in case.system_out for case in found.values())


def test_output_has_a_limit(material: Callable[..., Any], record: Any) -> None:
    """The end of it is kept."""
    log = "".join(f"line {number}\n" for number in range(100_000))
    _, found = cases("".join(junit_pieces(material(record("a", "failed"), record("b"), log={"a": log, "b": log}))))
    assert len(found["a"].system_out) < 70_000
    assert len(found["b"].system_out) < 5_000
    assert found["a"].system_out.startswith("… the beginning is in logs/0.log\nline ")
    assert found["a"].system_out.endswith("line 99999")
