"""A lesion small enough to know the answer, in geometries of every kind."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.core.geometry import transform_points
from CRLMSegmentationLib.core.metrics import compare
from CRLMSegmentationLib.core.postprocessing import LesionMask, measure
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.reports.planes import DrawnLesion
from CRLMSegmentationLib.reports.schema import TIMINGS, lesion_report

GEOMETRIES = {
    "axis-aligned": np.array([[1, 0, 0, -10], [0, 1, 0, 20], [0, 0, 1, 30], [0, 0, 0, 1]], float),
    "anisotropic left-handed": np.array([[-0.8, 0, 0, 40], [0, 1.1, 0, -5], [0, 0, 1.6, 9], [0, 0, 0, 1]], float),
    "permuted": np.array([[0, 0.9, 0, 3], [0, 0, -1.2, 4], [-1, 0, 0, 5], [0, 0, 0, 1]], float),
    "oblique": np.array([[0.6, -0.8, 0, 12], [0.8, 0.6, 0, -7], [0, 0, 1.5, 33], [0, 0, 0, 1]], float),
}


@pytest.fixture(params=GEOMETRIES.values(), ids=GEOMETRIES.keys())
def ijk_to_ras(request) -> np.ndarray:
    return request.param


@pytest.fixture
def lesion() -> DrawnLesion:
    return make_lesion(GEOMETRIES["oblique"])


@pytest.fixture(scope="session")
def shared_lesion() -> DrawnLesion:
    """The same, for pictures that several tests look at."""
    return make_lesion(GEOMETRIES["oblique"])


@pytest.fixture
def any_lesion(ijk_to_ras) -> DrawnLesion:
    return make_lesion(ijk_to_ras)


def make_lesion(ijk_to_ras: np.ndarray) -> DrawnLesion:
    """Prediction of 8 x 6 x 7 voxels (i, j, k), truth one voxel to the side, in 30 x 26 x 24 voxels of grey."""
    array = np.random.default_rng(1).integers(90, 160, (24, 26, 30), np.uint8)
    array[:, :, 0] = 0
    mask, truth = np.zeros(array.shape, bool), np.zeros(array.shape, bool)
    mask[8:15, 9:15, 10:18] = True
    truth[8:15, 9:15, 11:19] = True
    seed = transform_points(ijk_to_ras, [13.0, 12.0, 11.0])
    return DrawnLesion(Volume(array, ijk_to_ras, "recvol_Reference", 1.5), mask, seed, 20.0, truth)


@pytest.fixture
def report_of():
    """A report of a lesion; keywords replace what it says."""

    def make(shown: DrawnLesion, **changes) -> dict:
        mask, matrix = shown.mask, shown.volume.ijk_to_ras
        volume_ml, diameters_mm = measure(mask, matrix)
        warnings = () if mask.any() else ("nothing found: move the seed",)
        whole = (mask, (0, 0, 0), mask.shape, matrix, mask.astype(np.float32), matrix)
        result = LesionMask(*whole, volume_ml, diameters_mm, 0.8, warnings)
        truth = shown.truth
        entries = {
            "case_id": "phantom-0001",
            "engine": "nnU-Net v2",
            "device": "cpu (2 threads)",
            "model_name": "crlm-crop",
            "model_sha256": "3f9a" * 16,
            "seed_ras_mm": shown.seed_ras_mm,
            "crop_size_mm": shown.crop_size_mm,
            "timings_s": dict.fromkeys(TIMINGS, 0.5),
            "metrics": None if truth is None else compare(mask, truth, matrix, mask.astype(np.float32)),
            "result": result,
            "versions": {"CRLMSegmentation": "0.1.0"},
            "created": "2026-01-02T03:04:05",
            "volume_identity": shown.volume.identity,
        }
        return lesion_report(**{**entries, **changes})

    return make
