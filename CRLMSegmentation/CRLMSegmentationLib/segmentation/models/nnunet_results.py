"""The results folder of an nnU-Net v2 training: its checkpoints, their trainer, and the plans of the network.

Imports nnunetv2, but only when called.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...core.errors import ModelError
from .checkpoints import Checkpoint
from .package import CONFIGURATION, DATASET, PLANS

FOLD_FOLDER = re.compile(r"fold_(\d+|all)")
OWN_TRAINERS = ("BudgetTrainer", "CRLMTrainer")
"""Trainers of `training`, which build the network of the plans."""
PLAIN_TRAINER = "nnUNetTrainer"
"""The usual one; that it builds the network of the plans need not be seen, and importing it takes many seconds."""


def folder_of_results(folder: Path) -> Path:
    """Return nnU-Net's folder of one configuration: the named one, or the only one in a dataset folder.

    Raises:
        ModelError: a dataset folder has none, or several; names them.
    """
    if (folder / PLANS).is_file() or not (folder / "results").is_dir():
        return folder
    trained = sorted({path.parent.parent for path in (folder / "results").glob("*/*/fold_*/checkpoint_*.pth")})
    if not trained:
        raise ModelError(f"nothing is trained in {folder} yet; train with: crlm-seg train {folder}")
    if len(trained) > 1:
        names = ", ".join(str(path) for path in trained)
        raise ModelError(f"{len(trained)} configurations are trained in {folder}; name one of {names}")
    return trained[0]


def checkpoint_files(results: Path, folds: Sequence[str | int] | None, kind: str) -> dict[str, Path]:
    """Return the checkpoints to pack, by fold as nnU-Net names it: "0", "1", ... or "all".

    Args:
        kind: "final" or "best".

    Raises:
        ModelError: one is missing; says what is there.
    """
    for name in (PLANS, DATASET):
        if not (results / name).is_file():
            raise ModelError(
                f"{results} has no {name}; name nnU-Net's folder of one configuration, with {PLANS}, {DATASET} and "
                "fold_0"
            )
    matches = [FOLD_FOLDER.fullmatch(path.name) for path in results.iterdir() if path.is_dir()]
    there = sorted((m[1] for m in matches if m), key=lambda fold: (len(fold), fold))
    numbered = [fold for fold in there if fold != "all"]
    wanted = [str(fold) for fold in folds] if folds else numbered or there
    missing = [fold for fold in wanted if fold not in there]
    if missing or not wanted:
        raise ModelError(f"{results} has no fold {', '.join(missing)}; it has: {', '.join(there) or 'none'}")
    if "all" in wanted and len(wanted) > 1:
        raise ModelError("fold_all was trained on everything; pack it, or the numbered folds")
    files = {fold: results / f"fold_{fold}" / f"checkpoint_{kind}.pth" for fold in wanted}
    for path in files.values():
        if not path.is_file():
            others = sorted(other.name for other in path.parent.glob("checkpoint_*.pth"))
            raise ModelError(
                f"{path.parent.name} has no {path.name}, but {', '.join(others) or 'no checkpoint at all'}; let the "
                "training end, choose another checkpoint (final or best), or leave out this fold"
            )
    return files


def agreed_checkpoint(read: Mapping[str, Checkpoint]) -> Checkpoint:
    """Return the checkpoint of the first fold, after a check that all folds agree.

    Raises:
        ModelError: the folds were not trained alike.
    """
    first = next(iter(read.values()))
    for fold, other in read.items():
        for key in ("trainer", "configuration", "mirroring_axes"):
            if getattr(other, key) != getattr(first, key):
                raise ModelError(
                    f"the folds were not trained alike: {key} of fold {fold} is {getattr(other, key)!r}, of the first "
                    f"{getattr(first, key)!r}; pack those that belong together"
                )
    return first


def check_trainer(name: str) -> None:
    """Refuse trainers whose network may be another one than that of the plans, with a ModelError.

    nnU-Net finds a trainer by importing all it has, and whatever a user's environment names; here the one file
    that defines it is imported.
    """
    if name in (*OWN_TRAINERS, PLAIN_TRAINER):
        return
    from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as base

    nnunet, folder = f"nnunetv2 {version('nnunetv2')}", Path(base.__file__).parent
    defines = re.compile(rf"^class {re.escape(name)}\(", re.MULTILINE)
    files = [path for path in folder.rglob("*.py") if defines.search(path.read_text(encoding="utf-8"))]
    if not files:
        raise ModelError(
            f"it was trained by {name}, which {nnunet} does not have: its network cannot be known. Train with one of "
            "nnU-Net's own trainers"
        )
    module = ".".join([*base.__package__.split("."), *files[0].relative_to(folder).with_suffix("").parts])
    try:
        trainer = getattr(importlib.import_module(module), name)
    except Exception as error:  # what it needs is not installed, or does not load
        raise ModelError(f"{name} of {nnunet} cannot be loaded here: {type(error).__name__}: {error}") from error
    if trainer.build_network_architecture is not base.nnUNetTrainer.build_network_architecture:
        raise ModelError(
            f"{name} builds another network than its plans say; only networks of the plans can be packed. Train with "
            "nnUNetTrainer, and choose the network by the plans"
        )


def plans_of_one(plans: dict[str, Any], configuration: str) -> dict[str, Any]:
    """Return the plans with one configuration only, its inherited settings resolved, under the name of packages.

    Raises:
        ModelError: it is not there, 2D, or the second stage of a cascade.
    """
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    try:
        resolved = dict(PlansManager(deepcopy(plans)).get_configuration(configuration).configuration)
        dimensions = len(resolved["patch_size"])
    except Exception as error:  # nnU-Net's own code on a file from elsewhere
        raise ModelError(f"{PLANS} does not tell {configuration}: {type(error).__name__}: {error}") from error
    if resolved.get("previous_stage"):
        raise ModelError(
            f"{configuration} is the second stage of a cascade, which needs the answer of the first; pack "
            f"{resolved['previous_stage']}, or a 3d_fullres"
        )
    if dimensions != 3:
        raise ModelError(f"{configuration} is a {dimensions}D network; packed are 3D ones, such as 3d_fullres")
    for key in ("inherits_from", "next_stage"):
        resolved.pop(key, None)
    return {**plans, "configurations": {CONFIGURATION: resolved}}
