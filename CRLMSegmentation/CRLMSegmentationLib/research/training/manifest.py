"""manifest.json of a dataset folder; it is written last, and marks the dataset as complete.

DATASET/manifest.json                     how it was prepared, patients, folds, images, and the hash of each file
DATASET/splits.json                       for each fold the images to train on and to validate on
DATASET/raw/Dataset511_NAME               images, labels and `dataset.json` as nnU-Net wants them
DATASET/preparing.json                    only until the manifest is there
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...core.errors import CrlmError, JsonError
from ...core.hashing import sha256_of
from ...core.json_fields import (
    ANY_TEXT,
    BOOLEAN,
    COUNT,
    LIST,
    NAME,
    NAMES,
    POINT,
    TEXT,
    TEXTS,
    FieldKind,
    check_object,
    is_file_name,
    is_list_of,
    is_object_of,
    is_object_with,
    is_text,
)
from ...core.json_files import read_json_object, shown
from ...core.volume_files import is_hidden
from .preparation import DATASET_WORD, dataset_name_of

SCHEMA_VERSION = 1
MANIFEST, SPLITS, UNDER_WAY, RAW = "manifest.json", "splits.json", "preparing.json", "raw"
DATASET_JSON, IMAGES, LABELS = "dataset.json", "imagesTr", "labelsTr"
ANEW = "prepare the dataset again, into another folder"
LEFT_OUT = FieldKind(
    "a list of case, lesion and text each", is_list_of(is_list_of(lambda text: isinstance(text, str), 3))
)
PREPARATION = {"name": DATASET_WORD, "labels_together": BOOLEAN.or_absent()}
FIELDS = {
    "preparation": FieldKind(
        "an object with the name of the dataset, labels_together true or false", is_object_with(PREPARATION)
    ),
    "versions": FieldKind("an object of texts", is_object_of(ANY_TEXT.holds)),
    "given": TEXTS,
    "cases": LIST,
    "held_out": LIST,
    "images": LIST,
    "folds": FieldKind("a list of lists of names", is_list_of(NAMES.holds)),
    "left_out": LEFT_OUT,
    "remarks": LEFT_OUT,
    "files": FieldKind("an object of file names and hashes", lambda value: _is_hashes(value)),
}
CASE = {
    "case_id": NAME,
    "patient": NAME,
    "sha256": TEXT,
    "simulated": BOOLEAN.or_null().required(),
    "echogenicity": ANY_TEXT,
    "size": ANY_TEXT,
    "fold": COUNT.or_null().required(),
    "lesions": NAMES,
    "images": NAMES,
}
IMAGE = {
    "name": NAME,
    "case_id": NAME,
    "lesion": NAME.or_null().required(),
    "seed_ras_mm": POINT.or_null().required(),
    "sha256": FieldKind("an object of file names and hashes", lambda value: _is_hashes(value)),
}
"""Of `manifest.json`, of each of its cases and of each of its images."""
SHOWN = 3
"""Names that an error lists."""


@dataclass(frozen=True)
class CaseEntry:
    """A case of a dataset.

    Attributes:
        simulated: None when it does not say.
        echogenicity, size: the stratum of its patient, see `splitting`.
        fold: that validates on it; None for what is held out.
        lesions: names of those that can be trained on.
        images: names of those that it gave.
    """

    case_id: str
    patient: str
    sha256: str
    simulated: bool | None
    echogenicity: str
    size: str
    fold: int | None
    lesions: tuple[str, ...]
    images: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageEntry:
    """An image of a dataset with its label.

    Attributes:
        lesion, seed_ras_mm: around which it was cut; None for a whole volume.
        sha256: of its files, by their path below the folder of nnU-Net's raw dataset.
    """

    name: str
    case_id: str
    lesion: str | None
    seed_ras_mm: tuple[float, float, float] | None
    sha256: Mapping[str, str]


@dataclass(frozen=True)
class Manifest:
    """The content of `manifest.json`.

    Attributes:
        preparation: see `Preparation.result_settings`.
        given: SHA-256 of every case that was asked for, sorted, those left out later included.
        cases, held_out: in the order of their names.
        folds: patients on whom each fold validates.
        left_out, remarks: [case, lesion, text] each.
        files: SHA-256 of the files that belong to no image, by their path below the dataset folder.
    """

    preparation: Mapping[str, Any]
    versions: Mapping[str, str]
    given: Sequence[str]
    cases: Sequence[CaseEntry]
    held_out: Sequence[CaseEntry]
    images: Sequence[ImageEntry]
    folds: Sequence[Sequence[str]]
    left_out: Sequence[Sequence[str]]
    remarks: Sequence[Sequence[str]]
    files: Mapping[str, str]

    @property
    def dataset_name(self) -> str:
        return dataset_name_of(self.preparation["name"])

    @property
    def labels_together(self) -> bool:
        """Whether unconnected parts of a label are one lesion, as they are in datasets without the setting."""
        return bool(self.preparation.get("labels_together", True))

    @property
    def splits(self) -> list[dict[str, list[str]]]:
        """The images of each fold, as in nnU-Net's `splits_final.json`."""
        fold_of = {image: case.fold for case in self.cases for image in case.images}
        return [
            {
                "train": [i.name for i in self.images if fold_of[i.name] != fold],
                "val": [i.name for i in self.images if fold_of[i.name] == fold],
            }
            for fold in range(len(self.folds))
        ]


def raw_folder(dataset: Path, dataset_name: str) -> Path:
    """Return the folder of nnU-Net's raw dataset."""
    return dataset / RAW / dataset_name


def read_manifest(dataset: Path) -> Manifest:
    """Read the manifest of a dataset folder.

    Raises:
        CrlmError: it is not prepared, not to its end, or by another version of this program.
    """
    path = dataset / MANIFEST
    if not path.is_file():
        unfinished = (dataset / UNDER_WAY).is_file()
        why = "its preparation was not finished" if unfinished else f"{MANIFEST} is missing"
        again = "run it again" if unfinished else "prepare one"
        raise CrlmError(f"{dataset} is no dataset: {why}; {again} with: crlm-seg prepare CASES --out {dataset}")
    entry = read_json_object(path, advice=f"it is damaged, {ANEW}")
    if "schema_version" not in entry:
        raise CrlmError(f"{path} is damaged: schema_version is missing, expected {SCHEMA_VERSION}; {ANEW}")
    version = entry.pop("schema_version")
    if version != SCHEMA_VERSION:
        raise CrlmError(f"{path} has schema version {shown(version)}, this program reads {SCHEMA_VERSION}; {ANEW}")
    try:
        check_object(entry, FIELDS, only_these=True)
        for part, kinds in (("cases", CASE), ("held_out", CASE), ("images", IMAGE)):
            for number, one in enumerate(entry[part]):
                check_object(one, kinds, f"{part}[{number}]", only_these=True)
    except JsonError as error:
        raise CrlmError(f"{path} is damaged: {error}; {ANEW}") from error
    return _manifest_of(entry)


def write_manifest(manifest: Manifest, dataset: Path) -> None:
    """Write `manifest.json` atomically."""
    write_json(dataset / MANIFEST, {"schema_version": SCHEMA_VERSION, **asdict(manifest)})


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file atomically."""
    unfinished = path.with_name(path.name + ".unfinished")
    with unfinished.open("w", encoding="utf-8") as stream:
        stream.write(json.dumps(content, indent=1, allow_nan=False) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(unfinished, path)


def verify_manifest(dataset: Path) -> Manifest:
    """Check every file of a dataset against its hash.

    Raises:
        CrlmError: as `read_manifest`; or a file is missing, changed, or was added to the images.
    """
    manifest = read_manifest(dataset)
    raw = Path(RAW) / manifest.dataset_name
    expected = {raw / name: sha256 for image in manifest.images for name, sha256 in image.sha256.items()}
    expected |= {Path(name): sha256 for name, sha256 in manifest.files.items()}
    inside = [path for part in (IMAGES, LABELS) for path in (dataset / raw / part).glob("*") if not is_hidden(path)]
    found = {path.relative_to(dataset) for path in inside}
    _refuse(dataset, "missing", [path for path in expected if not (dataset / path).is_file()])
    _refuse(dataset, "of unknown origin", found - set(expected))
    _refuse(dataset, "changed", [path for path, sha256 in expected.items() if sha256_of(dataset / path) != sha256])
    return manifest


def _refuse(dataset: Path, what: str, paths: Sequence[Path] | set[Path]) -> None:
    names = [path.as_posix() for path in sorted(paths)]
    verb = "is" if len(names) == 1 else "are"
    if names:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        raise CrlmError(f"{dataset} is not as it was prepared: {', '.join(names[:SHOWN])}{more} {verb} {what}; {ANEW}")


def _is_hashes(value: Any) -> bool:
    return is_object_of(is_text)(value) and all(map(is_file_name, value))


def _manifest_of(entry: dict[str, Any]) -> Manifest:
    cases = {
        part: tuple(
            CaseEntry(**{**case, "lesions": tuple(case["lesions"]), "images": tuple(case["images"])})
            for case in entry[part]
        )
        for part in ("cases", "held_out")
    }
    images = tuple(
        ImageEntry(**{**image, "seed_ras_mm": None if image["seed_ras_mm"] is None else tuple(image["seed_ras_mm"])})
        for image in entry["images"]
    )
    return Manifest(**{**entry, **cases, "images": images})
