"""A workspace is recorded while it runs: real scene, bytes and files; engine, tracker and clock are stubs."""

from __future__ import annotations

import errno
import os
from dataclasses import replace

import numpy as np
import pytest
from CRLMSegmentationLib.core.geometry import transform_points
from CRLMSegmentationLib.core.points import PointKind
from CRLMSegmentationLib.recording import session_events as kinds
from CRLMSegmentationLib.recording.case import load_case
from CRLMSegmentationLib.recording.recorded_images import RecordedImages
from CRLMSegmentationLib.recording.rerun import rerun_case
from CRLMSegmentationLib.recording.session_results import recorded_results
from CRLMSegmentationLib.segmentation.models.package import model_or_default
from CRLMSegmentationLib.segmentation.results import Purpose
from CRLMSegmentationLib.segmentation.session import Session
from CRLMSegmentationLib.slicer.dependencies import SMALL_PACKAGES
from CRLMSegmentationLib.slicer.scene.correction_points import point_node
from CRLMSegmentationLib.slicer.scene.headless import new_scene
from CRLMSegmentationLib.slicer.scene.masks import mask_in_volume
from CRLMSegmentationLib.slicer.scene.nodes import to_vtk_matrix
from CRLMSegmentationLib.slicer.scene.seeds import seed_nodes
from CRLMSegmentationLib.slicer.scene.volumes import show_volume
from CRLMSegmentationLib.slicer.workspace import workspace_recorder as recording_module
from CRLMSegmentationLib.slicer.workspace.event_writer import ASKED_AGAIN, NEWER_VOLUME, SENSOR, EventWriter
from CRLMSegmentationLib.slicer.workspace.segmentation_changes import segmentation_in
from CRLMSegmentationLib.slicer.workspace.workspace import Workspace
from helpers.inference_helpers import click_package
from helpers.navigation_scene_helpers import Tracker, at, finish_all, send_volume
from helpers.point_helpers import exclude, include
from helpers.stub_engine import StubEngine
from helpers.workspace_helpers import SEED, answer, paint
from helpers.workspace_recording_helpers import TappedLink, events_in, everything_in, names_in, recorded, wait
from slicer import vtkOrientedImageData, vtkSlicerSegmentationsModuleLogic
from vtk.util.numpy_support import vtk_to_numpy

TYPED = "Mustermann Erika"
EDGE = (26.0, 20.0, 20.0)
"""Within the dark ball around the seed, near its border."""
OBLIQUE = np.array([[0.8, -0.48, 0.3, 12.5], [0.6, 0.64, -0.3, -30.25], [0, 0.6, 1.2, 71.0], [0, 0, 0, 1]])
OBLIQUE[:3, 2] = -1.4 * np.cross(OBLIQUE[:3, 0], OBLIQUE[:3, 1])
"""Left-handed, oblique and anisotropic."""


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "session"


@pytest.fixture
def recording(workspace, clock):
    made = recorded(workspace, clock)
    yield made
    made.end()


@pytest.fixture
def begun(recording, folder):
    recording.begin(folder)
    assert (recording.is_recording, recording.problem) == (True, "")
    return recording


@pytest.fixture
def recorded_link(workspace, recording):
    """The link of a recorded room."""
    recording.use_link("127.0.0.1", 18944)
    made = TappedLink(recording)
    workspace.use_link(made)
    return made


@pytest.fixture
def with_segmentation(begun, with_volume, engine, clock):
    """A recorded room with a segmentation that has rested."""
    with_volume.add_seed(np.array(SEED))
    answer(with_volume, engine, ["Tumour 1"])
    wait(with_volume, clock, 2.5)
    return with_volume


def segmentation_now(workspace, lesion="Tumour 1"):
    return mask_in_volume(workspace.lesion_store.segmentation_node, lesion, workspace.session.volume)


def test_session_over_a_link_becomes_a_case(begun, recorded_link, workspace, engine, clock, tiny_volume, folder):
    send_volume(workspace, recorded_link, tiny_volume, 0)
    workspace.add_seed(np.array(SEED))
    answer(workspace, engine, ["Tumour 1"])
    Tracker(workspace, recorded_link, clock).send(3.0, StylusToReference=at(40.0))
    told = begun.end()
    case = load_case(folder)
    (result,) = recorded_results(case)
    assert "1 result" in told
    np.testing.assert_array_equal(RecordedImages(case.folder).volume(result.volume).array, tiny_volume.array)
    np.testing.assert_array_equal(RecordedImages(case.folder).mask_of(result), segmentation_now(workspace))
    assert [(lesion.name, lesion.seed_ras_mm) for lesion in case.lesions] == [("Tumour 1", SEED)]
    assert len(list(case.tracking_samples())) == 120
    assert not (folder / "volumes").exists()
    assert {"seed_to_overlay", "overlay", "inference"} <= set(result.timings_s)
    order = [e for e in names_in(folder) if e not in (kinds.TIP, kinds.TIP_DISTANCE)]
    assert order == ["started", "model", "connected", "ready", "seed placed", "result", "ended"]


def test_smallest_tip_distance_is_recorded_with_its_interval_and_instrument(
    begun, recorded_link, workspace, engine, clock, tiny_volume, folder
):
    send_volume(workspace, recorded_link, tiny_volume, 0)
    workspace.add_seed(np.array(SEED))
    answer(workspace, engine, ["Tumour 1"])
    tracker = Tracker(workspace, recorded_link, clock)
    for x in (48.0, 44.0, 40.0, 36.0, 40.0, 44.0, 48.0):
        tracker.send(1.5, StylusToReference=at(x))
    begun.end()
    nearest = min(events_in(folder, kinds.TIP_DISTANCE), key=lambda event: event.about["distance_mm"]).about
    assert nearest["distance_mm"] == pytest.approx(8, abs=0.8)
    assert nearest["bounds_mm"][0] < nearest["distance_mm"] < nearest["bounds_mm"][1]
    assert (nearest["instrument"], nearest["lesion"]) == ("Stylus", "Tumour 1")
    curve = [event.about["distance_mm"] for event in events_in(folder, kinds.TIP)]
    assert 7 <= len(curve) <= 12
    assert curve[0] > 19
    assert min(curve) == pytest.approx(8, abs=0.8)


class AnsweringStub(StubEngine):
    """Answers at the next poll."""

    def poll(self):
        if self.pending is not None:
            self.finish()
        return super().poll()


def test_recorded_session_gives_identical_masks_when_it_is_computed_again(clock, folder, tiny_volume):
    model = model_or_default(None)
    workspace = Workspace(new_scene(), Session(AnsweringStub(), model), clock=clock)
    recording = recorded(workspace, clock)
    recording.begin(folder)
    workspace.use_node(show_volume(workspace.scene, tiny_volume, TYPED))
    for shift in (0, 3):
        workspace.add_seed(np.array(SEED) + [shift, 0, 0])
    wait(workspace, clock, 2)
    workspace.requests.crop_size_mm = 46.0
    workspace.segment(["Tumour 1"])
    wait(workspace, clock, 2)
    recording.end()
    workspace.close()
    rows = rerun_case(folder, engine_of=lambda package: AnsweringStub())
    assert [(row.lesion, row.identical, row.same_model) for row in rows] == [
        ("Tumour 1", True, True),
        ("Tumour 2", True, True),
        ("Tumour 1", True, True),
    ]
    assert [result.request.options.crop_size_mm for result in recorded_results(load_case(folder))][-1] == 46.0


def test_correction_is_recorded_once_it_has_rested(begun, with_segmentation, clock, folder):
    for size in (6, 7, 8):
        paint(with_segmentation, "Tumour 1", np.s_[0:size, 0:size, 0:size])
        wait(with_segmentation, clock, 0.3)
    assert names_in(folder, *kinds.SEGMENTATIONS) == []
    wait(with_segmentation, clock, 1.5)
    assert names_in(folder, *kinds.SEGMENTATIONS) == [kinds.CORRECTED]
    expected = segmentation_now(with_segmentation)
    begun.end()
    (result,) = recorded_results(load_case(folder))
    np.testing.assert_array_equal(RecordedImages(folder).mask_of(result.corrected), expected)
    assert result.corrected.volume_ml == pytest.approx(expected.sum() / 1000)


def test_correction_after_a_move_is_recorded_in_the_voxels_it_was_painted_in(begun, with_volume, engine, clock, folder):
    place = with_volume.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    with_volume.volume.node.SetAndObserveTransformNodeID(place.GetID())
    with_volume.tick()
    with_volume.add_seed(np.array(SEED))
    answer(with_volume, engine, ["Tumour 1"])
    wait(with_volume, clock, 2.5)
    expected = with_volume.lesion_store.entries["Tumour 1"].segmentation.result.mask.mask.copy()
    expected[4:8, 5:8, 6:8] = True
    moved = np.eye(4)
    moved[:3, 3] = 6.0, -4.0, 2.0
    place.SetMatrixTransformToParent(to_vtk_matrix(moved))
    with_volume.tick()
    paint(with_volume, "Tumour 1", np.s_[4:8, 5:8, 6:8])
    wait(with_volume, clock, 2.5)
    begun.end()
    (result,) = recorded_results(load_case(folder))
    np.testing.assert_array_equal(RecordedImages(folder).mask_of(result.corrected), expected)


def test_segmentation_of_any_geometry_is_read_back_to_the_voxel(workspace, engine, tiny_volume):
    volume = replace(tiny_volume, ijk_to_ras=OBLIQUE)
    workspace.use_node(show_volume(workspace.scene, volume, "oblique"))
    workspace.add_seed(transform_points(OBLIQUE, np.array(SEED)))
    answer(workspace, engine, ["Tumour 1"])
    expected = workspace.lesion_store.entries["Tumour 1"].segmentation.result.mask.mask
    part, offset_kji = segmentation_in(volume, workspace.lesion_store.segmentation_node, "Tumour 1")
    found = np.zeros_like(expected)
    found[tuple(slice(start, start + count) for start, count in zip(offset_kji, part.shape))] = part
    np.testing.assert_array_equal(found, expected)
    assert expected.sum() > 500
    assert part.size < 4 * expected.sum()


def test_correction_that_the_end_cuts_short_is_recorded(begun, with_segmentation, folder):
    paint(with_segmentation, "Tumour 1", np.s_[0:6, 0:6, 0:6])
    with_segmentation.tick()
    begun.end()
    assert names_in(folder, *kinds.SEGMENTATIONS) == [kinds.CORRECTED]


def test_correction_that_is_overwritten_at_once_is_told_without_its_segmentation(
    begun, with_segmentation, engine, folder
):
    paint(with_segmentation, "Tumour 1", np.s_[0:6, 0:6, 0:6])
    with_segmentation.tick()
    answer(with_segmentation, engine, ["Tumour 1"])
    begun.end()
    (corrected,) = events_in(folder, kinds.CORRECTED)
    assert "mask" not in corrected.about


def test_undo_and_redo_say_which_segmentation_stands(begun, with_segmentation, engine, clock, folder):
    paint(with_segmentation, "Tumour 1", np.s_[0:6, 0:6, 0:6])
    wait(with_segmentation, clock, 2)
    corrected = segmentation_now(with_segmentation)
    answer(with_segmentation, engine, ["Tumour 1"])
    wait(with_segmentation, clock, 2)
    for step in (with_segmentation.lesion_store.undo, with_segmentation.lesion_store.redo):
        step()
        wait(with_segmentation, clock, 2)
    begun.end()
    first, undone, redone = events_in(folder, *kinds.SEGMENTATIONS)
    assert [(e.event, e.about["result"]) for e in (first, undone, redone)] == [
        (kinds.CORRECTED, 1),
        (kinds.UNDONE, 1),
        (kinds.REDONE, 2),
    ]
    assert undone.about["volume_ml"] == first.about["volume_ml"] == pytest.approx(corrected.sum() / 1000)
    assert "mask" not in redone.about


def test_correction_that_was_undone_is_none_of_its_result(begun, with_segmentation, clock, folder):
    before = segmentation_now(with_segmentation)
    paint(with_segmentation, "Tumour 1", np.s_[0:6, 0:6, 0:6])
    wait(with_segmentation, clock, 2)
    paint_back(with_segmentation.lesion_store.segmentation_node, "Tumour 1", before)
    wait(with_segmentation, clock, 2)
    begun.end()
    _, undone = events_in(folder, *kinds.SEGMENTATIONS)
    assert (undone.event, undone.about["result"]) == (kinds.UNDONE, 1)
    assert undone.about["volume_ml"] == pytest.approx(before.sum() / 1000)


def paint_back(node, lesion, mask):
    """What the undo of the Segment Editor does."""
    image = vtkOrientedImageData()
    image.SetDimensions(mask.shape[::-1])
    image.AllocateScalars(3, 1)
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = mask.ravel()
    logic = vtkSlicerSegmentationsModuleLogic
    logic.SetBinaryLabelmapToSegment(image, node, lesion, logic.MODE_REPLACE, image.GetExtent())


def test_segmentation_that_is_deleted_leaves_none(begun, with_segmentation, clock, folder):
    with_segmentation.lesion_store.segmentation_node.GetSegmentation().RemoveSegment("Tumour 1")
    wait(with_segmentation, clock, 2)
    begun.end()
    assert [(e.event, e.about["result"]) for e in events_in(folder, *kinds.SEGMENTATIONS)] == [(kinds.UNDONE, None)]


def test_lesion_that_is_removed_and_brought_back_is_no_correction(begun, with_segmentation, clock, folder):
    with_segmentation.remove_seed("Tumour 1")
    wait(with_segmentation, clock, 2)
    with_segmentation.lesion_store.undo()
    wait(with_segmentation, clock, 2)
    begun.end()
    told = names_in(folder, kinds.SEED_PLACED, kinds.SEED_REMOVED, *kinds.SEGMENTATIONS)
    assert told == [kinds.SEED_PLACED, kinds.SEED_REMOVED, kinds.SEED_PLACED, kinds.UNDONE]
    assert events_in(folder, kinds.UNDONE)[0].about["result"] == 1


def test_dragged_seed_is_recorded_when_it_is_let_go(begun, with_volume, clock, folder):
    node = with_volume.add_seed(np.array(SEED))
    wait(with_volume, clock, 1)
    for step in range(20):
        node.SetNthControlPointPositionWorld(0, 20.0 + step / 10, 20.0, 20.0)
        wait(with_volume, clock, 0.1)
    wait(with_volume, clock, 1)
    begun.end()
    seeds = [(event.event, event.about["seed_ras_mm"][0]) for event in events_in(folder, *kinds.SEEDS)]
    assert seeds == [(kinds.SEED_PLACED, 20.0), (kinds.SEED_MOVED, pytest.approx(21.9))]


def test_segmenting_again_says_why(begun, recorded_link, workspace, engine, clock, tiny_volume, folder):
    send_volume(workspace, recorded_link, tiny_volume, 0)
    workspace.add_seed(np.array(SEED))
    answer(workspace, engine, ["Tumour 1"])
    wait(workspace, clock, 1)
    answer(workspace, engine, ["Tumour 1"])
    workspace.resegmentation.enabled = True
    wait(workspace, clock, 1)
    send_volume(workspace, recorded_link, tiny_volume, 1)
    finish_all(workspace, engine, clock)
    begun.end()
    assert [event.about["why"] for event in events_in(folder, kinds.RECALCULATED)] == [ASKED_AGAIN, NEWER_VOLUME]
    assert len(recorded_results(load_case(folder))) == 3
    assert names_in(folder, *kinds.SEGMENTATIONS) == []


def test_refined_segmentation_is_a_result_and_no_correction(
    begun, recorded_link, workspace, engine, clock, tiny_volume, folder
):
    workspace.background_refinement.enabled = True
    send_volume(workspace, recorded_link, tiny_volume, 0)
    workspace.add_seed(np.array(SEED))
    workspace.segment()
    finish_all(workspace, engine, clock)
    begun.end()
    purposes = [event.about["purpose"] for event in events_in(folder, kinds.RESULT)]
    assert purposes == [Purpose.ANSWER.value, Purpose.REFINED.value]
    assert names_in(folder, *kinds.SEGMENTATIONS) == []


def test_instrument_that_is_lost_is_in_doubt_and_trusted_again(begun, recorded_link, workspace, clock, folder):
    tracker = Tracker(workspace, recorded_link, clock)
    tracker.send(1.0, StylusToReference=at(40.0), ReferenceToTracker=at(100.0))
    tracker.send(1.0, StylusToReference="MISSING", ReferenceToTracker=at(100.0))
    tracker.send(1.0, StylusToReference=at(40.0), ReferenceToTracker=at(100.0))
    tracker.send(1.0, StylusToReference=at(40.0), ReferenceToTracker="MISSING")
    tracker.send(1.0, StylusToReference=at(40.0), ReferenceToTracker=at(100.0))
    workspace.use_link(None)
    wait(workspace, clock, 1)
    begun.end()
    told = [(event.event, event.about["name"]) for event in events_in(folder, kinds.IN_DOUBT, kinds.TRUSTED_AGAIN)]
    assert told == [
        (kinds.IN_DOUBT, "Stylus"),
        (kinds.TRUSTED_AGAIN, "Stylus"),
        (kinds.IN_DOUBT, SENSOR),
        (kinds.TRUSTED_AGAIN, SENSOR),
    ]
    assert events_in(folder, kinds.LINK_LOST)[0].about["why"] == "disconnected"


def test_volume_of_the_scene_is_recorded_when_it_stays_and_without_its_name(
    begun, workspace, clock, tiny_volume, folder
):
    node = show_volume(workspace.scene, tiny_volume, TYPED)
    for number in range(6):  # as a connector of OpenIGTLinkIF writes it
        array = tiny_volume.array.copy()
        array[0, 0, 0] = number
        node.GetImageData().GetPointData().GetScalars().SetTuple1(0, number)
        node.GetImageData().Modified()
        workspace.use_node(node)
        wait(workspace, clock, 1)
    wait(workspace, clock, 3)
    workspace.add_seed(np.array(SEED))
    wait(workspace, clock, 1)
    begun.end()
    assert len(events_in(folder, kinds.VOLUME)) == 1
    assert len(list((folder / "volumes").iterdir())) == 1
    assert TYPED.encode() not in everything_in(folder)


def test_typed_name_of_a_lesion_is_nowhere(begun, with_segmentation, clock, folder):
    with_segmentation.clicks.rename_lesion("Tumour 1", TYPED)
    seed_nodes(with_segmentation.scene)["Tumour 1"].SetNthControlPointPositionWorld(0, 22.0, 20.0, 20.0)
    wait(with_segmentation, clock, 1)
    paint(with_segmentation, "Tumour 1", np.s_[0:6, 0:6, 0:6])
    wait(with_segmentation, clock, 2)
    begun.end()
    assert {event.about["lesion"] for event in events_in(folder) if "lesion" in event.about} == {"Tumour 1"}
    assert TYPED.encode() not in everything_in(folder)
    assert not any("Mustermann" in path.name for path in folder.rglob("*"))


def test_recording_that_begins_late_knows_what_is_there(
    recording, recorded_link, workspace, engine, clock, tiny_volume, folder
):
    send_volume(workspace, recorded_link, tiny_volume, 0)
    for shift in (0, 3):
        workspace.add_seed(np.array(SEED) + [shift, 0, 0])
    answer(workspace, engine, ["Tumour 1", "Tumour 2"])
    paint(workspace, "Tumour 2", np.s_[0:6, 0:6, 0:6])
    wait(workspace, clock, 5)
    recording.begin(folder)
    wait(workspace, clock, 3)
    recording.end()
    told = names_in(folder)
    assert told[:4] == ["started", "model", "ready", "connected"]
    expected = ["corrected by hand", "result", "result", "seed placed", "seed placed", "volume"]
    assert sorted(told[4:-1]) == expected
    first, second = recorded_results(load_case(folder))
    assert first.corrected is None
    np.testing.assert_array_equal(
        RecordedImages(folder).mask_of(second.corrected), segmentation_now(workspace, "Tumour 2")
    )


def test_segmentation_that_was_loaded_is_taken_over(with_volume, engine, clock, folder, model):
    with_volume.add_seed(np.array(SEED))
    answer(with_volume, engine, ["Tumour 1"])
    again = Workspace(with_volume.scene, Session(StubEngine(), model), clock=clock)
    again.requests.auto_segment = False
    recording = recorded(again, clock)
    recording.begin(folder)
    again.use_node(again.lesion_store.volume_of_segmentations())
    wait(again, clock, 3)
    recording.end()
    again.session.close()
    (event,) = events_in(folder, *kinds.SEGMENTATIONS)
    assert (event.event, event.about["result"]) == (kinds.TAKEN_OVER, None)
    assert event.about["volume_ml"] == pytest.approx(segmentation_now(with_volume).sum() / 1000)


def test_turns_in_which_nothing_happens_write_nothing(begun, with_segmentation, clock):
    before = begun.used_bytes
    wait(with_segmentation, clock, 20)
    assert begun.used_bytes == before


def test_little_room_is_told_and_results_go_on(recording, recorded_link, workspace, engine, clock, tiny_volume, folder):
    recording.begin(folder, budget_bytes=2.5 * tiny_volume.array.nbytes)
    for number in range(6):
        send_volume(workspace, recorded_link, tiny_volume, number)
    workspace.add_seed(np.array(SEED))
    answer(workspace, engine, ["Tumour 1"])
    assert "are not recorded any more" in recording.notice or "nothing of the link" in recording.notice
    assert recording.problem == ""
    recording.end()
    (result,) = recorded_results(load_case(folder))
    np.testing.assert_array_equal(RecordedImages(folder).volume(result.volume).array, workspace.session.volume.array)


def test_full_disk_ends_the_recording_and_not_the_room(begun, with_segmentation, engine, clock, monkeypatch):
    write = os.write

    def full(number, data):
        if os.path.realpath(f"/proc/self/fd/{number}").startswith(str(begun.folder)):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(number, data)

    monkeypatch.setattr(os, "write", full)
    with_segmentation.scene.GetFirstNodeByName("Tumour 1").SetNthControlPointPositionWorld(0, 22.0, 20.0, 20.0)
    answer(with_segmentation, engine, ["Tumour 1"])
    wait(with_segmentation, clock, 2)
    assert not begun.is_recording
    assert "full" in begun.problem
    assert with_segmentation.lesion_store.entries["Tumour 1"].segmentation.result.request.seed_ras_mm == (
        22.0,
        20.0,
        20.0,
    )
    assert begun.end() == ""


def test_fault_of_the_recording_never_reaches_the_room(begun, with_segmentation, clock, monkeypatch):
    monkeypatch.setattr(EventWriter, "update", lambda *_: 1 / 0)
    wait(with_segmentation, clock, 1)
    assert not begun.is_recording
    assert "ZeroDivisionError" in begun.problem
    assert "goes on without it" in begun.problem


def test_folder_that_is_taken_is_told(recording, workspace, folder):
    folder.mkdir()
    (folder / "other").write_text("")
    recording.begin(folder)
    workspace.tick()
    assert not recording.is_recording
    assert "no longer empty" in recording.problem
    assert recording.end() == ""


def test_missing_package_is_told_and_the_room_goes_on(recording, workspace, folder, monkeypatch):
    monkeypatch.setattr(recording_module, "missing", lambda purpose: [SMALL_PACKAGES[1]])
    recording.begin(folder)
    workspace.tick()
    assert (recording.is_recording, recording.folder) == (False, None)
    assert recording.problem == "pyigtl>=0.3.3,<0.4 is missing; press Install"
    assert not folder.exists()


def test_large_recording_is_left_to_recover(begun, with_segmentation, folder, monkeypatch):
    monkeypatch.setattr(recording_module, "MAX_FINISHED_BYTES", 1000)
    told = begun.end()
    assert f"crlm-seg recover {folder}" in told
    assert not (folder / "case.json").exists()
    assert names_in(folder)[-1] == kinds.ENDED


def test_nothing_is_left_of_a_session_in_which_nothing_happened(begun, workspace, folder):
    workspace.tick()
    assert "nothing happened" in begun.end()
    assert list(folder.iterdir()) == []


def test_simulated_source_is_told_in_the_case(recording, with_volume, engine, folder):
    recording.use_source(True)
    recording.begin(folder)
    with_volume.add_seed(np.array(SEED))
    answer(with_volume, engine, ["Tumour 1"])
    recording.end()
    assert load_case(folder).source["simulated"] is True


# ---- correction points


def test_points_are_recorded_when_they_are_placed_moved_and_removed(
    begun, click_model, with_segmentation, engine, clock, folder
):
    with_segmentation.clicks.add_point(PointKind.EXCLUDE, np.array(EDGE))
    wait(with_segmentation, clock, 1)
    node = point_node(with_segmentation.scene, "Tumour 1", PointKind.EXCLUDE)
    for step in range(1, 11):
        node.SetNthControlPointPositionWorld(0, 26.0, 20.0 + step / 10, 20.0)
        wait(with_segmentation, clock, 0.1)
    wait(with_segmentation, clock, 1)
    with_segmentation.clicks.add_point(PointKind.INCLUDE, np.array((20.0, 22.0, 20.0)))
    wait(with_segmentation, clock, 1)
    with_segmentation.points.remove("Tumour 1", 1)
    begun.end()
    told = [
        (e.event, e.about["number"], e.about["point"]["kind"], e.about["point"]["ras_mm"], len(e.about["points"]))
        for e in events_in(folder, *kinds.POINTS)
    ]
    assert told == [
        (kinds.POINT_PLACED, 1, "exclude", list(EDGE), 1),
        (kinds.POINT_MOVED, 1, "exclude", [26.0, 21.0, 20.0], 1),
        (kinds.POINT_PLACED, 2, "include", [20.0, 22.0, 20.0], 2),
        (kinds.POINT_REMOVED, 1, "exclude", [26.0, 21.0, 20.0], 1),
    ]


def test_point_that_was_refused_is_a_note_and_no_point(begun, click_model, with_segmentation, clock, folder):
    point_node(with_segmentation.scene, "Tumour 1", PointKind.EXCLUDE).AddControlPointWorld([21.0, 20.0, 20.0])
    wait(with_segmentation, clock, 1)
    begun.end()
    assert events_in(folder, *kinds.POINTS) == []
    (note,) = events_in(folder, kinds.NOTE)
    assert "contradict each other" in note.about["text"]
    assert note.about["lesion"] == "Tumour 1"


def test_point_is_recorded_before_its_result_and_is_no_recalculation(
    begun, click_model, with_segmentation, engine, clock, folder
):
    with_segmentation.clicks.add_point(PointKind.EXCLUDE, np.array(EDGE))
    answer(with_segmentation, engine, ["Tumour 1"])
    wait(with_segmentation, clock, 1)
    begun.end()
    assert names_in(folder, *kinds.POINTS, kinds.RESULT, kinds.RECALCULATED) == [
        kinds.RESULT,
        kinds.POINT_PLACED,
        kinds.RESULT,
    ]
    first, second = recorded_results(load_case(folder))
    assert (first.request.points, second.request.points) == ((), (exclude(*EDGE),))


def test_undone_point_says_which_segmentation_stands_again(
    begun, click_model, with_segmentation, engine, clock, folder
):
    with_segmentation.clicks.add_point(PointKind.EXCLUDE, np.array(EDGE))
    answer(with_segmentation, engine, ["Tumour 1"])
    wait(with_segmentation, clock, 2)
    with_segmentation.clicks.undo_point()
    wait(with_segmentation, clock, 2)
    with_segmentation.lesion_store.redo()
    wait(with_segmentation, clock, 2)
    begun.end()
    told = [(e.event, e.about["result"]) for e in events_in(folder, *kinds.SEGMENTATIONS)]
    assert told == [(kinds.UNDONE, 1), (kinds.REDONE, 2)]
    assert names_in(folder, *kinds.POINTS) == [kinds.POINT_PLACED, kinds.POINT_REMOVED, kinds.POINT_PLACED]


def test_points_that_were_there_before_the_recording_are_in_it(
    recording, click_model, with_volume, engine, clock, folder
):
    with_volume.add_seed(np.array(SEED))
    with_volume.tick()
    with_volume.clicks.add_point(PointKind.EXCLUDE, np.array(EDGE))
    answer(with_volume, engine, ["Tumour 1"])
    recording.begin(folder)
    wait(with_volume, clock, 2)
    recording.end()
    assert names_in(folder, *kinds.POINTS) == [kinds.POINT_PLACED]


def test_removed_lesion_takes_its_points_out_of_the_recording(
    begun, click_model, with_segmentation, engine, clock, folder
):
    with_segmentation.clicks.add_point(PointKind.EXCLUDE, np.array(EDGE))
    answer(with_segmentation, engine, ["Tumour 1"])
    wait(with_segmentation, clock, 2)
    with_segmentation.remove_seed("Tumour 1")
    wait(with_segmentation, clock, 2)
    with_segmentation.lesion_store.undo()
    wait(with_segmentation, clock, 2)
    begun.end()
    told = names_in(folder, kinds.SEED_PLACED, kinds.SEED_REMOVED, *kinds.POINTS)
    assert told[-4:] == [kinds.POINT_PLACED, kinds.SEED_REMOVED, kinds.SEED_PLACED, kinds.POINT_PLACED]


def test_session_with_points_gives_identical_masks_when_it_is_computed_again(clock, folder, tmp_path, tiny_volume):
    """Points placed, moved, removed and undone; what a lesion has had in between is computed again as well."""
    model = click_package(tmp_path / "model")
    workspace = Workspace(new_scene(), Session(AnsweringStub(takes_points=True), model), clock=clock)
    recording = recorded(workspace, clock)
    recording.begin(folder)
    workspace.use_node(show_volume(workspace.scene, tiny_volume, TYPED))
    workspace.add_seed(np.array(SEED))
    wait(workspace, clock, 2)
    for kind, place in ((PointKind.EXCLUDE, EDGE), (PointKind.INCLUDE, (20.0, 29.0, 20.0))):
        workspace.clicks.add_point(kind, np.array(place))
        wait(workspace, clock, 2)
    workspace.clicks.undo_point()
    wait(workspace, clock, 2)
    workspace.lesion_store.redo()
    wait(workspace, clock, 2)
    point_node(workspace.scene, "Tumour 1", PointKind.EXCLUDE).SetNthControlPointPositionWorld(0, 25.0, 22.0, 20.0)
    wait(workspace, clock, 2)
    workspace.points.remove("Tumour 1", 1)
    wait(workspace, clock, 2)
    recording.end()
    workspace.close()
    results = recorded_results(load_case(folder))
    assert [result.request.points for result in results] == [
        (),
        (exclude(*EDGE),),
        (exclude(*EDGE), include(20, 29, 20)),
        (exclude(25, 22, 20), include(20, 29, 20)),
        (include(20, 29, 20),),
    ]
    rows = rerun_case(folder, tmp_path / "model", engine_of=lambda package: AnsweringStub(takes_points=True))
    assert [(row.identical, row.problem) for row in rows] == [(True, "")] * len(results)
    assert len({row.recorded_ml for row in rows}) == len(rows), "each is another mask"
