from __future__ import annotations

import numpy as np
import pytest
import vtk
from CRLMSegmentationLib.core.errors import GeometryError
from CRLMSegmentationLib.slicer.scene.instruments import is_tracked, show_transform
from CRLMSegmentationLib.slicer.scene.nodes import to_array


def _matrix_of(node) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    node.GetMatrixTransformToParent(matrix)
    return to_array(matrix)


def test_transform_moves_in_place(scene, rigid):
    node = show_transform(scene, "ProbeToReference", rigid(10, (1, 2, 3)))
    before = scene.GetNumberOfNodes()
    for n in range(20):
        assert show_transform(scene, "ProbeToReference", rigid(n, (n, 0, 0))) is node
    assert scene.GetNumberOfNodes() == before
    np.testing.assert_allclose(_matrix_of(node), rigid(19, (19, 0, 0)))
    assert is_tracked(node)


@pytest.mark.parametrize("status", ["MISSING", "INVALID"])
def test_lost_device_stays_where_it_was_seen_and_says_so(scene, status, rigid):
    node = show_transform(scene, "ProbeToReference", rigid(10, (1, 2, 3)))
    show_transform(scene, "ProbeToReference", np.zeros((4, 4)), status)
    np.testing.assert_allclose(_matrix_of(node), rigid(10, (1, 2, 3)))
    assert not is_tracked(node)
    show_transform(scene, "ProbeToReference", rigid(11, (1, 2, 3)))
    assert is_tracked(node)


def test_two_devices_have_two_nodes(scene):
    probe = show_transform(scene, "ProbeToReference", np.eye(4))
    assert show_transform(scene, "PointerToReference", np.eye(4)) is not probe


@pytest.mark.parametrize("matrix", [None, np.zeros((4, 4)), np.full((4, 4), np.nan), np.eye(3)])
def test_tracked_device_needs_a_usable_matrix(scene, matrix):
    before = scene.GetNumberOfNodes()
    with pytest.raises(GeometryError, match=r"'ProbeToReference'.*check the tracker"):
        show_transform(scene, "ProbeToReference", matrix)
    assert scene.GetNumberOfNodes() == before
