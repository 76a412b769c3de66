"""Texts about installed models for the combo box of the panel and for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...core.errors import ModelError
from .package import ModelPackage, crop_size_of
from .registry import InstalledModel, default_package, installed_models


@dataclass(frozen=True)
class ModelChoice:
    """An entry of the combo box: text, the key to hand to `find_model`, a tooltip, and whether it can be chosen."""

    text: str
    key: str
    tooltip: str
    usable: bool
    is_default: bool


def model_choices() -> list[ModelChoice]:
    """Return the entries of the combo box; a default that was removed is listed, but cannot be chosen.

    Raises:
        ModelError: see `models_folder`.
    """
    models = installed_models()
    choices = [_choice(model) for model in models]
    if not any(model.is_default for model in models):
        try:
            default_package()
        except ModelError as error:
            choices.insert(0, ModelChoice("no default model", "", str(error), False, True))
    return choices


def list_lines(models: Sequence[InstalledModel]) -> Iterator[str]:
    """Yield a line of text for each model, with the default marked."""
    width = max((len(model.key) for model in models), default=0)
    for model in models:
        where = "shipped" if model.shipped else "imported" if model.imported else "by hand"
        text = _brief(model.package) if model.package and not model.problem else model.problem
        yield f"{'*' if model.is_default else ' '} {model.key:{width}}  {where:8}  {text}"


def info_of(package: ModelPackage) -> dict[str, Any]:
    """Return all properties of a model as plain data; `describing.lines_of` makes lines of it."""
    return {
        "name": package.name,
        "version": package.version,
        "folder": str(package.folder),
        "sha256": package.sha256,
        "intended_use": package.intended_use,
        "statement": package.not_for_clinical_use,
        "simulated_only": package.simulated_only,
        "region": package.region,
        "crop_size_mm": crop_size_of(package),
        "spacing_mm": package.spacing_mm,
        "channels": ", ".join(package.channels),
        "mirroring_axes": ", ".join(map(str, package.mirroring_axes)) or "none",
        "folds": ", ".join(map(str, package.folds)),
        "megabytes": round(sum((package.folder / name).stat().st_size for name in package.files) / 1e6, 1),
        "trained_on": package.trained_on,
        "source": package.source,
        "card": package.card,
        "files": package.files,
    }


def _choice(model: InstalledModel) -> ModelChoice:
    text = model.key.replace("@", " ") + (" (default)" if model.is_default else "")
    if model.package is None or model.problem is not None:
        return ModelChoice(text, model.key, model.problem or "", False, model.is_default)
    return ModelChoice(text, model.key, _brief(model.package), True, model.is_default)


def _brief(package: ModelPackage) -> str:
    data = "simulated data only" if package.simulated_only else "trained on: " + _trained_on(package)
    size_mm = crop_size_of(package)
    region = "whole volume" if size_mm is None else f"crop {size_mm:g} mm"
    return f"{' + '.join(package.channels)}, {region}, {data}"


def _trained_on(package: ModelPackage) -> str:
    known = (f"{key} {value}" for key, value in package.trained_on.items() if isinstance(value, (str, int)))
    return ", ".join(known) or "unknown"
