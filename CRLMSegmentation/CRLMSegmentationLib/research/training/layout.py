"""Paths in a dataset folder.

DATASET/manifest.json                                    written last by `crlm-seg prepare`
DATASET/splits.json                                      [{"train": [names], "val": [names]}, ...], one for each fold
DATASET/raw/DatasetNNN_NAME                              nnU-Net's raw format
DATASET/preprocessed/DatasetNNN_NAME                     written by `planning`
DATASET/results/DatasetNNN_NAME/TRAINER__PLANS__3d_fullres/fold_N    written by `fold_process`
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import CrlmError
from ...core.folder_lock import folder_lock
from ...core.json_fields import NAMES, check_object
from ...core.json_files import read_json, shown
from .manifest import MANIFEST, SPLITS, raw_folder
from .presets import CONFIGURATION, TRAINER, Preset

NNUNET_FOLDERS = ("raw", "preprocessed", "results")
SETTINGS, PROGRESS, CURVE, LOG = "training.json", "progress.jsonl", "learning-curve.png", "log.txt"
"""In the folder of a fold, beside nnU-Net's files."""
FINAL, LATEST = "checkpoint_final.pth", "checkpoint_latest.pth"


@dataclass(frozen=True)
class Layout:
    """Paths in a dataset folder.

    Attributes:
        root: the dataset folder.
        name: DatasetNNN_NAME.
    """

    root: Path
    name: str

    @classmethod
    def of_fold(cls, fold_folder: Path) -> Layout:
        results = fold_folder.resolve().parents[2]
        return cls(results.parent, fold_folder.resolve().parents[1].name)

    @property
    def number(self) -> int:
        return int(self.name[7:10])

    @property
    def raw(self) -> Path:
        return raw_folder(self.root, self.name)

    @property
    def preprocessed(self) -> Path:
        return self.root / "preprocessed" / self.name

    @property
    def planning_log(self) -> Path:
        return self.root / "preprocessed" / "planning-log.txt"

    @property
    def manifest(self) -> Path:
        return self.root / MANIFEST

    @property
    def splits(self) -> Path:
        return self.root / SPLITS

    def planned_mark(self, preset: Preset) -> Path:
        """Return the file that exists when the dataset is planned and preprocessed for a preset."""
        return self.preprocessed / f"{preset.plans}.done.json"

    def results_of(self, preset: Preset) -> Path:
        return self.root / "results" / self.name / f"{TRAINER}__{preset.plans}__{CONFIGURATION}"

    def fold_of(self, preset: Preset, fold: int) -> Path:
        return self.results_of(preset) / f"fold_{fold}"

    def environment(self) -> dict[str, str]:
        """Return nnU-Net's environment variables, some of which it reads on import."""
        return {f"nnUNet_{name}": str(self.root / name) for name in NNUNET_FOLDERS}

    def read_splits(self) -> list[Mapping[str, list[str]]]:
        """Read the training and validation images of each fold.

        Raises:
            CrlmError: the file is no list of splits, or a split has no training or no validation images.
        """
        splits = read_json(self.splits, CrlmError, "prepare the dataset again")
        if not isinstance(splits, list):
            raise CrlmError(f"{self.splits} must be a list of splits, got {shown(splits)}; prepare the dataset again")
        for number, split in enumerate(splits):
            check_object(split, {"train": NAMES, "val": NAMES}, f"{self.splits}: [{number}]", CrlmError)
        empty = [n for n, split in enumerate(splits) if not (split["train"] and split["val"])]
        if empty or not splits:
            raise CrlmError(
                f"{self.splits}: fold {', '.join(map(str, empty)) or 0} has nothing to train or nothing to validate "
                "on; prepare with more patients or fewer folds"
            )
        return splits


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path whose file replaces `path` atomically at the end."""
    unfinished = path.with_name(f".unfinished-{path.name}")
    yield unfinished
    with unfinished.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(unfinished, path)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a folder, and keep other processes that ask for its lock out of it while the block lasts.

    Raises:
        FolderLockedError: another process works there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with folder_lock(folder):
        yield
