"""Checks of correction points against the seed and the volume, and the crop that holds them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .arrays import FloatArray
from .crop import check_insonified
from .crop_format import LARGEST_CROP_MM
from .errors import SeedError
from .points import MAX_POINTS, CorrectionPoint, PointKind, points_of_kind
from .text import place_text
from .volume import Volume

MIN_APART_MM = 2.0
"""Nearer to each other, an exclude point and an include point, or the seed, contradict each other: no user, and no
network, sees such a difference."""
CROP_MARGIN_MM = 10.0
"""Between an include point and the border of the crop, so that the network sees what the point lies in."""


def check_points(volume: Volume, seed_ras_mm: np.ndarray, points: Sequence[CorrectionPoint]) -> None:
    """Check that correction points lie in insonified voxels and do not contradict the seed or each other.

    Args:
        seed_ras_mm: shape (3,), checked before.

    Raises:
        SeedError: too many points; one is not finite, outside the volume or where the probe has not been; or an exclude
            point lies within `MIN_APART_MM` of the seed or an include point, or in the same voxel.
    """
    if len(points) > MAX_POINTS:
        raise SeedError(f"a lesion has at most {MAX_POINTS} correction points, got {len(points)}; remove some")
    for point in points:
        check_insonified(volume, np.array(point.ras_mm), f"the {point.kind.value} point", "place it in the volume")
    included = [("the seed", tuple(map(float, seed_ras_mm)))]
    included += [("the include point", point) for point in points_of_kind(points, PointKind.INCLUDE)]
    for excluded in points_of_kind(points, PointKind.EXCLUDE):
        for name, place in included:
            away_mm = float(np.linalg.norm(np.subtract(excluded, place)))
            in_one_voxel = volume.voxel_at(excluded) == volume.voxel_at(place)
            if away_mm < MIN_APART_MM or in_one_voxel:
                lie = "lies in the voxel of" if in_one_voxel else f"lies {away_mm:.1f} mm from"
                raise SeedError(
                    f"the exclude point {place_text(excluded)} mm {lie} {name} {place_text(place)} mm, so that they "
                    f"contradict each other; place it at least {MIN_APART_MM:.0f} mm away, or remove one of the two"
                )


def crop_size_holding(
    size_mm: float,
    seed_ras_mm: Sequence[float],
    points: Sequence[CorrectionPoint],
    largest_mm: float = LARGEST_CROP_MM,
) -> float:
    """Return the edge of the crop around a seed that holds all include points, in mm; at least the given size.

    Exclude points need no room: where the network sees nothing, nothing is segmented.

    Raises:
        SeedError: an include point is so far from the seed that the crop would be wider than `largest_mm`.
    """
    for point in points_of_kind(points, PointKind.INCLUDE):
        offset_mm: FloatArray = np.abs(np.subtract(point, seed_ras_mm))
        needed_mm = float(np.ceil(2 * (offset_mm.max() + CROP_MARGIN_MM)))
        if needed_mm > max(size_mm, largest_mm):
            raise SeedError(
                f"the include point {place_text(point)} mm is too far from the seed {place_text(seed_ras_mm)} mm: "
                f"a crop that holds both would be {needed_mm:.0f} mm wide, more than {largest_mm:.0f} mm; "
                "place a seed of its own there"
            )
        size_mm = max(size_mm, needed_mm)
    return size_mm
