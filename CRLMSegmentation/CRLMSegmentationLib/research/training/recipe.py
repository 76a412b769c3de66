"""The shipped model, from nothing to its card, in one command:

    python -m CRLMSegmentationLib.research.training.recipe --work training-work --out Resources/Models/crlm-crop-phantom

Simulates patients, prepares and trains as `crlm-seg prepare` and `crlm-seg train --preset quick` do, packs the
weights, and measures the model on other simulated patients. Steps whose results lie in the work folder are not done
again, and a training that was ended goes on.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ...core.environment import devices, versions
from ...core.errors import CrlmError
from ...core.json_files import read_json
from ...recording.dataset import check_cases
from ...segmentation.models.pack import About, pack_model
from ...segmentation.models.package import ModelPackage
from ..phantom.cases import write_cohort
from .card import evaluate, summarise
from .layout import PROGRESS
from .manifest import Manifest
from .preparation import Preparation
from .prepare import prepare_dataset
from .presets import QUICK
from .progress import read_progress
from .train import Training, train_dataset

NAME, VERSION = "crlm-crop-phantom", "3"
INTENDED_USE = (
    "Shows that the whole path works, and is a start for a group's own training. Segmentations one clicked lesion in "
    "a crop of a simulated intraoperative ultrasound volume of the liver."
)
STATEMENT = (
    "Trained on simulated data only; it has never seen a patient. Research software. Not a medical device; "
    "not for clinical use."
)
PRESET = QUICK
TRAINING_SEED, HELD_OUT_SEED = 1, 2
CROPS_PER_LESION = 2


@dataclass(frozen=True)
class Recipe:
    """Sizes of the training of the shipped model. One fold is trained, and validated on its other patients.

    Attributes:
        phantom_version: of the patients. The shipped weights were trained on version 1.
    """

    patients: int = 320
    held_out: int = 40
    folds: int = 12
    epochs: int = 97
    device: str = "cpu"
    processes: int = 2
    phantom_version: int = 1


def run(recipe: Recipe, work: Path, out: Path) -> ModelPackage:
    """Do all steps that are not done yet, and write the model package.

    Raises:
        CrlmError: the work folder holds the results of another recipe.
    """
    _check_same_recipe(recipe, work)
    write_cohort(
        work / "cases", TRAINING_SEED, range(recipe.patients), recipe.processes, version=recipe.phantom_version
    )
    cases, problems = check_cases(work / "cases")
    preparation = Preparation(
        crops_per_lesion=CROPS_PER_LESION, folds=recipe.folds, seed=TRAINING_SEED, processes=recipe.processes
    )
    manifest = prepare_dataset(cases, work / "dataset", preparation, problems=problems, skip_bad=True)
    training = Training(PRESET, epochs=recipe.epochs, seed=TRAINING_SEED, device=recipe.device, resume=True)
    results = train_dataset(work / "dataset", replace(training, processes=recipe.processes))
    about = _about(recipe, manifest, results)
    package = pack_model(results, out, about, folds=[0], half=True)
    held_out = write_cohort(
        work / "held-out", HELD_OUT_SEED, range(recipe.held_out), recipe.processes, version=recipe.phantom_version
    )
    rows = evaluate(package, [case.folder for case in held_out])
    figures = {"phantom_seed": HELD_OUT_SEED, "patients": recipe.held_out, "figures": summarise(rows)}
    about = replace(about, card={**(about.card or {}), "held_out": figures})
    package = pack_model(results, out, about, folds=[0], half=True)
    (out / "held-out.json").write_text(json.dumps(rows, indent=1) + "\n")
    return package


def _check_same_recipe(recipe: Recipe, work: Path) -> None:
    work.mkdir(parents=True, exist_ok=True)
    path, wanted = work / "recipe.json", asdict(recipe)
    del wanted["processes"]
    if path.is_file() and read_json(path) != wanted:
        raise CrlmError(f"{work} holds the work of another recipe, see {path.name}; choose another folder with --work")
    path.write_text(json.dumps(wanted, indent=1) + "\n")


def _about(recipe: Recipe, manifest: Manifest, results: Path) -> About:
    lines = read_progress(results / "fold_0" / PROGRESS)
    split = manifest.splits[0]
    trained_on: dict[str, Any] = {
        "simulated": True,
        "phantom_version": recipe.phantom_version,
        "phantom_seed": TRAINING_SEED,
        "patients": recipe.patients,
        "crops": {name: len(crops) for name, crops in split.items()},
        "cases": [case.sha256[:16] for case in manifest.cases],
    }
    card = {
        "iterations": PRESET.iterations * len(lines),
        "minutes": round(sum(line["seconds"] for line in lines) / 60, 1),
        "hardware": devices()[-1 if recipe.device == "cpu" else 0],
        "versions": versions(),
    }
    return About(
        name=NAME,
        version=VERSION,
        intended_use=INTENDED_USE,
        not_for_clinical_use=STATEMENT,
        trained_on=trained_on,
        card=card,
        one_pass=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the shipped model on simulated patients.")
    parser.add_argument("--work", type=Path, default=Path("training-work"), help="folder for cases and checkpoints")
    parser.add_argument("--out", type=Path, default=Path("Resources/Models") / NAME, help="model package to write")
    for field in ("patients", "held_out", "folds", "epochs", "processes", "phantom_version"):
        parser.add_argument(f"--{field.replace('_', '-')}", type=int, default=getattr(Recipe, field))
    parser.add_argument("--device", choices=("cpu", "cuda"), default=Recipe.device)
    arguments = vars(parser.parse_args())
    work, out = arguments.pop("work"), arguments.pop("out")
    package = run(Recipe(**arguments), work, out)
    print(json.dumps(package.card["held_out"], indent=1))


if __name__ == "__main__":
    main()
