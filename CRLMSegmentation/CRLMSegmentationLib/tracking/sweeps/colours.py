"""Conversion of colour frames to brightness, and warnings about frames that show real colour."""

from __future__ import annotations

import numpy as np

from ...core.errors import SweepError

LUMA_256 = (77, 150, 29)
"""ITU-R BT.601's share of red, green and blue in brightness, in parts of 256."""
LOOKED_AT = 20
"""Frames, spread over the sweep, in which colour is looked for."""
COLOURED = 0.08
"""Share of the range by which red, green and blue of a pixel differ where it is no grey; compression makes a little."""
FEW = 1e-4
"""Share of coloured pixels that is not worth a word: a mark of the scanner."""


def grey(frame: np.ndarray) -> np.ndarray:
    """Return the brightness of each pixel in the frame's own type: (ITU-R BT.601) of red, green and blue.

    Args:
        frame: shape (rows, columns), or (rows, columns, C) with C 1, 3 or 4 (the fourth, opacity, is left out).

    Raises:
        SweepError: another number of components.
    """
    if frame.ndim == 2:
        return frame
    if frame.shape[-1] == 1:
        return frame[..., 0]
    if frame.shape[-1] not in (3, 4):
        raise SweepError(f"frames have {frame.shape[-1]} components; expected grey, RGB or RGBA")
    is_whole = frame.dtype.kind in "ui"
    mixed = frame[..., :3].astype(np.int64 if is_whole else np.float64) @ np.array(LUMA_256)
    return np.asarray(((mixed + 128) // 256 if is_whole else mixed / 256).astype(frame.dtype))


def colour_notes(frames: np.ndarray, accepted: np.ndarray | None = None) -> list[str]:
    """Return warnings about frames in colour, as sentences for a user; none for grey frames.

    Args:
        frames: shape (N, rows, columns) or (N, rows, columns, C).
        accepted: bool, shape (N,), the frames that are used; None for all.
    """
    if frames.ndim == 3 or frames.shape[-1] < 3:
        return []
    numbers = np.arange(len(frames)) if accepted is None else np.flatnonzero(accepted)
    looked = frames[numbers[:: max(1, len(numbers) // LOOKED_AT)]][..., :3]
    spread = looked.max(axis=-1).astype(float) - looked.min(axis=-1)
    full = np.iinfo(frames.dtype).max if frames.dtype.kind in "ui" else float(looked.max(initial=0)) or 1.0
    share = float(np.mean(spread > COLOURED * full))
    if share <= FEW:
        return ["the frames are stored in colour; they show grey alone, which was taken"]
    return [
        f"{100 * share:.2g} % of the pixels are coloured (Doppler or marks?); their brightness was taken, which is no "
        "B-mode there"
    ]
