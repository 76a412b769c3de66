"""Cases that a model was trained on, and evaluations of what a dataset holds out."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest
from CRLMSegmentationLib import evaluating
from CRLMSegmentationLib.core.errors import CaseError
from CRLMSegmentationLib.core.volume import Volume, write_volume
from CRLMSegmentationLib.evaluating import HeldOut, evaluate_model
from CRLMSegmentationLib.evaluation.document import cautions_of, summary_of
from CRLMSegmentationLib.evaluation.inputs import SHORT_HASH, check_cases
from CRLMSegmentationLib.evaluation.settings import Settings
from evaluation_helpers import StubModel, box, write_case

PLAIN = Settings(robustness_lesions=0, bootstrap_draws=20, worst=1)


@pytest.fixture
def hashes(cases_folder):
    return {case.case_id: case.sha256 for case in check_cases(cases_folder)[0]}


@pytest.fixture
def evaluate(cases_folder, tmp_path, engines, monkeypatch):
    def run(trained_on=None, **keywords):
        said = {"simulated": True} | ({} if trained_on is None else {"cases": trained_on})
        monkeypatch.setattr(evaluating, "model_or_default", lambda folder: StubModel(trained_on=said))
        return evaluate_model(None, cases_folder, tmp_path / "out", PLAIN, engine_of=engines, **keywords)

    return run


def test_case_that_the_model_was_trained_on_is_told_everywhere(evaluate, hashes, tmp_path):
    document = evaluate([hashes["half"][:SHORT_HASH], "0" * SHORT_HASH])
    assert document["data"]["trained_on"] == ["half"]
    assert any("trained on 1 of these 3 cases (half)" in line for line in summary_of(document))
    page = (tmp_path / "out" / "evaluation.html").read_text()
    assert "half (trained on)" in page
    assert "exact (trained on)" not in page
    assert "Trained on 1 of these 3 cases" in page
    assert page.count("simulated data, in part trained on</span>") >= 4
    with (tmp_path / "out" / "lesions.csv").open(newline="") as stream:
        assert [line["trained_on"] for line in csv.DictReader(stream)] == ["False", "True", "False"]


def test_renamed_copy_of_a_case_is_found_by_its_hash(evaluate, hashes, cases_folder):
    shutil.move(cases_folder / "half", cases_folder / "renamed-folder")
    assert evaluate([hashes["half"]])["data"]["trained_on"] == ["half"]


def test_model_that_does_not_say_its_cases_is_not_called_clean(evaluate, tmp_path):
    document = evaluate(None)
    assert document["data"]["trained_on"] is None
    assert "not known: the model does not say" in (tmp_path / "out" / "evaluation.html").read_text()
    assert cautions_of(document) == []


def test_model_trained_on_others_is_called_clean(evaluate, tmp_path):
    document = evaluate(["0" * SHORT_HASH])
    assert document["data"]["trained_on"] == []
    assert cautions_of(document) == []


def test_only_held_out_cases_are_measured(evaluate, hashes, tmp_path):
    held_out = HeldOut("dataset", frozenset({hashes["exact"], hashes["missed"][:SHORT_HASH]}))
    document = evaluate(held_out=held_out)
    assert [row["case_id"] for row in document["lesions"]] == ["exact", "missed"]
    assert document["data"]["held_out_of"] == {"dataset": "dataset", "listed": 2}
    assert cautions_of(document) == []


def test_cases_that_are_not_held_out_may_be_bad(evaluate, hashes, cases_folder):
    write_case(cases_folder / "truthless", truth=None)
    document = evaluate(held_out=HeldOut("dataset", frozenset({hashes["exact"]})))
    assert document["data"]["left_out"] == []


def test_held_out_cases_that_are_not_there_are_told(evaluate, hashes):
    document = evaluate(held_out=HeldOut("dataset", frozenset({hashes["exact"], "0" * 64})))
    assert "1 of the 2 held-out cases of dataset were measured" in cautions_of(document)


@pytest.mark.parametrize(
    ("listed", "reason"), [((), "holds no case out.*--held-out-share"), (("0" * 64,), "none of the 1 held-out cases")]
)
def test_nothing_held_out_is_an_error_before_anything_is_written(evaluate, tmp_path, listed, reason):
    with pytest.raises(CaseError, match=reason):
        evaluate(held_out=HeldOut("dataset", frozenset(listed)))
    assert not (tmp_path / "out").exists()


def test_pair_is_held_out_by_the_hash_of_both_files(tmp_path):
    write_volume(Volume(box((4, 12)).astype("uint8") + 9, np.eye(4)), tmp_path / "p1.nrrd")
    write_volume(Volume(box((4, 12)).astype("uint8"), np.eye(4)), tmp_path / "p1-label.nrrd")
    sha256 = check_cases(tmp_path)[0][0].sha256
    assert [case.case_id for case in check_cases(tmp_path, only={sha256})[0]] == ["p1"]
    assert check_cases(tmp_path, only={"0" * 64}) == ([], [])
