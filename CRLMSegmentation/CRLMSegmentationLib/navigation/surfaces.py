"""How far a point lies from a closed surface, fast enough to ask at every pose of an instrument."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from ..core.errors import CrlmError


@dataclass(frozen=True, eq=False)
class Nearest:
    """Attributes: distance_mm: negative inside; point_ras_mm: on the surface, shape (3,)."""

    distance_mm: float
    point_ras_mm: np.ndarray


class SurfaceDistance:
    """Signed distance from a closed surface.

    VTK's implicit distance keeps a tree of the triangles and takes the sign from the normal of the nearest face, edge
    or corner (Baerentzen and Aanaes 2005), so that it also holds at sharp edges.

    Args:
        surface: closed, RAS mm; it is not changed, and must not be afterwards.

    Raises:
        CrlmError: there is no triangle, or the surface is open, so that nothing is inside.
    """

    def __init__(self, surface: vtk.vtkPolyData) -> None:
        if not surface.GetNumberOfPolys():
            raise CrlmError("a distance needs a surface, this one has no triangle; segment the tumour again")
        if _has_rim(surface):
            raise CrlmError("a distance needs a closed surface, this one is open; segment the tumour again")
        self._distance = vtk.vtkImplicitPolyDataDistance()
        self._distance.SetInput(surface)
        self.triangles = surface.GetNumberOfPolys()

    def nearest(self, point_ras_mm: np.ndarray) -> Nearest:
        """The distance of a point, shape (3,), and the point of the surface that is nearest to it."""
        on_surface = [0.0, 0.0, 0.0]
        distance_mm = self._distance.EvaluateFunctionAndGetClosestPoint([float(x) for x in point_ras_mm], on_surface)
        return Nearest(float(distance_mm), np.array(on_surface))


def _has_rim(surface: vtk.vtkPolyData) -> bool:
    edges = vtk.vtkFeatureEdges()
    edges.SetInputData(surface)
    edges.BoundaryEdgesOn()
    edges.FeatureEdgesOff()
    edges.ManifoldEdgesOff()
    edges.NonManifoldEdgesOff()
    edges.Update()
    return edges.GetOutput().GetNumberOfCells() > 0


def surface_of_mask(mask: np.ndarray, ijk_to_ras: np.ndarray) -> vtk.vtkPolyData:
    """Smoothed surface of a mask (K, J, I) in the space of its matrix; for truth, which is not in the scene."""
    image = vtk.vtkImageData()
    padded = np.pad(mask.astype(np.uint8), 1)
    image.SetDimensions(padded.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(padded.ravel(), deep=True))
    nets = vtk.vtkSurfaceNets3D()
    nets.SetInputData(image)
    nets.SetValue(0, 1)
    nets.Update()
    place = np.array(ijk_to_ras, dtype=np.float64)
    place[:3, 3] -= place[:3, :3].sum(axis=1)
    return _transformed(nets.GetOutput(), place)


def _transformed(surface: vtk.vtkPolyData, matrix: np.ndarray) -> vtk.vtkPolyData:
    transform = vtk.vtkTransform()
    transform.SetMatrix(matrix.ravel().tolist())
    moved = vtk.vtkTransformPolyDataFilter()
    moved.SetTransform(transform)
    moved.SetInputData(surface)
    turned = vtk.vtkReverseSense()
    turned.SetReverseCells(bool(np.linalg.det(matrix[:3, :3]) < 0))  # a mirrored surface would face inwards
    turned.SetInputConnection(moved.GetOutputPort())
    turned.Update()
    return turned.GetOutput()
