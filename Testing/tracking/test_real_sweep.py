"""Poses as an electromagnetic tracker really gives them: PLUS's N-wire sweep, whose stylus is lost in all 97 frames."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.igtl.messages import TransformMessage
from CRLMSegmentationLib.tracking.navigator import Navigator, Target
from CRLMSegmentationLib.tracking.sweeps.sequence_io import read_sequence
from helpers.navigation_helpers import sphere
from helpers.paths import SHARED_DATA

DATA = SHARED_DATA
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"PLUS's recordings are not at {DATA}")


@pytest.fixture(scope="module")
def sweep():
    return read_sequence(DATA / "NwirePhantomFreehand.igs.mha")


def play(sweep, lost: range = range(0), shifted: dict[int, float] | None = None):
    """States of probe and stylus at each frame; the probe may be lost, or shifted by mm, in some of them."""
    navigator = Navigator()
    navigator.set_targets({"Tumour 1": Target("Tumour 1", sphere(10.0, (0, 0, -60.0)), 1.0)})
    told = []
    for frame, now_s in enumerate(sweep.timestamps_s):
        for name, track in sweep.transforms.items():
            matrix, status = track.matrices[frame].copy(), track.statuses[frame]
            if name == "ProbeToTracker":
                matrix[:3, 3] += (shifted or {}).get(frame, 0.0)
                status = "MISSING" if frame in lost else status
            navigator.receive(TransformMessage(name, now_s, matrix, {"TransformStatus": status}), now_s)
        told.append({state.instrument.frame: state for state in navigator.update(now_s).instruments})
    return told


def test_stylus_that_is_never_seen_is_never_valid(sweep):
    told = play(sweep)
    assert len(told) == 97
    assert {str(states["Stylus"].unreliable_reason) for states in told} == {"not tracked"}
    assert all(states["Stylus"].matrix is None for states in told)


def test_hand_that_sweeps_is_never_taken_for_a_fault(sweep):
    told = play(sweep)
    assert {states["Probe"].unreliable_reason for states in told} == {None}
    assert all(len(states["Probe"].readings) == 1 for states in told)


def test_probe_that_is_lost_in_the_middle_is_withdrawn_just_then(sweep):
    told = play(sweep, lost=range(40, 50))
    unreliable_reasons = [str(states["Probe"].unreliable_reason or "") for states in told]
    assert set(unreliable_reasons[40:50]) == {"not tracked"}
    assert set(unreliable_reasons[:40] + unreliable_reasons[50:]) == {""}


def test_glitch_of_one_frame_is_told_and_forgotten(sweep):
    """Frames are 80 ms apart, in which a hand moves 80 mm at most; 100 mm along each axis is no hand."""
    told = play(sweep, shifted={60: 100.0})
    unreliable_reasons = [str(states["Probe"].unreliable_reason or "") for states in told]
    assert unreliable_reasons[60].startswith("jumped by 1")
    assert set(unreliable_reasons[:60]) == {""}
    assert set(unreliable_reasons[70:]) == {""}


def test_poses_are_read_with_their_frame_times(sweep):
    """What the tests above stand on: frames come about 80 ms apart, within the age that is still trusted."""
    apart_s = np.diff(sweep.timestamps_s)
    assert 0.05 < np.median(apart_s) < 0.1
    assert apart_s.max() < 0.5
