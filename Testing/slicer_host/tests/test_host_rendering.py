"""Views render as in a real Slicer: soon after a change, or within a later one; paused views are counted."""

from __future__ import annotations

import pytest
import vtk
from slicer_host import HostError

SOON_S = 1 / 60


@pytest.fixture
def clock(host):
    """The views' clock, which only renders and the test move on; a render costs 300 ms."""
    host.rendering.cost_s = 0.3
    now_s = host.rendering.use_clock()
    host.rendering.advance(1.0)
    host.rendering.forget()
    return now_s


@pytest.fixture
def tool(clock, host):
    """The transform of a model that is shown in space only."""
    import slicer

    scene = slicer.mrmlScene
    model, transform = (scene.AddNewNodeByClass(f"vtkMRML{kind}Node") for kind in ("Model", "LinearTransform"))
    ball = vtk.vtkSphereSource()
    ball.Update()
    model.SetAndObserveMesh(ball.GetOutput())
    model.CreateDefaultDisplayNodes()
    model.GetDisplayNode().SetVisibility2D(False)
    model.SetAndObserveTransformNodeID(transform.GetID())
    host.rendering.advance(1.0)
    host.rendering.forget()
    return transform


def move(transform, x_mm):
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, x_mm)
    transform.SetMatrixTransformToParent(matrix)


def drawn(host):
    return [render.view for render in host.rendering.renders]


def space(host):
    import slicer

    return slicer.app.layoutManager().threeDWidget(0).threeDView()


def test_a_change_is_drawn_soon_and_not_within_the_call(host, clock, tool):
    move(tool, 1.0)
    move(tool, 2.0)
    assert drawn(host) == []
    host.rendering.advance(SOON_S + 0.001)
    assert drawn(host) == ["1"]


def test_a_change_that_finds_an_old_request_pays_for_the_render_itself(host, clock, tool, monkeypatch):
    """As long as the event loop has no turn, here since a function takes long."""
    move(tool, 1.0)
    began_s = clock()
    monkeypatch.setattr(host.rendering, "_now_s", began_s + 0.02)
    move(tool, 2.0)
    assert drawn(host) == ["1"]
    assert clock() - began_s == pytest.approx(0.32)


def test_many_changes_of_one_function_pay_again_and_again(host, clock):
    """Three slices that are also shown in space: each jump after the first may render both views."""
    import slicer

    nodes = [slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode() for name in ("Red", "Yellow", "Green")]
    for node in nodes:
        node.SetSliceVisible(True)
    host.rendering.advance(1.0)
    host.rendering.forget()
    host.rendering.cost_s = {"1": 0.3}
    for step in range(1, 5):
        for node in nodes:
            node.JumpSlice(step, step, step)
        host.rendering._now_s += 0.02  # something else in the same function
    assert drawn(host).count("1") >= 2


@pytest.mark.parametrize("what", ["same matrix", "hidden", "colour", "same colour", "attribute", "removed"])
def test_only_what_can_be_seen_is_drawn(host, tool, what):
    import slicer

    model = slicer.util.getNodesByClass("vtkMRMLModelNode")[-1]
    display = model.GetDisplayNode()
    if what == "hidden":
        display.SetVisibility(False)
        host.rendering.advance(1.0)
        host.rendering.forget()
        move(tool, 5.0)
    elif what == "same matrix":
        matrix = vtk.vtkMatrix4x4()
        tool.SetMatrixTransformToParent(matrix)
    elif what in ("colour", "same colour"):
        display.SetColor(*((1.0, 0.0, 0.0) if what == "colour" else display.GetColor()))
    elif what == "attribute":
        model.SetAttribute("a", "b")
    else:
        slicer.mrmlScene.RemoveNode(model)
    host.rendering.advance(1.0)
    assert drawn(host) == ([] if what in ("hidden", "same colour") else ["1"]), "MRML tells of an equal matrix as well"


def test_a_model_in_slices_is_drawn_there_too(host, tool):
    import slicer

    slicer.util.getNodesByClass("vtkMRMLModelNode")[-1].GetDisplayNode().SetVisibility2D(True)
    host.rendering.advance(1.0)
    host.rendering.forget()
    move(tool, 1.0)
    host.rendering.advance(1.0)
    assert sorted(drawn(host)) == ["1", "Green", "Red", "Yellow"]


def test_a_new_display_node_is_drawn(host, clock):
    import slicer

    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelDisplayNode")
    host.rendering.advance(1.0)
    assert "1" in drawn(host)


def test_paused_views_draw_once_after_the_last_resume(host, clock, tool):
    import slicer

    with slicer.util.RenderBlocker():
        slicer.app.pauseRender()
        for x_mm in range(5):
            move(tool, x_mm)
            host.rendering.advance(0.05)
        slicer.app.resumeRender()
        assert drawn(host) == []
    assert drawn(host) == ["1"], "the request is old, so resuming renders"


def test_a_short_pause_leaves_the_render_to_the_timer(host, clock, tool):
    import slicer

    with slicer.util.RenderBlocker():
        move(tool, 1.0)
    assert drawn(host) == []
    host.rendering.advance(SOON_S + 0.001)
    assert drawn(host) == ["1"]


def test_resuming_what_is_not_paused_is_refused(host):
    import slicer

    with pytest.raises(HostError, match="not paused"):
        space(host).resumeRender()
    assert slicer.app.layoutManager().threeDWidget(0).threeDView().isRenderPaused() is False


def test_a_paused_view_and_an_observed_window_are_leaks(host, sample):
    import slicer

    slicer.app.pauseRender()
    tag = space(host).renderWindow().AddObserver(vtk.vtkCommand.EndEvent, lambda *_: None)
    assert len(host.leaks().views) == 5
    slicer.app.resumeRender()
    space(host).renderWindow().RemoveObserver(tag)
    assert host.leaks().views == ()


def test_a_render_is_told_by_its_window(host, clock):
    import slicer

    told = []
    window = space(host).renderWindow()
    tags = [
        window.AddObserver(vtk.vtkCommand.StartEvent, lambda *_: told.append(clock())),
        window.AddObserver(vtk.vtkCommand.EndEvent, lambda *_: told.append(clock())),
    ]
    slicer.util.forceRenderAllViews()
    for tag in tags:
        window.RemoveObserver(tag)
    assert told[1] - told[0] == pytest.approx(0.3)


def test_turning_the_camera_renders(host, clock):
    host.turn_camera()
    host.rendering.advance(0.02)
    assert drawn(host) == ["1"]


def test_time_is_real_unless_a_test_has_a_clock(host):
    view = space(host)._real
    before = view.renders
    view.scheduleRender()
    host.run_until(lambda: view.renders == before + 1)
