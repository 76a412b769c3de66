"""What was not imaged is recognised by the constant that fills it, whichever that is."""

import numpy as np
import pytest
from CRLMSegmentationLib.core.background import ZERO
from CRLMSegmentationLib.core.background_search import find_background
from CRLMSegmentationLib.core.crop import check_seed, extract_crop
from CRLMSegmentationLib.core.errors import SeedError, VolumeError
from CRLMSegmentationLib.core.field_of_view import NOT_RECOGNISED, infer_field_of_view
from CRLMSegmentationLib.core.frames import FrameReader
from CRLMSegmentationLib.core.volume import Volume, read_volume, write_volume
from CRLMSegmentationLib.core.volume_reading import check_intensities
from CRLMSegmentationLib.igtl.messages import ImageMessage, volume_of
from CRLMSegmentationLib.segmentation.engine.engine import LesionJob
from CRLMSegmentationLib.segmentation.engine.wire import decode_job, encode_job
from CRLMSegmentationLib.segmentation.results import Options, Request

SHAPE = (36, 42, 48)
OUTSIDE_RAS_MM = [44.0, 20.0, 18.0]
INSIDE_RAS_MM = [15.0, 20.0, 18.0]
FILLS = [
    (np.int16, -1024),
    (np.int16, -32768),
    (np.int16, 32767),
    (np.uint8, 255),
    (np.uint16, 65535),
    (np.int32, -(2**31)),
    (np.float32, -1.0),
    (np.float32, 1e30),
    (np.float32, np.finfo(np.float32).min),
    (np.float64, np.finfo(np.float64).max),
    (np.float32, np.nan),
    (np.float32, -np.inf),
]


def tissue():
    """Speckle from 20 to 199 in the left two thirds, with a black vessel; and where that is."""
    array = np.random.default_rng(3).integers(20, 200, SHAPE).astype(np.float64)
    array[15:21, 18:24, 10:16] = 0
    imaged = np.zeros(SHAPE, bool)
    imaged[:, :, :30] = True
    imaged[:10, :12, :] = False
    return array, imaged


def filled_with(fill, dtype):
    array, imaged = tissue()
    return np.where(imaged, array.astype(dtype), np.dtype(dtype).type(fill))


@pytest.mark.parametrize(("dtype", "fill"), FILLS)
def test_any_constant_outside_gives_the_field_of_view_and_crop_that_zero_gives(dtype, fill):
    zero, volume = (Volume(filled_with(value, dtype), np.eye(4)) for value in (0, fill))
    np.testing.assert_array_equal(volume.insonified_in(), zero.insonified_in())
    crops = [extract_crop(v, INSIDE_RAS_MM, 40, 2).array for v in (zero, volume)]
    np.testing.assert_array_equal(crops[1], crops[0])
    with pytest.raises(SeedError, match="has not been"):
        check_seed(volume, OUTSIDE_RAS_MM)
    assert NOT_RECOGNISED not in volume.field_of_view_warnings
    assert volume.field_of_view_warnings


@pytest.mark.parametrize("fill", [np.nan, -1024])
def test_worker_sees_the_same_crop(fill):
    volume = Volume(filled_with(fill, np.float32), np.eye(4))
    reader, frame = FrameReader(), None
    request = Request("Tumour 1", tuple(INSIDE_RAS_MM), volume.identity, Options(40.0))
    data = b"".join(bytes(part) for part in encode_job(1, LesionJob(request, volume)))
    while data:
        view = reader.wanted()
        count = min(len(view), len(data))
        view[:count], data = data[:count], data[count:]
        frame = reader.filled(count)
    there = decode_job(frame).volume
    expected, got = (extract_crop(v, INSIDE_RAS_MM, 40, 2).array for v in (volume, there))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".nii", ".nii.gz"])
def test_voxels_without_a_number_are_not_imaged_in_any_format(tmp_path, suffix):
    volume = Volume(filled_with(np.nan, np.float32), np.diag([0.5, 1, 2, 1]))
    write_volume(volume, tmp_path / f"v{suffix}")
    read = read_volume(tmp_path / f"v{suffix}")
    np.testing.assert_array_equal(read.missing, ~tissue()[1])
    assert read.identity.content_sha256 == volume.identity.content_sha256
    assert np.isfinite(read.array).all()


def test_voxels_without_a_number_over_a_link_are_not_imaged():
    volume = volume_of(ImageMessage("recvol", 1.0, filled_with(np.nan, np.float32), np.eye(4)))
    with pytest.raises(SeedError):
        check_seed(volume, OUTSIDE_RAS_MM)


def test_infinity_within_tissue_is_an_overflow():
    array = filled_with(0, np.float32)
    array[18, 30, 10] = np.inf
    with pytest.raises(VolumeError, match="infinite"):
        Volume(array, np.eye(4))


def test_volume_without_anything_outside_is_imaged_everywhere_and_says_so():
    array = np.random.default_rng(1).integers(20, 200, SHAPE).astype(np.uint8)
    array[12:24, 12:24, 12:24] = 3
    volume = Volume(array, np.eye(4))
    assert volume.background == ZERO
    assert volume.insonified_in().all()
    assert volume.field_of_view_warnings == (NOT_RECOGNISED,)


def test_noise_of_compression_around_zero_is_not_tissue():
    array, imaged = tissue()
    noisy = np.where(imaged, array, np.random.default_rng(4).integers(0, 3, SHAPE)).astype(np.uint8)
    insonified = Volume(noisy, np.eye(4)).insonified_in()
    assert not insonified[~imaged].any()
    assert insonified[imaged].mean() > 0.98


def test_two_constants_outside_are_both_recognised():
    array = filled_with(-1024, np.int16)
    array[:, :, 44:] = 3000
    volume = Volume(array, np.eye(4))
    assert set(volume.background.values) == {-1024, 3000}
    assert not volume.insonified_in()[:, :, 31:].any()


def test_saturated_reflector_within_tissue_stays_though_the_outside_is_as_bright():
    array, imaged = tissue()
    array = np.where(imaged, array, 255).astype(np.uint8)
    array[15:24, 30:39, 5:14] = 255
    assert infer_field_of_view(array)[17:22, 32:37, 7:12].all()


def test_mask_that_calls_the_filled_outside_imaged_is_not_believed():
    volume = Volume(filled_with(-1024, np.int16), np.eye(4), insonified=np.ones(SHAPE, bool))
    zero = Volume(filled_with(0, np.uint8), np.eye(4), insonified=np.ones(SHAPE, bool))
    for one in (volume, zero):
        with pytest.raises(SeedError):
            check_seed(one, OUTSIDE_RAS_MM)
        assert any("disagrees" in remark for remark in one.field_of_view_warnings)


def test_volume_of_one_value_is_refused():
    with pytest.raises(VolumeError, match="have the value 7, so there is nothing to see"):
        check_intensities(Volume(np.full(SHAPE, 7, np.uint8), np.eye(4)))


def test_zero_outside_needs_no_other_constant():
    assert find_background(filled_with(0, np.uint8)) == ZERO
