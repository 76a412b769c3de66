"""Orientation of the rows and columns of an ultrasound image on the probe, in PLUS's letters.

The first letter says where the columns grow (x), the second where the rows grow (y): M towards the marked side
of the probe, U to the unmarked; F far from the probe, N near. A third, A or D, tells which way slices of a
volume are stacked; it says nothing of a single picture. Calibrations count in MF.
"""

from __future__ import annotations

import logging

import numpy as np

from ...core.errors import SweepError

logger = logging.getLogger(__name__)

IN_MEMORY = "MF"
UNKNOWN = ("", "XX", "N/A", "NA")
LATERAL, AXIAL = {"M": False, "U": True}, {"F": False, "N": True}
"""Whether the letter runs against that of MF."""


def is_unknown(orientation: str) -> bool:
    """Whether the letters leave the orientation of the frames open."""
    return orientation.strip().upper() in UNKNOWN


def to_mf(frames: np.ndarray, orientation: str, name: str) -> np.ndarray:
    """Flip frames of a file into MF: the marked side to the right and the depth downwards.

    Args:
        frames: shape (N, rows, columns) or (N, rows, columns, C) as in the file.
        orientation: PLUS's letters; empty, XX or N/A are taken for MF, as PLUS does, with a warning.
        name: of the file, for messages.

    Raises:
        SweepError: letters that make no 2D picture.
    """
    if is_unknown(orientation):
        logger.warning("%s does not say how its frames lie on the probe; taken for %s", name, IN_MEMORY)
        return frames
    return _turned(frames, *_turns(orientation))


def from_mf(frames: np.ndarray, orientation: str) -> np.ndarray:
    """Flip frames in MF back into the orientation of a file, the inverse of `to_mf`."""
    if is_unknown(orientation):
        return frames
    flip_columns, flip_rows, transpose = _turns(orientation)
    turned = _turned(frames, flip_columns, flip_rows, transpose=False)
    return np.swapaxes(turned, 1, 2) if transpose else turned


def _turned(frames: np.ndarray, flip_columns: bool, flip_rows: bool, transpose: bool) -> np.ndarray:
    if transpose:
        frames = np.swapaxes(frames, 1, 2)
    return frames[:, :: -1 if flip_rows else 1, :: -1 if flip_columns else 1]


def _turns(orientation: str) -> tuple[bool, bool, bool]:
    """Return whether to flip the columns of MF, to flip its rows, and to exchange both before."""
    letters = orientation.strip().upper().removeprefix("US_IMG_ORIENT_")
    if len(letters) == 2 or (len(letters) == 3 and letters[2] in "AD"):
        x, y = letters[0], letters[1]
        if x in LATERAL and y in AXIAL:
            return LATERAL[x], AXIAL[y], False
        if x in AXIAL and y in LATERAL:
            return LATERAL[y], AXIAL[x], True
    raise SweepError(
        f"frames of orientation '{orientation}' cannot be read as 2D pictures; expected MF, MN, UF, UN, or FM, FU, "
        "NM, NU where the scan lines are rows; correct UltrasoundImageOrientation in the file"
    )
