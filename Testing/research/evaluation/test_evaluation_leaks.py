"""Cases that a model was trained on, and evaluations of what a dataset holds out."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import CaseError, CrlmError
from CRLMSegmentationLib.core.hashing import sha256_of
from CRLMSegmentationLib.core.volume import Volume, write_volume
from CRLMSegmentationLib.recording.case import CASE_FILE, load_case, save_case
from CRLMSegmentationLib.recording.dataset import SHORT_HASH, check_cases
from CRLMSegmentationLib.research import evaluation
from CRLMSegmentationLib.research.evaluation.document import summary_of, warnings_of
from CRLMSegmentationLib.research.evaluation.evaluate import HeldOut, evaluate_model
from CRLMSegmentationLib.research.evaluation.settings import EvaluationSettings
from helpers.evaluation_helpers import StubModel, box, write_case

pytestmark = pytest.mark.usefixtures("undrawn")
PLAIN = EvaluationSettings(robustness_lesions=0, bootstrap_draws=20, worst=1)


@pytest.fixture
def hashes(cases_folder):
    return {case.case_id: case.sha256 for case in check_cases(cases_folder)[0]}


def two_boxes() -> np.ndarray:
    """A truth of one label in two parts."""
    return (box((16, 24)) | box((30, 36))).astype(np.uint8)


@pytest.fixture
def evaluate(cases_folder, tmp_path, engines, monkeypatch):
    def run(trained_on=None, **keywords):
        said = {"simulated": True} | ({} if trained_on is None else {"cases": trained_on})
        monkeypatch.setattr(evaluation.evaluate, "model_or_default", lambda folder: StubModel(trained_on=said))
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
    assert warnings_of(document) == []


def test_model_trained_on_others_is_called_clean(evaluate, tmp_path):
    document = evaluate(["0" * SHORT_HASH])
    assert document["data"]["trained_on"] == []
    assert warnings_of(document) == []


def test_only_held_out_cases_are_measured(evaluate, hashes, tmp_path):
    held_out = HeldOut("dataset", frozenset({hashes["exact"], hashes["missed"][:SHORT_HASH]}))
    document = evaluate(held_out=held_out)
    assert [row["case_id"] for row in document["lesions"]] == ["exact", "missed"]
    assert document["data"]["held_out_of"] == {"dataset": "dataset", "listed": 2}
    assert warnings_of(document) == []


@pytest.mark.parametrize(
    ("of_dataset", "asked", "lesions"),
    [
        (None, False, ["Tumour 1.1", "Tumour 1.2"]),
        (None, True, ["Tumour 1"]),
        (False, False, ["Tumour 1.1", "Tumour 1.2"]),
        (True, False, ["Tumour 1"]),
        (True, True, ["Tumour 1"]),
    ],
)
def test_held_out_lesions_are_those_of_the_dataset(evaluate, hashes, cases_folder, of_dataset, asked, lesions):
    truth = cases_folder / "exact" / "truth.nrrd"
    write_volume(Volume(two_boxes(), np.eye(4)), truth)
    save_case(load_case(cases_folder / "exact", verify=False))
    listed = frozenset({sha256_of(cases_folder / "exact" / CASE_FILE)})
    document = evaluate(held_out=HeldOut("dataset", listed, of_dataset), labels_together=asked)
    assert [row["lesion"] for row in document["lesions"]] == lesions


def test_parts_that_the_dataset_has_apart_are_not_put_together(evaluate, hashes, tmp_path):
    with pytest.raises(CrlmError, match="dataset was prepared without --keep-labels-together"):
        evaluate(held_out=HeldOut("dataset", frozenset({hashes["exact"]}), False), labels_together=True)
    assert not (tmp_path / "out").exists()


def test_results_of_other_lesions_are_not_gone_on_with(evaluate, tmp_path):
    evaluate()
    with pytest.raises(CrlmError, match=r"another evaluation \(labels_together false instead of true\)"):
        evaluate(labels_together=True)


def test_results_of_a_version_that_did_not_say_how_labels_were_split_are_not_gone_on_with(evaluate, tmp_path):
    evaluate()
    result_cache = tmp_path / "out" / "lesions.jsonl"
    header, *rows = result_cache.read_text().splitlines(keepends=True)
    old = {**json.loads(header), "schema_version": 2}
    del old["labels_together"]
    result_cache.write_text("".join([json.dumps(old) + "\n", *rows]))
    with pytest.raises(CrlmError, match="schema_version 2 instead of 4"):
        evaluate()


def test_cases_that_are_not_held_out_may_be_bad(evaluate, hashes, cases_folder):
    write_case(cases_folder / "truthless", truth=None)
    document = evaluate(held_out=HeldOut("dataset", frozenset({hashes["exact"]})))
    assert document["data"]["left_out"] == []


def test_held_out_cases_that_are_not_there_are_told(evaluate, hashes):
    document = evaluate(held_out=HeldOut("dataset", frozenset({hashes["exact"], "0" * 64})))
    assert "1 of the 2 held-out cases of dataset were measured" in warnings_of(document)


@pytest.mark.parametrize(
    ("listed", "reason"),
    [((), "has no held-out cases.*--held-out SHARE"), (("0" * 64,), "none of the 1 held-out cases")],
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
