"""Segment lesions through the session that runs in the room, and compare them with the truth.

    check_cases -> cases -> measure_cases -> ledger: a row for each lesion and variation -> figures, page

A row holds all that the tables are made of; see `ROW_KEYS`. `evaluate_lesions` does one case from files alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.case import Lesion
from ..core.errors import CrlmError, SeedError, WorkerError
from ..core.metrics import THOROUGH_METRICS, compare_thoroughly
from ..core.volume import Volume, read_volume, write_volume
from ..driver import wait_for_lesion, wait_for_model
from ..inference.engine import Engine, EngineState
from ..inference.model_package import ModelPackage, load_model_package
from ..inference.worker_engine import WorkerEngine
from ..session import LesionResult, ModelReady, Session
from .inputs import CheckedCase, OnProgress, check_cases, table_of
from .ledger import Ledger, Row, key_of
from .settings import AS_RECORDED, Settings, Variation
from .variations import equivalent_radius_mm, sample_of, seed_and_volume

DETECTED_DICE = 0.1
MASK_FOLDER = "masks"
ROW_KEYS = {
    "kind": "'as recorded', or how it was varied: 'seed share', 'seed mm', 'gain dB', 'grey factor'",
    "amount": "of the variation, in shares of the lesion's radius, mm, dB or as a factor; 0 as recorded",
    "draw": "number of the direction in which the seed was moved",
    "case_id": "name of the case",
    "lesion": "name of the lesion",
    "patient": "name of the patient: source.patient of the case, else the case",
    "case_sha256": "of case.json, which holds the hashes of all files; of volume and label where they are a pair",
    "simulated": "whether the case comes from the phantom; null when it does not say",
    "about": "what the case knows of the lesion",
    "diameter_mm": "about.diameter_mm, else of the ball as large as the truth",
    "truth_ml": "volume of the truth",
    "seed_ras_mm": "where was clicked; null where no point so far from the centre lies in what was swept",
    "seed_away_mm": "how far the seed was moved from the centre; null where it was not",
    "crop_size_mm": "edge of the crop",
    "metrics": "{" + ", ".join(THOROUGH_METRICS) + "}; each null where there is nothing to measure; all null without "
    "an answer",
    "detected": f"whether Dice is above {DETECTED_DICE}",
    "volume_ml": "of the mask",
    "confidence": "mean probability inside the mask; null when nothing was found",
    "warnings": "list of plain sentences; of a click that was refused, why",
    "timings_s": "{crop, preprocess, inference, postprocess}",
    "seconds": "their sum",
    "device": "that computed it; null of a click that was refused",
    "mask": "file of the mask as recorded, below the folder of the evaluation, or null",
    "error": "why there is no answer, or null",
}


@dataclass(frozen=True, eq=False)
class _Task:
    """One measurement to be made."""

    checked: CheckedCase
    lesion: Lesion
    variation: Variation


def evaluate_lesions(
    case_folder: Path,
    model_folder: Path,
    settings: Settings,
    engine_of: Callable[[ModelPackage], Engine] = WorkerEngine,
) -> list[Row]:
    """All rows of one case, from files alone: what can be sent to another machine.

    Raises:
        CrlmError: the case cannot be evaluated; says why.
    """
    cases, problems = check_cases(case_folder)
    if problems:
        raise CrlmError(table_of(problems))
    model = load_model_package(model_folder)
    ledger = Ledger(None, header_of(model, settings))
    rows, _ = measure_cases(model, cases, settings, ledger, engine_of=engine_of)
    return rows


def header_of(model: ModelPackage, settings: Settings) -> Row:
    """What two evaluations must share for their rows to be put together."""
    return {
        "schema_version": 1,
        "model_sha256": model.sha256,
        "mirroring": settings.mirroring,
        "crop_size_mm": float(settings.crop_size_mm or model.crop_size_mm),
        "seed": settings.seed,
    }


def measure_cases(
    model: ModelPackage,
    cases: Sequence[CheckedCase],
    settings: Settings,
    ledger: Ledger,
    out: Path | None = None,
    engine_of: Callable[[ModelPackage], Engine] = WorkerEngine,
    on_progress: OnProgress = lambda *_: None,
) -> tuple[list[Row], ModelReady | None]:
    """Make all measurements that the ledger does not hold yet, one worker kept warm for all.

    Args:
        out: folder to which the masks as recorded are written; None for none.

    Returns:
        All rows, in the order of cases, lesions and variations; and the model as it was loaded, None if it was not
        needed since everything had been measured.

    Raises:
        WorkerError: the engine has given up. What was measured before is in the ledger.
    """
    tasks = _tasks_of(cases, settings)
    missing = [task for task in tasks if ledger.get(_key(task), task.checked.sha256) is None]
    ready = None
    if missing:
        on_progress("Loading the model", 0, 1)
        with Session(engine_of(model), model) as session:
            ready = wait_for_model(session)
            on_progress("Loading the model", 1, 1)
            _measure(session, missing, settings, ledger, out, len(tasks), on_progress)
    rows = [ledger.get(_key(task), task.checked.sha256) or ledger.failed(_key(task)) for task in tasks]
    return [row for row in rows if row], ready


def _tasks_of(cases: Sequence[CheckedCase], settings: Settings) -> list[_Task]:
    """Everything as recorded first, so that a run that is ended early has the tables that matter."""
    lesions = [(checked, lesion) for checked in cases for lesion in checked.lesions]
    sample = sample_of(cases, settings.robustness_lesions, settings.seed)
    varied = [(checked, lesion) for checked, lesion in lesions if (checked.case_id, lesion.name) in sample]
    recorded = [_Task(checked, lesion, Variation()) for checked, lesion in lesions]
    return recorded + [_Task(*place, variation) for place in varied for variation in settings.variations]


def _key(task: _Task) -> tuple:
    return key_of(task.checked.case_id, task.lesion.name, task.variation)


def _measure(
    session: Session,
    tasks: Sequence[_Task],
    settings: Settings,
    ledger: Ledger,
    out: Path | None,
    total: int,
    on_progress: OnProgress,
) -> None:
    loaded: CheckedCase | None = None
    done = total - len(tasks)
    for number, task in enumerate(tasks, done + 1):
        if task.checked is not loaded:
            loaded, volume = task.checked, task.checked.read_volume()
        ledger.add(measure(session, task.checked, task.lesion, volume, settings, task.variation, out))
        on_progress("Measuring", number, total)


def measure(
    session: Session,
    checked: CheckedCase,
    lesion: Lesion,
    volume: Volume,
    settings: Settings,
    variation: Variation | None = None,
    out: Path | None = None,
) -> Row:
    """Segment one lesion and compare it with its truth.

    Args:
        volume: of the case, as recorded.

    Raises:
        WorkerError: the engine has given up.
    """
    variation = variation or Variation()
    truth = checked.case.truth_of(lesion, volume)
    seed, shown, away_mm = seed_and_volume(variation, checked.case_id, lesion, volume, truth, settings.seed)
    row = _row(checked, lesion, variation, truth, volume)
    row.update(seed_away_mm=away_mm, seed_ras_mm=None if seed is None else [round(float(x), 3) for x in seed])
    if seed is None:
        return row
    session.use_volume(shown)
    try:
        session.segment(lesion.name, seed, settings.crop_size_mm, settings.mirroring)
        result = wait_for_lesion(session, lesion.name)
    except SeedError as error:
        return {**row, **_refused(truth, shown, str(error))}
    except WorkerError as error:
        if session.engine.state is EngineState.FAILED:
            raise
        return {**row, "error": str(error)}
    row.update(_answer(result, truth))
    if out is not None and variation.kind == AS_RECORDED:
        row["mask"] = _save_mask(out, checked.case_id, lesion.name, result)
    return row


def _row(checked: CheckedCase, lesion: Lesion, variation: Variation, truth: np.ndarray, volume: Volume) -> Row:
    """What is known before it is segmented."""
    known = lesion.about.get("diameter_mm")
    radius_mm = equivalent_radius_mm(truth, volume)
    return {
        **dict.fromkeys(ROW_KEYS),
        "kind": variation.kind,
        "amount": float(variation.amount),
        "draw": variation.draw,
        "case_id": checked.case_id,
        "lesion": lesion.name,
        "patient": checked.patient,
        "case_sha256": checked.sha256,
        "simulated": checked.simulated,
        "about": lesion.about,
        "diameter_mm": float(known) if isinstance(known, (int, float)) else round(2 * radius_mm, 2),
        "truth_ml": 4 / 3 * np.pi * radius_mm**3 / 1000,
    }


def _answer(result: LesionResult, truth: np.ndarray) -> Row:
    mask = result.mask
    metrics = compare_thoroughly(mask.mask, truth, result.volume.ijk_to_ras, mask.probability, mask.in_crop)
    return {
        "crop_size_mm": float(result.request.crop_size_mm),
        "metrics": metrics,
        "detected": metrics["dice"] > DETECTED_DICE,
        "volume_ml": mask.volume_ml,
        "confidence": None if mask.is_empty else mask.confidence,
        "warnings": list(mask.warnings),
        "timings_s": dict(result.timings_s),
        "seconds": sum(result.timings_s.values()),
        "device": result.device,
    }


def _refused(truth: np.ndarray, volume: Volume, reason: str) -> Row:
    """The click was not taken, as where a low gain has made the lesion black: the user has nothing, a Dice of 0."""
    nothing = np.zeros(truth.shape, bool)
    return {
        "metrics": compare_thoroughly(nothing, truth, volume.ijk_to_ras, nothing.astype(np.float32), nothing),
        "detected": False,
        "volume_ml": 0.0,
        "warnings": [reason],
        "timings_s": {},
        "seconds": 0.0,
    }


def _save_mask(out: Path, case_id: str, lesion: str, result: LesionResult) -> str:
    """Write a mask on the grid of its volume; returns its path below `out`."""
    path = Path(MASK_FOLDER, _file_name(case_id), f"{_file_name(lesion)}.nrrd")
    (out / path).parent.mkdir(parents=True, exist_ok=True)
    write_volume(Volume(result.mask.mask.astype(np.uint8), result.volume.ijk_to_ras), out / path)
    return path.as_posix()


def _file_name(text: str) -> str:
    """A text as the name of a file; where that changes more than spaces, two texts still get two names."""
    name = re.sub(r"[^\w.-]+", "-", text)
    if name == text.replace(" ", "-") and not name.startswith("."):
        return name
    return f"{name.strip('.')}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def read_mask(path: Path) -> np.ndarray:
    """A mask that `measure` has written, bool, shape (K, J, I)."""
    return read_volume(path).array > 0
