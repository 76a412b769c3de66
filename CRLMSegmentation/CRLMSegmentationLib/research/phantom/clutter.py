"""What a scanner shows beside the tissue: haze and bands near the probe, side lobes, noise, lost contact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

HAZE_REACH = 5
"""Depths of the haze's decay after which it is left out."""


@dataclass(frozen=True)
class Clutter:
    """Clutter of one sweep; levels are amplitudes against the parenchyma.

    Attributes:
        haze_db, haze_mm: level at the face, and depth over which it falls by a factor e.
        bands_db, bands_mm: level of the first reverberation, and distance between them; each next one is `fading_db`
            lower.
        side_lobes_db: level of what leaks in from the tissue beside each line.
        loss_db: of lines without contact, shape (frames, lines), added to the scanner's own.
    """

    haze_db: float
    haze_mm: float
    bands_db: float
    bands_mm: float
    fading_db: float
    side_lobes_db: float
    loss_db: np.ndarray


def draw_clutter(rng: np.random.Generator, frames: int, lines: int) -> Clutter:
    """Draw clutter from hardly any to strong."""
    return Clutter(
        haze_db=float(rng.uniform(-24, 3)),
        haze_mm=float(rng.uniform(2.5, 11)),
        bands_db=float(rng.uniform(-30, 9)),
        bands_mm=float(rng.uniform(1.8, 7)),
        fading_db=float(rng.uniform(3, 8)),
        side_lobes_db=float(rng.uniform(-36, -13)),
        loss_db=_draw_loss(rng, frames, lines),
    )


def _draw_loss(rng: np.random.Generator, frames: int, lines: int) -> np.ndarray:
    """Draw shadows of air under the face, and sides of the face that do not touch; dB, shape (frames, lines)."""
    grain = (rng.uniform(8, 35), rng.uniform(5, 20))
    coarse = ndimage.gaussian_filter(rng.normal(size=(frames, lines)), grain, mode="nearest")
    depth_db, threshold = rng.uniform(6, 20), rng.uniform(1.2, 3.0)
    loss: np.ndarray = -depth_db * np.clip(coarse / coarse.std() - threshold, 0, 1)
    share = np.linspace(0, 1, lines)
    for side in (share, 1 - share):
        lifted, reach = rng.random() < 0.2, rng.uniform(0.03, 0.12)
        when = np.clip(ndimage.gaussian_filter1d(rng.normal(size=frames), 20) * 8 + 0.5, 0, 1)
        if lifted:
            loss -= 30 * when[:, None] * np.clip(1.5 - side / reach, 0, 1)[None, :]
    return loss


def add_clutter(signal: np.ndarray, clutter: Clutter, rng: np.random.Generator, depths_mm: np.ndarray) -> None:
    """Add clutter to the envelope, shape (frames, lines, samples), in place."""
    frames, lines, _ = signal.shape
    beside = ndimage.uniform_filter1d(signal, 2 * (lines // 8) + 1, axis=1, mode="nearest")
    beside *= _speckle(rng, signal.shape)
    signal += np.float32(10 ** (clutter.side_lobes_db / 20)) * beside
    near = int(np.searchsorted(depths_mm, HAZE_REACH * clutter.haze_mm))
    depth = depths_mm[:near]
    uneven = np.maximum(0, 1 + 0.3 * _waves(rng, frames, lines))
    haze = 10 ** (clutter.haze_db / 20) * np.exp(-depth / clutter.haze_mm)
    signal[:, :, :near] += uneven[:, :, None] * haze.astype(np.float32) * _speckle(rng, (frames, lines, near))
    bands, width_mm = np.zeros(len(depths_mm)), 0.12 * clutter.bands_mm + 0.15
    for number in range(1, 9):
        level = 10 ** ((clutter.bands_db - clutter.fading_db * (number - 1)) / 20)
        bands += level * np.exp(-(((depths_mm - number * clutter.bands_mm) / width_mm) ** 2))
    far = int(np.searchsorted(depths_mm, 9 * clutter.bands_mm))
    uneven = np.maximum(0, 1 + 0.5 * _waves(rng, frames, lines))
    signal[:, :, :far] += uneven[:, :, None] * bands[:far].astype(np.float32)


def _speckle(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return Rayleigh noise of unit mean square, float32."""
    uniform = rng.random(shape, dtype=np.float32)
    noise: np.ndarray = np.sqrt(-np.log(np.maximum(uniform, np.float32(1e-7))))
    return noise


def _waves(rng: np.random.Generator, frames: int, lines: int) -> np.ndarray:
    """Return smooth noise of unit standard deviation, float32, shape (frames, lines)."""
    noise = ndimage.gaussian_filter(rng.normal(size=(frames, lines)), (20, 12), mode="nearest")
    unit: np.ndarray = (noise / noise.std()).astype(np.float32)
    return unit
