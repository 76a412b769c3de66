"""Checks and small calculations on the 4x4 matrices that place voxels in space.

Frames: IJK are voxel indices (i fastest, voxel centres at whole numbers), RAS and LPS are
right-anterior-superior and left-posterior-superior coordinates in mm. "RAS" here means the
Reference frame of the tracker, which 3D Slicer shows as RAS.
"""

from __future__ import annotations

import numpy as np

from .errors import GeometryError

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Turns RAS into LPS and back: it is its own inverse."""

SPACING_LIMITS_MM = (0.01, 50.0)
MAX_EXTENT_MM = 5000.0
MAX_SHEAR = 1e-2
"""Largest cosine between two axes that still counts as a right angle."""
MAX_CALIBRATION_SHEAR = 0.2
"""The same for a calibrated picture of a probe: its axes are fitted to measurements, each for itself. Of PLUS's
own spine sweep the cosine is 0.048; 0.2, 12 degrees off, is beyond any probe that could be navigated with."""


def check_ijk_to_ras(ijk_to_ras: np.ndarray, max_shear: float = MAX_SHEAR) -> np.ndarray:
    """Return a float64 copy of a voxel matrix, or say why it cannot be one.

    Left-handed matrices are legal: many scanners store them.

    Args:
        ijk_to_ras: 4x4, columns are the voxel axes times spacing in mm, last column the centre
            of voxel (0, 0, 0).
        max_shear: largest cosine between two axes; for a single picture of a probe `MAX_CALIBRATION_SHEAR`.

    Raises:
        GeometryError: wrong shape, not finite, not affine, spacing out of range, or sheared.
    """
    matrix = np.array(ijk_to_ras, dtype=np.float64)
    if matrix.shape != (4, 4):
        raise GeometryError(f"ijk_to_ras must be 4x4, got {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise GeometryError("ijk_to_ras holds NaN or infinity; the sender's geometry is broken")
    if not np.allclose(matrix[3], [0, 0, 0, 1], atol=1e-6):
        raise GeometryError(f"ijk_to_ras must end in the row 0 0 0 1, got {matrix[3].tolist()}")
    spacing_mm = np.linalg.norm(matrix[:3, :3], axis=0)
    low, high = SPACING_LIMITS_MM
    if (spacing_mm < low).any() or (spacing_mm > high).any():
        raise GeometryError(
            f"voxel spacing must lie within {low} to {high} mm, got {np.round(spacing_mm, 4).tolist()}; "
            "check the units of the file or sender"
        )
    shear = shear_of(matrix)
    if shear > max_shear:
        raise GeometryError(
            f"voxel axes must be at right angles, got a cosine of {shear:.3f}, at most {max_shear} is taken "
            "(sheared or singular matrix)"
        )
    return matrix


def shear_of(matrix: np.ndarray) -> float:
    """The largest cosine between two of the three axes of a 4x4 matrix; 0 when they are at right angles."""
    axes = matrix[:3, :3] / spacing_of(matrix)
    return float(np.abs(axes.T @ axes - np.eye(3)).max())


def spacing_of(ijk_to_ras: np.ndarray) -> np.ndarray:
    """Voxel spacing in mm along i, j, k."""
    return np.linalg.norm(np.asarray(ijk_to_ras)[:3, :3], axis=0)


def transform_points(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply a 4x4 matrix to points of shape (3,) or (N, 3), given as (x, y, z)."""
    points = np.asarray(points, dtype=np.float64)
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def box_around(center_ras_mm: np.ndarray, shape_ijk: tuple[int, int, int], spacing_mm: float) -> np.ndarray:
    """ijk_to_ras of an isotropic grid whose axes are R, A, S and whose middle is at a point."""
    matrix = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    matrix[:3, 3] = np.asarray(center_ras_mm) - spacing_mm * (np.asarray(shape_ijk) - 1) / 2
    return matrix
