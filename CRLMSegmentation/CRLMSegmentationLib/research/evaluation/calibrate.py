"""Calibrate a model's confidence and distance intervals on cases with ground truth, and store them in its package.

Confidence and distances are calibrated on some patients, and checked on others if there are any.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import CaseError
from ...core.output_files import atomic_files, check_output_paths
from ...core.parallel import InProcess
from ...core.progress import OnProgress
from ...core.tasks import TaskRunner
from ...recording.case_storage import RemoteCases
from ...recording.dataset import CheckedCase, check_cases, short_hashes, table_of
from ...segmentation.calibration import ModelCalibration, calibrate
from ...segmentation.models.package import ModelPackage, add_calibration, model_or_default
from .consensus import Observed, coverage_of, observe
from .document import simulated_of
from .methods import on_all_machines
from .observation_store import ObservationStore

BAD_DICE, LOW_CONFIDENCE = 0.5, 0.6
"""A segmentation with a Dice below the first would mislead; a confidence below the second is a warning of that."""


@dataclass(frozen=True)
class CalibratedAccuracy:
    """Accuracy of a calibration on patients on whom it was not made.

    Attributes:
        gap: mean of confidence minus Dice; near 0 for a calibrated confidence.
        error: mean absolute difference of confidence and Dice.
        rank_correlation: of confidence and Dice, Spearman's.
        before: gap, error and rank_correlation of the network's own mean probability, on the same lesions.
        bad: lesions with a Dice under `BAD_DICE`; flagged: with a confidence under `LOW_CONFIDENCE`; bad_flagged: both.
        coverage: share of simulated distances that lie in their intervals; width_mm: their median width.
        coverage_alone, width_alone_mm: the same before the background refinement of a lesion.
    """

    lesions: int
    patients: int
    gap: float
    error: float
    rank_correlation: float | None
    before: dict[str, float | None]
    bad: int
    flagged: int
    bad_flagged: int
    coverage: float
    width_mm: float
    coverage_alone: float
    width_alone_mm: float


def calibrate_model(
    wanted: Path | str | None,
    cases: Path | RemoteCases,
    check: Path | RemoteCases | None = None,
    report: Path | None = None,
    seed: int = 0,
    on_progress: OnProgress = lambda *_: None,
    runner: TaskRunner | None = None,
    work: Path | None = None,
) -> tuple[ModelPackage, ModelCalibration, CalibratedAccuracy | None]:
    """Calibrate a model and write the calibration into its package.

    Args:
        wanted: name or folder of the model, None for the default.
        cases: with ground truth; simulated or not.
        check: other patients, on whom the calibration is checked.
        report: JSON file for all figures.
        runner: carries out a task for each case; None for this process.
        work: folder for the results of finished cases, with which an interrupted calibration goes on; None for none.

    Raises:
        TasksFailedError: some cases failed.
        CaseError: cases cannot be used, or were trained on.
        ModelError: too few lesions, or the package cannot be written to.
    """
    model = model_or_default(wanted)
    if report is not None:
        check_output_paths([report])
    runner = runner or InProcess()
    if runner.is_remote:
        model = on_all_machines(model, runner)
    made_on = _cases_in(cases, model, runner, on_progress)
    tried_on = _cases_in(check, model, runner, on_progress) if check is not None else []
    both = {case.patient for case in made_on} & {case.patient for case in tried_on}
    if both:
        raise CaseError(f"{', '.join(sorted(both))} is in both sets of patients; check on other patients")
    store = None if work is None else ObservationStore(work, model.sha256)
    how: dict[str, Any] = {"on_progress": on_progress, "runner": runner, "store": store}
    observed = observe(model, made_on, seed, **how)
    calibration = calibrate([observation for observation, _ in observed], _simulated(made_on))
    accuracy = None
    if tried_on:
        accuracy = calibrated_accuracy_of(calibration, observe(model, tried_on, seed, **how))
    entry = {**calibration.to_json(), "checked": None if accuracy is None else vars(accuracy)}
    if report is not None:
        with atomic_files([report]) as (unfinished,):
            unfinished.write_text(json.dumps({"model": model.sha256, **entry}, indent=1) + "\n", encoding="utf-8")
    return add_calibration(model, entry), calibration, accuracy


def calibrated_accuracy_of(calibration: ModelCalibration, observed: Sequence[Observed]) -> CalibratedAccuracy:
    """Measure a calibration on lesions on which it was not made."""
    observations = [observation for observation, _ in observed]
    dice = np.array([o.dice for o in observations])
    confidence = np.array([calibration.expected_dice_of(o.agreement) for o in observations])
    probability = np.array([o.probability for o in observations])
    tips = [of_lesion for _, of_lesion in observed]
    coverage, width_mm = coverage_of(tips, calibration)
    coverage_alone, width_alone_mm = coverage_of(tips, calibration, alone=True)
    bad, flagged = dice < BAD_DICE, confidence < LOW_CONFIDENCE
    return CalibratedAccuracy(
        len(observations),
        len({o.patient for o in observations}),
        **_agreement(confidence, dice),
        before=_agreement(probability, dice),
        bad=int(bad.sum()),
        flagged=int(flagged.sum()),
        bad_flagged=int((bad & flagged).sum()),
        coverage=coverage,
        width_mm=width_mm,
        coverage_alone=coverage_alone,
        width_alone_mm=width_alone_mm,
    )


def _agreement(said: np.ndarray, dice: np.ndarray) -> dict[str, Any]:
    from scipy.stats import spearmanr

    varies = len(dice) > 2 and np.ptp(said) > 0 and np.ptp(dice) > 0
    return {
        "gap": float((said - dice).mean()),
        "error": float(np.abs(said - dice).mean()),
        "rank_correlation": float(spearmanr(said, dice).statistic) if varies else None,
    }


def _cases_in(
    path: Path | RemoteCases, model: ModelPackage, runner: TaskRunner, on_progress: OnProgress
) -> list[CheckedCase]:
    cases, problems = check_cases(path, on_progress, runner=runner)
    if problems:
        raise CaseError(f"some cases cannot be used:\n{table_of(problems)}")
    known = set(short_hashes(model.trained_on.get("cases") or ()))
    seen = [case.case_id for case in cases if known & set(short_hashes([case.sha256]))]
    if seen:
        raise CaseError(f"the model was trained on {', '.join(seen)}; its accuracy would be overestimated")
    return cases


def _simulated(cases: list[CheckedCase]) -> bool | None:
    return {"all": True, "none": False}.get(simulated_of(cases))
