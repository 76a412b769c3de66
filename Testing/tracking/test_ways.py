"""Which transforms a pose is made of: those that still come, and calibrations however old they are."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.tracking.navigator import Navigator, Target
from helpers.navigation_helpers import Tracker, at, sphere


@pytest.fixture
def tracker():
    navigator = Navigator()
    navigator.set_targets({"Tumour 1": Target("Tumour 1", sphere(10.0), 1.0)})
    return Tracker(navigator)


def test_tip_that_was_calibrated_once_never_grows_old(tracker):
    tracker.send(StylusTipToStylus=at(0, 0, -40.0))
    tracker.play(10, lambda t: {"StylusToReference": at(30, 0, 40.0)})
    state = tracker.state_of("StylusTip")
    assert state.unreliable_reason is None
    assert state.tip_ras_mm == pytest.approx([30, 0, 0])


def test_tip_whose_calibration_was_sent_once_is_withdrawn_with_its_tool(tracker):
    tracker.send(StylusTipToStylus=at(0))
    tracker.play(2, lambda t: {"StylusToReference": at(30)})
    tracker.wait(1.0)
    assert str(tracker.state_of("StylusTip").unreliable_reason) == "no pose for 1.0 s"


def test_calibration_that_is_not_valid_is_told(tracker):
    tracker.send(StylusTipToStylus="INVALID")
    tracker.play(2, lambda t: {"StylusToReference": at(30)})
    assert str(tracker.state_of("StylusTip").unreliable_reason) == "not tracked"


def test_tool_that_is_given_in_another_tool_does_not_live_on_without_updates(tracker):
    """Some servers send a cautery in the frame of a needle as well; that one moves, it is no calibration."""

    def both(t):
        return {"CauteryToTracker": at(130), "NeedleToReference": at(0, 50), "ReferenceToTracker": at(100)}

    tracker.play(2, lambda t: {**both(t), "CauteryToNeedle": at(30, -50)})
    assert tracker.state_of("Cautery").unreliable_reason is None
    tracker.play(1, lambda t: {"NeedleToReference": at(0, 50), "ReferenceToTracker": at(100)})
    assert str(tracker.state_of("Cautery").unreliable_reason).startswith("no pose for 1.0 s")
    tracker.play(9, lambda t: {"NeedleToReference": at(0, 50), "ReferenceToTracker": at(100)})
    assert str(tracker.state_of("Cautery").unreliable_reason).startswith("no pose for")


def test_server_that_names_otherwise_after_a_restart_is_valid_soon(tracker):
    tracker.play(2, lambda t: {"StylusToReference": at(40)})
    tracker.play(5, lambda t: {"StylusToTracker": at(150), "ReferenceToTracker": at(100)})
    state = tracker.state_of("Stylus")
    assert state.unreliable_reason is None
    assert state.tip_ras_mm == pytest.approx([50, 0, 0])


def test_names_that_come_back_are_used_again_at_once(tracker):
    tracker.play(2, lambda t: {"StylusToReference": at(40)})
    tracker.play(5, lambda t: {"StylusToTracker": at(150), "ReferenceToTracker": at(100)})
    tracker.wait()
    tracker.send(StylusToReference=at(60))
    assert tracker.state_of("Stylus").tip_ras_mm == pytest.approx([60, 0, 0])


def test_silence_is_told_where_no_other_way_leads(tracker):
    tracker.play(2, lambda t: {"StylusToReference": at(40)})
    tracker.play(10, lambda t: {"ProbeToReference": at(50)})
    assert str(tracker.state_of("Stylus").unreliable_reason) == "no pose for 10.0 s"
    assert tracker.state_of("Probe").unreliable_reason is None


def test_calibration_is_kept_when_the_server_composes_tips_no_longer(tracker):
    tracker.send(StylusTipToStylus=at(0, 0, -40.0))
    tracker.play(2, lambda t: {"StylusTipToReference": at(40)})
    tracker.play(5, lambda t: {"StylusToReference": at(30, 0, 40.0)})
    state = tracker.state_of("StylusTip")
    assert state.unreliable_reason is None
    assert state.tip_ras_mm == pytest.approx([30, 0, 0])


def test_pointer_that_was_laid_aside_is_no_motion_while_the_ventilator_rests(tracker):
    def breathing(t):
        return at(120, -60 + 7 * np.sin(2 * np.pi * t / 4), -180)

    def moving(t):
        return {"ReferenceToTracker": breathing(t), "StylusToReference": at(50 + 20 * np.cos(t))}

    tracker.play(12, lambda t: {**moving(t), "ProbeToReference": at(60)})
    tracker.play(20, lambda t: {"ReferenceToTracker": breathing(0), "ProbeToReference": at(60)})
    assert tracker.update().sensor_unreliable_reason is None
    assert tracker.state_of("Probe").unreliable_reason is None


def test_name_that_tells_of_no_frames_is_kept_and_is_in_no_chain(tracker):
    poses = tracker.navigator.poses
    tracker.play(1, lambda t: {"Stylus": at(5.0), "KnifeToReference": at(30.0)})
    assert poses.given("Stylus")[0][0, 3] == 5.0
    assert poses.names == poses.usable == {"KnifeToReference"}
    assert [state.instrument.frame for state in tracker.update().instruments] == ["Knife"]
    assert tracker.navigator.unreliable_reason_of("Stylus", tracker.now_s) is None
    tracker.wait(2.0)
    assert str(tracker.navigator.unreliable_reason_of("Stylus", tracker.now_s)) == "no pose for 2.0 s"
    tracker.navigator.forget("Stylus", tracker.now_s)
    assert str(tracker.navigator.unreliable_reason_of("Stylus", tracker.now_s)) == "not tracked"
