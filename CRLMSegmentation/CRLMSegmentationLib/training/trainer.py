"""nnU-Net's trainer with an end by the clock. Imports torch and nnunetv2."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class BudgetSpentSignal(Exception):  # noqa: N818  (no error)
    """The time for training is over."""


class BudgetTrainer(nnUNetTrainer):
    """Trains until a time budget is spent, with AdamW, which gets farther than SGD in few steps.

    Attributes:
        budget_s: seconds to train.
        started_s: `time.monotonic()` at the start.
    """

    budget_s = 3600.0
    started_s = 0.0

    def __init__(self, plans: dict, configuration: str, fold: int, dataset_json: dict, device: torch.device) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.initial_lr = 1e-3
        self.num_val_iterations_per_epoch = 8
        self.num_epochs = 100_000
        self.save_every = 5
        self.oversample_foreground_percent = 0.5

    def initialize(self) -> None:
        super().initialize()
        if self.device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported():
            self.network.forward = _in_bfloat16(self.network.forward)

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=self.initial_lr, weight_decay=1e-4)
        return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: max(0.01, 1 - self.spent) ** 0.9)

    @property
    def spent(self) -> float:
        """Share of the budget that is gone."""
        return min(1.0, (time.monotonic() - self.started_s) / self.budget_s)

    def on_epoch_end(self) -> None:
        super().on_epoch_end()
        if self.spent >= 1:
            raise BudgetSpentSignal

    def run_training(self) -> None:
        try:
            super().run_training()
        except BudgetSpentSignal:
            self.on_train_end()


def _in_bfloat16(forward: Callable) -> Callable:
    """Run a network in bfloat16 where the processor has it, in half the time; losses are still taken in float32.

    nnU-Net itself uses half precision on GPUs only.
    """
    quick = torch.autocast("cpu", torch.bfloat16)(forward)

    def run(tiles: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        outputs = quick(tiles)
        if isinstance(outputs, torch.Tensor):
            return outputs.float()
        return [output.float() for output in outputs]

    return run
