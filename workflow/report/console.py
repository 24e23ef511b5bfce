"""What a run says to a person while it goes on: a line a change, and a sign of life when nothing changes.

Up to 200 tasks each gets its line when it ends.  Above that a line a task would bury what matters, so successes and
skipped tasks are counted, in a line every two seconds, and failures still get their own, up to 200 of them; the first
20 show the end of their output.  Whatever number it is, a failure of a kind that was not seen before has its line and
the end of its output: see ``Novelty`` for the bound of that.  The end tells once more of the first failures where they
were and what they printed last, if since then more was said than a person still sees.  ``verbose`` streams the output
of all tasks, has a line for each, and shows failures with their whole traceback; ``quiet`` keeps failures and the end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from workflow.outcome import CallbackRecord, Outcome
from workflow.report.alike import Novelty
from workflow.report.records import RunRecord, TaskRecord, Verdict, headline
from workflow.report.standing import COLOURS, OUTCOME_WIDTH, Pace, RunningTask, Standing
from workflow.report.summary import shown, summary
from workflow.report.terminal import Terminal, human_s, neutral
from workflow.report.whereabouts import account, whereabouts

Verbosity = Literal["quiet", "normal", "verbose"]
EACH_MAX = 200
"""Tasks, failures, and slow attempts, up to which every one gets its line."""
TAILS_MAX = 20
"""Failures that show the end of their output, however alike they are, and kinds of failures of which the first does."""
ON_SCREEN = 20
"""The last lines, of which a person is taken to see them still when the run has ended."""
REASONS_MAX = 4
"""Reasons why tasks run again that are told one by one; with ``verbose`` each task has told its own."""
HEARTBEAT_S = 10.0
SUMMARY_S = 2.0


class Console:
    """The lines of one run.  Times are given to it; it keeps no clock."""

    def __init__(self, terminal: Terminal, verbosity: Verbosity = "normal") -> None:
        self._terminal = terminal
        self._quiet = verbosity == "quiet"
        self._verbose = verbosity == "verbose"
        self._total = 0
        self._done = 0
        self._novelty = Novelty(TAILS_MAX)
        self._failures = 0
        self._said = 0
        self._in_full: deque[tuple[int, str]] = deque(maxlen=ON_SCREEN)
        """How many lines were said before each of the failures that were told in full at last, and its id."""
        self._slow = 0
        self._counts = dict.fromkeys(Outcome, 0)
        self._folder = ""
        self._beside = ""
        self._ending: str | None = None
        self._spoke_at = 0.0
        self._summed_at = 0.0
        self._unsummed = False
        self._pending: list[str] = []
        self._pace = Pace({}, 1)

    @property
    def verbose(self) -> bool:
        """Whether it wants the output of tasks, by ``output``."""
        return self._verbose

    def run_started(self, run: RunRecord, now: float, names: Mapping[str, int] | None = None) -> None:
        """Say what is going to be run; ``names`` is how many tasks there are of each name."""
        self._pace = Pace(names or {}, run.pool)
        self._total = run.tasks
        self._folder = run.folder
        self._beside = str(Path(run.file).parent)
        self._spoke_at = self._summed_at = now
        if not self._quiet:
            tasks = "1 task" if run.tasks == 1 else f"{run.tasks} tasks"
            name = neutral(run.name) if run.name else Path(run.file).name
            self._say(self._style(f"run {run.id}: {name}, {tasks}, pool of {run.pool}", "bold"), now)
        self._show()

    def tasks_ended(self, records: Iterable[TaskRecord], now: float) -> None:
        """Tell of tasks that have ended, in one piece."""
        records = list(records)
        self._pace.ended(records)
        for record in records:
            self._done += 1
            self._counts[record.outcome] += 1
            if record.outcome.is_failure:
                self._failure(record, now)
            elif record.carried_from is not None and not self._verbose:
                self._unsummed = True
            elif self._verbose or (self._total <= EACH_MAX and not self._quiet and not self._terminal.live):
                self._say(self._line(record), now)
            else:
                self._unsummed = True
        self._sum_up(now)
        self._show()

    def resuming(self, run: str, ended: Mapping[str, int], tasks: int, now: float) -> None:
        """Say which run this one completes, and how far that came: how many ended in each way, of how many."""
        counts = ", ".join(f"{number} {outcome}" for outcome, number in ended.items()) or "nothing"
        self._say(f"resuming run {run}, in which of {tasks} had ended: {counts}", now)
        self._show()

    def runs_again(self, task: str, why: str, now: float) -> None:
        """Say why a task is not carried over from the run that this one completes, when verbose."""
        if self._verbose:
            self._say(self._style(f"{neutral(task)} runs again: {neutral(why)}", "dim"), now)

    def resumed(self, run: str, carried: int, again: Mapping[str, int], now: float) -> None:
        """Say what became of completing a run: how many tasks were carried over, and why how many ran again."""
        most = sorted(again.items(), key=lambda each: -each[1])
        why = ", ".join(f"{neutral(reason)}: {number}" for reason, number in most[:REASONS_MAX])
        more = f", other reasons: {sum(number for _, number in most[REASONS_MAX:])}" if len(most) > REASONS_MAX else ""
        ran = f"run again: {sum(again.values())}" + (f" ({why}{more})" if why else "")
        self._say(f"carried over from run {run}: {carried}; {ran}", now)
        self._show()

    def callback_failed(self, task: str, callback: CallbackRecord, now: float) -> None:
        """Tell of a callback that did not succeed."""
        error = "" if callback.error is None else f": {neutral(headline(callback.error))}"
        text = f"{neutral(callback.name)} of {neutral(task)} {_OUTCOME_WORDS.get(callback.outcome, 'failed')}{error}"
        self._say(self._style(text, "yellow"), now)
        self._show()

    def output(self, task: str, lines: Sequence[str], now: float) -> None:
        """Show what a task printed, when verbose."""
        if self._verbose:
            prefix = self._style(f"{neutral(task)} | ", "cyan")
            for line in lines:
                self._say(prefix + neutral(line), now)
            self._show()

    def cut(self, task: str, size: int, now: float) -> None:
        """Say that some of what a task printed is not shown, when verbose."""
        if self._verbose:
            self._say(self._style(f"[{neutral(task)}] … {size} bytes cut …", "yellow"), now)
            self._show()

    def engine_said(self, lines: Iterable[str], now: float) -> None:
        """Show what the engine's own processes had to say, and modules that were loaded before all tasks."""
        for line in lines:
            self._say(neutral(line), now)
        self._show()

    def still(self, running: Sequence[RunningTask], now: float, epoch_s: float) -> None:
        """Give a sign of life: show how things stand, or say it, if nothing was said for a while.

        Cheap to call often.
        """
        if self._terminal.live:
            oldest = sorted(running, key=lambda task: task.started_at)
            left_s = self._pace.left_s(running, epoch_s)
            self._terminal.stands(
                Standing(self._done, self._total, self._counts, oldest, epoch_s, left_s, self._ending)
            )
            return
        self._sum_up(now)
        if not self._quiet and now - self._spoke_at >= HEARTBEAT_S:
            oldest = sorted(running, key=lambda task: task.started_at)
            names = ", ".join(f"{neutral(task.id)} ({human_s(epoch_s - task.started_at)})" for task in oldest[:4])
            more = f" and {len(oldest) - 4} more" if len(oldest) > 4 else ""
            idle = "waiting for callbacks" if self._done == self._total else "nothing is running"
            what = f"running: {names}{more}" if names else idle
            self._say(self._style(f"{self._place()} {what}", "dim"), now)
        self._show()

    def stacks(self, stacks: Sequence[tuple[str, int, int, str]], now: float) -> None:
        """Show where the running tasks are: id, attempt, pid and stack of each."""
        if not stacks:
            self._say(self._style("nothing is running", "yellow"), now)
        for task, attempt, pid, stack in stacks:
            again = f", attempt {attempt}" if attempt > 1 else ""
            self._say(self._style(f"{neutral(task)} (process {pid}{again}) is at", "bold"), now)
            text = stack.rstrip("\n") or "no place it could tell: its process is stopped, or has handlers of its own"
            for line in text.split("\n"):
                self._say(f"    {neutral(line)}", now)
        self._show()

    def slow(self, task: str, attempt: int, running_s: float, now: float) -> None:
        """Say that an attempt goes on for longer than it was expected to."""
        self._slow += 1
        if self._quiet or self._slow > EACH_MAX:
            return
        word = self._style(f"{'SLOW':<{OUTCOME_WIDTH}}", "yellow")
        text = f"{self._place()} {word} {human_s(running_s):>6}  {neutral(task)}"
        self._say(text + (f" (attempt {attempt})" if attempt > 1 else ""), now)
        if self._slow == EACH_MAX:
            self._say(self._style("further slow tasks are named in the events", "yellow"), now)
        self._show()

    def stopping(self, reason: str, now: float) -> None:
        """Say why nothing more is started; what is cancelled for that reason need not repeat it."""
        self._ending = reason
        self._say(self._style(f"ending: {neutral(reason)}", "yellow"), now)
        self._show()

    def run_ended(self, records: Sequence[TaskRecord], verdict: Verdict, report: str | None) -> None:
        """Say how it all went; ``records`` in the order of the plan."""
        self._terminal.rest()
        seen = {id_ for said, id_ in self._in_full if self._said - said <= ON_SCREEN}
        self._pending += summary(self._terminal, records, verdict, self._folder, self._beside, report, seen)
        self._show()

    def _failure(self, record: TaskRecord, now: float) -> None:
        self._failures += 1
        new = self._novelty.of(record.kind)
        tail, record.tail = record.tail, ()
        if self._failures > EACH_MAX and not new and not self._verbose:
            self._unsummed = True
        else:
            if new or self._verbose:
                self._in_full.append((self._said, record.id))
            self._say(self._line(record), now)
            self._where(record, now)
            if new and not self._verbose:  # which has shown it
                for line in tail:
                    self._say(self._style("    | ", "dim") + neutral(line), now)
            if record.log is not None:
                self._say(self._style(f"    log: {neutral(shown(f'{self._folder}/{record.log}'))}", "dim"), now)
        if self._failures == EACH_MAX and not self._verbose:
            said = "of further failures those of a new kind are told; all are counted, and named in the report"
            self._say(self._style(said, "yellow"), now)

    def _where(self, record: TaskRecord, now: float) -> None:
        error = record.attempts[-1].error if record.attempts else None
        if error is None:
            return
        for line in whereabouts(error, self._beside):
            self._say(f"    {neutral(line)}", now)
        if self._verbose:
            for line in account(error).rstrip("\n").split("\n"):
                self._say(self._style("    ! ", "dim") + neutral(line), now)

    def _line(self, record: TaskRecord) -> str:
        took = "" if record.duration_s is None else human_s(record.duration_s)
        word = self._style(f"{record.outcome.value:<{OUTCOME_WIDTH}}", COLOURS.get(record.outcome, "red"))
        text = f"{self._place()} {word} {took:>6}  {neutral(record.id)}"
        if record.carried_from is not None:
            text += f" (carried over from run {record.carried_from})"
        if record.flaky:
            text += f" (at attempt {len(record.attempts)})"
        if not record.outcome.is_success and record.headline and record.headline != self._ending:
            text += f": {neutral(record.headline)}"
        if not record.outcome.is_success and len(record.attempts) > 1:
            text += f" ({len(record.attempts)} attempts)"
        # Of a task that was killed nobody wants to know that it had no time to tidy up.
        left = sum(attempt.left for attempt in record.attempts if attempt.outcome not in _KILLED)
        if left:
            text += f" (left {left} {'process' if left == 1 else 'processes'} behind, killed)"
        return text + (" (allowed)" if record.allow_failure and record.outcome.is_failure else "")

    def _sum_up(self, now: float) -> None:
        if not self._unsummed or self._quiet or self._terminal.live:
            return
        if now - self._summed_at >= SUMMARY_S or self._done == self._total:
            self._summed_at = now
            self._unsummed = False
            counts = ", ".join(f"{number} {outcome}" for outcome, number in self._counts.items() if number)
            self._say(f"{self._place()} {counts}", now)

    def _place(self) -> str:
        width = len(str(self._total))
        return f"[{self._done:>{width}}/{self._total}]"

    def _style(self, text: str, *names: str) -> str:
        return self._terminal.style(text, *names)

    def _say(self, line: str, now: float) -> None:
        self._spoke_at = now
        self._said += 1
        self._pending.append(line)

    def _show(self) -> None:
        self._terminal.lines(self._pending)
        self._pending = []


_KILLED = frozenset({Outcome.TIMED_OUT, Outcome.MEMORY_EXCEEDED, Outcome.CANCELLED})
_OUTCOME_WORDS = {Outcome.TIMED_OUT: "reached its time limit", Outcome.CRASHED: "crashed"}
