"""The surfaces that are measured to and drawn around: kept in step with the outlines, a little at each turn."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import slicer
import vtk

from ..core.errors import CrlmError
from ..navigation.margins import MARGIN_LIMITS_MM, margin_steps
from ..navigation.navigator import Target
from ..navigation.stability import Shells
from ..navigation.surfaces import surface_of_mask
from ..scene.guidance import INNER, OUTER, remove_guidance_except, show_margins, show_shells
from ..scene.segmentations import lesion_surface
from .aims import Aim

BUDGET_S = 0.004
"""Of a turn, for margins and shells; the outline itself is never late."""


@dataclass(eq=False)
class _Kept:
    """What was made of one outline."""

    changed_at: int
    target: Target | None
    shells: Shells | None = None
    shell_surfaces: dict[str, vtk.vtkPolyData] | None = None
    margins: dict[float, vtk.vtkPolyData] | None = None
    work: Iterator[None] | None = None
    shown: tuple = ()


class Targets:
    """Makes surfaces from outlines, and shows margins and shells in the scene.

    Attributes:
        margins_mm: widths, mm.
        shows_margins, shows_shells: whether they are drawn.
        targets: to measure to, by lesion.
    """

    def __init__(self, scene: slicer.vtkMRMLScene, margins_mm: tuple[float, ...]) -> None:
        self._scene, self.margins_mm = scene, margins_mm
        self.shows_margins, self.shows_shells = True, False
        self._kept: dict[str, _Kept] = {}

    @property
    def targets(self) -> dict[str, Target]:
        return {lesion: kept.target for lesion, kept in self._kept.items() if kept.target is not None}

    @property
    def is_at_work(self) -> bool:
        """Whether margins or shells are still being made."""
        return any(kept.work is not None for kept in self._kept.values())

    def margin_surfaces_of(self, lesion: str) -> dict[float, vtk.vtkPolyData]:
        """The margins that have been made of a lesion, by their width in mm, RAS mm."""
        kept = self._kept.get(lesion)
        return dict((kept and kept.margins) or {})

    def look(self, aims: Mapping[str, Aim]) -> bool:
        """Bring all in step; returns whether there is another target than before."""
        has_changed = self._forget_all_but(aims)
        for lesion, aim in aims.items():
            has_changed = self._look_at(lesion, aim) or has_changed
        self._work_for(BUDGET_S)
        for lesion, aim in aims.items():
            has_changed = self._take_shells(lesion) or has_changed
            self._show(lesion, aim)
        return has_changed

    def _forget_all_but(self, aims: Mapping[str, Aim]) -> bool:
        gone = [lesion for lesion in self._kept if lesion not in aims]
        for lesion in gone:
            del self._kept[lesion]
        if gone:
            remove_guidance_except(self._scene, aims)
        return bool(gone)

    def _look_at(self, lesion: str, aim: Aim) -> bool:
        kept = self._kept.get(lesion)
        if kept is None or kept.changed_at != aim.changed_at:
            self._kept[lesion] = self._made(aim, kept)
            return True
        if kept.target is None:
            return False
        has_other_margins = kept.work is None and set(kept.margins or {}) != set(self._wanted_mm)
        if kept.shells is not aim.shells or has_other_margins:
            kept.shells, kept.work = aim.shells, self._steps(kept, aim)
        if (kept.target.name, kept.target.doubt) == (aim.name, aim.doubt):
            return False
        kept.target = _renamed(kept.target, aim)
        return True

    @property
    def _wanted_mm(self) -> tuple[float, ...]:
        low, high = MARGIN_LIMITS_MM
        return tuple(width for width in self.margins_mm if low <= width <= high) if self.shows_margins else ()

    def _made(self, aim: Aim, before: _Kept | None) -> _Kept:
        """The margins of the outline before stay until those of this one have been made."""
        surface = lesion_surface(aim.node, aim.lesion)
        if not surface.GetNumberOfPolys():
            return _Kept(aim.changed_at, None)
        kept = _Kept(aim.changed_at, Target(aim.name, surface, aim.voxel_mm, doubt=aim.doubt), aim.shells)
        kept.shown = before.shown if before else ()
        kept.work = self._steps(kept, aim)
        return kept

    def _steps(self, kept: _Kept, aim: Aim) -> Iterator[None]:
        """Shells first, since distances hang on them; then the margins."""
        shells = {}
        for which, part in ((INNER, aim.shells.inner), (OUTER, aim.shells.outer)) if aim.shells else ():
            if part.any():
                shells[which] = _shell_surface(part, aim)
            yield
        kept.shell_surfaces = shells
        margins = {}
        for width_mm in self._wanted_mm:
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
                except CrlmError:  # an outline that no margin can be drawn around is shown without
                    kept.work, kept.margins = None, dict.fromkeys(self._wanted_mm, vtk.vtkPolyData())

    def _take_shells(self, lesion: str) -> bool:
        """Put shells that have been made meanwhile into the target."""
        kept = self._kept[lesion]
        made = kept.shell_surfaces or {}
        if kept.target is None or (kept.target.inner, kept.target.outer) == (made.get(INNER), made.get(OUTER)):
            return False
        kept.target = Target(
            kept.target.name,
            kept.target.surface,
            kept.target.voxel_mm,
            outer=made.get(OUTER),
            inner=made.get(INNER),
            doubt=kept.target.doubt,
        )
        return True

    def _show(self, lesion: str, aim: Aim) -> None:
        """Draw what has been made; what has not yet is left as it was."""
        kept = self._kept[lesion]
        if kept.target is None:
            margins, shells = {}, {}
        elif kept.work is not None or kept.margins is None:
            return
        else:
            margins = {width: kept.margins[width] for width in self._wanted_mm if width in kept.margins}
            shells = (kept.shell_surfaces or {}) if self.shows_shells else {}
        shown = (not aim.doubt, *map(id, margins.values()), *map(id, shells.values()), *margins)
        if shown != kept.shown:
            kept.shown = shown
            show_margins(self._scene, lesion, margins, is_safe=not aim.doubt)
            show_shells(self._scene, lesion, shells)


def _renamed(target: Target, aim: Aim) -> Target:
    return Target(aim.name, target.surface, target.voxel_mm, target.outer, target.inner, aim.doubt)


def _shell_surface(part: np.ndarray, aim: Aim) -> vtk.vtkPolyData:
    ijk_to_ras = aim.ijk_to_ras.copy()
    ijk_to_ras[:3, 3] += ijk_to_ras[:3, :3] @ np.array(aim.shells.offset_kji[::-1], float)
    return surface_of_mask(part, ijk_to_ras)
