"""Folders that this program reads, small and whole, and what is done with each when a file in it is damaged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from CRLMSegmentationLib.cli.describe import describe_source, lines_of
from CRLMSegmentationLib.core.hashing import sha256_of
from CRLMSegmentationLib.core.volume import Volume, write_volume
from CRLMSegmentationLib.recording.case import Case, CaseLesion, TrackingSample, append_tracking, load_case, save_case
from CRLMSegmentationLib.recording.case import save_volume_into_case as save_volume
from CRLMSegmentationLib.recording.dataset import check_cases
from CRLMSegmentationLib.recording.reconstruct import load_sweep
from CRLMSegmentationLib.recording.recorded_images import RecordedImages
from CRLMSegmentationLib.recording.recovery import recover
from CRLMSegmentationLib.recording.session_results import recorded_results
from CRLMSegmentationLib.recording.timeline import load_source, timeline
from CRLMSegmentationLib.reports import session_report
from CRLMSegmentationLib.research.evaluation.result_cache import ResultCache
from CRLMSegmentationLib.research.study.settings import claim_folder, study_named
from CRLMSegmentationLib.research.study.step_log import read_step_log
from CRLMSegmentationLib.research.study.stored import read_dataset_summary, read_evaluation, read_image_counts
from CRLMSegmentationLib.research.training.fold_process import FoldSettings
from CRLMSegmentationLib.research.training.layout import Layout
from CRLMSegmentationLib.research.training.manifest import read_manifest, verify_manifest
from CRLMSegmentationLib.research.training.preparation import Preparation
from CRLMSegmentationLib.research.training.prepare import prepared_before
from CRLMSegmentationLib.research.training.progress import keep_progress, read_progress
from CRLMSegmentationLib.research.training.readiness import check_for_training
from CRLMSegmentationLib.segmentation.calibration import calibration_from
from CRLMSegmentationLib.segmentation.models.importer import import_model
from CRLMSegmentationLib.segmentation.models.listing import info_of, list_lines
from CRLMSegmentationLib.segmentation.models.package import load_model_package, read_model_package
from CRLMSegmentationLib.segmentation.models.registry import default_package, installed_models, verify_models

PNG = b"\x89PNG\r\n\x1a\n"
HEADER = {"model": "m", "seed": 0}


@dataclass(frozen=True)
class Folder:
    """A folder to damage.

    Attributes:
        path: of the whole one.
        files: to be damaged, below it.
        actions: what is done with the damaged one in turn; those that change it come last.
        repair: makes hashes agree with what was damaged, as somebody who means harm would.
    """

    path: Path
    files: Sequence[str]
    actions: Sequence[Callable[[Path], object]]
    repair: Callable[[Path, str], None] = lambda folder, name: None

    def damaged(self, scratch: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
        """A copy with one damaged file."""
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(self.path, scratch)
        (scratch / name).write_bytes(change((self.path / name).read_bytes()))
        self.repair(scratch, name)
        return scratch


def case_in(folder: Path) -> Folder:
    """A case with a volume of 20 x 20 x 20 voxels, one lesion and tracking."""
    folder.mkdir(parents=True)
    k, j, i = np.indices((20, 20, 20))
    ball = (k - 10) ** 2 + (j - 10) ** 2 + (i - 10) ** 2 < 20
    array = np.where(ball, 60, 120) + np.random.default_rng(0).integers(0, 9, ball.shape)
    matrix = np.diag([2.0, 2.0, 2.0, 1.0])
    entry = save_volume(folder, "volume", Volume(array.astype(np.uint8), matrix, "recvol_Reference", 100.0))
    write_volume(Volume(ball.astype(np.uint8), matrix), folder / "truth.nrrd")
    samples = [TrackingSample(100.0 + 0.1 * n, "ProbeToReference", "OK", np.eye(4)) for n in range(4)]
    append_tracking(folder / "tracking.jsonl", samples)
    about = {"echogenicity": "hypoechoic", "pattern": "homogeneous", "diameter_mm": 18.0}
    lesions = (CaseLesion("Tumour 1", (20.0, 20.0, 20.0), 1, about),)
    source = {"kind": "simulated", "patient": "P7"}
    save_case(Case(folder, "case-1", (entry,), lesions, "truth.nrrd", "tracking.jsonl", source=source))
    actions = [_describe, lambda f: timeline(load_source(f)), load_sweep, _check]
    return Folder(folder, ("case.json", "tracking.jsonl"), actions, _rehash_case)


def session_in(folder: Path, volume: Volume) -> Folder:
    """A session as the panel records it, ended, so that it is a case."""
    from .session_helpers import play

    made = play(folder, volume)
    made.leave()
    made.recording.end()
    session_report.three_slices = lambda lesion: PNG
    session_report.lesion_in_space = lambda *_: PNG
    session_report.session_plot = lambda *_: PNG
    actions = [_describe, _report, _results, lambda f: timeline(load_source(f)), _recover]
    return Folder(folder, ("events.jsonl", "events.jsonl", "arrivals.jsonl", "case.json"), actions, _rehash_case)


def model_in(folder: Path, shipped: Path) -> Folder:
    """A package with the texts of the shipped model, and hardly any weights."""
    folder.mkdir(parents=True)
    manifest = json.loads((shipped / "model.json").read_text())
    for name in ("plans.json", "dataset.json"):
        shutil.copyfile(shipped / name, folder / name)
    (folder / "fold_0.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    manifest["files"] = {
        name: sha256_of(folder / name) for name in ("plans.json", "dataset.json", "fold_0.safetensors")
    }
    (folder / "model.json").write_text(json.dumps(manifest))
    record = {"from": "x", "imported_at": "2026-01-01", "manifest_sha256": sha256_of(folder / "model.json")}
    (folder / "imported.json").write_text(json.dumps(record))
    choice = {"name": manifest["name"], "version": manifest["version"], "sha256": read_model_package(folder).sha256}
    (folder.parent / "default.json").write_text(json.dumps(choice))
    actions = [_model, _import]
    return Folder(folder, ("model.json", "model.json", "plans.json", "dataset.json"), actions, _rehash_model)


def registry_in(folder: Path) -> Folder:
    """The folder of installed models, with one in it that is the default."""
    actions = [lambda f: list(list_lines(installed_models())), lambda f: verify_models(), lambda f: default_package()]
    names = ("default.json", "model/model.json", "model/imported.json")
    return Folder(folder, names, actions)


def dataset_in(folder: Path) -> Folder:
    """The texts of a dataset of one image, of a fold that was trained, and of an evaluation and a study."""
    folder.mkdir(parents=True)
    case = {"case_id": "a", "patient": "a", "sha256": "0" * 64, "simulated": True, "echogenicity": "x", "size": "y"}
    image = {"name": "a_0", "case_id": "a", "lesion": "T", "seed_ras_mm": [1.0, 2.0, 3.0]}
    manifest = {
        "schema_version": 1,
        "preparation": Preparation().result_settings,
        "versions": {"numpy": "2"},
        "given": ["0" * 64],
        "cases": [{**case, "fold": 0, "lesions": ["T"], "images": ["a_0"]}],
        "held_out": [{**case, "fold": None, "lesions": ["T"], "images": []}],
        "images": [{**image, "sha256": {"imagesTr/a_0_0000.nii.gz": "1" * 64}}],
        "folds": [["a"], ["b"]],
        "left_out": [["a", "T", "small"]],
        "remarks": [],
        "files": {"splits.json": "2" * 64},
    }
    epoch = {"epoch": 0, "train_loss": -0.5, "val_loss": None, "dice": 0.7, "lr": 1e-3, "seconds": 3.0}
    fold = {
        "fold": 0,
        "epochs": 3,
        "seed": 0,
        "manifest": "0" * 64,
        "simulated": True,
        "title": "x",
        "validation": False,
    }
    from CRLMSegmentationLib.research.training.presets import QUICK

    study = study_named("demo", {})
    claim_folder(study, folder / "study")
    step = {"step": "train", "seconds": 3.0, "ended": "2026", "machine": ["cpu"], "versions": {"numpy": "2"}}
    _write(folder / "manifest.json", manifest)
    _write(folder / "splits.json", [{"train": ["a_0"], "val": ["b_0"]}])
    _write(folder / "training.json", {**fold, "preset": QUICK.as_json()})
    _write(folder / "evaluation.json", _evaluation())
    (folder / "progress.jsonl").write_text(2 * (json.dumps(epoch) + "\n"))
    (folder / "study" / "steps.jsonl").write_text(2 * (json.dumps(step) + "\n"))
    (folder / "lesions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in _rows()))
    names = ("manifest.json", "splits.json", "training.json", "evaluation.json", "study/study.json")
    lines = ("progress.jsonl", "lesions.jsonl", "study/steps.jsonl")
    actions = [
        read_manifest,
        verify_manifest,
        lambda f: prepared_before([], f, Preparation()),
        lambda f: Layout(f, "Dataset511_x").read_splits(),
        FoldSettings.read,
        lambda f: read_progress(f / "progress.jsonl"),
        lambda f: keep_progress(f / "progress.jsonl", 1),
        lambda f: ResultCache(f / "lesions.jsonl", HEADER),
        lambda f: read_step_log(f / "study"),
        lambda f: claim_folder(study, f / "study"),
        read_evaluation,
        read_image_counts,
        read_dataset_summary,
    ]
    return Folder(folder, (*names, *lines), actions)


def _evaluation() -> dict:
    data = {"cases": [{"case_id": "a", "sha256": "0" * 64}], "failed": []}
    known = {"data": data, "model": {"sha256": "0" * 64}, "devices": ["cpu"], "versions": {}, "regions": {}}
    return {**known, "lesions": [row for row in _rows() if row["kind"] != "header"]}


def _rows() -> list[dict]:
    from CRLMSegmentationLib.core.metrics import THOROUGH_METRICS
    from CRLMSegmentationLib.research.evaluation.rows import ROW_KEYS

    row = {
        **dict.fromkeys(ROW_KEYS),
        "kind": "as recorded",
        "amount": 0.0,
        "draw": 0,
        "case_id": "a",
        "lesion": "T",
        "patient": "a",
        "case_sha256": "0" * 64,
        "about": {"x": 1},
        "diameter_mm": 9.0,
        "truth_ml": 1.0,
        "seed_ras_mm": [1, 2, 3],
        "metrics": dict.fromkeys(THOROUGH_METRICS, 0.5),
        "timings_s": {"crop": 0.1},
        "warnings": ["w"],
        "device": "cpu",
        "mask": "masks/a.nrrd",
    }
    return [{"kind": "header", **HEADER}, row, {**row, "draw": 1}]


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1))


def _rehash_case(folder: Path, name: str) -> None:
    entry = json.loads((folder / "case.json").read_bytes()) if name != "case.json" else {"files": {}}
    if name in entry["files"]:
        entry["files"][name] = sha256_of(folder / name)
        _write(folder / "case.json", entry)


def _rehash_model(folder: Path, name: str) -> None:
    if name != "model.json":
        manifest = json.loads((folder / "model.json").read_bytes())
        manifest["files"][name] = sha256_of(folder / name)
        _write(folder / "model.json", manifest)


def _describe(folder: Path) -> object:
    described = describe_source(folder)
    lines = list(lines_of(described))
    assert sum(map(len, lines)) < 200_000
    assert all(line.isprintable() for line in lines)
    return json.dumps(described, allow_nan=False)


def _check(folder: Path) -> object:
    cases, _ = check_cases(folder)
    for checked in cases:
        for lesion in checked.lesions:
            checked.case.truth_of(lesion, checked.read_volume())
    return check_for_training(cases, Preparation(folds=2, processes=1))


def _report(folder: Path) -> object:
    page = folder.parent / "report-of-damaged" / "session.html"
    return list(session_report.summary_of(session_report.make_report(folder, page), page))


def _results(folder: Path) -> object:
    case = load_case(folder, verify_recording=False)
    for result in recorded_results(case):
        RecordedImages(case.folder).volume(result.volume)
        RecordedImages(case.folder).mask_of(result)
        if result.corrected is not None and result.corrected.volume is not None:
            RecordedImages(case.folder).mask_of(result.corrected)
    return case


def _recover(folder: Path) -> object:
    (folder / "case.json").unlink()
    recovered = recover(folder)
    return load_case(recovered.folder)


def _model(folder: Path) -> object:
    package = load_model_package(folder)
    calibration_from(package.calibration)
    return list(lines_of(info_of(package)))


def _import(folder: Path) -> object:
    (folder / "imported.json").unlink(missing_ok=True)
    package = import_model(folder)
    shutil.rmtree(package.folder)
    return package
