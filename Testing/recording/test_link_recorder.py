"""What comes over a link becomes a case: all of it, in its order, whatever link and disk do."""

from __future__ import annotations

import errno
import itertools
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import LinkError
from CRLMSegmentationLib.core.resources import resource_path
from CRLMSegmentationLib.igtl.link import LinkState
from CRLMSegmentationLib.igtl.messages import Message
from CRLMSegmentationLib.igtl.packing import pack
from CRLMSegmentationLib.recording import folder as recording_folder
from CRLMSegmentationLib.recording import message_log_writer
from CRLMSegmentationLib.recording.case import Case, load_case
from CRLMSegmentationLib.recording.link_recorder import ACCOUNT_EVERY_S, Account
from CRLMSegmentationLib.recording.message_log import ARRIVALS_FILE, MESSAGES_FILE, read_message_log
from CRLMSegmentationLib.recording.message_log_writer import RecordingError
from CRLMSegmentationLib.recording.player_process import ReplayProcess
from CRLMSegmentationLib.recording.record import RecordingLimits, run_record
from CRLMSegmentationLib.recording.recovery import finish_recording
from CRLMSegmentationLib.recording.summary import LOST, Recorded
from CRLMSegmentationLib.recording.timeline import timeline
from helpers.recording_helpers import (
    START_S,
    Sender,
    after,
    every_kind,
    pose,
    raw,
    recorder_process,
    reports_of,
    stream_of_messages,
    volume,
    write_recording,
)


def record(port: int, out: Path, messages: int, **options: object) -> Recorded:
    """Record until so many messages are there."""
    latest: list[Account] = []
    stop = after(lambda: bool(latest) and latest[-1].messages >= messages)
    return run_record("127.0.0.1", port, out, on_account=latest.append, stop=stop, **options)


def record_replay(source: Path, out: Path, messages: int, speed: float = 50.0) -> Case:
    with ReplayProcess(source, speed=speed) as replay:
        record(replay.port, out, messages)
    return load_case(out)


def assert_same_case(case: Case, original: Case) -> None:
    """Volumes and transforms, as precisely as the wire carries them."""
    assert [(v.device, pytest.approx(v.timestamp_s, abs=1e-6)) for v in case.volumes] == [
        (v.device, v.timestamp_s) for v in original.volumes
    ]
    for index in range(len(original.volumes)):
        np.testing.assert_array_equal(case.volume(index).array, original.volume(index).array)
        np.testing.assert_allclose(case.volume(index).ijk_to_ras, original.volume(index).ijk_to_ras, atol=2e-5)
    for got, expected in zip(case.tracking_samples(), original.tracking_samples(), strict=True):
        assert (got.device, got.status) == (expected.device, expected.status)
        assert got.timestamp_s == pytest.approx(expected.timestamp_s, abs=1e-6)
        np.testing.assert_allclose(got.matrix, expected.matrix, atol=2e-5)


def assert_same_messages(one: list[Message], other: list[Message]) -> None:
    assert [(type(m), m.device, m.timestamp_s, m.metadata) for m in one] == [
        (type(m), m.device, m.timestamp_s, m.metadata) for m in other
    ]
    for a, b in zip(one, other):
        for name in ("array", "matrix", "points_ras_mm"):
            if hasattr(a, name):
                np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=2e-5)


def test_recording_of_a_replay_is_the_same_case(tiny_case: Case, tmp_path: Path) -> None:
    assert_same_case(record_replay(tiny_case.folder, tmp_path / "again", 11), tiny_case)


def test_recording_of_a_sample_is_the_same_case(tmp_path: Path) -> None:
    original = load_case(resource_path("SampleCases", "phantom-hypoechoic"))
    count = len(timeline(original))
    case = record_replay(original.folder, tmp_path / "again", count)
    assert_same_case(case, original)
    assert case.devices == original.devices
    assert case.volume().identity.is_same_image(original.volume().identity)


def test_replay_of_a_recording_gives_the_same_recording(tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.mkdir()
    write_recording(first, [pack(m, 2) for m in every_kind()])
    finish_recording(first)
    second = record_replay(first, tmp_path / "second", len(every_kind()))
    third = record_replay(second.folder, tmp_path / "third", len(every_kind()))
    messages = [[t.load() for t in timeline(case)] for case in (load_case(first), second, third)]
    assert_same_messages(messages[0], messages[1])
    assert_same_messages(messages[1], messages[2])
    assert [m.text for m in messages[2] if hasattr(m, "text")] == ["a snapshot", "all is well"]


def test_replay_keeps_the_pace_of_the_arrival(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrivals_s = (START_S + number / 50 for number in itertools.count())
    monkeypatch.setattr(message_log_writer.MessageLogWriter, "_now_s", lambda self: next(arrivals_s))
    write_recording(tmp_path, [pack(pose(n), 2) for n in range(20)])
    finish_recording(tmp_path)
    timed = timeline(load_case(tmp_path))
    assert [message.offset_s for message in timed] == pytest.approx(np.arange(20) / 50, abs=1e-5)


def test_every_message_is_recorded_as_it_came(tmp_path: Path) -> None:
    messages = [*(pack(m, 2) for m in every_kind()), raw("COLORT", b"12345"), raw("TRANSFORM", b"short")]
    messages += [pack(m, 1) for m in every_kind()]
    with Sender(messages) as sender:
        recorded = record(sender.port, tmp_path / "recording", len(messages))
    assert (tmp_path / "recording" / MESSAGES_FILE).read_bytes() == b"".join(messages)
    assert (recorded.messages, recorded.volumes, recorded.unreadable) == (len(messages), 2, 1)
    assert recorded.unknown == {"COLORT": 1}


def test_message_with_a_wrong_checksum_is_lost_and_counted(tmp_path: Path) -> None:
    messages = [pack(pose(1), 2), raw("STRING", b"damaged", crc=1), pack(pose(2), 2)]
    with Sender(messages) as sender:
        recorded = record(sender.port, tmp_path / "recording", 2)
    assert recorded.lost == {"checksum wrong": 1}
    assert load_case(tmp_path / "recording").source["lost"] == {"checksum wrong": 1}


def test_each_loss_is_noted_with_its_own_reason(tmp_path: Path) -> None:
    damaged = raw("TRANSFORM", bytes(48), "Damaged", crc=1)
    messages = [pack(pose(1), 2), damaged, raw("TRANSFORM", b"short", "Unreadable"), pack(pose(2), 2)]
    with Sender(messages) as sender:
        record(sender.port, tmp_path / "recording", 3)
    message_log = read_message_log(tmp_path / "recording" / MESSAGES_FILE, tmp_path / "recording" / ARRIVALS_FILE)
    (lost,) = [event.about for event in message_log.events if event.event == LOST]
    assert (lost["reason"], lost["count"]) == ("checksum wrong", 1)
    assert lost["text"].startswith("checksum wrong: TRANSFORM 'Damaged'")


def test_link_that_is_lost_and_comes_back_goes_on_in_the_same_recording(tmp_path: Path) -> None:
    first = [pack(pose(n), 2) for n in range(10)]
    second = [pack(pose(n), 2) for n in range(10, 20)]
    one = Sender(first)
    accounts: list[Account] = []
    senders = [one]

    def stop() -> bool:
        last = accounts[-1] if accounts else None
        if last and last.messages == 10 and last.state is LinkState.CONNECTED:
            one.stop()
        if last and last.state is LinkState.RETRYING and len(senders) == 1:
            assert "127.0.0.1" in last.reason
            senders.append(Sender(second, port=one.port))
        return last is not None and last.messages == 20

    recorded = run_record(
        "127.0.0.1", one.port, tmp_path / "recording", RecordingLimits(), accounts.append, stop=after(stop)
    )
    senders[1].stop()
    assert (tmp_path / "recording" / MESSAGES_FILE).read_bytes() == b"".join(first + second)
    assert recorded.reconnections == 1
    folder = tmp_path / "recording"
    events = [e.event for e in read_message_log(folder / MESSAGES_FILE, folder / "arrivals.jsonl").events]
    assert events == ["started", "connected", "link lost", "connected", "ended"]


def test_account_tells_what_comes_and_for_how_long_there_is_room(tmp_path: Path) -> None:
    accounts: list[Account] = []
    stop = after(lambda: bool(accounts) and accounts[-1].volumes >= 8)
    with Sender(stream_of_messages(volume_every=30), per_s=100) as sender:
        run_record("127.0.0.1", sender.port, tmp_path / "r", on_account=accounts.append, stop=stop)
    last = accounts[-1]
    assert 15 < last.rates_hz["ProbeToReference"] / last.rates_hz["recvol_Reference"] < 60
    assert last.left_s == pytest.approx(last.free_bytes / last.bytes_per_s)
    assert (last.lost, last.unreadable, last.reconnections) == ({}, 0, 0)
    assert 2 <= len(accounts) <= last.elapsed_s / ACCOUNT_EVERY_S + 2


def test_limits_end_a_recording(tmp_path: Path) -> None:
    with Sender(stream_of_messages(), per_s=200) as sender:
        recorded = run_record("127.0.0.1", sender.port, tmp_path / "size", RecordingLimits(max_bytes=20000))
    assert recorded.ended_by == "the size was reached"
    assert recorded.size_bytes >= 20000
    with Sender(stream_of_messages(), per_s=200) as sender:
        recorded = run_record("127.0.0.1", sender.port, tmp_path / "duration", RecordingLimits(duration_s=0.5))
    assert recorded.ended_by == "the duration was reached"


def test_nothing_that_came_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match=r"nothing came from 127\.0\.0\.1:1, .*nothing listens there"):
        run_record("127.0.0.1", 1, tmp_path / "recording", RecordingLimits(duration_s=0.4))
    assert list((tmp_path / "recording").iterdir()) == []


def test_port_that_is_none_is_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match="port"):
        run_record("127.0.0.1", 0, tmp_path / "recording")
    assert not (tmp_path / "recording").exists()


def one_message(out: Path, notes: list[str] | None = None) -> Recorded:
    with Sender([pack(pose(), 2)]) as sender:
        return record(sender.port, out, 1, on_note=(notes if notes is not None else []).append)


def test_folder_of_a_case_is_left_alone_and_the_next_free_name_is_taken(tmp_path: Path) -> None:
    out = tmp_path / "recording"
    assert one_message(out).folder == out
    assert one_message(out).folder == tmp_path / "recording-2"
    notes: list[str] = []
    assert one_message(out, notes).folder == tmp_path / "recording-3"
    assert "recording-3" in notes[-1]


def test_unfinished_recording_is_finished_first_and_told(tmp_path: Path) -> None:
    out = tmp_path / "recording"
    out.mkdir()
    write_recording(out, [pack(volume(n), 2) for n in range(3)])
    notes: list[str] = []
    assert one_message(out, notes).folder == tmp_path / "recording-2"
    assert "3 messages, 3 volumes" in notes[0]
    assert len(load_case(out).volumes) == 3


def test_recording_that_never_received_anything_makes_way(tmp_path: Path) -> None:
    write_recording(tmp_path, [])
    assert one_message(tmp_path).folder == tmp_path


def test_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("")
    with pytest.raises(RecordingError, match="holds other files"):
        run_record("127.0.0.1", 18944, tmp_path)
    with pytest.raises(RecordingError, match="holds other files"):
        run_record("127.0.0.1", 18944, tmp_path / "thesis.docx")


def test_disk_that_is_nearly_full_is_told_before_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording_folder, "free_bytes_at", lambda folder: 150_000_000)
    with pytest.raises(RecordingError, match="only 150 MB are free"):
        run_record("127.0.0.1", 18944, tmp_path / "recording")


def test_second_recorder_in_a_folder_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "recording"
    with Sender(stream_of_messages(), per_s=100) as sender, recorder_process(sender.port, out) as first:
        next(r for r in reports_of(first) if r["messages"] > 10)
        with pytest.raises(RecordingError, match="another program is recording into"):
            run_record("127.0.0.1", sender.port, out)
        before = next(reports_of(first))["messages"]
        assert next(r for r in reports_of(first) if r["messages"] > before)


@pytest.mark.skipif(os.name != "posix", reason="Windows knows no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_a_recording_as_a_case(tmp_path: Path, number: signal.Signals) -> None:
    with Sender(stream_of_messages(), per_s=300) as sender, recorder_process(sender.port, tmp_path / "r") as process:
        next(r for r in reports_of(process) if r["messages"] > 50)
        process.send_signal(number)
        last = list(reports_of(process))[-1]
        assert process.wait(120) == 0
    assert last["ended_by"] == "stopped"
    assert last["recorded"] > 50
    data = (tmp_path / "r" / MESSAGES_FILE).read_bytes()
    assert b"".join(sender.sent).startswith(data)
    assert load_case(tmp_path / "r").source["ended_by"] == "stopped"
    assert not [path.name for path in (tmp_path / "r").iterdir() if path.name.startswith(".")]


@pytest.mark.skipif(os.name != "posix", reason="Windows knows no limit for the size of a file")
def test_file_that_may_not_grow_ends_as_a_case_with_what_fitted(tmp_path: Path) -> None:
    limit_bytes = 30 << 20
    sent = stream_of_messages(volume_every=5, voxels=150)
    with Sender(sent, per_s=200) as sender, recorder_process(sender.port, tmp_path / "r", limit_bytes) as process:
        said = list(reports_of(process))[-1]["error"]
        assert process.wait(120) == 1
    assert "may not grow any further" in said
    assert "kept in" in said
    case = load_case(tmp_path / "r")
    data = (case.folder / MESSAGES_FILE).read_bytes()
    assert limit_bytes - 150**3 - 200 < len(data) <= limit_bytes
    assert b"".join(sender.sent).startswith(data)
    assert len(case.volumes) == int(said.split(" volumes")[0].split()[-1]) >= 7


def test_full_disk_ends_as_a_case_with_what_fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, write = [100_000], os.write

    def scarce(number: int, part: memoryview) -> int:
        if workspace[0] < len(part):
            raise OSError(errno.ENOSPC, "No space left on device")
        workspace[0] -= len(part)
        return write(number, part)

    monkeypatch.setattr(message_log_writer.os, "write", scarce)
    messages = stream_of_messages(volume_every=50, voxels=20)
    with Sender(messages, per_s=2000) as sender, pytest.raises(RecordingError, match=r"disk is full; kept in"):
        run_record("127.0.0.1", sender.port, tmp_path / "r", stop=after(lambda: False))
    data = (tmp_path / "r" / MESSAGES_FILE).read_bytes()
    assert 30_000 < len(data) <= 100_000
    assert b"".join(sender.sent).startswith(data)
    assert load_case(tmp_path / "r").source["messages"]["TRANSFORM"] > 100


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    if sys.platform != "linux" or os.getuid() != 0:
        pytest.skip("only root on Linux can make a small disk")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False)


def test_disk_that_really_is_full_ends_as_a_case(tiny_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording_folder, "MIN_FREE_BYTES", 1 << 20)
    messages = stream_of_messages(volume_every=20, voxels=100)
    with Sender(messages, per_s=2000) as sender, pytest.raises(RecordingError, match=r"disk is full; kept in"):
        run_record("127.0.0.1", sender.port, tiny_disk / "r", stop=after(lambda: False))
    case = load_case(tiny_disk / "r")
    data = (case.folder / MESSAGES_FILE).read_bytes()
    assert b"".join(sender.sent).startswith(data)
    assert len(data) > 15e6
    assert len(case.volumes) > 10
    assert len(list(case.tracking_samples())) > 100
    assert case.source["ended_by"] == "the disk is full"
    assert not (case.folder / ".reserve").exists()


def test_recorder_that_is_held_up_loses_nothing(tmp_path: Path) -> None:
    messages = [data for data, _ in zip(stream_of_messages(volume_every=10, voxels=100), range(200))]

    def slow(account: Account) -> None:
        accounts.append(account)
        time.sleep(0.15)

    accounts: list[Account] = []
    stop = after(lambda: bool(accounts) and accounts[-1].messages >= len(messages))
    with Sender(messages, per_s=math.inf) as sender:
        run_record("127.0.0.1", sender.port, tmp_path / "r", on_account=slow, stop=stop)
    assert (tmp_path / "r" / MESSAGES_FILE).read_bytes() == b"".join(messages)


def test_two_recorders_at_once_take_the_same_messages(tmp_path: Path, tiny_case: Case) -> None:
    with ReplayProcess(tiny_case.folder, speed=1.0) as replay:
        folders = [tmp_path / "one", tmp_path / "two"]
        threads = [threading.Thread(target=record, args=(replay.port, folder, 5)) for folder in folders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    assert all(load_case(folder).recording for folder in folders)
