"""A recording of TDATA, QTDATA and POSITION is played, reconstructed and made into a case as one of TRANSFORM is."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from CRLMSegmentationLib.cli.describe import describe_source
from CRLMSegmentationLib.igtl.messages import ImageMessage, Message, TransformMessage
from CRLMSegmentationLib.igtl.packing import HEADER, pack
from CRLMSegmentationLib.recording.case import load_case
from CRLMSegmentationLib.recording.recorded_sweep import sweep_of_messages
from CRLMSegmentationLib.recording.recovery import finish_recording
from CRLMSegmentationLib.recording.summary import MAX_REFUSALS, refusal_lines
from CRLMSegmentationLib.recording.sweep_messages import messages_of_sweep
from CRLMSegmentationLib.recording.timeline import timeline
from CRLMSegmentationLib.tracking.sweeps.calibration import ProbeCalibration
from CRLMSegmentationLib.tracking.sweeps.reconstruction import reconstruct_sweep
from helpers.recording_helpers import write_recording
from helpers.tiny_sweeps import tiny_sequence, tiny_sweep
from pyigtl.messages import CRC64


def at_time(kind: str, device: str, time_s: float, body: bytes) -> bytes:
    seconds = int(time_s)
    fraction = int((time_s - seconds) * 2**32)
    return HEADER.pack(1, kind.encode(), device.encode(), seconds, fraction, len(body), CRC64(body)) + body


def tool(device: str, matrix: np.ndarray) -> bytes:
    return struct.pack(">20sBB12f", device.encode(), 2, 0, *matrix[:3].T.ravel())


def as_tdata(messages: list[Message]) -> list[bytes]:
    """All poses of one time in one message."""
    by_time: dict[float, bytes] = {}
    for message in messages:
        if isinstance(message, TransformMessage):
            body = tool(message.device, message.matrix)
            by_time[message.timestamp_s] = by_time.get(message.timestamp_s, b"") + body
    poses = [at_time("TDATA", "Tracker", time_s, body) for time_s, body in by_time.items()]
    return poses + [pack(message) for message in messages if isinstance(message, ImageMessage)]


def test_sweep_whose_poses_came_as_tdata_gives_the_volume_of_its_file(tmp_path: Path) -> None:
    messages = [timed.load() for timed in messages_of_sweep(tiny_sweep())]
    write_recording(tmp_path, as_tdata(messages))
    finish_recording(tmp_path)
    case = load_case(tmp_path)
    known = ProbeCalibration(np.eye(4))
    ours = reconstruct_sweep(sweep_of_messages(case, timeline(case)), known)
    theirs = reconstruct_sweep(tiny_sequence(), known)
    np.testing.assert_array_equal(ours.array, theirs.array)
    np.testing.assert_allclose(ours.ijk_to_ras, theirs.ijk_to_ras, atol=1e-5)


def test_tools_of_a_recording_are_messages_of_their_own_and_samples_of_the_case(tmp_path: Path) -> None:
    first = tool("ProbeToReference", np.eye(4)) + tool("StylusToReference", np.full((4, 4), np.nan))
    lone = struct.pack(">7f", 1, 2, 3, 0, 0, 0, 1)
    write_recording(
        tmp_path,
        [
            at_time("TDATA", "Tracker", 1700000000.0, first),
            at_time("POSITION", "StylusToReference", 1700000001.0, lone),
            at_time("QTRANS", "TipToReference", 1700000002.0, lone[:12]),
        ],
    )
    finish_recording(tmp_path)
    case = load_case(tmp_path)
    assert case.devices == {"probe": "ProbeToReference", "pointer": "StylusToReference"}
    samples = [(sample.device, sample.status) for sample in case.tracking_samples()]
    assert samples == [("ProbeToReference", "OK"), ("StylusToReference", "OK"), ("TipToReference", "POSITION_ONLY")]
    played = [timed for timed in timeline(case) if timed.device == "StylusToReference"]
    assert [timed.kind for timed in played] == [TransformMessage, TransformMessage]
    np.testing.assert_array_equal(played[1].load().matrix[:3, 3], [1, 2, 3])


def test_what_a_recording_cannot_use_is_told_by_type_and_device_with_its_reason(tmp_path: Path) -> None:
    bad = at_time("TRANSFORM", "ProbeToReference", 1700000003.0, b"short")
    mixed = tool("StylusToReference", np.full((4, 4), np.nan)) + tool("ProbeToReference", np.eye(4))
    write_recording(
        tmp_path,
        [
            pack(TransformMessage("ProbeToReference", 1700000000.0, np.eye(4))),
            *[at_time("SENSOR", "Force", 1700000001.0, b"123")] * 12,
            at_time("NDARRAY", "Force", 1700000001.0, b"123"),
            at_time("TDATA", "Tracker", 1700000002.0, mixed),
            bad,
        ],
    )
    recorded = finish_recording(tmp_path)
    lines = refusal_lines(recorded)
    assert lines[0] == "Refused or odd:"
    assert "  12 x SENSOR 'Force': type not understood, kept as it came" in lines
    assert "   1 x NDARRAY 'Force': type not understood, kept as it came" in lines
    assert any("TRANSFORM 'ProbeToReference'" in line and "cannot be read" in line for line in lines)
    assert any("TDATA 'Tracker'" in line and "StylusToReference" in line for line in lines)


def test_table_of_what_cannot_be_used_is_bounded_and_empty_where_all_is_well(tmp_path: Path) -> None:
    good = [pack(TransformMessage("ProbeToReference", 1700000000.0, np.eye(4)))]
    (tmp_path / "good").mkdir()
    (tmp_path / "bad").mkdir()
    write_recording(tmp_path / "good", good)
    assert refusal_lines(finish_recording(tmp_path / "good")) == []
    write_recording(tmp_path / "bad", good + [at_time(f"T{n}", "X", 1700000000.0, b"1") for n in range(200)])
    recorded = finish_recording(tmp_path / "bad")
    assert len(recorded.refusals) == MAX_REFUSALS
    assert sum(refusal.count for refusal in recorded.refusals) == 200


def test_info_counts_by_type_and_device(tmp_path: Path) -> None:
    write_recording(
        tmp_path,
        [
            at_time("TDATA", "Tracker", 1700000000.0, tool("ProbeToReference", np.eye(4))),
            pack(ImageMessage("Scanner", 1700000000.0, np.zeros((1, 4, 4), np.uint8), np.eye(4))),
            pack(ImageMessage("Scanner", 1700000001.0, np.zeros((3, 4, 4), np.uint8), np.eye(4))),
            at_time("SENSOR", "Force", 1700000001.0, b"123"),
            at_time("SENSOR", "Other", 1700000001.0, b"123"),
        ],
    )
    finish_recording(tmp_path)
    found = describe_source(tmp_path)
    assert found["types"] == {"IMAGE": 2, "SENSOR": 2, "TDATA": 1}
    assert found["not_understood"] == {"SENSOR 'Force'": 1, "SENSOR 'Other'": 1}
    assert found["messages"]["ProbeToReference"] == "1 x transform"
    assert found["messages"]["Scanner"] == "1 x 2D image; 1 x volume"
