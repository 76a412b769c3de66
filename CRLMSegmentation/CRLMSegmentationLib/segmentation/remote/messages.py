"""The messages between a client and a segmentation server, version 1; see Documentation/formats.md.

A request and each part of an answer are one frame of `core.frames`: a JSON object, and arrays in their raw form.
Nothing is ever unpickled. Both sides check what the other sends against the same tables: every entry is known, in its
bounds, and agrees with the others. What leaves the room is the part of a volume that one crop needs, its place in the
frame of the tracker, seed, points and options; no names, no identities, no times, no paths.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...core.background import BLOCK
from ...core.box import Box
from ...core.crop import crop_grid, part_for_crop
from ...core.errors import CrlmError, JsonError, ServerError
from ...core.frames import Frame, decode, encode
from ...core.json_fields import (
    FieldKind,
    check_object,
    in_range,
    is_integer,
    is_list_of,
)
from ...core.json_files import check_values
from ...core.text import printable
from ...core.volume import Volume, VolumeIdentity
from ..engine.engine import Finished, LesionJob
from ..engine.wire import lesion_from_json, lesion_to_json, part_from_json, part_to_json
from ..results import Request, request_from_json, request_to_json
from .message_format import (
    FORMAT,
    MASK_ARRAYS,
    MASK_DTYPE,
    MAX_EDGE,
    MAX_TEXT,
    REQUEST,
    STAGES,
    UPDATES,
    VOXEL_DTYPES,
    Code,
    Wanted,
)

NO_IDENTITY = VolumeIdentity("", 0.0, "", "")
"""Of the volumes that a server sees: they have none."""


class WireError(ServerError):
    """A message between client and server is not what it must be."""


@dataclass(frozen=True, eq=False)
class SegmentRequest:
    """A decoded request.

    Attributes:
        model_sha256: of the model that must answer.
        job: its request names neither lesion nor volume.
    """

    model_sha256: str
    wanted: Wanted
    job: LesionJob


def encode_request(job: LesionJob, model_sha256: str, wanted: Wanted = Wanted.BOTH) -> bytes:
    """Return the body of a request: what the crop needs, and nothing that tells whose it is.

    Raises:
        WireError: the job asks for a whole volume.
    """
    if job.request.options.crop_size_mm is None:
        raise WireError("a server is sent crops; a model that sees whole volumes runs on this computer only")
    about = request_to_json(job.request)
    del about["lesion"]
    placed, arrays = part_to_json(job.volume)
    header = {"type": "segment", "format": FORMAT, "model_sha256": model_sha256, "answer": wanted.value}
    solid = {name: array.astype(array.dtype.newbyteorder("<"), copy=False) for name, array in arrays.items()}
    return b"".join(encode({**header, **about, **placed}, solid))


def decode_request(body: bytes | memoryview) -> SegmentRequest:
    """Return a request after checking all that it says.

    Raises:
        WireError: says what is wrong with it.
    """
    try:
        frame = decode(body)
        header = _checked_header(frame, REQUEST)
        dtypes = {"voxels": VOXEL_DTYPES, **dict.fromkeys(MASK_ARRAYS, (MASK_DTYPE,))}
        arrays = _checked_arrays(frame, dtypes)
        _check_parts(header, arrays)
        volume = part_from_json(header, arrays)
        request: Request = request_from_json({**header, "lesion": ""}, NO_IDENTITY)
    except WireError:
        raise
    except (CrlmError, TypeError, ValueError, KeyError, OverflowError) as error:
        raise WireError(f"the request cannot be used: {error}") from error
    return SegmentRequest(header["model_sha256"], Wanted(header["answer"]), LesionJob(request, volume))


def check_is_part(job: LesionJob, spacing_mm: float) -> None:
    """Refuse a request that sends more of a volume than its crop can show, or whose seed lies elsewhere.

    Raises:
        WireError: what is wrong.
    """
    seed, size_mm = np.array(job.request.seed_ras_mm), job.request.options.crop_size_mm or 0.0
    try:
        needed, _ = part_for_crop(job.volume, seed, size_mm, spacing_mm)
    except CrlmError as error:
        raise WireError(f"the crop cannot be cut: {error}") from error
    more = np.subtract(job.volume.array.shape, needed.array.shape)
    if more.max() > 2 * BLOCK:
        raise WireError(
            f"the request sends {job.volume.array.shape} voxels where the crop needs {needed.array.shape}; "
            "no more of a volume may be sent"
        )


def encode_update(kind: str, **entries: object) -> bytes:
    """Return a part of an answer without arrays."""
    return b"".join(encode({"type": kind, **entries}))


def encode_ended(kind: str, request_id: str, code: Code, reason: str) -> bytes:
    """Return the end of an answer that is none: "failed" or "cancelled"."""
    return encode_update(kind, request=request_id, code=code.value, reason=reason)


def encode_answer(
    answer: Finished,
    request_id: str,
    body_sha256: str,
    model_sha256: str,
    wanted: Wanted,
    queue_s: float,
    server_s: float,
) -> bytes:
    """Return the end of an answer that is one.

    Args:
        answer: to the job of a lesion.
        body_sha256: of the body of the request, so that no answer is taken for that to another.
        queue_s, server_s: for which the request has waited, and was on the server altogether.
    """
    if answer.lesion is None:
        raise TypeError("the engine has answered the job of a lesion without a lesion")
    arrays = {}
    if wanted is not Wanted.MASK:
        arrays["probability"] = answer.probability
    if wanted is not Wanted.PROBABILITY:
        arrays["part"] = answer.lesion.part
    header: dict[str, Any] = {"type": "finished", "format": FORMAT, "request": request_id, "body_sha256": body_sha256}
    header.update(
        model_sha256=model_sha256,
        timings_s={name: seconds for name, seconds in answer.timings_s.items() if name in STAGES},
        queue_s=queue_s,
        server_s=server_s,
        device=answer.device,
        warnings=answer.warnings,
        lesion=lesion_to_json(answer.lesion),
    )
    return b"".join(encode(header, arrays))


def check_update(frame: Frame) -> dict[str, Any]:
    """Return the header of a part of an answer after checking its entries; the arrays of an answer are not checked.

    Raises:
        WireError: it is none.
    """
    kinds = UPDATES.get(frame.type)
    if kinds is None:
        raise WireError(f"the server has sent a message of the unknown type '{printable(frame.type, 40)}'")
    return _checked_header(frame, kinds)


def decode_answer(frame: Frame, request_id: str, body: bytes, sent: SegmentRequest, spacing_mm: float) -> Finished:
    """Return the answer to a request after checking that it is one, to this request, and possible.

    Args:
        sent: what was asked for; both mask and probability were.
        spacing_mm: of the model.

    Raises:
        WireError: what is wrong with it.
    """
    header = check_update(frame)
    expected = {
        "request": request_id,
        "body_sha256": hashlib.sha256(body).hexdigest(),
        "model_sha256": sent.model_sha256,
    }
    for name, value in expected.items():
        if header[name] != value:
            raise WireError(f"the server has answered another request: its {name} differs")
    arrays = _checked_arrays(frame, {"probability": ("<f4",), "part": (MASK_DTYPE,)})
    if set(arrays) != {"probability", "part"} or "lesion" not in header:
        raise WireError("the answer lacks the mask or the probability")
    _check_lesion(header["lesion"], arrays, sent.job, spacing_mm)
    lesion = lesion_from_json(header["lesion"], arrays)
    warnings = tuple(printable(text, MAX_TEXT) for text in lesion.warnings)
    return Finished(
        0,
        arrays["probability"],
        header["timings_s"],
        printable(header["device"], MAX_TEXT),
        tuple(printable(text, MAX_TEXT) for text in header["warnings"]),
        replace(lesion, warnings=warnings),
    )


def _checked_header(frame: Frame, kinds: Mapping[str, FieldKind]) -> dict[str, Any]:
    try:
        check_values(frame.header)
        check_object(frame.header, kinds, frame.type[:40], only_these=True)
    except JsonError as error:
        raise WireError(f"the message cannot be used: {error}") from error
    return frame.header


def _checked_arrays(frame: Frame, dtypes: Mapping[str, tuple[str, ...]]) -> dict[str, np.ndarray]:
    """Return the arrays of a frame, (K, J, I), after checking names, types, sizes and values."""
    total = 0
    names = set()
    for entry in frame.header["arrays"]:
        is_triple = isinstance(entry, list) and len(entry) == 3
        name, dtype, shape = entry if is_triple else (None, None, ())
        if not isinstance(name, str) or name in names or dtype not in dtypes.get(name, ()):
            raise WireError(f"an array is not one of {', '.join(dtypes)} of a known type")
        least = 0 if name == "part" else 1
        if not is_list_of(in_range(least, MAX_EDGE, is_integer), 3)(shape):
            raise WireError(f"the array '{name}' must have three axes of at most {MAX_EDGE} voxels")
        names.add(name)
        total += math.prod(shape) * np.dtype(dtype).itemsize
    if total != len(frame.payload):
        raise WireError(f"arrays of {total} bytes came with {len(frame.payload)} bytes")
    arrays = frame.arrays()
    for name, array in arrays.items():
        if array.dtype == bool and array.size and array.view(np.uint8).max() > 1:
            raise WireError(f"the mask '{name}' holds other values than 0 and 1")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise WireError(f"the array '{name}' holds NaN or infinite values")
    return arrays


def _check_parts(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse arrays that do not belong together."""
    if "voxels" not in arrays or ("insonified" in arrays) == ("not_insonified_blocks" in arrays):
        raise WireError("a request has voxels, and either insonified or not_insonified_blocks")
    if ("background" in header) != ("not_insonified_blocks" in arrays):
        raise WireError("a background belongs to not_insonified_blocks, and to nothing else")
    shape = arrays["voxels"].shape
    blocks = tuple(-(-size // BLOCK) for size in shape)
    for name, expected in (("insonified", shape), ("missing", shape), ("not_insonified_blocks", blocks)):
        if name in arrays and arrays[name].shape != expected:
            raise WireError(f"'{name}' has the shape {arrays[name].shape}, expected {expected}")


def _check_lesion(
    about: Mapping[str, Any], arrays: Mapping[str, np.ndarray], job: LesionJob, spacing_mm: float
) -> None:
    """Refuse a lesion that cannot be one of the crop that was sent."""
    size_mm = job.request.options.crop_size_mm or 0.0
    grid, shape = crop_grid(np.array(job.request.seed_ras_mm), size_mm, spacing_mm)
    probability, part = arrays["probability"], arrays["part"]
    if probability.shape != tuple(shape) or not np.allclose(about["crop_to_ras"], grid, rtol=0, atol=1e-6):
        raise WireError(f"the probability has the shape {probability.shape}, or a place, that is not the crop's")
    if probability.min() < 0 or probability.max() > 1:
        raise WireError("a probability is below 0 or above 1")
    volume: Volume = job.volume
    if tuple(about["shape"]) != volume.array.shape or not np.array_equal(about["ijk_to_ras"], volume.ijk_to_ras):
        raise WireError("the mask is on another grid than the crop that was sent")
    box = Box.of_part(tuple(about["offset_kji"]), part.shape)
    if any(stop > size for stop, size in zip(box.stop_kji, volume.array.shape)):
        raise WireError("the mask leads out of the crop that was sent")
    voxel_ml = abs(float(np.linalg.det(volume.ijk_to_ras[:3, :3]))) / 1000
    if not math.isclose(about["volume_ml"], int(part.sum()) * voxel_ml, rel_tol=1e-6, abs_tol=1e-9):
        raise WireError("the volume of the lesion is not that of its mask")
