"""A training that begins at the weights of a model package: which ones, for what network, and what the card says.

A network of other channels keeps all weights but those of the first convolution, where each channel takes the weights
of the one that it continues; a new channel starts at 0, so that the first outputs are those of the model.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import CrlmError
from ...segmentation.models.package import ModelPackage

if TYPE_CHECKING:
    import torch

START_WEIGHTS = "start.safetensors"
"""In the folder of a fold: a copy, so that the fold can be trained where the package is not."""
CONTINUED = {"include": "seed"}
"""A channel whose weights come from one of another name."""


@dataclass(frozen=True)
class Start:
    """The model at whose weights a fold starts.

    Attributes:
        channels: of its network.
        trained_on: see `models.package.ModelPackage`.
    """

    name: str
    version: str
    sha256: str
    channels: list[str]
    trained_on: Mapping[str, Any]

    @classmethod
    def of_package(cls, package: ModelPackage) -> Start:
        return cls(package.name, package.version, package.sha256, list(package.channels), package.trained_on)

    def described_in(self, dataset_json: Mapping[str, Any]) -> dict[str, Any]:
        """Return nnU-Net's `dataset.json` with what the card of the trained model must say about its start.

        The new model has seen the cases of both; it is not known which where the old one does not say.
        """
        statement = dict(dataset_json["crlm"])
        mine, before = dict(statement["trained_on"]), dict(self.trained_on)
        cases, before_cases = mine.pop("cases", None), before.pop("cases", None)
        if isinstance(cases, list) and isinstance(before_cases, list):
            mine["cases"] = sorted({*cases, *before_cases})
        origins = {mine.get("simulated"), before.get("simulated")}
        mine["simulated"] = False if False in origins else None if None in origins else True
        model = {"name": self.name, "version": self.version, "sha256": self.sha256}
        statement["trained_on"] = {**mine, "started_from": {**model, "trained_on": before}}
        statement["card"] = {**statement.get("card", {}), "started_from": model}
        return {**dataset_json, "crlm": statement}


def copy_start_weights(package: ModelPackage, fold: int, folder: Path) -> None:
    """Copy the weights at which a fold starts: those of the package's fold of that number, else of its first."""
    source = fold if fold in package.folds else package.folds[0]
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(package.folder / f"fold_{source}.safetensors", folder / START_WEIGHTS)


def start_weights(
    weights: Mapping[str, torch.Tensor],
    channels: Sequence[str],
    wanted: Mapping[str, torch.Tensor],
    wanted_channels: Sequence[str],
) -> dict[str, torch.Tensor]:
    """Return weights for a network of the same architecture but other channels.

    Args:
        weights, channels: of the model.
        wanted, wanted_channels: of the network that starts, its weights of the shapes that are needed.

    Raises:
        CrlmError: the networks differ in more than their channels.
    """
    other = sorted(set(weights) ^ set(wanted))
    made = {name: _fitted(weights[name], channels, wanted[name], wanted_channels) for name in set(wanted) - set(other)}
    other += sorted(name for name, tensor in made.items() if tensor is None)
    if other:
        raise CrlmError(
            f"the network of the model is another one than the preset's, {len(other)} weights do not fit, such as "
            f"{other[0]}; take the preset that the model was trained with"
        )
    return {name: tensor for name, tensor in made.items() if tensor is not None}


def _fitted(
    tensor: torch.Tensor, channels: Sequence[str], wanted: torch.Tensor, wanted_channels: Sequence[str]
) -> torch.Tensor | None:
    if tensor.shape == wanted.shape and list(channels) == list(wanted_channels):
        return tensor
    is_first = tensor.dim() == wanted.dim() == 5 and tensor.shape[1] == len(channels)
    if not is_first or wanted.shape[1] != len(wanted_channels):
        return tensor if tensor.shape == wanted.shape else None
    if (tensor.shape[0], *tensor.shape[2:]) != (wanted.shape[0], *wanted.shape[2:]):
        return None
    made = wanted.new_zeros(wanted.shape)
    for number, name in enumerate(wanted_channels):
        source = name if name in channels else CONTINUED.get(name)
        if source in channels:
            made[:, number] = tensor[:, channels.index(source)]
    return made
