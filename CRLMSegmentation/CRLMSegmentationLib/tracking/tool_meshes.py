"""Simple meshes of tracked tools: the tip at the origin, the handle towards -z, mm.

SlicerIGT's pivot calibration turns tips the same way round.
"""

from __future__ import annotations

import vtk

from .instruments import InstrumentKind

SIDES = 24


def mesh_of(kind: InstrumentKind) -> vtk.vtkPolyData:
    """Return a closed mesh of a tool."""
    return {InstrumentKind.POINTER: _pointer, InstrumentKind.DISSECTOR: _dissector, InstrumentKind.PROBE: _probe}[
        kind
    ]()


def _pointer() -> vtk.vtkPolyData:
    return _together(_cone(0, -12, 1.5), _tube(-12, -110, 1.5), _tube(-110, -150, 4.0))


def _dissector() -> vtk.vtkPolyData:
    """Return a rod with a blunt end, thicker than a pointer, as an ultrasonic aspirator."""
    return _together(_tube(0, -25, 1.6), _tube(-25, -110, 4.0), _tube(-110, -190, 9.0))


def _probe() -> vtk.vtkPolyData:
    """Return a T-shaped probe for open surgery: its face at the origin, looking towards +z."""
    return _together(_block((44, 12, 14), -7), _block((14, 12, 60), -44))


def _cone(tip_mm: float, base_mm: float, radius_mm: float) -> vtk.vtkAlgorithm:
    cone = vtk.vtkConeSource()
    cone.SetDirection(0, 0, 1)
    cone.SetHeight(tip_mm - base_mm)
    cone.SetCenter(0, 0, (tip_mm + base_mm) / 2)
    cone.SetRadius(radius_mm)
    cone.SetResolution(SIDES)
    return cone


def _tube(high_mm: float, low_mm: float, radius_mm: float) -> vtk.vtkAlgorithm:
    line = vtk.vtkLineSource()
    line.SetPoint1(0, 0, high_mm)
    line.SetPoint2(0, 0, low_mm)
    tube = vtk.vtkTubeFilter()
    tube.SetInputConnection(line.GetOutputPort())
    tube.SetRadius(radius_mm)
    tube.SetNumberOfSides(SIDES)
    tube.CappingOn()
    return tube


def _block(size_mm: tuple[float, float, float], center_z_mm: float) -> vtk.vtkAlgorithm:
    block = vtk.vtkCubeSource()
    block.SetXLength(size_mm[0])
    block.SetYLength(size_mm[1])
    block.SetZLength(size_mm[2])
    block.SetCenter(0, 0, center_z_mm)
    return block


def _together(*parts: vtk.vtkAlgorithm) -> vtk.vtkPolyData:
    append = vtk.vtkAppendPolyData()
    for part in parts:
        append.AddInputConnection(part.GetOutputPort())
    triangles = vtk.vtkTriangleFilter()
    triangles.SetInputConnection(append.GetOutputPort())
    triangles.Update()
    return triangles.GetOutput()
