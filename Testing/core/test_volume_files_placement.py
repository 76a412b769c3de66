"""Where a volume file puts its voxels: honoured with a reason, or refused."""

import struct

import numpy as np
import pytest
import SimpleITK as sitk
from CRLMSegmentationLib.core.errors import CrlmError, GeometryError, VolumeError
from CRLMSegmentationLib.core.volume import read_volume
from CRLMSegmentationLib.core.volume_files import read_header
from helpers.volume_file_helpers import change, mha, nifti, nrrd, nrrd_lines, oblique_image, write

COUNTED = bytes(range(24))


def spacing_of(path):
    return read_volume(path).spacing_mm.round(6).tolist()


@pytest.mark.parametrize(
    ("units", "factor"),
    [
        ('"mm" "mm" "mm"', 1),
        ('"cm" "cm" "cm"', 10),
        ('"m" "m" "m"', 1000),
        ('"um" "um" "um"', 1e-3),
        ('"\u00b5m" "\u00b5m" "\u00b5m"', 1e-3),
        ('"microns" "microns" "microns"', 1e-3),
        ('"" "" ""', 1),
        ("mm mm mm", 1),
    ],
)
def test_units_of_nrrd_are_honoured(tmp_path, units, factor):
    n = 1 / factor
    lines = nrrd_lines(
        space_directions=f"({n},0,0) (0,{n},0) (0,0,{2 * n})", space_units=units, space_origin=f"({3 * n},0,0)"
    )
    read = read_volume(nrrd(tmp_path, lines, COUNTED))
    np.testing.assert_allclose(read.spacing_mm, [1, 1, 2])
    np.testing.assert_allclose(read.ijk_to_ras[:3, 3], [-3, 0, 0])


@pytest.mark.parametrize("units", ['"pixel" "pixel" "pixel"', '"inch" "inch" "inch"', '"mm" "mm"', '"s" "s" "s"'])
def test_unknown_units_of_nrrd_are_refused(tmp_path, units):
    with pytest.raises(GeometryError, match="expected mm, cm, m or um"):
        read_volume(nrrd(tmp_path, nrrd_lines(space_units=units), COUNTED))


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("left-posterior-superior", (-1, -1, 1)),
        ("LPS", (-1, -1, 1)),
        ("right-anterior-superior", (1, 1, 1)),
        ("RAS", (1, 1, 1)),
        ("left-anterior-superior", (-1, 1, 1)),
        ("LAS", (-1, 1, 1)),
    ],
)
def test_named_frames_of_nrrd_are_turned_into_ras(tmp_path, space, signs):
    read = read_volume(nrrd(tmp_path, nrrd_lines(space=space, space_origin="(1,2,3)"), COUNTED))
    assert read.ijk_to_ras[:3, 3].tolist() == [signs[0], 2 * signs[1], 3 * signs[2]]
    assert np.diag(read.ijk_to_ras)[:3].tolist() == list(signs)


@pytest.mark.parametrize(
    "changed",
    [
        {"space": "scanner-xyz"},
        {"space": "3D-right-handed"},
        {"space": None},
        {"space": None, "space_dimension": "3"},
        {"space_origin": None},
        {"space_directions": None},
        {"space": None, "space_directions": None, "space_origin": None, "spacings": "1 1 1"},
        {"space": None, "space_directions": None, "space_origin": None},
    ],
)
def test_nrrd_that_does_not_say_where_it_lies_is_refused(tmp_path, changed):
    with pytest.raises(GeometryError, match="does not say"):
        read_volume(nrrd(tmp_path, nrrd_lines(**changed), COUNTED))


@pytest.mark.parametrize(
    "directions",
    [
        "(1,0,0) (1,0,0) (0,0,1)",
        "(1,0,0) (0.3,1,0) (0,0,1)",
        "(0,0,0) (0,1,0) (0,0,1)",
        "(nan,0,0) (0,1,0) (0,0,1)",
        "(inf,0,0) (0,1,0) (0,0,1)",
        "(1e-9,0,0) (0,1,0) (0,0,1)",
        "(1,0) (0,1) (0,0)",
        "(1,0,0) (0,1,0)",
        "(1,0,0) (0,1,0) (0,0,x)",
        "(1,0,0) (0,1,0) none",
    ],
)
def test_directions_of_nrrd_that_place_no_volume_are_refused(tmp_path, directions):
    with pytest.raises(CrlmError):
        read_volume(nrrd(tmp_path, nrrd_lines(space_directions=directions), COUNTED))


@pytest.mark.parametrize("spacing", ["-1 1 1", "0 1 1", "nan 1 1", "1 inf 1", "1 1", "1 1 x", "1e9 1 1"])
def test_spacing_of_meta_image_that_no_volume_has_is_refused(tmp_path, spacing):
    with pytest.raises(CrlmError):
        read_volume(mha(tmp_path, COUNTED, ElementSpacing=spacing))


@pytest.mark.parametrize(
    "matrix",
    [
        "1 0 0 1 0 0 0 0 1",
        "0 0 0 0 0 0 0 0 0",
        "1 0 0 0.5 1 0 0 0 1",
        "nan 0 0 0 1 0 0 0 1",
        "2 0 0 0 1 0 0 0 1",
        "1 0 0 0 1 0",
    ],
)
def test_directions_of_meta_image_that_place_no_volume_are_refused(tmp_path, matrix):
    with pytest.raises(CrlmError):
        read_volume(mha(tmp_path, COUNTED, TransformMatrix=matrix))


def test_older_names_and_defaults_of_meta_image_are_those_of_the_format(tmp_path):
    path = mha(
        tmp_path,
        COUNTED,
        TransformMatrix=None,
        Rotation="0 1 0 -1 0 0 0 0 1",
        Offset=None,
        Position="1 2 3",
        ElementSpacing=None,
        ElementSize="1 2 4",
        AnatomicalOrientation=None,
    )
    meant = sitk.ReadImage(str(mha(tmp_path, COUNTED, "same.mha", TransformMatrix="0 1 0 -1 0 0 0 0 1")))
    read = read_volume(path)
    assert read.ijk_to_ras[:3, 3].tolist() == [-1, -2, 3]
    assert read.spacing_mm.tolist() == [1, 2, 4]
    lps = np.diag([-1, -1, 1]) @ read.ijk_to_ras[:3, :3] / read.spacing_mm
    np.testing.assert_allclose(lps.ravel(), meant.GetDirection())


def test_meta_image_without_any_size_of_its_voxels_is_refused(tmp_path):
    with pytest.raises(GeometryError, match="how large its voxels are"):
        read_volume(mha(tmp_path, COUNTED, ElementSpacing=None))


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1), ("cm", 10), ("um", 1e-3), ("?", 1)])
def test_units_of_meta_image_are_honoured(tmp_path, unit, factor):
    n = 1 / factor
    assert spacing_of(mha(tmp_path, COUNTED, DistanceUnits=unit, ElementSpacing=f"{n} {n} {n}")) == [1, 1, 1]


@pytest.mark.parametrize("letters", ["RAI", "LPS", "???", "RPI"])
def test_letters_of_meta_image_that_contradict_its_directions_are_refused(tmp_path, letters):
    path = mha(tmp_path, COUNTED, AnatomicalOrientation=letters)
    if letters == "RPI":
        with pytest.raises(GeometryError, match="contradicts itself: AnatomicalOrientation is RPI"):
            read_volume(path)
    else:
        assert np.diag(read_volume(path).ijk_to_ras).tolist() == [-1, -1, 1, 1]


def test_letters_that_itk_writes_for_turned_volumes_are_no_contradiction(tmp_path):
    image = oblique_image(np.zeros((3, 4, 5), np.uint8))
    for order in ((0, 1, 2), (2, 0, 1), (1, 0, 2)):
        for flips in ((False, False, True), (True, False, False)):
            turned = sitk.Flip(sitk.PermuteAxes(image, order), flips)
            sitk.WriteImage(turned, str(tmp_path / "v.mha"))
            read_volume(tmp_path / "v.mha")


def test_center_of_rotation_that_programs_read_differently_is_refused(tmp_path):
    turned = {"TransformMatrix": "0 1 0 -1 0 0 0 0 1", "AnatomicalOrientation": None}
    with pytest.raises(GeometryError, match="CenterOfRotation"):
        read_volume(mha(tmp_path, COUNTED, CenterOfRotation="5 0 0", **turned))
    read_volume(mha(tmp_path, COUNTED, CenterOfRotation="0 0 0", **turned))


@pytest.mark.parametrize(("units", "factor"), [(1, 1000), (2, 1), (3, 1e-3), (0, 1), (10, 1)])
def test_units_of_nifti_are_honoured(tmp_path, units, factor):
    n = 1 / factor
    rows = ((n, 0, 0, 5 * n), (0, n, 0, 0), (0, 0, n, 0))
    for codes in ((0, 1), (1, 0)):
        read = read_volume(nifti(tmp_path, rows=rows, pixdim=(1, n, n, n), units=units, codes=codes))
        np.testing.assert_allclose(read.spacing_mm, [1, 1, 1], rtol=1e-6)


def test_nifti_without_a_placement_is_refused(tmp_path):
    with pytest.raises(GeometryError, match="qform_code and sform_code are 0"):
        read_volume(nifti(tmp_path, codes=(0, 0)))


def test_nifti_whose_two_placements_disagree_is_refused(tmp_path):
    shifted = ((1, 0, 0, 30), (0, 1, 0, 0), (0, 0, 1, 0))
    with pytest.raises(GeometryError, match=r"qform and its sform place it 30.0 mm apart"):
        read_volume(nifti(tmp_path, rows=shifted, codes=(1, 1)))
    assert read_volume(nifti(tmp_path, rows=shifted, codes=(0, 1))).ijk_to_ras[0, 3] == 30
    assert read_volume(nifti(tmp_path, rows=shifted, codes=(1, 0))).ijk_to_ras[0, 3] == 0


@pytest.mark.parametrize("degrees", [0.03, 0.1, 0.3, 1.0, 30.0])
@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (1, 2, 3)])
def test_large_nifti_of_itk_is_taken_however_little_it_is_tilted(tmp_path, degrees, axis):
    image = sitk.Image(4, 4, 4, sitk.sitkUInt8)
    image.SetSpacing((0.5, 0.5, 0.5))
    turn = sitk.VersorTransform([float(n) for n in axis], float(np.radians(degrees)))
    image.SetDirection(turn.GetMatrix())
    path = tmp_path / "v.nii"
    sitk.WriteImage(image, str(path))
    content = bytearray(path.read_bytes())
    struct.pack_into("<3h", content, 42, 900, 700, 600)  # only the header is read
    path.write_bytes(content)
    rotation = np.reshape(turn.GetMatrix(), (3, 3)) * [[-1], [-1], [1]]
    np.testing.assert_allclose(read_header(path).ijk_to_ras[:3, :3], rotation * 0.5, atol=1e-6)


def test_nifti_whose_two_placements_are_turned_by_half_a_degree_is_refused(tmp_path):
    path = nifti(tmp_path, dim=(3, 200, 200, 200), quaternion=(0, np.sin(np.radians(0.25)), 0), codes=(1, 1))
    with pytest.raises(GeometryError, match=r"place it 2\.5 mm apart"):
        read_header(path)


def test_nifti_whose_spacing_contradicts_its_sform_is_refused(tmp_path):
    with pytest.raises(GeometryError, match="pixdim says"):
        read_volume(nifti(tmp_path, pixdim=(1, 2, 1, 1)))


@pytest.mark.parametrize("pixdim", [(1, -1, 1, 1), (1, 0, 1, 1), (1, float("nan"), 1, 1), (5, 1, 1, 1)])
def test_nifti_with_spacing_that_no_volume_has_is_refused(tmp_path, pixdim):
    with pytest.raises(GeometryError):
        read_volume(nifti(tmp_path, pixdim=pixdim, codes=(1, 0)))


def test_mirrored_qform_is_left_handed(tmp_path):
    read = read_volume(nifti(tmp_path, pixdim=(-1, 1, 1, 1), codes=(1, 0)))
    assert np.diag(read.ijk_to_ras).tolist() == [1, 1, -1, 1]


@pytest.mark.parametrize("quaternion", [(1, 1, 0), (float("nan"), 0, 0)])
def test_qform_that_is_no_rotation_is_refused(tmp_path, quaternion):
    with pytest.raises(GeometryError, match="no rotation"):
        read_volume(nifti(tmp_path, quaternion=quaternion, codes=(1, 0)))


@pytest.mark.parametrize(
    ("scaling", "meant"),
    [
        ((float("nan"), float("nan")), 1.0),
        ((1.0, 0.0), 1.0),
        ((2.0, 0.5), 2.5),
        ((1.0, -3.0), -2.0),
    ],
)
def test_scaling_of_nifti_is_applied_as_itk_does(tmp_path, scaling, meant):
    path = nifti(tmp_path, scaling=scaling)
    read = read_volume(path)
    assert read.array.ravel()[1] == meant
    np.testing.assert_array_equal(read.array, sitk.GetArrayFromImage(sitk.ReadImage(str(path))))


def test_slope_of_zero_means_the_stored_values_as_the_standard_says(tmp_path):
    assert read_volume(nifti(tmp_path, scaling=(0.0, 5.0))).array.ravel()[1] == 1


@pytest.mark.parametrize("scaling", [(1.0, float("nan")), (2.0, float("inf")), (3e38, 0.0)])
def test_scaling_of_nifti_that_gives_no_numbers_is_refused(tmp_path, scaling):
    with pytest.raises(VolumeError, match="scaled by"):
        read_volume(nifti(tmp_path, scaling=scaling))


def test_nifti_with_voxels_in_another_file_is_refused(tmp_path):
    with pytest.raises(VolumeError, match="another file"):
        read_volume(change(nifti(tmp_path), b"n+1\0", b"ni1\0"))


@pytest.mark.parametrize("offset", [100, 351, 353.5, float("nan"), 1e9])
def test_nifti_whose_voxels_begin_nowhere_is_refused(tmp_path, offset):
    with pytest.raises(VolumeError, match="shall begin at byte"):
        read_volume(nifti(tmp_path, offset=offset))


def test_function_from_stored_values_to_intensities_is_refused(tmp_path):
    with pytest.raises(VolumeError, match="intensities"):
        read_volume(mha(tmp_path, COUNTED, ElementToIntensityFunctionSlope="2"))


def test_spacings_beside_directions_are_refused(tmp_path):
    with pytest.raises(GeometryError, match="spacings as well as space directions"):
        read_volume(nrrd(tmp_path, nrrd_lines(spacings="2 2 2"), COUNTED))


def test_left_handed_oblique_volume_lies_where_it_was_written(tmp_path):
    meant = oblique_image(np.zeros((4, 5, 6), np.uint8))
    for name in ("raw.nrrd", "raw.mha", "raw.nii"):
        read = read_volume(write(tmp_path, name))
        corner = np.array([*meant.TransformIndexToPhysicalPoint((5, 4, 3)), 1]) * [-1, -1, 1, 1]
        np.testing.assert_allclose(read.ijk_to_ras @ [5, 4, 3, 1], corner, atol=1e-4)
