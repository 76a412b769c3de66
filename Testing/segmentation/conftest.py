"""The tiny model, and a warm worker that has loaded it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from CRLMSegmentationLib.segmentation.engine.engine import Ready
from CRLMSegmentationLib.segmentation.engine.worker_engine import WorkerEngine
from CRLMSegmentationLib.segmentation.models.package import ModelPackage, write_model_package
from helpers.inference_helpers import COLD_START_LIMIT_S, DATASET_JSON, random_weights, tiny_info, tiny_plans, wait_for
from helpers.paths import TESTING
from helpers.stub_session import click_model, clock, engine, model, session  # noqa: F401  (fixtures)


@pytest.fixture(scope="session")
def tiny_package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    folds = {0: random_weights(0), 1: random_weights(1)}
    return write_model_package(folder, tiny_plans(), DATASET_JSON, folds, tiny_info())


@pytest.fixture(scope="session")
def warm_engine(tiny_package: ModelPackage) -> Iterator[WorkerEngine]:
    """One worker for all tests that leave it as they found it: loading torch takes many seconds."""
    with WorkerEngine(tiny_package, device="cpu", cpu_threads=1, precision="float32") as engine:
        wait_for(engine, Ready, COLD_START_LIMIT_S)
        yield engine


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real results of nnU-Net, its own exports of them, and its own answers; see `nnunet_exports.make`."""
    folder = tmp_path_factory.mktemp("exports")
    command = [sys.executable, "-m", "helpers.nnunet_exports", str(folder)]
    done = subprocess.run(command, cwd=TESTING, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for imported models."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("CRLM_MODELS", str(folder))
    return folder
