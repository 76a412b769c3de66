import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import SeedError
from CRLMSegmentationLib.slicer.scene.seeds import (
    STALE_COLOUR,
    free_colour,
    free_lesion_name,
    mark_seed,
    seed_nodes,
    seeds_in,
    show_seed,
    shown_colour,
)
from CRLMSegmentationLib.tracking.colours import LESION_COLOURS, colour_of


def test_seed_comes_back_in_world_ras_under_a_parent(scene, rigid, add_transform):
    node = show_seed(scene, "Tumour 1", [9, 9, 9])
    node.SetAndObserveTransformNodeID(add_transform(rigid(40, (5, 6, 7))).GetID())
    show_seed(scene, "Tumour 1", [1, 2, 3])
    np.testing.assert_allclose(seeds_in(scene)["Tumour 1"], [1, 2, 3], atol=1e-9)
    local = np.array(node.GetNthControlPointPosition(0))
    np.testing.assert_allclose(rigid(40, (5, 6, 7)) @ [*local, 1], [1, 2, 3, 1], atol=1e-9)


def test_seed_moves_in_place(scene):
    node = show_seed(scene, "Tumour 1", [1, 2, 3])
    before = scene.GetNumberOfNodes()
    for n in range(20):
        assert show_seed(scene, "Tumour 1", [n, 0, 0]) is node
    assert scene.GetNumberOfNodes() == before
    assert node.GetNumberOfControlPoints() == 1


def test_seed_renamed_and_dragged_by_the_user_is_still_that_of_its_lesion(scene):
    node = show_seed(scene, "Tumour 1", [1, 2, 3])
    node.SetName("beside the portal vein")
    node.SetNthControlPointPositionWorld(0, [7.0, 8.0, 9.0])
    assert seeds_in(scene)["Tumour 1"].tolist() == [7, 8, 9]


def test_seed_not_yet_placed_is_known_but_nowhere(scene):
    node = show_seed(scene, "Tumour 1")
    assert list(seed_nodes(scene)) == ["Tumour 1"]
    assert seeds_in(scene) == {}
    node.AddControlPoint([1.0, 2.0, 3.0], "preview")
    node.UnsetNthControlPointPosition(0)
    assert seeds_in(scene) == {}


def test_points_of_others_are_no_seeds(scene):
    scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "F").AddControlPoint([0.0, 0.0, 0.0])
    assert seed_nodes(scene) == {}


def test_each_lesion_has_its_colour(scene):
    for number in range(len(LESION_COLOURS) + 1):
        node = show_seed(scene, f"Tumour {number + 1}", [number, 0, 0], colour_of(number))
        assert node.GetDisplayNode().GetSelectedColor() == pytest.approx(colour_of(number))
    assert colour_of(len(LESION_COLOURS)) == LESION_COLOURS[0]


def test_names_are_not_given_twice(scene):
    assert free_lesion_name(scene) == "Tumour 1"
    show_seed(scene, "Tumour 1", [0, 0, 0]).SetName("renamed")
    scene.AddNewNodeByClass("vtkMRMLModelNode", "Tumour 2")
    assert free_lesion_name(scene) == "Tumour 3"


@pytest.mark.parametrize("seed", [[1, 2], [1, 2, np.nan]])
def test_seed_must_be_three_numbers(scene, seed):
    with pytest.raises(SeedError, match="'Tumour 1' must be three numbers"):
        show_seed(scene, "Tumour 1", seed)
    assert seed_nodes(scene) == {}


def test_seed_of_an_old_segmentation_is_grey_with_its_label_and_keeps_its_colour(scene):
    colour = colour_of(2)
    node = show_seed(scene, "Tumour 1", [1, 2, 3], colour)
    display = node.GetDisplayNode()
    for is_stale, shown in ((True, STALE_COLOUR), (True, STALE_COLOUR), (False, colour), (False, colour)):
        mark_seed(node, True, is_stale)
        assert display.GetSelectedColor() == pytest.approx(shown)
        assert shown_colour(node) == pytest.approx(colour)
    assert free_colour(scene) == LESION_COLOURS[0]


def test_label_is_hidden_once_where_it_would_lie_over_the_contours(scene):
    node = show_seed(scene, "Tumour 1", [1, 2, 3])
    display = node.GetDisplayNode()
    mark_seed(node, False, False)
    assert display.GetPointLabelsVisibility()
    mark_seed(node, True, False)
    assert not display.GetPointLabelsVisibility()
    display.SetPointLabelsVisibility(True)
    mark_seed(node, True, True)
    assert display.GetPointLabelsVisibility(), "the user wants to see it"
    mark_seed(node, False, False)
    mark_seed(node, True, False)
    assert not display.GetPointLabelsVisibility()
