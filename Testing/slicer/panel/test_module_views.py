"""The views of the workspace: their layout, slices that follow the tip, the number in space, volume rendering."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest
import vtk
from helpers.module_helpers import Panel


@pytest.fixture
def navigated(navigated, tracker) -> Panel:
    """The stylus is within the wider margin."""
    tracker.stylus(9.0)
    navigated.wait(lambda: navigated.text("distanceLabel").startswith("9 mm"))
    return navigated


def views(panel):
    return panel.host.application.layoutManager()


def space(panel):
    return views(panel).threeDWidget(0).mrmlViewNode()


def slices(panel):
    return {name: views(panel).sliceWidget(name).mrmlSliceNode() for name in ("Red", "Yellow", "Green")}


def offsets(panel):
    """Where the slices are: R of the sagittal, A of the coronal, S of the axial one."""
    matrices = [slices(panel)[name].GetSliceToRAS() for name in ("Yellow", "Green", "Red")]
    return tuple(matrix.GetElement(axis, 3) for axis, matrix in enumerate(matrices))


def corner(panel):
    return views(panel).threeDWidget(0).threeDView().p_cornerAnnotationText


def reach(panel, tracker, place):
    tracker.poses["StylusToReference"] = place
    panel.wait(lambda: tuple(panel.workspace.navigation.situation.instruments[0].tip_ras_mm) == place)


def move(panel, tracker, place):
    reach(panel, tracker, place)
    panel.turns(20)


def tick(panel, name, on):
    panel.host.widget(name).checked = on
    panel.turns(2)


# ---- layout


def test_layout_of_the_room_has_a_large_view_of_space_beside_three_slices(with_result):
    import slicer
    from CRLMSegmentationLib.slicer.views.layout import LAYOUT

    with_result.press("layoutButton")
    assert views(with_result).p_layout == LAYOUT
    node = views(with_result).layoutLogic().GetLayoutNode()
    assert node.GetViewArrangement() == LAYOUT
    top = ElementTree.fromstring(node.GetLayoutDescription(LAYOUT))
    shown = [(view.get("class"), view.get("singletontag")) for view in top.iter("view")]
    assert shown == [("vtkMRMLViewNode", "1"), *(("vtkMRMLSliceNode", name) for name in ("Red", "Yellow", "Green"))]
    large, beside = (int(item.get("splitSize")) for item in top.findall("item"))
    assert large > 2 * beside
    assert len(slicer.util.getNodesByClass("vtkMRMLSliceNode")) == 3, "Slicer's own views are used"
    assert len(slicer.util.getNodesByClass("vtkMRMLViewNode")) == 1


def test_layout_of_the_room_is_dark_and_shows_the_volume_as_a_slice_in_space(with_result):
    with_result.press("layoutButton")
    assert space(with_result).GetBackgroundColor() == space(with_result).GetBackgroundColor2() == (0.0, 0.0, 0.0)
    assert not space(with_result).GetBoxVisible()
    assert not space(with_result).GetUseDepthPeeling(), "only margins are translucent"
    assert [bool(node.GetSliceVisible()) for node in slices(with_result).values()] == [True, False, False]


def test_depth_is_peeled_while_lesions_are_translucent(with_result):
    with_result.press("layoutButton")
    with_result.host.widget("opacitySlider").value = 0.5
    assert space(with_result).GetUseDepthPeeling()
    with_result.host.widget("opacitySlider").value = 1.0
    assert not space(with_result).GetUseDepthPeeling()


def test_button_goes_back_to_the_layout_before(with_result):
    before = views(with_result).p_layout
    look = space(with_result).GetBackgroundColor(), space(with_result).GetBoxVisible()
    assert space(with_result).GetUseDepthPeeling()
    with_result.press("layoutButton")
    with_result.wait(lambda: with_result.text("layoutButton") == "Views as before")
    with_result.press("layoutButton")
    assert views(with_result).p_layout == before
    assert (space(with_result).GetBackgroundColor(), space(with_result).GetBoxVisible()) == look
    assert space(with_result).GetUseDepthPeeling()
    assert not any(node.GetSliceVisible() for node in slices(with_result).values())
    with_result.wait(lambda: with_result.text("layoutButton") == "Large 3D view")


def test_layout_that_is_chosen_in_slicer_is_noticed(with_result):
    import slicer

    with_result.press("layoutButton")
    views(with_result).setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUp3DView)
    with_result.wait(lambda: with_result.text("layoutButton") == "Large 3D view")
    with_result.press("layoutButton")
    with_result.press("layoutButton")
    assert views(with_result).p_layout == slicer.vtkMRMLLayoutNode.SlicerLayoutOneUp3DView


def test_layout_can_be_left_after_the_module_was_reloaded(with_result):
    import slicer

    with_result.press("layoutButton")
    with_result.host.reload_module()
    with_result.widget.logic.makeEngine = lambda _model: with_result.engine
    with_result.press("layoutButton")
    assert views(with_result).p_layout == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
    assert space(with_result).GetBackgroundColor() == slicer.vtkMRMLViewNode().GetBackgroundColor()


# ---- slices


def test_slices_follow_the_tip(navigated, tracker):
    move(navigated, tracker, (30.0, 21.0, 25.0))
    assert offsets(navigated) == pytest.approx((30.0, 21.0, 25.0))
    move(navigated, tracker, (31.0, 19.0, 27.0))
    assert offsets(navigated) == pytest.approx((31.0, 19.0, 27.0))


def test_slices_move_ten_times_a_second_at_most(navigated, tracker, monkeypatch):
    """By a clock that the test moves on, a quarter of the time between two moves with each place of the tip."""
    from CRLMSegmentationLib.slicer.views.layout import FOLLOW_S

    now_s, moved = [0.0], []
    follower = navigated.widget.views._follower
    monkeypatch.setattr(follower, "_clock", lambda: now_s[0])
    monkeypatch.setattr(follower, "_moved_s", float("-inf"))
    node = slices(navigated)["Yellow"]
    tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: moved.append(round(node.GetSliceOffset(), 3)))
    for number in range(20):
        now_s[0] = 0.26 * number * FOLLOW_S
        reach(navigated, tracker, (30.0 + number / 10, 20.0, 20.0))
        navigated.turns(2)
    node.RemoveObserver(tag)
    assert len(set(moved)) == 5


def test_slices_of_a_tip_at_rest_are_left_alone(navigated, tracker):
    move(navigated, tracker, (30.0, 21.0, 25.0))
    slices(navigated)["Red"].SetSliceOffset(10.0)
    navigated.turns(30)
    assert offsets(navigated)[2] == 10.0


@pytest.mark.parametrize("why", ["unticked", "lost", "placing", "far away"])
def test_slices_stay_where_they_are(navigated, tracker, why):
    move(navigated, tracker, (30.0, 20.0, 20.0))
    if why == "unticked":
        tick(navigated, "followTipCheckBox", False)
    elif why == "placing":
        navigated.press("placeButton")
    place = (200.0, 20.0, 20.0) if why == "far away" else (34.0, 20.0, 20.0)
    tracker.poses["StylusToReference"] = "MISSING" if why == "lost" else place
    navigated.turns(40)
    assert offsets(navigated)[0] == pytest.approx(30.0)
    if why == "lost":
        tracker.poses["StylusToReference"] = place
        navigated.wait(lambda: offsets(navigated)[0] == pytest.approx(34.0))


# ---- the number in space


def test_number_stands_in_the_view_of_space_in_its_colour(navigated, tracker):
    navigated.wait(lambda: corner(navigated).startswith("9 mm ("))
    assert corner(navigated).splitlines()[1:] == ["Stylus to Tumour 1, within", "10 mm"]
    annotation = views(navigated).threeDWidget(0).threeDView().cornerAnnotation()
    assert annotation.GetTextProperty().GetColor() == pytest.approx((1.0, 0.78, 0.2))
    tracker.stylus("MISSING")
    navigated.wait(lambda: corner(navigated) == "–\nStylus: not tracked")


def test_view_is_drawn_anew_only_for_another_number(navigated):
    view = views(navigated).threeDWidget(0).threeDView()
    navigated.wait(lambda: not navigated.workspace.navigation.is_at_work)
    navigated.turns(30)
    drawn = view.renders
    navigated.turns(40)
    assert view.renders == drawn


@pytest.mark.parametrize("how", ["untick", "close_scene", "unload_module", "no instrument"])
def test_number_is_taken_out_of_the_view(navigated, how):
    view = views(navigated).threeDWidget(0).threeDView()
    if how == "untick":
        tick(navigated, "cornerCheckBox", False)
        navigated.redraw()
    elif how == "no instrument":
        navigated.workspace.use_link(None)
        navigated.redraw()
    else:
        getattr(navigated.host, how)()
    assert view.p_cornerAnnotationText == ""
    fresh = vtk.vtkCornerAnnotation()
    assert view.cornerAnnotation().GetLinearFontScaleFactor() == fresh.GetLinearFontScaleFactor()


# ---- volume rendering


def rendered(panel):
    """Names of the volumes that are seen as a cloud."""
    import slicer

    displays = slicer.util.getNodesByClass("vtkMRMLVolumeRenderingDisplayNode")
    return [d.GetVolumeNode().GetName() for d in displays if d.GetVisibility() and d.GetVolumeNode()]


def test_volume_rendering_is_shown_on_demand_and_taken_away(with_result):
    assert rendered(with_result) == []
    with_result.press("renderingButton")
    with_result.wait(lambda: rendered(with_result) == ["us"])
    with_result.wait(lambda: with_result.text("renderingButton") == "Hide the volume in 3D")
    with_result.press("renderingButton")
    with_result.wait(lambda: rendered(with_result) == [])
    with_result.press("renderingButton")
    with_result.wait(lambda: rendered(with_result) == ["us"])
    assert with_result.host.scene.GetNumberOfNodesByClass("vtkMRMLVolumeRenderingDisplayNode") == 1


def test_what_is_rendered_is_more_opaque_where_it_is_brighter(with_result):
    import slicer

    with_result.press("renderingButton")
    with_result.wait(lambda: rendered(with_result))
    display = slicer.util.getNodesByClass("vtkMRMLVolumeRenderingDisplayNode")[0]
    opacity = display.GetVolumePropertyNode().GetVolumeProperty().GetScalarOpacity()
    assert opacity.GetValue(0) == opacity.GetValue(30) == 0.0
    assert 0.0 < opacity.GetValue(110) < opacity.GetValue(135) < 0.3


def test_volume_rendering_follows_the_volume(with_result, tiny_volume):
    with_result.press("renderingButton")
    with_result.wait(lambda: rendered(with_result) == ["us"])
    with_result.show_volume(replace(tiny_volume, timestamp_s=9.0), "another")
    with_result.wait(lambda: rendered(with_result) == ["another"])
    with_result.host.scene.RemoveNode(with_result.workspace.volume.node)
    with_result.redraw()
    assert rendered(with_result) == []
    assert with_result.message == ""


def test_volume_rendering_waits_for_a_volume(panel, tiny_volume):
    panel.press("renderingButton")
    panel.redraw()
    assert panel.message == ""
    panel.show_volume(tiny_volume)
    panel.wait(lambda: rendered(panel) == ["us"])
    panel.host.close_scene()
    panel.host.unload_module()
    assert not panel.host.leaks(), panel.host.leaks()


# ---- the views go to what is new


def centres(panel):
    """Where the middles of the slices are, RAS mm."""
    matrices = [node.GetSliceToRAS() for node in slices(panel).values()]
    return [[matrix.GetElement(axis, 3) for axis in range(3)] for matrix in matrices]


@pytest.fixture
def camera(panel):
    """The camera of the 3D view, as Slicer makes it."""
    import slicer

    node = slicer.vtkMRMLCameraNode()
    node.SetLayoutName("1")
    return panel.host.scene.AddNode(node)


def test_views_go_to_a_lesion_that_was_found(camera, with_result):
    centre = pytest.approx((20.0, 20.0, 20.0), abs=1.0)
    assert all(found == centre for found in centres(with_result))
    assert all(min(node.GetFieldOfView()[:2]) == pytest.approx(60.0) for node in slices(with_result).values())
    assert camera.GetFocalPoint() == centre
    assert 50.0 < vtk.vtkMath.Distance2BetweenPoints(camera.GetPosition(), camera.GetFocalPoint()) ** 0.5 < 200.0


def test_views_go_to_the_lesion_that_is_chosen_in_the_table(camera, with_result):
    with_result.place((27.0, 20.0, 20.0))
    with_result.answer()
    second = centres(with_result)
    for node in slices(with_result).values():
        node.JumpSliceByCentering(0.0, 0.0, 0.0)
    with_result.host.widget("lesionTable").setCurrentCell(0, 0)
    with_result.host.widget("lesionTable").setCurrentCell(1, 0)
    assert centres(with_result) == [pytest.approx(place, abs=0.5) for place in second]
    assert camera.GetFocalPoint() == pytest.approx(second[0], abs=0.5)


def test_views_stay_where_they_are_when_a_lesion_is_segmented_again(with_result):
    for node in slices(with_result).values():
        node.JumpSliceByCentering(5.0, 6.0, 7.0)
    before = centres(with_result)
    with_result.press("againButton")
    with_result.answer()
    assert centres(with_result) == before


def test_views_go_to_a_segmentation_that_is_brought_back(with_result):
    found = centres(with_result)
    with_result.press("removeButton")
    with_result.wait(lambda: with_result.table() == [])
    for node in slices(with_result).values():
        node.JumpSliceByCentering(5.0, 6.0, 7.0)
    with_result.redraw()
    assert centres(with_result) != found
    with_result.press("undoButton")
    with_result.redraw()
    assert centres(with_result) == [pytest.approx(place, abs=0.5) for place in found]


def test_views_of_somebody_who_navigates_are_left_alone(camera, navigated, tracker):
    move(navigated, tracker, (30.0, 21.0, 25.0))
    before, focal = centres(navigated), camera.GetFocalPoint()
    navigated.place((22.0, 20.0, 20.0))
    navigated.answer()
    navigated.host.widget("lesionTable").setCurrentCell(1, 0)
    navigated.redraw()
    assert centres(navigated) == before
    assert camera.GetFocalPoint() == focal
    tick(navigated, "followTipCheckBox", False)
    navigated.host.widget("lesionTable").setCurrentCell(0, 0)
    assert centres(navigated) != before


def test_3d_view_goes_to_a_new_volume_once_and_not_when_it_is_renewed(camera, with_volume, tiny_volume):
    with_volume.turns(2)
    assert camera.GetFocalPoint() == pytest.approx((20.0, 20.0, 20.0), abs=1.0)
    camera.SetFocalPoint(1.0, 2.0, 3.0)
    with_volume.show_volume(replace(tiny_volume, array=tiny_volume.array + 1, timestamp_s=9.0))
    with_volume.redraw()
    assert camera.GetFocalPoint() == (1.0, 2.0, 3.0)


# ---- the crop box


def test_crop_box_is_seen_only_while_the_section_is_open_in_which_it_is_changed(with_result):
    from CRLMSegmentationLib.slicer.scene.crop_box import crop_box

    display = crop_box(with_result.host.scene).GetDisplayNode()
    assert not display.GetVisibility()
    with_result.host.widget("segmentButton").collapsed = False
    with_result.turns(2)
    assert display.GetVisibility()
    with_result.host.widget("cropSizeSlider").value = 50
    with_result.turns(2)
    assert crop_box(with_result.host.scene).GetSize() == pytest.approx((50.0, 50.0, 50.0))
    with_result.host.widget("segmentButton").collapsed = True
    with_result.turns(2)
    assert not display.GetVisibility()
