"""Tiny sweeps whose reconstruction can be seen at a glance."""

from __future__ import annotations

import numpy as np
from CRLMSegmentationLib.tracking.sweeps.sequence import TrackedSequence, TransformTrack


def shifted(x_mm: float = 0.0, y_mm: float = 0.0, z_mm: float = 0.0) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = x_mm, y_mm, z_mm
    return matrix


def track(matrices, statuses=None) -> TransformTrack:
    return TransformTrack(np.array(matrices), tuple(statuses or ["OK"] * len(matrices)))


def sequence_of(frames, poses=None, statuses=None, image_statuses=None, **more) -> TrackedSequence:
    """A sweep with ProbeToTracker only moving, and a reference that lies at the tracker's origin."""
    frames = np.asarray(frames)
    count = len(frames)
    poses = [shifted(z_mm=n) for n in range(count)] if poses is None else poses
    tracks = {"ProbeToTracker": track(poses, statuses), "ReferenceToTracker": track([np.eye(4)] * count)}
    times_s = 100.0 + 0.1 * np.arange(count)
    return TrackedSequence("tiny", frames, times_s, tuple(image_statuses or ["OK"] * count), tracks, **more)
