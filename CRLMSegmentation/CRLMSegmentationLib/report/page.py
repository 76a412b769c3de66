"""Writes report.html in a process of its own, since pictures take seconds: `python -m ...report.page INPUT OUTPUT`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..core.volume import Volume
from ..navigation.surfaces import surface_of_mask
from .html import SLICES, VIEW_3D, write_report
from .pictures import three_slices
from .planes import Lesion
from .rendering import RenderingError, lesion_in_space


def save_input(path: Path, entries: Sequence[dict], card: dict, lesions: Sequence[Lesion]) -> None:
    """Keep what the page needs in one file.

    Args:
        entries: of report.json, one for each lesion.
        lesions: in the same order; they share one volume.
    """
    volume = lesions[0].volume
    with path.open("wb") as file:
        np.savez(
            file,
            texts=json.dumps({"entries": list(entries), "card": card}),
            array=volume.array,
            ijk_to_ras=volume.ijk_to_ras,
            masks=np.stack([np.packbits(lesion.mask) for lesion in lesions]),
            seeds_ras_mm=np.stack([lesion.seed_ras_mm for lesion in lesions]),
            crop_sizes_mm=np.array([lesion.crop_size_mm for lesion in lesions], np.float64),  # None becomes NaN
        )


def write_page(source: Path, target: Path) -> None:
    """Draw the pictures and write the page."""
    with np.load(source, allow_pickle=False) as kept:
        texts = json.loads(str(kept["texts"]))
        volume = Volume(kept["array"], kept["ijk_to_ras"])
        shape, count = volume.array.shape, volume.array.size
        masks = [np.unpackbits(packed)[:count].reshape(shape).astype(bool) for packed in kept["masks"]]
        sizes_mm = [None if np.isnan(size_mm) else size_mm for size_mm in kept["crop_sizes_mm"].tolist()]
        lesions = [Lesion(volume, *parts, None) for parts in zip(masks, kept["seeds_ras_mm"], sizes_mm)]
    pictures: dict[str, bytes | str] = {}
    for entry, lesion in zip(texts["entries"], lesions):
        pictures[f"{entry['lesion']}/{SLICES}"] = three_slices(lesion)
        pictures[f"{entry['lesion']}/{VIEW_3D}"] = _view(lesion)
    write_report(target, texts["entries"], pictures, texts["card"])


def _view(lesion: Lesion) -> bytes | str:
    try:
        return lesion_in_space(lesion, surface_of_mask(lesion.mask, lesion.volume.ijk_to_ras))
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
