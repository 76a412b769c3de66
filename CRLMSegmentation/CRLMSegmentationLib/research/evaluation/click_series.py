"""Clicks of a simulated user after the first one: measured on a lesion, and the figures of all lesions.

After each answer the user clicks at the deepest point of its largest error, see `simulated_user`, until all clicks are
made or nothing is wrong. A click that is refused, as one that contradicts another, is placed again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...core.errors import SeedError
from ...core.geometry import transform_points
from ...core.metrics import FAR_FROM_CLICK_MM, share_changed_far_away
from ...core.points import CorrectionPoint
from .methods import Answer, Click, NoAnswerError, Segmenter
from .result_cache import Row
from .simulated_user import correcting_click, misplaced
from .statistics import BAD_DICE, Figures, groups_of, rate_of, spread_of
from .variations import generator_of

TARGET_DICE = 0.85
SHOWN = (1, 2, 3, 5)
"""Numbers of clicks after which the tables show figures, as far as they were made."""
PLACINGS = 10
"""Of a click, until it is taken."""
SEED = "seed"
SERIES_KEYS = {
    "kind": f"'{SEED}' of the first, then 'include' or 'exclude'",
    "ras_mm": "where the click landed",
    "dice": "after it",
    "seconds": "of computing its answer",
    "changed_far": f"of the voxels that it changed, the share that lies farther than {FAR_FROM_CLICK_MM:.0f} mm away; "
    "null of the first, and where it changed none",
}
"""Of each click of a row."""


def click_series(segmenter: Segmenter, click: Click, first: Answer, count: int, seed: int, case_id: str) -> list[Row]:
    """Let a simulated user correct a segmentation, and return `SERIES_KEYS` of each click, the first included.

    Args:
        first: the answer to the click.
        count: of clicks at most. There are fewer where nothing is left to correct, or no click or answer is given.
        seed: of the errors of placing.

    Raises:
        WorkerError: there will be no more answers.
    """
    rng = generator_of(seed, case_id, click.lesion, "clicks")
    series = [_entry(SEED, click.seed_ras_mm, first, click, None)]
    answer = first
    while len(series) < count:
        click = replace(click, rng=generator_of(seed, case_id, click.lesion))  # as for the first answer
        made = _corrected(segmenter, click, answer, rng)
        if made is None:
            break
        before, (click, answer) = answer, made
        last = click.points[-1]
        series.append(_entry(last.kind.value, np.array(last.ras_mm), answer, click, before))
    return series


def _corrected(
    segmenter: Segmenter, click: Click, answer: Answer, rng: np.random.Generator
) -> tuple[Click, Answer] | None:
    """Return a click with one point more, and the answer to it; None where there is none."""
    volume = click.volume
    spacing_kji_mm = volume.spacing_mm[::-1]
    wanted = correcting_click(click.truth, answer.mask, spacing_kji_mm)
    if wanted is None:
        return None
    kind, place_kji = wanted
    for _ in range(PLACINGS):
        r, a, s = transform_points(volume.ijk_to_ras, misplaced(place_kji, spacing_kji_mm, rng)[::-1])
        made = replace(click, points=(*click.points, CorrectionPoint(kind, (float(r), float(a), float(s)))))
        try:
            return made, segmenter.answer(made)
        except SeedError:
            continue
        except NoAnswerError:
            return None
    return None


def _entry(kind: str, ras_mm: np.ndarray, answer: Answer, click: Click, before: Answer | None) -> Row:
    return {
        "kind": kind,
        "ras_mm": [round(float(x), 3) for x in ras_mm],
        "dice": dice_of(answer.mask, click.truth),
        "seconds": sum(answer.timings_s.values()),
        "changed_far": None if before is None else _changed_far(before, answer, ras_mm, click),
    }


def _changed_far(before: Answer, answer: Answer, ras_mm: np.ndarray, click: Click) -> float | None:
    return share_changed_far_away(before.mask, answer.mask, click.volume.ijk_to_ras, ras_mm)


def dice_of(mask: np.ndarray, truth: np.ndarray) -> float:
    """Return the Dice coefficient of two masks, of which the second is not empty."""
    return float(2 * np.count_nonzero(mask & truth) / (np.count_nonzero(mask) + np.count_nonzero(truth)))


def dice_after(row: Row, clicks: int) -> float:
    """Return the Dice of a row after a number of clicks; of fewer where the user has ended before; 0 after none."""
    made: list[float] = [entry["dice"] for entry in row["clicks"][:clicks]]
    return made[-1] if made else 0.0


def clicks_to(row: Row, target: float, most: int) -> int | None:
    """Return how many clicks a row has needed to reach a Dice; None where no number up to the most was enough."""
    return next((number for number in range(1, most + 1) if dice_after(row, number) >= target), None)


def click_figures(rows: Sequence[Row], most: int, seed: int, draws: int) -> Mapping[str, Any] | None:
    """Return the figures after each number of clicks, of all lesions, by echogenicity and by size.

    Args:
        rows: that have metrics; those without clicks do not count, and refused seeds as a Dice of 0.
        most: clicks that were made.

    Returns:
        {target, most, shown, groups: {"all": {"all": figures}, "echogenicity": ..., "size": ...}}; figures are
        {lesions, dice: [spread], share_under_0.3: [rate], reached: [rate], clicks_to_target, seconds, changed_far}:
        each list with an entry for each of `shown`; `reached` is the share of lesions that have had the target by then,
        clicks_to_target the median, None where it is above `most`. None without clicks.
    """
    clicked = [row for row in rows if row["clicks"] is not None]
    if most < 2 or not clicked:
        return None
    shown = sorted({number for number in SHOWN if number <= most} | {most})
    return {
        "target": TARGET_DICE,
        "most": most,
        "shown": shown,
        "groups": {
            kind: {name: _figures(members, shown, most, seed, draws) for name, members in group.items()}
            for kind, group in groups_of(clicked).items()
        },
    }


def _figures(rows: Sequence[Row], shown: Sequence[int], most: int, seed: int, draws: int) -> Figures:
    patients = [row["patient"] for row in rows]
    dice = [[dice_after(row, number) for row in rows] for number in shown]
    needed = [clicks_to(row, TARGET_DICE, most) for row in rows]
    reached = [[of_row is not None and of_row <= number for of_row in needed] for number in shown]
    median = np.median([most + 1 if of_row is None else of_row for of_row in needed])
    later = [entry for row in rows for entry in row["clicks"][1:]]
    owners = [row["patient"] for row in rows for _ in row["clicks"][1:]]
    return {
        "lesions": len(rows),
        "dice": [spread_of(values, patients, seed, draws) for values in dice],
        "share_under_0.3": [rate_of([value < BAD_DICE for value in values], patients, seed, draws) for values in dice],
        "reached": [rate_of(holds, patients, seed, draws) for holds in reached],
        "clicks_to_target": None if median > most else float(median),
        "seconds": spread_of([entry["seconds"] for entry in later], owners, seed, draws),
        "changed_far": spread_of([entry["changed_far"] for entry in later], owners, seed, draws),
    }
