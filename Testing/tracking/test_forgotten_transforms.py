"""A transform that is no longer known, since too many others have come, leaves the others and the guards at work."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.core.reasons import ReasonCode
from CRLMSegmentationLib.tracking.navigator import Navigator, Target
from helpers.navigation_helpers import Tracker, at, sphere


@pytest.fixture
def tracker():
    navigator = Navigator()
    navigator.set_targets({"Tumour 1": Target("Tumour 1", sphere(10.0), 1.0)})
    return Tracker(navigator)


def frames(tracker):
    return [state.instrument.frame for state in tracker.update().instruments]


def test_composed_tool_that_was_silent_for_long_is_forgotten_and_the_sensor_goes_on(tracker):
    tracker.send(StylusToTracker=at(130.0), ReferenceToTracker=at(100.0))
    tracker.play(5, lambda t: {"ReferenceToTracker": at(100.0)})
    tracker.navigator.forget("StylusToTracker", tracker.now_s)
    tracker.play(1, lambda t: {"ReferenceToTracker": at(100.0)})
    assert tracker.navigator.poses.find("StylusToReference") is None
    assert frames(tracker) == []
    assert tracker.update().sensor_unreliable_reason is None


def test_composed_tool_that_is_still_usable_is_forgotten_at_once(tracker):
    tracker.play(1, lambda t: {"StylusToTracker": at(130.0), "ReferenceToTracker": at(100.0)})
    tracker.navigator.forget("StylusToTracker", tracker.now_s)
    assert frames(tracker) == []


def test_tool_that_comes_back_after_it_was_forgotten_is_measured_from(tracker):
    tracker.send(StylusToTracker=at(130.0), ReferenceToTracker=at(100.0))
    tracker.play(5, lambda t: {"ReferenceToTracker": at(100.0)})
    tracker.navigator.forget("StylusToTracker", tracker.now_s)
    tracker.play(1, lambda t: {"StylusToTracker": at(140.0), "ReferenceToTracker": at(100.0)})
    assert tracker.update().nearest[1].interval.distance_mm == pytest.approx(30.0, abs=0.1)


def test_tool_goes_by_another_way_when_the_direct_one_is_forgotten(tracker):
    tracker.send(StylusToReference=at(30.0))
    composed = {"StylusToTracker": at(140.0), "ReferenceToTracker": at(100.0)}
    tracker.play(5, lambda t: composed)
    tracker.navigator.forget("StylusToReference", tracker.now_s)
    tracker.play(0.5, lambda t: composed)
    assert tracker.state_of("Stylus").tip_ras_mm == pytest.approx([40, 0, 0])


def test_sensor_that_comes_off_is_noticed_after_a_tool_was_forgotten(tracker):
    def poses(t, breath_mm):
        return {
            "ReferenceToTracker": at(100.0 + breath_mm * np.sin(np.pi * t / 2)),
            "ProbeToReference": at(30.0 + 30 * np.sin(t)),
        }

    tracker.send(StylusToTracker=at(130.0))
    tracker.play(10, lambda t: poses(t, 4.0))
    tracker.navigator.forget("StylusToTracker", tracker.now_s)
    tracker.play(10, lambda t: poses(t, 0.0))
    assert tracker.update().sensor_unreliable_reason.code is ReasonCode.SENSOR_STILL
    assert tracker.update().nearest is None


@pytest.mark.parametrize("names", [("ReferenceToTracker",), ("ReferenceToClip", "ClipToTracker")])
def test_sensor_that_was_sent_stays_lost_when_its_name_is_forgotten(tracker, names):
    sensor = {names[0]: at(100.0), **{name: at(0.0) for name in names[1:]}}
    tracker.play(1, lambda t: {**sensor, "StylusToReference": at(30.0)})
    tracker.play(5, lambda t: {"StylusToReference": at(30.0)})
    tracker.navigator.forget(names[-1], tracker.now_s)
    tracker.play(1, lambda t: {"StylusToReference": at(30.0), "KnifeToReference": at(50.0)})
    situation = tracker.update()
    assert str(situation.sensor_unreliable_reason) == "liver sensor: no pose for 6.0 s"
    assert situation.nearest is None
    assert all(state.unreliable_reason == situation.sensor_unreliable_reason for state in situation.instruments)


def test_sensor_that_is_sent_again_is_trusted_again(tracker):
    both = {"ReferenceToTracker": at(100.0), "StylusToReference": at(30.0)}
    tracker.play(1, lambda t: both)
    tracker.play(5, lambda t: {"StylusToReference": at(30.0)})
    tracker.navigator.forget("ReferenceToTracker", tracker.now_s)
    tracker.play(1, lambda t: {"StylusToReference": at(30.0)})
    tracker.play(1, lambda t: both)
    assert tracker.update().nearest[1].interval.distance_mm == pytest.approx(20.0, abs=0.1)
