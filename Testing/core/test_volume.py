import numpy as np
import pytest
import SimpleITK as sitk
from CRLMSegmentationLib.core.box import Box
from CRLMSegmentationLib.core.errors import GeometryError, VolumeError
from CRLMSegmentationLib.core.field_of_view import infer_field_of_view
from CRLMSegmentationLib.core.volume import Volume, read_volume, write_volume


def oblique(spacing=(0.5, 1.0, 2.0), left_handed=False):
    angle = np.radians(30)
    axes = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    if left_handed:
        axes[:, 2] *= -1
    matrix = np.eye(4)
    matrix[:3, :3] = axes * spacing
    matrix[:3, 3] = [10, -20, 30]
    return matrix


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".nii.gz"])
def test_oblique_anisotropic_volume_survives_a_file(tmp_path, suffix):
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    write_volume(Volume(array, oblique()), tmp_path / f"v{suffix}")
    read = read_volume(tmp_path / f"v{suffix}")
    assert (read.array == array).all()
    np.testing.assert_allclose(read.ijk_to_ras, oblique(), atol=1e-5)


def test_left_handed_nrrd_keeps_its_handedness(tmp_path):
    write_volume(Volume(np.zeros((2, 3, 4), np.uint8), oblique(left_handed=True)), tmp_path / "v.nrrd")
    read = read_volume(tmp_path / "v.nrrd").ijk_to_ras
    np.testing.assert_allclose(read, oblique(left_handed=True), atol=1e-6)
    assert np.linalg.det(read[:3, :3]) < 0


def test_files_are_read_into_ras_though_itk_counts_in_lps(tmp_path):
    image = sitk.GetImageFromArray(np.zeros((2, 2, 2), np.uint8))
    image.SetOrigin((1, 2, 3))
    sitk.WriteImage(image, str(tmp_path / "v.nrrd"))
    assert read_volume(tmp_path / "v.nrrd").ijk_to_ras[:3, 3].tolist() == [-1, -2, 3]


def test_point_half_a_voxel_beyond_the_last_centre_is_inside_and_farther_is_not():
    volume = Volume(np.zeros((3, 3, 3), np.uint8), np.eye(4))
    assert volume.contains([2.5, 0, 0])
    assert not volume.contains([2.6, 0, 0])


def test_identity_changes_with_content_geometry_time_and_device():
    array, moved = np.zeros((2, 2, 2), np.uint8), np.eye(4)
    moved[0, 3] = 1
    base = Volume(array, np.eye(4), "a", 1.0).identity
    others = [
        Volume(array + 1, np.eye(4), "a", 1.0),
        Volume(array, moved, "a", 1.0),
        Volume(array, np.eye(4), "a", 2.0),
        Volume(array, np.eye(4), "b", 1.0),
        Volume(array.astype(np.int8), np.eye(4), "a", 1.0),
    ]
    assert all(other.identity != base for other in others)
    assert Volume(array.copy(), np.eye(4), "a", 1.0).identity == base


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 4), np.uint8), "2 dimensions"),
        (np.zeros((1, 4, 4), np.uint8), "single slice"),
        (np.zeros((4, 4, 4, 3), np.uint8), "3 components"),
        (np.zeros((0, 4, 4), np.uint8), "empty"),
        (np.full((4, 4, 4), np.nan, np.float32), "NaN"),
        (np.full((4, 4, 4), 1e300), "reach 1.0e.300, beyond the range of single precision"),
        (np.zeros((4, 4, 4), complex), "real numbers"),
    ],
)
def test_what_is_no_volume_is_refused_with_its_reason(array, words):
    with pytest.raises(VolumeError, match=words):
        Volume(array, np.eye(4))


def singular():
    matrix = np.eye(4)
    matrix[:3, 1] = matrix[:3, 0]
    return matrix


def sheared():
    matrix = np.eye(4)
    matrix[0, 1] = 0.2
    return matrix


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (singular(), "right angles"),
        (sheared(), "right angles"),
        (np.full((4, 4), np.nan), "NaN"),
        (np.eye(3), "4x4"),
        (np.diag([1e-6, 1, 1, 1]), "spacing"),
        (np.diag([1000.0, 1, 1, 1]), "spacing"),
        (np.diag([0.0, 1, 1, 1]), "spacing"),
    ],
)
def test_impossible_geometry_is_refused_with_its_reason(matrix, words):
    with pytest.raises(GeometryError, match=words):
        Volume(np.zeros((4, 4, 4), np.uint8), matrix)


def test_absurd_extent_is_refused():
    with pytest.raises(GeometryError, match="m long"):
        Volume(np.zeros((2, 2, 500), np.uint8), np.diag([40.0, 1, 1, 1]))


def test_unreadable_files_say_what_is_wrong(tmp_path):
    with pytest.raises(VolumeError, match="no such file"):
        read_volume(tmp_path / "absent.nrrd")
    (tmp_path / "text.txt").write_text("hello")
    with pytest.raises(VolumeError, match="not a volume file"):
        read_volume(tmp_path / "text.txt")
    (tmp_path / "broken.nrrd").write_text("not nrrd")
    with pytest.raises(VolumeError, match="cannot be read"):
        read_volume(tmp_path / "broken.nrrd")


def test_colour_file_is_refused(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((3, 3, 3, 3), np.uint8), isVector=True), str(tmp_path / "rgb.nrrd"))
    with pytest.raises(VolumeError, match="components"):
        read_volume(tmp_path / "rgb.nrrd")


def test_flat_colour_picture_is_refused_for_its_dimensions(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((40, 41, 3), np.uint8), isVector=True), str(tmp_path / "rgb.nrrd"))
    with pytest.raises(VolumeError, match=r"2 dimensions of size \(41, 40\)"):
        read_volume(tmp_path / "rgb.nrrd")


def test_series_of_volumes_is_refused_for_its_dimensions(tmp_path):
    sitk.WriteImage(
        sitk.GetImageFromArray(np.zeros((5, 4, 3, 40), np.uint8), isVector=False), str(tmp_path / "4d.nrrd")
    )
    with pytest.raises(VolumeError, match=r"4 dimensions of size \(40, 3, 4, 5\); export one volume of one moment"):
        read_volume(tmp_path / "4d.nrrd")


def test_black_lumen_is_tissue_but_the_unswept_border_is_empty():
    array = np.full((20, 20, 20), 100, np.uint8)
    array[:, :, :5] = 0
    array[8:13, 8:13, 8:13] = 0
    insonified = infer_field_of_view(array)
    assert not insonified[10, 10, 1]
    assert insonified[10, 10, 10]
    assert insonified[10, 10, 17]


def test_gap_between_two_frames_is_empty_though_it_lies_inside():
    array = np.full((20, 20, 20), 100, np.uint8)
    array[10, 3:17, 3:17] = 0
    assert not infer_field_of_view(array)[10, 5:15, 5:15].any()


def test_volume_without_zeros_is_swept_everywhere():
    assert infer_field_of_view(np.ones((5, 5, 5), np.int16)).all()


def test_asking_for_a_part_gives_the_part_of_the_whole():
    rng = np.random.default_rng(5)
    array = rng.integers(1, 200, (60, 50, 40), dtype=np.uint8)
    array[:, :, 25:] = 0
    array[:20, :15, :] = 0
    array[30, 5:40, 5:20] = 0
    array[40:46, 20:26, 8:14] = 0
    whole = infer_field_of_view(array)
    assert 0.2 < whole.mean() < 0.9
    for low, high in (((0, 0, 0), (20, 20, 20)), ((25, 10, 5), (50, 45, 39)), ((59, 49, 39), (60, 50, 40))):
        box = Box(low, high)
        assert (infer_field_of_view(array, box) == whole[box.slices]).all()
