"""The segmentations that navigation measures to, each with its reliability."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import slicer

from ...core.reasons import Reason, ReasonCode
from ...segmentation.calibration import ModelCalibration
from ...segmentation.consensus import Consensus
from ...segmentation.session import Session
from ...tracking.interval import ResidualError
from ..scene.nodes import local_to_world
from ..scene.seeds import seed_nodes
from .lesion import LesionSegmentation
from .lesion_store import LesionStore

OUT_OF_DATE, NOTHING_FOUND = Reason(ReasonCode.OUT_OF_DATE), Reason(ReasonCode.NOTHING_FOUND)


@dataclass(frozen=True, eq=False)
class LesionTarget:
    """A segmentation that navigation measures to.

    Attributes:
        lesion, name: its key, and as shown.
        node: in which its segment is.
        place: 4x4 from the node's own coordinates to world RAS mm.
        fingerprint: of the segmentation, see `scene.masks.fingerprint`.
        voxel_mm: longest edge of the voxels of its volume.
        ijk_to_ras: 4x4 of its volume, world RAS mm.
        consensus: of exactly this segmentation, if there are any.
        unreliable_reason: why it is not to be relied on, or None.
        residual_error: error of the model that has found it; None where nobody has measured that.
    """

    lesion: str
    name: str
    node: slicer.vtkMRMLSegmentationNode
    place: np.ndarray
    fingerprint: str
    voxel_mm: float
    ijk_to_ras: np.ndarray
    consensus: Consensus | None
    unreliable_reason: Reason | None
    residual_error: ResidualError | None


def lesion_targets(
    scene: slicer.vtkMRMLScene,
    session: Session,
    lesion_store: LesionStore,
    calibrations: Mapping[str, ModelCalibration | None],
) -> dict[str, LesionTarget]:
    """Return the segmentations that navigation measures to now, by lesion.

    Args:
        calibrations: of the models that are known, by their hash.

    Raises:
        GeometryError: the segmentations lie under a transform that is not linear.
    """
    node = lesion_store.segmentation_node
    found = [
        (lesion, entry, entry.segmentation) for lesion, entry in lesion_store.entries.items() if entry.segmentation
    ]
    if node is None or not found:
        return {}
    seeds, place, lesion_targets = seed_nodes(scene), local_to_world(node), {}
    for lesion, entry, segmentation in found:
        volume = segmentation.result.volume if segmentation.result else session.volume
        if volume is None:  # nothing says where its voxels lie
            continue
        calibration = calibrations.get(segmentation.model_sha256)
        lesion_targets[lesion] = LesionTarget(
            lesion,
            seeds[lesion].GetName(),
            node,
            place,
            segmentation.fingerprint,
            float(volume.spacing_mm.max()),
            lesion_store.placed_now(volume),
            entry.refinement.course.consensus_of(lesion) if entry.refinement.is_about(segmentation) else None,
            _unreliable_reason_of(segmentation, entry.is_stale),
            calibration.residual_error if calibration else None,
        )
    return lesion_targets


def _unreliable_reason_of(segmentation: LesionSegmentation, is_stale: bool) -> Reason | None:
    if is_stale:
        return OUT_OF_DATE
    return NOTHING_FOUND if segmentation.volume_ml == 0 else segmentation.unreliable_reason
