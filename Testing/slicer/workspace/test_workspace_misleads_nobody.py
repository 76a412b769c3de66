"""Whatever users do: segmentations, unreliable reasons, distances and histories that look current are current.

The engine, the link and the clock are stubs; the scene and its surfaces are real.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slicer
from CRLMSegmentationLib.igtl.messages import TransformMessage, image_of
from CRLMSegmentationLib.segmentation.refinement import CUT_OFF
from CRLMSegmentationLib.slicer.scene.guidance import margins_of
from CRLMSegmentationLib.slicer.scene.masks import mask_of_segment
from CRLMSegmentationLib.slicer.scene.nodes import find_node, nodes_of_class
from CRLMSegmentationLib.slicer.scene.seeds import seed_nodes
from CRLMSegmentationLib.slicer.scene.tools import MODEL
from CRLMSegmentationLib.slicer.scene.volumes import show_volume
from CRLMSegmentationLib.slicer.workspace.background_refinement import QUIET_S
from CRLMSegmentationLib.slicer.workspace.lesion import LesionState
from CRLMSegmentationLib.slicer.workspace.navigation_targets import NOTHING_FOUND, OUT_OF_DATE
from CRLMSegmentationLib.slicer.workspace.resegmentation import GRACE_S
from CRLMSegmentationLib.tracking.colours import UNSAFE_COLOUR
from helpers.navigation_scene_helpers import (
    Tracker,
    at,
    calibration,
    draw_all,
    finish,
    finish_all,
    send_volume,
    turns,
    with_lesion,
)
from helpers.workspace_helpers import SEED, StubLink, paint


@pytest.fixture
def tracker(workspace, link, engine, clock, tiny_volume):
    with_lesion(workspace, link, engine, tiny_volume)
    return Tracker(workspace, link, clock)


@pytest.fixture
def cut_off(workspace, link, engine, clock, tiny_volume):
    """A tracker beside a long tumour that a crop of 20 mm has cut off; the larger crop has not answered yet."""
    workspace.requests.crop_size_mm = 20.0
    array = np.where(tiny_volume.array < 80, tiny_volume.array, np.uint8(120))
    array[14:27, 14:27, 4:37] = 40
    with_lesion(workspace, link, engine, replace(tiny_volume, array=array))
    return Tracker(workspace, link, clock)


def row(workspace):
    return workspace.rows()[0]


def distance_mm(tracker, x=40.0):
    nearest = tracker.send(StylusToReference=at(x)).nearest
    return None if nearest is None else nearest[1].interval.distance_mm


def empty_of(volume):
    return replace(volume, array=np.full_like(volume.array, 120))


# ---- the doubt belongs to the segmentation


def test_segmentation_that_was_cut_off_stays_in_doubt_when_it_is_asked_for_again_and_cancelled(cut_off, workspace):
    assert distance_mm(cut_off) is None
    workspace.segment()
    assert row(workspace).unreliable_reason == CUT_OFF
    assert distance_mm(cut_off) is None
    workspace.cancel()
    turns(workspace)
    assert distance_mm(cut_off) is None


def test_segmentation_that_was_cut_off_is_in_doubt_again_after_undo(cut_off, workspace, engine):
    workspace.segment()
    finish(workspace, engine)
    workspace.lesion_store.undo()
    workspace.tick()
    assert row(workspace).unreliable_reason == CUT_OFF
    assert distance_mm(cut_off) is None


def test_segmentation_that_was_cut_off_is_in_doubt_when_its_volume_is_chosen_again(
    cut_off, workspace, engine, tiny_volume
):
    node = workspace.volume.node
    workspace.use_node(show_volume(workspace.scene, empty_of(tiny_volume), "other"))
    turns(workspace)
    workspace.use_node(node)
    turns(workspace)
    assert row(workspace).unreliable_reason == CUT_OFF


def test_larger_crop_that_fails_leaves_the_segmentation_in_doubt(cut_off, workspace, engine):
    turns(workspace)
    engine.fail("no memory")
    turns(workspace)
    assert row(workspace).unreliable_reason == CUT_OFF
    assert distance_mm(cut_off) is None


# ---- a segmentation is only replaced by an answer to it


def test_larger_crop_does_not_overwrite_a_correction_by_hand(cut_off, workspace, engine):
    turns(workspace)
    paint(workspace, "Tumour 1", np.s_[18:23, 18:23, 20:35])
    workspace.tick()
    volume_ml = row(workspace).volume_ml
    engine.finish()
    turns(workspace)
    assert row(workspace).volume_ml == volume_ml
    assert row(workspace).state is LesionState.DONE


def test_renewal_under_way_does_not_overwrite_a_correction_by_hand(tracker, workspace, link, engine, tiny_volume):
    workspace.resegmentation.enabled = True
    send_volume(workspace, link, tiny_volume, 1)
    paint(workspace, "Tumour 1", np.s_[18:23, 18:23, 20:35])
    workspace.tick()
    volume_ml = row(workspace).volume_ml
    engine.finish()
    turns(workspace)
    assert row(workspace).volume_ml == volume_ml
    assert not row(workspace).is_current


def test_lesions_keep_their_segmentations_when_another_is_answered_on_another_grid(
    workspace, link, engine, tiny_volume
):
    with_lesion(workspace, link, engine, tiny_volume)
    workspace.add_seed((19.0, 20.0, 20.0))
    workspace.tick()
    workspace.segment(["Tumour 2"])
    finish(workspace, engine)
    before, _ = mask_of_segment(workspace.lesion_store.segmentation_node, "Tumour 2")
    moved = np.eye(4)
    moved[:3, 3] = 0.37, -0.41, 0.22
    send_volume(workspace, link, replace(tiny_volume, ijk_to_ras=moved), 1)
    workspace.segment(["Tumour 1"])
    finish(workspace, engine)
    turns(workspace)
    after, _ = mask_of_segment(workspace.lesion_store.segmentation_node, "Tumour 2")
    assert np.array_equal(before, after)
    assert not workspace.lesion_store.entries["Tumour 2"].segmentation.corrected


# ---- where it stands


def test_segmentation_that_is_moved_with_its_transform_is_measured_to_where_it_stands(
    workspace, link, engine, clock, tiny_volume
):
    place = workspace.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "place")
    workspace.use_node(show_volume(workspace.scene, tiny_volume, "loaded", place))
    workspace.add_seed(SEED)
    workspace.tick()
    workspace.segment()
    finish(workspace, engine)
    tracker = Tracker(workspace, link, clock)
    assert distance_mm(tracker) == pytest.approx(12, abs=0.6)
    matrix = slicer.vtkMRMLLinearTransformNode().GetMatrixTransformToParent()
    matrix.SetElement(0, 3, 10.0)
    place.SetMatrixTransformToParent(matrix)
    assert distance_mm(tracker) == pytest.approx(2, abs=0.6)


def test_live_volume_is_taken_out_of_a_transform(tracker, workspace, link, tiny_volume):
    place = workspace.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "place")
    workspace.volume.node.SetAndObserveTransformNodeID(place.GetID())
    send_volume(workspace, link, tiny_volume, 1)
    assert workspace.volume.node.GetParentTransformNode() is None
    assert "taken out of its transform" in "\n".join(workspace.log)


def test_segmentation_is_measured_to_whatever_its_display_is_like(tracker, workspace):
    workspace.lesion_store.segmentation_node.GetSegmentation().GetSegment("Tumour 1").RemoveRepresentation(
        "Closed surface"
    )
    workspace.lesion_store.segmentation_node.GetDisplayNode().SetVisibility3D(False)
    assert distance_mm(tracker) == pytest.approx(12, abs=0.6)


# ---- nothing drops out in silence


def test_lesion_at_which_nothing_is_found_any_more_is_told(tracker, workspace, link, engine, tiny_volume):
    workspace.resegmentation.enabled = True
    send_volume(workspace, link, empty_of(tiny_volume), 1)
    finish(workspace, engine)
    situation = tracker.send(StylusToReference=at(40.0))
    assert [reading.unreliable_reason for reading in situation.instruments[0].readings] == [NOTHING_FOUND]
    assert margins_of(workspace.scene, "Tumour 1") == []


def test_one_step_that_fails_does_not_freeze_the_tools(tracker, workspace, link, clock, monkeypatch):
    monkeypatch.setattr(workspace.lesion_store, "update", lambda: 1 / 0)
    link.inbox = [TransformMessage("StylusToReference", 1_700_000_000.0, at(29.0))]
    clock.now_s += 0.05
    with pytest.raises(ZeroDivisionError):
        workspace.tick()
    assert workspace.navigation.situation.nearest[1].interval.distance_mm == pytest.approx(1, abs=0.6)


def test_one_message_that_fails_does_not_keep_back_the_next(tracker, workspace, link, tiny_volume, monkeypatch):
    monkeypatch.setattr(workspace, "_note_volume", lambda *_: 1 / 0)
    link.inbox = [
        image_of(replace(tiny_volume, timestamp_s=101.0)),
        TransformMessage("ProbeToReference", 0.0, at(50.0)),
    ]
    with pytest.raises(ZeroDivisionError):
        workspace.tick()
    assert "Probe" in {state.instrument.frame for state in workspace.navigation.situation.instruments}


def test_scale_of_a_calibration_is_shown_like_any_transform(tracker, workspace):
    tracker.send(ImageToProbe=np.diag([0.005, 0.005, 0.005, 1.0]), StylusToReference=at(40.0))
    assert find_node(workspace.scene, "vtkMRMLLinearTransformNode", "ImageToProbe") is not None


@pytest.mark.parametrize("key", ["Tool Stylus", "Distance", "Tumour 1 +5 mm"])
def test_display_that_a_user_has_deleted_is_made_again(tracker, workspace, key):
    draw_all(workspace)
    tracker.send(StylusToReference=at(40.0))
    workspace.scene.RemoveNode(find_node(workspace.scene, MODEL, key).GetDisplayNode())
    workspace.navigation.margins_mm = (5.0, 8.0)
    draw_all(workspace)
    tracker.send(StylusToReference="MISSING")
    tracker.send(StylusToReference=at(35.0))
    assert find_node(workspace.scene, MODEL, key).GetDisplayNode() is not None


# ---- other sources, other models


def test_segmentation_of_another_source_is_told(tracker, workspace, clock):
    assert distance_mm(tracker)
    assert not workspace.navigation.is_of_other_source
    other = StubLink()
    workspace.use_link(other)
    Tracker(workspace, other, clock).send(StylusToReference=at(40.0))
    assert workspace.navigation.is_of_other_source


def test_volume_of_the_same_name_from_another_source_is_no_successor(tracker, workspace, engine, tiny_volume):
    workspace.resegmentation.enabled = True
    other = StubLink()
    workspace.use_link(other)
    send_volume(workspace, other, tiny_volume, 1)
    turns(workspace)
    assert len(engine.jobs) == 1
    assert not row(workspace).is_renewing
    assert not row(workspace).is_current


def test_interval_holds_the_error_of_the_model_that_has_found_the_segmentation(tracker, workspace, model):
    before = tracker.send(StylusToReference=at(40.0)).nearest[1].interval
    assert not workspace.navigation.is_calibrated
    model.calibration = calibration(with_shells_mm=2.0, alone_mm=5.0)
    workspace._know_model()
    after = tracker.send(StylusToReference=at(40.0)).nearest[1].interval
    assert workspace.navigation.is_calibrated
    assert before.low_mm - after.low_mm == pytest.approx(5.0)


# ---- the same name again


def test_new_lesion_of_an_old_name_begins_anew(tracker, workspace, link, engine, tiny_volume):
    tracker.send(StylusToReference=at(30.0))
    workspace.segment()
    workspace.tick()
    workspace.remove_seed("Tumour 1")
    workspace.tick()
    assert engine.pending is None or workspace.session._queue.running is None
    workspace.add_seed((19.0, 20.0, 20.0))
    turns(workspace)
    assert row(workspace).volume_ml is None
    assert workspace.lesion_store.entries["Tumour 1"].history.sightings == ()
    assert workspace.navigation.approaches.nearest_of("Tumour 1") is None


def test_seed_that_is_moved_to_another_tumour_begins_a_history_of_its_own(
    tracker, workspace, link, engine, tiny_volume
):
    array = tiny_volume.array.copy()
    array[2:8, 2:8, 2:8] = 40
    array[12:29, 12:29, 12:29] = 120
    send_volume(workspace, link, replace(tiny_volume, array=array), 1)
    seed_nodes(workspace.scene)["Tumour 1"].SetNthControlPointPositionWorld(0, 5.0, 5.0, 5.0)
    turns(workspace)
    workspace.segment()
    finish(workspace, engine)
    assert len(workspace.lesion_store.entries["Tumour 1"].history.sightings) == 1
    assert row(workspace).shift_mm is None


# ---- following


def test_renewal_asks_with_the_crop_that_was_large_enough(cut_off, workspace, link, engine, tiny_volume):
    turns(workspace)
    while row(workspace).unreliable_reason:
        finish(workspace, engine)
    size_mm = workspace.lesion_store.entries["Tumour 1"].segmentation.result.request.options.crop_size_mm
    assert size_mm > 20.0
    workspace.resegmentation.enabled = True
    send_volume(workspace, link, workspace.session.volume, 1)
    assert engine.jobs[-1].request.options.crop_size_mm == size_mm


def test_segmentation_whose_renewal_has_failed_is_out_of_date_at_once(tracker, workspace, link, engine, tiny_volume):
    workspace.resegmentation.enabled = True
    send_volume(workspace, link, tiny_volume, 1)
    engine.fail("no memory")
    turns(workspace)
    assert not row(workspace).is_renewing
    assert not row(workspace).is_current
    assert distance_mm(tracker) is None


def test_answers_that_come_by_themselves_are_nothing_to_undo(tracker, workspace, link, engine, tiny_volume):
    workspace.resegmentation.enabled = True
    for number in range(1, 5):
        send_volume(workspace, link, tiny_volume, number)
        finish(workspace, engine)
    assert not workspace.lesion_store.can_undo


# ---- second looks


def test_nothing_is_looked_at_again_after_cancel_or_when_it_is_switched_off(
    workspace, link, engine, clock, tiny_volume
):
    for stop in (workspace.cancel, lambda: setattr(workspace.background_refinement, "enabled", False)):
        workspace.background_refinement.enabled = True
        send_volume(workspace, link, tiny_volume, len(engine.jobs) + 1)
        if not seed_nodes(workspace.scene):
            workspace.add_seed(SEED)
        workspace.tick()
        workspace.segment()
        finish(workspace, engine)
        count = len(engine.jobs)
        stop()
        clock.now_s += 2 * QUIET_S
        turns(workspace)
        assert len(engine.jobs) == count
        assert not workspace.background_refinement.is_at_work


def test_segmentation_that_is_out_of_date_is_not_looked_at_again(workspace, link, engine, clock, tiny_volume):
    workspace.background_refinement.enabled = True
    with_lesion(workspace, link, engine, tiny_volume)
    clock.now_s += QUIET_S
    turns(workspace)
    send_volume(workspace, link, tiny_volume, 1)
    engine.finish()
    finish_all(workspace, engine, clock)
    assert len(engine.jobs) == 2


# ---- scenes


def test_tools_margins_and_line_are_not_saved_with_the_scene(tracker, workspace):
    draw_all(workspace)
    tracker.send(StylusToReference=at(40.0))
    models = nodes_of_class(workspace.scene, MODEL)
    assert len(models) == 4
    assert not any(node.GetSaveWithScene() or node.GetDisplayNode().GetSaveWithScene() for node in models)


def test_margins_around_a_segmentation_that_is_out_of_date_are_grey(tracker, workspace, link, clock, tiny_volume):
    draw_all(workspace)
    workspace.resegmentation.enabled = True
    send_volume(workspace, link, tiny_volume, 1)
    tracker.send(GRACE_S + 0.5, StylusToReference=at(40.0))
    assert workspace.navigation.targets["Tumour 1"].unreliable_reason == OUT_OF_DATE
    assert {node.GetDisplayNode().GetColor() for node in margins_of(workspace.scene, "Tumour 1")} == {UNSAFE_COLOUR}
