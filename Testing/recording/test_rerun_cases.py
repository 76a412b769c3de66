"""Many recorded sessions computed again: each is a task, what is finished is kept, and what fails is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from CRLMSegmentationLib.core.errors import CaseError
from CRLMSegmentationLib.core.resources import resource_path
from CRLMSegmentationLib.recording.case import load_case
from CRLMSegmentationLib.recording.rerun_cases import rerun_cases
from CRLMSegmentationLib.segmentation.models.package import model_or_default
from CRLMSegmentationLib.segmentation.session import Session
from helpers.recorded_sessions import recorded_session
from helpers.stub_engine import AnsweringStub


@pytest.fixture
def started(monkeypatch) -> list[str]:
    """The models for which a session was started; their engines are stubs."""
    names: list[str] = []

    def session_of(engine: object, model) -> Session:
        names.append(model.name)
        return Session(AnsweringStub(), model)

    monkeypatch.setattr("CRLMSegmentationLib.recording.rerun.Session", session_of)
    return names


@pytest.fixture
def sessions(tmp_path: Path) -> Path:
    """Two recorded sessions, a case without results, and a folder that is no case."""
    folder = tmp_path / "sessions"
    folder.mkdir()
    sample = load_case(resource_path("SampleCases", "phantom-hypoechoic"))
    recorded_session(folder / "one", sample, AnsweringStub(), model_or_default(None))
    shutil.copytree(folder / "one", folder / "two")
    shutil.copytree(sample.folder, folder / "without")
    (folder / "notes").mkdir()
    return folder


def test_cases_are_computed_with_one_session_and_failures_are_named(sessions, started, tmp_path):
    told = []
    report = tmp_path / "r.json"
    one, two, without = rerun_cases(sessions, None, tmp_path / "out", report, lambda *step: told.append(step))
    assert (one.name, two.name, without.name) == ("one", "two", "without")
    assert [row.identical for case in (one, two) for row in case.rows] == [True, True]
    assert "holds no recorded results" in without.problem
    assert len(started) == 1
    assert told == [("Cases", number, 3) for number in (1, 2, 3)]
    document = json.loads(report.read_text())
    assert document == json.loads((tmp_path / "out" / "rerun.json").read_text())
    assert [case["case"] for case in document["cases"]] == ["one", "two"]
    assert document["failed_cases"][0]["case"] == "without"
    assert (document["identical"], document["different"], document["failed"]) == (2, 0, 0)
    masks = [(tmp_path / "out" / name / "results" / "0001-Tumour-1-1.nrrd").read_bytes() for name in ("one", "two")]
    assert masks[0] == masks[1]


def test_finished_cases_are_not_computed_again_unless_they_have_changed(sessions, started, tmp_path):
    first = rerun_cases(sessions, out=tmp_path / "out")
    (tmp_path / "out" / "two" / "rerun.json").unlink()
    started.clear()
    assert rerun_cases(sessions, out=tmp_path / "out")[:2] == first[:2]
    assert len(started) == 1
    started.clear()
    assert rerun_cases(sessions, out=tmp_path / "out")[:2] == first[:2]
    assert started == []
    file = sessions / "one" / "case.json"
    file.write_text(file.read_text() + "\n")
    rerun_cases(sessions, out=tmp_path / "out")
    assert len(started) == 1


def test_results_with_another_model_are_computed_anew(sessions, started, tmp_path):
    rerun_cases(sessions, out=tmp_path / "out")
    started.clear()
    rerun_cases(sessions, str(model_or_default(None).folder), tmp_path / "out")
    assert len(started) == 1


def test_folder_without_cases_is_told(tmp_path):
    with pytest.raises(CaseError, match="give a case folder with recorded results, or a folder of them"):
        rerun_cases(tmp_path)
