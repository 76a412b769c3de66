"""A segmented lesion as people read of it: as an entry of the report, as pictures, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import numpy as np
import slicer

from .core.metrics import compare
from .environment import versions
from .inference.model_package import ModelPackage
from .navigation.surfaces import surface_of_mask
from .report.schema import lesion_report
from .scene.segmentations import lesion_surface
from .session import LesionResult, ModelReady

ENGINE = "nnU-Net v2"


def report_entry(
    result: LesionResult,
    ready: ModelReady,
    case_id: str,
    timings_s: Mapping[str, float] | None = None,
    truth: np.ndarray | None = None,
    simulated: bool | None = None,
) -> dict:
    """The entry of report.json for one lesion.

    Args:
        timings_s: what was measured outside the session, such as `overlay`.
        truth: bool, shape (K, J, I) of the volume, of this lesion alone.
        simulated: whether the volume comes from the phantom; None when that is not known.
    """
    mask = replace(result.mask, warnings=(*result.mask.warnings, *ready.warnings))
    metrics = None
    if truth is not None:
        metrics = compare(mask.mask, truth, result.volume.ijk_to_ras, mask.probability, mask.in_crop)
    return lesion_report(
        case_id=case_id,
        engine=ENGINE,
        device=result.device,
        model_name=result.model_name,
        model_sha256=result.model_sha256,
        seed_ras_mm=result.request.seed_ras_mm,
        crop_size_mm=result.request.crop_size_mm,
        timings_s={**result.timings_s, **(timings_s or {}), "cold_start": ready.cold_start_s},
        metrics=metrics,
        metrics_region="the whole volume" if result.request.crop_size_mm is None else "the crop",
        result=mask,
        versions={**versions(), **ready.versions},
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        lesion=result.request.lesion,
        simulated=simulated,
        volume_identity=result.volume.identity,
    )


def pictures_of(
    result: LesionResult, node: slicer.vtkMRMLSegmentationNode, truth: np.ndarray | None = None
) -> dict[str, bytes | str]:
    """Slices and 3D view of a lesion, by the names that `report.html.write_report` looks for."""
    from .report.html import SLICES, VIEW_3D  # only who wants pictures needs jinja2 and matplotlib
    from .report.pictures import three_slices
    from .report.planes import Lesion as PicturedLesion
    from .report.rendering import RenderingError, lesion_in_space

    lesion = PicturedLesion(
        result.volume, result.mask.mask, np.array(result.request.seed_ras_mm), result.request.crop_size_mm, truth
    )
    truth_surface = None if truth is None else surface_of_mask(truth, result.volume.ijk_to_ras)
    name = result.request.lesion
    try:
        view: bytes | str = lesion_in_space(lesion, lesion_surface(node, name), truth_surface)
    except RenderingError as error:
        view = str(error)
    return {f"{name}/{SLICES}": three_slices(lesion), f"{name}/{VIEW_3D}": view}


def sentence_of(result: LesionResult) -> str:
    """One line for a terminal."""
    mask = result.mask
    warnings = "".join(f"\n  ! {warning}" for warning in mask.warnings)
    if mask.is_empty:
        return f"{result.request.lesion}: no tumour{warnings}"
    sizes = " x ".join(f"{d:.0f}" for d in mask.diameters_mm)
    seconds = sum(result.timings_s.get(step, 0.0) for step in ("crop", "preprocess", "inference", "postprocess"))
    size = f"{mask.volume_ml:.1f} ml, {sizes} mm"
    return f"{result.request.lesion}: {size}, confidence {mask.confidence:.2f}, in {seconds:.1f} s{warnings}"


def card_of(model: ModelPackage) -> dict:
    """What the report says about the model."""
    return {
        "name": model.name,
        "version": model.version,
        "sha256": model.sha256,
        "statement": model.not_for_clinical_use,
        "intended_use": model.intended_use,
        "trained_on": model.trained_on,
        **model.card,
    }
