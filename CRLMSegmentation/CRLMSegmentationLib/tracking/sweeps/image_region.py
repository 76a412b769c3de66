"""The pixels of a 2D image that show tissue: a rectangle and a sector, in pixels of the MF orientation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...core.errors import SweepError


@dataclass(frozen=True)
class ClipRectangle:
    """The rectangle of the image that is used, in pixels (x, y) of MF; the size counts pixels."""

    origin_px: tuple[int, int]
    size_px: tuple[int, int]


@dataclass(frozen=True)
class Fan:
    """The sector of a curved probe, in pixels of MF.

    Attributes:
        origin_px: the centre of the arcs (x, y), often above the picture.
        angles_deg: of its left and right edge against straight down (rows growing), positive to the right.
        radius_px: of the inner and the outer arc.
    """

    origin_px: tuple[float, float]
    angles_deg: tuple[float, float]
    radius_px: tuple[float, float] = (0.0, float("inf"))


@dataclass(frozen=True, eq=False)
class ImageRegion:
    """The pixels of a frame that are used: a rectangle, and within it a mask (rows, columns) or all."""

    rows: slice
    columns: slice
    mask: np.ndarray | None = None


def image_region(
    rows: int,
    columns: int,
    clip: ClipRectangle | None = None,
    fan: Fan | None = None,
    to_calibrated: np.ndarray | None = None,
) -> ImageRegion:
    """Return the pixels within a rectangle and a sector; both, either or none may be given.

    Args:
        to_calibrated: 4x4, pixels of the frames to the pixels in which rectangle and sector count; None where both are
            the same.

    Raises:
        SweepError: none is left.
    """
    if to_calibrated is not None and not np.allclose(to_calibrated, np.eye(4)):
        return _region_of_edited(rows, columns, clip, fan, to_calibrated)
    (x, y), (width, height) = (clip.origin_px, clip.size_px) if clip else ((0, 0), (columns, rows))
    used_rows, used_columns = slice(max(0, y), min(rows, y + height)), slice(max(0, x), min(columns, x + width))
    if used_rows.start >= used_rows.stop or used_columns.start >= used_columns.stop:
        raise SweepError(f"the clip rectangle {clip} leaves nothing of frames of {columns} x {rows} pixels")
    across, down = np.arange(used_columns.start, used_columns.stop), np.arange(used_rows.start, used_rows.stop)
    mask = None if fan is None else _inside_fan(fan, across[None, :], down[:, None])
    if mask is not None and not mask.any():
        raise SweepError(f"the {fan} leaves nothing of frames of {columns} x {rows} pixels; correct FanOriginPixel")
    return ImageRegion(used_rows, used_columns, mask)


def _region_of_edited(
    rows: int, columns: int, clip: ClipRectangle | None, fan: Fan | None, to_calibrated: np.ndarray
) -> ImageRegion:
    """Return the same for frames that were cropped, flipped or scaled after the calibration, pixel by pixel."""
    column, row = np.arange(columns)[None, :], np.arange(rows)[:, None]
    x, y = (axis[0] * column + axis[1] * row + axis[3] for axis in to_calibrated[:2])
    mask = np.ones((rows, columns), bool)
    if clip is not None:
        (left, top), (width, height) = clip.origin_px, clip.size_px
        mask &= (x > left - 0.5) & (x < left + width - 0.5) & (y > top - 0.5) & (y < top + height - 0.5)
    if fan is not None:
        mask &= _inside_fan(fan, x, y)
    if not mask.any():
        raise SweepError(
            f"the {clip or ''} {fan or ''} of the configuration leaves nothing of the frames, which were cropped"
        )
    used_rows, used_columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    part = slice(int(used_rows[0]), int(used_rows[-1]) + 1), slice(int(used_columns[0]), int(used_columns[-1]) + 1)
    return ImageRegion(*part, None if mask[part].all() else mask[part])


def _inside_fan(fan: Fan, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether pixels lie in the sector; shape of x and y broadcast."""
    x, y = x - fan.origin_px[0], y - fan.origin_px[1]
    radius = np.hypot(x, y)
    angle_deg = np.degrees(np.arctan2(x, y))
    within = (angle_deg >= min(fan.angles_deg)) & (angle_deg <= max(fan.angles_deg))
    return within & (radius >= fan.radius_px[0]) & (radius <= fan.radius_px[1])
