"""A request on its way through the server: what its headers say, the connection that gets the answer, its worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol

from ..core.errors import ServerError
from ..segmentation.engine.engine import EngineState, Event, LesionJob, Ready
from ..segmentation.models.package import ModelPackage
from ..segmentation.remote.message_format import Code
from ..segmentation.remote.messages import SegmentRequest
from .fair_queue import ClientKey

OnEvent = Callable[["Worker", Event], None]
"""Told each event of a worker, with the number that `Worker.submit` was given in place of the job's."""
UPDATE_S = 1.0
"""A client that waits is told so at least as often."""
CHUNK_BYTES = 1 << 18


class RefusalError(ServerError):
    """A request is not taken.

    Attributes:
        retry_after_s: after which it may be sent again; None where that is of no use.
    """

    def __init__(self, status: HTTPStatus, code: Code, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.retry_after_s = status, code, retry_after_s


class Worker(Protocol):
    """What computes; it tells its events from any thread."""

    @property
    def state(self) -> EngineState: ...

    def start(self) -> None: ...

    def stop(self, timeout_s: float) -> None: ...

    @property
    def package(self) -> ModelPackage: ...

    @property
    def ready(self) -> Ready | None: ...

    def submit(self, ticket: int, job: LesionJob) -> None: ...

    def cancel(self, ticket: int, timeout_s: float) -> None: ...


@dataclass(frozen=True)
class Ticket:
    """What the headers of a request say.

    Attributes:
        request_id: the same when a request is sent again.
        lesion, sequence: the newest request of a lesion is the one with the highest sequence.
        size_bytes: of the body.
    """

    client: ClientKey
    request_id: str
    lesion: int
    sequence: int
    is_background: bool
    size_bytes: int


class Listener:
    """The connection that gets an answer, as far as the dispatcher knows it. Only the newest progress is kept."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._progress: bytes | None = None
        self._end: bytes | None = None
        self._is_replaced = False

    def put_progress(self, update: bytes) -> None:
        self._progress = update
        self._changed.set()

    def put_end(self, end: bytes) -> None:
        self._end = end
        self._changed.set()

    def replace(self) -> None:
        """Another connection gets the answer."""
        self._is_replaced = True
        self._changed.set()

    async def updates(self, waiting: Callable[[], bytes]) -> AsyncIterator[bytes]:
        """Yield the parts of the answer as they come.

        Args:
            waiting: makes what is told while nothing happens.
        """
        while True:
            try:
                await asyncio.wait_for(self._changed.wait(), UPDATE_S)
            except asyncio.TimeoutError:
                yield waiting()
                continue
            self._changed.clear()
            if self._is_replaced:
                return
            progress, self._progress = self._progress, None
            if progress is not None and self._end is None:
                yield progress
            if self._end is not None:
                for start in range(0, len(self._end), CHUNK_BYTES):
                    yield self._end[start : start + CHUNK_BYTES]
                return


@dataclass(eq=False)
class ServedRequest:
    """A request that was taken.

    Attributes:
        body_sha256: of its body; another body under the same id is refused.
        progress: the newest part of its answer that tells of it; None before the first.
        end: the last part of its answer; None while it has none.
    """

    ticket: Ticket
    number: int
    body_sha256: str
    request: SegmentRequest
    received_s: float
    started_s: float | None = None
    worker: Worker | None = None
    listener: Listener | None = None
    progress: bytes | None = None
    end: bytes | None = None
    losses: int = 0
    interruptions: int = 0
    timers: list[asyncio.TimerHandle] = field(default_factory=list)

    @property
    def has_ended(self) -> bool:
        return self.end is not None
