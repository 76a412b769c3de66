"""`crlm-seg evaluate` with a semi-automatic method, and with the cases that a dataset holds out."""

from __future__ import annotations

import json

import pytest
from CRLMSegmentationLib.core.hashing import sha256_of
from CRLMSegmentationLib.recording.case import CASE_FILE
from CRLMSegmentationLib.research.baselines.names import METHOD_NAMES
from CRLMSegmentationLib.research.training import manifest

pytestmark = pytest.mark.usefixtures("undrawn")  # test_cli_models draws the pages


@pytest.mark.parametrize("name", ["grow-cut", "region-growing"])
def test_method_is_evaluated_under_its_name(crlm_seg, sample, tmp_path, name):
    done = crlm_seg("evaluate", name, sample.folder, "--out", tmp_path / "out", "--robustness", 0)
    assert done.code == 0, done
    assert done.out.startswith(f"{name} on {len(sample.lesions)} lesion")
    assert "working time of a user is not simulated" in done.out
    document = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert document["model"]["kind"] == "semi-automatic"


def test_help_names_the_methods(crlm_seg):
    done = crlm_seg("evaluate", "--help")
    text = " ".join(done.out.split())
    assert all(name in text for name in METHOD_NAMES)
    assert "simulated user who sees the reference" in text
    assert "--held-out-of" in done.out


def test_folder_that_is_no_dataset_is_refused(crlm_seg, sample, tmp_path):
    done = crlm_seg("evaluate", "grow-cut", sample.folder, "--out", tmp_path / "out", "--held-out-of", tmp_path)
    assert done.code == 1
    assert "no dataset" in done.err
    assert not (tmp_path / "out").exists()


class _Manifest:
    labels_together = False

    def __init__(self, *hashes):
        self.held_out = [type("Entry", (), {"sha256": sha256}) for sha256 in hashes]


def test_cases_of_a_dataset_are_taken_by_their_hash(crlm_seg, sample, tmp_path, monkeypatch):
    arguments = ("evaluate", "grow-cut", sample.folder, "--out", tmp_path / "out", "--robustness", 0)
    monkeypatch.setattr(manifest, "read_manifest", lambda dataset: _Manifest("0" * 64))
    refused = crlm_seg(*arguments, "--held-out-of", tmp_path)
    assert refused.code == 1
    assert "none of the 1 held-out cases" in refused.err
    monkeypatch.setattr(manifest, "read_manifest", lambda dataset: _Manifest(sha256_of(sample.folder / CASE_FILE)))
    assert crlm_seg(*arguments, "--held-out-of", tmp_path).code == 0
