"""The dataset of a training or an evaluation: cases that are checked before anything is computed.

Taken are a case folder, a folder of case folders, and a folder of pairs `NAME.nrrd` with `NAME-label.nrrd`
(any volume suffix; `NAME-label.seg.nrrd` of 3D Slicer as well): in a label each number from 1 on is a lesion, and its
deepest voxel the seed. Parts of one number that lie apart are lesions of their own, see `components`.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

import numpy as np
from scipy import ndimage

from ..core.box import Box
from ..core.crop import check_seed
from ..core.errors import CaseError, CrlmError
from ..core.field_of_view import is_uniform
from ..core.geometry import transform_points
from ..core.hashing import sha256_of
from ..core.parallel import InProcess
from ..core.progress import OnProgress
from ..core.tasks import Done, Outcome, TaskFailure, TaskNeeds, TaskRunner, run_tasks
from ..core.volume import Volume
from ..core.volume_files import data_files_of, is_hidden, volume_stem, volume_suffix
from ..core.volume_reading import check_intensities, read_labels, segment_names
from .case import CASE_FILE, Case, CaseLesion, CaseVolume, is_case_folder, load_case
from .case_storage import RemoteCase, RemoteCases
from .label_components import SplitLabels, numbers_of, split_labels

LABEL_MARK = "-label"
SHORT_HASH = 16
"""Hexadecimal digits of a case's SHA-256 by which a model says what it was trained on."""
CHECKING = TaskNeeds(memory_gb=1.0)
"""What reading and checking a case needs."""


@dataclass(frozen=True)
class CaseProblem:
    """The reason why a case, or one of its lesions, cannot be evaluated; `lesion` is empty for the whole case."""

    case: str
    lesion: str
    text: str


@dataclass(frozen=True, eq=False)
class CheckedCase:
    """A case that can be evaluated.

    Attributes:
        lesions: those with a ground truth and a seed in the field of view; their labels are those of `truth_labels`.
        sha256: changes when anything in the case does.
        labels_together: parts of a label that lie apart are one lesion.
        warnings: what is not wrong, but to be known, such as a label of which several lesions were made.
        remote: where the case is stored, if it is not on a file system; see `at_hand`.
    """

    case: Case
    lesions: tuple[CaseLesion, ...]
    sha256: str
    labels_together: bool = False
    warnings: tuple[CaseProblem, ...] = ()
    remote: RemoteCase | None = None

    @contextmanager
    def at_hand(self) -> Iterator[CheckedCase]:
        """Return this case with its files on this machine while the block lasts.

        Raises:
            CaseError: the storage cannot be read, or holds another case than the one that was checked.
        """
        if self.remote is None:
            yield self
            return
        with self.remote.at_hand() as folder:
            if _folder_sha256(folder) != self.sha256:
                raise CaseError(f"{self.remote} has changed since it was checked; run the same command again")
            yield replace(self, case=replace(self.case, folder=folder))

    @property
    def case_id(self) -> str:
        return self.case.case_id

    @property
    def patient(self) -> str:
        """The patient: two cases of one patient name him in `source`, as {"patient": "P7"}; else the case_id."""
        named = self.case.source.get("patient")
        return str(named) if named else self.case_id

    @property
    def simulated(self) -> bool | None:
        """Whether the case is simulated; None when it does not say where it came from."""
        return self.case.source["kind"] == "simulated" if "kind" in self.case.source else None

    def truth_labels(self) -> Volume:
        """Return the ground truth with a number of its own for each lesion."""
        return split_labels(_labels_of(self.case), self.labels_together).labels

    def truth_of(self, lesion: CaseLesion, volume: Volume, labels: Volume | None = None) -> np.ndarray:
        """Return the ground-truth mask of one of `lesions`: bool, shape (K, J, I) of the volume.

        Args:
            labels: those of `truth_labels`, where they are read already.

        Raises:
            CaseError: the ground truth lies on another grid than the volume.
        """
        mask = self.case.truth_of(lesion, volume, labels or self.truth_labels())
        if mask is None:  # each of `lesions` has a label
            raise CaseError(f"{lesion.name} of {self.case_id} has no label")
        return mask

    def read_volume(self) -> Volume:
        """Read the volume as it would come over OpenIGTLink, which does not send the mask of insonified voxels."""
        return without_insonified_mask(self.case.volume())


def _labels_of(case: Case) -> Volume:
    labels = case.truth_labels()
    if labels is None:
        raise CaseError("has no truth to compare with; name its labels as truth in case.json")
    return labels


def without_insonified_mask(volume: Volume) -> Volume:
    return replace(volume, insonified=None)


def check_cases(
    path: Path | RemoteCases,
    on_progress: OnProgress = lambda *_: None,
    only: Collection[str] | None = None,
    labels_together: bool = False,
    runner: TaskRunner | None = None,
) -> tuple[list[CheckedCase], list[CaseProblem]]:
    """Find the cases below a folder and read all of each once.

    Args:
        path: a folder, or a storage of case folders.
        only: hashes of cases, whole or `SHORT_HASH` digits; others are passed over unread. None for all.
        labels_together: parts of a label that lie apart are one lesion.
        runner: reads the cases; None for this process.

    Returns:
        The cases that can be evaluated, by name, and what is wrong with the others.

    Raises:
        CaseError: there is no case at all.
    """
    runner = runner or InProcess()
    sources: list[Path | RemoteCase] = []
    if isinstance(path, RemoteCases):
        sources += path.cases()
    else:
        sources += _sources_in(path)
        runner.check_folder(path)
    if not sources:
        raise CaseError(
            f"no case in {path}; give a case folder, a folder of them, or pairs NAME.nrrd and NAME{LABEL_MARK}.nrrd"
        )
    cases: dict[str, CheckedCase] = {}
    problems: list[CaseProblem] = []
    wanted = None if only is None else frozenset(short_hashes(only))
    jobs = [(source, wanted, labels_together) for source in sources]
    done = itertools.count(1)

    def tell(_: int, outcome: Outcome[_Found]) -> None:
        on_progress("Checking the cases", next(done), len(sources))

    for source, outcome in zip(sources, run_tasks(runner, _check_source, jobs, CHECKING, tell)):
        if isinstance(outcome, TaskFailure):
            problems.append(CaseProblem(source.name, "", outcome.reason))
        if not isinstance(outcome, Done):
            continue
        checked, found = outcome.value
        if checked is not None and checked.case_id in cases:
            text = _same_name(source, cases[checked.case_id].case)
            checked, found = None, [CaseProblem(source.name, "", text)]
        problems += found
        if checked is not None:
            cases[checked.case_id] = checked
    return [cases[name] for name in sorted(cases)], problems


_Found = tuple[Optional[CheckedCase], list[CaseProblem]]


def _check_source(job: tuple[Path | RemoteCase, frozenset[str] | None, bool]) -> _Found:
    """Read and check the case at a place, as a task."""
    source, wanted, labels_together = job
    if isinstance(source, Path):
        return _checked(source, wanted, labels_together)
    with source.at_hand() as folder:
        checked, problems = _checked(folder, wanted, labels_together)
    return checked and replace(checked, remote=source), problems


def _same_name(source: Path | RemoteCase, other: Case) -> str:
    """Return the error about two cases of one name; a folder is named by its case_id, a volume by its file."""
    if isinstance(source, RemoteCase) or source.is_dir():
        return f"has the name {other.case_id} as well as {other.folder}; give each case its own case_id"
    is_pair = other.folder == source.parent
    place = other.folder / other.volumes[0].file if is_pair else other.folder
    end = "keep the right one" if is_pair else "rename the volume and its label"
    return f"has the name {other.case_id} as well as {place}; {end}"


def short_hashes(hashes: Iterable[str]) -> list[str]:
    return [sha256[:SHORT_HASH] for sha256 in hashes]


def table_of(problems: Sequence[CaseProblem]) -> str:
    """Return the problems in three columns, for a terminal."""
    rows = [("Case", "Lesion", "What is wrong"), *((p.case, p.lesion or "all", p.text) for p in problems)]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(f"{case:<{widths[0]}}  {lesion:<{widths[1]}}  {text}" for case, lesion, text in rows)


def _sources_in(path: Path) -> list[Path]:
    """Return the case folders and the volumes with a label file beside them; volumes that lack one are listed too."""
    if not path.is_dir():
        raise CaseError(f"{path} is no folder; give a case folder, or a folder of cases")
    if is_case_folder(path):
        return [path]
    inside = sorted(entry for entry in path.iterdir() if not is_hidden(entry))
    folders = [p for p in inside if is_case_folder(p)]
    files = [p for p in inside if p.is_file() and volume_suffix(p)]
    labels = [p for p in files if _is_label(p)]
    volumes = [p for p in files if p not in labels]
    stems = {volume_stem(p).lower() for p in volumes}
    alone = [p for p in labels if volume_stem(p)[: -len(LABEL_MARK)].lower() not in stems]
    return [*folders, *volumes, *alone]


def _is_label(path: Path) -> bool:
    return volume_stem(path).lower().endswith(LABEL_MARK)


def _checked(
    source: Path, wanted: Collection[str] | None, labels_together: bool
) -> tuple[CheckedCase | None, list[CaseProblem]]:
    """Read and check a case; return it, or None, and its problems."""
    if source.is_dir():
        sha256 = _folder_sha256(source)
    elif _is_label(source):
        stem = volume_stem(source)[: -len(LABEL_MARK)]
        raise CaseError(f"is a label without a volume; expected {stem}.nrrd beside it")
    else:
        sha256 = _pair_sha256(source)
    if wanted is not None and sha256[:SHORT_HASH] not in wanted:
        return None, []
    case = load_case(source, verify_recording=False) if source.is_dir() else _pair(source)
    labels = _labels_of(case)
    volume = without_insonified_mask(case.volume())
    if source.is_file():  # a case was written by this program, a pair comes from elsewhere
        check_intensities(volume)
    if not case.lesions:
        raise CaseError("has no lesion; list them in case.json with seed and label")
    split = split_labels(labels, labels_together)
    problems, lesions = [], []
    listed, warnings = _lesions_of(case, split)
    case = replace(case, lesions=tuple(listed))
    if is_uniform(volume.array):
        warnings.append(
            ("", f"every voxel of its volume holds the same value, {volume.array.flat[0]:g}; export it again")
        )
    taken: dict[int, str] = {}
    for lesion in listed:
        try:
            _check_lesion(case, lesion, volume, split.labels)
            if lesion.label is None:
                lesions.append(lesion)
                continue
            if lesion.label in taken:
                other = taken[lesion.label]
                raise CaseError(f"has the label {lesion.label} as well as {other}; give each lesion its own")
            taken[lesion.label] = lesion.name
            lesions.append(lesion)
        except CrlmError as error:
            problems.append(CaseProblem(case.case_id, lesion.name, str(error)))
    told = tuple(CaseProblem(case.case_id, name, text) for name, text in warnings)
    return (CheckedCase(case, tuple(lesions), sha256, labels_together, told) if lesions else None), problems


def _lesions_of(case: Case, split: SplitLabels) -> tuple[list[CaseLesion], list[tuple[str, str]]]:
    """Return the lesions of a case, one for each part of its labels, and warnings by lesion ("" for the case).

    A listed lesion is the part in which its seed lies, else the nearest. Parts without a listed one are added.
    """
    lesions, warnings = [], [("", text) for text in split.warnings]
    taken = {lesion.name for lesion in case.lesions}
    claimed: set[int] = set()
    for lesion in case.lesions:
        parts = split.parts.get(lesion.label, ()) if lesion.label is not None else ()
        if not parts:
            lesions.append(lesion)
            continue
        away_mm = [_distance_mm(lesion.seed_ras_mm, split.labels, part) for part in parts]
        nearest = int(np.argmin(away_mm))
        claimed.add(parts[nearest])
        name = _free_name(f"{lesion.name}.{nearest + 1}", taken) if len(parts) > 1 else lesion.name
        lesions.append(replace(lesion, name=name, label=parts[nearest]))
        if away_mm[nearest] > 0:
            warnings.append((name, f"its seed lies {away_mm[nearest]:.1f} mm outside its truth; check seed and label"))
    by_label = {lesion.label: lesion for lesion in reversed(case.lesions) if lesion.label is not None}
    for label, lesion in by_label.items():
        for number, part in enumerate(split.parts.get(label, ()), 1):
            if part not in claimed:
                seed = _deepest(split.labels.array == part, split.labels)
                lesions.append(CaseLesion(_free_name(f"{lesion.name}.{number}", taken), seed, part))
    return lesions, warnings


def _free_name(wanted: str, taken: set[str]) -> str:
    """Return the wanted name, numbered where another lesion has it, and add it to `taken`."""
    others = (f"{wanted} ({number})" for number in itertools.count(2))
    name = next(name for name in itertools.chain([wanted], others) if name not in taken)
    taken.add(name)
    return name


def _distance_mm(point_ras_mm: Sequence[float], labels: Volume, number: int) -> float:
    """Return the distance from a point to the nearest voxel with a label, in mm; 0 within that voxel."""
    kji = np.argwhere(labels.array == number)
    seed_ijk = transform_points(labels.ras_to_ijk, np.asarray(point_ras_mm, dtype=float))
    beyond_ijk = np.maximum(np.abs(kji[:, ::-1] - seed_ijk) - 0.5, 0)
    return float(np.linalg.norm(beyond_ijk * labels.spacing_mm, axis=1).min())


def _check_lesion(case: Case, lesion: CaseLesion, volume: Volume, labels: Volume) -> None:
    if lesion.label is None:
        raise CaseError(f"has no label in {case.truth}; add its number as label in case.json")
    case.truth_of(lesion, volume, labels)
    check_seed(volume, np.array(lesion.seed_ras_mm))


def _folder_sha256(folder: Path) -> str:
    return sha256_of(folder / CASE_FILE) if (folder / CASE_FILE).is_file() else ""


def _label_beside(path: Path) -> Path:
    wanted = f"{volume_stem(path)}{LABEL_MARK}".lower()
    beside = (entry for entry in sorted(path.parent.iterdir()) if entry.is_file() and volume_suffix(entry))
    labels = [entry for entry in beside if volume_stem(entry).lower() == wanted]
    if not labels:
        raise CaseError(f"has no label beside it; expected {volume_stem(path)}{LABEL_MARK}{volume_suffix(path)}")
    if len(labels) > 1:
        names = ", ".join(label.name for label in labels)
        raise CaseError(f"has {len(labels)} labels beside it ({names}); keep the right one")
    return labels[0]


def _pair_sha256(path: Path) -> str:
    """Return one SHA-256 over a volume, its label, and the data files of detached headers."""
    both = [path, _label_beside(path)]
    files = [*both, *(data for header in both for data in data_files_of(header) if data.is_file())]
    return hashlib.sha256("".join(map(sha256_of, files)).encode()).hexdigest()


def _pair(path: Path) -> Case:
    """Make a case of a volume and its label file."""
    stem, label_path = volume_stem(path), _label_beside(path)
    label, names = read_labels(label_path), segment_names(label_path)
    array, numbers = numbers_of(label)
    if not numbers:
        raise CaseError(f"{label_path.name} is empty: no voxel holds a number from 1 on; segment the lesions")
    taken = {names[n] for n in numbers if n in names}
    names = {n: names[n] if n in names else _free_name(f"Tumour {n}", taken) for n in numbers}
    lesions = tuple(CaseLesion(names[n], _deepest(array == n, label), n) for n in numbers)
    return Case(path.parent, stem, (CaseVolume(path.name, stem, 0.0),), lesions, label_path.name)


def _deepest(mask: np.ndarray, volume: Volume) -> tuple[float, float, float]:
    r, a, s = (float(x) for x in deepest_point(mask, volume.ijk_to_ras))
    return r, a, s


def deepest_point(mask: np.ndarray, ijk_to_ras: np.ndarray) -> np.ndarray:
    """Return the centre, RAS mm, of the voxel of a mask (K, J, I) that is farthest from its border.

    Of several, as in a slab or a box, the one in their middle.
    """
    box = Box.of_nonempty_mask(mask)
    spacing_kji = np.linalg.norm(ijk_to_ras[:3, :3], axis=0)[::-1]
    depth = ndimage.distance_transform_edt(np.pad(mask[box.slices], 1), sampling=spacing_kji)[1:-1, 1:-1, 1:-1]
    deepest = np.argwhere(depth >= depth.max() - 1e-6)
    away = np.linalg.norm((deepest - deepest.mean(axis=0)) * spacing_kji, axis=1)
    kji = deepest[np.argmin(away)] + box.start_kji
    return transform_points(ijk_to_ras, kji[::-1])
