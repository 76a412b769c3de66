"""Reconstruction of a volume in the Reference frame from a tracked sweep."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from ...core.errors import SweepError
from ...core.geometry import transform_points
from ...core.volume import Volume
from .calibration import ProbeCalibration
from .colours import grey
from .hole_filling import DEFAULT_SIZE
from .image_region import ImageRegion, image_region
from .placement import FramePoses, place_frames
from .sequence import TrackedSequence, last_known_s
from .volume_builder import DEVICE, Compounding, Grid, Interpolation, VolumeBuilder, check_spacing

__all__ = ["Compounding", "FramePoses", "Grid", "Interpolation", "VolumeBuilder", "grey", "grid_of", "place_frames"]
__all__ += ["reconstruct_sweep", "region_of"]

logger = logging.getLogger(__name__)

MAX_DISTANCE_MM = 1e6


def grid_of(poses: FramePoses, region: ImageRegion, spacing_mm: float | tuple[float, float, float] = 1.0) -> Grid:
    """Return the grid along Reference's axes that holds all accepted frames.

    Its voxels lie at multiples of the spacing, so that grids of several sweeps fit onto each other, as in PLUS.

    Raises:
        SweepError: it would be too large, and then says which spacing would fit; or a pose is beyond reason.
    """
    spacing = check_spacing(spacing_mm)
    xs, ys = ((part.start, part.stop - 1) for part in (region.columns, region.rows))
    corners = np.array([[x, y, 0.0] for x in xs for y in ys])
    reached = np.concatenate([transform_points(matrix, corners) for matrix in poses.matrices[poses.accepted]])
    farthest_mm = np.abs(reached).max()
    if not farthest_mm <= MAX_DISTANCE_MM:
        raise SweepError(
            f"frames lie up to {farthest_mm:.3g} mm from Reference, which no tracker sees; check the poses"
        )
    return Grid.around(np.floor(reached.min(0) / spacing) * spacing, reached.max(0), spacing_mm)


def reconstruct_sweep(
    sequence: TrackedSequence,
    calibration: ProbeCalibration | None = None,
    spacing_mm: float | tuple[float, float, float] = 1.0,
    compounding: Compounding = Compounding.MEAN,
    fill_holes: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    interpolation: Interpolation = Interpolation.NEAREST,
    grid: Grid | None = None,
    poses: FramePoses | None = None,
    hole_size: int = DEFAULT_SIZE,
    device: str = DEVICE,
) -> Volume:
    """Reconstruct the volume of a sweep.

    Args:
        calibration: None when the sequence holds ImageToProbe or ImageToReference itself.
        spacing_mm: of the voxels; SlicerIGSIO's default. Not used where a grid is given.
        fill_holes: close gaps between frames, see `hole_filling`.
        on_progress: called with the number of frames that are in, and of all that will be.
        grid: the voxels to fill; by default those around all frames.
        poses: of `place_frames`, for who wants to tell what was left out; by default it is called here.

    Returns:
        Voxels of the frames' type (grey), `insonified` where pixels fell, timestamp of the last accepted frame.

    Raises:
        SweepError: no frame can be used, no transform to Reference, a volume too large.
    """
    poses = place_frames(sequence, calibration) if poses is None else poses
    if poses.rejections:
        logger.warning("%s: %s", sequence.name, poses)
    region = region_of(sequence, calibration, poses)
    grid = grid_of(poses, region, spacing_mm) if grid is None else grid
    builder = VolumeBuilder(grid, compounding, interpolation, sequence.frames.dtype)
    numbers = np.flatnonzero(poses.accepted)
    for done, number in enumerate(numbers, 1):
        builder.insert(grey(sequence.frames[number]), poses.matrices[number], region)
        on_progress(done, len(numbers))
    return builder.volume(device, last_known_s(sequence.timestamps_s[numbers]), fill_holes, hole_size)


def region_of(sequence: TrackedSequence, calibration: ProbeCalibration | None, poses: FramePoses) -> ImageRegion:
    """Return the pixels of the frames that are used.

    Raises:
        SweepError: none, by the calibration.
    """
    rows, columns = sequence.frames.shape[1:3]
    if calibration is None:
        return image_region(rows, columns)
    return calibration.region(rows, columns, poses.pixels.to_calibrated)
