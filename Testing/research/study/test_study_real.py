"""The real parts put together once, as small as they can be: prepared, trained, packed, measured, drawn."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from CRLMSegmentationLib.core.parallel import InProcess
from CRLMSegmentationLib.recording.dataset import check_cases
from CRLMSegmentationLib.research.evaluation.data_leakage import trained_on
from CRLMSegmentationLib.research.study.run import run_study
from CRLMSegmentationLib.research.study.steps import REAL_STEPS
from CRLMSegmentationLib.research.training.presets import QUICK, SmallPlan
from CRLMSegmentationLib.research.training.train import Training, train_dataset
from CRLMSegmentationLib.segmentation.models.package import load_model_package
from helpers.study_helpers import StubSteps

METHODS = ["full", "grow-cut"]
"""One network, which is evaluated in a process of its own."""
TINY = replace(
    QUICK, plans="tinyPlans", small=SmallPlan((4, 8, 8), (16, 16, 16), 2), iterations=2, validation_iterations=1
)
CHANGES = {
    "patients": 4,
    "held_out": 3,
    "epochs": 2,
    "folds": 2,
    "spacing_mm": 3.0,
    "crop_size_mm": 48.0,
    "crops_per_lesion": 1,
    "bootstrap_draws": 50,
}


def train_tiny(dataset, study, device, runner, on_progress):
    training = Training(TINY, epochs=study.epochs, device="cpu", processes=1, resume=True)
    return train_dataset(dataset, training, on_progress)


@pytest.mark.usefixtures("coarse", "in_this_process")
def test_study_of_seven_tiny_patients_from_nothing_to_its_page(tmp_path):
    out = tmp_path / "s"
    steps = replace(REAL_STEPS, simulate=StubSteps().simulate, train=train_tiny)
    results = run_study("demo", out, CHANGES, METHODS, "cpu", InProcess(), steps=steps)
    assert results["methods"] == METHODS
    assert all(len(results["lesions"][method]) == 3 for method in METHODS)
    assert results["failed"] == {method: [] for method in METHODS}
    assert len(results["trainings"]["full"]["curve"]) == 2
    assert results["clicks"]["full"] is None
    assert results["clicks"]["grow-cut"]["shown"] == [1, 2, 3, 5]
    assert results["trainings"]["full"]["patients"] == {"train": 2, "val": 2}
    assert results["roc"]["volume"]["methods"]["full"]["lesions"] == 3
    assert results["strokes"]["grow-cut"]
    assert results["trainings"]["full"]["model"]["region"] == "volume"
    cases, _ = check_cases(out / "patients" / "trained-on")
    package = load_model_package(out / "models" / "full")
    assert len(trained_on({"trained_on": package.trained_on}, cases)) == 4
    assert str(tmp_path) not in (out / "results.json").read_text()
    before = {path: path.stat().st_mtime_ns for folder in ("models", "datasets") for path in (out / folder).rglob("*")}
    again = run_study("demo", out, CHANGES, METHODS, "cpu", InProcess(), steps=steps)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert json.dumps(again["figures"]) == json.dumps(results["figures"])
