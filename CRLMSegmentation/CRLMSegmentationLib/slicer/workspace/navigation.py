"""Navigation: tools in the scene, distances to the nearest tumours, margins.

`receive` gets the transforms, `update` the segmentations at each turn, and measures; margins and consensus surfaces in
the scene follow. `prepare` makes the nodes of tools and of the line to the nearest tumour; `show` moves them, in turns
that may change what the views draw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import slicer
import vtk

from ...core.errors import SeedError, SweepError
from ...core.i18n import tr as _
from ...core.reasons import Reason, ReasonCode
from ...igtl.messages import TransformMessage
from ...tracking.closest_approach import Approaches
from ...tracking.colours import distance_colour
from ...tracking.displayed_distance import DisplayedDistance
from ...tracking.instruments import REFERENCE, InstrumentKind, tip_of
from ...tracking.margins import DEFAULT_MARGINS_MM
from ...tracking.navigator import Navigator
from ...tracking.readings import InstrumentState
from ...tracking.situation import Situation
from ...tracking.targets import Target
from ...tracking.transforms import frames_of
from ..scene.guidance import hide_distance, prepare_distance, show_distance
from ..scene.tools import prepare_tool, remove_tools_except, show_tool
from .events import DistancesUpdated, Events
from .navigation_targets import LesionTarget
from .surfaces import TargetSurfaces

LOOK_AGAIN_S = 0.05
"""Without a new pose the situation changes by what grows old; guards promise 0.3 s."""
FOCUS_ORDER = (InstrumentKind.POINTER, InstrumentKind.DISSECTOR, InstrumentKind.PROBE)
"""Which tip the slices follow while no distance says."""


class Navigation:
    """Measures distances with a `Navigator`, and shows tools and distances in the scene.

    Attributes:
        situation: how things stand.
        navigator: measures.
        approaches: how near instruments have come so far.
        is_calibrated: intervals hold the errors of the models as well; otherwise only those of tracker and voxels.
        is_of_other_source: the volume did not come with the poses, so that they may not belong together.
    """

    def __init__(self, scene: slicer.vtkMRMLScene, clock: Callable[[], float], events: Events) -> None:
        self._scene, self._clock, self._events = scene, clock, events
        self.navigator = Navigator()
        self.is_calibrated = self.is_of_other_source = False
        self.situation = Situation()
        self._targets = TargetSurfaces(scene, DEFAULT_MARGINS_MM)
        self.approaches = Approaches()
        self._is_due, self._looked_at_s, self._sent_s = True, -np.inf, 0.0
        self._frames: frozenset[str] = frozenset()
        self._shown: Situation | None = None
        self._is_prepared = False
        remove_tools_except(scene, ())  # of a scene that has been opened
        hide_distance(scene)

    @property
    def margins_mm(self) -> tuple[float, ...]:
        """Widths of the margins that are drawn and warned of, mm."""
        return self._targets.margins_mm

    @margins_mm.setter
    def margins_mm(self, widths_mm: tuple[float, ...]) -> None:
        self._targets.margins_mm = self.navigator.margins_mm = tuple(sorted(set(widths_mm)))

    @property
    def shows_margins(self) -> bool:
        """Whether margins are drawn; they are warned of in any case."""
        return self._targets.shows_margins

    @shows_margins.setter
    def shows_margins(self, wanted: bool) -> None:
        self._targets.shows_margins = wanted

    @property
    def shows_consensus(self) -> bool:
        """Whether consensus surfaces are drawn, where there are any."""
        return self._targets.shows_consensus

    @shows_consensus.setter
    def shows_consensus(self, wanted: bool) -> None:
        self._targets.shows_consensus = wanted

    @property
    def targets(self) -> dict[str, Target]:
        """The targets that distances are measured to, by lesion."""
        return self._targets.targets

    @property
    def is_at_work(self) -> bool:
        """Whether margins or consensus surfaces are still being made."""
        return self._targets.is_at_work

    def margin_surfaces_of(self, lesion: str) -> dict[float, vtk.vtkPolyData]:
        """Return the margins that have been made of a lesion, by their width in mm, RAS mm."""
        return self._targets.margin_surfaces_of(lesion)

    @property
    def displayed(self) -> DisplayedDistance:
        """What may be shown now; the one source of every distance that is shown."""
        return self.situation.displayed

    @property
    def narrowest_margin_mm(self) -> float | None:
        """The narrowest margin of any lesion that the tip of a trusted instrument is in; None outside of all."""
        return self.displayed.margin_mm

    @property
    def focus_ras_mm(self) -> np.ndarray | None:
        """The tip to look at, RAS mm: that nearest to a tumour, else that of a pointer; None without a trusted one."""
        if self.displayed.focus is not None:
            return self.displayed.focus.tip_ras_mm
        first = min(self._trusted_tips, key=lambda trusted: FOCUS_ORDER.index(trusted[0]), default=None)
        return None if first is None else first[1]

    def pointer_tip_ras_mm(self) -> np.ndarray:
        """Return where the tip of the only pointer is that is tracked now, RAS mm.

        Raises:
            SeedError: there is none, or there are several.
        """
        tips_ras_mm = [tip_ras_mm for kind, tip_ras_mm in self._trusted_tips if kind is InstrumentKind.POINTER]
        if not tips_ras_mm:
            raise SeedError(_("no tool is chosen; choose the transform of a tracked tool"))
        if len(tips_ras_mm) > 1:
            raise SeedError(_("several pointers are tracked; choose one under “How to segment”"))
        return tips_ras_mm[0]

    def forget_tools(self, is_live: bool) -> None:
        """Forget all poses and tools, for the source of the messages is another.

        Args:
            is_live: see `Navigator`.
        """
        margins_mm = self.margins_mm
        self.navigator = Navigator(is_live=is_live)
        self.navigator.margins_mm = margins_mm
        self.navigator.set_targets(self.targets)
        self.situation, self.approaches = Situation(), Approaches()
        self._shown = None
        self._frames, self._is_due, self._sent_s = frozenset(), True, 0.0
        remove_tools_except(self._scene, ())
        hide_distance(self._scene)

    def tip_of_device(self, device: str) -> np.ndarray | Reason | None:
        """Return where the tip of the tool that a device's transform moves is now, RAS mm.

        Returns:
            The reason where it cannot be relied on; None where the name of the device tells of no frames.
        """
        unreliable_reason = self.navigator.unreliable_reason_of(device, self._clock())
        try:
            start, goal = frames_of(device)
        except SweepError:
            return unreliable_reason
        states = [s for s in self.situation.instruments if start in (s.instrument.frame, tip_of(s.instrument.frame))]
        if unreliable_reason is None and not states and goal != REFERENCE:
            return Reason(ReasonCode.NO_PATH, {"start": start, "goal": REFERENCE})
        if unreliable_reason is not None or not states:
            return unreliable_reason
        return states[0].unreliable_reason or states[0].tip_ras_mm

    def receive(self, message: TransformMessage) -> None:
        """Receive a transform that has just arrived."""
        self.navigator.receive(message, self._clock())
        self._is_due, self._sent_s = True, message.timestamp_s

    def forget(self, device: str) -> None:
        """Forget the transform of a device that has been silent for long."""
        self.navigator.forget(device, self._clock())
        self._is_due = True

    def update(self, lesion_targets: Mapping[str, LesionTarget]) -> None:
        """Update targets and distances; call it at each turn."""
        self.is_calibrated = all(lesion_target.residual_error is not None for lesion_target in lesion_targets.values())
        if self._targets.update(lesion_targets):
            self.navigator.set_targets(self.targets)
            self._is_due = True
        now_s = self._clock()
        if not self._is_due and now_s - self._looked_at_s < LOOK_AGAIN_S:
            return
        self._is_due, self._looked_at_s = False, now_s
        self.navigator.warnings = self._warnings
        self.situation = self.navigator.update(now_s)
        self.approaches.update(self.situation, now_s, self._sent_s)
        self._events.emit(DistancesUpdated(self.situation))

    def prepare(self) -> None:
        """Make what is missing in the scene of one tool, or the line, hidden; one a turn, so that none takes long."""
        seen = [state.instrument for state in self.situation.instruments if state.matrix is not None]
        self._is_prepared = not any(prepare_tool(self._scene, instrument) for instrument in seen)
        if self._is_prepared and seen:
            self._is_prepared = not prepare_distance(self._scene)

    def show(self) -> None:
        """Put tools and the line to the nearest tumour where they were measured last, once all of them are made."""
        if self._is_prepared and self._shown is not self.situation:
            self._shown = self.situation
            self._show_tools(self.situation.instruments)
            self._show_distance()

    def _show_tools(self, states: tuple[InstrumentState, ...]) -> None:
        frames = frozenset(state.instrument.frame for state in states)
        if frames != self._frames:
            self._frames = frames
            remove_tools_except(self._scene, set(frames))
        for state in states:
            show_tool(self._scene, state)

    @property
    def _trusted_tips(self) -> list[tuple[InstrumentKind, np.ndarray]]:
        """The kinds of the instruments that can be navigated by now, and where their tips are, RAS mm."""
        trusted = [state for state in self.situation.instruments if state.unreliable_reason is None]
        return [(s.instrument.kind, s.tip_ras_mm) for s in trusted if s.tip_ras_mm is not None]

    @property
    def _warnings(self) -> tuple[Reason, ...]:
        """The warnings that hold for any distance."""
        other = (Reason(ReasonCode.OTHER_SOURCE),) if self.is_of_other_source else ()
        return other if self.is_calibrated else (*other, Reason(ReasonCode.UNCALIBRATED))

    def _show_distance(self) -> None:
        state, reading = self.displayed.nearest or (None, None)
        if state is None or reading is None or state.tip_ras_mm is None:
            hide_distance(self._scene)
            return
        colour = distance_colour(self.displayed.margin_mm, self.margins_mm)
        show_distance(self._scene, state.tip_ras_mm, reading.point_ras_mm, colour)
