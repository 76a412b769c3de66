"""The part of the liver that is simulated, as a grid of the local frame, and random fields on it.

Local frame in mm: x along the probe's face, y along the sweep, z into the liver; (0, 0, 0) lies on the
surface in the middle of the sweep.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

MAX_NODES = 3_000_000
"""As many as version 1 has; of a larger space the grid is coarser."""


@dataclass(frozen=True, eq=False)
class Space:
    """A box of the local frame with a grid; the defaults are those of version 1.

    Attributes:
        low_mm, high_mm: corners, shape (3,).
    """

    low_mm: np.ndarray
    high_mm: np.ndarray
    spacing_mm: float = 0.8

    @classmethod
    def version_1(cls) -> Space:
        return cls(np.array([-60.0, -62.0, 0.0]), np.array([60.0, 62.0, 100.0]))

    @classmethod
    def around(cls, points_mm: np.ndarray, margin_mm: float = 6.0) -> Space:
        """Return the space around what was imaged, from the liver's surface on.

        Args:
            points_mm: local frame, shape (N, 3).
        """
        low_mm, high_mm = np.floor(points_mm.min(0) - margin_mm), np.ceil(points_mm.max(0) + margin_mm)
        low_mm[2] = 0.0
        return cls(low_mm, high_mm, max(0.8, float((np.prod(high_mm - low_mm) / MAX_NODES) ** (1 / 3))))

    @property
    def grid_to_local(self) -> np.ndarray:
        """Return the 4x4 matrix from indices of nodes to the local frame in mm."""
        matrix = np.diag([self.spacing_mm, self.spacing_mm, self.spacing_mm, 1.0])
        matrix[:3, 3] = self.low_mm
        return matrix

    def points_mm(self) -> np.ndarray:
        """Return the nodes of the grid, float32, shape (K, J, I, 3)."""
        half = self.spacing_mm / 2
        axes = [
            np.arange(low, high + half, self.spacing_mm, dtype=np.float32)
            for low, high in zip(self.low_mm, self.high_mm)
        ]
        z, y, x = np.meshgrid(*axes[::-1], indexing="ij")
        return np.stack([x, y, z], axis=-1)

    def index_of(self, points_mm: np.ndarray) -> np.ndarray:
        """Return the nearest nodes (k, j, i) of points (N, 3), which may lie outside the grid."""
        index: np.ndarray = np.round((points_mm - self.low_mm) / self.spacing_mm).astype(int)[:, ::-1]
        return index

    def box_around(self, center_mm: np.ndarray, reach_mm: float) -> tuple[slice, slice, slice]:
        """Return the box (K, J, I) of the grid that contains all nodes within a distance of a point."""
        low = np.floor((center_mm - reach_mm - self.low_mm) / self.spacing_mm).astype(int)[::-1]
        high = np.ceil((center_mm + reach_mm - self.low_mm) / self.spacing_mm).astype(int)[::-1] + 1
        k, j, i = (slice(max(0, a), max(0, b)) for a, b in zip(low, high))
        return k, j, i

    def texture(
        self, rng: np.random.Generator, shape: tuple[int, ...], size_mm: float, deviation_db: float
    ) -> np.ndarray:
        """Draw a smooth random field of a given grain size and standard deviation, float32."""
        factor = max(1, int(size_mm / 2 / self.spacing_mm))
        coarse = rng.normal(size=[n // factor + 3 for n in shape]).astype(np.float32)
        coarse = ndimage.gaussian_filter(coarse, size_mm / 2 / self.spacing_mm / factor)
        enlarged = ndimage.zoom(coarse, factor, order=1) if factor > 1 else coarse
        field: np.ndarray = enlarged[tuple(slice(n) for n in shape)]
        scaled: np.ndarray = (deviation_db / field.std() * (field - field.mean())).astype(np.float32)
        return scaled


def random_rotation(rng: np.random.Generator, max_angle: float) -> np.ndarray:
    """Draw a rotation matrix about a random axis by at most `max_angle` radians."""
    axis = rng.normal(size=3)
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = rng.uniform(0, max_angle)
    rotation: np.ndarray = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return rotation


def soft(distance_mm: np.ndarray, width_mm: float) -> np.ndarray:
    """Return a soft mask: 1 inside, 0 outside, with an edge of a given width."""
    return (0.5 * (1 - np.tanh(distance_mm / width_mm))).astype(np.float32)
