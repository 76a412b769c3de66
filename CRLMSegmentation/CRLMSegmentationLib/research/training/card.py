"""Figures of the model card, measured as by `crlm-seg evaluate`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ...core.errors import CaseError
from ...recording.dataset import check_cases, table_of
from ...segmentation.models.package import ModelPackage
from ..evaluation import statistics
from ..evaluation.click_series import click_figures
from ..evaluation.lesions import measure_model
from ..evaluation.result_cache import Row
from ..evaluation.settings import EvaluationSettings

RECORDED_ONLY = EvaluationSettings(robustness_lesions=0, bootstrap_draws=0)


def evaluate(package: ModelPackage, folders: Iterable[Path], settings: EvaluationSettings = RECORDED_ONLY) -> list[Row]:
    """Segment every lesion of every case from its recorded seed and compare with the ground truth.

    Returns:
        A row for each lesion, see `evaluation.rows.ROW_KEYS`.

    Raises:
        CaseError: a case cannot be evaluated, or a lesion got no answer.
    """
    checked = [check_cases(folder) for folder in folders]
    problems = [problem for _, found in checked for problem in found]
    if problems:
        raise CaseError(f"some cases cannot be evaluated:\n{table_of(problems)}")
    cases = [case for found, _ in checked for case in found]
    rows = measure_model(package, cases, settings)
    for row in rows:
        if row["error"]:
            raise CaseError(f"{row['case_id']}, {row['lesion']}: {row['error']}")
    return rows


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Return figures for the card, of all rows and by echogenicity: Dice quartiles, share under 0.3, ..."""
    figures = statistics.summarise(rows, seed=0, draws=0)
    return {name: _short(group) for name, group in {**figures["all"], **figures["echogenicity"]}.items()}


def summarise_clicks(rows: Sequence[Row], most: int) -> dict[str, Any]:
    """Return figures for the card after each number of clicks, of all rows and by echogenicity and size.

    Args:
        most: clicks that the rows were measured with.

    Raises:
        ValueError: nobody has corrected.
    """
    figures = click_figures(rows, most, seed=0, draws=0)
    if figures is None:
        raise ValueError("the rows were measured with the first click alone")
    return {
        "after": figures["shown"],
        **{name: _short_of_clicks(group) for groups in figures["groups"].values() for name, group in groups.items()},
    }


def _short_of_clicks(figures: statistics.Figures) -> dict[str, Any]:
    far = figures["changed_far"]["mean"]
    return {
        "lesions": figures["lesions"],
        "dice_median": [round(spread["median"], 3) for spread in figures["dice"]],
        "dice_mean": [round(spread["mean"], 3) for spread in figures["dice"]],
        "share_under_0.3": [round(rate["share"], 3) for rate in figures["share_under_0.3"]],
        "share_that_reached_0.85": [round(rate["share"], 3) for rate in figures["reached"]],
        "changed_far_mean": None if far is None else round(far, 3),
    }


def without_curves(row: Row) -> Row:
    """Return a row without its long lists of rates, and with short Dice."""
    return {name: value for name, value in row.items() if name not in ("roc", "timings_s")}


def _short(figures: statistics.Figures) -> dict[str, Any]:
    distance_mm = figures["hausdorff95_mm"]["median"]
    return {
        "lesions": figures["lesions"],
        "dice_median": round(figures["dice"]["median"], 3),
        "dice_quartiles": [round(quartile, 3) for quartile in figures["dice"]["quartiles"]],
        "share_under_0.3": round(figures["share_under_0.3"]["share"], 3),
        "hausdorff95_mm_median": None if distance_mm is None else round(distance_mm, 2),
        "recall_median": round(figures["recall"]["median"], 3),
    }
