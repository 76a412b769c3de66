"""The recipe of the shipped model in small: real nnU-Net from crops to a measured package."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from CRLMSegmentationLib.core.case import load_case, save_case
from CRLMSegmentationLib.core.errors import CaseError
from CRLMSegmentationLib.inference.model_package import load_model_package
from CRLMSegmentationLib.training import recipe, train
from CRLMSegmentationLib.training.dataset import CROP_SIZE_MM, DATASET_NAME, SPACING_MM, prepare_dataset
from CRLMSegmentationLib.training.evaluate import summarise
from evaluation_helpers import row_of

MODEL = Path(__file__).parents[2] / "Resources" / "Models" / "crlm-crop-phantom"
CROP_VOXELS = round(CROP_SIZE_MM / SPACING_MM)


@pytest.fixture
def cohort(tiny_case, tmp_path):
    """Four patients who look alike."""
    folders = []
    for number in range(4):
        folder = tmp_path / f"patient-{number}"
        shutil.copytree(tiny_case, folder)
        save_case(dataclasses.replace(load_case(folder), case_id=f"patient-{number}"))
        folders.append(folder)
    return folders


@pytest.fixture
def dataset(cohort, tmp_path):
    prepare_dataset(cohort, tmp_path / "raw", crops_per_lesion=2, validation_share=0.25, seed=1)
    return tmp_path / "raw" / DATASET_NAME


def test_every_lesion_gives_its_crops_with_two_channels_and_a_label(dataset):
    assert len(list((dataset / "labelsTr").iterdir())) == 8
    assert len(list((dataset / "imagesTr").iterdir())) == 16
    label = sitk.ReadImage(str(dataset / "labelsTr" / "patient-0_1_0.nii.gz"))
    assert label.GetSize() == (CROP_VOXELS,) * 3
    assert label.GetSpacing() == pytest.approx((SPACING_MM,) * 3)
    volume_mm3 = sitk.GetArrayFromImage(label).sum() * SPACING_MM**3
    assert volume_mm3 == pytest.approx(4 / 3 * np.pi * 8**3, rel=0.08)


def test_seeds_are_jittered_inside_the_lesion(dataset):
    def seed_of(number):
        image = sitk.ReadImage(str(dataset / "labelsTr" / f"patient-0_1_{number}.nii.gz"))
        return np.array(image.TransformContinuousIndexToPhysicalPoint([(CROP_VOXELS - 1) / 2] * 3)) * [-1, -1, 1]

    seeds = [seed_of(0), seed_of(1)]
    assert np.linalg.norm(seeds[0] - seeds[1]) > 0.5
    assert all(np.linalg.norm(seed - [20, 20, 20]) < 8 for seed in seeds)


def test_patients_are_either_trained_on_or_validated_on(dataset):
    split = json.loads((dataset / "splits.json").read_text())[0]
    patients = {part: {name.split("_")[0] for name in names} for part, names in split.items()}
    assert not patients["train"] & patients["val"]
    assert len(patients["val"]) == 1
    assert len(split["train"]) + len(split["val"]) == 8


def test_case_without_truth_is_refused(cohort, tmp_path):
    save_case(dataclasses.replace(load_case(cohort[0]), truth=None))
    with pytest.raises(CaseError, match="no truth"):
        prepare_dataset(cohort[:1], tmp_path / "raw", 1, 0.1, 1)


@pytest.mark.timeout(300)
def test_recipe_trains_packs_and_measures_and_does_not_repeat_itself(cohort, tmp_path, monkeypatch):
    """With a network of three stages and one step an epoch, on cases that are copies of a ball."""
    monkeypatch.setattr(recipe, "write_cohort", lambda out, seed, numbers, processes: [load_case(f) for f in cohort])
    monkeypatch.setattr(train, "SMALL_PLAN", {"features_per_stage": [4, 8, 8], "patch_size": [16] * 3, "batch_size": 2})
    monkeypatch.setattr(train, "ITERATIONS_PER_EPOCH", 1)
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "nnUNet_n_proc_DA"):
        monkeypatch.delenv(name, raising=False)
    small = recipe.Recipe(patients=4, held_out=4, minutes=0.01, processes=1)
    package = recipe.run(small, tmp_path / "work", tmp_path / "model")
    assert load_model_package(tmp_path / "model") == package
    assert package.simulated_only
    assert package.card["held_out"]["figures"]["all"]["lesions"] == 4
    assert package.card["epochs"] >= 1
    changed = (tmp_path / "work" / "raw" / DATASET_NAME / "splits.json").stat().st_mtime_ns
    again = recipe.run(small, tmp_path / "work", tmp_path / "again")
    assert again.sha256 == package.sha256
    assert (tmp_path / "work" / "raw" / DATASET_NAME / "splits.json").stat().st_mtime_ns == changed


def test_summary_counts_by_echogenicity_by_hand():
    rows = [
        row_of(f"patient-{number}", dice, about={"echogenicity": "isoechoic"}, hausdorff95_mm=distance_mm)
        for number, (dice, distance_mm) in enumerate(((0.2, None), (0.8, 2.0), (0.9, 4.0)))
    ]
    figures = summarise(rows)["isoechoic"]
    assert figures["dice_median"] == 0.8
    assert figures["share_under_0.3"] == pytest.approx(1 / 3, abs=1e-3)
    assert figures["hausdorff95_mm_median"] == 3.0
    assert summarise(rows)["all"] == figures


def test_held_out_figures_of_the_shipped_model_come_from_its_rows():
    """The rows beside the weights are flat, as an earlier version wrote them."""
    package = load_model_package(MODEL)
    rows = [
        row_of(row["case_id"], row["dice"], row, hausdorff95_mm=row["hausdorff95_mm"], recall=row["recall"])
        for row in json.loads((MODEL / "held-out.json").read_text())
    ]
    assert summarise(rows) == package.card["held_out"]["figures"]
