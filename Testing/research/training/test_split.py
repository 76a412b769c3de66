"""Who is validated on where: by patient, and hard lesions evenly."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import CaseError
from CRLMSegmentationLib.research.training.split import Patient, split_patients
from helpers.prepare_helpers import prepare, write_patient

SHARES = {"hypoechoic": 0.52, "isoechoic": 0.36, "hyperechoic": 0.12}


def cohort_of(count: int, seed: int = 0) -> list[Patient]:
    """Patients as in the literature, with one to four lesions."""
    rng = np.random.default_rng(seed)
    echogenicities = rng.choice(list(SHARES), count, p=list(SHARES.values()))
    sizes_mm = [rng.lognormal(2.8, 0.5, rng.integers(1, 5)) for _ in range(count)]
    return [
        Patient(f"P{number}", tuple((str(echogenicity), float(mm)) for mm in sizes))
        for number, (echogenicity, sizes) in enumerate(zip(echogenicities, sizes_mm))
    ]


@pytest.mark.parametrize(
    ("count", "folds", "share"), [(85, 5, 0.0), (85, 5, 0.2), (41, 4, 0.1), (12, 3, 0.25), (7, 3, 0)]
)
def test_each_fold_has_its_share_of_each_echogenicity_and_of_all_patients(count, folds, share):
    patients = cohort_of(count)
    split = split_patients(patients, folds, share, seed=3)
    groups = [*split.folds, *([split.held_out] if share else [])]
    assert sorted(name for names in groups for name in names) == sorted(patient.name for patient in patients)
    kind_of = {patient.name: patient.echogenicity for patient in patients}
    total = Counter(kind_of.values())
    for names in groups:
        found = Counter(kind_of[name] for name in names)
        for kind in SHARES:
            assert abs(found[kind] - total[kind] * len(names) / count) <= 1
    assert len({len(names) for names in split.folds}) <= 2
    assert len(split.held_out) == (max(1, round(share * count)) if share else 0)


def test_sizes_are_spread_as_well():
    patients = cohort_of(200)
    split = split_patients(patients, 5, 0.0, seed=0)
    large = {patient.name for patient in patients if patient.size == "30 mm and more"}
    counts = [len(large & set(names)) for names in split.folds]
    assert max(counts) - min(counts) <= 3


def test_split_depends_on_the_seed_but_not_on_the_order():
    patients = cohort_of(30)
    split = split_patients(patients, 5, 0.2, seed=0)
    assert split_patients(patients[::-1], 5, 0.2, seed=0) == split
    assert split_patients(patients, 5, 0.2, seed=1) != split


def test_patient_is_what_most_of_his_lesions_are_and_as_large_as_the_largest():
    lesions = (("hypoechoic", 8.0), ("isoechoic", 12.0), ("isoechoic", 25.0))
    assert (Patient("P", lesions).echogenicity, Patient("P", lesions).size) == ("isoechoic", "20 to 30 mm")
    assert Patient("P", (("hypoechoic", 8.0), ("hyperechoic", 9.0))).echogenicity == "hyperechoic"
    assert Patient("P", (("unknown", 8.0), ("unknown", 8.0), ("isoechoic", 9.0))).echogenicity == "isoechoic"
    assert Patient("P", (("unknown", 8.0),)).echogenicity == "unknown"


def test_too_few_patients_are_told():
    with pytest.raises(CaseError, match="5 patients, 1 of them held out, cannot fill 5 folds; take fewer"):
        split_patients(cohort_of(5), 5, 0.1, seed=0)


def test_two_cases_of_one_patient_are_on_the_same_side_and_who_is_held_out_is_in_no_image(tmp_path):
    for number in range(8):
        patient = {"kind": "simulated", "patient": f"P{number // 2}"}
        write_patient(tmp_path / "cases" / f"c{number}", number, source=patient)
    manifest = prepare(tmp_path / "cases", tmp_path / "out", folds=3, held_out_share=0.25)
    patient_of = {image.name: f"P{int(image.case_id[1:]) // 2}" for image in manifest.images}
    splits = json.loads((tmp_path / "out" / "splits.json").read_text())
    validated = []
    for split, patients in zip(splits, manifest.folds):
        assert len(split["train"]) + len(split["val"]) == len(manifest.images) == 12
        assert {patient_of[name] for name in split["val"]} == set(patients)
        assert not {patient_of[name] for name in split["train"]} & set(patients)
        validated += split["val"]
    assert sorted(validated) == sorted(patient_of)
    held_out = {case.patient for case in manifest.held_out}
    assert len(held_out) == 1
    assert len(manifest.held_out) == 2
    assert not held_out & set(patient_of.values())
    assert all(len(case.sha256) == 64 for case in manifest.held_out)
