"""The interval of a distance holds the true one as often as it says: simulated tips, sensors and segmentations."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.tracking.interval import Interval, TrackingError, interval_of, sigma_mm
from scipy.spatial.transform import Rotation

EM = TrackingError()
TRIALS = 4000


def sensor_error(rng, lever_mm, error):
    """How far a point at a lever from a sensor is off, mm, shape (3,): the sensor's place and its angle."""
    moved = rng.normal(scale=error.position_mm / 3**0.5, size=3)
    axis = rng.normal(size=3)
    angle = np.radians(error.angle_deg) * rng.normal() * axis / np.linalg.norm(axis)
    return moved + Rotation.from_rotvec(angle).apply([lever_mm, 0, 0]) - [lever_mm, 0, 0]


def trial(rng, error, voxel_mm, network_mm):
    """A ball outlined with an error, approached with another; returns the true distance and the interval."""
    radius, tip = rng.uniform(4, 25), rng.normal(size=3)
    tip *= (radius + rng.uniform(-3, 40)) / np.linalg.norm(tip)
    from_sensor = rng.normal(size=3) * 40
    to_sensor = np.linalg.norm(tip - from_sensor)
    tip_off = sensor_error(rng, error.tool_lever_mm, error) + sensor_error(rng, to_sensor, error)
    ball_off = sensor_error(rng, error.probe_lever_mm, error) + sensor_error(rng, to_sensor, error)
    shown_radius = radius + network_mm + rng.uniform(-voxel_mm / 2, voxel_mm / 2)
    measured = np.linalg.norm(tip + tip_off - ball_off) - shown_radius
    return np.linalg.norm(tip) - radius, measured, to_sensor


@pytest.mark.parametrize("error", [EM, TrackingError(0.3, 0.1, 150, 90), TrackingError(2.0, 1.0, 100, 60)])
@pytest.mark.parametrize("voxel_mm", [0.5, 2.0])
def test_interval_holds_the_true_distance_in_95_of_100_trials_and_is_not_needlessly_wide(error, voxel_mm):
    rng = np.random.default_rng(7)
    held = []
    for _ in range(TRIALS):
        true, measured, to_sensor = trial(rng, error, voxel_mm, network_mm=0.0)
        interval = interval_of(measured, measured, measured, to_sensor, voxel_mm, error, 0.0)
        held.append(interval.low_mm <= true <= interval.high_mm)
    assert 0.94 <= np.mean(held) <= 0.985


def test_network_error_that_its_shells_show_is_held():
    rng = np.random.default_rng(8)
    held = []
    for _ in range(TRIALS):
        off_mm = rng.uniform(-3, 3)
        true, measured, to_sensor = trial(rng, EM, 1.0, off_mm)
        interval = interval_of(measured, measured - 3, measured + 3, to_sensor, 1.0, EM, 0.0)
        held.append(interval.low_mm <= true <= interval.high_mm)
    assert np.mean(held) >= 0.95


def test_unexplained_rest_widens_both_sides():
    plain, wider = (interval_of(12.0, 12.0, 12.0, 100.0, 1.0, EM, q) for q in (0.0, 2.5))
    assert plain.low_mm - wider.low_mm == pytest.approx(2.5)
    assert wider.high_mm - plain.high_mm == pytest.approx(2.5)


def test_sigma_by_hand():
    """Four times a third of 0.81 for position; levers of 100, 60 and twice 50 mm at 0.31 degrees; a voxel of 1 mm."""
    turn = np.radians(0.31)
    by_hand = (4 * 0.81 + 2 / 3 * turn**2 * (100**2 + 60**2 + 2 * 50**2)) / 3 + 1 / 12
    assert sigma_mm(50.0, 1.0, EM) == pytest.approx(by_hand**0.5)


def test_interval_reads_as_a_surgeon_would_say_it():
    assert str(Interval(12.2, 9.4, 15.6)) == "12 mm (9–16)"
    assert str(Interval(3.0, -0.4, 7.0)) == "3 mm (0–7)"
    assert str(Interval(3.0, -1.2, 7.0)) == "3 mm (-1 to 7)"
