"""A stub engine and a stub model, both strict and both for the session's logic only."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from CRLMSegmentationLib.inference.engine import Cancelled, CropJob, EngineState, Finished, Progress, Ready
from CRLMSegmentationLib.session import Session


class StubEngine:
    """Calls dark voxels tumour. Answers one job a poll; a newer job cancels the older, as in `Engine`."""

    def __init__(self):
        self.jobs, self.pending, self.events, self.closed = [], None, [], False
        self.state = EngineState.STOPPED

    def start(self):
        self.state = EngineState.READY
        self.events.append(Ready("stub", 0.0, "stub", "0" * 64))

    def submit(self, job: CropJob) -> int:
        self.cancel()
        self.jobs.append(job)
        self.pending = len(self.jobs)
        self.state = EngineState.BUSY
        return self.pending

    def cancel(self):
        if self.pending is not None:
            self.events.append(Cancelled(self.pending))
            self.pending = None

    def poll(self):
        events, self.events = self.events, []
        return events

    def finish(self):
        """Let the running job end."""
        array = self.jobs[self.pending - 1].array[0]
        probability = (array < 80).astype(np.float32)
        timings_s = {"preprocess": 0.1, "inference": 0.2, "postprocess": 0.3}
        self.events += [
            Progress(self.pending, "inference", 1, 1),
            Finished(self.pending, probability, timings_s, "stub"),
        ]
        self.pending = None

    def close(self):
        self.closed = True


@pytest.fixture
def engine():
    return StubEngine()


@pytest.fixture
def model():
    return SimpleNamespace(
        name="stub", sha256="0" * 64, crop_size_mm=30.0, spacing_mm=1.0, channels=("ultrasound", "seed")
    )


@pytest.fixture
def session(engine, model):
    return Session(engine, model)
