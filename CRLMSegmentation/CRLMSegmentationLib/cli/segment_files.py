"""Segmentation of lesions in volume files, through a session without a link."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..core.errors import CrlmError, WorkerError
from ..core.output_files import atomic_files, check_output_paths
from ..core.progress import OnProgress
from ..core.volume import Volume, write_volume
from ..core.volume_files import VOLUME_SUFFIXES
from ..core.volume_reading import check_intensities, read_image
from ..recording.reconstruct import Choices, ReconstructionSettings, load_sweep, reconstruct
from ..segmentation.engine.engine import Engine
from ..segmentation.engine.worker_engine import WorkerEngine
from ..segmentation.models.package import ModelPackage, check_takes_points, crop_size_of, model_or_default
from ..segmentation.results import DEFAULT_OPTIONS, LesionResult, ModelReady, Options
from ..segmentation.session import Session, checked_request
from ..segmentation.wait import wait_for_lesion, wait_for_model
from ..tracking.sweeps.placement import REFERENCE
from ..tracking.sweeps.sequence_io import is_sequence
from .clicks import LesionClicks

SEGMENTATION_SUFFIX = ".seg.nrrd"
LOADING = "Loading the model"


def segment_file(
    path: Path,
    lesions: Sequence[LesionClicks],
    out: Path,
    model_folder: Path | None = None,
    options: Options = DEFAULT_OPTIONS,
    report: Path | None = None,
    on_progress: OnProgress = lambda *_: None,
    calibration: str | None = None,
    frame: str = REFERENCE,
    device: str | None = None,
    on_note: Callable[[str], None] = lambda line: None,
    precision: str = "auto",
    make_engine: Callable[..., Engine] | None = None,
) -> list[LesionResult]:
    """Segment a volume file and write the segmentation, and a JSON report if a path is given.

    Args:
        path: of a volume, or of a tracked sweep, from which a volume is reconstructed first.
        lesions: their seeds and points.
        options: of the network; its crop size is None for the model's own, as of one that sees the whole volume.
        calibration: of the sweep, see `sweeps.calibration.read_calibration`.
        frame: the coordinate frame in which a sweep is reconstructed, and the seeds are given.
        device: of a recorded case: whose images are the ultrasound; None finds it.
        on_note: gets what was decided to reconstruct a sweep, as lines for a terminal.
        precision: "auto" or "float32", see `WorkerEngine`.
        make_engine: makes the engine of a model and a precision; None for a worker on this computer.
        out: .seg.nrrd for Slicer, another volume suffix for labels 1, 2, ... in the order of the seeds.

    Raises:
        CrlmError: see the kinds in `core.errors`. Bad input leaves the outputs of earlier runs alone, what fails
            later sets them aside, see `output_files.atomic_files`. When a later seed fails, what was found at those
            before it is written all the same.
    """
    if not out.name.lower().endswith(VOLUME_SUFFIXES):
        raise CrlmError(f"{out.name}: write a segmentation as .seg.nrrd, or as labels in {' '.join(VOLUME_SUFFIXES)}")
    places = [out] if report is None else [out, report]
    check_output_paths(places, inputs=[path])
    model = model_or_default(model_folder)
    crop_size_of(model, options.crop_size_mm)
    if any(lesion.points for lesion in lesions):
        check_takes_points(model)
    volume = _volume_of(path, calibration, frame, device, on_progress, on_note)
    for lesion in lesions:
        checked_request(model, volume, "", np.array(lesion.seed_ras_mm), options, points=lesion.points)
    with atomic_files(places) as unfinished:
        results, ready, failure = segment_volume(volume, lesions, model, options, on_progress, precision, make_engine)
        results = with_overlaps(results, as_labels=not _is_for_slicer(out))
        _write_segmentation(unfinished[0], volume, results)
        if report is not None:
            _write_report(unfinished[1], path.name, results, ready)
    if failure is not None:
        before = "lesion before it is" if len(results) == 1 else f"{len(results)} lesions before it are"
        raise WorkerError(f"{failure}; the {before} in {out}") from failure
    return results


def _volume_of(
    path: Path,
    calibration: str | None,
    frame: str,
    device: str | None,
    on_progress: OnProgress,
    on_note: Callable[[str], None],
) -> Volume:
    if not path.is_dir() and not (path.is_file() and is_sequence(path)):
        return read_image(path)
    sweep = load_sweep(path, calibration, Choices(device), frame)
    made = reconstruct(sweep, ReconstructionSettings(frame=frame), on_progress)
    for line in made.lines():
        on_note(line)
    check_intensities(made.volume)
    return made.volume


def segment_volume(
    volume: Volume,
    lesions: Sequence[LesionClicks],
    model: ModelPackage,
    options: Options = DEFAULT_OPTIONS,
    on_progress: OnProgress = lambda *_: None,
    precision: str = "auto",
    make_engine: Callable[..., Engine] | None = None,
) -> tuple[list[LesionResult], ModelReady, WorkerError | None]:
    """Segment a lesion at each seed ("Tumour 1", "Tumour 2", ...).

    Returns:
        The lesions, the model, and why there is no answer at the seed after the last lesion, if so.

    Raises:
        SeedError: a seed or a point is outside the field of view, or points contradict each other.
        ModelError: points for a model that takes none.
        WorkerError: the worker cannot answer at the first seed.
    """
    engine = (make_engine or WorkerEngine)(model, precision=precision)
    with Session(engine, model) as session:
        session.use_volume(volume)
        on_progress(LOADING, 0, 1)
        ready = wait_for_model(session)
        on_progress(LOADING, 1, 1)
        results = []
        for number, lesion in enumerate(lesions, 1):
            session.segment(f"Tumour {number}", np.array(lesion.seed_ras_mm), options, points=lesion.points)
            try:
                results.append(wait_for_lesion(session, f"Tumour {number}", on_progress))
            except WorkerError as error:
                if not results:
                    raise
                return results, ready, error
    return results, ready, None


def with_overlaps(results: Sequence[LesionResult], as_labels: bool) -> list[LesionResult]:
    """Return the lesions, with a warning on each that shares voxels with an earlier one.

    Args:
        as_labels: they are written as labels, so that the earlier lesion keeps what is shared.
    """
    checked = []
    for number, result in enumerate(results):
        warnings = [_overlap(result, earlier, as_labels) for earlier in results[:number]]
        mask = replace(result.mask, warnings=(*result.mask.warnings, *filter(None, warnings)))
        checked.append(replace(result, mask=mask))
    return checked


def _overlap(result: LesionResult, earlier: LesionResult, as_labels: bool) -> str:
    shared = int((result.mask.mask & earlier.mask.mask).sum())
    if not shared:
        return ""
    percent = math.ceil(100 * shared / int(result.mask.mask.sum()))  # upwards: a single voxel is told as well
    name = earlier.request.lesion
    kept = f"; the label file gives them to {name} alone" if as_labels else ""
    return f"shares {percent} % of its voxels with {name}: both seeds may lie in one tumour{kept}"


def _is_for_slicer(path: Path) -> bool:
    return path.name.lower().endswith(SEGMENTATION_SUFFIX)


def _write_segmentation(path: Path, volume: Volume, results: list[LesionResult]) -> None:
    if _is_for_slicer(path):
        _write_segments(path, volume, results)
    else:
        write_volume(Volume(_labels(volume, results), volume.ijk_to_ras), path)


def _labels(volume: Volume, results: list[LesionResult]) -> np.ndarray:
    """Return labels 1, 2, ... in the order of the seeds; overlaps belong to the first lesion."""
    labels = np.zeros(volume.array.shape, np.min_scalar_type(len(results)))
    for number, result in enumerate(results, 1):
        labels[result.mask.mask & (labels == 0)] = number
    return labels


def _write_segments(path: Path, volume: Volume, results: list[LesionResult]) -> None:
    from ..slicer.scene.headless import new_scene
    from ..slicer.scene.overlay import overlay
    from ..slicer.scene.saving import save_segmentation
    from ..slicer.scene.volumes import show_volume
    from ..tracking.colours import colour_of

    scene = new_scene()
    volume_node = show_volume(scene, volume, volume.device)
    for number, result in enumerate(results):
        node, _ = overlay(scene, volume_node, result, colour_of(number))
    save_segmentation(node, path)


def _write_report(path: Path, case_id: str, results: list[LesionResult], ready: ModelReady) -> None:
    from ..reports.lesion_report import report_entry
    from ..reports.schema import write_json

    write_json(path, [report_entry(result, ready, case_id) for result in results])
