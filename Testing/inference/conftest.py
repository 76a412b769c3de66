"""The tiny model, and a warm worker that has loaded it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from CRLMSegmentationLib.segmentation.engine import worker_engine
from CRLMSegmentationLib.segmentation.engine.engine import EngineState, Ready
from CRLMSegmentationLib.segmentation.engine.worker_engine import WorkerEngine
from CRLMSegmentationLib.segmentation.models.package import ModelPackage, write_model_package

sys.path.insert(0, str(Path(__file__).parent))  # pytest in importlib mode does not find helpers by itself

from inference_helpers import COLD_START_LIMIT_S, DATASET_JSON, random_weights, tiny_info, tiny_plans, wait_for


@pytest.fixture(scope="session")
def tiny_package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    folds = {0: random_weights(0), 1: random_weights(1)}
    return write_model_package(folder, tiny_plans(), DATASET_JSON, folds, tiny_info())


@pytest.fixture(scope="session")
def warm_engine(tiny_package: ModelPackage) -> Iterator[WorkerEngine]:
    """One worker for all tests that leave it as they found it: loading torch takes many seconds."""
    with WorkerEngine(tiny_package, device="cpu", cpu_threads=1) as engine:
        wait_for(engine, Ready, COLD_START_LIMIT_S)
        yield engine


@pytest.fixture
def engine(warm_engine: WorkerEngine, monkeypatch: pytest.MonkeyPatch) -> WorkerEngine:
    """Its worker is not killed for stopping late: on a busy machine, a tile may take a second."""
    monkeypatch.setattr(worker_engine, "CANCEL_GRACE_S", COLD_START_LIMIT_S)
    end_s = time.monotonic() + COLD_START_LIMIT_S
    warm_engine.cancel()
    while warm_engine.wait(0.0) or warm_engine.state is not EngineState.READY:
        assert time.monotonic() < end_s
        warm_engine.wait(0.1)
    return warm_engine


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real results of nnU-Net, its own exports of them, and its own answers; see `nnunet_exports.make`."""
    folder = tmp_path_factory.mktemp("exports")
    command = [sys.executable, str(Path(__file__).with_name("nnunet_exports.py")), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for imported models."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("CRLM_MODELS", str(folder))
    return folder
