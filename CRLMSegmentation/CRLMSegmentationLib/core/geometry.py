"""Checks and small calculations on the 4x4 matrices that place voxels in space.

Frames: IJK are voxel indices (i fastest, voxel centres at whole numbers), RAS and LPS are
right-anterior-superior and left-posterior-superior coordinates in mm. "RAS" here means the
Reference frame of the tracker, which 3D Slicer shows as RAS.

Matrices are plain numpy arrays, 4x4. A class around them would only add conversions: each is made from, or handed to,
VTK, SimpleITK, OpenIGTLink or JSON, mostly within a line or two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .arrays import FloatArray
from .errors import GeometryError
from .reasons import Reason, ReasonCode

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Converts RAS to LPS, and LPS to RAS."""

SPACING_LIMITS_MM = (0.01, 50.0)
MAX_EXTENT_MM = 5000.0
MAX_SHEAR = 1e-2
"""Largest cosine between two axes that is accepted as a right angle."""
MAX_CALIBRATION_SHEAR = 0.2
"""The same for the calibrated 2D image of a probe, whose axes are fitted to measurements one by one. In PLUS's
own spine sweep the cosine is 0.048; 0.2, 12 degrees off, is beyond any probe that could be navigated with."""

RIGID_TOLERANCE = 1e-3
"""By how much the dot products of a pose's axes may differ from 1 and 0. Single precision is off by 1e-7, PLUS's files,
which write six digits, by 3e-6, four digits by 2e-4; this is 0.08 mm at 150 mm, a tenth of a tracker's noise."""
LAST_ROW_TOLERANCE, SINGULAR = 1e-6, 1e-6
"""Tolerance of the last row, 0 0 0 1; and least ratio of the axes' determinant to the product of their lengths."""


def check_ijk_to_ras(ijk_to_ras: np.ndarray, max_shear: float = MAX_SHEAR) -> FloatArray:
    """Return a float64 copy of an ijk_to_ras matrix after checking that it can place voxels.

    Left-handed matrices are legal: many scanners store them.

    Args:
        ijk_to_ras: 4x4, columns are the voxel axes times spacing in mm, last column the centre
            of voxel (0, 0, 0).
        max_shear: largest cosine between two axes; `MAX_CALIBRATION_SHEAR` for a single 2D image of a probe.

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
            f"voxel axes must be at right angles, got a cosine of {shear:.3f}, at most {max_shear} is accepted "
            "(sheared or singular matrix)"
        )
    return matrix


def shear_of(matrix: np.ndarray) -> float:
    """Return the largest cosine between two of the three axes of a 4x4 matrix; 0 when they are at right angles."""
    axes = matrix[:3, :3] / spacing_of(matrix)
    return float(np.abs(axes.T @ axes - np.eye(3)).max())


def rigid_fault(matrix: np.ndarray, name: str = "") -> Reason | None:
    """Return why a 4x4 matrix cannot be the pose of a tool, because it scales, mirrors or shears; None when it can.

    It calculates with plain numbers, which is faster than arrays, since it runs for each pose that arrives.

    Args:
        name: of the transform, for the reason.
    """
    fault = transform_fault(matrix, name)
    if fault is not None:
        return fault
    x, y, z = np.asarray(matrix)[:3, :3].T.tolist()
    xx, yy, zz, xy, xz, yz = _dot(x, x), _dot(y, y), _dot(z, z), _dot(x, y), _dot(x, z), _dot(y, z)
    about = {"transform": name}
    if _dot(_cross(x, y), z) < 0:
        return Reason(ReasonCode.MIRRORED, about)
    square = max((xx, yy, zz), key=lambda value: abs(value - 1))
    if abs(square - 1) > RIGID_TOLERANCE:
        return Reason(ReasonCode.SCALED, {"factor": square**0.5, **about})
    shear = max(abs(xy), abs(xz), abs(yz))
    return Reason(ReasonCode.SHEARED, {"cosine": shear, **about}) if shear > RIGID_TOLERANCE else None


def transform_fault(matrix: np.ndarray, name: str = "") -> Reason | None:
    """Return why a 4x4 matrix is not finite, affine and invertible, as a calibration must be; None when it is."""
    array = np.asarray(matrix)
    if array.shape != (4, 4):
        return Reason(ReasonCode.NOT_A_TRANSFORM, {"transform": name})
    x, y, z, place = array.T.tolist()
    if not math.isfinite(sum(x) + sum(y) + sum(z) + sum(place)):
        return Reason(ReasonCode.NOT_FINITE, {"transform": name})
    volume = abs(_dot(_cross(x, y), z))
    edges = math.sqrt(_dot(x, x) * _dot(y, y) * _dot(z, z))
    is_affine = max(abs(x[3]), abs(y[3]), abs(z[3]), abs(place[3] - 1)) <= LAST_ROW_TOLERANCE
    return None if is_affine and volume > SINGULAR * edges else Reason(ReasonCode.NOT_A_TRANSFORM, {"transform": name})


def is_rigid(matrix: np.ndarray) -> bool:
    """Return whether a 4x4 matrix is a rotation and a translation, as the pose of a tool must be."""
    return rigid_fault(matrix) is None


def _dot(a: list[float], b: list[float]) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _cross(a: list[float], b: list[float]) -> list[float]:
    return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]


def spacing_of(ijk_to_ras: np.ndarray) -> FloatArray:
    """Return the voxel spacing in mm along i, j, k."""
    spacing_mm: FloatArray = np.linalg.norm(np.asarray(ijk_to_ras)[:3, :3], axis=0)
    return spacing_mm


def transform_points(matrix: np.ndarray, points: npt.ArrayLike) -> FloatArray:
    """Apply a 4x4 matrix to points of shape (3,) or (N, 3), given as (x, y, z)."""
    transformed: FloatArray = np.asarray(points, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
    return transformed


def part_to_ras(ijk_to_ras: np.ndarray, offset_kji: Sequence[float]) -> FloatArray:
    """Return the ijk_to_ras, 4x4, of a part of a volume that begins at the voxel index (k, j, i)."""
    matrix = np.array(ijk_to_ras, dtype=np.float64)
    matrix[:3, 3] = transform_points(ijk_to_ras, offset_kji[::-1])
    return matrix


def box_around(center_ras_mm: np.ndarray, shape_ijk: tuple[int, int, int], spacing_mm: float) -> FloatArray:
    """Return the ijk_to_ras, 4x4, of an isotropic grid along R, A and S whose centre is at a point, RAS mm."""
    matrix = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    matrix[:3, 3] = np.asarray(center_ras_mm) - spacing_mm * (np.asarray(shape_ijk) - 1) / 2
    return matrix
