"""Step 2 of the panel: seeds placed, dragged, renamed and removed; the crop box; the tip of a tool."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.slicer.scene.crop_box import crop_box
from CRLMSegmentationLib.slicer.scene.nodes import nodes_of_class
from CRLMSegmentationLib.slicer.scene.seeds import seed_nodes, seed_of
from helpers.module_helpers import NAME, SEED, track
from helpers.scripted_tracker import ScriptedTracker, use_tracker
from PySide6 import QtWidgets


def names(panel):
    return [row[NAME] for row in panel.table()]


def test_seed_is_placed_by_a_button_and_a_click(with_volume):
    with_volume.press("placeButton")
    with_volume.redraw()
    assert "click into the tumour" in with_volume.details()
    with_volume.host.place_point(SEED)
    with_volume.redraw()
    assert "click into the tumour" not in with_volume.details()
    assert seed_of(with_volume.seed()).tolist() == list(SEED)
    interaction = with_volume.host.scene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
    assert interaction.GetCurrentInteractionMode() != interaction.Place


def test_button_pressed_twice_makes_one_seed(with_volume):
    with_volume.press("placeButton")
    with_volume.press("placeButton")
    with_volume.redraw()
    assert names(with_volume) == ["Tumour 1"]


def test_several_lesions_have_names_and_colours_of_their_own(with_volume):
    for shift in range(3):
        with_volume.place((20.0 + shift, 20.0, 20.0))
    with_volume.redraw()
    assert names(with_volume) == ["Tumour 1", "Tumour 2", "Tumour 3"]
    table = with_volume.host.widget("lesionTable")
    assert (
        len({table._real.item(row, NAME).icon().pixmap(16).toImage().pixelColor(8, 8).name() for row in range(3)}) == 3
    )
    for _ in range(3):
        with_volume.answer()
    assert all("up to date" in with_volume.details(row) for row in range(len(with_volume.table())))


def test_dragged_seed_is_segmented_when_it_lies_still(with_result, monkeypatch):
    from CRLMSegmentationLib.slicer.workspace import lesion

    node = with_result.seed()
    monkeypatch.setattr(lesion, "SETTLE_S", 1e9)  # however long a step takes here
    for step in range(10):
        node.SetNthControlPointPositionWorld(0, 20.0 + 0.2 * step, 20.0, 20.0)
        with_result.turns(2)
    assert len(with_result.engine.jobs) == 1
    monkeypatch.setattr(lesion, "SETTLE_S", 0.0)  # no more steps follow
    with_result.answer()
    assert len(with_result.engine.jobs) == 2
    assert with_result.workspace.lesion_store.entries["Tumour 1"].segmentation.result.request.seed_ras_mm[
        0
    ] == pytest.approx(21.8)


def test_lesion_is_renamed_in_the_table(with_result):
    with_result.host.widget("lesionTable").item(0, NAME).setText("segment VIII")
    with_result.redraw()
    assert names(with_result) == ["segment VIII"]
    assert with_result.seed().GetName() == "segment VIII"
    assert with_result.segment().GetName() == "segment VIII"


def test_blank_name_is_not_taken(with_result):
    with_result.host.widget("lesionTable").item(0, NAME).setText("  ")
    with_result.redraw()
    assert names(with_result) == ["Tumour 1"]


def test_name_being_typed_is_not_disturbed_by_another_lesion(with_result):
    with_result.place((21.0, 20.0, 20.0))
    with_result.redraw()
    table = with_result.host.widget("lesionTable")
    table.setCurrentCell(0, NAME)
    table.editItem(table.item(0, NAME))
    editor = table._real.findChild(QtWidgets.QLineEdit)
    editor.setText("segment V")
    with_result.answer()
    assert "up to date" in with_result.details(1)
    assert editor.text() == "segment V"


def test_removed_lesion_takes_its_segmentation_along(with_result):
    with_result.place((22.0, 20.0, 20.0))
    with_result.answer()
    with_result.host.widget("lesionTable").setCurrentCell(1, NAME)
    with_result.press("removeButton")
    with_result.redraw()
    assert names(with_result) == ["Tumour 1"]
    assert with_result.segment("Tumour 2") is None
    assert list(seed_nodes(with_result.host.scene)) == ["Tumour 1"]


def test_seed_deleted_by_the_user_is_gone_from_the_table(with_result):
    with_result.host.scene.RemoveNode(with_result.seed())
    with_result.redraw()
    assert names(with_result) == []
    assert not with_result.host.widget("removeButton").enabled


@pytest.fixture
def tool(with_volume):
    node = track(with_volume.host.scene, position_mm=(19.0, 20.0, 21.0))
    with_volume.host.widget("toolSelector").setCurrentNode(node)
    held = np.eye(4)
    held[:3, 3] = 19.0, 20.0, 21.0
    with_volume.workspace.navigation.navigator.poses.fix("StylusToReference", held)  # a pose that does not grow old
    return node


@pytest.mark.parametrize("by", ["button", "key"])
def test_seed_is_put_where_the_tip_of_the_tool_is(with_volume, tool, by):
    with_volume.press("tipButton") if by == "button" else with_volume.shortcut("F9")
    assert seed_of(with_volume.seed()) == pytest.approx((19.0, 20.0, 21.0))
    with_volume.answer()
    assert "up to date" in with_volume.details()


def test_without_a_tracked_tool_no_seed_is_put_and_the_panel_says_why(with_volume):
    with_volume.press("tipButton")
    assert with_volume.message == "no tool is chosen; choose the transform of a tracked tool"
    tool = track(with_volume.host.scene)
    with_volume.host.widget("toolSelector").setCurrentNode(tool)
    track(with_volume.host.scene, status="MISSING")
    with_volume.shortcut("F9")
    assert "no seed can be placed with 'StylusToReference' now: not tracked" in with_volume.message
    assert not seed_nodes(with_volume.host.scene)


def test_tool_deleted_by_the_user_is_no_longer_chosen(with_volume, tool):
    with_volume.host.scene.RemoveNode(tool)
    with_volume.turns(2)
    assert with_volume.host.widget("toolSelector").currentNode() is None


def test_without_a_choice_the_only_pointer_sets_the_seed(with_volume):
    tracker = ScriptedTracker()
    tracker.poses["StylusToReference"] = (19.0, 20.0, 21.0)
    tracker.poses["DissectorToReference"] = (30.0, 20.0, 21.0)
    use_tracker(with_volume.workspace, tracker)
    with_volume.wait(lambda: len(with_volume.workspace.navigation.situation.instruments) == 2)
    with_volume.press("tipButton")
    assert seed_of(with_volume.seed()) == pytest.approx((19.0, 20.0, 21.0))
    tracker.poses["NeedleToReference"] = (25.0, 20.0, 21.0)
    with_volume.wait(lambda: len(with_volume.workspace.navigation.situation.instruments) == 3)
    with_volume.press("tipButton")
    assert with_volume.message == "several pointers are tracked; choose one under “How to segment”"
    assert len(seed_nodes(with_volume.host.scene)) == 1


def test_crop_is_resized_by_the_slider_and_in_the_views(with_volume):
    with_volume.place()
    with_volume.turns(2)
    box = crop_box(with_volume.host.scene)
    assert box.GetSize() == pytest.approx([30] * 3)
    with_volume.host.widget("cropSizeSlider").value = 40
    with_volume.turns(3)
    assert box.GetSize() == pytest.approx([40] * 3)
    box.SetSize([52.0, 40.0, 40.0])
    with_volume.turns(3)
    assert with_volume.host.widget("cropSizeSlider").value == 52
    assert with_volume.workspace.requests.crop_size_mm == pytest.approx(52)
    assert box.GetSize() == pytest.approx([52] * 3)
    assert with_volume.widget.parameters.parameters.cropSize == 52


def test_size_in_the_views_need_not_be_one_of_the_sliders(with_volume):
    with_volume.place()
    with_volume.turns(2)
    crop_box(with_volume.host.scene).SetSize([33.4, 30.0, 30.0])
    with_volume.turns(5)
    assert with_volume.workspace.requests.crop_size_mm == pytest.approx(33.4)
    assert with_volume.host.widget("cropSizeSlider").value == 33


def test_crop_box_deleted_by_the_user_comes_back(with_result):
    with_result.host.scene.RemoveNode(crop_box(with_result.host.scene))
    with_result.turns(3)
    assert crop_box(with_result.host.scene).GetCenterWorld() == pytest.approx(SEED)
    assert len(nodes_of_class(with_result.host.scene, "vtkMRMLMarkupsROINode")) == 1


def test_seed_waits_for_the_setting_that_starts_by_itself(with_volume):
    with_volume.host.widget("autoCheckBox").checked = False
    with_volume.place()
    with_volume.turns(3)
    assert not with_volume.engine.jobs
    with_volume.host.widget("autoCheckBox").checked = True
    with_volume.answer()
    assert "up to date" in with_volume.details()
