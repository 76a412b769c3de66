"""Volume files made to harm: headers that lie, bombs, and random damage. Nothing but an error comes of them."""

import gzip
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import CrlmError, VolumeError
from CRLMSegmentationLib.core.volume import read_volume
from CRLMSegmentationLib.core.volume_files import data, header
from helpers.volume_file_helpers import change, mha, nifti, nrrd, nrrd_lines, write, zeros_packed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

COUNTED = bytes(range(24))
BOMB_BYTES = 32 << 20


@pytest.fixture
def unpacked(monkeypatch):
    """Counts the bytes that are decompressed."""
    count = SimpleNamespace(bytes=0)
    decompress = data.CompressedStream._decompress

    def counted(stream, most):
        block = decompress(stream, most)
        count.bytes += len(block or b"")
        return block

    monkeypatch.setattr(data.CompressedStream, "_decompress", counted)
    return count


def bombs(folder):
    """Files that declare 24 bytes and unpack to `BOMB_BYTES`."""
    yield nrrd(folder, nrrd_lines(encoding="gzip"), zeros_packed(BOMB_BYTES, 31))
    yield mha(folder, zeros_packed(BOMB_BYTES, 15), CompressedData="True")
    plain = nifti(folder, b"").read_bytes()
    path = folder / "v.nii.gz"
    path.write_bytes(gzip.compress(plain) + zeros_packed(BOMB_BYTES, 31))
    yield path


@pytest.mark.parametrize("number", range(3))
def test_bomb_is_unpacked_up_to_what_its_header_declares(tmp_path, unpacked, number):
    path = list(bombs(tmp_path))[number]
    with pytest.raises(VolumeError, match="its data has more when it is unpacked"):
        read_volume(path)
    assert unpacked.bytes < 10_000


def test_size_beyond_the_limit_is_refused_before_anything_is_unpacked(tmp_path, unpacked):
    packed = zlib.compress(bytes(1000))
    for path in (
        nrrd(tmp_path, nrrd_lines(encoding="gzip", sizes="2048 2048 1024"), gzip.compress(bytes(1000))),
        mha(tmp_path, packed, CompressedData="True", DimSize="2048 2048 1024"),
        nifti(tmp_path, dim=(3, 2048, 2048, 1024), name="v.nii.gz"),
    ):
        unpacked.bytes = 0
        with pytest.raises(VolumeError, match=f"declares 4294967296 bytes .* more than the {2 << 30} that are read"):
            read_volume(path)
        assert unpacked.bytes <= 540


def test_volume_larger_than_the_free_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "free_memory_bytes", lambda: 20)
    with pytest.raises(VolumeError, match="declares 24 bytes of voxels, more memory than is free"):
        read_volume(mha(tmp_path, COUNTED))


def test_memory_that_the_system_refuses_is_told(tmp_path, monkeypatch):
    def refuse(*_):
        raise MemoryError

    monkeypatch.setattr(data.np, "empty", refuse)
    with pytest.raises(VolumeError, match="more memory than is free"):
        read_volume(mha(tmp_path, COUNTED))


@pytest.mark.parametrize(
    ("ndims", "sizes"),
    [
        ("-3", "2 3 4"),
        ("1000000", "2 3 4"),
        ("0", ""),
        ("3.0", "2 3 4"),
        ("3", "-2 3 4"),
        ("3", "0 3 4"),
        ("3", "2 3"),
        ("3", "99999999999999999999 99999999999999999999 99999999999999999999"),
        ("3", "4294967298 3 4"),
        ("9" * 5000, "2 3 4"),
        ("17", " ".join(["1"] * 17)),
        ("2", "6 4"),
    ],
)
def test_dimensions_that_no_volume_has_are_refused(tmp_path, ndims, sizes):
    changed = {"NDims": ndims, "DimSize": sizes}
    for path in (
        mha(tmp_path, COUNTED, **changed),
        nrrd(tmp_path, nrrd_lines(dimension=ndims, sizes=sizes), COUNTED),
    ):
        with pytest.raises(VolumeError):
            read_volume(path)


@pytest.mark.parametrize("dim", [(-3, 2, 3, 4), (0,), (8, 2, 3, 4), (3, -2, 3, 4), (3, 0, 3, 4), (2, 6, 4)])
def test_dimensions_of_nifti_that_no_volume_has_are_refused(tmp_path, dim):
    for version in (1, 2):
        with pytest.raises(VolumeError):
            read_volume(nifti(tmp_path, dim=dim, version=version))


def test_size_that_overflows_64_bits_is_refused(tmp_path):
    with pytest.raises(VolumeError, match="that are read"):
        read_volume(nifti(tmp_path, dim=(3, 1 << 33, 1 << 33, 1 << 33), version=2))


def test_header_of_very_many_pairs_or_lines_is_refused(tmp_path):
    pairs = [f"key{number}:=value" for number in range(200_000)]
    with pytest.raises(VolumeError, match="more than 50000 lines"):
        read_volume(nrrd(tmp_path, [*nrrd_lines(), *pairs], COUNTED))
    path = mha(tmp_path, COUNTED)
    path.write_bytes(b"Key = value\n" * 200_000 + path.read_bytes())
    with pytest.raises(VolumeError, match="more than 50000 lines"):
        read_volume(path)


@pytest.mark.parametrize("makes", [nrrd, mha])
def test_endless_line_of_a_header_is_refused(tmp_path, makes):
    path = nrrd(tmp_path, nrrd_lines(), COUNTED) if makes is nrrd else mha(tmp_path, COUNTED)
    path.write_bytes(path.read_bytes()[:30] + b"x" * 1_000_000)
    with pytest.raises(VolumeError, match="line of more than"):
        read_volume(path)


@pytest.mark.parametrize("count", ["LIST", "part%d.raw 1 99999999 1", "part%d%d.raw 1 2 1", "p%s.raw 1 2 1", "%d"])
def test_lists_of_data_files_that_make_no_sense_are_refused(tmp_path, count):
    for path in (
        nrrd(tmp_path, [*nrrd_lines(), f"data file: {count}"], b"", "v.nhdr"),
        mha(tmp_path, b"", "v.mhd", ElementDataFile=count),
    ):
        with pytest.raises(VolumeError):
            read_volume(path)


@pytest.mark.parametrize(
    "changed",
    [
        {"type": "block"},
        {"type": "complex"},
        {"type": None},
        {"encoding": "hex"},
        {"encoding": "zstd"},
        {"type": "int16", "endian": None},
        {"type": "int16", "endian": "middle"},
        {"kinds": "domain domain"},
        {"kinds": "domain domain list"},
        {"sizes": None},
        {"line_skip": "-1"},
        {"byte_skip": "-2"},
        {"byte_skip": "x"},
        {"unheard_of": "1"},
    ],
)
def test_nrrd_fields_that_cannot_be_understood_are_refused(tmp_path, changed):
    with pytest.raises(VolumeError):
        read_volume(nrrd(tmp_path, nrrd_lines(**changed), COUNTED))


def test_field_that_stands_twice_is_refused(tmp_path):
    with pytest.raises(VolumeError, match="twice"):
        read_volume(nrrd(tmp_path, [*nrrd_lines(), "sizes: 4 3 2"], COUNTED))
    with pytest.raises(VolumeError, match="twice"):
        read_volume(change(mha(tmp_path, COUNTED), b"NDims = 3", b"NDims = 3\nDimSize = 4 3 2"))


@pytest.mark.parametrize("datatype", [(1, 1), (32, 64), (128, 24), (2304, 32), (1536, 128), (999, 8), (2, 16)])
def test_nifti_types_that_are_no_grey_values_are_refused(tmp_path, datatype):
    with pytest.raises(VolumeError):
        read_volume(nifti(tmp_path, datatype=datatype))


def test_errors_show_no_more_of_a_header_than_a_line(tmp_path):
    with pytest.raises(VolumeError) as caught:
        read_volume(mha(tmp_path, COUNTED, ElementType="\x1b[31m" + "x" * 5000))
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


def test_very_many_empty_members_of_gzip_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MAX_MEMBERS", 50)
    plain = nifti(tmp_path, COUNTED).read_bytes()
    path = tmp_path / "v.nii.gz"
    path.write_bytes(gzip.compress(b"") * 100 + gzip.compress(plain))
    with pytest.raises(VolumeError, match="more than 50 compressed parts"):
        read_volume(path)


def outcome_of(path):
    """The volume or the text of the error; anything else that is raised is a failure."""
    try:
        return read_volume(path), ""
    except CrlmError as error:
        return None, str(error)


NAMES = ["raw.nrrd", "gzip.nrrd", "raw.mha", "zlib.mha", "raw.nii", "gzip.nii.gz", "detached.nhdr", "detached.mhd"]


@pytest.fixture(scope="module")
def atomic_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return {name: write(folder, name).read_bytes() for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 700), st.binary(max_size=6), st.integers(0, 6)), max_size=5))
def test_random_damage_gives_a_volume_or_an_error_that_says_why(tmp_path, monkeypatch, atomic_files, name, changes):
    monkeypatch.setattr(header, "MAX_VOLUME_BYTES", 1 << 20)
    content = atomic_files[name]
    for start, new, length in changes:
        content = content[:start] + new + content[start + length :]
    path = tmp_path / name
    path.write_bytes(content)
    read, said = outcome_of(path)
    assert read is None or (read.array.nbytes <= 1 << 20 and np.isfinite(read.ijk_to_ras).all())
    assert read is not None or 0 < len(said) < 1000


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=40), key=st.sampled_from([line.split(":")[0] for line in nrrd_lines()]))
def test_any_text_in_a_field_of_nrrd_gives_a_volume_or_an_error(tmp_path, text, key):
    lines = nrrd_lines(**{key.replace(" ", "_"): text})
    path = tmp_path / "v.nrrd"
    path.write_bytes("\n".join(["NRRD0004", *lines, "", ""]).encode("utf-8", "surrogatepass") + COUNTED)
    read, said = outcome_of(path)
    assert read is not None or 0 < len(said) < 1000
