"""TDATA, QTDATA, POSITION and QTRANS: bodies written by hand from the specification come as poses."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from CRLMSegmentationLib.igtl.messages import PatientFrame, TransformMessage
from CRLMSegmentationLib.igtl.packing import pack
from CRLMSegmentationLib.igtl.protocol import Decoder
from CRLMSegmentationLib.igtl.statistics import DropReason
from CRLMSegmentationLib.igtl.tracking_data import MAX_ELEMENTS
from helpers.tracking_bodies import framed, position, qtdata, tdata, v2_body

TURNED = np.array([[0.0, -0.8, -0.6, 5.0], [1.0, 0.0, 0.0, -6.0], [0.0, -0.6, 0.8, 7.0], [0, 0, 0, 1]])
"""A rotation about an oblique axis, and a position that is not symmetrical."""


def quaternion_of(matrix: np.ndarray) -> np.ndarray:
    """x y z w by the trace, which is above 0 here."""
    w = np.sqrt(1 + np.trace(matrix[:3, :3])) / 2
    r = matrix
    return np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], 4 * w * w]) / (4 * w)


def received(data: bytes, frame: PatientFrame = PatientFrame.RAS) -> tuple[list, Decoder]:
    decoder = Decoder(frame)
    return decoder.feed(data), decoder


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("frame", list(PatientFrame))
def test_tools_of_tdata_come_as_transforms_of_their_names(version: int, frame: PatientFrame) -> None:
    told = np.diag([-1.0, -1, 1, 1]) @ TURNED @ np.diag([-1.0, -1, 1, 1]) if frame is PatientFrame.LPS else TURNED
    content = tdata(("StylusToReference", 2, told), ("ProbeToTracker", 1, np.eye(4)))
    body = v2_body(content) if version == 2 else content
    got, decoder = received(framed("TDATA", body, version), frame)
    assert [type(message) for message in got] == [TransformMessage, TransformMessage]
    assert [message.device for message in got] == ["StylusToReference", "ProbeToTracker"]
    np.testing.assert_allclose(got[0].matrix, TURNED, atol=1e-6)
    assert all(message.status == "OK" and message.has_orientation for message in got)
    assert got[0].timestamp_s == 1700000000.25
    assert decoder.statistics.received == {"TDATA": 1}
    assert not decoder.statistics.problems


@pytest.mark.parametrize("frame", list(PatientFrame))
def test_tools_of_qtdata_and_positions_come_as_the_same_poses(frame: PatientFrame) -> None:
    flip = np.diag([-1.0, -1, 1, 1]) if frame is PatientFrame.LPS else np.eye(4)
    told = flip @ TURNED @ flip
    quaternion = quaternion_of(told)
    data = framed("QTDATA", qtdata(("ProbeToReference", 2, told[:3, 3], quaternion)))
    data += framed("POSITION", position(told[:3, 3], quaternion), device="StylusToReference")
    data += framed("QTRANS", position(told[:3, 3], -quaternion), device="StylusToTracker")
    got, decoder = received(data, frame)
    assert [message.device for message in got] == ["ProbeToReference", "StylusToReference", "StylusToTracker"]
    for message in got:
        np.testing.assert_allclose(message.matrix, TURNED, atol=1e-6)
    assert not decoder.statistics.dropped


def test_quaternion_of_three_numbers_has_its_fourth_from_its_length() -> None:
    quaternion = quaternion_of(TURNED)
    (got,), _ = received(framed("POSITION", position(TURNED[:3, 3], quaternion[:3])))
    np.testing.assert_allclose(got.matrix, TURNED, atol=1e-6)
    assert got.has_orientation


@pytest.mark.parametrize("kind", ["POSITION", "QTRANS"])
def test_position_alone_places_the_tip_and_says_that_it_has_no_orientation(kind: str) -> None:
    (got,), _ = received(framed(kind, position((1.0, -2.0, 3.0), ())))
    np.testing.assert_array_equal(got.matrix[:3, 3], [1, -2, 3])
    assert not got.has_orientation
    assert (got.status, got.full_status) == ("OK", "POSITION_ONLY")


@pytest.mark.parametrize(("tool_type", "has_orientation"), [(1, True), (2, True), (3, False), (4, False)])
def test_instruments_of_which_only_the_tip_is_defined_have_no_orientation(
    tool_type: int, has_orientation: bool
) -> None:
    (got,), _ = received(framed("TDATA", tdata(("StylusToReference", tool_type, TURNED))))
    assert got.has_orientation is has_orientation
    np.testing.assert_allclose(got.matrix[:3, 3], TURNED[:3, 3], atol=1e-6)


@pytest.mark.parametrize(
    ("quaternion", "words"),
    [
        ((0, 0, 0, 0), "length 1, got 0"),
        ((0.5, 0.5, 0.5, 0.6), "length 1"),
        ((0, 0, 0, 2), "length 1, got 2"),
        ((0, np.nan, 0, 1), "length 1, got nan"),
        ((0.8, 0.8, 0.8), "length 1"),
        ((np.inf, 0, 0), "length 1"),
    ],
)
def test_what_is_no_quaternion_is_refused_and_the_framing_kept(quaternion: tuple, words: str) -> None:
    good = framed("POSITION", position((1, 2, 3), (0, 0, 0, 1)))
    got, decoder = received(framed("POSITION", position((1, 2, 3), quaternion)) + good)
    assert len(got) == 1
    (problem,) = decoder.statistics.problems
    assert problem.kind is DropReason.BODY
    assert words in problem.text


@pytest.mark.parametrize("size", [0, 4, 11, 13, 20, 25, 27, 29, 32, 56])
def test_position_of_another_size_is_refused(size: int) -> None:
    got, decoder = received(framed("POSITION", bytes(size)))
    assert not got
    assert "12, 24 or 28" in decoder.statistics.last_problem


@pytest.mark.parametrize(("kind", "size"), [("TDATA", 69), ("TDATA", 71), ("QTDATA", 49), ("QTDATA", 70)])
def test_tools_that_are_not_whole_are_refused(kind: str, size: int) -> None:
    got, decoder = received(framed(kind, bytes(size)))
    assert not got
    assert "expected a multiple of" in decoder.statistics.last_problem


def test_more_tools_than_any_tracker_has_are_refused_before_they_are_read() -> None:
    most = [(f"T{n}ToTracker", 2, np.eye(4)) for n in range(MAX_ELEMENTS)]
    got, decoder = received(framed("TDATA", tdata(*most)))
    assert len(got) == MAX_ELEMENTS
    got, decoder = received(framed("TDATA", tdata(*most, ("OneToTracker", 2, np.eye(4)))))
    assert not got
    assert f"at most {MAX_ELEMENTS}" in decoder.statistics.last_problem


def test_message_without_tools_is_read_and_brings_none() -> None:
    got, decoder = received(framed("TDATA", b"") + framed("QTDATA", b""))
    assert not got
    assert decoder.statistics.received == {"TDATA": 1, "QTDATA": 1}
    assert not decoder.statistics.dropped


@pytest.mark.parametrize(
    "bad",
    [np.full((4, 4), np.nan), np.diag([0.0, 0, 0, 1]), np.diag([1, np.inf, 1, 1]), np.diag([1e6, 1, 1, 1])],
    ids=["nan", "zero", "infinity", "huge"],
)
def test_tool_that_cannot_be_read_does_not_cost_the_others(bad: np.ndarray) -> None:
    body = tdata(("LostToTracker", 2, bad), ("ProbeToTracker", 2, TURNED))
    got, decoder = received(framed("TDATA", body))
    assert [message.device for message in got] == ["ProbeToTracker"]
    assert decoder.statistics.dropped == {DropReason.BODY.value: 1}
    assert "LostToTracker" in decoder.statistics.last_problem


@pytest.mark.parametrize("name", [b"", b"\n\x07", b"\xff\xfe"])
def test_tool_without_a_name_is_refused(name: bytes) -> None:
    got, _ = received(framed("TDATA", tdata((name, 2, TURNED), ("ProbeToTracker", 2, TURNED))))
    assert "ProbeToTracker" in [message.device for message in got]
    assert all(message.device.isprintable() and message.device for message in got)


def test_wrong_checksum_costs_all_tools_of_a_message() -> None:
    data = bytearray(framed("TDATA", tdata(("ProbeToTracker", 2, TURNED))))
    data[-1] ^= 1
    got, decoder = received(bytes(data) + framed("TDATA", tdata(("ProbeToTracker", 2, TURNED))))
    assert len(got) == 1
    assert decoder.statistics.dropped == {DropReason.CRC.value: 1}


def test_status_and_full_name_of_each_tool_come_from_the_metadata_of_plus() -> None:
    """As vtkPlusIgtlMessageCommon::PackTrackingDataMessage writes it: keys with the whole name."""
    long, lost = "ElectrocauteryToReferenceOfLiver", "StylusToReference"
    metadata = {f"{long}Status": "OK", f"{long}Index": "0", f"{lost}Status": "MISSING", f"{lost}Index": "1"}
    body = v2_body(tdata((long[:20], 2, TURNED), (lost, 2, np.full((4, 4), np.nan))), metadata)
    got, decoder = received(framed("TDATA", body, 2, device="TDATA_2Elem"))
    assert [(message.device, message.status) for message in got] == [(long, "OK"), (lost, "MISSING")]
    assert not decoder.statistics.problems


@pytest.mark.parametrize("quaternion", [(0, 0, 0, 1), (0, 0, 0, 0), (np.nan,) * 4])
def test_status_of_a_lost_tool_arrives_whatever_its_quaternion_is(quaternion: tuple) -> None:
    body = v2_body(position((0, 0, 0), quaternion), {"TransformStatus": "OUT_OF_VIEW"})
    (got,), _ = received(framed("POSITION", body, 2))
    assert got.status == "OUT_OF_VIEW"
    tools = v2_body(qtdata(("ProbeToTracker", 2, (0, 0, 0), quaternion)), {"ProbeToTrackerStatus": "MISSING"})
    (got,), _ = received(framed("QTDATA", tools, 2))
    assert got.status == "MISSING"


@pytest.mark.parametrize("kind", ["TDATA", "QTDATA"])
def test_names_that_fill_their_field_are_told_once(kind: str) -> None:
    name = "ElectrocauteryToReferenceOfLiver"[:20]
    body = tdata((name, 2, TURNED)) if kind == "TDATA" else qtdata((name, 2, (1, 2, 3), (0, 0, 0, 1)))
    got, decoder = received(framed(kind, body) * 3)
    assert [message.device for message in got] == [name] * 3
    assert [(p.kind, p.device, p.count) for p in decoder.statistics.problems] == [(DropReason.NAME_CUT, name, 1)]


def test_full_header_of_version_1_is_told_and_the_whole_name_of_version_2_is_not() -> None:
    cut, whole = Decoder(), Decoder()
    pose = TransformMessage("ElectrocauteryToReference", 1.0, np.eye(4), {"TransformStatus": "OK"})
    assert cut.feed(pack(pose, version=1))[0].device == "ElectrocauteryToRefe"
    assert [p.kind for p in cut.statistics.problems] == [DropReason.NAME_CUT]
    assert "20 bytes" in str(next(iter(cut.statistics.problems)))
    assert whole.feed(pack(pose, version=2))[0].device == "ElectrocauteryToReference"
    exact = TransformMessage("StylusTipToReference", 1.0, np.eye(4), {"TransformStatus": "OK"})
    assert whole.feed(pack(exact, version=2))[0].device == "StylusTipToReference"
    assert not whole.statistics.problems


@pytest.mark.parametrize("kind", ["TDATA", "QTDATA", "POSITION", "QTRANS"])
def test_any_body_is_refused_or_read_but_never_crashes(kind: str) -> None:
    rng = np.random.default_rng(1)
    for size in (0, 12, 24, 28, 50, 70, 140, 350):
        for version in (1, 2):
            for _ in range(50):
                data = rng.integers(0, 256, size, np.uint8).tobytes()
                got, decoder = received(framed(kind, data, version))
                assert all(np.isfinite(m.matrix).all() for m in got if m.status == "OK")
                if got or size == 0:
                    continue
                assert decoder.statistics.dropped


def test_unknown_types_are_told_by_type_and_device() -> None:
    data = b"".join(framed(kind, b"123", device=device) for kind, device in [
        ("SENSOR", "Force"), ("SENSOR", "Force"), ("NDARRAY", "Force"), ("VIDEO", "Scope"), ("RTS_TDATA", "Tracker"),
    ])  # fmt: skip
    got, decoder = received(data)
    assert not got
    lines = [str(problem) for problem in decoder.statistics.problems]
    assert "'Force': SENSOR is not understood (2 times)" in lines
    assert "'Force': NDARRAY is not understood" in lines
    assert "'Scope': VIDEO is not understood; have the sender send IMAGE" in lines
    assert "'Tracker': RTS_TDATA is not understood" in lines


def image_head(
    scalar_type: int = 3, endian: int = 2, coordinates: int = 1, start: int = 0, components: int = 1
) -> bytes:
    head = struct.pack(">H4B3H", 1, components, scalar_type, endian, coordinates, 2, 2, 2)
    return head + struct.pack(">12f", 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0) + struct.pack(">6H", start, 0, 0, 2, 2, 2)


@pytest.mark.parametrize(
    ("head", "voxel_bytes", "words"),
    [
        (image_head(scalar_type=9), 8, "type 9, OpenIGTLink has 2 int8"),
        (image_head(scalar_type=5, endian=0), 16, "order of its bytes is 0, expected 1 (big-endian)"),
        (image_head(start=1), 8, "part of an image of 2 x 2 x 2"),
        (image_head(components=0), 0, "0 components"),
    ],
)
def test_flags_of_an_image_that_leave_open_what_it_is_are_refused(head: bytes, voxel_bytes: int, words: str) -> None:
    got, decoder = received(framed("IMAGE", head + bytes(voxel_bytes), device="recvol"))
    assert not got
    assert words in decoder.statistics.last_problem
    assert "IMAGE 'recvol'" in decoder.statistics.last_problem


@pytest.mark.parametrize(("coordinates", "words"), [(2, "says LPS, but is read as RAS"), (0, "flag that OpenIGTLink")])
def test_image_that_says_another_frame_is_read_and_told_once(coordinates: int, words: str) -> None:
    got, decoder = received(framed("IMAGE", image_head(coordinates=coordinates) + bytes(8), device="recvol") * 3)
    assert len(got) == 3
    (problem,) = decoder.statistics.problems
    assert (problem.kind, problem.device, problem.count) == (DropReason.FRAME_LABEL, "recvol", 1)
    assert words in problem.text
    assert not decoder.statistics.dropped


def test_order_of_bytes_does_not_matter_to_voxels_of_one_byte() -> None:
    (got,), _ = received(framed("IMAGE", image_head(endian=0) + bytes(range(8))))
    assert got.array.ravel().tolist() == list(range(8))
