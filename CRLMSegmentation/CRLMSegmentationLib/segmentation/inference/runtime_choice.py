"""Choice of the runtime for a model on this machine, by a short measurement that is kept until something changes.

    exported networks in the cache? else export them with torch
    every runtime, device and precision that is there: one pass against torch's in float32, then a few timed ones
    the fastest of those that agree is kept in the cache, with the machine that it was measured on, and the warnings;
    a reduced precision must save half of the time

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
from ...core.errors import WorkerError
from ..models.package import TUMOUR_LABEL, ModelPackage
from .inference_cache import CHOICE_FILE, InferenceCache, package_version
from .runtime import Device, DeviceMemoryError, Precision, Runtime, RuntimeChoice, RuntimeName

logger = logging.getLogger(__name__)

RULE = 2
"""Number of the rule by which is chosen; what another rule has chosen is measured anew."""
MAX_CPU_THREADS = 8
"""nnU-Net's own limit (default_num_processes)."""
TIMED_PASSES = 3
HOPELESS = 4.0
"""Times the shortest pass so far: a runtime that needs as long is not timed again, since a large model takes long."""
REDUCED_MUST_SAVE = 2.0
"""A reduced precision is used on a processor or an Intel GPU only where it takes less than half of the time: it moves
the border of a lesion by a voxel here and there. On CUDA nnU-Net itself computes in float16."""
MAX_DIFFERENCE, MAX_MEAN_DIFFERENCE = 0.25, 0.01
"""Of the probability of a voxel, from torch in float32, above which a runtime is not used: bfloat16 lies at a fifth."""
PLACES_IN_SOURCE = ("Exception from ", "Check ")
REFERENCE = RuntimeChoice(RuntimeName.TORCH, Device.CPU, Precision.FLOAT32)
"""What the others are compared with, and what takes over when a GPU runs out of memory."""
NOT_USED = "{choice} is not used: {reason}"
NO_NUMBERS = "its probabilities are no numbers"


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
        difference: largest difference of a probability from torch's in float32; None where there is no number.
        problem: why it cannot be used; empty where it can.
        is_passing: the problem may be gone at the next start.
    """

    choice: RuntimeChoice
    pass_s: float | None
    difference: float | None
    problem: str = ""
    is_passing: bool = False

    @property
    def cost_s(self) -> float:
        """By which ways to run are compared: the time of a pass, more for a reduced precision."""
        is_reduced = self.choice.precision is not Precision.FLOAT32 and self.choice.device is not Device.CUDA
        pass_s = float("inf") if self.pass_s is None else self.pass_s
        return pass_s * (REDUCED_MUST_SAVE if is_reduced else 1.0)

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
    """Return the runtime that is fastest here, after its first pass, and warnings about others that cannot be used.

    The first pass loads code and chooses kernels.

    Args:
        image: float32, shape (C, K, J, I), the size of a pass of this model; for the measurement.
        seconds: the clock.

    Raises:
        ImportError, OSError: torch is needed for the measurement, and cannot be imported.
        ModelError: the weights do not fit the plans.
        WorkerError: nothing that the wish allows can be used.
    """
    machine = {**_machine(wish, cpu_threads), "image": list(image.shape)}
    kept = cache.read_json(CHOICE_FILE)
    if kept is not None and kept.get("machine") == machine:
        try:
            runtime = open_runtime(RuntimeChoice.from_json(kept["choice"]), package, cpu_threads, cache)
            runtime.logits(0, image)
            return runtime, tuple(map(str, kept["warnings"]))
        except Exception:  # of a driver, a library or a file that is not what it was: it is measured anew
            logger.warning("the runtime chosen earlier cannot be used any more", exc_info=True)
    runtime, measured, warnings = _fastest(package, image, wish, cpu_threads, cache, seconds)
    if not any(entry.is_passing for entry in measured):
        table = [entry.to_json() for entry in measured]
        content = {"machine": machine, "choice": runtime.choice.to_json(), "warnings": warnings, "measured": table}
        cache.write_json(CHOICE_FILE, content)
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
    """Measure all runtimes, and return the one of the least cost that agrees with torch in float32."""
    choices, warnings = _choices(wish)
    reference = open_runtime(REFERENCE, package, cpu_threads, cache)
    expected = _probability(reference.logits(0, image))
    measured: list[Measured] = []
    best: Runtime | None = None
    least_s = float("inf")
    for choice in choices:
        runtime: Runtime | None = None
        try:
            runtime = reference if choice == REFERENCE else open_runtime(choice, package, cpu_threads, cache)
            entry = _measure(runtime, image, expected, least_s, seconds)
        except Exception as error:  # of a driver or library that is broken: it is not used, and the user is told
            logger.warning("%s cannot be used", choice, exc_info=True)
            entry = Measured(choice, None, None, _reason_of(error), isinstance(error, DeviceMemoryError))
        measured.append(entry)
        if entry.problem:
            warnings.append(NOT_USED.format(choice=choice, reason=entry.problem))
        if runtime is not None and entry.cost_s < least_s:
            best, least_s = runtime, entry.cost_s
    if best is None:
        raise WorkerError(f"the model cannot be run as asked: {'; '.join(warnings)}; choose the device 'auto'")
    return best, measured, tuple(warnings)


def _measure(
    runtime: Runtime, image: np.ndarray, expected: np.ndarray, least_s: float, seconds: Callable[[], float]
) -> Measured:
    """Compare a pass with the expected probability, then time some.

    Args:
        least_s: the least cost so far.
    """
    difference = np.abs(_probability(runtime.logits(0, image)) - expected)
    largest = float(difference.max())
    if not np.isfinite(largest):
        return Measured(runtime.choice, None, None, NO_NUMBERS)
    if largest > MAX_DIFFERENCE or float(difference.mean()) > MAX_MEAN_DIFFERENCE:
        return Measured(runtime.choice, None, largest, f"its probabilities differ by up to {largest:.2f}")
    pass_s = float("inf")
    for _ in range(TIMED_PASSES):
        started_s = seconds()
        runtime.logits(0, image)
        pass_s = min(pass_s, seconds() - started_s)
        if pass_s > HOPELESS * least_s:
            break
    return Measured(runtime.choice, pass_s, largest)


def _probability(logits: np.ndarray) -> np.ndarray:
    """Return the probability of tumour, a new array (K, J, I), for logits (2, K, J, I)."""
    return np.asarray(expit(logits[TUMOUR_LABEL] - logits[1 - TUMOUR_LABEL]))


def _choices(wish: Wish) -> tuple[list[RuntimeChoice], list[str]]:
    """Return what is installed and allowed, and warnings about what is installed and cannot be used."""
    from .torch_runtime import torch_choices

    found, warnings = torch_choices(wish.device)
    if package_version("openvino"):
        try:
            from .openvino_runtime import openvino_choices

            found = [*openvino_choices(), *found]
        except Exception as error:  # it is broken, or of a version that is not known
            logger.warning("OpenVINO cannot be used", exc_info=True)
            warnings.append(NOT_USED.format(choice="OpenVINO", reason=_reason_of(error)))
    return [choice for choice in found if wish.allows(choice)], warnings


def _machine(wish: Wish, cpu_threads: int) -> dict[str, Any]:
    """Return what the measurement depends on besides model and versions."""
    return {
        "rule": RULE,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor_name(),
        "cores": cpu_threads,
        "gpus": gpus_of_driver() or [find_library("nvcuda")],
        "device": wish.device,
        "precision": wish.precision,
    }


def _reason_of(error: Exception) -> str:
    """Return the first line of an error that says something; OpenVINO begins with the places in its source."""
    lines = [line for line in str(error).strip().splitlines() if not line.startswith(PLACES_IN_SOURCE)]
    return (lines or [type(error).__name__])[0]
