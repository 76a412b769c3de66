"""Varied motion of the probe in a sweep: translated, rocked, rotated or both, obliquely, and back again."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from .sweep import BREATHING_MM, FRAME_RATE_HZ, TRACKER_NOISE_DEG, TRACKER_NOISE_MM, SimulatedSweep, wander

KIND_SHARES = {"translated": 0.35, "rocked": 0.25, "swept": 0.25, "rotated": 0.15}
FRAMES = (140, 200)
BACK_SHARE = 0.12
"""Of sweeps that turn round and pass part of the tissue twice."""


def draw_varied_sweep(rng: np.random.Generator) -> SimulatedSweep:
    """Draw a hand-held sweep of 7 to 10 s.

    *Translated* moves the probe along the surface, *rocked* fans it about its face, *swept* does both, *rotated* turns
    it about its beam axis. The direction of travel lies up to 40 degrees off the elevation.
    """
    kind = str(rng.choice(list(KIND_SHARES), p=list(KIND_SHARES.values())))
    count = int(rng.integers(*FRAMES))
    share = _progress(rng, count)
    length_mm, rock_deg, turn_deg = _extent(rng, kind)
    oblique = np.radians(rng.uniform(-40, 40)) if kind in ("translated", "swept") else 0.0
    direction = np.array([np.sin(oblique), np.cos(oblique), 0.0])
    position = share[:, None] * length_mm * direction + wander(rng, (count, 3), 25) * [2.0, 0.7, 0.5]
    steady = rng.uniform(0.3, 1.3)
    angles = steady * wander(rng, (count, 3), 40) * [5.0, 3.0, 3.0]
    turned = Rotation.from_euler("z", share[:, None] * turn_deg, degrees=True)
    rocked = Rotation.from_euler("x", share[:, None] * rock_deg, degrees=True)
    rotation = turned * rocked * Rotation.from_euler("xyz", angles, degrees=True)
    pivot = np.array([0.0, 0.0, rng.uniform(-8, 8)])
    true = _poses(position + pivot - rotation.apply(np.tile(pivot, (count, 1))), rotation)
    noise = rng.uniform(0.5, 1.8)
    shift = noise * TRACKER_NOISE_MM * _tracker_noise(rng, count)
    error = Rotation.from_rotvec(noise * TRACKER_NOISE_DEG * _tracker_noise(rng, count), degrees=True)
    tracked = _poses(true[:, :3, 3] + shift, rotation * error)
    times = np.arange(count) / FRAME_RATE_HZ
    breath = BREATHING_MM * np.sin(2 * np.pi * (times / rng.uniform(3, 5) + rng.random()))
    heading = rng.normal(size=3) * [0.5, 1, 0.5]
    moved = breath[:, None] * heading / np.linalg.norm(heading)
    return SimulatedSweep(times, true, tracked, rng.uniform(0.0, 0.12) * moved, moved / 2, kind)


def _progress(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return how far along its path the probe is at each frame, -0.5 to 0.5, at uneven speed."""
    speed = np.maximum(0.2, 1 + rng.uniform(0.15, 0.5) * wander(rng, count, rng.uniform(8, 25)))
    share = np.cumsum(speed) / speed.sum()
    back, part = rng.random() < BACK_SHARE, rng.uniform(0.4, 0.9)
    if back:
        share = np.where(share < 0.65, share / 0.65, 1 - part * (share - 0.65) / 0.35)
    centred: np.ndarray = (share - 0.5) * rng.choice([-1, 1])
    return centred


def _extent(rng: np.random.Generator, kind: str) -> tuple[float, float, float]:
    """Return the length in mm, and the angles in degrees about x and about z, of a sweep from end to end."""
    low, high = {
        "translated": ((55, 0, 0), (105, 0, 0)),
        "rocked": ((0, 40, 0), (8, 78, 0)),
        "swept": ((40, -20, -25), (80, 50, 25)),
        "rotated": ((0, -10, 50), (20, 10, 110)),
    }[kind]
    length_mm, rock_deg, turn_deg = (float(v) for v in rng.uniform(low, high))
    return length_mm, rock_deg, turn_deg


def _tracker_noise(rng: np.random.Generator, count: int) -> np.ndarray:
    return 0.6 * wander(rng, (count, 3), 15) + 0.5 * rng.normal(size=(count, 3))


def _poses(position_mm: np.ndarray, rotation: Rotation) -> np.ndarray:
    poses = np.tile(np.eye(4), (len(position_mm), 1, 1))
    poses[:, :3, :3] = rotation.as_matrix()
    poses[:, :3, 3] = position_mm
    return poses
