"""Reading of a PLUS device-set configuration: the transforms of a probe, and settings of the reconstruction."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

import numpy as np

from ...core.errors import SweepError
from ...core.plain_xml import parse_xml
from .calibrated_matrix import check_calibration, matrix_of, numbers_of
from .image_region import ClipRectangle, Fan

IMAGE_TO_PROBE = "ImageToProbe"
UNUSED_SETTINGS = {
    "OutputOrigin": None,
    "OutputExtent": None,
    "SkipInterval": "1",
    "PixelRejectionThreshold": None,
    "ImportanceMaskFilename": None,
    "EnableFanAnglesAutoDetect": "FALSE",
    "RecomputeOutputSpacing": "FALSE",
}
"""Settings of PLUS's reconstructor that change its volume and have no counterpart here, and the value that does not."""


def read_configuration(content: str | bytes, max_characters: int) -> dict:
    """Read transforms, rectangle, sector and reconstruction settings of a configuration.

    Args:
        content: its text, or the bytes of its file, in the encoding that it declares.

    Returns:
        The arguments of a `Calibration`.

    Raises:
        SweepError: it is no XML, has no transform, or says two things of one.
    """
    try:
        root = parse_xml(content, max_characters)
    except ValueError as error:
        raise SweepError(f"the configuration cannot be read: {error}") from error
    transforms = _transforms(root)
    if not transforms:
        raise SweepError(
            'the configuration has no <Transform From="Image" To="Probe" Matrix="...">; give the one with which the '
            "sweep was recorded, after the calibration"
        )
    element = _reconstruction(root)
    settings = {} if element is None else _settings(element)
    return {"image_to_probe": transforms.get(IMAGE_TO_PROBE), "transforms": transforms, **settings}


def _transforms(root: ElementTree.Element) -> dict[str, np.ndarray]:
    transforms: dict[str, np.ndarray] = {}
    for element in root.iter("Transform"):
        start, goal, numbers = (element.get(key) for key in ("From", "To", "Matrix"))
        if start is None or goal is None or numbers is None:
            continue
        name = f"{start}To{goal}"
        matrix = check_calibration(matrix_of(numbers, name), name)
        if name in transforms and not np.allclose(transforms[name], matrix, atol=1e-6):
            raise SweepError(f"the configuration defines {name} twice, with different numbers; remove one of them")
        transforms[name] = matrix
    return transforms


def _reconstruction(root: ElementTree.Element) -> ElementTree.Element | None:
    elements = list(root.iter("VolumeReconstruction"))
    if any(element.attrib != elements[0].attrib for element in elements[1:]):
        raise SweepError(
            f"the configuration has {len(elements)} VolumeReconstruction elements with different settings; keep the "
            "one that is meant"
        )
    return elements[0] if elements else None


def _settings(element: ElementTree.Element) -> dict:
    return {
        "clip": _clip(element),
        "fan": _fan(element),
        "output_spacing_mm": _numbers(element, 3, "OutputSpacing"),
        "compounding": _compounding(element),
        "interpolation": element.get("Interpolation"),
        "fill_holes": _switch(element, "FillHoles"),
        "image_frame": element.get("ImageCoordinateFrame") or None,
        "reference_frame": element.get("ReferenceCoordinateFrame") or None,
        "notes": tuple(_notes(element)),
    }


def _clip(element: ElementTree.Element) -> ClipRectangle | None:
    origin, size = _numbers(element, 2, "ClipRectangleOrigin"), _numbers(element, 2, "ClipRectangleSize")
    if not size or min(size) <= 0:  # PLUS: 0 means no clipping
        return None
    if origin is None:
        raise SweepError("the configuration has ClipRectangleSize but no ClipRectangleOrigin; add it or remove both")
    return ClipRectangle((round(origin[0]), round(origin[1])), (round(size[0]), round(size[1])))


def _fan(element: ElementTree.Element) -> Fan | None:
    angles = _numbers(element, 2, "FanAnglesDeg", "FanAngles")
    if not angles or not any(angles):  # PLUS: both 0 means no fan
        return None
    origin = _numbers(element, 2, "FanOriginPixel", "FanOrigin")
    if origin is None:
        raise SweepError("the configuration has FanAnglesDeg but no FanOriginPixel")
    start, stop = _numbers(element, 1, "FanRadiusStartPixel"), _numbers(element, 1, "FanRadiusStopPixel", "FanDepth")
    radii = (start[0] if start else 0.0, stop[0] if stop else float("inf"))
    return Fan((origin[0], origin[1]), (angles[0], angles[1]), radii)


def _numbers(element: ElementTree.Element, count: int, *keys: str) -> tuple[float, ...] | None:
    """Return the numbers of the first of several attributes that is present; None where none is."""
    text = next((element.get(key) for key in keys if element.get(key) is not None), None)
    if text is None:
        return None
    values = numbers_of(text, keys[0])
    if len(values) != count or not np.isfinite(values).all():
        raise SweepError(f"{keys[0]} must be {count} numbers, got '{text[:60]}'")
    return tuple(values)


def _compounding(element: ElementTree.Element) -> str | None:
    """Return CompoundingMode, or what PLUS makes of the two attributes that it has replaced."""
    if element.get("CompoundingMode") is not None:
        return element.get("CompoundingMode")
    if (element.get("Calculation") or "").upper() == "MAXIMUM":
        return "MAXIMUM"
    switch = _switch(element, "Compounding")
    return None if switch is None else "MEAN" if switch else "LATEST"


def _switch(element: ElementTree.Element, key: str) -> bool | None:
    text = element.get(key)
    if text is None:
        return None
    if text.strip().upper() not in ("ON", "OFF", "TRUE", "FALSE"):
        raise SweepError(f"{key} must be ON or OFF, got '{text[:40]}'; correct the configuration")
    return text.strip().upper() in ("ON", "TRUE")


def _notes(element: ElementTree.Element) -> Iterator[str]:
    settings = {key: element.attrib[key] for key in UNUSED_SETTINGS if key in element.attrib}
    changed = {key: text for key, text in settings.items() if text.upper() != UNUSED_SETTINGS[key]}
    unused = [f"{key} {text[:40]}" for key, text in changed.items()]
    unused += ["HoleFilling"] if element.find("HoleFilling") is not None else []
    if unused:
        yield f"not used of the configuration: {', '.join(unused)}"
