"""Messages survive the wire, and what cannot be carried is refused in words."""

from __future__ import annotations

import contextlib
import struct
from dataclasses import replace

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import GeometryError, MessageError, VolumeError
from CRLMSegmentationLib.igtl.messages import (
    ImageMessage,
    Message,
    PatientFrame,
    PointMessage,
    PolyDataMessage,
    StatusMessage,
    StringMessage,
    TransformMessage,
    check_transform,
    image_of,
    volume_of,
)
from CRLMSegmentationLib.igtl.packing import HEADER_BYTES, pack, parse_header, unpack
from helpers.igtl_links import OBLIQUE_LEFT_HANDED, image, transform
from hypothesis import given
from hypothesis import strategies as st
from pyigtl.messages import CRC64, MessageBase
from pyigtl.messages import ImageMessage as WireImage
from pyigtl.messages import StringMessage as WireString

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def over_the_wire(message: Message, version: int = 1, frame: PatientFrame = PatientFrame.RAS) -> Message:
    return read(pack(message, version, frame), frame)


def read(data: bytes, frame: PatientFrame = PatientFrame.RAS) -> Message:
    return unpack(parse_header(data[:HEADER_BYTES]), memoryview(bytearray(data[HEADER_BYTES:])), frame)


def wire_image(array: np.ndarray, matrix: np.ndarray, frame: str = "ras") -> bytes:
    """What another program sends, without our checks."""
    return WireImage(array, matrix, frame, timestamp=1.0, device_name="recvol_Reference").pack()


@pytest.mark.parametrize("frame", list(PatientFrame))
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8", ">i2", ">f4"])
def test_left_handed_oblique_image_comes_back(dtype: str, version: int, frame: PatientFrame) -> None:
    sent = replace(image(), array=np.arange(24).reshape(4, 3, 2).astype(dtype))
    got = over_the_wire(sent, version, frame)
    assert (got.device, got.timestamp_s) == ("recvol_Reference", 1700000000.25)
    np.testing.assert_array_equal(got.array, sent.array)
    np.testing.assert_allclose(got.ijk_to_ras, OBLIQUE_LEFT_HANDED, atol=2e-5)
    assert np.linalg.det(got.ijk_to_ras[:3, :3]) < 0
    assert got.array.dtype.isnative
    assert got.array.flags.writeable
    assert got.array.flags.aligned


def test_big_endian_voxels_arrive_in_native_order() -> None:
    data = bytearray(wire_image(np.arange(24, dtype="<i2").reshape(4, 3, 2), np.eye(4)))
    data[HEADER_BYTES + 4] = 1  # says: voxels are big-endian
    data[HEADER_BYTES + 72 :] = np.arange(24, dtype=">i2").tobytes()
    got = read(bytes(data))
    assert got.array.dtype == np.dtype("=i2")
    assert got.array.dtype.isnative
    assert got.array[0, 0].tolist() == [0, 1]
    assert got.array[3, 2, 1] == 23
    got.array[0, 0, 0] = 7


def test_colour_image_is_delivered_but_is_no_volume_to_segment() -> None:
    got = over_the_wire(image((4, 3, 2, 3)))
    assert got.array.shape == (4, 3, 2, 3)
    assert got.array[0, 0, 1].tolist() == [3, 4, 5]
    with pytest.raises(VolumeError, match="3 components"):
        volume_of(got)


def test_volume_there_and_back_keeps_voxels_name_and_time() -> None:
    got = volume_of(over_the_wire(image_of(volume_of(image()))))
    assert got.array[3, 2, 1] == 23
    assert (got.device, got.timestamp_s) == ("recvol_Reference", 1700000000.25)


@pytest.mark.parametrize("frame", list(PatientFrame))
def test_the_wire_holds_the_peers_frame_and_says_so(frame: PatientFrame) -> None:
    data = pack(image(), frame=frame)
    seen = WireImage()
    seen.unpack(MessageBase.parse_header(data[:HEADER_BYTES]), data[HEADER_BYTES:])
    expected = LPS @ OBLIQUE_LEFT_HANDED if frame is PatientFrame.LPS else OBLIQUE_LEFT_HANDED
    np.testing.assert_allclose(seen.ijk_to_world_matrix, expected, atol=2e-5)
    assert seen.world_coordinate_system == frame.value
    np.testing.assert_array_equal(seen.image, image().array)


def test_the_setting_counts_and_not_the_label_of_the_image() -> None:
    got = read(wire_image(image().array, OBLIQUE_LEFT_HANDED, "lps"), PatientFrame.RAS)
    np.testing.assert_allclose(got.ijk_to_ras, OBLIQUE_LEFT_HANDED, atol=2e-5)
    assert got.labelled_frame is PatientFrame.LPS


def test_image_position_on_the_wire_is_its_centre() -> None:
    content = pack(replace(image((5, 3, 3)), ijk_to_ras=np.diag([1.0, 2.0, 3.0, 1.0])))[HEADER_BYTES:]
    assert struct.unpack(">3f", content[48:60]) == (1.0, 2.0, 6.0)


@pytest.mark.parametrize("frame", list(PatientFrame))
@pytest.mark.parametrize("status", ["OK", "MISSING", "INVALID"])
def test_transform_comes_back_with_its_status(status: str, frame: PatientFrame) -> None:
    sent = replace(transform(status=status), matrix=check_transform(_turned()))
    got = over_the_wire(sent, 2, frame)
    np.testing.assert_allclose(got.matrix, sent.matrix, atol=1e-5)
    assert got.status == status
    assert got.is_rigid


def _turned() -> np.ndarray:
    return np.array([[0.0, -1.0, 0.0, 5.0], [0.6, 0.0, -0.8, -6.0], [0.8, 0.0, 0.6, 7.0], [0, 0, 0, 1]])


def test_transform_in_lps_is_the_same_pose_told_in_lps() -> None:
    """A point of the tool goes to the same place whichever way it is calculated."""
    tool_point = np.array([1.0, 2.0, 3.0, 1.0])
    content = pack(replace(transform(), matrix=_turned()), frame=PatientFrame.LPS)[HEADER_BYTES:]
    lps = np.vstack([np.array(struct.unpack(">12f", content)).reshape(4, 3).T, [0, 0, 0, 1]])
    np.testing.assert_allclose(LPS @ lps @ LPS @ tool_point, _turned() @ tool_point, atol=1e-5)
    assert not np.allclose(lps, _turned())


def test_version_1_carries_no_status() -> None:
    assert over_the_wire(transform(status="MISSING"), 1).status == "OK"


def test_a_scaled_transform_passes_but_is_not_rigid() -> None:
    got = over_the_wire(replace(transform("ImageToProbe"), matrix=np.diag([0.08, 0.08, 0.08, 1.0])))
    assert not got.is_rigid


@pytest.mark.parametrize("frame", list(PatientFrame))
def test_points_come_back(frame: PatientFrame) -> None:
    sent = PointMessage("Seeds", 1.0, np.array([[1.0, 2.0, 3.0], [-4.0, 5.0, 6.0]]), ("S1", "S2"))
    got = over_the_wire(sent, 1, frame)
    np.testing.assert_allclose(got.points_ras_mm, sent.points_ras_mm)
    assert got.names == ("S1", "S2")
    assert (got.groups, got.owners, got.diameters_mm) == (("", ""), ("", ""), (0.0, 0.0))
    assert got.colours_rgba == ((255, 255, 0, 255),) * 2


@pytest.mark.parametrize("frame", list(PatientFrame))
def test_surface_comes_back(frame: PatientFrame) -> None:
    got = over_the_wire(SURFACE, 2, frame)
    np.testing.assert_array_equal(got.points_ras_mm, SURFACE.points_ras_mm)
    np.testing.assert_array_equal(got.triangles, SURFACE.triangles)
    assert (got.device, got.triangles.dtype) == ("Tumour 1", np.int32)


def test_strings_and_states_come_back() -> None:
    command = StringMessage("CMD_1", 1.0, '<Command Name="GetVolumeReconstructionSnapshot" />')
    assert over_the_wire(command, 2) == command
    status = StatusMessage("PLUS", 2.0, 13, -5, "NoSensor", "probe lost", {"a": "b"})
    assert over_the_wire(status, 2) == status


def test_a_long_name_travels_in_the_metadata_of_version_2_and_is_cut_in_version_1() -> None:
    name = "liveReconstruction_LiverReference"
    assert over_the_wire(image(device=name), 2).device == name
    assert over_the_wire(image(device=name), 1).device == name[:20]


@pytest.mark.parametrize(
    ("encoding", "data", "expected"),
    [
        (106, "für".encode(), "für"),
        (3, "für".encode(), "für"),
        (4, "für".encode("latin-1"), "für"),
        (3, b"f\xfcr", "f\ufffdr"),
        (9999, b"fur", "fur"),
    ],
    ids=["utf8", "utf8 called ascii", "latin-1", "nonsense", "unknown encoding"],
)
def test_text_of_any_encoding_is_read(encoding: int, data: bytes, expected: str) -> None:
    message = WireString("", timestamp=1.0, device_name="ACK_1")
    message._pack_content = lambda: struct.pack(">HH", encoding, len(data)) + data
    assert read(message.pack()).text == expected


@pytest.mark.parametrize(
    ("encoding", "value", "expected"),
    [(106, "Jürgen".encode(), "Jürgen"), (3, "Jürgen".encode(), "Jürgen"), (3, b"J\xfc", "J\ufffd"), (77, b"J", "J")],
)
def test_metadata_that_is_not_ascii_does_not_cost_the_message(encoding: int, value: bytes, expected: str) -> None:
    data = pack(StringMessage("S", 1.0, "text", {"Operator": "@" * len(value), "next": "1"}), 2)
    index = struct.pack(">HHHI", 2, 8, encoding, len(value))
    data = data.replace(struct.pack(">HHHI", 2, 8, 3, len(value)), index).replace(b"@" * len(value), value)
    got = read(data)
    assert (got.text, got.metadata) == ("text", {"Operator": expected, "next": "1"})


def test_metadata_of_64_kb_still_arrives() -> None:
    sent = StringMessage("S", 1.0, "text", {"k": "x" * 65534})
    assert over_the_wire(sent, 2) == sent


def test_centre_of_an_image_is_rounded_once() -> None:
    """pyigtl would calculate it from the rounded matrix: 0.5 um off for a whole picture of PLUS."""
    matrix = np.eye(4)
    matrix[:3, :3] *= 0.1
    content = pack(ImageMessage("S", 1.0, np.zeros((1, 1, 60001), np.uint8), matrix))[HEADER_BYTES:]
    assert struct.unpack(">f", content[48:52]) == (3000.0,)


def sheared(cosine: float) -> np.ndarray:
    """Pixels of 0.08 mm whose axes are off the right angle."""
    matrix = np.diag([0.08, 0.08, 0.08, 1.0])
    matrix[:2, 1] = 0.08 * cosine, 0.08 * np.sqrt(1 - cosine**2)
    return matrix


def test_calibrated_slice_may_be_sheared_but_a_volume_may_not() -> None:
    picture = ImageMessage("Image_Probe", 1.0, np.zeros((1, 5, 4), np.uint8), sheared(0.05))
    np.testing.assert_allclose(over_the_wire(picture).ijk_to_ras, picture.ijk_to_ras, atol=1e-7)
    with pytest.raises(MessageError, match=r"cosine of 0.050, at most 0.01"):
        pack(replace(picture, array=np.zeros((2, 5, 4), np.uint8)))
    with pytest.raises(MessageError, match=r"cosine of 0.050, at most 0.01"):
        read(wire_image(np.zeros((2, 5, 4), np.uint8), sheared(0.05)))


def test_even_a_slice_is_refused_when_its_axes_are_far_from_right_angles() -> None:
    with pytest.raises(MessageError, match=r"cosine of 0.250, at most 0.2"):
        read(wire_image(np.zeros((1, 5, 4), np.uint8), sheared(0.25)))


def test_calibration_as_transform_may_be_sheared_but_the_pose_of_a_tool_may_not() -> None:
    assert not over_the_wire(replace(transform("ImageToProbe"), matrix=sheared(0.05))).is_rigid
    with pytest.raises(GeometryError, match="right angles"):
        check_transform(sheared(0.05) @ np.diag([12.5, 12.5, 12.5, 1]))


def test_a_device_name_that_is_not_ascii_is_readable_still() -> None:
    data = bytearray(pack(transform()))
    data[14:18] = b"\xfcber"
    assert read(bytes(data)).device == "\ufffdbereToReference"


@pytest.mark.parametrize(
    ("dtype", "expected"), [("bool", "uint8"), ("float16", "float32"), ("int64", "int32"), ("uint64", "uint32")]
)
def test_voxels_that_the_wire_lacks_are_cast(dtype: str, expected: str) -> None:
    got = over_the_wire(replace(image(), array=(np.arange(24).reshape(4, 3, 2) % 2).astype(dtype)))
    assert got.array.dtype == expected
    assert got.array[0, 0].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (replace(image(), array=np.full((2, 2, 2), 2**40)), "exceed 32 bits"),
        (replace(image(), array=np.zeros((2, 2, 2), complex)), "no voxels of type complex128"),
        (replace(image(), array=np.zeros((5, 4), np.uint8)), r"must be \(K, J, I\)"),
        (replace(image(), array=np.zeros((0, 5, 4), np.uint8)), r"must be \(K, J, I\)"),
        (replace(image(), ijk_to_ras=np.zeros((4, 4))), "0 0 0 1"),
        (replace(image(), device="Läsion"), "ASCII"),
        (replace(image(), timestamp_s=float("nan")), "timestamp"),
        (replace(image(), timestamp_s=-1.0), "timestamp"),
        (replace(image(), metadata={"a": 5}), "metadata"),
        (replace(transform(), matrix=np.full((4, 4), np.nan)), "NaN"),
        (replace(transform(), matrix=np.eye(3)), "4x4"),
        (StringMessage("S", 1.0, "x" * 65536), "65535"),
        (StringMessage("S", 1.0, "größer"), "ASCII"),
        (PointMessage("P", 1.0, np.zeros((0, 3))), "shape"),
        (PointMessage("P", 1.0, np.full((1, 3), np.inf)), "finite"),
        (PointMessage("P", 1.0, np.zeros((2, 3)), ("only one",)), "names"),
        (PointMessage("P", 1.0, np.zeros((1, 3)), ("n" * 64,)), "at most 63 bytes"),
        (PointMessage("P", 1.0, np.zeros((1, 3)), owners=("o" * 20,)), "at most 19 bytes"),
        (PointMessage("P", 1.0, np.zeros((1, 3)), groups=("a\0b",)), "without NUL"),
        (PointMessage("P", 1.0, np.zeros((1, 3)), colours_rgba=((0, 0, 256, 0),)), "from 0 to 255"),
        (PointMessage("P", 1.0, np.zeros((1, 3)), colours_rgba=((0, 0, 0),)), "four whole numbers"),
        (PointMessage("P", 1.0, np.zeros((1, 3)), diameters_mm=(-1.0,)), "not negative"),
        (PointMessage("P", 1.0, np.zeros((1, 3)), diameters_mm=(1.0, 2.0)), "one each or none"),
        (StatusMessage("S", 1.0, 1, 0, "e" * 20), "error name"),
        (StringMessage("S", 1.0, "", {"a": "x" * 65535}), "at most 65535 bytes"),
        (StringMessage("S", 1.0, "", {"x" * 65536: ""}), "at most 65535 bytes"),
        (StringMessage("S", 1.0, "", {f"{n}": "" for n in range(8192)}), "8192 entries"),
        (StringMessage("S", 1.0, "", {"a": "ä"}), "ASCII"),
    ],
)
def test_what_cannot_be_sent_is_refused_in_words(message: Message, words: str) -> None:
    with pytest.raises(MessageError, match=words):
        pack(message)


def test_only_versions_1_and_2_are_packed() -> None:
    with pytest.raises(MessageError, match="1 or 2"):
        pack(transform(), 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((0, 0, np.nan), "NaN"),
        ((0, 0, 0.0), "spacing"),
        ((0, 0, 1e6), "spacing"),
        ((0, 1, 0.5), "right angles"),
    ],
    ids=["nan", "singular", "absurd spacing", "sheared"],
)
def test_image_with_impossible_geometry_is_refused(change: tuple[int, int, float], words: str) -> None:
    row, column, value = change
    matrix = np.eye(4)
    matrix[row, column] = value
    with pytest.raises(MessageError, match=words):
        read(wire_image(np.zeros((2, 2, 2), np.uint8), matrix))


@pytest.mark.parametrize("matrix", [np.zeros((3, 3)), np.full((3, 3), np.nan), [[1, 1, 0], [0, 1, 0], [0, 0, 1]]])
def test_impossible_pose_is_refused_while_it_counts(matrix: list) -> None:
    body = struct.pack(">12f", *np.vstack([np.transpose(matrix), [0, 0, 0]]).ravel())
    data = pack(transform())[:HEADER_BYTES] + body
    with pytest.raises(MessageError, match="ProbeToReference"):
        read(data)


def test_status_of_a_lost_tool_arrives_even_with_a_broken_pose() -> None:
    data = bytearray(pack(transform(status="INVALID"), 2))
    data[HEADER_BYTES + 12 : HEADER_BYTES + 16] = struct.pack(">f", float("nan"))
    assert read(bytes(data)).status == "INVALID"


def test_scale_limits_of_a_pose() -> None:
    with pytest.raises(GeometryError, match="scales"):
        check_transform(np.diag([1e-9, 1.0, 1.0, 1.0]))


SURFACE = PolyDataMessage("Tumour 1", 1.0, np.eye(3) * 10, np.array([[0, 1, 2]]))


@pytest.mark.parametrize(
    "message", [image(), transform(), StringMessage("S", 1.0, "text"), StatusMessage("S", 1.0), SURFACE]
)
@pytest.mark.parametrize("version", [1, 2])
def test_a_body_cut_anywhere_is_refused_or_read_but_never_crashes(message: Message, version: int) -> None:
    data = pack(message, version)
    whole = parse_header(data[:HEADER_BYTES])
    for end in range(HEADER_BYTES, len(data)):
        try:
            got = unpack(replace(whole, body_bytes=end - HEADER_BYTES), memoryview(data[HEADER_BYTES:end]))
        except MessageError:
            continue
        assert isinstance(message, StatusMessage), f"accepted at {end}: {got}"


@given(
    st.binary(max_size=200),
    st.sampled_from(["IMAGE", "TRANSFORM", "STRING", "STATUS", "POINT", "POLYDATA"]),
    st.integers(1, 2),
)
def test_random_bodies_are_refused_or_read_but_never_crash(body: bytes, kind: str, version: int) -> None:
    header = replace(parse_header(pack(transform())[:HEADER_BYTES]), type=kind, version=version, body_bytes=len(body))
    with contextlib.suppress(MessageError):
        assert unpack(header, memoryview(bytearray(body))).device


@given(
    st.floats(0, 4e9),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60),
    st.dictionaries(st.text("abcXYZ_", min_size=1, max_size=9), st.text("OK abc", max_size=30), max_size=5),
)
def test_time_name_and_metadata_come_back(time_s: float, device: str, metadata: dict[str, str]) -> None:
    got = over_the_wire(TransformMessage(device, time_s, np.eye(4), metadata), 2)
    assert got.device == device
    assert got.metadata == metadata
    assert got.timestamp_s == pytest.approx(time_s, abs=1e-6)


def test_the_checksum_is_that_of_the_standard_and_of_pyigtl() -> None:
    assert CRC64(b"123456789") == 0x6C40DF5F0B497347  # ECMA-182, check value of its specification
    data = pack(image())
    assert parse_header(data[:HEADER_BYTES]).crc == CRC64(data[HEADER_BYTES:])
