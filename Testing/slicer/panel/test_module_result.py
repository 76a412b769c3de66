"""Step 4 of the panel: what a row says, whether it still holds, undo and redo, how it looks, correcting."""

from __future__ import annotations

from dataclasses import replace

import pytest
from CRLMSegmentationLib.slicer.scene.staleness import STALE_COLOUR
from helpers.module_helpers import NAME, RELIABILITY, SIZE, overwrite_voxels, with_segment_editor


def paint(panel, lesion="Tumour 1"):
    """What a brush of the Segment Editor does: fill a corner of the volume."""
    from CRLMSegmentationLib.slicer.scene.masks import mask_in_volume
    from slicer import vtkOrientedImageData, vtkSlicerSegmentationsModuleLogic
    from vtk.util.numpy_support import vtk_to_numpy

    node = panel.workspace.lesion_store.segmentation_node
    mask = mask_in_volume(node, lesion, panel.workspace.session.volume)
    mask[0:8, 0:8, 0:8] = True
    image = vtkOrientedImageData()
    image.SetDimensions(mask.shape[::-1])
    image.AllocateScalars(3, 1)
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = mask.ravel()
    logic = vtkSlicerSegmentationsModuleLogic
    logic.SetBinaryLabelmapToSegment(image, node, lesion, logic.MODE_REPLACE, image.GetExtent())


def volume_ml(panel, row=0):
    return float(panel.cell(SIZE, row).split(" ml")[0])


def test_row_says_volume_diameters_time_and_age(with_result):
    name, millilitres, diameters, reliability, distance = with_result.table()[0]
    assert (name, millilitres, reliability, distance) == ("Tumour 1", "2.1 ml", "○ not rated", "–")
    assert [float(part) for part in diameters.removesuffix(" mm").split(" × ")] == pytest.approx([16, 16, 16], abs=1)
    first, second = with_result.details().split("\n")
    assert first.startswith("up to date; what was not imaged could not be recognised")
    assert second.startswith("in ")
    assert second.endswith(" s, volume of just now")


def test_row_warns_in_amber_of_what_the_user_must_look_at(with_volume):
    with_volume.host.widget("cropSizeSlider").value = 20
    with_volume.turns(3)
    with_volume.place((20.0, 20.0, 27.0))
    with_volume.answer()
    assert "cut off by the crop" in with_volume.details()
    assert with_volume.cell(RELIABILITY) == "■ low"
    assert with_volume.host.widget("lesionTable").item(0, RELIABILITY).foreground().color().name() == "#ff7b72"


def old(panel):
    panel.wait(lambda: "OUT OF DATE" in panel.details())
    colour = panel.segment().GetColor()
    return colour == pytest.approx(STALE_COLOUR) and panel.segment().GetName() == "Tumour 1 (out of date)"


def test_moved_seed_makes_the_segmentation_old(with_result):
    with_result.host.widget("autoCheckBox").checked = False
    with_result.seed().SetNthControlPointPositionWorld(0, 23.0, 20.0, 20.0)
    assert old(with_result)
    with_result.seed().SetNthControlPointPositionWorld(0, 20.0, 20.0, 20.0)
    with_result.wait(lambda: "up to date" in with_result.details())
    assert with_result.segment().GetColor() != pytest.approx(STALE_COLOUR)


def test_overwritten_voxels_make_the_segmentation_old(with_result):
    overwrite_voxels(with_result.workspace.volume.node, 7)
    assert old(with_result)
    assert "7" not in with_result.message


def test_another_volume_makes_the_segmentation_old(with_result, tiny_volume):
    segmentations = with_result.workspace.lesion_store.segmentation_node
    with_result.show_volume(replace(tiny_volume, array=tiny_volume.array + 1, timestamp_s=9.0), "another")
    with_result.wait(lambda: "not segmented" in with_result.details())
    assert with_result.cell(SIZE) == ""
    assert segmentations.GetSegmentation().GetSegment("Tumour 1").GetColor() == pytest.approx(STALE_COLOUR)


def test_segmentation_under_a_moved_volume_is_old(with_result):
    node = with_result.workspace.volume.node
    node.SetOrigin(5.0, 0.0, 0.0)
    assert old(with_result)


def test_undo_redo_and_again(with_result):
    panel = with_result
    assert not panel.host.widget("redoButton").enabled
    first_ml = volume_ml(panel)
    paint(panel)
    panel.wait(lambda: "corrected by hand" in panel.details())
    corrected_ml = volume_ml(panel)
    assert corrected_ml == pytest.approx(first_ml + 0.5, abs=0.1)
    panel.press("againButton")
    panel.answer()
    assert volume_ml(panel) == first_ml
    panel.press("undoButton")
    panel.wait(lambda: volume_ml(panel) == corrected_ml)
    assert "corrected by hand" in panel.details()
    panel.press("redoButton")
    panel.wait(lambda: volume_ml(panel) == first_ml)
    panel.turns(25)
    assert len(panel.engine.jobs) == 2


def test_undo_brings_a_removed_lesion_back(with_result):
    with_result.press("removeButton")
    with_result.wait(lambda: with_result.table() == [])
    with_result.press("undoButton")
    with_result.wait(lambda: "up to date" in with_result.details())
    with_result.turns(25)
    assert len(with_result.engine.jobs) == 1


def test_only_the_selected_lesion_is_done_again(with_result):
    with_result.place((22.0, 20.0, 20.0))
    with_result.answer()
    with_result.host.widget("lesionTable").setCurrentCell(1, NAME)
    assert with_result.workspace.lesion_store.active_lesion == "Tumour 2"
    with_result.press("againButton")
    assert with_result.workspace.lesion_store.entries["Tumour 2"].state.value == "waiting"
    assert with_result.workspace.lesion_store.entries["Tumour 1"].state.value == "done"
    with_result.answer()


def test_opacity_and_segmentation_reach_the_views(with_result):
    display = with_result.workspace.lesion_store.segmentation_node.GetDisplayNode()
    with_result.host.widget("opacitySlider").value = 0.3
    with_result.host.widget("outlineCheckBox").checked = True
    with_result.turns(2)
    assert display.GetOpacity3D() == pytest.approx(0.3)
    assert not display.GetVisibility2DFill()
    with_result.host.widget("outlineCheckBox").checked = False
    with_result.turns(2)
    assert display.GetVisibility2DFill()


def test_correct_opens_the_segment_editor_on_the_selected_lesion(with_result, monkeypatch):
    editor = with_segment_editor(monkeypatch)
    with_result.place((22.0, 20.0, 20.0))
    with_result.answer()
    with_result.host.widget("lesionTable").setCurrentCell(1, NAME)
    with_result.press("correctButton")
    assert with_result.host.application.module_requests[-1] == "SegmentEditor"
    assert editor.segment_id == "Tumour 2"
    assert editor.volume is with_result.workspace.volume.node
    assert with_result.widget.shortcuts.installed == []
    with_result.redraw()
    paint(with_result, "Tumour 2")
    with_result.wait(lambda: "corrected by hand" in with_result.details(1))


def test_correct_without_a_segmentation_says_what_to_do(with_volume, monkeypatch):
    editor = with_segment_editor(monkeypatch)
    with_volume.host.widget("autoCheckBox").checked = False
    with_volume.place()
    with_volume.redraw()
    with_volume.press("correctButton")
    assert with_volume.message == "there is no segmentation to correct; segment the lesion first"
    assert editor.segmentation is None


def test_segment_removed_in_the_segment_editor_is_noticed(with_result):
    with_result.workspace.lesion_store.segmentation_node.GetSegmentation().RemoveSegment("Tumour 1")
    with_result.wait(lambda: with_result.cell(SIZE) == "")
    with_result.press("againButton")
    with_result.answer()
    assert "up to date" in with_result.details()


@pytest.mark.parametrize("node", ["segmentation", "segmentation display", "seed display"])
def test_display_of_a_lesion_deleted_by_the_user_does_no_harm(with_result, node):
    segmentation, seed = with_result.workspace.lesion_store.segmentation_node, with_result.seed()
    found = {"segmentation": segmentation, "segmentation display": segmentation.GetDisplayNode()}
    with_result.host.scene.RemoveNode(found.get(node) or seed.GetDisplayNode())
    with_result.redraw()
    with_result.press("againButton")
    with_result.answer()
    assert "up to date" in with_result.details()
    with_result.place((22.0, 20.0, 20.0))
    with_result.answer()
    assert with_result.message == ""
    assert len(with_result.table()) == 2
