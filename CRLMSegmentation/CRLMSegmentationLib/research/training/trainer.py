"""nnU-Net's trainer with a seed for every epoch and checkpoints that appear whole. Imports torch and nnunetv2.

An epoch is drawn from (seed, fold, epoch) alone, so that a training that was ended and goes on gives the weights of
one that was not: on the CPU, with nnU-Net's augmentation in the same process. The simulated clicks of a sample are
drawn from (seed, fold, epoch, step, number in the batch).
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from ...core.crop_format import CLICK_CHANNELS
from ...core.errors import CrlmError
from ...segmentation.models.checkpoints import load_safely
from ...segmentation.models.weights import load_weights
from . import clicks
from .layout import LATEST, replacing
from .per_sample import run_per_sample
from .presets import Preset
from .start import Start, start_weights

STEP_REPORT_S = 0.25
NEVER = 1_000_000_000
CLICKS = 1
"""In the seeds of what is drawn for clicks, so that nothing else is drawn from the same."""


class CRLMTrainer(nnUNetTrainer):  # type: ignore[misc]  # nnunetv2 has no types
    """nnU-Net's trainer with reproducible epochs; `configure` sets the attributes before `initialize`.

    Attributes:
        preset: how it is trained.
        seed: of all that is drawn.
        on_step: called with epoch, iteration, iterations and loss.
        on_epoch: called with a line of `progress.jsonl` after each epoch, before its checkpoint is written.
    """

    preset: Preset
    seed: int
    on_step: Callable[[int, int, int, float], None]
    on_epoch: Callable[[dict[str, Any]], None]

    def configure(
        self,
        preset: Preset,
        epochs: int,
        seed: int,
        on_step: Callable[[int, int, int, float], None],
        on_epoch: Callable[[dict[str, Any]], None],
    ) -> None:
        self.preset, self.seed, self.on_step, self.on_epoch = preset, seed, on_step, on_epoch
        self.num_epochs = epochs
        self.num_iterations_per_epoch = preset.iterations
        self.num_val_iterations_per_epoch = preset.validation_iterations
        self.initial_lr = preset.learning_rate
        self.oversample_foreground_percent = preset.oversample
        self.save_every = NEVER  # we save, after nnU-Net has decided which epoch was the best
        self.logger.plot_progress_png = lambda folder: None  # seconds for each epoch; we draw a curve now and then
        self._saved_s = self._reported_s = time.monotonic()
        self._iteration = 0

    def initialize(self) -> None:
        self._seed_all(0)
        super().initialize()
        self._takes_clicks = tuple(self.dataset_json.get("crlm", {}).get("channels", ())) == CLICK_CHANNELS
        wanted = self.preset.bfloat16_on_cpu and self.device.type == "cpu"
        if wanted and torch.ops.mkldnn._is_mkldnn_bf16_supported():
            run_per_sample(self.network, self.configuration_manager.batch_size)

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, object]:
        if self.preset.optimizer == "sgd":
            optimizers: tuple[torch.optim.Optimizer, object] = super().configure_optimizers()
            return optimizers
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=self.initial_lr, weight_decay=1e-4)
        return optimizer, PolyLRScheduler(optimizer, self.initial_lr, self.num_epochs)

    def start_at(self, path: Path, start: Start) -> None:
        """Take over the weights of a model, see `start`.

        Raises:
            CrlmError: its network is another one.
        """
        network = self._plain_network
        channels = self.dataset_json["crlm"]["channels"]
        network.load_state_dict(start_weights(load_weights(path), start.channels, network.state_dict(), channels))

    def go_on_from(self, path: Path) -> None:
        """Restore the state of an interrupted training; nnU-Net's own loader would run code from the file."""
        content = load_safely(path)
        self._plain_network.load_state_dict(content["network_weights"])
        self.optimizer.load_state_dict(content["optimizer_state"])
        if self.grad_scaler is not None and content["grad_scaler_state"]:
            self.grad_scaler.load_state_dict(content["grad_scaler_state"])
        self.logger.load_checkpoint(content["logging"])
        self._best_ema, self.current_epoch = content["_best_ema"], content["current_epoch"]

    @property
    def _plain_network(self) -> torch.nn.Module:
        """The network that torch.compile may have wrapped."""
        network: torch.nn.Module = getattr(self.network, "_orig_mod", self.network)
        return network

    def on_epoch_start(self) -> None:
        self._seed_all(self.current_epoch + 1)
        self._iteration = 0
        super().on_epoch_start()

    def get_training_transforms(self, *arguments: Any, **keywords: Any) -> BasicTransform:
        transforms: BasicTransform = super().get_training_transforms(*arguments, **keywords)
        return _MapsUnlikeGreyValues(transforms) if self._takes_clicks else transforms

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        if self._takes_clicks:
            self._simulate_clicks(batch)
        answer: dict[str, Any] = super().train_step(batch)
        self._iteration += 1
        now_s = time.monotonic()
        if now_s - self._reported_s >= STEP_REPORT_S:
            self._reported_s = now_s
            self.on_step(self.current_epoch, self._iteration, self.num_iterations_per_epoch, float(answer["loss"]))
        return answer

    def _simulate_clicks(self, batch: dict[str, Any]) -> None:
        """Bring the samples of a batch into a state of correction, see `clicks`; validation is of first clicks."""
        target = batch["target"][0] if isinstance(batch["target"], list) else batch["target"]
        patches, truths = batch["data"].numpy(), target[:, 0].numpy() > 0
        spacing_mm = float(self.configuration_manager.spacing[0])
        place = self.seed, int(self.fold), self.current_epoch, self._iteration
        generators = [np.random.default_rng([CLICKS, *place, sample]) for sample in range(len(patches))]
        of_deformed = self.preset.clicks == clicks.DEFORMED
        segment = clicks.deformed_truths(truths, spacing_mm, generators) if of_deformed else self._segment
        clicks.correct_by_clicks(patches, truths, spacing_mm, generators, segment)

    def _segment(self, patches: np.ndarray, samples: Sequence[int]) -> np.ndarray:
        """Return the masks that the network gives now, see `clicks.Segment`."""
        on_gpu = self.device.type == "cuda"
        with torch.no_grad(), torch.autocast(self.device.type, enabled=on_gpu):
            outputs = self.network(torch.from_numpy(patches).to(self.device))
        logits = outputs[0] if isinstance(outputs, (list, tuple)) else outputs
        masks: np.ndarray = (logits[:, 1] >= logits[:, 0]).cpu().numpy()
        return masks

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        """Raise if weights are NaN or infinite, so that no usable checkpoint is replaced."""
        super().on_train_epoch_end(train_outputs)
        if not all(bool(torch.isfinite(weights).all()) for weights in self.network.parameters()):
            raise CrlmError(
                f"in epoch {self.current_epoch + 1} the weights became NaN or infinite; look for images that are not "
                "as they should be, or take another preset or seed"
            )

    def on_epoch_end(self) -> None:
        super().on_epoch_end()
        self.on_epoch(self._line())
        if self.current_epoch < self.num_epochs and time.monotonic() - self._saved_s >= self.preset.save_after_s:
            self.current_epoch -= 1  # nnU-Net has counted already, and counts once more when it saves
            self.save_checkpoint(str(Path(self.output_folder) / LATEST))
            self.current_epoch += 1
            self._saved_s = time.monotonic()

    def save_checkpoint(self, filename: str) -> None:
        with replacing(Path(filename)) as unfinished:
            super().save_checkpoint(str(unfinished))

    def _line(self) -> dict[str, Any]:
        """Return the progress line of the epoch that has just ended, see `progress.EPOCH_KEYS`."""
        logged = {name: values[-1] for name, values in self.logger.get_checkpoint().items()}
        return {
            "epoch": self.current_epoch - 1,
            "train_loss": _number(logged["train_losses"]),
            "val_loss": _number(logged["val_losses"]),
            "dice": _number(logged["mean_fg_dice"]),
            "lr": float(logged["lrs"]),
            "seconds": round(logged["epoch_end_timestamps"] - logged["epoch_start_timestamps"], 2),
        }

    def _seed_all(self, number: int) -> None:
        drawn = np.random.SeedSequence([self.seed, int(self.fold), number]).generate_state(1)[0]
        random.seed(int(drawn))
        np.random.seed(drawn)
        torch.manual_seed(int(drawn))


class _MapsUnlikeGreyValues(BasicTransform):  # type: ignore[misc]  # batchgeneratorsv2 has no types
    """Applies transforms of which those of grey values, such as noise and gamma, leave all channels but the first."""

    def __init__(self, transforms: BasicTransform) -> None:
        super().__init__()
        self._transforms = transforms

    def apply(self, data_dict: dict[str, Any], **_: Any) -> dict[str, Any]:
        image = data_dict.pop("image")
        made: dict[str, Any] = self._transforms(image=image[:1], regression_target=image[1:], **data_dict)
        return {**made, "image": torch.cat([made["image"], made.pop("regression_target")])}


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
