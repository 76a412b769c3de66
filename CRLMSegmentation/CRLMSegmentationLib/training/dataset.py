"""Case folders to an nnU-Net dataset of crops around jittered seeds, split by patient."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ..core.case import Case, load_case
from ..core.cropping import CHANNELS, Crop, extract_crop, network_input, resample_labels
from ..core.errors import CaseError
from ..core.geometry import transform_points
from ..core.volume import Volume, to_sitk

DATASET_NAME = "Dataset511_CRLMCrop"
CROP_SIZE_MM = 80.0
SPACING_MM = 1.25
LEAST_DEPTH = 0.3
"""A jittered seed lies at least this share of the greatest depth inside its lesion."""
MIN_TRUTH_VOXELS = 20


def prepare_dataset(
    folders: Iterable[Path], raw: Path, crops_per_lesion: int, validation_share: float, seed: int
) -> dict:
    """Write an nnU-Net raw dataset and its split.

    Args:
        folders: case folders with truth.
        raw: nnU-Net's raw folder; the dataset is made inside.
        crops_per_lesion: each around another seed.
        validation_share: of the patients.
        seed: of the jitter and the split.

    Returns:
        The split as nnU-Net wants it, {"train": [...], "val": [...]}, also written to `splits.json`.
    """
    target = raw / DATASET_NAME
    for name in ("imagesTr", "labelsTr"):
        (target / name).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    crops_of: dict[str, list[str]] = {}
    for folder in folders:
        case = load_case(folder)
        crops_of[case.case_id] = list(_write_crops(case, target, crops_per_lesion, rng))
    patients = rng.permutation(list(crops_of))
    held_out = set(patients[: max(1, round(validation_share * len(patients)))])
    split = {"train": [], "val": []}
    for patient, names in crops_of.items():
        split["val" if patient in held_out else "train"] += names
    (target / "splits.json").write_text(json.dumps([split]))
    (target / "dataset.json").write_text(json.dumps(_dataset_json(sum(map(len, crops_of.values()))), indent=1))
    return split


def _dataset_json(count: int) -> dict:
    normalisation = {"ultrasound": "ultrasound", "seed": "noNorm"}
    return {
        "channel_names": {str(n): normalisation[name] for n, name in enumerate(CHANNELS)},
        "labels": {"background": 0, "tumour": 1},
        "numTraining": count,
        "file_ending": ".nii.gz",
    }


def _write_crops(case: Case, target: Path, count: int, rng: np.random.Generator) -> Iterable[str]:
    if case.truth is None:
        raise CaseError(f"{case.case_id} has no truth; training needs one")
    volume = case.volume()
    volume = Volume(volume.array, volume.ijk_to_ras, volume.device, volume.timestamp_s)
    for lesion in case.lesions:
        mask = case.truth_of(lesion, volume)
        if mask is None or mask.sum() < MIN_TRUTH_VOXELS:
            continue
        for number in range(count):
            name = f"{case.case_id}_{lesion.label}_{number}"
            crop = extract_crop(volume, _jittered_seed(mask, volume, rng), CROP_SIZE_MM, SPACING_MM)
            _write_crop(name, crop, resample_labels(mask, volume.ijk_to_ras, crop) & crop.swept, target)
            yield name


def _jittered_seed(mask: np.ndarray, volume: Volume, rng: np.random.Generator) -> np.ndarray:
    swept = mask & volume.swept_in()
    inside = np.argwhere(swept if swept.any() else mask)
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1, 1:-1][tuple(inside.T)]
    deep = inside[depth >= LEAST_DEPTH * depth.max()]
    return transform_points(volume.ijk_to_ras, deep[rng.integers(len(deep)), ::-1] + rng.uniform(-0.5, 0.5, 3))


def _write_crop(name: str, crop: Crop, label: np.ndarray, target: Path) -> None:
    for number, channel in enumerate(network_input(crop, CHANNELS)):
        sitk.WriteImage(to_sitk(channel, crop.ijk_to_ras), str(target / "imagesTr" / f"{name}_{number:04d}.nii.gz"))
    sitk.WriteImage(to_sitk(label.astype(np.uint8), crop.ijk_to_ras), str(target / "labelsTr" / f"{name}.nii.gz"))
