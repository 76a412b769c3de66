"""Fixture: the engine whose worker is kept warm by all tests of a folder."""

from __future__ import annotations

import time

import pytest
from CRLMSegmentationLib.segmentation.engine import worker_engine
from CRLMSegmentationLib.segmentation.engine.engine import EngineState
from CRLMSegmentationLib.segmentation.engine.worker_engine import WorkerEngine

from .inference_helpers import COLD_START_LIMIT_S


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
