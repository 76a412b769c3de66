"""A segmentation looks current only in its volume, at its place, with its seed; and nothing is left behind."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import slicer
import vtk
from CRLMSegmentationLib.igtl.messages import image_of
from CRLMSegmentationLib.segmentation.session import Session
from CRLMSegmentationLib.slicer.scene.guidance import margins_of
from CRLMSegmentationLib.slicer.scene.nodes import nodes_of_class, to_vtk_matrix
from CRLMSegmentationLib.slicer.scene.seeds import seed_nodes, shown_colour
from CRLMSegmentationLib.slicer.scene.segmentations import lesion_surface
from CRLMSegmentationLib.slicer.scene.staleness import STALE, tag_of
from CRLMSegmentationLib.slicer.scene.volumes import show_volume
from CRLMSegmentationLib.slicer.workspace.lesion import LesionState
from CRLMSegmentationLib.slicer.workspace.workspace import Workspace
from CRLMSegmentationLib.tracking.colours import LESION_COLOURS, UNSAFE_COLOUR
from helpers.navigation_scene_helpers import Tracker, at, draw_all, finish, finish_all
from helpers.stub_engine import StubEngine
from helpers.workspace_helpers import SEED, answer
from vtk.util.numpy_support import vtk_to_numpy

LESION = "Tumour 1"
TRANSFORM = "vtkMRMLLinearTransformNode"


def is_current(workspace, lesion=LESION):
    """As table, scene and navigation say, which must agree."""
    workspace.tick()
    segment = workspace.lesion_store.segmentation_node.GetSegmentation().GetSegment(lesion)
    row = next(row for row in workspace.rows() if row.lesion == lesion)
    said = {row.is_current, tag_of(segment, STALE) == "0", not workspace.navigation.targets[lesion].unreliable_reason}
    assert len(said) == 1, said
    return said.pop()


def shifted(mm):
    matrix = np.eye(4)
    matrix[0, 3] = mm
    return matrix


def add_place(workspace, mm=0.0):
    place = workspace.scene.AddNewNodeByClass(TRANSFORM, "place")
    place.SetMatrixTransformToParent(to_vtk_matrix(shifted(mm)))
    return place


@pytest.fixture
def found(with_volume, engine):
    with_volume.add_seed(SEED)
    answer(with_volume, engine)
    assert is_current(with_volume)
    return with_volume


# ---- its seed


def unplace(workspace):
    seed_nodes(workspace.scene)[LESION].RemoveAllControlPoints()


def unset(workspace):
    seed_nodes(workspace.scene)[LESION].UnsetNthControlPointPosition(0)


@pytest.mark.parametrize("take_away", [unplace, unset])
def test_segmentation_without_a_placed_seed_is_out_of_date(found, take_away):
    take_away(found)
    assert not is_current(found)
    seed_nodes(found.scene)[LESION].RemoveAllControlPoints()
    seed_nodes(found.scene)[LESION].AddControlPointWorld(list(SEED), LESION)
    assert is_current(found)


def test_undo_and_redo_bring_back_no_current_segmentation_without_its_seed(found, engine):
    seed_nodes(found.scene)[LESION].SetNthControlPointPositionWorld(0, 20.5, 20.0, 20.0)
    answer(found, engine)
    unplace(found)
    found.tick()
    found.lesion_store.undo()
    assert not is_current(found)
    found.lesion_store.redo()
    assert not is_current(found)


def test_new_volume_does_not_make_a_segmentation_without_its_seed_current(workspace, link, engine, tiny_volume):
    link.inbox = [image_of(tiny_volume)]
    workspace.tick()
    workspace.add_seed(SEED)
    answer(workspace, engine)
    unplace(workspace)
    workspace.tick()
    for timestamp_s in (101.0, 100.0):
        link.inbox = [image_of(replace(tiny_volume, timestamp_s=timestamp_s))]
        workspace.tick()
        assert not is_current(workspace)


def test_lesion_that_undo_brings_back_has_its_own_colour(found, engine, tiny_volume):
    answer(found, engine)
    found.use_node(show_volume(found.scene, replace(tiny_volume, timestamp_s=7.0), "recvol"))
    found.tick()
    found.remove_seed(LESION)
    found.tick()
    found.lesion_store.undo()
    assert shown_colour(seed_nodes(found.scene)[LESION]) == pytest.approx(LESION_COLOURS[0])


# ---- its volume, and where that is


def test_same_voxels_with_another_matrix_are_not_the_volume_of_the_segmentation(found):
    found.volume.node.SetIJKToRASMatrix(to_vtk_matrix(shifted(9.0)))
    assert not is_current(found)
    found.segment()
    found.tick()
    found.cancel()
    found.tick()
    assert found.volume.identity is not None
    assert not is_current(found)


def test_volume_sent_again_at_another_place_makes_the_segmentation_old(workspace, link, engine, tiny_volume):
    link.inbox = [image_of(tiny_volume)]
    workspace.tick()
    workspace.add_seed(SEED)
    answer(workspace, engine)
    link.inbox = [image_of(replace(tiny_volume, ijk_to_ras=shifted(6.0)))]
    workspace.tick()
    assert not is_current(workspace)
    link.inbox = [image_of(tiny_volume)]
    workspace.tick()
    assert is_current(workspace)


def test_segmentations_of_a_volume_that_is_not_current_are_old_also_when_it_comes_again(
    workspace, link, engine, tiny_volume
):
    link.inbox = [image_of(replace(tiny_volume, device="A"))]
    workspace.tick()
    workspace.add_seed(SEED)
    answer(workspace, engine)
    of_a = workspace.lesion_store.segmentation_node
    link.inbox = [image_of(replace(tiny_volume, device="B", timestamp_s=101.0))]
    workspace.tick()
    workspace.follow("B")
    link.inbox = [image_of(replace(tiny_volume, device="A"))]
    workspace.tick()
    assert tag_of(of_a.GetSegmentation().GetSegment(LESION), STALE) == "1"


def test_segmentation_follows_the_transform_above_its_volume_also_while_the_network_runs(with_volume, engine):
    place = add_place(with_volume)
    with_volume.volume.node.SetAndObserveTransformNodeID(place.GetID())
    with_volume.add_seed(SEED)
    with_volume.segment()
    with_volume.tick()
    place.SetMatrixTransformToParent(to_vtk_matrix(shifted(10.0)))
    with_volume.tick()
    engine.finish()
    with_volume.tick()
    assert is_current(with_volume)
    centre = lesion_surface(with_volume.lesion_store.segmentation_node, LESION).GetCenter()
    np.testing.assert_allclose(centre, np.add(SEED, [10, 0, 0]), atol=0.6)


def move_above_volume(workspace, clock, mm):
    """Put the volume and its segmentations elsewhere, and let them rest there."""
    parent = workspace.volume.node.GetParentTransformNode()
    parent.SetMatrixTransformToParent(to_vtk_matrix(shifted(mm)))
    workspace.tick()
    clock.now_s += 1.0
    workspace.tick()


@pytest.fixture
def two_lesions(workspace, engine, clock, tiny_volume):
    """Found under a transform; the second, the larger one, has its consensus surfaces."""
    k, j, i = np.ogrid[:40, :40, :40]
    array = tiny_volume.array.copy()
    array[(k - 20) ** 2 + (j - 33) ** 2 + (i - 33) ** 2 < 16] = 40
    workspace.use_node(show_volume(workspace.scene, replace(tiny_volume, array=array), "recvol"))
    workspace.volume.node.SetAndObserveTransformNodeID(add_place(workspace).GetID())
    workspace.background_refinement.enabled = True
    for seed in ((33.0, 33.0, 20.0), SEED):
        workspace.add_seed(seed)
        workspace.tick()
        workspace.segment([workspace.lesion_store.active_lesion])
        finish_all(workspace, engine, clock, 60)
    draw_all(workspace)
    return workspace


def let_go_voxels(workspace):
    entry = workspace.lesion_store.entries[LESION]
    workspace.lesion_store.entries[LESION].is_stale = True
    workspace.session.volume = replace(workspace.session.volume, array=workspace.session.volume.array.copy())
    workspace.memory.limit_bytes = 0
    workspace.memory.refusal_of("other", 1)
    assert not entry.segmentation.result.volume.has_voxels


def test_consensus_surfaces_lie_at_their_segmentation_that_is_brought_back_after_a_move(two_lesions, clock):
    move_above_volume(two_lesions, clock, 15.0)
    two_lesions.lesion_store.undo()
    two_lesions.tick()
    two_lesions.lesion_store.redo()
    draw_all(two_lesions)
    target = two_lesions.navigation.targets["Tumour 2"]
    np.testing.assert_allclose(target.surface.GetCenter(), np.add(SEED, [15, 0, 0]), atol=0.6)
    np.testing.assert_allclose(target.outer.GetCenter(), target.surface.GetCenter(), atol=1.0)


def test_volume_whose_voxels_were_let_go_is_still_known_to_lie_where_it_was_taken(with_volume, engine, clock):
    with_volume.volume.node.SetAndObserveTransformNodeID(add_place(with_volume, 5.0).GetID())
    with_volume.tick()
    with_volume.add_seed(np.add(SEED, [5, 0, 0]))
    answer(with_volume, engine)
    move_above_volume(with_volume, clock, 20.0)
    entry = with_volume.lesion_store.entries[LESION]
    before = with_volume.lesion_store.placed_now(entry.segmentation.result.volume)
    let_go_voxels(with_volume)
    np.testing.assert_allclose(with_volume.lesion_store.placed_now(entry.segmentation.result.volume), before)
    np.testing.assert_allclose(before, shifted(20.0))


def test_seed_is_looked_for_where_the_volume_has_been_moved_to(with_volume, engine, tiny_volume):
    with_volume.volume.node.SetAndObserveTransformNodeID(add_place(with_volume, 10.0).GetID())
    with_volume.tick()
    with_volume.add_seed(np.add(SEED, [10, 0, 0]))
    answer(with_volume, engine)
    centre = lesion_surface(with_volume.lesion_store.segmentation_node, LESION).GetCenter()
    np.testing.assert_allclose(centre, np.add(SEED, [10, 0, 0]), atol=0.6)
    assert with_volume.rows()[0].volume_ml == pytest.approx((tiny_volume.array < 80).sum() / 1000, rel=0.05)


@pytest.mark.parametrize("which", ["volume", "outlines"])
def test_segmentation_that_lies_under_another_transform_than_its_volume_is_old(found, which):
    node = found.volume.node if which == "volume" else found.lesion_store.segmentation_node
    node.SetAndObserveTransformNodeID(add_place(found, 10.0).GetID())
    assert not is_current(found)
    node.SetAndObserveTransformNodeID(None)
    assert is_current(found)


def test_volume_under_a_transform_that_no_matrix_can_say_gives_a_reason_and_no_distance(found, link, clock):
    """The turn goes on: a distance that nobody brings up to date would stand in the view."""
    tracker = Tracker(found, link, clock)
    found.navigation.is_of_other_source = False
    assert tracker.send(StylusToReference=at(40.0)).nearest is not None
    warp = bent(found.scene)
    found.volume.node.SetAndObserveTransformNodeID(warp.GetID())
    found.lesion_store.segmentation_node.SetAndObserveTransformNodeID(warp.GetID())
    assert tracker.send(StylusToReference=at(35.0)).nearest is None
    assert "lies under the non-linear transform 'warp'" in "\n".join(found.log)
    assert not found.rows()[0].is_current


def bent(scene):
    """A transform that is not linear."""
    coefficients, spline = vtk.vtkImageData(), slicer.vtkOrientedBSplineTransform()
    coefficients.SetDimensions(5, 5, 5)
    coefficients.AllocateScalars(vtk.VTK_DOUBLE, 3)
    vtk_to_numpy(coefficients.GetPointData().GetScalars())[:] = 1.0
    spline.SetCoefficientData(coefficients)
    warp = scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "warp")
    warp.SetAndObserveTransformFromParent(spline)
    return warp


def test_automatic_segmentation_that_cannot_be_is_told_once(with_volume, clock):
    with_volume.volume.node.SetAndObserveImageData(None)
    with_volume.tick()
    with_volume.requests.auto_segment = True
    with_volume.add_seed(SEED)
    for _ in range(20):
        clock.now_s += 0.2
        with_volume.tick()
    row = with_volume.rows()[0]
    assert row.state is LesionState.FAILED
    assert "has no voxels" in row.reason
    assert sum("has no voxels" in line for line in with_volume.log) == 1


def test_workspace_that_is_opened_in_a_scene_trusts_nothing_until_a_volume_is_chosen(found, model, clock):
    draw_all(found)
    assert margins_of(found.scene, LESION)
    node, volume = found.lesion_store.segmentation_node, found.volume.node
    found.close()
    again = Workspace(found.scene, Session(StubEngine(), model), clock=clock)
    segment = node.GetSegmentation().GetSegment(LESION)
    assert tag_of(segment, STALE) == "1"
    assert not margins_of(found.scene, LESION)
    again.use_node(volume)
    assert tag_of(segment, STALE) == "0"
    again.close()


def test_another_volume_in_a_cleared_scene_is_not_the_one_before(found, tiny_volume):
    before = found.volume.node.GetID()
    found.scene.Clear(False)
    other = show_volume(found.scene, replace(tiny_volume, timestamp_s=5.0), "other")
    assert other.GetID() == before
    assert found.volume.node is None
    found.tick()
    assert found.session.volume is None
    assert not found.lesion_store.can_undo


def test_margins_turn_grey_at_once_while_others_are_being_made(found, monkeypatch):
    draw_all(found)
    monkeypatch.setattr("CRLMSegmentationLib.slicer.workspace.surfaces.BUDGET_S", 0.0)  # nothing more gets done
    found.navigation.margins_mm = (3.0, 6.0)
    found.tick()
    unplace(found)
    found.tick()
    assert found.navigation.is_at_work
    assert {node.GetDisplayNode().GetColor() for node in margins_of(found.scene, LESION)} == {UNSAFE_COLOUR}


# ---- what is left behind


def counts(scene):
    nodes = [scene.GetNthNode(number) for number in range(scene.GetNumberOfNodes())]
    return Counter(node.GetClassName() for node in nodes)


def renew(workspace, link, engine, volume, number):
    link.inbox = [image_of(replace(volume, timestamp_s=200.0 + number))]
    workspace.tick()
    workspace.segment()
    finish(workspace, engine)


def remove_and_make_seed(workspace, link, engine, volume, number):
    workspace.remove_seed(next(iter(seed_nodes(workspace.scene))))
    workspace.tick()
    workspace.add_seed(SEED)
    workspace.tick()


def delete_seed_by_hand(workspace, link, engine, volume, number):
    workspace.scene.RemoveNode(next(iter(seed_nodes(workspace.scene).values())))
    workspace.tick()
    workspace.add_seed(SEED)
    workspace.tick()


def switch_margins(workspace, link, engine, volume, number):
    workspace.navigation.shows_margins = bool(number % 2)
    workspace.navigation.margins_mm = (3.0 + number % 3, 7.0)
    draw_all(workspace)


def reconnect(workspace, link, engine, volume, number):
    workspace.use_link(None)
    workspace.use_link(link)
    link.closed = False


def delete_volume(workspace, link, engine, volume, number):
    workspace.scene.RemoveNode(workspace.volume.node)
    workspace.tick()
    renew(workspace, link, engine, volume, number)


def delete_models(workspace, link, engine, volume, number):
    for node in nodes_of_class(workspace.scene, "vtkMRMLModelNode"):
        workspace.scene.RemoveNode(node)


def delete_displays(workspace, link, engine, volume, number):
    for node in nodes_of_class(workspace.scene, "vtkMRMLDisplayNode"):
        if node.IsA("vtkMRMLModelDisplayNode"):
            workspace.scene.RemoveNode(node)


def change_model(workspace, link, engine, volume, number):
    workspace._crop.hide()


ACTS = [
    renew,
    remove_and_make_seed,
    delete_seed_by_hand,
    switch_margins,
    reconnect,
    delete_volume,
    delete_models,
    delete_displays,
    change_model,
]


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
def test_no_node_is_left_behind(workspace, link, engine, clock, tiny_volume, act):
    """After ten times as many acts there are no more nodes of any class."""
    link.inbox = [image_of(tiny_volume)]
    workspace.tick()
    workspace.add_seed(SEED)
    answer(workspace, engine)
    tracker, seen = Tracker(workspace, link, clock), []
    for number in range(8):
        act(workspace, link, engine, tiny_volume, number)
        tracker.send(0.1, StylusToReference=at(40.0), ProbeToReference=at(60.0))
        draw_all(workspace)
        seen.append(counts(workspace.scene))
    least_and_most = [{name: n[name] for name in seen[0] | seen[-1]} for n in (seen[-2], seen[-1])]
    early = {name: max(n[name] for n in seen[:2]) for name in seen[0] | seen[-1]}
    for late in least_and_most:
        assert all(late[name] <= early[name] for name in late), (early, late)
