"""Whether the sensor on the liver is watched, is told beside any distance."""

from __future__ import annotations

import pytest
from CRLMSegmentationLib.core.reasons import ReasonCode
from CRLMSegmentationLib.tracking.navigator import Navigator, Target
from helpers.navigation_helpers import Tracker, at, sphere


@pytest.fixture
def tracker():
    navigator = Navigator()
    navigator.set_targets({"Tumour 1": Target("Tumour 1", sphere(10.0), 1.0)})
    return Tracker(navigator)


def warnings(tracker):
    return [warning.code for warning in tracker.update().displayed.warnings]


def test_tracker_that_does_not_send_the_sensor_leaves_it_unwatched_and_that_is_told(tracker):
    tracker.play(0.5, lambda t: {"StylusToReference": at(30.0)})
    situation = tracker.update()
    assert situation.nearest is not None
    (warning,) = situation.displayed.warnings
    assert str(warning) == "liver sensor not watched: the tracker does not send ReferenceToTracker"


def test_it_is_told_while_nothing_is_shown_as_well(tracker):
    tracker.send(StylusToReference="MISSING")
    assert tracker.update().nearest is None
    assert warnings(tracker) == [ReasonCode.SENSOR_NOT_SENT]


@pytest.mark.parametrize("device", ["ReferenceToTracker", "TrackerToReference", "ReferenceToFieldGenerator"])
def test_sensor_that_is_sent_is_watched_whatever_the_tracker_is_called(tracker, device):
    tracker.play(0.5, lambda t: {"StylusToReference": at(30.0), device: at(100.0)})
    assert warnings(tracker) == []
    tracker.wait()
    tracker.send(**{"StylusToReference": at(30.0), device: "MISSING"})
    assert str(tracker.state_of("Stylus").unreliable_reason) == "liver sensor: not tracked"


def test_tools_in_the_frame_of_a_field_generator_are_found(tracker):
    tracker.play(0.5, lambda t: {"StylusToFieldGenerator": at(130.0), "ReferenceToFieldGenerator": at(100.0)})
    assert tracker.state_of("Stylus").tip_ras_mm == pytest.approx([30, 0, 0])
    assert [state.instrument.frame for state in tracker.update().instruments] == ["Stylus"]


def test_sensor_under_a_name_that_nobody_knows_is_not_taken_for_that_on_the_liver(tracker):
    tracker.play(0.5, lambda t: {"StylusToReference": at(30.0), "LiverToTracker": at(100.0)})
    assert warnings(tracker) == [ReasonCode.SENSOR_NOT_SENT]


@pytest.mark.parametrize("seconds", [1, 10])
def test_sensor_that_stops_for_good_withdraws_every_distance_for_good(tracker, seconds):
    tracker.play(2, lambda t: {"StylusToReference": at(30.0), "ReferenceToTracker": at(100.0)})
    tracker.play(seconds, lambda t: {"StylusToReference": at(30.0)})
    situation = tracker.update()
    assert str(situation.sensor_unreliable_reason) == f"liver sensor: no pose for {seconds:.1f} s"
    assert situation.nearest is None
