"""Saving of the scene, the segmentation and a report into a new folder.

The page with pictures takes seconds; a process of its own writes it, and the panel goes on meanwhile.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...core.child_process import ChildProcess
from ...core.errors import CrlmError
from ...core.i18n import tr as _
from ...core.output_files import atomic_files, make_folder
from ...core.postprocessing import LesionMask
from ...core.resources import PACKAGE_ROOT
from ...reports.lesion_report import card_of, report_entry
from ...reports.navigation_entry import navigation_entry, stability_entry
from ...reports.schema import write_json
from ...segmentation.consensus import Consensus
from ...segmentation.results import LesionResult
from ..dependencies import missing
from ..scene.masks import mask_in_volume
from ..scene.nodes import local_to_world
from ..scene.saving import save_scene_bundle, save_segmentation
from .lesion import CORRECTED, LesionSegmentation
from .workspace import Workspace

SCENE, SEGMENTATION, REPORT_JSON, REPORT_HTML = "scene.mrb", "segmentation.seg.nrrd", "report.json", "report.html"
MAX_CHILDREN = 4
PAGE_INPUT = ".report-input.npz"
OUT_OF_DATE = "out of date: the volume or the seed has changed since"


JsonObject = dict[str, object]


def save(workspace: Workspace, parent: Path) -> Path:
    """Write what the workspace holds into a new folder, named by date and time; nothing is overwritten.

    `REPORT_HTML` follows some seconds later, from a child process; it is left out without jinja2 and matplotlib.

    Returns:
        The folder.

    Raises:
        CrlmError: there is nothing to save, or it cannot be written.
    """
    node = workspace.lesion_store.segmentation_node
    if node is None:
        raise CrlmError(_("there is no segmentation to save; segment a lesion first"))
    folder = parent / time.strftime("crlm-%Y%m%d-%H%M%S")
    make_folder(folder)
    results = [
        item for item in (_reported(workspace, lesion) for lesion in workspace.lesion_store.entries) if item is not None
    ]
    entries = [_entry(workspace, result) for result in results]
    names = [SEGMENTATION, SCENE, *([REPORT_JSON] if results else [])]
    with atomic_files([folder / name for name in names]) as unfinished:
        save_segmentation(node, unfinished[0])
        save_scene_bundle(workspace.scene, unfinished[1])
        if results:
            write_json(unfinished[2], entries)
    workspace.note(f"saved to {folder}")
    if results and not missing("report"):
        _begin_page_if_possible(workspace, folder, results, entries)
    return folder


def _begin_page_if_possible(
    workspace: Workspace, folder: Path, results: list[LesionResult], entries: list[JsonObject]
) -> None:
    """Start writing the page of the report, unless too many are being written or its volume was released."""
    if len(workspace.children) >= MAX_CHILDREN:
        workspace.note(
            f"{folder.name}: {REPORT_HTML} is left out, {len(workspace.children)} pages are being written; save again"
        )
        return
    current = workspace.session.volume
    if current is not None:
        results = [replace(r, volume=current) if r.volume.identity == current.identity else r for r in results]
    if results[-1].volume.has_voxels:
        _begin_page(workspace, folder, results, entries)
    else:
        workspace.note(f"{folder.name}: {REPORT_HTML} is left out, the voxels of the volume are not in memory any more")


def _entry(workspace: Workspace, result: LesionResult) -> JsonObject:
    """Return the report's entry of a result, with its stability and the closest approach of instruments."""
    lesion, refinement, navigation = result.request.lesion, workspace.background_refinement, workspace.navigation
    stability = None
    entry = workspace.lesion_store.entries[lesion]
    if entry.refinement.is_about(entry.segmentation):
        consensus, change = refinement.consensus_of(lesion), refinement.change_of(lesion)
        stability = stability_entry(consensus, change, refinement.expected_dice_of(lesion), refinement.calibration)
    near = navigation_entry(navigation.approaches, lesion, navigation.margins_mm)
    ready, case_id = workspace.readies[result.model_sha256], result.volume.device
    return report_entry(result, ready, case_id, navigation=near, stability=stability)


def _consensus_of(workspace: Workspace, lesion: str) -> Consensus | None:
    """Return the consensus surfaces of a lesion; None for a segmentation that a user has corrected."""
    entry = workspace.lesion_store.entries[lesion]
    return entry.refinement.course.consensus_of(lesion) if entry.refinement.is_about(entry.segmentation) else None


def _begin_page(workspace: Workspace, folder: Path, results: list[LesionResult], entries: list[JsonObject]) -> None:
    """Start writing the page, which shows one volume: lesions of earlier ones are in the JSON report only."""
    from ...reports.page_process import save_input
    from ...reports.planes import DrawnLesion

    newest = results[-1].volume.identity
    shown = [(r, e) for r, e in zip(results, entries) if r.volume.identity == newest]
    lesions = [
        DrawnLesion(results[-1].volume, r.mask.mask, np.array(r.request.seed_ras_mm), r.request.options.crop_size_mm)
        for r, _entry in shown
    ]
    source = folder / PAGE_INPUT
    consensus = [_consensus_of(workspace, r.request.lesion) for r, _entry in shown]
    save_input(source, [e for _result, e in shown], _card(workspace, [r for r, _entry in shown]), lesions, consensus)
    command = [
        workspace.python,
        "-m",
        "CRLMSegmentationLib.reports.page_process",
        str(source),
        str(folder / REPORT_HTML),
    ]
    workspace.children.append(ChildProcess(command, PACKAGE_ROOT))


def _card(workspace: Workspace, results: list[LesionResult]) -> JsonObject:
    """Return the card of the model that has made the results; of several models, the card of each by name."""
    models = {result.model_sha256: workspace.models[result.model_sha256] for result in results}
    cards: dict[str, JsonObject] = {f"{model.name} {sha256[:8]}": card_of(model) for sha256, model in models.items()}
    return {**cards} if len(cards) > 1 else next(iter(cards.values()))


def _reported(workspace: Workspace, lesion: str) -> LesionResult | None:
    """Return the result of a lesion as it stands: corrected, and warned of when out of date. None if loaded."""
    found = workspace.lesion_store.entries[lesion].segmentation
    if found is None or found.result is None:
        return None
    mask = _corrected(workspace, lesion, found, found.result) if found.corrected else found.result.mask
    if workspace.lesion_store.entries[lesion].is_stale:
        mask = replace(mask, warnings=(OUT_OF_DATE, *mask.warnings))
    return replace(found.result, mask=mask)


def _corrected(workspace: Workspace, lesion: str, found: LesionSegmentation, result: LesionResult) -> LesionMask:
    """The mask as a user has corrected it, on the grid of the volume of its result."""
    node, volume = workspace.lesion_store.segmentation_node, result.volume
    grid_to_local = np.linalg.inv(local_to_world(node)) @ workspace.lesion_store.placed_now(volume)
    return replace(
        result.mask,
        part=mask_in_volume(node, lesion, replace(volume, ijk_to_ras=grid_to_local)),
        offset_kji=(0, 0, 0),
        volume_ml=found.volume_ml,
        diameters_mm=found.diameters_mm,
        warnings=(CORRECTED, *result.mask.warnings),
    )
