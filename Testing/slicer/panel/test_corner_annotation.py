"""The distance in the corner of a 3D view fits the view, as VTK draws it."""

from __future__ import annotations

import numpy as np
import pytest
import vtk
from CRLMSegmentationLib.slicer.views.corner_annotation import CornerAnnotation
from CRLMSegmentationLib.slicer.views.navigation_texts import Distance
from vtk.util.numpy_support import vtk_to_numpy

WHITE = (1.0, 1.0, 1.0)
SHORT = Distance("7 mm", "2–12", "Stylus to Tumour 4, within 10 mm", "", WHITE)
LONG = Distance("–", "", "liver sensor: no pose for 44.7 s", "", WHITE, "liver sensor not watched")


class View:
    """A 3D view that renders off screen."""

    def __init__(self, width: int, height: int) -> None:
        self.window, self.annotation = vtk.vtkRenderWindow(), vtk.vtkCornerAnnotation()
        self.window.SetOffScreenRendering(1)
        self.window.SetSize(width, height)
        renderer = vtk.vtkRenderer()
        renderer.AddViewProp(self.annotation)
        self.window.AddRenderer(renderer)

    def cornerAnnotation(self):
        return self.annotation

    def scheduleRender(self) -> None:
        self.window.Render()

    def drawn(self) -> np.ndarray:
        """Where something was drawn, shape (height, width)."""
        reader = vtk.vtkWindowToImageFilter()
        reader.SetInput(self.window)
        reader.ReadFrontBufferOff()
        reader.Update()
        image = reader.GetOutput()
        width, height, _depth = image.GetDimensions()
        return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1).max(axis=-1) > 60


@pytest.mark.parametrize("size", [(220, 220), (420, 420), (700, 900), (1100, 600)])
@pytest.mark.parametrize("distance", [SHORT, LONG], ids=["short", "long"])
def test_text_fits_the_view(size, distance):
    view = View(*size)
    CornerAnnotation(view).show(distance)
    columns, rows = (np.flatnonzero(view.drawn().any(axis=axis)) for axis in (0, 1))
    assert columns[-1] < 0.97 * size[0], "it ends before the right edge"
    assert rows[0] > size[1] / 2, "and in the upper half"
    assert columns[-1] > 0.3 * size[0], "it is as large as the view allows"
