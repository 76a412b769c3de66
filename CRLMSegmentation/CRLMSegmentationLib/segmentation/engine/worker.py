"""The worker process that runs inference: `python -m CRLMSegmentationLib.segmentation.engine.worker MODEL_FOLDER`.

Reads frames (job, cancel) from stdin and writes frames (ready, progress, finished, failed, cancelled, fatal) to
stdout. A thread reads, so that newer jobs and cancels are seen while the network runs; only the main thread
writes. The process ends when stdin closes: whoever started it is gone.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import platform
import signal
import sys
import threading
import traceback
from pathlib import Path

from ...core.errors import CrlmError, WorkerError
from ...core.frames import Frame
from ...core.parent_process import ParentProcess
from ..inference.inference_cache import package_version
from ..inference.loading import load_model
from ..inference.prediction import CancelledError, LoadedModel
from ..inference.runtime_choice import Wish
from ..models.package import ModelPackage, load_model_package
from ..results import Options
from .engine import Finished, Job, LesionJob
from .lesion_run import Kept, run_lesion
from .wire import decode_job, encode_answer

EXIT_PARENT_GONE = 0
EXIT_FATAL = 3
NICENESS = 5
"""On a processor that both need, tools that move go before a network that computes."""
MISSING = "{error}; install torch and nnunetv2 for {python}, in 3D Slicer with the extensions PyTorch and NNUNet"
NOT_LOADED = "the model {name} cannot be run here: {error}; look at `crlm-seg info`, or choose another model"
OUT_OF_MEMORY = "not enough memory for this {region}; choose a smaller one, or close other programs"


class Inbox:
    """The queue between the reading and the main thread. It holds at most one job, the newest."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._newest: Frame | None = None
        self._dropped: list[int] = []
        self._unwanted: set[int] = set()
        self._running: int | None = None

    def put(self, frame: Frame) -> None:
        """Add a frame from the parent: a job, or the cancellation of one."""
        with self._changed:
            if frame.type == "cancel":
                self._cancel(frame.header["job_id"])
            elif frame.type == "job":
                self._replace(frame)
            self._changed.notify()

    def next(self) -> tuple[Frame | None, list[int]]:
        """Wait for a job; returns it (or None) and the jobs that were dropped before they began."""
        with self._changed:
            self._running = None
            self._unwanted.clear()
            self._changed.wait_for(lambda: self._newest is not None or self._dropped)
            frame, self._newest = self._newest, None
            dropped, self._dropped = self._dropped, []
            self._running = None if frame is None else frame.header["job_id"]
            return frame, dropped

    def is_unwanted(self, job_id: int) -> bool:
        return job_id in self._unwanted

    def _cancel(self, job_id: int) -> None:
        if self._newest is not None and self._newest.header["job_id"] == job_id:
            self._newest = None
            self._dropped.append(job_id)
        elif self._running == job_id:
            self._unwanted.add(job_id)

    def _replace(self, frame: Frame) -> None:
        if self._newest is not None:
            self._dropped.append(self._newest.header["job_id"])
        if self._running is not None:
            self._unwanted.add(self._running)
        self._newest = frame


def serve(network: LoadedModel, inbox: Inbox, parent: ParentProcess) -> None:
    """Run jobs until the process ends."""
    kept = Kept()
    while True:
        frame, dropped = inbox.next()
        for job_id in dropped:
            parent.send({"type": "cancelled", "job_id": job_id})
        if frame is not None:
            _answer(frame, network, kept, inbox, parent)


def _answer(frame: Frame, network: LoadedModel, kept: Kept, inbox: Inbox, parent: ParentProcess) -> None:
    job_id = frame.header["job_id"]
    try:
        parent.write(encode_answer(_compute(job_id, decode_job(frame), network, kept, inbox, parent)))
    except CancelledError:
        parent.send({"type": "cancelled", "job_id": job_id})
    except CrlmError as error:
        parent.send({"type": "failed", "job_id": job_id, "reason": str(error)})
    except MemoryError:
        reason = OUT_OF_MEMORY.format(region="volume" if frame.header.get("crop_size_mm", 0) is None else "crop")
        parent.send({"type": "failed", "job_id": job_id, "reason": reason})
    except Exception as error:  # a bug or a limit of nnU-Net or a runtime fails one job, not the worker
        traceback.print_exc()
        reason = f"the network failed: {type(error).__name__}: {error}"
        parent.send({"type": "failed", "job_id": job_id, "reason": reason})


def _compute(job_id: int, job: Job, network: LoadedModel, kept: Kept, inbox: Inbox, parent: ParentProcess) -> Finished:
    def report(stage: str, done: int, total: int) -> None:
        parent.send({"type": "progress", "job_id": job_id, "stage": stage, "done": done, "total": total})

    def is_cancelled() -> bool:
        return inbox.is_unwanted(job_id)

    if isinstance(job, LesionJob):
        return run_lesion(job_id, job, network, kept, report, is_cancelled)
    options = Options(mirroring=job.mirroring, sliding_window=True)
    answer = network.predict(job.array, job.spacing_mm, options, report, is_cancelled)
    return Finished(job_id, answer.probability, answer.timings_s, answer.device, answer.warnings)


def load(package: ModelPackage, wish: Wish, cpu_threads: int | None) -> tuple[LoadedModel, tuple[str, ...]]:
    """Load and warm up the model; return it with warnings about runtimes and devices.

    Raises:
        ModelError: the package is damaged.
        WorkerError: a package that the model needs cannot be imported, or its first pass fails.
    """
    try:
        return load_model(package, wish, cpu_threads)
    except CrlmError:
        raise
    except (ImportError, OSError) as error:  # OSError: a shared library that does not load
        raise WorkerError(MISSING.format(error=error, python=sys.executable)) from error
    except Exception as error:  # it would fail in a fresh worker as well
        traceback.print_exc()
        said = f"{type(error).__name__}: {error}"
        raise WorkerError(NOT_LOADED.format(name=package.name, error=said)) from error


def _ready(network: LoadedModel, warnings: tuple[str, ...]) -> dict:
    found = {name: package_version(name) for name in ("openvino", "torch", "nnunetv2")}
    versions = {"python": platform.python_version(), **{name: number for name, number in found.items() if number}}
    package = network.package
    header = {"type": "ready", "device": network.device_text, "versions": versions, "warnings": warnings}
    return {**header, "model_name": package.name, "model_sha256": package.sha256, "pass_s": network.measured_pass_s()}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Inference process; started by the program, not by hand.")
    parser.add_argument("model_folder", type=Path)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--precision", choices=("auto", "float32"), default="auto")
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the parent decides
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads halve the speed beside other programs
    faulthandler.enable()
    wish = Wish(options.device, options.precision)
    parent, inbox = ParentProcess(), Inbox()
    parent.read(inbox.put, on_end=lambda: os._exit(EXIT_PARENT_GONE))  # at once, whatever it is computing
    try:
        network, warnings = load(load_model_package(options.model_folder), wish, options.threads)
    except CrlmError as error:
        parent.send({"type": "fatal", "reason": str(error)})
        sys.stderr.flush()
        os._exit(EXIT_FATAL)
    parent.send(_ready(network, warnings))
    serve(network, inbox, parent)


if __name__ == "__main__":
    main()
