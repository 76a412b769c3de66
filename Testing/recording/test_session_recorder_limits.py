"""A full disk, a small budget, kill -9: what counts is kept, and the session never notices."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import CaseError
from CRLMSegmentationLib.igtl.client import IgtlClient
from CRLMSegmentationLib.igtl.messages import ImageMessage, image_of
from CRLMSegmentationLib.recording import folder as recording_folder
from CRLMSegmentationLib.recording import message_log_writer, session_storage
from CRLMSegmentationLib.recording import session_events as kinds
from CRLMSegmentationLib.recording.case import load_case
from CRLMSegmentationLib.recording.message_log import ARRIVALS_FILE, MESSAGES_FILE, read_message_log
from CRLMSegmentationLib.recording.recorded_images import RecordedImages
from CRLMSegmentationLib.recording.recovery import recover
from CRLMSegmentationLib.recording.session_recorder import SessionRecorder
from CRLMSegmentationLib.recording.session_results import recorded_results
from helpers.paths import TESTING
from helpers.recording_helpers import START_S, Sender, pose, reports_of, stream_of_messages
from helpers.session_recording_helpers import ball, events_in, feed, result_in

HELPERS = "helpers.session_recording_helpers"
LIMIT_BYTES = recording_folder.RESERVE_BYTES + 1000
RESERVE_BYTES = 10_000
VOLUME_BYTES = 28 * 30 * 32


def picture(number: int) -> ImageMessage:
    return ImageMessage("Image", START_S + number, np.full((1, 100, 100), number % 256, np.uint8), np.eye(4))


def entries_in(folder: Path) -> list[str]:
    """What the messages of a recording are."""
    entries = read_message_log(folder / MESSAGES_FILE, folder / ARRIVALS_FILE).entries
    return ["volume" if e.is_volume else "pose" if e.shape is None else "picture" for e in entries]


def play(recorder: SessionRecorder, turns: int) -> None:
    """A pose, a picture and now and then a live volume."""
    recorder.use_link("127.0.0.1", 1)
    for number in range(turns):
        feed(recorder, pose(number))
        feed(recorder, picture(number))
        if number % 10 == 0:
            feed(recorder, image_of(ball(timestamp_s=START_S + number, number=number)))


def test_small_budget_leaves_out_pictures_first_then_repeated_volumes_and_never_a_result(tmp_path: Path) -> None:
    recorder = SessionRecorder(tmp_path / "s", budget_bytes=1e6)
    play(recorder, 600)
    results = [result_in(ball(timestamp_s=START_S + 590 - 10 * n, number=590 - 10 * n)) for n in range(6)]
    for number, result in enumerate(results):
        recorder.seed("Tumour 1", (1.0 * number, 2, 3))
        recorder.result(result)
    assert recorder.problem == ""
    assert "nothing of the link" in recorder.notice
    assert "of 1 MB are used" in recorder.notice
    recorder.finish()
    kept = entries_in(recorder.folder)
    last = {kind: len(kept) - kept[::-1].index(kind) for kind in ("picture", "volume", "pose")}
    assert last["picture"] < last["volume"] < last["pose"]
    steps = [event.about["what"] for event in events_in(recorder.folder, kinds.LESS_RECORDED)]
    assert [step.split(" are")[0] for step in steps[:1]] == ["live images"]
    assert len(steps) == 3
    case = load_case(recorder.folder)
    assert case.source["less_recorded"] == steps
    for recorded, result in zip(recorded_results(case), results, strict=True):
        np.testing.assert_array_equal(RecordedImages(case.folder).volume(recorded.volume).array, result.volume.array)
        assert recorded.volume["device"] == "recvol_Reference"
    messages_bytes = (recorder.folder / MESSAGES_FILE).stat().st_size
    assert 0.8e6 < messages_bytes < 1e6
    assert recorder.left_out["live images"] > 500


def test_volume_of_a_new_device_is_no_repetition(tmp_path: Path) -> None:
    recorder = SessionRecorder(tmp_path / "s", budget_bytes=5.5 * VOLUME_BYTES)
    recorder.use_link("127.0.0.1", 1)
    for number in range(7):
        feed(recorder, image_of(ball("live", START_S + number, number)))
    feed(recorder, image_of(ball("CT", START_S, 9)))
    assert recorder.left_out == {"repeated volumes": 2}
    recorder.finish()
    assert [volume.device for volume in load_case(recorder.folder).volumes] == ["live"] * 5 + ["CT"]


def test_disk_that_others_fill_is_left_to_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free, now_s = [1e9], [0.0]
    monkeypatch.setattr(recording_folder, "free_bytes_at", lambda folder: free[0])
    recorder = SessionRecorder(tmp_path / "s", clock=lambda: now_s[0])
    play(recorder, 20)
    for left in (390e6, 290e6, 190e6):
        free[0], now_s[0] = left, now_s[0] + 2
        play(recorder, 20)
    recorder.result(result_in(ball()))
    assert "190 MB are free" in recorder.notice
    recorder.finish()
    kept = entries_in(recorder.folder)
    assert {kind: kept.count(kind) for kind in ("pose", "picture", "volume")} == {
        "pose": 60,
        "picture": 20,
        "volume": 4,
    }
    assert len(recorded_results(load_case(recorder.folder))) == 1


@contextmanager
def scarce_disk(monkeypatch: pytest.MonkeyPatch, room_bytes: int) -> Iterator[list[int]]:
    """From now on the disk takes so much, in this process; the reserve is 10 kB."""
    free_bytes, write = [room_bytes], os.write

    def scarce(number: int, part: memoryview) -> int:
        if free_bytes[0] < len(part):
            raise OSError(errno.ENOSPC, "No space left on device")
        free_bytes[0] -= len(part)
        return write(number, part)

    with monkeypatch.context() as patch:
        patch.setattr(message_log_writer.os, "write", scarce)
        patch.setattr(
            session_storage, "release_reserve", lambda folder: free_bytes.append(free_bytes.pop() + RESERVE_BYTES)
        )
        yield free_bytes


def test_full_disk_ends_the_recording_and_not_the_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    messages = [data for data, _ in zip(stream_of_messages(volume_every=50, voxels=20), range(600))]
    recorder = SessionRecorder(tmp_path / "s")
    result = result_in(ball())
    with Sender(messages, per_s=5000) as sender, scarce_disk(monkeypatch, 200_000) as free_bytes:
        recorder.use_link("127.0.0.1", sender.port)
        recorder.result(result)
        received = 0
        with IgtlClient("127.0.0.1", sender.port, on_message=recorder.on_message) as client:
            while received < len(messages):
                received += len(client.wait(1.0))
        assert recorder.problem.startswith("the link is not recorded any more: the disk is full")
        assert recorder.is_recording
        free_bytes[0] = 0
        recorder.result(result)
        assert recorder.problem.startswith("the recording has ended: the disk is full")
        assert (recorder.is_recording, recorder.results) == (False, 1)
        recorder.seed("Tumour 1", (1, 2, 3))
        recorder.tip_distance("Tumour 1", 3.0)
    recorded = recorder.finish()
    assert (recorded.results, recorded.missing) == (1, ())
    assert 100 < recorded.messages < 600
    case = load_case(tmp_path / "s")
    np.testing.assert_array_equal(RecordedImages(case.folder).mask_of(recorded_results(case)[0]), result.mask.mask)
    names = {path.name for path in (tmp_path / "s").rglob("*")}
    assert not [name for name in names if name.startswith(".") or "unfinished" in name]


@pytest.mark.parametrize("room_bytes", [0, 300, 20_000, 27_300, 28_000])
def test_result_that_does_not_fit_is_not_there_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room_bytes: int
) -> None:
    recorder = SessionRecorder(tmp_path / "s")
    recorder.seed("Tumour 1", (1, 2, 3))
    with scarce_disk(monkeypatch, room_bytes):
        recorder.result(result_in(ball()))
    assert "the disk is full" in recorder.problem
    recorder.finish()
    case = load_case(tmp_path / "s")
    assert recorded_results(case) == []
    assert [lesion.name for lesion in case.lesions] == ["Tumour 1"]


def test_error_of_the_program_itself_ends_the_recording_and_not_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = SessionRecorder(tmp_path / "s")
    monkeypatch.setattr(recorder._files._masks, "save", lambda *_: 1 / 0)
    recorder.result(result_in(ball()))
    assert "ZeroDivisionError" in recorder.problem
    recorder.close()


@contextmanager
def session_process(port: int, out: Path, limit_bytes: int = 0) -> Iterator[subprocess.Popen]:
    command = [sys.executable, "-m", HELPERS, str(port), str(out), str(limit_bytes)]
    process = subprocess.Popen(command, cwd=TESTING, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_a_random_moment_it_has_kept_all_that_it_had_reported(tmp_path: Path, seed: int) -> None:
    out = tmp_path / "s"
    with Sender(stream_of_messages(volume_every=20, voxels=60), per_s=300) as sender:
        with session_process(sender.port, out) as process:
            reports = reports_of(process)
            first = next(report for report in reports if report["messages"] > 25)
            delay_s = random.Random(seed).uniform(0.1, 0.7)
            threading.Timer(delay_s, os.kill, (process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))).start()
            reported = [first, *reports][-1]
        sent = list(sender.sent)
    assert reported["problem"] == ""
    with pytest.raises(CaseError, match="crlm-seg recover"):
        load_case(out)
    recovered = recover(out)
    assert reported["messages"] <= recovered.messages <= len(sent)
    assert reported["results"] <= recovered.results <= reported["results"] + 3
    assert reported["events"] <= recovered.events
    assert (recovered.ended_by, recovered.missing) == ("a crash", ())
    case = load_case(out)
    assert {lesion.name for lesion in case.lesions} == {"Tumour 0", "Tumour 1", "Tumour 2"}
    results = recorded_results(case)
    assert {result.volume["file"] is None for result in results} == {True, False}
    for result in results[-4:]:
        assert (
            RecordedImages(case.folder).mask_of(result).shape
            == RecordedImages(case.folder).volume(result.volume).array.shape
        )
    assert len(case.results) == len(results)
    assert not list(out.rglob("*unfinished*"))


@pytest.mark.skipif(os.name != "posix", reason="Windows knows no limit for the size of a file")
def test_link_whose_file_may_not_grow_ends_and_results_go_on(tmp_path: Path) -> None:
    out = tmp_path / "s"
    messages = stream_of_messages(volume_every=5, voxels=120)
    with Sender(messages, per_s=200) as sender, session_process(sender.port, out, LIMIT_BYTES) as process:
        reports = reports_of(process)
        failed = next(report for report in reports if report["problem"])
        later = next(report for report in reports if report["results"] > failed["results"] + 5)
    assert "may not grow any further" in later["problem"]
    assert "link" in later["problem"]
    recovered = recover(out)
    assert recovered.results >= later["results"]
    assert recovered.missing == ()
    case = load_case(out)
    assert (out / MESSAGES_FILE).stat().st_size <= LIMIT_BYTES
    assert RecordedImages(case.folder).volume(recorded_results(case)[-1].volume).array.size == 120**3


def test_what_was_not_written_to_its_end_is_removed_and_what_is_lost_is_told(tmp_path: Path) -> None:
    recorder = SessionRecorder(tmp_path / "s")
    recorder.result(result_in(ball()))
    recorder.result(result_in(ball(), "Tumour 2"))
    recorder.close()
    (tmp_path / "s" / "results" / "0003-Tumour-1.nrrd.unfinished").write_bytes(b"NRRD")
    (tmp_path / "s" / "results" / "0001-Tumour-1.nrrd").unlink()
    recovered = recover(tmp_path / "s")
    assert recovered.missing == ("results/0001-Tumour-1.nrrd",)
    assert load_case(tmp_path / "s").results == ("results/0002-Tumour-2.nrrd",)
    assert not list((tmp_path / "s" / "results").glob("*.unfinished"))


def test_message_of_a_session_that_was_killed_before_anything_came(tmp_path: Path) -> None:
    recorder = SessionRecorder(tmp_path / "s")
    recorder.close()
    assert recover(tmp_path / "s").events == 2
    case = load_case(tmp_path / "s")
    assert (case.volumes, case.recording) == ((), MESSAGES_FILE)
