"""Making a model package from nnU-Net v2 results: plans, dataset description and checkpoints.

nnU-Net does not write down how the crops were made. Whoever prepares a dataset can state it in its `dataset.json`,
which nnU-Net copies beside the checkpoints, under "crlm": any of the fields of `About`. What the caller says goes
before. Imports torch and nnunetv2, but only when called.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...core.crop_format import CHANNEL_SETS, CHANNELS, CLICK_CHANNELS, CROP_SIZE_LIMITS_MM, REGIONS
from ...core.errors import CrlmError, ModelError, UnclearChannelsError
from ...core.hashing import sha256_of
from ...core.volume_files import is_hidden
from .checkpoints import Checkpoint, read_checkpoint
from .nnunet_results import agreed_checkpoint, check_trainer, checkpoint_files, folder_of_results, plans_of_one
from .package import (
    CONFIGURATION,
    DATASET,
    FOLD_PATTERN,
    MANIFEST,
    NOT_FOR_CLINICAL_USE,
    PLANS,
    ModelPackage,
    check_name,
    check_region,
    load_model_package,
    read_json,
    write_model_package,
)

STATEMENT_KEY = "crlm"
NO_INTENDED_USE = "Not stated by its makers. Research only."
LARGEST_FLOAT16 = 65504.0


@dataclass(frozen=True)
class About:
    """Metadata of a model for its package; None for what nnU-Net's files tell, or `dataset.json` states.

    Attributes:
        name: from the name of the dataset, where not given.
        crop_size_mm: edge of the cubes it was trained on; where not given, the median size of its training images.
            Of a model that is shown whole volumes always that median: no size can be chosen.
        channels: one of `core.crop_format.CHANNEL_SETS`; one channel is the ultrasound.
        trained_on: with the key `simulated`, None where that is not known.
        card: figures and facts, as JSON can hold them.
        region: see `core.crop_format.REGIONS`; where not given, "crop".
        one_pass: see `ModelPackage`; False where not given.
    """

    name: str | None = None
    version: str | None = None
    crop_size_mm: float | None = None
    channels: tuple[str, ...] | None = None
    intended_use: str | None = None
    not_for_clinical_use: str | None = None
    trained_on: Mapping[str, Any] | None = None
    card: Mapping[str, Any] | None = None
    region: str | None = None
    one_pass: bool | None = None


def pack_model(
    results: Path,
    out: Path,
    about: About = About(),
    folds: Sequence[str | int] | None = None,
    checkpoint: str = "final",
    half: bool = False,
) -> ModelPackage:
    """Make a model package, and run it once to prove that this program can.

    Args:
        results: of one configuration: nnU-Net's folder with `plans.json`, `dataset.json` and `fold_*`; or a dataset
            folder in which one configuration was trained.
        out: folder to write; a package that is there is replaced once the new one is whole.
        folds: numbers, or "all"; None for all numbered ones, else `fold_all`.
        checkpoint: "final", or "best" for a training that was not brought to its end.
        half: store float16, half the size; probabilities change by about 0.001.

    Raises:
        ModelError: something is missing or contradicts itself, the checkpoints are not safe to open, or nnU-Net
            cannot build the network; nothing has been written then.
    """
    results, out = folder_of_results(Path(results)), Path(out)
    _check_place(out)
    chosen = checkpoint_files(results, folds, checkpoint)
    with contextlib.redirect_stdout(io.StringIO()):  # nnU-Net prints, and our stdout may be somebody's JSON
        _pack(results, out, about, chosen, half)
    return load_model_package(out)


def _pack(results: Path, out: Path, about: About, chosen: Mapping[str, Path], half: bool) -> None:
    read = {fold: read_checkpoint(path) for fold, path in chosen.items()}
    first = agreed_checkpoint(read)
    check_trainer(first.trainer)
    plans = plans_of_one(read_json(results / PLANS), first.configuration)
    dataset = read_json(results / DATASET)
    info = {**_info(plans, dataset, about, read), "source": _source(first, chosen)}
    weights = {0 if fold == "all" else int(fold): made.weights for fold, made in read.items()}
    _check_range(weights, half)
    out.resolve().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.resolve().parent, prefix=".unfinished-") as scratch:
        _prove(write_model_package(scratch, plans, dataset, weights, info, half))
        _move(Path(scratch), out)


def _check_place(out: Path) -> None:
    if out.exists() and not (out / MANIFEST).is_file() and not (out.is_dir() and all(map(is_hidden, out.iterdir()))):
        raise ModelError(f"{out} is there already and is no model package; name a new folder")


def _info(
    plans: dict[str, Any], dataset: dict[str, Any], about: About, read: Mapping[str, Checkpoint]
) -> dict[str, Any]:
    stated = dataset.get(STATEMENT_KEY, {})
    try:
        said = {f.name: stated.get(f.name) for f in fields(About)}
        said |= {f.name: getattr(about, f.name) for f in fields(About) if getattr(about, f.name) is not None}
        configuration = plans["configurations"][CONFIGURATION]
        spacing_mm = min(float(s) for s in configuration["spacing"])
        region = _checked(check_region, said["region"] or REGIONS[0])
        default_name = re.sub(r"[^A-Za-z0-9._-]+", "-", re.sub(r"^Dataset\d+_", "", plans["dataset_name"]))
        trained_on = said["trained_on"] or {"dataset": plans["dataset_name"], "images": dataset.get("numTraining")}
        return {
            "name": _checked(check_name, said["name"] or default_name),
            "version": _checked(check_name, str(said["version"] or 1)),
            "region": region,
            "one_pass": bool(said["one_pass"]),
            "crop_size_mm": _crop_size_mm(region, said["crop_size_mm"], about.crop_size_mm, configuration),
            "spacing_mm": spacing_mm,
            "channels": _channels(said["channels"], list(dataset["channel_names"].values())),
            "mirroring_axes": list(next(iter(read.values())).mirroring_axes),
            "intended_use": said["intended_use"] or NO_INTENDED_USE,
            "not_for_clinical_use": said["not_for_clinical_use"] or NOT_FOR_CLINICAL_USE,
            "trained_on": {"simulated": None, **trained_on},
            "card": {**_facts(configuration, read), **(said["card"] or {})},
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{PLANS} or {DATASET} of this model is not as nnU-Net v2 writes it: {error!r}") from error


def _checked(check: Callable[[str], str], text: str) -> str:
    try:
        return check(text)
    except ValueError as error:
        raise ModelError(str(error)) from error


def _crop_size_mm(
    region: str, said_mm: float | None, wanted_mm: float | None, configuration: Mapping[str, Any]
) -> float:
    """Return the edge of the crops in mm: as given, else from the size of the training images, see `About`."""
    sizes_mm = [n * s for n, s in zip(configuration["median_image_size_in_voxels"], configuration["spacing"])]
    low, high = CROP_SIZE_LIMITS_MM
    if region == "volume":
        if wanted_mm is not None:
            raise ModelError("a model that is shown the whole volume has no crop size; leave it out")
        return float(round(max(sizes_mm), 1))
    size_mm = float(said_mm or round(min(max(max(sizes_mm), low), high), 1))
    if not low <= size_mm <= high:
        raise ModelError(f"a crop is {low:.0f} to {high:.0f} mm wide, got {size_mm} mm")
    return size_mm


def _channels(said: Sequence[str] | None, names: Sequence[str]) -> list[str]:
    """Return the channels of this program for those that nnU-Net names by normalisation."""
    channels = tuple(said) if said else CHANNELS[: len(names)] if len(names) == 1 else None
    if channels is None and len(names) in map(len, CHANNEL_SETS):
        raise UnclearChannelsError(
            f"the network sees {len(names)} channels ({', '.join(names)}), and nobody says what they are; where the "
            f"second is the map of the seed, say so: channels {', '.join(CHANNELS)}; where it takes correction points: "
            f"{', '.join(CLICK_CHANNELS)}",
            len(names),
        )
    if channels is None or len(channels) != len(names) or channels not in CHANNEL_SETS:
        said_text = "unknown" if channels is None else ", ".join(channels)
        raise ModelError(
            f"the network sees {len(names)} channels ({', '.join(names)}), which cannot be {said_text}; "
            f"known are {'; '.join(map(', '.join, CHANNEL_SETS))}"
        )
    return list(channels)


def _facts(configuration: Mapping[str, Any], read: Mapping[str, Checkpoint]) -> dict[str, Any]:
    epochs = [checkpoint.epochs for checkpoint in read.values()]
    return {
        "network": configuration["architecture"]["arch_kwargs"],
        "patch_size": configuration["patch_size"],
        "epochs": epochs[0] if len(epochs) == 1 else epochs,
    }


def _source(first: Checkpoint, files: Mapping[str, Path]) -> dict[str, Any]:
    return {
        "trainer": first.trainer,
        "configuration": first.configuration,
        "checkpoints": {f"{path.parent.name}/{path.name}": sha256_of(path) for path in files.values()},
    }


def _check_range(weights: Mapping[int, Mapping[str, Any]], half: bool) -> None:
    for state_dict in weights.values() if half else ():
        for name, tensor in state_dict.items():
            if tensor.numel() and float(tensor.abs().max()) > LARGEST_FLOAT16:
                raise ModelError(f"{name} holds weights too large for half precision; pack them whole")


def _prove(package: ModelPackage) -> None:
    """Build the network and predict once: what fails now would fail in the operating room."""
    import torch

    try:
        from ..inference.nnunet import NnUNet
        from ..inference.runtime_choice import available_cpu_threads

        NnUNet(package, torch.device("cpu"), available_cpu_threads()).warm_up()
    except CrlmError:
        raise
    except Exception as error:  # nnU-Net's own code on files from elsewhere
        reason = (str(error).strip().splitlines() or [""])[0]
        raise ModelError(
            f"nnunetv2 {version('nnunetv2')} cannot build or run this network: {type(error).__name__}: {reason}"
        ) from error


def _move(made: Path, out: Path) -> None:
    """Move the files into place, the manifest last: until then there is no package."""
    out.mkdir(parents=True, exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)
    for old in [path for path in out.iterdir() if FOLD_PATTERN.fullmatch(path.name)]:
        old.unlink()
    for file in sorted(made.iterdir(), key=lambda path: path.name == MANIFEST):
        os.replace(file, out / file.name)
