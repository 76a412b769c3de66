"""The closed surface of a segment, with fewer triangles where it has so many that drawing them is slow.

For display only: the voxels of the segment stay as they are, and distances are measured to the surface that
`tracking.surfaces.measured_surface` makes of them. What a user paints is converted by 3D Slicer, and drawn in full.
"""

from __future__ import annotations

import numpy as np
import slicer
import vtk

CLOSED_SURFACE = "Closed surface"
MANY_TRIANGLES = 20_000
"""Below this, drawing takes no longer than everything else in the view."""
CELL_MM = 1.5
"""Triangles within a cube of this edge become one point. `test_drawn_surface.py` holds how far that moves a surface."""


def thin_out(segment: slicer.vtkSegment) -> bool:
    """Draw a segment with fewer triangles if it has many; returns whether it had."""
    surface = segment.GetRepresentation(CLOSED_SURFACE)
    if surface is None or surface.GetNumberOfPolys() <= MANY_TRIANGLES:
        return False
    surface.ShallowCopy(decimated(surface))
    return True


def decimated(surface: vtk.vtkPolyData) -> vtk.vtkPolyData:
    """Return a surface with fewer triangles and with normals, by clustering its points (Lindstrom 2000).

    vtkDecimatePro and vtkQuadricDecimation lie as close, but take 0.5 to 3 s where this takes 0.02 to 0.1 s.
    """
    triangles = vtk.vtkTriangleFilter()
    triangles.SetInputData(surface)
    cells = np.ceil(np.ptp(np.reshape(surface.GetBounds(), (3, 2)), axis=1) / CELL_MM).astype(int)
    clusters = vtk.vtkQuadricClustering()
    clusters.AutoAdjustNumberOfDivisionsOff()
    clusters.SetNumberOfDivisions(*(int(count) for count in np.maximum(cells, 2)))
    clusters.SetInputConnection(triangles.GetOutputPort())
    normals = vtk.vtkPolyDataNormals()
    normals.SplittingOff()
    normals.ConsistencyOff()
    normals.SetInputConnection(clusters.GetOutputPort())
    normals.Update()
    return normals.GetOutput()
