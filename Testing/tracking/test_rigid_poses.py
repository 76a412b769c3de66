"""A pose that scales, mirrors or shears is no pose of a tool; a calibration may scale."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.core.geometry import is_rigid, rigid_fault
from CRLMSegmentationLib.core.reasons import ReasonCode
from CRLMSegmentationLib.igtl.messages import TransformMessage
from CRLMSegmentationLib.tracking.navigator import Navigator, Target
from helpers.navigation_helpers import Tracker, at, sphere
from scipy.spatial.transform import Rotation


def shear(cosine: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:2, 1] = cosine, np.sqrt(1 - cosine**2)
    return matrix


def scale(x: float, y: float | None = None, z: float | None = None) -> np.ndarray:
    return np.diag([x, x if y is None else y, x if z is None else z, 1.0])


def with_entry(row: int, column: int, value: float) -> np.ndarray:
    matrix = at(30.0)
    matrix[row, column] = value
    return matrix


NOT_RIGID = {
    "scale 1.1": (scale(1.1), ReasonCode.SCALED),
    "scale 1.03": (scale(1.03), ReasonCode.SCALED),
    "scale 0.995": (scale(0.995), ReasonCode.SCALED),
    "scale along one axis": (scale(1.0, 1.0, 1.02), ReasonCode.SCALED),
    "metres for millimetres": (scale(0.001), ReasonCode.SCALED),
    "mirror": (scale(1.0, 1.0, -1.0), ReasonCode.MIRRORED),
    "point mirror": (scale(-1.0), ReasonCode.MIRRORED),
    "shear": (shear(0.05), ReasonCode.SHEARED),
    "small shear": (shear(0.004), ReasonCode.SHEARED),
    "zero": (np.zeros((4, 4)), ReasonCode.NOT_A_TRANSFORM),
    "flat": (scale(1.0, 1.0, 0.0), ReasonCode.NOT_A_TRANSFORM),
    "NaN": (with_entry(0, 3, np.nan), ReasonCode.NOT_FINITE),
    "infinity": (with_entry(1, 1, np.inf), ReasonCode.NOT_FINITE),
    "last row": (with_entry(3, 0, 0.5), ReasonCode.NOT_A_TRANSFORM),
    "projective": (with_entry(3, 3, 2.0), ReasonCode.NOT_A_TRANSFORM),
}
WRONG = pytest.mark.parametrize(("part", "reason"), NOT_RIGID.values(), ids=NOT_RIGID.keys())


def moved(part: np.ndarray, x: float) -> np.ndarray:
    """A part that is not rigid, there."""
    matrix = part.copy()
    if np.isfinite(matrix).all() and matrix[0, 3] == 0:
        matrix[0, 3] = x
    return matrix


@pytest.fixture
def tracker():
    navigator = Navigator()
    navigator.set_targets({"Tumour 1": Target("Tumour 1", sphere(10.0), 1.0)})
    return Tracker(navigator)


@pytest.fixture
def turned():
    """Rotations of any kind, as matrices of poses."""
    matrices = np.tile(np.eye(4), (200, 1, 1))
    matrices[:, :3, :3] = Rotation.random(200, random_state=4).as_matrix()
    matrices[:, :3, 3] = np.random.default_rng(4).normal(scale=200, size=(200, 3))
    return matrices


def test_rounding_of_the_wire_and_of_files_is_rigid(turned):
    for written in (turned, turned.astype(np.float32), np.vectorize(lambda x: float(f"{x:.6g}"))(turned)):
        assert all(is_rigid(matrix) for matrix in written)
    four_digits = turned.copy()
    four_digits[:, :3, :3] = turned[:, :3, :3].round(4)
    assert all(is_rigid(matrix) for matrix in four_digits)


@WRONG
def test_what_is_no_pose_is_refused_however_it_is_turned(part, reason, turned):
    assert rigid_fault(part).code is reason
    if np.isfinite(part).all() and part[3].tolist() == [0, 0, 0, 1]:
        assert {rigid_fault(matrix @ part).code for matrix in turned} == {reason}


@WRONG
@pytest.mark.parametrize("device", ["StylusToReference", "StylusToTracker", "ReferenceToTracker"])
def test_instrument_that_hangs_on_such_a_pose_has_no_distance(tracker, part, reason, device):
    composed = {"StylusToTracker": at(130.0), "ReferenceToTracker": at(100.0)}
    sound = composed if device in composed else {device: at(30.0)}
    tracker.play(0.5, lambda t: sound)
    assert tracker.update().nearest is not None
    before = tracker.state_of("Stylus").tip_ras_mm
    tracker.play(0.5, lambda t: {**sound, device: moved(part, 25.0)})
    state = tracker.state_of("Stylus")
    assert (state.unreliable_reason.code, state.readings) == (reason, ())
    assert device in str(state.unreliable_reason)
    assert (state.tip_ras_mm == before).all()
    assert tracker.update().nearest is None
    tracker.play(0.5, lambda t: sound)
    assert tracker.update().nearest is not None


@WRONG
def test_sensor_on_the_liver_of_which_such_a_pose_comes_withdraws_every_instrument(tracker, part, reason):
    tracker.play(0.5, lambda t: {"StylusToReference": at(30.0), "ReferenceToTracker": moved(part, 100.0)})
    situation = tracker.update()
    assert situation.sensor_unreliable_reason.code is reason
    assert str(situation.sensor_unreliable_reason).startswith("liver sensor: ")
    assert situation.nearest is None


def test_factor_of_the_scale_is_told(tracker):
    tracker.play(0.5, lambda t: {"StylusToReference": at(30.0) @ scale(1.1)})
    assert str(tracker.state_of("Stylus").unreliable_reason).startswith("pose is not rigid: scales by 1.1")


def test_pose_that_was_never_rigid_places_no_tool(tracker):
    tracker.play(0.5, lambda t: {"StylusToReference": at(30.0) @ scale(1.1)})
    assert tracker.state_of("Stylus").matrix is None
    assert np.isnan(tracker.state_of("Stylus").tip_ras_mm).all()


@pytest.mark.parametrize("tip", [scale(1.2), scale(0.08), scale(1.0, 1.0, -1.0), shear(0.05)])
@pytest.mark.parametrize("is_fixed", [True, False])
def test_calibration_of_a_tip_may_scale_mirror_and_shear(tracker, tip, is_fixed):
    tip = tip.copy()
    tip[2, 3] = -40.0
    if is_fixed:
        tracker.navigator.poses.fix("StylusTipToStylus", tip)
    else:
        tracker.send(StylusTipToStylus=tip)
    tracker.play(0.5, lambda t: {"StylusToReference": at(30.0, 0.0, 40.0)})
    assert tracker.state_of("StylusTip").unreliable_reason is None
    assert tracker.state_of("StylusTip").tip_ras_mm == pytest.approx([30, 0, 0])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_calibration_that_is_not_finite_gives_no_tip(tracker, value):
    tracker.send(StylusTipToStylus=with_entry(2, 3, value))
    tracker.play(0.5, lambda t: {"StylusToReference": at(30.0)})
    assert tracker.state_of("StylusTip").unreliable_reason.code is ReasonCode.NOT_FINITE
    assert tracker.update().nearest is None


def test_one_instrument_that_is_not_rigid_leaves_the_others_alone(tracker):
    tracker.play(0.5, lambda t: {"StylusToReference": at(12.0) @ scale(1.1), "KnifeToReference": at(30.0)})
    state, _reading = tracker.update().nearest
    assert state.instrument.frame == "Knife"


@WRONG
def test_message_says_whether_it_can_be_the_pose_of_a_tool(part, reason):
    assert not TransformMessage("StylusToReference", 0.0, part).is_rigid
    assert TransformMessage("StylusToReference", 0.0, at(3.0, turned_deg=30.0)).is_rigid


@pytest.mark.parametrize(
    "name", ["ImageToReference", "ImageToTracker", "TrackerToImage", "TransducerOriginPixelToTracker"]
)
def test_pose_of_an_image_scales_as_its_calibration_does(tracker, name):
    tracker.send(**{name: moved(scale(0.2), 5.0)})
    assert tracker.navigator.poses.fault_of(name) is None
    tracker.send(**{name: with_entry(0, 3, np.nan)})
    assert tracker.navigator.poses.fault_of(name).code is ReasonCode.NOT_FINITE


def test_tool_is_not_placed_by_way_of_an_image_whose_scale_stays(tracker):
    tracker.play(1, lambda t: {"StylusToImage": at(30.0), "ImageToReference": scale(0.2), "StylusToTracker": at(1.0)})
    state = tracker.state_of("Stylus")
    assert str(state.unreliable_reason) == "pose is not rigid: scales by 0.2 (StylusToReference)"
    assert state.readings == ()


def test_tool_is_placed_by_way_of_an_image_whose_scale_is_undone(tracker):
    poses = {"StylusToProbe": at(10.0), "ImageToProbe": scale(0.2), "ImageToReference": moved(scale(0.2), 20.0)}
    tracker.play(1, lambda t: {**poses, "StylusToTracker": at(1.0)})
    assert tracker.state_of("Stylus").tip_ras_mm == pytest.approx([30, 0, 0])
