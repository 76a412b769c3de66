"""Placement of voxels in space: the matrix to RAS mm from the units, the frame and the axes of a volume file."""

from __future__ import annotations

import numpy as np

from ..errors import GeometryError
from ..geometry import check_ijk_to_ras
from .header import shown

MAX_LENGTH_ERROR = 1e-2
"""How far the length of an axis of a direction matrix may be from 1; headers round it."""
MM_PER_UNIT = {
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), 1.0),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), 10.0),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1000.0),
    **dict.fromkeys(("um", "\u00b5m", "\u03bcm", "micron", "microns", "micrometer", "micrometre"), 1e-3),
    **dict.fromkeys(("micrometers", "micrometres"), 1e-3),
}
TO_RAS = {"RAS": (1.0, 1.0, 1.0), "LAS": (-1.0, 1.0, 1.0), "LPS": (-1.0, -1.0, 1.0)}
"""Signs that turn coordinates of a frame into RAS."""


def mm_per_unit(name: str, units: list[str]) -> np.ndarray:
    """Return the mm per unit along three axes, float64, shape (3,).

    Raises:
        GeometryError: a unit that is no length.
    """
    unknown = [unit for unit in units if unit.strip().lower() not in MM_PER_UNIT]
    if unknown or len(units) != 3:
        raise GeometryError(
            f"{name} measures space in {shown(' '.join(unknown or units))}, expected mm, cm, m or um for three axes; "
            "export it again in mm"
        )
    return np.array([MM_PER_UNIT[unit.strip().lower()] for unit in units])


def check_spacing(name: str, key: str, spacing: np.ndarray) -> None:
    """Raise an error for spacings that are not above 0.

    Raises:
        GeometryError: which were declared.
    """
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise GeometryError(f"{name}: {key} must be above 0 along each axis, got {spacing.tolist()}; export it again")


def check_directions(name: str, key: str, axes: np.ndarray) -> None:
    """Raise an error for a direction matrix (3, 3) whose columns are not of length 1, which would change the spacing.

    Raises:
        GeometryError: the lengths.
    """
    lengths = np.linalg.norm(axes, axis=0)
    if not (np.abs(lengths - 1) <= MAX_LENGTH_ERROR).all():
        raise GeometryError(
            f"{name}: the axes of {key} must have the length 1, got {lengths.tolist()}; export it again"
        )


def placement_matrix(name: str, axes_mm: np.ndarray, origin_mm: np.ndarray, frame: str) -> np.ndarray:
    """Return the matrix from voxel indices (i, j, k) to RAS mm, float64, 4x4.

    Args:
        axes_mm: shape (3, 3), a column for each of i, j, k.
        origin_mm: centre of voxel (0, 0, 0), shape (3,).
        frame: of `TO_RAS`.

    Raises:
        GeometryError: the matrix is not valid, see `check_ijk_to_ras`.
    """
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = axes_mm, origin_mm
    try:
        return check_ijk_to_ras(np.diag([*TO_RAS[frame], 1.0]) @ matrix)
    except GeometryError as error:
        raise GeometryError(f"{name}: {error}") from error
