"""A stub engine, strict, for the logic of sessions only."""

from __future__ import annotations

import numpy as np
from CRLMSegmentationLib.core.crop import extract_crop, whole_volume
from CRLMSegmentationLib.core.postprocessing import lesion_from_probability
from CRLMSegmentationLib.segmentation.engine.engine import (
    Cancelled,
    EngineState,
    Failed,
    Finished,
    LesionJob,
    Progress,
    Ready,
)

SPACING_MM = 1.0


class StubEngine:
    """Calls dark voxels tumour. Answers one job a poll; a newer job cancels the older, as in `Engine`."""

    def __init__(self):
        self.jobs, self.pending, self.events, self.closed = [], None, [], False
        self.state = EngineState.STOPPED

    def start(self):
        self.state = EngineState.READY
        self.events.append(Ready("stub", 0.0, "stub", "0" * 64))

    def submit(self, job: LesionJob) -> int:
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
        job = self.jobs[self.pending - 1]
        seed, size_mm = np.array(job.request.seed_ras_mm), job.request.options.crop_size_mm
        if size_mm is None:
            crop = whole_volume(job.volume, seed, SPACING_MM)
        else:
            crop = extract_crop(job.volume, seed, size_mm, SPACING_MM)
        probability = (crop.array < 80).astype(np.float32)
        lesion = lesion_from_probability(probability, crop, job.volume)
        timings_s = {"crop": 0.05, "preprocess": 0.1, "inference": 0.2, "postprocess": 0.3}
        self.events += [
            Progress(self.pending, "inference", 1, 1),
            Finished(self.pending, probability, timings_s, "stub", lesion=lesion),
        ]
        self.pending = None

    def close(self):
        self.closed = True

    def fail(self, reason):
        """Let the running job end without an answer."""
        self.events.append(Failed(self.pending, reason))
        self.pending = None
