"""Variations of the input: a seed off the centre, another gain, another grey-value factor."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ...core.crop import check_seed
from ...core.errors import SeedError
from ...core.volume import Volume
from ...recording.case import CaseLesion
from ...recording.dataset import CheckedCase, deepest_point
from .settings import GAIN_DB, GREY_FACTOR, SEED_MM, SEED_SHARE, Variation

ASSUMED_RANGE_DB = 60.0
"""Dynamic range of a display: what its darkest and brightest grey differ by. Phantoms have 50 to 66."""
FULL_SCALE = 255
DRAWS_TO_FIND_A_SEED = 30


def generator_of(seed: int, *names: object) -> np.random.Generator:
    """Return a random generator that depends on the seed and the names alone, not on order or machine."""
    digest = hashlib.sha256("\n".join(map(str, names)).encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, np.uint32).tolist()])


def sample_of(cases: Sequence[CheckedCase], count: int, seed: int) -> set[tuple[str, str]]:
    """Draw lesions such that no patient gives a second lesion before each has given one."""
    queues: dict[str, list[tuple[str, str]]] = {}
    for checked in cases:
        queues.setdefault(checked.patient, []).extend((checked.case_id, lesion.name) for lesion in checked.lesions)
    patients = sorted(queues)
    ranked = []
    for patient in patients:
        names = sorted(queues[patient])
        order = generator_of(seed, "sample", patient)
        ranked += [(turn, order.random(), names[n]) for turn, n in enumerate(order.permutation(len(names)))]
    return {name for _, _, name in sorted(ranked)[:count]}


def equivalent_radius_mm(mask: np.ndarray, volume: Volume) -> float:
    """Return the radius of the sphere with the volume of a mask (K, J, I), mm."""
    voxel_mm3 = abs(np.linalg.det(volume.ijk_to_ras[:3, :3]))
    return float((3 * np.count_nonzero(mask) * voxel_mm3 / (4 * np.pi)) ** (1 / 3))


def seed_and_volume(
    variation: Variation, case_id: str, lesion: CaseLesion, volume: Volume, truth: np.ndarray, seed: int
) -> tuple[np.ndarray | None, Volume, float | None]:
    """Return the seed and the volume under a variation.

    Args:
        volume: as recorded.
        truth: of the lesion, bool, shape (K, J, I) of the volume.
        seed: of the generator.

    Returns:
        The seed, or None where no point at this distance lies in the field of view; the volume; how far the seed was
        moved from the centre, mm, or None where it was not.
    """
    if variation.kind in (SEED_SHARE, SEED_MM):
        away_mm = variation.amount
        if variation.kind == SEED_SHARE:
            away_mm *= equivalent_radius_mm(truth, volume)
        rng = generator_of(seed, case_id, lesion.name, variation.kind, float(variation.amount), variation.draw)
        return moved_seed(volume, deepest_point(truth, volume.ijk_to_ras), away_mm, rng), volume, away_mm
    if variation.kind == GAIN_DB:
        volume = with_gain(volume, variation.amount)
    elif variation.kind == GREY_FACTOR:
        volume = with_factor(volume, variation.amount)
    return np.array(lesion.seed_ras_mm, dtype=float), volume, None


def moved_seed(
    volume: Volume, centre_ras_mm: np.ndarray, away_mm: float, rng: np.random.Generator
) -> np.ndarray | None:
    """Return a point at a distance from another, in a random direction that stays in the field of view."""
    for _ in range(DRAWS_TO_FIND_A_SEED):
        direction = rng.normal(size=3)
        try:
            return check_seed(volume, centre_ras_mm + away_mm * direction / np.linalg.norm(direction))
        except SeedError:
            continue
    return None


def with_gain(volume: Volume, gain_db: float) -> Volume:
    """Return a volume at another gain: grey values are logarithmic, so that gain is added to them.

    What leaves the display's range is cut off, as scanners do. Voxels outside the field of view stay empty.
    """
    return _changed(volume, lambda grey: grey + gain_db * _full_scale(volume) / ASSUMED_RANGE_DB)


def with_factor(volume: Volume, factor: float) -> Volume:
    """Return a volume with grey values multiplied, as by another dynamic range; clipped to the same limits."""
    return _changed(volume, lambda grey: grey * factor)


def _changed(volume: Volume, change: Callable[[np.ndarray], np.ndarray]) -> Volume:
    array, insonified = volume.array, volume.insonified_in()
    low = min(0.0, float(array.min() if not volume.background.values else array.min(where=insonified, initial=0)))
    grey = np.clip(change(array.astype(np.float32)), low, _full_scale(volume))
    grey = np.where(insonified, grey, array)
    if array.dtype.kind in "ui":
        grey = np.round(grey)
    return replace(volume, array=grey.astype(array.dtype))


def _full_scale(volume: Volume) -> float:
    if volume.array.dtype == np.uint8:
        return float(FULL_SCALE)
    if not volume.background.values:
        return float(max(volume.array.max(), 1))
    return float(volume.array.max(where=volume.insonified_in(), initial=1))  # a constant outside is no grey value
