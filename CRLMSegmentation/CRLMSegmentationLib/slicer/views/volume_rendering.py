"""Volume rendering of the current volume, on demand, by Slicer's module Volume Rendering."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

OPACITIES = ((0.45, 0.0), (0.75, 0.05), (1.0, 0.22))
"""Share of the brightest voxels, and opacity there: bright borders show, and what lies within stays visible. Slicer's
presets for ultrasound are made for the surface of an unborn child, and hide whatever is inside."""
BRIGHTEST_PERCENTILE = 99.7
ENOUGH_VOXELS = 300_000


class VolumeRendering:
    """Shows one volume at a time.

    Args:
        logic: vtkSlicerVolumeRenderingLogic.

    Attributes:
        is_wanted: whether the volume is to be seen like this.
    """

    def __init__(self, logic: Any) -> None:
        self._logic = logic
        self.is_wanted = False
        self._shown_id: str | None = None

    def toggle(self) -> None:
        self.is_wanted = not self.is_wanted

    def update(self, volume: slicer.vtkMRMLScalarVolumeNode | None) -> None:
        """Render the current volume while that is wanted, and no other; call it at each turn."""
        wanted_id = volume.GetID() if self.is_wanted and volume is not None else None
        if wanted_id == self._shown_id:
            return
        self._hide()
        self._shown_id = wanted_id
        if wanted_id is not None:
            self._show(volume)

    def _show(self, volume: slicer.vtkMRMLScalarVolumeNode) -> None:
        display = self._logic.GetFirstVolumeRenderingDisplayNode(volume)
        if display is None:
            display = self._logic.CreateDefaultVolumeRenderingNodes(volume)
            fill_property(display.GetVolumePropertyNode().GetVolumeProperty(), _brightest(volume))
        display.SetVisibility(True)

    def _hide(self) -> None:
        before = self._logic.GetMRMLScene().GetNodeByID(self._shown_id) if self._shown_id else None
        display = self._logic.GetFirstVolumeRenderingDisplayNode(before) if before is not None else None
        if display is not None:
            display.SetVisibility(False)


def fill_property(volume_property: vtk.vtkVolumeProperty, brightest: float) -> None:
    """Set a transfer function: grey, and the brighter the more opaque."""
    opacity, colour = vtk.vtkPiecewiseFunction(), vtk.vtkColorTransferFunction()
    for share, value in ((0.0, 0.0), *OPACITIES):
        opacity.AddPoint(share * brightest, value)
    colour.AddRGBPoint(0.0, 0.0, 0.0, 0.0)
    colour.AddRGBPoint(brightest, 1.0, 1.0, 1.0)
    volume_property.SetScalarOpacity(opacity)
    volume_property.SetColor(colour)
    volume_property.SetInterpolationTypeToLinear()
    volume_property.ShadeOff()


def _brightest(volume: slicer.vtkMRMLScalarVolumeNode) -> float:
    """Return the brightest value, at least 128: a live volume is dark until the probe has passed."""
    voxels = vtk_to_numpy(volume.GetImageData().GetPointData().GetScalars())
    least = 128.0 if voxels.dtype == np.uint8 else 1.0
    return max(least, float(np.percentile(voxels[:: max(1, len(voxels) // ENOUGH_VOXELS)], BRIGHTEST_PERCENTILE)))
