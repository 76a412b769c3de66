"""The VTK actors of the 3D views: surfaces, boxes, slices, axes."""

from __future__ import annotations

import numpy as np
import vtk
from scipy import ndimage
from vtk.util.numpy_support import numpy_to_vtk

from ..core.grey_window import grey_window
from .planes import DrawnLesion, Plane, plane_pixels, sample
from .slices import NOT_INSONIFIED, PREDICTION_COLOUR, TRUTH_COLOUR

EDGES = ((0, 1), (2, 3), (4, 5), (6, 7), (0, 2), (1, 3), (4, 6), (5, 7), (0, 4), (1, 5), (2, 6), (3, 7))
DASHES = 14
WALL_PIXELS = 512
WALL_BRIGHTNESS = 0.8
"""Walls are a little darker than the slices they show, so that the tumour stands out."""
NET_CELLS = 420


def rgb(colour: str) -> tuple[float, float, float]:
    """Return the colour #rrggbb as three numbers within 0 to 1."""
    return int(colour[1:3], 16) / 255, int(colour[3:5], 16) / 255, int(colour[5:7], 16) / 255


def wall(lesion: DrawnLesion, plane: Plane, room_mm: float) -> vtk.vtkActor:
    """Return a slice through the middle of the lesion, drawn on a far wall of a cube around it."""
    half = room_mm / 2
    corner = lesion.center_ras_mm - half * (np.array(plane.right) + np.array(plane.up))
    corner[plane.through] -= half
    source = vtk.vtkPlaneSource()
    source.SetOrigin(corner)
    source.SetPoint1(corner + room_mm * np.array(plane.right))
    source.SetPoint2(corner + room_mm * np.array(plane.up))
    actor = _actor(source, "#ffffff")
    actor.SetTexture(_texture(_slice_rgb(lesion, plane, room_mm)))
    actor.GetProperty().LightingOff()
    return actor


def _slice_rgb(lesion: DrawnLesion, plane: Plane, size_mm: float) -> np.ndarray:
    """Return grey values with contours of prediction and ground truth: uint8, (rows, columns, 3), bottom to top."""
    at = plane_pixels(plane, lesion.volume, lesion.center_ras_mm, (size_mm, size_mm), (WALL_PIXELS, WALL_PIXELS))
    low, high = grey_window(lesion.volume)
    grey = np.clip((sample(lesion.volume.array, at) - low) / (high - low), 0, 1)
    image = np.repeat(grey[..., None] * 255 * WALL_BRIGHTNESS, 3, axis=-1)
    insonified = sample(lesion.insonified, at) >= 0.5
    image[~insonified] = 255 * np.array(rgb(NOT_INSONIFIED))
    for mask, colour in ((lesion.truth, TRUTH_COLOUR), (lesion.mask, PREDICTION_COLOUR)):
        if mask is not None:
            inside = sample(mask, at) >= 0.5
            image[inside & ~ndimage.binary_erosion(inside, iterations=3)] = 255 * np.array(rgb(colour))
    return image.astype(np.uint8)


def _texture(image_rgb: np.ndarray) -> vtk.vtkTexture:
    image = vtk.vtkImageData()
    image.SetDimensions(image_rgb.shape[1], image_rgb.shape[0], 1)
    image.GetPointData().SetScalars(numpy_to_vtk(image_rgb.reshape(-1, 3), deep=True))
    texture = vtk.vtkTexture()
    texture.SetInputData(image)
    texture.InterpolateOn()
    texture.MipmapOn()
    texture.SetColorModeToDirectScalars()
    return texture


def solid(surface: vtk.vtkPolyData, colour: str) -> vtk.vtkActor:
    """A shaded surface."""
    normals = vtk.vtkPolyDataNormals()
    normals.SetInputData(surface)
    normals.SplittingOff()
    actor = _actor(normals, colour)
    look = actor.GetProperty()
    look.SetAmbient(0.16)
    look.SetDiffuse(0.85)
    look.SetSpecular(0.3)
    look.SetSpecularPower(24)
    return actor


def net(surface: vtk.vtkPolyData, colour: str, width: float, opacity: float) -> vtk.vtkActor:
    """Return a coarse wireframe of a surface, through which what lies inside stays visible."""
    triangles = vtk.vtkTriangleFilter()
    triangles.SetInputData(surface)
    thinned = vtk.vtkQuadricDecimation()
    thinned.SetInputConnection(triangles.GetOutputPort())
    thinned.SetTargetReduction(max(0.0, 1 - NET_CELLS / max(surface.GetNumberOfCells(), 1)))
    actor = _actor(thinned, colour)
    look = actor.GetProperty()
    look.SetRepresentationToWireframe()
    look.SetLineWidth(width)
    look.SetOpacity(opacity)
    look.LightingOff()
    return actor


def box(
    corners_ras_mm: np.ndarray, colour: str, width: float, dashed: bool = False, without_corner: int | None = None
) -> vtk.vtkActor:
    """Return the edges of a box; dashes are drawn as short lines, since modern OpenGL has none.

    Args:
        corners_ras_mm: shape (8, 3), in the order of `planes.volume_corners`.
        without_corner: leave out the three edges that meet there, so that they do not cross what lies inside.
    """
    points, lines = vtk.vtkPoints(), vtk.vtkCellArray()
    cuts = np.linspace(0, 1, 2 * DASHES if dashed else 2)
    for a, b in (edge for edge in EDGES if without_corner not in edge):
        along = corners_ras_mm[b] - corners_ras_mm[a]
        for start, stop in zip(cuts[::2], cuts[1::2]):
            lines.InsertNextCell(2, [points.InsertNextPoint(corners_ras_mm[a] + t * along) for t in (start, stop)])
    edges = vtk.vtkPolyData()
    edges.SetPoints(points)
    edges.SetLines(lines)
    source = vtk.vtkTrivialProducer()
    source.SetOutput(edges)
    return _unlit_lines(source, colour, width)


def cube_corners(center_ras_mm: np.ndarray, size_mm: float) -> np.ndarray:
    """Return the corners of a cube along R, A and S, in the order that `box` takes."""
    unit = np.array(np.meshgrid(*[(-0.5, 0.5)] * 3)).reshape(3, -1).T
    corners: np.ndarray = np.asarray(center_ras_mm) + size_mm * unit
    return corners


def cross(center_ras_mm: np.ndarray, half_mm: float, colour: str, width: float) -> vtk.vtkActor:
    """Return three short lines through a point."""
    source = vtk.vtkCursor3D()
    source.AllOff()
    source.AxesOn()
    center = np.asarray(center_ras_mm, dtype=np.float64)
    source.SetModelBounds([x for c in center for x in (c - half_mm, c + half_mm)])
    source.SetFocalPoint(center)
    return _unlit_lines(source, colour, width)


def ras_axes(font_pixels: int) -> vtk.vtkAxesActor:
    """Return arrows of length 1 along R, A and S."""
    axes = vtk.vtkAxesActor()
    axes.SetTotalLength(1, 1, 1)
    axes.SetConeRadius(0.32)
    for name, letter, colour in zip("XYZ", "RAS", ("#ff7a6b", "#8fd694", "#7fb2ff")):
        getattr(axes, f"Set{name}AxisLabelText")(letter)
        for part in ("Shaft", "Tip"):
            getattr(axes, f"Get{name}Axis{part}Property")().SetColor(*rgb(colour))
        _style_caption(getattr(axes, f"Get{name}AxisCaptionActor2D")(), colour, font_pixels)
    return axes


def _style_caption(caption: vtk.vtkCaptionActor2D, colour: str, font_pixels: int) -> None:
    caption.GetTextActor().SetTextScaleModeToNone()
    text = caption.GetCaptionTextProperty()
    text.SetFontSize(font_pixels)
    text.SetColor(*rgb(colour))
    text.ItalicOff()
    text.ShadowOff()


def _unlit_lines(source: vtk.vtkAlgorithm, colour: str, width: float) -> vtk.vtkActor:
    actor = _actor(source, colour)
    actor.GetProperty().SetLineWidth(width)
    actor.GetProperty().LightingOff()
    return actor


def surface_actor(surface: vtk.vtkPolyData, colour: tuple[float, float, float]) -> vtk.vtkActor:
    """Return an actor of a surface in one colour, red, green and blue within 0 to 1."""
    source = vtk.vtkTrivialProducer()
    source.SetOutput(surface)
    return _coloured(source, colour)


def _actor(source: vtk.vtkAlgorithm, colour: str) -> vtk.vtkActor:
    return _coloured(source, rgb(colour))


def _coloured(source: vtk.vtkAlgorithm, colour: tuple[float, float, float]) -> vtk.vtkActor:
    mapper = vtk.vtkPolyDataMapper()
    mapper.SetInputConnection(source.GetOutputPort())
    mapper.ScalarVisibilityOff()
    actor = vtk.vtkActor()
    actor.SetMapper(mapper)
    actor.GetProperty().SetColor(*colour)
    return actor
