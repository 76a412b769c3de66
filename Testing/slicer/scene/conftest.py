"""Scenes, and volumes small enough to see the answer."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.slicer.scene.nodes import to_vtk_matrix
from CRLMSegmentationLib.slicer.scene.segmentations import ShownLesion
from CRLMSegmentationLib.tracking.colours import LESION_COLOURS

GEOMETRIES = {
    "axis-aligned": np.diag([1.0, 1.0, 1.0, 1.0]),
    "anisotropic": np.array([[0.4, 0, 0, -8], [0, 0.9, 0, 5], [0, 0, 2.1, 70], [0, 0, 0, 1]], float),
    "left-handed": np.array([[-0.5, 0, 0, 3], [0, 0.5, 0, -20], [0, 0, 0.5, 9], [0, 0, 0, 1]], float),
    "permuted": np.array([[0, 0.5, 0, 3], [0, 0, -0.7, 4], [-0.9, 0, 0, 5], [0, 0, 0, 1]], float),
    "oblique": np.array([[0.6, -0.4, 0, 12], [0.8, 0.3, 0, -7], [0, 0, 1.5, 33], [0, 0, 0, 1]], float),
}


@pytest.fixture
def rigid():
    """Turn about S in degrees, then shift in mm."""

    def make(angle_deg: float, shift_mm: tuple[float, float, float]) -> np.ndarray:
        c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
        matrix = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], float)
        matrix[:3, 3] = shift_mm
        return matrix

    return make


@pytest.fixture
def scene(make_scene):
    return make_scene()


@pytest.fixture(params=GEOMETRIES.values(), ids=GEOMETRIES.keys())
def volume(request) -> Volume:
    """7 x 9 x 11 voxels (i, j, k), all of them different in value."""
    return Volume(np.arange(1, 694, dtype=np.uint16).reshape(11, 9, 7), request.param, "recvol_Reference", 12.25)


@pytest.fixture
def add_transform(scene):
    def add(matrix: np.ndarray, parent=None):
        node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "LiverToTracker")
        node.SetMatrixTransformToParent(to_vtk_matrix(matrix))
        if parent:
            node.SetAndObserveTransformNodeID(parent.GetID())
        return node

    return add


@pytest.fixture
def lesion_in():
    """A block of 4 x 3 x 5 voxels (i, j, k) as a lesion of a volume."""

    def make(volume: Volume, name: str = "Lesion 1", start=(2, 3, 1), colour=LESION_COLOURS[0], **more) -> ShownLesion:
        mask = np.zeros(volume.array.shape, bool)
        k, j, i = start
        mask[k : k + 5, j : j + 3, i : i + 4] = True
        return ShownLesion(name, mask, colour, volume.center_ras_mm, volume.identity, "ab" * 32, **more)

    return make


@pytest.fixture
def read_bundle(tmp_path, make_scene):
    """Open a .mrb in a scene of its own, as 3D Slicer does: unpack it, then read its .mrml."""

    def read(path):
        folder = tmp_path / "unpacked"
        with zipfile.ZipFile(path) as bundle:
            bundle.extractall(folder)
        opened = make_scene()
        opened.SetURL(str(next(folder.rglob("*.mrml"))))
        assert opened.Connect() == 1
        return opened

    return read
