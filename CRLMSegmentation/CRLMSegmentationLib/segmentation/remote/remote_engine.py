"""An engine that computes on a server, and on this computer while the server is gone."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from ...core.errors import WorkerError
from ..engine.engine import (
    Cancelled,
    Engine,
    EngineState,
    Event,
    Failed,
    Finished,
    Job,
    Progress,
    Ready,
    Started,
)
from .status import ServerState, ServerStatus

CONNECT_PATIENCE_S = 5.0
"""For which jobs wait for the first word on the server; its client process starts within about a second."""
COMPUTED_HERE = "computed on this computer, since the server {host} was not used: {reason}"
IN_USE_HERE = "the server {host} cannot be used: {reason}; segmentations are computed on this computer meanwhile"
GONE = "the server {host} cannot be used: {reason}. It is tried again by itself"
ON_SERVER, HERE = "{device} (server {host})", "{device} (this computer)"
NOT_HEARD_OF = "nothing has been heard of it yet"


class EngineOfServer(Engine, Protocol):
    """An engine whose jobs are answered by a server."""

    @property
    def status(self) -> ServerStatus:
        """Whether the server can be used."""


@dataclass
class _Running:
    """The job that is not answered yet; `engine` is None while it waits for the first word on the server."""

    job_id: int
    job: Job
    engine: Engine | None = None
    inner_id: int = 0
    lost_reason: str = ""


class RemoteEngine:
    """An `engine.Engine` with a server and, for while it is gone, an engine on this computer.

    Each job ends once: what another engine or an earlier attempt says later is dropped. A job that the server has lost
    is given to this computer without being asked for. `Ready` is told again whenever another computer takes over, with
    its device and the reason.

    Args:
        server: closed together with this.
        local: started at once, so that its model is warm; None to compute on the server only.
        clock: seconds that never go back.
    """

    def __init__(
        self, server: EngineOfServer, local: Engine | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._server, self._local, self._clock = server, local, clock
        self._ids = itertools.count(1)
        self._running: _Running | None = None
        self._events: list[Event] = []
        self._started_s: float | None = None
        self._server_ready: Ready | None = None
        self._local_ready: Ready | None = None
        self._local_failure = ""
        self._told: object = None
        self._failure = ""

    @property
    def server_status(self) -> ServerStatus:
        """What is known of the server."""
        return self._server.status

    @property
    def is_computing_here(self) -> bool:
        """Whether the next job would run on this computer."""
        return self._local is not None and self._engine() is self._local

    @property
    def state(self) -> EngineState:
        if self._started_s is None:
            return EngineState.STOPPED
        if self._failure:
            return EngineState.FAILED
        if self._told is None:
            return EngineState.STARTING
        return EngineState.BUSY if self._running else EngineState.READY

    def start(self) -> None:
        """Begin to speak to the server, and to load the model on this computer; returns at once."""
        self._server.start()
        if self._local is not None:
            self._local_failure = ""
            self._local.start()
        if self._started_s is None:
            self._started_s = self._clock()

    def submit(self, job: Job) -> int:
        """Queue a job and return its id; a job that is still unanswered is cancelled.

        Raises:
            WorkerError: neither the server nor this computer can answer; says why.
        """
        if self._started_s is None:
            self.start()
        self._drop_running()
        if self._failure:
            raise WorkerError(self._failure)
        job_id = next(self._ids)
        self._running = _Running(job_id, job)
        self._hand_over()
        return job_id

    def cancel(self) -> None:
        """Cancel the unanswered job; `Cancelled` follows at once."""
        running = self._running
        self._drop_running()
        if running is not None and running.engine is self._local and self._local is not None:
            self._local.cancel()

    def poll(self) -> list[Event]:
        """Return the events since the last call, without blocking."""
        if self._started_s is None:
            return self._take()
        for event in self._server.poll():
            self._handle(event, self._server)
        if self._local is not None:
            for event in self._local.poll():
                self._handle(event, self._local)
        self._hand_over()
        self._tell()
        return self._take()

    def close(self) -> None:
        """End both engines. An unanswered job ends as cancelled in the next `poll`."""
        self._drop_running()
        self._server.close()
        if self._local is not None:
            self._local.close()
        self._started_s = None

    def _take(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _engine(self) -> Engine | None:
        """The engine for the next job; None where that is not known yet, or there is none."""
        status = self._server.status
        if status.state is ServerState.READY and self._server_ready is not None:
            return self._server
        if status.state is ServerState.CONNECTING and self._is_patient():
            return None
        return None if self._local_failure else self._local

    def _reason(self) -> str:
        status = self._server.status
        return status.reason or NOT_HEARD_OF

    def _hand_over(self) -> None:
        """Give the job to the engine that is to run it; again where the server has been lost."""
        running = self._running
        if running is None:
            return
        if running.engine is self._server and self._server.status.state is ServerState.GONE:
            running.engine, running.lost_reason = None, self._reason()
        if running.engine is not None:
            return
        engine = self._engine() if not running.lost_reason else self._fallback()
        if engine is None:
            if running.lost_reason or self._is_without_engine():
                self._end(Failed(running.job_id, self._sentence(GONE, running.lost_reason), is_lost=True))
            return
        if engine is self._local and not running.lost_reason:
            running.lost_reason = self._reason()
        try:
            running.engine, running.inner_id = engine, engine.submit(running.job)
        except WorkerError as error:
            self._end(Failed(running.job_id, str(error)))

    def _fallback(self) -> Engine | None:
        return None if self._local_failure else self._local

    def _is_patient(self) -> bool:
        """Return whether it is too early to do without the server."""
        return self._started_s is not None and self._clock() - self._started_s < CONNECT_PATIENCE_S

    def _is_without_engine(self) -> bool:
        is_known = self._server.status.state is not ServerState.CONNECTING
        return self._engine() is None and (is_known or not self._is_patient())

    def _sentence(self, template: str, reason: str = "") -> str:
        return template.format(host=self._server.status.host, reason=reason or self._reason())

    def _handle(self, event: Event, engine: Engine) -> None:
        """Handle an event of one of the engines."""
        if isinstance(event, Ready):
            if engine is self._server:
                self._server_ready = event
            else:
                self._local_ready = event
            return
        if isinstance(event, Started):
            self._events.append(event)
            return
        if isinstance(event, Failed) and event.job_id is None:
            if engine is self._local:
                self._local_failure = event.reason
            return
        running = self._running
        if running is None or running.engine is not engine or event.job_id != running.inner_id:
            return  # of a job that was cancelled, or is computed elsewhere by now
        if isinstance(event, Progress):
            self._events.append(replace(event, job_id=running.job_id))
        elif isinstance(event, Failed) and event.is_lost and engine is self._server and self._fallback() is not None:
            running.engine, running.lost_reason = None, event.reason
        elif isinstance(event, Finished):
            self._end(self._marked(event, running, engine))
        else:
            self._end(replace(event, job_id=running.job_id))

    def _marked(self, answer: Finished, running: _Running, engine: Engine) -> Finished:
        """Return an answer with the computer that has computed it."""
        if engine is self._server:
            device = ON_SERVER.format(device=answer.device, host=self._server.status.host)
            return replace(answer, job_id=running.job_id, device=device)
        warning = self._sentence(COMPUTED_HERE, running.lost_reason)
        device = HERE.format(device=answer.device)
        return replace(answer, job_id=running.job_id, device=device, warnings=(*answer.warnings, warning))

    def _drop_running(self) -> None:
        running = self._running
        if running is None:
            return
        self._end(Cancelled(running.job_id))
        if running.engine is self._server:
            self._server.cancel()

    def _end(self, event: Finished | Failed | Cancelled) -> None:
        self._running = None
        self._events.append(event)

    def _tell(self) -> None:
        """Tell which computer computes, whenever that changes; or that none can."""
        status, engine = self._server.status, self._engine()
        if engine is self._server and self._server_ready is not None:
            self._tell_once(
                ("server", status.device),
                replace(
                    self._server_ready,
                    device=ON_SERVER.format(device=status.device, host=status.host),
                    versions=status.versions,
                    pass_s=status.pass_s,
                    cold_start_s=self._server_ready.cold_start_s,
                ),
            )
        elif engine is not None and self._local_ready is not None:
            warning = self._sentence(IN_USE_HERE)
            device = HERE.format(device=self._local_ready.device)
            told = replace(self._local_ready, device=device, warnings=(*self._local_ready.warnings, warning))
            self._tell_once(("here", status.problem), told)
        elif self._is_without_engine() and (self._local is None or self._local_failure):
            reason = self._sentence(GONE)
            if self._local_failure:
                reason = f"{reason}; nor can this computer segment: {self._local_failure}"
            self._failure = reason
            if self._told != ("none", status.problem):
                self._told = ("none", status.problem)
                self._events.append(Failed(None, reason))

    def _tell_once(self, key: object, ready: Ready) -> None:
        self._failure = ""
        if self._told != key:
            self._told = key
            self._events.append(ready)
