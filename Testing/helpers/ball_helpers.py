"""A dark ball in bright noise, in a grid of any kind, and what is said of masks."""

from __future__ import annotations

import numpy as np
from CRLMSegmentationLib.core.geometry import transform_points
from CRLMSegmentationLib.core.volume import Volume

STRAIGHT = np.diag([1.0, 1.0, 1.0, 1.0])
ANISOTROPIC = np.diag([0.8, 1.1, 1.6, 1.0])
OBLIQUE = np.array([[0.6, -0.8, 0, 12], [0.8, 0.6, 0, -7], [0, 0, 1.5, 33], [0, 0, 0, 1]], float)
LEFT_HANDED = OBLIQUE @ np.diag([1.0, 1.0, -1.0, 1.0])
GRIDS = {"straight": STRAIGHT, "anisotropic": ANISOTROPIC, "oblique": OBLIQUE, "left-handed": LEFT_HANDED}
DARK, BRIGHT = 60, 120


def ball(ijk_to_ras: np.ndarray, radius_mm: float = 10.0, noise: int = 15) -> tuple[Volume, np.ndarray, np.ndarray]:
    """A volume with a ball in its middle, its mask, and its centre, RAS mm."""
    spacing_mm = np.linalg.norm(ijk_to_ras[:3, :3], axis=0)
    shape = tuple(np.round(50 / spacing_mm[::-1]).astype(int))
    centre = transform_points(ijk_to_ras, np.array(shape[::-1]) // 2)
    ijk = np.stack(np.indices(shape)[::-1], axis=-1).reshape(-1, 3)
    away_mm = np.linalg.norm(transform_points(ijk_to_ras, ijk) - centre, axis=1).reshape(shape)
    truth = away_mm <= radius_mm
    grey = np.where(truth, DARK, BRIGHT) + np.random.default_rng(0).integers(-noise, noise + 1, shape)
    return Volume(grey.astype(np.uint8), ijk_to_ras), truth, centre


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))
