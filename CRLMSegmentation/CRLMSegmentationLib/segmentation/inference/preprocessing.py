"""nnU-Net's preprocessing of a crop that has the spacing of the model, in numpy, so that torch need not be loaded.

It gives the array of nnU-Net's `DefaultPreprocessor` to the last bit; `test_preprocessing` compares them. Models whose
plans ask for more (another spacing along one axis, other axes, other normalisations) are run by `nnunet.NnUNet`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.box import Box
from ...core.errors import ModelError
from ..models.package import CONFIGURATION, ModelPackage

EPSILON = 1e-8
"""nnU-Net's smallest standard deviation."""
NORMALIZATIONS = ("ZScoreNormalization", "NoNormalization")
PREPROCESSOR = "DefaultPreprocessor"


def reason_for_nnunet(package: ModelPackage) -> str:
    """Return why nnU-Net's own code must run a model, as a sentence; empty where `normalized` does what it would do.

    Raises:
        ModelError: its plans lack something that nnU-Net needs as well.
    """
    plans = package.plans()
    try:
        configuration = plans["configurations"][CONFIGURATION]
        reason = _reason_in(plans, configuration, package.spacing_mm)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"the plans of {package.name} lack {error} of {CONFIGURATION}; pack it again") from error
    count = len(configuration["normalization_schemes"])
    if count != len(package.channels):
        raise ModelError(f"the plans of {package.name} normalize {count} of {package.channels}; pack it again")
    return reason


def _reason_in(plans: dict[str, Any], configuration: dict[str, Any], spacing_mm: float) -> str:
    if configuration["preprocessor_name"] != PREPROCESSOR:
        return f"its plans name the preprocessor {configuration['preprocessor_name']}"
    others = sorted(set(configuration["normalization_schemes"]) - set(NORMALIZATIONS))
    if others or any(configuration["use_mask_for_norm"]):
        return f"its plans ask for {', '.join(others) or 'normalization within a mask'}"
    if list(plans["transpose_forward"]) != [0, 1, 2] or not np.allclose(configuration["spacing"], spacing_mm):
        return "its voxels are no cubes, or its axes are permuted"
    return ""


def normalization_schemes(package: ModelPackage) -> list[str]:
    """Return the normalisation of each channel, of `NORMALIZATIONS`."""
    return list(package.plans()["configurations"][CONFIGURATION]["normalization_schemes"])


def normalized(array: np.ndarray, schemes: Sequence[str]) -> tuple[np.ndarray, Box]:
    """Cut off the margin in which all channels are 0, and normalise each channel.

    Args:
        array: float32, shape (C, K, J, I); is not changed.
        schemes: of `NORMALIZATIONS`, one for each channel.

    Returns:
        A new float32 array (C, K', J', I'), and the box of the input that it fills.
    """
    box = Box.of_mask((array != 0).any(0)) or Box.of_shape(array.shape[1:])
    slices = (slice(None), *box.slices)
    data = array.astype(np.float32)[slices]
    for channel, scheme in zip(data, schemes):
        if scheme == "ZScoreNormalization":
            mean, deviation = channel.mean(), channel.std()
            channel -= mean
            channel /= max(deviation, EPSILON)
    return data, box
