"""The C++ reference library at the other end of the link: voxels and matrices arrive bit by bit the same.

Header version 2 and metadata at its end are written by `Testing/igtl_peer/header_v2.cpp`, which is ours: the library of
1.11 knows version 1 only.
"""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import pytest
from CRLMSegmentationLib.igtl.client import IgtlClient
from CRLMSegmentationLib.igtl.messages import (
    ImageMessage,
    Message,
    PatientFrame,
    PointMessage,
    PolyDataMessage,
    StatusMessage,
    StringMessage,
    TransformMessage,
)
from CRLMSegmentationLib.igtl.packing import HEADER_BYTES, pack
from CRLMSegmentationLib.igtl.server import IgtlServer
from helpers.cpp_peer import CppPeer
from helpers.igtl_links import Link, poll_client_until

SCALARS = {2: "i1", 3: "u1", 4: "i2", 5: "u2", 6: "i4", 7: "u4", 10: "f4", 11: "f8"}
BIG, LITTLE = 1, 2
COORDINATES = {PatientFrame.RAS: 1, PatientFrame.LPS: 2}
TIME = "1700000000 1073741824"
TIME_S = 1700000000.25
TURNED = np.array([[0.0, -0.8, -0.6], [1.0, 0.0, 0.0], [0.0, -0.6, 0.8]])
OBLIQUE_ANISOTROPIC_LEFT_HANDED = np.eye(4)
OBLIQUE_ANISOTROPIC_LEFT_HANDED[:3, :3] = TURNED * [0.3, 0.41, -1.7]
OBLIQUE_ANISOTROPIC_LEFT_HANDED[:3, 3] = 12.7, -30.1, 71.3
IMAGE_TO_PROBE = np.array(
    [
        [-0.00157821, 0.0785919, -0.00803285, 15.3978],
        [-0.0839128, 0.00372697, 0.0153803, 49.5705],
        [0.0159024, 0.00714276, 0.0803604, -8.63446],
        [0, 0, 0, 1],
    ]
)
"""Of PLUS's spine sweep: its columns are sheared by a cosine of 0.048."""


def voxels(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """The pattern of `Testing/igtl_peer/outgoing.cpp`."""
    bits = np.arange(np.prod(shape), dtype=np.uint32) * np.uint32(2654435761) + np.uint32(12345)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return (((bits >> 8).astype(kind) - 2**23) / 256).astype(kind).reshape(shape)
    return (bits >> (32 - 8 * kind.itemsize)).astype(f"u{kind.itemsize}").view(kind).reshape(shape)


def numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.9g}" for value in np.ravel(values))


def image_line(
    scalar_type: int,
    endian: int = LITTLE,
    shape: tuple[int, ...] = (4, 3, 2),
    ijk_to_world: np.ndarray = OBLIQUE_ANISOTROPIC_LEFT_HANDED,
    frame: PatientFrame = PatientFrame.RAS,
) -> str:
    k, j, i, components = (*shape, 1)[:4]
    head = f'image "Scan" {TIME} {scalar_type} {components} {endian} {COORDINATES[frame]} {i} {j} {k}'
    return f"{head} {numbers(ijk_to_world[:3])}"


def from_cpp(program: Path, *lines: str, count: int = 0, cpp_listens: bool = True, **options: object) -> list[Message]:
    """What our client, or our server, makes of that which the library sends."""
    count = count or len(lines)
    if not cpp_listens:
        with IgtlServer(**options) as server, CppPeer(program, "send", lines=list(lines), port=server.port):
            got: list[Message] = []
            for _ in range(200):
                got += server.poll(0.05)
                if len(got) == count:
                    return got
            raise AssertionError(f"got {len(got)} of {count}")
    options = {"introduce": False, **options}
    with CppPeer(program, "send", lines=list(lines)) as peer, IgtlClient("127.0.0.1", peer.port, **options) as client:
        got = poll_client_until(client, lambda: sum(client.statistics.received.values()) == count, 10)
        assert not client.statistics.dropped
        return got


def to_cpp(
    program: Path, *messages: Message, version: int = 1, frame: PatientFrame = PatientFrame.RAS, folder: Path | str = ""
) -> list[dict]:
    """What the library makes of that which we send; it has checked the CRC."""
    action = ["receive", len(messages)] + [folder] * bool(folder)
    with CppPeer(program, *action) as peer, socket.create_connection(("127.0.0.1", peer.port)) as sock:
        for message in messages:
            sock.sendall(pack(message, version, frame))
        code, got, complaint = peer.finish()
    assert (code, complaint) == (0, "")
    return got


def wire_columns(got: dict) -> np.ndarray:
    """The 3 x 4 matrix that stands in the body: columns with spacing, then the centre."""
    return np.array(got["wire"], np.float32).reshape(4, 3).T


def on_the_wire(ijk_to_world: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    middle = np.append((np.array(shape[2::-1]) - 1) / 2, 1)
    return np.column_stack([ijk_to_world[:3, :3], (ijk_to_world @ middle)[:3]])


@pytest.mark.parametrize("cpp_listens", [True, False])
@pytest.mark.parametrize("endian", [BIG, LITTLE])
def test_images_of_every_scalar_type_from_cpp(peer_program: Path, endian: int, cpp_listens: bool) -> None:
    lines = [image_line(scalar_type, endian) for scalar_type in SCALARS]
    got = from_cpp(peer_program, *lines, cpp_listens=cpp_listens)
    for image, dtype in zip(got, SCALARS.values()):
        assert image.array.dtype == np.dtype(dtype)
        assert image.array.dtype.isnative
        np.testing.assert_array_equal(image.array, voxels(dtype, (4, 3, 2)))
        np.testing.assert_allclose(image.ijk_to_ras, OBLIQUE_ANISOTROPIC_LEFT_HANDED, rtol=3e-7, atol=5e-6)
        assert np.linalg.det(image.ijk_to_ras) < 0
        assert (image.device, image.timestamp_s) == ("Scan", TIME_S)


def test_images_of_every_scalar_type_to_cpp(peer_program: Path, tmp_path: Path) -> None:
    sent = [
        ImageMessage("Scan", TIME_S, voxels(dtype, (4, 3, 2)), OBLIQUE_ANISOTROPIC_LEFT_HANDED)
        for dtype in SCALARS.values()
    ]
    for message, scalar_type, got in zip(sent, SCALARS, to_cpp(peer_program, *sent, folder=tmp_path)):
        assert (got["device"], got["seconds"], got["fraction"]) == ("Scan", 1700000000, 2**30)
        assert (got["scalar_type"], got["components"], got["endian"]) == (scalar_type, 1, LITTLE)
        assert got["size"] == [2, 3, 4]
        assert Path(got["voxels"]).read_bytes() == message.array.tobytes()
        expected = on_the_wire(OBLIQUE_ANISOTROPIC_LEFT_HANDED, (4, 3, 2)).astype(np.float32)
        np.testing.assert_array_equal(wire_columns(got), expected)
        axes = np.array(got["matrix"])[:, :3] * got["spacing"]
        np.testing.assert_allclose(axes, OBLIQUE_ANISOTROPIC_LEFT_HANDED[:3, :3], rtol=5e-7)


def test_matrix_from_cpp_is_that_on_the_wire_to_the_last_bit(peer_program: Path) -> None:
    bodies: list[bytes] = []
    (got,) = from_cpp(peer_program, image_line(3), on_message=lambda header, body: bodies.append(bytes(body)))
    wire = np.frombuffer(bodies[0][12:60], ">f4").reshape(4, 3).T
    np.testing.assert_array_equal(on_the_wire(got.ijk_to_ras, (4, 3, 2)).astype(np.float32), wire)


@pytest.mark.parametrize("shape", [(1, 5, 7), (1, 5, 7, 3), (2, 3, 4, 4)], ids=["slice", "colour slice", "rgba volume"])
def test_slices_and_colours_both_ways(peer_program: Path, tmp_path: Path, shape: tuple[int, ...]) -> None:
    (got,) = from_cpp(peer_program, image_line(5, BIG, shape))
    np.testing.assert_array_equal(got.array, voxels("u2", shape))
    (back,) = to_cpp(peer_program, got, folder=tmp_path)
    assert back["size"] == list(shape[2::-1])
    assert back["components"] == (*shape, 1)[3]
    assert Path(back["voxels"]).read_bytes() == voxels("u2", shape).tobytes()


def test_calibrated_slice_keeps_its_shear_both_ways(peer_program: Path) -> None:
    """The wire has columns with spacing, so shear survives; the library parts them into lengths and axes."""
    (got,) = from_cpp(peer_program, image_line(3, shape=(1, 616, 820), ijk_to_world=IMAGE_TO_PROBE))
    np.testing.assert_allclose(got.ijk_to_ras, IMAGE_TO_PROBE, rtol=1e-6, atol=5e-6)
    (back,) = to_cpp(peer_program, ImageMessage("Image_Probe", TIME_S, got.array, IMAGE_TO_PROBE))
    np.testing.assert_array_equal(wire_columns(back), on_the_wire(IMAGE_TO_PROBE, (1, 616, 820)).astype(np.float32))
    np.testing.assert_allclose(np.array(back["matrix"])[:, :3] * back["spacing"], IMAGE_TO_PROBE[:3, :3], rtol=1e-6)
    np.testing.assert_allclose(back["spacing"], [0.0854209, 0.0790038, 0.0822124], rtol=1e-5)


RAS_IMAGE = np.array([[1.0, 0, 0, 10], [0, 2, 0, 20], [0, 0, 3, 30], [0, 0, 0, 1]])
LPS_IMAGE = np.array([[-1.0, 0, 0, -10], [0, -2, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]])
RAS_POSE = np.array([[1.0, 0, 0, 5], [0, 0, -1, 6], [0, 1, 0, 7], [0, 0, 0, 1]])
LPS_POSE = np.array([[1.0, 0, 0, -5], [0, 0, 1, -6], [0, -1, 0, 7], [0, 0, 0, 1]])
RAS_POINTS = np.array([[1.0, 2, 3], [4, -5, 6], [-7, 8, -9]])
LPS_POINTS = np.array([[-1.0, -2, 3], [-4, 5, 6], [7, -8, -9]])
TOLD_IN = {PatientFrame.RAS: (RAS_IMAGE, RAS_POSE, RAS_POINTS), PatientFrame.LPS: (LPS_IMAGE, LPS_POSE, LPS_POINTS)}
"""One thing in both frames, by hand: LPS turns the signs of x and y."""


@pytest.mark.parametrize("frame", list(PatientFrame))
def test_frame_of_each_type_from_cpp(peer_program: Path, frame: PatientFrame) -> None:
    image, pose, points = TOLD_IN[frame]
    markups = " ".join(f'"" "" 255 255 255 255 {numbers(point)} 0 ""' for point in points)
    got = from_cpp(
        peer_program,
        image_line(3, shape=(3, 3, 3), ijk_to_world=image, frame=frame),
        f'transform "T" {TIME} {numbers(pose[:3])}',
        f'point "P" {TIME} 3 {markups}',
        f'polydata "M" {TIME} 3 {numbers(points)} polygons 1 3 0 1 2',
        frame=frame,
    )
    np.testing.assert_array_equal(got[0].ijk_to_ras, RAS_IMAGE)
    assert got[0].labelled_frame is frame
    np.testing.assert_array_equal(got[1].matrix, RAS_POSE)
    np.testing.assert_array_equal(got[2].points_ras_mm, RAS_POINTS)
    np.testing.assert_array_equal(got[3].points_ras_mm, RAS_POINTS)
    assert got[3].triangles.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("frame", list(PatientFrame))
def test_frame_of_each_type_to_cpp(peer_program: Path, frame: PatientFrame) -> None:
    image, pose, points = TOLD_IN[frame]
    got = to_cpp(
        peer_program,
        ImageMessage("Scan", TIME_S, np.zeros((3, 3, 3), np.uint8), RAS_IMAGE),
        TransformMessage("T", TIME_S, RAS_POSE),
        PointMessage("P", TIME_S, RAS_POINTS),
        PolyDataMessage("M", TIME_S, RAS_POINTS, np.array([[0, 1, 2]])),
        frame=frame,
    )
    np.testing.assert_array_equal(wire_columns(got[0]), on_the_wire(image, (3, 3, 3)))
    assert got[0]["coordinates"] == COORDINATES[frame]
    np.testing.assert_array_equal(got[1]["matrix"], pose[:3])
    np.testing.assert_array_equal([point["position"] for point in got[2]["points"]], points)
    np.testing.assert_array_equal(got[3]["points"], points)


TURNED_POSE = np.eye(4)
TURNED_POSE[:3, :3], TURNED_POSE[:3, 3] = TURNED, (5.5, -6.25, 7.75)


@pytest.mark.parametrize("kind", ["tdata", "qtdata"])
def test_tools_of_tracking_data_from_cpp(peer_program: Path, kind: str) -> None:
    long = "ElectrocauteryToReferenceOfLiver"
    tools = f'"StylusToReference" 2 {numbers(TURNED_POSE[:3])} "{long[:19]}" 1 {numbers(RAS_POSE[:3])}'
    got = from_cpp(peer_program, f'{kind} "Tracker" {TIME} 2 {tools}', count=1)
    assert [message.device for message in got] == ["StylusToReference", long[:19]]
    np.testing.assert_allclose(got[0].matrix, TURNED_POSE, atol=1e-6)
    np.testing.assert_allclose(got[1].matrix, RAS_POSE, atol=1e-6)
    assert [message.timestamp_s for message in got] == [TIME_S] * 2


@pytest.mark.parametrize("size", [12, 24, 28])
def test_positions_from_cpp_in_their_three_sizes(peer_program: Path, size: int) -> None:
    (got,) = from_cpp(peer_program, f'position "StylusToReference" {TIME} {size} {numbers(TURNED_POSE[:3])}')
    expected = TURNED_POSE.copy()
    if size == 12:
        expected[:3, :3] = np.eye(3)
    np.testing.assert_allclose(got.matrix, expected, atol=1e-6)
    assert (got.device, got.has_orientation) == ("StylusToReference", size > 12)


@pytest.mark.parametrize("kind", ["tdata", "qtdata"])
def test_status_and_whole_names_of_tools_from_the_metadata_of_plus(peer_program: Path, kind: str) -> None:
    long = "ElectrocauteryToReferenceOfLiver"
    metadata = f'v2 4 "{long}Status" "OK" "{long}Index" "0" "ProbeToTrackerStatus" "MISSING" "ProbeToTrackerIndex" "1"'
    tools = f'"{long[:20]}" 2 {numbers(TURNED_POSE[:3])} "ProbeToTracker" 2 {numbers(RAS_POSE[:3])}'
    got = from_cpp(peer_program, f'{metadata}\n{kind} "TDATA_2Elem" {TIME} 2 {tools}', count=1)
    assert [(message.device, message.status) for message in got] == [(long, "OK"), ("ProbeToTracker", "MISSING")]


def test_points_from_cpp_with_all_that_is_told_of_them(peer_program: Path) -> None:
    full = "n" * 64
    (got,) = from_cpp(
        peer_program,
        f'point "Seeds" {TIME} 2 "Lesion 1" "Fiducial" 10 20 30 255 1 2 3 4.5 "Scan" "{full}" "" 0 0 0 0 4 5 6 0 ""',
    )
    assert got.names == ("Lesion 1", full)
    assert (got.groups, got.owners, got.diameters_mm) == (("Fiducial", ""), ("Scan", ""), (4.5, 0.0))
    assert got.colours_rgba == ((10, 20, 30, 255), (0, 0, 0, 0))
    np.testing.assert_array_equal(got.points_ras_mm, [[1, 2, 3], [4, 5, 6]])


def test_points_to_cpp_with_all_that_is_told_of_them(peer_program: Path) -> None:
    sent = PointMessage(
        "Seeds",
        TIME_S,
        np.array([[1.0, 2, 3], [4, 5, 6]]),
        names=("Läsion 1", "n" * 63),
        groups=("Fiducial", "Unselected"),
        colours_rgba=((10, 20, 30, 255), (0, 0, 0, 0)),
        diameters_mm=(4.5, 0.0),
        owners=("Scan", "o" * 19),
    )
    first, second = to_cpp(peer_program, sent)[0]["points"]
    assert first["name"].encode("latin-1").decode("utf8") == "Läsion 1"
    assert (first["group"], first["owner"]) == ("Fiducial", "Scan")
    assert (first["rgba"], first["position"], first["diameter"]) == ([10, 20, 30, 255], [1, 2, 3], 4.5)
    assert (second["name"], second["group"], second["owner"]) == ("n" * 63, "Unselected", "o" * 19)


CORNERS = "6 0 0 0  1 0 0  1 1 0  0 1 0  0.5 2 0.1  0 3 0.3"


def test_surface_from_cpp_becomes_triangles(peer_program: Path) -> None:
    (got,) = from_cpp(
        peer_program,
        f'polydata "Tumour 1" {TIME} {CORNERS} vertices 1 1 0 lines 1 2 0 1 '
        'polygons 3 3 0 1 2 4 0 1 2 3 5 0 1 2 4 3 strips 1 5 0 1 2 3 4 scalars "curvature" 6 1 2 3 4 5 6',
    )
    assert got.device == "Tumour 1"
    np.testing.assert_array_equal(got.points_ras_mm[5], np.array([0, 3, 0.3], np.float32))
    fans = [[0, 1, 2], [0, 1, 2], [0, 2, 3], [0, 1, 2], [0, 2, 4], [0, 4, 3]]
    assert got.triangles.tolist() == [*fans, [0, 1, 2], [2, 1, 3], [2, 3, 4]]


def test_surface_to_cpp(peer_program: Path) -> None:
    points = np.random.default_rng(0).normal(0, 50, (40, 3))
    triangles = np.arange(39 * 3).reshape(39, 3) % 40
    got, empty = to_cpp(
        peer_program,
        PolyDataMessage("Tumour 1", TIME_S, points, triangles),
        PolyDataMessage("Tumour 1", TIME_S, np.empty((0, 3)), np.empty((0, 3), int)),
    )
    np.testing.assert_array_equal(np.array(got["points"], np.float32), points.astype(np.float32))
    assert got["polygons"] == triangles.tolist()
    assert [got[part] for part in ("vertices", "lines", "strips", "attributes")] == [[], [], [], 0]
    assert (empty["points"], empty["polygons"]) == ([], [])


def test_texts_and_states_both_ways(peer_program: Path) -> None:
    text, status = from_cpp(
        peer_program,
        f'string "CMD_1" {TIME} 3 "<Command Name=\\"Version\\" />"',
        f'status "PLUS" {TIME} 13 -5 "NoSensor" "probe lost"',
    )
    assert text == StringMessage("CMD_1", TIME_S, '<Command Name="Version" />')
    assert status == StatusMessage("PLUS", TIME_S, 13, -5, "NoSensor", "probe lost")
    back = to_cpp(peer_program, text, status)
    assert (back[0]["text"], back[0]["encoding"]) == (text.text, 3)
    assert [back[1][key] for key in ("code", "subcode", "error_name", "text")] == [13, -5, "NoSensor", "probe lost"]


@pytest.mark.parametrize("line", [image_line(3), f'transform "T" {TIME} {numbers(RAS_POSE[:3])}'])
def test_metadata_of_version_2_arrives_even_if_it_is_not_ascii(peer_program: Path, line: str) -> None:
    metadata = 'v2 3 "TransformStatus" "OK" "Operator" "Jürgen" "IGTL_DEVICE_NAME" "ProbeToReferenceOfTheLiver"'
    ((got,), (bare,)) = from_cpp(peer_program, f"{metadata}\n{line}", count=1), from_cpp(peer_program, line)
    assert got.metadata == {"TransformStatus": "OK", "Operator": "Jürgen"}
    assert got.device == "ProbeToReferenceOfTheLiver"
    assert type(got) is type(bare)


def test_metadata_to_version_2(peer_program: Path) -> None:
    pose = TransformMessage("ProbeToReferenceOfTheLiver", TIME_S, RAS_POSE, {"TransformStatus": "MISSING"})
    (got,) = to_cpp(peer_program, pose, version=2)
    assert (got["version"], got["device"]) == (2, "ProbeToReferenceOfTh")
    assert got["metadata"] == {"TransformStatus": "MISSING", "IGTL_DEVICE_NAME": "ProbeToReferenceOfTheLiver"}
    np.testing.assert_array_equal(got["matrix"], RAS_POSE[:3])


def test_our_client_introduces_itself_with_version_2(peer_program: Path) -> None:
    with CppPeer(peer_program, "receive", 1) as peer, IgtlClient("127.0.0.1", peer.port) as client:
        poll_client_until(client, lambda: peer.has_ended)
        _, (got,), _ = peer.finish()
    assert (got["type"], got["version"], got["code"]) == ("STATUS", 2, 1)


def test_our_server_speaks_version_1_to_the_library(peer_program: Path, link: Link) -> None:
    with CppPeer(peer_program, "receive", 2, port=link.server.port) as peer:
        link.poll_until(lambda: bool(link.server.clients))
        link.server.broadcast(TransformMessage("T", TIME_S, RAS_POSE, {"a": "b"}))
        link.server.broadcast(StringMessage("S", TIME_S, "text"))
        link.poll_until(lambda: peer.has_ended)
        code, got, _ = peer.finish()
    assert code == 0
    assert [(m["type"], m["version"], m["metadata"]) for m in got] == [("TRANSFORM", 1, {}), ("STRING", 1, {})]


def test_wrong_checksum_from_cpp_costs_that_message_only(peer_program: Path) -> None:
    pose = f'transform "T" {TIME} {numbers(RAS_POSE[:3])}'
    lines = ["corrupt", pose, "v2 0", "corrupt", image_line(3), pose]
    with (
        CppPeer(peer_program, "send", lines=lines) as peer,
        IgtlClient("127.0.0.1", peer.port, introduce=False) as client,
    ):
        got = poll_client_until(client, lambda: bool(client.statistics.received))
        assert client.statistics.dropped == {"checksum wrong": 2}
    assert [type(message) for message in got] == [TransformMessage]


@pytest.mark.parametrize("version", [1, 2])
def test_the_library_finds_a_wrong_checksum_of_ours(peer_program: Path, version: int) -> None:
    data = bytearray(pack(TransformMessage("T", TIME_S, RAS_POSE), version))
    data[HEADER_BYTES + 5] ^= 1
    with CppPeer(peer_program, "receive", 1) as peer, socket.create_connection(("127.0.0.1", peer.port)) as sock:
        sock.sendall(data)
        code, got, complaint = peer.finish()
    assert (code, got, complaint) == (3, [], "igtl_peer: the CRC is wrong")


def test_the_peer_says_what_is_wrong_with_its_arguments(peer_program: Path) -> None:
    with CppPeer(peer_program, "dance", port=1) as peer:
        code, _, complaint = peer.finish()
    assert code == 2
    assert "usage: igtl_peer" in complaint
