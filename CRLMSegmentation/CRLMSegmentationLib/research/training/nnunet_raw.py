"""nnU-Net's raw dataset format: one file per channel of an image, one for its label, and dataset.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ...core.crop import network_input
from ...core.crop_format import CHANNELS
from ...core.hashing import sha256_of
from ...core.volume import to_sitk
from ...recording.case import CaseLesion
from ...recording.dataset import CheckedCase
from .manifest import IMAGES, LABELS, CaseEntry, ImageEntry, Manifest
from .preparation import FULL, Preparation
from .samples import Sample, samples_of

FILE_ENDING = ".nii.gz"
MODEL_VERSION = "1"
HASH_DIGITS = 16
"""Of a case's hash that a model package keeps, to tell whether it has seen the case."""
Job = tuple[CheckedCase, tuple[CaseLesion, ...], Preparation, Path]
"""A case, its lesions to train on, the settings, and the folder of nnU-Net's raw dataset."""


def write_case_images(job: Job) -> list[ImageEntry]:
    """Write the images and labels of one case, as a task."""
    stored, lesions, preparation, raw = job
    with stored.at_hand() as checked:
        samples = samples_of(checked, lesions, preparation)
        return [_write(sample, checked.case_id, preparation, raw) for sample in samples]


def _write(sample: Sample, case_id: str, preparation: Preparation, raw: Path) -> ImageEntry:
    arrays = {
        f"{IMAGES}/{sample.name}_{number:04d}{FILE_ENDING}": channel
        for number, channel in enumerate(network_input(sample.crop, preparation.channels))
    }
    arrays[f"{LABELS}/{sample.name}{FILE_ENDING}"] = sample.label.astype(np.uint8)
    for name, array in arrays.items():
        sitk.WriteImage(to_sitk(array, sample.crop.ijk_to_ras), str(raw / name), useCompression=True)
    r, a, s = (float(x) for x in sample.crop.seed_ras_mm)
    seed = None if sample.lesion is None else (r, a, s)
    return ImageEntry(sample.name, case_id, sample.lesion, seed, {name: sha256_of(raw / name) for name in arrays})


def dataset_json(manifest: Manifest, preparation: Preparation) -> dict[str, Any]:
    """Return dataset.json, with what `crlm-seg pack` needs under "crlm"; see `models.pack.About`."""
    crop_size = {} if preparation.variant == FULL else {"crop_size_mm": preparation.crop_size_mm}
    return {
        "channel_names": {str(n): _normalisation(name) for n, name in enumerate(preparation.channels)},
        "labels": {"background": 0, "tumour": 1},
        "numTraining": len(manifest.images),
        "file_ending": FILE_ENDING,
        "crlm": {
            "name": preparation.name,
            "version": MODEL_VERSION,
            **crop_size,
            "channels": list(preparation.channels),
            "region": preparation.region,
            "trained_on": {
                "simulated": _simulated(manifest.cases),
                "variant": preparation.variant,
                "patients": len({case.patient for case in manifest.cases}),
                "images": len(manifest.images),
                "cases": sorted(case.sha256[:HASH_DIGITS] for case in manifest.cases),
            },
        },
    }


def _normalisation(channel: str) -> str:
    """Return nnU-Net's name for how a channel is normalised: z-score for the ultrasound, nothing for the others."""
    return channel if channel == CHANNELS[0] else "noNorm"


def _simulated(cases: Sequence[CaseEntry]) -> bool | None:
    """Return whether all cases are simulated; None if it is unknown."""
    said = {case.simulated for case in cases}
    return False if False in said else None if None in said else True
