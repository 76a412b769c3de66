"""Settings of a study, its presets, and the file that binds a folder to one study."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ...core.errors import CrlmError
from ...core.json_fields import listed
from ...core.json_files import read_json_object, shown
from ...core.output_files import atomic_files, make_folder
from ..training.presets import preset_named

NETWORKS = ("full", "crop", "crop+seed", "crop+clicks")
BASELINES = ("grow-cut", "region-growing")
METHODS = (*NETWORKS, *BASELINES)
SETTINGS_FILE = "study.json"
LEAST_PATIENTS = 2
PHANTOM_VERSION = 1
"""Of the patients: the published study was run on version 1, and goes on with it."""
FIRST_PHANTOM_SEED = 1000
"""Of the patients of seed 0: none of them is among those on whom the shipped model was trained (phantom seed 1), or
the parameters of region growing were chosen (the same)."""


@dataclass(frozen=True)
class Study:
    """Settings of a study.

    Attributes:
        patients: simulated to be trained on; held_out: others, on whom every method is measured.
        spacing_mm, crop_size_mm, crops_per_lesion: of the datasets, the same for all networks.
        folds: into which the patients are split; one fold is not trained on, but gives the validation curve.
        training: name of a preset of `training.presets`; epochs: None for the preset's.
        seed: of patients, crops, trainings and intervals.
        robustness_lesions, bootstrap_draws: see `evaluation.settings`.
    """

    preset: str
    patients: int
    held_out: int
    spacing_mm: float
    crops_per_lesion: int
    folds: int
    training: str
    epochs: int | None
    seed: int = 0
    crop_size_mm: float = 80.0
    bootstrap_draws: int = 2000

    @property
    def phantom_seed(self) -> int:
        return FIRST_PHANTOM_SEED + self.seed

    @property
    def used_folds(self) -> int:
        """The number of folds, at most the number of patients."""
        return min(self.folds, self.patients)


PRESETS = {
    "demo": Study("demo", 24, 10, spacing_mm=2.0, crops_per_lesion=2, folds=8, training="quick", epochs=10),
    "paper": Study("paper", 60, 25, spacing_mm=1.25, crops_per_lesion=3, folds=10, training="standard", epochs=None),
}
"""`paper` has as many patients as arXiv 2511.05253, 85; how they were divided there, the abstract does not say."""


def study_named(preset: str, changes: Mapping[str, Any]) -> Study:
    """Return a preset with the changes of the user; None keeps the value of the preset.

    Raises:
        CrlmError: there is no such preset, or a number that cannot be.
    """
    if preset not in PRESETS:
        raise CrlmError(f"there is no study {preset!r}; choose one of {', '.join(PRESETS)}")
    study = replace(PRESETS[preset], **{name: value for name, value in changes.items() if value is not None})
    preset_named(study.training)
    for name, least in (("patients", LEAST_PATIENTS), ("held_out", 1), ("epochs", 1), ("seed", 0)):
        value = getattr(study, name)
        if value is not None and value < least:
            raise CrlmError(f"{name.replace('_', ' ')} must be {least} or more, got {value}")
    return study


def check_methods(methods: Sequence[str]) -> tuple[str, ...]:
    """Return the methods in the order of `METHODS`, without repeats.

    Raises:
        CrlmError: one that there is not, or none.
    """
    unknown = [method for method in methods if method not in METHODS]
    if unknown or not methods:
        raise CrlmError(f"there is no method {', '.join(unknown) or 'named'}; choose of {', '.join(METHODS)}")
    return tuple(method for method in METHODS if method in methods)


def folder_name(method: str) -> str:
    """Return the folder name of a method."""
    return method.replace("+", "-")


def claim_folder(study: Study, out: Path) -> None:
    """Write study.json into a folder, or raise if the folder belongs to another study.

    Where and with how many processes it is computed is not part of it: a study may be ended on another machine. Nor
    are the methods: one may be added later.

    Raises:
        CrlmError: the folder holds another study, or things that are none.
    """
    make_folder(out)
    path, wanted = out / SETTINGS_FILE, {**asdict(study), "phantom_version": PHANTOM_VERSION}
    if path.is_file():
        _check_same(path, wanted)
        return
    if any(not entry.name.startswith(".") for entry in out.iterdir()):
        raise CrlmError(f"{out} holds files, but no {SETTINGS_FILE}; choose a new folder with --out")
    with atomic_files([path]) as (unfinished,):
        unfinished.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")


def _check_same(path: Path, wanted: Mapping[str, Any]) -> None:
    found = read_json_object(path, CrlmError, "restore it, or choose a new folder with --out")
    names = [name for name in {**wanted, **found} if found.get(name) != wanted.get(name)]
    if names:
        was = listed([f"{name} {shown(found.get(name))} instead of {shown(wanted.get(name))}" for name in names])
        raise CrlmError(f"{path.parent} holds another study ({was}); choose another folder with --out")
