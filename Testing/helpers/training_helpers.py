"""A prepared dataset of tiny images, and a preset with which one epoch takes a fraction of a second."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from CRLMSegmentationLib.core.hashing import sha256_of
from CRLMSegmentationLib.research.training.layout import Layout
from CRLMSegmentationLib.research.training.manifest import CaseEntry, ImageEntry, Manifest, write_manifest
from CRLMSegmentationLib.research.training.preparation import CROP_SEED, Preparation
from CRLMSegmentationLib.research.training.presets import QUICK, SmallPlan

SIZE = 24
TINY = replace(
    QUICK,
    plans="tinyPlans",
    small=SmallPlan((4, 8, 8), (16, 16, 16), 2),
    iterations=2,
    validation_iterations=1,
    save_after_s=0.0,
)


def write_dataset(folder: Path, patients: int = 4, simulated: bool = True, variant: str = CROP_SEED) -> Layout:
    """Each patient one crop of a dark ball with the channels of a variant; two folds."""
    preparation = Preparation(variant, name="Tiny", folds=2)
    layout = Layout(folder, preparation.dataset_name)
    for name in ("imagesTr", "labelsTr"):
        (layout.raw / name).mkdir(parents=True)
    images = [_write_image(layout.raw, f"patient-{number}", number, preparation) for number in range(patients)]
    cases = [
        CaseEntry(i.case_id, i.case_id, "0" * 64, simulated, "isoechoic", "small", n % 2, ("Tumour 1",), (i.name,))
        for n, i in enumerate(images)
    ]
    manifest = Manifest(
        preparation=preparation.result_settings,
        versions={},
        given=[],
        cases=cases,
        held_out=[],
        images=images,
        folds=[[case.patient for case in cases if case.fold == fold] for fold in range(2)],
        left_out=[],
        remarks=[],
        files={},
    )
    layout.splits.write_text(json.dumps(manifest.splits))
    (layout.raw / "dataset.json").write_text(json.dumps(_dataset_json(patients, simulated, preparation)))
    write_manifest(manifest, folder)
    return layout


def _write_image(raw: Path, case_id: str, number: int, preparation: Preparation) -> ImageEntry:
    rng = np.random.default_rng(number)
    distance = np.linalg.norm(np.indices((SIZE,) * 3) - SIZE / 2, axis=0)
    ball = distance < SIZE / 4
    channels = [np.where(ball, -1.0, 1.0) + rng.normal(0, 0.3, ball.shape), np.exp(-((distance / 4) ** 2))]
    channels += [np.zeros(ball.shape)] * (len(preparation.channels) - 2)
    arrays = {f"imagesTr/{case_id}_{n:04d}.nii.gz": array.astype(np.float32) for n, array in enumerate(channels)}
    arrays[f"labelsTr/{case_id}.nii.gz"] = ball.astype(np.uint8)
    for name, array in arrays.items():
        sitk.WriteImage(sitk.GetImageFromArray(array), str(raw / name))
    hashes = {name: sha256_of(raw / name) for name in arrays}
    return ImageEntry(case_id, case_id, "Tumour 1", (0.0, 0.0, 0.0), hashes)


def _dataset_json(patients: int, simulated: bool, preparation: Preparation) -> dict:
    return {
        "channel_names": {str(number): "noNorm" for number in range(len(preparation.channels))},
        "labels": {"background": 0, "tumour": 1},
        "numTraining": patients,
        "file_ending": ".nii.gz",
        "crlm": {
            "name": "tiny",
            "crop_size_mm": 24.0,
            "channels": list(preparation.channels),
            "trained_on": {"simulated": simulated, "patients": patients, "cases": ["0" * 16]},
        },
    }
