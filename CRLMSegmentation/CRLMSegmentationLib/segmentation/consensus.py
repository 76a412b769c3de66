"""Consensus surfaces: the intersection and the union of repeated segmentations of one lesion.

The repeats differ in seed and mirroring, as another user might click. Where intersection and union lie apart, the
segmentation depends on the click. They show the variance of the network, not an error that it makes every time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.box import Box
from ..core.geometry import transform_points
from ..core.postprocessing import LesionMask

JITTER_SHARE = 0.4
"""Of the lesion's radius: how far the seeds of another user lie from the first. Clicks on targets scatter so."""
MIN_JITTER_MM = 1.5
DIRECTIONS = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]) / np.sqrt(3)
"""Corners of a tetrahedron: no direction is left out, and none is drawn by chance."""
MIRRORED_AXES = ((2,), (1,), (0,))
"""Array axes along which the crop is turned round, one for each further run."""


@dataclass(frozen=True)
class Repeat:
    """How one repeat differs from the first run: its seed (RAS mm), and the array axes along which it is mirrored."""

    seed_ras_mm: tuple[float, float, float]
    flip: tuple[int, ...] = ()


def repeats_of(seed_ras_mm: np.ndarray, mask: LesionMask) -> list[Repeat]:
    """Return the repeats of a segmentation that its consensus surfaces need.

    Four seeds around it, three mirrored.
    """
    radius_mm = (mask.volume_ml * 1000 * 3 / (4 * np.pi)) ** (1 / 3)
    away_mm = max(MIN_JITTER_MM, JITTER_SHARE * radius_mm)
    seed = np.asarray(seed_ras_mm, float)
    moved = [Repeat(_as_point(_moved(seed, away_mm * direction, mask))) for direction in DIRECTIONS]
    return [*moved, *(Repeat(_as_point(seed), axes) for axes in MIRRORED_AXES)]


def _as_point(ras_mm: np.ndarray) -> tuple[float, float, float]:
    x, y, z = map(float, ras_mm)
    return x, y, z


def _moved(seed_ras_mm: np.ndarray, by_mm: np.ndarray, mask: LesionMask) -> np.ndarray:
    """Move a seed by a vector, or by a half or a quarter of it, such that it stays inside the lesion."""
    ras_to_ijk = np.linalg.inv(mask.ijk_to_ras)
    for share in (1.0, 0.5, 0.25):
        place = seed_ras_mm + share * by_mm
        kji = np.round(transform_points(ras_to_ijk, place)[::-1]).astype(int) - mask.offset_kji
        if (kji >= 0).all() and (kji < mask.part.shape).all() and mask.part[tuple(kji)]:
            return place
    return seed_ras_mm


@dataclass(frozen=True, eq=False)
class Consensus:
    """Intersection and union of the segmentations of one lesion.

    Attributes:
        inner, outer: bool, shape (K, J, I) of the part of the volume that begins at `offset_kji`; inner may be empty.
        runs: how many segmentations they were made of.
        agreement: volume of the intersection by that of the union, 0 to 1.
        spread_mm: mean distance between both, as if they were balls.
    """

    inner: np.ndarray
    outer: np.ndarray
    offset_kji: tuple[int, int, int]
    runs: int
    agreement: float
    spread_mm: float


def consensus_of(masks: Sequence[LesionMask]) -> Consensus | None:
    """Compute intersection and union of all segmentations of one lesion on the grid of one volume.

    None when all are empty.
    """
    found = [mask for mask in masks if not mask.is_empty]
    if not found:
        return None
    arrays, offset_kji = on_one_grid(found)
    count = np.sum(arrays, axis=0, dtype=np.uint16)
    inner, outer = np.asarray(count == len(masks)), np.asarray(count > 0)
    voxel_mm3 = abs(float(np.linalg.det(found[0].ijk_to_ras[:3, :3])))
    radii_mm = [(3 * np.count_nonzero(mask) * voxel_mm3 / (4 * np.pi)) ** (1 / 3) for mask in (inner, outer)]
    return Consensus(
        inner,
        outer,
        offset_kji,
        len(masks),
        float(np.count_nonzero(inner) / np.count_nonzero(outer)),
        radii_mm[1] - radii_mm[0],
    )


def on_one_grid(masks: Sequence[LesionMask]) -> tuple[list[np.ndarray], tuple[int, int, int]]:
    """Paste non-empty masks into the smallest box that holds all; return arrays and first index (k, j, i)."""
    boxes = [mask.box for mask in masks]
    shared = Box.around(boxes)
    arrays = []
    for mask, box in zip(masks, boxes):
        array = np.zeros(shared.shape, bool)
        array[box.relative_to(shared).slices] = mask.part
        arrays.append(array)
    return arrays, shared.start_kji
