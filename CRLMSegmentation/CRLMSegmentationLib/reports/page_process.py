"""Writes report.html in its own process, since figures take seconds: `python -m ...page_process INPUT OUTPUT`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import vtk

from ..core.volume import Volume
from ..segmentation.consensus import Consensus
from ..tracking.margins import margin_surface
from ..tracking.surfaces import surface_of_mask
from .lesion_page import SLICES, VIEW_3D, write_report
from .navigation_entry import approach_from
from .navigation_figures import navigation_figures
from .planes import DrawnLesion
from .slices import three_slices
from .space import RenderingError, lesion_in_space


def save_input(
    path: Path,
    entries: Sequence[Mapping[str, Any]],
    card: Mapping[str, Any],
    lesions: Sequence[DrawnLesion],
    consensus: Sequence[Consensus | None] = (),
) -> None:
    """Save what the page needs in one file.

    Args:
        entries: of report.json, one for each lesion; where an instrument was nearest is drawn from what they tell.
        lesions: in the same order; they share one volume.
        consensus: of the lesions, in the same order; none at all where there are none.
    """
    volume = lesions[0].volume
    with path.open("wb") as file:
        named = {f"{key}_{n}": part for n, one in enumerate(consensus) if one for key, part in _parts_of(one).items()}
        arrays: dict[str, Any] = dict(
            texts=json.dumps({"entries": [dict(entry) for entry in entries], "card": dict(card)}),
            array=volume.array,
            ijk_to_ras=volume.ijk_to_ras,
            masks=np.stack([np.packbits(lesion.mask) for lesion in lesions]),
            seeds_ras_mm=np.stack([lesion.seed_ras_mm for lesion in lesions]),
            crop_sizes_mm=np.array([lesion.crop_size_mm for lesion in lesions], np.float64),  # None becomes NaN
            **named,
        )
        np.savez(file, **arrays)


def write_page(source: Path, target: Path) -> None:
    """Draw the figures and write the page."""
    with np.load(source, allow_pickle=False) as kept:
        texts = json.loads(str(kept["texts"]))
        volume = Volume(kept["array"], kept["ijk_to_ras"])
        shape, count = volume.array.shape, volume.array.size
        masks = [np.unpackbits(packed)[:count].reshape(shape).astype(bool) for packed in kept["masks"]]
        sizes_mm = [None if np.isnan(size_mm) else size_mm for size_mm in kept["crop_sizes_mm"].tolist()]
        lesions = [DrawnLesion(volume, *parts, None) for parts in zip(masks, kept["seeds_ras_mm"], sizes_mm)]
        consensus = [_consensus_from(kept, number, entry) for number, entry in enumerate(texts["entries"])]
    figures: dict[str, bytes | str] = {}
    for entry, lesion, around in zip(texts["entries"], lesions, consensus):
        drawn = _figures(entry, lesion, around)
        figures |= {f"{entry['lesion']}/{kind}": image for kind, image in drawn.items()}
    write_report(target, texts["entries"], figures, texts["card"])


def _parts_of(consensus: Consensus) -> dict[str, np.ndarray]:
    return {"inner": consensus.inner, "outer": consensus.outer, "offset_kji": np.array(consensus.offset_kji)}


def _consensus_from(kept: Mapping[str, np.ndarray], number: int, entry: Mapping[str, Any]) -> Consensus | None:
    if f"inner_{number}" not in kept:
        return None
    inner, outer, offset_kji = (kept[f"{key}_{number}"] for key in ("inner", "outer", "offset_kji"))
    figures = (entry["stability"][key] for key in ("runs", "agreement", "spread_mm"))
    k, j, i = map(int, offset_kji)
    return Consensus(inner, outer, (k, j, i), *figures)


def _figures(entry: Mapping[str, Any], lesion: DrawnLesion, consensus: Consensus | None) -> dict[str, bytes | str]:
    surface = surface_of_mask(lesion.mask, lesion.volume.ijk_to_ras)
    navigation = entry.get("navigation") or {"distance_mm": None, "margins_mm": ()}
    approach = approach_from(navigation, entry["lesion"])
    margins = {} if approach is None else {mm: margin_surface(surface, mm) for mm in navigation["margins_mm"]}
    figures: dict[str, bytes | str] = {SLICES: three_slices(lesion), VIEW_3D: _view(lesion, surface)}
    return figures | navigation_figures(lesion, surface, approach, margins, consensus, entry.get("simulated"))


def _view(lesion: DrawnLesion, surface: vtk.vtkPolyData) -> bytes | str:
    try:
        return lesion_in_space(lesion, surface)
    except RenderingError as error:
        return str(error)


def main() -> None:
    source, target = (Path(argument) for argument in sys.argv[1:3])
    unfinished = target.with_name(f".unfinished-{target.name}")
    try:
        write_page(source, unfinished)
        unfinished.replace(target)
    finally:
        source.unlink(missing_ok=True)
        unfinished.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
