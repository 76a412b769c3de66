"""Inference with nnU-Net v2's own predictor, on one crop. Imports torch and nnunetv2, as only the worker process does.

Preprocessing, sliding window and export are nnU-Net's, so that the answer equals that of `nnUNetv2_predict`;
left out are its process pools, its temporary files, its pickled checkpoints and its reloading of the weights
before every prediction.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator

import numpy as np
import torch
from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
from nnunetv2.inference.sliding_window_prediction import compute_steps_for_sliding_window
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from ...core.errors import WorkerError
from ...core.progress import OnProgress
from ..models.package import CONFIGURATION, TRAINER, TUMOUR_LABEL, ModelPackage
from ..results import DEFAULT_OPTIONS, Options
from .deferred_import import import_deferring
from .networks import HEADS, build_networks
from .prediction import CancelledError, IsCancelled, Prediction, Stopwatch, check_input, never, no_progress
from .runtime import counted
from .runtime_model import RAN_ON_CPU

# torch's compiler takes seconds to load, and no network is compiled here
import_deferring("nnunetv2.inference.predict_from_raw_data", "torch._dynamo", "OptimizedModule")
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor  # noqa: E402  (imported above, without it)

TILE_STEP = 0.5
RESULTS_ON_CPU = "the GPU ran short of memory: tiles were gathered in main memory"


class NnUNet:
    """A `prediction.LoadedModel` that nnU-Net's own predictor runs, in torch, on the patches of its plans.

    It is what others are compared with, and runs models for which `preprocessing.reason_for_nnunet` names a reason.
    """

    def __init__(self, package: ModelPackage, device: torch.device, cpu_threads: int) -> None:
        """Build the networks of all folds from plans and weights.

        Raises:
            ModelError: the weights do not fit the plans.
        """
        self.package = package
        self._cpu_threads = cpu_threads
        self._plans = PlansManager(package.plans())
        self._configuration = self._plans.get_configuration(CONFIGURATION)
        self._dataset = package.dataset()
        self._preprocessor = self._configuration.preprocessor_class(verbose=False)
        self._networks = build_networks(package)
        self._asked = self._networks
        self._gate = _Gate()
        self._predictor = self._build_predictor(device)

    @property
    def device_text(self) -> str:
        return device_text(self._predictor.device)

    def warm_up(self) -> None:
        """Predict one tile of noise: the first prediction loads code and chooses kernels."""
        shape = (len(self.package.channels), *self._configuration.patch_size)
        noise = np.random.default_rng(0).standard_normal(shape)
        self.predict(noise.astype(np.float32), self.package.spacing_mm)

    def measured_pass_s(self) -> float:
        """Pass noise through the networks once, and return how long that took for each, s."""
        started_s = time.perf_counter()
        self.warm_up()
        return (time.perf_counter() - started_s) / len(self.package.folds)

    def predict(
        self,
        array: np.ndarray,
        spacing_mm: float,
        options: Options = DEFAULT_OPTIONS,
        on_progress: OnProgress = no_progress,
        is_cancelled: IsCancelled = never,
    ) -> Prediction:
        """Predict the probability of tumour in a crop; see `prediction.LoadedModel`.

        A crop of another spacing than the model's is resampled by nnU-Net.
        """
        check_input(array, self.package)
        self._predictor.use_mirroring = options.mirroring and bool(self.package.mirroring_axes)
        self._asked = self._networks[:1] if options.first_fold_only else self._networks
        clock = Stopwatch()
        on_progress("preprocess", 0, 1)
        data, properties = self._preprocess(array, spacing_mm)
        clock.lap("preprocess")
        logits, device, warnings = self._infer(data, on_progress, is_cancelled)
        clock.lap("inference")
        on_progress("postprocess", 0, 1)
        probability = self._export(logits, properties)
        clock.lap("postprocess")
        return Prediction(probability, clock.laps_s, device_text(device), warnings)

    def _build_predictor(self, device: torch.device) -> nnUNetPredictor:
        os.environ.pop("nnUNet_compile", None)  # compiling costs minutes, here for one crop
        predictor = _Predictor(
            tile_step_size=TILE_STEP, use_gaussian=True, use_mirroring=False, device=device, allow_tqdm=False
        )
        axes = self.package.mirroring_axes or None
        predictor.manual_initialization(
            self._gate, self._plans, self._configuration, None, self._dataset, TRAINER, axes
        )
        return predictor

    def _preprocess(self, array: np.ndarray, spacing_mm: float) -> tuple[torch.Tensor, dict]:
        properties = {"spacing": [spacing_mm] * 3}
        data, _, properties = self._preprocessor.run_case_npy(
            array, None, properties, self._plans, self._configuration, self._dataset
        )
        return torch.from_numpy(data).to(torch.float32).contiguous(), properties

    def _infer(
        self, data: torch.Tensor, on_progress: OnProgress, is_cancelled: IsCancelled
    ) -> tuple[torch.Tensor, torch.device, tuple[str, ...]]:
        """Compute logits (2, K, J, I); on the CPU where the memory of the GPU is too small."""
        passes = self._passes(data)
        device = self._predictor.device
        try:
            self._gate.open(passes, on_progress, is_cancelled)
            logits = self._all_folds(data)
            warnings = (RESULTS_ON_CPU,) if self._gate.done > passes and not self._gate.cancelled else ()
        except torch.cuda.OutOfMemoryError:
            self._gate.open(passes, on_progress, is_cancelled)
            logits, device, warnings = self._on_cpu(data), torch.device("cpu"), (RAN_ON_CPU,)
        if self._gate.cancelled:
            raise CancelledError
        return logits, device, warnings

    def _all_folds(self, data: torch.Tensor) -> torch.Tensor:
        """Average the logits of all folds as nnU-Net does, in half precision, so that the sums round alike."""
        torch.set_num_threads(self._cpu_threads)
        total = self._logits_of(self._asked[0], data)
        for network in self._asked[1:]:
            if self._gate.cancelled:
                break
            total = total + self._logits_of(network, data)
        return total / len(self._asked) if len(self._asked) > 1 else total

    def _logits_of(self, network: torch.nn.Module, data: torch.Tensor) -> torch.Tensor:
        self._gate.network = network.to(self._predictor.device)
        return self._predictor.predict_sliding_window_return_logits(data).to("cpu")

    def _on_cpu(self, data: torch.Tensor) -> torch.Tensor:
        cpu_predictor, gpu_predictor = self._build_predictor(torch.device("cpu")), self._predictor
        cpu_predictor.use_mirroring = gpu_predictor.use_mirroring
        torch.cuda.empty_cache()
        self._predictor = cpu_predictor
        try:
            return self._all_folds(data)
        finally:
            self._predictor = gpu_predictor

    def _passes(self, data: torch.Tensor) -> int:
        """Count the network passes that preprocessed data (1, K, J, I) needs."""
        patch = self._configuration.patch_size
        padded = [max(n, p) for n, p in zip(data.shape[1:], patch)]
        tiles = int(np.prod([len(s) for s in compute_steps_for_sliding_window(padded, patch, TILE_STEP)]))
        mirrored = 2 ** len(self.package.mirroring_axes) if self._predictor.use_mirroring else 1
        return tiles * mirrored * len(self._asked)

    def _export(self, logits: torch.Tensor, properties: dict) -> np.ndarray:
        _, probabilities = convert_predicted_logits_to_segmentation_with_correct_shape(
            logits,
            self._plans,
            self._configuration,
            self._predictor.label_manager,
            properties,
            return_probabilities=True,
            num_threads_torch=self._cpu_threads,
        )
        return np.ascontiguousarray(probabilities[TUMOUR_LABEL], np.float32)


class _Gate(torch.nn.Module):  # type: ignore[misc]  # torch is installed for the worker alone, so not checked
    """A network wrapper that counts the passes, and returns zeros once the job is cancelled.

    An exception would leave nnU-Net's producer thread blocked for good, and a RuntimeError would make it
    start over; empty passes, and no more tiles, bring its loop to its own end within milliseconds.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network: torch.nn.Module | None = None
        self.open(0, no_progress, never)

    def open(self, passes: int, on_progress: OnProgress, is_cancelled: IsCancelled) -> None:
        self.done, self.passes, self.cancelled = 0, passes, False
        self._on_progress, self._is_cancelled = on_progress, is_cancelled

    def forward(self, tile: torch.Tensor) -> torch.Tensor:
        self.cancelled = self.cancelled or self._is_cancelled()
        if self.cancelled:
            return tile.new_zeros((tile.shape[0], HEADS, *tile.shape[2:]))
        if self.network is None:
            raise WorkerError("no network was given to the gate")
        logits = self.network(tile)
        self.done += 1
        self._on_progress("inference", min(self.done, self.passes), self.passes)
        return logits


class _Predictor(nnUNetPredictor):  # type: ignore[misc]  # nor is nnU-Net
    """nnU-Net's predictor, which ends its sliding window once its network, a `_Gate`, is cancelled."""

    def _internal_get_sliding_window_slicers(self, image_size: tuple[int, ...]) -> _Tiles:
        return _Tiles(super()._internal_get_sliding_window_slicers(image_size), self.network)


class _Tiles(list):
    def __init__(self, tiles: list, gate: _Gate) -> None:
        super().__init__(tiles)
        self._gate = gate

    def __iter__(self) -> Iterator:
        return itertools.takewhile(lambda _: not self._gate.cancelled, super().__iter__())


def device_text(device: torch.device) -> str:
    """Return what nnU-Net's own predictor computes with, for the user; on a GPU it uses torch's autocast."""
    if device.type == "cuda":
        return f"nnU-Net float16, {torch.cuda.get_device_name(device)}"
    return f"nnU-Net float32, {counted(torch.get_num_threads(), 'core')}"
