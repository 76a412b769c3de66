"""3D Slicer's "Grow from seeds", computed as the effect of the Segment Editor does.

The algorithm is Slicer's own (`vtkImageGrowCutSegment`, fast grow-cut of Zhu et al., MICCAI IMIC workshop 2014): each
voxel takes the label of the stroke from which the least change of grey values leads to it. Around it is done what
SegmentEditorGrowFromSeedsEffect.py and its base class do at "Initialize" with default settings: grown is within the
extent of all strokes and a margin of a tenth of it, at least 3 voxels; seed locality is 0; no voxel is masked; nothing
is smoothed afterwards. Newer versions of Slicer call the same algorithm through ITK (`itk::FastGrowCut`), which the
package slicer-core does not hold.
"""

from __future__ import annotations

import numpy as np
import vtk
from slicer import vtkImageGrowCutSegment
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from ...core.box import Box
from ...core.errors import CrlmError
from ...core.volume import Volume

MARGIN_SHARE = 0.1
"""`extentGrowthRatio` at the first preview."""
LEAST_MARGIN = 3
"""`minimumExtentMargin`, voxels."""
DISTANCE_PENALTY = 0.0
"""`SeedLocalityFactor`."""
VTK_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")


def grow_from_strokes(volume: Volume, strokes: np.ndarray) -> np.ndarray:
    """Label every voxel within the extent of the strokes by the stroke that reaches it first.

    Args:
        strokes: uint8, shape (K, J, I) of the volume, a number for each segment, 0 where nothing was painted.

    Returns:
        uint8, shape (K, J, I): the segment of each voxel; 0 beyond the extent in which was grown.

    Raises:
        CrlmError: nothing was painted, or the volume is too thin.
    """
    if not strokes.any():
        raise CrlmError("nothing was painted; paint a stroke in the lesion and one around it")
    part = effective_extent(strokes).slices
    labels = np.zeros_like(strokes)
    labels[part] = _grown(volume.array[part], strokes[part], volume.spacing_mm)
    return labels


def effective_extent(strokes: np.ndarray) -> Box:
    """Return the part of a volume (K, J, I) in which strokes grow: their bounding box and a margin."""
    extent = Box.of_nonempty_mask(strokes > 0)
    margins = [int(max(LEAST_MARGIN, MARGIN_SHARE * (count - 1))) for count in extent.shape]
    return extent.padded(margins, strokes.shape)


def _grown(array: np.ndarray, strokes: np.ndarray, spacing_mm: np.ndarray) -> np.ndarray:
    if min(array.shape) < LEAST_MARGIN:
        raise CrlmError(f"grow-cut needs 3 voxels along each axis, got {array.shape[::-1]}")
    grown = vtkImageGrowCutSegment()
    grown.SetIntensityVolume(_image_of(array, spacing_mm))
    grown.SetSeedLabelVolume(_image_of(strokes, spacing_mm))
    grown.SetDistancePenalty(DISTANCE_PENALTY)
    grown.Update()
    labels: np.ndarray = vtk_to_numpy(grown.GetOutput().GetPointData().GetScalars())
    return labels.reshape(array.shape)


def _image_of(array: np.ndarray, spacing_mm: np.ndarray) -> vtk.vtkImageData:
    """Copy an array into a VTK image; spacing influences growing, position and orientation do not."""
    array = array if array.dtype.name in VTK_TYPES else array.astype(np.float32)
    image = vtk.vtkImageData()
    image.SetDimensions(array.shape[::-1])
    image.SetSpacing(spacing_mm)
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(array).ravel(), deep=True))
    return image
