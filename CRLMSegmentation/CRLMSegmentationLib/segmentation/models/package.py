"""A model package: a folder with the weights of an nnU-Net v2 model, its plans and a manifest with its metadata.

    model.json           name, version, region, crop, spacing, what it was trained on, card, SHA-256 of the other files
    plans.json           nnU-Net's plans
    dataset.json         nnU-Net's description of channels and labels
    fold_0.safetensors   the weights; more folds are averaged

Made of nnU-Net's results by `pack.pack_model`; installed and found by name in `registry`. torch is imported
only by `write_model_package` and `export_nnunet`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.crop_format import CHANNEL_SETS, CHANNELS, CLICK_CHANNELS, REGIONS
from ...core.errors import ModelError, os_reason
from ...core.hashing import sha256_of
from ...core.json_fields import (
    ANY_TEXT,
    BOOLEAN,
    HASH,
    OBJECT,
    TEXT,
    TEXTS,
    FieldKind,
    first_problem,
    in_range,
    is_integer,
    is_list_of,
    is_object_with,
    listed,
)
from ...core.json_files import read_json_object, shown
from ...core.text import quoted
from .plan_names import foreign_names
from .weights import check_safetensors, load_weights, save_weights

if TYPE_CHECKING:
    import torch

SCHEMA_VERSION = 1
MANIFEST = "model.json"
PLANS = "plans.json"
DATASET = "dataset.json"
FOLD_PATTERN = re.compile(r"fold_(\d+)\.safetensors")
CONFIGURATION = "3d_fullres"
TRAINER = "nnUNetTrainer"
TUMOUR_LABEL = 1
NOT_FOR_CLINICAL_USE = "Research software. Not a medical device; not for clinical use."
MAX_WIDTH_MM = 5000.0
"""Of a crop, or of a voxel; as `core.geometry.MAX_EXTENT_MM`, which would load numpy."""
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Of names and versions: they become names of folders, and arguments on the command line."""
SIMULATED = BOOLEAN.or_null()
FIELDS = {
    "name": TEXT,
    "version": TEXT,
    "crop_size_mm": FieldKind("above 0, a width in mm", in_range(1e-3, MAX_WIDTH_MM)),
    "spacing_mm": FieldKind("above 0, a spacing in mm", in_range(1e-3, MAX_WIDTH_MM)),
    "channels": TEXTS.or_absent(),
    "mirroring_axes": FieldKind("a list of array axes 0 to 2", is_list_of(in_range(0, 2, is_integer))).or_absent(),
    "trained_on": FieldKind("an object that says whether it is simulated", is_object_with({"simulated": SIMULATED})),
    "intended_use": ANY_TEXT,
    "not_for_clinical_use": ANY_TEXT,
    "card": OBJECT.or_absent(),
    "source": OBJECT.or_absent(),
    "calibration": OBJECT.or_absent(),
    "region": TEXT.or_absent(),
    "one_pass": BOOLEAN.or_absent(),
    "files": OBJECT.or_absent(),
}
"""Of `model.json`."""
REQUIRED_INFO = ("name", "version", "crop_size_mm", "spacing_mm", "trained_on", "intended_use")


@dataclass(frozen=True)
class ModelPackage:
    """A model package; `load_model_package` has verified its files.

    Attributes:
        sha256: one hash over the hashes of the files; the identity of the model.
        crop_size_mm, spacing_mm: of the crops it is shown, cubes of cubic voxels. Where it is shown whole volumes,
            nothing is cut, and the size only tells how long those were on which it was trained.
        channels: what the network is shown, see `core.crop.network_input`.
        mirroring_axes: array axes along which it was trained with mirrored copies.
        folds: their numbers, ascending.
        simulated_only: it has never seen a real patient.
        card: figures and facts, as written by training.
        files: from their names to their SHA-256, the manifest excepted.
        source: of which checkpoints it was made, where that was written down.
        calibration: of its consensus surfaces, see `segmentation.calibration`; empty where not measured.
        region: how much of a volume it is shown, of `REGIONS`; "crop" where the manifest does not say.
        one_pass: a crop of its own size goes through the network as a whole, instead of in nnU-Net's patches; measured
            to be no worse for this model.
    """

    name: str
    version: str
    folder: Path
    sha256: str
    crop_size_mm: float
    spacing_mm: float
    channels: tuple[str, ...]
    mirroring_axes: tuple[int, ...]
    folds: tuple[int, ...]
    simulated_only: bool
    trained_on: dict[str, Any]
    intended_use: str
    not_for_clinical_use: str
    card: dict[str, Any]
    files: dict[str, str]
    source: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)
    region: str = REGIONS[0]
    one_pass: bool = False

    def plans(self) -> dict[str, Any]:
        return read_json(self.folder / PLANS)

    def dataset(self) -> dict[str, Any]:
        return read_json(self.folder / DATASET)

    def weights(self, fold: int) -> dict[str, torch.Tensor]:
        return load_weights(self.folder / f"fold_{fold}.safetensors")


def load_model_package(folder: Path | str) -> ModelPackage:
    """Read and verify a model package.

    Raises:
        ModelError: no package, a file missing or changed, an unknown version, or plans this project cannot run.
    """
    package = read_model_package(folder)
    try:
        for name, expected in package.files.items():
            _verify(package.folder / name, expected)
    except OSError as error:
        place = error.filename or package.folder
        raise ModelError(f"{place} cannot be read: {os_reason(error)}; copy the model again") from error
    _check_plans(package)
    return package


def read_model_package(folder: Path | str) -> ModelPackage:
    """Read the manifest of a model package without opening its other files.

    Raises:
        ModelError: no package, an unknown version, or a manifest that is wrong in itself.
    """
    folder = Path(folder).resolve()
    if not (folder / MANIFEST).is_file():
        raise ModelError(f"{folder} is no model package: it has no {MANIFEST}")
    manifest = read_json(folder / MANIFEST)
    problem = first_problem(manifest, FIELDS) if manifest.get("schema_version") == SCHEMA_VERSION else None
    if problem is not None:
        raise ModelError(f"{MANIFEST} of {folder.name} is incomplete or wrong: {problem}; copy it again")
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise ModelError(
            f"{folder.name} is a model package of version {shown(manifest.get('schema_version'))}, this program reads "
            f"version {SCHEMA_VERSION}; update the program or the model"
        )
    files = _listed_files(folder, manifest)
    try:
        return _from_manifest(folder, manifest, files)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{MANIFEST} of {folder.name} is incomplete or wrong: {error}; copy it again") from error


def default_model_package(models_folder: Path | str | None = None) -> ModelPackage:
    """Return the model that is shipped with the program.

    Raises:
        ModelError: there is none, or more than one.
    """
    if models_folder is None:
        from ...core.resources import resource_path

        models_folder = resource_path("Models")
    found = sorted(path.parent for path in Path(models_folder).glob(f"*/{MANIFEST}"))
    if not found:
        raise ModelError(f"no model package in {models_folder}; install the program again or name a model folder")
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ModelError(f"{len(found)} model packages in {models_folder}, name one: {names}")
    return load_model_package(found[0])


def model_or_default(wanted: Path | str | None) -> ModelPackage:
    """Return the model in a folder or of a name, else the default one; see `registry.find_model`."""
    from .registry import find_model

    return find_model(wanted)


def write_model_package(
    folder: Path | str,
    plans: dict[str, Any],
    dataset_json: dict[str, Any],
    state_dicts: Mapping[int, Mapping[str, torch.Tensor]],
    info: Mapping[str, Any],
    half: bool = True,
) -> ModelPackage:
    """Pack a trained model.

    Args:
        plans, dataset_json: as nnU-Net wrote them beside the checkpoints.
        state_dicts: from the number of a fold to its `network_weights`.
        info: the keys of `REQUIRED_INFO`, and optionally `channels`, `region`, `one_pass`, `card`, `mirroring_axes`,
            `not_for_clinical_use`, `source`.
        half: store float16, half the size; probabilities change by about 0.001.

    Raises:
        ModelError: something is missing from `info`, or the result does not verify.
    """
    folder = Path(folder)
    missing = [key for key in REQUIRED_INFO if key not in info]
    if missing or not state_dicts:
        raise ModelError(f"cannot pack a model without {', '.join(missing) or 'weights'}")
    folder.mkdir(parents=True, exist_ok=True)
    for old in [folder / MANIFEST, *folder.glob("fold_*.safetensors")]:
        old.unlink(missing_ok=True)
    _write_json(folder / PLANS, plans)
    _write_json(folder / DATASET, dataset_json)
    for fold, state_dict in state_dicts.items():
        save_weights(dict(state_dict), folder / f"fold_{int(fold)}.safetensors", half)
    names = [PLANS, DATASET, *sorted(path.name for path in folder.glob("fold_*.safetensors"))]
    optional = {"mirroring_axes": [0, 1, 2], "not_for_clinical_use": NOT_FOR_CLINICAL_USE, "card": {}}
    files = {name: sha256_of(folder / name) for name in names}
    _write_json(folder / MANIFEST, {"schema_version": SCHEMA_VERSION, **optional, **info, "files": files})
    return load_model_package(folder)


def add_calibration(package: ModelPackage, calibration: Mapping[str, Any]) -> ModelPackage:
    """Write a calibration into a package; its network and its hash stay the same.

    Raises:
        ModelError: the folder cannot be written to.
    """
    manifest = {**read_json(package.folder / MANIFEST), "calibration": dict(calibration)}
    unfinished = package.folder / (MANIFEST + ".unfinished")
    try:
        _write_json(unfinished, manifest)
        os.replace(unfinished, package.folder / MANIFEST)
    except OSError as error:
        raise ModelError(
            f"{package.folder} cannot be written to: {os_reason(error)}; import a copy of it first"
        ) from error
    return load_model_package(package.folder)


def export_nnunet(package: ModelPackage, folder: Path | str) -> Path:
    """Write an ordinary trained-model folder of nnU-Net v2, for `nnUNetv2_predict_from_modelfolder`.

    Returns:
        The folder, with `fold_N/checkpoint_final.pth`.
    """
    import torch

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / PLANS, package.plans())
    _write_json(folder / DATASET, package.dataset())
    for fold in package.folds:
        (folder / f"fold_{fold}").mkdir(exist_ok=True)
        checkpoint = {
            "network_weights": package.weights(fold),
            "trainer_name": TRAINER,
            "init_args": {"configuration": CONFIGURATION},
            "inference_allowed_mirroring_axes": package.mirroring_axes or None,
        }
        torch.save(checkpoint, folder / f"fold_{fold}" / "checkpoint_final.pth")
    return folder


def _from_manifest(folder: Path, manifest: dict[str, Any], files: dict[str, str]) -> ModelPackage:
    identity = "".join(f"{name} {files[name]}\n" for name in sorted(files))
    return ModelPackage(
        name=check_name(str(manifest["name"])),
        version=check_name(str(manifest["version"])),
        folder=folder,
        sha256=hashlib.sha256(identity.encode()).hexdigest(),
        crop_size_mm=_positive(manifest, "crop_size_mm"),
        spacing_mm=_positive(manifest, "spacing_mm"),
        channels=tuple(str(name) for name in manifest.get("channels", CHANNELS[:1])),
        mirroring_axes=tuple(int(axis) for axis in manifest.get("mirroring_axes", ())),
        folds=tuple(sorted(int(m.group(1)) for m in map(FOLD_PATTERN.fullmatch, files) if m)),
        simulated_only=manifest["trained_on"]["simulated"] is True,
        trained_on=manifest["trained_on"],
        intended_use=str(manifest["intended_use"]),
        not_for_clinical_use=str(manifest["not_for_clinical_use"]),
        card=dict(manifest.get("card", {})),
        files=files,
        source=dict(manifest.get("source", {})),
        calibration=dict(manifest.get("calibration", {})),
        region=check_region(manifest.get("region", REGIONS[0])),
        one_pass=bool(manifest.get("one_pass", False)),
    )


def crop_size_of(model: ModelPackage, wanted_mm: float | None = None) -> float | None:
    """Return the edge of the crop for a model in mm: as wanted, else its own; None for the whole volume.

    Raises:
        ModelError: a size is wanted of a model that is shown whole volumes.
    """
    if model.region == "crop":
        return wanted_mm or model.crop_size_mm
    if wanted_mm is not None:
        raise ModelError(f"{model.name} is shown the whole volume, so there is no crop to choose; leave the size out")
    return None


def takes_points(model: ModelPackage) -> bool:
    """Return whether correction points can be shown to a model."""
    return tuple(model.channels) == CLICK_CHANNELS


def check_takes_points(model: ModelPackage) -> None:
    """Raise unless correction points can be shown to a model.

    Raises:
        ModelError: it has no channels for them.
    """
    if not takes_points(model):
        raise ModelError(
            f"the model {model.name} takes no correction points; correct its segmentations by hand in the Segment "
            "Editor, or choose a model that takes points"
        )


def check_name(text: str) -> str:
    """Return the text if it can be the name or the version of a model.

    Raises:
        ValueError: says what a name may be.
    """
    if not NAME_PATTERN.fullmatch(text):
        raise ValueError(f"a name or version is up to 64 letters, digits and . _ -, got {quoted(text)}")
    return text


def check_region(text: str) -> str:
    """Return the text if it is one of `REGIONS`.

    Raises:
        ValueError: says what it may be.
    """
    if text not in REGIONS:
        raise ValueError(f"the region is one of {', '.join(REGIONS)}, got {quoted(text)}")
    return text


def _positive(manifest: dict[str, Any], key: str) -> float:
    value = float(manifest[key])
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{key} must be above 0, got {value}")
    return value


def _listed_files(folder: Path, manifest: dict[str, Any]) -> dict[str, str]:
    """Return the files of the package with their hashes; names that could lead outside the folder are refused."""
    files = manifest.get("files")
    if not isinstance(files, dict):
        raise ModelError(f"{MANIFEST} of {folder.name} lists no files; copy the model again")
    strange = [name for name in files if name not in (PLANS, DATASET) and not FOLD_PATTERN.fullmatch(name)]
    if strange:
        raise ModelError(f"{MANIFEST} of {folder.name} lists files that no model package has: {listed(strange)}")
    without = [name for name, sha256 in files.items() if not HASH.holds(sha256)]
    if without:
        problem = f"files.{without[0]} must be {HASH.expected}, got {shown(files[without[0]])}"
        raise ModelError(f"{MANIFEST} of {folder.name} is wrong: {problem}; copy the model again")
    folds = [name for name in files if FOLD_PATTERN.fullmatch(name)]
    absent = [name for name in (PLANS, DATASET) if name not in files] + ([] if folds else ["fold_0.safetensors"])
    if absent:
        raise ModelError(f"{MANIFEST} of {folder.name} does not list {', '.join(absent)}; copy the model again")
    return files


def _verify(path: Path, expected: str) -> None:
    if not path.is_file():
        raise ModelError(f"the model {path.parent.name} lacks {path.name}; copy it again")
    if path.resolve().parent != path.parent.resolve():
        raise ModelError(f"{path.name} of {path.parent.name} is a link out of its folder; copy the file there")
    if path.suffix == ".safetensors":
        check_safetensors(path)
    actual = sha256_of(path)
    if actual != expected:
        raise ModelError(
            f"{path.name} of the model {path.parent.name} is damaged or was changed: SHA-256 is {actual[:12]}…, "
            f"expected {str(expected)[:12]}…; copy the model again"
        )


def _check_plans(package: ModelPackage) -> None:
    """Refuse plans that do not belong to the manifest, or that would import code from elsewhere."""
    try:
        plans, dataset = package.plans(), package.dataset()
        configuration = plans["configurations"][CONFIGURATION]
        spacing_mm = [float(s) for s in configuration["spacing"]]
        channels, labels = dataset["channel_names"], dict(dataset["labels"])
        foreign = foreign_names(configuration, plans["label_manager"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"the plans of {package.name} lack {error!r} of {CONFIGURATION}; pack it again") from error
    if foreign:
        names = ", ".join(foreign)
        raise ModelError(f"the plans of {package.name} import {names}, which no U-Net needs; not opened")
    if not spacing_mm or not min(spacing_mm) * (1 - 1e-6) <= package.spacing_mm <= max(spacing_mm) * (1 + 1e-6):
        raise ModelError(f"{MANIFEST} says spacing {package.spacing_mm} mm, the plans {spacing_mm}; pack it again")
    labels.pop("ignore", None)  # not segmented: the network has no output for it
    if labels.get("background") != 0 or len(labels) != 2 or TUMOUR_LABEL not in labels.values():
        raise ModelError(f"expected the labels 0 and 1, {package.name} has {shown(labels)}")
    if len(channels) != len(package.channels) or package.channels not in CHANNEL_SETS:
        raise ModelError(
            f"{MANIFEST} of {package.name} names the channels {package.channels}, its {DATASET} {channels}; expected "
            f"{' or '.join(map(str, CHANNEL_SETS))}; pack it again"
        )


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file of a model.

    Raises:
        ModelError: it cannot be read, or holds no object.
    """
    return read_json_object(path, ModelError, f"copy the model {path.parent.name} again")


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:  # the same bytes, so the same hash, everywhere
        file.write(json.dumps(content, indent=1) + "\n")
