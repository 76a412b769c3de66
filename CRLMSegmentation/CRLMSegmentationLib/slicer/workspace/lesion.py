"""A lesion with everything that is known of it, its segmentation, and its row in the table."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import slicer

from ...core.i18n import tr as _
from ...core.postprocessing import measure
from ...core.reasons import Reason, reason_from_tag
from ...core.volume import VolumeIdentity
from ...segmentation.lesion_follow_up import LesionFollowUp
from ...segmentation.refinement import Refinement
from ...segmentation.results import LesionResult, Request
from ..scene.correction_points import NumberedPoints
from ..scene.masks import fingerprint, mask_of_segment
from ..scene.seeds import shown_colour
from ..scene.segmentations import CORRECTED as CORRECTED_TAG
from ..scene.segmentations import MODEL, MODEL_NAME, UNRELIABLE_REASON
from ..scene.staleness import tag_of

CORRECTED = "corrected by hand"
SETTLE_S = 0.3
"""A seed or point that has lain still for so long has been placed; a dragged one is not segmented at every step."""


class LesionState(Enum):
    """State of a lesion's segmentation. UNPLACED: has no seed yet. NEW: has a seed, was never requested."""

    UNPLACED = "unplaced"
    NEW = "new"
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, eq=False)
class LesionSegmentation:
    """The measured segmentation of a lesion in the scene.

    Attributes:
        result: it came from; None when it was loaded with a scene.
        seconds: from the seed to the overlay.
        volume_arrived_s: `time.monotonic()` when its volume came.
        fingerprint: of the segmentation, see `scene.masks.fingerprint`.
        changed_at: modification time of the segment's voxels (VTK's counter) when the segmentation was measured.
        corrected: a user has changed the segmentation since.
        unreliable_reason: why its border is not to be relied on, or None; what a user has corrected is his.
        model_sha256, model_name: which model has found it; empty where that was not written down.
    """

    result: LesionResult | None
    seconds: float | None
    volume_arrived_s: float | None
    volume_ml: float
    diameters_mm: tuple[float, float, float]
    fingerprint: str
    changed_at: int
    corrected: bool = False
    model_sha256: str = ""
    model_name: str = ""
    unreliable_reason: Reason | None = None


@dataclass(eq=False)
class LesionRefinement:
    """State of the background refinement of one lesion.

    Attributes:
        course: says what to ask next.
        latest: the newest result that was shown; None before the first.
        due: what is to be asked once the volume is at rest, each with the result that it is about.
    """

    course: Refinement = field(default_factory=lambda: Refinement(can_refine=False, repeat=False))
    latest: LesionResult | None = None
    due: list[tuple[Request, LesionResult]] = field(default_factory=list)

    def is_about(self, found: LesionSegmentation | None) -> bool:
        """Return whether a segmentation is exactly that which the network was asked to refine."""
        if found is None or found.result is None or found.corrected or self.latest is None:
            return False
        return self.latest.mask is found.result.mask


@dataclass(eq=False)
class Lesion:
    """Everything that is known of one lesion; it goes with it when its seed is removed.

    Attributes:
        seed_ras_mm: where the seed was when last looked at.
        moved_at_s: when it, or one of the points, was seen to move.
        points: that correct its segmentation, when last looked at, by their numbers.
        accepted_points: the same where they lay before they were dragged; there they go back to if need be.
        is_asked: somebody has asked for the lesion at this seed, so it is not asked for by itself.
        is_automatic: the workspace has asked last, and nobody who clicked.
        segmentation: as it stands in the scene; None before the first, and of another volume than the current one.
        asked_in: the volume in which it was asked for last; None where it was not asked for in this volume node.
        is_stale: its segmentation belongs to another volume or seed than what is shown now.
        is_renewing: its segmentation is of the volume before, and is being segmented again at this moment.
        refinement: what the network does for it in the background.
        history: its size and place in each volume.
    """

    seed_ras_mm: np.ndarray | None = None
    moved_at_s: float = 0.0
    state: LesionState = LesionState.UNPLACED
    reason: str = ""
    last_reason: str = ""
    stage: str = ""
    done: int = 0
    total: int = 0
    asked_at_s: float = 0.0
    is_asked: bool = False
    is_automatic: bool = False
    segmentation: LesionSegmentation | None = None
    asked_in: VolumeIdentity | None = None
    is_stale: bool = False
    is_renewing: bool = False
    refinement: LesionRefinement = field(default_factory=LesionRefinement)
    history: LesionFollowUp = field(default_factory=LesionFollowUp)
    points: NumberedPoints = field(default_factory=dict)
    accepted_points: NumberedPoints = field(default_factory=dict)

    def has_settled(self, now_s: float) -> bool:
        """Return whether its seed and points have lain still for so long that they have been placed."""
        return now_s - self.moved_at_s >= SETTLE_S

    def has_moved_to(self, seed_ras_mm: np.ndarray | None) -> bool:
        if self.seed_ras_mm is None or seed_ras_mm is None:
            return self.seed_ras_mm is not seed_ras_mm
        return not np.array_equal(self.seed_ras_mm, seed_ras_mm)


@dataclass(frozen=True)
class LesionRow:
    """A row of the table of lesions.

    Attributes:
        lesion: its key; stays when the user renames it.
        is_current: the segmentation belongs to the volume shown now and to the seed where it is now.
        volume_ml, diameters_mm: None without a segmentation.
        volume_age_s: since the volume of the segmentation came; None when that is not known.
        warnings: in plain words.
        volume_warnings: what is to be known of its volume; nothing is wrong with the segmentation itself.
        reason: why there is no (new) segmentation.
        is_renewing: the segmentation is of the volume before, and is being segmented again in this one.
        unreliable_reason: why the border is not to be relied on; else None.
        refined: what refinement has changed; empty before that.
        expected_dice: Dice to be expected, as calibrated; None where that is not known.
        points: that correct it, by their numbers.
        shift_mm, change: of the centre and (as a share) of the volume, since the volume before; None for the first.
    """

    lesion: str
    name: str
    colour: tuple[float, float, float]
    state: LesionState
    is_current: bool
    volume_ml: float | None
    diameters_mm: tuple[float, float, float] | None
    seconds: float | None
    volume_age_s: float | None
    warnings: tuple[str, ...]
    volume_warnings: tuple[str, ...]
    reason: str
    stage: str
    done: int
    total: int
    elapsed_s: float
    is_renewing: bool = False
    unreliable_reason: Reason | None = None
    refined: str = ""
    expected_dice: float | None = None
    shift_mm: float | None = None
    change: float | None = None
    points: NumberedPoints = field(default_factory=dict)


def segmentation_of(
    node: slicer.vtkMRMLSegmentationNode,
    lesion: str,
    result: LesionResult | None = None,
    seconds: float | None = None,
    volume_arrived_s: float | None = None,
    corrected: bool = False,
) -> LesionSegmentation:
    """Measure a lesion as it stands in the scene."""
    mask, ijk_to_ras = mask_of_segment(node, lesion)
    segment = node.GetSegmentation().GetSegment(lesion)
    volume_ml, diameters_mm = measure(mask, ijk_to_ras)
    corrected = corrected or tag_of(segment, CORRECTED_TAG) == "1"
    return LesionSegmentation(
        result,
        seconds,
        volume_arrived_s,
        volume_ml,
        diameters_mm,
        fingerprint(mask, ijk_to_ras),
        voxels_changed_at(node, lesion),
        corrected,
        tag_of(segment, MODEL) or "",
        tag_of(segment, MODEL_NAME) or "",
        None if corrected else reason_from_tag(tag_of(segment, UNRELIABLE_REASON) or ""),
    )


def voxels_changed_at(node: slicer.vtkMRMLSegmentationNode, lesion: str) -> int:
    """Return VTK's modified time of a segment's voxels, 0 without any."""
    voxels = node.GetSegmentation().GetSegment(lesion).GetRepresentation("Binary labelmap")
    return 0 if voxels is None else voxels.GetMTime()


def row_of(
    lesion: str,
    seed_node: slicer.vtkMRMLMarkupsFiducialNode,
    entry: Lesion,
    now_s: float,
    model_sha256: str,
) -> LesionRow:
    """Return a lesion's row in the table, while the model of that hash is in use."""
    found = entry.segmentation
    arrived_s = found.volume_arrived_s if found else None
    busy = entry.state in (LesionState.WAITING, LesionState.RUNNING)
    return LesionRow(
        lesion=lesion,
        name=seed_node.GetName(),
        colour=shown_colour(seed_node),
        state=entry.state,
        is_current=found is not None and not entry.is_stale,
        volume_ml=found.volume_ml if found else None,
        diameters_mm=found.diameters_mm if found else None,
        seconds=found.seconds if found else None,
        volume_age_s=None if arrived_s is None else now_s - arrived_s,
        warnings=(*_of_another_model(found, model_sha256), *_warnings_of(found)),
        volume_warnings=found.result.volume_warnings if found and found.result else (),
        reason=entry.reason,
        stage=entry.stage,
        done=entry.done,
        total=entry.total,
        elapsed_s=now_s - entry.asked_at_s if busy else 0.0,
        points=entry.points,
    )


def _of_another_model(found: LesionSegmentation | None, model_sha256: str) -> tuple[str, ...]:
    """Return the warning that a segmentation was made by another model than the one in use."""
    if found is None or found.model_sha256 in ("", model_sha256):
        return ()
    name = f"{found.model_name} {found.model_sha256[:8]}".lstrip()
    return (_("made with another model: {name}").format(name=name),)


def _warnings_of(found: LesionSegmentation | None) -> tuple[str, ...]:
    if found is None:
        return ()
    if found.corrected:
        return (CORRECTED,)
    return found.result.mask.warnings if found.result else ()
