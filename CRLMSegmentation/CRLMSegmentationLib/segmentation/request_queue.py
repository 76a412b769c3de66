"""The requests of a session that wait or run, in the order in which they are to be run."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from ..core.volume import Volume
from .results import Purpose, Request


@dataclass(eq=False)
class QueuedRequest:
    """A request with its volume, while it waits or runs.

    Attributes:
        requested_at_s: `time.monotonic()` when the seed was placed.
        offset_kji: index in `volume` of the first voxel of the part that the engine was given.
        timings_s: of steps before the engine.
        engine_id: of the engine's job; None while the request waits.
    """

    request: Request
    volume: Volume
    requested_at_s: float
    offset_kji: tuple[int, int, int] = (0, 0, 0)
    timings_s: dict[str, float] = field(default_factory=dict)
    engine_id: int | None = None


class RequestQueue:
    """One request runs at a time. Those in the background run only while no other waits.

    Attributes:
        running: the request that the engine has; None while it has none, or its result is no longer wanted.
    """

    def __init__(self) -> None:
        self.running: QueuedRequest | None = None
        self._waiting: deque[QueuedRequest] = deque()
        self._background: deque[QueuedRequest] = deque()
        self._cancelled: list[QueuedRequest] = []

    @property
    def is_busy(self) -> bool:
        """Whether a request runs or waits for which the user waits; the background does not count."""
        return bool(self._waiting) or (self.running is not None and not self.running.request.purpose.is_background)

    @property
    def is_busy_in_background(self) -> bool:
        """Whether a request runs or waits in the background."""
        return bool(self._background) or (self.running is not None and self.running.request.purpose.is_background)

    @property
    def has_preview(self) -> bool:
        """Whether a preview runs or waits."""
        running = [self.running] if self.running else []
        return any(queued.request.purpose is Purpose.PREVIEW for queued in (*running, *self._background))

    @property
    def volumes(self) -> tuple[Volume, ...]:
        """Volumes of the requests that run or wait."""
        running = [self.running] if self.running else []
        return tuple(queued.volume for queued in (*self._waiting, *self._background, *running))

    def add(self, queued: QueuedRequest) -> None:
        """Append a request, to the background by its purpose."""
        (self._background if queued.request.purpose.is_background else self._waiting).append(queued)

    def add_preview(self, queued: QueuedRequest) -> None:
        """Put a preview before all else in the background. There is one at a time: the newest."""
        self.preempt_background()
        others = [other for other in self._background if other.request.purpose is not Purpose.PREVIEW]
        self._background = deque([queued, *others])

    def drop(self, lesion: str) -> None:
        """Drop all requests for a lesion; they do not count as cancelled."""
        self._waiting, self._background = (
            deque(queued for queued in queue if queued.request.lesion != lesion)
            for queue in (self._waiting, self._background)
        )
        if self.running and self.running.request.lesion == lesion:
            self.running = None  # the engine cancels it for the next job, or its result is ignored

    def preempt_background(self) -> None:
        """Put a running background request back into its queue, to be started again later; a preview is dropped.

        The engine cancels it when the next job is submitted; it is not told to end it within a second, for a worker
        that is slow at a tile would be killed, and a new one takes longer to load than the tile takes.
        """
        if self.running and self.running.request.purpose.is_background:
            if self.running.request.purpose is not Purpose.PREVIEW:
                self._background.appendleft(self.running)
            self.running = None

    def cancel_waiting(self) -> None:
        """Cancel the requests that wait, and drop those in the background."""
        self._cancelled += self._waiting
        self._waiting.clear()
        self._background.clear()

    def cancel_all(self) -> None:
        """Cancel the running request as well, without a word to the engine."""
        self._cancelled += [self.running] if self.running else []
        self.running = None
        self.cancel_waiting()

    def pop_cancelled(self) -> list[QueuedRequest]:
        """Return the requests that were cancelled since the last call."""
        cancelled, self._cancelled = self._cancelled, []
        return cancelled

    def pop_next(self) -> QueuedRequest | None:
        """Remove the next request to run from the queue; None while one runs or none waits."""
        queue = self._waiting or self._background
        return None if self.running or not queue else queue.popleft()
