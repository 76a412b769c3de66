import json
import re

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import CaseError
from CRLMSegmentationLib.core.json_files import Damage
from CRLMSegmentationLib.core.volume import Volume, write_volume
from CRLMSegmentationLib.recording.case import (
    Case,
    CaseLesion,
    TrackingSample,
    append_tracking,
    load_case,
    save_case,
    save_volume_into_case,
)


@pytest.fixture
def folder(tmp_path):
    array = np.random.default_rng(0).integers(1, 255, (6, 7, 8), dtype=np.uint8)
    volume = Volume(array, np.diag([0.5, 1, 2, 1.0]), "recvol_Reference", 12.5, array > 20)
    write_volume(Volume((array > 100).astype(np.uint8), volume.ijk_to_ras), tmp_path / "truth.nrrd")
    samples = [TrackingSample(12.0 + t, "ProbeToReference", "OK", np.diag([1, 1, 1, 1.0])) for t in range(3)]
    append_tracking(tmp_path / "tracking.jsonl", samples)
    entry = save_volume_into_case(tmp_path, "volume", volume)
    lesions = (CaseLesion("Tumour 1", (1.0, 2.0, 3.0), 1, {"echogenicity": "isoechoic"}),)
    save_case(Case(tmp_path, "case-1", (entry,), lesions, "truth.nrrd", "tracking.jsonl", source={"kind": "simulated"}))
    return tmp_path


def test_case_comes_back_as_it_was_written(folder):
    case = load_case(folder)
    assert case.case_id == "case-1"
    assert case.lesions[0].seed_ras_mm == (1.0, 2.0, 3.0)
    volume = case.volume()
    assert volume.device == "recvol_Reference"
    assert volume.timestamp_s == 12.5
    assert (volume.insonified == (volume.array > 20)).all()
    assert case.truth_labels().array.max() == 1
    assert [s.timestamp_s for s in case.tracking_samples()] == [12.0, 13.0, 14.0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda array, matrix: (array, matrix + 5 * np.eye(4, k=3)), "lies on another grid"),
        (lambda array, matrix: (array, matrix @ np.diag([-1.0, 1, 1, 1])), "lies on another grid"),
        (lambda array, matrix: (array[1:], matrix), "lies on another grid"),
        (lambda array, matrix: (array * np.float32(0.5), matrix), "holds fractions or NaN"),
        (lambda array, matrix: (np.where(array, 1, np.nan).astype(np.float32), matrix), "holds fractions or NaN"),
    ],
)
def test_swept_mask_that_lies_elsewhere_or_is_no_mask_is_refused(folder, change, words):
    case = load_case(folder)
    name = case.volumes[0].swept
    mask = case.read_volume(name)
    write_volume(Volume(*change(mask.array, mask.ijk_to_ras)), folder / name)
    with pytest.raises(CaseError, match=words):
        case.volume()


def test_changed_file_is_noticed(folder):
    (folder / "tracking.jsonl").write_text("{}\n")
    with pytest.raises(CaseError, match=r"tracking\.jsonl differs from its hash"):
        load_case(folder)


def test_missing_file_is_noticed(folder):
    (folder / "truth.nrrd").unlink()
    with pytest.raises(CaseError, match=r"truth\.nrrd is missing"):
        load_case(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda e: e.update(schema_version=99), "schema version 99"),
        (lambda e: e.pop("case_id"), "case_id"),
        (lambda e: e["files"].update({"../outside": "0"}), "outside its folder"),
        (lambda e: e.update(case_id=None), "case_id must be a text, got null"),
        (lambda e: e.update(source=None), "source must be an object, got null"),
        (lambda e: e.update(files=None), "files must be an object of file names and hashes, got null"),
        (lambda e: e.update(files={"volume.nrrd": 1}), "files must be .*, got {"),
        (lambda e: e.update(devices={"probe": "Sondé"}), "devices must be .* ASCII .*, got .*Sondé"),
        (lambda e: e.update(devices={"probe": 3}), "devices must be .* ASCII"),
        (lambda e: e.update(truth=["truth.nrrd"]), "truth must be a text or null"),
        (lambda e: e.update(volumes={}), "volumes must be a list"),
        (lambda e: e.update(volumes=[None]), r"volumes\[0\] must be an object, got null"),
        (lambda e: e["volumes"][0].update(file=["a"]), r"volumes\[0\]\.file must be a text, got \[\"a\"\]"),
        (lambda e: e["volumes"][0].update(timestamp_s="x"), r"volumes\[0\]\.timestamp_s must be seconds .*, got \"x\""),
        (lambda e: e["volumes"][0].update(timestamp_s=float("nan")), r"timestamp_s must be seconds .*, got NaN"),
        (lambda e: e["volumes"][0].update(device="Größe"), r"volumes\[0\]\.device must be .* ASCII"),
        (lambda e: e["volumes"][0].update(device=7), r"volumes\[0\]\.device must be .* ASCII .*, got 7"),
        (lambda e: e["volumes"][0].update(colour="red"), r"volumes\[0\] holds the unknown entry colour, expected file"),
        (lambda e: e.update(lesions=[{"name": "x"}]), r"lesions\[0\]\.seed_ras_mm is missing, expected three"),
        (lambda e: e["lesions"][0].update(seed_ras_mm=["a", "b", "c"]), r"lesions\[0\]\.seed_ras_mm must be three"),
        (
            lambda e: e["lesions"][0].update(seed_ras_mm=[1, 2]),
            r"seed_ras_mm must be three finite numbers .*got \[1, 2",
        ),
        (lambda e: e["lesions"][0].update(seed_ras_mm=[1, 2, float("inf")]), "seed_ras_mm must be three finite"),
        (lambda e: e["lesions"][0].update(seed_ras_mm=[1, 2, 10**400]), "seed_ras_mm must be three finite"),
        (lambda e: e["lesions"][0].update(label="1"), r"lesions\[0\]\.label must be an integer or null, got \"1\""),
        (lambda e: e["lesions"].append(e["lesions"][0]), "a name of their own each, got .*Tumour 1.*Tumour 1"),
    ],
)
def test_damaged_description_says_what_is_wrong(folder, change, words):
    entry = json.loads((folder / "case.json").read_text())
    change(entry)
    (folder / "case.json").write_text(json.dumps(entry))
    with pytest.raises(CaseError, match=words):
        load_case(folder)


@pytest.mark.parametrize("label", [7, "1", 1.5])
def test_truth_that_does_not_hold_the_lesion_is_told(folder, label):
    case = load_case(folder)
    lesion = CaseLesion("Tumour 7", (1.0, 2.0, 3.0), label)
    with pytest.raises(CaseError, match=r"truth\.nrrd of case-1 has no voxel with the label .* of Tumour 7"):
        case.truth_of(lesion, case.volume())


def test_no_case_and_no_json_are_told_apart(tmp_path):
    with pytest.raises(CaseError, match="no case in"):
        load_case(tmp_path)
    (tmp_path / "case.json").write_text("{")
    with pytest.raises(CaseError, match="not valid JSON"):
        load_case(tmp_path)


def test_line_cut_short_by_a_crash_costs_only_itself(folder):
    path = folder / "tracking.jsonl"
    path.write_text(path.read_text() + '{"timestamp_s": 15.0, "dev')
    assert len(list(load_case(folder, verify=False).tracking_samples())) == 3


def test_damaged_line_in_the_middle_costs_that_line_and_is_told(folder):
    path = folder / "tracking.jsonl"
    path.write_text("garbage\n" + path.read_text())
    damage = Damage()
    assert len(list(load_case(folder, verify=False).tracking_samples(damage))) == 3
    assert damage.sentence("tracking.jsonl").startswith("1 line of tracking.jsonl cannot be used and is left out")
    assert "line 1: it is not valid JSON" in damage.first


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"device": 7}, "device must be .*, got 7"),
        ({"device": "a\0b"}, "device holds the character NUL"),
        ({"device": "x" * 10_000}, "device must be .*, got .*x…"),
        ({"status": ["OK"]}, "status must be"),
        ({"timestamp_s": 10**400}, "timestamp_s must be a number of up to 18 digits, got 401 digits"),
        ({"timestamp_s": 1e300}, "timestamp_s must be seconds from 0 to .*, got 1e.300"),
        ({"timestamp_s": -1.0}, "timestamp_s must be seconds from 0 to .*, got -1.0"),
        ({"timestamp_s": float("nan")}, "timestamp_s must be a finite number, got NaN"),
        ({"matrix": [1]}, "matrix must be 16 finite numbers"),
        ({"matrix": [float("inf")] * 16}, r"matrix\[\d+\] must be a finite number, got Infinity"),
    ],
)
def test_line_that_is_no_transform_is_told_with_its_number(folder, change, words):
    path = folder / "tracking.jsonl"
    first, *rest = path.read_text().splitlines(keepends=True)
    path.write_text(json.dumps({**json.loads(first), **change}) + "\n" + "".join(rest))
    damage = Damage()
    assert len(list(load_case(folder, verify=False).tracking_samples(damage))) == 2
    assert re.match(f"line 1: {words}", damage.first)


@pytest.mark.parametrize("name", ["volume.nrrd", "truth.nrrd", "tracking.jsonl"])
def test_file_without_a_hash_is_refused(folder, name):
    entry = json.loads((folder / "case.json").read_text())
    del entry["files"][name]
    (folder / "case.json").write_text(json.dumps(entry))
    with pytest.raises(CaseError, match=name.replace(".", r"\.")):
        load_case(folder)


def test_case_without_a_volume_is_refused(folder):
    entry = json.loads((folder / "case.json").read_text())
    entry["volumes"] = []
    (folder / "case.json").write_text(json.dumps(entry))
    with pytest.raises(CaseError, match="volumes must be a list of at least one volume"):
        load_case(folder)


def test_truth_on_another_grid_is_refused_and_on_the_same_it_is_the_lesion(folder):
    case = load_case(folder)
    volume = case.volume()
    assert (case.truth_of(case.lesions[0], volume) == (case.truth_labels().array == 1)).all()
    moved = volume.ijk_to_ras.copy()
    moved[0, 3] += 1
    with pytest.raises(CaseError, match="another grid"):
        case.truth_of(case.lesions[0], Volume(volume.array, moved))
