"""Instruments, distances and margins from poses as they come."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import vtk
from CRLMSegmentationLib.core.reasons import Reason, ReasonCode
from CRLMSegmentationLib.tracking.interval import ResidualError
from CRLMSegmentationLib.tracking.navigator import Navigator, Target
from helpers.navigation_helpers import Tracker, at, sphere

BALL = Target("Tumour 1", sphere(10.0), 1.0)


def tracker_to(targets=None, **keywords):
    navigator = Navigator(**keywords)
    navigator.set_targets(targets or {"Tumour 1": BALL})
    return Tracker(navigator)


def test_pose_is_composed_where_it_is_not_given_directly():
    tracker = tracker_to()
    tracker.play(0.5, lambda t: {"ProbeToTracker": at(130.0), "ReferenceToTracker": at(100.0)})
    state = tracker.state_of("Probe")
    assert state.tip_ras_mm == pytest.approx([30, 0, 0])
    assert state.readings[0].interval.distance_mm == pytest.approx(20, abs=0.05)


def test_tip_that_is_calibrated_by_a_transform_is_the_tip():
    tracker = tracker_to()
    tracker.navigator.poses.fix("StylusTipToStylus", at(0, 0, -40.0))
    tracker.play(0.5, lambda t: {"StylusToReference": at(30, 0, 40.0)})
    assert [s.instrument.frame for s in tracker.update().instruments] == ["StylusTip"]
    assert tracker.state_of("StylusTip").tip_ras_mm == pytest.approx([30, 0, 0])


def test_fixed_transform_never_grows_old():
    tracker = tracker_to()
    tracker.navigator.poses.fix("StylusTipToStylus", at(0))
    tracker.wait(1000)
    tracker.play(0.5, lambda t: {"StylusToReference": at(30)})
    assert tracker.state_of("StylusTip").unreliable_reason is None


def test_lesions_are_told_nearest_first_with_the_nearest_of_all():
    far = Target("Far", sphere(5.0, (0, 0, 80.0)), 1.0)
    tracker = tracker_to({"a": far, "b": BALL})
    tracker.play(0.5, lambda t: {"StylusToReference": at(15), "ProbeToReference": at(0, 12)})
    assert [r.name for r in tracker.state_of("Stylus").readings] == ["Tumour 1", "Far"]
    state, reading = tracker.update().nearest
    assert (state.instrument.frame, reading.lesion) == ("Probe", "b")
    assert reading.point_ras_mm == pytest.approx([0, 10, 0], abs=0.3)


def test_segmentation_in_doubt_has_no_distance_but_the_others_have():
    cut = Target("Cut", sphere(5.0, (0, 0, 30.0)), 1.0, unreliable_reason=Reason(ReasonCode.CUT_OFF))
    tracker = tracker_to({"a": cut, "b": BALL})
    tracker.play(0.5, lambda t: {"StylusToReference": at(0, 0, 22.0)})
    near, other = sorted(tracker.state_of("Stylus").readings, key=lambda r: r.lesion)
    assert near.interval is None
    assert near.unreliable_reason == Reason(ReasonCode.CUT_OFF)
    assert other.interval is not None


def test_margin_is_entered_at_its_width_and_left_a_little_farther_out():
    tracker = tracker_to()
    told = []
    for x in [21, 20.1, 19.9, 20.5, 20.9, 21.1, 19.9, 15.1, 14.9, 15.5, 16.1]:
        tracker.play(0.3, lambda t, x=x: {"StylusToReference": at(x)})
        told.append(tracker.state_of("Stylus").readings[0].margin_mm)
    assert told == [None, None, 10, 10, 10, None, 10, 10, 5, 5, 10]


def test_surface_that_is_measured_to_already_is_not_prepared_again():
    tracker = tracker_to()
    before = tracker.navigator._targets["Tumour 1"]
    renamed = replace(BALL, name="Left", outer=sphere(12.0))
    tracker.navigator.set_targets({"Tumour 1": renamed, "Other": Target("Other", sphere(3.0), 1.0)})
    after = tracker.navigator._targets["Tumour 1"]
    assert after.surface is before.surface
    assert (after.target.name, after.outer is None) == ("Left", False)


def test_shells_that_lie_apart_widen_the_interval():
    alone = tracker_to()
    shelled = tracker_to({"a": Target("a", sphere(10.0), 1.0, sphere(12.0), sphere(7.0))})
    for tracker in (alone, shelled):
        tracker.play(0.5, lambda t: {"StylusToReference": at(30)})
    narrow, wide = (tracker.state_of("Stylus").readings[0].interval for tracker in (alone, shelled))
    assert wide.distance_mm == narrow.distance_mm
    assert narrow.low_mm - wide.low_mm == pytest.approx(2, abs=0.1)
    assert wide.high_mm - narrow.high_mm == pytest.approx(3, abs=0.1)


def test_error_of_the_model_is_that_with_or_without_shells():
    plain = Target("a", sphere(10.0), 1.0, residual_error=ResidualError(with_consensus_mm=1.0, alone_mm=4.0))
    widths_mm = []
    for target in (plain, replace(plain, outer=plain.surface, inner=plain.surface)):
        tracker = tracker_to({"a": target})
        tracker.play(0.5, lambda t: {"StylusToReference": at(30)})
        interval = tracker.state_of("Stylus").readings[0].interval
        widths_mm.append(interval.high_mm - interval.low_mm)
    assert widths_mm[0] - widths_mm[1] == pytest.approx(6.0)


def test_lost_sensor_among_composed_poses_is_told_as_not_tracked():
    tracker = tracker_to()
    tracker.play(0.5, lambda t: {"ProbeToTracker": at(130.0), "ReferenceToTracker": at(100.0)})
    tracker.wait()
    tracker.send(ReferenceToTracker="MISSING")
    assert str(tracker.state_of("Probe").unreliable_reason) == "not tracked"
    assert str(tracker.update().sensor_unreliable_reason) == "liver sensor: not tracked"


def test_singular_matrix_is_no_pose():
    tracker = tracker_to()
    flat = np.diag([1.0, 1.0, 0.0, 1.0])
    tracker.play(0.2, lambda t: {"ProbeToTracker": at(130.0), "ReferenceToTracker": flat})
    assert tracker.state_of("Probe").readings == ()
    assert tracker.state_of("Probe").unreliable_reason


def reading_of(target):
    tracker = tracker_to({"a": target, "b": BALL})
    tracker.play(0.5, lambda t: {"StylusToReference": at(30)})
    state = tracker.state_of("Stylus")
    assert state.unreliable_reason is None
    readings = {reading.lesion: reading for reading in state.readings}
    assert readings["b"].interval.distance_mm == pytest.approx(20, abs=0.05)
    return readings["a"]


@pytest.mark.parametrize("inner", [None, vtk.vtkPolyData()], ids=["none", "empty"])
def test_segmentation_that_was_never_certain_reaches_as_far_as_its_middle(inner):
    """Without a place that always was tumour, the true border may be anywhere down to the middle."""
    consensus = {"outer": sphere(14.0), "inner": sphere(2.0)}
    certain = reading_of(Target("a", sphere(10.0), 1.0, **consensus)).interval
    never = reading_of(Target("a", sphere(10.0), 1.0, **{**consensus, "inner": inner})).interval
    assert never.low_mm == certain.low_mm
    assert never.high_mm - certain.high_mm == pytest.approx(2, abs=0.1)


def open_surface():
    half = vtk.vtkSphereSource()
    half.SetEndTheta(180)
    half.Update()
    return half.GetOutput()


@pytest.mark.parametrize("part", ["surface", "outer", "inner"])
def test_surface_that_cannot_be_measured_to_spoils_its_own_lesion_only(part):
    good = {"surface": sphere(10.0), "outer": sphere(12.0), "inner": sphere(8.0)}
    reading = reading_of(Target("a", voxel_mm=1.0, **{**good, part: open_surface()}))
    assert (reading.interval, reading.point_ras_mm, reading.margin_mm) == (None, None, None)
    assert "closed surface" in str(reading.unreliable_reason)


def test_lesion_without_a_surface_is_told_with_its_doubt():
    reading = reading_of(Target("a", None, 1.0, unreliable_reason=Reason(ReasonCode.NOTHING_FOUND)))
    assert (reading.interval, reading.point_ras_mm, reading.margin_mm) == (None, None, None)
    assert str(reading.unreliable_reason) == "nothing was found in this volume"


def test_lesion_that_loses_its_surface_is_in_no_margin_any_more():
    tracker = tracker_to()
    tracker.play(0.5, lambda t: {"StylusToReference": at(14.5)})
    tracker.navigator.set_targets(
        {"Tumour 1": Target("Tumour 1", None, 1.0, unreliable_reason=Reason(ReasonCode.NO_SURFACE))}
    )
    assert tracker.state_of("Stylus").readings[0].margin_mm is None
    tracker.navigator.set_targets({"Tumour 1": BALL})
    tracker.play(0.5, lambda t: {"StylusToReference": at(15.5)})
    assert tracker.state_of("Stylus").readings[0].margin_mm == 10
