"""A session becomes a case: the link, seeds, results and events, each volume once, no name of a patient."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from CRLMSegmentationLib.cli.describe import describe_source
from CRLMSegmentationLib.core.errors import CaseError
from CRLMSegmentationLib.core.reasons import Reason, ReasonCode
from CRLMSegmentationLib.core.volume import Volume, read_volume
from CRLMSegmentationLib.igtl.client import IgtlClient
from CRLMSegmentationLib.igtl.dialects import PLUS, dialect_named
from CRLMSegmentationLib.igtl.link import LinkState
from CRLMSegmentationLib.igtl.messages import ImageMessage, image_of
from CRLMSegmentationLib.igtl.messages import volume_of as volume_of_message
from CRLMSegmentationLib.recording import session_events as kinds
from CRLMSegmentationLib.recording.case import Case, load_case
from CRLMSegmentationLib.recording.player_process import ReplayProcess
from CRLMSegmentationLib.recording.recorded_images import RecordedImages
from CRLMSegmentationLib.recording.session_recorder import SessionRecorder
from CRLMSegmentationLib.recording.session_results import recorded_results
from CRLMSegmentationLib.segmentation.incoming import LinkChanged
from CRLMSegmentationLib.segmentation.results import LesionFailed, LesionSegmented, ModelReady, Purpose
from helpers.recording_helpers import pose
from helpers.session_recording_helpers import ball, events_in, feed, result_at, result_in, seed_in


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def recorder(tmp_path: Path):
    recorder = SessionRecorder(tmp_path / "session")
    assert recorder.problem == ""
    yield recorder
    recorder.close()


def assert_comes_back(case: Case, number: int, result) -> None:
    """Volume and mask, to the last bit."""
    recorded = recorded_results(case)[number]
    volume = RecordedImages(case.folder).volume(recorded.volume)
    np.testing.assert_array_equal(volume.array, result.volume.array)
    np.testing.assert_array_equal(volume.ijk_to_ras, result.volume.ijk_to_ras)
    assert volume.array.dtype == result.volume.array.dtype
    np.testing.assert_array_equal(RecordedImages(case.folder).mask_of(recorded), result.mask.mask)
    assert recorded.request.volume == volume.identity
    assert replace(recorded.request, volume=result.request.volume) == result.request  # but for the name of a file


def test_volume_of_the_link_is_in_its_messages_and_not_stored_again(tiny_case: Case, tmp_path: Path) -> None:
    recorder = SessionRecorder(tmp_path / "session")
    results = []
    with ReplayProcess(tiny_case.folder, speed=50.0) as replay:
        recorder.use_link("127.0.0.1", replay.port, PLUS)
        with IgtlClient("127.0.0.1", replay.port, on_message=recorder.on_message) as client:
            for _ in range(400):
                for message in client.wait(0.05):
                    if isinstance(message, ImageMessage):
                        results.append(result_at(volume_of_message(message)))
                        recorder.take(LesionSegmented(results[-1]))
                if sum(client.statistics.received.values()) >= 11:
                    break
    recorded = recorder.finish()
    assert (recorded.messages, recorded.volumes, recorded.results) == (11, 1, 1)
    case = load_case(tmp_path / "session")
    assert not (case.folder / "volumes").exists()
    assert case.volumes[0].device == "recvol_Reference"
    assert len(list(case.tracking_samples())) == 10
    assert_comes_back(case, 0, results[0])


def test_loaded_volume_is_stored_once_whatever_is_found_in_it(recorder: SessionRecorder) -> None:
    volume = ball("Mustermann^Erika", timestamp_s=0.0)
    volume = Volume(volume.array, volume.ijk_to_ras, volume.device, 0.0, volume.array > 25)
    results = [result_in(volume), result_in(volume, "Tumour 2"), result_in(volume, "Tumour 3", threshold=0)]
    recorder.use_volume(volume)
    for result in results:
        recorder.seed(result.request.lesion, result.request.seed_ras_mm, volume)
        recorder.result(result)
    recorder.finish()
    case = load_case(recorder.folder)
    assert len(case.volumes) == 1
    assert len(list((case.folder / "volumes").iterdir())) == 2
    np.testing.assert_array_equal(case.volume().insonified, volume.insonified)
    for number, result in enumerate(results):
        assert_comes_back(case, number, result)
    assert results[2].mask.is_empty
    assert [Path(name).name for name in case.results] == ["0001-Tumour-1.nrrd", "0002-Tumour-2.nrrd"]
    everything = b"".join(path.read_bytes() for path in case.folder.rglob("*") if path.is_file())
    assert b"Mustermann" not in everything


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.int64])
def test_voxels_of_each_type_come_back(recorder: SessionRecorder, dtype: type) -> None:
    volume = ball()
    result = result_in(Volume(volume.array.astype(dtype) - np.array(3, dtype), volume.ijk_to_ras))
    recorder.result(result)
    recorder.finish()
    assert_comes_back(load_case(recorder.folder), 0, result)


def test_volume_that_was_moved_is_stored_once_and_each_result_knows_its_place(recorder: SessionRecorder) -> None:
    volume = ball()
    moved = Volume(volume.array, np.diag([1.0, -1.0, 2.0, 1.0]), volume.device, volume.timestamp_s)
    results = [result_in(volume), result_in(moved)]
    for result in results:
        recorder.result(result)
    recorder.finish()
    case = load_case(recorder.folder)
    assert len(list((case.folder / "volumes").iterdir())) == 1
    for number, result in enumerate(results):
        assert_comes_back(case, number, result)


def test_mask_file_lies_where_the_lesion_is(recorder: SessionRecorder) -> None:
    volume = ball()
    recorder.result(result_in(volume))
    recorder.finish()
    file = read_volume(recorder.folder / load_case(recorder.folder).results[0])
    middle_kji = np.argwhere(file.array).mean(axis=0)
    middle = file.ijk_to_ras[:3, :3] @ middle_kji[::-1] + file.ijk_to_ras[:3, 3]
    np.testing.assert_allclose(middle, seed_in(volume), atol=0.3)


def test_lesions_of_the_case_are_where_the_seeds_lay_at_the_end(recorder: SessionRecorder) -> None:
    recorder.seed("Tumour 1", (1, 2, 3))
    recorder.seed("Tumour 1", (1, 2, 3))
    recorder.seed("Tumour 2", (4, 5, 6))
    recorder.seed("Tumour 1", np.array([7.0, 8.0, 9.0]))
    recorder.seed_removed("Tumour 2")
    recorder.seed_removed("Tumour 9")
    recorder.finish()
    assert [(lesion.name, lesion.seed_ras_mm) for lesion in load_case(recorder.folder).lesions] == [
        ("Tumour 1", (7.0, 8.0, 9.0))
    ]
    seeds = [e.event for e in events_in(recorder.folder) if "seed" in e.event]
    assert seeds == [kinds.SEED_PLACED, kinds.SEED_PLACED, kinds.SEED_MOVED, kinds.SEED_REMOVED]


def test_correction_by_hand_comes_back_with_its_result(recorder: SessionRecorder) -> None:
    result = result_in(ball())
    corrected = result.mask.mask & np.roll(result.mask.mask, 2, axis=0)
    recorder.result(result)
    recorder.corrected("Tumour 1", corrected, result.volume)
    recorder.undone("Tumour 1")
    recorder.finish()
    case = load_case(recorder.folder)
    (recorded,) = recorded_results(case)
    np.testing.assert_array_equal(RecordedImages(case.folder).mask_of(recorded.corrected), corrected)
    assert recorded.corrected.volume_ml == pytest.approx(corrected.sum() * abs(np.linalg.det(ball().ijk_to_ras)) / 1000)
    assert len(events_in(recorder.folder, kinds.UNDONE)) == 1


def test_what_befalls_a_session_is_told_in_its_order_and_time(tmp_path: Path) -> None:
    clock = Clock()
    recorder = SessionRecorder(tmp_path / "session", clock=clock)
    recorder.take(ModelReady("cpu (2 threads)", 3.5, {"torch": "2"}))
    recorder.take(LinkChanged(LinkState.CONNECTING, ""))
    recorder.take(LinkChanged(LinkState.CONNECTED, ""))
    clock.now_s += 90
    recorder.take(LinkChanged(LinkState.RETRYING, "the server closed the connection"))
    recorder.take(LesionFailed("Tumour 1", "cancelled"))
    for status in (jump(12.0), jump(13.0), None, None):
        recorder.unreliable_reason("StylusToReference", status)
    recorder.recalculated("Tumour 1", "a new volume came")
    recorder.note("time out")
    recorder.close()
    events = events_in(recorder.folder)
    names = ["started", "ready", "connected", "link lost", "failed", "in doubt", "trusted again", "recalculated"]
    assert [event.event for event in events] == [*names, "note", "ended"]
    assert [event.elapsed_s for event in events[2:4]] == [0.0, 90.0]
    assert all(1.7e9 < event.time_s < 5e9 for event in events)
    assert events[3].about == {"why": "the server closed the connection"}
    told = {"name": "StylusToReference", "reason": "jumped by 12 mm", "code": "jumped", "params": {"mm": 12.0}}
    assert events[5].about == told


def jump(mm: float) -> Reason:
    return Reason(ReasonCode.JUMPED, {"mm": mm})


def test_results_that_make_no_segmentation_are_not_recorded(recorder: SessionRecorder) -> None:
    result = result_in(ball())
    for purpose in Purpose:
        recorder.take(LesionSegmented(replace(result, request=replace(result.request, purpose=purpose))))
    purposes = [event.about["purpose"] for event in events_in(recorder.folder, kinds.RESULT)]
    assert purposes == ["answer", "grown", "refined"]


def test_smallest_tip_distance_is_kept_and_seldom_written(tmp_path: Path) -> None:
    clock = Clock()
    recorder = SessionRecorder(tmp_path / "session", clock=clock)
    for distance_mm in (*np.linspace(30, 3, 600), float("nan"), *np.linspace(3, 40, 600)):
        clock.now_s += 1 / 60
        recorder.tip_distance("Tumour 1", distance_mm, "pointer")
    assert recorder.smallest_tip_mm == {"Tumour 1": 3.0}
    recorder.close()
    written = [event.about["distance_mm"] for event in events_in(recorder.folder, kinds.TIP_DISTANCE)]
    assert 8 <= len(written) <= 12
    assert written == sorted(written, reverse=True)
    assert written[-1] == 3.0


def test_link_that_counts_in_another_frame_is_not_mixed_in(recorder: SessionRecorder) -> None:
    recorder.use_link("127.0.0.1", 1, PLUS)
    feed(recorder, pose(1))
    recorder.use_link("127.0.0.1", 2, dialect_named("custusx"))
    feed(recorder, pose(2))
    volume = ball()
    feed(recorder, image_of(volume))
    recorder.result(result_in(volume))
    recorder.use_link("127.0.0.1", 1, PLUS)
    feed(recorder, pose(3))
    recorded = recorder.finish()
    assert recorded.messages == 2
    assert recorder.left_out == {"other messages": 1, "repeated volumes": 1}
    assert_comes_back(load_case(recorder.folder), 0, result_in(volume))
    assert len(events_in(recorder.folder, kinds.LESS_RECORDED)) == 1


def test_volume_of_the_same_name_and_time_but_other_voxels_is_stored(recorder: SessionRecorder) -> None:
    recorder.use_link("127.0.0.1", 1)
    feed(recorder, image_of(ball(number=1)))
    other = result_in(ball(number=2))
    recorder.result(other)
    recorder.finish()
    case = load_case(recorder.folder)
    assert len(case.volumes) == 2
    assert_comes_back(case, 0, other)


def test_last_line_that_was_cut_short_and_damaged_ones_are_left_out(recorder: SessionRecorder) -> None:
    recorder.note("one")
    recorder.note("two")
    recorder.close()
    path = recorder.folder / kinds.EVENTS_FILE
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\x00\x00rubbish\n[1]\n" + b"".join(lines[1:-1]) + lines[-1][:-4])
    assert [event.event for event in events_in(recorder.folder)] == ["started", "note", "note"]


def test_session_in_which_nothing_happened_leaves_nothing(recorder: SessionRecorder) -> None:
    assert recorder.finish() is None
    assert (recorder.problem, list(recorder.folder.iterdir())) == ("", [])


def test_folder_that_is_taken_is_told_and_nothing_is_raised(recorder: SessionRecorder) -> None:
    second = SessionRecorder(recorder.folder)
    assert "another program is recording" in second.problem
    second.seed("Tumour 1", (1, 2, 3))
    assert (second.is_recording, second.events, second.used_bytes, second.finish()) == (False, 0, 0, None)
    recorder.seed("Tumour 1", (1, 2, 3))
    assert recorder.is_recording


def test_info_tells_what_a_recorded_session_holds(recorder: SessionRecorder) -> None:
    recorder.result(result_in(ball()))
    recorder.finish()
    assert describe_source(recorder.folder)["session"] == {"minutes": 0.0, "events": 3, "results": 1}


def test_case_names_each_file_with_its_hash(recorder: SessionRecorder) -> None:
    recorder.result(result_in(ball()))
    recorder.finish()
    entry = json.loads((recorder.folder / "case.json").read_text())
    (volume,) = [f"volumes/{path.name}" for path in (recorder.folder / "volumes").iterdir()]
    assert set(entry["files"]) == {volume, "events.jsonl", "results/0001-Tumour-1.nrrd"}
    (recorder.folder / "results" / "0001-Tumour-1.nrrd").write_bytes(b"changed")
    with pytest.raises(CaseError, match=r"0001-Tumour-1\.nrrd differs from its hash"):
        load_case(recorder.folder)
