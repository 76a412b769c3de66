"""Frames and poses of a recording: by time where it can tell, by arrival where that was recorded, else refused."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import CaseError, SweepError
from CRLMSegmentationLib.igtl.messages import ImageMessage, TransformMessage
from CRLMSegmentationLib.recording.recorded_sweep import pairings_in, sweep_of_messages
from CRLMSegmentationLib.recording.timed_message import TimedMessage
from CRLMSegmentationLib.tracking.sweeps.calibration import ProbeCalibration
from CRLMSegmentationLib.tracking.sweeps.placement import place_frames
from helpers.frames_and_poses import (
    CASE,
    COUNT,
    PERIOD_S,
    PIXELS_OF_1_MM,
    START_S,
    feed,
    image,
    pose,
    timed,
    true_s,
)


def placed_z_mm(messages, **options) -> tuple[list[float], str]:
    """Where the frames lie that are used, by their numbers, and what was told of the pairing."""
    sequence = sweep_of_messages(CASE, messages, **options)
    placed = place_frames(sequence, PIXELS_OF_1_MM)
    numbers = sequence.frames[:, 0, 0]
    assert (numbers == np.arange(COUNT)).all()
    z_mm = [float(m[2, 3]) if used else -1.0 for m, used in zip(placed.matrices, placed.accepted)]
    return z_mm, next(note for note in placed.notes if "ProbeToReference" in note)


RIGHT_MM = [float(n) for n in range(COUNT)]
BAD_TIMES = {
    "zero": (lambda n: 0.0, r"paired by arrival: 60 frames share 1 timestamp \(0, which means unknown\)"),
    "equal": (lambda n: START_S, r"paired by arrival: 60 frames share 1 timestamp$"),
    "whole seconds": (lambda n: float(int(true_s(n))), "paired by arrival: 60 frames share 3 timestamps"),
    "shared by threes": (lambda n: true_s(n - n % 3), "paired by arrival: 60 frames share 20 timestamps"),
    "set back": (lambda n: true_s(n) - 5 * (n >= 30), "paired by arrival: the time goes back at 1 frame"),
    "running backwards": (lambda n: START_S - n, "paired by arrival: the time goes back at 59 frames"),
    "two alike": (lambda n: true_s(n - (n == 7)), "paired by arrival: 2 frames share 1 timestamp"),
}


def test_good_times_are_paired_by_time_and_told():
    assert placed_z_mm(feed(true_s)) == (RIGHT_MM, "frames and ProbeToReference paired by time")


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("kind", BAD_TIMES)
def test_times_that_cannot_place_frames_are_replaced_by_the_arrival(kind, behind):
    times, told = BAD_TIMES[kind]
    z_mm, note = placed_z_mm(feed(times, behind=behind))
    assert z_mm == RIGHT_MM
    assert re.search(told, note), note


@pytest.mark.parametrize("kind", BAD_TIMES)
def test_without_a_recorded_arrival_they_are_refused_and_the_option_is_named(kind):
    with pytest.raises(SweepError, match=r"their arrival was not recorded; .*--pair"):
        placed_z_mm(feed(BAD_TIMES[kind][0], arrival=False))


@pytest.mark.parametrize("kind", ["zero", "whole seconds", "shared by threes"])
def test_poses_whose_times_cannot_tell_are_paired_by_arrival(kind):
    z_mm, note = placed_z_mm(feed(true_s, BAD_TIMES[kind][0]))
    assert z_mm == RIGHT_MM
    assert "paired by arrival: 60 poses share" in note


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("ahead_s", [-3600, -0.3, -0.03, 0.03, 0.3, 1.0, 3600])
def test_tracker_with_another_clock_is_paired_by_arrival_and_told(ahead_s, behind):
    z_mm, note = placed_z_mm(feed(true_s, lambda n: true_s(n) + ahead_s, behind=behind))
    assert z_mm == RIGHT_MM
    assert f"{abs(ahead_s):g} s {'ahead of' if ahead_s > 0 else 'behind'}" in note


@pytest.mark.parametrize("ahead_s", [-0.3, 0.3, 3600])
def test_another_clock_without_a_recorded_arrival_is_refused(ahead_s):
    with pytest.raises(SweepError, match=r"s (ahead of|behind) the frames'.*--pair"):
        placed_z_mm(feed(true_s, lambda n: true_s(n) + ahead_s, arrival=False))


def test_few_milliseconds_between_frame_and_pose_are_no_other_clock():
    assert placed_z_mm(feed(true_s, lambda n: true_s(n) + 0.004))[1] == "frames and ProbeToReference paired by time"


@pytest.mark.parametrize("behind", [False, True])
def test_frame_whose_pose_never_came_is_left_out_and_gets_no_other(behind):
    z_mm, _ = placed_z_mm(feed(lambda n: 0.0, behind=behind, dropped=(10, 11, 40)))
    assert z_mm == [-1.0 if n in (10, 11, 40) else float(n) for n in range(COUNT)]


@pytest.mark.parametrize("behind", [False, True])
def test_frames_that_the_network_held_back_keep_their_poses(behind):
    z_mm, _ = placed_z_mm(feed(lambda n: 0.0, behind=behind, bunched=(20, 33)))
    assert z_mm == RIGHT_MM


def test_poses_midway_between_frames_cannot_be_told_apart():
    with pytest.raises(SweepError, match="their arrival does not tell either"):
        placed_z_mm(feed(lambda n: 0.0, gap_s=PERIOD_S / 2))


def fast_tracker(image_s, pose_s):
    """Frames each 50 ms, poses each 2 ms at z = seconds / 50 ms."""
    messages = [timed(image(n, image_s(n)), true_s(n)) for n in range(COUNT)]
    for k in range(COUNT * 25):
        arrived_s = START_S + 0.002 * k + 0.0005
        messages.append(timed(pose(k / 25, pose_s(k)), arrived_s))
    return sorted(messages, key=lambda m: m.arrived_s)


def test_tracker_that_is_faster_than_the_images_gives_the_pose_that_came_nearest():
    z_mm, note = placed_z_mm(fast_tracker(lambda n: 0.0, lambda k: 0.0))
    np.testing.assert_allclose(z_mm, RIGHT_MM, atol=0.05)
    assert "paired by arrival" in note


def test_images_that_come_late_are_no_other_clock_unless_somebody_says_so():
    late = fast_tracker(lambda n: true_s(n) - 0.12, lambda k: START_S + 0.002 * k)
    with pytest.raises(SweepError, match=r"nothing tells whether a clock is wrong or the images come late; .*--pair"):
        placed_z_mm(late)
    by_time, told = placed_z_mm(late, way="time")
    np.testing.assert_allclose(by_time[10:], np.array(RIGHT_MM[10:]) - 0.12 / PERIOD_S, atol=0.05)
    assert "as --pair says" in told
    by_arrival, _ = placed_z_mm(late, way="arrival")
    np.testing.assert_allclose(by_arrival, RIGHT_MM, atol=0.05)


def late(rate_hz, delay_s, pose_s=None, dropped=()):
    """Frame n and the pose at z = n mm at one time; the pose comes at once, the picture later."""
    messages = []
    for n in range(COUNT):
        time_s = START_S + n / rate_hz
        messages.append(timed(image(n, time_s), time_s + delay_s + 1e-4 * (n % 7)))
        if n not in dropped:
            messages.append(timed(pose(n, (pose_s or (lambda s: s))(time_s)), time_s + 1e-4 * (n % 5)))
    return sorted(messages, key=lambda m: m.arrived_s)


@pytest.mark.parametrize(
    ("rate_hz", "delay_s"),
    [(30, 0.028), (30, 0.033), (30, 0.040), (30, 0.066), (50, 0.02), (60, 0.0165), (60, 0.02), (15, 0.07), (10, 0.1)],
)
def test_pictures_that_come_a_frame_late_keep_the_pose_of_their_time(rate_hz, delay_s):
    assert placed_z_mm(late(rate_hz, delay_s)) == (RIGHT_MM, "frames and ProbeToReference paired by time")


def test_late_pictures_whose_pose_never_came_get_no_other():
    z_mm, _ = placed_z_mm(late(30, 0.033, dropped=range(3, COUNT, 9)))
    assert z_mm == [-1.0 if n in range(3, COUNT, 9) else float(n) for n in range(COUNT)]


@pytest.mark.parametrize("apart_s", [-0.005, 0.004])
def test_late_pictures_or_another_clock_that_look_alike_are_refused_and_the_option_decides(apart_s):
    messages = late(30, 0.033, lambda time_s: time_s + apart_s)
    with pytest.raises(SweepError, match=r"whether a clock is wrong or the images come late; .*--pair"):
        placed_z_mm(messages)
    assert placed_z_mm(messages, way="time")[0] == RIGHT_MM


def test_calibration_that_was_sent_once_holds_for_all_frames_and_is_told():
    scaled = np.diag([0.5, 0.5, 0.5, 1.0])
    once = timed(TransformMessage("ImageToProbe", START_S - 10, scaled), START_S - 10)
    sequence = sweep_of_messages(CASE, [once, *feed(true_s)])
    placed = place_frames(sequence)
    assert placed.accepted.all()
    assert np.linalg.norm(placed.matrices[5][:3, 0]) == 0.5
    assert any("ImageToProbe the same in all frames: it came 1 times" in note for note in placed.notes)


def once(name: str, matrix: np.ndarray) -> TimedMessage:
    return timed(TransformMessage(name, START_S - 10, matrix), START_S - 10)


def test_calibration_that_was_sent_once_in_two_steps_holds_for_all_frames_and_info_says_the_same():
    half, shifted = np.diag([0.5, 0.5, 0.5, 1.0]), np.eye(4)
    shifted[0, 3] = 7
    messages = [once("ImageToUltrasound", half), once("UltrasoundToProbe", shifted), *feed(true_s)]
    sequence = sweep_of_messages(CASE, messages)
    placed = place_frames(sequence)
    assert placed.accepted.all()
    assert placed.matrices[5][:3, 3].tolist() == [7, 0, 5]
    assert {n: str(p) for n, p in sequence.pairings.items()} == {
        n: str(p) for n, p in pairings_in(messages, "Image").items()
    }


def test_second_step_that_was_sent_once_follows_the_first_of_a_given_calibration():
    given = ProbeCalibration(None, {"ImageToUltrasound": np.eye(4)})
    messages = [once("UltrasoundToProbe", np.eye(4)), *feed(true_s)]
    assert place_frames(sweep_of_messages(CASE, messages, calibration=given), given).accepted.all()


@pytest.mark.parametrize("name", ["ProbeToTracker", "ProbeToMarker", "TrackerToProbe"])
def test_pose_that_came_once_is_no_calibration(name):
    """The probe was lost while other tools were tracked."""
    tail = name.replace("Probe", "").replace("To", "")
    others = [timed(pose(n, true_s(n), f"ReferenceTo{tail}"), true_s(n)) for n in range(COUNT)]
    images = [m for m in feed(true_s) if m.kind is ImageMessage]
    messages = sorted([once(name, np.eye(4)), *others, *images], key=lambda m: m.arrived_s)
    assert sweep_of_messages(CASE, messages).pairings[name].way != "constant"
    with pytest.raises(SweepError):
        place_frames(sweep_of_messages(CASE, messages), PIXELS_OF_1_MM)


def test_name_of_two_senders_is_told_by_info_as_by_reconstruction():
    others = [timed(pose(300 + n % 2, true_s(n) + 0.025), true_s(n) + 0.025) for n in range(COUNT)]
    messages = sorted([*feed(true_s), *others], key=lambda m: m.arrived_s)
    told = pairings_in(messages, "Image")["ProbeToReference"]
    assert "two senders use this name" in str(told)
    assert told == sweep_of_messages(CASE, messages).pairings["ProbeToReference"]


def test_tracker_that_repeats_a_pose_with_its_time_is_believed():
    messages = feed(true_s)
    doubled = [again for m in messages for again in ((m, m) if m.kind is TransformMessage else (m,))]
    assert placed_z_mm(doubled)[0] == RIGHT_MM


def test_single_damaged_image_is_counted():
    messages = feed(true_s)

    def fail():
        raise CaseError("damaged")

    broken = TimedMessage(messages[1].offset_s, "Image", ImageMessage, False, fail, START_S, START_S)
    sequence = sweep_of_messages(CASE, [messages[0], broken, *messages[2:]])
    assert len(sequence) == COUNT - 1
    assert any("1 damaged images were left out" in note for note in sequence.notes)


def flood(image_s, pose_s, others: int):
    """All that was sent came at once, one message each 0.1 ms, as from a network that had stood still."""
    messages = []
    for n in range(COUNT):
        tools = [pose(99, pose_s(n), f"Tool{k}ToReference") for k in range(others)]
        messages += [pose(n, pose_s(n)), *tools, image(n, image_s(n))]
    return [timed(message, START_S + 1e-4 * place) for place, message in enumerate(messages)]


@pytest.mark.parametrize("others", [0, 3, 20])
def test_flood_is_paired_by_time_where_times_are_good_and_refused_where_they_are_not(others):
    assert placed_z_mm(flood(true_s, true_s, others)) == (RIGHT_MM, "frames and ProbeToReference paired by time")
    with pytest.raises(SweepError, match=r"all came at once; .*--pair"):
        placed_z_mm(flood(lambda n: 0.0, lambda n: 0.0, others))


@pytest.mark.parametrize("others", [3, 20])
def test_messages_that_come_evenly_tell_nothing_by_their_arrival(others):
    evenly = [replace(m, arrived_s=START_S + 0.01 * n) for n, m in enumerate(flood(lambda n: 0.0, true_s, others))]
    with pytest.raises(SweepError, match=r"their arrival does not tell either; .*--pair|does not tell either: poses"):
        placed_z_mm(evenly)
