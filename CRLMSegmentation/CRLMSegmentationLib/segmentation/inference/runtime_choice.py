"""Choice of the runtime for a model on this machine, by a short measurement that is kept until something changes.

    exported networks in the cache? else export them with torch
    every runtime, device and precision that is there: one pass against torch's in float32, then a few timed ones
    the fastest of those that agree is kept in the cache, with the machine that it was measured on

torch is imported only to export, to measure, and where it is what was chosen.
"""

from __future__ import annotations

import logging
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from ctypes.util import find_library
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from ...core.environment import gpus_of_driver, processor_name
from ...core.errors import CrlmError, WorkerError
from ..models.package import ModelPackage
from .inference_cache import InferenceCache, package_version
from .runtime import Device, Precision, Runtime, RuntimeChoice, RuntimeName

logger = logging.getLogger(__name__)

MAX_CPU_THREADS = 8
"""nnU-Net's own limit (default_num_processes)."""
CHOICE_FILE = "choice.json"
TIMED_PASSES = 3
MAX_DIFFERENCE, MAX_MEAN_DIFFERENCE = 0.25, 0.01
"""Of the probability of a voxel, from torch in float32, above which a runtime is not used: bfloat16 lies at a fifth."""
NOT_USED = "{choice} is not used: {reason}"


@dataclass(frozen=True)
class Wish:
    """What a user asks for.

    Attributes:
        device: "auto", "cpu" or "cuda".
        precision: "auto" for the fastest that agrees with float32, or "float32".
    """

    device: str = "auto"
    precision: str = "auto"

    def allows(self, choice: RuntimeChoice) -> bool:
        if self.precision == "float32" and choice.precision is not Precision.FLOAT32:
            return False
        return {"cpu": choice.device is Device.CPU, "cuda": choice.device is Device.CUDA}.get(self.device, True)


@dataclass(frozen=True)
class Measured:
    """What was measured of one way to run a model.

    Attributes:
        pass_s: shortest time of a pass; None where it cannot be used.
        difference: largest difference of a probability from torch's in float32.
        problem: why it cannot be used; empty where it can.
    """

    choice: RuntimeChoice
    pass_s: float | None
    difference: float | None
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        numbers = {"pass_s": self.pass_s, "difference": self.difference}
        return {**self.choice.to_json(), **numbers, "problem": self.problem}


def choose_runtime(
    package: ModelPackage,
    image: np.ndarray,
    wish: Wish,
    cpu_threads: int,
    cache: InferenceCache,
    seconds: Callable[[], float] = time.perf_counter,
) -> tuple[Runtime, tuple[str, ...]]:
    """Return the loaded runtime that is fastest here, and warnings about those that should have been usable.

    Args:
        image: float32, shape (C, K, J, I), the size of a pass of this model; for the measurement.
        seconds: the clock.

    Raises:
        WorkerError: nothing that the wish allows can be used.
    """
    machine = _machine(wish, cpu_threads)
    kept = cache.read_json(CHOICE_FILE)
    if kept is not None and kept.get("machine") == machine:
        try:
            return open_runtime(RuntimeChoice.from_json(kept["choice"]), package, cpu_threads, cache), ()
        except (CrlmError, ImportError, OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            logger.warning("the runtime chosen earlier cannot be used any more: %s", error)
    runtime, measured, warnings = _fastest(package, image, wish, cpu_threads, cache, seconds)
    table = [entry.to_json() for entry in measured]
    cache.write_json(CHOICE_FILE, {"machine": machine, "choice": runtime.choice.to_json(), "measured": table})
    return runtime, warnings


def open_runtime(choice: RuntimeChoice, package: ModelPackage, cpu_threads: int, cache: InferenceCache) -> Runtime:
    """Load the networks of a model into a runtime.

    Raises:
        ImportError, OSError, RuntimeError: the runtime is not installed, or cannot load them.
        ModelError: the weights do not fit the plans.
    """
    if choice.name is RuntimeName.TORCH:
        from .torch_runtime import TorchRuntime

        return TorchRuntime(package, choice.device, choice.precision, cpu_threads)
    from .openvino_runtime import OpenVinoRuntime

    with exported_networks(package, cache) as networks:
        return OpenVinoRuntime(networks, choice.device, choice.precision, cpu_threads)


@contextmanager
def exported_networks(package: ModelPackage, cache: InferenceCache) -> Iterator[list[Path]]:
    """Provide the XML files of a model's exported networks, from the cache or, where it cannot be used, for a moment.

    Raises:
        ImportError, OSError: torch is needed to export them, and cannot be imported.
    """
    names = [f"fold_{fold}.{suffix}" for fold in package.folds for suffix in ("xml", "bin")]
    stored = cache.files(names)
    with ExitStack() as stack:
        if stored is None:
            from .openvino_export import export_networks

            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            export_networks(package, scratch)
            stored = (cache.files(names) if cache.store(scratch) else None) or [scratch / name for name in names]
        yield [path for path in stored if path.suffix == ".xml"]


def available_cpu_threads() -> int:
    """Count the cores that this process may use, at most nnU-Net's own limit and OMP_NUM_THREADS."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, MAX_CPU_THREADS, int(allowed) if allowed.isdecimal() and int(allowed) else cores)


def _fastest(
    package: ModelPackage,
    image: np.ndarray,
    wish: Wish,
    cpu_threads: int,
    cache: InferenceCache,
    seconds: Callable[[], float],
) -> tuple[Runtime, list[Measured], tuple[str, ...]]:
    """Measure all runtimes, and return the fastest one that agrees with torch in float32."""
    from .torch_runtime import TorchRuntime

    reference = TorchRuntime(package, Device.CPU, Precision.FLOAT32, cpu_threads)
    expected = expit(_tumour_logit(reference.logits(0, image)))
    choices, warnings = _choices(wish)
    measured: list[Measured] = []
    best: Runtime | None = None
    best_s = float("inf")
    for choice in choices:
        runtime: Runtime | None = None
        try:
            runtime = reference if choice == reference.choice else open_runtime(choice, package, cpu_threads, cache)
            entry = _measure(runtime, image, expected, seconds)
        except Exception as error:  # of a driver or library that is broken: it is not used, and the user is told
            logger.warning("%s cannot be used", choice, exc_info=True)
            entry = Measured(choice, None, None, _first_line(error))
        measured.append(entry)
        if entry.problem:
            warnings.append(NOT_USED.format(choice=choice, reason=entry.problem))
        if runtime is not None and entry.pass_s is not None and entry.pass_s < best_s:
            best, best_s = runtime, entry.pass_s
    if best is None:
        raise WorkerError(f"the model cannot be run as asked: {'; '.join(warnings)}; choose the device 'auto'")
    return best, measured, tuple(warnings)


def _measure(runtime: Runtime, image: np.ndarray, expected: np.ndarray, seconds: Callable[[], float]) -> Measured:
    difference = np.abs(expit(_tumour_logit(runtime.logits(0, image))) - expected)
    largest = float(difference.max())
    if not (largest <= MAX_DIFFERENCE and float(difference.mean()) <= MAX_MEAN_DIFFERENCE):  # NaN is refused too
        return Measured(runtime.choice, None, largest, f"its probabilities differ by up to {largest:.2f}")
    times_s = []
    for _ in range(TIMED_PASSES):
        started_s = seconds()
        runtime.logits(0, image)
        times_s.append(seconds() - started_s)
    return Measured(runtime.choice, min(times_s), largest)


def _tumour_logit(logits: np.ndarray) -> np.ndarray:
    return np.asarray(logits[1] - logits[0])


def _choices(wish: Wish) -> tuple[list[RuntimeChoice], list[str]]:
    """Return what is installed and allowed, and warnings about what is installed and cannot be used."""
    from .torch_runtime import torch_choices

    found, warnings = torch_choices(wish.device)
    if package_version("openvino"):
        try:
            from .openvino_runtime import openvino_choices

            found = [*openvino_choices(), *found]
        except (ImportError, OSError, RuntimeError) as error:
            warnings.append(NOT_USED.format(choice="OpenVINO", reason=_first_line(error)))
    return [choice for choice in found if wish.allows(choice)], warnings


def _machine(wish: Wish, cpu_threads: int) -> dict[str, Any]:
    """Return what the measurement depends on besides model and versions."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor_name(),
        "cores": cpu_threads,
        "gpus": gpus_of_driver() or [find_library("nvcuda")],
        "device": wish.device,
        "precision": wish.precision,
    }


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
