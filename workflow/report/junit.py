"""JUnit XML, for build servers: a test case for each task.

The form is that of Maven Surefire, which Jenkins reads in full (its ``junit-10.xsd`` has every element and attribute
written here) and of which GitLab, GitHub's report actions and others read what they know: ``failure`` and ``error``
with their text, ``skipped``, ``system-out``.  Earlier attempts of a task that succeeded are ``flakyFailure``, those of
one that did not are ``rerunFailure`` or ``rerunError``; readers that know neither see the last attempt, which is right.

A failure that was allowed is ``skipped`` with a message that says so, as pytest writes an expected failure: the run's
exit code does not count it, and a ``failure`` here would turn the build red all the same.

It is written with the standard library and not with junitparser, which reads it in our tests: between the versions that
we allow, that has changed how earlier attempts are made, and it wants the whole document in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element, SubElement, tostring

from workflow.outcome import ErrorRecord, Outcome
from workflow.report.material import AttemptPart, ErrorPart, Material, TaskPart, headline_of, title_of
from workflow.report.tails import output_tail
from workflow.report.whereabouts import account

TAIL_LINES = 1000
TAIL_BYTES = 64 * 1024
"""Output of a task that did not succeed."""
SUCCESS_BYTES = 4 * 1024
OUTPUT_MAX = 32 * 1024 * 1024
"""Output of all tasks together: build servers refuse files that are too large."""
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")


def junit_pieces(material: Material) -> Iterator[str]:
    """Answer the text, a task at a time."""
    document = material.document
    run = document["run"]
    marks = [_mark(task, allowed=material.allowed(task)) for task in document["tasks"]]
    counts = {
        "tests": str(len(marks)),
        "failures": str(marks.count("failure")),
        "errors": str(marks.count("error")),
        "time": _time(run["duration_s"]),
    }
    title = _legal(title_of(document))
    suites = Element("testsuites", {"name": title, **counts})
    timestamp = run["started_at"][:19]  # in UTC, without offset: the one form that all readers take
    more = {"skipped": str(marks.count("skipped")), "timestamp": timestamp, "hostname": _legal(run["host"])}
    suite = SubElement(suites, "testsuite", {"name": title, **counts, **more})
    yield '<?xml version="1.0" encoding="UTF-8"?>\n' + _opening(suites) + "\n" + _opening(suite) + "\n"
    yield _properties(material) + "\n"
    room = OUTPUT_MAX
    for task, mark in zip(document["tasks"], marks, strict=True):
        case = _case(material, task, mark, title, room)
        room -= sum(len(part.text or "") for part in case.findall("system-out"))
        yield tostring(case, encoding="unicode") + "\n"
    yield "</testsuite>\n</testsuites>\n"


def _opening(element: Element) -> str:
    """The start tag of an element whose children follow one by one."""
    return tostring(Element(element.tag, element.attrib), encoding="unicode").removesuffix(" />") + ">"


def _mark(task: TaskPart, *, allowed: bool) -> str | None:
    """What the outcome is called there."""
    outcome = Outcome(task["outcome"])
    if outcome is Outcome.SKIPPED or (outcome.is_failure and allowed):
        return "skipped"
    if outcome.is_success:
        return None
    return "failure" if outcome is Outcome.FAILED else "error"


def _properties(material: Material) -> str:
    run = material.document["run"]
    values = {
        "run": run["id"], "file": run["file"], "status": run["status"], "exit_code": str(run["exit_code"]),
        "plan_hash": run["plan_hash"], "git": run["git"], "python": run["python"], "workflow": run["version"],
    }  # fmt: skip
    properties = Element("properties")
    for name, value in values.items():
        if value is not None:
            SubElement(properties, "property", {"name": name, "value": _legal(value)})
    return tostring(properties, encoding="unicode")


def _case(material: Material, task: TaskPart, mark: str | None, title: str, room: int) -> Element:
    outcome = Outcome(task["outcome"])
    attributes = {"name": _legal(task["id"]), "classname": f"{title}.{_legal(task['name'])}"}
    case = Element("testcase", {**attributes, "time": _time(task["duration_s"] or 0.0)})
    if mark is not None:
        _result(case, mark, task, outcome)
    for attempt in task["attempts"][:-1]:
        _earlier(case, attempt, flaky=outcome.is_success)
    most = min(room, SUCCESS_BYTES if outcome.is_success and not task["flaky"] else TAIL_BYTES)
    if most > 0:
        failed = not outcome.is_success
        tail = output_tail(material.folder, task["log"], failed=failed, lines=TAIL_LINES, max_bytes=most)
        if tail is not None:
            before = f"… the beginning is in {task['log']}\n" if tail.cut else ""
            SubElement(case, "system-out").text = _legal(before + tail.text)
    return case


def _result(case: Element, mark: str, task: TaskPart, outcome: Outcome) -> None:
    last = task["attempts"][-1] if task["attempts"] else None
    error = last["error"] if last is not None else None
    said = headline_of(task) or outcome.value
    if mark == "skipped":
        why = said if outcome is Outcome.SKIPPED else f"{outcome.value}, which was allowed: {said}"
        element = SubElement(case, "skipped", {"type": outcome.value, "message": _legal(why)})
    else:
        kind = error["type"] if error is not None and outcome is Outcome.FAILED else outcome.value
        element = SubElement(case, mark, {"type": _legal(kind), "message": _legal(said)})
    if error is not None:
        element.text = _legal(_account(error))


def _earlier(case: Element, attempt: AttemptPart, *, flaky: bool) -> None:
    outcome = Outcome(attempt["outcome"])
    error = attempt["error"]
    tag = "flakyFailure" if flaky else "rerunFailure" if outcome is Outcome.FAILED else "rerunError"
    kind = error["type"] if error is not None and outcome is Outcome.FAILED else outcome.value
    message = f"attempt {attempt['number']} {outcome.value}" + (f": {error['message']}" if error is not None else "")
    element = SubElement(case, tag, {"type": _legal(kind), "message": _legal(message)})
    if error is not None:
        SubElement(element, "stackTrace").text = _legal(_account(error))


def _account(error: ErrorPart) -> str:
    return account(ErrorRecord(**error))


def _time(duration_s: float) -> str:
    return f"{duration_s:.3f}"


def _legal(text: str) -> str:
    """Without what XML cannot hold, and without colours, which no reader shows."""
    if text.isprintable() and text.isascii():
        return text
    return _ILLEGAL.sub("\ufffd", _COLOUR.sub("", text))
