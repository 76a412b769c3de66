"""Makes real results of nnU-Net v2, tiny and untrained, and lets nnU-Net itself export and use them.

Run as a script, for nnU-Net reads its folders from the environment:

    python -m helpers.nnunet_exports FOLDER
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from .inference_helpers import DATASET_JSON, SPACING_MM, crop_array, tiny_plans

SHAPE, FINER_MM = (34, 30, 38), 1.0
"""A crop that nnU-Net has to resample."""
SEEDED = "Dataset001_Seeded"
GREY = "Dataset002_Grey"
MODEL = "nnUNetTrainer__nnUNetPlans__3d_fullres"


def seeded_plans() -> dict[str, Any]:
    return {**tiny_plans(), "dataset_name": SEEDED}


def grey_plans() -> dict[str, Any]:
    """One channel, thicker slices, and a second 3D configuration that inherits from the first."""
    plans = {**tiny_plans(), "dataset_name": GREY}
    fullres = plans["configurations"]["3d_fullres"]
    fullres |= {"normalization_schemes": ["ZScoreNormalization"], "use_mask_for_norm": [False]}
    fullres["spacing"] = [2.0, SPACING_MM, SPACING_MM]
    plans["configurations"]["3d_lowres"] = {"inherits_from": "3d_fullres", "spacing": [2.5] * 3}
    return plans


GREY_DATASET = {**DATASET_JSON, "channel_names": {"0": "US"}, "labels": {"background": 0, "lesion": 1}}


def make(folder: Path) -> None:
    """Write `results`, `seeded.zip`, `grey.zip`, `several.zip`, and nnU-Net's own answers as `*.npy`."""
    for name in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{name}"] = str(folder / name)
    import torch
    from nnunetv2.model_sharing.model_export import export_pretrained_model

    torch.set_num_threads(1)
    for dataset, plans, description, configuration, folds in (
        (SEEDED, seeded_plans(), DATASET_JSON, "3d_fullres", (0, 1)),
        (GREY, grey_plans(), GREY_DATASET, "3d_fullres", ("all",)),
        (GREY, grey_plans(), GREY_DATASET, "3d_lowres", ("all",)),
    ):
        for fold in folds:
            _save_untrained(folder, plans, description, configuration, fold)
        model = folder / "results" / dataset / f"nnUNetTrainer__nnUNetPlans__{configuration}"
        array = crop_array(SHAPE)[: len(description["channel_names"])]
        for mirroring in (False, True):
            np.save(folder / f"{dataset}-{configuration}-{mirroring}.npy", _predict(model, folds, array, mirroring))
    zips = (("seeded", 1, ("3d_fullres",), (0, 1)), ("grey", 2, ("3d_fullres",), ("all",)))
    for name, dataset, configurations, folds in (*zips, ("several", 2, ("3d_fullres", "3d_lowres"), ("all",))):
        export_pretrained_model(dataset, str(folder / f"{name}.zip"), configurations, folds=folds)


def _save_untrained(folder: Path, plans: dict, description: dict, configuration: str, fold: int | str) -> None:
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    dataset = folder / "preprocessed" / plans["dataset_name"]
    data = dataset / plans["configurations"]["3d_fullres"]["data_identifier"]
    data.mkdir(parents=True, exist_ok=True)
    (data / "case.b2nd").touch()  # the trainer looks what kind of files are there
    torch.manual_seed(0 if fold == "all" else fold)
    arguments = {**json.loads(json.dumps(plans)), "continue_training": False}
    trainer = nnUNetTrainer(arguments, configuration, fold, description, torch.device("cpu"))
    trainer.initialize()
    trainer.inference_allowed_mirroring_axes = (0, 1, 2)  # as on_train_start sets it
    trainer.logger.log("train_losses", np.float64(-0.5), 0)
    trainer.logger.log("mean_fg_dice", np.float32(0.5), 0)
    trainer._best_ema = np.float64(0.5)
    target = Path(trainer.output_folder)
    for kind in ("final", "best"):
        trainer.save_checkpoint(str(target / f"checkpoint_{kind}.pth"))
    (target / "validation").mkdir()
    for path in (target / "progress.png", target / "validation" / "summary.json"):
        path.write_text("{}")
    for name, content in (("plans", plans), ("dataset", description), ("dataset_fingerprint", {})):
        (target.parent / f"{name}.json").write_text(json.dumps(content))


def _predict(model: Path, folds: tuple, array: np.ndarray, mirroring: bool) -> np.ndarray:
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(use_mirroring=mirroring, device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(model), folds, "checkpoint_final.pth")
    _, probabilities = predictor.predict_single_npy_array(array, {"spacing": [FINER_MM] * 3}, None, None, True)
    return probabilities[1]


if __name__ == "__main__":
    make(Path(sys.argv[1]))
