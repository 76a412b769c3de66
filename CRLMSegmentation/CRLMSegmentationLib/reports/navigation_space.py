"""The moment at which an instrument was nearest to a lesion as one PNG, drawn without a display.

The lesion, its margins and the instrument stand in a room whose far walls show slices through the lesion; the
distance is written with its interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations, product

import numpy as np
import vtk

from ..tracking.closest_approach import Approach
from ..tracking.colours import TOOL_COLOURS, margin_colour
from ..tracking.colours import distance_colour as colour_in_scene
from ..tracking.tool_meshes import mesh_of
from .actors import box, cube_corners, ras_axes, rgb, solid, wall
from .navigation_text import write_distance
from .planes import PLANES, Lesion
from .slices import PREDICTION_COLOUR
from .space import OVERSAMPLING, VIEW_ANGLE_DEG, add_light, add_renderer, check_rendering, make_window, picture_of

WALL_SHADE = 0.72
"""Darker than in the picture of the lesion alone, so that the margins stand out."""
SHELL_OPACITY = 0.28
"""Plainer than in the views of the scene, where the consensus surfaces must not hide the slices."""
AROUND_MM = 6.0
"""Room left around the margins and the tip."""
VIEW_PARTS = (0.46, 0.60, 0.66)
"""How far the camera leans along each axis, in whatever order: no wall is seen edge-on."""

FROM_ABOVE = np.array([0.05, 0.0, 0.5])
"""What else being equal decides: from above, and from the right as in the picture of the lesion alone."""


def approach_in_space(
    lesion: Lesion,
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
    _draw_background(renderer, lesion, extent_mm, direction)
    renderer.AddActor(solid(surface, PREDICTION_COLOUR))
    for actor in _margin_actors(margins):
        renderer.AddActor(actor)
    renderer.AddActor(_instrument_actor(approach))
    _point_camera_at(renderer, lesion.center_ras_mm, 0.86 * extent_mm, direction)
    _add_distance(window, renderer, approach, max(margins, default=0.0))
    _add_axes(window, direction)
    return write_distance(picture_of(window), approach, sorted(margins), simulated)


def view_direction(approach: Approach) -> np.ndarray:
    """From where to look, unit vector (R, A, S): across the instrument and the line of the distance.

    The side by which the handle leaves the room is an open one, so that no wall hides it.
    """
    handle = -approach.state.matrix[:3, 2]
    line = approach.state.tip_ras_mm - approach.reading.point_ras_mm
    line = line / max(float(np.linalg.norm(line)), 1e-6)
    leaves = int(np.abs(handle).argmax())
    signed = [np.array(s) * p for s in product((-1, 1), repeat=3) for p in permutations(VIEW_PARTS)]
    open_there = [d / np.linalg.norm(d) for d in signed if d[leaves] * handle[leaves] > 0]
    return min(open_there, key=lambda d: abs(d @ handle) + 0.5 * abs(d @ line) - d @ FROM_ABOVE)


def _extent_mm(lesion: Lesion, surface: vtk.vtkPolyData, approach: Approach, widest_mm: float) -> float:
    """Edge of a room around the lesion that holds margins and tip."""
    bounds = np.array(surface.GetBounds()).reshape(3, 2)
    corners = np.abs(bounds - lesion.center_ras_mm[:, None]).max()
    tip = np.abs(approach.state.tip_ras_mm - lesion.center_ras_mm).max()
    return 2 * (max(corners + widest_mm, tip) + AROUND_MM)


def _draw_background(renderer: vtk.vtkRenderer, lesion: Lesion, extent_mm: float, direction: np.ndarray) -> None:
    renderer.GradientBackgroundOn()
    renderer.SetBackground(*rgb("#0b1016"))
    renderer.SetBackground2(*rgb("#1b2632"))
    add_light(renderer)
    for plane in PLANES:
        far = wall(lesion, plane, extent_mm)
        if direction[plane.through] < 0:
            far.AddPosition(*(extent_mm if axis == plane.through else 0.0 for axis in range(3)))
        far.GetProperty().SetColor(WALL_SHADE, WALL_SHADE, WALL_SHADE)
        renderer.AddActor(far)
    corners = cube_corners(lesion.center_ras_mm, extent_mm)
    nearest = int(np.argmax(corners @ direction))
    renderer.AddActor(box(corners, "#46586b", 1.2 * OVERSAMPLING, without_corner=nearest))


def _margin_actors(margins: Mapping[float, vtk.vtkPolyData]) -> list[vtk.vtkActor]:
    """Translucent, front side only; drawn from the inside to the outside, so that each shines through the next."""
    widest_mm, actors = max(margins, default=0.0), []
    for margin_mm, surface in sorted(margins.items()):
        actor = _actor(surface, margin_colour(margin_mm, widest_mm))
        look = actor.GetProperty()
        look.SetOpacity(SHELL_OPACITY)
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
    actor = _actor(mesh_of(state.instrument.kind), TOOL_COLOURS[state.instrument.kind])
    actor.SetUserTransform(placed)
    look = actor.GetProperty()
    look.SetAmbient(0.2)
    look.SetDiffuse(0.8)
    look.SetSpecular(0.4)
    look.SetSpecularPower(30)
    return actor


def _add_distance(window: vtk.vtkRenderWindow, renderer: vtk.vtkRenderer, approach: Approach, widest_mm: float) -> None:
    """The line of the distance, drawn over all else: it ends on the surface, among margins."""
    over = add_renderer(window, layer=1)
    over.SetActiveCamera(renderer.GetActiveCamera())
    colour = distance_colour(approach, widest_mm)
    line = vtk.vtkLineSource()
    line.SetPoint1(approach.state.tip_ras_mm)
    line.SetPoint2(approach.reading.point_ras_mm)
    line.Update()
    actor = _actor(line.GetOutput(), colour)
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
        actor = _actor(ball.GetOutput(), colour)
        actor.GetProperty().LightingOff()
        over.AddActor(actor)


def _add_axes(window: vtk.vtkRenderWindow, direction: np.ndarray) -> None:
    corner = add_renderer(window, layer=2)
    corner.SetViewport(0.0, 0.0, 0.18, 0.22)
    corner.AddActor(ras_axes(17 * OVERSAMPLING))
    _point_camera_at(corner, np.full(3, 0.4), 1.25, direction)


def distance_colour(approach: Approach, widest_mm: float) -> tuple[float, float, float]:
    """As in the scene: that of the margin in which the tip was, white outside all."""
    return colour_in_scene(approach.reading.margin_mm, (widest_mm,))


def _point_camera_at(
    renderer: vtk.vtkRenderer, center_ras_mm: np.ndarray, radius_mm: float, direction: np.ndarray
) -> None:
    camera = renderer.GetActiveCamera()
    camera.SetFocalPoint(center_ras_mm)
    camera.SetPosition(center_ras_mm + radius_mm / np.sin(np.radians(VIEW_ANGLE_DEG / 2)) * direction)
    camera.SetViewUp(0, 0, 1)
    camera.SetViewAngle(VIEW_ANGLE_DEG)
    renderer.ResetCameraClippingRange()


def _actor(surface: vtk.vtkPolyData, colour: tuple[float, float, float]) -> vtk.vtkActor:
    mapper = vtk.vtkPolyDataMapper()
    mapper.SetInputData(surface)
    mapper.ScalarVisibilityOff()
    actor = vtk.vtkActor()
    actor.SetMapper(mapper)
    actor.GetProperty().SetColor(*colour)
    return actor
