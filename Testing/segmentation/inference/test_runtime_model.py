"""A model that a runtime runs gives the answer of nnU-Net's own predictor, and the same answer in one pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from CRLMSegmentationLib.core.errors import WorkerError
from CRLMSegmentationLib.segmentation.inference.networks import build_network
from CRLMSegmentationLib.segmentation.inference.prediction import CancelledError
from CRLMSegmentationLib.segmentation.inference.preprocessing import normalization_schemes, normalized
from CRLMSegmentationLib.segmentation.inference.runtime import (
    Device,
    DeviceMemoryError,
    Precision,
    RuntimeChoice,
    RuntimeName,
)
from CRLMSegmentationLib.segmentation.inference.runtime_model import RAN_ON_CPU, RuntimeModel, pass_image, window_of
from CRLMSegmentationLib.segmentation.inference.sliding_window import window_weights, windows_in
from CRLMSegmentationLib.segmentation.models.package import ModelPackage
from CRLMSegmentationLib.segmentation.results import Options
from helpers.inference_helpers import PATCH, SPACING_MM, assert_answer_of_nnunet, crop_array, dice, sample_crop
from helpers.stub_runtime import StubRuntime, dark_is_tumour

OVER_PATCHES = Options(sliding_window=True)
"""As nnU-Net runs a model, where the package says one pass."""
MARGIN = 3
OWN_CROP = 40
"""Voxels along the edge of the tiny model's own crop, 50 mm."""


def no_cpu() -> None:
    pytest.fail("nothing may turn to the CPU here")


def loaded(package: ModelPackage, runtime, cpu_runtime=no_cpu) -> RuntimeModel:
    return RuntimeModel(package, runtime, cpu_runtime)


def with_margin(array: np.ndarray) -> np.ndarray:
    """Black on one side, as beyond the depth of the picture, which nnU-Net cuts off."""
    array = array.copy()
    array[:, :, :MARGIN] = 0
    return array


@pytest.mark.parametrize("first_fold_only", [False, True])
@pytest.mark.parametrize("mirroring", [False, True])
@pytest.mark.parametrize(
    "array", [with_margin(crop_array((24, 31, 20))), crop_array((12, 16, 17))], ids=["large", "small"]
)
def test_answer_over_patches_is_that_of_nnunets_predictor(
    tiny_package, nnunet_of, float32_runtime_of, array, mirroring, first_fold_only
):
    options = Options(mirroring=mirroring, first_fold_only=first_fold_only)
    model = loaded(tiny_package, float32_runtime_of(tiny_package))
    probability = model.predict(array, SPACING_MM, options).probability
    expected = nnunet_of(tiny_package).predict(array, SPACING_MM, options).probability
    assert probability.shape == array.shape[1:]
    assert_answer_of_nnunet(probability, expected)


def test_folds_and_mirrored_copies_change_the_answer(tiny_package, float32_runtime_of):
    """So that the test above tests them."""
    model, array = loaded(tiny_package, float32_runtime_of(tiny_package)), crop_array((16, 16, 20))
    answers = [
        model.predict(array, SPACING_MM, Options(mirroring=mirroring, first_fold_only=first)).probability
        for mirroring, first in ((False, False), (True, False), (False, True))
    ]
    assert np.abs(answers[0] - answers[1]).max() > 0.01
    assert np.abs(answers[0] - answers[2]).max() > 0.01


@pytest.fixture(scope="module")
def lesion(shipped) -> np.ndarray:
    return sample_crop(shipped)


@pytest.fixture(scope="module")
def answer_of_nnunet(shipped, nnunet_of, lesion) -> np.ndarray:
    return nnunet_of(shipped).predict(lesion, shipped.spacing_mm).probability


def test_shipped_model_answers_as_nnunets_predictor(shipped, float32_runtime_of, lesion, answer_of_nnunet):
    model = loaded(shipped, float32_runtime_of(shipped))
    probability = model.predict(lesion, shipped.spacing_mm, OVER_PATCHES).probability
    assert_answer_of_nnunet(probability, answer_of_nnunet)


def test_shipped_model_in_bfloat16_finds_the_same_lesion(
    shipped, bfloat16_choice, runtime_of, lesion, answer_of_nnunet
):
    model = loaded(shipped, runtime_of(bfloat16_choice, shipped))
    prediction = model.predict(lesion, shipped.spacing_mm, OVER_PATCHES)
    assert prediction.device == f"{bfloat16_choice.name.value} bfloat16, 1 core"
    assert dice(prediction.probability > 0.5, answer_of_nnunet > 0.5) >= 0.999


def one_pass(package: ModelPackage, **changes: float) -> ModelPackage:
    return replace(package, one_pass=True, **changes)


def mean_of_bare_networks(package: ModelPackage, image: np.ndarray) -> np.ndarray:
    """Mean of the logits of all folds (2, K, J, I), as torch computes them for an image (C, K, J, I)."""
    with torch.inference_mode():
        batch = torch.from_numpy(np.ascontiguousarray(image))[None]
        logits = [build_network(package, fold)(batch)[0].numpy() for fold in package.folds]
    return np.mean(logits, axis=0)


def probability_of(logits: np.ndarray) -> np.ndarray:
    return torch.softmax(torch.from_numpy(logits), 0)[1].numpy()


def test_one_pass_is_the_bare_network_on_the_normalized_crop(tiny_package, float32_runtime_of):
    package, array = one_pass(tiny_package), crop_array((OWN_CROP,) * 3)
    image, _ = normalized(array, normalization_schemes(package))
    model = loaded(package, float32_runtime_of(tiny_package))
    expected = probability_of(mean_of_bare_networks(package, image))
    np.testing.assert_allclose(model.predict(array, SPACING_MM).probability, expected, atol=1e-4)
    over_patches = model.predict(array, SPACING_MM, OVER_PATCHES).probability
    assert np.abs(over_patches - expected).max() > 0.01, "one pass is another answer than patches"
    plain = loaded(tiny_package, float32_runtime_of(tiny_package)).predict(array, SPACING_MM).probability
    np.testing.assert_array_equal(over_patches, plain)


def test_crop_larger_than_the_models_own_is_covered_by_windows_of_that_size(tiny_package, float32_runtime_of):
    package, array = one_pass(tiny_package), crop_array((OWN_CROP, 52, OWN_CROP))
    image, _ = normalized(array, normalization_schemes(package))
    weights = window_weights((OWN_CROP,) * 3)
    logits, total = np.zeros((2, *image.shape[1:])), np.zeros(image.shape[1:])
    boxes = windows_in(image.shape[1:], (OWN_CROP,) * 3)
    for box in boxes:
        part = (slice(None), *box.slices)
        logits[part] += mean_of_bare_networks(package, image[part]) * weights
        total[box.slices] += weights
    done = []
    model = loaded(package, float32_runtime_of(tiny_package))
    prediction = model.predict(array, SPACING_MM, on_progress=lambda *progress: done.append(progress))
    np.testing.assert_allclose(prediction.probability, probability_of(logits / total), atol=1e-4)
    assert len(boxes) == 2
    assert done[-2] == ("inference", 4, 4), "two windows for each of two folds"


@pytest.mark.parametrize(
    ("crop_size_mm", "window"), [(50.0, (40,) * 3), (47.5, (40,) * 3), (51.3, (44,) * 3), (12.0, (PATCH,) * 3)]
)
def test_window_of_one_pass_can_be_halved_as_often_as_the_network_does(tiny_package, crop_size_mm, window):
    package = one_pass(tiny_package, crop_size_mm=crop_size_mm)
    assert window_of(package) == window
    assert window_of(tiny_package) == (PATCH,) * 3
    assert pass_image(package).shape == (2, *window)


def test_crop_that_cannot_be_halved_is_padded_for_one_pass(tiny_package, float32_runtime_of):
    package, shape = one_pass(tiny_package, crop_size_mm=47.5), (38, 37, 38)
    array = crop_array(shape)
    image, _ = normalized(array, normalization_schemes(package))
    larger = np.pad(image, ((0, 0), (1, 1), (1, 2), (1, 1)))
    expected = probability_of(mean_of_bare_networks(package, larger))[1:-1, 1:-2, 1:-1]
    probability = loaded(package, float32_runtime_of(tiny_package)).predict(array, SPACING_MM).probability
    np.testing.assert_allclose(probability, expected, atol=1e-4)


def test_shipped_model_passes_its_crop_as_a_whole(shipped):
    assert window_of(shipped) == (64, 64, 64)
    assert window_of(replace(shipped, one_pass=False)) == (48, 48, 48)


def test_whatever_is_cut_off_is_no_tumour(tiny_package):
    def tumour_everywhere(network: int, image: np.ndarray) -> np.ndarray:
        return np.stack([np.full(image.shape[1:], -9.0), np.full(image.shape[1:], 9.0)])

    array = with_margin(crop_array((20, 20, 20)))
    probability = loaded(tiny_package, StubRuntime(run=tumour_everywhere)).predict(array, SPACING_MM).probability
    assert not probability[:, :MARGIN].any()
    assert (probability[:, MARGIN:] > 0.99).all()


@pytest.mark.parametrize(("mirroring", "first_fold_only"), [(False, False), (True, False), (False, True), (True, True)])
def test_mirrored_copies_folds_and_windows_are_put_together_in_place(tiny_package, mirroring, first_fold_only):
    """The stub says of each voxel what it is: any window, copy or axis in another place would show."""
    array, runtime = crop_array((25, 20, 38)), StubRuntime()
    options = Options(mirroring=mirroring, first_fold_only=first_fold_only)
    package = one_pass(tiny_package, crop_size_mm=25.0)
    probability = loaded(package, runtime).predict(array, SPACING_MM, options).probability
    image, _ = normalized(array, normalization_schemes(tiny_package))
    surest = 1.0 if first_fold_only else 1.25
    expected = probability_of(np.asarray(dark_is_tumour(0, image) * surest))
    np.testing.assert_allclose(probability, expected, atol=1e-4)
    folds, copies = (1 if first_fold_only else 2), (8 if mirroring else 1)
    assert len(runtime.passes) == 2 * 1 * 3 * folds * copies
    assert {shape for _, shape in runtime.passes} == {(2, 20, 20, 20)}
    assert {network for network, _ in runtime.passes} == set(range(folds))


def test_model_that_may_not_be_mirrored_is_not(tiny_package):
    runtime = StubRuntime()
    package = replace(tiny_package, mirroring_axes=())
    loaded(package, runtime).predict(crop_array((16, 16, 16)), SPACING_MM, Options(mirroring=True))
    assert len(runtime.passes) == 2


def test_progress_counts_every_pass(tiny_package):
    said = []
    model = loaded(tiny_package, StubRuntime())
    model.predict(crop_array((16, 20, 24)), SPACING_MM, on_progress=lambda *progress: said.append(progress))
    passes = [("inference", done, 8) for done in range(1, 9)]
    assert said == [("preprocess", 0, 1), *passes, ("postprocess", 0, 1)]


def test_cancelled_prediction_runs_no_further_pass_and_the_next_one_is_whole(tiny_package):
    runtime = StubRuntime()
    model, array = loaded(tiny_package, runtime), crop_array((24, 24, 24))
    with pytest.raises(CancelledError):
        model.predict(array, SPACING_MM, is_cancelled=lambda: len(runtime.passes) == 3)
    assert len(runtime.passes) == 3
    after = model.predict(array, SPACING_MM).probability
    np.testing.assert_array_equal(after, loaded(tiny_package, StubRuntime()).predict(array, SPACING_MM).probability)


@pytest.mark.parametrize("spacing_mm", [1.0, SPACING_MM * 1.001])
def test_crop_of_another_spacing_is_refused(tiny_package, spacing_mm):
    with pytest.raises(WorkerError, match=r"tiny wants voxels of 1\.25 mm, got 1"):
        loaded(tiny_package, StubRuntime()).predict(crop_array((16, 16, 16)), spacing_mm)


def test_crop_with_other_channels_or_values_that_are_no_numbers_is_refused(tiny_package):
    runtime = StubRuntime()
    model, array = loaded(tiny_package, runtime), crop_array((16, 16, 16))
    with pytest.raises(WorkerError, match=r"wants the channels .* got 1"):
        model.predict(array[:1], SPACING_MM)
    for value in (np.nan, np.inf):
        array[1, 2, 3, 4] = value
        with pytest.raises(WorkerError, match="NaN or infinite values"):
            model.predict(array, SPACING_MM)
    assert runtime.passes == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_answer_that_is_no_number_is_no_answer(tiny_package, value):
    """Half precision ends at 65504: a network whose values grow larger would find no tumour, in silence."""

    def overflows(network: int, image: np.ndarray) -> np.ndarray:
        logits = dark_is_tumour(network, image)
        logits[1, 0, 0, 0] = value
        return logits

    model = loaded(tiny_package, StubRuntime(run=overflows))
    with pytest.raises(WorkerError, match="no finite numbers; start again with the precision 'float32'"):
        model.predict(crop_array((16, 16, 16)), SPACING_MM)


def test_gpu_without_memory_is_replaced_by_the_cpu_and_the_user_is_told(tiny_package):
    """In the midst of a crop: the answer is wholly the CPU's. The next crop begins on the GPU again."""
    gpu = RuntimeChoice(RuntimeName.TORCH, Device.CUDA, Precision.FLOAT16)
    free = [3]

    def full_after_some(network: int, image: np.ndarray) -> np.ndarray:
        if free[0] == 0:
            raise DeviceMemoryError("CUDA out of memory")
        free[0] -= 1
        return -dark_is_tumour(network, image)

    cpu = StubRuntime()
    model, array = loaded(tiny_package, StubRuntime(gpu, full_after_some), lambda: cpu), crop_array((24, 16, 16))
    prediction = model.predict(array, SPACING_MM)
    assert prediction.warnings == (RAN_ON_CPU,)
    assert prediction.device == cpu.device_text
    expected = loaded(tiny_package, StubRuntime()).predict(array, SPACING_MM)
    np.testing.assert_array_equal(prediction.probability, expected.probability)
    assert len(cpu.passes) == 4
    free[0] = 100
    again = model.predict(array, SPACING_MM)
    assert (again.warnings, again.device) == ((), f"stub {gpu}")
    np.testing.assert_allclose(again.probability, 1 - expected.probability, atol=1e-5)


def test_model_says_what_it_runs_on_and_how_long_each_step_took(tiny_package, float32_runtime_of):
    runtime = float32_runtime_of(tiny_package)
    model = loaded(tiny_package, runtime)
    prediction = model.predict(crop_array((16, 16, 16)), SPACING_MM)
    assert prediction.device == model.device_text == f"{runtime.choice.name.value} float32, 1 core"
    assert list(prediction.timings_s) == ["preprocess", "inference", "postprocess"]
    assert all(seconds > 0 for seconds in prediction.timings_s.values())
