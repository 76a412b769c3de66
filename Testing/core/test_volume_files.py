"""Volume files of every format are read as they are meant, or refused with the reason."""

import bz2
import gzip
import os
import zlib

import numpy as np
import pytest
import SimpleITK as sitk
from CRLMSegmentationLib.core.errors import CrlmError, GeometryError, VolumeError
from CRLMSegmentationLib.core.volume import from_sitk, read_volume
from CRLMSegmentationLib.core.volume_files import read_header
from helpers.volume_file_helpers import (
    FORMATS,
    change,
    data_file_of,
    grey_values,
    mha,
    nifti,
    nrrd,
    nrrd_lines,
    oblique_image,
    write,
)

COUNTED = bytes(range(24))
TYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", FORMATS)
def test_each_type_in_each_format_is_read_as_itk_reads_it(tmp_path, name, dtype):
    path = write(tmp_path, name, grey_values(dtype))
    read, meant = read_volume(path), from_sitk(sitk.ReadImage(str(path)))
    assert read.array.dtype == dtype
    assert read.array.dtype.isnative
    np.testing.assert_array_equal(read.array, meant.array)
    np.testing.assert_allclose(read.ijk_to_ras, meant.ijk_to_ras, atol=1e-5)


@pytest.mark.parametrize("name", FORMATS)
def test_file_cut_at_any_length_is_refused_as_cut_off(tmp_path, name):
    path = write(tmp_path, name)
    cut = data_file_of(path)
    whole = cut.read_bytes()
    lengths = {*range(0, len(whole), max(1, len(whole) // 60)), *range(len(whole) - 12, len(whole))}
    for length in sorted(lengths):
        cut.write_bytes(whole[:length])
        with pytest.raises(CrlmError, match=r"cut off|cannot be read"):
            read_volume(path)
    cut.write_bytes(whole)
    read_volume(path)


@pytest.mark.parametrize("name", ["detached.nhdr", "detached-gzip.nhdr", "detached.mhd", "detached-zlib.mhd"])
def test_detached_header_cut_at_any_length_is_refused(tmp_path, name):
    path = write(tmp_path, name)
    whole = path.read_bytes()
    complete = len(whole.rstrip())
    for length in range(complete):
        path.write_bytes(whole[:length])
        with pytest.raises(CrlmError):
            read_volume(path)


@pytest.mark.parametrize("name", ["raw.nrrd", "raw.mha", "raw.nii", "detached.nhdr", "detached.mhd"])
def test_cut_file_says_how_many_bytes_are_missing(tmp_path, name):
    path = write(tmp_path, name)
    cut = data_file_of(path)
    cut.write_bytes(cut.read_bytes()[:-7])
    with pytest.raises(VolumeError, match="is cut off: expected 120 bytes, found 113; copy it again"):
        read_volume(path)


@pytest.mark.parametrize("name", ["gzip.nrrd", "zlib.mha", "gzip.nii.gz"])
def test_half_of_a_compressed_file_says_how_many_voxels_it_has(tmp_path, name):
    path = write(tmp_path, name, np.random.default_rng(1).integers(0, 255, (20, 20, 20), np.uint8))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VolumeError, match=r"cut off: expected 8000 bytes, found [1-9]\d{3}; copy it again"):
        read_volume(path)


@pytest.mark.parametrize("name", ["gzip.nrrd", "zlib.mha", "gzip.nii.gz", "detached-gzip.nhdr", "detached-zlib.mhd"])
def test_changed_byte_of_compressed_voxels_is_noticed(tmp_path, name):
    path = write(tmp_path, name)
    file = data_file_of(path)
    content = bytearray(file.read_bytes())
    content[-6] ^= 1
    file.write_bytes(content)
    with pytest.raises(VolumeError, match=r"damaged|cut off"):
        read_volume(path)


@pytest.mark.parametrize("name", ["raw.nrrd", "raw.mha", "raw.nii", "detached.nhdr", "detached.mhd"])
def test_more_voxels_than_declared_are_refused(tmp_path, name):
    path = write(tmp_path, name)
    file = data_file_of(path)
    file.write_bytes(file.read_bytes() + b"\1")
    with pytest.raises(VolumeError, match="declares 120 bytes of voxels, its data has 121"):
        read_volume(path)


def test_compressed_file_beside_one_with_the_same_stem_is_read_itself(tmp_path):
    """ITK reads v.nii when it is asked for v.nii.gz."""
    nifti(tmp_path, COUNTED, name="v.nii")
    nifti(tmp_path, COUNTED[::-1], name="v.nii.gz")
    assert read_volume(tmp_path / "v.nii.gz").array.ravel()[0] == 23


@pytest.mark.parametrize("name", ["V.NRRD", "v.Mha", "v.NII", "v.Nii.GZ"])
def test_suffix_counts_in_any_case(tmp_path, name):
    made = write(
        tmp_path, {"v.nrrd": "raw.nrrd", "v.mha": "raw.mha", "v.nii": "raw.nii"}.get(name.lower(), "gzip.nii.gz")
    )
    os.rename(made, tmp_path / name)
    np.testing.assert_array_equal(read_volume(tmp_path / name).array, grey_values())


@pytest.mark.parametrize(("suffix", "makes"), [("nrrd", nrrd), ("mha", mha), ("nii", nifti)])
def test_what_is_no_ordinary_file_is_refused_without_waiting(tmp_path, suffix, makes):
    os.mkfifo(tmp_path / f"pipe.{suffix}")
    (tmp_path / f"folder.{suffix}").mkdir()
    os.symlink(f"loop.{suffix}", tmp_path / f"loop.{suffix}")
    os.symlink("/dev/zero", tmp_path / f"device.{suffix}")
    for name in ("pipe", "folder", "loop", "device", "absent"):
        with pytest.raises(VolumeError, match=r"instead of a file|levels of symbolic links|no such file"):
            read_volume(tmp_path / f"{name}.{suffix}")


@pytest.mark.parametrize("kind", ["pipe", "folder", "loop", "absent", "device"])
def test_data_file_that_is_no_ordinary_file_is_refused_without_waiting(tmp_path, kind):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    os.symlink("loop", tmp_path / "loop")
    os.symlink("/dev/zero", tmp_path / "device")
    detached = [
        nrrd(tmp_path, [*nrrd_lines(), f"data file: {kind}"], b"", "v.nhdr"),
        mha(tmp_path, b"", "v.mhd", ElementDataFile=kind),
    ]
    for path in detached:
        with pytest.raises(VolumeError, match=r"missing|no file|followed|outside"):
            read_volume(path)


@pytest.mark.parametrize("named", ["../secret.txt", "/etc/hostname", "link.txt", "folder/../../secret.txt", ""])
@pytest.mark.parametrize("suffix", ["nrrd", "nhdr", "mha", "mhd"])
def test_data_file_outside_the_folder_is_refused(tmp_path, named, suffix):
    inside = tmp_path / "inside"
    (inside / "folder").mkdir(parents=True)
    (tmp_path / "secret.txt").write_bytes(COUNTED)
    os.symlink(tmp_path / "secret.txt", inside / "link.txt")
    if suffix.startswith("n"):
        path = nrrd(inside, [*nrrd_lines(), f"data file: {named}"], b"", f"v.{suffix}")
    else:
        path = mha(inside, b"", f"v.{suffix}", ElementDataFile=named)
    with pytest.raises(VolumeError, match=r"outside its folder|must name the file"):
        read_volume(path)


def test_data_may_lie_in_a_folder_below_the_header(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "v.raw").write_bytes(COUNTED)
    assert read_volume(mha(tmp_path, b"", "v.mhd", ElementDataFile="data/v.raw")).array.ravel().tolist() == [*COUNTED]


@pytest.mark.parametrize(
    ("encoding", "pack"), [("raw", bytes), ("gzip", gzip.compress), ("gz", gzip.compress), ("bzip2", bz2.compress)]
)
def test_nrrd_skips_bytes_before_its_voxels(tmp_path, encoding, pack):
    (tmp_path / "v.bin").write_bytes(pack(b"abcde" + COUNTED))
    lines = [*nrrd_lines(encoding=encoding), "byte skip: 5", "data file: v.bin"]
    assert read_volume(nrrd(tmp_path, lines, b"", "v.nhdr")).array.ravel().tolist() == [*COUNTED]


def test_nrrd_skips_lines_before_its_voxels(tmp_path):
    (tmp_path / "v.bin").write_bytes(b"one\ntwo\n" + COUNTED)
    lines = [*nrrd_lines(), "line skip: 2", "data file: v.bin"]
    assert read_volume(nrrd(tmp_path, lines, b"", "v.nhdr")).array.ravel().tolist() == [*COUNTED]


@pytest.mark.parametrize("spread", ["LIST", "part%d.raw 1 4 1", "part%01d.raw 1 4 1 2"])
def test_nrrd_of_several_files_is_read_in_their_order(tmp_path, spread):
    for number in range(4):
        (tmp_path / f"part{number + 1}.raw").write_bytes(COUNTED[number * 6 : number * 6 + 6])
    listed = [f"part{number}.raw" for number in (1, 2, 3, 4)] if spread == "LIST" else []
    path = nrrd(tmp_path, [*nrrd_lines(), f"data file: {spread}", *listed], b"", "v.nhdr")
    assert read_volume(path).array.ravel().tolist() == [*COUNTED]
    (tmp_path / "part3.raw").write_bytes(COUNTED[12:17])
    with pytest.raises(VolumeError, match=r"part3.raw is cut off: expected 6 bytes, found 5"):
        read_volume(path)


@pytest.mark.parametrize("spread", ["LIST", "part%d.raw 1 4 1"])
def test_meta_image_of_several_files_is_read_in_their_order(tmp_path, spread):
    for number in range(4):
        (tmp_path / f"part{number + 1}.raw").write_bytes(b"head" + COUNTED[number * 6 : number * 6 + 6])
    listed = "\n".join(f"part{number}.raw" for number in (1, 2, 3, 4)).encode() if spread == "LIST" else b""
    path = mha(tmp_path, listed, "v.mhd", ElementDataFile=spread, HeaderSize="4")
    assert read_volume(path).array.ravel().tolist() == [*COUNTED]


def test_voxels_at_the_end_of_a_longer_file_are_refused_since_nothing_tells_a_cut(tmp_path):
    (tmp_path / "v.raw").write_bytes(b"head" + COUNTED)
    for path in (
        mha(tmp_path, b"", "v.mhd", ElementDataFile="v.raw", HeaderSize="-1"),
        nrrd(tmp_path, [*nrrd_lines(), "byte skip: -1", "data file: v.raw"], b"", "v.nhdr"),
    ):
        with pytest.raises(VolumeError, match="write the number of bytes"):
            read_volume(path)


def test_text_is_read_as_numbers_and_a_cut_is_noticed(tmp_path):
    text = " ".join(map(str, range(24))).encode() + b"\n"
    for makes in (
        lambda data: nrrd(tmp_path, nrrd_lines(encoding="ascii"), data),
        lambda data: mha(tmp_path, data, BinaryData="False"),
    ):
        assert read_volume(makes(text)).array.ravel().tolist() == [*range(24)]
        for length in range(len(text)):
            with pytest.raises(VolumeError, match="cut off"):
                read_volume(makes(text[:length]))
        for wrong in (text.replace(b"7", b"x", 1), text.replace(b"23", b"700"), text + b"24\n"):
            with pytest.raises(VolumeError):
                read_volume(makes(wrong))


def test_gzip_members_one_behind_the_other_are_one_file_and_other_data_behind_is_refused(tmp_path):
    content = (nifti(tmp_path, COUNTED)).read_bytes()
    parts = gzip.compress(content[:200]) + gzip.compress(content[200:360]) + gzip.compress(content[360:])
    path = tmp_path / "v.nii.gz"
    path.write_bytes(parts + bytes(100))
    assert read_volume(path).array.ravel().tolist() == [*COUNTED]
    path.write_bytes(parts + b"something else")
    with pytest.raises(VolumeError, match="other data follows"):
        read_volume(path)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
def test_nifti_of_both_versions_and_byte_orders(tmp_path, version, order, name):
    values = np.arange(24, dtype=np.int16).reshape(4, 3, 2) * 300
    rows = ((0, 0, -2, 5), (0.5, 0, 0, 6), (0, 1, 0, 7))
    data = values.astype(order + "i2").tobytes()
    path = nifti(tmp_path, data, order, version, name, datatype=(4, 16), rows=rows, pixdim=(1, 0.5, 1, 2), codes=(0, 1))
    read = read_volume(path)
    np.testing.assert_array_equal(read.array, values)
    np.testing.assert_allclose(read.ijk_to_ras[:3], rows)


@pytest.mark.parametrize(("order", "word"), [("<", "False"), (">", "True")])
def test_byte_order_of_text_headers_is_honoured(tmp_path, order, word):
    values = np.arange(24, dtype=np.int16).reshape(4, 3, 2) * 300
    data = values.astype(order + "i2").tobytes()
    packed = zlib.compress(data)
    endian = "little" if order == "<" else "big"
    for path in (
        mha(tmp_path, data, ElementType="MET_SHORT", BinaryDataByteOrderMSB=word),
        mha(tmp_path, packed, ElementType="MET_SHORT", ElementByteOrderMSB=word, CompressedData="True"),
        nrrd(tmp_path, nrrd_lines(type="int16", endian=endian), data),
    ):
        np.testing.assert_array_equal(read_volume(path).array, values)


def test_four_dimensions_with_one_moment_are_a_volume_in_each_format(tmp_path):
    image = sitk.JoinSeries([oblique_image(grey_values())])
    for name in ("one.nrrd", "one.mha", "one.nii", "one.nii.gz"):
        sitk.WriteImage(image, str(tmp_path / name))
        read = read_volume(tmp_path / name)
        np.testing.assert_array_equal(read.array, grey_values())
        np.testing.assert_allclose(read.ijk_to_ras, from_sitk(oblique_image(grey_values())).ijk_to_ras, atol=1e-5)


def test_list_of_one_and_five_dimensions_of_ones_are_a_volume(tmp_path):
    lists = nrrd_lines(
        dimension="4",
        sizes="1 2 3 4",
        kinds="list domain domain domain",
        space_directions="none (1,0,0) (0,1,0) (0,0,1)",
    )
    for path in (nrrd(tmp_path, lists, COUNTED), nifti(tmp_path, COUNTED, dim=(5, 2, 3, 4, 1, 1))):
        assert read_volume(path).array.ravel().tolist() == [*COUNTED]


@pytest.mark.parametrize("name", ["rgb.nrrd", "rgb.mha", "rgb.nii"])
def test_colour_volume_is_told_as_that(tmp_path, name):
    image = sitk.GetImageFromArray(np.zeros((3, 4, 5, 3), np.uint8), isVector=True)
    sitk.WriteImage(image, str(tmp_path / name))
    with pytest.raises(VolumeError, match=r"3 components .colour"):
        read_volume(tmp_path / name)


@pytest.mark.parametrize("name", ["two.nrrd", "two.mha", "two.nii"])
def test_two_moments_are_refused(tmp_path, name):
    sitk.WriteImage(sitk.JoinSeries([oblique_image(grey_values())] * 2), str(tmp_path / name))
    with pytest.raises(VolumeError, match=r"4 dimensions .* one moment"):
        read_volume(tmp_path / name)


def test_placement_errors_name_the_file(tmp_path):
    with pytest.raises(GeometryError, match=r"v.mha: ElementSpacing must be above 0"):
        read_volume(mha(tmp_path, COUNTED, ElementSpacing="1 -1 1"))


def test_size_that_does_not_belong_to_the_data_is_refused(tmp_path):
    change(write(tmp_path, "raw.mha"), b"DimSize = 6 5 4", b"DimSize = 6 5 5")
    with pytest.raises(VolumeError, match="expected 150 bytes, found 120"):
        read_volume(tmp_path / "raw.mha")


def test_key_of_nrrd_may_hold_a_colon_and_lines_may_end_as_on_windows(tmp_path):
    path = nrrd(tmp_path, [*nrrd_lines(), "a: b:=c:=d", "sizes:=9", "# sizes: 7"], COUNTED)
    head, _, voxels = path.read_bytes().partition(b"\n\n")
    path.write_bytes(head.replace(b"\n", b"\r\n") + b"\r\n\r\n" + voxels)
    assert read_volume(path).array.ravel().tolist() == [*COUNTED]
    assert read_header(path).pairs == {"a: b": "c:=d", "sizes": "9"}
