"""A recorded session computed again: the same model says the same, another one is measured against it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from CRLMSegmentationLib.cli.rerun import lines_of
from CRLMSegmentationLib.core.crop import extract_crop
from CRLMSegmentationLib.core.errors import CaseError
from CRLMSegmentationLib.core.hashing import sha256_of
from CRLMSegmentationLib.core.postprocessing import lesion_from_probability
from CRLMSegmentationLib.recording.case import Case, load_case
from CRLMSegmentationLib.recording.recorded_images import RecordedImages
from CRLMSegmentationLib.recording.rerun import agreement_of, rerun_case
from CRLMSegmentationLib.recording.session_results import recorded_results
from CRLMSegmentationLib.segmentation.engine.worker_engine import WorkerEngine
from CRLMSegmentationLib.segmentation.models.package import ModelPackage, write_model_package
from CRLMSegmentationLib.segmentation.results import Options
from CRLMSegmentationLib.segmentation.session import Session
from helpers.inference_helpers import DATASET_JSON, click_package, random_weights, tiny_info, tiny_plans
from helpers.model_helpers import make_package
from helpers.point_helpers import exclude, include
from helpers.recorded_sessions import recorded_session
from helpers.stub_engine import SPACING_MM, AnsweringStub


class SmallStub(AnsweringStub):
    """Calls a few voxels around the seed tumour, as another model might."""

    def finish(self):
        job = self.jobs[self.pending - 1]
        super().finish()
        crop = extract_crop(job.volume, np.array(job.request.seed_ras_mm), job.request.options.crop_size_mm, SPACING_MM)
        few = np.zeros(crop.array.shape, np.float32)
        few[tuple(slice(n // 2 - 2, n // 2 + 3) for n in few.shape)] = 1
        self.events[-1] = replace(
            self.events[-1], probability=few, lesion=lesion_from_probability(few, crop, job.volume)
        )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, sample: Case, model: ModelPackage) -> Path:
    """Of the real model, which looks at a crop of one tile, the segmentation corrected by hand afterwards."""
    folder = tmp_path_factory.mktemp("rerun") / "session"
    return recorded_session(folder, sample, WorkerEngine(model), model, crop_size_mm=60.0, corrects=True)


@pytest.fixture
def stubbed(tmp_path: Path, sample: Case, model: ModelPackage) -> Path:
    """Of a stub that calls dark voxels tumour."""
    return recorded_session(tmp_path / "stubbed", sample, AnsweringStub(), model)


def test_same_model_gives_the_same_voxels(crlm_seg, recorded: Path, tmp_path: Path) -> None:
    done = crlm_seg("rerun", recorded, "--json", tmp_path / "r.json", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    head, same, corrected, conclusion = done.out.splitlines()
    assert head.split()[:3] == ["lesion", "recorded", "ml"]
    assert same.split()[-1] == "identical"
    assert " 1.000 " in same
    assert corrected.endswith("corrected by hand")
    assert conclusion == "1 of 1 results are identical, voxel by voxel"
    document = json.loads((tmp_path / "r.json").read_text())
    assert (document["identical"], document["different"], document["failed"]) == (1, 0, 0)
    first, second = document["results"]
    assert (first["dice"], first["largest_mm"], first["mean_mm"]) == (1.0, 0.0, 0.0)
    assert first["recorded_ml"] == first["new_ml"] > 0.5
    assert 0.3 < second["dice"] < 1
    assert first["recorded_s"] > 0
    assert first["new_s"] > 0
    assert json.loads((tmp_path / "out" / "rerun.json").read_text()) == document
    (new,) = (tmp_path / "out" / "results").iterdir()
    (old,) = [recorded / name for name in load_case(recorded).results if "corrected" not in name]
    assert sha256_of(new) == sha256_of(old)


def test_another_model_is_measured_against_the_recording(
    crlm_seg, stubbed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_model_package(tmp_path / "tiny", tiny_plans(), DATASET_JSON, {0: random_weights(1)}, tiny_info())
    asked: list[str] = []

    def session_of(engine: WorkerEngine, model: ModelPackage) -> Session:
        asked.append(model.name)
        return Session(SmallStub(), model)

    monkeypatch.setattr("CRLMSegmentationLib.recording.rerun.Session", session_of)
    done = crlm_seg("rerun", stubbed, "--model", tmp_path / "tiny", "--json", tmp_path / "r.json")
    assert done.code == 0, done.err
    assert "different, another model" in done.out
    assert "0 of 1 results are identical" in done.out
    assert "computed with tiny 1, which is not the model of the recording" in done.out
    row = json.loads((tmp_path / "r.json").read_text())["results"][0]
    assert (row["same_model"], row["identical"]) == (False, False)
    assert 0 < row["dice"] < 0.5
    assert asked == ["tiny"]


def test_each_result_is_computed_with_the_size_and_the_seed_of_its_own(stubbed: Path) -> None:
    engine = AnsweringStub()
    rows = rerun_case(stubbed, engine_of=lambda package: engine)
    assert [row.identical for row in rows] == [True]
    (job,), (result,) = engine.jobs, recorded_results(load_case(stubbed))
    assert job.request == result.request
    assert job.request.options == Options(70.0, first_fold_only=True, flip=(1,))


def test_corrected_result_is_computed_again_with_its_points(tmp_path: Path, sample: Case) -> None:
    package = click_package(tmp_path / "clicks")
    (lesion,) = sample.lesions
    points = (exclude(*np.add(lesion.seed_ras_mm, (0, 4, 0))), include(*np.add(lesion.seed_ras_mm, (0, -30, 0))))
    folder = recorded_session(tmp_path / "session", sample, AnsweringStub(takes_points=True), package, points=points)
    (result,) = recorded_results(load_case(folder))
    assert result.request.points == points
    engine = AnsweringStub(takes_points=True)
    rows = rerun_case(folder, package.folder, engine_of=lambda package: engine)
    assert [row.identical for row in rows] == [True]
    assert engine.jobs[0].request.points == points


def test_model_that_takes_no_points_computes_no_corrected_result(tmp_path: Path, sample: Case) -> None:
    (lesion,) = sample.lesions
    points = [include(*np.add(lesion.seed_ras_mm, (0, 4, 0)))]
    package = click_package(tmp_path / "clicks")
    folder = recorded_session(tmp_path / "session", sample, AnsweringStub(takes_points=True), package, points=points)
    seeded = make_package(tmp_path, "seeded")
    (row,) = rerun_case(folder, seeded.folder, engine_of=lambda package: AnsweringStub())
    assert "takes no correction points" in row.problem


def test_result_whose_volume_is_lost_fails_and_the_others_are_computed(stubbed: Path) -> None:
    lines = (stubbed / "events.jsonl").read_text().splitlines()
    line = next(line for line in lines if '"event": "result"' in line)
    lost = json.loads(line)
    lost["number"], lost["volume"]["file"], lost["volume"]["content_sha256"] = 2, None, "f" * 64
    (stubbed / "events.jsonl").write_text("\n".join([*lines, json.dumps(lost)]) + "\n")
    entry = json.loads((stubbed / "case.json").read_text())
    entry["files"]["events.jsonl"] = sha256_of(stubbed / "events.jsonl")
    (stubbed / "case.json").write_text(json.dumps(entry))
    rows = rerun_case(stubbed, engine_of=lambda model: AnsweringStub())
    assert [bool(row.problem) for row in rows] == [False, True]
    assert "is not in the recording" in "\n".join(lines_of(rows))


def test_command_fails_where_something_cannot_be_computed(
    crlm_seg, stubbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise CaseError("its volume is gone")

    monkeypatch.setattr("CRLMSegmentationLib.recording.rerun.RecordedImages.volume", failing)
    monkeypatch.setattr("CRLMSegmentationLib.recording.rerun.Session", lambda engine, model: _stubbed(model))
    done = crlm_seg("rerun", stubbed)
    assert done.code == 1
    assert "not compared: its volume is gone" in done.out
    assert "1 of 1 could not be computed" in done.err


def _stubbed(model: ModelPackage) -> Session:
    return Session(AnsweringStub(), model)


def test_case_without_results_is_told_so(crlm_seg, sample: Case, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sample.folder, tmp_path / "case"))
    done = crlm_seg("rerun", folder)
    assert done.code == 1
    assert "holds no recorded results" in done.err
    assert len(done.error_lines) == 1


def test_session_that_was_killed_is_recovered_first(crlm_seg, stubbed: Path) -> None:
    (stubbed / "case.json").unlink()
    assert f"crlm-seg recover {stubbed}" in crlm_seg("rerun", stubbed).err
    done = crlm_seg("recover", stubbed)
    assert done.code == 0, done.err
    assert "1 result, " in done.out
    assert len(recorded_results(load_case(stubbed))) == 1
    assert RecordedImages(stubbed).mask_of(recorded_results(load_case(stubbed))[0]).any()


def test_two_empty_masks_agree_and_an_empty_one_does_not() -> None:
    nothing = np.zeros((4, 4, 4), bool)
    something = nothing.copy()
    something[1:3, 1:3, 1:3] = True
    shifted = np.roll(something, 1, axis=2)
    spacing = np.diag([2.0, 1.0, 1.0, 1.0])
    assert agreement_of(nothing, nothing, spacing).dice == 1.0
    assert agreement_of(something, nothing, spacing) == agreement_of(nothing, something, spacing)
    assert agreement_of(something, nothing, spacing).largest_mm is None
    moved = agreement_of(something, shifted, spacing)
    assert (moved.dice, moved.largest_mm, moved.mean_mm) == (0.5, 2.0, 1.0)
