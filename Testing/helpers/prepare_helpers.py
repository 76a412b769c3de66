"""Patients to be learned from: dark boxes in speckle, so small that the answer is seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from CRLMSegmentationLib.core.geometry import transform_points
from CRLMSegmentationLib.core.volume import Volume, write_volume
from CRLMSegmentationLib.recording.case import Case, CaseLesion, save_case, save_volume_into_case
from CRLMSegmentationLib.recording.dataset import check_cases
from CRLMSegmentationLib.research.training.manifest import Manifest, raw_folder
from CRLMSegmentationLib.research.training.preparation import Preparation
from CRLMSegmentationLib.research.training.prepare import prepare_dataset

SIZE = 32
OBLIQUE = np.array([[0.6, -0.8, 0, 12], [0.8, 0.6, 0, -7], [0, 0, -1.5, 33], [0, 0, 0, 1]], float)
"""Turned, of longer voxels along k, and left-handed."""
PERMUTED = np.array([[0, 0, 1.2, 5], [-0.8, 0, 0, 9], [0, 1.0, 0, -4], [0, 0, 0, 1]], float)
FIRST = (slice(12, 20),) * 3
SECOND = (slice(22, 28),) * 3
SMALL = {"crop_size_mm": 24.0, "spacing_mm": 1.0, "crops_per_lesion": 2, "folds": 2, "processes": 1}


def speckle(number: int, boxes: Sequence[tuple[slice, ...]]) -> np.ndarray:
    array = np.random.default_rng(number).integers(100, 140, (SIZE,) * 3)
    for box in boxes:
        array[box] -= 80
    return array.astype(np.uint8)


def labels_of(boxes: Sequence[tuple[slice, ...]]) -> np.ndarray:
    labels = np.zeros((SIZE,) * 3, np.uint8)
    for number, box in enumerate(boxes, 1):
        labels[box] = number
    return labels


def write_patient(
    folder: Path,
    number: int = 0,
    boxes: Sequence[tuple[slice, ...]] = (FIRST,),
    ijk_to_ras: np.ndarray | None = None,
    array: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    listed: Sequence[int | None] | None = None,
    about: dict | None = None,
    source: dict | None = None,
    case_id: str | None = None,
) -> Case:
    """A case with a lesion in each box, in speckle of its number; `listed` are the labels of its lesions."""
    folder.mkdir(parents=True)
    matrix = np.eye(4) if ijk_to_ras is None else ijk_to_ras
    array = speckle(number, boxes) if array is None else array
    entry = save_volume_into_case(folder, "volume", Volume(array, matrix, "recvol_Reference", 100.0))
    write_volume(Volume(labels_of(boxes) if labels is None else labels, matrix), folder / "truth.nrrd")
    middles = [transform_points(matrix, [(part.start + part.stop - 1) / 2 for part in box[::-1]]) for box in boxes]
    listed = range(1, len(boxes) + 1) if listed is None else listed
    lesions = tuple(
        CaseLesion(f"Tumour {n}", tuple(map(float, middle)), label, about or {})
        for n, (middle, label) in enumerate(zip(middles, listed), 1)
    )
    source = {"kind": "simulated"} if source is None else source
    case = Case(folder, case_id or folder.name, (entry,), lesions, "truth.nrrd", source=source)
    save_case(case)
    return case


def prepare(cases: Path, out: Path, skip_bad: bool = False, **chosen) -> Manifest:
    """As the command does it, small unless said otherwise."""
    found, problems = check_cases(cases)
    return prepare_dataset(found, out, Preparation(**{**SMALL, **chosen}), problems=problems, skip_bad=skip_bad)


def read(out: Path, manifest: Manifest, name: str) -> tuple[sitk.Image, sitk.Image]:
    """The first channel and the label of an image."""
    raw = raw_folder(out, manifest.dataset_name)
    return tuple(sitk.ReadImage(str(raw / n)) for n in (f"imagesTr/{name}_0000.nii.gz", f"labelsTr/{name}.nii.gz"))


def volume_mm3(label: sitk.Image) -> float:
    return float(np.count_nonzero(sitk.GetArrayFromImage(label)) * np.prod(label.GetSpacing()))


def files_in(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with its size and the moment it was written."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}
