"""Correction points in the panel: buttons, keys, clicks into the views, refusals, and models that take none."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.core.crop_format import CLICK_CHANNELS
from CRLMSegmentationLib.core.points import PointKind
from CRLMSegmentationLib.slicer.scene.correction_points import point_node, points_in
from helpers.model_helpers import import_here, make_export, make_package
from helpers.module_helpers import NAME, SEED, track, with_segment_editor
from helpers.point_helpers import exclude, include
from helpers.scripted_tracker import ScriptedTracker, use_tracker
from slicer_host import HostError

INSIDE, EDGE = (23.0, 20.0, 20.0), (26.0, 20.0, 20.0)
PLACING = ("includeButton", "excludeButton", "includeTipButton", "excludeTipButton")
KEYS = {"F8": PointKind.INCLUDE, "F7": PointKind.EXCLUDE}
CLICKS, SEEDS = "clicks@1", "seeds@1"


@pytest.fixture
def models(tmp_path, monkeypatch):
    """Where models are installed: one that takes points, and one that takes none."""
    path = tmp_path / "models"
    make_package(path, "clicks", channels=CLICK_CHANNELS)
    make_package(path, "seeds")
    monkeypatch.setenv("CRLM_MODELS", str(path))
    return path


@pytest.fixture
def panel(models, panel):
    return panel


@pytest.fixture
def clicks(with_result):
    """One lesion, segmented by a model that takes points."""
    with_result.widget.model.use(CLICKS)
    with_result.host.widget("cropSizeSlider").value = 30
    with_result.turns(2)
    with_result.workspace.segment()
    with_result.answer()
    return with_result


@pytest.fixture
def seeds(with_result):
    """One lesion, segmented; the model in use takes no points."""
    with_result.widget.model.use(SEEDS)
    return with_result


def points_of(panel, lesion="Tumour 1"):
    return points_in(panel.host.scene).get(lesion, ())


def request_of(panel):
    return panel.engine.jobs[-1].request


def is_shown(panel, name):
    return panel.host.widget(name)._real.isVisibleTo(panel.host.panel)


# ---- placed


@pytest.mark.parametrize("kind", list(PointKind))
def test_point_is_placed_by_a_button_and_a_click(clicks, kind):
    clicks.press(f"{kind.value}Button")
    clicks.redraw()
    assert clicks.text("nextStepLabel").startswith("Click what ")
    clicks.host.place_point(EDGE)
    clicks.answer()
    assert [(point.kind, point.ras_mm) for point in points_of(clicks)] == [(kind, EDGE)]
    assert request_of(clicks).points == points_of(clicks)
    interaction = clicks.host.scene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
    assert interaction.GetCurrentInteractionMode() != interaction.Place
    assert not clicks.text("nextStepLabel").startswith("Click what ")


def test_button_places_one_point_and_a_second_press_a_second_one(clicks):
    for place in (EDGE, (20.0, 26.0, 20.0)):
        clicks.press("excludeButton")
        clicks.host.place_point(place)
        clicks.answer()
    assert points_of(clicks) == (exclude(*EDGE), exclude(20, 26, 20))


def test_details_tell_how_many_points_there_are_and_which(clicks):
    for button, place in (("excludeButton", EDGE), ("includeButton", INSIDE)):
        clicks.press(button)
        clicks.host.place_point(place)
        clicks.answer()
    assert "points: 1 include, 1 exclude (−1, +2)" in clicks.details()


@pytest.fixture
def tool(clicks):
    node = track(clicks.host.scene, position_mm=EDGE)
    clicks.host.widget("toolSelector").setCurrentNode(node)
    held = np.eye(4)
    held[:3, 3] = EDGE
    clicks.workspace.navigation.navigator.poses.fix("StylusToReference", held)  # a pose that does not grow old
    return node


@pytest.mark.parametrize("by", ["button", "key"])
@pytest.mark.parametrize("key", KEYS)
def test_point_is_put_where_the_tip_of_the_tool_is(clicks, tool, key, by):
    button = {"F8": "includeTipButton", "F7": "excludeTipButton"}[key]
    clicks.press(button) if by == "button" else clicks.shortcut(key)
    clicks.answer()
    assert [(point.kind, point.ras_mm) for point in points_of(clicks)] == [(KEYS[key], pytest.approx(EDGE))]
    assert request_of(clicks).points == points_of(clicks)


def test_without_a_choice_the_only_pointer_sets_the_point(clicks):
    tracker = ScriptedTracker()
    tracker.poses["StylusToReference"] = EDGE
    use_tracker(clicks.workspace, tracker)
    clicks.wait(lambda: len(clicks.workspace.navigation.situation.instruments) == 1)
    clicks.shortcut("F7")
    assert points_of(clicks) == (exclude(*EDGE),)


def test_without_a_tracked_tool_no_point_is_put_and_the_panel_says_why(clicks):
    clicks.shortcut("F8")
    assert clicks.message == "no tool is chosen; choose the transform of a tracked tool"
    assert points_of(clicks) == ()


def test_keys_and_buttons_name_one_another(clicks):
    clicks.redraw()
    for name, key in {"includeTipButton": "F8", "excludeTipButton": "F7", "undoPointButton": "F6"}.items():
        assert f"({key})" in clicks.text(name)
        assert f"{key} or a foot pedal" in clicks.host.widget(name).toolTip


def test_point_goes_to_the_lesion_that_is_selected_in_the_table(clicks):
    clicks.place(INSIDE)
    clicks.answer()
    table = clicks.host.widget("lesionTable")
    assert table.currentRow() == 1, "the one that was placed last is selected"
    clicks.press("excludeButton")
    clicks.host.place_point((26.5, 20.0, 20.0))
    clicks.answer()
    table.setCurrentCell(0, NAME)
    clicks.press("excludeButton")
    clicks.host.place_point(EDGE)
    clicks.answer()
    assert points_of(clicks, "Tumour 2") == (exclude(26.5, 20, 20),)
    assert points_of(clicks) == (exclude(*EDGE),)


def test_without_a_selected_lesion_the_panel_says_so(clicks):
    clicks.place(INSIDE)
    clicks.answer()
    clicks.workspace.lesion_store.active_lesion = None
    clicks.press("includeButton")
    assert clicks.message == "no lesion is selected; choose the one to correct in the table of lesions"
    clicks.shortcut("F6")
    assert "no lesion is selected" in clicks.message


def test_lesion_whose_seed_is_not_placed_takes_no_points(clicks):
    clicks.press("placeButton")
    clicks.redraw()
    clicks.press("includeButton")
    assert clicks.message == "place the seed of 'Tumour 2' first; points correct what is found there"


# ---- refused, removed, undone


def test_point_that_contradicts_the_seed_is_told_and_does_not_stay(clicks):
    clicks.press("excludeButton")
    clicks.host.place_point((21.0, 20.0, 20.0))
    clicks.redraw()
    assert "lies 1.0 mm from the seed (20.0, 20.0, 20.0) mm, so that they contradict each other" in clicks.message
    assert points_of(clicks) == ()
    assert "up to date" in clicks.details()


def test_dragged_point_is_segmented_when_it_lies_still_and_goes_back_from_the_seed(clicks, monkeypatch):
    from CRLMSegmentationLib.slicer.workspace import lesion

    clicks.press("excludeButton")
    clicks.host.place_point(EDGE)
    clicks.answer()
    node, jobs = point_node(clicks.host.scene, "Tumour 1", PointKind.EXCLUDE), len(clicks.engine.jobs)
    monkeypatch.setattr(lesion, "SETTLE_S", 1e9)  # however long a step takes here
    for step in range(1, 6):
        node.SetNthControlPointPositionWorld(0, 26.0, 20.0 + 0.4 * step, 20.0)
        clicks.turns(2)
    assert len(clicks.engine.jobs) == jobs
    assert clicks.engine.previews[-1].request.points == (exclude(26, 22, 20),)
    monkeypatch.setattr(lesion, "SETTLE_S", 0.0)
    clicks.answer()
    assert request_of(clicks).points == (exclude(26, 22, 20),)
    node.SetNthControlPointPositionWorld(0, 20.5, 20.0, 20.0)
    clicks.work_until(lambda: clicks.message)
    assert "contradict each other" in clicks.message
    assert points_of(clicks) == (exclude(26, 22, 20),)
    assert clicks.workspace.rows()[0].is_current


def test_undo_point_brings_the_mask_before_back_at_once(clicks):
    before = clicks.table()[0]
    clicks.press("excludeButton")
    clicks.host.place_point(EDGE)
    clicks.answer()
    after = clicks.table()[0]
    assert after != before
    jobs = len(clicks.engine.jobs)
    clicks.shortcut("F6")
    assert points_of(clicks) == ()
    assert clicks.table()[0] == before
    clicks.press("redoButton")
    clicks.redraw()
    assert points_of(clicks) == (exclude(*EDGE),)
    assert clicks.table()[0] == after
    clicks.press("undoPointButton")
    assert points_of(clicks) == ()
    clicks.turns(5)
    assert len(clicks.engine.jobs) == jobs
    assert not clicks.host.widget("undoPointButton").enabled
    clicks.shortcut("F6")
    assert clicks.message == "'Tumour 1' has no correction points"


def test_any_point_is_removed_in_the_details(clicks):
    for place in (EDGE, (20.0, 26.0, 20.0)):
        clicks.press("excludeButton")
        clicks.host.place_point(place)
        clicks.answer()
    clicks.host.widget("detailsButton").collapsed = False
    box = clicks.host.widget("pointComboBox")
    assert [box.itemText(n) for n in range(box.count)] == [
        "−1  exclude, R A S 26.0 20.0 20.0 mm",
        "−2  exclude, R A S 20.0 26.0 20.0 mm",
    ]
    assert box.currentIndex == 1
    box.setCurrentIndex(0)
    clicks.press("removePointButton")
    clicks.answer()
    assert points_of(clicks) == (exclude(20, 26, 20),)
    clicks.press("removePointButton")
    clicks.redraw()
    assert points_of(clicks) == ()
    assert not is_shown(clicks, "pointComboBox")


def test_details_that_are_opened_show_no_empty_list_of_points(clicks):
    clicks.redraw()
    clicks.host.widget("detailsButton").collapsed = False
    for name in ("pointComboBox", "removePointButton"):
        assert not is_shown(clicks, name), name


def test_point_deleted_in_a_view_is_gone(clicks):
    clicks.press("excludeButton")
    clicks.host.place_point(EDGE)
    clicks.answer()
    point_node(clicks.host.scene, "Tumour 1", PointKind.EXCLUDE).RemoveNthControlPoint(0)
    clicks.redraw()
    assert "points:" not in clicks.details()
    assert "up to date" in clicks.details()


def test_closed_scene_leaves_no_points_and_the_panel_usable(clicks):
    clicks.press("excludeButton")
    clicks.host.place_point(EDGE)
    clicks.answer()
    clicks.host.close_scene()
    assert points_in(clicks.host.scene) == {}
    clicks.host.run_for(0.1)
    assert not clicks.host.widget("undoPointButton").enabled


def test_renewed_scene_takes_points_over(clicks):
    clicks.press("excludeButton")
    clicks.host.place_point(EDGE)
    clicks.answer()
    jobs = len(clicks.engine.jobs)
    clicks.widget.endWorkspace()
    clicks.widget.startWorkspace()
    clicks.redraw()
    assert clicks.engine is not None
    assert "points: 0 include, 1 exclude (−1)" in clicks.details()
    assert jobs
    assert not clicks.engine.jobs, "nothing is segmented by itself"


# ---- models that take none


def test_model_that_takes_none_says_so_and_offers_the_segment_editor(seeds, monkeypatch):
    editor = with_segment_editor(monkeypatch)
    seeds.redraw()
    for name in PLACING:
        widget = seeds.host.widget(name)
        assert not widget.enabled
        assert "takes no correction points; correct its segmentations by hand in the Segment Editor" in widget.toolTip
    assert seeds.text("byHandButton") == "Model takes no points: by hand …"
    assert is_shown(seeds, "byHandButton")
    assert not is_shown(seeds, "includeTipButton")
    seeds.press("byHandButton")
    assert editor.segmentation is seeds.workspace.lesion_store.segmentation_node
    assert editor.segment_id == "Tumour 1"


@pytest.mark.parametrize("key", KEYS)
def test_key_of_a_point_tells_why_this_model_takes_none(seeds, key):
    seeds.shortcut(key)
    assert "takes no correction points" in seeds.message
    assert points_of(seeds) == ()


def test_buttons_follow_the_model_that_is_chosen(clicks):
    clicks.redraw()
    assert all(clicks.host.widget(name).enabled for name in PLACING)
    assert "Then click what belongs" in clicks.host.widget("includeButton").toolTip
    assert not is_shown(clicks, "byHandButton")
    clicks.press("excludeButton")
    clicks.host.place_point(EDGE)
    clicks.answer()
    clicks.widget.model.use(SEEDS)
    clicks.redraw()
    with pytest.raises(HostError, match="disabled"):
        clicks.press("includeButton")
    assert clicks.host.widget("undoPointButton").enabled, "what is there can be taken back"
    clicks.press("undoPointButton")
    assert points_of(clicks) == ()


def test_without_a_lesion_the_buttons_wait_for_one(with_volume):
    with_volume.widget.model.use(CLICKS)
    with_volume.redraw()
    assert not any(with_volume.host.widget(name).enabled for name in PLACING)
    with_volume.place(SEED)
    with_volume.redraw()
    assert all(with_volume.host.widget(name).enabled for name in PLACING)


def test_export_of_a_model_with_click_channels_is_asked_about_and_imported(panel, tmp_path, monkeypatch):
    import_here(monkeypatch)
    panel.host.widget("modelButton").collapsed = False
    panel.host.dialog_answers.append(str(make_export(tmp_path / "results", channels=CLICK_CHANNELS)))
    panel.press("importFolderButton")
    panel.wait(lambda: not panel.widget.logic.models.is_importing)
    panel.redraw()
    assert "four channels" in panel.text("importLabel")
    assert panel.text("channelsCheckBox") == "They are ultrasound, include, exclude, previous segmentation"
    panel.host.widget("channelsCheckBox").checked = True
    panel.press("importAgainButton")
    panel.wait(lambda: not panel.widget.logic.models.is_importing)
    panel.redraw()
    assert panel.workspace.session.model.channels == CLICK_CHANNELS
    assert "at points that correct it" in panel.text("modelInfoLabel")


def test_crop_grows_to_hold_an_include_point(clicks):
    clicks.press("includeButton")
    clicks.host.place_point((34.0, 20.0, 20.0))
    clicks.answer()
    assert request_of(clicks).points == (include(34, 20, 20),)
    assert request_of(clicks).options.crop_size_mm == 48.0
