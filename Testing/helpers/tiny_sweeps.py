"""A tiny tracked sweep: frames of 6 x 8 pixels of 1 mm, one for each millimetre along z, 50 ms apart."""

from __future__ import annotations

import numpy as np
from CRLMSegmentationLib.recording.sweep_messages import RecordedSweep
from CRLMSegmentationLib.tracking.sweeps.calibration import ProbeCalibration
from CRLMSegmentationLib.tracking.sweeps.sequence import TrackedSequence, TransformTrack

START_S = 200.0
ROWS, COLUMNS = 6, 8


def tiny_sequence(count: int = 5, bad: dict[str, tuple[int, str]] | None = None) -> TrackedSequence:
    """Frame k holds 10 (k + 1) everywhere. Reference lies 100 mm along x from the tracker.

    Args:
        bad: by transform, or "image", the number of a frame and the status that it has there.
    """
    frames = np.stack([np.full((ROWS, COLUMNS), 10 * (k + 1), np.uint8) for k in range(count)])
    probe = np.tile(np.eye(4), (count, 1, 1))
    probe[:, 2, 3], probe[:, 0, 3] = np.arange(count), 100.0
    reference, stylus = np.tile(np.eye(4), (count, 1, 1)), np.tile(np.eye(4), (count, 1, 1))
    reference[:, 0, 3] = 100.0
    statuses = {name: ["OK"] * count for name in ("image", "ProbeToTracker", "ReferenceToTracker", "StylusToTracker")}
    for name, (number, status) in (bad or {}).items():
        statuses[name][number] = status
    tracks = {"ProbeToTracker": probe, "ReferenceToTracker": reference, "StylusToTracker": stylus}
    return TrackedSequence(
        "tiny",
        frames,
        START_S + 0.05 * np.arange(count),
        tuple(statuses["image"]),
        {name: TransformTrack(matrices, tuple(statuses[name])) for name, matrices in tracks.items()},
    )


def tiny_sweep(count: int = 5, bad: dict[str, tuple[int, str]] | None = None) -> RecordedSweep:
    """The same with its calibration: pixel (column, row) lies at (column, row, 0) mm of the probe."""
    return RecordedSweep(tiny_sequence(count, bad), ProbeCalibration(np.eye(4)))
