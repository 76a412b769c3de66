"""The case: one recorded patient or phantom in one folder.

    case.json          what is in the folder, see `Case`
    *.nrrd             volumes and truth, with space directions
    *.nhdr             volumes whose voxels lie in another file, such as a recording
    tracking.jsonl     one transform per line, append-only
    messages.igtl      a recording: what came over OpenIGTLink, as it came, see `recording.message_log`
    arrivals.jsonl     when it came
    events.jsonl       a session recording: what happened in a session, see `recording.session_events`
    results/*.nrrd     the masks that it speaks of

`case.json` names every other file with its SHA-256, holds seeds in RAS mm and no patient data.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..core.errors import CaseError, CrlmError, JsonError, os_reason
from ..core.hashing import sha256_of
from ..core.json_fields import DEVICE, LABEL, MATRIX, STATUS, TIME, check_object
from ..core.json_files import Damage, check_values, json_lines, open_regular, read_json_object, shown
from ..core.volume import Volume, read_volume, write_volume
from ..core.volume_files import VOLUME_SUFFIXES, data_files_of, volume_suffix
from ..core.volume_reading import read_labels
from .case_entries import check_entries

SCHEMA_VERSION = 1
CASE_FILE = "case.json"
TRACKING_FILE = "tracking.jsonl"
RECORDING_FILE = "messages.igtl"
DETACHED_HEADER_SUFFIX = ".nhdr"
DETACHED_SUFFIXES = (".nhdr", ".mhd")
UNFINISHED_SUFFIX = ".unfinished"
SAME_PLACE_MM = 1e-3
"""OpenIGTLink carries matrices in single precision."""
OPTIONAL_ENTRIES = ("truth", "tracking", "recording", "arrivals", "frame", "devices", "source", "events")
SESSION_ENTRIES = ("events", "results")
"""Only in a case that holds them."""
SAMPLE = {"timestamp_s": TIME, "device": DEVICE, "status": STATUS, "matrix": MATRIX}
"""A line of a tracking file."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CaseVolume:
    """A volume of a case; `swept` names the file of its mask of insonified voxels, if there is one."""

    file: str
    device: str
    timestamp_s: float
    swept: str | None = None


@dataclass(frozen=True)
class CaseLesion:
    """A lesion of a case; `label` is its number in the ground-truth file, `about` holds what else is known of it."""

    name: str
    seed_ras_mm: tuple[float, float, float]
    label: int | None = None
    about: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class TrackingSample:
    """A recorded transform in mm; `status` is OK, MISSING or INVALID."""

    timestamp_s: float
    device: str
    status: str
    matrix: np.ndarray


@dataclass(frozen=True)
class Case:
    """A case: the content of `case.json`, and the folder in which it lies.

    Attributes:
        volumes: may be empty where there is a recording, such as a sweep that was not reconstructed.
        recording: file of the messages that came over OpenIGTLink, which hold all that was received; the volumes
            and `tracking` are taken from it.
        arrivals: file that says when they came.
        frame: the frame in which volumes, truth and seeds live; shown as RAS.
        devices: role to device name, such as {"probe": "ProbeToReference"}.
        source: where it came from, such as {"kind": "simulated", "seed": 7}.
        events: file of what happened in the session.
        results: files of the masks that were found in it.
    """

    folder: Path
    case_id: str
    volumes: tuple[CaseVolume, ...]
    lesions: tuple[CaseLesion, ...] = ()
    truth: str | None = None
    tracking: str | None = None
    recording: str | None = None
    arrivals: str | None = None
    frame: str = "Reference"
    devices: dict[str, str] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    events: str | None = None
    results: tuple[str, ...] = ()

    @property
    def volume_devices(self) -> frozenset[str]:
        """The OpenIGTLink device names of the volumes."""
        return frozenset(volume.device for volume in self.volumes)

    def volume(self, index: int = 0) -> Volume:
        """Read a volume with the mask of its insonified voxels.

        Raises:
            CaseError: the case holds no volume, but only a recording; or its mask of insonified voxels lies elsewhere,
                or is no mask.
        """
        if not self.volumes:
            raise CaseError(no_volume_in(self))
        entry = self.volumes[index]
        read = self.read_volume(entry.file)
        insonified = self._insonified_of(entry.swept, read) if entry.swept else None
        return Volume(read.array, read.ijk_to_ras, entry.device, entry.timestamp_s, insonified, read.missing)

    def _insonified_of(self, name: str, volume: Volume) -> np.ndarray:
        """Read the mask of the insonified voxels of a volume: bool, shape (K, J, I)."""
        mask = self.read_volume(name)
        if not _is_on_grid_of(mask, volume):
            raise CaseError(
                f"the mask of insonified voxels {name} of {self.case_id} lies on another grid than its volume; "
                "resample it onto that"
            )
        if mask.missing is not None or (mask.array.dtype.kind == "f" and (mask.array != np.rint(mask.array)).any()):
            raise CaseError(
                f"the mask of insonified voxels {name} of {self.case_id} holds fractions or NaN; expected whole "
                "numbers, 0 where nothing was imaged"
            )
        return mask.array > 0

    def path_of(self, name: str) -> Path:
        """Return the path of a file of the case, after checking that it is inside the folder.

        Raises:
            CaseError: the name, or a link of that name, leads out of the folder.
        """
        return path_inside(self.folder, name)

    def read_volume(self, name: str) -> Volume:
        """Read a volume file of the case; its voxels must lie in the case as well.

        Raises:
            CaseError: it leads out of the folder.
            VolumeError, GeometryError: it cannot be read.
        """
        return read_volume(self.path_of(name), root=self.folder)

    @property
    def named_files(self) -> list[str]:
        """Names of the files that the entries of `case.json` name."""
        names = [n for v in self.volumes for n in (v.file, v.swept)]
        names += [self.truth, self.tracking, self.recording, self.arrivals, self.events, *self.results]
        return list(dict.fromkeys(name for name in names if name))

    @property
    def file_names(self) -> list[str]:
        """Names of all files beside `case.json`, those to which detached headers point included.

        Raises:
            CaseError: a header does not say where its voxels are, or cannot be read.
        """
        return list(dict.fromkeys([*self.named_files, *self.data_files(VOLUME_SUFFIXES)]))

    def data_files(self, suffixes: Container[str]) -> list[str]:
        """Names of the files in which headers of the case keep their voxels, those outside the folder included.

        Args:
            suffixes: of the headers that are looked at.

        Raises: see `file_names`.
        """
        names = [name for name in self.named_files if volume_suffix(name) in suffixes]
        found = [path for name in names for path in self._data_files_of(name)]
        return list(dict.fromkeys(Path(os.path.relpath(path, self.folder)).as_posix() for path in found))

    def _data_files_of(self, name: str) -> tuple[Path, ...]:
        path = self.path_of(name)
        if not path.is_file():
            return ()
        try:
            found = data_files_of(path, root=Path(path.resolve().anchor))
        except CrlmError as error:
            raise CaseError(f"{name} must name one file that holds its voxels, or hold them itself: {error}") from error
        if len(found) > 1:
            raise CaseError(f"{name} must name one file that holds its voxels, got {len(found)}; save it as one")
        return found

    def truth_of(self, lesion: CaseLesion, volume: Volume, labels: Volume | None = None) -> np.ndarray | None:
        """Return the ground-truth mask of a lesion: bool, shape (K, J, I) of the volume; None where it is not known.

        Args:
            labels: in place of `truth_labels`, such as with other numbers.

        Raises:
            CaseError: the ground truth lies on another grid than the volume, or does not hold the lesion.
        """
        labels = labels or self.truth_labels()
        if labels is None or lesion.label is None:
            return None
        if not _is_on_grid_of(labels, volume):
            raise CaseError(f"the ground truth of {self.case_id} lies on another grid than its volume; resample it")
        mask: np.ndarray = labels.array == lesion.label
        if not LABEL.holds(lesion.label) or not mask.any():
            raise CaseError(
                f"{self.truth} of {self.case_id} has no voxel with the label {lesion.label!r} of {lesion.name}; "
                f"correct the label in {CASE_FILE}, or remove it"
            )
        return mask

    def truth_labels(self) -> Volume | None:
        """Read the ground truth on its own grid, lesion numbers as voxel values; None where there is none."""
        return read_labels(self.path_of(self.truth), self.folder) if self.truth else None

    def tracking_samples(self, damage: Damage | None = None) -> Iterator[TrackingSample]:
        """Read the recorded transforms in their order; a line that holds none is left out.

        Args:
            damage: takes note of the lines that were left out; `Damage.sentence` tells of them. None logs them.

        Raises:
            CaseError: the file cannot be read.
        """
        if not self.tracking:
            return
        found = Damage() if damage is None else damage
        path = self.path_of(self.tracking)
        try:
            with open_regular(path) as stream:
                for line in json_lines(stream):
                    sample, problem = (None, line.problem) if line.problem else _sample_or_problem(line.value)
                    if sample is None:
                        found.add(line, problem)
                    else:
                        yield sample
        except OSError as error:
            raise CaseError(f"{path} cannot be read: {os_reason(error)}; copy the case again") from error
        if damage is None and found.is_any:
            logger.warning("%s: %s", self.case_id, found.sentence(self.tracking))


def _is_on_grid_of(mask: Volume, volume: Volume) -> bool:
    same_place = np.allclose(mask.ijk_to_ras, volume.ijk_to_ras, atol=SAME_PLACE_MM)
    return mask.array.shape == volume.array.shape and same_place


def no_volume_in(case: Case) -> str:
    """Return why a case cannot be segmented, and what to do."""
    return (
        f"{case.case_id} holds no volume, only a recording of poses and single images; "
        "reconstruct a volume from it, or give a case with one"
    )


def path_inside(folder: Path, name: str) -> Path:
    """Return the path of a file in a folder, after checking that it is inside.

    Raises:
        CaseError: the name, or a link of that name, leads out of the folder.
    """
    path = folder / name
    try:
        is_inside = "\0" not in name and folder.resolve() in path.resolve().parents
    except (OSError, RuntimeError) as error:  # a loop of links
        raise CaseError(f"{name!r} in {folder.name} cannot be followed: {error}; copy the folder again") from error
    if not is_inside:
        raise CaseError(f"{CASE_FILE} names a file outside its folder: {name!r}; copy the file into the folder")
    return path


def _sample_or_problem(entry: Any) -> tuple[TrackingSample | None, str]:
    """Return the transform of a line of a tracking file, or why the line holds none."""
    try:
        check_object(entry, SAMPLE)
    except JsonError as error:
        return None, str(error)
    matrix = np.array(entry["matrix"], dtype=np.float64).reshape(4, 4)
    return TrackingSample(float(entry["timestamp_s"]), entry["device"], entry["status"], matrix), ""


def is_case_folder(path: Path) -> bool:
    """Return whether a path is a case folder, or a recording that was killed and can be recovered to one."""
    return (path / CASE_FILE).is_file() or (path / RECORDING_FILE).is_file()


def load_case(folder: Path | str, verify: bool = True, verify_recording: bool = True) -> Case:
    """Read and check a case.

    Args:
        verify: compare all files with their hashes.
        verify_recording: the recording as well, which may be many GB; whoever plays it checks each message by itself.

    Raises:
        CaseError: no case there, unknown version, a wrong entry, a file missing or other than its hash says.
    """
    folder = Path(folder)
    try:
        return _load_case(folder, verify, verify_recording)
    except OSError as error:
        place = error.filename or folder
        raise CaseError(f"{place} cannot be read: {os_reason(error)}; copy the case again, or free it") from error


def _load_case(folder: Path, verify: bool, verify_recording: bool) -> Case:
    path = folder / CASE_FILE
    if not path.is_file() and (folder / RECORDING_FILE).is_file():
        raise CaseError(f"{folder} is a recording that was not finished; finish it with: crlm-seg recover {folder}")
    if not path.is_file():
        raise CaseError(f"no case in {folder}: {CASE_FILE} is missing; give a case folder")
    entry = read_json_object(path, CaseError, "restore it from its source", finite=False)
    if entry.get("schema_version") != SCHEMA_VERSION:
        raise CaseError(
            f"{path} has schema version {shown(entry.get('schema_version'))}, this program reads {SCHEMA_VERSION}"
        )
    check_entries(entry, str(path))
    try:
        check_values(entry)
    except JsonError as error:
        raise CaseError(f"{path}: {error}; restore it from its source") from error
    case = Case(
        folder=folder,
        case_id=entry["case_id"],
        volumes=tuple(CaseVolume(**v) for v in entry["volumes"]),
        lesions=tuple(CaseLesion(**{**v, "seed_ras_mm": tuple(v["seed_ras_mm"])}) for v in entry.get("lesions", [])),
        results=tuple(entry.get("results", ())),
        **{k: entry[k] for k in OPTIONAL_ENTRIES if k in entry},
    )
    if verify:
        _verify_files(case, entry.get("files", {}), () if verify_recording else (case.recording,))
    return case


def _verify_files(case: Case, files: dict[str, str], only_there: Container[str | None]) -> None:
    """Check that every file lies in the case, is listed and is genuine, data files of headers included."""
    _check_listed(case, [*case.named_files, *case.data_files(DETACHED_SUFFIXES)], files)
    for name, expected in files.items():
        _verify_file(case, name, None if name in only_there else expected)
    _check_listed(case, case.data_files(VOLUME_SUFFIXES), files)


def _check_listed(case: Case, names: Iterable[str], files: Mapping[str, str]) -> None:
    listed = {PurePosixPath(name) for name in files}
    unlisted = [name for name in names if PurePosixPath(name) not in listed]
    if unlisted:
        raise CaseError(
            f"{CASE_FILE} of {case.folder.name} gives no hash of {', '.join(unlisted)}; restore it from its source"
        )


def _verify_file(case: Case, name: str, expected: str | None) -> None:
    path = case.path_of(name)
    if not path.is_file():
        raise CaseError(f"{name} is missing from the case {case.folder.name}; copy the whole folder again")
    if expected is not None and sha256_of(path) != expected:
        raise CaseError(f"{name} differs from its hash in {CASE_FILE}: damaged or changed; copy the case again")


def save_volume_into_case(folder: Path, stem: str, volume: Volume) -> CaseVolume:
    """Write a volume, and the mask of its insonified voxels where it has one, into a case folder."""
    write_volume(volume, folder / f"{stem}.nrrd")
    mask_file = None
    if volume.insonified is not None:
        mask_file = f"{stem}-swept.nrrd"
        write_volume(Volume(volume.insonified.astype(np.uint8), volume.ijk_to_ras), folder / mask_file)
    return CaseVolume(f"{stem}.nrrd", volume.device, volume.timestamp_s, mask_file)


def append_tracking(path: Path, samples: Iterator[TrackingSample] | list[TrackingSample]) -> None:
    """Append transforms to a tracking file, one JSON object per line."""
    with path.open("a", encoding="utf-8") as stream:
        for s in samples:
            is_lost = s.status != "OK" and not np.isfinite(s.matrix).all()
            known = np.eye(4) if is_lost else s.matrix  # nobody uses the matrix of a lost tool, and JSON has no NaN
            matrix = np.round(known, 6).ravel().tolist()
            line = {"timestamp_s": round(s.timestamp_s, 6), "device": s.device, "status": s.status, "matrix": matrix}
            stream.write(json.dumps(line) + "\n")


def save_case(case: Case, hashes: Mapping[str, str] | None = None) -> None:
    """Write `case.json` with the hashes of the files that it names; they must be there already.

    Args:
        hashes: those that are known already, by the name of the file.
    """
    known = hashes or {}
    files = {name: known.get(name) or sha256_of(case.path_of(name)) for name in case.file_names}
    entry = {"schema_version": SCHEMA_VERSION, **asdict(case), "files": files}
    for name in ("folder", *(name for name in SESSION_ENTRIES if not entry[name])):
        del entry[name]
    unfinished = case.folder / (CASE_FILE + UNFINISHED_SUFFIX)
    unfinished.write_text(json.dumps(entry, indent=1) + "\n", encoding="utf-8")
    os.replace(unfinished, case.folder / CASE_FILE)
