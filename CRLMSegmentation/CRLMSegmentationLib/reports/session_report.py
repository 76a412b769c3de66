"""Writes the report of a recorded session, finished or still being written, as page and JSON.

    crlm-seg report FOLDER --out DIR, or python -m CRLMSegmentationLib.reports.session_report FOLDER PAGE.html

Only what was recorded is read, and nothing is changed there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from ..core.errors import CrlmError
from ..core.geometry import transform_points
from ..core.metrics import symmetric_distances_mm
from ..core.output_files import atomic_files, check_output_paths, make_folder
from ..core.progress import OnProgress
from ..recording.session_reader import SessionReader
from ..tracking.surfaces import surface_of_mask
from .filters import elapsed
from .lesion_page import SLICES, VIEW_3D
from .planes import DrawnLesion
from .session_document import document_of, iso_of
from .session_lesions import Outline, RecordedLesion, histories_of, refined_pair
from .session_page import PLOT, write_session_page
from .session_plot import session_plot
from .slices import three_slices
from .space import RenderingError, lesion_in_space

PAGE = "session.html"


def make_report(folder: Path, page: Path, on_progress: OnProgress = lambda *_: None) -> dict[str, Any]:
    """Write the page of a recorded session, and its JSON.

    Args:
        folder: of the recording.
        page: HTML file; its folder is made where need be. An earlier one is set aside until the new one is complete.

    Returns:
        What the JSON holds.

    Raises:
        CaseError: there is no recorded session.
        CrlmError: it cannot be written there.
    """
    session_log = SessionReader(folder)
    _check_outside(folder, page.parent)
    make_folder(page.parent)
    places = [page.with_suffix(".json"), page]
    check_output_paths(places)
    histories = histories_of(session_log.events)
    document = document_of(session_log, histories)
    with atomic_files(places) as (as_json, as_html):
        figures: dict[str, bytes | str] = {}
        for number, (entry, history) in enumerate(zip(document["lesions"], histories.values())):
            on_progress("Lesions", number, len(histories))
            entry["refined"] = _refined(session_log, history)
            figures.update(_figures(session_log, history))
        on_progress("Lesions", len(histories), len(histories))
        plot = session_plot(document)
        if plot is not None:
            figures[PLOT] = plot
        as_json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        write_session_page(as_html, document, figures)
    return document


def _check_outside(folder: Path, out: Path) -> None:
    """Refuse to write the report into the recording."""
    if folder.resolve() in (out.resolve(), *out.resolve().parents):
        raise CrlmError(f"{out} lies in the recording, which is left as it is; choose a folder outside of {folder}")


def summary_of(document: Mapping[str, Any], page: Path) -> Iterator[str]:
    """A few lines for a terminal."""
    session = document["session"]
    simulated = ", simulated data" if document["simulated"] else ""
    end = "" if session["ended"] else ", without an end"
    results = f"{session['results']} result{'' if session['results'] == 1 else 's'}"
    yield f"Session of {elapsed(session['seconds'])} min{end}: {results}, {session['events']} events{simulated}"
    if document["left_out"]["lines"]:
        yield f"  {document['left_out']['lines']}"
    for lesion in document["lesions"]:
        yield f"  {lesion['lesion']}: {', '.join(_facts_of(lesion))}"
    yield f"Page: {page}"
    yield f"Figures: {page.with_suffix('.json')}"


def _facts_of(lesion: Mapping[str, Any]) -> Iterator[str]:
    segmentation, nearest = lesion["outline"], lesion["nearest_tip"]
    size = (
        "of unknown size"
        if segmentation is None or segmentation["volume_ml"] is None
        else f"{segmentation['volume_ml']:.1f} ml"
    )
    yield f"{size}, {segmentation['how']}" if segmentation else "no segmentation"
    volumes = {sighting["volume"] for sighting in lesion["history"]}
    if len(volumes) > 1:
        yield f"seen in {len(volumes)} volumes"
    if nearest:
        yield f"tip {nearest['distance_mm']:.1f} mm away at the nearest"
    if lesion["removed"]:
        yield "removed"


def _refined(session_log: SessionReader, history: RecordedLesion) -> dict[str, Any] | None:
    """Return how far the background refinement has moved the surface, from the recorded masks."""
    pair = refined_pair(history)
    if pair is None:
        return None
    shape, matrix = pair[0].about["volume"]["shape"], _matrix_of(pair[0])
    try:
        before, after = (session_log.images.mask(segmentation.about["mask"], shape) for segmentation in pair)
        distances_mm = symmetric_distances_mm(before, after, matrix)
    except CrlmError:  # the pictures say what is missing
        return None
    event = pair[1].event
    moment = {"time": iso_of(event.time_s), "elapsed_s": round(event.elapsed_s, 2)}
    return {"mean_mm": float(distances_mm.mean()), "largest_mm": float(distances_mm.max()), "moment": moment}


def _matrix_of(segmentation: Outline) -> np.ndarray:
    return np.array(segmentation.about["volume"]["ijk_to_ras"], float).reshape(4, 4)


def _figures(session_log: SessionReader, history: RecordedLesion) -> dict[str, bytes | str]:
    """Return slices and a 3D view of the current segmentation; a text where they cannot be drawn."""
    segmentation = history.segmentation
    if segmentation is None:
        return {}
    slices, view = f"{history.lesion}/{SLICES}", f"{history.lesion}/{VIEW_3D}"
    try:
        lesion = _lesion_to_draw(session_log, history, segmentation)
    except CrlmError as error:
        return {slices: str(error)}
    try:
        drawn: bytes | str = lesion_in_space(lesion, surface_of_mask(lesion.mask, lesion.volume.ijk_to_ras))
    except RenderingError as error:
        drawn = str(error)
    return {slices: three_slices(lesion), view: drawn}


def _lesion_to_draw(session_log: SessionReader, history: RecordedLesion, segmentation: Outline) -> DrawnLesion:
    """Read a lesion to be drawn; raises CrlmError where its volume or mask is not in the recording."""
    volume = session_log.images.volume(segmentation.about["volume"])
    mask = session_log.images.mask(segmentation.about.get("mask"), volume.array.shape)
    result = segmentation.result or {}
    seed = result.get("seed_ras_mm") or history.seed_ras_mm
    seed_ras_mm = _middle(mask, volume.ijk_to_ras) if seed is None else np.array(seed, float)
    return DrawnLesion(volume, mask, seed_ras_mm, result.get("crop_size_mm"))


def _middle(mask: np.ndarray, ijk_to_ras: np.ndarray) -> np.ndarray:
    kji = ndimage.center_of_mass(mask) if mask.any() else (np.array(mask.shape) - 1) / 2
    return transform_points(ijk_to_ras, np.array(kji, float)[::-1])


def main() -> None:
    """Run as a child process: a failure is one line on stderr and exit code 1."""
    folder, page = (Path(argument) for argument in sys.argv[1:3])
    try:
        make_report(folder, page)
    except (CrlmError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
