"""Converts a tracked sweep into the messages that PLUS sends: 2D images and transforms."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..core.errors import CaseError, GeometryError, SweepError
from ..igtl.messages import STATUS_OK, TRANSFORM_STATUS_KEY, ImageMessage, TransformMessage, check_transform
from ..tracking.sweeps.calibration import ProbeCalibration
from ..tracking.sweeps.image_region import ImageRegion
from ..tracking.sweeps.reconstruction import FramePoses, Grid, grid_of, place_frames, region_of
from ..tracking.sweeps.sequence import TrackedSequence, time_faults
from .timed_message import TimedMessage

logger = logging.getLogger(__name__)

IMAGE = "Image"
FRAMES = ("Reference", "Tracker", "Probe")
"""Where an image is placed: in the first of these to which a way is known."""
IMAGE_STATUS_KEY = "ImageStatus"
ASSUMED_PERIOD_S = 0.1
"""Between two frames where their times do not tell when they were taken."""


@dataclass(frozen=True, eq=False)
class RecordedSweep:
    """A recorded sweep and its calibration; without one its pixels may have no known position."""

    sequence: TrackedSequence
    calibration: ProbeCalibration | None = None


def region_of_sweep(sweep: RecordedSweep) -> ImageRegion:
    """Return the region of the frames that shows tissue.

    Raises:
        SweepError: none, by its calibration.
    """
    return region_of(sweep.sequence, sweep.calibration, _place(sweep)[1])


def frame_of_sweep(sweep: RecordedSweep) -> str:
    """Return the frame in which images are sent: the first of `FRAMES` to which transforms lead, else pixels."""
    return _place(sweep)[0]


def notes_on(sweep: RecordedSweep) -> list[str]:
    """Return what was assumed for playing it, as sentences for a user."""
    frame, poses, refusal = _place(sweep)
    notes = list(poses.notes)
    if refusal:
        where = "in pixels, without a place" if frame == IMAGE else f"in the frame {frame}"
        notes.append(f"images are sent {where}, as {IMAGE}_{frame}: {refusal}")
    faults = time_faults(sweep.sequence.timestamps_s)
    if faults:
        notes.append(f"{faults}; frames are played {ASSUMED_PERIOD_S:g} s apart")
    return [*notes, f"{poses}"] if poses.rejections else notes


def grid_of_sweep(sweep: RecordedSweep, spacing_mm: np.ndarray | None = None) -> Grid:
    """Return the grid around all frames, in the frame in which they are sent.

    Args:
        spacing_mm: along x, y, z; None takes the calibration's, else 1 mm.

    Raises:
        SweepError: the volume would be too large.
    """
    wanted_mm: float | tuple[float, float, float] = 1.0
    if spacing_mm is not None:
        wanted_mm = (spacing_mm[0], spacing_mm[1], spacing_mm[2])
    elif sweep.calibration and sweep.calibration.output_spacing_mm:
        wanted_mm = sweep.calibration.output_spacing_mm
    return grid_of(_place(sweep)[1], region_of_sweep(sweep), wanted_mm)


def messages_of_sweep(sweep: RecordedSweep) -> tuple[TimedMessage, ...]:
    """Return frames and transforms with their recorded times, the transforms of a frame before its image.

    An image whose status, or whose place, is not OK is left out: nobody could tell from the picture.

    Raises:
        CaseError: a transform that is OK cannot be sent.
    """
    sequence = sweep.sequence
    frame, poses, _ = _place(sweep)
    if poses.rejections:
        logger.warning("%s: %s", sequence.name, poses)
    device = f"{IMAGE}_{frame}"
    timed = []
    for number, offset_s in enumerate(_offsets_s(sequence)):
        timed += [TimedMessage.at_hand(offset_s, message) for message in _transforms(sequence, number)]
        if poses.accepted[number]:
            load = partial(_image, sequence, number, device, poses.matrices[number])
            time_s = float(sequence.timestamps_s[number])
            timed.append(TimedMessage(offset_s, device, ImageMessage, False, load, time_s))
    return tuple(sorted(timed, key=lambda t: t.offset_s))


def _offsets_s(sequence: TrackedSequence) -> list[float]:
    """Return when each frame is sent, in the order of the file; evenly where its times are not usable."""
    if time_faults(sequence.timestamps_s):
        return [ASSUMED_PERIOD_S * number for number in range(len(sequence))]
    return [float(time_s - sequence.timestamps_s[0]) for time_s in sequence.timestamps_s]


def _place(sweep: RecordedSweep) -> tuple[str, FramePoses, str]:
    """Return the poses of the images in the best known frame, and why it is not the first of `FRAMES`."""
    refusal = ""
    for frame in FRAMES:
        try:
            return frame, place_frames(sweep.sequence, sweep.calibration, frame), refusal
        except SweepError as error:
            refusal = refusal or str(error)
    accepted = np.array([status == STATUS_OK for status in sweep.sequence.image_statuses])
    poses = FramePoses(np.tile(np.eye(4), (len(accepted), 1, 1)), accepted, {}, IMAGE, notes=sweep.sequence.notes)
    return IMAGE, poses, refusal


def _transforms(sequence: TrackedSequence, number: int) -> Iterator[TransformMessage]:
    for name, track in sequence.transforms.items():
        matrix, status = track.matrices[number], track.statuses[number]
        try:
            matrix = check_transform(matrix) if status == STATUS_OK else matrix
        except GeometryError as error:
            raise CaseError(f"{name} of frame {number} is {STATUS_OK}, but cannot be: {error}; record again") from error
        yield TransformMessage(name, float(sequence.timestamps_s[number]), matrix, {TRANSFORM_STATUS_KEY: status})


def _image(sequence: TrackedSequence, number: int, device: str, pose: np.ndarray) -> ImageMessage:
    metadata = {IMAGE_STATUS_KEY: sequence.image_statuses[number]}
    for name, track in sequence.transforms.items():
        metadata[f"{name}{TRANSFORM_STATUS_KEY}"] = track.statuses[number]
        metadata[f"{name}Transform"] = " ".join(f"{x:g}" for x in track.matrices[number].ravel())
    array = np.ascontiguousarray(sequence.frames[number])[None]
    return ImageMessage(device, float(sequence.timestamps_s[number]), array, pose, metadata)
