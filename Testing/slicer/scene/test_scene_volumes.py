from __future__ import annotations

import numpy as np
import pytest
import vtk
from CRLMSegmentationLib.core.errors import GeometryError, VolumeError
from CRLMSegmentationLib.core.grey_window import grey_window
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.slicer.scene.volumes import show_volume, shown_identity, volume_from_node
from vtk.util.numpy_support import vtk_to_numpy


def test_volume_goes_into_the_scene_and_comes_back_the_same(scene, volume):
    node = show_volume(scene, volume, "recvol")
    back = volume_from_node(node)
    assert back.identity == volume.identity
    assert shown_identity(node) == volume.identity


def test_voxel_lies_where_its_matrix_says(scene, volume):
    node = show_volume(scene, volume, "recvol")
    image = node.GetImageData()
    assert image.GetScalarComponentAsDouble(2, 5, 7, 0) == volume.array[7, 5, 2]
    ijk_to_ras = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(ijk_to_ras)
    np.testing.assert_allclose(ijk_to_ras.MultiplyPoint((2, 5, 7, 1)), volume.ijk_to_ras @ [2, 5, 7, 1])


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "i4", "f4", "f8", ">i2", ">f4", "f2"])
def test_voxels_of_any_type_keep_their_values(scene, kind):
    array = (np.arange(24).reshape(2, 3, 4)).astype(kind)
    node = show_volume(scene, Volume(array, np.eye(4)), "typed")
    np.testing.assert_array_equal(volume_from_node(node).array, array.astype(np.float64))


def test_update_of_the_same_size_keeps_node_and_memory(scene, volume):
    node = show_volume(scene, volume, "recvol")
    scalars = node.GetImageData().GetPointData().GetScalars()
    newer = Volume(volume.array[::-1].copy(), volume.ijk_to_ras, volume.device, 13.0)
    assert show_volume(scene, newer, "recvol") is node
    assert node.GetImageData().GetPointData().GetScalars() is scalars
    assert volume_from_node(node).identity == newer.identity


def test_update_tells_the_views_that_voxels_changed(scene, volume):
    node = show_volume(scene, volume, "recvol")
    seen = []
    node.AddObserver(node.ImageDataModifiedEvent, lambda *_: seen.append("image"))
    scalars = node.GetImageData().GetPointData().GetScalars()
    assert scalars.GetRange() == (1, 693)
    show_volume(scene, Volume(volume.array + 1, volume.ijk_to_ras), "recvol")
    assert seen
    assert scalars.GetRange() == (2, 694)


def test_update_of_another_size_and_type_keeps_node(scene, volume):
    node = show_volume(scene, volume, "recvol")
    other = Volume(np.ones((3, 4, 5), np.float32), np.eye(4), "recvol_Reference", 14.0)
    assert show_volume(scene, other, "recvol") is node
    assert volume_from_node(node).identity == other.identity


def test_twenty_updates_leak_no_node(scene, volume):
    show_volume(scene, volume, "recvol")
    before = scene.GetNumberOfNodes()
    for n in range(20):
        show_volume(scene, Volume(volume.array + n, volume.ijk_to_ras, "recvol", n), "recvol")
    assert scene.GetNumberOfNodes() == before


def test_node_renamed_by_user_is_found_again(scene, volume):
    node = show_volume(scene, volume, "recvol")
    node.SetName("sweep after mobilisation")
    assert show_volume(scene, volume, "recvol") is node
    assert node.GetName() == "sweep after mobilisation"


def test_node_of_the_same_name_made_by_others_is_left_alone(scene, volume):
    foreign = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "recvol")
    assert show_volume(scene, volume, "recvol") is not foreign
    assert foreign.GetImageData() is None


def test_new_volume_is_grey_and_user_window_survives_updates(scene, volume):
    node = show_volume(scene, volume, "recvol")
    display = node.GetDisplayNode()
    assert display.GetColorNodeID() == "vtkMRMLColorTableNodeGrey"
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == pytest.approx(grey_window(volume))
    display.SetWindowLevelMinMax(5, 50)
    show_volume(scene, volume, "recvol")
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (5, 50)


def test_grey_window_ignores_empty_voxels_and_is_never_flat():
    array = np.zeros((10, 10, 10), np.uint8)
    assert grey_window(Volume(array, np.eye(4)))[1] > 0
    array[0] = 100
    low, high = grey_window(Volume(array, np.eye(4)))
    assert low == 100
    assert high > low


def test_parent_transforms_go_into_the_world_matrix(scene, volume, add_transform, rigid):
    outer = add_transform(rigid(30, (10, 0, -5)))
    inner = add_transform(rigid(-75, (0, 40, 2)), parent=outer)
    node = show_volume(scene, volume, "recvol", inner)
    expected = rigid(30, (10, 0, -5)) @ rigid(-75, (0, 40, 2)) @ volume.ijk_to_ras
    np.testing.assert_allclose(volume_from_node(node).ijk_to_ras, expected, atol=1e-9)


def test_update_without_a_parent_leaves_the_volume_where_the_user_put_it(scene, volume, add_transform, rigid):
    node = show_volume(scene, volume, "recvol")
    parent = add_transform(rigid(30, (10, 0, -5)))
    node.SetAndObserveTransformNodeID(parent.GetID())
    show_volume(scene, volume, "recvol")
    assert node.GetParentTransformNode() is parent


def test_non_linear_parent_is_refused_with_its_name(scene, volume):
    warp = scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "Breathing")
    node = show_volume(scene, volume, "recvol")
    node.SetAndObserveTransformNodeID(warp.GetID())
    with pytest.raises(GeometryError, match="non-linear transform 'Breathing'; harden"):
        volume_from_node(node)


def test_voxels_taken_are_a_copy(scene, volume):
    node = show_volume(scene, volume, "recvol")
    taken = volume_from_node(node)
    vtk_to_numpy(node.GetImageData().GetPointData().GetScalars())[:] = 0
    assert taken.identity == volume.identity


def _node_with(scene, shape_ijk, components=1, fill=0.0):
    image = vtk.vtkImageData()
    image.SetDimensions(shape_ijk)
    image.AllocateScalars(vtk.VTK_FLOAT, components)
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = fill
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "bad")
    node.SetAndObserveImageData(image)
    return node


@pytest.mark.parametrize(
    ("shape_ijk", "components", "fill", "message"),
    [
        ((4, 4, 4), 3, 0.0, "3 components"),
        ((4, 4, 4), 1, np.nan, "no voxel holds a finite number"),
        ((4, 4, 1), 1, 0.0, "single slice"),
    ],
    ids=["RGB", "NaN", "single slice"],
)
def test_unusable_voxels_are_refused(scene, shape_ijk, components, fill, message):
    with pytest.raises(VolumeError, match=message):
        volume_from_node(_node_with(scene, shape_ijk, components, fill))


def test_missing_node_or_voxels_are_refused(scene):
    with pytest.raises(VolumeError, match="no volume; choose one"):
        volume_from_node(None)
    with pytest.raises(VolumeError, match="'empty' has no voxels"):
        volume_from_node(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"))


def test_volume_of_another_extension_has_its_node_name_as_device(scene):
    node = _node_with(scene, (4, 4, 4), fill=2.0)
    taken = volume_from_node(node)
    assert (taken.device, taken.timestamp_s) == ("bad", 0.0)
    assert shown_identity(node) is None
