"""A whole evaluation on a stub engine: figures known by hand, files, going on after a kill."""

from __future__ import annotations

import csv
import json
from collections import defaultdict

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import CaseError, CrlmError, WorkerError
from CRLMSegmentationLib.core.volume import read_volume
from CRLMSegmentationLib.research import evaluation
from CRLMSegmentationLib.research.evaluation import lesions, page
from CRLMSegmentationLib.research.evaluation.document import CSV_COLUMNS, KEYS, summary_of
from CRLMSegmentationLib.research.evaluation.evaluate import evaluate_model
from CRLMSegmentationLib.research.evaluation.lesions import evaluate_lesions
from CRLMSegmentationLib.research.evaluation.rows import ROW_KEYS, cube_at
from CRLMSegmentationLib.research.evaluation.settings import EvaluationSettings
from helpers.evaluation_helpers import StubModel, box, write_case

PLAIN = EvaluationSettings(robustness_lesions=0, bootstrap_draws=100, worst=1)
VARIED = EvaluationSettings(robustness_lesions=2, seed_shares=(0, 0.5), seed_draws=2, gains_db=(10,), grey_factors=())
TIMES = {"created"}


@pytest.fixture(autouse=True)
def _stub_model(monkeypatch, model):
    monkeypatch.setattr(evaluation.evaluate, "model_or_default", lambda folder: model)


@pytest.fixture
def drawn():
    """Asked for by a test that looks at pictures."""


@pytest.fixture(autouse=True)
def _undrawn(request, monkeypatch):
    """Pictures and plots take most of the time of so small an evaluation."""
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(page, "worst_figures", lambda document, *_: [None] * len(document["worst"]))
        monkeypatch.setattr(page, "_plots", lambda document: defaultdict(str))


@pytest.fixture
def evaluate(cases_folder, tmp_path, engines):
    def run(settings=PLAIN, out=tmp_path / "out", cases=cases_folder, engine_of=engines, **keywords):
        return evaluate_model(None, cases, out, settings, engine_of=engine_of, **keywords)

    return run


def rows_by_case(document):
    return {row["case_id"]: row for row in document["lesions"]}


def test_dice_of_boxes_is_that_by_hand(evaluate):
    rows = rows_by_case(evaluate())
    dice = {name: row["metrics"]["dice"] for name, row in rows.items()}
    assert dice["exact"] == pytest.approx(1)
    assert dice["half"] == pytest.approx(2 * 4 / (8 + 4))
    assert dice["missed"] == 0
    assert rows["half"]["metrics"]["rvd"] == pytest.approx(1)
    assert rows["half"]["metrics"]["hausdorff_mm"] == pytest.approx(4)
    assert rows["missed"]["metrics"]["hausdorff_mm"] is None
    assert rows["missed"]["confidence"] is None


def test_figures_are_those_of_three_lesions_by_hand(evaluate):
    figures = evaluate()["figures"]
    everything = figures["all"]["all"]
    assert everything["dice"]["median"] == pytest.approx(2 / 3)
    assert everything["detection_rate"]["share"] == pytest.approx(2 / 3)
    assert everything["hausdorff_mm"]["count"] == 2
    assert everything["seconds"]["median"] == pytest.approx(0.5)
    assert figures["echogenicity"]["isoechoic"]["dice"]["median"] == pytest.approx(1 / 3)
    assert figures["size"]["30 mm and more"]["lesions"] == 1
    assert figures["size"]["under 10 mm"]["lesions"] == 2


def test_files_hold_what_is_documented(evaluate, tmp_path):
    document = evaluate()
    out = tmp_path / "out"
    written = json.loads((out / "evaluation.json").read_text())
    assert written == json.loads(json.dumps(document))
    assert list(written) == list(KEYS)
    assert all(set(row) == set(ROW_KEYS) for row in written["lesions"])
    with (out / "lesions.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert tuple(lines[0]) == CSV_COLUMNS
    assert [line["dice"] for line in lines] == ["1.0", "0.666667", "0.0"]
    assert (read_volume(out / "masks" / "exact" / "Tumour-1.nrrd").array.astype(bool) == box((16, 24))).all()
    assert document["worst"] == [["missed", "Tumour 1"]]
    assert "3 lesions of 3 simulated patients" in summary_of(document)[0]


@pytest.mark.usefixtures("drawn")
def test_page_stands_alone_and_says_that_its_data_is_simulated(evaluate, tmp_path):
    evaluate(VARIED)
    html = (tmp_path / "out" / "evaluation.html").read_text()
    assert "Simulated data, not patients." in html
    assert html.count('<span class="badge">simulated data</span>') >= 6
    assert "not for clinical use" in html
    assert "http://" not in html
    assert "https://" not in html
    assert html.count("data:image/png;base64,") == 3
    assert html.count("data:image/svg+xml;base64,") == 5


def test_second_run_measures_nothing_and_says_the_same(evaluate, engines):
    first = evaluate(VARIED)
    again = evaluate(VARIED)
    assert len(engines.made) == 1
    assert engines.made[0].closed
    assert {k: v for k, v in again.items() if k not in TIMES | {"versions"}} == {
        k: v for k, v in first.items() if k not in TIMES | {"versions"}
    }


def test_same_seed_gives_the_same_tables_and_another_moves_seeds_elsewhere(evaluate, tmp_path):
    first, again = evaluate(VARIED, tmp_path / "one"), evaluate(VARIED, tmp_path / "two")
    other = evaluate(EvaluationSettings(**{**vars(VARIED), "seed": 7}), tmp_path / "three")
    for part in ("figures", "calibration", "robustness", "lesions", "variations", "worst"):
        assert first[part] == again[part]
    assert first["variations"] != other["variations"]


@pytest.mark.parametrize("answers", [0, 1, 2, 5])
def test_run_that_was_killed_goes_on_where_it_ended(evaluate, engines, tmp_path, answers):
    with pytest.raises(KeyboardInterrupt):
        evaluate(VARIED, engine_of=lambda model: engines(model, dies_after=answers))
    result_cache = tmp_path / "out" / "lesions.jsonl"
    assert len(result_cache.read_text().splitlines()) == 1 + answers
    with result_cache.open("a") as stream:
        stream.write('{"kind": "as rec')  # what kill -9 leaves of a line
    document = evaluate(VARIED)
    assert len(engines.made[-1].jobs) == 3 + 2 * 4 - answers
    whole = evaluate(VARIED, tmp_path / "whole")
    for part in ("figures", "robustness", "lesions", "variations"):
        assert document[part] == whole[part]


def test_case_that_has_changed_is_measured_anew(evaluate, engines, cases_folder):
    evaluate()
    for file in (cases_folder / "exact").iterdir():
        file.unlink()
    (cases_folder / "exact").rmdir()
    write_case(cases_folder / "exact", dark=(16, 24), truth=(16, 20))
    assert rows_by_case(evaluate())["exact"]["metrics"]["dice"] == pytest.approx(2 / 3)
    assert len(engines.made[-1].jobs) == 1


def test_folder_with_other_settings_is_refused(evaluate):
    evaluate()
    with pytest.raises(CrlmError, match=r"another evaluation \(seed 0 instead of 1\).*--out"):
        evaluate(EvaluationSettings(**{**vars(PLAIN), "seed": 1}))


def test_bad_cases_are_told_in_a_table_before_anything_is_measured(evaluate, engines, cases_folder, tmp_path):
    write_case(cases_folder / "truthless", truth=None)
    told = []
    with pytest.raises(CaseError, match=r"truthless: has no truth.*--skip-bad"):
        evaluate(on_problems=told.append)
    assert [(p.case, p.lesion) for p in told[0]] == [("truthless", "")]
    assert not engines.made
    assert not (tmp_path / "out").exists()


def test_bad_cases_can_be_left_out_and_are_named(evaluate, cases_folder, tmp_path):
    write_case(cases_folder / "truthless", truth=None)
    document = evaluate(skip_bad=True)
    assert len(document["lesions"]) == 3
    assert document["data"]["left_out"][0]["case"] == "truthless"
    assert "truthless" in (tmp_path / "out" / "evaluation.html").read_text()


def test_lesion_without_an_answer_is_named_and_tried_again(evaluate, engines):
    document = evaluate(engine_of=lambda model: engines(model, refuses=(2,)))
    assert [failed["case"] for failed in document["data"]["failed"]] == ["half"]
    assert document["figures"]["all"]["all"]["lesions"] == 2
    document = evaluate()
    assert document["data"]["failed"] == []
    assert len(engines.made[-1].jobs) == 1


def test_engine_that_gives_up_ends_the_run(evaluate, engines):
    with pytest.raises(WorkerError, match="given up"):
        evaluate(engine_of=lambda model: engines(model, gives_up=True))


def test_every_lesion_counts_for_its_patient(evaluate, tmp_path):
    cases = tmp_path / "twice"
    for name in ("before", "after"):
        write_case(cases / name, source={"kind": "recorded", "patient": "P7"})
    document = evaluate(cases=cases)
    assert document["figures"]["all"]["all"]["patients"] == 1
    assert document["figures"]["all"]["all"]["dice"]["interval"] is None
    assert document["simulated"] == "none"
    assert "Simulated data" not in (tmp_path / "out" / "evaluation.html").read_text()


def test_click_into_black_is_refused_and_counts_as_nothing_found(evaluate):
    dark = EvaluationSettings(robustness_lesions=3, seed_draws=0, gains_db=(-60.0, -5.0), grey_factors=())
    black, dim, recorded = evaluate(dark)["robustness"]["gain dB"]
    assert (black["measured"], black["refused"], black["dice"]["median"]) == (3, 3, 0.0)
    assert (dim["refused"], recorded["refused"]) == (0, 0)
    assert dim["dice"] == recorded["dice"]


def test_names_that_are_no_file_names_keep_apart(evaluate, tmp_path):
    for number, name in enumerate(("../P 7", "..-P 7", "P 7")):
        write_case(tmp_path / "odd" / str(number), case_id=name)
    masks = [row["mask"] for row in evaluate(cases=tmp_path / "odd")["lesions"]]
    assert len(set(masks)) == 3
    inside = tmp_path / "out" / "masks"
    assert all(inside in (tmp_path / "out" / mask).resolve().parents for mask in masks)
    assert "masks/P-7/Tumour-1.nrrd" in masks


def test_page_is_written_without_masks_as_well(evaluate, tmp_path):
    evaluate()
    for mask in (tmp_path / "out" / "masks").rglob("*.nrrd"):
        mask.unlink()
    evaluate()
    assert "No picture" in (tmp_path / "out" / "evaluation.html").read_text()


def test_model_that_finds_nothing_has_a_page(evaluate, cases_folder, tmp_path):
    document = evaluate(cases=cases_folder / "missed")
    assert document["figures"]["all"]["all"]["hausdorff95_mm"]["median"] is None
    assert "Nothing was found in any case." in (tmp_path / "out" / "evaluation.html").read_text()


def test_rows_of_two_machines_may_be_put_together(evaluate, cases_folder, tmp_path, engines):
    parts = [tmp_path / name for name in ("exact", "half", "missed")]
    for part in parts:
        evaluate(cases=cases_folder / part.name, out=part)
    whole = tmp_path / "whole"
    whole.mkdir()
    (whole / "lesions.jsonl").write_text("".join((part / "lesions.jsonl").read_text() for part in parts))
    document = evaluate(out=whole)
    assert len(engines.made) == 3
    assert document["figures"] == evaluate(out=tmp_path / "at-once")["figures"]


def test_one_case_is_measured_from_files_alone(cases_folder, engines, model, monkeypatch):
    monkeypatch.setattr(lesions, "load_model_package", lambda folder: model)
    rows = evaluate_lesions(cases_folder / "half", "model", PLAIN, engines)
    assert [row["metrics"]["dice"] for row in rows] == [pytest.approx(2 / 3)]
    write_case(cases_folder / "truthless", truth=None)
    with pytest.raises(CrlmError, match="no truth"):
        evaluate_lesions(cases_folder / "truthless", "model", PLAIN, engines)


@pytest.mark.usefixtures("drawn")
def test_progress_counts_to_the_end(evaluate):
    seen = []
    evaluate(VARIED, on_progress=lambda *step: seen.append(step))
    names = list(dict.fromkeys(name for name, _, _ in seen))
    assert names == ["Checking the cases", "Loading the model", "Measuring", "Drawing the worst"]
    assert [s for s in seen if s[0] == "Measuring"][-1] == ("Measuring", 11, 11)


def test_seed_is_moved_as_far_as_is_said(evaluate):
    document = evaluate(VARIED)
    for row in document["variations"]:
        if row["kind"] == "seed share":
            centre = np.array([19.5, 19.5, 17.5 if row["case_id"] == "half" else 19.5])
            radius_mm = (3 * row["truth_ml"] * 1000 / (4 * np.pi)) ** (1 / 3)
            assert row["seed_away_mm"] == pytest.approx(row["amount"] * radius_mm)
            moved_mm = np.linalg.norm(np.array(row["seed_ras_mm"]) - centre)
            assert moved_mm == pytest.approx(row["seed_away_mm"], abs=0.9)  # the middle lies between voxels


def test_curves_are_kept_of_what_is_recorded_alone_and_belong_to_the_areas(evaluate):
    document = evaluate(VARIED)
    assert all(row["roc"] is None for row in document["variations"])
    rates = document["roc_false_positives"]
    for row in document["lesions"]:
        for region in ("crop", "volume"):
            curve = row["roc"][region]
            assert len(curve) == len(rates)
            area = np.trapezoid(curve, rates) if hasattr(np, "trapezoid") else np.trapz(curve, rates)
            assert area == pytest.approx(row["metrics"][f"auc_probability_{region}"], abs=0.01)


def test_model_that_sees_the_whole_volume_is_evaluated_as_one_with_a_crop(evaluate, monkeypatch, tmp_path):
    small = evaluate(out=tmp_path / "crop")
    monkeypatch.setattr(evaluation.evaluate, "model_or_default", lambda folder: StubModel(region="volume"))
    whole = evaluate(out=tmp_path / "volume")
    assert whole["model"]["region"] == "volume"
    for row, other in zip(whole["lesions"], small["lesions"]):
        assert row["crop_size_mm"] is None
        assert row["metrics"]["dice"] == other["metrics"]["dice"]
        assert row["metrics"]["auc_hard_crop"] is not None


def test_cube_around_a_click_is_counted_in_mm():
    inside = cube_at(np.array([20.0, 10.0, 5.0]), 8.0, np.diag([2.0, 1.0, 1.0, 1.0]), (40, 40, 40))
    k, j, i = np.nonzero(inside)
    assert (i.min(), i.max()) == (8, 12)
    assert (j.min(), j.max()) == (6, 14)
    assert (k.min(), k.max()) == (1, 9)
