"""nnU-Net's own planner, preprocessor and trainer on a dataset of crops, within a budget of minutes."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from .dataset import DATASET_NAME

SMALL_PLAN = {"features_per_stage": [16, 32, 64, 128, 160], "patch_size": [48, 48, 48], "batch_size": 2}
"""A 3D U-Net of 3.6 M parameters that two processor cores train in about 90 minutes."""
CONFIGURATION = "3d_fullres"
ITERATIONS_PER_EPOCH = 100


def plan_and_preprocess(work: Path, processes: int = 2) -> dict:
    """Fingerprint, plan and preprocess `work/raw` into `work/preprocessed`; return the plans used.

    nnU-Net plans; its network, patch and batch are then replaced by `SMALL_PLAN`.
    """
    use_folders(work)
    from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints, plan_experiments, preprocess

    dataset = int(DATASET_NAME[7:10])
    extract_fingerprints([dataset], num_processes=processes, check_dataset_integrity=True)
    plan_experiments([dataset], gpu_memory_target_in_gb=8)
    folder = work / "preprocessed" / DATASET_NAME
    path = folder / "nnUNetPlans.json"
    plans = json.loads(path.read_text())
    plans["configurations"] = {CONFIGURATION: _shrink(plans["configurations"][CONFIGURATION])}
    path.write_text(json.dumps(plans, indent=1))
    preprocess([dataset], configurations=(CONFIGURATION,), num_processes=(processes,))
    (folder / "splits_final.json").write_text((work / "raw" / DATASET_NAME / "splits.json").read_text())
    return plans


def use_folders(work: Path) -> None:
    """Point nnU-Net at the folders of this training; before nnunetv2 is imported."""
    for name in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{name}"] = str(work / name)
        (work / name).mkdir(parents=True, exist_ok=True)


def _shrink(configuration: dict) -> dict:
    stages = len(SMALL_PLAN["features_per_stage"])
    kwargs = configuration["architecture"]["arch_kwargs"]
    kwargs |= {
        "n_stages": stages,
        "features_per_stage": SMALL_PLAN["features_per_stage"],
        "kernel_sizes": [[3, 3, 3]] * stages,
        "strides": [[1, 1, 1]] + [[2, 2, 2]] * (stages - 1),
        "n_conv_per_stage": [2] * stages,
        "n_conv_per_stage_decoder": [1] * (stages - 1),
    }
    return configuration | {k: SMALL_PLAN[k] for k in ("patch_size", "batch_size")}


def train(work: Path, minutes: float, device: str = "cpu") -> Path:
    """Train one fold for a number of minutes and return nnU-Net's result folder.

    The learning rate falls with the time spent, so that a slower machine ends with a finished, if
    shorter, training.
    """
    use_folders(work)
    if device == "cpu":
        os.environ["nnUNet_n_proc_DA"] = "0"
    import torch

    from .trainer import BudgetTrainer

    folder = work / "preprocessed" / DATASET_NAME
    plans = json.loads((folder / "nnUNetPlans.json").read_text())
    dataset = json.loads((folder / "dataset.json").read_text())
    trainer = BudgetTrainer(plans | {"continue_training": False}, CONFIGURATION, 0, dataset, torch.device(device))
    trainer.budget_s, trainer.started_s = 60 * minutes, time.monotonic()
    trainer.num_iterations_per_epoch = ITERATIONS_PER_EPOCH
    trainer.initialize()
    trainer.run_training()
    return Path(trainer.output_folder)
