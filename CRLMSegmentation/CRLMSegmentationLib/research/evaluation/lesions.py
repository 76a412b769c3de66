"""Segment lesions and compare them with the ground truth; a model runs through the session of the workspace.

    check_cases -> cases -> measure_method -> result cache: a row for each lesion and variation -> figures, page

A row holds all that the tables are made of; see `rows.ROW_KEYS`.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ...core.errors import CrlmError, SeedError, WorkerError
from ...core.parallel import InProcess
from ...core.progress import OnProgress
from ...core.tasks import Done, Outcome, TaskRunner, run_tasks
from ...core.volume import Volume, read_volume, write_volume
from ...recording.case import CaseLesion
from ...recording.dataset import CaseProblem, CheckedCase, check_cases, table_of
from ...segmentation.engine.engine import Engine
from ...segmentation.engine.worker_engine import WorkerEngine
from ...segmentation.models.package import ModelPackage, load_model_package
from .click_series import click_series
from .methods import Click, Method, ModelMethod, NoAnswerError, Segmenter, started, stop_started
from .result_cache import Key, ResultCache, Row, key_of
from .rows import row_before, with_answer, with_refusal
from .settings import AS_RECORDED, EvaluationSettings, Variation
from .variations import generator_of, sample_of, seed_and_volume

MASK_FOLDER = "masks"
FAILURES_IN_VAIN = 10
"""Measurements that fail before one succeeds, after which nothing more is tried."""


@dataclass(frozen=True, eq=False)
class _Task:
    """One measurement to be made."""

    checked: CheckedCase
    lesion: CaseLesion
    variation: Variation

    @property
    def name(self) -> str:
        words = [self.checked.case_id, self.lesion.name]
        variation = self.variation
        return " ".join(
            [*words, *([] if variation.kind == AS_RECORDED else [f"({variation.kind} {variation.amount:g})"])]
        )


@dataclass(frozen=True, eq=False)
class Measured:
    """The result of one measurement.

    Attributes:
        mask_file: content of the file of the mask; None where none is to be kept.
        versions: of the programs involved.
    """

    row: Row
    mask_file: bytes | None
    versions: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Measurements:
    """All measurements of an evaluation.

    Attributes:
        rows: in the order of cases, lesions and variations.
        versions: of the programs involved; empty if everything had been measured before.
        failed: measurements that could not be made.
    """

    rows: list[Row]
    versions: Mapping[str, str]
    failed: list[CaseProblem]


@dataclass(frozen=True, eq=False)
class _Loaded:
    """A case that was read, kept from one task of a process to the next."""

    key: tuple[str, str]
    volume: Volume
    labels: Volume


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
    measured = measure_method(method, cases, settings, ResultCache(None, method.header(settings)))
    if measured.failed:
        raise WorkerError(table_of(measured.failed))
    return measured.rows


def measure_method(
    method: Method,
    cases: Sequence[CheckedCase],
    settings: EvaluationSettings,
    result_cache: ResultCache,
    out: Path | None = None,
    on_progress: OnProgress = lambda *_: None,
    runner: TaskRunner | None = None,
) -> Measurements:
    """Make all measurements that the result cache lacks; each process starts the method once for all.

    Args:
        out: folder to which the masks as recorded are written; None for none.
        runner: carries out the measurements; None for this process.

    Raises:
        WorkerError: the method fails wherever it is started. What was measured before is in the result cache.
    """
    runner = runner or InProcess()
    tasks = _tasks_of(cases, settings)
    missing = [task for task in tasks if result_cache.get(_key(task), task.checked.sha256) is None]
    versions: dict[str, str] = {}
    failed: list[CaseProblem] = []
    ended, known = itertools.count(1), len(tasks) - len(missing)

    def handle_outcome(number: int, outcome: Outcome[Measured]) -> None:
        count = next(ended)
        if isinstance(outcome, Done):
            versions.update(outcome.value.versions)
            _store(outcome.value, result_cache, out)
        else:
            failed.append(_problem_of(missing[number], outcome.reason))
        if len(failed) == count == FAILURES_IN_VAIN:
            raise WorkerError(f"nothing could be measured: {failed[0].case}: {failed[0].text}")
        on_progress("Measuring", known + count, len(tasks))

    try:
        if missing and isinstance(runner, InProcess):
            started(method, settings, on_progress)
        function = partial(measure_task, method, settings, out is not None)
        run_tasks(runner, function, missing, method.needs, handle_outcome)
    finally:
        stop_started()
        _last_loaded.clear()
    rows = [result_cache.get(_key(task), task.checked.sha256) or result_cache.failed(_key(task)) for task in tasks]
    return Measurements([row for row in rows if row], versions, failed)


def _store(measured: Measured, result_cache: ResultCache, out: Path | None) -> None:
    """Write the mask of a measurement, then its row."""
    if out is not None and measured.mask_file is not None:
        path = out / measured.row["mask"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(measured.mask_file)
    result_cache.add(measured.row)


def _problem_of(task: _Task, reason: str) -> CaseProblem:
    return CaseProblem(task.checked.case_id, task.lesion.name, reason)


def _tasks_of(cases: Sequence[CheckedCase], settings: EvaluationSettings) -> list[_Task]:
    """Return the tasks, recorded seeds first, so that an interrupted run has the main tables."""
    lesions = [(checked, lesion) for checked in cases for lesion in checked.lesions]
    sample = sample_of(cases, settings.robustness_lesions, settings.seed)
    varied = [(checked, lesion) for checked, lesion in lesions if (checked.case_id, lesion.name) in sample]
    recorded = [_Task(checked, lesion, Variation()) for checked, lesion in lesions]
    return recorded + [_Task(*place, variation) for place in varied for variation in settings.variations]


def _key(task: _Task) -> Key:
    return key_of(task.checked.case_id, task.lesion.name, task.variation)


def measure_task(method: Method, settings: EvaluationSettings, keeps_mask: bool, task: _Task) -> Measured:
    """Segment one lesion and compare it with its ground truth, as a task.

    Args:
        keeps_mask: whether the mask of a seed as recorded is wanted.

    Raises:
        WorkerError: the engine has given up; the next task starts it anew.
    """
    segmenter = started(method, settings)
    try:
        return _measured(segmenter, task, _loaded(task.checked), settings, keeps_mask)
    except WorkerError:
        stop_started()
        raise


_last_loaded: list[_Loaded] = []


def _loaded(checked: CheckedCase) -> _Loaded:
    """Return the volume and the labels of a case, from the task before where it was of the same case."""
    key = (str(checked.remote or checked.case.folder), checked.sha256)
    if not _last_loaded or _last_loaded[0].key != key:
        _last_loaded.clear()
        with checked.at_hand() as local:
            _last_loaded.append(_Loaded(key, local.read_volume(), local.truth_labels()))
    return _last_loaded[0]


def _measured(
    segmenter: Segmenter, task: _Task, loaded: _Loaded, settings: EvaluationSettings, keeps_mask: bool
) -> Measured:
    checked, lesion, variation, volume = task.checked, task.lesion, task.variation, loaded.volume
    truth = checked.truth_of(lesion, volume, loaded.labels)
    seed, shown, away_mm = seed_and_volume(variation, checked.case_id, lesion, volume, truth, settings.seed)
    row = row_before(checked, lesion, variation, truth, volume)
    row.update(seed_away_mm=away_mm, seed_ras_mm=None if seed is None else [round(float(x), 3) for x in seed])
    if seed is None:
        return Measured(row, None, segmenter.versions)
    click = Click(lesion.name, shown, seed, truth, generator_of(settings.seed, checked.case_id, lesion.name))
    is_series = settings.clicks > 1 and variation.kind == AS_RECORDED
    try:
        answer = segmenter.answer(click)
    except SeedError as error:
        refused = {**with_refusal(row, click, str(error)), "clicks": [] if is_series else None}
        return Measured(refused, None, segmenter.versions)
    except NoAnswerError as error:
        return Measured({**row, "error": str(error)}, None, segmenter.versions)
    row, mask_file = with_answer(row, answer, click), None
    if is_series:
        row["clicks"] = click_series(segmenter, click, answer, settings.clicks, settings.seed, checked.case_id)
    if keeps_mask and variation.kind == AS_RECORDED:
        row["mask"] = Path(MASK_FOLDER, _file_name(checked.case_id), f"{_file_name(lesion.name)}.nrrd").as_posix()
        mask_file = _file_of(answer.mask, volume.ijk_to_ras)
    return Measured(row, mask_file, segmenter.versions)


def _file_of(mask: np.ndarray, ijk_to_ras: np.ndarray) -> bytes:
    """Return the content of a file with a mask on the grid of its volume."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "mask.nrrd")
        write_volume(Volume(mask.astype(np.uint8), ijk_to_ras), path)
        return path.read_bytes()


def _file_name(text: str) -> str:
    """Turn a text into a file name; different texts get different names."""
    name = re.sub(r"[^\w.-]+", "-", text)
    if name == text.replace(" ", "-") and not name.startswith("."):
        return name
    return f"{name.strip('.')}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def read_mask(path: Path) -> np.ndarray:
    """Read a mask of `Measured`, bool, shape (K, J, I)."""
    return read_volume(path).array > 0
