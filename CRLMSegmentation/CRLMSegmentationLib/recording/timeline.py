"""Loads a recording as a timeline of messages.

Messages keep the time at which they were recorded, so that each replay gives the same volume identity and the
same results. Their age must be judged by when they arrive.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Union

from ..core.errors import CaseError, CrlmError, GeometryError
from ..core.json_files import Damage
from ..core.volume import Volume, read_volume
from ..core.volume_reading import check_is_no_segmentation
from ..igtl.messages import STATUS_OK, TRANSFORM_STATUS_KEY, ImageMessage, TransformMessage, check_transform, image_of
from ..tracking.sweeps.calibration import ProbeCalibration
from ..tracking.sweeps.sequence_io import is_sequence, read_sequence
from ..tracking.sweeps.volume_builder import DEVICE
from .case import CASE_FILE, Case, load_case
from .sweep_messages import RecordedSweep, messages_of_sweep
from .timed_message import TimedMessage

AT_HAND_BYTES = 256 << 20
"""Of the volumes of a case that are read at once."""
DEFAULT_DEVICE = DEVICE
"""The name of a volume that comes from a file."""

Source = Union[Case, RecordedSweep, Volume]


def load_source(path: Path | str, calibration: ProbeCalibration | None = None) -> Source:
    """Load a case folder (or the `case.json` in it), a tracked sweep of PLUS, or a single volume file.

    The messages of a recording are checked one by one when they are due, so that it begins at once.

    Args:
        calibration: of the probe of a sweep; others do not need it.

    Raises:
        CaseError, SweepError, VolumeError, GeometryError: none of them, or damaged.
    """
    path = Path(path)
    path = path.parent if path.name == CASE_FILE else path
    if path.is_dir():
        return load_case(path, verify_recording=False)
    if path.is_file() and is_sequence(path):
        return RecordedSweep(read_sequence(path), calibration)
    check_is_no_segmentation(path)
    return replace(read_volume(path), device=DEFAULT_DEVICE)


def timeline(source: Source, damage: Damage | None = None) -> tuple[TimedMessage, ...]:
    """Return all messages of a recording in the order of their times; volumes before transforms of the same time.

    A volume whose time is unknown (0) belongs to the start. A case with a recording plays what that holds, in the
    order and at the pace in which it came.

    Args:
        damage: takes note of the lines of `lines_file_of` the source that are left out: they hold no transform, or one
            that cannot be sent; or no arrival, so that the message's own time stands in.

    Raises:
        CaseError: a file cannot be read.
    """
    if isinstance(source, Volume):
        return (TimedMessage.at_hand(0.0, image_of(source)),)
    if isinstance(source, RecordedSweep):
        return messages_of_sweep(source)
    if source.recording:
        return _read_recording(source, damage)
    poses = _transforms_of(source, Damage() if damage is None else damage)
    messages = [*_volumes_of(source), *(TimedMessage.at_hand(m.timestamp_s, m) for m in poses)]
    start_s = min((m.offset_s for m in messages if m.offset_s > 0), default=0.0)
    timed = [replace(m, offset_s=max(0.0, m.offset_s - start_s)) for m in messages]
    return tuple(sorted(timed, key=lambda t: t.offset_s))


def _volumes_of(case: Case) -> list[TimedMessage]:
    """Return the volumes of a case with their times; beyond `AT_HAND_BYTES` they are read when they are due."""
    timed: list[TimedMessage] = []
    for index, entry in enumerate(case.volumes):
        if sum(known.memory_bytes for known in timed) < AT_HAND_BYTES:
            timed.append(TimedMessage.at_hand(entry.timestamp_s, image_of(case.volume(index))))
        else:
            load = partial(_load_volume, case, index)
            timed.append(TimedMessage(entry.timestamp_s, entry.device, ImageMessage, True, load, entry.timestamp_s))
    return timed


def _load_volume(case: Case, index: int) -> ImageMessage:
    try:
        return image_of(case.volume(index))
    except CrlmError as error:
        raise CaseError(str(error)) from error


def from_first_volume(messages: Iterable[TimedMessage]) -> tuple[TimedMessage, ...]:
    """Leave out what was recorded before the first volume: the sweep from which it was made."""
    messages = tuple(messages)
    first_s = next((m.offset_s for m in messages if m.is_volume), 0.0)
    return tuple(replace(m, offset_s=m.offset_s - first_s) for m in messages if m.offset_s >= first_s)


def _transforms_of(case: Case, damage: Damage) -> Iterator[TransformMessage]:
    """Return the transforms of a case; what OpenIGTLink cannot carry is refused before the replay begins."""
    for sample in case.tracking_samples(damage):
        try:
            matrix = check_transform(sample.matrix) if sample.status == STATUS_OK else sample.matrix
        except GeometryError as error:
            where = f"the transform {sample.device!r} at {sample.timestamp_s} s"
            damage.add_problem(f"{where} is {STATUS_OK}, but cannot be: {error}")
            continue
        yield TransformMessage(sample.device, sample.timestamp_s, matrix, {TRANSFORM_STATUS_KEY: sample.status})


def lines_file_of(source: Source) -> str:
    """Return the file whose damaged lines `timeline` leaves out; empty where there is none."""
    if not isinstance(source, Case):
        return ""
    return (source.arrivals if source.recording else source.tracking) or ""


def _read_recording(case: Case, damage: Damage | None) -> tuple[TimedMessage, ...]:
    """Read the messages of a recording; imports pyigtl, which Slicer may lack."""
    try:
        from .recorded_messages import messages_of_recording
    except ImportError as error:
        raise CaseError(f"the recording {case.case_id} cannot be read: {error}; install what is missing") from error
    return messages_of_recording(case, damage)
