"""What comes over a link: volumes, poses, live pictures, changes of the link itself, and what cannot be taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Union

import numpy as np

from .core.errors import CrlmError
from .core.volume import Volume
from .igtl.chronology import Chronology, Order
from .igtl.link import Link, LinkState, reason_kind
from .igtl.messages import ImageMessage, Message, TransformMessage, volume_of
from .igtl.statistics import DropReason, Problems

MAX_TOOLS, MAX_VOLUME_DEVICES, MAX_PICTURE_DEVICES = 256, 32, 32
"""Names that are followed on one link: each becomes a node of the scene, or a line of the panel."""
CLOCK_WENT_BACK = "the sender's clock was set back, or its recording began anew; what came last counts"


@dataclass(frozen=True, eq=False)
class VolumeArrived:
    volume: Volume
    receive_s: float


@dataclass(frozen=True, eq=False)
class TransformArrived:
    message: TransformMessage


@dataclass(frozen=True)
class PictureArrived:
    """A single slice, such as the live picture of a scanner, 20 to 30 a second. Nothing is done with it."""

    device: str


@dataclass(frozen=True)
class LinkChanged:
    """The state, or the kind of its reason; the numbers in a reason change without being told, see `Link`."""

    state: LinkState
    reason: str


@dataclass(frozen=True)
class Refused:
    """Something that arrived cannot be used, and why; `device` is empty where it could not even be read.

    Told once for each device and kind of a link; `Incoming.problems` counts.
    """

    device: str
    reason: str
    kind: DropReason = DropReason.NOT_A_VOLUME


@dataclass(frozen=True)
class Noticed:
    """Something that arrived was used, but is odd; told once for each device and kind of a link."""

    device: str
    reason: str
    kind: DropReason


Arrival = Union[VolumeArrived, TransformArrived, PictureArrived, LinkChanged, Refused, Noticed]


class Incoming:
    """Reads one link, bounded in all that a peer can make grow.

    Args:
        link: None brings nothing.
        current_volume: which one is shown; asked for each volume that comes.

    Attributes:
        transforms: the newest transform of each device, in the order of arrival.
        problems: what was refused or odd, counted.
        volume_warning: what is to be known of the last volume that came, beside itself; mostly nothing.
    """

    def __init__(self, link: Link | None, current_volume: Callable[[], Volume | None]) -> None:
        self._link, self._current_volume = link, current_volume
        self.transforms: dict[str, TransformMessage] = {}
        self.problems, self.volume_warning = Problems(), ""
        self._receiving_since_s: float | None = None
        self._link_state: tuple[LinkState, str] | None = None
        self._lost: dict[tuple[DropReason, str], int] = {}
        self._epoch: int | None = None
        self._chronology = Chronology()
        self._volume_times_s: dict[str, float] = {}
        self._pictures: set[str] = set()
        self._held: VolumeArrived | None = None

    def poll(self, budget_s: float) -> Iterator[Arrival]:
        """Take what can be had at once. Act on each arrival before the next: it decides what is current then."""
        if self._link is None:
            return
        started_s = self._receiving_since_s or time.monotonic()
        messages = self._link.poll(budget_s)
        yield from self._look_at_link()
        yield from self._count_lost()
        for message in messages:
            yield from self._take(message, time.monotonic() - started_s)
        under_way = self._link.receiving is not None
        self._receiving_since_s = (time.monotonic() if messages else started_s) if under_way else None

    def _look_at_link(self) -> Iterator[Arrival]:
        epoch = getattr(self._link, "epoch", None)
        if epoch != self._epoch:
            self._epoch, self._chronology, self._held = epoch, Chronology(), None
        state = (self._link.state, reason_kind(self._link.state_reason))
        if state != self._link_state:
            self._link_state = state
            yield LinkChanged(self._link.state, self._link.state_reason)

    def _count_lost(self) -> Iterator[Arrival]:
        """What the link has lost since the last call."""
        for problem in getattr(self._link, "problems", ()):
            key = (problem.kind, problem.device)
            more, self._lost[key] = problem.count - self._lost.get(key, 0), problem.count
            if more:
                yield from self._refuse(problem.device, problem.text, problem.kind, more)

    def _refuse(self, device: str, reason: str, kind: DropReason, count: int = 1) -> Iterator[Arrival]:
        problem = self.problems.note(kind, device, reason, count)
        if problem:
            yield Refused(problem.device, problem.text, kind)

    def _notice(self, device: str, reason: str, kind: DropReason) -> Iterator[Arrival]:
        problem = self.problems.note(kind, device, reason)
        if problem:
            yield Noticed(problem.device, problem.text, kind)

    def _take(self, message: Message, receive_s: float) -> Iterator[Arrival]:
        if isinstance(message, TransformMessage):
            yield from self._take_transform(message)
        elif isinstance(message, ImageMessage) and message.is_volume:
            yield from self._take_image(message, receive_s)
        elif isinstance(message, ImageMessage):
            yield from self._take_picture(message.device)

    def _take_picture(self, device: str) -> Iterator[Arrival]:
        """Its voxels are not even looked at: it costs what it takes to receive it."""
        if device not in self._pictures and len(self._pictures) >= MAX_PICTURE_DEVICES:
            text = f"more than {MAX_PICTURE_DEVICES} devices send pictures; those of further ones are left out"
            yield from self._refuse(device, text, DropReason.TOO_MANY_DEVICES)
            return
        self._pictures.add(device)
        yield PictureArrived(device)

    def _take_image(self, message: ImageMessage, receive_s: float) -> Iterator[Arrival]:
        try:
            volume = volume_of(message)
        except CrlmError as error:
            yield from self._refuse(message.device, str(error), DropReason.NOT_A_VOLUME)
            return
        if volume.device not in self._volume_times_s and len(self._volume_times_s) >= MAX_VOLUME_DEVICES:
            text = f"more than {MAX_VOLUME_DEVICES} devices send volumes; those of further ones are left out"
            yield from self._refuse(volume.device, text, DropReason.TOO_MANY_DEVICES)
        elif self._epoch is None:
            yield self._delivered(VolumeArrived(volume, receive_s))
        else:
            yield from self._take_in_time(VolumeArrived(volume, receive_s))

    def _take_transform(self, message: TransformMessage) -> Iterator[Arrival]:
        """Poses are taken in the order in which they come, see `igtl.chronology`."""
        if message.device not in self.transforms and len(self.transforms) >= MAX_TOOLS:
            text = f"more than {MAX_TOOLS} devices send transforms; those of further ones are left out"
            yield from self._refuse(message.device, text, DropReason.TOO_MANY_DEVICES)
            return
        self.transforms[message.device] = message
        yield TransformArrived(message)
        order = Order.UNTIMED if self._epoch is None else self._chronology.order_of(message, time.monotonic())
        if order is Order.LATE:
            text = "poses come out of order; the last one is shown"
            yield from self._notice(message.device, text, DropReason.LATE)
        elif order is Order.REPEATED:
            text = "poses are sent again with the same time"
            yield from self._notice(message.device, text, DropReason.REPEATED)
        elif order is Order.CLOCK_BACK:
            yield from self._notice("", CLOCK_WENT_BACK, DropReason.CLOCK_BACK)
            yield from self._release_held(message)

    def _take_in_time(self, arrived: VolumeArrived) -> Iterator[Arrival]:
        """Decide whether a volume is the newest.

        Of a device, the volume that came last is the current one, as the sender means it. One that claims to be
        older than its forerunner is a different matter: shown as current, it would show the surgeon a liver as it
        was. Is it late, or was the sender's clock set back, so that it is in truth the newest?

        - The poses that the same sender sends meanwhile tell what its clock shows. They have gone on: the volume
          is late, is not shown and that is told. It is kept, in case the clock goes back with the next pose.
        - They have gone back too: the clock was set back, or a replay began anew. The volume is taken.
        - No poses, as with a scanner alone or on a new connection: nobody knows. The volume is taken, since
          otherwise none would come through until the clock has caught up, and `volume_warning` says so.

        A volume of the same time and content is the same volume: neither its results nor its age change. That is
        odd, unless it was asked for again and again, as live volumes are while the probe rests.
        """
        volume, self.volume_warning = arrived.volume, ""
        newest_s = self._volume_times_s.get(volume.device, 0.0)
        sender_s = self._chronology.clock_s(time.monotonic())
        if self._is_current(volume):
            if not getattr(self._link, "repeats_volumes", False):
                yield from self._notice(volume.device, "the same volume is sent again", DropReason.REPEATED)
        elif volume.timestamp_s >= newest_s or volume.timestamp_s <= 0:
            yield self._delivered(arrived)
        elif sender_s is not None and sender_s >= newest_s:
            self._held = arrived
            older = f"a volume is {newest_s - volume.timestamp_s:.1f} s older than the one before"
            yield from self._refuse(
                volume.device,
                self._warn(volume, f"{older} and is not shown; to take it, connect again"),
                DropReason.LATE,
            )
        else:
            yield self._delivered(arrived)
            yield from self._notice("", CLOCK_WENT_BACK, DropReason.CLOCK_BACK)
            if sender_s is None:
                older = f"the volume says it is {newest_s - volume.timestamp_s:.1f} s older than the one before"
                text = self._warn(volume, f"{older}; check the sender")
                yield from self._notice(volume.device, text, DropReason.LATE)

    def _warn(self, volume: Volume, text: str) -> str:
        """Each time, whether or not it has been told already."""
        self.volume_warning = f"'{volume.device}': {text}"
        return text

    def _release_held(self, pose: TransformMessage) -> Iterator[Arrival]:
        """Deliver a volume that was taken for late, if a pose says now that the clock was set back."""
        held = self._held
        if held is not None and pose.timestamp_s < self._volume_times_s[held.volume.device]:
            self.volume_warning = ""
            yield self._delivered(held)

    def _delivered(self, arrived: VolumeArrived) -> VolumeArrived:
        self._held = None
        self._volume_times_s[arrived.volume.device] = arrived.volume.timestamp_s
        return arrived

    def _is_current(self, volume: Volume) -> bool:
        """Compares the voxels only where all else agrees."""
        current = self._current_volume()
        return (
            current is not None
            and (current.device, current.timestamp_s) == (volume.device, volume.timestamp_s)
            and np.array_equal(current.ijk_to_ras, volume.ijk_to_ras)
            and current.array.dtype == volume.array.dtype
            and np.array_equal(current.array, volume.array)
            and np.array_equal(current.missing, volume.missing)
        )
