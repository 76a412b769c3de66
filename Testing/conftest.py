"""Fixtures for every test: a tiny case; and how the tests share two processes (see `make test`)."""

from __future__ import annotations

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # several processes, one core for each: their threads must not fight
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
        os.environ.setdefault(name, "1")

import numpy as np
import pytest
from CRLMSegmentationLib.core.case import (
    Case,
    Lesion,
    TrackingSample,
    append_tracking,
    save_case,
    save_volume_into_case,
)
from CRLMSegmentationLib.core.volume import Volume, write_volume


@pytest.fixture
def tiny_volume():
    """A dark ball of 8 mm radius at RAS (20, 20, 20) in bright speckle, 1 mm voxels."""
    rng = np.random.default_rng(1)
    k, j, i = np.indices((40, 40, 40))
    inside = (k - 20) ** 2 + (j - 20) ** 2 + (i - 20) ** 2 < 64
    array = np.where(inside, 40, 120) + rng.integers(-20, 20, (40, 40, 40))
    return Volume(array.astype(np.uint8), np.eye(4), "recvol_Reference", 100.0)


@pytest.fixture
def tiny_case(tmp_path, tiny_volume):
    """A case folder with the tiny volume, its truth, one seed and a second of tracking at 10 Hz."""
    folder = tmp_path / "tiny-case"
    folder.mkdir()
    k, j, i = np.indices((40, 40, 40))
    truth = ((k - 20) ** 2 + (j - 20) ** 2 + (i - 20) ** 2 < 64).astype(np.uint8)
    write_volume(Volume(truth, np.eye(4)), folder / "truth.nrrd")
    entry = save_volume_into_case(folder, "volume", tiny_volume)
    samples = [TrackingSample(99.0 + t / 10, "ProbeToReference", "OK", np.eye(4)) for t in range(10)]
    append_tracking(folder / "tracking.jsonl", samples)
    lesions = (Lesion("Tumour 1", (20.0, 20.0, 20.0), 1),)
    save_case(Case(folder, "tiny", (entry,), lesions, "truth.nrrd", "tracking.jsonl", source={"kind": "simulated"}))
    return folder
