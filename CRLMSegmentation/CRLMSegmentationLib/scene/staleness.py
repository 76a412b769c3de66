"""Which lesions belong to the volume that is shown, and how those that do not are made to look old."""

from __future__ import annotations

import slicer
import vtk

from ..core.volume import VolumeIdentity
from .nodes import KEY, PREFIX, VOLUME_IDENTITY, identity_from_text, one_update

CLASS = "vtkMRMLSegmentationNode"
KEY_OF_LESIONS = "Lesions"
STALE_COLOUR = (0.55, 0.55, 0.55)
STALE_SUFFIX = " (old volume)"
STALE = PREFIX + "Stale"
FRESH_LOOK = PREFIX + "FreshLook"
"""Colour of a segment before it was marked as old, as three numbers."""


def lesions_of(
    scene: slicer.vtkMRMLScene, volume_node: slicer.vtkMRMLScalarVolumeNode
) -> slicer.vtkMRMLSegmentationNode | None:
    """The segmentation that holds the lesions of a volume, or None."""
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    for index in range(scene.GetNumberOfNodesByClass(CLASS)):
        node = scene.GetNthNodeByClass(index, CLASS)
        if node.GetAttribute(KEY) == KEY_OF_LESIONS and node.GetNodeReferenceID(role) == volume_node.GetID():
            return node
    return None


def mark_stale(node: slicer.vtkMRMLSegmentationNode, current: VolumeIdentity) -> list[str]:
    """Show lesions that were found in another volume than the current one as old, all others as fresh.

    An old lesion is grey, its name says so, and so does the tag `CRLMSegmentation.Stale`.

    Returns:
        IDs of the segments that are old. Segments made by a user carry no identity and are left alone.
    """
    stale_ids = []
    with one_update(node):
        for segment_id in node.GetSegmentation().GetSegmentIDs():
            segment = node.GetSegmentation().GetSegment(segment_id)
            source = identity_from_text(tag_of(segment, VOLUME_IDENTITY))
            if source is None:
                continue
            if source.is_same_image(current):
                look_fresh(segment)
            else:
                _look_old(segment)
                stale_ids.append(segment_id)
        node.SetAttribute(STALE, "1" if stale_ids else "0")
    return stale_ids


def tag_of(segment: slicer.vtkSegment, name: str) -> str | None:
    """Value of a segment's tag, None where there is none."""
    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else None


def _look_old(segment: slicer.vtkSegment) -> None:
    if tag_of(segment, STALE) == "1":
        return
    segment.SetTag(FRESH_LOOK, " ".join(f"{x:.6f}" for x in segment.GetColor()))
    segment.SetTag(STALE, "1")
    segment.SetName(segment.GetName() + STALE_SUFFIX)
    segment.SetColor(*STALE_COLOUR)


def look_fresh(segment: slicer.vtkSegment) -> None:
    if tag_of(segment, STALE) == "1":
        segment.SetName(segment.GetName().removesuffix(STALE_SUFFIX))
        segment.SetColor(*(float(x) for x in tag_of(segment, FRESH_LOOK).split()))
    segment.SetTag(STALE, "0")
