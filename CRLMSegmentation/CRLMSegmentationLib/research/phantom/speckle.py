"""Speckle: what a scanner receives from scatterers that lie too densely to be told apart.

Scatterers are complex Gaussian noise; their amplitude follows the anatomy. A point-spread function that
widens with depth sums them coherently, so that the envelope of even tissue is Rayleigh distributed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage

from .probe import Probe


@dataclass(frozen=True)
class Statistics:
    """Distribution of the envelope; the defaults give Rayleigh's, fully developed speckle.

    Attributes:
        density: share of the samples that hold a scatterer; few of them give a K-like distribution with bright grains.
        coherent: share of the power that regular structure returns in phase; above 0 the envelope is Rician.
    """

    density: float = 1.0
    coherent: float = 0.0


RAYLEIGH = Statistics()
"""Of version 1."""


def draw_statistics(rng: np.random.Generator) -> Statistics:
    """Draw Rayleigh, K-like or Rician statistics, or a mixture. Measured in liver: Nakagami's m of 0.81 to 1.00."""
    kind = rng.choice(3, p=(0.3, 0.4, 0.3))
    density, coherent = np.exp(rng.uniform(np.log(0.04), np.log(0.5))), rng.uniform(0.1, 0.6)
    return Statistics(float(density) if kind == 1 else 1.0, float(coherent) if kind == 2 else 0.0)


def envelope(
    scattering_db: np.ndarray,
    frame_spacing_mm: float | np.ndarray,
    rng: np.random.Generator,
    probe: Probe,
    statistics: Statistics,
) -> np.ndarray:
    """Return the envelope before log compression; its mean square is 1 in tissue of 0 dB.

    Args:
        scattering_db: shape (frames, lines, samples).
        frame_spacing_mm: mean distance between frames, one or at each depth.
    """
    shape = scattering_db.shape
    noise = rng.standard_normal((*shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    if statistics.density < 1:
        noise *= (rng.random(shape, dtype=np.float32) < statistics.density) / np.float32(statistics.density**0.5)
    depth = probe.depths_mm
    away = probe.spread * (depth - probe.focus_mm)
    lateral = np.hypot(probe.lateral_sigma_mm, away) / probe.line_spacing_mm
    elevation = np.hypot(probe.elevation_sigma_mm, away) / frame_spacing_mm
    axial = probe.axial_sigma_mm / (depth[1] - depth[0])
    impulse = np.zeros(41)
    impulse[20] = 1
    axial_power = (ndimage.gaussian_filter1d(impulse, axial) ** 2).sum()
    across, along = _transfer(shape[0], elevation), _transfer(shape[1], lateral)
    power = (across**2).mean(0) * (along**2).mean(0) * axial_power
    if statistics.coherent:
        noise *= np.float32((1 - statistics.coherent) ** 0.5)
        noise += np.sqrt(2 * statistics.coherent * power).astype(np.float32)
    field = noise * (10 ** (scattering_db / 20) / np.sqrt(2)).astype(np.float32)
    spectrum = fft.fft2(field, axes=(0, 1), overwrite_x=True)
    spectrum *= across[:, None, :]
    spectrum *= along[None, :, :]
    blurred = fft.ifft2(spectrum, axes=(0, 1), overwrite_x=True)
    blurred = ndimage.gaussian_filter1d(blurred.real, axial, axis=2) + 1j * ndimage.gaussian_filter1d(
        blurred.imag, axial, axis=2
    )
    amplitude: np.ndarray = (np.abs(blurred) / np.sqrt(power)).astype(np.float32)
    return amplitude


def _transfer(count: int, sigma: np.ndarray) -> np.ndarray:
    """Return the Fourier transform of unit-sum Gaussians with sigma in samples, shape (count, len(sigma))."""
    frequency = fft.fftfreq(count)[:, None]
    transfer: np.ndarray = np.exp(-2 * (np.pi * frequency * sigma[None, :]) ** 2).astype(np.float32)
    return transfer
