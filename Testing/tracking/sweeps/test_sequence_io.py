"""Sequence files against PLUS's way of writing them, and against what SimpleITK makes of the same bytes."""

import contextlib
import zlib

import numpy as np
import pytest
import SimpleITK as sitk
from CRLMSegmentationLib.core.errors import SweepError
from CRLMSegmentationLib.core.volume import Volume, read_volume, write_volume
from CRLMSegmentationLib.tracking.sweeps.orientation import from_mf, to_mf
from CRLMSegmentationLib.tracking.sweeps.sequence_io import is_sequence, read_sequence, sequence_name, write_sequence
from helpers.sweep_helpers import sequence_of, shifted, track
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

FRAMES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
PIXELS = FRAMES.tobytes()
UNIT = "1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1"
META = f"""ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
CompressedData = False
DimSize = 4 3 2
Kinds = domain domain list
ElementType = MET_UCHAR
UltrasoundImageOrientation = MFA
UltrasoundImageType = BRIGHTNESS
Operator = somebody
Seq_Frame0000_ProbeToTrackerTransform = {UNIT}
Seq_Frame0000_ProbeToTrackerTransformStatus = OK
Seq_Frame0000_Timestamp = 1.5
Seq_Frame0000_ImageStatus = OK
Seq_Frame0001_ProbeToTrackerTransform = {UNIT.replace("1 0 0 0 0", "1 0 0 7 0", 1)}
Seq_Frame0001_ProbeToTrackerTransformStatus = INVALID
Seq_Frame0001_Timestamp = 1.6
Seq_Frame0001_ImageStatus = INVALID
ElementDataFile = LOCAL
"""


def written(path, header=META, data=PIXELS):
    path.write_bytes(header.encode() + data)
    return path


def test_metaimage_of_plus_is_read_with_poses_times_statuses_and_other_fields(tmp_path):
    sequence = read_sequence(written(tmp_path / "sweep.igs.mha"))
    assert sequence.name == "sweep"
    assert (sequence.frames == FRAMES).all()
    assert sequence.timestamps_s.tolist() == [1.5, 1.6]
    assert sequence.image_statuses == ("OK", "INVALID")
    assert sequence.transforms["ProbeToTracker"].statuses == ("OK", "INVALID")
    assert sequence.transforms["ProbeToTracker"].matrices[1, 0, 3] == 7
    assert sequence.orientation == "MFA"
    assert sequence.fields == {"Operator": "somebody"}


@pytest.mark.parametrize("suffix", [".igs.mha", ".igs.nrrd"])
@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
def test_sequence_survives_a_file(tmp_path, suffix, compress, dtype):
    oblique = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    pose = shifted(1.25, -2.5, 1e-7)
    pose[:3, :3] = oblique
    fields = {"Operator": "somebody", "Seq_Frame0001_FrameNumber": "17"}
    given_one = sequence_of(FRAMES.astype(dtype), [pose, pose], ["OK", "MISSING"], ["OK", "INVALID"], fields=fields)
    write_sequence(given_one, tmp_path / f"a{suffix}", compress)
    read = read_sequence(tmp_path / f"a{suffix}")
    assert read.frames.dtype == dtype
    assert (read.frames == given_one.frames).all()
    assert read.timestamps_s.tolist() == given_one.timestamps_s.tolist()
    assert (read.image_statuses, read.fields) == (given_one.image_statuses, fields)
    for name, expected in given_one.transforms.items():
        np.testing.assert_allclose(read.transforms[name].matrices, expected.matrices, rtol=1e-11)
        assert read.transforms[name].statuses == expected.statuses


@pytest.mark.parametrize("compress", [True, False])
def test_simpleitk_sees_the_same_pixels(tmp_path, compress):
    for suffix in (".mha", ".nrrd"):
        write_sequence(sequence_of(FRAMES), tmp_path / f"a{suffix}", compress)
        seen = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / f"a{suffix}")))
        # ITK takes a "list" axis of NRRD, as PLUS writes it, for the components of a 2D image
        assert (seen == (FRAMES if suffix == ".mha" else np.moveaxis(FRAMES, 0, -1))).all()


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_colour_frames_survive_a_file(tmp_path, suffix):
    colour = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    write_sequence(sequence_of(colour), tmp_path / f"a{suffix}")
    assert (read_sequence(tmp_path / f"a{suffix}").frames == colour).all()


def test_nrrd_of_plus_spells_keys_with_spaces_and_status_without_image(tmp_path):
    header = (
        "NRRD0004\n# comment\ndimension: 3\nencoding: gz\nendian: little\nkinds: domain domain list\n"
        "sizes: 4 3 2\nspace dimension: 2\nspace directions: (1,0) (0,1) none\ntype: uint8\n"
        "ultrasound image orientation:=MNA\nultrasound image type:=BRIGHTNESS\n"
        f"Seq_Frame0000_ProbeToTrackerTransform:={UNIT}\nSeq_Frame0000_ProbeToTrackerTransformStatus:=OK\n"
        "Seq_Frame0000_Timestamp:=1\nSeq_Frame0000_Status:=OK\nSeq_Frame0001_Timestamp:=2\n"
        "Seq_Frame0001_Status:=INVALID\n\n"
    )
    packer = zlib.compressobj(wbits=31)
    data = packer.compress(FRAMES.tobytes()) + packer.flush()
    sequence = read_sequence(written(tmp_path / "a.igs.nrrd", header, data))
    assert (sequence.frames == FRAMES[:, ::-1]).all()
    assert sequence.image_statuses == ("OK", "INVALID")
    assert sequence.transforms["ProbeToTracker"].statuses == ("OK", "MISSING")


def test_pixels_may_lie_in_a_file_beside_the_header(tmp_path):
    (tmp_path / "a.raw").write_bytes(FRAMES.tobytes())
    (tmp_path / "a.zraw").write_bytes(zlib.compress(FRAMES.tobytes()))
    plain = written(tmp_path / "a.igs.mhd", META.replace("LOCAL", "a.raw"), b"")
    packed = META.replace("LOCAL", "a.zraw").replace("CompressedData = False", "CompressedData = True")
    detached = (
        "NRRD0004\ndimension: 3\nencoding: raw\nkinds: domain domain list\nsizes: 4 3 2\ntype: uchar\n"
        "data file: a.raw\nSeq_Frame0_Timestamp:=1\nSeq_Frame1_Timestamp:=2"
    )
    for path in (plain, written(tmp_path / "b.mhd", packed, b""), written(tmp_path / "c.nhdr", detached, b"")):
        assert (read_sequence(path).frames == FRAMES).all()


def test_big_endian_pixels_are_turned_to_native_order(tmp_path):
    header = META.replace("MET_UCHAR", "MET_USHORT").replace("OrderMSB = False", "OrderMSB = True")
    frames = read_sequence(written(tmp_path / "a.mha", header, FRAMES.astype(">u2").tobytes())).frames
    assert (frames.dtype, frames.tolist()) == (np.dtype("uint16"), FRAMES.tolist())


def test_frame_numbers_may_have_any_digits_and_missing_transforms_count_as_missing(tmp_path):
    header = META.replace("Seq_Frame0001_", "Seq_Frame000001_").replace("Seq_Frame0000_", "Seq_Frame0_")
    lines = [line for line in header.splitlines() if "000001_ProbeToTracker" not in line]
    sequence = read_sequence(written(tmp_path / "a.mha", "\n".join(lines) + "\n"))
    assert sequence.transforms["ProbeToTracker"].statuses == ("OK", "MISSING")
    assert (sequence.transforms["ProbeToTracker"].matrices[1] == np.eye(4)).all()


def test_matrix_that_cannot_be_read_is_an_error_only_while_its_status_is_ok(tmp_path):
    broken = META.replace(UNIT.replace("1 0 0 0 0", "1 0 0 7 0", 1), "nan nan")
    assert read_sequence(written(tmp_path / "a.mha", broken)).transforms["ProbeToTracker"].statuses[1] == "INVALID"
    with pytest.raises(SweepError, match="ProbeToTracker of frame 1 is not a 4x4 matrix: 'nan nan'"):
        read_sequence(written(tmp_path / "b.mha", broken.replace("TransformStatus = INVALID", "TransformStatus = OK")))


DEFINED = {
    "MF": lambda mf: mf,
    "MFA": lambda mf: mf,
    "MFD": lambda mf: mf,
    "UF": lambda mf: mf[:, ::-1],
    "MN": lambda mf: mf[::-1],
    "UN": lambda mf: mf[::-1, ::-1],
    "UNA": lambda mf: mf[::-1, ::-1],
    "FM": lambda mf: mf.T,
    "FU": lambda mf: mf[:, ::-1].T,
    "NM": lambda mf: mf[::-1].T,
    "NU": lambda mf: mf[::-1, ::-1].T,
}
"""What a file of each orientation holds of a picture in MF: columns grow towards the first letter, rows the second."""


@pytest.mark.parametrize("orientation", DEFINED)
def test_orientation_is_turned_to_mf_by_its_definition_and_back(orientation):
    in_file = np.stack([DEFINED[orientation](frame) for frame in FRAMES])
    assert (to_mf(in_file, orientation, "a") == FRAMES).all()
    assert (from_mf(FRAMES, orientation) == in_file).all()


@pytest.mark.parametrize("orientation", ["UN", "FU"])
@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_file_keeps_its_orientation_while_memory_is_mf(tmp_path, orientation, suffix):
    write_sequence(sequence_of(FRAMES, orientation=orientation), tmp_path / f"a{suffix}")
    read = read_sequence(tmp_path / f"a{suffix}")
    assert (read.frames == FRAMES).all()
    assert read.orientation == orientation
    if suffix == ".mha":
        stored = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.mha")))
        assert (stored[0] == DEFINED[orientation](FRAMES[0])).all()


@pytest.mark.parametrize("said", ["UltrasoundImageOrientation = N/A", "UltrasoundImageOrientation = XX", "X = Y"])
def test_unknown_orientation_is_taken_for_mf_and_told(tmp_path, caplog, said):
    header = META.replace("UltrasoundImageOrientation = MFA", said)
    assert (read_sequence(written(tmp_path / "a.mha", header)).frames == FRAMES).all()
    assert "does not say how its frames lie on the probe" in caplog.text


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("= MFA", "= AMF", "orientation 'AMF' cannot be read"),
        ("DimSize = 4 3 2", "DimSize = 4 3 3", "is cut off: expected 36 bytes, found 24; copy it again"),
        ("DimSize = 4 3 2", "DimSize = 4 3 1", "has 1 frames but fields of frame 1"),
        ("DimSize = 4 3 2", "DimSize = 4 2 2", "expected 16 bytes, found 24; header and pixels do not belong together"),
        ("DimSize = 4 3 2", "ElementNumberOfChannels = 3\nDimSize = 4 3 2", "expected 72 bytes, found 24"),
        ("Kinds = domain domain list", "Kinds = domain fog list", "dimension of kind 'fog'"),
        ("= BRIGHTNESS", "= ELASTOGRAM", "images of type 'ELASTOGRAM'; expected BRIGHTNESS or RGB_COLOR"),
        ("DimSize = 4 3 2", "DimSize = 4 x 2", "DimSize must be whole numbers"),
        ("DimSize = 4 3 2", "DimSize = 0 0 2", "holds no images"),
        ("DimSize = 4 3 2", "DimSize = 999999 999999 2", "GB of pixels"),
        ("DimSize = 4 3 2\nKinds = domain domain list", "DimSize = 4 3 2\nKinds = domain domain domain", "3D frames"),
        ("DimSize = 4 3 2\n", "", "its header has no dimsize"),
        ("MET_UCHAR", "MET_OTHER", "pixels of type MET_OTHER"),
        ("= BRIGHTNESS", "= RF_REAL", "radio-frequency data"),
        ("CompressedData = False", "CompressedData = True", "cannot be decompressed"),
        ("LOCAL", "gone.raw", "gone.raw, which is missing"),
        ("LOCAL", "../secret.raw", "outside its folder"),
        ("LOCAL", "LIST", "several files"),
        ("Seq_Frame0001_Timestamp = 1.6", "Seq_Frame0001_Timestamp = nan", "frame 1 has no timestamp"),
        ("Seq_Frame0001_Timestamp = 1.6", "Seq_Frame0001_Timestamp = -1.6", "frame 1 has no timestamp"),
        ("DimSize = 4 3 2", "DimSize =", "DimSize must be whole numbers|no list of 2D frames|dimensions"),
        ("LOCAL", "listing.raw", "listing.raw, which is missing"),
        ("LOCAL", "a\0b", "outside its folder|cannot be"),
        ("BinaryData = True", "BinaryData = False", "pixels as text"),
        ("ElementDataFile = LOCAL\n", "", "is not a sequence file|within its header"),
    ],
)
def test_bad_file_says_what_is_wrong_with_it(tmp_path, old, new, says):
    assert old in META
    with pytest.raises(SweepError, match=says):
        read_sequence(written(tmp_path / "a.mha", META.replace(old, new)))


@settings(deadline=None, max_examples=300)
@given(
    line=st.integers(0, len(META.splitlines()) - 1),
    value=st.text(max_size=8),
    suffix=st.sampled_from([".mha", ".nrrd"]),
)
def test_any_value_in_a_header_is_read_or_refused(tmp_path_factory, line, value, suffix):
    path = tmp_path_factory.mktemp("any") / f"a{suffix}"
    write_sequence(sequence_of(FRAMES), path, compress=False)
    equals = "=" if suffix == ".mha" else ":"
    head, separator, data = path.read_bytes().rpartition(b"LOCAL\n" if suffix == ".mha" else b"\n\n")
    lines = head.decode().split("\n")
    lines[line % len(lines)] = lines[line % len(lines)].partition(equals)[0] + equals + value
    path.write_bytes("\n".join(lines).encode() + separator + data)
    with contextlib.suppress(SweepError):
        assert np.isfinite(read_sequence(path).timestamps_s).all()


def test_what_is_no_sequence_is_told_apart_by_its_header(tmp_path):
    write_volume(Volume(np.zeros((3, 3, 3), np.uint8), np.eye(4)), tmp_path / "volume.mha")
    (tmp_path / "garbage.mha").write_bytes(bytes(range(256)) * 1000)
    (tmp_path / "text.nrrd").write_text("hello")
    for name in ("volume.mha", "garbage.mha", "text.nrrd", "missing.mha", "."):
        assert not is_sequence(tmp_path / name)
    assert is_sequence(written(tmp_path / "a.mha"))
    with pytest.raises(SweepError, match=r"holds no tracking .* it is a volume"):
        read_sequence(tmp_path / "volume.mha")
    with pytest.raises(SweepError, match="no such file"):
        read_sequence(tmp_path / "missing.mha")
    with pytest.raises(SweepError, match=r"expected one of \.mha"):
        read_sequence(written(tmp_path / "a.png"))


def test_volume_that_newer_plus_writes_as_one_frame_in_3d_is_no_sequence(tmp_path):
    volume = META.split("Seq_Frame0001")[0].replace("domain list", "domain domain") + "ElementDataFile = LOCAL\n"
    assert not is_sequence(written(tmp_path / "a.mha", volume))
    with pytest.raises(SweepError, match="holds 3D frames"):
        read_sequence(tmp_path / "a.mha")


@pytest.mark.parametrize("suffix", [".igs.mha", ".igs.nrrd"])
def test_volume_that_is_listed_as_one_frame_in_3d_is_read_as_a_volume(tmp_path, suffix):
    path, data = tmp_path / f"a{suffix}", bytes(range(24))
    header = META.split("Seq_Frame0001")[0].replace("NDims = 3", "NDims = 4").replace("4 3 2", "4 3 2 1")
    header = header.replace("domain domain list", "domain domain domain list")
    header += "ElementSpacing = 1 1 1 1\nOffset = 0 0 0 0\nElementDataFile = LOCAL\n"
    if suffix.endswith("nrrd"):
        header = (
            "NRRD0004\ntype: uchar\ndimension: 4\nsizes: 4 3 2 1\nkinds: domain domain domain list\nspace: LPS\n"
            "space directions: (1,0,0) (0,1,0) (0,0,1) none\nspace origin: (0,0,0)\nencoding: raw\n"
            "Seq_Frame0000_Timestamp:=1.5\n\n"
        )
    assert not is_sequence(written(path, header, data))
    assert read_volume(path).array.tobytes() == data


def test_several_frames_in_3d_are_no_volume(tmp_path):
    header = (
        META.replace("NDims = 3", "NDims = 4").replace("4 3 2", "4 3 2 2").replace("domain list", "domain domain list")
    )
    with pytest.raises(SweepError, match="holds 3D frames"):
        read_sequence(written(tmp_path / "a.mha", header, bytes(48)))
    assert is_sequence(tmp_path / "a.mha")


def test_only_the_header_is_read_to_recognise_a_sequence(tmp_path):
    assert is_sequence(written(tmp_path / "a.mha", META.split("Seq_Frame0001")[0], b"\xff" * 100))


@pytest.mark.parametrize("name", ["sweep.igs.mha", "sweep.mhd", "SWEEP.IGS.NRRD", "sweep.seq.nrrd"])
def test_name_is_the_file_without_the_suffixes(name):
    assert sequence_name(f"/somewhere/{name}").lower() == "sweep"


def test_field_with_a_line_break_is_not_written_into_a_header(tmp_path):
    with pytest.raises(SweepError, match="more than one line"):
        write_sequence(sequence_of(FRAMES, fields={"Comment": "a\nElementDataFile = /etc/passwd"}), tmp_path / "a.mha")


def test_number_of_poses_must_be_that_of_frames():
    with pytest.raises(SweepError, match="2 frames but 1 matrices of ProbeToTracker"):
        sequence_of(FRAMES, [np.eye(4)])
    assert len(sequence_of(FRAMES)) == 2
    assert track([np.eye(4)]).statuses == ("OK",)


@given(
    frames=arrays.arrays(np.uint8, st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5))),
    orientation=st.sampled_from(sorted(DEFINED)),
    compress=st.booleans(),
    suffix=st.sampled_from([".mha", ".nrrd"]),
)
def test_any_frames_survive_any_file(tmp_path_factory, frames, orientation, compress, suffix):
    path = tmp_path_factory.mktemp("any") / f"a{suffix}"
    write_sequence(sequence_of(frames, orientation=orientation), path, compress)
    assert (read_sequence(path).frames == frames).all()


def without_lines(header: str, *words: str) -> str:
    return "".join(line for line in header.splitlines(keepends=True) if not any(word in line for word in words))


def test_frames_without_a_time_are_read_and_told(tmp_path):
    sequence = read_sequence(written(tmp_path / "a.mha", without_lines(META, "Timestamp")))
    assert sequence.timestamps_s.tolist() == [0, 0]
    assert "2 of 2 frames have no time" in sequence.notes[0]
    one = read_sequence(written(tmp_path / "b.mha", without_lines(META, "0001_Timestamp")))
    assert one.timestamps_s.tolist() == [1.5, 0]
    assert "1 of 2 frames have no time" in one.notes[0]


def test_frame_without_any_field_is_missing_and_the_others_are_read(tmp_path):
    sequence = read_sequence(written(tmp_path / "a.mha", without_lines(META, "Frame0001")))
    assert sequence.transforms["ProbeToTracker"].statuses == ("OK", "MISSING")


def test_transform_without_a_status_is_valid_only_where_the_whole_file_has_none(tmp_path):
    none = read_sequence(written(tmp_path / "a.mha", without_lines(META, "TransformStatus")))
    assert none.transforms["ProbeToTracker"].statuses == ("OK", "OK")
    assert "does not say when ProbeToTracker was tracked" in none.notes[0]
    some = read_sequence(written(tmp_path / "b.mha", without_lines(META, "0001_ProbeToTrackerTransformStatus")))
    assert some.transforms["ProbeToTracker"].statuses == ("OK", "WITHOUT A STATUS")


@pytest.mark.parametrize("said", ["UltrasoundImageOrientation = N/A", "X = Y"])
def test_orientation_that_was_assumed_is_told_to_the_user(tmp_path, said):
    sequence = read_sequence(written(tmp_path / "a.mha", META.replace("UltrasoundImageOrientation = MFA", said)))
    assert "does not say how its frames lie on the probe; taken for MF" in sequence.notes[0]


def test_spacing_of_the_file_that_is_not_used_is_told(tmp_path):
    header = META.replace("ElementType", "ElementSpacing = 0.2 0.2 1\nElementType")
    assert "pixel spacing of 0.2 x 0.2" in read_sequence(written(tmp_path / "a.mha", header)).notes[0]


COLOUR = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)


@pytest.mark.parametrize(
    ("size", "kinds"),
    [
        ("3 4 3 2", "Kinds = vector domain domain list"),
        ("3 4 3 2", "Kinds = RGB-color space space time"),
        ("4 3 2", "Kinds = vector domain domain list"),
        ("4 3 2", "Kinds = domain domain list"),
        ("3 4 3 2", ""),
        ("4 3 2", ""),
    ],
)
def test_colour_of_metaimage_is_read_however_plus_writes_its_dimensions(tmp_path, size, kinds):
    header = META.replace("DimSize = 4 3 2", f"ElementNumberOfChannels = 3\nDimSize = {size}")
    header = header.replace("Kinds = domain domain list\n", f"{kinds}\n" if kinds else "")
    header = header.replace("BRIGHTNESS", "RGB_COLOR")
    assert (read_sequence(written(tmp_path / "a.mha", header, COLOUR.tobytes())).frames == COLOUR).all()


def test_channels_that_disagree_with_the_dimensions_are_refused(tmp_path):
    header = META.replace("DimSize = 4 3 2", "ElementNumberOfChannels = 4\nDimSize = 3 4 3 2")
    header = header.replace("Kinds = domain", "Kinds = vector domain")
    with pytest.raises(SweepError, match="4 channels by ElementNumberOfChannels, but 3 by DimSize"):
        read_sequence(written(tmp_path / "a.mha", header, COLOUR.tobytes()))


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("lost_bytes", [1, 3, 700])
def test_file_that_is_cut_off_is_refused_and_not_read_in_part(tmp_path, suffix, compress, lost_bytes):
    noise = np.random.default_rng(0).integers(0, 255, (2, 30, 40), dtype=np.uint8)
    write_sequence(sequence_of(noise), tmp_path / f"a{suffix}", compress)
    whole = (tmp_path / f"a{suffix}").read_bytes()
    (tmp_path / f"a{suffix}").write_bytes(whole[:-lost_bytes])
    with pytest.raises(SweepError, match=r"is cut off: expected \d+ bytes.*; copy it again"):
        read_sequence(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_compressed_pixels_with_a_wrong_byte_are_refused_by_their_checksum(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 255, (2, 30, 40), dtype=np.uint8)
    write_sequence(sequence_of(noise), tmp_path / f"a{suffix}")
    data = bytearray((tmp_path / f"a{suffix}").read_bytes())
    data[-600] ^= 0x10
    (tmp_path / f"a{suffix}").write_bytes(data)
    with pytest.raises(SweepError, match=r"is damaged|is cut off|do not belong together"):
        read_sequence(tmp_path / f"a{suffix}")


def test_compressed_pixels_beyond_what_the_header_declares_are_not_unpacked(tmp_path):
    header = META.replace("CompressedData = False", "CompressedData = True")
    with pytest.raises(SweepError, match="holds more than the 24 bytes of pixels that its header declares"):
        read_sequence(written(tmp_path / "a.mha", header, zlib.compress(bytes(50_000_000))))


def test_header_that_declares_more_than_its_bytes_can_hold_is_refused_before_it_is_unpacked(tmp_path):
    header = META.replace("CompressedData = False", "CompressedData = True")
    header = header.replace("DimSize = 4 3 2", "DimSize = 40000 40000 2")
    with pytest.raises(SweepError, match=r"declares 3\.2 GB of pixels in 0\.0 MB"):
        read_sequence(written(tmp_path / "a.mha", header, zlib.compress(bytes(1000))))


def test_frame_numbers_of_thousands_of_digits_do_no_harm(tmp_path):
    header = META.replace("Operator = somebody", f"Seq_Frame{'9' * 6000}_Timestamp = 1")
    assert len(read_sequence(written(tmp_path / "a.mha", header))) == 2
