"""Tracked tools as meshes that move, and turn grey when they are not to be steered by."""

from __future__ import annotations

import numpy as np
import slicer

from ..navigation.instruments import Kind
from ..navigation.navigator import InstrumentState
from .nodes import PREFIX, find_node, make_node, one_update, put_under, to_vtk_matrix
from .tool_meshes import mesh_of

MODEL, TRANSFORM = "vtkMRMLModelNode", "vtkMRMLLinearTransformNode"
COLOURS = {Kind.POINTER: (0.35, 0.80, 1.0), Kind.DISSECTOR: (1.0, 0.85, 0.35), Kind.PROBE: (0.80, 0.84, 0.88)}
DOUBT_COLOUR, DOUBT_OPACITY = (0.5, 0.5, 0.5), 0.35
DOUBT = PREFIX + "Doubt"
"""Attribute of a tool's mesh: why it is not to be steered by; empty while it is."""


def show_tool(scene: slicer.vtkMRMLScene, state: InstrumentState) -> slicer.vtkMRMLModelNode | None:
    """Put a tool where it was seen last, grey while in doubt; nothing before it was first seen.

    Returns:
        The node of its mesh, under the transform that places it.
    """
    if state.matrix is None:
        return None
    frame = state.instrument.frame
    model = find_node(scene, MODEL, _key(frame)) or _make_tool(scene, state)
    placed = model.GetParentTransformNode()
    if not state.doubt or model.GetAttribute(DOUBT) is None:
        _move(placed, state.matrix)
    if model.GetAttribute(DOUBT) != state.doubt:
        _look(model, state)
    return model


def remove_tools_except(scene: slicer.vtkMRMLScene, frames: set[str]) -> None:
    """Take away the tools of other frames, as after another source was chosen."""
    for index in reversed(range(scene.GetNumberOfNodesByClass(MODEL))):
        model = scene.GetNthNodeByClass(index, MODEL)
        frame = model.GetAttribute(PREFIX + "ToolFrame")
        if frame and frame not in frames:
            placed = model.GetParentTransformNode()
            scene.RemoveNode(model)
            scene.RemoveNode(placed)


def _key(frame: str) -> str:
    return f"Tool {frame}"


def _make_tool(scene: slicer.vtkMRMLScene, state: InstrumentState) -> slicer.vtkMRMLModelNode:
    frame = state.instrument.frame
    placed = make_node(scene, TRANSFORM, f"{frame} in the liver's frame")
    placed.SetHideFromEditors(True)
    model = make_node(scene, MODEL, _key(frame))
    model.SetName(frame)
    model.SetAttribute(PREFIX + "ToolFrame", frame)
    mesh = mesh_of(state.instrument.kind)
    for point in range(mesh.GetNumberOfPoints()):
        mesh.GetPoints().SetPoint(point, np.add(mesh.GetPoint(point), state.instrument.tip_mm))
    model.SetAndObserveMesh(mesh)
    model.CreateDefaultDisplayNodes()
    model.SetSelectable(False)
    display = model.GetDisplayNode()
    display.SetVisibility2D(True)
    display.SetSliceIntersectionThickness(2)
    put_under(model, placed)
    return model


def _move(placed: slicer.vtkMRMLLinearTransformNode, matrix: np.ndarray) -> None:
    placed.SetMatrixTransformToParent(to_vtk_matrix(matrix))


def _look(model: slicer.vtkMRMLModelNode, state: InstrumentState) -> None:
    display = model.GetDisplayNode()
    with one_update(display):
        display.SetColor(*(DOUBT_COLOUR if state.doubt else COLOURS[state.instrument.kind]))
        display.SetOpacity(DOUBT_OPACITY if state.doubt else 1.0)
    model.SetAttribute(DOUBT, state.doubt)
