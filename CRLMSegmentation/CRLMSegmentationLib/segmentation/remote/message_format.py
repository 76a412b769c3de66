"""The format of the messages between a client and a segmentation server: headers, codes, entries and their bounds.

See Documentation/formats.md. Both sides check what the other sends against the same tables, see `messages`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from ...core.crop_format import CROP_SIZE_LIMITS_MM
from ...core.json_fields import (
    BOOLEAN,
    HASH,
    MAX_COORDINATE_MM,
    NOT_NEGATIVE,
    NUMBER,
    POINT,
    SHARE,
    FieldKind,
    in_range,
    is_integer,
    is_list_of,
    is_number,
    is_object_with,
)
from ...core.points import MAX_POINTS, PointKind
from ..results import Purpose

FORMAT = 1
"""Version of the messages; a server tells which it understands."""
MEDIA_TYPE = "application/vnd.crlm-segmentation"
PATH = "/v1/segmentations"
REQUEST_HEADER, CLIENT_HEADER = "CRLM-Request", "CRLM-Client"
"""32 hexadecimal digits: of one request, the same when it is sent again; and of a client from its start on."""
LESION_HEADER, SEQUENCE_HEADER = "CRLM-Lesion", "CRLM-Sequence"
"""Numbers that a client gives: to its lesions, and to its requests in their order; of a lesion the newest wins."""
BACKGROUND_HEADER = "CRLM-Background"
"""1 where nobody waits for the answer."""
MAX_NUMBER = 2**31 - 1
MAX_REQUEST_BYTES = 64 << 20
MAX_ANSWER_BYTES = 512 << 20
MAX_EDGE = 4096
"""Voxels along an axis of an array."""
MAX_TEXT, MAX_WARNINGS = 500, 50
STAGES = ("crop", "preprocess", "inference", "postprocess")
MASK_DTYPE = "|b1"
VOXEL_DTYPES = ("|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f4", "<f8")


class Wanted(Enum):
    """What a client wants of an answer."""

    BOTH = "both"
    MASK = "mask"
    PROBABILITY = "probability"


class Code(Enum):
    """Why a server does not answer a request; the client decides by it what to do next."""

    TOKEN = "token"
    MALFORMED = "malformed"
    TOO_LARGE = "too large"
    TOO_SLOW = "too slow"
    CONFLICT = "conflict"
    """The same request id with another body."""
    MODEL = "model"
    RATE = "rate"
    BUSY = "busy"
    INPUT = "input"
    """The network, or what prepares its input, refuses the crop: it would on any computer."""
    LOST = "lost"
    """The worker was lost, twice."""
    TIME_LIMIT = "time limit"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    """A newer request for the same lesion has come."""


def _one_of(values: Mapping[str, object] | tuple[str, ...]) -> FieldKind:
    return FieldKind(f"one of {', '.join(values)}", lambda value: isinstance(value, str) and value in values)


def _holds_points(value: Any) -> bool:
    kinds = {"kind": _one_of(tuple(kind.value for kind in PointKind)), "ras_mm": POINT}
    return is_list_of(is_object_with(kinds))(value) and len(value) <= MAX_POINTS


def _holds_matrix(value: Any) -> bool:
    return is_list_of(is_list_of(is_number, 4), 4)(value)


MATRIX_4X4 = FieldKind("four rows of four finite numbers", _holds_matrix)
INDEX = FieldKind("three indices", is_list_of(in_range(0, MAX_EDGE, is_integer), 3))
TEXTS = FieldKind(
    f"at most {MAX_WARNINGS} texts",
    lambda value: is_list_of(lambda text: isinstance(text, str))(value) and len(value) <= MAX_WARNINGS,
)
ARRAYS = FieldKind("a list of arrays", lambda value: isinstance(value, list) and len(value) <= 8)
BACKGROUND = {
    "values": FieldKind("at most 16 numbers", lambda value: is_list_of(is_number)(value) and len(value) <= 16),
    "tolerance": NOT_NEGATIVE,
    "low": NUMBER.or_null().required(),
    "high": NUMBER.or_null().required(),
    "is_in_tissue": BOOLEAN,
}
REQUEST = {
    "type": _one_of(("segment",)),
    "format": FieldKind(f"the version {FORMAT}", lambda value: is_integer(value) and value == FORMAT),
    "model_sha256": HASH,
    "answer": _one_of(tuple(wanted.value for wanted in Wanted)),
    "seed_ras_mm": POINT,
    "crop_size_mm": FieldKind("a width in mm of a crop", in_range(*CROP_SIZE_LIMITS_MM)),
    "mirroring": BOOLEAN,
    "quick": BOOLEAN,
    "flip": FieldKind(
        "array axes, each once",
        lambda value: is_list_of(in_range(0, 2, is_integer))(value) and len(set(value)) == len(value),
    ),
    "sliding_window": BOOLEAN,
    "purpose": _one_of(tuple(purpose.value for purpose in Purpose)),
    "points": FieldKind(f"at most {MAX_POINTS} points with kind and ras_mm", _holds_points),
    "ijk_to_ras": MATRIX_4X4,
    "background": FieldKind(
        "a background", lambda value: is_object_with(BACKGROUND)(value) and set(value) == set(BACKGROUND)
    ).or_absent(),
    "arrays": ARRAYS,
}
MASK_ARRAYS = ("missing", "insonified", "not_insonified_blocks")
LESION = {
    "volume_ml": NOT_NEGATIVE,
    "diameters_mm": FieldKind("three lengths in mm", is_list_of(in_range(0, MAX_COORDINATE_MM), 3)),
    "mean_probability": SHARE,
    "warnings": TEXTS,
    "offset_kji": INDEX,
    "shape": FieldKind("three sizes", is_list_of(in_range(1, MAX_EDGE, is_integer), 3)),
    "ijk_to_ras": MATRIX_4X4,
    "crop_to_ras": MATRIX_4X4,
}
FINISHED = {
    "type": _one_of(("finished",)),
    "format": REQUEST["format"],
    "request": FieldKind("the id of the request", lambda value: isinstance(value, str)),
    "body_sha256": HASH,
    "model_sha256": HASH,
    "timings_s": FieldKind(
        f"seconds of {', '.join(STAGES)}",
        lambda value: (
            isinstance(value, dict) and set(value) <= set(STAGES) and all(map(NOT_NEGATIVE.holds, value.values()))
        ),
    ),
    "queue_s": NOT_NEGATIVE,
    "server_s": NOT_NEGATIVE,
    "device": FieldKind("a text", lambda value: isinstance(value, str)),
    "warnings": TEXTS,
    "lesion": FieldKind(
        "a lesion", lambda value: is_object_with(LESION)(value) and set(value) == set(LESION)
    ).or_absent(),
    "arrays": ARRAYS,
}
PROGRESS = {
    "type": _one_of(("progress",)),
    "stage": _one_of(STAGES),
    "done": FieldKind("a count", in_range(0, MAX_NUMBER, is_integer)),
    "total": FieldKind("a count", in_range(0, MAX_NUMBER, is_integer)),
    "arrays": ARRAYS,
}
WAITING = {
    "type": _one_of(("waiting",)),
    "ahead": FieldKind("a count", in_range(0, MAX_NUMBER, is_integer)),
    "arrays": ARRAYS,
}
ENDED = {
    "type": _one_of(("failed", "cancelled")),
    "request": FINISHED["request"],
    "code": _one_of(tuple(code.value for code in Code)),
    "reason": FieldKind("a text", lambda value: isinstance(value, str)),
    "arrays": ARRAYS,
}
UPDATES: dict[str, Mapping[str, FieldKind]] = {
    "finished": FINISHED,
    "failed": ENDED,
    "cancelled": ENDED,
    "progress": PROGRESS,
    "waiting": WAITING,
}
"""What an answer consists of, by type; the first three are its end."""
