"""Segment volumes from files: the session without a link."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .core.cropping import check_seed
from .core.errors import CrlmError
from .core.volume import VOLUME_SUFFIXES, Volume, read_volume, write_volume
from .driver import OnProgress, wait_for_lesion, wait_for_model
from .inference.model_package import ModelPackage, model_or_default
from .inference.worker_engine import WorkerEngine
from .outputs import check_places, whole_files
from .session import LesionResult, ModelReady, Session

Seed = tuple[float, float, float]
SEGMENTATION_SUFFIX = ".seg.nrrd"
LOADING = "Loading the model"


def segment_file(
    path: Path,
    seeds: Sequence[Seed],
    out: Path,
    model_folder: Path | None = None,
    crop_size_mm: float | None = None,
    report: Path | None = None,
    mirroring: bool = False,
    on_progress: OnProgress = lambda *_: None,
) -> list[LesionResult]:
    """Segment a volume file and write the segmentation, and a JSON report where one is wanted.

    Args:
        out: .seg.nrrd for Slicer, another volume suffix for labels 1, 2, ... in the order of the seeds.

    Raises:
        CrlmError: see the kinds in `core.errors`; nothing has been written then. Bad input leaves the outputs of
            earlier runs alone, what fails later removes them, see `outputs.whole_files`.
    """
    if not out.name.lower().endswith(VOLUME_SUFFIXES):
        raise CrlmError(f"{out.name}: write a segmentation as .seg.nrrd, or as labels in {' '.join(VOLUME_SUFFIXES)}")
    places = [out] if report is None else [out, report]
    check_places(places, inputs=[path])
    volume = read_volume(path)
    for seed in seeds:
        check_seed(volume, np.array(seed))
    model = model_or_default(model_folder)
    with whole_files(places) as unfinished:
        results, ready = segment_volume(volume, seeds, model, crop_size_mm, mirroring, on_progress)
        _write_segmentation(unfinished[0], volume, results)
        if report is not None:
            _write_report(unfinished[1], path.name, results, ready)
    return results


def segment_volume(
    volume: Volume,
    seeds: Sequence[Seed],
    model: ModelPackage,
    crop_size_mm: float | None = None,
    mirroring: bool = False,
    on_progress: OnProgress = lambda *_: None,
) -> tuple[list[LesionResult], ModelReady]:
    """Segment a lesion at each seed ("Tumour 1", "Tumour 2", ...).

    Raises:
        SeedError: a seed is not in what was swept.
        WorkerError: the worker cannot answer.
    """
    with Session(WorkerEngine(model), model) as session:
        session.use_volume(volume)
        on_progress(LOADING, 0, 1)
        ready = wait_for_model(session)
        on_progress(LOADING, 1, 1)
        results = []
        for number, seed in enumerate(seeds, 1):
            session.segment(f"Tumour {number}", np.array(seed), crop_size_mm, mirroring)
            results.append(wait_for_lesion(session, f"Tumour {number}", on_progress))
    return results, ready


def _write_segmentation(path: Path, volume: Volume, results: list[LesionResult]) -> None:
    if path.name.lower().endswith(SEGMENTATION_SUFFIX):
        _write_segments(path, volume, results)
    else:
        write_volume(Volume(_labels(volume, results), volume.ijk_to_ras), path)


def _labels(volume: Volume, results: list[LesionResult]) -> np.ndarray:
    """1, 2, ... in the order of the seeds; where lesions overlap, the first has it."""
    labels = np.zeros(volume.array.shape, np.min_scalar_type(len(results)))
    for number, result in enumerate(results, 1):
        labels[result.mask.mask & (labels == 0)] = number
    return labels


def _write_segments(path: Path, volume: Volume, results: list[LesionResult]) -> None:
    from .scene.headless import new_scene
    from .scene.overlay import overlay
    from .scene.saving import save_segmentation
    from .scene.seeds import colour_of
    from .scene.volumes import show_volume

    scene = new_scene()
    volume_node = show_volume(scene, volume, volume.device)
    for number, result in enumerate(results):
        node, _ = overlay(scene, volume_node, result, colour_of(number))
    save_segmentation(node, path)


def _write_report(path: Path, case_id: str, results: list[LesionResult], ready: ModelReady) -> None:
    from .presenting import report_entry
    from .report.schema import write_json

    write_json(path, [report_entry(result, ready, case_id) for result in results])
