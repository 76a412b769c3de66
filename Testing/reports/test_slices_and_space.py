from __future__ import annotations

import io
import sys
from dataclasses import replace

import numpy as np
import pytest
import vtk
from CRLMSegmentationLib.core.geometry import transform_points
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.reports import actors
from CRLMSegmentationLib.reports import space as rendering
from CRLMSegmentationLib.reports.actors import rgb
from CRLMSegmentationLib.reports.planes import AXIAL, CORONAL, PLANES, SAGITTAL, field_of_view_mm, plane_pixels, sample
from CRLMSegmentationLib.reports.slices import CROP_COLOUR, PREDICTION_COLOUR, SEED_COLOUR, TRUTH_COLOUR, three_slices
from CRLMSegmentationLib.reports.space import RenderingError, check_rendering, lesion_in_space
from CRLMSegmentationLib.tracking.surfaces import surface_of_mask
from PIL import Image
from vtk.util.numpy_support import vtk_to_numpy


def _pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def _count(pixels: np.ndarray, colour: str, tolerance: int = 24) -> int:
    return int((np.abs(pixels - 255 * np.array(rgb(colour))).max(axis=-1) <= tolerance).sum())


def _hue_count(pixels: np.ndarray, warm: bool) -> int:
    """Pixels that are clearly orange (warm) or clearly blue, however they are lit."""
    red, blue = pixels[..., 0], pixels[..., 2]
    return int(((red - blue if warm else blue - red) > 70).sum())


@pytest.mark.parametrize(
    ("plane", "offset_ras_mm", "place"),
    [
        (AXIAL, (-6, 0, 0), "right"),
        (AXIAL, (0, 6, 0), "top"),
        (SAGITTAL, (0, 6, 0), "left"),
        (SAGITTAL, (0, 0, 6), "top"),
        (CORONAL, (6, 0, 0), "left"),
        (CORONAL, (0, 0, -6), "bottom"),
    ],
)
def test_slice_shows_each_side_where_slicer_does(ijk_to_ras, plane, offset_ras_mm, place):
    array = np.zeros((30, 30, 30), np.float32)
    middle = transform_points(ijk_to_ras, [15.0, 15.0, 15.0])
    spot = Volume(array, ijk_to_ras)
    k, j, i = np.indices(array.shape).reshape(3, -1)
    away = transform_points(ijk_to_ras, np.stack([i, j, k], axis=1)) - (middle + offset_ras_mm)
    array[k, j, i] = np.exp(-np.sum(away**2, axis=1) / 8)
    shown = sample(array, plane_pixels(plane, spot, middle, (20.0, 16.0), (40, 32)))
    row, column = np.unravel_index(shown.argmax(), shown.shape)
    centre = {"left": (15.5, 7.5), "right": (15.5, 31.5), "top": (27.5, 19.5), "bottom": (3.5, 19.5)}[place]
    np.testing.assert_allclose((row, column), centre, atol=2.6)


def test_sampling_only_a_part_gives_the_same_as_sampling_all(any_lesion):
    for plane in PLANES:
        pixels = plane_pixels(plane, any_lesion.volume, any_lesion.center_ras_mm, (9.0, 9.0), (12, 12))
        k, j, i = np.round(pixels).astype(int)
        exact = pixels.copy()
        exact[:] = np.round(pixels)
        np.testing.assert_allclose(sample(any_lesion.volume.array, exact), any_lesion.volume.array[k, j, i], atol=1e-3)


def test_slice_beside_the_volume_is_empty(any_lesion):
    far = any_lesion.center_ras_mm + 500.0
    assert not sample(any_lesion.volume.array, plane_pixels(AXIAL, any_lesion.volume, far, (9.0, 9.0), (12, 12))).any()


def test_middle_is_that_of_the_prediction_else_the_seed(any_lesion):
    expected = transform_points(any_lesion.volume.ijk_to_ras, [13.5, 11.5, 11.0])
    np.testing.assert_allclose(any_lesion.center_ras_mm, expected)
    nothing = replace(any_lesion, mask=any_lesion.mask & False)
    np.testing.assert_allclose(nothing.center_ras_mm, any_lesion.seed_ras_mm)


def test_close_up_holds_prediction_truth_and_seed(any_lesion):
    far_seed = replace(any_lesion, seed_ras_mm=any_lesion.center_ras_mm + np.array([0, 16, 0]), crop_size_mm=80.0)
    assert field_of_view_mm(far_seed) / 2 > 16
    assert field_of_view_mm(replace(far_seed, crop_size_mm=30.0)) <= 1.1 * 30.0 + 1e-9


def test_close_up_of_a_network_that_saw_everything_may_hold_the_whole_volume(any_lesion):
    far_seed = replace(any_lesion, seed_ras_mm=any_lesion.center_ras_mm + np.array([0, 16, 0]), crop_size_mm=None)
    assert field_of_view_mm(far_seed) / 2 > 16
    far_seed = replace(far_seed, seed_ras_mm=far_seed.center_ras_mm + np.array([0, 1000, 0]))
    assert field_of_view_mm(far_seed) < 100


@pytest.fixture(scope="module")
def drawn(shared_lesion) -> np.ndarray:
    """The slices of a lesion in a small picture."""
    return _pixels(three_slices(shared_lesion, dpi=50))


def test_slices_of_a_network_that_saw_everything_show_no_crop_box(lesion):
    overviews = slice(300, None), slice(None)
    with_box = _pixels(three_slices(replace(lesion, crop_size_mm=24.0), dpi=50))[overviews]
    without = _pixels(three_slices(replace(lesion, crop_size_mm=None), dpi=50))[overviews]
    assert _count(with_box, CROP_COLOUR) > _count(without, CROP_COLOUR)


def test_slices_show_prediction_truth_and_seed_in_their_colours(drawn):
    assert drawn.shape[1] > drawn.shape[0]
    assert _count(drawn, PREDICTION_COLOUR) > 150
    assert _count(drawn, TRUTH_COLOUR) > 50
    assert _count(drawn, SEED_COLOUR) > 10


def test_slices_without_truth_show_none(lesion, drawn):
    with_truth = _count(drawn, TRUTH_COLOUR)
    assert _count(_pixels(three_slices(replace(lesion, truth=None), dpi=50)), TRUTH_COLOUR) < 0.05 * with_truth


def test_slices_of_nothing_found_show_no_segmentation(lesion, drawn):
    found = _count(drawn, PREDICTION_COLOUR)
    nothing = replace(lesion, mask=lesion.mask & False)
    assert _count(_pixels(three_slices(nothing, dpi=50)), PREDICTION_COLOUR) < 0.3 * found


def test_segmentation_has_the_size_of_the_lesion_in_mm(ijk_to_ras):
    """An anisotropic volume must not stretch the picture: a ball is round in all three slices."""
    array = np.full((60, 60, 60), 100, np.uint8)
    volume = Volume(array, ijk_to_ras)
    k, j, i = np.indices(array.shape).reshape(3, -1)
    middle = transform_points(ijk_to_ras, [30.0, 30.0, 30.0])
    away = transform_points(ijk_to_ras, np.stack([i, j, k], axis=1)) - middle
    ball = (np.linalg.norm(away, axis=1) <= 12).reshape(array.shape)
    for plane in PLANES:
        shown = sample(ball, plane_pixels(plane, volume, middle, (40.0, 40.0), (200, 200))) >= 0.5
        rows, columns = np.nonzero(shown)
        np.testing.assert_allclose((np.ptp(rows) / 5, np.ptp(columns) / 5), 24, atol=2.2)


def test_surface_of_a_mask_lies_around_it_in_ras(any_lesion):
    points = vtk_to_numpy(surface_of_mask(any_lesion.truth, any_lesion.volume.ijk_to_ras).GetPoints().GetData())
    np.testing.assert_allclose(
        points.mean(axis=0), transform_points(any_lesion.volume.ijk_to_ras, [14.5, 11.5, 11.0]), atol=0.2
    )


@pytest.fixture
def small_picture(monkeypatch):
    monkeypatch.setattr(rendering, "SIZE_PIXELS", (240, 192))
    monkeypatch.setattr(actors, "WALL_PIXELS", 96)
    try:
        check_rendering()
    except RenderingError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("small_picture")
def test_lesion_in_space_shows_prediction_and_truth(any_lesion):
    matrix = any_lesion.volume.ijk_to_ras
    prediction, truth = surface_of_mask(any_lesion.mask, matrix), surface_of_mask(any_lesion.truth, matrix)
    nothing, alone = lesion_in_space(any_lesion, vtk.vtkPolyData()), lesion_in_space(any_lesion, prediction)
    both = lesion_in_space(any_lesion, prediction, truth)
    assert _pixels(both).shape == (192, 240, 3)
    assert _hue_count(_pixels(alone), warm=True) > _hue_count(_pixels(nothing), warm=True) + 400
    assert _hue_count(_pixels(both), warm=False) > _hue_count(_pixels(alone), warm=False) + 100


@pytest.mark.usefixtures("small_picture")
def test_nothing_found_and_no_truth_show_the_room_without_surfaces(lesion):
    nothing = replace(lesion, mask=lesion.mask & False, truth=None)
    pixels = _pixels(lesion_in_space(nothing, vtk.vtkPolyData()))
    assert pixels.std() > 10
    assert _hue_count(pixels, warm=False) < 200


def test_machine_without_opengl_gets_a_reason_and_does_not_crash(lesion, monkeypatch):
    """Without EGL, VTK ends its process; here the probe in a child process meets that end."""
    check_rendering.cache_clear()
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setattr(rendering, "PROBE", ["-c", "import os; os.abort()"])
    with pytest.raises(RenderingError, match="OpenGL does not work without a display; install EGL"):
        lesion_in_space(lesion, vtk.vtkPolyData())
    check_rendering.cache_clear()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="EGL is Linux's")
def test_missing_graphics_driver_is_noticed(monkeypatch):
    check_rendering.cache_clear()
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setenv("__EGL_VENDOR_LIBRARY_DIRS", "/nonexistent")
    with pytest.raises(RenderingError, match="install EGL"):
        check_rendering()
    check_rendering.cache_clear()
