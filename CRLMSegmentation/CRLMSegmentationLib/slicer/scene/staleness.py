"""Marking of lesions that are out of date: of another volume than is shown, of another seed, or of other points.

All that tells is in the scene, so that it also holds for a scene that has been saved and opened again.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

import numpy as np
import slicer
import vtk

from ...core.errors import GeometryError
from ...core.points import CorrectionPoint
from ...core.volume import VolumeIdentity
from .correction_points import are_same_points, points_from_text, points_in
from .nodes import (
    KEY,
    PREFIX,
    VOLUME_IDENTITY,
    identity_from_text,
    local_to_world,
    nodes_of_class,
    one_update,
    to_array,
)
from .seeds import STALE_COLOUR, seed_nodes, seeds_in

CLASS = "vtkMRMLSegmentationNode"
KEY_OF_LESIONS = "Lesions"
STALE = PREFIX + "Stale"
"""Tag: one of the following."""
FRESH, OLD, RENEWED_NOW = "0", "1", "renewed now"
SUFFIXES = {FRESH: "", OLD: " (out of date)", RENEWED_NOW: " (being renewed)"}
VOLUME_KEY = PREFIX + "VolumeKey"
"""Attribute of a segmentation: key of the volume in which its lesions were found."""
SEED = PREFIX + "SeedRasMm"
"""Tag: where the lesion was clicked, world RAS, as three numbers."""
POINTS = PREFIX + "Points"
"""Tag: the points that have corrected the lesion, see `correction_points.points_to_text`; absent in earlier scenes,
which knew none."""
SEED_MOVED_MM = 0.01
"""The tag holds thousandths."""
PLACE = PREFIX + "IjkToLocal"
"""Tag: where the voxels of the lesion's volume lay when it was found, relative to the volume's parent transform: the
first three rows of the 4x4 in mm. The same voxels may have been put elsewhere since."""
SAME_PLACE_MM = 1e-3
"""Of the corner of a volume of 1000 voxels a side; the tag holds nine digits."""
FRESH_LOOK = PREFIX + "FreshLook"
"""Colour of a segment before it was marked as old, as three numbers."""


def lesions_of(
    scene: slicer.vtkMRMLScene, volume_node: slicer.vtkMRMLScalarVolumeNode
) -> slicer.vtkMRMLSegmentationNode | None:
    """Return the segmentation node that holds the lesions of a volume, or None.

    One whose volume was deleted is that of the next volume of the same device.
    """
    all_lesions = [node for node in nodes_of_class(scene, CLASS) if node.GetAttribute(KEY) == KEY_OF_LESIONS]
    known = next((node for node in all_lesions if volume_of(node) is volume_node), None)
    if known is not None or volume_node.GetAttribute(KEY) is None:
        return known
    left = (node for node in all_lesions if volume_of(node) is None)
    return next((node for node in left if node.GetAttribute(VOLUME_KEY) == volume_node.GetAttribute(KEY)), None)


def mark_stale(
    node: slicer.vtkMRMLSegmentationNode,
    current: VolumeIdentity | None,
    renewed: Container[str] = (),
    needs_seed: bool = False,
) -> list[str]:
    """Mark lesions of another volume than the current one, of another seed or of other points, as out of date.

    An old lesion is grey, its name says so, and so does the tag `CRLMSegmentation.Stale`. A lesion is old too where
    the matrix of its volume is another than when it was found, where segmentations and volume lie under different
    transforms, and where its seed is not placed any more.

    Args:
        current: what the volume holds now; None when that is not known yet: then every lesion is old.
        renewed: lesions of the volume before that are being segmented again at this moment: they keep their colour,
            their names say it.
        needs_seed: lesions without a seed node are old; otherwise they are taken to have been found without one.

    Returns:
        IDs of the segments that are old. Segments made by a user carry no identity and are left alone.
    """
    stale_ids = []
    seeds, nodes, points = seeds_in(node.GetScene()), seed_nodes(node.GetScene()), points_in(node.GetScene())
    volume_node = volume_of(node)
    is_together = volume_node is not None and lies_together(node, volume_node)
    with one_update(node):
        for segment_id in node.GetSegmentation().GetSegmentIDs():
            segment = node.GetSegmentation().GetSegment(segment_id)
            source = identity_from_text(tag_of(segment, VOLUME_IDENTITY))
            if source is None:
                continue
            is_seed_left = segment_id not in nodes and not needs_seed
            has_seed = is_seed_left or _is_clicked_there(segment, seeds.get(segment_id), points.get(segment_id, ()))
            same_image = current is not None and source.is_same_image(current) and _is_in_place(segment, volume_node)
            if has_seed and is_together and (same_image or segment_id in renewed):
                _look(segment, FRESH if same_image else RENEWED_NOW)
            else:
                _look(segment, OLD)
                stale_ids.append(segment_id)
        node.SetAttribute(STALE, "1" if stale_ids else "0")
    return stale_ids


def mark_all_stale(scene: slicer.vtkMRMLScene, but: slicer.vtkMRMLSegmentationNode | None = None) -> None:
    """Mark every lesion of every volume as out of date.

    Args:
        but: lesions that are left as they are.
    """
    for node in nodes_of_class(scene, CLASS):
        if node.GetAttribute(KEY) == KEY_OF_LESIONS and node is not but:
            mark_stale(node, None)


def volume_of(node: slicer.vtkMRMLSegmentationNode) -> slicer.vtkMRMLScalarVolumeNode | None:
    """Return the volume in which the lesions of a segmentation were found; None where it was deleted."""
    return node.GetNodeReference(slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole())


def lies_together(node: slicer.vtkMRMLSegmentationNode, volume_node: slicer.vtkMRMLScalarVolumeNode) -> bool:
    """Return whether segmentation and volume lie under the same transform, or under equal ones."""
    if node.GetParentTransformNode() is volume_node.GetParentTransformNode():
        return True
    try:
        return bool(np.allclose(local_to_world(node), local_to_world(volume_node), atol=1e-6))
    except GeometryError:
        return False


def place_to_text(ijk_to_local: np.ndarray, slices: int) -> str:
    """The value of the tag `PLACE`.

    Args:
        slices: number of voxels along k. A left-handed grid is counted from its other end, as 3D Slicer does when it
            reads one from a file.
    """
    return " ".join(f"{x:.9g}" for x in right_handed(ijk_to_local, slices)[:3].ravel())


def right_handed(ijk_to_local: np.ndarray, slices: int) -> np.ndarray:
    """Return the 4x4 of a grid with its k axis reversed where it is left-handed; it fills the same space."""
    ijk_to_local = np.asarray(ijk_to_local, float)
    if np.linalg.det(ijk_to_local[:3, :3]) > 0:
        return ijk_to_local
    from_other_end = np.diag([1.0, 1.0, -1.0, 1.0])
    from_other_end[2, 3] = slices - 1
    return ijk_to_local @ from_other_end


def _is_in_place(segment: slicer.vtkSegment, volume_node: slicer.vtkMRMLScalarVolumeNode | None) -> bool:
    """Whether the volume still lies where it lay when the lesion was found; scenes of earlier versions do not say."""
    text = tag_of(segment, PLACE)
    if text is None or volume_node is None or volume_node.GetImageData() is None:
        return True
    matrix = vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(matrix)
    try:
        before = np.array(text.split(), float).reshape(3, 4)
    except ValueError:
        return False
    slices = volume_node.GetImageData().GetDimensions()[2]
    off = np.abs(right_handed(to_array(matrix), slices)[:3] - before)
    return bool(off[:, :3].max() * 1000 < SAME_PLACE_MM and off[:, 3].max() < SAME_PLACE_MM)


def is_made_of(
    segment: slicer.vtkSegment,
    volume_node: slicer.vtkMRMLScalarVolumeNode | None,
    current: VolumeIdentity | None,
    seed_ras_mm: np.ndarray | None,
    points: Sequence[CorrectionPoint],
) -> bool:
    """Return whether a segment is what was found in a volume as it is now, at a seed and with these points."""
    source = identity_from_text(tag_of(segment, VOLUME_IDENTITY))
    is_of_volume = source is not None and current is not None and source.is_same_image(current)
    return is_of_volume and _is_in_place(segment, volume_node) and _is_clicked_there(segment, seed_ras_mm, points)


def _is_clicked_there(
    segment: slicer.vtkSegment, seed_ras_mm: np.ndarray | None, points: Sequence[CorrectionPoint]
) -> bool:
    """Whether the seed is placed, and seed and points are where they were when the lesion was found."""
    clicked, corrected_by = tag_of(segment, SEED), points_from_text(tag_of(segment, POINTS) or "")
    if seed_ras_mm is None or corrected_by is None or not are_same_points(corrected_by, points):
        return False
    return clicked is None or bool(np.abs(seed_ras_mm - np.array(clicked.split(), float)).max() <= SEED_MOVED_MM)


def tag_of(segment: slicer.vtkSegment, name: str) -> str | None:
    """Return the value of a segment's tag, or None."""
    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else None


def rename(segment: slicer.vtkSegment, name: str) -> None:
    """Rename a segment, and keep the suffix that says that it is out of date."""
    shown = name + SUFFIXES[tag_of(segment, STALE) or FRESH]
    if segment.GetName() != shown:
        segment.SetName(shown)


def own_colour(segment: slicer.vtkSegment) -> tuple[float, float, float]:
    """Return the colour of a segment, also while it is shown in grey."""
    before = tag_of(segment, FRESH_LOOK) if tag_of(segment, STALE) == OLD else None
    red, green, blue = segment.GetColor() if before is None else (float(x) for x in before.split())
    return red, green, blue


def look_fresh(segment: slicer.vtkSegment) -> None:
    """Remove the mark that a segment is out of date."""
    _look(segment, FRESH)


def _look(segment: slicer.vtkSegment, wanted: str) -> None:
    before = tag_of(segment, STALE) or FRESH
    if wanted != before:
        segment.SetName(segment.GetName().removesuffix(SUFFIXES[before]) + SUFFIXES[wanted])
        if wanted == OLD:
            segment.SetTag(FRESH_LOOK, " ".join(f"{x:.6f}" for x in segment.GetColor()))
            segment.SetColor(*STALE_COLOUR)
        elif before == OLD:
            segment.SetColor(*(float(x) for x in (tag_of(segment, FRESH_LOOK) or "").split()))
    if tag_of(segment, STALE) != wanted:
        segment.SetTag(STALE, wanted)
