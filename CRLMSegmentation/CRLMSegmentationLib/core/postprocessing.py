"""The mask of the clicked lesion, with its measures and warnings, from the probabilities of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import ndimage

from .arrays import BoolArray
from .box import Box, Index, Shape, as_index, trimmed_mask
from .crop import Crop, paste, paste_into
from .diameters import diameters_of
from .geometry import part_to_ras
from .point_constraints import constrained, region_of_points
from .points import CorrectionPoint, PointKind, points_of_kind
from .volume import Volume

THRESHOLD = 0.5
SEED_DISTANCE_LIMIT_MM = 5.0
"""A component farther from the seed than this is not the lesion that was clicked."""
POINT_DISTANCE_LIMIT_MM = 2.0
"""A component farther from an include point than this is not meant by it; a click misses by about as much."""
OVERRIDDEN_ML = 0.02
"""That points may add or remove against the network without a warning; a ball 3.4 mm wide."""
LOW_PROBABILITY = 0.75
"""Mean probability inside the mask below which the result is called uncertain."""
FADE_VOXELS = 2
"""Margin around the mask in which probabilities are kept, so that the resampled surface stays smooth."""
EMPTY_CONTACT = 0.10
"""Share of the surface next to voxels never insonified above which the segmentation is called incomplete."""

NOTHING = (
    f"nothing found: no tumour within {SEED_DISTANCE_LIMIT_MM:.0f} mm of the seed; move the seed or segment by hand"
)
SEED_OUTSIDE = "seed outside the mask by {distance:.1f} mm: check that the right lesion was segmented"
TOUCHES_EDGE = "touches the crop edge: the tumour may be larger; segment again with a larger crop"
TOUCHES_VOLUME_EDGE = "touches the edge of the volume: part of the tumour may lie beyond what was swept"
TOUCHES_EMPTY = "touches empty voxels: part of the tumour may not have been swept"
ADDED = "{ml:.2f} ml were added for include points where the network sees no tumour: check the segmentation"
REMOVED = "{ml:.2f} ml were removed for exclude points where the network sees tumour: check the segmentation"
UNCERTAIN = "low confidence: mean probability {probability:.2f} inside the mask; check the segmentation"


@dataclass(frozen=True, eq=False)
class LesionMask:
    """The segmentation of one lesion on the grid of its volume, stored as a small box; full arrays are made on demand.

    Attributes:
        part: bool, shape (K, J, I), no larger than the lesion.
        offset_kji: index in the volume of the first voxel of `part`.
        shape: of the volume, (K, J, I).
        ijk_to_ras: 4x4 of the volume.
        crop_probability: float32, of tumour, on the grid of the network's input (`crop.Crop`); all of its
            answer.
        crop_to_ras: 4x4 of that grid.
        volume_ml: of the mask.
        diameters_mm: longest first, see `diameters`; zeros when nothing was found.
        mean_probability: inside the mask.
        warnings: what the user must know, in plain words.
    """

    part: np.ndarray
    offset_kji: Index
    shape: Shape
    ijk_to_ras: np.ndarray
    crop_probability: np.ndarray
    crop_to_ras: np.ndarray
    volume_ml: float
    diameters_mm: tuple[float, float, float]
    mean_probability: float
    warnings: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        return not self.part.any()

    @property
    def box(self) -> Box:
        """The box of the volume that `part` fills."""
        return Box.of_part(self.offset_kji, self.part.shape)

    @cached_property
    def mask(self) -> np.ndarray:
        """The lesion in its volume, bool, shape of the volume."""
        return self._in_volume(self.part, self.box)

    @cached_property
    def probability(self) -> np.ndarray:
        """The probability of tumour, float32, shape of the volume; zero outside the crop."""
        return self._in_volume(*self._pasted(self.crop_probability))

    @cached_property
    def in_crop(self) -> np.ndarray:
        """The voxels that the network's input covers, bool, shape of the volume."""
        ones, box = self._pasted(np.ones_like(self.crop_probability))
        return self._in_volume(ones > 0, box)

    def moved_into(self, volume: Volume, offset_kji: Index) -> LesionMask:
        """Return the lesion on the grid of a larger volume, in which its own volume begins at the index (k, j, i)."""
        offset, shape = self.box.shifted(offset_kji).start_kji, as_index(volume.array.shape)
        return replace(self, offset_kji=offset, shape=shape, ijk_to_ras=volume.ijk_to_ras)

    def _pasted(self, values: np.ndarray) -> tuple[np.ndarray, Box]:
        return paste(values, self.crop_to_ras, self.ijk_to_ras, self.shape)

    def _in_volume(self, part: np.ndarray, box: Box) -> np.ndarray:
        array = np.zeros(self.shape, part.dtype)
        array[box.slices] = part
        return array


def lesion_in_crop(probability: np.ndarray, crop: Crop, points: Sequence[CorrectionPoint] = ()) -> BoolArray:
    """Return the lesion on the grid of a crop, bool, (K, J, I): what a network is shown that corrects it.

    It is what `lesion_from_probability` resamples to the volume, before the points are enforced there: the components
    at the seed and at the include points, their holes closed.
    """
    component, _ = _component_at_seed((probability >= THRESHOLD) & crop.insonified, crop, points)
    solid: BoolArray = ndimage.binary_fill_holes(component)
    return solid


def lesion_from_probability(
    probability: np.ndarray, crop: Crop, volume: Volume, points: Sequence[CorrectionPoint] = ()
) -> LesionMask:
    """Segment the lesion at the seed: threshold, keep one component, close its holes, resample it to the volume.

    Args:
        probability: of tumour, float32, shape of the crop.
        points: that correct it. The components at include points are kept as well, and the mask obeys all points, see
            `point_constraints`.

    Raises:
        SeedError: exclude points stand all around an include point.
    """
    component, distance_mm = _component_at_seed((probability >= THRESHOLD) & crop.insonified, crop, points)
    near = (Box.of_mask(component) or Box.of_shape(component.shape)).padded(FADE_VOXELS + 1, component.shape)
    component, insonified, close = component[near.slices], crop.insonified[near.slices], probability[near.slices]
    solid = ndimage.binary_fill_holes(component)
    cleaned = _cleaned(close, component, solid, insonified)
    shape = as_index(volume.array.shape)
    pasted, box = paste(cleaned, part_to_ras(crop.ijk_to_ras, near.start_kji), volume.ijk_to_ras, shape)
    found, overridden = pasted >= THRESHOLD, list[str]()
    if points:
        found, box, overridden = _obeying(found, box, probability, crop, volume, points)
    else:
        found = _largest_part(found)
    part, offset_kji = trimmed_mask(found, box.start_kji)
    mean_probability = _mean_probability(close[component], part, offset_kji, probability, crop, volume)
    volume_ml, diameters_mm = measure(part, volume.ijk_to_ras)
    warnings = [*_warnings(solid, insonified, distance_mm, mean_probability, crop), *overridden]
    return LesionMask(
        part=part,
        offset_kji=offset_kji,
        shape=shape,
        ijk_to_ras=volume.ijk_to_ras,
        crop_probability=probability,
        crop_to_ras=crop.ijk_to_ras,
        volume_ml=volume_ml,
        diameters_mm=diameters_mm,
        mean_probability=mean_probability,
        warnings=tuple(warnings if part.any() else [NOTHING]),
    )


def _obeying(
    found: np.ndarray, box: Box, probability: np.ndarray, crop: Crop, volume: Volume, points: Sequence[CorrectionPoint]
) -> tuple[BoolArray, Box, list[str]]:
    """Return the voxels of a lesion in a box that obey the points, in a larger box, and warnings."""
    region = region_of_points(box, volume, crop.seed_ras_mm, points)
    mask = np.zeros(region.shape, bool)
    mask[box.relative_to(region).slices] = found
    there = paste_into(region, probability, crop.ijk_to_ras, volume.ijk_to_ras)
    made = constrained(mask, there, region, volume, crop.seed_ras_mm, points, SEED_DISTANCE_LIMIT_MM)
    changes = ((ADDED, made.added_ml), (REMOVED, made.removed_ml))
    return made.mask, region, [text.format(ml=ml) for text, ml in changes if ml > OVERRIDDEN_ML]


def _mean_probability(
    of_component: np.ndarray, part: np.ndarray, offset_kji: Index, probability: np.ndarray, crop: Crop, volume: Volume
) -> float:
    """Return the mean probability inside the component that was found; where none was, inside what points have made."""
    if not part.any():
        return 0.0
    if not of_component.size:
        box = Box.of_part(offset_kji, part.shape)
        of_component = paste_into(box, probability, crop.ijk_to_ras, volume.ijk_to_ras)[part]
    return float(of_component.mean())


def _cleaned(probability: np.ndarray, component: np.ndarray, solid: np.ndarray, insonified: np.ndarray) -> np.ndarray:
    """Return the probabilities of the lesion with its holes closed, and 0 beyond a margin of `FADE_VOXELS`."""
    near = ndimage.binary_dilation(solid, iterations=FADE_VOXELS) & insonified
    cleaned = np.where(near, probability, 0.0)
    cleaned[solid & ~component] = 1.0
    return cleaned


def measure(mask: np.ndarray, ijk_to_ras: np.ndarray) -> tuple[float, tuple[float, float, float]]:
    """Return the volume in ml and the three diameters in mm, longest first, of a mask (K, J, I); see `diameters`."""
    box = Box.of_mask(mask)
    if box is None:
        return 0.0, (0.0, 0.0, 0.0)
    volume_mm3 = np.count_nonzero(mask[box.slices]) * abs(np.linalg.det(ijk_to_ras[:3, :3]))
    return float(volume_mm3 / 1000), diameters_of(mask[box.slices], ijk_to_ras)


def _component_at_seed(
    found: np.ndarray, crop: Crop, points: Sequence[CorrectionPoint] = ()
) -> tuple[np.ndarray, float]:
    """Return the component at the seed, or the nearest one, and its distance in mm; else an empty mask, infinity.

    The components at include points belong to it; the distance is that of the component at the seed alone.
    """
    labels, count = ndimage.label(found)
    if count == 0:
        return found, np.inf
    label, distance_mm = _label_at(crop.seed_kji, labels, crop.spacing_mm, SEED_DISTANCE_LIMIT_MM)
    wanted = {label}
    for point in points_of_kind(points, PointKind.INCLUDE):
        voxel = crop.kji_of(np.array(point))
        if voxel is not None:
            wanted.add(_label_at(voxel, labels, crop.spacing_mm, POINT_DISTANCE_LIMIT_MM)[0])
    component = np.isin(labels, list(wanted - {0})) if len(wanted) > 1 else (labels == label) & found
    return component, distance_mm


def _label_at(voxel: Index, labels: np.ndarray, spacing_mm: float, limit_mm: float) -> tuple[int, float]:
    """Return the label at a voxel, or the nearest one, and its distance in mm; 0 and infinity beyond the limit."""
    if labels[voxel]:
        return int(labels[voxel]), 0.0
    here = Box.of_part(voxel, (1, 1, 1))
    near = here.padded(int(limit_mm / spacing_mm) + 1, labels.shape)
    k, j, i = here.relative_to(near).start_kji
    empty = labels[near.slices] == 0
    away_mm, nearest = ndimage.distance_transform_edt(empty, sampling=spacing_mm, return_indices=True)
    if empty.all() or away_mm[k, j, i] > limit_mm:
        return 0, np.inf
    return int(labels[near.slices][tuple(nearest[:, k, j, i])]), float(away_mm[k, j, i])


def _largest_part(mask: np.ndarray) -> np.ndarray:
    labels, count = ndimage.label(mask)
    return mask if count < 2 else labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])


def _warnings(
    lesion: np.ndarray, insonified: np.ndarray, distance_mm: float, mean_probability: float, crop: Crop
) -> list[str]:
    """Return the warnings about a lesion in a padded box, which ends right beside it only where the crop ends."""
    warnings = []
    if crop.spacing_mm < distance_mm < np.inf:
        warnings.append(SEED_OUTSIDE.format(distance=distance_mm))
    inner = np.zeros_like(lesion)
    inner[1:-1, 1:-1, 1:-1] = True
    if (lesion & ~inner).any():
        warnings.append(TOUCHES_VOLUME_EDGE if crop.is_whole_volume else TOUCHES_EDGE)
    around = ndimage.binary_dilation(lesion) & ~lesion
    if around.any() and (around & ~insonified).sum() > EMPTY_CONTACT * around.sum():
        warnings.append(TOUCHES_EMPTY)
    if mean_probability < LOW_PROBABILITY:
        warnings.append(UNCERTAIN.format(probability=mean_probability))
    return warnings
