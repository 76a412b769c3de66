"""The model, sample cases, and the command line inside this process for what needs no process of its own."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from CRLMSegmentationLib.cli.main import FAULT, main
from CRLMSegmentationLib.core.resources import resource_path
from CRLMSegmentationLib.recording.case import Case, load_case
from CRLMSegmentationLib.segmentation.models.package import ModelPackage, model_or_default
from helpers.cli_helpers import Done
from helpers.undrawn import undrawn

__all__ = ["undrawn"]


@pytest.fixture(scope="session")
def model() -> ModelPackage:
    """The shipped model; CRLM_TEST_MODEL names a model folder to test instead of the shipped one."""
    folder = os.environ.get("CRLM_TEST_MODEL")
    return model_or_default(Path(folder) if folder else None)


@pytest.fixture(scope="session")
def sample() -> Case:
    return load_case(resource_path("SampleCases", "phantom-hypoechoic"))


@pytest.fixture
def damaged_model(model: ModelPackage, tmp_path: Path) -> Path:
    """A copy of the model to be damaged."""
    return Path(shutil.copytree(model.folder, tmp_path / "damaged-model"))


@pytest.fixture
def crlm_seg(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Runs the command line in this process."""

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["crlm-seg", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        done = Done(code, *capsys.readouterr(), seconds=0.0)
        assert FAULT not in done.err, done.err  # an unforeseen exception is a bug, however well it is told
        return done

    return run
