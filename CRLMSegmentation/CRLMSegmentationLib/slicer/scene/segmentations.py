"""Lesions as segments: where they lie, what they are, and which volume they were found in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from ...core.box import Box
from ...core.errors import VolumeError
from ...core.points import CorrectionPoint
from ...core.reasons import Reason, tag_of_reason
from ...core.volume import VolumeIdentity
from .correction_points import points_to_text
from .drawn_surface import CLOSED_SURFACE, thin_out
from .nodes import (
    KEY,
    PREFIX,
    VOLUME_IDENTITY,
    identity_to_text,
    make_display,
    make_node,
    one_update,
    put_under,
    to_array,
    to_vtk_matrix,
)
from .staleness import (
    CLASS,
    KEY_OF_LESIONS,
    PLACE,
    POINTS,
    SEED,
    VOLUME_KEY,
    lesions_of,
    look_fresh,
    mark_stale,
    place_to_text,
    right_handed,
)
from .volumes import shown_identity

LIVER_METASTASIS = (
    "Segmentation category and type - DICOM master list"
    "~SCT^49755003^Morphologically Altered Structure"
    "~SCT^14799000^Neoplasm, Secondary"
    "~^^"
    "~Anatomic codes - DICOM master list"
    "~SCT^10200004^Liver"
    "~^^"
)
"""Category, type, modifier, region and its modifier, in codes of the contexts that 3D Slicer ships."""

MODEL, MODEL_NAME = PREFIX + "ModelSha256", PREFIX + "ModelName"
"""Tags: which model has found the lesion."""
UNRELIABLE_REASON = PREFIX + "Doubt"
"""Tag: why the border of the segmentation is not to be relied on; empty where it is."""


CORRECTED = PREFIX + "Corrected"
"""Tag: "1" of a segmentation that a user has changed since it was found."""


@dataclass(frozen=True, eq=False)
class ShownLesion:
    """A lesion to be shown as a segment.

    Attributes:
        name: of the lesion; also the ID of its segment, so it stays when a user renames the segment.
        mask: bool, shape (K, J, I), of the volume or of a part of it.
        colour: red, green, blue within 0 to 1.
        seed_ras_mm: the point that was clicked, world RAS.
        volume_identity: of the volume that was segmented.
        model_sha256, model_name: of the model that did it.
        ijk_to_ras: 4x4 of the mask relative to the volume's parent transform; None means the volume's own.
        needs_review: whether there are warnings; the segment is then flagged.
        offset_kji: index in the volume of the first voxel of the mask.
        shape: of the volume, (K, J, I); None where the mask is as large.
        unreliable_reason: why its border is not to be relied on, or None.
        points: that have corrected it, in their order, world RAS.
    """

    name: str
    mask: np.ndarray
    colour: tuple[float, float, float]
    seed_ras_mm: np.ndarray
    volume_identity: VolumeIdentity
    model_sha256: str
    ijk_to_ras: np.ndarray | None = None
    needs_review: bool = False
    offset_kji: tuple[int, int, int] = (0, 0, 0)
    shape: tuple[int, int, int] | None = None
    terminology: str = LIVER_METASTASIS
    model_name: str = ""
    unreliable_reason: Reason | None = None
    points: tuple[CorrectionPoint, ...] = ()


def show_lesions(
    scene: slicer.vtkMRMLScene, volume_node: slicer.vtkMRMLScalarVolumeNode, lesions: Sequence[ShownLesion]
) -> slicer.vtkMRMLSegmentationNode:
    """Show lesions over their volume; one of the same name is updated in place, others stay.

    The segmentation follows its volume under the same parent transform. Lesions of another volume than
    the one shown now are marked as old at once.

    Raises:
        VolumeError: a mask does not have the size of the volume.
    """
    masks = [(lesion, _labelmap(lesion, volume_node)) for lesion in lesions]
    node = lesions_of(scene, volume_node) or _make_segmentation(scene, volume_node)
    with one_update(node):
        put_under(node, volume_node.GetParentTransformNode())
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
        node.SetAttribute(VOLUME_KEY, volume_node.GetAttribute(KEY) or "")
        for lesion, labelmap in masks:
            _show_mask(node, lesion, labelmap)
            _describe(node.GetSegmentation().GetSegment(lesion.name), lesion, _place_of(lesion, volume_node))
        if not node.GetSegmentation().ContainsRepresentation(CLOSED_SURFACE) and any(m is not None for _, m in masks):
            node.CreateClosedSurfaceRepresentation()
        for lesion, _ in masks:
            thin_out(node.GetSegmentation().GetSegment(lesion.name))
    current = shown_identity(volume_node)
    if current is not None:
        mark_stale(node, current)
    return node


def lesion_surface(node: slicer.vtkMRMLSegmentationNode, segment_id: str) -> vtk.vtkPolyData:
    """Return the closed surface of a lesion as it is drawn, in world RAS mm, through all parents.

    It is smoothed, has fewer triangles where there were many, and is empty for an empty mask.

    Raises:
        VolumeError: there is no such segment.
    """
    segment = node.GetSegmentation().GetSegment(segment_id)
    if segment is None:
        there = ", ".join(node.GetSegmentation().GetSegmentIDs()) or "none"
        raise VolumeError(f"'{node.GetName()}' has no segment '{segment_id}'; it holds: {there}")
    surface = segment.GetRepresentation(CLOSED_SURFACE)
    if surface is None:
        return vtk.vtkPolyData()
    to_world = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(node.GetParentTransformNode(), None, to_world)
    moved = vtk.vtkTransformPolyDataFilter()
    moved.SetTransform(to_world)
    moved.SetInputData(surface)
    moved.Update()
    return moved.GetOutput()


def _make_segmentation(
    scene: slicer.vtkMRMLScene, volume_node: slicer.vtkMRMLScalarVolumeNode
) -> slicer.vtkMRMLSegmentationNode:
    node = make_node(scene, CLASS, KEY_OF_LESIONS)
    display = make_display(node)
    display.SetOpacity2DFill(0.2)
    display.SetOpacity2DOutline(1.0)
    display.SetOpacity3D(1.0)
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
    return node


def _labelmap(lesion: ShownLesion, volume_node: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkOrientedImageData | None:
    """The part of a mask that is not empty, as Slicer stores segments; None when all of it is."""
    shape = lesion.shape or lesion.mask.shape
    if lesion.ijk_to_ras is None:
        volume_shape = volume_node.GetImageData().GetDimensions()[::-1]
        if shape != volume_shape:
            came = f"the mask of '{lesion.name}' has shape {shape}"
            raise VolumeError(f"{came}, its volume {volume_shape}; segment again")
    ijk_to_ras = _place_of(lesion, volume_node)
    box = Box.of_mask(lesion.mask)
    if box is None:
        return None
    start = list(box.shifted(lesion.offset_kji).start_kji)
    mask, start, ijk_to_ras = _right_handed(lesion.mask[box.slices], start, shape, ijk_to_ras)
    image = slicer.vtkOrientedImageData()
    image.SetExtent([n for first, count in zip(start[::-1], mask.shape[::-1]) for n in (first, first + count - 1)])
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = mask.ravel()
    image.SetGeometryFromImageToWorldMatrix(to_vtk_matrix(ijk_to_ras))
    return image


def _place_of(lesion: ShownLesion, volume_node: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """4x4 of the voxels of a mask's volume, relative to the volume's parent transform, mm."""
    if lesion.ijk_to_ras is not None:
        return lesion.ijk_to_ras
    matrix = vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(matrix)
    return to_array(matrix)


def _right_handed(
    mask: np.ndarray, start: list[int], shape: tuple[int, int, int], ijk_to_ras: np.ndarray
) -> tuple[np.ndarray, list[int], np.ndarray]:
    """The same voxels in the same places, counted so that Slicer's surfaces face outwards."""
    if np.linalg.det(ijk_to_ras[:3, :3]) > 0:
        return mask, start, ijk_to_ras
    return mask[::-1], [shape[0] - start[0] - len(mask), *start[1:]], right_handed(ijk_to_ras, shape[0])


def _show_mask(
    node: slicer.vtkMRMLSegmentationNode, lesion: ShownLesion, labelmap: slicer.vtkOrientedImageData | None
) -> None:
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    segmentation = node.GetSegmentation()
    if segmentation.GetSegment(lesion.name) is None:
        segmentation.AddEmptySegment(lesion.name, lesion.name, lesion.colour)
    if labelmap is not None:
        # In an image that lesions share, each answer would resample the others onto its grid.
        segmentation.SeparateSegmentLabelmap(lesion.name)
        logic.SetBinaryLabelmapToSegment(labelmap, node, lesion.name, logic.MODE_REPLACE, labelmap.GetExtent())
        return
    segment = segmentation.GetSegment(lesion.name)
    if segment.GetRepresentation(CLOSED_SURFACE) is not None:
        segment.RemoveRepresentation(CLOSED_SURFACE)
    logic.ClearSegment(node, lesion.name)


def _describe(segment: slicer.vtkSegment, lesion: ShownLesion, ijk_to_local: np.ndarray) -> None:
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    status = logic.Flagged if lesion.needs_review else logic.InProgress
    logic.SetSegmentStatus(segment, status)
    segment.SetTag(segment.GetTerminologyEntryTagName(), lesion.terminology)
    segment.SetNameAutoGenerated(False)
    segment.SetColorAutoGenerated(False)
    segment.SetTag(VOLUME_IDENTITY, identity_to_text(lesion.volume_identity))
    segment.SetTag(SEED, " ".join(f"{x:.3f}" for x in lesion.seed_ras_mm))
    segment.SetTag(POINTS, points_to_text(lesion.points))
    segment.SetTag(PLACE, place_to_text(ijk_to_local, (lesion.shape or lesion.mask.shape)[0]))
    segment.SetTag(MODEL, lesion.model_sha256)
    segment.SetTag(MODEL_NAME, lesion.model_name)
    segment.SetTag(UNRELIABLE_REASON, tag_of_reason(lesion.unreliable_reason))
    segment.SetTag(CORRECTED, "0")
    look_fresh(segment)
    segment.SetColor(*lesion.colour)
