"""Segment lesions and compare them with the ground truth; a model runs through the session of the workspace.

    check_cases -> cases -> measure_method -> result cache: a row for each lesion and variation -> figures, page

A row holds all that the tables are made of; see `rows.ROW_KEYS`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...core.errors import CrlmError, SeedError
from ...core.progress import OnProgress
from ...core.volume import Volume, read_volume, write_volume
from ...recording.case import CaseLesion
from ...recording.dataset import CheckedCase, check_cases, table_of
from ...segmentation.engine.engine import Engine
from ...segmentation.engine.worker_engine import WorkerEngine
from ...segmentation.models.package import ModelPackage, load_model_package
from .click_series import click_series
from .methods import Answer, Click, Method, ModelMethod, NoAnswerError, Segmenter
from .result_cache import Key, ResultCache, Row, key_of
from .rows import row_before, with_answer, with_refusal
from .settings import AS_RECORDED, EvaluationSettings, Variation
from .variations import generator_of, sample_of, seed_and_volume

MASK_FOLDER = "masks"


@dataclass(frozen=True, eq=False)
class _Task:
    """One measurement to be made."""

    checked: CheckedCase
    lesion: CaseLesion
    variation: Variation


def evaluate_lesions(
    case_folder: Path,
    model_folder: Path,
    settings: EvaluationSettings,
    engine_of: Callable[[ModelPackage], Engine] = WorkerEngine,
) -> list[Row]:
    """Evaluate one case from files alone, as a job for another machine, and return its rows.

    Raises:
        CrlmError: the case cannot be evaluated; says why.
    """
    cases, problems = check_cases(case_folder)
    if problems:
        raise CrlmError(table_of(problems))
    return measure_model(load_model_package(model_folder), cases, settings, engine_of)


def measure_model(
    model: ModelPackage,
    cases: Sequence[CheckedCase],
    settings: EvaluationSettings,
    engine_of: Callable[[ModelPackage], Engine] = WorkerEngine,
) -> list[Row]:
    """Measure a model without result files, and return its rows; see `measure_method`."""
    method = ModelMethod(model, engine_of)
    rows, _ = measure_method(method, cases, settings, ResultCache(None, method.header(settings)))
    return rows


def measure_method(
    method: Method,
    cases: Sequence[CheckedCase],
    settings: EvaluationSettings,
    result_cache: ResultCache,
    out: Path | None = None,
    on_progress: OnProgress = lambda *_: None,
) -> tuple[list[Row], Mapping[str, str]]:
    """Make all measurements that the result cache lacks; the method is started once for all.

    Args:
        out: folder to which the masks as recorded are written; None for none.

    Returns:
        All rows, in the order of cases, lesions and variations; and the versions of the programs involved, empty if
        the method was not started since everything had been measured.

    Raises:
        WorkerError: the engine has given up. What was measured before is in the result cache.
    """
    tasks = _tasks_of(cases, settings)
    missing = [task for task in tasks if result_cache.get(_key(task), task.checked.sha256) is None]
    versions: Mapping[str, str] = {}
    if missing:
        with method.opened(settings, on_progress) as segmenter:
            versions = segmenter.versions
            _measure(segmenter, missing, settings, result_cache, out, len(tasks), on_progress)
    rows = [result_cache.get(_key(task), task.checked.sha256) or result_cache.failed(_key(task)) for task in tasks]
    return [row for row in rows if row], versions


def _tasks_of(cases: Sequence[CheckedCase], settings: EvaluationSettings) -> list[_Task]:
    """Return the tasks, recorded seeds first, so that an interrupted run has the main tables."""
    lesions = [(checked, lesion) for checked in cases for lesion in checked.lesions]
    sample = sample_of(cases, settings.robustness_lesions, settings.seed)
    varied = [(checked, lesion) for checked, lesion in lesions if (checked.case_id, lesion.name) in sample]
    recorded = [_Task(checked, lesion, Variation()) for checked, lesion in lesions]
    return recorded + [_Task(*place, variation) for place in varied for variation in settings.variations]


def _key(task: _Task) -> Key:
    return key_of(task.checked.case_id, task.lesion.name, task.variation)


def _measure(
    segmenter: Segmenter,
    tasks: Sequence[_Task],
    settings: EvaluationSettings,
    result_cache: ResultCache,
    out: Path | None,
    total: int,
    on_progress: OnProgress,
) -> None:
    loaded: CheckedCase | None = None
    done = total - len(tasks)
    for number, task in enumerate(tasks, done + 1):
        if task.checked is not loaded:
            loaded, volume = task.checked, task.checked.read_volume()
        result_cache.add(measure(segmenter, task.checked, task.lesion, volume, settings, task.variation, out))
        on_progress("Measuring", number, total)


def measure(
    segmenter: Segmenter,
    checked: CheckedCase,
    lesion: CaseLesion,
    volume: Volume,
    settings: EvaluationSettings,
    variation: Variation | None = None,
    out: Path | None = None,
) -> Row:
    """Segment one lesion and compare it with its ground truth.

    Args:
        volume: of the case, as recorded.

    Raises:
        WorkerError: the engine has given up.
    """
    variation = variation or Variation()
    truth = checked.truth_of(lesion, volume)
    seed, shown, away_mm = seed_and_volume(variation, checked.case_id, lesion, volume, truth, settings.seed)
    row = row_before(checked, lesion, variation, truth, volume)
    row.update(seed_away_mm=away_mm, seed_ras_mm=None if seed is None else [round(float(x), 3) for x in seed])
    if seed is None:
        return row
    click = Click(lesion.name, shown, seed, truth, generator_of(settings.seed, checked.case_id, lesion.name))
    is_series = settings.clicks > 1 and variation.kind == AS_RECORDED
    try:
        answer = segmenter.answer(click)
    except SeedError as error:
        return {**with_refusal(row, click, str(error)), "clicks": [] if is_series else None}
    except NoAnswerError as error:
        return {**row, "error": str(error)}
    row = with_answer(row, answer, click)
    if is_series:
        row["clicks"] = click_series(segmenter, click, answer, settings.clicks, settings.seed, checked.case_id)
    if out is not None and variation.kind == AS_RECORDED:
        row["mask"] = _save_mask(out, checked.case_id, lesion.name, answer, volume.ijk_to_ras)
    return row


def _save_mask(out: Path, case_id: str, lesion: str, answer: Answer, ijk_to_ras: np.ndarray) -> str:
    """Write a mask on the grid of its volume, and return its path relative to `out`."""
    path = Path(MASK_FOLDER, _file_name(case_id), f"{_file_name(lesion)}.nrrd")
    (out / path).parent.mkdir(parents=True, exist_ok=True)
    write_volume(Volume(answer.mask.astype(np.uint8), ijk_to_ras), out / path)
    return path.as_posix()


def _file_name(text: str) -> str:
    """Turn a text into a file name; different texts get different names."""
    name = re.sub(r"[^\w.-]+", "-", text)
    if name == text.replace(" ", "-") and not name.startswith("."):
        return name
    return f"{name.strip('.')}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def read_mask(path: Path) -> np.ndarray:
    """Read a mask that `measure` has written, bool, shape (K, J, I)."""
    return read_volume(path).array > 0
