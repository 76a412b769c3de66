"""Correction points in a workspace: placed, dragged, removed, undone, refused, renewed; engine and clock are stubs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import ModelError, SeedError
from CRLMSegmentationLib.core.points import PointKind
from CRLMSegmentationLib.segmentation.results import Purpose
from CRLMSegmentationLib.slicer.scene.correction_points import (
    add_point,
    number_points,
    point_node,
    point_nodes,
    points_from_text,
    points_in,
    remove_point,
)
from CRLMSegmentationLib.slicer.scene.nodes import to_vtk_matrix
from CRLMSegmentationLib.slicer.scene.seeds import seed_nodes
from CRLMSegmentationLib.slicer.scene.staleness import POINTS, tag_of
from CRLMSegmentationLib.slicer.workspace.events import LesionAsked, PointRefused, PointsChanged
from CRLMSegmentationLib.slicer.workspace.lesion import SETTLE_S, LesionState
from CRLMSegmentationLib.slicer.workspace.workspace import Workspace
from helpers.navigation_scene_helpers import Tracker, at, finish, send_volume, with_lesion
from helpers.point_helpers import exclude, include
from helpers.workspace_helpers import SEED, answer, paint

LESION = "Tumour 1"
INSIDE, EDGE = (23.0, 20.0, 20.0), (26.0, 20.0, 20.0)
"""Of the dark ball of 8 mm radius around the seed."""
OUTSIDE = (500.0, 20.0, 20.0)


class Listener:
    def __init__(self):
        self.events = []

    def handle(self, event):
        self.events.append(event)

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture(autouse=True)
def _model_takes_points(click_model):
    """In these tests it does, but where one says otherwise."""


@pytest.fixture
def segmented(with_volume, engine):
    """A lesion that was segmented at its seed; what is placed from now on is segmented by itself."""
    with_volume.add_seed(np.array(SEED))
    with_volume.tick()
    answer(with_volume, engine, [LESION])
    with_volume.requests.auto_segment = True
    assert with_volume.rows()[0].is_current
    return with_volume


@pytest.fixture
def told(segmented):
    made = Listener()
    segmented.events.subscribe(made)
    return made


def entry(workspace, lesion=LESION):
    return workspace.lesion_store.entries[lesion]


def segment_of(workspace, lesion=LESION):
    return workspace.lesion_store.segmentation_node.GetSegmentation().GetSegment(lesion)


def mask_ml(workspace, lesion=LESION):
    return entry(workspace, lesion).segmentation.volume_ml


def settle(workspace, clock):
    clock.now_s += SETTLE_S + 0.01
    workspace.tick()
    workspace.tick()


def place(workspace, engine, clock, kind, ras_mm):
    """Place a point, and let it be answered; its preview, if one was asked for, gives way."""
    workspace.clicks.add_point(kind, np.array(ras_mm))
    settle(workspace, clock)
    finish(workspace, engine)


def answers(engine):
    return [job.request for job in engine.jobs if job.request.purpose is Purpose.ANSWER]


# ---- placed


def test_point_is_part_of_the_request_and_the_mask_obeys_it(segmented, engine, clock):
    before_ml = mask_ml(segmented)
    place(segmented, engine, clock, PointKind.EXCLUDE, EDGE)
    assert [request.points for request in answers(engine)] == [(), (exclude(*EDGE),)]
    row = segmented.rows()[0]
    assert (row.is_current, row.points) == (True, {1: exclude(*EDGE)})
    assert mask_ml(segmented) < before_ml
    assert points_from_text(tag_of(segment_of(segmented), POINTS)) == (exclude(*EDGE),)


def test_segmentation_is_out_of_date_until_the_point_is_answered(segmented, engine, clock):
    segmented.clicks.add_point(PointKind.EXCLUDE, np.array(EDGE))
    segmented.tick()
    assert not segmented.rows()[0].is_current
    assert segment_of(segmented).GetName() == "Tumour 1 (out of date)"
    settle(segmented, clock)
    finish(segmented, engine)
    assert segment_of(segmented).GetName() == LESION


def test_points_keep_their_order_in_the_request(segmented, engine, clock):
    points = [exclude(*EDGE), include(*INSIDE), exclude(20, 26, 20)]
    for point in points:
        place(segmented, engine, clock, point.kind, point.ras_mm)
    assert answers(engine)[-1].points == tuple(points)


def test_point_clicked_into_a_view_is_noticed(segmented, engine, clock, told):
    point_node(segmented.scene, LESION, PointKind.INCLUDE).AddControlPointWorld(list(INSIDE))
    segmented.tick()
    settle(segmented, clock)
    finish(segmented, engine)
    assert answers(engine)[-1].points == (include(*INSIDE),)
    assert [event.points for event in told.of(PointsChanged)] == [{1: include(*INSIDE)}]
    assert told.of(LesionAsked)[-1].points == (include(*INSIDE),)


def test_point_that_follows_the_mouse_asks_for_nothing(segmented, engine, clock):
    node = point_node(segmented.scene, LESION, PointKind.INCLUDE)
    node.AddControlPoint(list(INSIDE))
    node.SetNthControlPointPosition(0, *INSIDE, node.PositionPreview)
    settle(segmented, clock)
    assert segmented.rows()[0].is_current
    assert len(engine.jobs) == 1


def test_points_wait_for_the_button_where_nothing_starts_by_itself(segmented, engine, clock):
    segmented.requests.auto_segment = False
    segmented.clicks.add_point(PointKind.EXCLUDE, np.array(EDGE))
    settle(segmented, clock)
    assert len(engine.jobs) == 1
    assert not segmented.rows()[0].is_current
    answer(segmented, engine, [LESION])
    assert answers(engine)[-1].points == (exclude(*EDGE),)
    assert segmented.rows()[0].is_current


def test_point_goes_to_the_selected_lesion(segmented, engine):
    segmented.add_seed(np.array(INSIDE))
    segmented.tick()
    segmented.clicks.add_point(PointKind.EXCLUDE, np.array(EDGE))
    assert set(points_in(segmented.scene)) == {"Tumour 2"}
    segmented.lesion_store.active_lesion = LESION
    segmented.clicks.add_point(PointKind.EXCLUDE, np.array(EDGE))
    assert set(points_in(segmented.scene)) == {LESION, "Tumour 2"}


def test_only_lesion_need_not_be_selected(segmented):
    segmented.lesion_store.active_lesion = None
    segmented.clicks.add_point(PointKind.EXCLUDE, np.array(EDGE))
    assert set(points_in(segmented.scene)) == {LESION}


@pytest.mark.parametrize("lesions", [0, 2])
def test_without_a_selected_lesion_no_point_is_placed(with_volume, lesions):
    for _ in range(lesions):
        with_volume.add_seed(np.array(SEED))
    with_volume.tick()
    with_volume.lesion_store.active_lesion = None
    said = "no lesion is selected" if lesions else "there is no lesion to correct"
    for act in (
        lambda: with_volume.clicks.add_point(PointKind.INCLUDE, np.array(SEED)),
        lambda: with_volume.clicks.add_point_at_tip(PointKind.INCLUDE, None),
        with_volume.clicks.undo_point,
    ):
        with pytest.raises(SeedError, match=said):
            act()
    assert not point_nodes(with_volume.scene)


def test_lesion_without_a_placed_seed_takes_no_points(with_volume):
    with_volume.add_seed()
    with pytest.raises(SeedError, match="place the seed of 'Tumour 1' first"):
        with_volume.clicks.add_point(PointKind.INCLUDE, np.array(SEED))


def test_without_a_volume_there_are_no_points(workspace):
    workspace.add_seed(np.array(SEED))
    with pytest.raises(SeedError, match="there is no volume yet"):
        workspace.clicks.add_point(PointKind.INCLUDE, np.array(SEED))


def test_point_is_put_where_the_tip_of_the_only_pointer_is(workspace, link, engine, clock, tiny_volume):
    with_lesion(workspace, link, engine, tiny_volume)
    tracker = Tracker(workspace, link, clock)
    tracker.send(StylusToReference=at(EDGE[0]))
    workspace.clicks.add_point_at_tip(PointKind.EXCLUDE, None)
    assert points_in(workspace.scene) == {LESION: (exclude(*EDGE),)}
    tracker.send(1.0, StylusToReference="MISSING")
    with pytest.raises(SeedError, match="no tool is chosen"):
        workspace.clicks.add_point_at_tip(PointKind.EXCLUDE, None)
    assert points_in(workspace.scene) == {LESION: (exclude(*EDGE),)}


def test_tip_that_cannot_be_relied_on_places_no_point(workspace, link, engine, clock, tiny_volume):
    with_lesion(workspace, link, engine, tiny_volume)
    tracker = Tracker(workspace, link, clock)
    tracker.send(StylusToReference=at(EDGE[0]))
    tool = workspace.scene.GetFirstNodeByName("StylusToReference")
    tracker.send(1.0, StylusToReference="MISSING")
    with pytest.raises(SeedError, match="no point can be placed with 'StylusToReference' now: not tracked"):
        workspace.clicks.add_point_at_tip(PointKind.EXCLUDE, tool)
    assert not points_in(workspace.scene)


# ---- refused


def click_into_view(workspace, kind, ras_mm):
    point_node(workspace.scene, LESION, kind).AddControlPointWorld(list(ras_mm))
    workspace.tick()


@pytest.mark.parametrize(
    ("kind", "ras_mm", "said"),
    [
        (PointKind.EXCLUDE, (21.0, 20.0, 20.0), "contradict each other"),
        (PointKind.INCLUDE, OUTSIDE, "outside"),
        (PointKind.EXCLUDE, OUTSIDE, "outside"),
    ],
)
def test_point_that_cannot_be_obeyed_is_told_and_does_not_stay(segmented, engine, clock, told, kind, ras_mm, said):
    with pytest.raises(SeedError, match=said):
        segmented.clicks.add_point(kind, np.array(ras_mm))
    assert not points_in(segmented.scene)
    click_into_view(segmented, kind, ras_mm)
    (refused,) = told.of(PointRefused)
    assert said in refused.reason
    assert (refused.lesion, refused.point.kind, refused.point.ras_mm) == (LESION, kind, ras_mm)
    assert not points_in(segmented.scene)
    settle(segmented, clock)
    assert segmented.rows()[0].is_current
    assert len(engine.jobs) == 1


def test_point_that_contradicts_another_does_not_stay_and_the_other_does(segmented, engine, clock, told):
    place(segmented, engine, clock, PointKind.INCLUDE, INSIDE)
    click_into_view(segmented, PointKind.EXCLUDE, (24.0, 20.0, 20.0))
    (refused,) = told.of(PointRefused)
    assert "lies 1.0 mm from the include point (23.0, 20.0, 20.0) mm" in refused.reason
    assert points_in(segmented.scene)[LESION] == (include(*INSIDE),)
    assert segmented.rows()[0].is_current


def test_good_point_is_taken_beside_one_that_has_become_impossible(segmented, engine, clock, told):
    place(segmented, engine, clock, PointKind.INCLUDE, INSIDE)
    point_node(segmented.scene, LESION, PointKind.INCLUDE).SetNthControlPointPositionWorld(0, list(OUTSIDE))
    segmented.tick()
    click_into_view(segmented, PointKind.EXCLUDE, (20.0, 26.0, 20.0))
    assert not told.of(PointRefused)
    assert len(points_in(segmented.scene)[LESION]) == 2


def test_dragged_point_goes_back_from_where_it_cannot_be(segmented, engine, clock, told):
    place(segmented, engine, clock, PointKind.EXCLUDE, EDGE)
    node = point_node(segmented.scene, LESION, PointKind.EXCLUDE)
    for x_mm in (24.0, 22.0, 20.5):
        node.SetNthControlPointPositionWorld(0, x_mm, 20.0, 20.0)
        segmented.tick()
    assert not told.of(PointRefused), "it is still being dragged"
    assert not segmented.rows()[0].is_current
    settle(segmented, clock)
    (refused,) = told.of(PointRefused)
    assert "contradict" in refused.reason
    assert points_in(segmented.scene)[LESION] == (exclude(*EDGE),)
    settle(segmented, clock)
    assert segmented.rows()[0].is_current, "the segmentation is that of the points as they are again"
    assert len(answers(engine)) == 2


def test_model_that_takes_no_points_refuses_them_with_the_reason(segmented, engine, clock, told, model):
    model.channels = ("ultrasound", "seed")
    with pytest.raises(ModelError, match="takes no correction points; correct its segmentations by hand"):
        segmented.clicks.add_point(PointKind.EXCLUDE, np.array(EDGE))
    click_into_view(segmented, PointKind.EXCLUDE, EDGE)
    assert "takes no correction points" in told.of(PointRefused)[0].reason
    assert not points_in(segmented.scene)


def test_lesion_with_points_says_why_a_model_without_them_cannot_segment_it(segmented, engine, clock, model):
    place(segmented, engine, clock, PointKind.EXCLUDE, EDGE)
    model.channels = ("ultrasound", "seed")
    segmented.segment()
    row = segmented.rows()[0]
    assert row.state is LesionState.FAILED
    assert "takes no correction points" in row.reason
    assert row.is_current, "what was found with the points still is"
    segmented.clicks.undo_point()
    segmented.tick()
    assert segmented.rows()[0].state is LesionState.DONE


# ---- dragged


def test_dragged_point_is_previewed_and_segmented_when_it_lies_still(segmented, engine, clock):
    place(segmented, engine, clock, PointKind.EXCLUDE, EDGE)
    node, count = point_node(segmented.scene, LESION, PointKind.EXCLUDE), len(answers(engine))
    for step in range(1, 6):
        node.SetNthControlPointPositionWorld(0, 26.0, 20.0 + step / 2, 20.0)
        clock.now_s += SETTLE_S / 3
        segmented.tick()
    previews = [job.request for job in engine.jobs if job.request.purpose is Purpose.PREVIEW]
    assert previews[-1].points[0].ras_mm[1] > 20.0
    assert len(answers(engine)) == count
    settle(segmented, clock)
    finish(segmented, engine)
    assert answers(engine)[-1].points == (exclude(26.0, 22.5, 20.0),)
    assert number_points(segmented.scene)[LESION] == {1: exclude(26.0, 22.5, 20.0)}


def test_preview_follows_points_that_are_dragged_one_at_a_time(segmented, engine, clock):
    node = point_node(segmented.scene, LESION, PointKind.EXCLUDE)
    node.AddControlPointWorld(list(EDGE))
    count = len(engine.jobs)
    for step in range(10):
        node.SetNthControlPointPositionWorld(0, 26.0, 20.0 + step / 10, 20.0)
        segmented.tick()
    assert len(engine.jobs) == count + 1, "the first is under way"
    engine.finish()
    segmented.tick()
    segmented.tick()
    assert engine.jobs[-1].request.points[0].ras_mm[1] == pytest.approx(20.9)
    assert mask_ml(segmented) > 2.0, "nothing is measured to a preview"


# ---- removed and undone


def test_last_point_is_undone_at_once_with_the_mask_before(segmented, engine, clock):
    masks_ml = [mask_ml(segmented)]
    for place_mm in (EDGE, (20.0, 26.0, 20.0)):
        place(segmented, engine, clock, PointKind.EXCLUDE, place_mm)
        masks_ml.append(mask_ml(segmented))
    assert masks_ml[0] > masks_ml[1] > masks_ml[2]
    jobs = len(engine.jobs)
    for count in (1, 0):
        segmented.clicks.undo_point()
        assert len(points_in(segmented.scene).get(LESION, ())) == count
        assert mask_ml(segmented) == masks_ml[count]
        assert segmented.rows()[0].is_current
    settle(segmented, clock)
    assert len(engine.jobs) == jobs, "nothing is computed for it"
    with pytest.raises(SeedError, match="'Tumour 1' has no correction points"):
        segmented.clicks.undo_point()


def test_redo_brings_an_undone_point_back_with_its_mask(segmented, engine, clock):
    place(segmented, engine, clock, PointKind.EXCLUDE, EDGE)
    corrected_ml = mask_ml(segmented)
    segmented.clicks.undo_point()
    assert segmented.lesion_store.can_redo
    segmented.lesion_store.redo()
    assert points_in(segmented.scene)[LESION] == (exclude(*EDGE),)
    assert mask_ml(segmented) == corrected_ml
    settle(segmented, clock)
    assert segmented.rows()[0].is_current
    assert len(answers(engine)) == 2


def test_undo_takes_the_point_back_with_its_mask_and_redo_brings_both(segmented, engine, clock):
    first_ml = mask_ml(segmented)
    place(segmented, engine, clock, PointKind.EXCLUDE, EDGE)
    segmented.lesion_store.undo()
    settle(segmented, clock)
    assert points_in(segmented.scene).get(LESION, ()) == ()
    assert (mask_ml(segmented), segmented.rows()[0].is_current) == (first_ml, True)
    segmented.lesion_store.redo()
    settle(segmented, clock)
    assert points_in(segmented.scene)[LESION] == (exclude(*EDGE),)
    assert segmented.rows()[0].is_current
    assert len(answers(engine)) == 2


def test_undo_of_another_lesion_leaves_points_alone(segmented, engine, clock):
    segmented.add_seed(np.array(INSIDE))
    segmented.tick()
    answer(segmented, engine, ["Tumour 2"])
    segmented.lesion_store.active_lesion = LESION
    segmented.clicks.add_point(PointKind.EXCLUDE, np.array(EDGE))
    segmented.lesion_store.undo()
    assert points_in(segmented.scene)[LESION] == (exclude(*EDGE),)


def test_point_undone_after_another_lesion_was_segmented_leaves_that(segmented, engine, clock):
    first_ml = mask_ml(segmented)
    place(segmented, engine, clock, PointKind.EXCLUDE, EDGE)
    segmented.add_seed(np.array(INSIDE))
    segmented.tick()
    answer(segmented, engine, ["Tumour 2"])
    segmented.lesion_store.active_lesion = LESION
    segmented.clicks.undo_point()
    assert mask_ml(segmented) == first_ml
    assert [row.is_current for row in segmented.rows()] == [True, True]
    assert segment_of(segmented, "Tumour 2") is not None


def test_point_undone_while_it_is_computed_gives_that_up(segmented, engine, clock):
    segmented.clicks.add_point(PointKind.EXCLUDE, np.array(EDGE))
    settle(segmented, clock)
    assert segmented.rows()[0].state is LesionState.WAITING
    segmented.clicks.undo_point()
    assert (segmented.rows()[0].state, segmented.rows()[0].is_current) == (LesionState.DONE, True)
    first_ml = mask_ml(segmented)
    if engine.pending is not None:
        engine.finish()
    settle(segmented, clock)
    assert mask_ml(segmented) == first_ml
    assert len(answers(engine)) == 2


def test_correction_by_hand_is_back_with_the_undone_point(segmented, engine, clock):
    paint(segmented, LESION, np.s_[18:31, 19:22, 19:22])
    segmented.tick()
    painted_ml = mask_ml(segmented)
    place(segmented, engine, clock, PointKind.EXCLUDE, EDGE)
    segmented.clicks.undo_point()
    assert mask_ml(segmented) == painted_ml
    assert entry(segmented).segmentation.corrected


def test_point_deleted_in_a_view_is_undone_just_so(segmented, engine, clock):
    first_ml = mask_ml(segmented)
    place(segmented, engine, clock, PointKind.EXCLUDE, EDGE)
    point_node(segmented.scene, LESION, PointKind.EXCLUDE).RemoveNthControlPoint(0)
    segmented.tick()
    assert (mask_ml(segmented), segmented.rows()[0].is_current) == (first_ml, True)
    assert len(answers(engine)) == 2


def test_point_removed_from_between_others_is_computed_again_at_once(segmented, engine, clock):
    for place_mm in (EDGE, (20.0, 26.0, 20.0)):
        place(segmented, engine, clock, PointKind.EXCLUDE, place_mm)
    segmented.points.remove(LESION, 1)
    segmented.tick()
    segmented.tick()
    assert answers(engine)[-1].points == (exclude(20.0, 26.0, 20.0),), "without waiting for a hand to rest"
    finish(segmented, engine)
    assert segmented.rows()[0].points == {2: exclude(20.0, 26.0, 20.0)}
    with pytest.raises(SeedError, match="no correction points"):
        segmented.points.remove(LESION, 1)


def test_all_points_go_when_the_user_deletes_their_node(segmented, engine, clock):
    place(segmented, engine, clock, PointKind.EXCLUDE, EDGE)
    segmented.scene.RemoveNode(point_node(segmented.scene, LESION, PointKind.EXCLUDE))
    segmented.tick()
    assert segmented.rows()[0].points == {}
    assert segmented.rows()[0].is_current


@pytest.mark.parametrize("by", ["panel", "scene"])
def test_removed_lesion_takes_its_points_along_and_undo_brings_them_back(segmented, engine, clock, by):
    points = (exclude(*EDGE), include(*INSIDE))
    for point in points:
        place(segmented, engine, clock, point.kind, point.ras_mm)
    if by == "panel":
        segmented.remove_seed(LESION)
    else:
        segmented.scene.RemoveNode(seed_nodes(segmented.scene)[LESION])
    segmented.tick()
    assert not point_nodes(segmented.scene)
    segmented.lesion_store.undo()
    settle(segmented, clock)
    assert points_in(segmented.scene)[LESION] == points
    assert segmented.rows()[0].is_current
    assert len(answers(engine)) == 3


def test_points_of_a_lesion_that_is_not_there_are_removed(segmented):
    add_point(segmented.scene, "Tumour 9", include(*INSIDE))
    segmented.tick()
    assert not point_nodes(segmented.scene)


def test_nodes_of_points_are_named_after_their_lesion(segmented, engine, clock):
    place(segmented, engine, clock, PointKind.EXCLUDE, EDGE)
    segmented.clicks.rename_lesion(LESION, "segment VIII")
    segmented.tick()
    assert point_node(segmented.scene, LESION, PointKind.EXCLUDE).GetName() == "segment VIII: exclude"


# ---- other volumes, other scenes, refinement


def test_newer_volume_is_segmented_with_the_same_points(workspace, link, engine, clock, tiny_volume):
    workspace.requests.auto_segment = workspace.resegmentation.enabled = True
    with_lesion(workspace, link, engine, tiny_volume)
    place(workspace, engine, clock, PointKind.EXCLUDE, EDGE)
    send_volume(workspace, link, tiny_volume, 1)
    assert workspace.rows()[0].is_renewing
    finish(workspace, engine)
    assert answers(engine)[-1].points == (exclude(*EDGE),)
    assert answers(engine)[-1].volume.timestamp_s == 101.0
    assert workspace.rows()[0].is_current
    workspace.clicks.undo_point()
    assert not workspace.rows()[0].is_current, "the mask before is of the volume before"
    workspace.tick()
    workspace.tick()
    assert (answers(engine)[-1].points, answers(engine)[-1].volume.timestamp_s) == ((), 101.0)


def test_segmentation_of_the_volume_before_is_not_renewed_as_that_of_a_new_point(
    workspace, link, engine, clock, tiny_volume
):
    workspace.resegmentation.enabled = True
    with_lesion(workspace, link, engine, tiny_volume)
    send_volume(workspace, link, tiny_volume, 1)
    assert workspace.rows()[0].is_renewing
    workspace.clicks.add_point(PointKind.EXCLUDE, np.array(EDGE))
    workspace.tick()
    assert workspace.rows()[0].is_current is False


def test_refinement_in_the_background_has_the_points(workspace, link, engine, clock, tiny_volume):
    workspace.background_refinement.enabled = True
    with_lesion(workspace, link, engine, tiny_volume)
    workspace.requests.auto_segment = True
    place(workspace, engine, clock, PointKind.EXCLUDE, EDGE)
    for _ in range(60):
        clock.now_s += 0.3
        workspace.tick()
        if engine.pending is not None:
            engine.finish()
    purposes = {job.request.purpose for job in engine.jobs if job.request.points == (exclude(*EDGE),)}
    assert {Purpose.ANSWER, Purpose.REFINED, Purpose.REPEATED} <= purposes
    assert workspace.rows()[0].is_current


def test_points_of_a_loaded_scene_are_used_and_not_segmented_by_themselves(segmented, engine, clock, model):
    place(segmented, engine, clock, PointKind.EXCLUDE, EDGE)
    jobs = len(engine.jobs)
    again = Workspace(segmented.scene, segmented.session, clock=clock)
    again.use_node(again.lesion_store.volume_of_segmentations())
    settle(again, clock)
    assert len(engine.jobs) == jobs
    row = again.rows()[0]
    assert (row.is_current, row.points) == (True, {1: exclude(*EDGE)})


def test_segmentation_of_a_loaded_scene_without_its_points_is_out_of_date(segmented, engine, clock):
    place(segmented, engine, clock, PointKind.EXCLUDE, EDGE)
    remove_point(segmented.scene, LESION, 1)
    again = Workspace(segmented.scene, segmented.session, clock=clock)
    again.use_node(again.lesion_store.volume_of_segmentations())
    again.tick()
    assert not again.rows()[0].is_current


def test_scene_that_is_closed_leaves_no_points(segmented, engine, clock):
    place(segmented, engine, clock, PointKind.EXCLUDE, EDGE)
    segmented.scene.Clear(False)
    segmented.tick()
    assert segmented.rows() == []
    with pytest.raises(SeedError, match="there is no lesion to correct"):
        segmented.clicks.undo_point()


def test_points_lie_where_they_lay_when_the_volume_is_moved(segmented, engine, clock):
    """As a seed does: both are in the Reference frame."""
    place(segmented, engine, clock, PointKind.EXCLUDE, EDGE)
    moved = segmented.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    moved.SetMatrixTransformToParent(to_vtk_matrix(at(3.0, 0.0, 0.0)))
    segmented.volume.node.SetAndObserveTransformNodeID(moved.GetID())
    segmented.tick()
    assert points_in(segmented.scene)[LESION] == (exclude(*EDGE),)
    assert not segmented.rows()[0].is_current


def test_turns_without_a_change_write_nothing_into_the_points(segmented, engine, clock):
    place(segmented, engine, clock, PointKind.EXCLUDE, EDGE)
    node = point_node(segmented.scene, LESION, PointKind.EXCLUDE)
    before = node.GetMTime(), node.GetDisplayNode().GetMTime()
    for _ in range(5):
        settle(segmented, clock)
    assert (node.GetMTime(), node.GetDisplayNode().GetMTime()) == before


def test_identity_of_the_request_is_that_of_the_volume(segmented, engine, clock):
    place(segmented, engine, clock, PointKind.EXCLUDE, EDGE)
    request = answers(engine)[-1]
    assert replace(request, points=()).volume == segmented.session.volume.identity
