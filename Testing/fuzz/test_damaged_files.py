"""No damaged file gives a traceback: whatever reads it answers, or says in a bounded line what is wrong.

CRLM_FUZZ_FILES: how many damaged files of each folder are tried, and from which seed on: "3000", or "3000:17".
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import CrlmError
from CRLMSegmentationLib.core.resources import resource_path
from CRLMSegmentationLib.core.volume import Volume
from helpers import damaged_folders
from helpers.damaged_folders import Folder
from helpers.file_mutations import FileMutator

COUNT, _, SEED = os.environ.get("CRLM_FUZZ_FILES", "").partition(":")
FEW, SOME = 15, 60
"""By default, of folders that take long, and of others."""
LONGEST = 5000
"""Characters of an error; the paths of a test are long."""


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of installed models, of which this test has its own."""
    monkeypatch.setenv("CRLM_MODELS", str(tmp_path / "installed"))
    (tmp_path / "installed").mkdir()
    return tmp_path / "installed"


def failures_of(folder: Folder, scratch: Path, count: int = SOME) -> list[str]:
    """What has failed otherwise than by an error of this project, each with how to make it again."""
    failures = []
    for number in range(int(SEED or 1), int(SEED or 1) + int(COUNT or count)):
        mutator = FileMutator(number)
        name = mutator.random.choice(folder.files)
        change = mutator.lines if name.endswith(".jsonl") else mutator.file
        damaged = folder.damaged(scratch, name, change)
        for place, action in enumerate(folder.actions):
            try:
                action(damaged)
            except CrlmError as error:
                if len(str(error)) > LONGEST or "\x1b" in str(error):
                    failures.append(f"seed {number}, {name}, action {place}: an error of {len(str(error))} characters")
            except Exception as error:
                failures.append(f"seed {number}, {name}, action {place}: {error!r}"[:400])
    return failures


def test_damaged_case_is_refused_or_read(tmp_path: Path) -> None:
    assert failures_of(damaged_folders.case_in(tmp_path / "case"), tmp_path / "damaged") == []


def test_damaged_session_is_refused_or_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("three_slices", "lesion_in_space", "session_plot"):  # set by `session_in`, to be put back
        monkeypatch.setattr(damaged_folders.session_report, name, lambda *_: b"")
    k, j, i = np.indices((40, 40, 40))
    inside = (k - 20) ** 2 + (j - 20) ** 2 + (i - 20) ** 2 < 64
    array = np.where(inside, 40, 120) + np.random.default_rng(1).integers(-20, 20, inside.shape)
    volume = Volume(array.astype(np.uint8), np.eye(4), "recvol_Reference", 100.0)
    folder = damaged_folders.session_in(tmp_path / "session", volume)
    assert failures_of(folder, tmp_path / "damaged", FEW) == []


def test_damaged_model_is_refused_or_read(tmp_path: Path, models: Path) -> None:
    shipped = resource_path("Models") / "crlm-crop-phantom"
    folder = damaged_folders.model_in(tmp_path / "whole" / "model", shipped)
    assert failures_of(folder, tmp_path / "damaged") == []


def test_damaged_registry_is_refused_or_read(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged_folders.model_in(tmp_path / "whole" / "model", resource_path("Models") / "crlm-crop-phantom")
    monkeypatch.setenv("CRLM_MODELS", str(tmp_path / "damaged"))
    monkeypatch.setattr("CRLMSegmentationLib.segmentation.models.registry._shipped_folder", lambda: None)
    assert failures_of(damaged_folders.registry_in(tmp_path / "whole"), tmp_path / "damaged") == []


def test_damaged_dataset_evaluation_or_study_is_refused_or_read(tmp_path: Path) -> None:
    assert failures_of(damaged_folders.dataset_in(tmp_path / "dataset"), tmp_path / "damaged") == []
