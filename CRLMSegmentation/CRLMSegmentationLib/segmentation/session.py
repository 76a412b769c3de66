"""A segmentation session: volumes of a link, requests for lesions, the engine that runs them, and its results.

Nothing here blocks, draws or starts a thread. A QTimer in Slicer, a loop on the command line and the tests
all call the same `Session.poll`, so a replay runs what ran in the operating room.

    link -> volume -> seed -> crop -> engine -> probability -> mask -> LesionSegmented
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Union

import numpy as np

from ..core.crop import check_seed, part_for_crop, whole_volume_grid
from ..core.errors import CrlmError, SeedError
from ..core.volume import Volume
from ..igtl.link import Link
from ..igtl.messages import TransformMessage
from ..igtl.statistics import Problems
from .engine import engine as engine_events
from .engine.engine import Engine, LesionJob
from .incoming import (
    VOLUME,
    DeviceForgotten,
    Incoming,
    LinkChanged,
    Noticed,
    PictureArrived,
    Refused,
    TransformArrived,
    VolumeArrived,
)
from .models.package import ModelPackage, crop_size_of
from .results import (
    CANCELLED,
    DEFAULT_OPTIONS,
    LesionFailed,
    LesionProgress,
    LesionResult,
    LesionSegmented,
    ModelReady,
    Options,
    Request,
)

MAX_NAMED_DEVICES = 4
"""So many are told by name."""


Event = Union[
    VolumeArrived,
    TransformArrived,
    PictureArrived,
    DeviceForgotten,
    LinkChanged,
    ModelReady,
    LesionProgress,
    LesionSegmented,
    LesionFailed,
    Refused,
    Noticed,
]


@dataclass(eq=False)
class _Job:
    """A request with its volume and its timings, while it waits or runs."""

    request: Request
    volume: Volume
    requested_at_s: float
    offset_kji: tuple[int, int, int] = (0, 0, 0)
    timings_s: dict[str, float] = field(default_factory=dict)
    engine_id: int | None = None


class Session:
    """Connects a link, the current volume and an engine.

    Args:
        engine: answers crops; started and closed with the session.
        model: whose region, spacing, channels and crop size are used.
        link: source of volumes and transforms, or None when volumes are given by `use_volume`.

    Attributes:
        volume: the current volume, or None.
        followed_device: only its volumes become current; None where nobody has chosen.
        takes_newest: somebody has chosen that the newest volume becomes current, whoever sent it. Where nobody has
            chosen anything, the device that sent the first volume is followed, and `following_note` tells of the
            others: to change between them by itself would be a guess. Once several have sent, that one is followed
            over a reconnection as well, whichever sends first then; a sender that was alone may come back with
            another name.
        refuse_volume: called with each volume that has come; returns why it must be refused, or nothing.
    """

    def __init__(self, engine: Engine, model: ModelPackage, link: Link | None = None) -> None:
        self.engine, self.model, self.link = engine, model, link
        self.volume: Volume | None = None
        self.followed_device: str | None = None
        self.takes_newest = False
        self._senders: dict[str, None] = {}
        self._have_sent: set[str] = set()
        self._left_behind, self._were_several = "", False
        self._epoch: int | None = None
        self._waiting: deque[_Job] = deque()
        self._background: deque[_Job] = deque()
        self._running: _Job | None = None
        self._given_up: list[_Job] = []
        self._incoming = Incoming(link, lambda: self.volume)
        self._receive_s = 0.0
        self.refuse_volume: Callable[[Volume], str] = lambda volume: ""
        self.engine.start()

    def use_volume(self, volume: Volume, receive_s: float = 0.0) -> None:
        """Make a volume the current one. Earlier requests still run in their own volume."""
        self.volume, self._receive_s = volume, receive_s

    def move_volume(self, moved: Volume) -> None:
        """Replace the current volume by the same voxels in another place."""
        self.volume = moved

    def use_model(self, engine: Engine, model: ModelPackage) -> None:
        """Replace engine and model. Requests that run or wait are cancelled; `LesionFailed` follows for each."""
        self._given_up += [*([self._running] if self._running else []), *self._waiting]
        self._running, self._waiting, self._background = None, deque(), deque()
        self.engine.close()
        self.engine, self.model = engine, model
        self.engine.start()

    def use_link(self, link: Link | None) -> None:
        """Close the link and use another. The volume stays until another comes."""
        if self.link is not None:
            self.link.close()
        self.link, self._incoming = link, Incoming(link, lambda: self.volume)
        self._senders, self._have_sent = {}, set()
        self._left_behind, self._were_several = "", False

    def follow(self, device: str | None) -> None:
        """Let only the volumes of one device become current; None lets the newest be, whoever sent it."""
        self.followed_device, self.takes_newest = device, device is None

    @property
    def device_in_use(self) -> str | None:
        """The device whose volumes become current: the chosen one, or the first that sent one; None for the newest."""
        if self.followed_device is not None or self.takes_newest:
            return self.followed_device
        return next(iter(self._senders), None)

    @property
    def transforms(self) -> dict[str, TransformMessage]:
        """The newest transform of each device, in the order of arrival."""
        return self._incoming.transforms

    @property
    def problems(self) -> Problems:
        """Counts of the messages on this link that were refused or odd."""
        return self._incoming.problems

    @property
    def received(self) -> Counter[str]:
        """Messages that came over this link, by type; without those that the link has not understood or refused."""
        return self._incoming.received

    @property
    def mixed_devices(self) -> list[str]:
        """Devices that are not used since two streams come under their name."""
        return self._incoming.mixed_devices

    @property
    def volume_warning(self) -> str:
        """A warning about the last volume that came; mostly empty."""
        return self._incoming.volume_warning

    @property
    def following_note(self) -> str:
        """A sentence on which device is followed where several send volumes and none was chosen; else empty."""
        if self.followed_device is not None:
            return ""
        if len(self._senders) < 2:
            return self._renamed_note
        names = [f"'{device}'" for device in self._senders][:MAX_NAMED_DEVICES]
        if self.takes_newest:
            return (
                f"volumes come under several names ({', '.join(names)}), and the newest is shown; choose one to follow"
            )
        others = ", ".join(names[1:])
        if self.device_in_use not in self._have_sent:
            silent = f"{names[0]} is followed, but has sent no volume since the connection was made again"
            return f"{silent}; volumes come under {others}; choose which one to follow"
        return f"{names[0]} is followed, volumes come under {others} as well; choose which one to follow"

    @property
    def _renamed_note(self) -> str:
        if not self._left_behind or not self._senders or self.takes_newest:
            return ""
        now = f"'{self.device_in_use}' is followed since the connection was made again"
        return f"{now}, '{self._left_behind}' was before; choose the one to follow"

    @property
    def volumes_at_work(self) -> tuple[Volume, ...]:
        """Volumes of the requests that run or wait."""
        jobs = [*self._waiting, *self._background, *([self._running] if self._running else [])]
        return tuple(job.volume for job in jobs)

    @property
    def busy(self) -> bool:
        """Whether a request runs or waits for which the user waits; the background does not count."""
        return bool(self._waiting) or (self._running is not None and not self._running.request.purpose.is_background)

    @property
    def looks_again(self) -> bool:
        """Whether a request runs or waits in the background."""
        return bool(self._background) or (self._running is not None and self._running.request.purpose.is_background)

    def segment(
        self,
        lesion: str,
        seed_ras_mm: np.ndarray,
        options: Options = DEFAULT_OPTIONS,
        volume: Volume | None = None,
    ) -> Request:
        """Queue the segmentation of the lesion at a seed; the result follows as an event of `poll`.

        Args:
            lesion: key of the lesion; requests made before for the same one are dropped.
            seed_ras_mm: shape (3,), a point in the lesion, RAS mm.
            options: its `crop_size_mm` of None stands for the model's own; a model that is shown the whole volume
                has no other.
            volume: to segment in; the current one by default.

        Returns:
            The request, with the size of the crop that will be cut.

        Raises:
            SeedError: no volume yet, or the seed is not in what was swept.
            ModelError: a crop size for a model that sees the whole volume.
        """
        volume = volume or self.volume
        if volume is None:
            raise SeedError("there is no volume yet; connect to a source or load one, then place the seed")
        seed = check_seed(volume, seed_ras_mm)
        options = replace(options, crop_size_mm=crop_size_of(self.model, options.crop_size_mm))
        x, y, z = map(float, seed)
        request = Request(lesion, (x, y, z), volume.identity, options)
        self.drop(lesion)
        self._make_way()
        job = _Job(request, volume, time.monotonic())
        if volume is self.volume and self._receive_s:
            job.timings_s["receive"] = self._receive_s
        self._waiting.append(job)
        return request

    def refine(self, request: Request, result: LesionResult) -> None:
        """Queue a request that follows from a result, in the volume of that result; see `segmentation.refinement`.

        One in the background runs when nothing else waits, and gives way to what a user asks for.
        """
        queue = self._background if request.purpose.is_background else self._waiting
        queue.append(_Job(request, result.volume, result.requested_at_s))

    def drop(self, lesion: str) -> None:
        """Drop all requests for a lesion; no event follows for them."""
        self._waiting, self._background = (
            deque(job for job in queue if job.request.lesion != lesion) for queue in (self._waiting, self._background)
        )
        if self._running and self._running.request.lesion == lesion:
            self._running = None  # the engine gives it up for the next job, or its answer is not looked at

    def cancel(self) -> None:
        """Cancel all requests; `LesionFailed` follows for each that is not in the background."""
        self._given_up += self._waiting
        self._waiting.clear()
        self._background.clear()
        self.engine.cancel()

    def poll(self, budget_s: float = 0.004) -> list[Event]:
        """Read the link, poll the engine, start the next request, and return the events. Call it every 5 to 10 ms."""
        return [*self._poll_link(budget_s), *self._poll_engine(), *self._start_next()]

    def close(self) -> None:
        """Close the link and the engine."""
        if self.link is not None:
            self.link.close()
        self.engine.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _make_way(self) -> None:
        """Put the running background request back into its queue, to be started again later.

        The engine gives it up when the next job is handed over; it is not told to end it within a second, for a
        worker that is slow at a tile would be killed, and a new one takes longer to load than the tile takes.
        """
        if self._running and self._running.request.purpose.is_background:
            self._background.appendleft(self._running)
            self._running = None

    def _poll_link(self, budget_s: float) -> list[Event]:
        events: list[Event] = []
        for event in self._incoming.poll(budget_s):  # one by one: what comes next is compared with the current volume
            if isinstance(event, VolumeArrived):
                reason = self.refuse_volume(event.volume)
                if reason:
                    events += self._incoming.refuse_volume(event.volume, reason)
                    continue
                if self._is_followed(event.volume.device):
                    self.use_volume(event.volume, event.receive_s)
            elif isinstance(event, DeviceForgotten) and event.kind == VOLUME:
                self._senders.pop(event.device, None)
            events.append(event)
        return events

    def _is_followed(self, device: str) -> bool:
        """Whether a volume that has come becomes current."""
        epoch = getattr(self.link, "epoch", None)
        if epoch != self._epoch:
            self._epoch, in_use = epoch, next(iter(self._senders), "")
            self._senders = {in_use: None} if self._were_several and in_use else {}
            self._left_behind = "" if self._senders or device == in_use else in_use
            self._have_sent = set()
        self._senders.setdefault(device)
        self._have_sent.add(device)
        self._were_several = self._were_several or len(self._senders) > 1
        return self.takes_newest or device == self.device_in_use

    def _start_next(self) -> list[Event]:
        if self._running or not (self._waiting or self._background):
            return []
        job = (self._waiting or self._background).popleft()
        request = job.request
        try:
            part, job.offset_kji = self._part_to_see(job)
            job.engine_id = self.engine.submit(LesionJob(request, part))
        except CrlmError as error:
            return [LesionFailed(request.lesion, str(error), request.purpose)]
        self._running = job
        return []

    def _part_to_see(self, job: _Job) -> tuple[Volume, tuple[int, int, int]]:
        """Return the part of a volume that the engine needs, and the index (k, j, i) of its first voxel."""
        crop_size_mm = job.request.options.crop_size_mm
        if crop_size_mm is None:
            whole_volume_grid(job.volume, self.model.spacing_mm)  # too large is refused before it is sent
            return job.volume, (0, 0, 0)
        seed = np.array(job.request.seed_ras_mm)
        return part_for_crop(job.volume, seed, crop_size_mm, self.model.spacing_mm)

    def _poll_engine(self) -> list[Event]:
        given_up, self._given_up = self._given_up, []
        events: list[Event] = [LesionFailed(job.request.lesion, CANCELLED, job.request.purpose) for job in given_up]
        return events + [event for reported in self.engine.poll() for event in self._answer(reported)]

    def _answer(self, event: engine_events.Event) -> list[Event]:
        if isinstance(event, engine_events.Ready):
            return [ModelReady(event.device, event.cold_start_s, event.versions, event.warnings)]
        if isinstance(event, engine_events.Failed) and event.job_id is None:
            return [LesionFailed(None, event.reason)]
        job = self._running
        if job is None or getattr(event, "job_id", None) != job.engine_id:
            return []
        if isinstance(event, engine_events.Progress):
            return [LesionProgress(job.request.lesion, event.stage, event.done, event.total, job.request.purpose)]
        self._running = None
        if isinstance(event, engine_events.Finished):
            return [LesionSegmented(self._finish(job, event))]
        return [LesionFailed(job.request.lesion, getattr(event, "reason", CANCELLED), job.request.purpose)]

    def _finish(self, job: _Job, answer: engine_events.Finished) -> LesionResult:
        if answer.lesion is None:
            raise TypeError("the engine has answered the job of a lesion without a lesion")
        mask = answer.lesion.moved_into(job.volume, job.offset_kji)
        return LesionResult(
            job.request,
            job.volume,
            replace(mask, warnings=(*mask.warnings, *answer.warnings)),
            {**job.timings_s, **answer.timings_s},
            answer.device,
            self.model.name,
            self.model.sha256,
            job.requested_at_s,
            job.volume.field_of_view_warnings,
        )
