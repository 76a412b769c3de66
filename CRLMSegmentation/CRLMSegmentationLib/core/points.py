"""Points that correct the segmentation of a lesion: what belongs to it as well, and what does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

PointRas = tuple[float, float, float]
"""RAS, mm."""


class PointKind(Enum):
    """INCLUDE: this belongs to the lesion too. EXCLUDE: this does not."""

    INCLUDE = "include"
    EXCLUDE = "exclude"


@dataclass(frozen=True)
class CorrectionPoint:
    """A point with which a user has corrected a segmentation."""

    kind: PointKind
    ras_mm: PointRas


def points_of_kind(points: Sequence[CorrectionPoint], kind: PointKind) -> list[PointRas]:
    """Return the places of the points of a kind, in their order."""
    return [point.ras_mm for point in points if point.kind is kind]
