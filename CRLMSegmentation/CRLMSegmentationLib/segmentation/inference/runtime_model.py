"""A loaded model whose networks a runtime runs: preprocessing, windows, mirrored copies and folds in numpy.

The answer over nnU-Net's own patches is that of `nnUNetv2_predict` but for rounding. Where a package says that its
network is good for that, a crop goes through the network in one pass, which is faster.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.special import expit

from ...core.box import Shape, as_index
from ...core.errors import WorkerError
from ...core.progress import OnProgress
from ..models.package import CONFIGURATION, TUMOUR_LABEL, ModelPackage
from ..results import DEFAULT_OPTIONS, Options
from .prediction import CancelledError, IsCancelled, Prediction, Stopwatch, check_input, never, no_progress
from .preprocessing import normalization_schemes, normalized
from .runtime import DeviceMemoryError, Runtime
from .sliding_window import merged, mirrorings, padded, windows_in

NO_NUMBERS = "{device} gave values that are no finite numbers; start again with the precision 'float32'"
RAN_ON_CPU = "the GPU ran out of memory: this lesion was computed on the CPU, slower; close what else uses the GPU"
SPACING_TOLERANCE = 1e-6


class RuntimeModel:
    """A `prediction.LoadedModel`.

    Args:
        package: one that `preprocessing.reason_for_nnunet` says nothing about.
        runtime: with its networks loaded.
        cpu_runtime: makes the runtime that takes over when a GPU runs out of memory.
    """

    def __init__(self, package: ModelPackage, runtime: Runtime, cpu_runtime: Callable[[], Runtime]) -> None:
        self.package, self._runtime, self._cpu_runtime = package, runtime, cpu_runtime
        self._schemes = normalization_schemes(package)
        self._patch, self._window = _patch_of(package), window_of(package)

    @property
    def device_text(self) -> str:
        return self._runtime.device_text

    def measured_pass_s(self) -> float:
        """Pass noise through the first network once, and return how long that took, s."""
        noise = pass_image(self.package)
        started_s = time.perf_counter()
        self._runtime.logits(0, noise)
        return time.perf_counter() - started_s

    def predict(
        self,
        array: np.ndarray,
        spacing_mm: float,
        options: Options = DEFAULT_OPTIONS,
        on_progress: OnProgress = no_progress,
        is_cancelled: IsCancelled = never,
    ) -> Prediction:
        """Predict the probability of tumour in a crop; see `prediction.LoadedModel`."""
        check_input(array, self.package)
        if abs(spacing_mm - self.package.spacing_mm) > SPACING_TOLERANCE * self.package.spacing_mm:
            raise WorkerError(f"{self.package.name} wants voxels of {self.package.spacing_mm:g} mm, got {spacing_mm:g}")
        clock = Stopwatch()
        on_progress("preprocess", 0, 1)
        data, box = normalized(array, self._schemes)
        clock.lap("preprocess")
        logits, device, warnings = self._logits(data, options, on_progress, is_cancelled)
        if not np.isfinite(logits).all():  # half precision ends at 65504
            raise WorkerError(NO_NUMBERS.format(device=device))
        clock.lap("inference")
        on_progress("postprocess", 0, 1)
        probability = np.zeros(array.shape[1:], np.float32)
        probability[box.slices] = expit(logits[TUMOUR_LABEL] - logits[1 - TUMOUR_LABEL])
        clock.lap("postprocess")
        return Prediction(probability, clock.laps_s, device, warnings)

    def _logits(
        self, data: np.ndarray, options: Options, on_progress: OnProgress, is_cancelled: IsCancelled
    ) -> tuple[np.ndarray, str, tuple[str, ...]]:
        """Return logits (2, K, J, I), what computed them, and warnings."""
        try:
            passes = _Passes(self._runtime, self._networks(options), self._axes(options), on_progress, is_cancelled)
            return self._over_windows(data, options, passes), self._runtime.device_text, ()
        except DeviceMemoryError:
            runtime = self._cpu_runtime()
            passes = _Passes(runtime, self._networks(options), self._axes(options), on_progress, is_cancelled)
            return self._over_windows(data, options, passes), runtime.device_text, (RAN_ON_CPU,)

    def _networks(self, options: Options) -> range:
        return range(1 if options.first_fold_only else len(self.package.folds))

    def _axes(self, options: Options) -> tuple[int, ...]:
        return self.package.mirroring_axes if options.mirroring else ()

    def _over_windows(self, data: np.ndarray, options: Options, passes: _Passes) -> np.ndarray:
        """Return the mean of the networks' logits (2, K, J, I), as nnU-Net rounds it where the windows are its patches.

        nnU-Net sums in half precision. That is rough where a voxel lies in the corner of a single window, with a weight
        of 6e-8: logits are whole numbers there.
        """
        is_over_patches = options.sliding_window or self._window == self._patch
        window = self._patch if is_over_patches else self._window
        image, box = padded(data, window)
        windows = windows_in(image.shape[1:], window)
        passes.begin(len(windows))
        if is_over_patches:
            of_networks = [merged(windows, image, partial(passes.logits, n), np.float16) for n in passes.networks]
        elif len(windows) == 1:
            of_networks = [passes.logits(n, image) for n in passes.networks]
        else:
            of_networks = [merged(windows, image, partial(passes.logits, n), np.float32) for n in passes.networks]
        logits = sum(of_networks[1:], of_networks[0]) / len(of_networks)
        filled = (slice(None), *box.slices)
        return np.asarray(logits[filled], np.float32)


class _Passes:
    """Runs a network on a window and its mirrored copies, averages their logits, and counts."""

    def __init__(
        self,
        runtime: Runtime,
        networks: range,
        axes: tuple[int, ...],
        on_progress: OnProgress,
        is_cancelled: IsCancelled,
    ) -> None:
        self.networks = networks
        self._runtime, self._mirrorings = runtime, list(mirrorings(axes))
        self._on_progress, self._is_cancelled = on_progress, is_cancelled
        self._done = self._total = 0

    def begin(self, windows: int) -> None:
        self._total = windows * len(self.networks) * len(self._mirrorings)

    def logits(self, network: int, image: np.ndarray) -> np.ndarray:
        """Return a network's mean logits, float32, shape (2, K, J, I), a new array, for an image (C, K, J, I)."""
        total = np.zeros((2, *image.shape[1:]), np.float32)
        for axes in self._mirrorings:
            if self._is_cancelled():
                raise CancelledError
            flipped = tuple(axis + 1 for axis in axes)
            mirrored = np.ascontiguousarray(np.flip(image, flipped))
            total += np.flip(self._runtime.logits(network, mirrored), flipped)
            self._done += 1
            self._on_progress("inference", self._done, self._total)
        total /= len(self._mirrorings)
        return total


def window_of(package: ModelPackage) -> Shape:
    """Return the shape (K, J, I) of what a model's network is shown in one pass.

    nnU-Net's patch; or, for a package that says so, the model's own crop, made larger until the network can halve it
    as often as it does.
    """
    patch = _patch_of(package)
    if not package.one_pass:
        return patch
    strides = package.plans()["configurations"][CONFIGURATION]["architecture"]["arch_kwargs"]["strides"]
    factors = [math.prod(int(stride[axis]) for stride in strides) for axis in range(3)]
    count = round(package.crop_size_mm / package.spacing_mm)
    return as_index(max(edge, -(-count // factor) * factor) for edge, factor in zip(patch, factors))


def pass_image(package: ModelPackage) -> np.ndarray:
    """Return noise, float32, of the shape (C, K, J, I) that a model's network is shown in one pass."""
    noise = np.random.default_rng(0).standard_normal((len(package.channels), *window_of(package)))
    return noise.astype(np.float32)


def _patch_of(package: ModelPackage) -> Shape:
    return as_index(package.plans()["configurations"][CONFIGURATION]["patch_size"])
