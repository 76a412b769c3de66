"""Messages of an OpenIGTLink connection as events: volumes, poses, 2D images, changes of the link, refused messages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Union

import numpy as np

from ..core.errors import CrlmError, SweepError
from ..core.volume import Volume
from ..igtl.chronology import Chronology, Order
from ..igtl.known_devices import KnownDevices, KnownTools
from ..igtl.link import Link, LinkState, reason_kind
from ..igtl.messages import (
    ImageMessage,
    Message,
    PointMessage,
    PolyDataMessage,
    StatusMessage,
    StringMessage,
    TransformMessage,
    volume_of,
)
from ..igtl.mixed_streams import MixedImages, MixedPoses, ambiguous
from ..igtl.statistics import USED_ALL_THE_SAME, DropReason, NameCounts, Problems, Unseen
from ..tracking.instruments import PLACES
from ..tracking.transforms import frames_of

MAX_TOOLS, MAX_VOLUME_DEVICES, MAX_IMAGE_DEVICES = 128, 32, 32
"""Names that are followed on one link: each becomes a node of the scene, or a line of the panel."""
TRANSFORM, VOLUME, IMAGE = "transform", "volume", "image"
"""What a device sends."""
STATUS_OK_CODE = 1
KINDS = {
    ImageMessage: "IMAGE",
    PointMessage: "POINT",
    PolyDataMessage: "POLYDATA",
    StatusMessage: "STATUS",
    StringMessage: "STRING",
    TransformMessage: "TRANSFORM",
}
NO_FRAMES = "the name does not say from which frame to which it leads, as ProbeToReference does: no tool is found by it"
MIXED_POSES = (
    "poses under this name take turns between places {apart:.0f} mm or degrees apart: two tools or two senders under "
    "one name, or a tracker that wavers; none is used until each has a name of its own"
)
CLOCK_WENT_BACK = "the sender's clock was set back, or its recording began anew; what came last counts"


@dataclass(frozen=True, eq=False)
class VolumeArrived:
    volume: Volume
    receive_s: float


@dataclass(frozen=True, eq=False)
class TransformArrived:
    message: TransformMessage


@dataclass(frozen=True)
class ImageArrived:
    """A single slice came, such as the live 2D image of a scanner, 20 to 30 a second. It is not used."""

    device: str


@dataclass(frozen=True)
class DeviceForgotten:
    """A device was removed from those known, since too many others send and it has been silent longest.

    Attributes:
        kind: what it has sent: "transform", "volume" or "image".
    """

    device: str
    kind: str


@dataclass(frozen=True)
class LinkChanged:
    """The state of the link has changed, or the kind of its reason; not when only numbers in the reason do."""

    state: LinkState
    reason: str


@dataclass(frozen=True)
class Refused:
    """A message cannot be used, and why; `device` is empty where it could not even be read.

    Reported once for each device and kind of a link; `Incoming.problems` counts.
    """

    device: str
    reason: str
    kind: DropReason = DropReason.NOT_A_VOLUME


@dataclass(frozen=True)
class Noticed:
    """A message was used although something is odd; reported once for each device and kind of a link."""

    device: str
    reason: str
    kind: DropReason


Arrival = Union[VolumeArrived, TransformArrived, ImageArrived, DeviceForgotten, LinkChanged, Refused, Noticed]


class Incoming:
    """Reads the messages of one link; memory that a peer can make grow is bounded.

    Args:
        link: None brings nothing.
        current_volume: which one is shown; asked for each volume that comes.

    Attributes:
        transforms: the newest transform of each device, in the order of arrival.
        received: messages by type; none of those that the link has not understood, which are among the problems.
        problems: what was refused or suspicious, counted.
        volume_warning: what is to be known of the last volume that came, beside itself; mostly nothing.
    """

    def __init__(self, link: Link | None, current_volume: Callable[[], Volume | None]) -> None:
        self._link, self._current_volume = link, current_volume
        self.transforms: dict[str, TransformMessage] = {}
        self.received = NameCounts()
        self.problems, self.volume_warning = Problems(), ""
        self._receiving_since_s: float | None = None
        self._link_state: tuple[LinkState, str] | None = None
        self._lost = Unseen()
        self._epoch: int | None = None
        self._jumps = 0
        self._chronology = Chronology()
        self._volume_times_s: dict[str, float] = {}
        self._tools = KnownTools(MAX_TOOLS, _frames_in, PLACES)
        self._volumes = KnownDevices(MAX_VOLUME_DEVICES, self._is_current_device)
        self._images = KnownDevices(MAX_IMAGE_DEVICES)
        self._mixed_poses: dict[str, MixedPoses] = {}
        self._mixed_images: dict[tuple[str, str], MixedImages] = {}
        self._held: VolumeArrived | None = None

    @property
    def mixed_devices(self) -> list[str]:
        """Return the devices under whose names two streams come now."""
        poses = [device for device, mixed in self._mixed_poses.items() if mixed.is_mixed]
        return poses + [device for (device, _), mixed in self._mixed_images.items() if mixed.is_mixed]

    def poll(self, budget_s: float) -> Iterator[Arrival]:
        """Read what has arrived. Act on each event before the next is read: what is current depends on it."""
        if self._link is None:
            return
        started_s = self._receiving_since_s or time.monotonic()
        messages = self._link.poll(budget_s)
        yield from self._poll_state()
        yield from self._count_lost()
        for message in messages:
            yield from self._receive(message, time.monotonic() - started_s)
        under_way = self._link.receiving is not None
        self._receiving_since_s = (time.monotonic() if messages else started_s) if under_way else None

    def _poll_state(self) -> Iterator[Arrival]:
        if self._link is None:
            return
        epoch = getattr(self._link, "epoch", None)
        if epoch != self._epoch:
            self._epoch, self._chronology, self._held = epoch, Chronology(), None
        jumps = getattr(self._link, "jumps", 0)
        if jumps != self._jumps:  # somebody has moved a recording: what returns now is no second stream
            self._jumps, self._mixed_images, self._mixed_poses = jumps, {}, {}
        state = (self._link.state, reason_kind(self._link.state_reason))
        if state != self._link_state:
            self._link_state = state
            yield LinkChanged(self._link.state, self._link.state_reason)

    def _count_lost(self) -> Iterator[Arrival]:
        """Report what the link has lost, or found odd, since the last call."""
        for problem, more in self._lost.of(getattr(self._link, "problems", ())):
            tell = self._notice if problem.kind in USED_ALL_THE_SAME else self._refuse
            yield from tell(problem.device, problem.text, problem.kind, more, problem.about)

    def refuse_volume(self, volume: Volume, reason: str) -> Iterator[Arrival]:
        """Report that the caller refuses a volume; the one before stays the newest."""
        yield from self._refuse(volume.device, reason, DropReason.TOO_LARGE)

    def _refuse(
        self, device: str, reason: str, kind: DropReason, count: int = 1, about: str = ""
    ) -> Iterator[Arrival]:  # fmt: skip
        problem = self.problems.note(kind, device, reason, count, about)
        if problem:
            yield Refused(problem.device, problem.text, kind)

    def _notice(
        self, device: str, reason: str, kind: DropReason, count: int = 1, about: str = ""
    ) -> Iterator[Arrival]:  # fmt: skip
        problem = self.problems.note(kind, device, reason, count, about)
        if problem:
            yield Noticed(problem.device, problem.text, kind)

    def _receive(self, message: Message, receive_s: float) -> Iterator[Arrival]:
        self.received[KINDS.get(type(message), type(message).__name__)] += 1
        if isinstance(message, TransformMessage):
            yield from self._receive_transform(message)
        elif isinstance(message, ImageMessage) and message.is_volume:
            yield from self._receive_volume(message, receive_s)
        elif isinstance(message, ImageMessage):
            yield from self._receive_image(message)
        elif isinstance(message, StatusMessage) and message.code != STATUS_OK_CODE:
            yield from self._receive_error(message)

    def _receive_error(self, message: StatusMessage) -> Iterator[Arrival]:
        """Report an error that the sender has sent as STATUS; no message was lost by it."""
        said = " ".join(part for part in (message.error_name, message.text) if part)
        code = f"STATUS {message.code}.{message.subcode}"
        text = f"the sender reports {code}{': ' + said if said else ''}"
        yield from self._notice(message.device, text, DropReason.SENDER_ERROR, about=f"{code} {message.error_name}")

    def _receive_image(self, message: ImageMessage) -> Iterator[Arrival]:
        """Report a 2D image; its pixels are not decoded."""
        yield from self._make_room(self._images, message.device, IMAGE)
        if self._is_mixed(message, IMAGE):
            yield from self._refuse_mixed(message, IMAGE)
        yield ImageArrived(message.device)

    def _receive_volume(self, message: ImageMessage, receive_s: float) -> Iterator[Arrival]:
        try:
            volume = volume_of(message)
        except CrlmError as error:
            yield from self._refuse(message.device, str(error), DropReason.NOT_A_VOLUME)
            return
        yield from self._make_room(self._volumes, volume.device, VOLUME)
        if self._is_mixed(message, VOLUME):
            yield from self._refuse_mixed(message, VOLUME)
        elif self._epoch is None:
            yield self._delivered(VolumeArrived(volume, receive_s))
        else:
            yield from self._deliver_if_newest(VolumeArrived(volume, receive_s))

    def _make_room(self, known: KnownDevices, device: str, kind: str) -> Iterator[Arrival]:
        """Register a device that sends now; of too many, the one that has been silent longest is removed."""
        gone = known.note(device)
        if gone is None:
            return
        self._mixed_images.pop((gone, kind), None)
        if kind == TRANSFORM:
            del self.transforms[gone]
            self._mixed_poses.pop(gone, None)
        elif kind == VOLUME:
            self._volume_times_s.pop(gone, None)
        text = f"more than {known.most} devices send {kind}s; those that have been silent longest are forgotten"
        yield from self._notice("", text, DropReason.TOO_MANY_DEVICES, about=kind)
        yield DeviceForgotten(gone, kind)

    def _is_mixed(self, message: ImageMessage, kind: str) -> bool:
        """Whether two streams of images come under one name; an earlier image restarts that, as of a replay."""
        mixed = self._mixed_images.setdefault((message.device, kind), MixedImages())
        if self._chronology.clock_s(time.monotonic()) is None and mixed.repeats(message):
            mixed = self._mixed_images[message.device, kind] = MixedImages()
        return mixed.take(message)

    def _refuse_mixed(self, message: ImageMessage, kind: str) -> Iterator[Arrival]:
        shapes = " and ".join(self._mixed_images[message.device, kind].shapes)
        text = f"two streams of {kind}s come in turns under this name ({shapes}), and none is taken"
        text = f"{text}; give each a name of its own at the sender"
        if kind == VOLUME:
            self.volume_warning = f"'{message.device}': {text}"
        yield from self._refuse(message.device, text, DropReason.AMBIGUOUS, about=kind)

    def _receive_transform(self, message: TransformMessage) -> Iterator[Arrival]:
        """Store a pose; poses count in the order in which they come, see `igtl.chronology`."""
        is_new = message.device not in self._tools
        yield from self._make_room(self._tools, message.device, TRANSFORM)
        if is_new and not self._tools.names_two_frames(message.device):
            yield from self._notice(message.device, NO_FRAMES, DropReason.NO_FRAMES)
        mixed = self._mixed_poses.setdefault(message.device, MixedPoses())
        if mixed.take(message, time.monotonic()):
            text = MIXED_POSES.format(apart=mixed.apart)
            yield from self._refuse(message.device, text, DropReason.AMBIGUOUS)
            message = ambiguous(message)
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
            if not mixed.is_mixed:  # two streams of poses, each by its own clock, tell of no clock
                self._mixed_images = {}
            yield from self._notice("", CLOCK_WENT_BACK, DropReason.CLOCK_BACK)
            yield from self._release_held(message)

    def _deliver_if_newest(self, arrived: VolumeArrived) -> Iterator[Arrival]:
        """Deliver a volume if it is the newest of its device.

        Of a device, the volume that came last is the current one, as the sender means it. One that claims to be
        older than its forerunner is a different matter: shown as current, it would show the surgeon a liver as it
        was. Is it late, or was the sender's clock set back, so that it is in truth the newest?

        - The poses that the same sender sends meanwhile tell what its clock shows. They have gone on: the volume
          is late, is not shown, and that is reported. It is kept, in case the clock goes back with the next pose.
        - They have gone back too: the clock was set back, or a replay began anew. The volume is taken.
        - No poses, as with a scanner alone or on a new connection: it cannot be decided. The volume is taken, since
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
        """Set `volume_warning`, whether or not the same was reported before."""
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

    def _is_current_device(self, device: str) -> bool:
        current = self._current_volume()
        return current is not None and current.device == device

    def _is_current(self, volume: Volume) -> bool:
        """Whether a volume equals the current one; voxels are compared last."""
        current = self._current_volume()
        return (
            current is not None
            and (current.device, current.timestamp_s) == (volume.device, volume.timestamp_s)
            and np.array_equal(current.ijk_to_ras, volume.ijk_to_ras)
            and current.array.dtype == volume.array.dtype
            and np.array_equal(current.array, volume.array)
            and _are_same(current.missing, volume.missing)
        )


def _are_same(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is other if one is None or other is None else np.array_equal(one, other)


def _frames_in(name: str) -> tuple[str, str] | None:
    try:
        return frames_of(name)
    except SweepError:
        return None
