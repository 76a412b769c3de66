"""A dataset is whole or not there; it is not made twice, and nothing that others made is lost."""

from __future__ import annotations

import json

import pytest
from CRLMSegmentationLib.core.errors import CrlmError
from CRLMSegmentationLib.research import training
from CRLMSegmentationLib.research.training import nnunet_raw
from CRLMSegmentationLib.research.training.manifest import raw_folder, read_manifest, verify_manifest
from helpers.prepare_helpers import files_in, prepare, write_patient


@pytest.fixture
def cases(tmp_path):
    for number in range(3):
        write_patient(tmp_path / "cases" / f"p{number}", number)
    return tmp_path / "cases"


def test_second_run_touches_nothing_and_gives_the_same(cases, tmp_path):
    manifest = prepare(cases, tmp_path / "out")
    before = files_in(tmp_path / "out")
    assert prepare(cases, tmp_path / "out", processes=2) == manifest
    assert files_in(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"crops_per_lesion": 1}, "crops_per_lesion 2 instead of 1"),
        ({"folds": 3}, "folds 2 instead of 3"),
        ({"variant": "full"}, "variant crop.seed instead of full"),
    ],
)
def test_other_arguments_are_refused_with_what_differs(cases, tmp_path, other, told):
    prepare(cases, tmp_path / "out")
    before = files_in(tmp_path / "out")
    with pytest.raises(CrlmError, match=rf"another dataset \(.*{told}.*choose another folder"):
        prepare(cases, tmp_path / "out", **other)
    assert files_in(tmp_path / "out") == before


def without_the_choice(out):
    """A dataset as it was prepared before there was a choice."""
    entry = json.loads((out / "manifest.json").read_text())
    del entry["preparation"]["labels_together"]
    (out / "manifest.json").write_text(json.dumps(entry))


def test_manifest_says_whether_parts_of_a_label_are_one_lesion(cases, tmp_path):
    assert prepare(cases, tmp_path / "apart").preparation["labels_together"] is False
    assert prepare(cases, tmp_path / "together", labels_together=True).labels_together
    assert not read_manifest(tmp_path / "apart").labels_together
    without_the_choice(tmp_path / "apart")
    assert read_manifest(tmp_path / "apart").labels_together


def test_dataset_of_other_lesions_is_refused(cases, tmp_path):
    prepare(cases, tmp_path / "out")
    with pytest.raises(CrlmError, match="labels_together False instead of True"):
        prepare(cases, tmp_path / "out", labels_together=True)
    without_the_choice(tmp_path / "out")
    with pytest.raises(CrlmError, match="labels_together True instead of False"):
        prepare(cases, tmp_path / "out")
    prepare(cases, tmp_path / "out", labels_together=True)


def test_manifest_with_another_choice_than_true_or_false_is_refused(cases, tmp_path):
    prepare(cases, tmp_path / "out")
    path = tmp_path / "out" / "manifest.json"
    path.write_text(path.read_text().replace('"labels_together": false', '"labels_together": "no"'))
    with pytest.raises(CrlmError, match="labels_together true or false"):
        read_manifest(tmp_path / "out")


def test_other_cases_are_refused(cases, tmp_path):
    prepare(cases, tmp_path / "out")
    write_patient(cases / "p3", 3)
    with pytest.raises(CrlmError, match=r"another dataset .cases: 0 of it are not among these, 1 of these not in it"):
        prepare(cases, tmp_path / "out")


def test_case_that_has_gone_bad_is_told_though_the_dataset_is_there(cases, tmp_path):
    prepare(cases, tmp_path / "out")
    before = files_in(tmp_path / "out")
    (cases / "p1" / "truth.nrrd").write_bytes(b"")
    with pytest.raises(CrlmError, match=r"p1: truth.nrrd differs from its hash"):
        prepare(cases, tmp_path / "out")
    with pytest.raises(CrlmError, match=r"another dataset .cases: 1 of it are not among these"):
        prepare(cases, tmp_path / "out", skip_bad=True)
    assert files_in(tmp_path / "out") == before


@pytest.mark.parametrize("moment", ["first image", "last image", "manifest"])
def test_what_was_interrupted_is_no_dataset_and_is_begun_anew(cases, tmp_path, monkeypatch, moment):
    out = tmp_path / "out"
    write, written = nnunet_raw.sitk.WriteImage, []

    def die_at(count):
        def write_or_die(image, path, **keywords):
            written.append(path)
            if len(written) == count:
                raise KeyboardInterrupt
            write(image, path, **keywords)

        return write_or_die

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        if moment == "manifest":
            broken.setattr(training.prepare, "write_manifest", die)
        else:
            broken.setattr(nnunet_raw.sitk, "WriteImage", die_at({"first image": 1, "last image": 18}[moment]))
        with pytest.raises(KeyboardInterrupt):
            prepare(cases, out)
    with pytest.raises(CrlmError, match="was not finished; run it again"):
        read_manifest(out)
    (out / "notes.txt").write_text("mine")
    manifest = prepare(cases, out, name="Other")
    assert verify_manifest(out) == manifest
    assert [path.name for path in (out / "raw").iterdir()] == ["Dataset511_Other"]
    assert sorted(path.name for path in out.iterdir()) == ["manifest.json", "notes.txt", "raw", "splits.json"]


def test_folder_of_others_is_left_alone(cases, tmp_path):
    (tmp_path / "out" / "raw" / "Dataset001_Theirs").mkdir(parents=True)
    with pytest.raises(CrlmError, match=r"holds raw.*choose another folder"):
        prepare(cases, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["raw", "Dataset001_Theirs"]


def test_no_dataset_and_an_unknown_one_are_told(cases, tmp_path):
    with pytest.raises(CrlmError, match=r"manifest.json is missing; prepare one with: crlm-seg prepare"):
        read_manifest(tmp_path)
    prepare(cases, tmp_path / "out")
    path = tmp_path / "out" / "manifest.json"
    whole = path.read_text()
    path.write_text(whole.replace('"schema_version": 1', '"schema_version": 99'))
    with pytest.raises(CrlmError, match="schema version 99"):
        read_manifest(tmp_path / "out")
    for damaged in (whole[: len(whole) // 2], "[]", "{}", whole.replace('"sha256"', '"hash"')):
        path.write_text(damaged)
        with pytest.raises(CrlmError, match=r"damaged.*another folder"):
            read_manifest(tmp_path / "out")


def test_what_was_changed_removed_or_added_later_is_found(cases, tmp_path):
    manifest = prepare(cases, tmp_path / "out")
    assert verify_manifest(tmp_path / "out") == manifest
    raw = raw_folder(tmp_path / "out", manifest.dataset_name)
    label = raw / "labelsTr" / "p0_1_0.nii.gz"
    content = label.read_bytes()
    label.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CrlmError, match=r"labelsTr/p0_1_0.nii.gz is changed"):
        verify_manifest(tmp_path / "out")
    label.unlink()
    with pytest.raises(CrlmError, match=r"labelsTr/p0_1_0.nii.gz is missing"):
        verify_manifest(tmp_path / "out")
    label.write_bytes(content)
    (raw / "imagesTr" / "more_0000.nii.gz").write_bytes(content)
    with pytest.raises(CrlmError, match=r"imagesTr/more_0000.nii.gz is of unknown origin"):
        verify_manifest(tmp_path / "out")
    (raw / "imagesTr" / "more_0000.nii.gz").unlink()
    (tmp_path / "out" / "splits.json").write_text("[]")
    with pytest.raises(CrlmError, match=r"splits.json is changed"):
        verify_manifest(tmp_path / "out")
