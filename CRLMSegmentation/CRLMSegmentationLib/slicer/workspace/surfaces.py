"""Surfaces of lesions that distances are measured to, their margins and consensus surfaces."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import slicer
import vtk

from ...core.errors import CrlmError
from ...core.geometry import part_to_ras
from ...segmentation.consensus import Consensus
from ...tracking.colours import INNER, OUTER
from ...tracking.interval import UNMEASURED
from ...tracking.margins import MARGIN_LIMITS_MM, margin_steps
from ...tracking.surfaces import measured_surface
from ...tracking.targets import Target
from ..scene.guidance import grey_margins, remove_guidance_except, show_consensus, show_margins
from ..scene.masks import mask_of_segment
from .navigation_targets import LesionTarget

BUDGET_S = 0.004
"""Of a turn, for margins and consensus surfaces; the segmentation itself is never late."""
GRACE_S = 1.0
"""So long margins may lie around the segmentation before, lest they flicker with each volume of a live stream."""


@dataclass(eq=False)
class _Kept:
    """The surfaces of one segmentation.

    Attributes:
        place: of its node when the surface was made.
        has_moved: its node has been moved since it was found, so that the consensus surfaces no longer lie around it.
        shown_of: the surface around which the margins lie that are drawn.
    """

    fingerprint: str
    place: np.ndarray
    target: Target
    has_moved: bool = False
    consensus: Consensus | None = None
    consensus_surfaces: dict[str, vtk.vtkPolyData] = field(default_factory=dict)
    margins: dict[float, vtk.vtkPolyData] | None = None
    work: Iterator[None] | None = None
    shown: tuple[object, ...] = ()
    shown_of: vtk.vtkPolyData | None = None
    made_at_s: float = field(default_factory=time.perf_counter)


class TargetSurfaces:
    """Makes surfaces from segmentations, and shows margins and consensus surfaces in the scene.

    Attributes:
        margins_mm: widths, mm.
        shows_margins, shows_consensus: whether they are drawn.
        targets: to measure to, by lesion.
    """

    def __init__(self, scene: slicer.vtkMRMLScene, margins_mm: tuple[float, ...]) -> None:
        self._scene, self.margins_mm = scene, margins_mm
        self.shows_margins, self.shows_consensus = True, False
        self._kept: dict[str, _Kept] = {}
        remove_guidance_except(scene, ())  # of a workspace that was in this scene before

    @property
    def targets(self) -> dict[str, Target]:
        return {lesion: kept.target for lesion, kept in self._kept.items()}

    @property
    def is_at_work(self) -> bool:
        """Whether margins or consensus surfaces are still being made."""
        return any(kept.work is not None for kept in self._kept.values())

    def margin_surfaces_of(self, lesion: str) -> dict[float, vtk.vtkPolyData]:
        """The margins that have been made of a lesion, by their width in mm, RAS mm."""
        kept = self._kept.get(lesion)
        return dict((kept and kept.margins) or {})

    def update(self, lesion_targets: Mapping[str, LesionTarget]) -> bool:
        """Update all surfaces, a little at each turn; returns whether there are other targets than before."""
        has_changed = self._forget_all_but(lesion_targets)
        for lesion, lesion_target in lesion_targets.items():
            has_changed = self._update_lesion(lesion, lesion_target) or has_changed
        self._work_for(BUDGET_S)
        for lesion, lesion_target in lesion_targets.items():
            has_changed = self._use_consensus(lesion) or has_changed
            self._show(lesion, lesion_target)
        return has_changed

    def _forget_all_but(self, lesion_targets: Mapping[str, LesionTarget]) -> bool:
        gone = [lesion for lesion in self._kept if lesion not in lesion_targets]
        for lesion in gone:
            del self._kept[lesion]
        if gone:
            remove_guidance_except(self._scene, lesion_targets)
        return bool(gone)

    def _update_lesion(self, lesion: str, lesion_target: LesionTarget) -> bool:
        kept = self._kept.get(lesion)
        if (
            kept is None
            or kept.fingerprint != lesion_target.fingerprint
            or not np.array_equal(kept.place, lesion_target.place)
        ):
            self._kept[lesion] = self._made(lesion_target, kept)
            return True
        consensus = None if kept.has_moved else lesion_target.consensus
        has_other_margins = kept.work is None and set(kept.margins or {}) != set(self._wanted_mm)
        if kept.consensus is not consensus or has_other_margins:
            kept.consensus, kept.work = consensus, self._steps(kept, lesion_target)
        target = kept.target
        if (target.name, target.unreliable_reason, target.residual_error) == (
            lesion_target.name,
            lesion_target.unreliable_reason,
            lesion_target.residual_error or UNMEASURED,
        ):
            return False
        kept.target = replace(
            target,
            name=lesion_target.name,
            unreliable_reason=lesion_target.unreliable_reason,
            residual_error=lesion_target.residual_error or UNMEASURED,
        )
        return True

    @property
    def _wanted_mm(self) -> tuple[float, ...]:
        low, high = MARGIN_LIMITS_MM
        return tuple(width for width in self.margins_mm if low <= width <= high) if self.shows_margins else ()

    def _made(self, lesion_target: LesionTarget, before: _Kept | None) -> _Kept:
        """Make the surface of a segmentation; the margins of the one before are shown until its own are made."""
        mask, ijk_to_local = mask_of_segment(lesion_target.node, lesion_target.lesion)
        surface = measured_surface(mask, lesion_target.place @ ijk_to_local) if mask.any() else None
        residual_error = lesion_target.residual_error or UNMEASURED
        target = Target(
            lesion_target.name,
            surface,
            lesion_target.voxel_mm,
            unreliable_reason=lesion_target.unreliable_reason,
            residual_error=residual_error,
        )
        kept = _Kept(lesion_target.fingerprint, lesion_target.place, target)
        if before is not None:
            is_same = before.fingerprint == lesion_target.fingerprint
            kept.has_moved = is_same and (before.has_moved or not np.array_equal(before.place, lesion_target.place))
            kept.shown, kept.shown_of = before.shown, before.shown_of
        kept.consensus = None if kept.has_moved else lesion_target.consensus
        kept.work = self._steps(kept, lesion_target)
        return kept

    def _steps(self, kept: _Kept, lesion_target: LesionTarget) -> Iterator[None]:
        """Make the consensus surfaces, on which distances depend, then the margins."""
        consensus = {}
        found = kept.consensus
        for which, part in ((INNER, found.inner), (OUTER, found.outer)) if found is not None else ():
            if found is not None and part.any():
                consensus[which] = _consensus_surface(part, found.offset_kji, lesion_target.ijk_to_ras)
            yield
        kept.consensus_surfaces = consensus
        margins = {}
        for width_mm in self._wanted_mm if kept.target.surface is not None else ():
            margins[width_mm] = yield from margin_steps(kept.target.surface, width_mm)
        kept.margins = margins

    def _work_for(self, seconds: float) -> None:
        end_s = time.perf_counter() + seconds
        for kept in self._kept.values():
            while kept.work is not None and time.perf_counter() < end_s:
                try:
                    next(kept.work)
                except StopIteration:
                    kept.work = None
                except CrlmError:  # a segmentation that no margin can be drawn around is shown without
                    kept.work, kept.margins = None, dict.fromkeys(self._wanted_mm, vtk.vtkPolyData())

    def _use_consensus(self, lesion: str) -> bool:
        """Put consensus surfaces that have been made meanwhile into the target."""
        kept = self._kept[lesion]
        inner, outer = kept.consensus_surfaces.get(INNER), kept.consensus_surfaces.get(OUTER)
        if (kept.target.inner, kept.target.outer) == (inner, outer):
            return False
        kept.target = replace(kept.target, inner=inner, outer=outer)
        return True

    def _show(self, lesion: str, lesion_target: LesionTarget) -> None:
        """Draw margins and consensus surfaces that have been made."""
        kept = self._kept[lesion]
        if kept.work is not None or kept.margins is None:
            self._show_unsafe(lesion, kept, is_safe=lesion_target.unreliable_reason is None)
            return
        margins = {width: kept.margins[width] for width in self._wanted_mm if width in kept.margins}
        consensus = kept.consensus_surfaces if self.shows_consensus else {}
        shown = (
            lesion_target.unreliable_reason is None,
            *map(id, margins.values()),
            *map(id, consensus.values()),
            *margins,
        )
        if shown != kept.shown:
            kept.shown, kept.shown_of = shown, kept.target.surface
            show_margins(self._scene, lesion, margins, is_safe=lesion_target.unreliable_reason is None)
            show_consensus(self._scene, lesion, consensus)

    def _show_unsafe(self, lesion: str, kept: _Kept, is_safe: bool) -> None:
        """Grey at once around a segmentation that is not reliable any more, before long around one that is gone."""
        is_late = time.perf_counter() - kept.made_at_s > GRACE_S and kept.shown_of is not kept.target.surface
        if kept.shown and (is_late or (not is_safe and kept.shown[0])):
            kept.shown = ()
            grey_margins(self._scene, lesion)
            show_consensus(self._scene, lesion, {})


def _consensus_surface(part: np.ndarray, offset_kji: tuple[int, int, int], ijk_to_ras: np.ndarray) -> vtk.vtkPolyData:
    return measured_surface(part, part_to_ras(ijk_to_ras, offset_kji))
