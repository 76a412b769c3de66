"""Probe calibration: the position of the pixels on the probe, and which of them show tissue.

Comes as 16 (or 12) numbers, as a text file of them, or as a device-set configuration of PLUS.
"""

from __future__ import annotations

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...core.errors import SweepError
from ...core.plain_xml import BLANKS
from .calibrated_matrix import check_calibration, check_pixel_size, matrix_of, words_of
from .image_region import ClipRectangle, Fan, ImageRegion, image_region
from .plus_configuration import IMAGE_TO_PROBE, read_configuration

__all__ = [
    "IMAGE_TO_PROBE",
    "ClipRectangle",
    "Fan",
    "ImageRegion",
    "ProbeCalibration",
    "image_region",
    "read_calibration",
]

MAX_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True, eq=False)
class ProbeCalibration:
    """Calibration of a probe and its 2D images.

    Attributes:
        image_to_probe: 4x4, pixels (column, row, 0) of MF to mm of Probe; left-handed ones are legal. None where the
            source leads from the pixels to the tracked sensor under other names, see `transforms`.
        transforms: all transforms that the source defines, by name, ImageToProbe and e.g. StylusTipToStylus.
        clip: None for the whole image.
        fan: None where the image is no sector.
        output_spacing_mm: of PLUS's volume along x, y, z, or None.
        compounding: PLUS's word, such as "MEAN", or None.
        interpolation: PLUS's word, "LINEAR" or "NEAREST_NEIGHBOR", or None.
        fill_holes: PLUS's switch, or None.
        image_frame: the coordinate frame of the pixels as the source names it, or None.
        reference_frame: the coordinate frame for which PLUS would reconstruct, or None.
        notes: what the source asks for and is not done, as sentences for a user.
    """

    image_to_probe: np.ndarray | None
    transforms: dict[str, np.ndarray] = field(default_factory=dict)
    clip: ClipRectangle | None = None
    fan: Fan | None = None
    output_spacing_mm: tuple[float, float, float] | None = None
    compounding: str | None = None
    interpolation: str | None = None
    fill_holes: bool | None = None
    image_frame: str | None = None
    reference_frame: str | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.image_to_probe is None:
            return
        matrix = check_calibration(self.image_to_probe, IMAGE_TO_PROBE)
        check_pixel_size(matrix, IMAGE_TO_PROBE)
        object.__setattr__(self, "image_to_probe", matrix)
        object.__setattr__(self, "transforms", {**self.transforms, IMAGE_TO_PROBE: matrix})

    def region(self, rows: int, columns: int, to_calibrated: np.ndarray | None = None) -> ImageRegion:
        """Return the pixels to use of frames of a size.

        Args:
            to_calibrated: 4x4, pixels of the frames to pixels of the images that were calibrated, which differ where
                the frames were cropped or flipped; None where both are the same.

        Raises:
            SweepError: none is left.
        """
        return image_region(rows, columns, self.clip, self.fan, to_calibrated)


def read_calibration(text_or_path: str | Path) -> ProbeCalibration:
    """Read a calibration from a file or from its content.

    Args:
        text_or_path: a path (text or XML file), or text: 16 or 12 numbers row by row with spaces, commas,
            semicolons or brackets between, or the XML of a device-set configuration of PLUS.

    Raises:
        SweepError: no such file, no numbers, no ImageToProbe in it, or a matrix that cannot be one.
    """
    content = _content(text_or_path)
    if isinstance(content, bytes) or content.lstrip(BLANKS).startswith("<"):
        return ProbeCalibration(**read_configuration(content, MAX_BYTES))
    return _from_numbers(content)


def _content(text_or_path: str | Path) -> str | bytes:
    """Return the text, or the bytes of an XML file, which declares its own encoding."""
    if isinstance(text_or_path, str) and _looks_like_content(text_or_path):
        return text_or_path
    path = Path(text_or_path)
    if "\0" in str(text_or_path) or not path.is_file():
        raise SweepError(f"no such calibration file, and no 16 numbers: {str(text_or_path)[:200]!r}")
    if path.stat().st_size > MAX_BYTES:
        raise SweepError(f"{path.name} is too large for a calibration: {path.stat().st_size / 1e6:.0f} MB")
    data = path.read_bytes()
    if data.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").startswith(b"<"):
        return data
    try:
        text = data.decode("utf-16" if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig")
        text.encode("ascii")
    except UnicodeError as error:
        raise SweepError(f"{path.name} is not a text file; expected 16 numbers or a PLUS configuration") from error
    return text


def _looks_like_content(text: str) -> bool:
    return text.lstrip(BLANKS).startswith("<") or "\n" in text or len(words_of(text)) in (12, 16)


def _from_numbers(text: str) -> ProbeCalibration:
    return ProbeCalibration(matrix_of(text, IMAGE_TO_PROBE))
