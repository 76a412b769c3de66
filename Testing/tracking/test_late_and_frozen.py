"""Poses that are old although they come: lagging links, frozen trackers, clocks of several senders."""

from __future__ import annotations

import re

import numpy as np
import pytest
from CRLMSegmentationLib.igtl.messages import TransformMessage
from CRLMSegmentationLib.tracking.navigator import Navigator, Target
from helpers.navigation_helpers import EPOCH_S, RATE_HZ, Tracker, at, sphere

STYLUS = "StylusToReference"
POSE = at(40)
SLOW_RATE_HZ = 10.0
"""Of stretches that last for a minute or more: what is told depends on times, not on how many poses come."""


@pytest.fixture
def tracker():
    navigator = Navigator()
    navigator.set_targets({"Tumour 1": Target("Tumour 1", sphere(10.0, resolution=16), 1.0)})
    return Tracker(navigator)


def play_at(tracker, seconds, *senders):
    """Poses of several devices, each a name with its time of now; yields what is told after each round.

    In minutes, after every second only: looking costs the most.
    """
    rate_hz, every = (RATE_HZ, 1) if seconds < 60 else (SLOW_RATE_HZ, 2)
    for number in range(round(seconds * rate_hz)):
        tracker.wait(1 / rate_hz)
        for device, sent_s_at in senders:
            tracker.navigator.receive(TransformMessage(device, sent_s_at(tracker.now_s), POSE), tracker.now_s)
        if number % every == 0:
            yield str(tracker.update().instruments[0].unreliable_reason or "")


def told(tracker, seconds, *senders):
    """The doubts of a stretch, each once, without their numbers."""
    unreliable_reasons = [
        re.split(r" \d", unreliable_reason)[0] for unreliable_reason in play_at(tracker, seconds, *senders)
    ]
    return [
        unreliable_reason
        for unreliable_reason, before in zip(unreliable_reasons, [None, *unreliable_reasons])
        if unreliable_reason != before
    ]


def soundly(now_s):
    return EPOCH_S + now_s


def lagging(by_s):
    """Sent so long before it comes. A link keeps the order, so one that falls behind is silent for as long at first."""
    return lambda now_s: EPOCH_S + now_s - by_s


@pytest.mark.parametrize("good_s", [1, 10, 60])
def test_tracker_that_freezes_withdraws_the_distance_for_as_long_as_it_is_frozen(tracker, good_s):
    assert told(tracker, good_s, (STYLUS, soundly)) == [""]
    last_s = EPOCH_S + tracker.now_s
    assert told(tracker, 60, (STYLUS, lambda now_s: last_s)) == ["", "no pose for"]
    assert told(tracker, 1, (STYLUS, soundly)) == [""]


def test_frozen_pose_is_told_by_its_age(tracker):
    list(play_at(tracker, 10, (STYLUS, soundly)))
    last_s = EPOCH_S + tracker.now_s
    *_, unreliable_reason = play_at(tracker, 2, (STYLUS, lambda now_s: last_s))
    assert unreliable_reason == "no pose for 2.0 s"


@pytest.mark.parametrize("sent_s", [0.0, EPOCH_S])
def test_sender_whose_time_never_advances_is_valid(tracker, sent_s):
    assert told(tracker, 20, (STYLUS, lambda now_s: sent_s)) == [""]


def test_jump_under_the_same_time_is_told_with_the_next_pose(tracker):
    list(play_at(tracker, 1, (STYLUS, soundly)))
    tracker.navigator.receive(TransformMessage(STYLUS, soundly(tracker.now_s), at(85)), tracker.now_s)
    tracker.wait()
    tracker.send(StylusToReference=at(85))
    assert str(tracker.state_of("Stylus").unreliable_reason) == "jumped by 45 mm"


@pytest.mark.parametrize("good_s", [5, 10, 60])
def test_link_that_falls_ever_farther_behind_never_gets_its_distance_back(tracker, good_s):
    list(play_at(tracker, good_s, (STYLUS, soundly)))
    since_s = tracker.now_s
    half = (STYLUS, lambda now_s: EPOCH_S + since_s + 0.5 * (now_s - since_s))
    assert told(tracker, 60, half) == ["", "poses come"]
    assert told(tracker, 1, (STYLUS, soundly)) == [""]


def test_lag_that_stays_is_not_taken_for_drifting_clocks(tracker):
    list(play_at(tracker, 10, (STYLUS, soundly)))
    tracker.wait(0.9)
    assert told(tracker, 900, (STYLUS, lagging(0.9))) == ["poses come"]


def test_calibration_with_an_old_time_does_not_blind_the_guard(tracker):
    calibration = ("StylusTipToStylus", lambda now_s: EPOCH_S - 1000)
    assert told(tracker, 10, (STYLUS, soundly), calibration) == [""]
    tracker.wait(3.0)
    assert told(tracker, 20, (STYLUS, lagging(3.0)), calibration) == ["poses come"]


def test_calibration_that_is_made_anew_is_not_late(tracker):
    list(play_at(tracker, 10, (STYLUS, soundly), ("StylusTipToStylus", lambda now_s: EPOCH_S - 1000)))
    assert told(tracker, 20, (STYLUS, soundly), ("StylusTipToStylus", lambda now_s: EPOCH_S)) == [""]


def test_device_whose_clock_is_another_does_not_blind_the_guard(tracker):
    other = ("ProbeToReference", lambda now_s: EPOCH_S - 500 + now_s)
    assert told(tracker, 10, (STYLUS, soundly), other) == [""]
    tracker.wait(0.9)
    assert told(tracker, 5, (STYLUS, lagging(0.9)), other) == ["poses come"]


def test_only_instruments_that_hang_on_the_late_device_are_in_doubt(tracker):
    list(play_at(tracker, 10, (STYLUS, soundly), ("ProbeToReference", soundly)))
    list(play_at(tracker, 0.9, (STYLUS, soundly)))
    list(play_at(tracker, 1, (STYLUS, soundly), ("ProbeToReference", lagging(0.9))))
    assert tracker.state_of("Stylus").unreliable_reason is None
    assert str(tracker.state_of("Probe").unreliable_reason) == "poses come 0.9 s late"


def test_composed_pose_is_late_with_any_of_its_devices(tracker):
    list(play_at(tracker, 10, ("StylusToTracker", soundly), ("ReferenceToTracker", soundly)))
    list(play_at(tracker, 0.9, ("StylusToTracker", soundly)))
    list(play_at(tracker, 1, ("StylusToTracker", soundly), ("ReferenceToTracker", lagging(0.9))))
    assert str(tracker.state_of("Stylus").unreliable_reason) == "poses come 0.9 s late"


@pytest.mark.parametrize("step_s", [-0.2, -0.8, -30.0, 0.8, 30.0])
def test_clock_of_the_sender_that_is_set_withdraws_nothing(tracker, step_s):
    list(play_at(tracker, 10, (STYLUS, soundly)))
    assert told(tracker, 400, (STYLUS, lagging(-step_s))) == [""]


def test_time_that_goes_back_a_little_withdraws_nothing(tracker):
    rng = np.random.default_rng(2)
    assert told(tracker, 30, (STYLUS, lambda now_s: EPOCH_S + now_s + rng.uniform(-0.04, 0.04))) == [""]


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.8])
def test_recording_that_is_played_slowly_from_its_beginning_is_never_called_late(tracker, rate):
    assert told(tracker, 120, (STYLUS, lambda now_s: EPOCH_S + rate * now_s)) == [""]


def test_start_that_is_slow_leaves_the_guard_awake(tracker):
    """A tracker that warms up sends its first poses late or not at all."""
    since_s = tracker.now_s
    list(play_at(tracker, 4, (STYLUS, lambda now_s: EPOCH_S + since_s + 0.1 * (now_s - since_s))))
    list(play_at(tracker, 10, (STYLUS, soundly)))
    tracker.wait(0.9)
    assert told(tracker, 5, (STYLUS, lagging(0.9))) == ["poses come"]


def test_recording_is_never_called_late():
    tracker = Tracker(Navigator(is_live=False))
    list(play_at(tracker, 10, (STYLUS, soundly)))
    tracker.wait(30.0)
    assert told(tracker, 20, (STYLUS, lagging(30.0))) == [""]
