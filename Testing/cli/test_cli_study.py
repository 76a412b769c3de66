"""`crlm-seg study` as a terminal sees it; what it does is tested in Testing/study."""

from __future__ import annotations

import pytest
from CRLMSegmentationLib.research.study import run
from helpers.study_helpers import StubSteps

SMALL = ("--patients", 3, "--held-out", 3, "--epochs", 2)


@pytest.fixture
def stubs(monkeypatch):
    """The command with steps that take no time."""
    stubs, run_study = StubSteps(), run.run_study
    monkeypatch.setattr(run, "run_study", lambda *given, **named: run_study(*given, steps=stubs.steps(), **named))
    return stubs


def test_study_says_what_it_does_and_what_it_has_found(crlm_seg, stubs, tmp_path):
    done = crlm_seg("study", "--out", tmp_path / "s", *SMALL, "--publish", tmp_path / "p")
    assert done.code == 0, done.err
    assert "3 lesions of 3 simulated patients" in done.out
    assert f"Page: {tmp_path / 's' / 'study.html'}" in done.out
    assert "not for clinical use" in done.out
    assert "Writing the report ..." in done.err
    assert (tmp_path / "p" / "results.json").is_file()


def test_some_methods_can_be_named(crlm_seg, stubs, tmp_path):
    done = crlm_seg("study", "--out", tmp_path / "s", *SMALL, "--methods", "crop, grow-cut")
    assert done.code == 0, done.err
    assert [call for call in stubs.calls if call.startswith("evaluate")] == ["evaluate crop", "evaluate grow-cut"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--methods", "magic"), "there is no method magic"),
        (("--preset", "huge"), "there is no study 'huge'"),
        (("--device", "tpu"), "there is no device 'tpu'"),
        (("--training", "magic"), "there is no preset 'magic'"),
        (("--patients", 1), "patients must be 2 or more"),
    ],
)
def test_what_cannot_be_is_told_in_one_line_before_anything_is_written(words, message, crlm_seg, stubs, tmp_path):
    done = crlm_seg("study", "--out", tmp_path / "s", *words)
    assert done.code == 1
    assert len(done.error_lines) == 1
    assert message in done.error_lines[0]
    assert stubs.calls == []
    assert not (tmp_path / "s").exists()
