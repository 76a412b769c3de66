"""Surfaces of large lesions are drawn with fewer triangles, near the exact one; voxels and files stay exact."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import vtk
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.slicer.scene.drawn_surface import MANY_TRIANGLES
from CRLMSegmentationLib.slicer.scene.masks import mask_in_volume
from CRLMSegmentationLib.slicer.scene.saving import save_segmentation
from CRLMSegmentationLib.slicer.scene.segmentations import ShownLesion, lesion_surface, show_lesions
from CRLMSegmentationLib.slicer.scene.volumes import show_volume
from CRLMSegmentationLib.tracking.surfaces import measured_surface, triangles_of
from scipy import ndimage

LARGE_MM, SMALL_MM, EDGE_MM = 25.0, 8.0, 76.0
LUMP_MM, DEEP_MM = 8.0, 3.0
POINTS = 3000
"""Of a surface, at which its distance to another is measured."""


def lumpy(spacing_mm: float, radius_mm: float, centre_mm: float = EDGE_MM / 2) -> np.ndarray:
    """A lesion with lumps and furrows some millimetres deep, bool, (K, J, I)."""
    axis_mm = np.arange(0.0, EDGE_MM, spacing_mm)
    noise = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(len(axis_mm),) * 3), LUMP_MM / 2 / spacing_mm)
    away_mm = np.sqrt(sum(part**2 for part in np.meshgrid(*[axis_mm - centre_mm] * 3)))
    labels, _count = ndimage.label(away_mm < radius_mm + DEEP_MM * noise / noise.std())
    return labels == labels[tuple(np.round(np.full(3, centre_mm / spacing_mm)).astype(int))]


@pytest.fixture(params=[1.0, 0.5], ids=["1 mm", "0.5 mm"])
def spacing_mm(request) -> float:
    return request.param


@pytest.fixture
def volume(spacing_mm) -> Volume:
    edge = round(EDGE_MM / spacing_mm)
    ijk_to_ras = np.array([[0.6, -0.8, 0, 5], [0.8, 0.6, 0, -9], [0, 0, 1, 30], [0, 0, 0, 1]])
    ijk_to_ras[:3, :3] *= spacing_mm
    return Volume(np.ones((edge,) * 3, np.uint8), ijk_to_ras, "recvol", 1.0)


@pytest.fixture
def shown(scene, volume):
    """Show a mask as a lesion; returns the segmentation node."""
    node = show_volume(scene, volume, "recvol")

    def show(mask, name="Tumour 1"):
        lesion = ShownLesion(name, mask, (1.0, 0.0, 0.0), volume.center_ras_mm, volume.identity, "ab" * 32)
        return show_lesions(scene, node, [lesion])

    return show


def deviations_mm(drawn: vtk.vtkPolyData, exact: vtk.vtkPolyData) -> np.ndarray:
    """How far points of either surface lie from the other one, mm."""
    found = []
    for surface, other in ((drawn, exact), (exact, drawn)):
        distance = vtk.vtkImplicitPolyDataDistance()
        distance.SetInput(other)
        points = triangles_of(surface)[0]
        found += [abs(distance.EvaluateFunction(list(p))) for p in points[:: max(1, len(points) // POINTS)]]
    return np.array(found)


def full_surface(node, name="Tumour 1") -> vtk.vtkPolyData:
    """What 3D Slicer makes of the voxels."""
    node.GetSegmentation().RemoveRepresentation("Closed surface")
    node.CreateClosedSurfaceRepresentation()
    return lesion_surface(node, name)


def test_large_lesion_is_drawn_with_a_third_of_the_triangles_where_it_is(shown, volume, spacing_mm):
    mask = lumpy(spacing_mm, LARGE_MM)
    node = shown(mask)
    drawn, exact = lesion_surface(node, "Tumour 1"), measured_surface(mask, volume.ijk_to_ras)
    full = full_surface(node)
    assert full.GetNumberOfPolys() > MANY_TRIANGLES
    assert drawn.GetNumberOfPolys() < min(MANY_TRIANGLES, 0.4 * full.GetNumberOfPolys())
    assert drawn.GetPointData().GetNormals() is not None
    moved_mm, before_mm = deviations_mm(drawn, exact), deviations_mm(full, exact)
    assert moved_mm.max() < before_mm.max() + 0.3
    assert moved_mm.max() < 1.3
    assert moved_mm.mean() < min(0.2, before_mm.mean() + 0.01)
    assert deviations_mm(drawn, full).max() < 0.5


def test_normals_of_what_is_drawn_point_outwards(shown, volume, spacing_mm):
    node = shown(lumpy(spacing_mm, LARGE_MM))
    surface = lesion_surface(node, "Tumour 1")
    normals, points = (
        np.array([array.GetTuple3(at) for at in range(0, surface.GetNumberOfPoints(), 50)])
        for array in (surface.GetPointData().GetNormals(), surface.GetPoints().GetData())
    )
    assert (np.sum(normals * (points - volume.center_ras_mm), axis=1) > 0).mean() > 0.95


def test_small_lesion_is_drawn_in_full(shown, spacing_mm):
    node = shown(lumpy(spacing_mm, SMALL_MM))
    drawn = lesion_surface(node, "Tumour 1").GetNumberOfPolys()
    assert 0 < drawn == full_surface(node).GetNumberOfPolys() < MANY_TRIANGLES


def test_large_lesion_stays_thinned_out_when_it_is_segmented_again_or_another_is(shown, spacing_mm):
    shown(lumpy(spacing_mm, LARGE_MM - 1.0))
    node = shown(lumpy(spacing_mm, LARGE_MM))
    before = lesion_surface(node, "Tumour 1").GetNumberOfPolys()
    assert before < MANY_TRIANGLES
    shown(lumpy(spacing_mm, SMALL_MM, centre_mm=9.0), "Tumour 2")
    assert lesion_surface(node, "Tumour 1").GetNumberOfPolys() == before
    assert lesion_surface(node, "Tumour 2").GetNumberOfPolys() > 0


def test_voxels_in_scene_and_file_are_those_of_the_mask(shown, volume, spacing_mm, tmp_path):
    mask = lumpy(spacing_mm, LARGE_MM)
    node = shown(mask)
    np.testing.assert_array_equal(mask_in_volume(node, "Tumour 1", volume), mask)
    save_segmentation(node, tmp_path / "lesions.seg.nrrd")
    saved = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "lesions.seg.nrrd")))
    assert saved.astype(bool).sum() == mask.sum()
