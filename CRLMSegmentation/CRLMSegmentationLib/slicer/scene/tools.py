"""Tracked tools as meshes that move, and turn grey when they are not valid for navigation."""

from __future__ import annotations

from collections.abc import Container

import numpy as np
import slicer

from ...core.reasons import tag_of_reason
from ...tracking.colours import TOOL_COLOURS
from ...tracking.instruments import Instrument
from ...tracking.readings import InstrumentState
from ...tracking.tool_meshes import mesh_of
from .nodes import (
    PREFIX,
    find_node,
    make_hidden_display,
    make_node,
    nodes_of_class,
    one_update,
    place,
    put_under,
    remove_node,
)

MODEL, TRANSFORM = "vtkMRMLModelNode", "vtkMRMLLinearTransformNode"
UNRELIABLE_COLOUR, UNRELIABLE_OPACITY = (0.5, 0.5, 0.5), 0.35
FRAME = PREFIX + "ToolFrame"
UNRELIABLE_REASON = PREFIX + "Doubt"
"""Attribute of a tool's mesh: value of the reason why it is not valid for navigation; empty while it is."""


def prepare_tool(scene: slicer.vtkMRMLScene, instrument: Instrument) -> bool:
    """Make what is missing of a tool's nodes, hidden; returns whether anything was.

    What a user has deleted of it is made again. It is not saved with the scene: it would stand there unguarded.
    """
    _model, _transform, was_made = _prepared_tool(scene, instrument)
    return was_made


def show_tool(scene: slicer.vtkMRMLScene, state: InstrumentState) -> slicer.vtkMRMLModelNode | None:
    """Put a tool where it was seen last, grey while unreliable; nothing before it was first seen.

    Returns:
        The node of its mesh, under the transform that places it.
    """
    if state.matrix is None:
        return None
    model, placed, _was_made = _prepared_tool(scene, state.instrument)
    if model.GetParentTransformNode() is not placed:
        put_under(model, placed)
    if state.unreliable_reason is None or model.GetAttribute(UNRELIABLE_REASON) is None:
        place(placed, state.matrix)
    if model.GetAttribute(UNRELIABLE_REASON) != tag_of_reason(state.unreliable_reason):
        _look(model, state)
    return model


def remove_tools_except(scene: slicer.vtkMRMLScene, frames: Container[str]) -> None:
    """Take away the tools of other frames, as after another source was chosen."""
    for node in [*nodes_of_class(scene, MODEL), *nodes_of_class(scene, TRANSFORM)]:
        frame = node.GetAttribute(FRAME)
        if frame and frame not in frames:
            remove_node(scene, node)


def _prepared_tool(
    scene: slicer.vtkMRMLScene, instrument: Instrument
) -> tuple[slicer.vtkMRMLModelNode, slicer.vtkMRMLLinearTransformNode, bool]:
    """Return the model of a tool, the transform that places it, and whether anything of them had to be made."""
    frame = instrument.frame
    model, placed = find_node(scene, MODEL, _key(frame)), find_node(scene, TRANSFORM, _place_key(frame))
    if model is not None and placed is not None and model.GetDisplayNode() is not None:
        return model, placed, False
    placed = placed or _make_place(scene, frame)
    model = model or _make_tool(scene, instrument)
    if model.GetDisplayNode() is None:
        _make_display(model)
    put_under(model, placed)
    return model, placed, True


def _key(frame: str) -> str:
    return f"Tool {frame}"


def _place_key(frame: str) -> str:
    return f"{frame} in the liver's frame"


def _make_place(scene: slicer.vtkMRMLScene, frame: str) -> slicer.vtkMRMLLinearTransformNode:
    placed = make_node(scene, TRANSFORM, _place_key(frame))
    placed.SetAttribute(FRAME, frame)
    placed.SetHideFromEditors(True)
    placed.SetSaveWithScene(False)
    return placed


def _make_tool(scene: slicer.vtkMRMLScene, instrument: Instrument) -> slicer.vtkMRMLModelNode:
    frame = instrument.frame
    model = make_node(scene, MODEL, _key(frame))
    model.SetName(frame)
    model.SetAttribute(FRAME, frame)
    mesh = mesh_of(instrument.kind)
    for point in range(mesh.GetNumberOfPoints()):
        mesh.GetPoints().SetPoint(point, np.add(mesh.GetPoint(point), instrument.tip_mm))
    model.SetAndObserveMesh(mesh)
    model.SetSelectable(False)
    model.SetSaveWithScene(False)
    return model


def _make_display(model: slicer.vtkMRMLModelNode) -> None:
    model.RemoveAttribute(UNRELIABLE_REASON)
    display = make_hidden_display(model)
    display.SetVisibility2D(True)
    display.SetSliceIntersectionThickness(2)
    display.SetSaveWithScene(False)


def _look(model: slicer.vtkMRMLModelNode, state: InstrumentState) -> None:
    display = model.GetDisplayNode()
    with one_update(display):
        display.SetColor(*(UNRELIABLE_COLOUR if state.unreliable_reason else TOOL_COLOURS[state.instrument.kind]))
        display.SetOpacity(UNRELIABLE_OPACITY if state.unreliable_reason else 1.0)
        display.SetVisibility(True)
    model.SetAttribute(UNRELIABLE_REASON, tag_of_reason(state.unreliable_reason))
