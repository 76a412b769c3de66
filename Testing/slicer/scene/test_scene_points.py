import numpy as np
import pytest
from CRLMSegmentationLib.core.points import PointKind
from CRLMSegmentationLib.slicer.scene.correction_points import (
    POINT_COLOURS,
    POINT_KIND,
    add_point,
    are_same_points,
    kind_being_placed,
    move_point,
    name_points,
    number_points,
    point_node,
    point_nodes,
    points_from_text,
    points_in,
    points_to_text,
    remove_point,
    remove_points_of,
    set_points,
)
from CRLMSegmentationLib.slicer.scene.saving import save_scene_bundle
from CRLMSegmentationLib.slicer.scene.seeds import seed_nodes, seeds_in, show_seed
from CRLMSegmentationLib.tracking.colours import INNER_COLOUR, LESION_COLOURS, OUTER_COLOUR
from helpers.point_helpers import exclude, include
from slicer import vtkMRMLInteractionNode, vtkMRMLSelectionNode

LESION = "Tumour 1"


def labels(scene, lesion=LESION):
    return {
        node.GetNthControlPointLabel(index)
        for _lesion, _kind, node in point_nodes(scene, lesion)
        for index in range(node.GetNumberOfControlPoints())
    }


def test_kinds_have_nodes_of_their_own_and_are_told_apart_by_shape_colour_and_label(scene):
    add_point(scene, LESION, include(1, 2, 3))
    add_point(scene, LESION, exclude(4, 5, 6))
    (_, _, plus), (_, _, minus) = point_nodes(scene)
    assert (plus.GetName(), minus.GetName()) == ("Tumour 1: include", "Tumour 1: exclude")
    glyphs = [
        node.GetDisplayNode().GetGlyphTypeAsString(node.GetDisplayNode().GetGlyphType()) for node in (plus, minus)
    ]
    assert glyphs == ["ThickCross2D", "Dash2D"]
    colours = [node.GetDisplayNode().GetSelectedColor() for node in (plus, minus)]
    assert colours == [pytest.approx(POINT_COLOURS[kind]) for kind in PointKind]
    assert labels(scene) == {"+1", "−2"}


COLOUR_VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
"""Of linear RGB, Machado et al. 2009, doi 10.1109/TVCG.2009.113."""
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour):
    part = np.array(colour)
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def lab(linear_rgb):
    xyz = TO_XYZ @ np.clip(linear_rgb, 0, 1) / (0.9505, 1.0, 1.089)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("vision", COLOUR_VISION)
def test_colours_of_the_kinds_are_told_apart_whatever_the_colour_vision(vision):
    matrix = np.array(COLOUR_VISION[vision])
    one, other = (lab(matrix @ linear(colour)) for colour in POINT_COLOURS.values())
    assert np.linalg.norm(one - other) > 40


def test_points_are_seen_on_a_dark_screen_and_have_colours_of_their_own():
    for colour in POINT_COLOURS.values():
        assert (np.dot(TO_XYZ[1], linear(colour)) + 0.05) / 0.05 >= 7
        assert colour not in (*LESION_COLOURS, INNER_COLOUR, OUTER_COLOUR)


def test_points_of_both_kinds_are_one_list_in_the_order_in_which_they_were_placed(scene):
    points = [include(1, 0, 0), exclude(2, 0, 0), exclude(3, 0, 0), include(4, 0, 0)]
    assert [add_point(scene, LESION, point) for point in points] == [1, 2, 3, 4]
    assert points_in(scene) == {LESION: tuple(points)}
    remove_point(scene, LESION, 2)
    assert list(number_points(scene)[LESION]) == [1, 3, 4]
    assert add_point(scene, LESION, include(5, 0, 0)) == 5
    assert labels(scene) == {"+1", "−3", "+4", "+5"}


def test_point_clicked_into_a_view_gets_the_next_number(scene):
    add_point(scene, LESION, include(1, 0, 0))
    node = point_node(scene, LESION, PointKind.EXCLUDE)
    node.AddControlPointWorld([2.0, 0.0, 0.0])
    assert points_in(scene)[LESION] == (include(1, 0, 0), exclude(2, 0, 0))
    assert node.GetNthControlPointLabel(0) == "−2"


def test_point_that_follows_the_mouse_is_none_yet(scene):
    node = point_node(scene, LESION, PointKind.INCLUDE)
    node.AddControlPoint([1.0, 2.0, 3.0])
    node.SetNthControlPointPosition(0, 1.0, 2.0, 3.0, node.PositionPreview)
    assert points_in(scene) == {}
    node.SetNthControlPointPosition(0, 1.0, 2.0, 3.0, node.PositionDefined)
    assert points_in(scene) == {LESION: (include(1, 2, 3),)}


def test_copied_point_is_a_point_of_its_own(scene):
    add_point(scene, LESION, include(1, 0, 0))
    node = point_node(scene, LESION, PointKind.INCLUDE)
    index = node.AddControlPointWorld([2.0, 0.0, 0.0])
    node.SetNthControlPointDescription(index, node.GetNthControlPointDescription(0))
    assert list(number_points(scene)[LESION]) == [1, 2]


@pytest.mark.parametrize("text", ["-1", "0", "1.5", "first", "²"])
def test_number_that_a_user_has_spoilt_is_given_again(scene, text):
    add_point(scene, LESION, include(1, 0, 0))
    point_node(scene, LESION, PointKind.INCLUDE).SetNthControlPointDescription(0, text)
    assert number_points(scene)[LESION] == {1: include(1, 0, 0)}


def test_points_are_no_seeds_and_seeds_no_points(scene):
    show_seed(scene, LESION, [1, 2, 3])
    add_point(scene, LESION, include(4, 5, 6))
    assert list(seed_nodes(scene)) == [LESION]
    assert seeds_in(scene)[LESION].tolist() == [1, 2, 3]
    assert points_in(scene)[LESION] == (include(4, 5, 6),)


def test_node_of_an_unknown_kind_is_left_alone(scene):
    add_point(scene, LESION, include(1, 0, 0))
    point_node(scene, LESION, PointKind.INCLUDE).SetAttribute(POINT_KIND, "perhaps")
    assert points_in(scene) == {}


def test_points_lie_under_the_transform_of_their_seed_and_are_read_in_the_world(scene, rigid, add_transform):
    seed = show_seed(scene, LESION, [0, 0, 0])
    matrix = rigid(40, (5, 6, 7))
    seed.SetAndObserveTransformNodeID(add_transform(matrix).GetID())
    add_point(scene, LESION, exclude(1, 2, 3))
    node = point_node(scene, LESION, PointKind.EXCLUDE)
    assert node.GetParentTransformNode() is seed.GetParentTransformNode()
    np.testing.assert_allclose(points_in(scene)[LESION][0].ras_mm, (1, 2, 3), atol=1e-9)
    np.testing.assert_allclose(matrix @ [*node.GetNthControlPointPosition(0), 1], [1, 2, 3, 1], atol=1e-9)


def test_point_is_moved_and_keeps_its_number(scene):
    for r in (1, 2):
        add_point(scene, LESION, include(r, 0, 0))
    move_point(scene, LESION, 1, (9.0, 8.0, 7.0))
    assert number_points(scene)[LESION] == {1: include(9, 8, 7), 2: include(2, 0, 0)}


def test_points_of_a_removed_lesion_leave_nothing_behind(scene):
    before = scene.GetNumberOfNodes()
    add_point(scene, LESION, include(1, 0, 0))
    add_point(scene, LESION, exclude(2, 0, 0))
    remove_points_of(scene, LESION)
    assert scene.GetNumberOfNodes() == before


def test_points_that_are_there_keep_their_numbers_when_others_come_back(scene):
    for r in (1, 2):
        add_point(scene, LESION, include(r, 0, 0))
    set_points(scene, LESION, [include(1, 0, 0), include(2, 0, 0), exclude(3, 0, 0)])
    assert number_points(scene)[LESION] == {1: include(1, 0, 0), 2: include(2, 0, 0), 3: exclude(3, 0, 0)}
    set_points(scene, LESION, [include(2, 0, 0)])
    assert number_points(scene)[LESION] == {2: include(2, 0, 0)}


def test_point_that_comes_back_between_others_is_in_its_place(scene):
    wanted = [include(1, 0, 0), exclude(2, 0, 0), include(3, 0, 0)]
    for point in (wanted[0], wanted[2]):
        add_point(scene, LESION, point)
    set_points(scene, LESION, wanted)
    assert points_in(scene)[LESION] == tuple(wanted)


def test_nodes_are_named_after_a_renamed_lesion(scene):
    add_point(scene, LESION, include(1, 0, 0))
    name_points(scene, {LESION: "segment VIII"})
    assert point_node(scene, LESION, PointKind.INCLUDE).GetName() == "segment VIII: include"


def test_kind_that_the_next_click_places_is_known(scene):
    interaction = scene.AddNode(vtkMRMLInteractionNode())
    selection = scene.AddNode(vtkMRMLSelectionNode())
    node = point_node(scene, LESION, PointKind.EXCLUDE)
    assert kind_being_placed(scene) is None
    selection.SetActivePlaceNodeID(node.GetID())
    interaction.SetCurrentInteractionMode(interaction.Place)
    assert kind_being_placed(scene) == (LESION, PointKind.EXCLUDE)
    selection.SetActivePlaceNodeID(show_seed(scene, LESION).GetID())
    assert kind_being_placed(scene) is None


def test_points_are_written_into_a_tag_and_read_back():
    points = (include(1.25, -2, 3), exclude(0, 0.0004, 100))
    text = points_to_text(points)
    assert text == "include 1.250 -2.000 3.000, exclude 0.000 0.000 100.000"
    assert are_same_points(points_from_text(text), points)
    assert points_from_text(points_to_text(())) == ()


@pytest.mark.parametrize("text", ["include 1 2", "perhaps 1 2 3", "include 1 2 x", "include 1 2 3,exclude 1 2 3"])
def test_tag_that_cannot_be_read_is_no_list_of_points(text):
    assert points_from_text(text) is None


def test_order_and_kind_make_other_points():
    one, other = include(1, 0, 0), exclude(5, 0, 0)
    assert not are_same_points((one, other), (other, one))
    assert not are_same_points((one,), (exclude(1, 0, 0),))
    assert not are_same_points((one,), (include(1.02, 0, 0),))
    assert are_same_points((one,), (include(1.004, 0, 0),))


def test_points_are_saved_and_loaded_with_the_scene(scene, tmp_path, read_bundle):
    show_seed(scene, LESION, [0, 0, 0])
    points = [include(1, 0, 0), exclude(2, 0, 0), include(3, 0, 0)]
    for point in points:
        add_point(scene, LESION, point)
    remove_point(scene, LESION, 1)
    save_scene_bundle(scene, tmp_path / "scene.mrb")
    loaded = read_bundle(tmp_path / "scene.mrb")
    assert number_points(loaded)[LESION] == {2: exclude(2, 0, 0), 3: include(3, 0, 0)}
    assert labels(loaded) == {"−2", "+3"}
    display = point_node(loaded, LESION, PointKind.EXCLUDE).GetDisplayNode()
    assert display.GetGlyphTypeAsString(display.GetGlyphType()) == "Dash2D"
