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
from helpers.inference_helpers import (
    COLD_START_LIMIT_S,
    SPACING_MM,
    assert_answer_of_nnunet,
    crop_array,
    dice,
    sample_crop,
    wait_for,
)

RUN_COMMANDS = """
import json, sys
from nnunetv2.inference.predict_from_raw_data import predict_entry_point
if __name__ == "__main__":
    for sys.argv[1:] in json.loads(sys.argv[1]):
        predict_entry_point()
"""
"""`nnUNetv2_predict` with each of several lists of arguments; importing it takes longest."""
IN_ONE_PROCESS = ("-npp", "0", "-nps", "0")

TINY, SHIPPED = "Dataset001_Tiny", "Dataset002_Shipped"

Answers = dict[str, tuple[np.ndarray, np.ndarray]]
"""Mask and probability of tumour, both (K, J, I), by name of the crop."""


def crops_of(dataset: str) -> dict[str, np.ndarray]:
    """The crops that a model is shown, at its spacing; others are resampled by nnU-Net, see `test_model_import`."""
    if dataset == SHIPPED:
        return {"lesion": sample_crop(default_model_package())}
    return {"even": crop_array((24, 28, 20)), "odd": crop_array((27, 24, 30))}


def nnunet_answers(
    packages: dict[str, ModelPackage], wanted: list[tuple[str, bool]], folder: Path
) -> dict[tuple[str, bool], Answers]:
    """Let nnU-Net's own command predict the crops from files.

    Args:
        packages: by the name of a dataset, as nnU-Net wants it.
        wanted: names of packages, each with or without mirroring.
    """
    for dataset, package in packages.items():
        _write_images(folder / dataset, package.dataset()["file_ending"])
        export_nnunet(package, folder / "results" / dataset / "nnUNetTrainer__nnUNetPlans__3d_fullres")
    outputs = {(dataset, mirroring): folder / f"{dataset}-{mirroring}" for dataset, mirroring in wanted}
    commands = [
        _arguments(packages[dataset], folder / dataset, mirroring, out) for (dataset, mirroring), out in outputs.items()
    ]
    places = {f"nnUNet_{name}": str(folder / name) for name in ("raw", "preprocessed", "results")}
    environment = {**os.environ, **places, "nnUNet_def_n_proc": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", RUN_COMMANDS, json.dumps(commands)]
    subprocess.run(command, check=True, capture_output=True, timeout=800, env=environment)
    return {key: _read_answers(out, key[0], packages[key[0]].dataset()["file_ending"]) for key, out in outputs.items()}


def _write_images(folder: Path, ending: str) -> None:
    folder.mkdir()
    for name, array in crops_of(folder.name).items():
        for number, channel in enumerate(array):
            image = sitk.GetImageFromArray(channel)
            image.SetSpacing([SPACING_MM] * 3)
            sitk.WriteImage(image, str(folder / f"{name}_{number:04d}{ending}"))


def _arguments(package: ModelPackage, images: Path, mirroring: bool, out: Path) -> list[str]:
    model = ["-d", images.name, "-c", "3d_fullres", "-f", *map(str, package.folds), "-device", "cpu"]
    how = [*IN_ONE_PROCESS, "--save_probabilities", "--disable_progress_bar", *([] if mirroring else ["--disable_tta"])]
    return ["-i", str(images), "-o", str(out), *model, *how]


def _read_answers(folder: Path, dataset: str, ending: str) -> Answers:
    return {
        name: (
            sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"{name}{ending}"))) == 1,
            np.load(folder / f"{name}.npz")["probabilities"][1],
        )
        for name in crops_of(dataset)
    }


def assert_equal_answers(engine: WorkerEngine, dataset: str, expected: Answers, mirroring: bool) -> None:
    for name, array in crops_of(dataset).items():
        engine.submit(CropJob(array, SPACING_MM, mirroring))
        probability = wait_for(engine, Finished).probability
        mask, expected_probability = expected[name]
        assert_answer_of_nnunet(probability, expected_probability)
        assert dice(probability > 0.5, mask) >= 0.9999, name


@pytest.fixture(scope="module")
def answers_of_nnunet(
    tiny_package: ModelPackage, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, bool], Answers]:
    """By name of the dataset and mirroring, from one process."""
    packages = {TINY: tiny_package, SHIPPED: default_model_package()}
    wanted = [(TINY, False), (TINY, True), (SHIPPED, False)]
    return nnunet_answers(packages, wanted, tmp_path_factory.mktemp("nnunet"))


@pytest.mark.parametrize("mirroring", [False, True])
def test_answer_equals_that_of_nnunetv2_predict(engine, answers_of_nnunet, mirroring):
    assert_equal_answers(engine, TINY, answers_of_nnunet[TINY, mirroring], mirroring)


def test_answer_of_the_shipped_model_equals_that_of_nnunetv2_predict(answers_of_nnunet):
    package = default_model_package()
    with WorkerEngine(package, device="cpu", cpu_threads=1, precision="float32") as engine:
        ready = wait_for(engine, Ready, COLD_START_LIMIT_S)
        assert ready.model_sha256 == package.sha256
        assert_equal_answers(engine, SHIPPED, answers_of_nnunet[SHIPPED, False], mirroring=False)


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
    assert finished.device.endswith(" float32, 1 core")
    assert finished.warnings == ()
