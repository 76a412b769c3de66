"""From a tracked sweep to a volume in the Reference frame."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..core.errors import SweepError
from ..core.geometry import transform_points
from ..core.volume import Volume
from .calibration import Calibration, ImageRegion, image_region
from .hole_filling import DEFAULT_SIZE
from .sequence import TrackedSequence
from .transforms import STATUS_OK, find_chain, follow, touches
from .volume_builder import DEVICE, Compounding, Grid, Interpolation, VolumeBuilder, check_spacing

__all__ = ["Compounding", "FramePoses", "Grid", "Interpolation", "VolumeBuilder", "grey", "grid_of", "place_frames"]
__all__ += ["reconstruct_sweep"]

logger = logging.getLogger(__name__)

IMAGE_FRAME = "Image"
MAX_DISTANCE_MM = 1e6
LUMA_256 = (77, 150, 29)
"""ITU-R BT.601's share of red, green and blue in brightness, in parts of 256."""


@dataclass(frozen=True, eq=False)
class FramePoses:
    """Where the frames of a sweep lie.

    Attributes:
        matrices: shape (N, 4, 4), pixels (column, row, 0) to mm of Reference; the identity where rejected.
        accepted: bool, shape (N,).
        rejections: how many frames were left out for each reason, such as "ProbeToTracker INVALID".
    """

    matrices: np.ndarray
    accepted: np.ndarray
    rejections: dict[str, int]

    def __str__(self) -> str:
        why = ", ".join(f"{count} for {reason}" for reason, count in self.rejections.items())
        used = f"{np.count_nonzero(self.accepted)} of {len(self.accepted)} frames used"
        return f"{used}; left out: {why}" if why else used


def place_frames(
    sequence: TrackedSequence, calibration: Calibration | None = None, reference: str = "Reference"
) -> FramePoses:
    """Find the pose of each frame, and reject those that have none to be relied on.

    A frame is rejected when its image or a transform on the way from Image to Reference is not OK; what the
    other tools do does not matter. A calibration that is given stands above what the sequence says of Image.

    Raises:
        SweepError: no way leads from Image to Reference, or no frame is left.
    """
    fixed = {} if calibration is None else {name: (m, STATUS_OK) for name, m in calibration.transforms.items()}
    tracks = {n: t for n, t in sequence.transforms.items() if not (fixed and touches(n, IMAGE_FRAME))}
    chain = find_chain({**fixed, **tracks}, f"{IMAGE_FRAME}To{reference}")
    matrices, accepted, reasons = np.tile(np.eye(4), (len(sequence), 1, 1)), np.zeros(len(sequence), bool), Counter()
    for number, image_status in enumerate(sequence.image_statuses):
        poses = {**fixed, **{name: (t.matrices[number], t.statuses[number]) for name, t in tracks.items()}}
        bad = [f"{name} {poses[name][1]}" for name, _ in chain if poses[name][1] != STATUS_OK]
        bad += [] if image_status == STATUS_OK else [f"image {image_status}"]
        reasons.update(bad[:1])
        if not bad:
            matrices[number], accepted[number] = follow(chain, poses)[0], True
    found = FramePoses(matrices, accepted, dict(reasons))
    if not accepted.any():
        raise SweepError(f"no frame of {sequence.name} can be used: {found}; track the probe while sweeping")
    return found


def grid_of(poses: FramePoses, region: ImageRegion, spacing_mm: float | tuple[float, float, float] = 1.0) -> Grid:
    """The grid along Reference's axes that holds all accepted frames.

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
    return Grid.around(np.floor(reached.min(0) / spacing) * spacing, reached.max(0), spacing)


def reconstruct_sweep(
    sequence: TrackedSequence,
    calibration: Calibration | None = None,
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
    """Make the volume that a sweep has seen.

    Args:
        calibration: None when the sequence holds ImageToProbe or ImageToReference itself.
        spacing_mm: of the voxels; SlicerIGSIO's default. Not used where a grid is given.
        fill_holes: close gaps between frames, see `hole_filling`.
        on_progress: called with the number of frames that are in, and of all that will be.
        grid: the voxels to fill; by default those around all frames.
        poses: of `place_frames`, for who wants to tell what was left out; by default it is called here.

    Returns:
        Voxels of the frames' type (grey), `swept` where pixels fell, timestamp of the last accepted frame.

    Raises:
        SweepError: no frame can be used, no way to Reference, a volume too large.
    """
    poses = place_frames(sequence, calibration) if poses is None else poses
    if poses.rejections:
        logger.warning("%s: %s", sequence.name, poses)
    rows, columns = sequence.frames.shape[1:3]
    region = image_region(rows, columns) if calibration is None else calibration.region(rows, columns)
    grid = grid_of(poses, region, spacing_mm) if grid is None else grid
    builder = VolumeBuilder(grid, compounding, interpolation, sequence.frames.dtype)
    numbers = np.flatnonzero(poses.accepted)
    for done, number in enumerate(numbers, 1):
        builder.insert(grey(sequence.frames[number]), poses.matrices[number], region)
        on_progress(done, len(numbers))
    return builder.volume(device, float(sequence.timestamps_s[numbers[-1]]), fill_holes, hole_size)


def grey(frame: np.ndarray) -> np.ndarray:
    """One number for each pixel, of the frame's own type: brightness (ITU-R BT.601) of red, green and blue.

    Args:
        frame: shape (rows, columns), or (rows, columns, C) with C 1, 3 or 4 (the fourth, opacity, is left out).

    Raises:
        SweepError: another number of components.
    """
    if frame.ndim == 2:
        return frame
    if frame.shape[-1] == 1:
        return frame[..., 0]
    if frame.shape[-1] not in (3, 4):
        raise SweepError(f"frames have {frame.shape[-1]} components; expected grey, RGB or RGBA")
    is_whole = frame.dtype.kind in "ui"
    mixed = frame[..., :3].astype(np.int64 if is_whole else np.float64) @ np.array(LUMA_256)
    return ((mixed + 128) // 256 if is_whole else mixed / 256).astype(frame.dtype)
