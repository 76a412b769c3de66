"""Correction points, written briefly."""

from __future__ import annotations

from CRLMSegmentationLib.core.points import CorrectionPoint, PointKind


def include(r: float, a: float, s: float) -> CorrectionPoint:
    return CorrectionPoint(PointKind.INCLUDE, (float(r), float(a), float(s)))


def exclude(r: float, a: float, s: float) -> CorrectionPoint:
    return CorrectionPoint(PointKind.EXCLUDE, (float(r), float(a), float(s)))
