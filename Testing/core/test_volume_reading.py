"""What a volume file is for: an image to be segmented, or labels."""

import numpy as np
import pytest
import SimpleITK as sitk
from CRLMSegmentationLib.core.errors import VolumeError
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.core.volume_files import is_hidden, read_segmentation, volume_stem, volume_suffix
from CRLMSegmentationLib.core.volume_reading import check_intensities, read_image, read_labels
from helpers.volume_file_helpers import nrrd, nrrd_lines, oblique_image

LAYERS = {
    "dimension": "4",
    "sizes": "2 2 3 4",
    "kinds": "list domain domain domain",
    "space_directions": "none (1,0,0) (0,1,0) (0,0,1)",
}


def segmentation(folder, layers, segments, name="v.seg.nrrd"):
    """A segmentation as Slicer writes it, of layers of shape (L, 4, 3, 2)."""
    keys = ("ID", "Name", "Layer", "LabelValue")
    pairs = [f"Segment{n}_{key}:={value}" for n, values in enumerate(segments) for key, value in zip(keys, values)]
    lines = nrrd_lines(**(LAYERS if len(layers) == 2 else {}))
    return nrrd(folder, [*lines, *pairs], np.stack(layers, -1).astype(np.uint8).tobytes(), name)


@pytest.fixture
def layers():
    first, second = np.zeros((2, 4, 3, 2), np.uint8)
    first[0], first[1], second[2] = 1, 5, 1
    return first, second


SEGMENTS = (("a", "Tumour A", 0, 1), ("b", "Tumour B", 0, 5), ("c", "Vessel", 1, 1))


def test_segmentation_gives_layers_and_the_mask_of_each_segment(tmp_path, layers):
    stored = read_segmentation(segmentation(tmp_path, layers, SEGMENTS))
    assert stored.layers.shape == (2, 4, 3, 2)
    assert [segment.name for segment in stored.segments] == ["Tumour A", "Tumour B", "Vessel"]
    for index, segment in enumerate(stored.segments):
        assert np.unique(np.nonzero(stored.mask_of(segment))[0]).tolist() == [index]


def test_labels_of_several_layers_are_the_numbers_of_the_segments(tmp_path, layers):
    labels = read_labels(segmentation(tmp_path, layers, SEGMENTS)).array
    assert labels[:, 0, 0].tolist() == [1, 2, 3, 0]


def test_labels_of_one_layer_are_its_values(tmp_path, layers):
    labels = read_labels(segmentation(tmp_path, layers[:1], SEGMENTS[:2])).array
    assert labels[:, 0, 0].tolist() == [1, 5, 0, 0]


def test_overlapping_segments_are_no_labels(tmp_path, layers):
    layers[1][1] = 1
    with pytest.raises(VolumeError, match="'Tumour B' and 'Vessel' overlap"):
        read_labels(segmentation(tmp_path, layers, SEGMENTS))


def test_segmentation_of_older_slicer_has_a_layer_for_each_segment(tmp_path, layers):
    stored = read_segmentation(segmentation(tmp_path, layers, [("a", "A"), ("b", "B")]))
    assert [(segment.layer, segment.label_value) for segment in stored.segments] == [(0, 1), (1, 1)]


@pytest.mark.parametrize("segment", [("a", "A", 2, 1), ("a", "A", -1, 1), ("a", "A", "x", 1), ("a", "A", 0, "nan")])
def test_segment_that_is_nowhere_is_refused(tmp_path, layers, segment):
    with pytest.raises(VolumeError, match="segment 0"):
        read_segmentation(segmentation(tmp_path, layers, [segment]))


@pytest.mark.parametrize("name", ["v.seg.nrrd", "V.SEG.NRRD", "other.nrrd"])
@pytest.mark.parametrize("count", [1, 2])
def test_segmentation_given_as_a_volume_is_told_as_that(tmp_path, layers, name, count):
    path = segmentation(tmp_path, layers[:count], SEGMENTS[: count + 1], name)
    with pytest.raises(VolumeError, match=rf"segmentation of {count + 1} segments in {count} layers"):
        read_image(path)


def test_cut_off_segmentation_is_refused(tmp_path, layers):
    path = segmentation(tmp_path, layers, SEGMENTS)
    path.write_bytes(path.read_bytes()[:-5])
    for read in (read_segmentation, read_labels, read_image):
        with pytest.raises(VolumeError, match="cut off: expected 48 bytes, found 43"):
            read(path)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.full((3, 4, 5), 7, np.uint8), "all voxels of v have the value 7"),
        (np.zeros((3, 4, 5), np.float32), "have the value 0"),
        (np.linspace(0, 3e38, 60, dtype=np.float32).reshape(3, 4, 5), "would overflow single precision"),
        (np.linspace(0, 1e300, 60).reshape(3, 4, 5), "beyond the range of single precision"),
        ((np.arange(60) + 2**40).reshape(3, 4, 5), "single precision cannot tell apart"),
        ((np.arange(60, dtype=np.uint64) + np.uint64(2**63)).reshape(3, 4, 5), "would overflow|cannot tell apart"),
        (1e9 + np.linspace(0, 1, 60).reshape(3, 4, 5), "cannot tell apart"),
    ],
)
def test_values_in_which_nothing_can_be_seen_are_refused(tmp_path, values, words):
    sitk.WriteImage(oblique_image(values), str(tmp_path / "v.nrrd"))
    with pytest.raises(VolumeError, match=words):
        read_image(tmp_path / "v.nrrd")


@pytest.mark.parametrize("dtype", ["u1", "i2", "i8", "u8", "f4", "f8"])
def test_usual_grey_values_are_taken(dtype):
    check_intensities(Volume(np.arange(60).astype(dtype).reshape(3, 4, 5), np.eye(4)))


@pytest.mark.parametrize(
    ("name", "suffix", "stem"),
    [
        ("a.nii.gz", ".nii.gz", "a"),
        ("A.Nii.GZ", ".nii.gz", "A"),
        ("a.b.NRRD", ".nrrd", "a.b"),
        ("a-label.seg.nrrd", ".nrrd", "a-label"),
        ("a.gz", "", "a.gz"),
    ],
)
def test_suffix_and_stem_of_names(name, suffix, stem):
    assert (volume_suffix(name), volume_stem(name)) == (suffix, stem)


def test_files_of_the_system_are_hidden():
    assert [name for name in ("._v.nrrd", ".DS_Store", "v.nrrd", "Thumbs.db", "_v.nrrd") if is_hidden(name)] == [
        "._v.nrrd",
        ".DS_Store",
        "Thumbs.db",
    ]
