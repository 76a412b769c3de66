"""The shipped model, from nothing to its card, in one command:

    python -m CRLMSegmentationLib.research.training.recipe --work training-work --out Resources/Models/crlm-crop-phantom

Trains in stages, each of which starts at the weights of the one before: simulates patients, prepares and trains as
`crlm-seg prepare` and `crlm-seg train --preset quick` do, and packs the weights. The last model is measured on other
simulated patients. Steps whose results lie in the work folder are not done again, and a training that was ended goes
on.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ...core.environment import devices, versions
from ...core.errors import CrlmError
from ...core.json_files import parse_json, read_json
from ...recording.case import Case
from ...recording.dataset import check_cases
from ...segmentation.models.pack import About, pack_model
from ...segmentation.models.package import ModelPackage
from ..phantom.cases import write_cohort
from .card import RECORDED_ONLY, evaluate, summarise, summarise_clicks, without_curves
from .layout import PROGRESS
from .manifest import DATASET_JSON
from .preparation import CROP_CLICKS, CROP_SEED, Preparation
from .prepare import prepare_dataset
from .presets import QUICK
from .progress import read_progress
from .train import Training, train_dataset

NAME, VERSION = "crlm-crop-phantom", "3"
INTENDED_USE = (
    "Shows that the whole path works, and is a start for a group's own training. Segments one clicked lesion in "
    "a crop of a simulated intraoperative ultrasound volume of the liver, and corrects it by further clicks."
)
STATEMENT = (
    "Trained on simulated data only; it has never seen a patient. Research software. Not a medical device; "
    "not for clinical use."
)
PRESET = QUICK
TRAINING_SEED = 1
CROPS_PER_LESION = 2
CLICKS = 5


@dataclass(frozen=True)
class Cohort:
    """The first simulated patients of a seed, of one version of the phantom."""

    phantom_version: int
    seed: int
    patients: int


@dataclass(frozen=True)
class Stage:
    """A training that starts at the weights of the stage before; the first one at random ones."""

    name: str
    variant: str
    cohorts: tuple[Cohort, ...]
    epochs: int
    learning_rate: float


STAGES = (
    Stage("seed", CROP_SEED, (Cohort(1, TRAINING_SEED, 320),), 97, 1e-3),
    Stage("clicks", CROP_CLICKS, (Cohort(1, TRAINING_SEED, 240),), 40, 5e-4),
    Stage("varied", CROP_CLICKS, (Cohort(2, 11, 224), Cohort(1, TRAINING_SEED, 110)), 90, 6e-4),
)
HELD_OUT = (Cohort(1, 2, 40), Cohort(2, 12, 40))
"""No two cohorts have patients of one name."""


@dataclass(frozen=True)
class Recipe:
    """Sizes of the trainings of the shipped model. One fold is trained, and validated on its other patients."""

    stages: tuple[Stage, ...] = STAGES
    held_out: tuple[Cohort, ...] = HELD_OUT
    folds: int = 12
    device: str = "cpu"
    processes: int = 2


def run(recipe: Recipe, work: Path, out: Path) -> ModelPackage:
    """Do all steps that are not done yet, and write the model package.

    Raises:
        CrlmError: the work folder holds the results of another recipe.
    """
    _check_same_recipe(recipe, work)
    package: ModelPackage | None = None
    for stage in recipe.stages[:-1]:
        results = _train(recipe, stage, package, work)
        package = pack_model(results, work / stage.name / "model", _about(recipe, stage, results), folds=[0], half=True)
    stage = recipe.stages[-1]
    results = _train(recipe, stage, package, work)
    about = _about(recipe, stage, results)
    package = pack_model(results, out, about, folds=[0], half=True)
    held_out, rows = _measured(recipe, package, work)
    about = replace(about, card={**(about.card or {}), "held_out": held_out})
    package = pack_model(results, out, about, folds=[0], half=True)
    (out / "held-out.json").write_text(json.dumps(rows, indent=1) + "\n")
    return package


def _train(recipe: Recipe, stage: Stage, start: ModelPackage | None, work: Path) -> Path:
    """Train on the patients of a stage, and return the folder of the results."""
    checked = [check_cases(case.folder) for cohort in stage.cohorts for case in _cases(recipe, cohort, work)]
    cases = [case for found, _ in checked for case in found]
    problems = [problem for _, found in checked for problem in found]
    preparation = Preparation(
        stage.variant,
        crops_per_lesion=CROPS_PER_LESION,
        folds=recipe.folds,
        seed=TRAINING_SEED,
        processes=recipe.processes,
    )
    dataset = work / stage.name / "dataset"
    prepare_dataset(cases, dataset, preparation, problems=problems, skip_bad=True)
    preset = replace(PRESET, learning_rate=stage.learning_rate)
    training = Training(preset, epochs=stage.epochs, seed=TRAINING_SEED, device=recipe.device, resume=True)
    return train_dataset(dataset, replace(training, processes=recipe.processes, start_from=start))


def _cases(recipe: Recipe, cohort: Cohort, work: Path) -> list[Case]:
    folder = work / f"phantom-{cohort.phantom_version}"
    numbers = range(cohort.patients)
    return write_cohort(folder, cohort.seed, numbers, recipe.processes, version=cohort.phantom_version)


def _measured(recipe: Recipe, package: ModelPackage, work: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the figures of each cohort that was held out, and those of each of its lesions."""
    figures, lesions = [], []
    for cohort in recipe.held_out:
        folders = [case.folder for case in _cases(recipe, cohort, work)]
        rows = evaluate(package, folders, replace(RECORDED_ONLY, clicks=CLICKS))
        refined = evaluate(package, folders, replace(RECORDED_ONLY, mirroring=True))
        figures.append(
            {
                **asdict(cohort),
                "device": rows[0]["device"],
                "figures": summarise(rows),
                "refined": summarise(refined),
                "clicks": summarise_clicks(rows, CLICKS),
            }
        )
        lesions += [{"phantom_version": cohort.phantom_version, **without_curves(row)} for row in rows]
    return figures, lesions


def _check_same_recipe(recipe: Recipe, work: Path) -> None:
    work.mkdir(parents=True, exist_ok=True)
    path, wanted = work / "recipe.json", parse_json(json.dumps(asdict(recipe)))
    del wanted["processes"]
    if path.is_file() and read_json(path) != wanted:
        raise CrlmError(f"{work} holds the work of another recipe, see {path.name}; choose another folder with --work")
    path.write_text(json.dumps(wanted, indent=1) + "\n")


def _about(recipe: Recipe, stage: Stage, results: Path) -> About:
    """Return what the package says of a stage, and of those before: their cases, and the model that it started from."""
    stated = read_json(results / DATASET_JSON)["crlm"]
    lines = read_progress(results / "fold_0" / PROGRESS)
    card = {
        **stated.get("card", {}),
        "iterations": PRESET.iterations * len(lines),
        "minutes": round(sum(line["seconds"] for line in lines) / 60, 1),
        "hardware": devices()[-1 if recipe.device == "cpu" else 0],
        "versions": versions(),
    }
    is_last = stage == recipe.stages[-1]
    return About(
        name=NAME if is_last else f"{NAME}-{stage.name}",
        version=VERSION,
        intended_use=INTENDED_USE,
        not_for_clinical_use=STATEMENT,
        trained_on={**stated["trained_on"], "cohorts": [asdict(cohort) for cohort in stage.cohorts]},
        card=card,
        one_pass=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the shipped model on simulated patients.")
    parser.add_argument("--work", type=Path, default=Path("training-work"), help="folder for cases and checkpoints")
    parser.add_argument("--out", type=Path, default=Path("Resources/Models") / NAME, help="model package to write")
    parser.add_argument("--processes", type=int, default=Recipe.processes)
    parser.add_argument("--device", choices=("cpu", "cuda"), default=Recipe.device)
    arguments = parser.parse_args()
    recipe = Recipe(device=arguments.device, processes=arguments.processes)
    package = run(recipe, arguments.work, arguments.out)
    print(json.dumps(package.card["held_out"], indent=1))


if __name__ == "__main__":
    main()
