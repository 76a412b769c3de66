"""Where the pixels of a picture lie on the probe, and which of them are tissue.

Comes as 16 (or 12) numbers, as a text file of them, or as a device-set configuration of PLUS.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ..core.errors import SweepError
from ..core.plain_xml import BLANKS, parse_xml

IMAGE_TO_PROBE = "ImageToProbe"
MAX_BYTES = 10 * 1024 * 1024
PIXEL_LIMITS_MM = (1e-3, 10.0)


@dataclass(frozen=True)
class ClipRectangle:
    """The part of the picture that is used, in pixels (x, y) of MF; the size counts pixels."""

    origin_px: tuple[int, int]
    size_px: tuple[int, int]


@dataclass(frozen=True)
class Fan:
    """The sector of a curved probe, in pixels of MF.

    Attributes:
        origin_px: the centre of the arcs (x, y), often above the picture.
        angles_deg: of its left and right edge against straight down (rows growing), positive to the right.
        radius_px: of the inner and the outer arc.
    """

    origin_px: tuple[float, float]
    angles_deg: tuple[float, float]
    radius_px: tuple[float, float] = (0.0, float("inf"))


@dataclass(frozen=True, eq=False)
class ImageRegion:
    """Which pixels of a frame are used: a rectangle, and within it a mask (rows, columns) or all."""

    rows: slice
    columns: slice
    mask: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Calibration:
    """What is known of a probe and its pictures.

    Attributes:
        image_to_probe: 4x4, pixels (column, row, 0) of MF to mm of Probe; left-handed ones are legal.
        transforms: all transforms that the source defines, by name, ImageToProbe and e.g. StylusTipToStylus.
        clip: None for the whole picture.
        fan: None where the picture is no sector.
        output_spacing_mm: of PLUS's volume along x, y, z, or None.
        compounding: PLUS's word, such as "MEAN", or None.
        interpolation: PLUS's word, "LINEAR" or "NEAREST_NEIGHBOR", or None.
        fill_holes: PLUS's switch, or None.
    """

    image_to_probe: np.ndarray
    transforms: dict[str, np.ndarray] = field(default_factory=dict)
    clip: ClipRectangle | None = None
    fan: Fan | None = None
    output_spacing_mm: tuple[float, float, float] | None = None
    compounding: str | None = None
    interpolation: str | None = None
    fill_holes: bool | None = None

    def __post_init__(self) -> None:
        matrix = check_calibration(self.image_to_probe, IMAGE_TO_PROBE)
        pixel_mm = np.linalg.norm(matrix[:3, :2], axis=0)
        if (pixel_mm < PIXEL_LIMITS_MM[0]).any() or (pixel_mm > PIXEL_LIMITS_MM[1]).any():
            raise SweepError(
                f"{IMAGE_TO_PROBE} makes pixels of {np.round(pixel_mm, 5).tolist()} mm, expected {PIXEL_LIMITS_MM[0]} "
                f"to {PIXEL_LIMITS_MM[1]} mm; it must take pixels to millimetres"
            )
        object.__setattr__(self, "image_to_probe", matrix)
        object.__setattr__(self, "transforms", {**self.transforms, IMAGE_TO_PROBE: matrix})

    def region(self, rows: int, columns: int) -> ImageRegion:
        """The pixels to use of frames of a size.

        Raises:
            SweepError: none is left.
        """
        return image_region(rows, columns, self.clip, self.fan)


def image_region(rows: int, columns: int, clip: ClipRectangle | None = None, fan: Fan | None = None) -> ImageRegion:
    """The pixels within a rectangle and a sector; both, either or none may be given.

    Raises:
        SweepError: none is left.
    """
    (x, y), (width, height) = (clip.origin_px, clip.size_px) if clip else ((0, 0), (columns, rows))
    used_rows, used_columns = slice(max(0, y), min(rows, y + height)), slice(max(0, x), min(columns, x + width))
    if used_rows.start >= used_rows.stop or used_columns.start >= used_columns.stop:
        raise SweepError(f"the clip rectangle {clip} leaves nothing of frames of {columns} x {rows} pixels")
    mask = None if fan is None else _inside(fan, used_rows, used_columns)
    if mask is not None and not mask.any():
        raise SweepError(f"the {fan} leaves nothing of frames of {columns} x {rows} pixels; correct FanOriginPixel")
    return ImageRegion(used_rows, used_columns, mask)


def _inside(fan: Fan, rows: slice, columns: slice) -> np.ndarray:
    x = np.arange(columns.start, columns.stop)[None, :] - fan.origin_px[0]
    y = np.arange(rows.start, rows.stop)[:, None] - fan.origin_px[1]
    radius = np.hypot(x, y)
    angle_deg = np.degrees(np.arctan2(x, y))
    within = (angle_deg >= min(fan.angles_deg)) & (angle_deg <= max(fan.angles_deg))
    return within & (radius >= fan.radius_px[0]) & (radius <= fan.radius_px[1])


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


def read_calibration(text_or_path: str | Path) -> Calibration:
    """Read a calibration from a file or from its content.

    Args:
        text_or_path: a path (text or XML file), or text: 16 or 12 numbers row by row with spaces, commas,
            semicolons or brackets between, or the XML of a device-set configuration of PLUS.

    Raises:
        SweepError: no such file, no numbers, no ImageToProbe in it, or a matrix that cannot be one.
    """
    text = _text(text_or_path)
    return _from_xml(text) if text.lstrip(BLANKS).startswith("<") else _from_numbers(text)


def _text(text_or_path: str | Path) -> str:
    if isinstance(text_or_path, str) and _looks_like_content(text_or_path):
        return text_or_path
    path = Path(text_or_path)
    if not path.is_file():
        raise SweepError(f"no such calibration file, and no 16 numbers: {str(text_or_path)[:200]}")
    if path.stat().st_size > MAX_BYTES:
        raise SweepError(f"{path.name} is too large for a calibration: {path.stat().st_size / 1e6:.0f} MB")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SweepError(f"{path.name} is not a text file; expected 16 numbers or a PLUS configuration") from error


def _looks_like_content(text: str) -> bool:
    return text.lstrip(BLANKS).startswith("<") or "\n" in text or len(_words(text)) in (12, 16)


def _words(text: str) -> list[str]:
    return re.split(r"[\s,;\[\]()]+", text.strip(" \t\r\n,;[]()\ufeff"))


def _from_numbers(text: str) -> Calibration:
    return Calibration(_matrix(text, IMAGE_TO_PROBE))


def _matrix(text: str, name: str) -> np.ndarray:
    numbers = _numbers(text, name)
    if len(numbers) not in (12, 16):
        raise SweepError(f"{name} must be 16 numbers (or 12, without the last row), got {len(numbers)}")
    return np.array([*numbers, 0, 0, 0, 1][:16]).reshape(4, 4)


def _numbers(text: str, name: str) -> list[float]:
    try:
        return [float(word) for word in _words(text)]
    except ValueError as error:
        raise SweepError(f"{name} must be numbers, got '{text.strip()[:60]}'") from error


def _from_xml(text: str) -> Calibration:
    try:
        root = parse_xml(text, MAX_BYTES)
    except ValueError as error:
        raise SweepError(f"the configuration cannot be read: {error}") from error
    transforms = {}
    for element in root.iter("Transform"):
        if {"From", "To", "Matrix"} <= set(element.attrib):
            name = f"{element.get('From')}To{element.get('To')}"
            transforms[name] = check_calibration(_matrix(element.get("Matrix"), name), name)
    if IMAGE_TO_PROBE not in transforms:
        known = ", ".join(transforms) or "none"
        raise SweepError(f'the configuration has no <Transform From="Image" To="Probe" Matrix="...">; it has: {known}')
    element = root.find(".//VolumeReconstruction")
    settings = {} if element is None else _settings(element)
    return Calibration(transforms[IMAGE_TO_PROBE], transforms, **settings)


def _settings(element: ElementTree.Element) -> dict:
    def numbers(count: int, *keys: str) -> tuple[float, ...] | None:
        text = next((element.get(key) for key in keys if element.get(key) is not None), None)
        if text is None:
            return None
        values = _numbers(text, keys[0])
        if len(values) != count:
            raise SweepError(f"{keys[0]} must be {count} numbers, got '{text}'")
        return tuple(values)

    origin, size = numbers(2, "ClipRectangleOrigin"), numbers(2, "ClipRectangleSize")
    clip = None
    if origin and size and min(size) > 0:
        clip = ClipRectangle((round(origin[0]), round(origin[1])), (round(size[0]), round(size[1])))
    angles, fan_origin = numbers(2, "FanAnglesDeg", "FanAngles"), numbers(2, "FanOriginPixel", "FanOrigin")
    fan = None
    if angles and any(angles):  # PLUS: both 0 means no fan
        if fan_origin is None:
            raise SweepError("the configuration has FanAnglesDeg but no FanOriginPixel")
        start, stop = numbers(1, "FanRadiusStartPixel"), numbers(1, "FanRadiusStopPixel", "FanDepth")
        fan = Fan(fan_origin, angles, (start[0] if start else 0.0, stop[0] if stop else float("inf")))
    holes = element.get("FillHoles")
    return {
        "clip": clip,
        "fan": fan,
        "output_spacing_mm": numbers(3, "OutputSpacing"),
        "compounding": element.get("CompoundingMode"),
        "interpolation": element.get("Interpolation"),
        "fill_holes": None if holes is None else holes.upper() in ("ON", "TRUE"),
    }
