"""A tiny case: a volume of 4 x 3 x 2 voxels in the middle of half a second of tracking."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.recording.case import (
    TRACKING_FILE,
    Case,
    CaseLesion,
    TrackingSample,
    append_tracking,
    load_case,
    save_case,
    save_volume_into_case,
)

START_S = 1700000000.0
MIRRORED_OBLIQUE = np.array([[0, -0.4, -0.36, 12.5], [0.5, 0, 0, -30.25], [0, 0.3, -0.48, 71.0], [0, 0, 0, 1]])


def _sample(index: int) -> TrackingSample:
    matrix = np.eye(4)
    matrix[0, 3] = index
    return TrackingSample(START_S + 0.05 * index, "ProbeToReference", "MISSING" if index == 3 else "OK", matrix)


@pytest.fixture
def tiny_case(tmp_path: Path) -> Case:
    """Ten poses every 0.05 s, the fourth MISSING; a left-handed, oblique volume after 0.22 s."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    array = np.arange(24, dtype=np.uint8).reshape(4, 3, 2)
    volume = Volume(array, MIRRORED_OBLIQUE, "recvol_Reference", START_S + 0.22)
    entry = save_volume_into_case(folder, "volume", volume)
    append_tracking(folder / TRACKING_FILE, [_sample(index) for index in range(10)])
    lesion = CaseLesion("S1", tuple(volume.center_ras_mm.tolist()))
    save_case(Case(folder, "tiny", (entry,), (lesion,), tracking=TRACKING_FILE))
    return load_case(folder)
