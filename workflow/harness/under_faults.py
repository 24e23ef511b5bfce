"""A pipeline under faults, from Python: what tests call.

It is the same run and the same judgement as ``workflow chaos FILE``.  That chooses a seed; this does not, for a test
that draws anew each time is a test that fails now and then: the seed is that of the call, of the faults file, or 1.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Union

from workflow.harness.pipeline import Control, Hypothesis, Subject, check_pipeline, drawn, name_of, run_control
from workflow.harness.rules import BadRule, Rule, check_rules, no_task, parse_rule
from workflow.harness.scenario import Result
from workflow.plan.build import load_plan
from workflow.plan.plan import Plan

Fault = Union[Rule, str, "os.PathLike[str]"]
"""A rule; the same as text, ``KIND:GLOB[:PROBABILITY]``; or the path of a faults file."""


def run_under_faults(
    file: str | os.PathLike[str],
    faults: Fault | Sequence[Fault],
    *,
    seed: int | None = None,
    variables: Mapping[str, str] | None = None,
    expect: Hypothesis | None = None,
) -> Result:
    """Run a pipeline without faults and then with them, and judge what came of it.

    ``expect`` is what must come of it beyond the nine promises; without it, what the faults file says.  The file is
    left as it is, and its tasks really run.

    Raises BadRule when a fault cannot strike what it means, InvalidPipeline for mistakes in a file, NoControl when
    the pipeline does not run by itself.  Whether the promises hold is in the result, not raised.
    """
    return Controls().run_under_faults(file, faults, seed=seed, variables=variables, expect=expect)


class Controls:
    """Puts pipelines under faults, and makes the run without faults once for each of them."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Control] = {}

    def run_under_faults(
        self,
        file: str | os.PathLike[str],
        faults: Fault | Sequence[Fault],
        *,
        seed: int | None = None,
        variables: Mapping[str, str] | None = None,
        expect: Hypothesis | None = None,
    ) -> Result:
        """See the function of that name.  What the tasks import must not change from one call to the next."""
        path = Path(file)
        plan = load_plan(path, dict(variables or {}))
        rules, again, said = [], [], Hypothesis()
        for fault in [faults] if isinstance(faults, (Rule, str, os.PathLike)) else faults:
            if isinstance(fault, (Rule, str)):
                rule = parse_rule(fault) if isinstance(fault, str) else fault
                check_rules([rule], plan)
                rules.append(rule)
                again += ["--inject", str(rule)]
            else:
                from workflow.harness.faults_file import load_faults

                table = load_faults(Path(fault), plan)
                rules += table.rules()
                said = table.hypothesis()
                seed = table.seed if seed is None else seed
                again += ["--faults", str(fault)]
        if not rules:
            raise BadRule('there is nothing to inject; for example "crash.segv:*"')
        seed = 1 if seed is None else seed
        hypothesis = said if expect is None else _checked(expect, plan)
        arguments = tuple(part for name, value in (variables or {}).items() for part in ("--var", f"{name}={value}"))
        subject = Subject(path.absolute(), plan, arguments)
        control = self._of(subject)
        struck = drawn(subject, control, rules, seed)
        reproduce = shlex.join(["workflow", "chaos", str(path), *arguments, *again, "--seed", str(seed)])
        return check_pipeline(subject, control, struck, name_of(subject, struck), seed, reproduce, hypothesis)

    def _of(self, subject: Subject) -> Control:
        key = (str(subject.file), subject.plan.hash)  # the hash says what the variables are, too
        if key not in self._known:
            self._known[key] = run_control(subject)
        return self._known[key]


def _checked(expect: Hypothesis, plan: Plan) -> Hypothesis:
    for glob in expect.outcomes:
        if not any(Rule("", glob).matches(task) for task in plan.tasks):
            raise BadRule(f"expect.outcomes: {no_task(glob, plan)}")
    return expect
