"""The shipped model, from nothing to its card, in one command:

    python -m CRLMSegmentationLib.training.recipe --work training-work --out Resources/Models/crlm-crop-phantom

Simulates patients, crops them, lets nnU-Net plan, preprocess and train, packs the weights, and measures the
model on other simulated patients. Steps whose results lie in the work folder are not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from ..core.cropping import CHANNELS
from ..core.errors import CrlmError
from ..environment import versions
from ..inference.checkpoints import read_checkpoint
from ..inference.model_package import ModelPackage
from ..inference.packing import About, pack_model
from ..phantom.cases import PHANTOM_VERSION, write_cohort
from .dataset import CROP_SIZE_MM, DATASET_NAME, prepare_dataset
from .evaluate import evaluate, summarise
from .train import ITERATIONS_PER_EPOCH, plan_and_preprocess, train

NAME, VERSION = "crlm-crop-phantom", "2"
INTENDED_USE = (
    "Shows that the whole path works, and is a start for a group's own training. Outlines one clicked lesion in "
    "a crop of a simulated intraoperative ultrasound volume of the liver."
)
STATEMENT = (
    "Trained on simulated data only; it has never seen a patient. Research software. Not a medical device; "
    "not for clinical use."
)
TRAINING_SEED, HELD_OUT_SEED = 1, 2
CROPS_PER_LESION, VALIDATION_SHARE = 2, 0.08
RUN_FILE = "run.json"
"""Beside the checkpoints: how long the training took, and on what."""


@dataclass(frozen=True)
class Recipe:
    """How much of everything: training patients, held-out patients, minutes, where."""

    patients: int = 320
    held_out: int = 40
    minutes: float = 97.0
    device: str = "cpu"
    processes: int = 2


def run(recipe: Recipe, work: Path, out: Path) -> ModelPackage:
    """Do all steps that are not done yet and write the model package.

    Raises:
        CrlmError: the work folder holds the results of another recipe.
    """
    _check_same_recipe(recipe, work)
    cases = write_cohort(work / "cases", TRAINING_SEED, range(recipe.patients), recipe.processes)
    if not (work / "preprocessed" / DATASET_NAME / "splits_final.json").is_file():
        prepare_dataset([c.folder for c in cases], work / "raw", CROPS_PER_LESION, VALIDATION_SHARE, TRAINING_SEED)
        plan_and_preprocess(work, recipe.processes)
    results = work / "results" / DATASET_NAME / "BudgetTrainer__nnUNetPlans__3d_fullres" / "fold_0"
    if not (results / RUN_FILE).is_file():
        started_s = time.monotonic()
        train(work, recipe.minutes, recipe.device)
        minutes = round((time.monotonic() - started_s) / 60, 1)
        (results / RUN_FILE).write_text(json.dumps({"minutes": minutes, "hardware": _hardware(recipe.device)}))
    package = pack(results, out, recipe, {})
    held_out = write_cohort(work / "held-out", HELD_OUT_SEED, range(recipe.held_out), recipe.processes)
    rows = evaluate(package, [c.folder for c in held_out])
    package = pack(results, out, recipe, summarise(rows))
    (out / "held-out.json").write_text(json.dumps(rows, indent=1) + "\n")
    return package


def _check_same_recipe(recipe: Recipe, work: Path) -> None:
    work.mkdir(parents=True, exist_ok=True)
    path, wanted = work / "recipe.json", {**asdict(recipe), "phantom_version": PHANTOM_VERSION}
    del wanted["processes"]
    if path.is_file() and json.loads(path.read_text()) != wanted:
        raise CrlmError(f"{work} holds the work of another recipe, see {path.name}; choose another folder with --work")
    path.write_text(json.dumps(wanted, indent=1) + "\n")


def _hardware(device: str) -> str:
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name()
    names = re.findall(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text()) if sys.platform == "linux" else []
    return f"{os.cpu_count()} cores of {names[0] if names else platform.machine()}"


def pack(results: Path, out: Path, recipe: Recipe, held_out: dict) -> ModelPackage:
    """Turn nnU-Net's result folder of one fold into a model package with its card."""
    split = json.loads((results.parents[3] / "preprocessed" / DATASET_NAME / "splits_final.json").read_text())[0]
    epochs = read_checkpoint(results / "checkpoint_final.pth").epochs
    about = About(
        name=NAME,
        version=VERSION,
        crop_size_mm=CROP_SIZE_MM,
        channels=CHANNELS,
        intended_use=INTENDED_USE,
        not_for_clinical_use=STATEMENT,
        trained_on={
            "simulated": True,
            "phantom_version": PHANTOM_VERSION,
            "phantom_seed": TRAINING_SEED,
            "patients": recipe.patients,
            "crops": {name: len(crops) for name, crops in split.items()},
        },
        card={
            "iterations": ITERATIONS_PER_EPOCH * epochs,
            **json.loads((results / RUN_FILE).read_text()),
            "versions": versions(),
            "held_out": {"phantom_seed": HELD_OUT_SEED, "patients": recipe.held_out, "figures": held_out},
        },
    )
    return pack_model(results.parent, out, about, folds=[0], half=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the shipped model anew on simulated patients.")
    parser.add_argument("--work", type=Path, default=Path("training-work"), help="folder for cases and checkpoints")
    parser.add_argument("--out", type=Path, default=Path("Resources/Models") / NAME, help="model package to write")
    for field in ("patients", "held_out", "processes"):
        parser.add_argument(f"--{field.replace('_', '-')}", type=int, default=getattr(Recipe, field))
    parser.add_argument("--minutes", type=float, default=Recipe.minutes, help="of training")
    parser.add_argument("--device", choices=("cpu", "cuda"), default=Recipe.device)
    arguments = vars(parser.parse_args())
    work, out = arguments.pop("work"), arguments.pop("out")
    package = run(Recipe(**arguments), work, out)
    print(json.dumps(package.card["held_out"], indent=1))


if __name__ == "__main__":
    main()
