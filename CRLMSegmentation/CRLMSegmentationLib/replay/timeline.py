"""A recording as messages in the order of their times.

Messages keep the time at which they were recorded, so that each replay gives the same volume identity and the
same results. Their age must be judged by when they arrive.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Union

from ..core.case import CASE_FILE, Case, TrackingSample, load_case
from ..core.errors import CaseError, GeometryError
from ..core.volume import Volume, read_volume
from ..igtl.messages import (
    STATUS_OK,
    TRANSFORM_STATUS_KEY,
    ImageMessage,
    Message,
    TransformMessage,
    check_transform,
    image_of,
)

DEFAULT_DEVICE = "recvol_Reference"
"""What PLUS calls a reconstructed volume; the name of a volume that comes from a file."""

Source = Union[Case, Volume]


@dataclass(frozen=True, eq=False)
class TimedMessage:
    """A message of a recording, which need not be in memory yet.

    Attributes:
        offset_s: seconds after the start of the recording at which it goes out.
        device: of the message.
        kind: type of the message.
        is_volume: it is an image of more than one slice.
        load: reads the message; raises CaseError where it is damaged.
    """

    offset_s: float
    device: str
    kind: type[Message]
    is_volume: bool
    load: Callable[[], Message]

    @classmethod
    def at_hand(cls, offset_s: float, message: Message) -> TimedMessage:
        """A message that is in memory."""
        is_volume = isinstance(message, ImageMessage) and message.is_volume
        return cls(offset_s, message.device, type(message), is_volume, lambda: message)


def load_source(path: Path | str) -> Source:
    """A case folder (or the `case.json` in it) or a single volume file.

    Raises:
        CaseError, VolumeError, GeometryError: neither of them, or damaged.
    """
    path = Path(path)
    path = path.parent if path.name == CASE_FILE else path
    return load_case(path) if path.is_dir() else replace(read_volume(path), device=DEFAULT_DEVICE)


def timeline(source: Source) -> tuple[TimedMessage, ...]:
    """All messages of a recording in the order of their times; volumes before transforms of the same time.

    A volume whose time is unknown (0) belongs to the start.

    Raises:
        CaseError: a time is no number, or a transform cannot be sent.
    """
    if isinstance(source, Volume):
        return (TimedMessage.at_hand(0.0, image_of(source)),)
    volumes = [image_of(source.volume(index)) for index in range(len(source.volumes))]
    messages: list[Message] = [*volumes, *(_transform_of(sample) for sample in source.tracking_samples())]
    if any(not math.isfinite(m.timestamp_s) or m.timestamp_s < 0 for m in messages):
        raise CaseError(f"{source.case_id} holds times that are no numbers; restore the case from its source")
    known = [m.timestamp_s for m in messages if m.timestamp_s > 0]
    start_s = min(known, default=0.0)
    timed = [TimedMessage.at_hand(max(0.0, m.timestamp_s - start_s), m) for m in messages]
    return tuple(sorted(timed, key=lambda t: t.offset_s))


def from_first_volume(messages: Iterable[TimedMessage]) -> tuple[TimedMessage, ...]:
    """Leave out what was recorded before the first volume: the sweep from which it was made."""
    messages = tuple(messages)
    first_s = next((m.offset_s for m in messages if m.is_volume), 0.0)
    return tuple(replace(m, offset_s=m.offset_s - first_s) for m in messages if m.offset_s >= first_s)


def _transform_of(sample: TrackingSample) -> TransformMessage:
    """Checked now: what OpenIGTLink cannot carry would end the replay in mid-play."""
    where = f"the transform {sample.device!r} at {sample.timestamp_s} s"
    if not sample.device.isascii() or not sample.status.isascii():
        raise CaseError(f"{where} has a name or status that is not ASCII; rename it")
    try:
        matrix = check_transform(sample.matrix) if sample.status == STATUS_OK else sample.matrix
    except GeometryError as error:
        raise CaseError(f"{where} is {STATUS_OK}, but cannot be: {error}; restore the case from its source") from error
    metadata = {TRANSFORM_STATUS_KEY: sample.status}
    return TransformMessage(sample.device, sample.timestamp_s, matrix, metadata)
