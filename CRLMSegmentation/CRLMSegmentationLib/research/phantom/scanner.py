"""The simulated scanner: from the anatomy under each frame to grey values along its beams."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .anatomy import Anatomy
from .clutter import Clutter, add_clutter
from .display import DISPLAY_1, Display
from .probe import Probe
from .speckle import RAYLEIGH, Statistics, envelope
from .sweep import SimulatedSweep


@dataclass(frozen=True)
class Scanner:
    """Settings of the scanner in one sweep.

    Attributes:
        gain_db: overall gain error.
        slope_db_cm: what the time gain compensation gets wrong, per cm of depth.
        bumps_db: error of each slider of the time gain compensation, shape (8,).
        range_db: dynamic range of the display.
        noise_db: electronic noise at the probe's face, against the parenchyma.
        noise_slope_db_cm: by how much the gain raises the noise per cm of depth.
        contact: gain of each line in dB, shape (frames, lines).
    """

    gain_db: float
    slope_db_cm: float
    bumps_db: np.ndarray
    range_db: float
    noise_db: float
    contact: np.ndarray
    noise_slope_db_cm: float = 2.6


def draw_scanner(rng: np.random.Generator, contact_rng: np.random.Generator, frames: int, lines: int) -> Scanner:
    """Draw the settings of a scanner that nobody has tuned, as in version 1.

    Args:
        contact_rng: of the contact; version 1 takes one generator for both.
    """
    coarse = ndimage.gaussian_filter(contact_rng.normal(size=(frames, lines)), (25, 18), mode="nearest")
    loss = np.clip(coarse / coarse.std() - contact_rng.uniform(0.8, 2.5), 0, None)
    return Scanner(
        gain_db=float(2.5 * rng.normal()),
        slope_db_cm=float(0.35 * rng.normal()),
        bumps_db=1.2 * rng.normal(size=8),
        range_db=float(rng.uniform(50, 66)),
        noise_db=float(rng.uniform(-42, -34)),
        contact=-9.0 * loss,
    )


@dataclass(frozen=True, eq=False)
class Imaging:
    """What turns tissue into grey values; the defaults are those of version 1.

    Attributes:
        frame_spacing_mm: mean distance between frames, one or at each depth.
        clutter: None for none.
    """

    probe: Probe
    scanner: Scanner
    frame_spacing_mm: float | np.ndarray
    statistics: Statistics = RAYLEIGH
    display: Display = DISPLAY_1
    clutter: Clutter | None = None


def image_beams(
    anatomy: Anatomy,
    sweep: SimulatedSweep,
    imaging: Imaging,
    rng: np.random.Generator,
    clutter_rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Return grey values along the beams, uint8, shape (frames, lines, samples).

    Args:
        rng: of speckle and electronic noise.
        clutter_rng: of the speckle of clutter, where there is any.
    """
    probe, scanner, display = imaging.probe, imaging.scanner, imaging.display
    scattering, attenuation = _fields_on_beams(anatomy, sweep, probe)
    signal = envelope(scattering, imaging.frame_spacing_mm, rng, probe, imaging.statistics)
    for _ in range(1, display.looks):
        signal += envelope(scattering, imaging.frame_spacing_mm, rng, probe, imaging.statistics)
    if display.looks > 1:
        signal /= display.looks
    depth_cm = probe.depths_mm / 10
    loss = 2 * probe.frequency_mhz * np.cumsum(attenuation - attenuation.mean(), axis=2) * (depth_cm[1] - depth_cm[0])
    bumps = ndimage.gaussian_filter1d(np.repeat(scanner.bumps_db, -(-probe.samples // 8))[: probe.samples], 15)
    gain_db = scanner.gain_db + scanner.slope_db_cm * (depth_cm - 4) + bumps + scanner.contact[:, :, None] - loss
    noise_db = scanner.noise_db + scanner.noise_slope_db_cm * depth_cm + scanner.slope_db_cm * (depth_cm - 4)
    noise = rng.rayleigh(np.sqrt(0.5), signal.shape).astype(np.float32) * 10 ** (noise_db / 20)
    received = signal * 10 ** (gain_db / 20) + noise + 1e-4
    if imaging.clutter is not None and clutter_rng is not None:
        add_clutter(received, imaging.clutter, clutter_rng, probe.depths_mm)
    return display.show(display.compress(20 * np.log10(received), scanner.range_db))


def _fields_on_beams(anatomy: Anatomy, sweep: SimulatedSweep, probe: Probe) -> tuple[np.ndarray, np.ndarray]:
    """Return scattering and attenuation at the beams' samples, shapes (frames, lines, samples)."""
    beams = probe.beam_points_mm()
    points = beams.reshape(-1, 3)
    to_grid = np.linalg.inv(anatomy.grid_to_local)
    result = np.empty((2, len(sweep.times_s), *beams.shape[:2]), np.float32)
    for n, (pose, shift) in enumerate(zip(sweep.true_poses, sweep.breathing_mm)):
        matrix = to_grid @ pose
        matrix[:3, 3] -= to_grid[:3, :3] @ shift
        ijk = points @ matrix[:3, :3].T + matrix[:3, 3]
        for out, field in zip(result[:, n], (anatomy.scattering_db, anatomy.attenuation_db_cm_mhz)):
            out[:] = ndimage.map_coordinates(field, ijk.T[::-1], order=1, mode="nearest").reshape(beams.shape[:2])
    return result[0], result[1]
