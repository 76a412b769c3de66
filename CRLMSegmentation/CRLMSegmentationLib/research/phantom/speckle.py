"""Simulation of the scanner: speckle, blur, attenuation, gain, log compression, scan conversion.

Scatterers are complex Gaussian noise; their amplitude follows the anatomy. A point-spread function that
widens with depth sums them coherently, so that the envelope of even tissue is Rayleigh distributed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage, sparse

from .anatomy import Anatomy
from .sweep import SimulatedSweep

FREQUENCY_MHZ = 5.0
PROBE_RADIUS_MM = 25.0
HALF_ANGLE_RAD = np.radians(32.0)
LINES, SAMPLES = 128, 230
DEPTH_MM = 92.0
AXIAL_SIGMA_MM = 0.30
"""Of the envelope: about one wavelength, 0.3 mm at 5 MHz."""
FOCUS_MM, LATERAL_SIGMA_MM, ELEVATION_SIGMA_MM = 40.0, 0.6, 1.0
SPREAD = 0.022
"""Growth of the beam's sigma for each mm away from the focus: about 2.5 mm full width at 92 mm."""
PIXEL_MM = 0.5


@dataclass(frozen=True)
class Scanner:
    """Settings of the scanner in one sweep.

    Attributes:
        gain_db: overall gain error.
        slope_db_cm: what the time gain compensation gets wrong, per cm of depth.
        bumps_db: error of each slider of the time gain compensation, shape (8,).
        range_db: dynamic range of the display.
        noise_db: electronic noise at the probe's face, against the parenchyma.
        contact: gain of each line in dB, shape (frames, LINES).
    """

    gain_db: float
    slope_db_cm: float
    bumps_db: np.ndarray
    range_db: float
    noise_db: float
    contact: np.ndarray


def draw_scanner(rng: np.random.Generator, frames: int) -> Scanner:
    """Draw the settings of a scanner that nobody has tuned."""
    coarse = ndimage.gaussian_filter(rng.normal(size=(frames, LINES)), (25, 18), mode="nearest")
    loss = np.clip(coarse / coarse.std() - rng.uniform(0.8, 2.5), 0, None)
    return Scanner(
        gain_db=float(2.5 * rng.normal()),
        slope_db_cm=float(0.35 * rng.normal()),
        bumps_db=1.2 * rng.normal(size=8),
        range_db=float(rng.uniform(50, 66)),
        noise_db=float(rng.uniform(-42, -34)),
        contact=-9.0 * loss,
    )


def beam_points() -> np.ndarray:
    """Return the sample positions of one frame in the frame of the probe, mm, shape (LINES, SAMPLES, 3)."""
    angle = np.linspace(-HALF_ANGLE_RAD, HALF_ANGLE_RAD, LINES)[:, None]
    radius = PROBE_RADIUS_MM + _depths()[None, :]
    return np.stack(np.broadcast_arrays(radius * np.sin(angle), 0.0, radius * np.cos(angle) - PROBE_RADIUS_MM), axis=-1)


def _depths() -> np.ndarray:
    return np.linspace(0.5, DEPTH_MM, SAMPLES)


def envelope(scattering_db: np.ndarray, frame_spacing_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Return the envelope before log compression; its mean square is 1 in tissue of 0 dB.

    Args:
        scattering_db: shape (frames, LINES, SAMPLES).
        frame_spacing_mm: mean distance between frames.
    """
    shape = scattering_db.shape
    noise = rng.standard_normal((*shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    field = noise * (10 ** (scattering_db / 20) / np.sqrt(2)).astype(np.float32)
    depth = _depths()
    away = SPREAD * (depth - FOCUS_MM)
    line_mm = (PROBE_RADIUS_MM + depth) * 2 * HALF_ANGLE_RAD / (LINES - 1)
    lateral = np.hypot(LATERAL_SIGMA_MM, away) / line_mm
    elevation = np.hypot(ELEVATION_SIGMA_MM, away) / frame_spacing_mm
    spectrum = fft.fft2(field, axes=(0, 1), overwrite_x=True)
    spectrum *= _transfer(shape[0], elevation)[:, None, :]
    spectrum *= _transfer(shape[1], lateral)[None, :, :]
    blurred = fft.ifft2(spectrum, axes=(0, 1), overwrite_x=True)
    axial = AXIAL_SIGMA_MM / (depth[1] - depth[0])
    blurred = ndimage.gaussian_filter1d(blurred.real, axial, axis=2) + 1j * ndimage.gaussian_filter1d(
        blurred.imag, axial, axis=2
    )
    impulse = np.zeros(41)
    impulse[20] = 1
    axial_power = (ndimage.gaussian_filter1d(impulse, axial) ** 2).sum()
    power = (_transfer(shape[0], elevation) ** 2).mean(0) * (_transfer(shape[1], lateral) ** 2).mean(0) * axial_power
    amplitude: np.ndarray = (np.abs(blurred) / np.sqrt(power)).astype(np.float32)
    return amplitude


def _transfer(count: int, sigma: np.ndarray) -> np.ndarray:
    """Return the Fourier transform of unit-sum Gaussians with sigma in samples, shape (count, len(sigma))."""
    frequency = fft.fftfreq(count)[:, None]
    transfer: np.ndarray = np.exp(-2 * (np.pi * frequency * sigma[None, :]) ** 2).astype(np.float32)
    return transfer


def image_beams(anatomy: Anatomy, sweep: SimulatedSweep, scanner: Scanner, rng: np.random.Generator) -> np.ndarray:
    """Return log-compressed grey values along the beams, uint8, shape (frames, LINES, SAMPLES)."""
    scattering, attenuation = _fields_on_beams(anatomy, sweep)
    spacing_mm = np.linalg.norm(np.diff(sweep.true_poses[:, :3, 3], axis=0), axis=1).mean()
    signal = envelope(scattering, spacing_mm, rng)
    depth_cm = _depths() / 10
    loss = 2 * FREQUENCY_MHZ * np.cumsum(attenuation - attenuation.mean(), axis=2) * (depth_cm[1] - depth_cm[0])
    bumps = ndimage.gaussian_filter1d(np.repeat(scanner.bumps_db, -(-SAMPLES // 8))[:SAMPLES], 15)
    gain_db = scanner.gain_db + scanner.slope_db_cm * (depth_cm - 4) + bumps + scanner.contact[:, :, None] - loss
    noise_db = scanner.noise_db + 2.6 * depth_cm + scanner.slope_db_cm * (depth_cm - 4)
    noise = rng.rayleigh(np.sqrt(0.5), signal.shape).astype(np.float32) * 10 ** (noise_db / 20)
    level_db = 20 * np.log10(signal * 10 ** (gain_db / 20) + noise + 1e-4)
    grey: np.ndarray = np.clip(255 * (0.5 + level_db / scanner.range_db), 0, 255).astype(np.uint8)
    return grey


def _fields_on_beams(anatomy: Anatomy, sweep: SimulatedSweep) -> tuple[np.ndarray, np.ndarray]:
    points = beam_points().reshape(-1, 3)
    to_grid = np.linalg.inv(anatomy.grid_to_local)
    result = np.empty((2, len(sweep.times_s), LINES, SAMPLES), np.float32)
    for n, (pose, shift) in enumerate(zip(sweep.true_poses, sweep.breathing_mm)):
        matrix = to_grid @ pose
        matrix[:3, 3] -= to_grid[:3, :3] @ shift
        ijk = points @ matrix[:3, :3].T + matrix[:3, 3]
        for out, field in zip(result[:, n], (anatomy.scattering_db, anatomy.attenuation_db_cm_mhz)):
            out[:] = ndimage.map_coordinates(field, ijk.T[::-1], order=1, mode="nearest").reshape(LINES, SAMPLES)
    return result[0], result[1]


@dataclass(frozen=True, eq=False)
class ScanConverter:
    """Scan conversion from beams to the pixels of a 2D image.

    Attributes:
        weights: sparse, (pixels inside the fan, LINES * SAMPLES), bilinear.
        points_mm: the pixels in the probe's frame, shape (pixels, 3).
    """

    weights: sparse.csr_matrix
    points_mm: np.ndarray


def make_fan() -> ScanConverter:
    """Return the pixels of the image that lie inside the fan."""
    half_width = (PROBE_RADIUS_MM + DEPTH_MM) * np.sin(HALF_ANGLE_RAD)
    x, z = np.meshgrid(np.arange(-half_width, half_width, PIXEL_MM), np.arange(-4, DEPTH_MM, PIXEL_MM))
    angle = np.arctan2(x, z + PROBE_RADIUS_MM)
    depth = np.hypot(x, z + PROBE_RADIUS_MM) - PROBE_RADIUS_MM
    line = (angle + HALF_ANGLE_RAD) / (2 * HALF_ANGLE_RAD) * (LINES - 1)
    sample = (depth - _depths()[0]) / (_depths()[1] - _depths()[0])
    inside = (line >= 0) & (line < LINES - 1) & (sample >= 0) & (sample < SAMPLES - 1)
    line, sample = line[inside], sample[inside]
    rows = np.arange(len(line))
    weights = sparse.csr_matrix((len(line), LINES * SAMPLES), dtype=np.float32)
    for dl in (0, 1):
        for ds in (0, 1):
            share = np.abs(1 - dl - line % 1) * np.abs(1 - ds - sample % 1)
            column = (line.astype(int) + dl) * SAMPLES + sample.astype(int) + ds
            weights += sparse.csr_matrix((share.astype(np.float32), (rows, column)), weights.shape)
    return ScanConverter(weights, np.stack([x[inside], np.zeros(len(line)), z[inside]], axis=1))
