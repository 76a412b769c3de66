"""A tracked sweep as the messages that PLUS sends while it is recorded: frames as 2D images, and all transforms."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..core.errors import CaseError, GeometryError, SweepError
from ..igtl.messages import STATUS_OK, TRANSFORM_STATUS_KEY, ImageMessage, TransformMessage, check_transform
from ..sweeps.calibration import Calibration, ImageRegion, image_region
from ..sweeps.reconstruction import FramePoses, Grid, grid_of, place_frames
from ..sweeps.sequence import TrackedSequence
from .timed_message import TimedMessage

logger = logging.getLogger(__name__)

IMAGE = "Image"
FRAMES = ("Reference", "Tracker", "Probe")
"""Where an image is placed: in the first of these to which a way is known."""
IMAGE_STATUS_KEY = "ImageStatus"


@dataclass(frozen=True, eq=False)
class Sweep:
    """A recorded sweep, and where its pixels lie; without a calibration they may have no known place."""

    sequence: TrackedSequence
    calibration: Calibration | None = None


def region_of_sweep(sweep: Sweep) -> ImageRegion:
    """Which pixels of its frames are tissue.

    Raises:
        SweepError: none, by its calibration.
    """
    rows, columns = sweep.sequence.frames.shape[1:3]
    return sweep.calibration.region(rows, columns) if sweep.calibration else image_region(rows, columns)


def grid_of_sweep(sweep: Sweep, spacing_mm: np.ndarray | None = None) -> Grid:
    """The voxels around all its frames in the frame in which they are sent.

    Args:
        spacing_mm: along x, y, z; None takes the calibration's, else 1 mm.

    Raises:
        SweepError: the volume would be too large.
    """
    if spacing_mm is None:
        spacing_mm = (sweep.calibration.output_spacing_mm if sweep.calibration else None) or 1.0
    return grid_of(_place(sweep)[1], region_of_sweep(sweep), spacing_mm)


def messages_of_sweep(sweep: Sweep) -> tuple[TimedMessage, ...]:
    """Frames and transforms at their recorded times, the transforms of a frame before its image.

    An image whose status, or whose place, is not OK is left out: nobody could tell from the picture.

    Raises:
        CaseError: a transform that is OK cannot be sent.
    """
    sequence = sweep.sequence
    frame, poses = _place(sweep)
    if poses.rejections:
        logger.warning("%s: %s", sequence.name, poses)
    start_s, device = float(sequence.timestamps_s.min()), f"{IMAGE}_{frame}"
    timed = []
    for number, time_s in enumerate(sequence.timestamps_s):
        offset_s = float(time_s) - start_s
        timed += [TimedMessage.at_hand(offset_s, message) for message in _transforms(sequence, number)]
        if poses.accepted[number]:
            load = partial(_image, sequence, number, device, poses.matrices[number])
            timed.append(TimedMessage(offset_s, device, ImageMessage, False, load))
    return tuple(sorted(timed, key=lambda t: t.offset_s))


def _place(sweep: Sweep) -> tuple[str, FramePoses]:
    """Where the images lie in the best frame that is known; in pixels where none is."""
    for frame in FRAMES:
        try:
            return frame, place_frames(sweep.sequence, sweep.calibration, frame)
        except SweepError as error:
            logger.info("%s", error)
    accepted = np.array([status == STATUS_OK for status in sweep.sequence.image_statuses])
    return IMAGE, FramePoses(np.tile(np.eye(4), (len(accepted), 1, 1)), accepted, {})


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
