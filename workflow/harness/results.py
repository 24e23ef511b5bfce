"""Results for people and for programs: lines of a table, JSON, JUnit."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from pathlib import Path

from workflow import __version__
from workflow.harness.oracle import PROMISES, Finding
from workflow.harness.scenario import Result

FORMAT = 1
MARKS = {Finding.HELD: "✓", Finding.BROKEN: "✗", Finding.UNJUDGED: "?", Finding.DOES_NOT_APPLY: "·"}
_ASCII_MARKS = {Finding.HELD: "+", Finding.BROKEN: "X", Finding.UNJUDGED: "?", Finding.DOES_NOT_APPLY: "-"}


def header(width: int) -> str:
    """The head of the table."""
    return f"{'':<8} {'':<{width}}  {' '.join(map(str, PROMISES))}   (the promises)"


def line(result: Result, width: int, *, ascii_only: bool = False) -> str:
    """A result's line in the table: a mark for each promise."""
    marks = _ASCII_MARKS if ascii_only else MARKS
    found = " ".join(marks[verdict.finding] for verdict in result.verdicts)
    broken = any(verdict.finding is Finding.BROKEN for verdict in result.verdicts)
    word = "held" if result.passed else "ERROR" if result.error is not None else "BROKEN" if broken else "UNJUDGED"
    return f"{word:<8} {result.name:<{width}}  {found or 'not judged':<17}  {result.duration_s:6.1f} s"


def injected_lines(result: Result, *, most: int = 10) -> list[str]:
    """What was put into a user's pipeline, a line each."""
    if not result.outcomes:
        return []
    lines = [f"           {each}" for each in result.injected[:most]]
    if len(result.injected) > most:
        lines.append(f"           and {len(result.injected) - most} more")
    return lines


def story(result: Result, *, most: int = 5) -> str:
    """Why a result is no pass, and the line that does it again."""
    lines = []
    for verdict in result.verdicts:
        if verdict.finding.passes:
            continue
        lines.append(f"  {verdict.promise}. {PROMISES[verdict.promise]}: {verdict.finding.value}")
        lines += [f"       {reason}" for reason in verdict.reasons[:most]]
        if len(verdict.reasons) > most:
            lines.append(f"       and {len(verdict.reasons) - most} more")
    for text in (result.error, result.details):
        if text:
            lines += [f"    | {each}" for each in text.rstrip().splitlines()]
    lines.append(f"  again: {result.reproduce}")
    return "\n".join(lines)


def summary(results: Sequence[Result]) -> str:
    """What they come to, in a line."""
    held = sum(result.passed for result in results)
    errors = sum(result.error is not None for result in results)
    took_s = sum(result.duration_s for result in results)
    text = f"{held} of {len(results)} held, {took_s:.1f} s of checks" if results else "nothing was checked"
    return text + (f"; the harness itself failed in {errors}" if errors else "")


def as_json(results: Sequence[Result], seed: int) -> str:
    """All of it, for programs."""
    document = {
        "format": FORMAT,
        "passed": bool(results) and all(result.passed for result in results),
        "seed": seed,
        "version": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "promises": {str(number): text for number, text in PROMISES.items()},
        "results": [
            {
                "name": result.name,
                "seed": result.seed,
                "passed": result.passed,
                "duration_s": round(result.duration_s, 3),
                "reproduce": result.reproduce,
                "injected": list(result.injected),
                "outcomes": dict(result.outcomes),
                "error": result.error,
                "promises": [
                    {"promise": verdict.promise, "finding": verdict.finding.value, "reasons": list(verdict.reasons)}
                    for verdict in result.verdicts
                ],
                "details": result.details,
            }
            for result in results
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def write_junit(results: Sequence[Result], path: Path) -> None:
    """Write them as JUnit XML: a broken promise is a failure, an error of the harness an error.  Raises OSError."""
    from junitparser import Error, Failure, JUnitXml, TestCase, TestSuite

    suite = TestSuite("workflow chaos")
    for result in results:
        case = TestCase(_clean(result.name), "workflow.chaos", round(result.duration_s, 3))
        if result.error is not None:
            mark: Error | Failure = Error(_clean(result.error.strip().rpartition("\n")[2]))
            mark.text = _clean(story(result))
            case.result = [mark]
        elif not result.passed:
            broken = [PROMISES[verdict.promise] for verdict in result.verdicts if not verdict.finding.passes]
            mark = Failure(_clean("; ".join(broken)))
            mark.text = _clean(story(result))
            case.result = [mark]
        suite.add_testcase(case)
    xml = JUnitXml("workflow chaos")
    xml.add_testsuite(suite)
    xml.update_statistics()  # type: ignore[no-untyped-call]
    xml.write(str(path), pretty=True)


def _clean(text: str) -> str:
    """Without what XML cannot hold."""
    return "".join(
        each
        if each in "\t\n\r" or " " <= each <= "\ud7ff" or "\ue000" <= each <= "\ufffd" or each > "\uffff"
        else "\ufffd"
        for each in text
    )
