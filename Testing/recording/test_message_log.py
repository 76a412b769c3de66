"""The files of a recording: written whole, read lazily, and readable whatever a crash has left."""

from __future__ import annotations

import errno
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import MessageError
from CRLMSegmentationLib.igtl.messages import ImageMessage, TransformMessage
from CRLMSegmentationLib.igtl.packing import EXTENDED_HEADER, FULL_NAME_KEY, HEADER_BYTES, METADATA_ENTRY, pack
from CRLMSegmentationLib.recording import message_log_writer
from CRLMSegmentationLib.recording.message_log import ARRIVALS_FILE, MESSAGES_FILE, MessageLog, read_message_log
from CRLMSegmentationLib.recording.message_log_writer import MessageLogWriter, RecordingError
from helpers.recording_helpers import START_S, every_kind, pose, raw, raw_image, volume, write_recording
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SIZE_AT = 42
"""Where a header says how long its body is."""


def read(folder: Path) -> MessageLog:
    return read_message_log(folder / MESSAGES_FILE, folder / ARRIVALS_FILE)


def data_of(message_log: MessageLog) -> list[bytes]:
    whole = message_log.path.read_bytes()
    return [whole[e.offset_bytes : e.offset_bytes + e.size_bytes] for e in message_log.entries]


def test_every_kind_of_message_comes_back_as_it_came(tmp_path: Path) -> None:
    messages = every_kind()
    packed = [pack(message, 2) for message in messages]
    write_recording(tmp_path, packed)
    message_log = read(tmp_path)
    assert data_of(message_log) == packed
    assert [e.device for e in message_log.entries] == [m.device for m in messages]
    assert [type(message_log.load(e)) for e in message_log.entries] == [type(m) for m in messages]
    np.testing.assert_array_equal(message_log.load(message_log.entries[4]).array, messages[4].array)
    assert message_log.load(message_log.entries[1]).status == "MISSING"


def test_volumes_and_single_images_are_told_apart_without_reading_them(tmp_path: Path) -> None:
    write_recording(tmp_path, [pack(message, 2) for message in every_kind()])
    shapes = [(e.shape, e.is_volume) for e in read(tmp_path).entries if e.type == "IMAGE"]
    assert shapes == [((1, 3, 4), False), ((1, 3, 4, 3), False), ((4, 3, 2), True)]


def test_name_that_the_header_cuts_is_read_whole(tmp_path: Path) -> None:
    write_recording(tmp_path, [pack(pose(0, "ReferenceFromAVeryLongDeviceToTracker"), 2)])
    line = json.loads((tmp_path / ARRIVALS_FILE).read_text())
    assert read(tmp_path).entries[0].device == line["device"] == "ReferenceFromAVeryLongDeviceToTracker"


def test_unknown_types_are_kept_as_they_came(tmp_path: Path) -> None:
    messages = [raw("COLORT", b"12345"), raw("NDARRAY", b""), pack(pose(), 2)]
    write_recording(tmp_path, messages)
    message_log = read(tmp_path)
    assert data_of(message_log) == messages
    with pytest.raises(MessageError):
        message_log.load(message_log.entries[0])


message_bytes = st.one_of(
    st.builds(
        lambda number, device, status, version: pack(pose(number, device, status), version),
        st.integers(0, 10**6),
        st.text("abcdefghij_", min_size=1, max_size=40),
        st.sampled_from(["OK", "MISSING"]),
        st.sampled_from([1, 2]),
    ),
    st.builds(
        lambda number, shape, version: pack(volume(number, shape), version),
        st.integers(0, 200),
        st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)),
        st.sampled_from([1, 2]),
    ),
    st.builds(
        raw,
        st.text("ABCDEFGH", min_size=1, max_size=12),
        st.binary(max_size=200),
        st.text("abc", max_size=20),
        st.sampled_from([1, 2]),
    ),
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(messages=st.lists(message_bytes, min_size=1, max_size=6), cut=st.integers(0, 10**6), has_arrivals=st.booleans())
def test_whatever_comes_is_found_again(
    tmp_path_factory: pytest.TempPathFactory, messages: list[bytes], cut: int, has_arrivals: bool
) -> None:
    folder = tmp_path_factory.mktemp("recording")
    whole = write_recording(folder, messages)
    if not has_arrivals:
        (folder / ARRIVALS_FILE).unlink()
    assert data_of(read(folder)) == messages
    os.truncate(folder / MESSAGES_FILE, cut % (len(whole) + 1))
    message_log = read(folder)
    ends = np.cumsum([len(data) for data in messages])
    kept = int((ends <= cut % (len(whole) + 1)).sum())
    assert data_of(message_log) == messages[:kept]
    assert message_log.is_cut_short == (message_log.surplus_bytes > 0)


def test_cut_at_any_byte_of_its_last_message_a_recording_keeps_those_before(tmp_path: Path) -> None:
    messages = [pack(pose(1), 2), pack(volume(2), 2), pack(pose(3, "ReferenceFromAVeryLongDeviceToTracker"), 2)]
    whole = write_recording(tmp_path, messages)
    for size in range(len(whole) - 1, len(whole) - len(messages[-1]) - 1, -1):
        os.truncate(tmp_path / MESSAGES_FILE, size)
        message_log = read(tmp_path)
        assert data_of(message_log) == messages[:2]
        assert message_log.end_bytes + message_log.surplus_bytes == size
        assert message_log.is_cut_short == (size > message_log.end_bytes)


def test_arrivals_cut_short_or_damaged_cost_only_times(tmp_path: Path) -> None:
    messages = [pack(pose(number), 2) for number in range(0, 600, 60)]
    write_recording(tmp_path, messages)
    path = tmp_path / ARRIVALS_FILE
    lines = path.read_bytes().splitlines(keepends=True)
    first_s = json.loads(lines[0])["received_s"]
    damaged = [b"\0\0\xff\n", b'{"received_s": NaN, "offset": 0, "bytes": 1}\n', b"[]\n", b'{"event": 7}\n']
    path.write_bytes(lines[0] + b"".join(damaged) + lines[1][:20])
    message_log = read(tmp_path)
    assert data_of(message_log) == messages
    times_s = [e.received_s - first_s for e in message_log.entries]
    assert times_s == pytest.approx(range(10), abs=1e-3)  # as the messages themselves say


def test_times_that_are_guessed_never_go_back_nor_leap_over_years(tmp_path: Path) -> None:
    messages = [pack(m, 2) for m in (pose(600), pose(0), pose(660), TransformMessage("Odd", 4e9, np.eye(4)), pose(720))]
    write_recording(tmp_path, messages)
    (tmp_path / ARRIVALS_FILE).unlink()
    times_s = [e.received_s for e in read(tmp_path).entries]
    assert [t - times_s[0] for t in times_s] == pytest.approx([0, 0, 1, 11, 11])


def test_damaged_header_is_passed_over_where_its_arrival_is_known(tmp_path: Path) -> None:
    messages = [pack(pose(number), 2) for number in range(4)]
    write_recording(tmp_path, messages)
    with (tmp_path / MESSAGES_FILE).open("r+b") as stream:
        stream.seek(len(messages[0]))
        stream.write(bytes(HEADER_BYTES))
    assert data_of(read(tmp_path)) == [messages[0], *messages[2:]]
    (tmp_path / ARRIVALS_FILE).unlink()
    message_log = read(tmp_path)
    assert data_of(message_log) == messages[:1]
    assert not message_log.is_cut_short
    assert message_log.surplus_bytes == 3 * len(messages[0])


@pytest.mark.parametrize("size", [1, 1 << 40])
def test_header_with_a_wrong_size_is_passed_over_where_its_arrival_is_known(tmp_path: Path, size: int) -> None:
    messages = [pack(pose(number), 2) for number in range(4)]
    write_recording(tmp_path, messages)
    with (tmp_path / MESSAGES_FILE).open("r+b") as stream:
        stream.seek(len(messages[0]) + SIZE_AT)
        stream.write(size.to_bytes(8, "big"))
    message_log = read(tmp_path)
    assert data_of(message_log) == [messages[0], *messages[2:]]
    assert (message_log.damaged_bytes, message_log.surplus_bytes, message_log.is_cut_short) == (
        len(messages[1]),
        0,
        False,
    )


def test_name_beyond_reason_is_taken_from_the_header(tmp_path: Path) -> None:
    name = b"N" * (1 << 20)
    index = struct.pack(">H", 1) + METADATA_ENTRY.pack(len(FULL_NAME_KEY), 3, len(name))
    extended = EXTENDED_HEADER.pack(EXTENDED_HEADER.size, len(index), len(FULL_NAME_KEY) + len(name), 0)
    data = raw("UNKNOWN", extended + index + FULL_NAME_KEY.encode() + name, "A" * 20, version=2)
    write_recording(tmp_path, [data])
    (entry,) = read(tmp_path).entries
    assert entry.device == "A" * 20
    assert (tmp_path / ARRIVALS_FILE).stat().st_size < 1000


def test_damaged_body_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    write_recording(tmp_path, [pack(pose(1), 2), raw("TRANSFORM", b"short"), pack(pose(2), 2)])
    message_log = read(tmp_path)
    with pytest.raises(MessageError, match=r"TRANSFORM"):
        message_log.load(message_log.entries[1])
    assert isinstance(message_log.load(message_log.entries[2]), TransformMessage)


def test_name_that_no_link_would_deliver_is_refused_when_it_is_played_too(tmp_path: Path) -> None:
    """It was recorded as it came; a name becomes nodes, files and lines of a log."""
    write_recording(tmp_path, [pack(pose(1, "Probe\x1b[2J"), 2), pack(pose(2, "P" * 300), 2)])
    message_log = read(tmp_path)
    for entry in message_log.entries:
        with pytest.raises(MessageError, match="printable characters"):
            message_log.load(entry)


def test_body_that_a_power_cut_has_blanked_is_noticed(tmp_path: Path) -> None:
    data = pack(volume(), 2)
    write_recording(tmp_path, [data])
    with (tmp_path / MESSAGES_FILE).open("r+b") as stream:
        stream.seek(len(data) - 10)
        stream.write(bytes(10))
    message_log = read(tmp_path)
    with pytest.raises(MessageError, match="checksum"):
        message_log.load(message_log.entries[0])


def test_recording_larger_than_the_memory_is_walked_through_at_once(tmp_path: Path) -> None:
    body_bytes, count = 500 << 20, 10
    header = raw("BIG", b"")[:42] + body_bytes.to_bytes(8, "big") + bytes(8)
    with (tmp_path / MESSAGES_FILE).open("wb") as stream:
        for number in range(count):
            stream.seek(number * (HEADER_BYTES + body_bytes))
            stream.write(header)
        stream.seek(count * (HEADER_BYTES + body_bytes))
        stream.write(raw_image(np.ones((2, 2, 2), np.uint8), np.eye(4)))
    message_log = read(tmp_path)
    assert len(message_log.entries) == count + 1
    assert isinstance(message_log.load(message_log.entries[-1]), ImageMessage)
    assert message_log.entries[-1].offset_bytes > 5e9


def test_disk_that_fills_up_within_a_message_leaves_whole_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = [pack(pose(number), 2) for number in range(3)]
    workspace, write = [2 * len(data[0]) + 30], os.write

    def scarce(number: int, part: memoryview) -> int:
        if bytes(part[:1]) == b"{":
            return write(number, part)
        if workspace[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = write(number, part[: workspace[0]])
        workspace[0] -= count
        return count

    monkeypatch.setattr(message_log_writer.os, "write", scarce)
    writer = MessageLogWriter(tmp_path)
    for message in data[:2]:
        writer.append(memoryview(message)[:HEADER_BYTES], memoryview(message)[HEADER_BYTES:])
    with pytest.raises(RecordingError, match="disk is full"):
        writer.append(memoryview(data[2])[:HEADER_BYTES], memoryview(data[2])[HEADER_BYTES:])
    assert (writer.messages, writer.recorded_bytes) == (2, 2 * len(data[0]))
    writer.close()
    assert (tmp_path / MESSAGES_FILE).read_bytes() == data[0] + data[1]


def test_disk_that_cannot_put_away_what_it_took_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(number: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(message_log_writer, "_fdatasync", broken)
    writer = MessageLogWriter(tmp_path, sync_every_s=0.01)
    writer._syncing.join(240)
    message = pack(pose(), 2)
    with pytest.raises(RecordingError, match="disk reports an error"):
        writer.append(memoryview(message)[:HEADER_BYTES], memoryview(message)[HEADER_BYTES:])
    writer.close()


def test_recording_is_not_written_over(tmp_path: Path) -> None:
    write_recording(tmp_path, [pack(pose(), 2)])
    with pytest.raises(RecordingError, match="File exists"):
        MessageLogWriter(tmp_path)


def test_events_stand_between_the_messages(tmp_path: Path) -> None:
    writer = MessageLogWriter(tmp_path)
    writer.note("link lost", why="the server closed the connection")
    writer.close()
    (event,) = read(tmp_path).events
    assert (event.event, event.about) == ("link lost", {"why": "the server closed the connection"})
    assert event.received_s > START_S
