from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import vtk
from CRLMSegmentationLib.core.errors import VolumeError
from CRLMSegmentationLib.core.geometry import transform_points
from CRLMSegmentationLib.core.volume import Volume, VolumeIdentity
from CRLMSegmentationLib.slicer.scene.nodes import VOLUME_IDENTITY, identity_from_text, identity_to_text, to_array
from CRLMSegmentationLib.slicer.scene.seeds import show_seed
from CRLMSegmentationLib.slicer.scene.segmentations import LIVER_METASTASIS, MODEL, SEED, lesion_surface, show_lesions
from CRLMSegmentationLib.slicer.scene.staleness import STALE, STALE_COLOUR, lesions_of, mark_stale, tag_of
from CRLMSegmentationLib.slicer.scene.volumes import show_volume
from vtk.util.numpy_support import vtk_to_numpy


def _mask_of(node, segment_id, volume) -> np.ndarray:
    """The segment's voxels, found by their place in space on the grid of the volume."""
    segment = node.GetSegmentation().GetSegment(segment_id)
    labelmap = segment.GetRepresentation("Binary labelmap")
    mask = np.zeros(volume.array.shape, bool)
    i0, i1, j0, j1, k0, k1 = labelmap.GetExtent()
    if i1 < i0:
        return mask
    voxels = vtk_to_numpy(labelmap.GetPointData().GetScalars()).reshape(k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)
    ijk = np.argwhere(voxels == segment.GetLabelValue())[:, ::-1] + (i0, j0, k0)
    matrix = vtk.vtkMatrix4x4()
    labelmap.GetImageToWorldMatrix(matrix)
    found = transform_points(volume.ras_to_ijk @ to_array(matrix), ijk)
    np.testing.assert_allclose(found, np.round(found), atol=1e-6)
    mask[tuple(np.round(found).astype(int).T[::-1])] = True
    return mask


def _surface_center(node, segment_id) -> np.ndarray:
    return vtk_to_numpy(lesion_surface(node, segment_id).GetPoints().GetData()).mean(axis=0)


def test_segment_has_the_voxels_of_its_lesion_cropped_to_them(scene, volume, lesion_in):
    lesion = lesion_in(volume)
    node = show_lesions(scene, show_volume(scene, volume, "recvol"), [lesion])
    labelmap = node.GetSegmentation().GetSegment("Lesion 1").GetRepresentation("Binary labelmap")
    assert labelmap.GetDimensions() == (4, 3, 5)
    np.testing.assert_array_equal(_mask_of(node, "Lesion 1", volume), lesion.mask)


def test_surface_lies_around_the_lesion_in_world_ras(scene, volume, lesion_in, add_transform, rigid):
    parent = add_transform(rigid(30, (100, 0, -5)))
    node = show_lesions(scene, show_volume(scene, volume, "recvol", parent), [lesion_in(volume)])
    expected = transform_points(rigid(30, (100, 0, -5)) @ volume.ijk_to_ras, [2.5, 4, 4])
    np.testing.assert_allclose(_surface_center(node, "Lesion 1"), expected, atol=0.1)
    assert node.GetParentTransformNode() is parent


def test_surface_faces_outwards_in_any_geometry(scene, volume, lesion_in):
    node = show_lesions(scene, show_volume(scene, volume, "recvol"), [lesion_in(volume)])
    surface = lesion_surface(node, "Lesion 1")
    normals = vtk_to_numpy(surface.GetPointData().GetNormals())
    outward = vtk_to_numpy(surface.GetPoints().GetData()) - _surface_center(node, "Lesion 1")
    assert (np.sum(normals * outward, axis=1) > 0).mean() > 0.95


def test_segmentation_follows_when_the_volume_gets_another_parent(scene, volume, lesion_in, add_transform, rigid):
    volume_node = show_volume(scene, volume, "recvol")
    node = show_lesions(scene, volume_node, [lesion_in(volume)])
    volume_node.SetAndObserveTransformNodeID(add_transform(rigid(90, (0, 0, 50))).GetID())
    show_lesions(scene, volume_node, [lesion_in(volume)])
    expected = transform_points(rigid(90, (0, 0, 50)) @ volume.ijk_to_ras, [2.5, 4, 4])
    np.testing.assert_allclose(_surface_center(node, "Lesion 1"), expected, atol=0.1)


def test_segment_says_what_it_is_and_where_it_came_from(scene, volume, lesion_in):
    node = show_lesions(scene, show_volume(scene, volume, "recvol"), [lesion_in(volume)])
    segment = node.GetSegmentation().GetSegment("Lesion 1")
    assert (segment.GetName(), segment.GetColor()) == ("Lesion 1", pytest.approx(lesion_in(volume).colour))
    assert segment.GetTerminology() == LIVER_METASTASIS
    assert identity_from_text(tag_of(segment, VOLUME_IDENTITY)) == volume.identity
    np.testing.assert_allclose([float(x) for x in tag_of(segment, SEED).split()], volume.center_ras_mm, atol=1e-3)
    assert tag_of(segment, MODEL) == "ab" * 32
    assert tag_of(segment, "Segmentation.Status") == "inprogress"


def test_lesion_with_warnings_is_flagged(scene, volume, lesion_in):
    node = show_lesions(scene, show_volume(scene, volume, "recvol"), [lesion_in(volume, needs_review=True)])
    assert tag_of(node.GetSegmentation().GetSegment("Lesion 1"), "Segmentation.Status") == "flagged"


def test_terminology_can_be_read_by_slicers_own_logic():
    import slicer

    entry = slicer.vtkSlicerTerminologyEntry()
    logic = slicer.vtkSlicerTerminologiesModuleLogic()
    logic.DeserializeTerminologyEntry(LIVER_METASTASIS, entry)
    category, kind = entry.GetCategoryObject(), entry.GetTypeObject()
    region = entry.GetRegionObject() if hasattr(entry, "GetRegionObject") else entry.GetAnatomicRegionObject()
    assert entry.GetTerminologyContextName() == "Segmentation category and type - DICOM master list"
    assert (category.GetCodeValue(), kind.GetCodeMeaning()) == ("49755003", "Neoplasm, Secondary")
    assert (region.GetCodingSchemeDesignator(), region.GetCodeMeaning()) == ("SCT", "Liver")


def test_twenty_updates_keep_node_segment_and_node_count(scene, volume, lesion_in):
    volume_node = show_volume(scene, volume, "recvol")
    node = show_lesions(scene, volume_node, [lesion_in(volume)])
    segment, before = node.GetSegmentation().GetSegment("Lesion 1"), scene.GetNumberOfNodes()
    for n in range(20):
        assert show_lesions(scene, volume_node, [lesion_in(volume, start=(n % 5, 3, 1))]) is node
    assert scene.GetNumberOfNodes() == before
    assert node.GetSegmentation().GetSegmentIDs() == ("Lesion 1",)
    assert node.GetSegmentation().GetSegment("Lesion 1") is segment


def test_update_replaces_mask_and_surface(scene, volume, lesion_in):
    volume_node = show_volume(scene, volume, "recvol")
    node = show_lesions(scene, volume_node, [lesion_in(volume)])
    moved = lesion_in(volume, start=(6, 0, 3))
    show_lesions(scene, volume_node, [moved])
    np.testing.assert_array_equal(_mask_of(node, "Lesion 1", volume), moved.mask)
    expected = transform_points(volume.ijk_to_ras, [4.5, 1, 8])
    np.testing.assert_allclose(_surface_center(node, "Lesion 1"), expected, atol=0.1)


def test_overlapping_lesions_both_keep_all_their_voxels(scene, volume, lesion_in):
    first, second = lesion_in(volume, "Lesion 1"), lesion_in(volume, "Lesion 2", start=(4, 4, 2))
    node = show_lesions(scene, show_volume(scene, volume, "recvol"), [first, second])
    np.testing.assert_array_equal(_mask_of(node, "Lesion 1", volume), first.mask)
    np.testing.assert_array_equal(_mask_of(node, "Lesion 2", volume), second.mask)


def test_second_lesion_leaves_the_first_alone(scene, volume, lesion_in):
    volume_node = show_volume(scene, volume, "recvol")
    first = lesion_in(volume, "Lesion 1")
    show_lesions(scene, volume_node, [first])
    node = show_lesions(scene, volume_node, [lesion_in(volume, "Lesion 2", start=(6, 0, 3))])
    assert node.GetSegmentation().GetSegmentIDs() == ("Lesion 1", "Lesion 2")
    np.testing.assert_array_equal(_mask_of(node, "Lesion 1", volume), first.mask)
    assert lesion_surface(node, "Lesion 2").GetNumberOfPoints() > 0


def test_nothing_found_empties_the_segment_and_a_later_find_fills_it(scene, volume, lesion_in):
    volume_node = show_volume(scene, volume, "recvol")
    found = lesion_in(volume)
    nothing = replace(found, mask=np.zeros_like(found.mask))
    node = show_lesions(scene, volume_node, [nothing])
    assert lesion_surface(node, "Lesion 1").GetNumberOfPoints() == 0
    show_lesions(scene, volume_node, [found])
    assert lesion_surface(node, "Lesion 1").GetNumberOfPoints() > 0
    show_lesions(scene, volume_node, [nothing])
    assert not _mask_of(node, "Lesion 1", volume).any()
    assert lesion_surface(node, "Lesion 1").GetNumberOfPoints() == 0


def test_each_volume_has_a_segmentation_of_its_own(scene, volume, lesion_in):
    first, second = show_volume(scene, volume, "recvol"), show_volume(scene, volume, "live")
    node = show_lesions(scene, first, [lesion_in(volume)])
    assert lesions_of(scene, second) is None
    assert show_lesions(scene, second, [lesion_in(volume)]) is not node
    assert lesions_of(scene, first) is node


def test_lesion_of_an_older_volume_looks_old_and_fresh_again(scene, volume, lesion_in):
    volume_node = show_volume(scene, volume, "recvol")
    node = show_lesions(scene, volume_node, [lesion_in(volume)])
    segment = node.GetSegmentation().GetSegment("Lesion 1")
    newer = Volume(volume.array + 1, volume.ijk_to_ras, volume.device, 99.0)
    for _ in range(2):
        assert mark_stale(node, newer.identity) == ["Lesion 1"]
        assert segment.GetName() == "Lesion 1 (out of date)"
        assert segment.GetColor() == pytest.approx(STALE_COLOUR)
        assert (tag_of(segment, STALE), node.GetAttribute(STALE)) == ("1", "1")
    assert mark_stale(node, volume.identity) == []
    assert segment.GetName() == "Lesion 1"
    assert segment.GetColor() == pytest.approx(lesion_in(volume).colour)
    assert (tag_of(segment, STALE), node.GetAttribute(STALE)) == ("0", "0")


def test_result_of_a_replaced_volume_looks_old_and_lies_where_it_was_found(scene, volume, lesion_in):
    late = lesion_in(volume, ijk_to_ras=volume.ijk_to_ras)
    newer = Volume(np.ones((5, 6, 7), np.uint8), np.eye(4), volume.device, 99.0)
    node = show_lesions(scene, show_volume(scene, newer, "recvol"), [late])
    assert node.GetSegmentation().GetSegment("Lesion 1").GetName() == "Lesion 1 (out of date)"
    expected = transform_points(volume.ijk_to_ras, [2.5, 4, 4])
    np.testing.assert_allclose(_surface_center(node, "Lesion 1"), expected, atol=0.1)


def test_new_result_makes_an_old_lesion_fresh(scene, volume, lesion_in):
    volume_node = show_volume(scene, volume, "recvol")
    node = show_lesions(scene, volume_node, [lesion_in(volume)])
    newer = Volume(volume.array + 1, volume.ijk_to_ras, volume.device, 99.0)
    show_volume(scene, newer, "recvol")
    mark_stale(node, newer.identity)
    show_lesions(scene, volume_node, [lesion_in(newer)])
    segment = node.GetSegmentation().GetSegment("Lesion 1")
    assert (segment.GetName(), tag_of(segment, STALE)) == ("Lesion 1", "0")


def test_lesion_whose_seed_was_moved_looks_old_until_it_is_back(scene, volume, lesion_in):
    node = show_lesions(scene, show_volume(scene, volume, "recvol"), [lesion_in(volume), lesion_in(volume, "Lesion 2")])
    clicked = volume.center_ras_mm
    show_seed(scene, "Lesion 1", clicked)
    assert mark_stale(node, volume.identity) == []
    show_seed(scene, "Lesion 1", clicked + [0.5, 0, 0])
    assert mark_stale(node, volume.identity) == ["Lesion 1"]
    assert node.GetSegmentation().GetSegment("Lesion 1").GetName() == "Lesion 1 (out of date)"
    show_volume(scene, volume, "recvol")
    assert node.GetSegmentation().GetSegment("Lesion 1").GetName() == "Lesion 1 (out of date)"
    show_seed(scene, "Lesion 1", clicked)
    assert mark_stale(node, volume.identity) == []


def test_while_nobody_knows_what_the_volume_holds_every_lesion_looks_old(scene, volume, lesion_in):
    node = show_lesions(scene, show_volume(scene, volume, "recvol"), [lesion_in(volume)])
    assert mark_stale(node, None) == ["Lesion 1"]


def test_segment_drawn_by_the_user_is_never_marked(scene, volume, lesion_in):
    node = show_lesions(scene, show_volume(scene, volume, "recvol"), [lesion_in(volume)])
    node.GetSegmentation().AddEmptySegment("liver", "Liver")
    assert mark_stale(node, VolumeIdentity("other", 1.0, "", "")) == ["Lesion 1"]
    assert node.GetSegmentation().GetSegment("liver").GetName() == "Liver"


def test_mask_of_another_size_is_refused_before_anything_changes(scene, volume, lesion_in):
    volume_node = show_volume(scene, volume, "recvol")
    before = scene.GetNumberOfNodes()
    wrong = replace(lesion_in(volume), mask=np.ones((2, 2, 2), bool))
    with pytest.raises(VolumeError, match="'Lesion 1' has shape"):
        show_lesions(scene, volume_node, [wrong])
    assert scene.GetNumberOfNodes() == before


def test_surface_of_an_unknown_segment_is_refused(scene, volume, lesion_in):
    node = show_lesions(scene, show_volume(scene, volume, "recvol"), [lesion_in(volume)])
    with pytest.raises(VolumeError, match="no segment 'Lesion 7'"):
        lesion_surface(node, "Lesion 7")


def test_identity_survives_as_text_whatever_the_device_is_called():
    identity = VolumeIdentity('a|b;c:d"e', 1700000000.123456, "0" * 64, "f" * 64)
    text = identity_to_text(identity)
    assert identity_from_text(text) == identity
    assert "|" not in text
    assert ";" not in text
