"""The protocol of a segmentation engine: jobs are submitted, events are polled.

This module needs neither torch nor processes. `worker_engine.WorkerEngine` is the real engine; a test needs only a
class with the methods of `Engine`.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from typing import Protocol, Union

import numpy as np

from ...core.errors import WorkerError
from ...core.postprocessing import LesionMask
from ...core.volume import Volume
from ..results import Request


class EngineState(enum.Enum):
    STOPPED = "stopped"
    """Not started, or closed."""
    STARTING = "starting"
    """The worker loads the model; jobs may be submitted and wait."""
    READY = "ready"
    BUSY = "busy"
    FAILED = "failed"
    """Given up; the last `Failed` event says why. `start()` tries again."""


@dataclass(frozen=True, eq=False)
class LesionJob:
    """A request together with the voxels that it needs; the engine cuts the crop, runs the network and cleans up.

    Attributes:
        volume: the part of the volume that the crop can show, see `core.crop.part_for_crop`, or all of it; not to be
            written to until the job has ended.
    """

    request: Request
    volume: Volume


@dataclass(frozen=True, eq=False)
class CropJob:
    """A crop to segment, for comparisons with nnU-Net itself.

    Attributes:
        array: float32, shape (C, K, J, I), the channels that the model wants, see
            `core.crop.network_input`; not to be written to until the job has ended.
        spacing_mm: edge of the voxels, which are cubes.
        mirroring: average over mirrored copies as well; slower, a little better.
    """

    array: np.ndarray
    spacing_mm: float
    mirroring: bool = False

    def __post_init__(self) -> None:
        array = self.array
        if array.ndim != 4 or 0 in array.shape or array.dtype != np.float32:
            raise WorkerError(f"a crop is float32 of shape (C, K, J, I), got {array.dtype} of shape {array.shape}")
        if not (math.isfinite(self.spacing_mm) and self.spacing_mm > 0):
            raise WorkerError(f"the spacing of a crop must be above 0 mm, got {self.spacing_mm}")


@dataclass(frozen=True)
class Started:
    """A worker process was started; `reason` says why a fresh one was needed, empty the first time."""

    pid: int
    reason: str = ""


@dataclass(frozen=True)
class Ready:
    """The model is loaded and has made its first prediction.

    Attributes:
        device: runtime, precision and device, such as "OpenVINO bfloat16, 2 cores".
        cold_start_s: from starting the process to here.
        versions: of python and, where they are installed, openvino, torch and nnunetv2 in the worker.
        warnings: for example, why a GPU that is there is not used.
        pass_s: time of one pass of the network; None where it was not measured.
    """

    device: str
    cold_start_s: float
    model_name: str
    model_sha256: str
    versions: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    pass_s: float | None = None


@dataclass(frozen=True)
class Progress:
    """Progress of a job.

    Attributes:
        stage: "crop", "preprocess", "inference" or "postprocess".
        done, total: in "inference" the passes of the network, else 0 and 1.
    """

    job_id: int
    stage: str
    done: int
    total: int


@dataclass(frozen=True, eq=False)
class Finished:
    """The result of a job.

    Attributes:
        probability: of tumour, float32, shape (K, J, I) of the crop.
        timings_s: preprocess, inference, postprocess, of all passes that were made; for a lesion also crop. An answer
            to the whole volume that the worker has kept from an earlier lesion counts with what it took then, so that
            no lesion looks cheaper than it is when it is the first.
        device: that computed it; may differ from `Ready.device` when memory ran out.
        warnings: in plain words.
        lesion: in the volume of a `LesionJob`, None for a `CropJob`.
    """

    job_id: int
    probability: np.ndarray
    timings_s: dict[str, float]
    device: str
    warnings: tuple[str, ...] = ()
    lesion: LesionMask | None = None


@dataclass(frozen=True)
class Failed:
    """A job has no answer, or (job_id None) the engine cannot go on; `reason` says what to do next.

    Attributes:
        is_lost: the worker or the server was lost on the way, so that another one may answer the same job.
    """

    job_id: int | None
    reason: str
    is_lost: bool = False


@dataclass(frozen=True)
class Cancelled:
    """A job was cancelled, or a newer one has taken its place."""

    job_id: int


Job = Union[LesionJob, CropJob]
Event = Union[Started, Ready, Progress, Finished, Failed, Cancelled]


class Engine(Protocol):
    """Runs one job at a time; a new job replaces an older one. Each ends in one Finished, Failed or Cancelled."""

    @property
    def state(self) -> EngineState: ...

    def start(self) -> None:
        """Begin to load the model; returns at once. Does nothing if already started."""

    def submit(self, job: Job) -> int:
        """Queue a job and return its id; jobs still unanswered are cancelled. Starts the engine if need be."""

    def poll(self) -> list[Event]:
        """Return the events since the last call, without blocking. Call it every 5 to 10 ms."""

    def cancel(self) -> None:
        """Cancel every unanswered job; `Cancelled` follows within 1 s. Does nothing if there is none."""

    def close(self) -> None:
        """End the engine and everything it has started."""
