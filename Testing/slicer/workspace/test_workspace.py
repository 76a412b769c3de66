"""A session shown in a real MRML scene; only engine and clock are stubs."""

from dataclasses import replace

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import SeedError, VolumeError
from CRLMSegmentationLib.igtl.messages import TransformMessage, image_of
from CRLMSegmentationLib.segmentation.results import Purpose
from CRLMSegmentationLib.segmentation.session import Session
from CRLMSegmentationLib.slicer.scene.crop_box import crop_box
from CRLMSegmentationLib.slicer.scene.instruments import is_tracked
from CRLMSegmentationLib.slicer.scene.masks import mask_in_volume, mask_of_segment
from CRLMSegmentationLib.slicer.scene.nodes import DEVICE, nodes_of_class
from CRLMSegmentationLib.slicer.scene.seeds import seed_nodes, show_seed
from CRLMSegmentationLib.slicer.workspace.lesion import CORRECTED, SETTLE_S, LesionState
from CRLMSegmentationLib.slicer.workspace.workspace import Workspace
from helpers.workspace_helpers import SEED, answer, paint
from vtk.util.numpy_support import vtk_to_numpy


def row(workspace, number=0):
    return workspace.lesion_store.rows()[number]


def test_seed_in_a_volume_of_the_scene_becomes_a_segmentation(with_volume, engine, tiny_volume):
    with_volume.add_seed(SEED)
    with_volume.tick()
    assert row(with_volume).state is LesionState.NEW
    answer(with_volume, engine)
    found = row(with_volume)
    truth = tiny_volume.array < 80
    mask = mask_in_volume(with_volume.lesion_store.segmentation_node, "Tumour 1", tiny_volume)
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.95
    assert (found.state, found.is_current, found.name) == (LesionState.DONE, True, "Tumour 1")
    assert found.volume_ml == pytest.approx(mask.sum() * np.prod(tiny_volume.spacing_mm) / 1000)
    assert found.volume_age_s == 0


def test_seed_that_lies_still_is_segmented_by_itself_and_only_once(with_volume, engine, clock):
    with_volume.requests.auto_segment = True
    node = with_volume.add_seed(SEED)
    with_volume.tick()
    clock.now_s += SETTLE_S / 2
    node.SetNthControlPointPositionWorld(0, 20.5, 20.0, 20.0)
    with_volume.tick()
    clock.now_s += SETTLE_S / 2
    with_volume.tick()
    assert all(job.request.purpose is Purpose.PREVIEW for job in engine.jobs)
    clock.now_s += SETTLE_S / 2 + 0.01
    with_volume.tick()
    with_volume.tick()
    engine.finish()
    for _ in range(5):
        clock.now_s += 1
        with_volume.tick()
    assert [job.request.purpose for job in engine.jobs].count(Purpose.ANSWER) == 1
    assert row(with_volume).state is LesionState.DONE


def test_moved_seed_makes_the_segmentation_old_at_the_next_turn(with_volume, engine):
    node = with_volume.add_seed(SEED)
    answer(with_volume, engine)
    node.SetNthControlPointPositionWorld(0, 22.0, 20.0, 20.0)
    with_volume.tick()
    assert not row(with_volume).is_current
    assert (
        with_volume.lesion_store.segmentation_node.GetSegmentation().GetSegment("Tumour 1").GetName().endswith("date)")
    )
    answer(with_volume, engine)
    assert row(with_volume).is_current


def test_seed_moved_while_the_network_runs_makes_the_late_answer_old(with_volume, engine):
    node = with_volume.add_seed(SEED)
    with_volume.segment()
    with_volume.tick()
    node.SetNthControlPointPositionWorld(0, 22.0, 20.0, 20.0)
    engine.finish()
    with_volume.tick()
    with_volume.tick()
    assert not row(with_volume).is_current


def test_voxels_overwritten_in_place_make_the_segmentation_old(with_volume, engine, tiny_volume):
    with_volume.add_seed(SEED)
    answer(with_volume, engine)
    segmented = with_volume.session.volume.array
    image = with_volume.volume.node.GetImageData()
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = 7
    image.GetPointData().GetScalars().Modified()
    with_volume.tick()
    assert not row(with_volume).is_current
    np.testing.assert_array_equal(segmented, tiny_volume.array)  # a copy, whatever is written into the scene
    answer(with_volume, engine)
    assert row(with_volume).is_current
    assert (with_volume.session.volume.array == 7).all()


def test_new_volume_over_the_link_makes_the_segmentation_old(workspace, link, engine, tiny_volume, clock):
    link.inbox = [image_of(tiny_volume)]
    workspace.tick()
    workspace.add_seed(SEED)
    answer(workspace, engine)
    assert row(workspace).is_current
    clock.now_s += 3
    assert row(workspace).volume_age_s == pytest.approx(3)
    link.inbox = [image_of(replace(tiny_volume, array=tiny_volume.array + 1, timestamp_s=9.0))]
    workspace.tick()
    assert not row(workspace).is_current


def test_only_the_followed_device_is_segmented_others_are_shown(workspace, link, tiny_volume):
    workspace.session.follow("live")
    link.inbox = [image_of(replace(tiny_volume, device="other")), image_of(replace(tiny_volume, device="live"))]
    workspace.tick()
    link.inbox = [image_of(replace(tiny_volume, device="other", timestamp_s=9.0))]
    workspace.tick()
    assert workspace.volume.node.GetName() == "live"
    assert workspace.devices == {"other": "volume", "live": "volume"}


def test_transforms_of_one_turn_are_shown_once_and_the_rate_is_known(workspace, link, clock):
    for turn in range(20):
        link.inbox = [TransformMessage("StylusToReference", turn, np.diag([1.0, 1, 1, 1])) for _ in range(6)]
        workspace.tick()
        clock.now_s += 0.1
    nodes = nodes_of_class(workspace.scene, "vtkMRMLLinearTransformNode")
    assert [node.GetName() for node in nodes if node.GetAttribute(DEVICE)] == ["StylusToReference"]
    assert workspace.message_rate.per_s == pytest.approx(60, rel=0.1)
    assert workspace.message_rate.age_s == pytest.approx(0.1)
    clock.now_s += 10
    workspace.tick()
    assert workspace.message_rate.per_s == 0
    assert workspace.message_rate.age_s == pytest.approx(10.1)


def test_several_lesions_keep_apart(with_volume, engine):
    for shift in (0, 1, 2):
        with_volume.add_seed(np.array(SEED) + [shift, 0, 0])
    with_volume.tick()
    answer(with_volume, engine, ["Tumour 2", "Tumour 3", "Tumour 1"])
    assert [r.state for r in with_volume.lesion_store.rows()] == [LesionState.DONE] * 3
    assert all(CORRECTED not in r.warnings for r in with_volume.lesion_store.rows())
    assert len({r.colour for r in with_volume.lesion_store.rows()}) == 3


def test_renamed_seed_renames_its_segmentation(with_volume, engine):
    node = with_volume.add_seed(SEED)
    answer(with_volume, engine)
    node.SetName("segment VIII")
    with_volume.tick()
    assert (
        with_volume.lesion_store.segmentation_node.GetSegmentation().GetSegment("Tumour 1").GetName() == "segment VIII"
    )
    assert row(with_volume).name == "segment VIII"


def test_removed_seed_takes_its_segmentation_along_and_undo_brings_both_back(with_volume, engine):
    with_volume.add_seed(SEED)
    answer(with_volume, engine)
    volume_ml = row(with_volume).volume_ml
    with_volume.remove_seed("Tumour 1")
    with_volume.tick()
    assert with_volume.lesion_store.rows() == []
    assert with_volume.lesion_store.segmentation_node.GetSegmentation().GetNumberOfSegments() == 0
    with_volume.lesion_store.undo()
    with_volume.tick()
    assert row(with_volume).volume_ml == pytest.approx(volume_ml)
    assert row(with_volume).is_current
    np.testing.assert_allclose(seed_nodes(with_volume.scene)["Tumour 1"].GetNthControlPointPositionWorld(0), SEED)


def test_undo_and_redo_go_through_corrections_too(with_volume, engine):
    with_volume.add_seed(SEED)
    answer(with_volume, engine)
    first_ml = row(with_volume).volume_ml
    paint(with_volume, "Tumour 1", np.s_[0:8, 0:8, 0:8])
    with_volume.tick()
    corrected_ml = row(with_volume).volume_ml
    assert corrected_ml > first_ml
    assert row(with_volume).warnings == (CORRECTED,)
    answer(with_volume, engine)
    assert row(with_volume).volume_ml == pytest.approx(first_ml)
    with_volume.lesion_store.undo()
    with_volume.tick()
    assert row(with_volume).volume_ml == pytest.approx(corrected_ml)
    assert row(with_volume).warnings == (CORRECTED,)
    with_volume.lesion_store.redo()
    with_volume.tick()
    assert row(with_volume).volume_ml == pytest.approx(first_ml)
    assert row(with_volume).warnings == ()


def test_undo_does_not_compute_again_by_itself(with_volume, engine, clock):
    with_volume.requests.auto_segment = True
    with_volume.add_seed(SEED)
    answer(with_volume, engine)
    answer(with_volume, engine)
    with_volume.lesion_store.undo()
    for _ in range(5):
        clock.now_s += 1
        with_volume.tick()
    assert len(engine.jobs) == 2


def test_volume_deleted_during_inference_ends_it_and_says_why(with_volume, engine):
    with_volume.add_seed(SEED)
    with_volume.segment()
    with_volume.tick()
    with_volume.scene.RemoveNode(with_volume.volume.node)
    with_volume.tick()
    with_volume.tick()
    assert not with_volume.session.busy
    assert with_volume.volume.node is None
    assert row(with_volume).volume_ml is None
    with pytest.raises(VolumeError, match="there is no volume"):
        with_volume.segment()


def test_segmentations_of_a_deleted_volume_look_old(with_volume, engine):
    with_volume.add_seed(SEED)
    answer(with_volume, engine)
    node = with_volume.lesion_store.segmentation_node
    with_volume.scene.RemoveNode(with_volume.volume.node)
    with_volume.tick()
    assert node.GetSegmentation().GetSegment("Tumour 1").GetName() == "Tumour 1 (out of date)"


@pytest.mark.parametrize("what", ["seed", "segmentation"])
def test_node_deleted_during_inference_does_no_harm(with_volume, engine, what):
    node = with_volume.add_seed(SEED)
    answer(with_volume, engine)
    with_volume.segment()
    with_volume.tick()
    with_volume.scene.RemoveNode(node if what == "seed" else with_volume.lesion_store.segmentation_node)
    with_volume.tick()
    engine.finish()
    with_volume.tick()
    rows = with_volume.lesion_store.rows()
    assert rows == [] if what == "seed" else rows[0].state is LesionState.DONE


def test_cancel_gives_back_what_was_there(with_volume, engine):
    with_volume.add_seed(SEED)
    with_volume.segment()
    with_volume.tick()
    with_volume.session.cancel()
    with_volume.tick()
    assert row(with_volume).state is LesionState.NEW
    answer(with_volume, engine)
    with_volume.segment()
    with_volume.tick()
    with_volume.session.cancel()
    with_volume.tick()
    assert row(with_volume).state is LesionState.DONE
    assert row(with_volume).is_current


def test_failure_is_told_in_the_row_and_a_moved_seed_clears_it(with_volume, engine):
    node = with_volume.add_seed(SEED)
    with_volume.segment()
    with_volume.tick()
    engine.fail("the worker died; try again")
    with_volume.tick()
    assert (row(with_volume).state, row(with_volume).reason) == (LesionState.FAILED, "the worker died; try again")
    node.SetNthControlPointPositionWorld(0, 21.0, 20.0, 20.0)
    with_volume.tick()
    assert (row(with_volume).state, row(with_volume).reason) == (LesionState.NEW, "")


def test_seed_outside_the_volume_is_told_in_its_row(with_volume):
    with_volume.add_seed([500, 0, 0])
    with_volume.segment()
    assert row(with_volume).state is LesionState.FAILED
    assert "outside the volume" in row(with_volume).reason


def test_without_seed_or_volume_the_next_step_is_said(workspace):
    with pytest.raises(SeedError, match="place one"):
        workspace.segment()
    workspace.add_seed(SEED)
    with pytest.raises(VolumeError, match="connect to a source"):
        workspace.segment()


def test_seed_from_a_tool_lies_at_its_tip(workspace, link):
    matrix = np.eye(4)
    matrix[:3, 3] = [3, 4, 5]
    link.inbox = [TransformMessage("StylusToReference", 1.0, matrix)]
    workspace.tick()
    tool = workspace.scene.GetFirstNodeByName("StylusToReference")
    assert workspace.clicks.add_seed_at_tip(tool).GetNthControlPointPositionWorld(0) == pytest.approx((3, 4, 5))
    link.inbox = [TransformMessage("StylusToReference", 2.0, matrix, {"TransformStatus": "MISSING"})]
    workspace.tick()
    with pytest.raises(SeedError, match="not tracked"):
        workspace.clicks.add_seed_at_tip(tool)
    with pytest.raises(SeedError, match="choose the transform"):
        workspace.clicks.add_seed_at_tip(None)


def scaled(factor):
    return np.diag([factor, factor, factor, 1.0])


@pytest.mark.parametrize(
    ("device", "matrix", "reason"),
    [
        ("StylusToReference", scaled(1.03), "scales by 1.03"),
        ("StylusToReference", np.diag([1.0, 1, -1, 1]), "mirrors"),
        ("Stylus", scaled(1.1), "scales by 1.1"),
        ("StylusToTracker", np.eye(4), "no transform from Stylus to Reference"),
        ("ReferenceToTracker", np.eye(4), "no transform from Reference"),
    ],
)
def test_no_seed_is_placed_by_a_pose_that_is_none_of_a_tool(workspace, link, device, matrix, reason):
    link.inbox = [TransformMessage(device, 1.0, matrix)]
    workspace.tick()
    tool = workspace.scene.GetFirstNodeByName(device)
    with pytest.raises(SeedError, match=reason):
        workspace.clicks.add_seed_at_tip(tool)
    assert seed_nodes(workspace.scene) == {}


@pytest.mark.parametrize("device", ["StylusToReference", "Stylus"])
def test_no_seed_is_placed_by_a_pose_that_is_old(workspace, link, clock, device):
    link.inbox = [TransformMessage(device, 1.0, np.eye(4))]
    workspace.tick()
    tool = workspace.scene.GetFirstNodeByName(device)
    clock.now_s += 2.0
    with pytest.raises(SeedError, match=r"no pose for 2\.0 s"):
        workspace.clicks.add_seed_at_tip(tool)
    workspace.use_link(None)
    with pytest.raises(SeedError, match="not tracked"):
        workspace.clicks.add_seed_at_tip(tool)


def test_seed_is_placed_by_a_tool_whose_name_tells_of_no_frames(workspace, link):
    pose = np.eye(4)
    pose[:3, 3] = [3, 4, 5]
    link.inbox = [TransformMessage("Stylus", 1.0, pose)]
    workspace.tick()
    seed = workspace.clicks.add_seed_at_tip(workspace.scene.GetFirstNodeByName("Stylus"))
    assert seed.GetNthControlPointPositionWorld(0) == pytest.approx((3, 4, 5))
    link.inbox = [TransformMessage("Stylus", 2.0, np.eye(4), {"TransformStatus": "MISSING"})]
    workspace.tick()
    with pytest.raises(SeedError, match="not tracked"):
        workspace.clicks.add_seed_at_tip(workspace.scene.GetFirstNodeByName("Stylus"))


def test_seed_from_a_tool_whose_tip_is_calibrated_lies_at_that_tip(workspace, link):
    tip, pose = np.eye(4), np.eye(4)
    tip[2, 3], pose[:3, 3] = 150.0, [3, 4, 5]
    link.inbox = [TransformMessage("StylusTipToStylus", 1.0, tip), TransformMessage("StylusToReference", 1.0, pose)]
    workspace.tick()
    seed = workspace.clicks.add_seed_at_tip(workspace.scene.GetFirstNodeByName("StylusToReference"))
    assert seed.GetNthControlPointPositionWorld(0) == pytest.approx((3, 4, 155))


@pytest.mark.parametrize("device", ["StylusToReference", "Stylus"])
def test_node_of_a_tool_stays_where_it_was_when_a_pose_is_not_rigid(workspace, link, device):
    for number, matrix in enumerate((np.eye(4), scaled(1.1))):
        link.inbox = [TransformMessage(device, 1.0 + number, matrix)]
        workspace.tick()
    tool = workspace.scene.GetFirstNodeByName(device)
    assert tool.GetMatrixTransformToParent().GetElement(0, 0) == 1.0
    assert not is_tracked(tool)


def test_node_of_an_image_scales_as_its_calibration_does(workspace, link):
    link.inbox = [TransformMessage("ImageToReference", 1.0, scaled(0.2))]
    workspace.tick()
    node = workspace.scene.GetFirstNodeByName("ImageToReference")
    assert is_tracked(node)
    assert node.GetMatrixTransformToParent().GetElement(0, 0) == 0.2
    assert workspace.session.problems.lines == []


@pytest.mark.parametrize("device", ["PhantomToReference", "StylusToTracker"])
def test_pose_that_is_not_rigid_is_told_once_among_the_problems(workspace, link, device):
    for number in range(3):
        link.inbox = [TransformMessage(device, 1.0 + number, scaled(1.1))]
        workspace.tick()
    (line,) = workspace.session.problems.lines
    assert f"pose is not rigid: scales by 1.1 ({device})" in line
    assert workspace.session.problems.count == 1


def test_crop_box_follows_the_seed_and_gives_its_size(with_volume, engine):
    node = with_volume.add_seed(SEED)
    with_volume.tick()
    box = crop_box(with_volume.scene)
    assert box.GetCenterWorld() == pytest.approx(SEED)
    assert box.GetSize() == pytest.approx([30] * 3)
    box.SetSize([24.0, 40.0, 24.0])
    with_volume.tick()
    assert with_volume.requests.crop_size_mm == pytest.approx(40)
    assert box.GetSize() == pytest.approx([40] * 3)
    node.SetNthControlPointPositionWorld(0, 22.0, 20.0, 20.0)
    with_volume.tick()
    assert box.GetCenterWorld() == pytest.approx((22, 20, 20))
    answer(with_volume, engine)
    assert with_volume.lesion_store.entries[
        "Tumour 1"
    ].segmentation.result.request.options.crop_size_mm == pytest.approx(40)
    with_volume.requests.crop_size_mm = 26.0
    with_volume.tick()
    assert box.GetSize() == pytest.approx([26] * 3)


def test_segmentations_of_a_loaded_scene_are_taken_over_and_not_computed_again(with_volume, engine, model, clock):
    with_volume.add_seed(SEED)
    answer(with_volume, engine)
    volume_ml = row(with_volume).volume_ml
    later = Workspace(with_volume.scene, Session(engine, model), clock=clock)
    later.use_node(with_volume.volume.node)
    for _ in range(3):
        later.tick()
        clock.now_s += 1
    assert row(later).volume_ml == pytest.approx(volume_ml)
    assert row(later).is_current
    assert len(engine.jobs) == 1


def test_no_nodes_leak_over_many_answers(with_volume, engine):
    node = with_volume.add_seed(SEED)
    answer(with_volume, engine)
    before = with_volume.scene.GetNumberOfNodes()
    for n in range(10):
        node.SetNthControlPointPositionWorld(0, 20.0 + 0.1 * n, 20.0, 20.0)
        answer(with_volume, engine)
    assert with_volume.scene.GetNumberOfNodes() == before


def test_closing_ends_link_and_engine(workspace, link, engine):
    workspace.close()
    assert link.closed
    assert engine.closed


def test_mask_of_a_segment_has_its_place(with_volume, engine):
    show_seed(with_volume.scene, "Tumour 1", SEED)
    answer(with_volume, engine)
    mask, ijk_to_ras = mask_of_segment(with_volume.lesion_store.segmentation_node, "Tumour 1")
    center = ijk_to_ras @ [*np.argwhere(mask)[:, ::-1].mean(0), 1]
    np.testing.assert_allclose(center[:3], SEED, atol=1.0)
