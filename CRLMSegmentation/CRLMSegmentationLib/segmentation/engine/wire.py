"""Encoding of jobs and results as frames of the pipe between engine and worker."""

from __future__ import annotations

from dataclasses import asdict

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
    volume = job.volume
    arrays = {"voxels": volume.array}
    if volume.missing is not None:
        arrays["missing"] = volume.missing
    if volume.insonified is not None:
        arrays["insonified"] = volume.insonified_in()
    else:
        arrays["not_insonified_blocks"] = volume.not_insonified_blocks
        header["background"] = asdict(volume.background)
    header["ijk_to_ras"] = volume.ijk_to_ras.tolist()
    return encode({**header, **request_to_json(job.request), "volume": asdict(job.request.volume)}, arrays)


def decode_job(frame: Frame) -> Job:
    """Decode the job of a frame.

    Raises:
        WorkerError, VolumeError, GeometryError: it is none.
    """
    header, arrays = frame.header, frame.arrays()
    if "crop" in arrays:
        return CropJob(arrays["crop"], header["spacing_mm"], header["mirroring"])
    matrix = np.array(header["ijk_to_ras"])
    said = header.get("background", {})
    background = Background(**{**said, "values": tuple(said.get("values", ()))})
    insonified, not_insonified_blocks, missing = (
        arrays.get(name) for name in ("insonified", "not_insonified_blocks", "missing")
    )
    volume = Volume.of_part(arrays["voxels"], matrix, insonified, not_insonified_blocks, background, missing)
    return LesionJob(request_from_json(header, VolumeIdentity(**header["volume"])), volume)


def encode_answer(answer: Finished) -> list[memoryview]:
    """Encode a result as the parts of a frame."""
    header = {"type": "finished", "job_id": answer.job_id, "timings_s": answer.timings_s, "device": answer.device}
    header["warnings"] = answer.warnings
    arrays, lesion = {"probability": answer.probability}, answer.lesion
    if lesion is None:
        return encode(header, arrays)
    header["lesion"] = {
        **{name: getattr(lesion, name) for name in MASK_NUMBERS},
        "warnings": lesion.warnings,
        "offset_kji": lesion.offset_kji,
        "shape": lesion.shape,
        "ijk_to_ras": lesion.ijk_to_ras.tolist(),
        "crop_to_ras": lesion.crop_to_ras.tolist(),
    }
    return encode(header, {**arrays, "part": lesion.part})


def decode_answer(frame: Frame) -> Finished:
    """Decode the result of a frame.

    Raises:
        WorkerError: its arrays are damaged.
    """
    header, arrays = frame.header, frame.arrays()
    finished = {name: header[name] for name in ("job_id", "timings_s", "device")}
    lesion = header.get("lesion")
    if lesion is not None:
        lesion = LesionMask(
            part=arrays["part"],
            offset_kji=tuple(lesion["offset_kji"]),
            shape=tuple(lesion["shape"]),
            ijk_to_ras=np.array(lesion["ijk_to_ras"]),
            crop_probability=arrays["probability"],
            crop_to_ras=np.array(lesion["crop_to_ras"]),
            volume_ml=lesion["volume_ml"],
            diameters_mm=tuple(lesion["diameters_mm"]),
            mean_probability=lesion["mean_probability"],
            warnings=tuple(lesion["warnings"]),
        )
    return Finished(probability=arrays["probability"], warnings=tuple(header["warnings"]), lesion=lesion, **finished)
