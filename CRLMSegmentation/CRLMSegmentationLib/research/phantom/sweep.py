"""Motion of the probe in a sweep: true poses, poses with tracking errors, and residual breathing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from .probe import Probe

FRAME_RATE_HZ = 20.0
TRACKER_NOISE_MM, TRACKER_NOISE_DEG = 0.5, 0.3
"""Scale of the noise per axis, of which 0.6 is smooth and 0.5 white: 0.68 mm in 3D altogether. Measured for
electromagnetic tracking in a clean field: about 0.9 mm and 0.31 degrees."""
BREATHING_MM = 14.0
BREATHING_LEFT = (0.02, 0.10)
"""Amplitude, 28 mm from end to end: twice the 14 mm measured at laparotomy. The sensor on the liver removes most;
the share that is left is chosen."""
SEEN_MM = 1.5
"""How far a point may lie from a frame that images it."""
LEAST_SPACING_MM = 0.02


@dataclass(frozen=True, eq=False)
class SimulatedSweep:
    """Poses of a sweep over N frames.

    Attributes:
        times_s: shape (N,), from 0.
        true_poses: shape (N, 4, 4), probe to local anatomy, mm.
        tracked_poses: shape (N, 4, 4), the same as the tracker reports it.
        breathing_mm: shape (N, 3), how far the tissue has moved against the liver sensor, local frame.
        sensor_mm: shape (N, 3), how far the sensor itself has moved with the breath.
        kind: of the motion, see `motion`.
    """

    times_s: np.ndarray
    true_poses: np.ndarray
    tracked_poses: np.ndarray
    breathing_mm: np.ndarray
    sensor_mm: np.ndarray
    kind: str = "translated"

    def every(self, step: int) -> SimulatedSweep:
        """Return the sweep with one of `step` frames."""
        return replace(
            self,
            times_s=self.times_s[::step],
            true_poses=self.true_poses[::step],
            tracked_poses=self.tracked_poses[::step],
            breathing_mm=self.breathing_mm[::step],
            sensor_mm=self.sensor_mm[::step],
        )

    def sees(self, probe: Probe, center_mm: np.ndarray, radius_mm: float) -> bool:
        """Return whether frames image a sphere of the local frame: its middle and six points around it."""
        offsets = 0.9 * radius_mm * np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)])
        placed = center_mm + offsets - self.true_poses[:, None, :3, 3]
        x, y, z = np.einsum("nji,npj->inp", self.true_poses[:, :3, :3], placed)
        return bool((probe.contains(x, z) & (np.abs(y) < SEEN_MM)).any(0).all())

    def frame_spacing_mm(self, probe: Probe) -> np.ndarray:
        """Return the mean distance between frames, across them, at each depth of a probe's beams, shape (samples,)."""
        lines = probe.beam_points_mm()[[probe.lines // 5, probe.lines // 2, -1 - probe.lines // 5]]
        placed = np.einsum("nij,lsj->nlsi", self.true_poses[:, :3, :3], lines) + self.true_poses[:, None, None, :3, 3]
        across = np.einsum("nlsi,ni->nls", np.diff(placed, axis=0), self.true_poses[:-1, :3, 1])
        spacing_mm: np.ndarray = np.maximum(np.abs(across).mean((0, 1)), LEAST_SPACING_MM)
        return spacing_mm


def draw_sweep(rng: np.random.Generator) -> SimulatedSweep:
    """Draw a hand-held sweep of 8 to 10 s along y, with uneven speed, drift and tilt."""
    count = int(rng.integers(160, 200))
    speed = np.maximum(0.25, 1 + 0.35 * wander(rng, count, 12))
    along = np.cumsum(speed)
    along = (along / along[-1] - 0.5) * rng.uniform(85, 105)
    position = np.stack([2.0 * wander(rng, count, 25), along, 0.5 * wander(rng, count, 25)], axis=1)
    angles = np.stack(
        [5.0 * wander(rng, count, 40), 3.0 * wander(rng, count, 40), 3.0 * wander(rng, count, 40)], axis=1
    )
    true = _poses(position, angles)
    shift = TRACKER_NOISE_MM * (0.6 * wander(rng, (count, 3), 15) + 0.5 * rng.normal(size=(count, 3)))
    turn = TRACKER_NOISE_DEG * (0.6 * wander(rng, (count, 3), 15) + 0.5 * rng.normal(size=(count, 3)))
    tracked = _poses(position + shift, angles + turn)
    times = np.arange(count) / FRAME_RATE_HZ
    left = rng.uniform(*BREATHING_LEFT)
    breath = BREATHING_MM * np.sin(2 * np.pi * (times / rng.uniform(3, 5) + rng.random()))
    direction = rng.normal(size=3) * [0.5, 1, 0.5]
    moved = breath[:, None] * direction / np.linalg.norm(direction)
    return SimulatedSweep(times, true, tracked, left * moved, moved / 2)


def wander(rng: np.random.Generator, shape: int | tuple[int, int], grain: float) -> np.ndarray:
    """Return smooth noise of unit standard deviation along the first axis."""
    noise: np.ndarray = gaussian_filter1d(rng.normal(size=shape), grain, axis=0, mode="reflect")
    unit: np.ndarray = noise / noise.std(axis=0)
    return unit


def _poses(position_mm: np.ndarray, angles_deg: np.ndarray) -> np.ndarray:
    poses = np.tile(np.eye(4), (len(position_mm), 1, 1))
    poses[:, :3, :3] = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()
    poses[:, :3, 3] = position_mm
    return poses
