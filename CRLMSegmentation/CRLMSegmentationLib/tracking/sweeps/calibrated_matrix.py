"""Parsing and checks of the 4x4 matrices in a probe calibration."""

from __future__ import annotations

import re

import numpy as np

from ...core.errors import SweepError
from ...core.geometry import MAX_CALIBRATION_SHEAR

PIXEL_LIMITS_MM = (5e-3, 10.0)
"""Of real probes 0.02 to 1 mm. A calibration in metres gives less than the lower limit."""
DECIMAL_COMMA = re.compile(r"\d,\d+[ \t]+[-+.\d]|[^,;\s][ \t]+-?\d+,\d")
"""A comma within a number and a blank after or before it in one line: 0,5 0 0 would be read as four numbers."""


def check_calibration(matrix: np.ndarray, name: str) -> np.ndarray:
    """Return a float64 copy of a calibrated 4x4 matrix, or say why it cannot be one.

    Raises:
        SweepError: wrong shape, not finite, not affine, singular.
    """
    checked = np.array(matrix, dtype=np.float64)
    if checked.shape != (4, 4):
        raise SweepError(f"{name} must be 4x4, got {checked.shape}")
    if not np.isfinite(checked).all():
        raise SweepError(f"{name} holds NaN or infinity; calibrate again")
    if not np.allclose(checked[3], [0, 0, 0, 1], atol=1e-6):
        raise SweepError(f"{name} must end in the row 0 0 0 1, got {checked[3].tolist()}; is it transposed?")
    scale = np.linalg.norm(checked[:3, :3], axis=0)
    if not scale.all() or abs(np.linalg.det(checked[:3, :3] / scale)) < 1e-3:
        raise SweepError(f"{name} is singular: {checked[:3, :3].tolist()}; its third column must be the normal")
    return checked


def check_pixel_size(matrix: np.ndarray, name: str) -> np.ndarray:
    """Return the size of a pixel in mm, shape (2,), along columns and rows.

    Raises:
        SweepError: no ultrasound picture has such pixels.
    """
    pixel_mm = np.linalg.norm(matrix[:3, :2], axis=0)
    if not ((pixel_mm >= PIXEL_LIMITS_MM[0]) & (pixel_mm <= PIXEL_LIMITS_MM[1])).all():
        raise SweepError(
            f"{name} makes pixels of {np.round(pixel_mm, 5).tolist()} mm, expected {PIXEL_LIMITS_MM[0]} "
            f"to {PIXEL_LIMITS_MM[1]} mm; it must take pixels to millimetres (not metres)"
        )
    cosine = abs(float(matrix[:3, 0] @ matrix[:3, 1])) / pixel_mm.prod()
    if cosine > MAX_CALIBRATION_SHEAR:
        raise SweepError(
            f"{name} puts rows and columns of the picture at a cosine of {cosine:.2f}, at most {MAX_CALIBRATION_SHEAR} "
            "is taken; calibrate again"
        )
    return np.asarray(pixel_mm)


def matrix_of(text: str, name: str) -> np.ndarray:
    numbers = numbers_of(text, name)
    if len(numbers) not in (12, 16):
        raise SweepError(f"{name} must be 16 numbers (or 12, without the last row), got {len(numbers)}")
    return np.array([*numbers, 0, 0, 0, 1][:16]).reshape(4, 4)


def numbers_of(text: str, name: str) -> list[float]:
    if DECIMAL_COMMA.search(text):
        raise SweepError(
            f"{name} mixes commas and blanks between its numbers, got '{text.strip()[:60]}'; write 0.5, not 0,5"
        )
    try:
        return [float(word) for word in words_of(text)]
    except ValueError as error:
        raise SweepError(f"{name} must be numbers, got '{text.strip()[:60]}'") from error


def words_of(text: str) -> list[str]:
    return re.split(r"[\s,;\[\]()]+", text.strip(" \t\r\n,;[]()\ufeff"))
