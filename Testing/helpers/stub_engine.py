"""A stub engine, strict, for the logic of sessions only."""

from __future__ import annotations

import numpy as np
from CRLMSegmentationLib.core.crop import extract_crop, whole_volume
from CRLMSegmentationLib.core.points import CorrectionPoint, PointKind
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
from CRLMSegmentationLib.segmentation.results import Purpose

SPACING_MM = 1.0


class StubEngine:
    """Calls dark voxels tumour. Answers one job a poll; a newer job cancels the older, as in `Engine`.

    Args:
        answers_previews: previews of seeds that are moved are answered at once, and are not among the `jobs`.
        takes_points: of a model with channels for correction points; otherwise a job that has any is an error, as one
            is whose points are no points, lie outside of its volume, or are in the same voxel.
    """

    def __init__(self, answers_previews=False, takes_points=False):
        self.takes_points = takes_points
        self.jobs, self.previews, self.pending, self.events, self.closed = [], [], None, [], False
        self.answers_previews = answers_previews
        self.state = EngineState.STOPPED

    def start(self):
        self.state = EngineState.READY
        self.events.append(Ready("stub", 0.0, "stub", "0" * 64))

    def submit(self, job: LesionJob) -> int:
        self._check_points(job)
        self.cancel()
        if self.answers_previews and job.request.purpose is Purpose.PREVIEW:
            self.previews.append(job)
            self._answer(job, -len(self.previews))
            return -len(self.previews)
        self.jobs.append(job)
        self.pending = len(self.jobs)
        self.state = EngineState.BUSY
        return self.pending

    def _check_points(self, job):
        points = job.request.points
        assert isinstance(points, tuple)
        assert self.takes_points or not points, "points for a model that takes none"
        assert all(type(point) is CorrectionPoint and type(point.kind) is PointKind for point in points)
        assert all(type(x) is float for point in points for x in point.ras_mm)
        voxels = [job.volume.voxel_at(point.ras_mm) for point in points]
        included = {voxel for voxel, point in zip(voxels, points) if point.kind is PointKind.INCLUDE}
        assert included.isdisjoint(voxel for voxel, point in zip(voxels, points) if point.kind is PointKind.EXCLUDE), (
            "a voxel is to be in the lesion and not"
        )

    def cancel(self):
        if self.pending is not None:
            self.events.append(Cancelled(self.pending))
            self.pending = None

    def poll(self):
        events, self.events = self.events, []
        return events

    def finish(self):
        """Let the running job end."""
        self._answer(self.jobs[self.pending - 1], self.pending)
        self.pending = None

    def _answer(self, job, job_id):
        seed, size_mm = np.array(job.request.seed_ras_mm), job.request.options.crop_size_mm
        if size_mm is None:
            crop = whole_volume(job.volume, seed, SPACING_MM)
        else:
            crop = extract_crop(job.volume, seed, size_mm, SPACING_MM)
        probability = (crop.array < 80).astype(np.float32)
        lesion = lesion_from_probability(probability, crop, job.volume, job.request.points)
        timings_s = {"crop": 0.05, "preprocess": 0.1, "inference": 0.2, "postprocess": 0.3}
        self.events += [
            Progress(job_id, "inference", 1, 1),
            Finished(job_id, probability, timings_s, "stub", lesion=lesion),
        ]

    def close(self):
        self.closed = True

    def fail(self, reason):
        """Let the running job end without an answer."""
        self.events.append(Failed(self.pending, reason))
        self.pending = None


class AnsweringStub(StubEngine):
    """Answers at the next poll."""

    def poll(self):
        if self.pending is not None:
            self.finish()
        return super().poll()
