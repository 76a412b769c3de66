"""`crlm-seg report`: a recorded session as a page, whether or not it was ended."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from CRLMSegmentationLib.recording.case import Case
from CRLMSegmentationLib.recording.session_recorder import SessionRecorder
from CRLMSegmentationLib.segmentation.results import LesionSegmented, Options
from CRLMSegmentationLib.segmentation.session import Session
from helpers.stub_engine import StubEngine


@pytest.fixture
def session(tmp_path: Path, sample: Case, model) -> Path:
    """Recorded without a workspace, and not ended."""
    recorder = SessionRecorder(tmp_path / "session")
    recorder.use_model(model)
    volume, lesion, engine = sample.volume(), sample.lesions[0], StubEngine()
    with Session(engine, model) as session:
        session.use_volume(volume)
        recorder.seed(lesion.name, lesion.seed_ras_mm, volume)
        session.segment(lesion.name, np.array(lesion.seed_ras_mm), Options(70.0))
        session.poll()
        engine.finish()
        for event in session.poll():
            if isinstance(event, LesionSegmented):
                recorder.take(event)
    return recorder.folder


def test_session_is_reported_and_the_summary_tells_where(crlm_seg, session: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = crlm_seg("report", session, "--out", out)
    assert done.code == 0, done.err
    head, lesion, page, figures = done.out.splitlines()
    assert "without an end: 1 result, " in head
    assert lesion.startswith("  Tumour 1: ")
    assert lesion.endswith(" ml, segmented")
    assert (page, figures) == (f"Page: {out / 'session.html'}", f"Figures: {out / 'session.json'}")
    assert json.loads((out / "session.json").read_text())["session"]["results"] == 1
    assert (out / "session.html").read_text().count("data:image/png") == 2


@pytest.mark.usefixtures("undrawn")
def test_report_takes_the_place_of_an_earlier_one(crlm_seg, session: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "session.html").write_text("from before")
    assert crlm_seg("report", session, "--out", out).code == 0
    assert "from before" not in (out / "session.html").read_text()
    assert sorted(path.name for path in out.iterdir()) == ["session.html", "session.json"]


@pytest.mark.usefixtures("undrawn")
def test_earlier_report_is_kept_aside_where_the_new_one_fails(
    crlm_seg, session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "session.html").write_text("from before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("CRLMSegmentationLib.reports.session_report.write_session_page", full)
    done = crlm_seg("report", session, "--out", out)
    assert done.code == 1
    assert "No space left on device" in done.err
    assert "the earlier session.html is kept as" in done.err
    assert [path.read_text() for path in out.iterdir()] == ["from before"]


@pytest.mark.parametrize(
    ("folder", "cause"),
    [
        ("none", "no such folder"),
        ("empty", "holds no recorded session"),
        ("session", "choose a folder outside"),
    ],
)
def test_failure_says_its_cause_in_one_line(crlm_seg, session: Path, tmp_path: Path, folder: str, cause: str) -> None:
    (tmp_path / "empty").mkdir()
    done = crlm_seg("report", tmp_path / folder, "--out", tmp_path / "session" / "report")
    assert done.code == 1
    assert cause in done.err
    assert len(done.error_lines) == 1
    assert not (tmp_path / "session" / "report").exists()
