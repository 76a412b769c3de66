"""How a scanner shows its envelope: compression to grey values, and the filters that smooth or sharpen them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from scipy import ndimage, signal


class Curve(str, Enum):
    LOGARITHMIC = "logarithmic"
    GAMMA = "gamma"
    S_SHAPED = "s-shaped"
    POWER = "power"
    """The amplitude to a power of 0.3 (nearly logarithmic) to 0.7; 0.5 is the square root."""
    CLIPPED = "clipped"


class Smoothing(str, Enum):
    NONE = "none"
    MEDIAN = "median"
    BLUR = "blur"
    ADAPTIVE = "adaptive"
    """Blurs along edges and even tissue, and leaves edges."""


@dataclass(frozen=True)
class Display:
    """Settings of the display; the defaults are those of version 1.

    Attributes:
        exponent: of the curves gamma and power; slope of the s-shaped and of the clipped one.
        middle: grey value, 0 to 1, of tissue of 0 dB.
        black: grey value, 0 to 255, of what returns nothing.
        levels: number of grey values.
        persistence: share of the frame before in each frame.
        blur: sigma across the lines and along them, samples.
        sharpening: how much of the difference from a blurred image is added.
        looks: number of independent images that spatial compounding averages.
    """

    curve: Curve = Curve.LOGARITHMIC
    exponent: float = 1.0
    middle: float = 0.5
    black: int = 0
    levels: int = 256
    smoothing: Smoothing = Smoothing.NONE
    blur: tuple[float, float] = (1.0, 1.0)
    sharpening: float = 0.0
    persistence: float = 0.0
    looks: int = 1

    def compress(self, level_db: np.ndarray, range_db: float) -> np.ndarray:
        """Return grey values of nominally 0 to 1.

        Args:
            level_db: amplitude against the parenchyma.
            range_db: dynamic range.
        """
        share: np.ndarray = self.middle + level_db / range_db
        if self.curve is Curve.POWER:
            share = np.float32(self.middle) * np.power(np.float32(10), np.float32(self.exponent / 20) * level_db)
        elif self.curve is Curve.GAMMA:
            share = self.middle * np.power(np.clip(share, 0, 1) / self.middle, np.float32(self.exponent))
        elif self.curve is Curve.CLIPPED:
            share = self.middle + (np.clip(share, 0, 1) - self.middle) * self.exponent
        elif self.curve is Curve.S_SHAPED:
            centred = (np.clip(share, 0, 1) - self.middle) * self.exponent
            share = 0.5 + 0.5 * np.tanh(centred) / np.tanh(0.5 * self.exponent)
        return share

    def show(self, share: np.ndarray) -> np.ndarray:
        """Return filtered grey values, uint8, from those that `compress` returns, shape (frames, lines, samples)."""
        grey: np.ndarray
        if self == DISPLAY_1:
            grey = np.clip(255 * share, 0, 255).astype(np.uint8)
            return grey
        share = np.clip(share, 0, 1).astype(np.float32)
        if self.persistence:
            kept = np.float32(self.persistence)
            share, _ = signal.lfilter([1 - kept], [1, -kept], share, axis=0, zi=kept * share[:1])
        share = self._smoothed(share.astype(np.float32, copy=False))
        if self.sharpening:
            share = share + np.float32(self.sharpening) * (share - _blurred(share, (2.0, 2.0)))
        share = np.round(np.clip(share, 0, 1) * (self.levels - 1)) / (self.levels - 1)
        grey = (self.black + (255 - self.black) * share).astype(np.uint8)
        return grey

    def _smoothed(self, share: np.ndarray) -> np.ndarray:
        smoothed: np.ndarray
        if self.smoothing is Smoothing.NONE:
            smoothed = share
        elif self.smoothing is Smoothing.MEDIAN:
            smoothed = ndimage.median_filter(share, (1, 3, 3))
        else:
            smoothed = _blurred(share, self.blur)
        if self.smoothing is Smoothing.ADAPTIVE:
            edges = np.abs(_blurred(share - smoothed, (1.5, 1.5)))
            weight = np.float32(1) / (1 + (edges / np.float32(0.03)) ** 2)
            smoothed = share + weight * (smoothed - share)
        return smoothed


DISPLAY_1 = Display()
"""Of version 1."""


def _blurred(share: np.ndarray, sigma: tuple[float, float]) -> np.ndarray:
    blurred: np.ndarray = ndimage.gaussian_filter(share, (0, *sigma), truncate=2.5)
    return blurred


def draw_display(rng: np.random.Generator) -> Display:
    """Draw a display of whatever scanner; never inverted."""
    curve = list(Curve)[rng.choice(5, p=(0.30, 0.20, 0.20, 0.20, 0.10))]
    low, high = {
        Curve.LOGARITHMIC: (1, 1),
        Curve.GAMMA: (0.6, 1.8),
        Curve.S_SHAPED: (2.0, 5.0),
        Curve.POWER: (0.30, 0.70),
        Curve.CLIPPED: (1.2, 2.0),
    }[curve]
    chance = rng.random(4)
    return Display(
        curve=curve,
        exponent=float(rng.uniform(low, high)),
        middle=float(rng.uniform(0.26, 0.58)),
        black=int(rng.integers(1, 13)),
        levels=int(rng.choice([256, 64, 32, 16], p=[0.6, 0.2, 0.14, 0.06])),
        smoothing=list(Smoothing)[rng.choice(4, p=(0.4, 0.15, 0.25, 0.2))],
        blur=(float(rng.uniform(0.5, 1.4)), float(rng.uniform(0.5, 1.6))),
        sharpening=float(rng.uniform(0.3, 1.2)) if chance[0] < 0.25 else 0.0,
        persistence=float(rng.uniform(0.2, 0.6)) if chance[1] < 0.25 else 0.0,
        looks=int(2 + (chance[3] < 0.4)) if chance[2] < 0.25 else 1,
    )
