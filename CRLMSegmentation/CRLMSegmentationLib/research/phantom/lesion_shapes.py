"""Surfaces of simulated metastases: waves on an ellipsoid, and level sets of smooth noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import ndimage

NODES = 44
"""Edge of the grid of a level set: the mean radius has about 11 steps."""


class LesionShape(Protocol):
    """A closed surface in the local frame.

    Attributes:
        center_mm: a point near its middle, shape (3,).
        axes_mm: half axes of the mean ellipsoid, shape (3,).
        reach_mm: within what distance of the centre the surface lies.
    """

    @property
    def center_mm(self) -> np.ndarray: ...

    @property
    def axes_mm(self) -> np.ndarray: ...

    @property
    def reach_mm(self) -> float: ...

    def signed_distance_mm(self, points_mm: np.ndarray) -> np.ndarray:
        """Return the approximate signed distance of local points (..., 3) to the surface, negative inside, mm."""


@dataclass(frozen=True, eq=False)
class WaveSurface:
    """The surface r(direction) = radius * (1 + a sum of low spherical waves).

    Attributes:
        rotation: 3x3, own axes to local.
        waves: directions (N, 3), frequencies (N,), phases (N,) and heights (N,) of the irregular surface.
    """

    center_mm: np.ndarray
    axes_mm: np.ndarray
    rotation: np.ndarray
    waves: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

    @property
    def reach_mm(self) -> float:
        """Return within what distance of the centre the surface lies."""
        return float(1.6 * self.axes_mm.max())

    def signed_distance_mm(self, points_mm: np.ndarray) -> np.ndarray:
        """Return the approximate signed distance of local points (..., 3) to the surface, negative inside, mm."""
        own = (points_mm - self.center_mm) @ self.rotation / self.axes_mm
        radius = np.linalg.norm(own, axis=-1)
        direction = own / np.maximum(radius, 1e-6)[..., None]
        directions, frequencies, phases, heights = self.waves
        outline = 1 + (heights * np.cos(frequencies * (direction @ directions.T) + phases)).sum(-1)
        distance_mm: np.ndarray = (radius - outline) * self.axes_mm.mean()
        return distance_mm


@dataclass(frozen=True, eq=False)
class LevelSet:
    """The surface at which a field on a grid is 0.

    Attributes:
        axes_mm: three times the radius of the sphere of the same volume, shape (3,).
        field_mm: approximate signed distance at the nodes, shape (NODES,) * 3, axes x, y, z.
        step_mm: between the nodes.
        center_node: indices (x, y, z) of the centre, shape (3,).
    """

    center_mm: np.ndarray
    axes_mm: np.ndarray
    field_mm: np.ndarray
    step_mm: float
    center_node: np.ndarray

    @property
    def reach_mm(self) -> float:
        """Return within what distance of the centre the surface lies."""
        nodes = np.argwhere(self.field_mm < 0) - self.center_node
        return float((np.linalg.norm(nodes, axis=1).max() + 1.8) * self.step_mm)

    def signed_distance_mm(self, points_mm: np.ndarray) -> np.ndarray:
        """Return the approximate signed distance of local points (..., 3) to the surface, negative inside, mm."""
        index = (np.asarray(points_mm) - self.center_mm) / self.step_mm + self.center_node
        distance_mm: np.ndarray = ndimage.map_coordinates(
            self.field_mm, np.moveaxis(index, -1, 0), order=1, mode="nearest"
        )
        return distance_mm


def draw_level_set(
    rng: np.random.Generator, center_mm: np.ndarray, stretch: np.ndarray, rotation: np.ndarray, radius_mm: float
) -> LevelSet:
    """Draw a lobulated or irregular surface in one piece: an ellipsoid plus smooth noise, cut at its level 0.

    Args:
        stretch: relative half axes of the ellipsoid, product 1, shape (3,).
        rotation: 3x3, own axes to local.
        radius_mm: of the sphere of the same volume.
    """
    grain, height = rng.uniform(0.30, 0.75), rng.uniform(0.25, 0.80)
    nodes = (np.arange(NODES) - (NODES - 1) / 2) / (0.25 * NODES)
    own = np.stack(np.meshgrid(nodes, nodes, nodes, indexing="ij"), axis=-1) @ rotation / stretch
    radius = np.linalg.norm(own, axis=-1)
    noise = ndimage.gaussian_filter(rng.normal(size=radius.shape), grain * 0.25 * NODES, mode="wrap")
    field = radius - 1 + height * np.clip(noise / noise.std(), -2, 2) * 0.35
    for axis in range(3):
        np.moveaxis(field, axis, 0)[np.abs(nodes) > 1.85] = 1.0
    field = _in_one_piece(field)
    inside = field < 0
    step = (4 / 3 * np.pi * radius_mm**3 / inside.sum()) ** (1 / 3)
    gradient = np.sqrt(sum(part**2 for part in np.gradient(field)))
    field_mm = field / np.maximum(ndimage.gaussian_filter(gradient, 2.0), 0.02) * step
    center_node = np.argwhere(inside).mean(0)
    return LevelSet(center_mm, np.full(3, radius_mm), field_mm.astype(np.float32), float(step), center_node)


def _in_one_piece(field: np.ndarray) -> np.ndarray:
    """Return the field with all but one piece of what is below 0 raised above it.

    Bridges thinner than three nodes are cut, so that no voxel grid tears the piece.
    """
    ball = ndimage.generate_binary_structure(3, 1)
    core, _ = ndimage.label(ndimage.binary_erosion(field < 0, ball))
    largest = np.argmax(np.bincount(core.ravel())[1:]) + 1
    kept = ndimage.binary_dilation(core == largest, ball)
    return np.where(kept, field, np.maximum(field, 0.05))
