"""The alarm for a tip that enters a margin, and its sounds."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..workspace.workspace import Workspace

FORGET_S = 5.0
"""A tip that was lost for longer comes back as if it were seen for the first time."""
RATE_HZ = 44100
SOUNDS = {"outer": ((660.0, 0.12),), "inner": ((990.0, 0.09), (0.0, 0.05), (990.0, 0.09))}
"""Frequency in Hz and length in s of the tones: one for the widest margin, a higher one twice for those inside."""
VOLUME, FADE_S = 0.5, 0.01


class MarginAlarm:
    """Remembers which margin the tip is in, also while the tip is lost for a moment.

    It also tells of a lesion whose distance is withheld because its segmentation is unsure: it may be that near.
    """

    def __init__(self, workspace: Workspace, clock: Callable[[], float]) -> None:
        self._workspace, self._clock = workspace, clock
        self._margin_mm: float | None = None
        self._seen_s = clock()

    def update(self) -> str:
        """Return "outer" or "inner" when the tip has just entered a margin, or a narrower one; else empty."""
        now_s, navigation = self._clock(), self._workspace.navigation
        if not navigation.displayed.measures:
            if now_s - self._seen_s > FORGET_S:
                self._margin_mm = None
            return ""
        before, margin_mm = self._margin_mm, navigation.displayed.margin_mm
        self._margin_mm, self._seen_s = margin_mm, now_s
        if margin_mm is None or (before is not None and margin_mm >= before):
            return ""
        return "outer" if margin_mm >= max(navigation.margins_mm, default=0.0) else "inner"


def write_sound(which: str, folder: Path) -> Path:
    """Write one of the sounds as a file that Qt plays.

    Args:
        which: "outer" or "inner".
    """
    path = folder / f"crlm-{which}-margin.wav"
    samples = np.concatenate([_tone(frequency_hz, seconds) for frequency_hz, seconds in SOUNDS[which]])
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((samples * VOLUME * 32767).astype("<i2").tobytes())
    return path


def _tone(frequency_hz: float, seconds: float) -> np.ndarray:
    """Return the samples of a tone that fades in and out, without clicks."""
    times_s = np.arange(round(RATE_HZ * seconds)) / RATE_HZ
    fade = np.clip(np.minimum(times_s, seconds - times_s) / FADE_S, 0.0, 1.0)
    return fade * np.sin(2 * np.pi * frequency_hz * times_s)
