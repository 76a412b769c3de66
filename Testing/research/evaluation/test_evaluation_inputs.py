"""What is taken as a case with truth, and what is said of the others."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import CaseError, CrlmError
from CRLMSegmentationLib.core.volume import Volume, write_volume
from CRLMSegmentationLib.recording import dataset
from CRLMSegmentationLib.recording.case import load_case, save_case
from CRLMSegmentationLib.recording.dataset import check_cases, deepest_point, table_of
from CRLMSegmentationLib.research.evaluation.settings import EvaluationSettings
from helpers.evaluation_helpers import box, tiny_volume, write_case

OBLIQUE = np.array([[0.6, -0.8, 0, 12], [0.8, 0.6, 0, -7], [0, 0, -1.5, 33], [0, 0, 0, 1]], float)


def problems_of(path) -> dict[str, str]:
    return {problem.case: problem.text for problem in check_cases(path)[1]}


def test_one_case_and_a_folder_of_cases_are_found(cases_folder):
    assert [c.case_id for c in check_cases(cases_folder)[0]] == ["exact", "half", "missed"]
    assert [c.case_id for c in check_cases(cases_folder / "half")[0]] == ["half"]


def test_each_bad_case_has_its_reason(tmp_path):
    write_case(tmp_path / "good")
    write_case(tmp_path / "no-truth", truth=None)
    write_case(tmp_path / "no-label", label=None)
    write_case(tmp_path / "other-label", label=5)
    write_case(tmp_path / "seed-outside", seed=(500.0, 0.0, 0.0))
    write_case(tmp_path / "namesake", case_id="good")
    write_case(tmp_path / "damaged")
    (tmp_path / "damaged" / "truth.nrrd").write_bytes(b"")
    case = write_case(tmp_path / "other-grid")
    write_volume(Volume(box((16, 24)).astype(np.uint8)[:-1], np.eye(4)), case.folder / "truth.nrrd")
    save_case(case)
    save_case(dataclasses.replace(write_case(tmp_path / "no-lesion"), lesions=()))
    found = problems_of(tmp_path)
    expected = {
        "no-truth": "no truth",
        "no-label": "no label",
        "other-label": "no voxel with the label 5",
        "seed-outside": "outside the volume",
        "namesake": "has the name good as well",
        "damaged": "differs from its hash",
        "other-grid": "another grid",
        "no-lesion": "no lesion",
    }
    assert set(found) == set(expected)
    for name, reason in expected.items():
        assert reason in found[name]
    assert [c.case_id for c in check_cases(tmp_path)[0]] == ["good"]


def test_one_bad_lesion_leaves_the_others_of_its_case(tmp_path):
    case = write_case(tmp_path / "mixed")
    lost = dataclasses.replace(case.lesions[0], name="Tumour 2", label=9)
    save_case(dataclasses.replace(case, lesions=(*case.lesions, lost)))
    cases, problems = check_cases(tmp_path)
    assert [lesion.name for lesion in cases[0].lesions] == ["Tumour 1"]
    assert [(p.case, p.lesion) for p in problems] == [("mixed", "Tumour 2")]
    assert load_case(cases[0].case.folder).lesions[1] == lost


def test_table_lines_up(tmp_path):
    write_case(tmp_path / "a-long-name", truth=None)
    lines = table_of(check_cases(tmp_path)[1]).splitlines()
    assert lines[0].index("What is wrong") == lines[1].index("has no truth")
    assert lines[1].startswith("a-long-name  all ")


def test_pairs_of_volume_and_label_are_cases_with_seeds_in_the_deepest_voxel(tmp_path):
    label = box((4, 12)).astype(np.int16) + 2 * box((20, 34))
    write_volume(tiny_volume((16, 24), OBLIQUE), tmp_path / "p1.nii.gz")
    write_volume(Volume(label, OBLIQUE), tmp_path / "p1-label.nii.gz")
    write_volume(tiny_volume((16, 24)), tmp_path / "p2.nrrd")
    cases, problems = check_cases(tmp_path)
    assert [p.case for p in problems] == ["p2.nrrd"]
    assert "p2-label.nrrd" in problems[0].text
    assert [lesion.label for lesion in cases[0].lesions] == [1, 2]
    assert cases[0].simulated is None
    for lesion in cases[0].lesions:
        truth = cases[0].case.truth_of(lesion, cases[0].read_volume())
        i, j, k = np.linalg.solve(OBLIQUE, [*lesion.seed_ras_mm, 1])[:3].round().astype(int)
        assert truth[k, j, i]


def test_label_with_fractions_is_refused(tmp_path):
    write_volume(tiny_volume((16, 24)), tmp_path / "p.nrrd")
    write_volume(Volume(box((16, 24)) * np.float32(0.5), np.eye(4)), tmp_path / "p-label.nrrd")
    assert "fractions" in problems_of(tmp_path)["p.nrrd"]


@pytest.mark.parametrize("edge", [0.4, 1.4, 1.6, 2.5])
def test_label_blurred_at_its_border_is_refused_as_that(tmp_path, edge):
    label = 2 * box((16, 24)).astype(np.float32)
    label[24] = edge * box((16, 24))[23]
    write_volume(tiny_volume((16, 24)), tmp_path / "p.nrrd")
    write_volume(Volume(label, np.eye(4)), tmp_path / "p-label.nrrd")
    assert "its truth holds fractions" in problems_of(tmp_path)["p.nrrd"]


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        (np.linspace(0, 1, 40**3, dtype=np.float32).reshape(40, 40, 40), "fractions"),
        (np.arange(40**3, dtype=np.uint16).reshape(40, 40, 40) % 255, "254 different numbers"),
    ],
)
def test_no_seed_is_sought_in_a_label_that_is_none(tmp_path, monkeypatch, label, reason):
    sought = []
    monkeypatch.setattr(dataset, "deepest_point", lambda *_: sought.append(1) or np.zeros(3))
    write_volume(tiny_volume((16, 24)), tmp_path / "p.nrrd")
    write_volume(Volume(label, np.eye(4)), tmp_path / "p-label.nrrd")
    assert reason in problems_of(tmp_path)["p.nrrd"]
    assert not sought


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_label_without_a_number_somewhere_is_told_as_that(tmp_path, number):
    label = box((16, 24)).astype(np.float32)
    label[0, 0, :3] = number
    write_volume(tiny_volume((16, 24)), tmp_path / "p.nrrd")
    write_volume(Volume(label, np.eye(4)), tmp_path / "p-label.nrrd")
    assert "no number (NaN or infinity) in 3 voxels" in problems_of(tmp_path)["p.nrrd"]


def test_nothing_to_evaluate_is_said(tmp_path):
    with pytest.raises(CaseError, match="no case in"):
        check_cases(tmp_path)
    with pytest.raises(CaseError, match="no folder"):
        check_cases(tmp_path / "absent")


def test_deepest_point_is_inside_a_horseshoe():
    mask = box((10, 30))
    mask[12:30, 18:22] = False
    i, j, k = deepest_point(mask, np.eye(4)).astype(int)
    assert mask[k, j, i]


@pytest.mark.parametrize(
    "wrong", [{"seed": -1}, {"crop_size_mm": 1.0}, {"grey_factors": (-1.0,)}, {"gains_db": (float("nan"),)}]
)
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(CrlmError):
        EvaluationSettings(**wrong)


def test_files_of_the_system_are_no_cases_and_suffixes_count_in_any_case(tmp_path):
    write_volume(tiny_volume((16, 24)), tmp_path / "p.nrrd")
    write_volume(Volume(box((16, 24)).astype(np.uint8), np.eye(4)), tmp_path / "p-label.nii.gz")
    (tmp_path / "p.nrrd").rename(tmp_path / "p.NRRD")
    (tmp_path / "p-label.nii.gz").rename(tmp_path / "p-label.Nii.Gz")
    for name in ("._p.NRRD", "._p-label.Nii.Gz", ".DS_Store", "._q.nrrd"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    cases, problems = check_cases(tmp_path)
    assert [case.case_id for case in cases] == ["p"]
    assert problems == []


def test_segmentation_is_a_label(tmp_path):
    write_volume(tiny_volume((16, 24)), tmp_path / "p.nrrd")
    write_volume(Volume(box((16, 24)).astype(np.uint8), np.eye(4)), tmp_path / "p-label.seg.nrrd")
    cases, problems = check_cases(tmp_path)
    assert ([case.case_id for case in cases], problems) == (["p"], [])


def test_two_labels_of_one_volume_are_told_instead_of_choosing(tmp_path):
    write_volume(tiny_volume((16, 24)), tmp_path / "p.nrrd")
    for suffix in (".nrrd", ".nii.gz"):
        write_volume(Volume(box((16, 24)).astype(np.uint8), np.eye(4)), tmp_path / f"p-label{suffix}")
    assert "2 labels beside it (p-label.nii.gz, p-label.nrrd)" in problems_of(tmp_path)["p.nrrd"]


def test_two_volumes_of_one_label_are_told_without_the_entry_of_a_case(tmp_path):
    for suffix in (".nrrd", ".nii.gz"):
        write_volume(tiny_volume((16, 24)), tmp_path / f"p{suffix}")
    write_volume(Volume(box((16, 24)).astype(np.uint8), np.eye(4)), tmp_path / "p-label.nrrd")
    told = f"has the name p as well as {tmp_path / 'p.nii.gz'}; keep the right one"
    assert problems_of(tmp_path) == {"p.nrrd": told}


def test_volume_with_the_name_of_a_case_is_to_be_renamed(tmp_path):
    write_case(tmp_path / "p")
    write_volume(tiny_volume((16, 24)), tmp_path / "p.nrrd")
    write_volume(Volume(box((16, 24)).astype(np.uint8), np.eye(4)), tmp_path / "p-label.nrrd")
    told = f"has the name p as well as {tmp_path / 'p'}; rename the volume and its label"
    assert problems_of(tmp_path) == {"p.nrrd": told}


def test_cut_off_label_is_refused(tmp_path):
    write_volume(tiny_volume((16, 24)), tmp_path / "p.nrrd")
    label = tmp_path / "p-label.nii.gz"
    write_volume(Volume(box((16, 24)).astype(np.uint8), np.eye(4)), label)
    label.write_bytes(label.read_bytes()[: label.stat().st_size * 55 // 100])
    assert "is cut off: expected" in problems_of(tmp_path)["p.nrrd"]


def test_volume_of_one_value_is_refused(tmp_path):
    write_volume(Volume(np.full((40, 40, 40), 7, np.uint8), np.eye(4)), tmp_path / "p.nrrd")
    write_volume(Volume(box((16, 24)).astype(np.uint8), np.eye(4)), tmp_path / "p-label.nrrd")
    assert "have the value 7" in problems_of(tmp_path)["p.nrrd"]
