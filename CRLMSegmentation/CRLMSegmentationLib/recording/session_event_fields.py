"""The fields of the events of a recorded session, and their check when events are read."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.errors import GeometryError, JsonError
from ..core.geometry import MAX_EXTENT_MM, check_ijk_to_ras
from ..core.json_fields import (
    ANY_TEXT,
    BOOLEAN,
    COUNT,
    INTEGERS_3,
    MATRIX,
    MAX_FILE_NAME,
    NAME,
    NOT_NEGATIVE,
    NUMBER,
    OBJECT,
    POINT,
    SHAPE,
    TEXT,
    TEXTS,
    TIME,
    FieldKind,
    check_object,
    in_range,
    is_integer,
    is_list_of,
    is_object_of,
    is_object_with,
    is_text,
)
from ..core.json_files import shown
from ..core.points import PointKind

MAX_SESSION_S = 1e8
"""Three years: longer than any session, short enough for every calendar."""
ENVELOPE = {
    "time_s": TIME,
    "elapsed_s": FieldKind("seconds since the start", in_range(0, MAX_SESSION_S)),
    "event": NAME,
}
FILE_NAME = FieldKind(
    "the name of a file", lambda value: is_text(value) and len(value) <= MAX_FILE_NAME and value.isprintable()
)
"""Whoever opens it makes sure that it lies in the recording; where it does not, the rest of the line holds still."""
VOLUME = {
    "device": ANY_TEXT.or_null(),
    "timestamp_s": TIME.or_null(),
    "content_sha256": TEXT.or_absent(),
    "geometry_sha256": TEXT.or_absent(),
    "shape": SHAPE.or_absent(),
    "ijk_to_ras": FieldKind("a 4x4 matrix that places voxels", lambda value: _is_place(value)).or_absent(),
    "file": FILE_NAME.or_null(),
    "swept": FILE_NAME.or_null(),
    "sha256": FieldKind("an object of file names and hashes", is_object_of(TEXT.holds)).or_absent(),
}
"""How a volume is found again. One that only says which volume it was has no shape and no matrix."""
MASK = {"file": FILE_NAME, "sha256": TEXT, "offset_kji": INTEGERS_3}
MODEL = {"name": TEXT, "version": ANY_TEXT.or_absent(), "sha256": TEXT}
POINT_KIND = FieldKind("include or exclude", lambda value: value in [kind.value for kind in PointKind])
CORRECTION_POINT = {"kind": POINT_KIND, "ras_mm": POINT}
SECONDS = FieldKind("seconds from 0 on", in_range(0, MAX_SESSION_S)).or_null()
TIMINGS = FieldKind("an object of seconds", is_object_of(SECONDS.holds))
FIELDS = {
    "lesion": NAME.or_null(),
    "name": ANY_TEXT.or_null(),
    "instrument": ANY_TEXT.or_null(),
    "device": ANY_TEXT.or_null(),
    "purpose": ANY_TEXT.or_null(),
    "reason": ANY_TEXT.or_null(),
    "why": ANY_TEXT.or_null(),
    "what": ANY_TEXT.or_null(),
    "text": ANY_TEXT.or_null(),
    "program": ANY_TEXT.or_null(),
    "version": ANY_TEXT.or_null(),
    "sha256": ANY_TEXT.or_null(),
    "seed_ras_mm": POINT.or_null(),
    "centre_ras_mm": POINT.or_null(),
    "diameters_mm": FieldKind("three numbers from 0 on", is_list_of(in_range(0, MAX_EXTENT_MM), 3)).or_null(),
    "volume_ml": FieldKind("millilitres from 0 on", in_range(0, 1e9)).or_null(),
    "crop_size_mm": FieldKind("a width in mm", in_range(1, MAX_EXTENT_MM)).or_null(),
    "distance_mm": FieldKind("a distance in mm", in_range(-1e6, 1e6)).or_null(),
    "bounds_mm": FieldKind("two distances in mm", is_list_of(in_range(-1e6, 1e6), 2)).or_null(),
    "confidence": NUMBER.or_null(),
    "cold_start_s": NOT_NEGATIVE.or_null(),
    "number": COUNT.or_absent(),
    "result": COUNT.or_null(),
    "mirroring": BOOLEAN.or_absent(),
    "sliding_window": BOOLEAN.or_absent(),
    "quick": BOOLEAN.or_absent(),
    "simulated": BOOLEAN.or_null(),
    "flip": FieldKind("a list of array axes", is_list_of(in_range(0, 2, is_integer))).or_absent(),
    "points": FieldKind(
        "a list of points with kind (include or exclude) and ras_mm", is_list_of(is_object_with(CORRECTION_POINT))
    ).or_absent(),
    "point": FieldKind("a point with kind and ras_mm", is_object_with(CORRECTION_POINT)).or_absent(),
    "warnings": TEXTS.or_null(),
    "versions": FieldKind("an object of texts", is_object_of(ANY_TEXT.or_null().holds)).or_null(),
    "timings_s": TIMINGS.or_null(),
    "model": FieldKind("a model with name and sha256", is_object_with(MODEL)).or_absent(),
    "mask": FieldKind("a mask with file, sha256 and offset_kji", is_object_with(MASK)).or_null(),
    "volume": OBJECT.or_null(),
    "left_out": FieldKind("an object of counts", is_object_of(COUNT.holds)).or_null(),
}
"""By their names, in whatever event they stand; what is not listed may be anything."""
REQUIRED = {
    "result": ("number", "lesion", "seed_ras_mm", "volume"),
    "seed placed": ("lesion", "seed_ras_mm"),
    "seed moved": ("lesion", "seed_ras_mm"),
    "point placed": ("lesion", "number", "point", "points"),
    "point moved": ("lesion", "number", "point", "points"),
    "point removed": ("lesion", "number", "point", "points"),
}


def problem_of(entry: Any) -> str:
    """Return why a line is not a valid event, in a sentence; empty where it is."""
    try:
        check_object(entry, ENVELOPE)
        check_object(entry, FIELDS)
        for name in REQUIRED.get(entry["event"], ()):
            if entry.get(name) is None:
                raise JsonError(f"{name} is missing, expected {FIELDS[name].expected}")
        if entry.get("volume") is not None:
            _check_volume(entry["volume"])
    except JsonError as error:
        return str(error)
    return ""


def _check_volume(volume: dict[str, Any]) -> None:
    check_object(volume, VOLUME, "volume")
    if "shape" in volume and not MATRIX.holds(volume.get("ijk_to_ras")):
        raise JsonError(f"volume.ijk_to_ras must be {MATRIX.expected}, got {shown(volume.get('ijk_to_ras'))}")


def _is_place(value: Any) -> bool:
    if not MATRIX.holds(value):
        return False
    try:
        check_ijk_to_ras(np.array(value, float).reshape(4, 4))
    except GeometryError:
        return False
    return True
