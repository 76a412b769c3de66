"""Correction points of lesions: noticed in the scene, refused where they cannot be obeyed, removed and undone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import slicer

from ...core.errors import CrlmError, SeedError
from ...core.i18n import tr as _
from ...core.points import CorrectionPoint
from ...segmentation.models.package import check_takes_points
from ...segmentation.session import Session, checked_request
from ..scene.correction_points import (
    NumberedPoints,
    add_point,
    move_point,
    name_points,
    number_points,
    remove_point,
    remove_points_of,
)
from ..scene.seeds import seed_nodes
from .events import Events, PointRefused
from .lesion import Lesion, LesionState
from .lesion_store import BUSY, LesionStore


class LesionPoints:
    """Reads at each `update` which points the user has placed, dragged or deleted.

    A new point that contradicts another, or that cannot be shown to the network, is removed at once, and one that was
    dragged to such a place goes back once it lies still; `PointRefused` tells why. Where points were only removed and
    the segmentation without them is remembered, it is shown again at once.
    """

    def __init__(
        self,
        scene: slicer.vtkMRMLScene,
        session: Session,
        lesion_store: LesionStore,
        clock: Callable[[], float],
        events: Events,
    ) -> None:
        self._scene, self._session, self._lesion_store = scene, session, lesion_store
        self._clock, self._events = clock, events

    def update(self) -> None:
        """Read the points from the scene; call it at each turn, after `LesionStore.update`."""
        found, entries = number_points(self._scene), self._lesion_store.entries
        for lesion in [lesion for lesion in found if lesion not in entries]:
            remove_points_of(self._scene, lesion)
        for lesion, entry in entries.items():
            self._notice(lesion, entry, found.get(lesion, {}))
        if found:
            name_points(self._scene, {lesion: node.GetName() for lesion, node in seed_nodes(self._scene).items()})

    def check_model(self) -> None:
        """Raise ModelError unless the model in use takes points."""
        check_takes_points(self._session.model)

    def check_seed(self, lesion: str) -> None:
        """Raise SeedError unless the seed of a lesion has been placed."""
        if self._lesion_store.entries[lesion].seed_ras_mm is None:
            text = _("place the seed of '{lesion}' first; points correct what is found there")
            raise SeedError(text.format(lesion=self._lesion_store.name_of(lesion)))

    def add(self, lesion: str, point: CorrectionPoint) -> None:
        """Add a point to a lesion.

        Raises:
            SeedError: the lesion has no seed yet, the point contradicts another, or it is not in the volume.
            ModelError: the model takes no points.
        """
        entry = self._lesion_store.entries[lesion]
        self._check(lesion, entry, {**entry.points, max(entry.points, default=0) + 1: point})
        add_point(self._scene, lesion, point)
        self.update()

    def undo(self, lesion: str) -> None:
        """Remove the point that was placed last; the segmentation without it is back at once where it is remembered.

        Raises:
            SeedError: the lesion has no points.
        """
        self.remove(lesion, max(self._lesion_store.entries[lesion].points, default=0))

    def remove(self, lesion: str, number: int) -> None:
        """Remove a point of a lesion.

        Raises:
            SeedError: it has none of this number.
        """
        if number not in self._lesion_store.entries[lesion].points:
            raise SeedError(_("'{lesion}' has no correction points").format(lesion=self._lesion_store.name_of(lesion)))
        remove_point(self._scene, lesion, number)
        self.update()

    def _notice(self, lesion: str, entry: Lesion, points: NumberedPoints) -> None:
        points = self._without_refused(lesion, entry, points)
        before = entry.points
        if points != before:
            self._lesion_store.use_points(lesion, points)
            are_removed = all(before.get(number) == point for number, point in points.items())
            self._begin_correction(lesion, entry, are_removed)
        elif points != entry.accepted_points and entry.has_settled(self._clock()):
            self._accept_moved(lesion, entry)

    def _without_refused(self, lesion: str, entry: Lesion, points: NumberedPoints) -> NumberedPoints:
        """Remove the new points that cannot be obeyed; returns the others."""
        for number in [number for number in points if number not in entry.points]:
            try:
                self._check_new(lesion, entry, points, number)
            except CrlmError as error:
                remove_point(self._scene, lesion, number)
                self._events.emit(PointRefused(lesion, points[number], str(error)))
                points = {other: point for other, point in points.items() if other != number}
        return points

    def _begin_correction(self, lesion: str, entry: Lesion, are_removed: bool) -> None:
        """Let a lesion whose points have changed be segmented, unless its segmentation is known."""
        store = self._lesion_store
        store.active_lesion = lesion
        entry.is_asked = False
        entry.moved_at_s = float("-inf") if are_removed else self._clock()  # what was deleted is not dragged further
        if entry.state is LesionState.FAILED:
            entry.state, entry.reason = (LesionState.DONE if entry.segmentation else LesionState.NEW), ""
        store.refresh_staleness()
        if store.is_of_clicks(lesion) or (are_removed and store.bring_back(lesion)):
            self._session.drop(lesion)
            entry.is_asked = True
            if entry.state in BUSY:
                entry.state = LesionState.DONE

    def _accept_moved(self, lesion: str, entry: Lesion) -> None:
        """Accept points that were dragged, or put them back where they were."""
        try:
            self._check(lesion, entry, entry.points)
            entry.accepted_points = entry.points
        except CrlmError as error:
            for number, point in entry.accepted_points.items():
                if entry.points.get(number) != point:
                    move_point(self._scene, lesion, number, point.ras_mm)
                    self._events.emit(PointRefused(lesion, entry.points[number], str(error)))
            self._lesion_store.use_points(lesion, number_points(self._scene).get(lesion, {}), are_accepted=True)
            self._begin_correction(lesion, entry, are_removed=False)

    def _check_new(self, lesion: str, entry: Lesion, points: NumberedPoints, number: int) -> None:
        """Raise CrlmError where a new point cannot be obeyed; others may have been impossible before it came."""
        try:
            self._check(lesion, entry, points)
        except CrlmError:
            others = {other: point for other, point in points.items() if other in entry.points}
            if not self._is_possible(lesion, entry, others):
                others = {}
            self._check(lesion, entry, {**others, number: points[number]})

    def _is_possible(self, lesion: str, entry: Lesion, points: NumberedPoints) -> bool:
        try:
            self._check(lesion, entry, points)
        except CrlmError:
            return False
        return True

    def _check(self, lesion: str, entry: Lesion, points: Mapping[int, CorrectionPoint]) -> None:
        """Raise CrlmError unless a lesion can be segmented with these points."""
        self.check_seed(lesion)
        volume = self._session.volume
        if volume is None or entry.seed_ras_mm is None:
            raise SeedError(_("there is no volume yet; connect to a source or load one, then place points"))
        checked_request(self._session.model, volume, lesion, entry.seed_ras_mm, points=tuple(points.values()))
