"""Masks read from segmentation nodes, as a user may have corrected them."""

from __future__ import annotations

import hashlib

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from ...core.box import Box
from ...core.geometry import part_to_ras
from ...core.volume import Volume
from .nodes import to_array, to_vtk_matrix


def mask_of_segment(node: slicer.vtkMRMLSegmentationNode, segment_id: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the voxels of one segment.

    Returns:
        bool array of shape (K, J, I), no larger than the segment needs, and its 4x4 ijk_to_ras relative to the
        segmentation's parent transform.
    """
    image = slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation(segment_id, image)
    mask, ijk_to_ras = _array_of(image), _ijk_to_ras_of(image)
    box = Box.of_mask(mask)  # segments share one image, as large as all of them
    if box is None:
        return np.zeros((0, 0, 0), bool), ijk_to_ras
    return mask[box.slices], part_to_ras(ijk_to_ras, box.start_kji)


def mask_in_volume(node: slicer.vtkMRMLSegmentationNode, segment_id: str, volume: Volume) -> np.ndarray:
    """Return the voxels of one segment on the grid of a volume, bool, shape (K, J, I) of the volume.

    Args:
        volume: its ijk_to_ras is taken relative to the segmentation's parent transform.
    """
    image, grid, result = (slicer.vtkOrientedImageData() for _ in range(3))
    node.GetBinaryLabelmapRepresentation(segment_id, image)
    grid.SetDimensions(volume.array.shape[::-1])
    grid.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    grid.SetGeometryFromImageToWorldMatrix(to_vtk_matrix(volume.ijk_to_ras))
    resample = slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage
    resample(image, grid, result, False)
    return _array_of(result).reshape(volume.array.shape)


def fingerprint(mask: np.ndarray, ijk_to_ras: np.ndarray) -> str:
    """Return a hash of the voxels of a segment and where they lie."""
    origin = ijk_to_ras[:3, 3].round(4).tobytes()
    return hashlib.sha256(repr(mask.shape).encode() + origin + np.packbits(mask).tobytes()).hexdigest()


def _array_of(image: slicer.vtkOrientedImageData) -> np.ndarray:
    scalars = image.GetPointData().GetScalars()
    if scalars is None or image.IsEmpty():
        return np.zeros((0, 0, 0), bool)
    voxels: np.ndarray = vtk_to_numpy(scalars).reshape(image.GetDimensions()[::-1])
    return voxels.astype(bool)


def _ijk_to_ras_of(image: slicer.vtkOrientedImageData) -> np.ndarray:
    """Return the 4x4 from indices, which count from the first stored voxel, to RAS mm."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return part_to_ras(to_array(matrix), image.GetExtent()[4::-2])
