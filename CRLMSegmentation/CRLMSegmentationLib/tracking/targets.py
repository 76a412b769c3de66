"""Lesions as targets of navigation: the distance of a point to them, with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import vtk

from ..core.errors import CrlmError
from ..core.reasons import Reason, ReasonCode
from .interval import UNMEASURED, Interval, ResidualError, TrackingError, interval_of
from .surfaces import Nearest, SurfaceDistance


@dataclass(frozen=True, eq=False)
class Target:
    """A lesion to which distances are measured.

    Attributes:
        name: as shown.
        surface: closed, RAS mm in the Reference frame; None where there is none, `unreliable_reason` says why.
        voxel_mm: longest edge of the voxels of its volume.
        outer, inner: consensus surfaces, closed. There are none without the outer one; the inner one is None or without
            a triangle where no place was always called tumour.
        unreliable_reason: why its surface is not to be relied on, such as a segmentation that was cut off; else None.
        residual_error: error of the model that has found it.
    """

    name: str
    surface: vtk.vtkPolyData | None
    voxel_mm: float
    outer: vtk.vtkPolyData | None = None
    inner: vtk.vtkPolyData | None = None
    unreliable_reason: Reason | None = None
    residual_error: ResidualError = UNMEASURED

    @property
    def unreliable_or_missing(self) -> Reason | None:
        """Return why the target is unreliable, also where only its surface is missing; else None."""
        return self.unreliable_reason or (Reason(ReasonCode.NO_SURFACE) if self.surface is None else None)


@dataclass(frozen=True, eq=False)
class PreparedTarget:
    """A lesion with the distance functions of its segmentation and its consensus surfaces.

    Attributes:
        surface: None where there is nothing to measure to, or where that cannot be done.
        unreliable_reason: the target's, or why it cannot be measured to.
        depth_mm: from the segmentation to its middle, about.
    """

    target: Target
    surface: SurfaceDistance | None = None
    outer: SurfaceDistance | None = None
    inner: SurfaceDistance | None = None
    unreliable_reason: Reason | None = None
    depth_mm: float = 0.0

    def known(self, surface: vtk.vtkPolyData) -> SurfaceDistance | None:
        """Return the prepared surfaces, by their meshes."""
        target = self.target
        pairs = ((target.surface, self.surface), (target.outer, self.outer), (target.inner, self.inner))
        return next((made for part, made in pairs if part is surface), None)

    def interval(self, nearest: Nearest, tip_ras_mm: np.ndarray, tracking: TrackingError) -> Interval:
        """Return the interval of the distance of a tip, see `interval`; the target must have a surface.

        Where no place was always called tumour, the border may lie as deep as the middle of the segmentation.
        """
        residual_error = self.target.residual_error
        distance_mm = to_outer_mm = to_inner_mm = nearest.distance_mm
        if self.outer is not None:
            to_outer_mm = self.outer.nearest(tip_ras_mm).distance_mm
            to_inner_mm = distance_mm + self.depth_mm
        if self.inner is not None:
            to_inner_mm = self.inner.nearest(tip_ras_mm).distance_mm
        return interval_of(
            distance_mm,
            to_outer_mm,
            to_inner_mm,
            float(np.linalg.norm(tip_ras_mm)),
            self.target.voxel_mm,
            tracking,
            residual_error.with_consensus_mm if self.outer is not None else residual_error.alone_mm,
        )


def prepare_targets(targets: Mapping[str, Target], before: Mapping[str, PreparedTarget]) -> dict[str, PreparedTarget]:
    """Build the distance functions of all lesions, by name; those of a mesh that is unchanged are used again.

    One that cannot be measured to says so by its reason, and leaves the others alone.
    """
    return {lesion: _prepared(target, before.get(lesion)) for lesion, target in targets.items()}


def _prepared(target: Target, before: PreparedTarget | None) -> PreparedTarget:
    if before is not None and before.target is target:
        return before
    made = PreparedTarget(target, unreliable_reason=target.unreliable_or_missing)
    if target.surface is None:
        return made
    inner = target.inner if target.inner is not None and target.inner.GetNumberOfPolys() else None
    try:
        surface, outer, inner = (_distance_to(part, before) for part in (target.surface, target.outer, inner))
    except CrlmError as error:
        return replace(made, unreliable_reason=Reason(ReasonCode.NOT_MEASURABLE, {"text": str(error)}))
    return replace(made, surface=surface, outer=outer, inner=inner, depth_mm=_depth_mm(target.surface))


def _distance_to(surface: vtk.vtkPolyData | None, before: PreparedTarget | None) -> SurfaceDistance | None:
    if surface is None:
        return None
    return (before.known(surface) if before else None) or SurfaceDistance(surface)


def _depth_mm(surface: vtk.vtkPolyData) -> float:
    """Return half of the smallest extent in mm, an estimate of the radius of the largest inscribed ball."""
    low_high_mm = np.reshape(surface.GetBounds(), (3, 2))
    return float(np.ptp(low_high_mm, axis=1).min()) / 2
