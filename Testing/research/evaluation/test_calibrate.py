"""Calibrating a model on tiny cases: the stub answers the same however it is asked, so its consensus surfaces agree."""

from __future__ import annotations

import json

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import CaseError, ModelError
from CRLMSegmentationLib.recording.dataset import check_cases, short_hashes
from CRLMSegmentationLib.research.evaluation import calibrate, consensus
from CRLMSegmentationLib.research.evaluation.calibrate import calibrate_model, calibrated_accuracy_of
from CRLMSegmentationLib.research.evaluation.consensus import simulated_tips
from CRLMSegmentationLib.research.evaluation.observation_store import ObservationStore
from CRLMSegmentationLib.segmentation import calibration
from CRLMSegmentationLib.segmentation.calibration import ModelCalibration, calibration_from
from CRLMSegmentationLib.tracking.interval import ResidualError
from CRLMSegmentationLib.tracking.surfaces import SurfaceDistance, surface_of_mask
from helpers.evaluation_helpers import StubModel, box, tiny_volume, write_case

EXACT = ModelCalibration((0.0, 1.0), (0.0, 1.0), ResidualError(0.5, 0.5), 20, 20, True)


@pytest.fixture
def written(monkeypatch, engines):
    """What would be written into the package; the model is a stub."""
    entries = []
    monkeypatch.setattr(calibrate, "add_calibration", lambda model, entry: entries.append(entry) or model)
    monkeypatch.setattr(calibrate, "model_or_default", lambda wanted: wanted)
    monkeypatch.setattr(calibration, "LEAST_LESIONS", 2)
    monkeypatch.setattr(consensus, "TIPS", 20)
    observe = consensus.observe
    monkeypatch.setattr(calibrate, "observe", lambda *args, **keywords: observe(*args, engine_of=engines, **keywords))
    return entries


@pytest.fixture
def cohorts(tmp_path):
    for n, name in enumerate(("one", "two", "three")):
        folder = tmp_path / ("made-on" if n < 2 else "tried-on")
        write_case(folder / name, truth=(16, 24 - n))
    return tmp_path / "made-on", tmp_path / "tried-on"


def test_lesions_are_refined_and_repeated_and_compared_with_the_truth(cohorts, engines):
    cases, _ = check_cases(cohorts[0])
    observed = consensus.observe(StubModel(), cases, engine_of=engines)
    assert len(engines.made[0].jobs) == 2 * (1 + 1 + 7)
    (exact, approach), (less, _) = observed
    assert exact.agreement == less.agreement == 1
    assert exact.dice == pytest.approx(1)
    assert less.dice == pytest.approx(2 * 7 / (8 + 7))
    assert exact.misses_mm.max() == pytest.approx(0, abs=1e-3)
    assert less.errors_mm == pytest.approx(
        less.misses_mm, abs=1e-3
    )  # the stub's consensus surfaces are its segmentation
    assert 0.5 < less.misses_mm.max() <= 1.01
    assert approach.true_mm.min() > -5
    assert approach.true_mm.max() > 20


def test_what_was_measured_is_written_with_how_it_does_on_others(written, cohorts, tmp_path):
    _, made, accuracy = calibrate_model(StubModel(), *cohorts, report=tmp_path / "calibration.json")
    assert made.lesions == 2
    assert accuracy.lesions == 1
    assert accuracy.before["gap"] > 0
    assert accuracy.coverage > 0.9
    assert (accuracy.coverage_alone, accuracy.width_alone_mm) == pytest.approx((accuracy.coverage, accuracy.width_mm))
    assert calibration_from(written[0]) == made
    report = json.loads((tmp_path / "calibration.json").read_text())
    assert report["checked"]["lesions"] == 1
    assert report["model"] == StubModel().sha256


@pytest.mark.parametrize("dies_after", [0, 9, 12])
def test_calibration_that_was_killed_goes_on_with_the_next_case(cohorts, engines, tmp_path, dies_after):
    """A case takes nine jobs: the first answer, its refinement, and seven repetitions."""
    cases, _ = check_cases(cohorts[0])
    store = ObservationStore(tmp_path / "work", StubModel().sha256)
    with pytest.raises(KeyboardInterrupt):
        observe_with(lambda model: engines(model, dies_after=dies_after), cases, store)
    observed = observe_with(engines, cases, store)
    assert len(engines.made[-1].jobs) == 18 - dies_after // 9 * 9
    again = observe_with(engines, cases, store)
    assert len(engines.made) == 2
    assert [as_plain(one) for one in again] == [as_plain(one) for one in observed]
    assert [as_plain(one) for one in observed] == [as_plain(one) for one in observe_with(engines, cases, None)]
    for path in (tmp_path / "work").iterdir():
        path.write_text('{"lesions": [{"patient": 3}]}')
    assert len(observe_with(engines, cases, store)) == 2  # what is damaged is made again


def observe_with(engine_of, cases, store):
    return consensus.observe(StubModel(), cases, engine_of=engine_of, store=store)


def as_plain(observed):
    return [{name: np.asarray(value).tolist() for name, value in vars(part).items()} for part in observed]


def test_patients_cannot_be_calibrated_and_checked_on(written, cohorts):
    with pytest.raises(CaseError, match="one, two is in both sets of patients"):
        calibrate_model(StubModel(), cohorts[0], cohorts[0])


def test_patients_that_were_trained_on_are_refused(written, cohorts):
    cases, _ = check_cases(cohorts[0])
    known = short_hashes([cases[0].sha256])
    model = StubModel(trained_on={"simulated": True, "cases": known})
    with pytest.raises(CaseError, match="trained on one; its accuracy would be overestimated"):
        calibrate_model(model, cohorts[0])


def test_too_few_lesions_say_how_many_are_needed(written, cohorts):
    with pytest.raises(ModelError, match="at least 2 lesions, got 1"):
        calibrate_model(StubModel(), cohorts[1])


def test_worth_by_hand():
    ball = SurfaceDistance(surface_of_mask(box((16, 24)), np.eye(4)))
    tip, volume = np.array([[19.5, 19.5, 40.0]]), tiny_volume((16, 24))
    tips = simulated_tips(tip, np.array([16.5]), ball, ball, [ball] * 3, True, volume, np.random.default_rng(0))
    lesions = [(0.9, 0.8), (0.5, 0.4), (0.3, 0.6), (0.7, 0.3)]
    observed = [
        (calibration.Observation(f"P{n}", agreement, 1.0, dice, np.zeros(1), np.zeros(1)), tips)
        for n, (agreement, dice) in enumerate(lesions)
    ]
    accuracy = calibrated_accuracy_of(EXACT, observed)
    assert accuracy.coverage == 1
    assert accuracy.gap == pytest.approx(np.mean([0.1, 0.1, -0.3, 0.4]))
    assert accuracy.error == pytest.approx(np.mean([0.1, 0.1, 0.3, 0.4]))
    assert accuracy.before["gap"] == pytest.approx(1 - np.mean([0.8, 0.4, 0.6, 0.3]))
    assert (accuracy.bad, accuracy.flagged, accuracy.bad_flagged) == (2, 2, 1)
