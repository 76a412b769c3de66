"""What a user saves: the scene, the outlines and a report, in a folder of their own."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..core.errors import CrlmError
from ..core.postprocessing import LesionMask
from ..dependencies import missing
from ..outputs import make_folder, whole_files
from ..presenting import card_of, pictures_of, report_entry
from ..report.schema import write_json
from ..scene.masks import mask_in_volume
from ..scene.nodes import local_to_world
from ..scene.saving import save_scene_bundle, save_segmentation
from ..session import LesionResult
from .lesions import CORRECTED, Found
from .room import Room

SCENE, SEGMENTATION, REPORT_JSON, REPORT_HTML = "scene.mrb", "segmentation.seg.nrrd", "report.json", "report.html"
OUT_OF_DATE = "out of date: the volume or the seed has changed since"


def save(room: Room, parent: Path) -> Path:
    """Write what the room holds into a new folder, named by date and time; nothing is overwritten.

    The page for people needs jinja2 and matplotlib and is left out without them.

    Returns:
        The folder.

    Raises:
        CrlmError: there is nothing to save, or it cannot be written.
    """
    node = room.ledger.segmentation_node
    if node is None:
        raise CrlmError("there is no outline to save; segment a lesion first")
    folder = parent / time.strftime("crlm-%Y%m%d-%H%M%S")
    make_folder(folder)
    results = [item for item in (_reported(room, lesion) for lesion in room.ledger.entries) if item is not None]
    with_page = bool(results) and not missing("report")
    names = [SEGMENTATION, SCENE, *([REPORT_JSON] if results else []), *([REPORT_HTML] if with_page else [])]
    with whole_files([folder / name for name in names]) as unfinished:
        save_segmentation(node, unfinished[0])
        save_scene_bundle(room.scene, unfinished[1])
        if results:
            _write_reports(room, results, unfinished[2:])
    room.note(f"saved to {folder}")
    return folder


def _write_reports(room: Room, results: list[LesionResult], paths: list[Path]) -> None:
    entries = [report_entry(result, room.last_ready, result.volume.device) for result in results]
    write_json(paths[0], entries)
    if len(paths) > 1:
        from ..report.html import write_report

        pictures: dict[str, bytes | str] = {}
        for result in results:
            pictures |= pictures_of(result, room.ledger.segmentation_node)
        write_report(paths[1], entries, pictures, card_of(room.session.model))


def _reported(room: Room, lesion: str) -> LesionResult | None:
    """The answer of a lesion as it stands now: corrected, and called old where it is. None for loaded outlines."""
    found = room.ledger.entries[lesion].found
    if found is None or found.result is None:
        return None
    mask = _corrected(room, lesion, found) if found.corrected else found.result.mask
    if lesion in room.ledger.stale:
        mask = replace(mask, warnings=(OUT_OF_DATE, *mask.warnings))
    return replace(found.result, mask=mask)


def _corrected(room: Room, lesion: str, found: Found) -> LesionMask:
    node, volume = room.ledger.segmentation_node, found.result.volume
    world_to_local = np.linalg.inv(local_to_world(node))
    return replace(
        found.result.mask,
        mask=mask_in_volume(node, lesion, replace(volume, ijk_to_ras=world_to_local @ volume.ijk_to_ras)),
        volume_ml=found.volume_ml,
        diameters_mm=found.diameters_mm,
        warnings=(CORRECTED, *found.result.mask.warnings),
    )
