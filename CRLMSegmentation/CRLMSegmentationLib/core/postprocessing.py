"""From probabilities to the mask of the lesion that was clicked, and the warnings that go with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import ndimage

from .crop import Crop, paste, shifted
from .diameters import diameters_of
from .volume import Box, Volume

THRESHOLD = 0.5
SEED_REACH_MM = 5.0
"""A lesion that misses the seed by more than this is not the one that was clicked."""
LOW_CONFIDENCE = 0.75
"""Mean probability inside the mask below which the result is called uncertain."""
FADE_VOXELS = 2
"""How far around the mask probabilities are kept, so that its outline stays smooth."""
EMPTY_CONTACT = 0.10
"""Share of the surface on never-swept voxels above which the outline is called incomplete."""

NOTHING = f"nothing found: no tumour within {SEED_REACH_MM:.0f} mm of the seed; move the seed or segment by hand"
SEED_OUTSIDE = "seed outside the mask by {distance:.1f} mm: check that the right lesion was taken"
TOUCHES_EDGE = "touches the crop edge: the tumour may be larger; segment again with a larger crop"
TOUCHES_VOLUME_EDGE = "touches the edge of the volume: part of the tumour may lie beyond what was swept"
TOUCHES_EMPTY = "touches empty voxels: part of the tumour may not have been swept"
UNCERTAIN = "low confidence: mean probability {confidence:.2f} inside the mask; check the outline"


@dataclass(frozen=True, eq=False)
class LesionMask:
    """One lesion on the grid of its volume. Only what is there is kept; whole arrays are made when asked for.

    Attributes:
        part: bool, shape (K, J, I), no larger than the lesion.
        offset_kji: index in the volume of the first voxel of `part`.
        shape: of the volume, (K, J, I).
        ijk_to_ras: 4x4 of the volume.
        crop_probability: float32, of tumour, on the grid that the network was shown (`crop.Crop`); all of its
            answer.
        crop_to_ras: 4x4 of that grid.
        volume_ml: of the mask.
        diameters_mm: longest first, see `diameters`; zeros when nothing was found.
        confidence: mean probability inside the mask.
        warnings: what the user must know, in plain words.
    """

    part: np.ndarray
    offset_kji: tuple[int, int, int]
    shape: tuple[int, int, int]
    ijk_to_ras: np.ndarray
    crop_probability: np.ndarray
    crop_to_ras: np.ndarray
    volume_ml: float
    diameters_mm: tuple[float, float, float]
    confidence: float
    warnings: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        return not self.part.any()

    @cached_property
    def mask(self) -> np.ndarray:
        """bool, shape of the volume."""
        box = tuple(slice(start, start + count) for start, count in zip(self.offset_kji, self.part.shape))
        return self._in_volume(self.part, box)

    @cached_property
    def probability(self) -> np.ndarray:
        """Of tumour, float32, shape of the volume; zero outside the crop."""
        return self._in_volume(*self._pasted(self.crop_probability))

    @cached_property
    def in_crop(self) -> np.ndarray:
        """bool, shape of the volume: where the network has looked."""
        ones, box = self._pasted(np.ones_like(self.crop_probability))
        return self._in_volume(ones > 0, box)

    def moved_into(self, volume: Volume, offset_kji: tuple[int, int, int]) -> LesionMask:
        """The same lesion in the volume of which its own is a part that begins at an index (k, j, i)."""
        offset = tuple(a + b for a, b in zip(self.offset_kji, offset_kji))
        return replace(self, offset_kji=offset, shape=volume.array.shape, ijk_to_ras=volume.ijk_to_ras)

    def _pasted(self, values: np.ndarray) -> tuple[np.ndarray, tuple[slice, slice, slice]]:
        return paste(values, self.crop_to_ras, self.ijk_to_ras, self.shape)

    def _in_volume(self, part: np.ndarray, box: tuple[slice, slice, slice]) -> np.ndarray:
        whole = np.zeros(self.shape, part.dtype)
        whole[box] = part
        return whole


def lesion_from_probability(probability: np.ndarray, crop: Crop, volume: Volume) -> LesionMask:
    """Keep the lesion at the seed, close its holes, drop what was never swept, paste it back.

    Args:
        probability: of tumour, float32, shape of the crop.
    """
    component, distance_mm = _component_at_seed((probability >= THRESHOLD) & crop.swept, crop)
    near = _around(component)
    component, swept = component[near], crop.swept[near]
    solid = ndimage.binary_fill_holes(component)
    cleaned = _cleaned(probability[near], component, solid, swept)
    pasted, box = paste(cleaned, shifted(crop.ijk_to_ras, near), volume.ijk_to_ras, volume.array.shape)
    part, offset_kji = _tight(_largest_part(pasted >= THRESHOLD), box)
    confidence = float(probability[near][component].mean()) if part.any() else 0.0
    volume_ml, diameters_mm = measure(part, volume.ijk_to_ras)
    return LesionMask(
        part=part,
        offset_kji=offset_kji,
        shape=volume.array.shape,
        ijk_to_ras=volume.ijk_to_ras,
        crop_probability=probability,
        crop_to_ras=crop.ijk_to_ras,
        volume_ml=volume_ml,
        diameters_mm=diameters_mm,
        confidence=confidence,
        warnings=tuple(_warnings(solid, swept, distance_mm, confidence, crop) if part.any() else [NOTHING]),
    )


def _tight(mask: np.ndarray, box: tuple[slice, slice, slice]) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Cut a mask, which lies in a box of a volume, down to what is not empty; returns its place as well."""
    found = ndimage.find_objects(mask.astype(np.uint8))
    inner = found[0] if found else (slice(0, 0),) * 3
    return mask[inner].copy(), tuple(outer.start + part.start for outer, part in zip(box, inner))


def _around(component: np.ndarray) -> Box:
    """The box that holds a lesion and what is looked at around it; of a whole volume most is left out. All if none."""
    found = ndimage.find_objects(component.astype(np.uint8))
    inner = found[0] if found else tuple(slice(0, count) for count in component.shape)
    workspace = FADE_VOXELS + 1
    return tuple(slice(max(0, s.start - workspace), min(n, s.stop + workspace)) for s, n in zip(inner, component.shape))


def _cleaned(probability: np.ndarray, component: np.ndarray, solid: np.ndarray, swept: np.ndarray) -> np.ndarray:
    """Probabilities of the lesion alone, its holes closed; around it they fade, so that the outline stays smooth."""
    near = ndimage.binary_dilation(solid, iterations=FADE_VOXELS) & swept
    cleaned = np.where(near, probability, 0.0)
    cleaned[solid & ~component] = 1.0
    return cleaned


def measure(mask: np.ndarray, ijk_to_ras: np.ndarray) -> tuple[float, tuple[float, float, float]]:
    """Volume in ml and the three diameters in mm, longest first, of a mask (K, J, I); see `diameters`."""
    if not mask.any():
        return 0.0, (0.0, 0.0, 0.0)
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    volume_mm3 = np.count_nonzero(mask[box]) * abs(np.linalg.det(ijk_to_ras[:3, :3]))
    return float(volume_mm3 / 1000), diameters_of(mask[box], ijk_to_ras)


def _component_at_seed(found: np.ndarray, crop: Crop) -> tuple[np.ndarray, float]:
    """The connected part that holds the seed, else the nearest within reach, and its distance in mm (else infinity)."""
    labels, count = ndimage.label(found)
    if count == 0:
        return found, np.inf
    if found[crop.seed_kji]:
        return labels == labels[crop.seed_kji], 0.0
    reach = int(SEED_REACH_MM / crop.spacing_mm) + 1
    near = tuple(slice(max(0, n - reach), n + reach + 1) for n in crop.seed_kji)
    seed = tuple(n - part.start for n, part in zip(crop.seed_kji, near))
    empty = ~found[near]
    away_mm, nearest = ndimage.distance_transform_edt(empty, sampling=crop.spacing_mm, return_indices=True)
    if empty.all() or away_mm[seed] > SEED_REACH_MM:
        return np.zeros_like(found), np.inf
    return labels == labels[near][tuple(nearest[(slice(None), *seed)])], float(away_mm[seed])


def _largest_part(mask: np.ndarray) -> np.ndarray:
    labels, count = ndimage.label(mask)
    return mask if count < 2 else labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])


def _warnings(lesion: np.ndarray, swept: np.ndarray, distance_mm: float, confidence: float, crop: Crop) -> list[str]:
    """What is to be known of a lesion in its `_around`, which ends close to it only where the crop ends."""
    warnings = []
    if distance_mm > crop.spacing_mm:
        warnings.append(SEED_OUTSIDE.format(distance=distance_mm))
    inner = np.zeros_like(lesion)
    inner[1:-1, 1:-1, 1:-1] = True
    if (lesion & ~inner).any():
        warnings.append(TOUCHES_VOLUME_EDGE if crop.is_whole_volume else TOUCHES_EDGE)
    rim = ndimage.binary_dilation(lesion) & ~lesion
    if rim.any() and (rim & ~swept).sum() > EMPTY_CONTACT * rim.sum():
        warnings.append(TOUCHES_EMPTY)
    if confidence < LOW_CONFIDENCE:
        warnings.append(UNCERTAIN.format(confidence=confidence))
    return warnings
