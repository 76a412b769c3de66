"""A segmentation session: volumes of a link, requests for lesions, the engine that runs them, and its results.

Nothing here blocks, draws or starts a thread. A QTimer in Slicer, a loop on the command line and the tests
all call the same `Session.poll`, so a replay runs what ran in the operating room.

    link -> volume -> seed -> crop -> engine -> probability -> mask -> LesionSegmented
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Union

import numpy as np

from ..core.crop import check_seed, part_for_crop, whole_volume_grid
from ..core.errors import CrlmError, SeedError
from ..core.point_checks import check_points, crop_size_holding
from ..core.points import CorrectionPoint
from ..core.volume import Volume
from ..igtl.link import Link
from ..igtl.messages import TransformMessage
from ..igtl.statistics import Problems
from .engine import engine as engine_events
from .engine.engine import Engine, LesionJob
from .followed_device import FollowedDevice
from .incoming import (
    VOLUME,
    DeviceForgotten,
    ImageArrived,
    Incoming,
    LinkChanged,
    Noticed,
    Refused,
    TransformArrived,
    VolumeArrived,
)
from .models.package import ModelPackage, check_takes_points, crop_size_of
from .request_queue import QueuedRequest, RequestQueue
from .results import (
    CANCELLED,
    DEFAULT_OPTIONS,
    LesionFailed,
    LesionProgress,
    LesionResult,
    LesionSegmented,
    ModelReady,
    Options,
    Purpose,
    Request,
)

Event = Union[
    VolumeArrived,
    TransformArrived,
    ImageArrived,
    DeviceForgotten,
    LinkChanged,
    ModelReady,
    LesionProgress,
    LesionSegmented,
    LesionFailed,
    Refused,
    Noticed,
]


def checked_request(
    model: ModelPackage,
    volume: Volume,
    lesion: str,
    seed_ras_mm: np.ndarray,
    options: Options = DEFAULT_OPTIONS,
    purpose: Purpose = Purpose.ANSWER,
    points: Sequence[CorrectionPoint] = (),
) -> Request:
    """Return the request to segment a lesion, with the size of the crop that will be cut; see `Session.segment`.

    Raises:
        SeedError: the seed or a point is not in the field of view, or they contradict each other.
        ModelError: a crop size for a model that sees the whole volume, or points for one that takes none.
    """
    seed = check_seed(volume, seed_ras_mm)
    x, y, z = map(float, seed)
    size_mm = crop_size_of(model, options.crop_size_mm)
    if points:
        check_takes_points(model)
        check_points(volume, seed, points)
        size_mm = None if size_mm is None else crop_size_holding(size_mm, (x, y, z), points)
    options = replace(options, crop_size_mm=size_mm)
    return Request(lesion, (x, y, z), volume.identity, options, purpose, tuple(points))


class Session:
    """Connects a link, the current volume and an engine.

    Args:
        engine: answers crops; started and closed with the session.
        model: whose region, spacing, channels and crop size are used.
        link: source of volumes and transforms, or None when volumes are given by `use_volume`.

    Attributes:
        volume: the current volume, or None.
        followed_device: which device's volumes become current, see `FollowedDevice`; set by `follow`.
        refuse_volume: called with each volume that has come; returns why it must be refused, or nothing.
    """

    def __init__(self, engine: Engine, model: ModelPackage, link: Link | None = None) -> None:
        self.engine, self.model, self.link = engine, model, link
        self.volume: Volume | None = None
        self._devices = FollowedDevice()
        self._queue = RequestQueue()
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
        self._queue.cancel_all()
        self.engine.close()
        self.engine, self.model = engine, model
        self.engine.start()

    def use_link(self, link: Link | None) -> None:
        """Close the link and use another. The volume stays until another comes."""
        if self.link is not None:
            self.link.close()
        self.link, self._incoming = link, Incoming(link, lambda: self.volume)
        self._devices.reset()

    def follow(self, device: str | None) -> None:
        """Let only the volumes of one device become current; None lets the newest be, whoever sent it."""
        self._devices.choose(device)

    @property
    def followed_device(self) -> str | None:
        """The device that the user has chosen; None where the user has chosen none."""
        return self._devices.chosen

    @property
    def device_in_use(self) -> str | None:
        """The device whose volumes become current: the chosen one, or the first that sent one; None for the newest."""
        return self._devices.in_use

    @property
    def transforms(self) -> dict[str, TransformMessage]:
        """The newest transform of each device, in the order of arrival."""
        return self._incoming.transforms

    @property
    def problems(self) -> Problems:
        """Counts of the messages on this link that were refused or suspicious."""
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
        return self._devices.note

    @property
    def volumes_at_work(self) -> tuple[Volume, ...]:
        """Volumes of the requests that run or wait."""
        return self._queue.volumes

    @property
    def busy(self) -> bool:
        """Whether a request runs or waits for which the user waits; the background does not count."""
        return self._queue.is_busy

    @property
    def busy_in_background(self) -> bool:
        """Whether a request runs or waits in the background."""
        return self._queue.is_busy_in_background

    def segment(
        self,
        lesion: str,
        seed_ras_mm: np.ndarray,
        options: Options = DEFAULT_OPTIONS,
        volume: Volume | None = None,
        points: Sequence[CorrectionPoint] = (),
    ) -> Request:
        """Queue the segmentation of the lesion at a seed; the result follows as an event of `poll`.

        Args:
            lesion: key of the lesion; requests made before for the same one are dropped.
            seed_ras_mm: shape (3,), a point in the lesion, RAS mm.
            options: its `crop_size_mm` of None stands for the model's own; a model that is shown the whole volume
                has no other.
            volume: to segment in; the current one by default.
            points: that correct the segmentation, in their order. The crop is enlarged to hold those that are included.

        Returns:
            The request, with the size of the crop that will be cut.

        Raises:
            SeedError: no volume yet, the seed or a point is not in the field of view, or points contradict each other
                or the seed, see `core.point_checks`.
            ModelError: a crop size for a model that sees the whole volume, or points for one that takes none.
        """
        queued = self._request(lesion, seed_ras_mm, options, volume or self.volume, Purpose.ANSWER, points)
        self.drop(lesion)
        self._queue.preempt_background()
        if queued.volume is self.volume and self._receive_s:
            queued.timings_s["receive"] = self._receive_s
        self._queue.add(queued)
        return queued.request

    def preview(
        self,
        lesion: str,
        seed_ras_mm: np.ndarray,
        options: Options = DEFAULT_OPTIONS,
        points: Sequence[CorrectionPoint] = (),
    ) -> Request:
        """Queue a preview of the lesion while its seed or a point is being moved, in the current volume.

        It runs before what is in the background, and is dropped when anything is asked for in earnest or a newer
        preview is; its result follows as an event of `poll`, with the purpose `Purpose.PREVIEW`.

        Raises:
            SeedError, ModelError: as `segment`.
        """
        queued = self._request(lesion, seed_ras_mm, options, self.volume, Purpose.PREVIEW, points)
        self._queue.add_preview(queued)
        return queued.request

    @property
    def is_previewing(self) -> bool:
        """Whether a preview runs or waits."""
        return self._queue.has_preview

    def refine(self, request: Request, result: LesionResult) -> None:
        """Queue a request that follows from a result, in the volume of that result; see `segmentation.refinement`.

        One in the background runs when nothing else waits, and gives way to what a user asks for.
        """
        self._queue.add(QueuedRequest(request, result.volume, result.requested_at_s))

    def drop(self, lesion: str) -> None:
        """Drop all requests for a lesion; no event follows for them."""
        self._queue.drop(lesion)

    def cancel(self) -> None:
        """Cancel all requests; `LesionFailed` follows for each that is not in the background."""
        self._queue.cancel_waiting()
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

    def _request(
        self,
        lesion: str,
        seed_ras_mm: np.ndarray,
        options: Options,
        volume: Volume | None,
        purpose: Purpose,
        points: Sequence[CorrectionPoint] = (),
    ) -> QueuedRequest:
        if volume is None:
            raise SeedError("there is no volume yet; connect to a source or load one, then place the seed")
        request = checked_request(self.model, volume, lesion, seed_ras_mm, options, purpose, points)
        return QueuedRequest(request, volume, time.monotonic())

    def _poll_link(self, budget_s: float) -> list[Event]:
        events: list[Event] = []
        for event in self._incoming.poll(budget_s):  # one by one: what comes next is compared with the current volume
            if isinstance(event, VolumeArrived):
                reason = self.refuse_volume(event.volume)
                if reason:
                    events += self._incoming.refuse_volume(event.volume, reason)
                    continue
                if self._devices.accepts(event.volume.device, getattr(self.link, "epoch", None)):
                    self.use_volume(event.volume, event.receive_s)
            elif isinstance(event, DeviceForgotten) and event.kind == VOLUME:
                self._devices.remove(event.device)
            events.append(event)
        return events

    def _start_next(self) -> list[Event]:
        queued = self._queue.pop_next()
        if queued is None:
            return []
        request = queued.request
        try:
            part, queued.offset_kji = self._part_to_see(queued)
            queued.engine_id = self.engine.submit(LesionJob(request, part))
        except CrlmError as error:
            return [LesionFailed(request.lesion, str(error), request.purpose)]
        self._queue.running = queued
        return []

    def _part_to_see(self, queued: QueuedRequest) -> tuple[Volume, tuple[int, int, int]]:
        """Return the part of a volume that the engine needs, and the index (k, j, i) of its first voxel."""
        crop_size_mm = queued.request.options.crop_size_mm
        if crop_size_mm is None:
            whole_volume_grid(queued.volume, self.model.spacing_mm)  # too large is refused before it is sent
            return queued.volume, (0, 0, 0)
        seed = np.array(queued.request.seed_ras_mm)
        return part_for_crop(queued.volume, seed, crop_size_mm, self.model.spacing_mm)

    def _poll_engine(self) -> list[Event]:
        cancelled = [queued.request for queued in self._queue.pop_cancelled()]
        events: list[Event] = [LesionFailed(request.lesion, CANCELLED, request.purpose) for request in cancelled]
        return events + [event for reported in self.engine.poll() for event in self._answer(reported)]

    def _answer(self, event: engine_events.Event) -> list[Event]:
        if isinstance(event, engine_events.Ready):
            return [ModelReady(event.device, event.cold_start_s, event.versions, event.warnings, event.pass_s)]
        if isinstance(event, engine_events.Failed) and event.job_id is None:
            return [LesionFailed(None, event.reason)]
        queued = self._queue.running
        if queued is None or getattr(event, "job_id", None) != queued.engine_id:
            return []
        if isinstance(event, engine_events.Progress):
            return [LesionProgress(queued.request.lesion, event.stage, event.done, event.total, queued.request.purpose)]
        self._queue.running = None
        if isinstance(event, engine_events.Finished):
            return [LesionSegmented(self._finish(queued, event))]
        return [LesionFailed(queued.request.lesion, getattr(event, "reason", CANCELLED), queued.request.purpose)]

    def _finish(self, queued: QueuedRequest, answer: engine_events.Finished) -> LesionResult:
        if answer.lesion is None:
            raise TypeError("the engine has answered the job of a lesion without a lesion")
        mask = answer.lesion.moved_into(queued.volume, queued.offset_kji)
        return LesionResult(
            queued.request,
            queued.volume,
            replace(mask, warnings=(*mask.warnings, *answer.warnings)),
            {**queued.timings_s, **answer.timings_s},
            answer.device,
            self.model.name,
            self.model.sha256,
            queued.requested_at_s,
            queued.volume.field_of_view_warnings,
        )
