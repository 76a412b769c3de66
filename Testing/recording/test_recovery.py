"""A recording becomes a case: nothing is stored twice, and other programs read its volumes."""

from __future__ import annotations

import errno
import json
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from CRLMSegmentationLib.core.errors import CaseError
from CRLMSegmentationLib.core.geometry import RAS_TO_LPS
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.igtl.client import IgtlClient
from CRLMSegmentationLib.igtl.messages import Message
from CRLMSegmentationLib.igtl.packing import HEADER_BYTES, pack
from CRLMSegmentationLib.igtl.server import IgtlServer
from CRLMSegmentationLib.recording import recovery as recording_case
from CRLMSegmentationLib.recording.case import Case, TrackingSample, load_case, save_case, save_volume_into_case
from CRLMSegmentationLib.recording.folder import locked
from CRLMSegmentationLib.recording.message_log import ARRIVALS_FILE, MESSAGES_FILE
from CRLMSegmentationLib.recording.message_log_writer import RecordingError
from CRLMSegmentationLib.recording.player import Player, ReplayEvent
from CRLMSegmentationLib.recording.recorded_link import RecordedLink
from CRLMSegmentationLib.recording.recovery import finish_recording, recover
from CRLMSegmentationLib.recording.summary import sentence_of
from CRLMSegmentationLib.recording.timeline import timeline
from helpers.recording_helpers import (
    LEFT_HANDED,
    OBLIQUE,
    START_S,
    after,
    every_kind,
    pose,
    raw,
    raw_image,
    volume,
    write_recording,
)


def case_of(folder: Path, messages: Iterable[bytes]) -> Case:
    folder.mkdir(exist_ok=True)
    write_recording(folder, messages)
    finish_recording(folder)
    return load_case(folder)


@pytest.mark.parametrize("matrix", [np.eye(4), OBLIQUE, LEFT_HANDED], ids=["straight", "oblique", "left-handed"])
@pytest.mark.parametrize("dtype", ["i1", "u1", "<i2", ">i2", "<u2", ">u2", "<i4", ">u4", "<f4", ">f4", "<f8", ">f8"])
def test_other_programs_read_the_voxels_within_the_recording(tmp_path: Path, dtype: str, matrix: np.ndarray) -> None:
    array = (np.arange(60).reshape(5, 4, 3) * 1.5).astype(dtype)
    folder = tmp_path / "recording"
    case_of(folder, [pack(pose(), 2), raw_image(array, matrix, version=2), pack(pose(1), 2)])
    image = sitk.ReadImage(str(folder / "volume-0001.nhdr"))
    read = sitk.GetArrayFromImage(image)
    assert read.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(read, array)
    ijk_to_lps = RAS_TO_LPS @ matrix
    for ijk in ([0, 0, 0], [2, 0, 0], [0, 3, 0], [2, 3, 4]):
        expected = ijk_to_lps @ [*ijk, 1]
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(ijk), expected[:3], atol=2e-5)


def test_volume_of_the_case_is_the_message(tmp_path: Path) -> None:
    case = case_of(tmp_path / "recording", [pack(m, 2) for m in every_kind()])
    message = next(t.load() for t in timeline(case) if t.is_volume)
    read = case.volume()
    assert (read.device, read.timestamp_s) == (message.device, message.timestamp_s)
    np.testing.assert_array_equal(read.array, message.array)
    np.testing.assert_allclose(read.ijk_to_ras, message.ijk_to_ras, atol=1e-9)


def test_case_lists_what_was_recorded(tmp_path: Path) -> None:
    messages = [*(pack(m, 2) for m in every_kind()), raw("COLORT", b"12345"), raw("TRANSFORM", b"short")]
    case = case_of(tmp_path / "recording", messages)
    assert case.case_id == "recording"
    assert [v.file for v in case.volumes] == ["volume-0001.nhdr"]
    samples = list(case.tracking_samples())
    assert [(s.device, s.status) for s in samples] == [
        ("ProbeToReference", "OK"), ("StylusToReference", "MISSING"), ("ReferenceToTracker", "OK"),
    ]  # fmt: skip
    assert samples[0].timestamp_s == pytest.approx(START_S + 1 / 60, abs=1e-6)
    assert case.devices == {
        "probe": "ProbeToReference", "pointer": "StylusToReference", "liver_sensor": "ReferenceToTracker",
    }  # fmt: skip
    assert case.source["kind"] == "recorded"
    assert case.source["messages"] == {
        "TRANSFORM": 4, "IMAGE": 3, "STRING": 1, "STATUS": 1, "POINT": 1, "COLORT": 1,
    }  # fmt: skip
    assert case.source["unreadable"] == 1
    assert set(case.file_names) == {"volume-0001.nhdr", "tracking.jsonl", MESSAGES_FILE, ARRIVALS_FILE}


def test_sweep_without_a_volume_is_a_case_that_says_so(tmp_path: Path) -> None:
    case = case_of(tmp_path / "sweep", [pack(pose(n), 2) for n in range(5)])
    assert case.volumes == ()
    with pytest.raises(CaseError, match=r"sweep holds no volume.*reconstruct"):
        case.volume()
    assert not RecordedLink(case).has_volumes
    assert len(timeline(case)) == 5


def test_replay_leaves_out_what_it_cannot_read_and_types_it_does_not_know(tmp_path: Path) -> None:
    messages = [pack(pose(1), 2), raw("COLORT", b"12345"), raw("TRANSFORM", b"short"), pack(volume(2), 2)]
    case = case_of(tmp_path / "recording", messages)
    clock = iter(np.arange(0, 1000, 0.5))
    link = RecordedLink(case, clock=lambda: next(clock))
    got = [m for _ in range(6) for m in link.poll()]
    assert [m.device for m in got] == ["ProbeToReference", "recvol_Reference"]
    assert link.left_out == 1


def test_volume_that_is_none_is_recorded_but_not_listed(tmp_path: Path) -> None:
    hole = np.full((2, 2, 2), np.nan, np.float32)
    colour = every_kind()[3]
    messages = [raw_image(hole, np.eye(4)), pack(volume(1), 2), pack(colour, 2)]
    case = case_of(tmp_path / "recording", messages)
    assert len(case.volumes) == 1
    assert len(timeline(case)) == 3


def test_names_that_a_case_cannot_hold_are_changed_and_the_recording_is_not(tmp_path: Path) -> None:
    nameless = raw_image(np.arange(8, dtype=np.uint8).reshape(2, 2, 2), np.eye(4)).replace(
        b"recvol_Reference", bytes(16)
    )
    case = case_of(tmp_path / "recording", [nameless])
    assert [v.device for v in case.volumes] == ["unnamed"]
    assert timeline(case)[0].device == ""


def test_message_cut_short_by_a_crash_is_cut_off_and_the_rest_is_a_case(tmp_path: Path) -> None:
    messages = [pack(volume(1), 2), pack(pose(2), 2), pack(volume(3), 2)]
    folder = tmp_path / "recording"
    folder.mkdir()
    write_recording(folder, messages)
    path = folder / MESSAGES_FILE
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CaseError, match=rf"not finished.* crlm-seg recover {folder}"):
        load_case(folder)
    recovered = recover(folder)
    assert (recovered.messages, recovered.volumes, recovered.ended_by) == (2, 1, "a crash")
    assert path.read_bytes() == b"".join(messages[:2])
    assert sentence_of(recovered).startswith("2 messages, 1 volume, ")
    assert len(load_case(folder).volumes) == 1


@pytest.mark.parametrize("has_arrivals", [True, False])
def test_damage_to_a_recording_is_told_and_nothing_is_cut_off(tmp_path: Path, has_arrivals: bool) -> None:
    messages = [pack(pose(number), 2) for number in range(4)]
    write_recording(tmp_path, messages)
    path = tmp_path / MESSAGES_FILE
    with path.open("r+b") as stream:
        stream.seek(len(messages[0]))
        stream.write(bytes(HEADER_BYTES))
    if not has_arrivals:
        (tmp_path / ARRIVALS_FILE).unlink()
    recovered = recover(tmp_path)
    lost = len(messages[0]) * (1 if has_arrivals else 3)
    assert recovered.messages == (3 if has_arrivals else 1)
    assert f"{lost} bytes are damaged" in sentence_of(recovered)
    assert path.stat().st_size == 4 * len(messages[0])


def test_header_whose_size_is_damaged_does_not_cut_off_what_follows(tmp_path: Path) -> None:
    messages = [pack(pose(number), 2) for number in range(4)]
    write_recording(tmp_path, messages)
    path = tmp_path / MESSAGES_FILE
    with path.open("r+b") as stream:
        stream.seek(len(messages[0]) + 42)
        stream.write((1 << 40).to_bytes(8, "big"))
    assert recover(tmp_path).messages == 3
    assert path.stat().st_size == 4 * len(messages[0])


def test_what_is_no_unfinished_recording_is_told(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="no such folder"):
        recover(tmp_path / "nothing")
    with pytest.raises(CaseError, match="holds no message"):
        recover(tmp_path)
    case_of(tmp_path / "done", [pack(pose(), 2)])
    with pytest.raises(CaseError, match="finished case already"):
        recover(tmp_path / "done")


def test_recording_that_still_goes_on_is_not_recovered(tmp_path: Path) -> None:
    write_recording(tmp_path, [pack(pose(), 2)])
    with locked(tmp_path), pytest.raises(RecordingError, match="another program is recording"):
        recover(tmp_path)
    recover(tmp_path)


def test_ctrl_c_while_the_case_is_made_loses_nothing(tmp_path: Path) -> None:
    messages = [pack(volume(n), 2) for n in range(3)] + [pack(pose(n), 2) for n in range(3)]
    write_recording(tmp_path, messages)
    for interrupted_at in range(1, 7):
        steps = iter(range(1000))

        def progress(*_: object, steps: object = steps, last: int = interrupted_at) -> None:
            if next(steps) == last:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt) as stopped:
            recover(tmp_path, progress)
        assert "crlm-seg recover" in stopped.value.__notes__[0]
    recover(tmp_path)
    case = load_case(tmp_path)
    assert (len(case.volumes), len(list(case.tracking_samples()))) == (3, 3)
    assert (tmp_path / MESSAGES_FILE).read_bytes() == b"".join(messages)


def test_tracking_that_finds_no_room_is_left_out_and_stays_in_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, samples: Iterable[TrackingSample]) -> None:
        path.write_text("begun")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(recording_case, "append_tracking", full)
    write_recording(tmp_path, [pack(pose(), 2), pack(volume(), 2)])
    recovered = recover(tmp_path)
    assert recovered.left_out == ("tracking.jsonl",)
    case = load_case(tmp_path)
    assert (case.tracking, len(timeline(case))) == (None, 2)
    assert not list(tmp_path.glob("*.unfinished"))


def test_no_room_for_the_case_leaves_the_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_recording(tmp_path, [pack(pose(), 2)])
    with monkeypatch.context() as patch:
        patch.setattr(recording_case, "save_case", full)
        with pytest.raises(RecordingError, match=r"disk is full; what was recorded is kept.*crlm-seg recover"):
            recover(tmp_path)
    assert recover(tmp_path).messages == 1


def test_header_whose_voxels_lie_elsewhere_is_covered_by_the_hashes(tmp_path: Path) -> None:
    case = case_of(tmp_path / "recording", [pack(volume(), 2)])
    path = case.folder / MESSAGES_FILE
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(CaseError, match=r"messages\.igtl differs from its hash"):
        load_case(case.folder)


def test_detached_header_beside_any_case_brings_its_data_file(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(4, 3, 2)
    entry = save_volume_into_case(tmp_path, "volume", Volume(array, LEFT_HANDED, "recvol_Reference", 1.0))
    sitk.WriteImage(sitk.ReadImage(str(tmp_path / "volume.nrrd")), str(tmp_path / "volume.nhdr"))
    save_case(Case(tmp_path, "detached", (type(entry)("volume.nhdr", "recvol_Reference", 1.0),)))
    assert "volume.raw" in json.loads((tmp_path / "case.json").read_text())["files"]
    np.testing.assert_array_equal(load_case(tmp_path).volume().array, array)


@pytest.mark.parametrize("line", ["data file: LIST", "data file: v%03d.raw 1 4 1", "encoding: raw"])
def test_detached_header_that_names_no_file_is_refused(tmp_path: Path, line: str) -> None:
    case = case_of(tmp_path / "recording", [pack(volume(), 2)])
    header = case.folder / "volume-0001.nhdr"
    header.write_text(header.read_text().replace(f"data file: {MESSAGES_FILE}", line))
    with pytest.raises(CaseError, match="must name one file that holds its voxels"):
        load_case(case.folder)


def test_data_file_outside_the_case_is_refused(tmp_path: Path) -> None:
    case = case_of(tmp_path / "recording", [pack(volume(), 2)])
    header = case.folder / "volume-0001.nhdr"
    header.write_text(header.read_text().replace(f"data file: {MESSAGES_FILE}", "data file: ../secret.raw"))
    with pytest.raises(CaseError, match=r"no hash of \.\./secret\.raw"):
        load_case(case.folder)


def test_player_leaves_out_what_cannot_be_read_or_sent_again_and_tells_how_many(tmp_path: Path) -> None:
    status = struct.pack(">Hq20s", 1, 0, b"") + "Größe\0".encode()
    messages = [pack(pose(1), 2), raw("STATUS", status), raw("TRANSFORM", b"short"), pack(volume(2), 2)]
    case = case_of(tmp_path / "recording", messages)
    events: list[ReplayEvent] = []
    with IgtlServer() as server, IgtlClient("127.0.0.1", server.port) as client:
        got: list[Message] = []

        def stop() -> bool:
            got.extend(client.poll())
            return bool(events) and events[-1].kind == "finished" and len(got) == 2

        Player(timeline(case), server, on_event=events.append, stop=after(stop)).run()
    assert [m.device for m in got] == ["ProbeToReference", "recvol_Reference"]
    assert events[-1].text == "all was played, 2 damaged messages left out; the last volumes are served on"
