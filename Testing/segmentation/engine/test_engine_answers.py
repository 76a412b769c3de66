"""The answer of the worker, and that it is the answer nnU-Net itself gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from CRLMSegmentationLib.segmentation.engine.engine import CropJob, Finished, Ready
from CRLMSegmentationLib.segmentation.engine.worker_engine import WorkerEngine
from CRLMSegmentationLib.segmentation.models.package import ModelPackage, default_model_package, export_nnunet
from helpers.inference_helpers import COLD_START_LIMIT_S, SPACING_MM, crop_array, wait_for

CROPS = {"as_trained": ((30, 36, 26), SPACING_MM), "finer": ((34, 30, 38), 1.0)}
"""Shape and spacing in mm: one at the model's own spacing, one that nnU-Net has to resample."""
RUN_COMMANDS = """
import json, sys
from nnunetv2.inference.predict_from_raw_data import predict_entry_point_modelfolder
if __name__ == "__main__":
    for sys.argv[1:] in json.loads(sys.argv[1]):
        predict_entry_point_modelfolder()
"""
"""`nnUNetv2_predict_from_modelfolder` with each of several lists of arguments; importing it takes longest."""
ONE_THREAD = {"nnUNet_def_n_proc": "1", "OMP_NUM_THREADS": "1"}

Answers = dict[str, tuple[np.ndarray, np.ndarray]]
"""Mask and probability of tumour, both (K, J, I), by name of the crop."""


def make_crops() -> dict[str, tuple[np.ndarray, float]]:
    return {name: (crop_array(shape), spacing_mm) for name, (shape, spacing_mm) in CROPS.items()}


def nnunet_answers(package: ModelPackage, folder: Path, mirrorings: tuple[bool, ...]) -> dict[bool, Answers]:
    """Let nnU-Net's own command predict the crops from files."""
    ending = package.dataset()["file_ending"]
    (folder / "images").mkdir()
    for name, (array, spacing_mm) in make_crops().items():
        for number, channel in enumerate(array):
            image = sitk.GetImageFromArray(channel)
            image.SetSpacing([spacing_mm] * 3)
            sitk.WriteImage(image, str(folder / "images" / f"{name}_{number:04d}{ending}"))
    model = export_nnunet(package, folder / "model")
    common = ["-i", str(folder / "images"), "-m", str(model), "-f", *map(str, package.folds), "-device", "cpu"]
    common += ["-npp", "1", "-nps", "1", "--save_probabilities", "--disable_progress_bar"]
    answers = {mirroring: folder / f"mirroring_{mirroring}" for mirroring in mirrorings}
    commands = [[*common, "-o", str(answers[m]), *([] if m else ["--disable_tta"])] for m in mirrorings]
    command = [sys.executable, "-c", RUN_COMMANDS, json.dumps(commands)]
    subprocess.run(command, check=True, capture_output=True, timeout=800, env={**os.environ, **ONE_THREAD})
    return {mirroring: _read_answers(answers[mirroring], ending) for mirroring in mirrorings}


def _read_answers(folder: Path, ending: str) -> Answers:
    return {
        name: (
            sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"{name}{ending}"))) == 1,
            np.load(folder / f"{name}.npz")["probabilities"][1],
        )
        for name in CROPS
    }


def assert_equal_answers(engine: WorkerEngine, expected: Answers, mirroring: bool) -> None:
    for name, (array, spacing_mm) in make_crops().items():
        engine.submit(CropJob(array, spacing_mm, mirroring))
        probability = wait_for(engine, Finished).probability
        mask, expected_probability = expected[name]
        assert expected_probability.std() > 1e-4, "the model says the same everywhere: nothing would be tested"
        np.testing.assert_allclose(probability, expected_probability, atol=2e-3)
        assert dice(probability > 0.5, mask) >= 0.9999, name


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2.0 * (one & other).sum() / (one.sum() + other.sum()) if one.any() or other.any() else 1.0


@pytest.fixture(scope="module")
def tiny_answers(tiny_package: ModelPackage, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Answers]:
    return nnunet_answers(tiny_package, tmp_path_factory.mktemp("nnunet"), (False, True))


@pytest.mark.parametrize("mirroring", [False, True])
def test_answer_equals_that_of_nnunetv2_predict(engine, tiny_answers, mirroring):
    for mask, _ in tiny_answers[mirroring].values():
        assert 0.01 < mask.mean() < 0.99, "nearly all one label: the Dice would say little"
    assert_equal_answers(engine, tiny_answers[mirroring], mirroring)


def test_answer_of_the_shipped_model_equals_that_of_nnunetv2_predict(tmp_path):
    package = default_model_package()
    with WorkerEngine(package, device="cpu", cpu_threads=1) as engine:
        ready = wait_for(engine, Ready, COLD_START_LIMIT_S)
        assert ready.model_sha256 == package.sha256
        assert_equal_answers(engine, nnunet_answers(package, tmp_path, (False,))[False], mirroring=False)


def test_mirroring_changes_the_answer(engine):
    array = crop_array((24, 24, 24))
    answers = []
    for mirroring in (False, True):
        engine.submit(CropJob(array, SPACING_MM, mirroring))
        answers.append(wait_for(engine, Finished).probability)
    assert np.abs(answers[0] - answers[1]).max() > 0.01


def test_same_crop_gives_the_same_answer_again(engine):
    answers = []
    for _ in range(2):
        engine.submit(CropJob(crop_array((24, 24, 24)), SPACING_MM))
        answers.append(wait_for(engine, Finished).probability)
    np.testing.assert_array_equal(*answers)


@pytest.mark.parametrize("shape", [(5, 40, 17), (16, 16, 16), (2, 2, 2)])
def test_crops_smaller_than_a_patch_keep_their_shape(engine, shape):
    engine.submit(CropJob(crop_array(shape), SPACING_MM))
    finished = wait_for(engine, Finished)
    assert finished.probability.shape == shape
    assert finished.probability.dtype == np.float32
    assert 0 <= finished.probability.min() <= finished.probability.max() <= 1


def test_crop_of_zeros_is_answered(engine):
    engine.submit(CropJob(np.zeros((2, 20, 20, 20), np.float32), SPACING_MM))
    assert np.isfinite(wait_for(engine, Finished).probability).all()


def test_finished_says_how_long_each_step_took(engine):
    engine.submit(CropJob(crop_array((40, 40, 40)), SPACING_MM))
    finished = wait_for(engine, Finished)
    assert set(finished.timings_s) == {"preprocess", "inference", "postprocess"}
    assert all(seconds > 0 for seconds in finished.timings_s.values())
    assert finished.device.startswith("cpu (")
    assert finished.warnings == ()
