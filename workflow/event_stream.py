"""How a program watches a run that goes on, and ends it.

A run writes its events to a descriptor, as it does for ``run --events``: so it does not run the program's Python, nor
waits for it.  ``Events`` reads them there, in a thread, and passes them on as objects; an ``EventStream`` keeps them
until they are taken.  ``Ends`` is the other way: it hears the signals of a run, and can have it end as by one.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from workflow.run.signals import Signals

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from workflow.report.models import Event
    from workflow.report.report import Report


class EventStream(Iterator["Event"]):
    """The events of a run that goes on in a thread of its own; ``report`` when they have ended.

    ``close()``, leaving its ``with`` early, and Ctrl-C while it waits end the run, as Ctrl-C ends a command; so does
    whoever forgets it before its end.  The program's end waits for the run.  Several threads may take events: each
    event goes to one of them, and all hear of the end.
    """

    def __init__(self, run: Callable[[Ends, Callable[[Event], object]], Report]) -> None:
        ends, events = Ends(), queue.SimpleQueue["Event | None"]()
        outcome: list[Report | BaseException] = []

        def go() -> None:  # without this stream, which can then be forgotten
            try:
                outcome.append(run(ends, events.put))
            except BaseException as error:  # noqa: BLE001  # whoever asks for the report gets it
                outcome.append(error)
            finally:
                events.put(None)

        self._ends, self._events, self._outcome, self._over = ends, events, outcome, False
        self._thread = threading.Thread(target=go, name="workflow-run")
        self._thread.start()

    def __next__(self) -> Event:
        if self._over:
            raise StopIteration
        self._check_process()
        try:
            event = self._events.get()
        except BaseException:
            self._ends.end()
            raise
        if event is None:
            self._events.put(None)  # for whoever else waits
            self._over = True
            self._thread.join()
            if isinstance(self._outcome[0], BaseException):
                raise self._outcome[0]
            raise StopIteration
        return event

    @property
    def report(self) -> Report:
        """What came of the run; waits for its end.  Raises what ``Pipeline.run`` would."""
        self._check_process()
        try:
            self._thread.join()
        except BaseException:
            self._ends.end()
            raise
        outcome = self._outcome[0]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def close(self) -> None:
        """End the run, if it goes on, and wait for that.  Events that were not taken are dropped."""
        if self._thread.is_alive():
            self._ends.end()
            self._thread.join()
        self._over = True

    def _check_process(self) -> None:
        if not self._outcome and not self._thread.is_alive():
            message = "this stream belongs to the process that made it, and the run does; a forked child hears nothing"
            raise RuntimeError(message)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._over:
            self.close()

    def __del__(self) -> None:
        if hasattr(self, "_ends") and self._thread.is_alive():
            self._ends.end()


class Ends:
    """How a run comes to be ended from outside of it: by a signal, or by this program."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = False
        self._signals: Signals | None = None

    def signals(self, inbox: queue.SimpleQueue[object]) -> Signals:
        """What the run listens to."""
        with self._lock:
            self._signals = _Heard(inbox)
            if self._asked:
                self._signals.request(signal.SIGINT)
            return self._signals

    def end(self) -> None:
        """Have the run end as by Ctrl-C.  Once is enough."""
        with self._lock:
            if not self._asked and self._signals is not None:
                self._signals.request(signal.SIGINT)
            self._asked = True

    @property
    def heard(self) -> int | None:
        """The signal that came while it ran."""
        return self._signals.first if isinstance(self._signals, _Heard) else None


class _Heard(Signals):
    first: int | None = None
    """The first signal that came."""

    def _arrived(self, number: int, frame: Any) -> None:
        self.first = self.first or number
        super()._arrived(number, frame)


class Events:
    """From the descriptor that the run writes its events to, to a function of the program's, in a thread."""

    def __init__(self, on_event: Callable[[Event], object], ends: Ends) -> None:
        self.error: BaseException | None = None
        self._read, self.descriptor = os.pipe()
        self._ends = ends
        self._thread = threading.Thread(target=self._pass_on, args=(on_event,), name="workflow-events")
        try:
            self._thread.start()
        except RuntimeError:  # there are as many threads as there may be
            os.close(self._read)
            os.close(self.descriptor)
            raise

    def finish(self) -> None:
        """Wait until all were passed on."""
        try:
            os.write(self.descriptor, b"\n")  # the end, whoever else has the pipe open
            self._thread.join()
        finally:
            os.close(self.descriptor)

    def _pass_on(self, on_event: Callable[[Event], object]) -> None:
        from pydantic import TypeAdapter

        from workflow.report import models

        adapter: TypeAdapter[Event] = TypeAdapter(models.Event)
        with open(self._read, "rb") as lines:  # noqa: PTH123  # it is a descriptor
            for line in lines:
                if line == b"\n":
                    return
                if self.error is not None:
                    continue
                try:
                    on_event(adapter.validate_json(line))
                except BaseException as error:  # noqa: BLE001  # raised by ``run``
                    self.error = error
                    self._ends.end()
