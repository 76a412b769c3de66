"""Volumes in the scene: shown from a `Volume`, and read as one with all parent transforms."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import get_vtk_array_type, vtk_to_numpy

from ...core.errors import VolumeError
from ...core.grey_window import grey_window
from ...core.volume import Volume, VolumeIdentity
from .nodes import (
    DEVICE,
    PREFIX,
    TIMESTAMP,
    VOLUME_IDENTITY,
    find_node,
    identity_from_text,
    identity_to_text,
    is_referred_to,
    local_to_world,
    make_display,
    make_node,
    nodes_of_class,
    one_update,
    put_under,
    to_array,
    to_vtk_matrix,
)
from .staleness import lesions_of, mark_stale

CLASS = "vtkMRMLScalarVolumeNode"
ContentStamp = tuple[int, int, bytes]
"""Modified times of an image and its voxels, and its IJK to RAS matrix."""
GREY = "vtkMRMLColorTableNodeGrey"
FROM_LINK = PREFIX + "FromLink"
"""Attribute of a volume that a link has brought."""


def show_volume(
    scene: slicer.vtkMRMLScene,
    volume: Volume,
    name: str,
    parent_transform: slicer.vtkMRMLTransformNode | None = None,
) -> slicer.vtkMRMLScalarVolumeNode:
    """Show a volume; one of the same name is updated in place and keeps its window and its views.

    Lesions that were found in what it held before look old at once.

    Args:
        volume: its ijk_to_ras is taken relative to the parent transform.
        name: of the node, usually the device.
        parent_transform: the node to lie under; None leaves it where it is (a new one: in the world).

    Returns:
        The node, with device, timestamp and identity of the volume as attributes.
    """
    known = find_node(scene, CLASS, name)
    node = make_node(scene, CLASS, name) if known is None else known
    with one_update(node):
        _fill_voxels(node, volume.array)
        node.SetIJKToRASMatrix(to_vtk_matrix(volume.ijk_to_ras))
        node.SetAttribute(DEVICE, volume.device)
        node.SetAttribute(TIMESTAMP, repr(volume.timestamp_s))
        node.SetAttribute(VOLUME_IDENTITY, identity_to_text(volume.identity))
        if parent_transform is not None:
            put_under(node, parent_transform)
        if known is None:
            _show_in_grey(node, volume)
    lesions = lesions_of(scene, node)
    if lesions is not None:
        mark_stale(lesions, volume.identity)
    return node


def volume_from_node(node: slicer.vtkMRMLScalarVolumeNode | None) -> Volume:
    """Return a copy of a node's voxels, placed in world RAS through all its parent transforms.

    Other extensions write into the node's buffer while a network is at work, hence the copy.

    Raises:
        VolumeError: no node, no voxels, colour, a single slice, or NaN.
        GeometryError: a non-linear transform above it, or a matrix that cannot be.
    """
    if node is None:
        raise VolumeError("no volume; choose one")
    if node.GetImageData() is None or node.GetImageData().GetPointData().GetScalars() is None:
        raise VolumeError(f"'{node.GetName()}' has no voxels; choose another volume")
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    ijk_to_ras = local_to_world(node) @ to_array(matrix)
    device = node.GetAttribute(DEVICE) or node.GetName()
    return Volume(_voxels(node.GetImageData()).copy(), ijk_to_ras, device, _timestamp_s(node))


def link_volumes(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLScalarVolumeNode]:
    """Return the volumes that were received over links, the oldest first."""
    return [node for node in nodes_of_class(scene, CLASS) if node.GetAttribute(FROM_LINK)]


def mark_as_from_link(node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Mark a volume as received over a link: it may be removed when memory is needed."""
    if not node.GetAttribute(FROM_LINK):
        node.SetAttribute(FROM_LINK, "1")


def size_bytes(node: slicer.vtkMRMLScalarVolumeNode) -> int:
    """Return the bytes of a node's voxels."""
    image = node.GetImageData()
    return (
        0 if image is None else image.GetNumberOfPoints() * image.GetScalarSize() * image.GetNumberOfScalarComponents()
    )


def is_used_elsewhere(node: slicer.vtkMRMLScalarVolumeNode) -> bool:
    """Return whether a node other than its segmentation refers to a volume, or it is volume-rendered."""
    if is_referred_to(node):
        return True
    displays = [node.GetNthDisplayNode(number) for number in range(node.GetNumberOfDisplayNodes())]
    return any(d is not None and d.IsA("vtkMRMLVolumeRenderingDisplayNode") and d.GetVisibility() for d in displays)


def content_stamp(node: slicer.vtkMRMLScalarVolumeNode) -> ContentStamp:
    """Return a value that changes whenever voxels are written into a node or its grid is moved; cheap."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    image = node.GetImageData()
    scalars = image.GetPointData().GetScalars() if image else None
    return image.GetMTime() if image else 0, scalars.GetMTime() if scalars else 0, to_array(matrix).tobytes()


def shown_identity(node: slicer.vtkMRMLScalarVolumeNode) -> VolumeIdentity | None:
    """Return the identity of the volume that `show_volume` put into a node last; None for other nodes."""
    return identity_from_text(node.GetAttribute(VOLUME_IDENTITY))


def _timestamp_s(node: slicer.vtkMRMLScalarVolumeNode) -> float:
    try:
        return float(node.GetAttribute(TIMESTAMP) or 0.0)
    except ValueError:
        return 0.0


def _voxels(image: vtk.vtkImageData) -> np.ndarray:
    """View of an image's voxels, shape (K, J, I), or (K, J, I, C) for colour."""
    components = image.GetNumberOfScalarComponents()
    shape = image.GetDimensions()[::-1] + ((components,) if components > 1 else ())
    voxels: np.ndarray = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape)
    return voxels


def _fill_voxels(node: slicer.vtkMRMLScalarVolumeNode, array: np.ndarray) -> None:
    """Copy voxels into the node's image, into the same memory where size and type allow it."""
    array = array.astype(np.float32) if array.dtype == np.float16 else array
    image = node.GetImageData()
    if image is None or _kind(image) != (array.shape, get_vtk_array_type(array.dtype)):
        image = vtk.vtkImageData()
        image.SetDimensions(array.shape[::-1])
        image.AllocateScalars(get_vtk_array_type(array.dtype), 1)
        np.copyto(_voxels(image), array)
        node.SetAndObserveImageData(image)
        return
    np.copyto(_voxels(image), array)
    image.GetPointData().GetScalars().Modified()
    image.Modified()


def _kind(image: vtk.vtkImageData) -> tuple[tuple[int, ...], int]:
    return image.GetDimensions()[::-1], image.GetScalarType()


def _show_in_grey(node: slicer.vtkMRMLScalarVolumeNode, volume: Volume) -> None:
    display = make_display(node)
    display.SetAndObserveColorNodeID(GREY)
    display.AutoWindowLevelOff()
    low, high = grey_window(volume)
    display.SetWindowLevelMinMax(low, high)
