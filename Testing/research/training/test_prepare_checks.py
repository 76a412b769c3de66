"""What is said before anything is written: of cases that cannot be learned from, and of those that are odd."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import CaseError, CrlmError
from CRLMSegmentationLib.recording.dataset import check_cases, table_of
from CRLMSegmentationLib.research.training.preparation import Preparation
from CRLMSegmentationLib.research.training.prepare import prepare_dataset
from CRLMSegmentationLib.research.training.readiness import Readiness, check_for_training
from helpers.prepare_helpers import FIRST, SECOND, SIZE, SMALL, labels_of, prepare, speckle, write_patient

TINY = (slice(24, 26),) * 3
BOTH = labels_of((FIRST, SECOND))


def readiness_of(cases, **chosen) -> Readiness:
    return check_for_training(check_cases(cases)[0], Preparation(**{**SMALL, **chosen}))


def texts(problems) -> dict[str, str]:
    return {" ".join(filter(None, (problem.case, problem.lesion))): problem.text for problem in problems}


@pytest.fixture
def cases(tmp_path):
    """Two patients with nothing against them."""
    for number in range(2):
        write_patient(tmp_path / "cases" / f"good-{number}", number)
    return tmp_path / "cases"


def test_nothing_is_said_against_good_cases(cases):
    for variant in ("full", "crop", "crop+seed"):
        readiness = readiness_of(cases, variant=variant)
        assert (readiness.bad, readiness.warnings, readiness.unsolvable) == ((), (), ())


def test_each_bad_case_has_its_reason_in_one_table_and_nothing_is_written(cases, tmp_path):
    write_patient(cases / "constant", array=np.full((SIZE,) * 3, 90, np.uint8))
    write_patient(cases / "metres", 2, ijk_to_ras=np.diag([0.015, 0.015, 0.015, 1]))
    write_patient(cases / "centimetres", 3, ijk_to_ras=np.diag([12.0, 12, 12, 1]))
    write_patient(cases / "the-same", 1)
    write_patient(cases / "GOOD-0", 5)
    write_patient(cases / "background", 6, listed=[0])
    write_patient(cases / "twins", 7, (FIRST, SECOND), listed=[1, 1])
    write_patient(cases / "far-off", 8, array=speckle(8, ()) * (np.indices((SIZE,) * 3)[0] > 20).astype(np.uint8))
    write_patient(cases / "no-label", 9, (FIRST, SECOND), listed=[1, None])
    write_patient(cases / "too-small", 10, (TINY,))
    found, problems = check_cases(cases)
    told = []
    with pytest.raises(CaseError, match="--skip-bad"):
        prepare_dataset(found, tmp_path / "out", Preparation(**SMALL), problems=problems, on_problems=told.extend)
    assert not (tmp_path / "out").exists()
    expected = {
        "constant": "the same grey value 90",
        "metres": "check the unit",
        "centimetres": "check the unit",
        "the-same": "same voxels as good-1",
        "good-0": "name of GOOD-0 but for upper and lower case",
        "background": "label must be an integer from 1",
        "twins Tumour 1": "label 1 as well as Tumour 2",
        "twins Tumour 2": "label 1 as well as Tumour 1",
        "far-off Tumour 1": "where the probe has not been",
        "no-label Tumour 2": "no label",
        "too-small": "large enough",
    }
    assert set(texts(told)) == set(expected)
    for name, reason in expected.items():
        assert reason in texts(told)[name]
    assert len(table_of(told).splitlines()) == len(expected) + 1
    manifest = prepare(cases, tmp_path / "out", skip_bad=True)
    assert [case.case_id for case in manifest.cases] == ["GOOD-0", "good-1", "no-label"]
    assert [tuple(left[:2]) for left in manifest.left_out] == [(p.case, p.lesion) for p in told]


def test_lesion_whose_truth_was_not_swept_is_refused_though_its_seed_was(cases):
    array = speckle(3, ())
    array[:, :, 16:] = 0
    write_patient(cases / "elsewhere", array=array, boxes=((slice(5, 9),) * 3,), labels=labels_of((SECOND,)))
    assert "no reference voxel in the field of view" in texts(readiness_of(cases).bad)["elsewhere Tumour 1"]


@pytest.mark.parametrize("variant", ["full", "crop"])
def test_lesions_that_would_be_taught_as_background_keep_their_case_out(cases, variant):
    write_patient(cases / "unlisted", 2, (FIRST,), labels=BOTH)
    write_patient(cases / "untrue", 3, (FIRST, SECOND), labels=labels_of((FIRST,)))
    readiness = readiness_of(cases, variant=variant)
    assert "label 2 in its reference" in texts(readiness.bad)["unlisted"]
    assert "no reference of Tumour 2" in texts(readiness.bad)["untrue"]
    assert [checked.case_id for checked, _ in readiness.cases] == ["good-0", "good-1"]


def test_with_a_seed_other_lesions_are_background_anyway_so_that_it_is_only_remarked(cases):
    write_patient(cases / "unlisted", 2, (FIRST,), labels=BOTH)
    readiness = readiness_of(cases)
    assert not readiness.bad
    assert "label 2 in its reference, which no lesion has; no crop" in texts(readiness.warnings)["unlisted"]


def test_small_lesions_are_remarked_and_get_no_crop_but_stay_foreground(cases, tmp_path):
    write_patient(cases / "one-small", 2, (FIRST, TINY))
    remarks = texts(readiness_of(cases).warnings)
    assert "8 voxels at 1 mm, fewer than 20" in remarks["one-small Tumour 2"]
    manifest = prepare(cases, tmp_path / "out", variant="crop")
    assert {image.lesion for image in manifest.images if image.case_id == "one-small"} == {"Tumour 1"}
    assert [case.lesions for case in manifest.cases if case.case_id == "one-small"] == [("Tumour 1",)]
    assert [remark[:2] for remark in manifest.remarks] == [["one-small", "Tumour 2"]]


def test_more_that_is_remarkable(cases):
    array = speckle(2, (FIRST,))
    array[:, :, :18] = 0
    labels = labels_of(((slice(12, 20), slice(12, 20), slice(10, 20)),))
    case = write_patient(cases / "half-swept", 2, ((FIRST[0], FIRST[1], slice(18, 20)),), array=array, labels=labels)
    write_patient(cases / "wide", 3, ((slice(3, 29), slice(12, 20), slice(12, 20)),))
    write_patient(cases / "twice-a", 4, source={"patient": "P4"})
    write_patient(cases / "twice-b", 4, source={"patient": "P4"})
    remarks = texts(readiness_of(cases).warnings)
    assert case.case_id == "half-swept"
    assert "field of view by 20% only" in remarks["half-swept Tumour 1"]
    assert "26 mm wide, more than a crop of 24 mm" in remarks["wide Tumour 1"]
    assert "counts twice" in remarks["twice-b"]
    assert not readiness_of(cases).bad


def test_too_few_patients_cannot_be_skipped(cases, tmp_path):
    write_patient(cases / "one-more", 2, source={"patient": "good-0"})
    told = r"^2 patients cannot fill 3 folds; take fewer with --folds, or more patients$"
    for skip_bad in (False, True):
        with pytest.raises(CaseError, match=told):
            prepare(cases, tmp_path / "out", skip_bad, folds=3)
    write_patient(cases / "small", 3, (TINY,))
    with pytest.raises(CaseError, match=r"small: .*large enough.*\(and 1 more\); correct them$"):
        prepare(cases, tmp_path / "out", folds=3)
    with pytest.raises(CaseError, match=told):
        prepare(cases, tmp_path / "out", skip_bad=True, folds=3)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"variant": "half"},
        {"crop_size_mm": 10.0},
        {"spacing_mm": float("nan")},
        {"spacing_mm": 0.2},
        {"crops_per_lesion": 0},
        {"folds": 1},
        {"held_out_share": 1.0},
        {"name": "two__underscores"},
        {"name": ""},
        {"seed": -1},
        {"processes": 0},
    ],
)
def test_preparations_that_cannot_be_are_refused(wrong):
    with pytest.raises(CrlmError):
        Preparation(**wrong)
