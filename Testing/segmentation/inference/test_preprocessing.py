"""Preprocessing in numpy is nnU-Net's to the last bit, and models that ask for more are left to nnU-Net."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import ModelError
from CRLMSegmentationLib.segmentation.inference.preprocessing import normalized, reason_for_nnunet
from CRLMSegmentationLib.segmentation.models.package import write_model_package
from helpers.inference_helpers import (
    DATASET_JSON,
    GREY_JSON,
    SPACING_MM,
    crop_array,
    grey_plans,
    random_weights,
    tiny_info,
    tiny_plans,
)
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

CONFIGURATION = "3d_fullres"


def of_nnunet(array: np.ndarray, plans: dict[str, Any], dataset: dict[str, Any]) -> tuple[np.ndarray, list[list[int]]]:
    """What nnU-Net's preprocessor makes of an array, and the first and the last but one index of what it keeps."""
    manager = PlansManager(plans)
    properties = {"spacing": [SPACING_MM] * 3}
    data, _, properties = DefaultPreprocessor(verbose=False).run_case_npy(
        array, None, properties, manager, manager.get_configuration(CONFIGURATION), dataset
    )
    return data, [list(map(int, ends)) for ends in properties["bbox_used_for_cropping"]]


def with_margins(array: np.ndarray, *, in_all_channels: bool) -> np.ndarray:
    """Set margins of different widths to 0, with a hole and a spot in them."""
    array = array.copy()
    channels = slice(None) if in_all_channels else slice(0, 1)
    for cut in (
        (slice(0, 3),),
        (slice(-1, None),),
        (slice(None), slice(0, 5)),
        (slice(None), slice(None), slice(-7, None)),
    ):
        array[(channels, *cut)] = 0
    array[:, 8, 9, 10] = 0
    array[0, 2, 9, 10] = 1e-3
    return array


def first_constant(array: np.ndarray) -> np.ndarray:
    return np.stack([np.full_like(array[0], 7.3), array[1]])


CROP = crop_array((19, 24, 22))
ARRAYS = {
    "as it is": CROP,
    "margins of 0": with_margins(CROP, in_all_channels=True),
    "margins in one channel": with_margins(CROP, in_all_channels=False),
    "constant channel": first_constant(CROP),
    "constant channel and margins": with_margins(first_constant(CROP), in_all_channels=True),
    "large numbers": CROP * np.float32(1e4) + np.float32(1e6),
    "other order in memory": np.asfortranarray(CROP),
    "part of a larger one": crop_array((30, 30, 30))[:, 3:20, ::2, 5:],
    "one voxel": np.pad(np.ones((2, 1, 1, 1), np.float32), ((0, 0), (2, 3), (1, 0), (0, 4))),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("channels", [1, 2])
def test_array_and_box_are_those_of_nnunet_to_the_last_bit(name, channels):
    array = ARRAYS[name][:channels]
    plans, dataset = (grey_plans(), GREY_JSON) if channels == 1 else (tiny_plans(), DATASET_JSON)
    before = array.copy()
    data, box = normalized(array, plans["configurations"][CONFIGURATION]["normalization_schemes"])
    expected, ends = of_nnunet(array, plans, dataset)
    assert data.dtype == expected.dtype == np.float32
    np.testing.assert_array_equal(data, expected)
    assert [[start, stop] for start, stop in zip(box.start_kji, box.stop_kji)] == ends
    np.testing.assert_array_equal(array, before)


def test_margins_are_cut_only_where_all_channels_are_0():
    """So that the test above tests both."""
    assert of_nnunet(ARRAYS["margins of 0"], tiny_plans(), DATASET_JSON)[0].shape == (2, 16, 19, 15)
    assert of_nnunet(ARRAYS["margins in one channel"], tiny_plans(), DATASET_JSON)[0].shape == CROP.shape


@pytest.mark.parametrize("schemes", [["ZScoreNormalization", "NoNormalization"], ["ZScoreNormalization"] * 2])
def test_crop_of_zeros_is_kept_whole(schemes):
    data, box = normalized(np.zeros((2, 5, 6, 7), np.float32), schemes)
    np.testing.assert_array_equal(data, np.zeros((2, 5, 6, 7), np.float32))
    assert box.shape == (5, 6, 7)


def changed_plans(**changes: Any) -> dict[str, Any]:
    """`tiny_plans` with changes in itself or in its configuration."""
    plans = tiny_plans()
    for key, value in changes.items():
        (plans if key in plans else plans["configurations"][CONFIGURATION])[key] = value
    return plans


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Packs plans with some weights."""

    def pack(plans: dict[str, Any]):
        info, weights = tiny_info(), {0: random_weights(0)}
        return write_model_package(tmp_path_factory.mktemp("model"), plans, DATASET_JSON, weights, info)

    return pack


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"normalization_schemes": ["CTNormalization", "NoNormalization"]}, "its plans ask for CTNormalization"),
        (
            {"normalization_schemes": ["RescaleTo01Normalization", "CTNormalization"]},
            "its plans ask for CTNormalization, RescaleTo01Normalization",
        ),
        ({"use_mask_for_norm": [True, False]}, "its plans ask for normalization within a mask"),
        ({"transpose_forward": [2, 0, 1]}, "its voxels are no cubes, or its axes are permuted"),
        ({"spacing": [2.0, SPACING_MM, SPACING_MM]}, "its voxels are no cubes, or its axes are permuted"),
        ({"normalization_schemes": ["NoNormalization", "ZScoreNormalization"]}, ""),
        ({"spacing": [SPACING_MM * (1 + 1e-7)] * 3}, ""),
        ({}, ""),
    ],
)
def test_models_that_ask_for_more_are_left_to_nnunet(packed, changes, reason):
    assert reason_for_nnunet(packed(changed_plans(**changes))) == reason


def test_other_preprocessor_is_left_to_nnunet(tiny_package, monkeypatch):
    """No package names one today; the plans that are opened are checked by `plan_names`."""
    plans = changed_plans(preprocessor_name="PreprocessorOfTomorrow")
    monkeypatch.setattr(type(tiny_package), "plans", lambda package: plans)
    assert reason_for_nnunet(tiny_package) == "its plans name the preprocessor PreprocessorOfTomorrow"


def test_shipped_model_needs_no_nnunet(shipped):
    assert reason_for_nnunet(shipped) == ""


@pytest.mark.parametrize("key", ["use_mask_for_norm", "transpose_forward"])
def test_plans_that_lack_what_nnunet_needs_as_well_are_refused(packed, key):
    plans = tiny_plans()
    (plans if key in plans else plans["configurations"][CONFIGURATION]).pop(key)
    with pytest.raises(ModelError, match=f"the plans of tiny lack '{key}' of 3d_fullres; pack it again"):
        reason_for_nnunet(packed(plans))


def test_plans_that_normalize_fewer_channels_than_there_are_are_refused(packed):
    with pytest.raises(ModelError, match=r"normalize 1 of \('ultrasound', 'seed'\); pack it again"):
        reason_for_nnunet(packed(changed_plans(normalization_schemes=["ZScoreNormalization"])))


def test_spacing_of_the_manifest_is_that_of_the_plans(tiny_package):
    assert reason_for_nnunet(replace(tiny_package, spacing_mm=1.0)) != ""
