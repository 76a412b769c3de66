"""A segmented lesion over its volume."""

from __future__ import annotations

import time

import numpy as np
import slicer

from ...segmentation.refinement import unreliable_reason_of
from ...segmentation.results import LesionResult
from ...tracking.colours import LESION_COLOURS
from .nodes import local_to_world
from .segmentations import ShownLesion, show_lesions


def overlay(
    scene: slicer.vtkMRMLScene,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    result: LesionResult,
    colour: tuple[float, float, float] = LESION_COLOURS[0],
    local_to_world_then: np.ndarray | None = None,
) -> tuple[slicer.vtkMRMLSegmentationNode, dict[str, float]]:
    """Show a result over its volume.

    Args:
        local_to_world_then: 4x4 of the transforms above the volume when it was taken to be segmented; None for those
            above it now. A segmentation follows its volume where the volume has been moved meanwhile.

    Returns:
        The segmentation node, and the timings `overlay` and `seed_to_overlay` in seconds.
    """
    started_s = time.monotonic()
    then = local_to_world(volume_node) if local_to_world_then is None else local_to_world_then
    world_to_local = np.linalg.inv(then)
    lesion = ShownLesion(
        name=result.request.lesion,
        mask=result.mask.part,
        colour=colour,
        seed_ras_mm=np.array(result.request.seed_ras_mm),
        volume_identity=result.volume.identity,
        model_sha256=result.model_sha256,
        model_name=result.model_name,
        ijk_to_ras=world_to_local @ result.volume.ijk_to_ras,
        needs_review=bool(result.mask.warnings),
        offset_kji=result.mask.offset_kji,
        shape=result.mask.shape,
        unreliable_reason=unreliable_reason_of(result.mask),
        points=result.request.points,
    )
    node = show_lesions(scene, volume_node, [lesion])
    done_s = time.monotonic()
    return node, {"overlay": done_s - started_s, "seed_to_overlay": done_s - result.requested_at_s}
