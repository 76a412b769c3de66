"""Building of a package's networks in torch, from plans and weights."""

from __future__ import annotations

import torch

from ...core.errors import ModelError
from ..models.package import CONFIGURATION, ModelPackage

HEADS = 2
"""Background and tumour; `load_model_package` has seen to that."""


def build_networks(package: ModelPackage) -> list[torch.nn.Module]:
    """Build the networks of all folds of a package, on the CPU, ready for inference.

    Raises:
        ModelError: the weights do not fit the plans.
    """
    return [build_network(package, fold) for fold in package.folds]


def build_network(package: ModelPackage, fold: int) -> torch.nn.Module:
    """Build the network of a fold of a package, on the CPU, ready for inference.

    Raises:
        ModelError: the weights do not fit the plans.
    """
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    architecture = package.plans()["configurations"][CONFIGURATION]["architecture"]
    network = get_network_from_plans(
        architecture["network_class_name"],
        architecture["arch_kwargs"],
        architecture["_kw_requires_import"],
        len(package.dataset()["channel_names"]),
        HEADS,
        allow_init=False,
        deep_supervision=False,
    )
    try:
        network.load_state_dict(package.weights(fold))
    except RuntimeError as error:
        raise ModelError(f"fold {fold} of {package.name} does not fit its plans: {error}") from error
    return network.eval()
