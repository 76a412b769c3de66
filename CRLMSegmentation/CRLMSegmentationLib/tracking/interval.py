"""A distance with its interval of uncertainty: "12 mm (9-16)".

The tip of an instrument and the tumour are both known with errors, so the distance between them is an interval that
is to hold the true one in at least 95 of 100 cases:

    low  = min(d, d_outer) - z sigma - q        high = max(d, d_inner) + z sigma + q
    sigma^2 = s(tip)^2 + s(image)^2 + h^2 / 12
    s(L)^2 = sum over both sensors of (e^2 + 2/3 (a L)^2) / 3

d        measured distance from tip to surface, negative inside
d_outer  distance to the surface that holds whatever was ever called tumour, d_inner to what always was
         (`segmentation.consensus`): where they lie apart, the network is not sure
         where no place was always called tumour, d_inner is d and half of the smallest extent of the segmentation
s(L)     error along one direction of a point at a lever L from a sensor: e, the sensor's position (0.9 mm rms in
         space for electromagnetic trackers, facts of NDI's Aurora), a third of its square along one direction; and a,
         its angle (0.31 degrees rms about a random axis), which moves a point by sqrt(2/3) a L
         both sensors, of the tool and of the liver, take part, for the tip now and for the probe during the sweep
h        longest edge of a voxel of the volume: a border is known to half of it, evenly (h^2 / 12)
z        1.96, both sides of a normal distribution
q        what is left: the share of the network's own error that its consensus surfaces do not show, or all of it while
         there are none (`ResidualError`). It is the 95 % quantile of what was missing on simulated patients (split
         conformal prediction, Vovk 2005), and belongs to the model
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Z = 1.96
EN_DASH = "\u2013"


@dataclass(frozen=True)
class TrackingError:
    """The errors of a tracker. The defaults are those of an electromagnetic one in clean surroundings.

    Attributes:
        position_mm: of a sensor, rms in space.
        angle_deg: of a sensor, rms about a random axis.
        tool_lever_mm: from a tool's sensor to its tip.
        probe_lever_mm: from the probe's sensor to the tissue in its image.
    """

    position_mm: float = 0.9
    angle_deg: float = 0.31
    tool_lever_mm: float = 100.0
    probe_lever_mm: float = 60.0


@dataclass(frozen=True)
class ResidualError:
    """Residual error of a model in mm, with consensus surfaces and without them; 0 where it was not measured."""

    with_consensus_mm: float = 0.0
    alone_mm: float = 0.0


UNMEASURED = ResidualError()


@dataclass(frozen=True)
class Interval:
    """A distance with its interval of uncertainty, in mm.

    Attributes:
        distance_mm: as measured, negative inside.
        low_mm, high_mm: what it may be.
    """

    distance_mm: float
    low_mm: float
    high_mm: float

    def __str__(self) -> str:
        distance_mm, low_mm, high_mm = (round(mm) for mm in (self.distance_mm, self.low_mm, self.high_mm))
        return f"{distance_mm} mm ({low_mm}{' to ' if low_mm < 0 else EN_DASH}{high_mm})"


def interval_of(
    distance_mm: float,
    to_outer_mm: float,
    to_inner_mm: float,
    to_sensor_mm: float,
    voxel_mm: float,
    tracking: TrackingError,
    residual_error_mm: float,
) -> Interval:
    """Return the interval of a distance, see the module.

    Args:
        to_outer_mm, to_inner_mm: distance to the consensus surfaces; the distance itself where there are none.
        to_sensor_mm: from the tip to the sensor on the liver.
        voxel_mm: longest edge of the volume's voxels.
        residual_error_mm: q.
    """
    reach_mm = Z * sigma_mm(to_sensor_mm, voxel_mm, tracking) + residual_error_mm
    return Interval(distance_mm, min(distance_mm, to_outer_mm) - reach_mm, max(distance_mm, to_inner_mm) + reach_mm)


def sigma_mm(to_sensor_mm: float, voxel_mm: float, tracking: TrackingError) -> float:
    """Return the standard deviation of a distance in mm, along its direction, from tracking and voxels."""
    tip = _along_mm2(tracking, tracking.tool_lever_mm) + _along_mm2(tracking, to_sensor_mm)
    image = _along_mm2(tracking, tracking.probe_lever_mm) + _along_mm2(tracking, to_sensor_mm)
    return float(np.sqrt(tip + image + voxel_mm**2 / 12))


def _along_mm2(tracking: TrackingError, lever_mm: float) -> float:
    """Return the variance, in mm2, along one direction of a point at a distance from a sensor."""
    turned_mm = np.radians(tracking.angle_deg) * lever_mm
    return float(tracking.position_mm**2 + 2 / 3 * turned_mm**2) / 3
