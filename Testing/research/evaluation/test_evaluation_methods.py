"""A whole evaluation of a semi-automatic method: the same rows, files and page as of a model."""

from __future__ import annotations

import json

import pytest
from CRLMSegmentationLib.core.errors import CrlmError
from CRLMSegmentationLib.research.evaluation import evaluate
from CRLMSegmentationLib.research.evaluation.document import summary_of
from CRLMSegmentationLib.research.evaluation.evaluate import evaluate_method, evaluate_model
from CRLMSegmentationLib.research.evaluation.settings import EvaluationSettings

pytestmark = pytest.mark.usefixtures("undrawn")
PLAIN = EvaluationSettings(robustness_lesions=0, bootstrap_draws=20, worst=1)


@pytest.fixture
def method(cases_folder, tmp_path):
    def run(name, settings=PLAIN, **keywords):
        return evaluate_method(name, cases_folder, tmp_path / name, settings, **keywords)

    return run


@pytest.mark.parametrize("name", ["grow-cut", "region-growing"])
def test_method_has_the_same_files_as_a_model(method, name, model, engines, cases_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "model_or_default", lambda folder: model)
    document = method(name)
    of_model = evaluate_model(None, cases_folder, tmp_path / "model", PLAIN, engine_of=engines)
    assert set(document) == set(of_model)
    assert set(document["model"]) == set(of_model["model"])
    assert [set(row) for row in document["lesions"]] == [set(row) for row in of_model["lesions"]]
    row = document["lesions"][0]
    assert row["metrics"]["auc_probability_crop"] is None
    assert row["metrics"]["auc_hard_crop"] is not None
    assert (row["roc"], row["confidence"], row["crop_size_mm"]) == (None, None, None)
    assert row["seconds"] == row["timings_s"]["grow"]
    page = (tmp_path / name / "evaluation.html").read_text()
    assert "What the confidence is worth" not in page
    assert "working time of a user is not simulated" in page
    assert not any(tmp_path.glob(f"{name}/.unfinished*"))


def test_simulated_user_is_named_wherever_the_figures_are(method, tmp_path):
    document = method("grow-cut")
    out = tmp_path / "grow-cut"
    assert any("sees the reference segmentation" in line for line in summary_of(document))
    assert "sees the reference segmentation" in (out / "evaluation.html").read_text()
    assert "sees the reference segmentation" in document["lesions"][0]["strokes"]
    assert "sees the reference segmentation" in (out / "lesions.csv").read_text()


def test_method_goes_on_where_it_ended_and_says_the_same(method, tmp_path):
    whole = method("grow-cut")
    result_cache = tmp_path / "grow-cut" / "lesions.jsonl"
    lines = result_cache.read_text().splitlines(keepends=True)
    result_cache.write_text("".join(lines[:2]) + lines[2][:40])
    again = method("grow-cut")
    for one, other in zip(whole["lesions"], again["lesions"]):
        assert one["metrics"] == other["metrics"]
    assert len(result_cache.read_text().splitlines()) == len(lines)
    kept = json.loads(lines[1])
    assert again["lesions"][0]["seconds"] == kept["seconds"]


def test_moved_click_and_gain_are_tried_with_a_method_too(method):
    settings = EvaluationSettings(
        robustness_lesions=2, seed_shares=(0, 0.5), seed_draws=1, gains_db=(-10,), grey_factors=()
    )
    document = method("region-growing", settings)
    assert len(document["variations"]) == 2 * 3
    assert document["robustness"]["seed share"]


def test_two_methods_do_not_mix_in_one_folder(cases_folder, tmp_path):
    evaluate_method("grow-cut", cases_folder, tmp_path / "out", PLAIN)
    with pytest.raises(CrlmError, match="another evaluation"):
        evaluate_method("region-growing", cases_folder, tmp_path / "out", PLAIN)
