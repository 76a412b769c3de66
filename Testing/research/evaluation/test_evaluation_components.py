"""Several parts under one label, and labels of 3D Slicer, in an evaluation."""

import dataclasses

import numpy as np
import pytest
import SimpleITK as sitk
from CRLMSegmentationLib.core.errors import CaseError
from CRLMSegmentationLib.core.volume import Volume, write_volume
from CRLMSegmentationLib.recording.case import CaseLesion, save_case
from CRLMSegmentationLib.recording.dataset import check_cases
from CRLMSegmentationLib.recording.label_components import split_labels
from helpers.evaluation_helpers import write_case


def two_parts():
    array = np.zeros((30, 30, 30), np.uint8)
    array[3:12, 3:12, 3:12] = 1
    array[20:26, 20:26, 20:26] = 1
    return array


def pair(folder, label, name="p1-label.nrrd"):
    grey = np.random.default_rng(0).integers(20, 200, label.shape).astype(np.uint8)
    write_volume(Volume(grey, np.eye(4)), folder / "p1.nrrd")
    write_volume(Volume(label, np.eye(4)), folder / name)


def test_parts_that_lie_apart_are_lesions_of_their_own_and_that_is_told(tmp_path):
    pair(tmp_path, two_parts())
    (checked,), problems = check_cases(tmp_path)
    volume = checked.read_volume()
    assert [lesion.name for lesion in checked.lesions] == ["Tumour 1.1", "Tumour 1.2"]
    assert [int(checked.truth_of(lesion, volume).sum()) for lesion in checked.lesions] == [729, 216]
    assert "2 parts that lie apart" in checked.warnings[0].text
    assert not problems


def test_parts_are_one_lesion_where_that_is_wanted(tmp_path):
    pair(tmp_path, two_parts())
    (checked,), _ = check_cases(tmp_path, labels_together=True)
    assert [lesion.name for lesion in checked.lesions] == ["Tumour 1"]
    assert checked.truth_of(checked.lesions[0], checked.read_volume()).sum() == 945


def test_slice_that_was_not_outlined_makes_no_second_lesion():
    array = np.zeros((9, 9, 9), np.uint8)
    array[2:7:2, 2:7, 2:7] = 1
    assert split_labels(Volume(array, np.eye(4))).parts == {1: (1,)}


@pytest.mark.parametrize(
    ("spacing_mm", "empty", "parts"),
    [
        (0.5, 2, 1),
        (1.0, 2, 1),
        (1.0, 3, 2),
        (1.5, 1, 1),
        (1.5, 2, 2),
        (2.0, 1, 1),
        (2.5, 1, 2),
        (5.0, 2, 2),
        (5.0, 0, 1),
    ],
)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_parts_are_joined_over_two_voxels_and_two_mm_at_most(axis, spacing_mm, empty, parts):
    array = np.zeros((12, 12, 12), np.uint8)
    along = np.moveaxis(array, axis, 0)
    along[1:4, 2:9, 2:9] = along[4 + empty : 7 + empty, 2:9, 2:9] = 1
    spacing = np.ones(4)
    spacing[2 - axis] = spacing_mm
    split = split_labels(Volume(array, np.diag(spacing)))
    assert len(split.parts[1]) == parts
    assert len(np.unique(split.labels.array)) == parts + 1
    assert any("drawn in 2 pieces" in warning for warning in split.warnings) == (empty > 0 and parts == 1)
    assert any("2 parts that lie apart" in warning for warning in split.warnings) == (parts == 2)


def test_speck_is_told_and_left_out():
    array = two_parts()
    array[28, 3, 3] = 1
    split = split_labels(Volume(array, np.eye(4)))
    assert split.labels.array[28, 3, 3] == 0
    assert any("1 specks" in warning for warning in split.warnings)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((5, 5, 5), 0.5, np.float32), "fractions"),
        (np.full((5, 5, 5), -1, np.int8), "number -1"),
        (np.arange(8000, dtype=np.uint16).reshape(20, 20, 20), "different numbers"),
    ],
)
def test_what_is_no_truth_is_refused(array, words):
    with pytest.raises(CaseError, match=words):
        split_labels(Volume(array, np.eye(4)))


def test_segmentation_of_slicer_is_a_truth_with_its_names(tmp_path):
    pair(tmp_path, two_parts())
    (tmp_path / "p1-label.nrrd").unlink()
    image = sitk.GetImageFromArray(np.where(two_parts() > 0, 5, 0).astype(np.uint8))
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    image.SetMetaData("Segment0_Name", "Metastasis")
    image.SetMetaData("Segment0_LabelValue", "5")
    sitk.WriteImage(image, str(tmp_path / "p1-label.seg.nrrd"))
    (checked,), problems = check_cases(tmp_path, labels_together=True)
    assert [(lesion.name, lesion.label) for lesion in checked.lesions] == [("Metastasis", 5)]
    assert not problems


@pytest.mark.parametrize("listed", [("A", "A.2"), ("A.2", "A"), ("A", "A.1")])
def test_parts_get_names_that_no_other_lesion_of_the_case_has(tmp_path, listed):
    array = two_parts()
    array[3:10, 20:27, 3:10] = 2
    case = write_case(tmp_path / "case")
    write_volume(Volume(np.pad(array, (0, 10)), np.eye(4)), case.folder / "truth.nrrd")
    lesions = {
        name: CaseLesion(name, (6.0, 6.0, 6.0) if name == "A" else (6.0, 23.0, 6.0), 1 if name == "A" else 2)
        for name in listed
    }
    save_case(dataclasses.replace(case, lesions=tuple(lesions.values())))
    (checked,), problems = check_cases(tmp_path)
    volume = checked.read_volume()
    voxels = {lesion.name: int(checked.truth_of(lesion, volume).sum()) for lesion in checked.lesions}
    other = next(name for name in listed if name != "A")
    expected = {"A.1": 729, "A.2": 216, other: 343}
    expected[f"{other} (2)"] = {"A.1": 729, "A.2": 216}[other]
    assert voxels == expected
    assert not problems


def test_number_without_a_segment_gets_a_name_that_no_segment_has(tmp_path):
    array = two_parts()
    array[20:26, 20:26, 20:26] = 3
    pair(tmp_path, array)
    (tmp_path / "p1-label.nrrd").unlink()
    image = sitk.GetImageFromArray(array)
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    for key, text in {"ID": "Segment_1", "Name": "Tumour 3", "LabelValue": "1", "Layer": "0"}.items():
        image.SetMetaData(f"Segment0_{key}", text)
    sitk.WriteImage(image, str(tmp_path / "p1-label.seg.nrrd"))
    (checked,), _ = check_cases(tmp_path)
    assert [(lesion.name, lesion.label) for lesion in checked.lesions] == [("Tumour 3", 1), ("Tumour 3 (2)", 3)]


def test_two_labels_beside_a_volume_and_a_label_alone_are_told(tmp_path):
    pair(tmp_path, two_parts())
    pair(tmp_path, two_parts(), "p1-label.mha")
    write_volume(Volume(two_parts(), np.eye(4)), tmp_path / "p2-label.nrrd")
    cases, problems = check_cases(tmp_path)
    assert not cases
    assert "2 labels beside it" in problems[0].text
    assert "label without a volume" in problems[1].text


def test_segmentation_in_layers_is_told_as_that(tmp_path):
    pair(tmp_path, two_parts())
    (tmp_path / "p1-label.nrrd").unlink()
    image = sitk.GetImageFromArray(np.stack([two_parts()] * 2, axis=-1), isVector=True)
    sitk.WriteImage(image, str(tmp_path / "p1-label.seg.nrrd"))
    _, problems = check_cases(tmp_path)
    assert "several layers" in problems[0].text
