"""Training samples of a case: crops around jittered seeds, or the whole volume, with labels."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ...core.box import Box
from ...core.crop import Crop, extract_crop, resample_labels, whole_volume
from ...core.geometry import transform_points
from ...core.volume import Volume
from ...recording.case import CaseLesion
from ...recording.dataset import CheckedCase
from ..evaluation.variations import generator_of
from .preparation import FULL, Preparation

LEAST_DEPTH = 0.3
"""A jittered seed lies at least this share of the greatest depth inside its lesion."""
LONGEST_NAME = 60
"""Characters of a case's name in the names of its images."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A training image with its label.

    Attributes:
        lesion: around which it was cut; None for a whole volume.
        label: bool, shape (K, J, I) of the crop; only in the field of view.
    """

    name: str
    lesion: str | None
    crop: Crop
    label: np.ndarray


def samples_of(checked: CheckedCase, lesions: Sequence[CaseLesion], preparation: Preparation) -> Iterator[Sample]:
    """Yield the samples of a case, independent of other cases and of their order.

    Args:
        lesions: around which crops are cut; what is foreground in them is told by all lesions of the case.
    """
    case, volume = checked.case, checked.read_volume()
    name, labels = image_name(case.case_id), checked.truth_labels().array
    every_lesion = np.isin(labels, [lesion.label for lesion in case.lesions if lesion.label])
    if preparation.variant == FULL:
        crop = whole_volume(volume, np.array(lesions[0].seed_ras_mm), preparation.spacing_mm)
        yield Sample(name, None, crop, _label(every_lesion, volume, crop))
        return
    for lesion in lesions:
        clicked = labels == lesion.label
        foreground = clicked if preparation.has_seed else every_lesion
        deep_ijk = deep_voxels(clicked, volume)
        for number in range(preparation.crops_per_lesion):
            rng = generator_of(preparation.seed, case.case_id, lesion.name, number)
            seed = jittered_seed(deep_ijk, volume, rng)
            crop = extract_crop(volume, seed, preparation.crop_size_mm, preparation.spacing_mm)
            yield Sample(f"{name}_{lesion.label}_{number}", lesion.name, crop, _label(foreground, volume, crop))


def deep_voxels(mask: np.ndarray, volume: Volume) -> np.ndarray:
    """Return the voxels (i, j, k), shape (N, 3), of a lesion in the field of view that are not near its border.

    Args:
        mask: bool, shape (K, J, I) of the volume, with at least one voxel in the field of view.
    """
    box = Box.of_nonempty_mask(mask)
    part = mask[box.slices]
    depth = ndimage.distance_transform_edt(np.pad(part, 1), sampling=volume.spacing_mm[::-1])[1:-1, 1:-1, 1:-1]
    depth[~volume.insonified_in(box)] = 0
    kji = np.argwhere(part & (depth > 0) & (depth >= LEAST_DEPTH * depth.max()))
    ijk: np.ndarray = (kji + box.start_kji)[:, ::-1]
    return ijk


def jittered_seed(deep_ijk: np.ndarray, volume: Volume, rng: np.random.Generator) -> np.ndarray:
    """Draw a point, RAS mm, within one of the given voxels (i, j, k)."""
    return transform_points(volume.ijk_to_ras, deep_ijk[rng.integers(len(deep_ijk))] + rng.uniform(-0.5, 0.5, 3))


def image_name(case_id: str) -> str:
    """Return a valid file name for any text; different texts get different names."""
    plain = re.sub(r"[^A-Za-z0-9.-]+", "-", case_id).strip(".-")[:LONGEST_NAME]
    return plain if plain == case_id else f"{plain}-{hashlib.sha256(case_id.encode()).hexdigest()[:8]}".lstrip("-")


def _label(mask: np.ndarray, volume: Volume, crop: Crop) -> np.ndarray:
    label: np.ndarray = resample_labels(mask, volume.ijk_to_ras, crop) & crop.insonified
    return label
