"""Results of earlier steps of a study, read and checked from its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core.errors import CrlmError
from ...core.json_fields import (
    ANY_TEXT,
    LIST,
    NAME,
    NAMES,
    OBJECT,
    TEXT,
    FieldKind,
    check_object,
    is_list_of,
    is_object_with,
)
from ...core.json_files import read_json, read_json_object
from ..training.manifest import FIELDS as DATASET_FIELDS
from ..training.manifest import MANIFEST as DATASET_MANIFEST
from ..training.manifest import SPLITS
from ..training.progress import read_progress
from .steps import Document

EVALUATION = "evaluation.json"
REMOVE = "remove it, and run again"
MEASURED = FieldKind(
    "an object with cases and failed",
    is_object_with(
        {
            "cases": FieldKind("", is_list_of(is_object_with({"case_id": NAME, "sha256": TEXT}))),
            "failed": LIST,
        }
    ),
)
DOCUMENT = {
    "data": MEASURED,
    "model": OBJECT,
    "lesions": LIST,
    "devices": LIST,
    "versions": OBJECT,
    "regions": OBJECT,
}
ROW = {"case_id": NAME, "lesion": NAME, "about": OBJECT, "metrics": OBJECT.or_null(), "device": ANY_TEXT.or_null()}
"""What is used of an evaluation, and of each of its lesions."""


def read_dataset_summary(dataset: Path) -> dict[str, Any]:
    """Return folds and left-out lesions of a dataset; its images may have been removed."""
    path = dataset / DATASET_MANIFEST
    if not path.is_file():
        return {"folds": [[]], "left_out": []}
    manifest = read_json_object(path, advice=REMOVE)
    check_object(manifest, {name: DATASET_FIELDS[name] for name in ("folds", "left_out")}, f"{path}: ")
    if not manifest["folds"]:
        raise CrlmError(f"{path} has no folds; {REMOVE}")
    return manifest


def read_learning_curve(dataset: Path) -> list[dict[str, Any]]:
    """Return the learning curve of the trained fold, empty if there is none."""
    files = sorted(dataset.glob("results/*/*/fold_0/progress.jsonl"))
    return read_progress(files[0]) if files else []


def read_image_counts(dataset: Path) -> dict[str, int]:
    """Return the numbers of images for training and for the validation curve."""
    path = dataset / SPLITS
    if not path.is_file():
        return {}
    splits = read_json(path, advice=REMOVE)
    split = splits[0] if isinstance(splits, list) and splits else None
    check_object(split, {"train": NAMES, "val": NAMES}, f"{path}: [0]", only_these=True)
    return {name: len(images) for name, images in (split or {}).items()}


def read_evaluation(folder: Path) -> Document | None:
    """Return the evaluation in a folder, None if there is none.

    Raises:
        CrlmError: it is damaged.
    """
    path = folder / EVALUATION
    if not path.is_file():
        return None
    document = read_json_object(path, advice=REMOVE)
    check_object(document, DOCUMENT, f"{path}: ")
    for number, row in enumerate(document["lesions"]):
        check_object(row, ROW, f"{path}: lesions[{number}]")
    return document
