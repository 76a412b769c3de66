"""The lesions of a scene with their seeds and segmentations, and undo and redo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import slicer

from ...core.volume import Volume
from ...segmentation.results import LesionResult
from ..scene.correction_points import NumberedPoints, number_points, points_from_text, remove_points_of, set_points
from ..scene.nodes import KEY, local_to_world, nodes_of_class
from ..scene.overlay import overlay
from ..scene.seeds import mark_seed, seed_nodes, seeds_in, show_seed, shown_colour
from ..scene.segmentations import CORRECTED
from ..scene.staleness import (
    CLASS,
    KEY_OF_LESIONS,
    POINTS,
    SEED,
    is_made_of,
    lesions_of,
    lies_together,
    mark_all_stale,
    mark_stale,
    own_colour,
    rename,
    tag_of,
    volume_of,
)
from .current_volume import CurrentVolume
from .events import Cause, Events, LesionRemoved, PointsChanged, ResultShown, SeedMoved, SegmentationChanged
from .lesion import (
    Lesion,
    LesionRefinement,
    LesionRow,
    LesionSegmentation,
    LesionState,
    row_of,
    segmentation_of,
    voxels_changed_at,
)
from .segmentation_history import SegmentationHistory, Segmentations

BUSY = (LesionState.WAITING, LesionState.RUNNING)


class LesionStore:
    """Holds the lesions, and reads at each `update` what the user has changed in the scene.

    Attributes:
        entries: the lesions that have a seed node, by their key.
        on_removed: is called with the key of each lesion that was removed.
        active_lesion: the one whose seed was touched last.
        model_sha256: of the model in use; segmentations of others say so.
    """

    def __init__(
        self, scene: slicer.vtkMRMLScene, volume: CurrentVolume, clock: Callable[[], float], events: Events
    ) -> None:
        self._scene, self._volume, self._clock, self._events = scene, volume, clock, events
        self.entries: dict[str, Lesion] = {}
        self.active_lesion: str | None = None
        self.model_sha256 = ""
        self.on_removed: Callable[[str], object] = lambda lesion: None
        self._are_together = True
        self._history = SegmentationHistory(scene, volume, lambda: self.segmentation_node, self.entries)

    @property
    def segmentation_node(self) -> slicer.vtkMRMLSegmentationNode | None:
        """The node with the segmentation of the current volume."""
        node = self._volume.node
        return lesions_of(self._scene, node) if node else None

    def has_segmentations_in(self, volume_node: slicer.vtkMRMLScalarVolumeNode) -> bool:
        """Return whether a volume has a segmentation with lesions."""
        node = lesions_of(self._scene, volume_node)
        return node is not None and node.GetSegmentation().GetNumberOfSegments() > 0

    def volume_of_segmentations(self) -> slicer.vtkMRMLScalarVolumeNode | None:
        """Return the volume that was segmented last in a loaded scene; None without one."""
        segmentations = [n for n in nodes_of_class(self._scene, CLASS) if n.GetAttribute(KEY) == KEY_OF_LESIONS]
        return volume_of(segmentations[-1]) if segmentations else None

    def rows(self) -> list[LesionRow]:
        """Return the rows of the table, in the order in which the seeds were made."""
        now_s, entries = self._clock(), self.entries
        return [
            row_of(lesion, node, entries.get(lesion, Lesion()), now_s, self.model_sha256)
            for lesion, node in seed_nodes(self._scene).items()
        ]

    def update(self) -> None:
        """Read what the user has changed in the scene since the last turn."""
        self.update_seeds()
        self._update_segmentations()
        self._update_places()
        self._history.forget_deleted()

    def show(self, result: LesionResult, is_undoable: bool = True) -> LesionSegmentation | None:
        """Show a result; returns None when its lesion has been removed meanwhile.

        Args:
            is_undoable: somebody has asked for it. What comes by itself, once a second, is nothing to be undone.
        """
        lesion = result.request.lesion
        seed_node = seed_nodes(self._scene).get(lesion)
        if seed_node is None:
            return None
        if is_undoable:
            self._history.remember()
        place = self._volume.place_of(result.volume)
        node, timings_s = overlay(self._scene, self._volume.node, result, shown_colour(seed_node), place)
        result = replace(result, timings_s={**result.timings_s, **timings_s})
        entry = self.entries.setdefault(lesion, Lesion())
        entry.segmentation = segmentation_of(node, lesion, result, timings_s["seed_to_overlay"], self._volume.arrived_s)
        entry.state, entry.reason = LesionState.DONE, ""
        self._rename_segments()
        self.refresh_staleness()
        self._events.emit(ResultShown(result, entry.segmentation))
        return entry.segmentation

    def refine(self, result: LesionResult) -> None:
        """Replace the segmentation that is shown by a refined one; undo goes back to before the first."""
        lesion = result.request.lesion
        entry, seed_node = self.entries[lesion], seed_nodes(self._scene).get(lesion)
        if seed_node is None:
            return
        before = entry.segmentation
        if before is None:
            return
        place = self._volume.place_of(result.volume)
        node, timings_s = overlay(self._scene, self._volume.node, result, shown_colour(seed_node), place)
        result = replace(result, timings_s={**result.timings_s, "overlay": timings_s["overlay"]})
        entry.segmentation = segmentation_of(node, lesion, result, before.seconds, before.volume_arrived_s)
        self._rename_segments()
        self.refresh_staleness()
        self._events.emit(ResultShown(result, entry.segmentation))

    @property
    def stale(self) -> set[str]:
        """Lesions whose segmentation belongs to another volume or seed than what is shown now."""
        return {lesion for lesion, entry in self.entries.items() if entry.is_stale}

    @property
    def is_waited_for(self) -> bool:
        """Whether somebody waits for a segmentation that was asked for by hand."""
        return any(entry.state in BUSY and not entry.is_automatic for entry in self.entries.values())

    @property
    def is_volume_known(self) -> bool:
        """Whether the content of the current volume is known."""
        return self._volume.identity is not None

    def placed_now(self, volume: Volume) -> np.ndarray:
        """Return the 4x4 from the voxels of a result's volume to world RAS mm, where its segmentation lies now."""
        node, place = self.segmentation_node, self._volume.place_of(volume)
        if node is None or place is None:
            return volume.ijk_to_ras
        placed: np.ndarray = local_to_world(node) @ np.linalg.inv(place) @ volume.ijk_to_ras
        return placed

    def refresh_staleness(self) -> None:
        """Mark the lesions whose segmentation belongs to another volume or seed than what is shown."""
        node, identity = self.segmentation_node, self._volume.identity
        known = self.entries.items() if identity is not None else ()
        renewed = {lesion for lesion, entry in known if entry.is_renewing}
        stale = set(mark_stale(node, identity, renewed, needs_seed=True)) if node else set()
        seeds = seed_nodes(self._scene)
        for lesion, entry in self.entries.items():
            entry.is_stale = lesion in stale
            if lesion in seeds:
                mark_seed(seeds[lesion], entry.segmentation is not None, entry.is_stale)
        mark_all_stale(self._scene, but=node)

    def adopt(self) -> None:
        """Use segmentations that the scene holds already, as after loading one."""
        node = self.segmentation_node
        if node is None:
            return
        if volume_of(node) is None:  # segmentations of a volume of this name that was deleted
            node.SetReferenceImageGeometryParameterFromVolumeNode(self._volume.node)
        for lesion, seed_ras_mm in seeds_in(self._scene).items():
            entry = self.entries.setdefault(lesion, Lesion())
            if entry.segmentation is None and node.GetSegmentation().GetSegment(lesion) is not None:
                entry.segmentation, entry.state = segmentation_of(node, lesion), LesionState.DONE
                entry.seed_ras_mm, entry.is_asked = seed_ras_mm, True
                self._events.emit(SeedMoved(lesion, seed_ras_mm, is_settled=True))
                self._events.emit(SegmentationChanged(lesion, entry.segmentation, Cause.LOADED))

    def take_over_seeds(self) -> None:
        """Use seeds and points that the scene holds already, as after loading one, without segmenting them."""
        for lesion, seed_ras_mm in seeds_in(self._scene).items():
            if lesion not in self.entries:
                self.entries[lesion] = Lesion(seed_ras_mm, state=LesionState.NEW, is_asked=True)
                self._events.emit(SeedMoved(lesion, seed_ras_mm, is_settled=True))
        self._take_over_points()

    def name_of(self, lesion: str) -> str:
        """Return how the user calls a lesion."""
        node = seed_nodes(self._scene).get(lesion)
        return lesion if node is None else str(node.GetName())

    def use_points(self, lesion: str, points: NumberedPoints, are_accepted: bool = False) -> None:
        """Note the points that a lesion has now.

        Args:
            are_accepted: they are not being dragged; otherwise those that were there before may still go back.
        """
        entry = self.entries[lesion]
        entry.points = points
        accepted = {} if are_accepted else entry.accepted_points
        entry.accepted_points = {number: accepted.get(number, point) for number, point in points.items()}
        self._events.emit(PointsChanged(lesion, points, is_settled=are_accepted))

    def is_of_clicks(self, lesion: str) -> bool:
        """Return whether the segmentation is that of seed and points as they are, in the current volume."""
        node, entry = self.segmentation_node, self.entries[lesion]
        segment = None if node is None or entry.segmentation is None else node.GetSegmentation().GetSegment(lesion)
        return segment is not None and self._is_made_of_clicks(lesion, segment)

    def bring_back(self, lesion: str) -> bool:
        """Restore the segmentation of seed and points as they are, where it is remembered; returns whether it was."""
        entry = self.entries[lesion]
        found = self._history.take_back(lesion, lambda segment: self._is_made_of_clicks(lesion, segment))
        if found is None:
            return False
        entry.segmentation, entry.refinement = found, LesionRefinement()
        entry.state, entry.reason = LesionState.DONE, ""
        self._rename_segments()
        self._events.emit(SegmentationChanged(lesion, found, Cause.UNDONE))
        self.refresh_staleness()
        return True

    def leave_volume(self) -> None:
        """Mark the segmentations of the volume before as out of date; they stay in the scene."""
        mark_all_stale(self._scene)
        for entry in self.entries.values():
            entry.segmentation = None
            if entry.state is LesionState.DONE:
                entry.state = LesionState.NEW
            entry.is_stale = False

    @property
    def can_undo(self) -> bool:
        return self._history.can_undo

    @property
    def can_redo(self) -> bool:
        return self._history.can_redo

    def undo(self) -> None:
        """Restore the segmentation as it was before the last change, with the points that it was made with."""
        before = self._points_of_segments()
        self._adapt(self._history.undo(), Cause.UNDONE, before)

    def redo(self) -> None:
        """Restore what was undone last."""
        before = self._points_of_segments()
        self._adapt(self._history.redo(), Cause.REDONE, before)

    def update_seeds(self) -> None:
        """Read the seeds that the user has placed, moved or removed since the last turn."""
        nodes, seeds = seed_nodes(self._scene), seeds_in(self._scene)
        for lesion in [lesion for lesion in self.entries if lesion not in nodes]:
            self._remove(lesion)
        moved = [lesion for lesion in nodes if self._notice_seed(lesion, seeds.get(lesion))]
        if moved:
            self.active_lesion = moved[-1]
            self.refresh_staleness()
        self._rename_segments()

    def _notice_seed(self, lesion: str, seed_ras_mm: np.ndarray | None) -> bool:
        entry = self.entries.setdefault(lesion, Lesion())
        if not entry.has_moved_to(seed_ras_mm):
            return False
        entry.seed_ras_mm, entry.moved_at_s, entry.is_asked = seed_ras_mm, self._clock(), False
        if entry.state in (LesionState.UNPLACED, LesionState.NEW, LesionState.FAILED):
            entry.state, entry.reason = (LesionState.UNPLACED if seed_ras_mm is None else LesionState.NEW), ""
        self._events.emit(SeedMoved(lesion, seed_ras_mm))
        return True

    def _update_segmentations(self) -> None:
        node = self.segmentation_node
        for lesion, entry in self.entries.items():
            if entry.segmentation is None:
                continue
            if node is None or node.GetSegmentation().GetSegment(lesion) is None:
                entry.segmentation = None
                entry.state = LesionState.NEW if entry.state is LesionState.DONE else entry.state
                self._events.emit(SegmentationChanged(lesion, None, Cause.DELETED))
            elif voxels_changed_at(node, lesion) != entry.segmentation.changed_at:
                self._measure_again(node, lesion, entry, entry.segmentation)

    def _update_places(self) -> None:
        """Notice when the user puts segmentation or volume under another transform."""
        node, volume_node = self.segmentation_node, self._volume.node
        are_together = node is None or lies_together(node, volume_node)
        if are_together != self._are_together:
            self._are_together = are_together
            self.refresh_staleness()

    def _measure_again(
        self, node: slicer.vtkMRMLSegmentationNode, lesion: str, entry: Lesion, before: LesionSegmentation
    ) -> None:
        """Note how the segmentation is now that somebody has written voxels into it."""
        after = segmentation_of(node, lesion, before.result, before.seconds, before.volume_arrived_s)
        corrected = before.corrected or after.fingerprint != before.fingerprint
        if corrected and not before.corrected:  # said in the scene, so that it holds when the volume is left or loaded
            node.GetSegmentation().GetSegment(lesion).SetTag(CORRECTED, "1")
        entry.segmentation = replace(
            after, corrected=corrected, unreliable_reason=None if corrected else before.unreliable_reason
        )
        if after.fingerprint != before.fingerprint:
            self._events.emit(SegmentationChanged(lesion, entry.segmentation, Cause.EDITED))

    def _rename_segments(self) -> None:
        node = self.segmentation_node
        if node is None:
            return
        for lesion, seed_node in seed_nodes(self._scene).items():
            segment = node.GetSegmentation().GetSegment(lesion)
            if segment is not None:
                rename(segment, seed_node.GetName())

    def _remove(self, lesion: str) -> None:
        node = self.segmentation_node
        if node is not None and node.GetSegmentation().GetSegment(lesion) is not None:
            self._history.remember()
            node.GetSegmentation().RemoveSegment(lesion)
        remove_points_of(self._scene, lesion)
        del self.entries[lesion]
        if self.active_lesion == lesion:
            self.active_lesion = next(iter(self.entries), None)
        self.on_removed(lesion)
        self._events.emit(LesionRemoved(lesion))

    def _is_made_of_clicks(self, lesion: str, segment: slicer.vtkSegment) -> bool:
        entry = self.entries[lesion]
        points = tuple(entry.points.values())
        return is_made_of(segment, self._volume.node, self._volume.identity, entry.seed_ras_mm, points)

    def _points_of_segments(self) -> dict[str, str]:
        """Return with which points each segment was made, as its tag says it."""
        node = self.segmentation_node
        if node is None:
            return {}
        segmentation = node.GetSegmentation()
        return {
            lesion: tag_of(segmentation.GetSegment(lesion), POINTS) or "" for lesion in segmentation.GetSegmentIDs()
        }

    def _take_over_points(self) -> None:
        """Use points that the scene holds already, of lesions that are known."""
        for lesion, points in number_points(self._scene).items():
            if lesion in self.entries and self.entries[lesion].points != points:
                self.use_points(lesion, points, are_accepted=True)

    def _adapt(self, restored: Segmentations | None, cause: Cause, points_before: Mapping[str, str]) -> None:
        """Adapt seeds, points and lesions to a segmentation that `undo` or `redo` has restored.

        Args:
            restored: what is known of its lesions; None where nothing was restored.
            points_before: with which the segments before were made; points of the others stay as they are.
        """
        node, nodes = self.segmentation_node, seed_nodes(self._scene)
        if node is None or restored is None:
            return
        for lesion in node.GetSegmentation().GetSegmentIDs():
            segment = node.GetSegmentation().GetSegment(lesion)
            place = tag_of(segment, SEED)
            if place and lesion not in nodes:
                show_seed(self._scene, lesion, np.array(place.split(), float), own_colour(segment))
        self.update_seeds()
        for lesion, text in self._points_of_segments().items():
            points = points_from_text(text)
            if lesion in self.entries and text != points_before.get(lesion) and points is not None:
                set_points(self._scene, lesion, points)
                self.use_points(lesion, number_points(self._scene).get(lesion, {}), are_accepted=True)
        for lesion in seed_nodes(self._scene):
            entry = self.entries.setdefault(lesion, Lesion())
            entry.segmentation = restored.get(lesion)
            if entry.state not in BUSY:
                entry.state, entry.reason = (LesionState.DONE if entry.segmentation else LesionState.NEW), ""
            self._events.emit(SegmentationChanged(lesion, entry.segmentation, cause))
            entry.is_asked = True  # whoever undoes does not want it computed again at once
        self.refresh_staleness()
