"""OpenVINO's passes are the network's, for every kind of network that nnU-Net builds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from CRLMSegmentationLib.core.errors import ModelError
from CRLMSegmentationLib.segmentation.inference.inference_cache import InferenceCache
from CRLMSegmentationLib.segmentation.inference.networks import build_network
from CRLMSegmentationLib.segmentation.inference.runtime import Device, Precision, RuntimeChoice, RuntimeName
from CRLMSegmentationLib.segmentation.inference.runtime_choice import Wish, choose_runtime
from CRLMSegmentationLib.segmentation.inference.runtime_model import pass_image
from CRLMSegmentationLib.segmentation.models.package import ModelPackage, write_model_package
from helpers.inference_helpers import (
    DATASET_JSON,
    GREY_JSON,
    crop_array,
    random_weights,
    tiny_info,
    tiny_plans,
    without_openvino,
)

pytestmark = without_openvino
OPENVINO = RuntimeChoice(RuntimeName.OPENVINO, Device.CPU, Precision.FLOAT32)

TOLERANCE = 2e-3
"""Of logits, which are about 1: OpenVINO adds in another order than torch, and norms over few voxels amplify it."""


def architecture_of(plans: dict[str, Any]) -> dict[str, Any]:
    return plans["configurations"]["3d_fullres"]["architecture"]


def residual_encoder() -> dict[str, Any]:
    plans = tiny_plans()
    architecture = architecture_of(plans)
    architecture["network_class_name"] = "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet"
    architecture["arch_kwargs"]["n_blocks_per_stage"] = architecture["arch_kwargs"].pop("n_conv_per_stage")
    return plans


def with_dropout() -> dict[str, Any]:
    plans = tiny_plans()
    architecture_of(plans)["arch_kwargs"] |= {
        "dropout_op": "torch.nn.modules.dropout.Dropout3d",
        "dropout_op_kwargs": {"p": 0.5},
    }
    return plans


def deep() -> dict[str, Any]:
    """Halved until it is one voxel wide along one axis, and not alike along all; two convolutions in each stage."""
    plans = tiny_plans()
    architecture_of(plans)["arch_kwargs"] |= {
        "n_stages": 6,
        "features_per_stage": [2, 2, 4, 4, 4, 4],
        "kernel_sizes": [[1, 3, 3], *[[3, 3, 3]] * 5],
        "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 2, 2], [2, 2, 1], [1, 1, 1]],
        "n_conv_per_stage": [2] * 6,
        "n_conv_per_stage_decoder": [2] * 5,
    }
    return plans


def other_operations() -> dict[str, Any]:
    plans = tiny_plans()
    architecture_of(plans)["arch_kwargs"] |= {
        "norm_op": "torch.nn.modules.batchnorm.BatchNorm3d",
        "nonlin": "torch.nn.GELU",
        "nonlin_kwargs": {},
        "conv_bias": False,
    }
    return plans


@pytest.fixture
def packed(tmp_path) -> Callable[[dict[str, Any]], ModelPackage]:
    def pack(plans: dict[str, Any]) -> ModelPackage:
        return write_model_package(
            tmp_path / "model", plans, DATASET_JSON, {0: random_weights(3, plans=plans)}, tiny_info()
        )

    return pack


def bare(package: ModelPackage, fold: int, image: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return build_network(package, fold)(torch.from_numpy(image)[None])[0].numpy()


@pytest.mark.parametrize("plans", [residual_encoder, with_dropout, deep, other_operations])
def test_every_kind_of_network_is_exported_for_images_of_any_shape(packed, runtime_of, plans):
    """It is traced with a patch; what was traced must hold for other shapes as well."""
    package = packed(plans())
    runtime = runtime_of(OPENVINO, package)
    for shape in ((16, 16, 16), (32, 16, 48)):
        image = crop_array(shape) / 50
        expected = bare(package, 0, image)
        assert expected.std() > 1e-3, "the network says the same everywhere: nothing would be tested"
        np.testing.assert_allclose(runtime.logits(0, image), expected, atol=TOLERANCE)


def test_each_fold_and_shape_has_its_own_pass_and_both_are_held(tiny_package, runtime_of):
    runtime = runtime_of(OPENVINO, tiny_package)
    images = [crop_array(shape) / 50 for shape in ((16, 16, 16), (20, 16, 24))]
    for image in (*images, *images[::-1]):
        for place, fold in enumerate(tiny_package.folds):
            logits = runtime.logits(place, image)
            assert (logits.dtype, logits.shape) == (np.float32, (2, *image.shape[1:]))
            np.testing.assert_allclose(logits, bare(tiny_package, fold, image), atol=TOLERANCE)
    held = {key for key in runtime._requests if key[1] in {image.shape for image in images}}
    assert len(held) == 4


def test_folds_are_taken_in_the_order_of_the_package(tmp_path, runtime_of):
    folds = {10: random_weights(1), 2: random_weights(0)}
    package = write_model_package(tmp_path / "model", tiny_plans(), DATASET_JSON, folds, tiny_info())
    assert package.folds == (2, 10)
    runtime, image = runtime_of(OPENVINO, package), crop_array((16, 16, 16)) / 50
    for place, fold in enumerate(package.folds):
        np.testing.assert_allclose(runtime.logits(place, image), bare(package, fold, image), atol=TOLERANCE)


@pytest.mark.parametrize("threads", [1, 2])
def test_number_of_threads_is_that_which_was_given(tiny_package, threads):
    from CRLMSegmentationLib.segmentation.inference.runtime_choice import open_runtime

    runtime = open_runtime(OPENVINO, tiny_package, threads, InferenceCache(tiny_package))
    image = crop_array((16, 16, 16))
    runtime.logits(0, image)
    (request,) = runtime._requests.values()
    compiled = request.get_compiled_model()
    assert compiled.get_property("INFERENCE_NUM_THREADS") == threads
    assert compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name() == "f32"
    assert runtime.device_text == f"OpenVINO float32, {threads} core{'s' if threads > 1 else ''}"


def test_files_of_networks_are_free_once_they_are_read(tiny_package, tmp_path):
    """Windows can neither remove nor replace a file that is mapped into memory."""
    from CRLMSegmentationLib.segmentation.inference.runtime_choice import exported_networks, open_runtime

    cache = InferenceCache(tiny_package, tmp_path)
    with exported_networks(tiny_package, cache) as networks:
        assert [path.parent for path in networks] == [cache.folder] * 2
    runtime = open_runtime(OPENVINO, tiny_package, 1, cache)
    if Path("/proc/self/maps").exists():
        assert str(cache.folder) not in Path("/proc/self/maps").read_text()
    for path in cache.folder.iterdir():
        path.write_bytes(b"")
    image = crop_array((16, 16, 16)) / 50
    np.testing.assert_allclose(runtime.logits(1, image), bare(tiny_package, 1, image), atol=TOLERANCE)


def test_shape_that_cannot_be_halved_is_refused(tiny_package, runtime_of):
    with pytest.raises(RuntimeError, match="inconsistent"):
        runtime_of(OPENVINO, tiny_package).logits(0, crop_array((17, 17, 17)))


def test_network_that_cannot_be_exported_is_run_by_torch_and_the_user_is_told(tiny_package, tmp_path, monkeypatch):
    def fails(*arguments: object, **options: object) -> None:
        raise RuntimeError("Tracing failed sanity checks!\nERROR: Graphs differed across invocations!")

    monkeypatch.setattr(torch.jit, "trace", fails)
    image, cache = pass_image(tiny_package), InferenceCache(tiny_package, tmp_path)
    runtime, warnings = choose_runtime(tiny_package, image, Wish("cpu", "float32"), 1, cache)
    assert runtime.device_text == "torch float32, 1 core"
    assert warnings == ("OpenVINO float32 (CPU) is not used: Tracing failed sanity checks!",)
    again, told = choose_runtime(tiny_package, image, Wish("cpu", "float32"), 1, cache)
    assert (again.device_text, told) == (runtime.device_text, warnings)


def test_weights_that_do_not_fit_are_told_and_no_runtime_is_blamed(tmp_path):
    folder, weights = tmp_path / "model", {0: random_weights(0)}
    package = write_model_package(folder, tiny_plans(), DATASET_JSON, weights, tiny_info())
    write_model_package(folder, tiny_plans(), DATASET_JSON, {0: random_weights(0, channels=1)}, tiny_info())
    image = pass_image(package)
    with pytest.raises(ModelError, match="fold 0 of tiny does not fit its plans"):
        choose_runtime(package, image, Wish("cpu"), 1, InferenceCache(package, tmp_path / "caches"))


def test_one_channel_is_enough(tmp_path, runtime_of):
    from helpers.inference_helpers import grey_plans

    info, weights = {**tiny_info(), "channels": ["ultrasound"]}, {0: random_weights(0, channels=1)}
    package = write_model_package(tmp_path / "model", grey_plans(), GREY_JSON, weights, info)
    image = crop_array((16, 16, 16))[:1] / 50
    np.testing.assert_allclose(runtime_of(OPENVINO, package).logits(0, image), bare(package, 0, image), atol=TOLERANCE)
