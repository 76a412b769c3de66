"""Makes a mask obey correction points: include points inside, exclude points outside, all of it in one piece.

The network is shown the points and mostly obeys. What it does not obey is changed as little as needed, on the voxels of
the volume, where the mask is shown and measured:

- around an exclude point, voxels within `EXCLUDE_MARGIN_MM` that are nearer to it than to the seed and to any include
  point are removed, and what that cuts off from the seed;
- an include point that the piece at the seed does not hold is joined to it along the path of greatest probability,
  within `DETOUR_MM` of the straight line and in insonified voxels where there is a way, by a strand of
  2 * `STRAND_RADIUS_MM`, or of a voxel where these are larger.

Pieces are connected by the faces of voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from .arrays import BoolArray, FloatArray
from .box import Box, Index, as_index
from .errors import SeedError
from .geometry import part_to_ras, spacing_of, transform_points
from .points import CorrectionPoint, PointKind, points_of_kind
from .text import place_text
from .volume import Volume

EXCLUDE_MARGIN_MM = 2.0
STRAND_RADIUS_MM = 1.0
DETOUR_MM = 10.0
LEAST_PROBABILITY = 0.01
"""A path costs -log of the probability for each mm, and of no less than this."""
COST_OF_LENGTH = 0.05
"""Added for each mm, so that a path through certain tumour is short as well."""
COST_NOT_INSONIFIED, COST_NEAR_EXCLUDED = 100.0, 1000.0
"""Added for each mm where a path should go only if there is no other."""


@dataclass(frozen=True, eq=False)
class ConstrainedMask:
    """A mask that obeys correction points.

    Attributes:
        mask: bool, shape (K, J, I); empty where nothing was found at the seed and there is no include point.
        added_ml: that the points have added to what was found at them and at the seed.
        removed_ml: that they have removed of it.
    """

    mask: BoolArray
    added_ml: float
    removed_ml: float


def region_of_points(box: Box, volume: Volume, seed_ras_mm: np.ndarray, points: Sequence[CorrectionPoint]) -> Box:
    """Return the part of a volume that `constrained` needs for a mask in a box."""
    included = points_of_kind(points, PointKind.INCLUDE)
    voxels = [volume.voxel_at(seed_ras_mm), *map(volume.voxel_at, included)]
    boxes = [box, *(Box.of_part(voxel, (1, 1, 1)) for voxel in voxels)]
    margin = np.ceil((DETOUR_MM if included else 0.0) / volume.spacing_mm[::-1]) + 1
    return Box.around(boxes).padded(as_index(margin), volume.array.shape)


def constrained(
    found: BoolArray,
    probability: np.ndarray,
    region: Box,
    volume: Volume,
    seed_ras_mm: np.ndarray,
    points: Sequence[CorrectionPoint],
    seed_limit_mm: float,
) -> ConstrainedMask:
    """Return the voxels of a lesion that obey its correction points.

    Args:
        found: bool, shape (K, J, I) of the region: what the network calls tumour.
        probability: of tumour, same shape.
        region: part of the volume, see `region_of_points`.
        seed_ras_mm: shape (3,); the piece that is nearest to it is the lesion.
        points: checked by `point_checks.check_points`.
        seed_limit_mm: from the seed to a piece that may be its lesion. Where there is none, include points are joined
            to the seed itself.

    Raises:
        SeedError: exclude points stand around an include point so closely that nothing can join it.
    """
    grid = _Grid(region, volume, seed_ras_mm, points)
    own = _pieces_at(found, [*grid.included, *grid.nearest(found, seed_limit_mm)])
    kept = found & ~grid.removed
    for voxel in grid.included:
        kept[voxel] = True
    start = grid.nearest(kept, seed_limit_mm)
    if not start and grid.included:
        start = [grid.included[0] if grid.excluded[grid.seed] else grid.seed]
        kept[start[0]] = True
    for voxel in grid.included:
        piece = _pieces_at(kept, start)
        if not piece[voxel]:
            kept |= grid.strand(piece, voxel, probability)
    mask = _pieces_at(kept, start)
    voxel_ml = abs(float(np.linalg.det(volume.ijk_to_ras[:3, :3]))) / 1000
    return ConstrainedMask(mask, np.count_nonzero(mask & ~own) * voxel_ml, np.count_nonzero(own & ~mask) * voxel_ml)


class _Grid:
    """The voxels of a region with its points.

    Attributes:
        seed, included: indices (k, j, i) in the region.
        excluded: bool, shape (K, J, I): the voxels that hold an exclude point.
        removed: bool, same shape: these, and those around them.
    """

    def __init__(self, region: Box, volume: Volume, seed_ras_mm: np.ndarray, points: Sequence[CorrectionPoint]) -> None:
        self.region, self._volume = region, volume
        self._to_ras = part_to_ras(volume.ijk_to_ras, region.start_kji)
        self._spacing_kji = spacing_of(volume.ijk_to_ras)[::-1]
        included = points_of_kind(points, PointKind.INCLUDE)
        self.seed, self.included = self._voxel(seed_ras_mm), [self._voxel(point) for point in included]
        self.excluded, self.removed = np.zeros(region.shape, bool), np.zeros(region.shape, bool)
        for point in points_of_kind(points, PointKind.EXCLUDE):
            self._exclude(np.array(point), np.array([seed_ras_mm, *included]))
        self.removed |= self.excluded

    def _voxel(self, point_ras_mm: Sequence[float] | np.ndarray) -> Index:
        return as_index(np.subtract(self._volume.voxel_at(point_ras_mm), self.region.start_kji))

    def _exclude(self, point: FloatArray, wanted: FloatArray) -> None:
        voxel = Box.of_part(self._voxel(point), (1, 1, 1))
        if not voxel.is_within(Box.of_shape(self.region.shape)):
            return  # the mask does not come near
        self.excluded[voxel.slices] = True
        near = self._around(voxel, EXCLUDE_MARGIN_MM)
        ras = self._centres(near)
        away_mm = np.linalg.norm(ras - point, axis=-1)
        from_wanted_mm = np.min([np.linalg.norm(ras - place, axis=-1) for place in wanted], axis=0)
        self.removed[near.slices] |= (away_mm <= EXCLUDE_MARGIN_MM) & (away_mm < from_wanted_mm)

    def _around(self, box: Box, margin_mm: float) -> Box:
        return box.padded(as_index(np.ceil(margin_mm / self._spacing_kji)), self.region.shape)

    def _centres(self, box: Box) -> FloatArray:
        """Return the centres of the voxels of a box, RAS mm, shape (K, J, I, 3)."""
        kji = np.moveaxis(np.indices(box.shape), 0, -1) + box.start_kji
        return transform_points(self._to_ras, kji[..., ::-1])

    def nearest(self, mask: BoolArray, limit_mm: float) -> list[Index]:
        """Return the voxel of a mask that is nearest to the seed, within a limit and a voxel; none if there is none."""
        if mask[self.seed]:
            return [self.seed]
        near = self._around(Box.of_part(self.seed, (1, 1, 1)), limit_mm)
        candidates = np.argwhere(mask[near.slices]) + near.start_kji
        if not len(candidates):
            return []
        away_mm = np.linalg.norm((candidates - self.seed) * self._spacing_kji, axis=1)
        is_near = away_mm.min() <= limit_mm + np.linalg.norm(self._spacing_kji)
        return [as_index(candidates[away_mm.argmin()])] if is_near else []

    def strand(self, piece: BoolArray, voxel: Index, probability: np.ndarray) -> BoolArray:
        """Return voxels that join a voxel to a piece.

        Raises:
            SeedError: exclude points leave no way.
        """
        ends = np.argwhere(piece)
        end = ends[np.linalg.norm((ends - voxel) * self._spacing_kji, axis=1).argmin()]
        box = self._around(Box.around([Box.of_part(place, (1, 1, 1)) for place in (voxel, end)]), DETOUR_MM)
        here = Box.of_part(box.start_kji, box.shape).slices
        insonified = self._volume.insonified_in(box.shifted(self.region.start_kji))
        cost = COST_OF_LENGTH - np.log(np.clip(probability[here], LEAST_PROBABILITY, 1.0))
        cost += COST_NOT_INSONIFIED * ~insonified + COST_NEAR_EXCLUDED * self.removed[here]
        first, last = (as_index(np.subtract(place, box.start_kji)) for place in (voxel, end))
        near_line = _distance_to_line(box.shape, self._spacing_kji, first, last) <= max(
            DETOUR_MM, 2 * self._spacing_kji.max()
        )
        passable = near_line & ~self.excluded[here]
        path = _cheapest_path(passable, cost, self._spacing_kji, first, piece[here])
        if path is None:
            place = transform_points(self._to_ras, voxel[::-1])
            raise SeedError(
                f"exclude points stand all around the include point {place_text(place)} mm, so that nothing joins it "
                "to the lesion; remove one of them"
            )
        line = np.zeros(box.shape, bool)
        line[tuple(np.transpose(path))] = True
        away_mm = ndimage.distance_transform_edt(~line, sampling=self._spacing_kji)
        strand = np.zeros(self.region.shape, bool)
        strand[here] = line | ((away_mm <= STRAND_RADIUS_MM) & insonified & ~self.removed[here])
        return strand


def _pieces_at(mask: BoolArray, voxels: Sequence[Index]) -> BoolArray:
    """Return the connected pieces of a mask that hold one of some voxels."""
    labels, count = ndimage.label(mask)
    is_wanted = np.zeros(count + 1, bool)
    for voxel in voxels:
        is_wanted[labels[voxel]] = True
    is_wanted[0] = False
    pieces: BoolArray = is_wanted[labels]
    return pieces


def _distance_to_line(shape: Sequence[int], spacing_kji: FloatArray, first: Index, last: Index) -> FloatArray:
    """Return the distance in mm of each voxel (K, J, I) from the straight line between two voxels."""
    start, along = np.multiply(first, spacing_kji), np.subtract(last, first) * spacing_kji
    places = np.moveaxis(np.indices(shape), 0, -1) * spacing_kji - start
    share = np.clip(places @ along / max(float(along @ along), 1e-12), 0, 1)
    distance_mm: FloatArray = np.linalg.norm(places - share[..., None] * along, axis=-1)
    return distance_mm


def _cheapest_path(
    passable: BoolArray, cost: FloatArray, spacing_kji: FloatArray, start: Index, goal: BoolArray
) -> list[Index] | None:
    """Return the voxels (k, j, i) of the cheapest path, from face to face, from a voxel to a goal; None without any.

    Args:
        passable, cost, goal: shape (K, J, I); the cost is for each mm.
    """
    number = np.full(passable.shape, -1)
    number[passable] = np.arange(np.count_nonzero(passable))
    rows, columns, weights = [], [], []
    for axis, spacing_mm in enumerate(spacing_kji):
        before, after = (
            tuple(part if n == axis else slice(None) for n in range(3)) for part in (slice(None, -1), slice(1, None))
        )
        both = passable[before] & passable[after]
        rows.append(number[before][both])
        columns.append(number[after][both])
        weights.append((cost[before][both] + cost[after][both]) / 2 * spacing_mm)
    count = int(np.count_nonzero(passable))
    edges = (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns)))
    graph = coo_matrix(edges, shape=(count, count)).tocsr()
    lengths, before_it = dijkstra(graph, directed=False, indices=number[start], return_predecessors=True)
    goals = number[goal & passable]
    if not len(goals) or not np.isfinite(lengths[goals]).any():
        return None
    voxels, at, path = np.argwhere(passable), int(goals[lengths[goals].argmin()]), []
    while at >= 0:
        path.append(as_index(voxels[at]))
        at = int(before_it[at])
    return path
