"""History of each lesion over several volumes: its size, its centre and how far that has moved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..core.geometry import transform_points
from ..core.postprocessing import LesionMask
from ..core.volume import VolumeIdentity

MAX_SIGHTINGS = 1000
"""Of one lesion; at one live volume a second, a quarter of an hour. The first is always kept."""


@dataclass(frozen=True, eq=False)
class LesionMeasurement:
    """A lesion in one volume.

    Attributes:
        volume: in which it was found.
        seen_s: when, by this machine's clock.
        centre_ras_mm: centre of mass, shape (3,).
        shift_mm: of the centre since the sighting before; None for the first.
        change: of the volume since then, as a share: 0.1 is a tenth more; None for the first.
    """

    volume: VolumeIdentity
    seen_s: float
    volume_ml: float
    diameters_mm: tuple[float, float, float]
    centre_ras_mm: np.ndarray
    shift_mm: float | None = None
    change: float | None = None


class LesionFollowUp:
    """The sightings of one lesion, oldest first."""

    def __init__(self) -> None:
        self._sightings: list[LesionMeasurement] = []

    def add(self, mask: LesionMask, volume: VolumeIdentity, seen_s: float) -> LesionMeasurement | None:
        """Add a segmentation; a second one in the same volume replaces the first.

        Returns:
            The sighting; None for an empty segmentation, which says nothing of a lesion.
        """
        if mask.is_empty:
            return None
        seen = self._sightings
        if seen and seen[-1].volume == volume:
            seen.pop()
        before = seen[-1] if seen else None
        centre = centre_of(mask)
        sighting = LesionMeasurement(
            volume,
            seen_s,
            mask.volume_ml,
            mask.diameters_mm,
            centre,
            None if before is None else float(np.linalg.norm(centre - before.centre_ras_mm)),
            None if before is None else mask.volume_ml / before.volume_ml - 1,
        )
        seen.append(sighting)
        if len(seen) > MAX_SIGHTINGS:
            del seen[1]
        return sighting

    @property
    def sightings(self) -> tuple[LesionMeasurement, ...]:
        """All that are remembered, oldest first."""
        return tuple(self._sightings)

    def clear(self) -> None:
        """Begin anew, for what is found from now on is another lesion."""
        self._sightings.clear()


def centre_of(mask: LesionMask) -> np.ndarray:
    """Return the centre of mass of a lesion that is not empty, RAS mm, shape (3,)."""
    kji = np.add(ndimage.center_of_mass(mask.part), mask.offset_kji)
    return transform_points(mask.ijk_to_ras, kji[::-1])
