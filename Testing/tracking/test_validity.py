"""Each fault withdraws the distance with its reason, and nothing else does."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.igtl.messages import TransformMessage
from CRLMSegmentationLib.tracking.navigator import Navigator, Target
from helpers.navigation_helpers import EPOCH_S, RATE_HZ, Tracker, at, sphere

TOLD_WITHIN_S = 0.3


@pytest.fixture
def tracker():
    navigator = Navigator()
    navigator.set_targets({"Tumour 1": Target("Tumour 1", sphere(10.0), 1.0)})
    return Tracker(navigator)


def breathing(seconds, depth_mm=7.0):
    return at(120, -60 + depth_mm * np.sin(2 * np.pi * seconds / 4), -180)


def guided(seconds, speed_mm_s=40.0):
    """A pointer that goes to and fro in front of the ball, 30 mm from its middle at the nearest."""
    return at(50 + 20 * np.cos(speed_mm_s * seconds / 20))


def play_soundly(tracker, seconds=1.0):
    tracker.play(seconds, lambda t: {"StylusToReference": guided(t)})
    assert tracker.state_of("Stylus").unreliable_reason is None


def told_after_s(tracker, step, frame="Stylus", limit_s=10.0):
    """How long until a doubt is told, while `step` plays on."""
    start_s = tracker.now_s
    while not (unreliable_reason := tracker.state_of(frame).unreliable_reason):
        step()
        assert tracker.now_s - start_s < limit_s, "no doubt at all"
    return tracker.now_s - start_s, str(unreliable_reason)


def test_sound_poses_give_a_distance(tracker):
    play_soundly(tracker)
    reading = tracker.state_of("Stylus").readings[0]
    tip = tracker.state_of("Stylus").tip_ras_mm
    assert reading.interval.distance_mm == pytest.approx(np.linalg.norm(tip) - 10, abs=0.05)


def test_tool_without_update_for_half_a_second_is_withdrawn_and_comes_back(tracker):
    play_soundly(tracker)
    seconds, unreliable_reason = told_after_s(tracker, tracker.wait)
    assert 0.5 < seconds <= 0.5 + TOLD_WITHIN_S
    assert unreliable_reason.startswith("no pose for 0.5 s")
    assert tracker.state_of("Stylus").readings == ()
    play_soundly(tracker, 0.5)


@pytest.mark.parametrize("status", ["MISSING", "INVALID"])
def test_tool_that_is_not_tracked_is_withdrawn_at_once_and_stays_where_it_was_seen(tracker, status):
    play_soundly(tracker)
    seen = tracker.state_of("Stylus").tip_ras_mm
    tracker.wait()
    tracker.send(StylusToReference=status)
    state = tracker.state_of("Stylus")
    assert str(state.unreliable_reason) == "not tracked"
    assert state.readings == ()
    assert (state.tip_ras_mm == seen).all()
    play_soundly(tracker, 0.5)


def test_jump_that_no_hand_makes_is_told_and_forgiven_once_poses_are_sound_again(tracker):
    play_soundly(tracker)
    tracker.wait()
    tracker.send(StylusToReference=guided(1.0) + at(0, 45.0) - np.eye(4))
    assert str(tracker.state_of("Stylus").unreliable_reason) == "jumped by 45 mm"
    tracker.play(0.2, lambda t: {"StylusToReference": guided(1.0)})
    assert "jumped" in str(tracker.state_of("Stylus").unreliable_reason)
    tracker.play(0.2, lambda t: {"StylusToReference": guided(1.0 + t)})
    assert tracker.state_of("Stylus").unreliable_reason is None


def test_flip_of_the_orientation_is_a_jump(tracker):
    play_soundly(tracker)
    tracker.wait()
    turned = guided(1.0) @ at(0, turned_deg=90)
    tracker.send(StylusToReference=turned)
    assert str(tracker.state_of("Stylus").unreliable_reason) == "jumped by 90 degrees"


@pytest.mark.parametrize("speed_mm_s", [100, 300, 600])
def test_hand_that_is_quick_is_no_jump(tracker, speed_mm_s):
    for step in range(200):
        tracker.wait()
        tracker.send(StylusToReference=guided(step / RATE_HZ, speed_mm_s))
        assert tracker.state_of("Stylus").unreliable_reason is None


def test_noise_of_an_electromagnetic_sensor_is_no_jump(tracker):
    rng = np.random.default_rng(3)
    for _ in range(2000):
        tracker.wait()
        tracker.send(StylusToReference=at(*(rng.normal(scale=0.9 / 3**0.5, size=3) + [40, 0, 0])))
        assert tracker.state_of("Stylus").unreliable_reason is None


def test_poses_that_come_in_a_bunch_are_no_jump(tracker):
    """A receiver that was busy takes ten poses at once; the sender's clock says that they were apart."""
    play_soundly(tracker)
    sent_s, tracker.now_s = tracker.now_s, tracker.now_s + 0.25
    for step in range(1, 11):
        moment_s = sent_s + step / RATE_HZ
        message = TransformMessage("StylusToReference", EPOCH_S + moment_s, guided(1 + step / RATE_HZ, 600.0))
        tracker.navigator.receive(message, tracker.now_s)
    assert tracker.state_of("Stylus").unreliable_reason is None


def test_sensor_that_came_off_the_liver_is_told_after_one_breath_and_forgiven(tracker):
    def both(sensor):
        return lambda t: {"ReferenceToTracker": sensor(t), "StylusToReference": guided(t)}

    tracker.play(12, both(breathing))
    assert tracker.state_of("Stylus").unreliable_reason is None
    rng = np.random.default_rng(5)
    fallen_s = tracker.now_s
    while not tracker.update().sensor_unreliable_reason:
        tracker.wait()
        lying = at(*(rng.normal(scale=0.3, size=3) + [120, -60, -180]))
        tracker.send(ReferenceToTracker=lying, StylusToReference=guided(tracker.now_s))
        assert tracker.now_s - fallen_s < 8
    assert tracker.now_s - fallen_s > 5
    state = tracker.state_of("Stylus")
    assert str(state.unreliable_reason) == "the liver sensor has not moved for 6 s: it may have come off"
    assert state.readings == ()
    tracker.play(4, both(breathing))
    assert tracker.update().sensor_unreliable_reason is None


def test_paused_ventilation_with_tools_at_rest_is_no_fault(tracker):
    tracker.play(12, lambda t: {"ReferenceToTracker": breathing(t), "StylusToReference": guided(t)})
    tracker.play(12, lambda t: {"ReferenceToTracker": breathing(0), "StylusToReference": guided(0)})
    assert tracker.update().sensor_unreliable_reason is None


def test_sensor_that_never_breathed_cannot_be_missed(tracker):
    """As with a phantom on a table."""
    tracker.play(20, lambda t: {"ReferenceToTracker": breathing(0), "StylusToReference": guided(t)})
    assert tracker.update().sensor_unreliable_reason is None


@pytest.mark.parametrize(
    ("fault", "expected"),
    [("MISSING", "liver sensor: not tracked"), (at(120, -60, -80), "liver sensor: jumped by 100 mm")],
)
def test_fault_of_the_sensor_withdraws_every_instrument(tracker, fault, expected):
    def sound(t):
        return {"ReferenceToTracker": at(120, -60, -180), "StylusToReference": guided(t), "ProbeToReference": at(0, 50)}

    tracker.play(1, sound)
    tracker.wait()
    tracker.send(ReferenceToTracker=fault, StylusToReference=guided(1.0), ProbeToReference=at(0, 50))
    situation = tracker.update()
    assert str(situation.sensor_unreliable_reason) == expected
    assert {str(state.unreliable_reason) for state in situation.instruments} == {expected}
    assert situation.nearest is None


def test_tool_that_nothing_places_in_the_frame_of_the_liver_says_so(tracker):
    tracker.play(0.5, lambda t: {"StylusToTracker": guided(t)})
    assert str(tracker.state_of("Stylus").unreliable_reason) == "no transform from Stylus to Reference"


def play_late(tracker, seconds, late_s, rate=1.0, poses_hz=RATE_HZ):
    """Poses that were sent some time ago, by a sender whose clock runs at a rate and 100 s behind ours.

    A link keeps the order: one that falls behind is silent at first.
    """
    for _ in range(round(seconds * poses_hz)):
        tracker.wait(1 / poses_hz)
        sent_s = EPOCH_S - 100 + rate * (tracker.now_s - late_s)
        tracker.navigator.receive(TransformMessage("StylusToReference", sent_s, at(40)), tracker.now_s)
    return str(tracker.state_of("Stylus").unreliable_reason or "")


def test_link_that_falls_behind_withdraws_the_distance_until_it_has_caught_up(tracker):
    assert play_late(tracker, 10, late_s=0.02) == ""
    tracker.wait(0.9)
    assert play_late(tracker, 0.2, late_s=0.9) == "poses come 0.9 s late"
    assert play_late(tracker, 60, late_s=0.9) == "poses come 0.9 s late"
    assert play_late(tracker, 0.2, late_s=0.1) == ""


def test_clocks_that_drift_apart_are_no_fault(tracker):
    assert play_late(tracker, 1800, late_s=0.02, rate=0.9995, poses_hz=5) == ""


def test_clock_of_the_sender_that_is_set_is_no_fault(tracker):
    assert play_late(tracker, 10, late_s=0.02) == ""
    assert play_late(tracker, 10, late_s=3600) == ""
    assert play_late(tracker, 10, late_s=-3600) == ""


@pytest.mark.parametrize("rate", [0.5, 4.0])
def test_recording_that_is_played_at_another_speed_is_not_called_late(tracker, rate):
    assert play_late(tracker, 20, late_s=0.0, rate=rate) == ""


def test_recording_that_is_paused_is_not_called_late():
    navigator = Navigator(is_live=False)
    tracker = Tracker(navigator)
    assert play_late(tracker, 10, late_s=0.0) == ""
    assert play_late(tracker, 1, late_s=30.0) == ""
