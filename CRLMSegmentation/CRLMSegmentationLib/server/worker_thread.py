"""A worker process with its warm model, driven by a thread of its own, so that the event loop never waits for it."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, Union

from ..core.errors import CrlmError
from ..segmentation.engine.engine import (
    Cancelled,
    Engine,
    EngineState,
    Event,
    Failed,
    Finished,
    LesionJob,
    Progress,
    Ready,
    Started,
)
from ..segmentation.models.package import ModelPackage
from .served_request import OnEvent

logger = logging.getLogger(__name__)

IDLE_S, BUSY_S = 0.2, 0.01
"""How long the thread sleeps at most; a job that comes ends the first, an event of the worker the second."""
FIRST_RESTART_S, LONGEST_RESTART_S = 5.0, 300.0
"""After which a worker that has given up is started again; doubled each time."""


class WaitingEngine(Engine, Protocol):
    """An engine that can be waited for, as a `WorkerEngine`."""

    def wait(self, timeout_s: float) -> list[Event]:
        """Poll until something has happened, at most the given time."""

    def cancel(self, timeout_s: float | None = None) -> None:
        """Cancel every unanswered job; a worker that has not stopped in time is killed."""


@dataclass(frozen=True)
class _Submit:
    ticket: int
    job: LesionJob


@dataclass(frozen=True)
class _Cancel:
    ticket: int
    timeout_s: float


class _Stop:
    """The thread is to end."""


_Command = Union[_Submit, _Cancel, _Stop]


class WorkerThread:
    """A worker of the server's pool.

    Args:
        package: its model.
        make_engine: makes the engine that runs it.
        on_event: called in this thread, with job ids replaced by tickets.

    Attributes:
        ready: what the engine said when its model was loaded; None while it is not.
        pid: of the worker process; None where none runs.
    """

    def __init__(self, package: ModelPackage, make_engine: Callable[[], WaitingEngine], on_event: OnEvent) -> None:
        self.package, self._make_engine, self._on_event = package, make_engine, on_event
        self.ready: Ready | None = None
        self.pid: int | None = None
        self.state = EngineState.STOPPED
        self._commands: queue.SimpleQueue[_Command] = queue.SimpleQueue()
        self._tickets: dict[int, int] = {}
        self._thread = threading.Thread(target=self._drive, name=f"worker of {package.name}", daemon=True)

    def start(self) -> None:
        """Start the thread, and in it the worker process."""
        self._thread.start()

    def submit(self, ticket: int, job: LesionJob) -> None:
        """Run a job; one that still runs ends as cancelled between two passes of the network."""
        self._commands.put(_Submit(ticket, job))

    def cancel(self, ticket: int, timeout_s: float) -> None:
        """End a job between two passes of the network; the worker is killed where that takes longer than a time."""
        self._commands.put(_Cancel(ticket, timeout_s))

    def stop(self, timeout_s: float) -> None:
        """End the worker process and the thread."""
        self._commands.put(_Stop())
        self._thread.join(timeout_s)

    def _drive(self) -> None:
        engine = self._make_engine()
        restart_s, restart_at_s = FIRST_RESTART_S, 0.0
        try:
            while True:
                if engine.state in (EngineState.STOPPED, EngineState.FAILED) and time.monotonic() >= restart_at_s:
                    restart_at_s = time.monotonic() + restart_s
                    restart_s = min(2 * restart_s, LONGEST_RESTART_S)
                    self._start(engine)
                if not self._obey(engine):
                    return
                for event in engine.wait(BUSY_S) if self._tickets else engine.poll():
                    if isinstance(event, Ready):
                        restart_s = FIRST_RESTART_S
                    self._pass_on(event)
                self.state = engine.state
        except Exception:
            logger.exception("a worker thread has ended")
            self.state, self.ready = EngineState.FAILED, None
            self._on_event(self, Failed(None, "the thread of the worker has ended; see the log", is_lost=True))
        finally:
            engine.close()

    def _start(self, engine: WaitingEngine) -> None:
        try:
            engine.start()
        except CrlmError as error:
            logger.error("%s", error)

    def _obey(self, engine: WaitingEngine) -> bool:
        """Carry out what was asked for; returns False when the thread is to end."""
        timeout_s = 0.0 if self._tickets else (BUSY_S if engine.state is EngineState.STARTING else IDLE_S)
        while True:
            try:
                command = self._commands.get(timeout=timeout_s) if timeout_s else self._commands.get_nowait()
            except queue.Empty:
                return True
            timeout_s = 0.0
            if isinstance(command, _Stop):
                return False
            if isinstance(command, _Submit):
                self._submit(engine, command)
            elif command.ticket in self._tickets.values():
                engine.cancel(command.timeout_s)

    def _submit(self, engine: WaitingEngine, command: _Submit) -> None:
        try:
            self._tickets[engine.submit(command.job)] = command.ticket
        except CrlmError as error:
            self._on_event(self, Failed(command.ticket, str(error), is_lost=True))

    def _pass_on(self, event: Event) -> None:
        """Tell an event, with the ticket of its job."""
        if isinstance(event, Started):
            self.pid, self.ready = event.pid, None
        elif isinstance(event, Ready):
            self.ready = event
        elif isinstance(event, Failed) and event.job_id is None:
            self.ready = self.pid = None
        elif isinstance(event, Progress):
            ticket = self._tickets.get(event.job_id)
            if ticket is None:
                return
            event = replace(event, job_id=ticket)
        elif isinstance(event, (Finished, Failed, Cancelled)):
            ticket = self._tickets.pop(event.job_id or 0, None)
            if ticket is None:
                return
            event = replace(event, job_id=ticket)
        self._on_event(self, event)
