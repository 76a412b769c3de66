"""A sweep that was recorded over OpenIGTLink can be reconstructed as its file can."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import CaseError, SweepError
from CRLMSegmentationLib.igtl.messages import ImageMessage, Message
from CRLMSegmentationLib.igtl.packing import pack
from CRLMSegmentationLib.recording import recorded_sweep as sweep_of_case
from CRLMSegmentationLib.recording.case import Case, load_case
from CRLMSegmentationLib.recording.recorded_sweep import sweep_of_messages
from CRLMSegmentationLib.recording.recovery import finish_recording
from CRLMSegmentationLib.recording.sweep_messages import RecordedSweep, messages_of_sweep
from CRLMSegmentationLib.recording.timeline import timeline
from CRLMSegmentationLib.tracking.sweeps.calibration import ProbeCalibration
from CRLMSegmentationLib.tracking.sweeps.reconstruction import place_frames, reconstruct_sweep
from CRLMSegmentationLib.tracking.sweeps.sequence import TrackedSequence, TransformTrack
from helpers.recording_helpers import pose, write_recording
from helpers.tiny_sweeps import tiny_sequence, tiny_sweep

PIXELS_OF_1_MM = ProbeCalibration(np.eye(4))


def messages_of(sweep: RecordedSweep) -> list[Message]:
    return [timed.load() for timed in messages_of_sweep(sweep)]


def recorded(folder: Path, messages: Iterable[Message], version: int = 2) -> Case:
    write_recording(folder, [pack(message, version) for message in messages])
    finish_recording(folder)
    return load_case(folder)


def sweep_in(case: Case) -> TrackedSequence:
    return sweep_of_messages(case, timeline(case))


@pytest.mark.parametrize("calibration", [None, PIXELS_OF_1_MM])
@pytest.mark.parametrize("version", [1, 2])
def test_recorded_sweep_gives_the_volume_of_its_file(tmp_path: Path, calibration, version: int) -> None:
    case = recorded(tmp_path, messages_of(tiny_sweep()), version)
    ours, theirs = (
        reconstruct_sweep(sequence, known)
        for sequence, known in ((sweep_in(case), calibration), (tiny_sequence(), PIXELS_OF_1_MM))
    )
    np.testing.assert_array_equal(ours.array, theirs.array)
    np.testing.assert_allclose(ours.ijk_to_ras, theirs.ijk_to_ras)
    assert ours.timestamp_s == pytest.approx(theirs.timestamp_s)


def test_sweep_that_was_sent_in_pixels_needs_a_calibration(tmp_path: Path) -> None:
    sequence = sweep_in(recorded(tmp_path, messages_of(RecordedSweep(tiny_sequence()))))
    with pytest.raises(SweepError, match="no transform from Image to Reference"):
        place_frames(sequence)
    volume, expected = (reconstruct_sweep(s, PIXELS_OF_1_MM) for s in (sequence, tiny_sequence()))
    np.testing.assert_array_equal(volume.array, expected.array)


def test_frames_whose_tool_was_not_seen_are_rejected_as_in_the_file(tmp_path: Path) -> None:
    """Header version 1 cannot tell that a pose is INVALID, so none comes; with version 2 it comes and says so."""
    messages = [
        replace(m, metadata={"TransformStatus": "INVALID"})
        if m.device == "ProbeToTracker" and m.timestamp_s == pytest.approx(200.05)
        else m
        for m in messages_of(tiny_sweep())
    ]
    poses = place_frames(sweep_in(recorded(tmp_path, messages)), PIXELS_OF_1_MM)
    assert poses.accepted.tolist() == [True, False, True, True, True]
    assert poses.rejections == {"ProbeToTracker INVALID": 1}


def test_frame_without_a_pose_at_its_time_is_rejected(tmp_path: Path) -> None:
    messages = [
        m
        for m in messages_of(tiny_sweep())
        if not (m.device == "ProbeToTracker" and m.timestamp_s == pytest.approx(200.1))
    ]
    poses = place_frames(sweep_in(recorded(tmp_path, messages)), PIXELS_OF_1_MM)
    assert poses.rejections == {"ProbeToTracker MISSING": 1}


def test_frame_that_says_that_it_is_none_is_rejected(tmp_path: Path) -> None:
    messages = messages_of(tiny_sweep())
    messages[3] = replace(messages[3], metadata={"ImageStatus": "INVALID"})
    poses = place_frames(sweep_in(recorded(tmp_path, messages)), PIXELS_OF_1_MM)
    assert poses.rejections == {"image INVALID": 1}


@pytest.mark.parametrize("odd", [np.zeros((1, 6, 9), np.uint8), np.zeros((1, 6, 8), np.uint16)])
def test_images_of_several_kinds_are_refused(tmp_path: Path, odd: np.ndarray) -> None:
    messages = [*messages_of(tiny_sweep()), ImageMessage("Image_Reference", 201.0, odd, np.eye(4))]
    with pytest.raises(SweepError, match="several sizes or types"):
        sweep_in(recorded(tmp_path, messages))


def test_case_without_2d_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match="holds no tracked 2D images"):
        sweep_in(recorded(tmp_path, [pose()]))


def test_recording_that_no_memory_holds_is_refused_before_it_is_read(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sweep_of_case, "MAX_PIXEL_BYTES", 4 * 6 * 8)
    with pytest.raises(SweepError, match="5 images"):
        sweep_in(recorded(tmp_path, messages_of(tiny_sweep())))


def test_damaged_images_are_passed_over(tmp_path: Path) -> None:
    case = recorded(tmp_path, messages_of(tiny_sweep()))
    messages = timeline(case)
    damaged = [replace(m, load=_damaged) if m.kind is ImageMessage else m for m in messages]
    with pytest.raises(SweepError, match="holds no tracked 2D images"):
        sweep_of_messages(case, damaged)
    assert len(sweep_of_messages(case, [*damaged[:10], *messages[10:]])) == 3


def _damaged() -> Message:
    raise CaseError("damaged")


@pytest.mark.parametrize("calibration", [None, PIXELS_OF_1_MM])
def test_crop_is_counted_once_whether_the_sender_has_placed_the_images_or_a_calibration_does(tmp_path, calibration):
    sequence = tiny_sequence()
    crop = np.tile(np.eye(4), (5, 1, 1))
    crop[:, :2, 3] = -30, -20
    sequence.transforms["ImageToCroppedImage"] = TransformTrack(crop, ("OK",) * 5)
    case = recorded(tmp_path, messages_of(RecordedSweep(sequence, PIXELS_OF_1_MM)))
    ours = place_frames(sweep_of_messages(case, timeline(case), calibration=calibration), calibration)
    theirs = place_frames(sequence, PIXELS_OF_1_MM)
    np.testing.assert_allclose(ours.matrices, theirs.matrices, atol=1e-4)
    assert ours.matrices[0, :2, 3].tolist() == pytest.approx([30, 20])
