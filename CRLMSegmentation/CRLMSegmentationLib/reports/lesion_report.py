"""Describes a segmented lesion: as an entry of report.json, as figures, and as a line for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.environment import versions
from ..core.metrics import compare
from ..segmentation.models.package import ModelPackage
from ..segmentation.refinement import Change
from ..segmentation.results import LesionResult, ModelReady
from ..tracking.interval import Interval
from ..tracking.surfaces import surface_of_mask
from .schema import lesion_report

if TYPE_CHECKING:
    import vtk

    from ..segmentation.consensus import Consensus
    from ..tracking.closest_approach import Approach

ENGINE = "nnU-Net v2"


def report_entry(
    result: LesionResult,
    ready: ModelReady,
    case_id: str,
    timings_s: Mapping[str, float] | None = None,
    truth: np.ndarray | None = None,
    simulated: bool | None = None,
    navigation: Mapping[str, Any] | None = None,
    stability: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the entry of report.json for one lesion.

    Args:
        timings_s: what was measured outside the session, such as `overlay`.
        truth: bool, shape (K, J, I) of the volume, of this lesion alone.
        simulated: whether the volume comes from the phantom; None when that is not known.
        navigation, stability: see `reports.navigation_entry`.
    """
    mask = replace(result.mask, warnings=(*result.warnings, *ready.warnings))
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
        crop_size_mm=result.request.options.crop_size_mm,
        timings_s={**result.timings_s, **(timings_s or {}), "cold_start": ready.cold_start_s},
        metrics=metrics,
        metrics_region="the whole volume" if result.request.options.crop_size_mm is None else "the crop",
        result=mask,
        versions={**versions(), **ready.versions},
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        lesion=result.request.lesion,
        simulated=simulated,
        volume_identity=result.volume.identity,
        navigation=navigation,
        stability=stability,
        points=result.request.points,
    )


def figures_of(
    result: LesionResult,
    surface: vtk.vtkPolyData,
    truth: np.ndarray | None = None,
    approach: Approach | None = None,
    margins: Mapping[float, vtk.vtkPolyData] | None = None,
    consensus: Consensus | None = None,
    simulated: bool | None = None,
) -> dict[str, bytes | str]:
    """Return all figures of a lesion, by the names that `reports.lesion_page.write_report` expects.

    Args:
        surface: closed, of the lesion as it is shown, RAS mm; may be empty.
        approach: when an instrument was nearest to it; None where none was trusted.
        margins: surfaces around it by their width in mm.
        consensus: see `segmentation.consensus`; None where it was outlined only once.
    """
    from .lesion_page import SLICES, VIEW_3D  # only who wants pictures needs jinja2 and matplotlib
    from .navigation_figures import navigation_figures
    from .planes import DrawnLesion as DrawnLesion
    from .slices import three_slices
    from .space import RenderingError, lesion_in_space

    lesion = DrawnLesion(
        result.volume,
        result.mask.mask,
        np.array(result.request.seed_ras_mm),
        result.request.options.crop_size_mm,
        truth,
    )
    truth_surface = None if truth is None else surface_of_mask(truth, result.volume.ijk_to_ras)
    try:
        view: bytes | str = lesion_in_space(lesion, surface, truth_surface)
    except RenderingError as error:
        view = str(error)
    figures = {SLICES: three_slices(lesion), VIEW_3D: view}
    figures |= navigation_figures(lesion, surface, approach, margins, consensus, simulated)
    return {f"{result.request.lesion}/{kind}": image for kind, image in figures.items()}


def sentence_of(result: LesionResult) -> str:
    """One line for a terminal."""
    mask = result.mask
    warnings = "".join(f"\n  ! {warning}" for warning in result.warnings)
    if mask.is_empty:
        return f"{result.request.lesion}: no tumour{warnings}"
    sizes = " x ".join(f"{d:.0f}" for d in mask.diameters_mm)
    seconds = sum(result.timings_s.get(step, 0.0) for step in ("crop", "preprocess", "inference", "postprocess"))
    size = f"{mask.volume_ml:.1f} ml, {sizes} mm"
    return f"{result.request.lesion}: {size}, confidence {mask.mean_probability:.2f}, in {seconds:.1f} s{warnings}"


def navigation_sentences(entry: Mapping[str, Any]) -> list[str]:
    """Return the lines about instruments and stability in an entry of the report, for a terminal."""
    lines, near, stability = [], entry["navigation"], entry["stability"]
    if near and near["distance_mm"] is not None:
        interval = Interval(*(near[f"{name}_mm"] for name in ("distance", "low", "high")))
        inside = "outside the margins" if near["margin_mm"] is None else f"in the margin of {near['margin_mm']:g} mm"
        lines.append(f"{near['instrument']} came as near as {interval}, {inside}")
    elif near:
        lines.append(
            "no distance was to be trusted: "
            + "; ".join(unreliable_reason["doubt"] for unreliable_reason in near["doubts"])
        )
    if near:
        lines.extend(f"! {warning}" for warning in near.get("cautions", ()))
    if stability and stability["change"]:
        lines.append(str(Change(**stability["change"])))
    if stability and stability["runs"]:
        worth = "" if stability["confidence"] is None else f", expected Dice {stability['confidence']:.2f}"
        lines.append(f"{stability['runs']} segmentations agree to {stability['agreement']:.0%}{worth}")
    return lines


def card_of(model: ModelPackage) -> dict[str, Any]:
    """Return the entries about the model for the report."""
    return {
        "name": model.name,
        "version": model.version,
        "sha256": model.sha256,
        "statement": model.not_for_clinical_use,
        "intended_use": model.intended_use,
        "trained_on": model.trained_on,
        **model.card,
    }
