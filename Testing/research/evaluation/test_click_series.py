"""Clicks after the first one: what a simulated user is answered, and the figures of all lesions, known by hand."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
from CRLMSegmentationLib.core.crop_format import CLICK_CHANNELS
from CRLMSegmentationLib.core.errors import CrlmError, SeedError
from CRLMSegmentationLib.core.geometry import transform_points
from CRLMSegmentationLib.core.points import PointKind
from CRLMSegmentationLib.core.tasks import TaskNeeds
from CRLMSegmentationLib.research import evaluation
from CRLMSegmentationLib.research.evaluation.click_series import (
    SERIES_KEYS,
    click_figures,
    click_series,
    clicks_to,
    dice_after,
)
from CRLMSegmentationLib.research.evaluation.document import summary_of
from CRLMSegmentationLib.research.evaluation.evaluate import evaluate_method, evaluate_model, run_method
from CRLMSegmentationLib.research.evaluation.methods import ABOUT_KEYS, Answer, Click, NoAnswerError, header_of
from CRLMSegmentationLib.research.evaluation.settings import EvaluationSettings
from helpers.ball_helpers import OBLIQUE, STRAIGHT, ball
from helpers.evaluation_helpers import StubModel, row_of

CLICKS = EvaluationSettings(robustness_lesions=0, bootstrap_draws=20, worst=1, clicks=5)


@dataclass
class Obedient:
    """Finds a mask, and after that a ball around each point more or less."""

    start: Callable[[Click], np.ndarray] = lambda click: np.zeros_like(click.truth)
    radius_mm: float = 6.0
    refuses: Callable[[Click], None] = lambda click: None
    asked: list[Click] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    def answer(self, click):
        self.asked.append(click)
        self.refuses(click)
        mask = self.start(click).copy()
        ijk = np.stack(np.indices(mask.shape)[::-1], axis=-1).reshape(-1, 3)
        ras = transform_points(click.volume.ijk_to_ras, ijk)
        for point in click.points:
            near = np.linalg.norm(ras - point.ras_mm, axis=1).reshape(mask.shape) < self.radius_mm
            mask = mask | near if point.kind is PointKind.INCLUDE else mask & ~near
        return Answer(mask, 0.0, {"grow": 0.25}, "stub")


def click_on(matrix=STRAIGHT, radius_mm=10.0) -> Click:
    volume, truth, centre = ball(matrix, radius_mm)
    return Click("Tumour 1", volume, centre, truth, np.random.default_rng(0))


def series_of(segmenter, click, count=5):
    return click_series(segmenter, click, segmenter.answer(click), count, seed=0, case_id="case")


@pytest.mark.parametrize("matrix", [STRAIGHT, OBLIQUE], ids=["straight", "oblique"])
def test_each_click_corrects_the_answer_before(matrix):
    segmenter, click = Obedient(), click_on(matrix)
    series = series_of(segmenter, click)
    assert all(list(entry) == list(SERIES_KEYS) for entry in series)
    assert [len(asked.points) for asked in segmenter.asked] == [0, 1, 2, 3, 4]
    assert series[0] == {"kind": "seed", "ras_mm": series[0]["ras_mm"], "dice": 0, "seconds": 0.25, "changed_far": None}
    assert series[1]["kind"] == "include"
    assert series[1]["dice"] > 0.25
    assert (
        np.linalg.norm(np.array(series[1]["ras_mm"]) - click.seed_ras_mm) < 7
    )  # nothing found: the middle of the ball
    assert all(
        asked.rng.bit_generator.state == segmenter.asked[1].rng.bit_generator.state for asked in segmenter.asked[1:]
    )


def test_what_is_too_much_is_excluded():
    lobe = np.zeros((50, 50, 50), bool)
    lobe[20:30, 20:30, 40:50] = True
    series = series_of(Obedient(lambda click: click.truth | lobe, radius_mm=12), click_on(), count=2)
    assert series[1]["kind"] == "exclude"
    assert series[1]["dice"] > series[0]["dice"]


def test_user_ends_where_nothing_is_wrong():
    segmenter = Obedient(lambda click: click.truth)
    assert [entry["dice"] for entry in series_of(segmenter, click_on())] == [1.0]
    assert len(segmenter.asked) == 1


def test_click_that_is_refused_is_placed_again():
    refused = []

    def refuse_twice(click):
        if len(click.points) == 1 and len(refused) < 2:
            refused.append(click.points)
            raise SeedError("contradicts the seed")

    series = series_of(Obedient(refuses=refuse_twice), click_on(), count=2)
    assert len(series) == 2
    assert refused[0] != refused[1]
    assert tuple(series[1]["ras_mm"]) not in [tuple(np.round(points[0].ras_mm, 3)) for points in refused]


@pytest.mark.parametrize("error", [SeedError, NoAnswerError])
def test_series_ends_where_no_click_is_answered(error):
    def refuse(click):
        if click.points:
            raise error("no")

    assert len(series_of(Obedient(refuses=refuse), click_on())) == 1


def clicked_row(patient, *dice, **about):
    later = [
        {"kind": "include", "ras_mm": [0, 0, 0], "dice": value, "seconds": 2.0, "changed_far": 0.1} for value in dice
    ]
    first = [{**later[0], "kind": "seed", "changed_far": None}] if later else []
    return {**row_of(patient, dice[0] if dice else 0.0, about), "clicks": [*first, *later[1:]]}


def test_figures_of_clicks_by_hand():
    rows = [
        clicked_row("a", 0.5, 0.7, 0.8, 0.8, 0.9, echogenicity="isoechoic"),
        clicked_row("b", 0.8, 0.9, echogenicity="isoechoic"),  # then nothing was left to correct
        clicked_row("c", echogenicity="hypoechoic"),  # the seed was refused
        row_of("d", 0.9),  # without clicks
    ]
    assert [dice_after(rows[1], number) for number in (1, 2, 5)] == [0.8, 0.9, 0.9]
    assert [clicks_to(row, 0.85, 5) for row in rows[:3]] == [5, 2, None]
    assert clicks_to(rows[0], 0.85, 4) is None
    figures = click_figures(rows, 5, seed=0, draws=0)
    assert figures["shown"] == [1, 2, 3, 5]
    everything = figures["groups"]["all"]["all"]
    assert [spread["median"] for spread in everything["dice"]] == [0.5, 0.7, 0.8, 0.9]
    assert [rate["share"] for rate in everything["reached"]] == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3])
    assert [rate["share"] for rate in everything["share_under_0.3"]] == pytest.approx([1 / 3] * 4)
    assert everything["clicks_to_target"] == 5
    assert everything["seconds"]["count"] == 5
    assert everything["changed_far"]["mean"] == pytest.approx(0.1)
    assert figures["groups"]["echogenicity"]["isoechoic"]["clicks_to_target"] == pytest.approx(3.5)
    assert figures["groups"]["echogenicity"]["hypoechoic"]["clicks_to_target"] is None
    assert click_figures(rows, 4, seed=0, draws=0)["shown"] == [1, 2, 3, 4]
    assert click_figures(rows, 1, seed=0, draws=0) is None
    assert click_figures(rows[3:], 5, seed=0, draws=0) is None


class ObedientMethod:
    """A method of an evaluation that finds the dark half of the lesion first."""

    takes_points = True
    not_for_clinical_use = "A stub."
    needs = TaskNeeds()

    def about(self):
        return {**dict.fromkeys(ABOUT_KEYS), "kind": "model", "name": "stub", "version": "0", "sha256": "0" * 64}

    def header(self, settings):
        return header_of("0" * 64, None, settings)

    @contextmanager
    def opened(self, settings, on_progress):
        yield Obedient(lambda click: click.volume.array < 80, radius_mm=4.0)


def evaluate(cases_folder, out, settings=CLICKS):
    return run_method(ObedientMethod(), cases_folder, out, settings, False, lambda *_: None, lambda bad: None)


@pytest.mark.usefixtures("undrawn")
def test_evaluation_writes_clicks_into_rows_tables_and_page(cases_folder, tmp_path):
    document = evaluate(cases_folder, tmp_path / "out")
    rows = {row["case_id"]: row for row in document["lesions"]}
    assert [entry["dice"] for entry in rows["exact"]["clicks"]] == [1.0]
    assert rows["half"]["clicks"][0]["dice"] == pytest.approx(2 / 3)
    assert rows["half"]["clicks"][1]["kind"] == "exclude"
    assert rows["missed"]["clicks"][1]["kind"] == "include"
    assert rows["missed"]["clicks"][1]["dice"] > 0
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["clicks"] == document["clicks"]
    with (tmp_path / "out" / "lesions.csv").open(newline="") as stream:
        lines = {line["case_id"]: line for line in csv.DictReader(stream)}
    assert (lines["exact"]["dice_by_click"], lines["exact"]["clicks_to_target"]) == ("1.000", "1")
    assert lines["half"]["dice_by_click"].startswith("0.667; ")
    page = (tmp_path / "out" / "evaluation.html").read_text()
    assert "After more clicks" in page
    assert "simulated user who sees the reference segmentation" in page
    assert any("Dice after clicks, median: 1: 0.667" in line for line in summary_of(document))


@pytest.mark.usefixtures("undrawn")
def test_clicks_are_kept_in_the_cache_and_drawn_from_the_seed(cases_folder, tmp_path):
    first = evaluate(cases_folder, tmp_path / "out")
    again = evaluate(cases_folder, tmp_path / "out")
    elsewhere = evaluate(cases_folder, tmp_path / "other")
    assert first["lesions"] == again["lesions"]
    assert [row["clicks"] for row in first["lesions"]] == [row["clicks"] for row in elsewhere["lesions"]]
    with pytest.raises(CrlmError, match="clicks 5 instead of 3"):
        evaluate(cases_folder, tmp_path / "out", EvaluationSettings(robustness_lesions=0, clicks=3))


def test_method_that_takes_no_points_is_not_clicked_at(cases_folder, tmp_path):
    with pytest.raises(CrlmError, match="region-growing takes no clicks that correct"):
        evaluate_method("region-growing", cases_folder, tmp_path / "out", CLICKS)


@pytest.mark.usefixtures("undrawn")
def test_model_gets_the_points_through_the_session(cases_folder, tmp_path, engines, monkeypatch):
    model = StubModel(channels=CLICK_CHANNELS)
    monkeypatch.setattr(evaluation.evaluate, "model_or_default", lambda folder: model)
    document = evaluate_model(None, cases_folder, tmp_path / "out", CLICKS, engine_of=engines)
    series = {row["case_id"]: row["clicks"] for row in document["lesions"]}
    points = [job.request.points for job in engines.made[0].jobs if job.request.points]
    assert max(map(len, points)) == 4
    assert {entry["kind"] for entry in series["half"][1:]} == {"exclude"}
    assert series["half"][-1]["dice"] > series["half"][0]["dice"]
    assert series["missed"][1]["dice"] > 0  # a ball around the include point, joined to the seed


def test_model_without_the_channels_is_not_clicked_at(cases_folder, tmp_path, engines, monkeypatch):
    monkeypatch.setattr(evaluation.evaluate, "model_or_default", lambda folder: StubModel())
    with pytest.raises(CrlmError, match="stub takes no clicks that correct"):
        evaluate_model(None, cases_folder, tmp_path / "out", CLICKS, engine_of=engines)


@pytest.mark.parametrize("clicks", [0, 21])
def test_number_of_clicks_is_bounded(clicks):
    with pytest.raises(CrlmError, match="1 to 20"):
        EvaluationSettings(clicks=clicks)


@pytest.mark.usefixtures("undrawn")
def test_grow_cut_is_corrected_by_strokes(cases_folder, tmp_path):
    document = evaluate_method("grow-cut", cases_folder, tmp_path / "out", CLICKS)
    series = {row["case_id"]: row["clicks"] for row in document["lesions"]}
    assert (
        series["half"][0]["dice"] == next(r for r in document["lesions"] if r["case_id"] == "half")["metrics"]["dice"]
    )
    assert max(entry["dice"] for entry in series["missed"]) > series["missed"][0]["dice"]
