"""Which lesions are what they seem: found in the volume that is shown, from the seed where it is now.

All that tells is in the scene, so that it also holds for a scene that has been saved and opened again.
"""

from __future__ import annotations

from collections.abc import Container

import numpy as np
import slicer
import vtk

from ..core.volume import VolumeIdentity
from .nodes import KEY, PREFIX, VOLUME_IDENTITY, identity_from_text, nodes_of_class, one_update
from .seeds import seeds_in

CLASS = "vtkMRMLSegmentationNode"
KEY_OF_LESIONS = "Lesions"
STALE_COLOUR = (0.55, 0.55, 0.55)
STALE = PREFIX + "Stale"
"""Tag: one of the following."""
FRESH, OLD, RENEWED_NOW = "0", "1", "renewed now"
SUFFIXES = {FRESH: "", OLD: " (out of date)", RENEWED_NOW: " (being renewed)"}
SEED = PREFIX + "SeedRasMm"
"""Tag: where the lesion was clicked, world RAS, as three numbers."""
SEED_MOVED_MM = 0.01
"""The tag holds thousandths."""
FRESH_LOOK = PREFIX + "FreshLook"
"""Colour of a segment before it was marked as old, as three numbers."""


def lesions_of(
    scene: slicer.vtkMRMLScene, volume_node: slicer.vtkMRMLScalarVolumeNode
) -> slicer.vtkMRMLSegmentationNode | None:
    """The segmentation that holds the lesions of a volume, or None."""
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    for node in nodes_of_class(scene, CLASS):
        if node.GetAttribute(KEY) == KEY_OF_LESIONS and node.GetNodeReferenceID(role) == volume_node.GetID():
            return node
    return None


def mark_stale(
    node: slicer.vtkMRMLSegmentationNode, current: VolumeIdentity | None, renewed: Container[str] = ()
) -> list[str]:
    """Show lesions of another volume than the current one, or of another seed, as old, all others as fresh.

    An old lesion is grey, its name says so, and so does the tag `CRLMSegmentation.Stale`.

    Args:
        current: what the volume holds now; None when that is not known yet: then every lesion is old.
        renewed: lesions of the volume before that are being segmented again at this moment: they keep their colour,
            their names say it.

    Returns:
        IDs of the segments that are old. Segments made by a user carry no identity and are left alone.
    """
    stale_ids = []
    seeds = seeds_in(node.GetScene())
    with one_update(node):
        for segment_id in node.GetSegmentation().GetSegmentIDs():
            segment = node.GetSegmentation().GetSegment(segment_id)
            source = identity_from_text(tag_of(segment, VOLUME_IDENTITY))
            if source is None:
                continue
            same_image = current is not None and source.is_same_image(current)
            if _seed_has_moved(segment, seeds.get(segment_id)) or not (same_image or segment_id in renewed):
                _look(segment, OLD)
                stale_ids.append(segment_id)
            else:
                _look(segment, FRESH if same_image else RENEWED_NOW)
        node.SetAttribute(STALE, "1" if stale_ids else "0")
    return stale_ids


def mark_all_stale(scene: slicer.vtkMRMLScene) -> None:
    """Show every lesion of every volume as old."""
    for node in nodes_of_class(scene, CLASS):
        if node.GetAttribute(KEY) == KEY_OF_LESIONS:
            mark_stale(node, None)


def _seed_has_moved(segment: slicer.vtkSegment, seed_ras_mm: np.ndarray | None) -> bool:
    clicked = tag_of(segment, SEED)
    if seed_ras_mm is None or clicked is None:
        return False
    return bool(np.abs(seed_ras_mm - np.array(clicked.split(), float)).max() > SEED_MOVED_MM)


def tag_of(segment: slicer.vtkSegment, name: str) -> str | None:
    """Value of a segment's tag, None where there is none."""
    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else None


def rename(segment: slicer.vtkSegment, name: str) -> None:
    """Give a segment another name; that it is old stays said."""
    shown = name + SUFFIXES[tag_of(segment, STALE) or FRESH]
    if segment.GetName() != shown:
        segment.SetName(shown)


def look_fresh(segment: slicer.vtkSegment) -> None:
    """Take away what says that a segment is old."""
    _look(segment, FRESH)


def _look(segment: slicer.vtkSegment, wanted: str) -> None:
    before = tag_of(segment, STALE) or FRESH
    if wanted != before:
        segment.SetName(segment.GetName().removesuffix(SUFFIXES[before]) + SUFFIXES[wanted])
        if wanted == OLD:
            segment.SetTag(FRESH_LOOK, " ".join(f"{x:.6f}" for x in segment.GetColor()))
            segment.SetColor(*STALE_COLOUR)
        elif before == OLD:
            segment.SetColor(*(float(x) for x in tag_of(segment, FRESH_LOOK).split()))
    segment.SetTag(STALE, wanted)
