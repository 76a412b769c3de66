"""The recipe of the shipped model in small: real nnU-Net from crops to a measured package."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
from CRLMSegmentationLib.core.crop_format import CLICK_CHANNELS
from CRLMSegmentationLib.core.errors import CrlmError
from CRLMSegmentationLib.recording.case import load_case
from CRLMSegmentationLib.research.training import recipe
from CRLMSegmentationLib.research.training.card import summarise, summarise_clicks
from CRLMSegmentationLib.segmentation.models.package import load_model_package
from helpers.evaluation_helpers import row_of, write_case
from helpers.paths import ROOT
from helpers.training_helpers import TINY

MODEL = ROOT / "Resources" / "Models" / "crlm-crop-phantom"


def write_boxes(out, seed, numbers, processes, version):
    """In place of simulated patients: dark boxes of different sizes."""
    folders = [out / f"patient-{version}-{seed}-{number}" for number in numbers]
    for number, folder in enumerate(folders):
        if not folder.exists():
            box = (16 - number, 22 + seed + version)
            write_case(folder, dark=box, truth=box)
    return [load_case(folder) for folder in folders]


@pytest.mark.usefixtures("in_this_process")
def test_recipe_trains_packs_and_measures_and_does_not_repeat_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "write_cohort", write_boxes)
    monkeypatch.setattr(recipe, "PRESET", replace(TINY, small=replace(TINY.small, patch_size=(32, 32, 32))))
    stages = (
        recipe.Stage("seed", "crop+seed", (recipe.Cohort(1, 1, 4),), 1, 1e-3),
        recipe.Stage("clicks", "crop+clicks", (recipe.Cohort(1, 1, 3), recipe.Cohort(2, 1, 2)), 2, 5e-4),
    )
    held_out = (recipe.Cohort(1, 2, 1), recipe.Cohort(2, 2, 1))
    small = recipe.Recipe(stages, held_out, folds=2, processes=1)
    package = recipe.run(small, tmp_path / "work", tmp_path / "model")
    assert load_model_package(tmp_path / "model") == package
    assert package.simulated_only
    assert package.channels == CLICK_CHANNELS
    figures = package.card["held_out"]
    assert [(entry["phantom_version"], entry["figures"]["all"]["lesions"]) for entry in figures] == [(1, 1), (2, 1)]
    assert figures[0]["clicks"]["after"] == [1, 2, 3, 5]
    assert figures[0]["clicks"]["all"]["dice_median"][0] == figures[0]["figures"]["all"]["dice_median"]
    assert (package.card["epochs"], package.card["iterations"]) == (2, 2 * TINY.iterations)
    assert package.trained_on["started_from"]["name"].endswith("-seed")
    assert len(package.trained_on["cases"]) == 6, "four of them in the stage before"
    rows = json.loads((tmp_path / "model" / "held-out.json").read_text())
    assert [row["phantom_version"] for row in rows] == [1, 2]
    answers = [[row] for row in rows for _ in range(2)]
    monkeypatch.setattr(recipe, "evaluate", lambda *_: answers.pop(0))
    again = recipe.run(small, tmp_path / "work", tmp_path / "again")
    assert again.sha256 == package.sha256
    with pytest.raises(CrlmError, match="another recipe"):
        recipe.run(recipe.Recipe(), tmp_path / "work", tmp_path / "other")


def test_summary_counts_by_echogenicity_by_hand():
    rows = [
        row_of(f"patient-{number}", dice, about={"echogenicity": "isoechoic"}, hausdorff95_mm=distance_mm)
        for number, (dice, distance_mm) in enumerate(((0.2, None), (0.8, 2.0), (0.9, 4.0)))
    ]
    figures = summarise(rows)["isoechoic"]
    assert figures["dice_median"] == 0.8
    assert figures["share_under_0.3"] == pytest.approx(1 / 3, abs=1e-3)
    assert figures["hausdorff95_mm_median"] == 3.0
    assert summarise(rows)["all"] == figures


def test_held_out_figures_of_the_shipped_model_come_from_its_rows():
    package = load_model_package(MODEL)
    rows = json.loads((MODEL / "held-out.json").read_text())
    for of_cohort in package.card["held_out"]:
        lesions = [row for row in rows if row["phantom_version"] == of_cohort["phantom_version"]]
        assert len(lesions) > 50
        assert summarise(lesions) == of_cohort["figures"]
        assert summarise_clicks(lesions, recipe.CLICKS) == of_cohort["clicks"]


def test_the_recipe_makes_the_shipped_model():
    package, last = load_model_package(MODEL), recipe.STAGES[-1]
    assert (package.name, package.version) == (recipe.NAME, recipe.VERSION)
    assert package.trained_on["cohorts"] == [asdict(cohort) for cohort in last.cohorts]
    assert package.card["epochs"] == last.epochs
    measured = [{name: of[name] for name in ("phantom_version", "seed", "patients")} for of in package.card["held_out"]]
    assert measured == [asdict(cohort) for cohort in recipe.HELD_OUT]
