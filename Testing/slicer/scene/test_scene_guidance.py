"""Tools, margins and the line of the distance in a real scene."""

from __future__ import annotations

import numpy as np
import pytest
import vtk
from CRLMSegmentationLib.core.reasons import Reason, ReasonCode
from CRLMSegmentationLib.slicer.scene.guidance import hide_distance, margins_of, show_distance, show_margins
from CRLMSegmentationLib.slicer.scene.nodes import tip_of
from CRLMSegmentationLib.slicer.scene.tools import UNRELIABLE_COLOUR, UNRELIABLE_REASON, remove_tools_except, show_tool
from CRLMSegmentationLib.tracking.colours import INNER_COLOUR, OUTER_COLOUR
from CRLMSegmentationLib.tracking.instruments import Instrument, InstrumentKind
from CRLMSegmentationLib.tracking.margins import margin_surface
from CRLMSegmentationLib.tracking.readings import InstrumentState
from CRLMSegmentationLib.tracking.tool_meshes import mesh_of


def state(matrix, unreliable_reason=None, kind=InstrumentKind.POINTER, frame="Stylus"):
    return InstrumentState(
        Instrument(frame, kind), matrix, None if matrix is None else matrix[:3, 3], unreliable_reason
    )


def place_of(model):
    return tip_of(model.GetParentTransformNode())


def ball():
    source = vtk.vtkSphereSource()
    source.SetRadius(10)
    source.Update()
    return source.GetOutput()


@pytest.mark.parametrize("kind", InstrumentKind)
def test_tip_of_every_mesh_is_the_origin_and_its_handle_is_behind(kind):
    low_z, high_z = mesh_of(kind).GetBounds()[4:]
    assert high_z == pytest.approx(0)
    assert low_z < -50


def test_tool_that_was_never_seen_is_not_shown(scene):
    assert show_tool(scene, state(None, Reason(ReasonCode.NO_PATH, {"start": "Stylus", "goal": "Reference"}))) is None


def test_tool_moves_in_place(scene, rigid):
    model = show_tool(scene, state(rigid(0, (1, 2, 3))))
    before = scene.GetNumberOfNodes()
    for n in range(10):
        assert show_tool(scene, state(rigid(n, (n, 2, 3)))) is model
    assert scene.GetNumberOfNodes() == before
    assert place_of(model) == pytest.approx([9, 2, 3])


def test_tool_in_doubt_is_grey_where_it_was_trusted_last_and_comes_back(scene, rigid):
    model = show_tool(scene, state(rigid(0, (1, 2, 3))))
    colour = model.GetDisplayNode().GetColor()
    show_tool(scene, state(rigid(0, (90, 2, 3)), Reason(ReasonCode.JUMPED, {"mm": 89.0})))
    assert model.GetDisplayNode().GetColor() == UNRELIABLE_COLOUR
    assert model.GetDisplayNode().GetOpacity() < 0.5
    assert model.GetAttribute(UNRELIABLE_REASON) == "jumped"
    assert place_of(model) == pytest.approx([1, 2, 3])
    show_tool(scene, state(rigid(0, (2, 2, 3))))
    assert model.GetDisplayNode().GetColor() == colour
    assert model.GetDisplayNode().GetOpacity() == 1
    assert place_of(model) == pytest.approx([2, 2, 3])


def test_tip_that_lies_elsewhere_in_its_frame_is_drawn_there(scene, rigid):
    instrument = Instrument("Stylus", InstrumentKind.POINTER, (0.0, 0.0, 120.0))
    model = show_tool(scene, InstrumentState(instrument, rigid(0, (0, 0, 0)), np.array([0, 0, 120.0])))
    assert model.GetPolyData().GetBounds()[5] == pytest.approx(120)


def test_tools_of_another_source_are_taken_away(scene, rigid):
    show_tool(scene, state(rigid(0, (1, 2, 3))))
    probe = show_tool(scene, state(rigid(0, (1, 2, 3)), kind=InstrumentKind.PROBE, frame="Probe"))
    remove_tools_except(scene, {"Probe"})
    assert scene.GetNumberOfNodesByClass("vtkMRMLLinearTransformNode") == 1
    assert show_tool(scene, state(rigid(0, (1, 2, 3)), kind=InstrumentKind.PROBE, frame="Probe")) is probe


def test_line_leads_from_the_tip_to_the_tumour_and_is_gone_when_withheld(scene):
    node = show_distance(scene, np.array([1.0, 2, 3]), np.array([4.0, 5, 6]), INNER_COLOUR)
    assert show_distance(scene, np.array([7.0, 2, 3]), np.array([4.0, 5, 6]), INNER_COLOUR) is node
    points = node.GetPolyData().GetPoints()
    assert [points.GetPoint(0), points.GetPoint(1)] == [(7, 2, 3), (4, 5, 6)]
    assert node.GetDisplayNode().GetVisibility()
    hide_distance(scene)
    assert not node.GetDisplayNode().GetVisibility()
    show_distance(scene, np.array([7.0, 2, 3]), np.array([4.0, 5, 6]), INNER_COLOUR)
    assert node.GetDisplayNode().GetVisibility()


def test_margins_are_translucent_cut_the_slices_and_are_replaced(scene):
    margins = {width: margin_surface(ball(), width) for width in (5.0, 10.0)}
    inner, outer = show_margins(scene, "Tumour 1", margins)
    assert inner.GetDisplayNode().GetColor() == INNER_COLOUR
    assert outer.GetDisplayNode().GetColor() == OUTER_COLOUR
    for node in (inner, outer):
        assert 0 < node.GetDisplayNode().GetOpacity() < 0.5
        assert node.GetDisplayNode().GetVisibility2D()
    assert outer.GetPolyData().GetBounds()[1] == pytest.approx(20, abs=0.3)
    assert show_margins(scene, "Tumour 1", {5.0: margins[5.0]}) == [inner]
    assert margins_of(scene, "Tumour 1") == [inner]
    show_margins(scene, "Tumour 2", margins)
    show_margins(scene, "Tumour 1", {})
    assert margins_of(scene, "Tumour 1") == []
    assert len(margins_of(scene, "Tumour 2")) == 2
