"""Draws the moment at which an instrument was nearest to a lesion as one PNG, without a display.

The lesion, its margins and the instrument are shown in a cube whose far walls show slices through the lesion; the
distance is written with its interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations, product
from typing import NamedTuple

import numpy as np
import vtk

from ..tracking.closest_approach import Approach
from ..tracking.colours import TOOL_COLOURS, margin_colour
from ..tracking.colours import distance_colour as colour_in_scene
from ..tracking.tool_meshes import mesh_of
from .actors import solid, surface_actor
from .navigation_text import write_distance
from .planes import DrawnLesion
from .slices import PREDICTION_COLOUR
from .space import (
    OVERSAMPLING,
    add_axes,
    add_renderer,
    check_rendering,
    draw_walls,
    make_window,
    png_of_window,
    point_camera_at,
)

WALL_SHADE = 0.72
"""Darker than in the picture of the lesion alone, so that the margins stand out."""
MARGIN_OPACITY = 0.28
"""Plainer than in the views of the scene, where the consensus surfaces must not hide the slices."""
AROUND_MM = 6.0
"""Room left around the margins and the tip."""
VIEW_PARTS = (0.46, 0.60, 0.66)
"""How far the camera leans along each axis, in whatever order: no wall is seen edge-on."""

FROM_ABOVE = np.array([0.05, 0.0, 0.5])
"""What else being equal decides: from above, and from the right as in the picture of the lesion alone."""


class Moment(NamedTuple):
    """Where an instrument was when it was nearest to a lesion, RAS mm.

    Attributes:
        pose: 4x4 of the instrument.
        point_ras_mm: of the surface of the lesion, nearest to the tip.
    """

    pose: np.ndarray
    tip_ras_mm: np.ndarray
    point_ras_mm: np.ndarray


def moment_of(approach: Approach) -> Moment:
    """Return the position of the instrument; an `Approach` always has one."""
    state, point = approach.state, approach.reading.point_ras_mm
    if state.matrix is None or state.tip_ras_mm is None or point is None:
        raise ValueError("an approach without a trusted pose")
    return Moment(state.matrix, state.tip_ras_mm, point)


def approach_in_space(
    lesion: DrawnLesion,
    surface: vtk.vtkPolyData,
    approach: Approach,
    margins: Mapping[float, vtk.vtkPolyData] | None = None,
    simulated: bool | None = None,
) -> bytes:
    """Draw an instrument at the moment when its tip was nearest to a lesion.

    Args:
        surface: closed, of the lesion, RAS mm.
        margins: surfaces around it by their width in mm, see `tracking.margins`.
        simulated: is said in the picture.

    Returns:
        A PNG.

    Raises:
        RenderingError: OpenGL does not work here, and what to install.
    """
    check_rendering()
    margins = margins or {}
    extent_mm = _extent_mm(lesion, surface, approach, max(margins, default=0.0))
    direction = view_direction(approach)
    window = make_window()
    renderer = add_renderer(window, layer=0)
    draw_walls(renderer, lesion, extent_mm, direction, WALL_SHADE)
    renderer.AddActor(solid(surface, PREDICTION_COLOUR))
    for actor in _margin_actors(margins):
        renderer.AddActor(actor)
    renderer.AddActor(_instrument_actor(approach))
    point_camera_at(renderer, lesion.center_ras_mm, 0.86 * extent_mm, direction)
    _add_distance(window, renderer, approach, max(margins, default=0.0))
    add_axes(window, direction)
    return write_distance(png_of_window(window), approach, sorted(margins), simulated)


def view_direction(approach: Approach) -> np.ndarray:
    """Return the direction of view, unit vector (R, A, S): across the instrument and the line of the distance.

    The side by which the handle leaves the room is an open one, so that no wall hides it.
    """
    moment = moment_of(approach)
    handle = -moment.pose[:3, 2]
    line = moment.tip_ras_mm - moment.point_ras_mm
    line = line / max(float(np.linalg.norm(line)), 1e-6)
    leaves = int(np.abs(handle).argmax())
    signed = [np.array(s) * p for s in product((-1, 1), repeat=3) for p in permutations(VIEW_PARTS)]
    open_there = [d / np.linalg.norm(d) for d in signed if d[leaves] * handle[leaves] > 0]
    return min(open_there, key=lambda d: abs(d @ handle) + 0.5 * abs(d @ line) - d @ FROM_ABOVE)


def _extent_mm(lesion: DrawnLesion, surface: vtk.vtkPolyData, approach: Approach, widest_mm: float) -> float:
    """Return the edge of a cube around the lesion that holds margins and tip, in mm."""
    bounds = np.array(surface.GetBounds()).reshape(3, 2)
    corners = np.abs(bounds - lesion.center_ras_mm[:, None]).max()
    tip = np.abs(moment_of(approach).tip_ras_mm - lesion.center_ras_mm).max()
    return 2 * (max(float(corners) + widest_mm, float(tip)) + AROUND_MM)


def _margin_actors(margins: Mapping[float, vtk.vtkPolyData]) -> list[vtk.vtkActor]:
    """Return translucent margins, drawn from the inside to the outside so that each shines through the next."""
    widest_mm, actors = max(margins, default=0.0), []
    for margin_mm, surface in sorted(margins.items()):
        actor = surface_actor(surface, margin_colour(margin_mm, widest_mm))
        look = actor.GetProperty()
        look.SetOpacity(MARGIN_OPACITY)
        look.BackfaceCullingOn()
        look.SetSpecular(0.25)
        look.SetSpecularPower(30)
        actors.append(actor)
    return actors


def _instrument_actor(approach: Approach) -> vtk.vtkActor:
    state = approach.state
    placed = vtk.vtkTransform()
    placed.SetMatrix(np.asarray(state.matrix, float).ravel().tolist())
    placed.Translate(*state.instrument.tip_mm)
    actor = surface_actor(mesh_of(state.instrument.kind), TOOL_COLOURS[state.instrument.kind])
    actor.SetUserTransform(placed)
    look = actor.GetProperty()
    look.SetAmbient(0.2)
    look.SetDiffuse(0.8)
    look.SetSpecular(0.4)
    look.SetSpecularPower(30)
    return actor


def _add_distance(window: vtk.vtkRenderWindow, renderer: vtk.vtkRenderer, approach: Approach, widest_mm: float) -> None:
    """Draw the line of the distance over everything else, since it ends among the margins."""
    over = add_renderer(window, layer=1)
    over.SetActiveCamera(renderer.GetActiveCamera())
    colour = distance_colour(approach, widest_mm)
    line = vtk.vtkLineSource()
    moment = moment_of(approach)
    line.SetPoint1(moment.tip_ras_mm)
    line.SetPoint2(moment.point_ras_mm)
    line.Update()
    actor = surface_actor(line.GetOutput(), colour)
    actor.GetProperty().SetLineWidth(3.2 * OVERSAMPLING)
    actor.GetProperty().LightingOff()
    over.AddActor(actor)
    size_mm = 0.006 * float(np.linalg.norm(np.subtract(renderer.GetActiveCamera().GetPosition(), line.GetPoint1())))
    for end in (line.GetPoint1(), line.GetPoint2()):
        ball = vtk.vtkSphereSource()
        ball.SetCenter(end)
        ball.SetRadius(size_mm)
        ball.SetThetaResolution(24)
        ball.SetPhiResolution(24)
        ball.Update()
        actor = surface_actor(ball.GetOutput(), colour)
        actor.GetProperty().LightingOff()
        over.AddActor(actor)


def distance_colour(approach: Approach, widest_mm: float) -> tuple[float, float, float]:
    """Return the colour of a distance as in the scene: that of the margin in which the tip was, white outside all."""
    return colour_in_scene(approach.reading.margin_mm, (widest_mm,))
