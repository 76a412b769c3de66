"""Draws a lesion in 3D as one PNG, without a display: its surface in a cube whose far walls show the slices."""

from __future__ import annotations

import subprocess
import sys
from functools import lru_cache
from io import BytesIO

import numpy as np
import vtk
from PIL import Image
from vtk.util.numpy_support import vtk_to_numpy

from ..core.errors import CrlmError
from .actors import box, cross, cube_corners, net, ras_axes, rgb, solid, wall
from .opengl_probe import DRAWN, offscreen_window
from .planes import PLANES, DrawnLesion, field_of_view_mm, volume_corners
from .slices import PREDICTION_COLOUR, SEED_COLOUR, TRUTH_COLOUR

SIZE_PIXELS = (1000, 800)
OVERSAMPLING = 2
"""Rendered this much larger and scaled down: smooth edges even where a driver offers none."""
PROBE = ["-m", "CRLMSegmentationLib.reports.opengl_probe"]
PROBE_TIMEOUT_S = 60
CAMERA_FROM = np.array([0.60, 0.66, 0.46]) / np.linalg.norm([0.60, 0.66, 0.46])
"""Direction (R, A, S) from which the lesion is seen: from the front right, above."""
VIEW_ANGLE_DEG = 30.0
CUBE_PER_VIEW = 1.1
"""Edge of the cube in fields of view of the close-up slices."""


class RenderingError(CrlmError):
    """The error that no 3D view can be drawn on this machine."""


def lesion_in_space(
    lesion: DrawnLesion, surface: vtk.vtkPolyData, truth_surface: vtk.vtkPolyData | None = None
) -> bytes:
    """Draw a lesion in a cube whose far walls show the three slices through its middle.

    A small map in the corner shows the lesion in the crop box (dashed) and in the whole volume.

    Args:
        surface: of the prediction in world RAS mm, as `scene.segmentations.lesion_surface` gives it; may be empty.
        truth_surface: of the ground truth, likewise, or None.

    Returns:
        A PNG.

    Raises:
        RenderingError: OpenGL does not work here, and what to install.
    """
    check_rendering()
    window = make_window()
    extent_mm = CUBE_PER_VIEW * field_of_view_mm(lesion)
    renderer = add_renderer(window, layer=0)
    _draw_background(renderer, lesion, extent_mm, surface, truth_surface)
    point_camera_at(renderer, lesion.center_ras_mm - 0.06 * extent_mm, 0.92 * extent_mm, CAMERA_FROM)
    _add_see_through(window, renderer, lesion, extent_mm, truth_surface)
    _add_map(window, lesion, surface)
    add_axes(window, CAMERA_FROM)
    return png_of_window(window)


@lru_cache(maxsize=1)
def check_rendering() -> None:
    """Try OpenGL once in a child process, because where it does not work it may crash.

    Raises:
        RenderingError: it does not work.
    """
    if not sys.executable:
        raise RenderingError("3D pictures cannot be drawn from inside this application; take a screenshot instead")
    try:
        probe = subprocess.run([sys.executable, *PROBE], capture_output=True, timeout=PROBE_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RenderingError(f"3D pictures cannot be drawn here: {error}") from error
    if probe.returncode or DRAWN.encode() not in probe.stdout:
        raise RenderingError(
            "3D pictures cannot be drawn here: OpenGL does not work without a display; "
            "install EGL (Debian, Ubuntu: apt install libegl1 libgl1-mesa-dri)"
        )


def make_window() -> vtk.vtkRenderWindow:
    window = offscreen_window()
    window.SetSize(*(n * OVERSAMPLING for n in SIZE_PIXELS))
    window.SetNumberOfLayers(3)
    window.SetMultiSamples(0)
    return window


def add_renderer(window: vtk.vtkRenderWindow, layer: int) -> vtk.vtkRenderer:
    renderer = vtk.vtkRenderer()
    renderer.SetLayer(layer)
    window.AddRenderer(renderer)
    return renderer


def _draw_background(
    renderer: vtk.vtkRenderer,
    lesion: DrawnLesion,
    extent_mm: float,
    surface: vtk.vtkPolyData,
    truth_surface: vtk.vtkPolyData | None,
) -> None:
    draw_walls(renderer, lesion, extent_mm, CAMERA_FROM)
    if surface.GetNumberOfPoints():
        renderer.AddActor(solid(surface, PREDICTION_COLOUR))
    if truth_surface is not None and truth_surface.GetNumberOfPoints():
        renderer.AddActor(net(truth_surface, TRUTH_COLOUR, 1.2 * OVERSAMPLING, 0.95))


def draw_walls(
    renderer: vtk.vtkRenderer, lesion: DrawnLesion, extent_mm: float, direction: np.ndarray, brightness: float = 1.0
) -> None:
    """Draw the cube around a lesion on whose far walls the slices through its middle are shown.

    Args:
        extent_mm: edge of the cube.
        direction: from which it is seen, unit vector (R, A, S).
        brightness: of the walls, 0 to 1.
    """
    renderer.GradientBackgroundOn()
    renderer.SetBackground(*rgb("#0b1016"))
    renderer.SetBackground2(*rgb("#1b2632"))
    add_light(renderer)
    for plane in PLANES:
        far = wall(lesion, plane, extent_mm)
        if direction[plane.through] < 0:
            far.AddPosition(*(extent_mm if axis == plane.through else 0.0 for axis in range(3)))
        far.GetProperty().SetColor(brightness, brightness, brightness)
        renderer.AddActor(far)
    corners = cube_corners(lesion.center_ras_mm, extent_mm)
    nearest = int(np.argmax(corners @ direction))
    renderer.AddActor(box(corners, "#46586b", 1.2 * OVERSAMPLING, without_corner=nearest))


def add_light(renderer: vtk.vtkRenderer) -> None:
    lights = vtk.vtkLightKit()
    lights.SetKeyLightIntensity(0.95)
    lights.SetKeyToFillRatio(2.6)
    lights.SetKeyToHeadRatio(3.5)
    lights.AddLightsToRenderer(renderer)


def point_camera_at(
    renderer: vtk.vtkRenderer, center_ras_mm: np.ndarray, radius_mm: float, direction: np.ndarray
) -> None:
    """Look at a point from a direction so that a sphere around it fills the height of the image."""
    camera = renderer.GetActiveCamera()
    camera.SetFocalPoint(center_ras_mm)
    camera.SetPosition(center_ras_mm + radius_mm / np.sin(np.radians(VIEW_ANGLE_DEG / 2)) * direction)
    camera.SetViewUp(0, 0, 1)
    camera.SetViewAngle(VIEW_ANGLE_DEG)
    renderer.ResetCameraClippingRange()


def _add_see_through(
    window: vtk.vtkRenderWindow,
    renderer: vtk.vtkRenderer,
    lesion: DrawnLesion,
    extent_mm: float,
    truth_surface: vtk.vtkPolyData | None,
) -> None:
    """Draw over the prediction what it would hide: the seed, and faintly the ground truth."""
    over = add_renderer(window, layer=1)
    over.SetActiveCamera(renderer.GetActiveCamera())
    if truth_surface is not None and truth_surface.GetNumberOfPoints():
        over.AddActor(net(truth_surface, TRUTH_COLOUR, 0.8 * OVERSAMPLING, 0.16))
    over.AddActor(cross(lesion.seed_ras_mm, 0.05 * extent_mm, SEED_COLOUR, 2.4 * OVERSAMPLING))


def _add_map(window: vtk.vtkRenderWindow, lesion: DrawnLesion, surface: vtk.vtkPolyData) -> None:
    corners = volume_corners(lesion.volume)
    middle = corners.mean(axis=0)
    corner = add_renderer(window, layer=2)
    corner.SetViewport(0.755, 0.73, 1.0, 1.0)
    add_light(corner)
    corner.AddActor(box(corners, "#8fa3b8", 1.1 * OVERSAMPLING))
    if lesion.crop_size_mm is not None:
        cube = cube_corners(lesion.seed_ras_mm, lesion.crop_size_mm)
        corner.AddActor(box(cube, "#ffffff", 1.1 * OVERSAMPLING, dashed=True))
    if surface.GetNumberOfPoints():
        corner.AddActor(solid(surface, PREDICTION_COLOUR))
    point_camera_at(corner, middle, 1.02 * float(np.linalg.norm(corners - middle, axis=1).max()), CAMERA_FROM)


def add_axes(window: vtk.vtkRenderWindow, direction: np.ndarray) -> None:
    """Draw the arrows R, A and S in a corner of the image, seen from a direction."""
    corner = add_renderer(window, layer=2)
    corner.SetViewport(0.0, 0.0, 0.18, 0.22)
    corner.AddActor(ras_axes(17 * OVERSAMPLING))
    point_camera_at(corner, np.full(3, 0.4), 1.25, direction)


def png_of_window(window: vtk.vtkRenderWindow) -> bytes:
    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.Update()
    image = grab.GetOutput()
    columns, rows, _ = image.GetDimensions()
    pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, -1)[::-1, :, :3]
    window.Finalize()
    stream = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).resize(SIZE_PIXELS, Image.Resampling.LANCZOS).save(stream, "PNG")
    return stream.getvalue()
