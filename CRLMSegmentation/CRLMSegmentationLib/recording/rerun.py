"""Computes the results of a recorded session again and compares them.

The same volume, seed, points, crop size and mirroring; the same model where it is installed, or another one. On the
same kind of device the same model gives the same voxels.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..core.environment import versions
from ..core.errors import CaseError, CrlmError
from ..core.json_files import Damage
from ..core.metrics import symmetric_distances_mm
from ..core.output_files import atomic_files, check_output_paths, make_folder
from ..core.progress import OnProgress
from ..core.tasks import KeptInProcess
from ..core.volume import Volume
from ..segmentation.engine.engine import Engine
from ..segmentation.engine.worker_engine import WorkerEngine
from ..segmentation.models.package import ModelPackage, load_model_package, model_or_default
from ..segmentation.models.registry import installed_models
from ..segmentation.results import LesionResult
from ..segmentation.session import Session
from ..segmentation.wait import wait_for_lesion, wait_for_model
from .case import Case, load_case
from .recorded_images import RecordedImages
from .saved_images import SavedMasks
from .session_results import RecordedResult, recorded_results

COMPUTING_S = ("crop", "preprocess", "inference", "postprocess")
DOCUMENT = "rerun.json"


@dataclass(frozen=True)
class Agreement:
    """The agreement of two masks: Dice, largest and mean distance of their surfaces in mm, None where one is empty."""

    dice: float
    largest_mm: float | None
    mean_mm: float | None


@dataclass(frozen=True)
class Row:
    """A recorded segmentation compared with the one that is computed now.

    Attributes:
        number: of the result in the recording.
        corrected: the recorded segmentation is what a user has made of the result.
        same_model, same_device: as recorded; of the device the kind.
        problem: why it could not be computed or compared; empty otherwise, and then nothing is None but distances.
    """

    number: int
    lesion: str
    corrected: bool
    model: str
    model_sha256: str
    same_model: bool
    same_device: bool | None
    recorded_ml: float | None
    new_ml: float | None
    dice: float | None
    largest_mm: float | None
    mean_mm: float | None
    recorded_s: float
    new_s: float | None
    identical: bool | None
    problem: str = ""


def rerun_case(
    folder: Path,
    model_folder: Path | str | None = None,
    out: Path | None = None,
    report: Path | None = None,
    on_progress: OnProgress = lambda *_: None,
    engine_of: Callable[[ModelPackage], Engine] = WorkerEngine,
    on_note: Callable[[str], None] = lambda text: None,
    sessions: KeptInProcess[Session] | None = None,
) -> list[Row]:
    """Compute all recorded results of a case again, without a window.

    Args:
        model_folder: folder or name of the model to use; None for the recorded ones where they are installed, else
            the default one.
        out: folder for the new masks and `DOCUMENT`.
        report: the same document as another file.
        on_note: told of recorded results that cannot be used, once.
        sessions: keeps the session for the next case; None to end it here.

    Returns:
        A row for each result, and one more for each that was corrected by hand.

    Raises:
        CaseError: there is no case, or none with results.
        CrlmError: a model or a place to write to that cannot be used.
    """
    case = load_case(folder, verify_recording=False)
    damage = Damage()
    results = recorded_results(case, damage)
    if damage.is_any:
        on_note(damage.sentence(case.events or ""))
    if not results:
        told = f" ({damage.sentence(case.events or '')})" if damage.is_any else ""
        raise CaseError(
            f"{case.case_id} holds no recorded results{told}, so there is nothing to compute again; segment its "
            f"lesions with: crlm-seg demo --case {folder}"
        )
    if out is not None:
        make_folder(out)
    places = [*([out / DOCUMENT] if out else []), *([report] if report else [])]
    check_output_paths(places)
    models = _models_for(results, model_folder)
    kept = sessions or KeptInProcess()
    with ExitStack() as stack:
        if sessions is None:
            stack.callback(kept.close)
        unfinished = stack.enter_context(atomic_files(places)) if places else []

        def session_of(model: ModelPackage) -> Session:
            return kept.get((model.sha256, model.folder), lambda: _ready_session(model, engine_of))

        rows = list(_rows(RecordedImages(folder), results, models, out, on_progress, session_of))
        for path in unfinished:
            path.write_text(json.dumps(document_of(case, rows, damage), indent=1) + "\n", encoding="utf-8")
    return rows


def document_of(case: Case, rows: Sequence[Row], damage: Damage) -> dict[str, Any]:
    """Return the rows as plain data, with the versions of the program."""
    return {
        "case_id": case.case_id,
        "results": [asdict(row) for row in rows],
        "identical": sum(row.identical is True for row in rows),
        "different": sum(row.identical is False and not row.corrected for row in rows),
        "failed": sum(bool(row.problem) for row in rows),
        "left_out": damage.sentence(case.events or ""),
        "versions": versions(),
    }


def agreement_of(recorded: np.ndarray, new: np.ndarray, ijk_to_ras: np.ndarray) -> Agreement:
    """Compare two masks (K, J, I) on one grid; two empty ones are the same."""
    both, of_recorded, of_new = (int(np.count_nonzero(m)) for m in (recorded & new, recorded, new))
    if of_recorded == 0 or of_new == 0:
        return Agreement(1.0, 0.0, 0.0) if of_recorded == of_new else Agreement(0.0, None, None)
    distances_mm = symmetric_distances_mm(recorded, new, ijk_to_ras)
    return Agreement(2 * both / (of_recorded + of_new), float(distances_mm.max()), float(distances_mm.mean()))


def _models_for(results: Sequence[RecordedResult], wanted: Path | str | None) -> dict[str, ModelPackage]:
    """Return the model to use now, by the hash of the recorded one."""
    recorded = {result.model_sha256 for result in results}
    if wanted is not None:
        return dict.fromkeys(recorded, model_or_default(wanted))
    installed = {model.package.sha256: model.folder for model in installed_models() if model.package}
    found = {sha: load_model_package(installed[sha]) for sha in recorded if sha in installed}
    missing = recorded - set(found)
    return {**found, **(dict.fromkeys(missing, model_or_default(None)) if missing else {})}


def _rows(
    images: RecordedImages,
    results: Sequence[RecordedResult],
    models: dict[str, ModelPackage],
    out: Path | None,
    on_progress: OnProgress,
    session_of: Callable[[ModelPackage], Session],
) -> Iterator[Row]:
    """Yield the results in their order; a model is loaded only where it differs from the one before."""
    masks = SavedMasks(out, lambda path: None) if out else None
    for number, recorded in enumerate(results, 1):
        on_progress("Results", number - 1, len(results))
        yield from _rows_of(images, recorded, session_of(models[recorded.model_sha256]), masks)
        on_progress("Results", number, len(results))


@contextmanager
def _ready_session(model: ModelPackage, engine_of: Callable[[ModelPackage], Engine]) -> Iterator[Session]:
    session = Session(engine_of(model), model)
    try:
        wait_for_model(session)
        yield session
    finally:
        session.close()


def _rows_of(
    images: RecordedImages, recorded: RecordedResult, session: Session, masks: SavedMasks | None
) -> Iterator[Row]:
    try:
        volume = images.volume(recorded.volume)
        new = _computed(recorded, volume, session)
        if masks is not None:
            masks.save(f"{recorded.request.lesion}-{recorded.number}", new.mask.part, new.mask.offset_kji, volume)
        yield _row(recorded, session.model, new, images.mask_of(recorded), recorded.volume_ml)
    except CrlmError as error:
        yield _row(recorded, session.model, problem=str(error))
        return
    correction = recorded.corrected
    if correction is None:
        return
    try:
        geometries = [volume and volume.get("geometry_sha256") for volume in (correction.volume, recorded.volume)]
        if geometries[0] is None or geometries[0] != geometries[1]:
            raise CaseError("the corrected segmentation was not recorded in the volume of its result")
        yield _row(recorded, session.model, new, images.mask_of(correction), correction.volume_ml, corrected=True)
    except CrlmError as error:
        yield _row(recorded, session.model, problem=str(error), corrected=True)


def _computed(recorded: RecordedResult, volume: Volume, session: Session) -> LesionResult:
    request = recorded.request
    options = request.options if session.model.region == "crop" else replace(request.options, crop_size_mm=None)
    session.segment(request.lesion, np.array(request.seed_ras_mm), options, volume, request.points)
    return wait_for_lesion(session, request.lesion)


def _row(
    recorded: RecordedResult,
    model: ModelPackage,
    new: LesionResult | None = None,
    mask: np.ndarray | None = None,
    recorded_ml: float | None = None,
    corrected: bool = False,
    problem: str = "",
) -> Row:
    agreement, identical = None, None
    if new is not None and mask is not None:
        agreement = agreement_of(mask, new.mask.mask, new.volume.ijk_to_ras)
        identical = np.array_equal(mask, new.mask.mask)
    return Row(
        number=recorded.number,
        lesion=recorded.request.lesion,
        corrected=corrected,
        model=f"{model.name} {model.version}",
        model_sha256=model.sha256,
        same_model=model.sha256 == recorded.model_sha256,
        same_device=None if new is None else _kind_of(new.device) == _kind_of(recorded.device),
        recorded_ml=recorded.volume_ml if recorded_ml is None else recorded_ml,
        new_ml=None if new is None else new.mask.volume_ml,
        dice=agreement.dice if agreement else None,
        largest_mm=agreement.largest_mm if agreement else None,
        mean_mm=agreement.mean_mm if agreement else None,
        recorded_s=_seconds_of(recorded.timings_s),
        new_s=None if new is None else _seconds_of(new.timings_s),
        identical=identical,
        problem=problem,
    )


def _kind_of(device: str) -> str:
    """Return a device without the number of its threads."""
    return device.partition(" (")[0]


def _seconds_of(timings_s: dict[str, float]) -> float:
    return round(sum(timings_s.get(step) or 0.0 for step in COMPUTING_S), 3)
