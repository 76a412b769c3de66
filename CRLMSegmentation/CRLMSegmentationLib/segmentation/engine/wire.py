"""Encoding of jobs and results as frames of the pipe between engine and worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from ...core.background import Background
from ...core.frames import Frame, encode
from ...core.postprocessing import LesionMask
from ...core.volume import Volume, VolumeIdentity
from ..results import request_from_json, request_to_json
from .engine import CropJob, Finished, Job, LesionJob

MASK_NUMBERS = ("volume_ml", "diameters_mm", "mean_probability")


def encode_job(job_id: int, job: Job) -> list[memoryview]:
    """Encode a job as the parts of a frame."""
    header = {"type": "job", "job_id": job_id}
    if isinstance(job, CropJob):
        return encode({**header, "mirroring": job.mirroring, "spacing_mm": job.spacing_mm}, {"crop": job.array})
    placed, arrays = part_to_json(job.volume)
    about = {**request_to_json(job.request), "volume": asdict(job.request.volume)}
    return encode({**header, **placed, **about}, arrays)


def part_to_json(volume: Volume) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what describes the part of a volume that is to be segmented, and its arrays."""
    placed: dict[str, Any] = {"ijk_to_ras": volume.ijk_to_ras.tolist()}
    arrays = {"voxels": volume.array}
    if volume.missing is not None:
        arrays["missing"] = volume.missing
    if volume.insonified is not None:
        arrays["insonified"] = volume.insonified_in()
    else:
        arrays["not_insonified_blocks"] = volume.not_insonified_blocks
        placed["background"] = asdict(volume.background)
    return placed, arrays


def part_from_json(placed: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Volume:
    """Return the part of a volume that `part_to_json` has described.

    Raises:
        VolumeError, GeometryError: it is none.
    """
    matrix = np.array(placed["ijk_to_ras"])
    said = placed.get("background", {})
    background = Background(**{**said, "values": tuple(said.get("values", ()))})
    insonified, not_insonified_blocks, missing = (
        arrays.get(name) for name in ("insonified", "not_insonified_blocks", "missing")
    )
    return Volume.of_part(arrays["voxels"], matrix, insonified, not_insonified_blocks, background, missing)


def decode_job(frame: Frame) -> Job:
    """Decode the job of a frame.

    Raises:
        WorkerError, VolumeError, GeometryError: it is none.
    """
    header, arrays = frame.header, frame.arrays()
    if "crop" in arrays:
        return CropJob(arrays["crop"], header["spacing_mm"], header["mirroring"])
    return LesionJob(request_from_json(header, VolumeIdentity(**header["volume"])), part_from_json(header, arrays))


def encode_answer(answer: Finished) -> list[memoryview]:
    """Encode a result as the parts of a frame."""
    header = {"type": "finished", "job_id": answer.job_id, "timings_s": answer.timings_s, "device": answer.device}
    header["warnings"] = answer.warnings
    arrays, lesion = {"probability": answer.probability}, answer.lesion
    if lesion is None:
        return encode(header, arrays)
    return encode({**header, "lesion": lesion_to_json(lesion)}, {**arrays, "part": lesion.part})


def lesion_to_json(lesion: LesionMask) -> dict[str, Any]:
    """Return all of a lesion but its arrays."""
    return {
        **{name: getattr(lesion, name) for name in MASK_NUMBERS},
        "warnings": lesion.warnings,
        "offset_kji": lesion.offset_kji,
        "shape": lesion.shape,
        "ijk_to_ras": lesion.ijk_to_ras.tolist(),
        "crop_to_ras": lesion.crop_to_ras.tolist(),
    }


def decode_answer(frame: Frame) -> Finished:
    """Decode the result of a frame.

    Raises:
        WorkerError: its arrays are damaged.
    """
    header, arrays = frame.header, frame.arrays()
    finished = {name: header[name] for name in ("job_id", "timings_s", "device")}
    lesion = None if header.get("lesion") is None else lesion_from_json(header["lesion"], arrays)
    return Finished(probability=arrays["probability"], warnings=tuple(header["warnings"]), lesion=lesion, **finished)


def lesion_from_json(about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> LesionMask:
    """Return the lesion that `lesion_to_json` has described, with its arrays "part" and "probability"."""
    return LesionMask(
        part=arrays["part"],
        offset_kji=tuple(about["offset_kji"]),
        shape=tuple(about["shape"]),
        ijk_to_ras=np.array(about["ijk_to_ras"]),
        crop_probability=arrays["probability"],
        crop_to_ras=np.array(about["crop_to_ras"]),
        volume_ml=about["volume_ml"],
        diameters_mm=tuple(about["diameters_mm"]),
        mean_probability=about["mean_probability"],
        warnings=tuple(about["warnings"]),
    )
