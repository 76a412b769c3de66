"""Points that correct the segmentation of a lesion: what belongs to it as well, and what does not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

PointRas = tuple[float, float, float]
"""RAS, mm."""

MAX_POINTS = 100
"""Of one lesion; each costs a pass of the network."""


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


def points_to_json(points: Sequence[CorrectionPoint]) -> list[dict[str, Any]]:
    """Return points in their order, each as `{"kind", "ras_mm"}`."""
    return [{"kind": point.kind.value, "ras_mm": list(point.ras_mm)} for point in points]


def points_from_json(entries: Iterable[Mapping[str, Any]]) -> tuple[CorrectionPoint, ...]:
    """Return the points that `points_to_json` has described.

    Raises:
        KeyError, TypeError, ValueError: they are not described whole, or one is of an unknown kind.
    """
    points = []
    for entry in entries:
        r, a, s = map(float, entry["ras_mm"])
        points.append(CorrectionPoint(PointKind(entry["kind"]), (r, a, s)))
    return tuple(points)
