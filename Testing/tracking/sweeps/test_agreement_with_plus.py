"""Real sweeps of PlusLibData against the volumes that PLUS itself made of them.

Both were made with linear interpolation and MEAN compounding (PlusLibData's SpinePhantomFreehandReconstructionOnly
with STICK hole filling up to 9 voxels, and NwirePhantomFreehand_vtkVolumeReconstructorTest2 without). PLUS keeps a
running mean that is rounded to 8 bits at each pixel, and so stays above the true mean: a run of that rule over the
same weights gives 99.9 % of the Nwire volume exactly, all else within 1. We round once, so grey values differ while
the places agree. PLUS's file counts in Reference; SimpleITK's LPS must not be turned into RAS.
"""

import numpy as np
import pytest
import SimpleITK as sitk
from CRLMSegmentationLib.tracking.sweeps.calibration import ClipRectangle, ProbeCalibration, read_calibration
from CRLMSegmentationLib.tracking.sweeps.reconstruction import (
    Grid,
    Interpolation,
    grid_of,
    place_frames,
    reconstruct_sweep,
)
from CRLMSegmentationLib.tracking.sweeps.sequence_io import is_sequence, read_sequence, write_sequence
from helpers.paths import SHARED_DATA

DATA = SHARED_DATA
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"PLUS's recordings are not at {DATA}")

SPINE = (
    "-0.00157821 0.0785919 -0.00803285 15.3978 -0.0839128 0.00372697 0.0153803 49.5705 "
    "0.0159024 0.00714276 0.0803604 -8.63446 0 0 0 1"
)
NWIRE = "-0.0094 -0.0739 -0.0028 -103.5322 0.0774 -0.0076 -0.0049 -43.1227 0.0046 -0.0032 0.0760 -93.3"
NWIRE_CLIP = ClipRectangle((167, 62), (495, 488))


def reconstructed(name):
    """PLUS's volume (K, J, I), and its grid in Reference."""
    image = sitk.ReadImage(str(DATA / f"{name}Reconstructed.mha"))
    matrix = np.diag([*image.GetSpacing(), 1.0])
    matrix[:3, 3] = image.GetOrigin()
    array = sitk.GetArrayFromImage(image)
    return array, Grid(array.shape, matrix)


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def correlation(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


@pytest.fixture(scope="module")
def spine():
    return read_sequence(DATA / "SpinePhantomFreehand.igs.mha")


@pytest.fixture(scope="module")
def nwire():
    return read_sequence(DATA / "NwirePhantomFreehand.igs.mha")


def test_real_sequence_is_told_from_a_real_volume():
    assert is_sequence(DATA / "SpinePhantomFreehand.igs.mha")
    assert not is_sequence(DATA / "SpinePhantomFreehandReconstructed.mha")


def test_real_sequence_survives_our_files(tmp_path, spine):
    for suffix in (".igs.mha", ".igs.nrrd"):
        write_sequence(spine, tmp_path / f"a{suffix}", compress=False)
        read = read_sequence(tmp_path / f"a{suffix}")
        assert (read.frames == spine.frames).all()
        for name, track in spine.transforms.items():
            assert (read.transforms[name].matrices == track.matrices).all()


def test_region_is_that_of_plus(spine):
    calibration = read_calibration(SPINE)
    _, theirs = reconstructed("SpinePhantomFreehand")
    ours = grid_of(place_frames(spine, calibration), calibration.region(616, 820), 0.5)
    low = theirs.ijk_to_reference[:3, 3] - ours.ijk_to_reference[:3, 3]
    assert ((low >= 0) & (low < 0.5)).all()  # ours begins at a multiple of the spacing, as newer versions of PLUS
    assert np.abs(np.subtract(ours.shape_kji, theirs.shape_kji)).max() <= 2


@pytest.mark.parametrize(("interpolation", "agreement"), [(Interpolation.LINEAR, 0.99), (Interpolation.NEAREST, 0.975)])
def test_spine_agrees_with_plus_in_filled_voxels_and_intensities(spine, interpolation, agreement):
    theirs, grid = reconstructed("SpinePhantomFreehand")
    volume = reconstruct_sweep(spine, read_calibration(SPINE), grid=grid, interpolation=interpolation, fill_holes=True)
    assert dice(volume.array > 0, theirs > 0) >= 0.95
    assert correlation(volume.array, theirs) >= agreement
    assert volume.timestamp_s == pytest.approx(216.947186)


def test_nwire_agrees_with_plus_though_its_stylus_is_invalid_throughout(nwire):
    calibration = ProbeCalibration(read_calibration(NWIRE).image_to_probe, clip=NWIRE_CLIP)
    assert set(nwire.transforms["StylusToTracker"].statuses) == {"INVALID"}
    poses = place_frames(nwire, calibration)
    assert poses.accepted.all()
    theirs, grid = reconstructed("NwirePhantomFreehand")
    volume = reconstruct_sweep(nwire, calibration, grid=grid, interpolation=Interpolation.LINEAR, poses=poses)
    assert correlation(volume.array, theirs) >= 0.98
    assert volume.insonified[theirs > 0].mean() > 0.99
    assert dice(volume.array >= 20, theirs >= 20) > 0.9
