"""What must hold after each act upon a workspace, judged from the scene and not from what the workspace believes."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator

import numpy as np
import slicer
from CRLMSegmentationLib.core.geometry import transform_points
from CRLMSegmentationLib.core.points import PointKind, points_of_kind
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.slicer.scene.correction_points import are_same_points, points_from_text, points_in
from CRLMSegmentationLib.slicer.scene.guidance import MARGIN_OF
from CRLMSegmentationLib.slicer.scene.masks import mask_of_segment
from CRLMSegmentationLib.slicer.scene.nodes import VOLUME_IDENTITY, nodes_of_class, to_array
from CRLMSegmentationLib.slicer.scene.seeds import seed_nodes, seeds_in
from CRLMSegmentationLib.slicer.scene.staleness import CLASS as SEGMENTATION
from CRLMSegmentationLib.slicer.scene.staleness import FRESH, OLD, POINTS, SEED, STALE, STALE_COLOUR, SUFFIXES, tag_of
from CRLMSegmentationLib.tracking.colours import UNSAFE_COLOUR
from vtk import vtkGeneralTransform, vtkMatrix4x4
from vtk.util.numpy_support import vtk_to_numpy

from .stress_acts import DARK, DEVICES, MAX_LESIONS, TOOLS, StressedWorkspace

LEAST_DARK = 0.95
LOADED = 2
"""Volumes of the scene that no link has brought."""
VOLUMES = len(DEVICES) + LOADED
MAX_MARGINS = 3
MAX_LIVE_VOLUMES = 80
"""Volumes that Python holds; undo alone remembers the answers of twenty states."""


def violations(workspace: StressedWorkspace) -> list[str]:
    """Everything that is wrong now, in words."""
    found = [*workspace.errors, *_segmentations(workspace), *_table_and_targets(workspace), *_nodes(workspace)]
    workspace.errors.clear()
    return found


def live_volumes() -> int:
    """How many volumes Python holds."""
    gc.collect()
    return sum(isinstance(thing, Volume) and thing.has_voxels for thing in gc.get_objects())


def looks_current(segment: slicer.vtkSegment) -> bool:
    """As people see it: its colour and its name, whatever its tags say."""
    is_grey = np.allclose(segment.GetColor(), STALE_COLOUR, atol=1e-3)
    return not is_grey and not segment.GetName().endswith((SUFFIXES[OLD], "(being renewed)"))


def _segmentations(workspace: StressedWorkspace) -> Iterator[str]:
    current = workspace.workspace.volume.node
    for node in nodes_of_class(workspace.scene, SEGMENTATION):
        role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
        of = node.GetNodeReference(role)
        for lesion in node.GetSegmentation().GetSegmentIDs():
            segment = node.GetSegmentation().GetSegment(lesion)
            if tag_of(segment, VOLUME_IDENTITY) is None:
                continue
            tag = tag_of(segment, STALE) or FRESH
            if looks_current(segment) != (tag == FRESH) and tag != "renewed now":
                yield f"{lesion} of {node.GetName()}: tag {tag!r}, but its name and colour say otherwise"
            if looks_current(segment):
                if of is None or of is not current:
                    yield f"{lesion} of {node.GetName()} looks current, but its volume is not the current one"
                else:
                    yield from _current_segmentation(workspace, node, lesion, segment)


def _current_segmentation(workspace: StressedWorkspace, node, lesion: str, segment) -> Iterator[str]:
    seed = seeds_in(workspace.scene).get(lesion)
    if seed is None:
        yield f"{lesion} looks current, but its seed is not placed"
        return
    clicked = np.array(tag_of(segment, SEED).split(), float)
    if np.abs(seed - clicked).max() > 0.011:
        yield f"{lesion} looks current, but its seed has been moved from {clicked} to {seed}"
    made_with, points = points_from_text(tag_of(segment, POINTS)), points_in(workspace.scene).get(lesion, ())
    if not are_same_points(made_with, points):
        yield f"{lesion} looks current, but was made with other points: {made_with}, now {points}"
    entry = workspace.workspace.lesion_store.entries.get(lesion)
    if entry is None or entry.segmentation is None or entry.segmentation.corrected or lesion in workspace.painted:
        return
    if points_of_kind(made_with, PointKind.INCLUDE):  # what the user has included may be bright
        return
    dark = _share_of_dark(workspace.workspace.volume.node, node, lesion)
    if dark < LEAST_DARK:
        yield f"{lesion} looks current, but only {dark:.0%} of it lies on what the volume shows as tumour"


def _share_of_dark(volume_node, node, lesion: str) -> float:
    """How much of a segmentation lies on dark voxels of the volume that is shown, each with all its transforms."""
    mask, ijk_to_local = mask_of_segment(node, lesion)
    image = volume_node.GetImageData()
    if not mask.any() or image is None:
        return 1.0
    voxels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    points = transform_points(ijk_to_local, np.argwhere(mask)[:, ::-1].astype(float))
    between = vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(
        node.GetParentTransformNode(), volume_node.GetParentTransformNode(), between
    )
    points = np.array([between.TransformPoint(point) for point in points])
    matrix = vtkMatrix4x4()
    volume_node.GetRASToIJKMatrix(matrix)
    ijk = np.round(transform_points(to_array(matrix), points)).astype(int)
    inside = ((ijk >= 0) & (ijk < voxels.shape[::-1])).all(axis=1)
    dark = np.zeros(len(ijk), bool)
    dark[inside] = voxels[tuple(ijk[inside, ::-1].T)] < DARK
    return float(dark.mean())


def _table_and_targets(workspace: StressedWorkspace) -> Iterator[str]:
    workspace, current = workspace.workspace, set()
    node = workspace.lesion_store.segmentation_node
    for lesion in node.GetSegmentation().GetSegmentIDs() if node is not None else ():
        if (tag_of(node.GetSegmentation().GetSegment(lesion), STALE) or FRESH) != OLD:
            current.add(lesion)
    seeds = seeds_in(workspace.scene)
    rows = {row.lesion: row for row in workspace.rows()}
    for lesion, row in rows.items():
        if row.is_current and (lesion not in current or lesion not in seeds):
            yield f"the table calls {lesion} current, and the scene does not"
    for lesion, target in workspace.navigation.targets.items():
        if not target.unreliable_reason and (lesion not in current or lesion not in seeds):
            yield f"{lesion} is navigated by, and its segmentation in the scene is not current"
    for state in workspace.navigation.situation.instruments:
        for reading in state.readings:
            if reading.interval is not None and (reading.lesion not in current or reading.lesion not in seeds):
                yield f"a distance to {reading.lesion} is given, and its segmentation in the scene is not current"
    for model in nodes_of_class(workspace.scene, "vtkMRMLModelNode"):
        lesion, display = model.GetAttribute(MARGIN_OF), model.GetDisplayNode()
        if lesion and lesion not in current and display is not None and display.GetColor() != UNSAFE_COLOUR:
            yield f"a margin of {lesion} looks safe, and its segmentation in the scene is not current"


def _nodes(workspace: StressedWorkspace) -> Iterator[str]:
    scene = workspace.scene
    counts, orphans = Counter(), Counter()
    for number in range(scene.GetNumberOfNodes()):
        node = scene.GetNthNode(number)
        if node.GetID() in workspace.baseline:
            continue
        counts[node.GetClassName()] += 1
        if node.IsA("vtkMRMLDisplayNode") and node.GetDisplayableNode() is None:
            orphans[node.GetClassName()] += 1
        if node.IsA("vtkMRMLStorageNode") and node.GetStorableNode() is None:
            orphans[node.GetClassName()] += 1
    for name, count in orphans.items():
        yield f"{count} nodes of {name} belong to nothing"
    lesions = len(seed_nodes(scene))
    for name, most in {
        "vtkMRMLModelNode": len(TOOLS) + 1 + MAX_LESIONS * (MAX_MARGINS + 2),
        "vtkMRMLMarkupsFiducialNode": MAX_LESIONS + 3 * lesions,
        "vtkMRMLMarkupsROINode": 1,
        "vtkMRMLLinearTransformNode": 2 * len(TOOLS) + 2,
        "vtkMRMLScalarVolumeNode": VOLUMES,
        "vtkMRMLSegmentationNode": 2 * VOLUMES,
    }.items():
        if counts[name] > most:
            yield f"{counts[name]} nodes of {name}, {most} at most are explained"
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    if hierarchy is not None and hierarchy.GetNumberOfItems() > 2 * sum(counts.values()) + 30:
        yield f"{hierarchy.GetNumberOfItems()} items of the subject hierarchy for {sum(counts.values())} nodes"
    if len(workspace.workspace.children) > MAX_LESIONS:
        yield f"{len(workspace.workspace.children)} processes"
