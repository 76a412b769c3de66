"""The training of one fold, in a process of its own:

    python -m CRLMSegmentationLib.research.training.fold_process DATASET/results/.../fold_0 --device cuda

`train_fold` is a plain function over files, so that a fold can be trained on another machine. It reads

    DATASET/preprocessed/DatasetNNN_NAME                       plans, images, splits_final.json
    DATASET/results/DatasetNNN_NAME/.../fold_N/training.json   which preset, epochs, seed; see `FoldSettings`
    DATASET/results/DatasetNNN_NAME/.../fold_N/*               of a training that goes on, or starts from a model

and writes into the folder of the fold and the one above it; nothing else is needed there, nothing else is to be
copied back. Imports torch and nnunetv2, but only when called.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import CrlmError, JsonError
from ...core.json_files import read_json_object
from .layout import CURVE, FINAL, LATEST, LOG, PROGRESS, SETTINGS, Layout, locked
from .manifest import write_json
from .presets import CONFIGURATION, Preset, preset_from
from .progress import append_progress, keep_progress, read_progress
from .start import START_WEIGHTS, Start
from .step_process import Send, run_step

if TYPE_CHECKING:
    from .trainer import CRLMTrainer

CURVE_EVERY_S = 60.0
MOST_PROCESSES = 8
"""To write the predictions of the validation images; nnU-Net's own default, on however few cores."""
KEEP_MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),  # glibc's largest
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
}
"""Environment of a training on the processor: glibc keeps the memory of a layer for the next one.

By itself it gives large tensors back to the system, which must then clear each page again. Ignored by other systems.
"""


@dataclass(frozen=True)
class FoldSettings:
    """Settings of the training of one fold.

    Attributes:
        manifest: SHA-256 of the manifest of the dataset.
        simulated: whether all patients are simulated; None if some are, or if it is unknown.
        title: of the learning curve.
        start: the model at whose weights it starts, which lie beside these settings; None for random ones.
    """

    fold: int
    preset: Preset
    epochs: int
    seed: int
    manifest: str
    simulated: bool | None
    title: str
    validation: bool = False
    start: Start | None = None

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / SETTINGS, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> FoldSettings:
        """Read the settings in the folder of a fold.

        Raises:
            CrlmError: the file is missing or invalid.
        """
        try:
            fields = read_json_object(folder / SETTINGS, JsonError)
            start = fields.get("start")
            start = None if start is None else Start(**start)
            return replace(cls(**fields), preset=preset_from(fields["preset"]), start=start)
        except (JsonError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CrlmError(
                f"{folder} does not say how it was trained ({error}); move it away and train again"
            ) from error


def train_fold(folder: Path, device: str, send: Send = lambda message: None) -> None:
    """Train the fold of a folder to its end, from its last checkpoint if there is one; a finished fold is kept.

    Args:
        device: "cpu" or "cuda", which is the first that this process sees.
        send: told how far it is, see `progress`.
    """
    with locked(folder):
        if is_finished(folder):
            return
        _train_fold(folder, FoldSettings.read(folder), device, send)


def _train_fold(folder: Path, settings: FoldSettings, device: str, send: Send) -> None:
    report = _Report(folder, settings, send)
    trainer = make_trainer(folder, settings, device, report.on_step, report.on_epoch)
    if (folder / LATEST).is_file():
        trainer.go_on_from(folder / LATEST)
    elif settings.start:
        trainer.start_at(folder / START_WEIGHTS, settings.start)
    keep_progress(folder / PROGRESS, trainer.current_epoch)
    send({"type": "started", "epoch": trainer.current_epoch, "epochs": settings.epochs})
    trainer.run_training()
    if settings.validation:
        trainer.perform_actual_validation()


def make_trainer(
    folder: Path,
    settings: FoldSettings,
    device: str,
    on_step: Callable[[int, int, int, float], None] = lambda epoch, iteration, iterations, loss: None,
    on_epoch: Callable[[dict[str, Any]], None] = lambda line: None,
) -> CRLMTrainer:
    """Return the trainer of a fold at its start; changes nnU-Net's environment variables and torch's threads.

    Args:
        folder: of the fold, in a dataset that is planned and preprocessed.
        device, on_step, on_epoch: see `train_fold` and `trainer.CRLMTrainer`.
    """
    layout = Layout.of_fold(folder)
    names = f"{settings.preset.plans}.json", "dataset.json"
    plans, dataset = (read_json_object(layout.preprocessed / name, advice="train again") for name in names)
    os.environ.update({**layout.environment(), **_nnunet_variables(settings.preset, device)})
    if settings.start:
        dataset = settings.start.described_in(dataset)
    import torch

    from ...segmentation.inference.runtime_choice import available_cpu_threads
    from .trainer import CRLMTrainer

    torch.set_num_threads(available_cpu_threads())
    plans["continue_training"] = False  # of nnU-Net's loggers for other services
    trainer = CRLMTrainer(plans, CONFIGURATION, settings.fold, dataset, torch.device(device))
    trainer.configure(settings.preset, settings.epochs, settings.seed, on_step, on_epoch)
    trainer.initialize()
    return trainer


def _nnunet_variables(preset: Preset, device: str) -> Mapping[str, str]:
    """Return nnU-Net's variables for augmentation and compilation; worker processes pay on a GPU only."""
    cores = str(min(os.cpu_count() or 1, MOST_PROCESSES))
    compiled = "true" if preset.compile_on_gpu and device == "cuda" else "false"
    processes = {"nnUNet_n_proc_DA": "0"} if device == "cpu" else {}
    return {"nnUNet_compile": compiled, "nnUNet_wandb_enabled": "0", "nnUNet_def_n_proc": cores, **processes}


class _Report:
    """Writes the progress of a fold into its folder, and sends it to the parent process."""

    def __init__(self, folder: Path, settings: FoldSettings, send: Send) -> None:
        self._folder, self._settings, self._send = folder, settings, send
        self._drawn_s = 0.0

    def on_step(self, epoch: int, iteration: int, iterations: int, loss: float) -> None:
        step = {"epoch": epoch, "iteration": iteration, "iterations": iterations, "loss": loss}
        self._send({"type": "step", **step})

    def on_epoch(self, line: dict[str, Any]) -> None:
        append_progress(self._folder / PROGRESS, line)
        self._send({"type": "epoch", **line})
        self._drawn_s += line["seconds"]
        if self._drawn_s >= CURVE_EVERY_S or line["epoch"] + 1 == self._settings.epochs:
            self._drawn_s = 0.0
            self._draw()

    def _draw(self) -> None:
        from .learning_curve import draw_learning_curve

        lines = read_progress(self._folder / PROGRESS)
        draw_learning_curve(self._folder / CURVE, lines, self._settings.title, self._settings.simulated)


def is_finished(folder: Path) -> bool:
    """Return whether the fold has its final checkpoint."""
    return (folder / FINAL).is_file()


def is_begun(folder: Path) -> bool:
    """Return whether the fold has results that a new start would delete."""
    return is_finished(folder) or (folder / LATEST).is_file()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train one fold that `crlm-seg train` has laid out.")
    parser.add_argument("folder", type=Path, help="fold_N, with training.json")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--child", action="store_true", help="of the program: frames to stdout, end when stdin ends")
    options = parser.parse_args(arguments)
    if options.child:
        run_step(lambda send: train_fold(options.folder, options.device, send), options.folder / LOG)
    else:
        train_fold(options.folder, options.device)


if __name__ == "__main__":
    main()
