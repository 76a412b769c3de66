"""Corrections with the sphere brush: what a ball paints and erases, and a model without points that is corrected."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.core.geometry import transform_points
from CRLMSegmentationLib.core.points import CorrectionPoint, PointKind
from CRLMSegmentationLib.research import evaluation
from CRLMSegmentationLib.research.baselines.brush import BrushCorrected, brush_ball
from CRLMSegmentationLib.research.baselines.strokes import Painter
from CRLMSegmentationLib.research.evaluation.evaluate import evaluate_model
from CRLMSegmentationLib.research.evaluation.methods import ModelMethod
from CRLMSegmentationLib.research.evaluation.settings import EvaluationSettings
from helpers.ball_helpers import GRIDS, STRAIGHT, ball, dice
from helpers.evaluation_helpers import StubModel

EXACT = Painter(size_error=0.0)


def ras_of(volume):
    return transform_points(volume.ijk_to_ras, np.stack(np.indices(volume.array.shape)[::-1], axis=-1))


def brushed(mask, truth, volume, kind, place, painter=EXACT):
    result = mask.copy()
    brush_ball(result, truth, volume, CorrectionPoint(kind, tuple(place)), np.random.default_rng(0), painter)
    return result


@pytest.mark.parametrize("grid", GRIDS)
def test_ball_that_is_missing_is_painted_as_large_as_it_is_deep(grid):
    volume, truth, centre = ball(GRIDS[grid], 9.0)
    painted = brushed(np.zeros_like(truth), truth, volume, PointKind.INCLUDE, centre)
    assert dice(painted, truth) > 0.9
    away_mm = np.linalg.norm(ras_of(volume) - centre, axis=-1)
    assert away_mm[painted].max() == pytest.approx(9.0, abs=volume.spacing_mm.max())


@pytest.mark.parametrize("grid", GRIDS)
def test_ball_too_much_is_erased(grid):
    volume, truth, centre = ball(GRIDS[grid], 9.0)
    left = brushed(truth, np.zeros_like(truth), volume, PointKind.EXCLUDE, centre)
    assert left.sum() < 0.2 * truth.sum()


def test_brush_has_its_least_size_where_nothing_is_wrong():
    volume, truth, centre = ball(STRAIGHT, 9.0)
    outside = centre + [15.0, 0, 0]
    painted = brushed(truth, truth, volume, PointKind.INCLUDE, outside, Painter(size_error=0.0, brush_mm=6.0))
    assert (painted & truth == truth).all()
    away_mm = np.linalg.norm(ras_of(volume) - outside, axis=-1)
    assert ((painted & ~truth) == (away_mm <= 3.0)).all()


def test_click_beyond_the_volume_paints_what_lies_in_it():
    volume, truth, _ = ball(STRAIGHT, 9.0)
    corner = transform_points(volume.ijk_to_ras, np.array([-1.0, -1.0, -1.0]))
    painted = brushed(np.zeros_like(truth), np.zeros_like(truth), volume, PointKind.INCLUDE, corner, EXACT)
    assert not painted.any()
    painted = brushed(painted, painted, volume, PointKind.INCLUDE, corner, Painter(size_error=0.0, brush_mm=8.0))
    assert painted[0, 0, 0]
    assert np.argwhere(painted).max() <= 4


def test_judging_sizes_is_drawn():
    volume, truth, centre = ball(STRAIGHT, 9.0)
    nothing = np.zeros_like(truth)
    sizes = {
        brushed(nothing, truth, volume, PointKind.INCLUDE, centre, Painter(size_error=error)).sum()
        for error in (0.0, 0.3)
    }
    assert len(sizes) == 2


@pytest.mark.usefixtures("undrawn")
def test_model_without_points_is_corrected_with_the_brush(model, engines, cases_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation.evaluate, "model_or_default", lambda folder: model)
    settings = EvaluationSettings(robustness_lesions=0, bootstrap_draws=20, worst=1, clicks=3, brush=True)
    document = evaluate_model(None, cases_folder, tmp_path / "out", settings, engine_of=engines)
    assert document["model"]["name"].endswith("and sphere brush")
    assert "sees the reference segmentation" in document["model"]["strokes"]
    for row in document["lesions"]:
        assert row["clicks"][0]["kind"] == "seed"
        assert row["clicks"][0]["dice"] == pytest.approx(row["metrics"]["dice"])
    assert any(len(row["clicks"]) > 1 for row in document["lesions"])
    wrong = [row for row in document["lesions"] if len(row["clicks"]) > 1 and row["clicks"][0]["dice"] < 0.7]
    assert wrong
    assert all(row["clicks"][1]["dice"] > row["clicks"][0]["dice"] for row in wrong)


def test_results_of_the_brush_are_not_continued_as_those_of_points():
    method = ModelMethod(StubModel())
    settings = EvaluationSettings(clicks=3, brush=True)
    assert BrushCorrected(method).header(settings) != method.header(settings)
