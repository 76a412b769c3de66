"""How good a model is on cases with truth, measured through the same session that runs in the room."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from pathlib import Path

from ..core.case import Case, Lesion, load_case
from ..core.errors import CaseError
from ..core.metrics import compare
from ..core.volume import Volume
from ..driver import wait_for_lesion
from ..inference.model_package import ModelPackage
from ..inference.worker_engine import WorkerEngine
from ..session import LesionResult, Session

BAD_DICE = 0.3


def evaluate(
    package: ModelPackage,
    folders: Iterable[Path],
    mirroring: bool = False,
    on_row: Callable[[dict], None] = lambda row: None,
) -> list[dict]:
    """Segment every lesion of every case from its recorded seed and compare with the truth.

    Metrics and both ROC areas are taken over the crop. The swept mask of a case is not used, since it does
    not travel over the link either.

    Returns:
        A row for each lesion: case, lesion, what is known of it, metrics, confidence, warnings, seconds.
    """
    rows = []
    with Session(WorkerEngine(package), package) as session:
        for folder in folders:
            case = load_case(folder)
            if case.truth is None:
                raise CaseError(f"{case.case_id} has no truth to compare with")
            volume = case.volume()
            session.use_volume(Volume(volume.array, volume.ijk_to_ras, volume.device, volume.timestamp_s))
            for lesion in case.lesions:
                session.segment(lesion.name, lesion.seed_ras_mm, mirroring=mirroring)
                rows.append(_row(case, lesion, wait_for_lesion(session, lesion.name)))
                on_row(rows[-1])
    return rows


def _row(case: Case, lesion: Lesion, result: LesionResult) -> dict:
    mask = result.mask
    truth = case.truth_of(lesion, result.volume)
    metrics = compare(mask.mask, truth, result.volume.ijk_to_ras, mask.probability, mask.in_crop)
    return {
        "case_id": case.case_id,
        "lesion": lesion.name,
        **lesion.about,
        **metrics,
        "confidence": mask.confidence,
        "warnings": list(mask.warnings),
        "seconds": sum(result.timings_s.values()),
    }


def summarise(rows: list[dict]) -> dict:
    """Figures over all rows and by echogenicity: count, median and quartiles of Dice, share under 0.3, ..."""
    groups = {"all": rows}
    for row in rows:
        groups.setdefault(row.get("echogenicity", "unknown"), []).append(row)
    return {name: _figures(group) for name, group in groups.items()}


def _figures(rows: list[dict]) -> dict:
    dice = sorted(row["dice"] for row in rows)
    quartiles = statistics.quantiles(dice, n=4, method="inclusive") if len(dice) > 1 else dice * 3
    found = [row["hausdorff95_mm"] for row in rows if row["hausdorff95_mm"] is not None]
    return {
        "lesions": len(rows),
        "dice_median": round(quartiles[1], 3),
        "dice_quartiles": [round(quartiles[0], 3), round(quartiles[2], 3)],
        "share_under_0.3": round(sum(d < BAD_DICE for d in dice) / len(dice), 3),
        "hausdorff95_mm_median": round(statistics.median(found), 2) if found else None,
        "recall_median": round(statistics.median(row["recall"] for row in rows), 3),
    }
