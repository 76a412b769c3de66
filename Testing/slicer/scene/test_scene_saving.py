from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import vtk
from CRLMSegmentationLib.core.errors import CrlmError
from CRLMSegmentationLib.core.geometry import transform_points
from CRLMSegmentationLib.core.volume import RAS_TO_LPS, Volume, from_sitk
from CRLMSegmentationLib.slicer.scene.instruments import is_tracked, show_transform
from CRLMSegmentationLib.slicer.scene.nodes import to_array
from CRLMSegmentationLib.slicer.scene.saving import save_scene_bundle, save_segmentation
from CRLMSegmentationLib.slicer.scene.seeds import seeds_in, show_seed
from CRLMSegmentationLib.slicer.scene.segmentations import (
    LIVER_METASTASIS,
    lesion_surface,
    lesions_of,
    mark_stale,
    show_lesions,
)
from CRLMSegmentationLib.slicer.scene.volumes import show_volume, shown_identity, volume_from_node
from CRLMSegmentationLib.tracking.colours import LESION_COLOURS
from vtk.util.numpy_support import vtk_to_numpy


def _header(path) -> dict[str, str]:
    lines = path.read_bytes().split(b"\n\n", 1)[0].decode().splitlines()
    return dict(line.split(":=", 1) for line in lines if ":=" in line)


def _voxels_in_world(path, label) -> np.ndarray:
    """World RAS of all voxels of a label, one row each, in a fixed order."""
    saved = from_sitk(sitk.ReadImage(str(path)))
    kji = np.argwhere(saved.array == label)
    ras = kji[:, ::-1] @ saved.ijk_to_ras[:3, :3].T + saved.ijk_to_ras[:3, 3]
    return ras[np.lexsort(np.round(ras, 3).T)]


def _assert_same_in_space(found: Volume, expected: Volume) -> None:
    """The same values in the same places; Slicer counts voxels of a left-handed file from the other end."""
    assert found.array.shape == expected.array.shape
    k, j, i = np.indices(found.array.shape).reshape(3, -1)
    there = transform_points(expected.ras_to_ijk @ found.ijk_to_ras, np.stack([i, j, k], axis=1))
    np.testing.assert_allclose(there, np.round(there), atol=1e-3)
    x, y, z = np.round(there).astype(int).T
    np.testing.assert_array_equal(found.array[k, j, i], expected.array[z, y, x])


def _expected_in_world(mask, ijk_to_ras) -> np.ndarray:
    ras = np.argwhere(mask)[:, ::-1] @ ijk_to_ras[:3, :3].T + ijk_to_ras[:3, 3]
    return ras[np.lexsort(np.round(ras, 3).T)]


def test_saved_segmentation_has_names_colours_and_codes(scene, volume, lesion_in, tmp_path):
    second = lesion_in(volume, "Segment VII", start=(2, 0, 1), colour=LESION_COLOURS[1])
    lesions = [lesion_in(volume, "Lesion 1"), second]
    node = show_lesions(scene, show_volume(scene, volume, "recvol"), lesions)
    save_segmentation(node, tmp_path / "segmentation.seg.nrrd")
    header = _header(tmp_path / "segmentation.seg.nrrd")
    assert [header["Segment0_Name"], header["Segment1_Name"]] == ["Lesion 1", "Segment VII"]
    assert [float(x) for x in header["Segment1_Color"].split()] == pytest.approx(LESION_COLOURS[1])
    assert f"TerminologyEntry:{LIVER_METASTASIS}" in header["Segment0_Tags"]
    assert volume.identity.content_sha256 in header["Segment0_Tags"]


def test_saved_voxels_lie_where_they_were_found(scene, volume, lesion_in, tmp_path):
    lesion = lesion_in(volume)
    node = show_lesions(scene, show_volume(scene, volume, "recvol"), [lesion])
    save_segmentation(node, tmp_path / "a.seg.nrrd")
    np.testing.assert_allclose(
        _voxels_in_world(tmp_path / "a.seg.nrrd", 1), _expected_in_world(lesion.mask, volume.ijk_to_ras), atol=1e-4
    )


def test_parent_transform_is_worked_into_the_saved_file_only(scene, volume, lesion_in, add_transform, tmp_path, rigid):
    parent = add_transform(rigid(30, (10, 0, -5)))
    lesion = lesion_in(volume)
    node = show_lesions(scene, show_volume(scene, volume, "recvol", parent), [lesion])
    before = scene.GetNumberOfNodes(), lesion_surface(node, "Lesion 1").GetBounds()
    save_segmentation(node, tmp_path / "a.seg.nrrd")
    expected = _expected_in_world(lesion.mask, rigid(30, (10, 0, -5)) @ volume.ijk_to_ras)
    np.testing.assert_allclose(_voxels_in_world(tmp_path / "a.seg.nrrd", 1), expected, atol=1e-4)
    assert (scene.GetNumberOfNodes(), lesion_surface(node, "Lesion 1").GetBounds()) == before
    assert node.GetParentTransformNode() is parent


def test_saved_file_has_matching_lps_geometry(scene, volume, lesion_in, tmp_path):
    node = show_lesions(scene, show_volume(scene, volume, "recvol"), [lesion_in(volume)])
    save_segmentation(node, tmp_path / "a.seg.nrrd")
    image = sitk.ReadImage(str(tmp_path / "a.seg.nrrd"))
    directions = np.reshape(image.GetDirection(), (3, 3)) * np.array(image.GetSpacing())
    np.testing.assert_allclose(directions, (RAS_TO_LPS @ volume.ijk_to_ras)[:3, :3], atol=1e-6)


def test_bundle_opens_complete(scene, volume, lesion_in, add_transform, read_bundle, tmp_path, rigid):
    parent = add_transform(rigid(30, (10, 0, -5)))
    volume_node = show_volume(scene, volume, "recvol", parent)
    lesions = [lesion_in(volume), lesion_in(volume, "Lesion 2", start=(5, 5, 2), colour=LESION_COLOURS[1])]
    node = show_lesions(scene, volume_node, lesions)
    clicked = volume.center_ras_mm
    show_seed(scene, "Lesion 1", clicked).SetAndObserveTransformNodeID(parent.GetID())
    show_seed(scene, "Lesion 1", clicked)
    show_transform(scene, "ProbeToReference", rigid(5, (7, 8, 9)))
    show_transform(scene, "PointerToReference", None, "MISSING")
    save_scene_bundle(scene, tmp_path / "scene.mrb")

    opened = read_bundle(tmp_path / "scene.mrb")
    opened_volume = opened.GetFirstNodeByName("recvol")
    back = volume_from_node(opened_volume)
    _assert_same_in_space(back, Volume(volume.array, rigid(30, (10, 0, -5)) @ volume.ijk_to_ras))
    assert shown_identity(opened_volume) == volume.identity
    assert (back.device, back.timestamp_s) == ("recvol_Reference", 12.25)

    opened_lesions = lesions_of(opened, opened_volume)
    assert opened_lesions.GetSegmentation().GetSegmentIDs() == ("Lesion 1", "Lesion 2")
    segment = opened_lesions.GetSegmentation().GetSegment("Lesion 2")
    assert segment.GetColor() == pytest.approx(LESION_COLOURS[1])
    assert segment.GetTerminology() == LIVER_METASTASIS
    opened_lesions.CreateClosedSurfaceRepresentation()
    assert lesion_surface(opened_lesions, "Lesion 1").GetBounds() == pytest.approx(
        lesion_surface(node, "Lesion 1").GetBounds(), abs=0.05
    )
    assert mark_stale(opened_lesions, volume.identity) == []

    np.testing.assert_allclose(seeds_in(opened)["Lesion 1"], clicked, atol=1e-3)
    probe = vtk.vtkMatrix4x4()
    opened.GetFirstNodeByName("ProbeToReference").GetMatrixTransformToParent(probe)
    np.testing.assert_allclose(to_array(probe), rigid(5, (7, 8, 9)), atol=1e-6)
    assert not is_tracked(opened.GetFirstNodeByName("PointerToReference"))


def test_opened_bundle_is_updated_in_place(scene, volume, lesion_in, read_bundle, tmp_path):
    show_lesions(scene, show_volume(scene, volume, "recvol"), [lesion_in(volume)])
    save_scene_bundle(scene, tmp_path / "scene.mrb")
    opened = read_bundle(tmp_path / "scene.mrb")
    before = opened.GetNumberOfNodes()
    node = show_lesions(opened, show_volume(opened, volume, "recvol"), [lesion_in(volume, start=(4, 3, 1))])
    assert opened.GetNumberOfNodes() == before
    labelmap = node.GetSegmentation().GetSegment("Lesion 1").GetRepresentation("Binary labelmap")
    assert vtk_to_numpy(labelmap.GetPointData().GetScalars()).sum() == 4 * 3 * 5


def test_saving_again_writes_the_new_voxels_and_leaks_no_node(scene, volume, read_bundle, tmp_path):
    show_volume(scene, volume, "recvol")
    save_scene_bundle(scene, tmp_path / "scene.mrb")
    before = scene.GetNumberOfNodes()
    newer = Volume(volume.array + 1, volume.ijk_to_ras, "recvol", 13.0)
    show_volume(scene, newer, "recvol")
    save_scene_bundle(scene, tmp_path / "scene.mrb")
    assert scene.GetNumberOfNodes() == before
    opened = read_bundle(tmp_path / "scene.mrb")
    _assert_same_in_space(volume_from_node(opened.GetFirstNodeByName("recvol")), newer)


@pytest.mark.parametrize("save", [save_segmentation, save_scene_bundle])
def test_wrong_ending_and_missing_folder_are_refused(scene, save, tmp_path):
    subject = scene if save is save_scene_bundle else scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    ending = ".mrb" if save is save_scene_bundle else ".seg.nrrd"
    with pytest.raises(CrlmError, match="saved as"):
        save(subject, tmp_path / "x.txt")
    with pytest.raises(CrlmError, match="does not exist; make it first"):
        save(subject, tmp_path / "nowhere" / f"x{ending}")
