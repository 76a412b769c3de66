"""Chains of named transforms."""

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import SweepError
from CRLMSegmentationLib.tracking.transforms import compose, find_chain, follow, frames_of, touches, worst
from helpers.sweep_helpers import shifted
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation


def turned(degrees, *shift_mm):
    matrix = shifted(*shift_mm)
    matrix[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    return matrix


IMAGE_TO_PROBE = np.array([[0.0, 0.1, 0, 5], [0.2, 0, 0, -7], [0, 0, 0.1, 1], [0, 0, 0, 1]])
"""Left-handed: columns along y of the probe, rows along x."""
PROBE, REFERENCE = turned([10, 20, 30], 1, 2, 3), turned([-40, 5, 60], -9, 8, 7)
ROOM = {
    "ImageToProbe": (IMAGE_TO_PROBE, "OK"),
    "ProbeToTracker": (PROBE, "OK"),
    "ReferenceToTracker": (REFERENCE, "OK"),
}


def test_image_to_reference_goes_through_probe_and_tracker_and_turns_the_reference_round():
    matrix, status = compose(ROOM, "ImageToReference")
    np.testing.assert_allclose(matrix, np.linalg.inv(REFERENCE) @ PROBE @ IMAGE_TO_PROBE, atol=1e-12)
    assert status == "OK"
    assert find_chain(ROOM, "ImageToReference") == (
        ("ImageToProbe", False),
        ("ProbeToTracker", False),
        ("ReferenceToTracker", True),
    )


def test_the_way_back_is_the_inverse():
    there, back = compose(ROOM, "ImageToReference")[0], compose(ROOM, "ReferenceToImage")[0]
    np.testing.assert_allclose(there @ back, np.eye(4), atol=1e-12)


@pytest.mark.parametrize(
    ("probe", "reference", "expected"),
    [("OK", "INVALID", "INVALID"), ("MISSING", "INVALID", "MISSING"), ("OUT_OF_VIEW", "OK", "OUT_OF_VIEW")],
)
def test_status_is_the_worst_on_the_way(probe, reference, expected):
    workspace = {**ROOM, "ProbeToTracker": (PROBE, probe), "ReferenceToTracker": (REFERENCE, reference)}
    assert compose(workspace, "ImageToReference") == (pytest.approx(np.eye(4)), expected)


def test_status_of_a_tool_that_is_not_on_the_way_does_not_matter():
    assert compose({**ROOM, "StylusToTracker": (np.zeros((4, 4)), "INVALID")}, "ImageToReference")[1] == "OK"


def test_direct_transform_is_preferred_to_a_longer_way():
    workspace = {**ROOM, "ProbeToReference": (shifted(x_mm=50), "OK")}
    assert find_chain(workspace, "ProbeToReference") == (("ProbeToReference", False),)


def test_of_equally_short_ways_the_alphabetically_first_is_taken_whatever_the_order():
    names = ["AToY", "YToB", "AToX", "XToB", "BToC"]
    for order in (names, names[::-1]):
        assert find_chain(order, "AToC") == (("AToX", False), ("XToB", False), ("BToC", False))


def test_cycles_do_no_harm():
    assert len(find_chain(["AToB", "BToC", "CToA", "CToD"], "AToD")) == 2
    assert find_chain(["AToB"], "AToA") == ()
    assert (follow((), {})[0] == np.eye(4)).all()


def test_no_way_is_told_with_what_is_known():
    with pytest.raises(SweepError, match="no transform from Image to Reference; known: ImageToProbe, ProbeToTracker"):
        compose({name: ROOM[name] for name in ("ImageToProbe", "ProbeToTracker")}, "ImageToReference")
    with pytest.raises(SweepError, match="no transforms"):
        compose({}, "ImageToReference")


def test_singular_matrix_is_told_only_when_it_must_be_inverted():
    workspace = {**ROOM, "ReferenceToTracker": (np.zeros((4, 4)), "OK")}
    assert compose(workspace, "ReferenceToTracker")[1] == "OK"
    with pytest.raises(SweepError, match="ReferenceToTracker is singular"):
        compose(workspace, "ImageToReference")


def test_names_are_split_at_to_before_a_capital():
    assert frames_of("StylusTipToStylus") == ("StylusTip", "Stylus")
    assert frames_of("ToolToTracker") == ("Tool", "Tracker")
    for name in ("Probe", "probetotracker", "ToTracker", "AToBToC"):
        with pytest.raises(SweepError, match=name):
            frames_of(name)


def test_fields_that_name_no_two_frames_are_passed_over():
    assert len(find_chain([*ROOM, "Custom"], "ImageToReference")) == 3
    assert touches("ImageToProbe", "Image")
    assert not touches("Custom", "Image")


@given(st.lists(st.sampled_from(["OK", "INVALID", "MISSING"])))
def test_worst_is_ok_only_when_all_are(statuses):
    assert (worst(statuses) == "OK") == (set(statuses) <= {"OK"})
