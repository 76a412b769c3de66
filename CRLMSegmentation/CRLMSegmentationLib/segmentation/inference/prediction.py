"""The protocol of a loaded model, and what it predicts. Imports neither torch nor a runtime."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ...core.errors import WorkerError
from ...core.progress import OnProgress
from ..models.package import ModelPackage
from ..results import DEFAULT_OPTIONS, Options

IsCancelled = Callable[[], bool]


class CancelledError(Exception):
    """The prediction was cancelled."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """Result of a prediction.

    Attributes:
        probability: of tumour, float32, shape (K, J, I).
        timings_s, device, warnings: as in `engine.Finished`.
    """

    probability: np.ndarray
    timings_s: dict[str, float]
    device: str
    warnings: tuple[str, ...]


def no_progress(stage: str, done: int, total: int) -> None:
    """Report nothing."""


def never() -> bool:
    """Return that nobody has cancelled."""
    return False


class LoadedModel(Protocol):
    """A loaded model package; makes one prediction at a time."""

    @property
    def package(self) -> ModelPackage: ...

    @property
    def device_text(self) -> str:
        """Runtime, precision and device, for the user."""

    def measured_pass_s(self) -> float:
        """Pass noise through the first network once, and return how long that took, s."""

    def predict(
        self,
        array: np.ndarray,
        spacing_mm: float,
        options: Options = DEFAULT_OPTIONS,
        on_progress: OnProgress = no_progress,
        is_cancelled: IsCancelled = never,
    ) -> Prediction:
        """Predict the probability of tumour in a crop.

        Args:
            array: float32, shape (C, K, J, I), the channels of the package.
            spacing_mm: edge of its voxels.
            options: mirroring, folds and sliding window; its crop size and `flip` are the caller's affair.
            is_cancelled: asked before every pass of the network.

        Raises:
            CancelledError: `is_cancelled` said so.
            WorkerError: the crop or the answer is not finite, or the crop has other channels or another spacing than
                the model.
        """


def check_input(array: np.ndarray, package: ModelPackage) -> None:
    """Raise if an array cannot be the input of a model.

    Raises:
        WorkerError: it is not finite, or has other channels than the model.
    """
    if len(array) != len(package.channels):
        raise WorkerError(f"{package.name} wants the channels {package.channels}, got {len(array)}")
    if not np.isfinite(array).all():
        raise WorkerError("the crop holds NaN or infinite values; repair the volume first")


class Stopwatch:
    """Measures the steps of a prediction, one after the other."""

    def __init__(self) -> None:
        self.laps_s: dict[str, float] = {}
        self._last_s = time.perf_counter()

    def lap(self, name: str) -> None:
        """Store the time since the last lap under a name."""
        now_s = time.perf_counter()
        self.laps_s[name] = now_s - self._last_s
        self._last_s = now_s
