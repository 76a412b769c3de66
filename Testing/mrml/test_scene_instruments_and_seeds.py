from __future__ import annotations

import numpy as np
import pytest
import vtk
from CRLMSegmentationLib.core.errors import GeometryError, SeedError
from CRLMSegmentationLib.scene.instruments import is_tracked, show_transform
from CRLMSegmentationLib.scene.nodes import to_array
from CRLMSegmentationLib.scene.seeds import SEED_COLOUR, seeds_from_node, show_seeds


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


def test_seeds_come_back_in_world_ras_under_a_parent(scene, rigid):
    parent = show_transform(scene, "LiverToTracker", rigid(40, (5, 6, 7)))
    node = show_seeds(scene, {"Lesion 1": [1, 2, 3], "Lesion 2": [-4, 5, 60]}, parent_transform=parent)
    (name_1, seed_1), (name_2, seed_2) = seeds_from_node(node)
    assert (name_1, name_2) == ("Lesion 1", "Lesion 2")
    np.testing.assert_allclose([seed_1, seed_2], [[1, 2, 3], [-4, 5, 60]], atol=1e-9)
    local = np.array(node.GetNthControlPointPosition(0))
    np.testing.assert_allclose(rigid(40, (5, 6, 7)) @ [*local, 1], [1, 2, 3, 1], atol=1e-9)


def test_seeds_move_in_place_and_vanish_when_no_longer_given(scene):
    node = show_seeds(scene, {"Lesion 1": [1, 2, 3], "Lesion 2": [4, 5, 6]})
    point_id = node.GetNthControlPointID(1)
    before = scene.GetNumberOfNodes()
    for n in range(20):
        assert show_seeds(scene, {"Lesion 2": [n, 0, 0]}) is node
    assert scene.GetNumberOfNodes() == before
    assert node.GetNthControlPointID(0) == point_id
    assert [(name, seed.tolist()) for name, seed in seeds_from_node(node)] == [("Lesion 2", [19, 0, 0])]


def test_seed_dragged_by_the_user_is_read_where_it_is_now(scene):
    node = show_seeds(scene, {"Lesion 1": [1, 2, 3]})
    node.SetNthControlPointPositionWorld(0, [7.0, 8.0, 9.0])
    assert seeds_from_node(node)[0][1].tolist() == [7, 8, 9]


def test_point_not_yet_placed_is_no_seed(scene):
    node = show_seeds(scene, {"Lesion 1": [1, 2, 3]})
    node.SetNthControlPointPosition(node.AddControlPoint([0.0, 0.0, 0.0], "preview"), 0, 0, 0)
    node.UnsetNthControlPointPosition(1)
    assert [name for name, _ in seeds_from_node(node)] == ["Lesion 1"]


def test_seeds_have_their_colour(scene):
    assert show_seeds(scene, {"Lesion 1": [1, 2, 3]}).GetDisplayNode().GetSelectedColor() == pytest.approx(SEED_COLOUR)


@pytest.mark.parametrize("seed", [[1, 2], [1, 2, np.nan]])
def test_seed_must_be_three_numbers(scene, seed):
    with pytest.raises(SeedError, match="'Lesion 1' must be three numbers"):
        show_seeds(scene, {"Lesion 1": seed})
