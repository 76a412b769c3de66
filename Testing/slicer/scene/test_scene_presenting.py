"""Results in the scene as the demo and the command line show them."""

from __future__ import annotations

import dataclasses

import numpy as np
from CRLMSegmentationLib.core.postprocessing import LesionMask
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.reports.lesion_report import report_entry
from CRLMSegmentationLib.segmentation.results import LesionResult, ModelReady, Options, Request
from CRLMSegmentationLib.slicer.scene.headless import new_scene
from CRLMSegmentationLib.slicer.scene.nodes import to_vtk_matrix
from CRLMSegmentationLib.slicer.scene.overlay import overlay
from CRLMSegmentationLib.slicer.scene.segmentations import lesion_surface
from CRLMSegmentationLib.slicer.scene.staleness import STALE, tag_of
from CRLMSegmentationLib.slicer.scene.volumes import show_volume, volume_from_node

SEED = (20.0, 20.0, 20.0)


def result_in(volume: Volume) -> LesionResult:
    mask = volume.array < 80
    place = volume.ijk_to_ras
    whole = (mask, (0, 0, 0), mask.shape, place, mask.astype(np.float32), place)
    found = LesionMask(*whole, 2.1, (16.0, 16.0, 16.0), 0.9, ())
    request = Request("Tumour 1", SEED, volume.identity, Options(30.0))
    return LesionResult(request, volume, found, {}, "cpu", "stub", "0" * 64, 0.0)


def is_stale(node) -> bool:
    return tag_of(node.GetSegmentation().GetSegment("Tumour 1"), STALE) == "1"


def test_lesion_looks_old_as_soon_as_another_volume_is_shown(tiny_volume):
    scene = new_scene()
    node, _ = overlay(scene, show_volume(scene, tiny_volume, "volume"), result_in(tiny_volume))
    assert not is_stale(node)
    show_volume(scene, dataclasses.replace(tiny_volume, timestamp_s=200.0), "volume")
    assert is_stale(node)
    show_volume(scene, tiny_volume, "volume")
    assert not is_stale(node)


def test_result_of_a_volume_under_a_parent_transform_is_fresh_and_in_its_place(tiny_volume):
    place = np.eye(4)
    place[:3, 3] = [100, -50, 25]
    scene = new_scene()
    parent = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    parent.SetMatrixTransformToParent(to_vtk_matrix(place))
    volume_node = show_volume(scene, tiny_volume, "volume", parent)
    node, _ = overlay(scene, volume_node, result_in(volume_from_node(volume_node)))
    assert not is_stale(node)
    center = np.array(lesion_surface(node, "Tumour 1").GetCenter())
    np.testing.assert_allclose(center, place[:3, 3] + SEED, atol=0.5)


def test_late_result_of_a_replaced_volume_lies_where_it_was_found(tiny_volume):
    moved = tiny_volume.ijk_to_ras.copy()
    moved[:3, 3] = [50, 0, 0]
    scene = new_scene()
    volume_node = show_volume(scene, dataclasses.replace(tiny_volume, ijk_to_ras=moved, timestamp_s=200.0), "volume")
    node, _ = overlay(scene, volume_node, result_in(tiny_volume))
    assert is_stale(node)
    np.testing.assert_allclose(lesion_surface(node, "Tumour 1").GetCenter(), SEED, atol=0.5)


def test_warning_of_the_engine_reaches_the_report(tiny_volume):
    ready = ModelReady("cpu", 1.0, {}, ("the GPU is not used: too old",))
    entry = report_entry(result_in(tiny_volume), ready, "case")
    assert entry["warnings"] == ["the GPU is not used: too old"]
