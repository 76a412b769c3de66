"""What a network is shown of a case: crops and whole volumes, with their labels, wherever voxels lie."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
from CRLMSegmentationLib.core.crop_format import CHANNELS, CLICK_CHANNELS
from CRLMSegmentationLib.core.volume import Volume, from_sitk, write_volume
from CRLMSegmentationLib.research.training.manifest import raw_folder, read_manifest
from CRLMSegmentationLib.research.training.preparation import Preparation
from CRLMSegmentationLib.research.training.samples import deep_voxels, image_name
from CRLMSegmentationLib.segmentation.models.pack import About
from helpers.prepare_helpers import (
    FIRST,
    OBLIQUE,
    PERMUTED,
    SECOND,
    SIZE,
    labels_of,
    prepare,
    read,
    speckle,
    volume_mm3,
    write_patient,
)


@pytest.fixture
def cohort(tmp_path):
    """Two patients with two lesions each, in voxels of 1 mm."""
    for number in range(2):
        write_patient(tmp_path / "cases" / f"p{number}", number, (FIRST, SECOND))
    return tmp_path / "cases"


def test_every_lesion_gives_its_crops_with_seed_channel_and_itself_alone_as_label(cohort, tmp_path):
    manifest = prepare(cohort, tmp_path / "out")
    names = [f"p{p}_{label}_{n}" for p in (0, 1) for label in (1, 2) for n in (0, 1)]
    assert [image.name for image in manifest.images] == names
    raw = raw_folder(tmp_path / "out", manifest.dataset_name)
    assert len(list((raw / "imagesTr").iterdir())) == 2 * len(names)
    for name in names:
        image, label = read(tmp_path / "out", manifest, name)
        assert image.GetSize() == (24, 24, 24)
        assert image.GetSpacing() == (1, 1, 1)
        assert volume_mm3(label) == pytest.approx(8**3 if "_1_" in name else 6**3, rel=0.1)
        seed = sitk.GetArrayFromImage(sitk.ReadImage(str(raw / "imagesTr" / f"{name}_0001.nii.gz")))
        assert np.unravel_index(seed.argmax(), seed.shape) in [
            (a, b, c) for a in (11, 12) for b in (11, 12) for c in (11, 12)
        ]


def test_without_the_seed_every_lesion_in_the_crop_is_foreground(cohort, tmp_path):
    manifest = prepare(cohort, tmp_path / "out", variant="crop", crop_size_mm=40.0)
    _, label = read(tmp_path / "out", manifest, "p0_1_0")
    assert volume_mm3(label) == pytest.approx(8**3 + 6**3, rel=0.1)
    assert not list((tmp_path / "out").rglob("*_0001.nii.gz"))


@pytest.mark.parametrize("ijk_to_ras", [np.eye(4), OBLIQUE, PERMUTED], ids=["upright", "oblique", "permuted"])
@pytest.mark.parametrize("variant", ["full", "crop", "crop+seed"])
def test_lesion_keeps_its_volume_and_place_in_whatever_way_voxels_are_stored(variant, ijk_to_ras, tmp_path):
    ball = np.linalg.norm(np.indices((SIZE,) * 3).T - 15.5, axis=-1) < 5
    for number in range(2):
        array = np.where(ball, speckle(number, ()) - 80, speckle(number, ()))
        folder = tmp_path / "cases" / f"p{number}"
        write_patient(folder, number, (FIRST,), ijk_to_ras, array, labels=ball.astype(np.uint8))
    manifest = prepare(tmp_path / "cases", tmp_path / "out", variant=variant)
    for entry in manifest.images:
        image, label = (from_sitk(read_) for read_ in read(tmp_path / "out", manifest, entry.name))
        np.testing.assert_allclose(image.ijk_to_ras[:3, :3], np.eye(3), atol=1e-5)
        ball_mm3 = np.count_nonzero(ball) * abs(np.linalg.det(ijk_to_ras[:3, :3]))
        assert np.count_nonzero(label.array) == pytest.approx(ball_mm3, rel=0.06)
        assert image.array[label.array > 0].mean() < image.array[label.array == 0].mean() - 40
        middle = ijk_to_ras @ [15.5, 15.5, 15.5, 1]
        found = label.ijk_to_ras @ [*np.argwhere(label.array).mean(0)[::-1], 1]
        np.testing.assert_allclose(found[:3], middle[:3], atol=0.6)


def test_whole_volume_is_one_image_with_all_lesions(cohort, tmp_path):
    manifest = prepare(cohort, tmp_path / "out", variant="full")
    assert [(i.name, i.lesion, i.seed_ras_mm) for i in manifest.images] == [("p0", None, None), ("p1", None, None)]
    image, label = read(tmp_path / "out", manifest, "p0")
    assert image.GetSize() == (SIZE,) * 3
    np.testing.assert_array_equal(sitk.GetArrayFromImage(label), labels_of((FIRST, SECOND)) > 0)


def test_seeds_are_jittered_inside_their_lesion_and_in_the_middle_of_their_crop(cohort, tmp_path):
    manifest = prepare(cohort, tmp_path / "out", crops_per_lesion=6)
    seeds = np.array([i.seed_ras_mm for i in manifest.images if i.case_id == "p0" and i.lesion == "Tumour 1"])
    assert len(np.unique(seeds.round(3), axis=0)) == 6
    assert ((seeds > 12.5) & (seeds < 18.5)).all()
    image, _ = read(tmp_path / "out", manifest, "p0_1_0")
    middle_lps = image.TransformContinuousIndexToPhysicalPoint([11.5] * 3)
    np.testing.assert_allclose(np.array(middle_lps) * [-1, -1, 1], seeds[0], atol=1e-3)


def test_clicks_are_as_deep_in_mm_whatever_the_voxels():
    """A plate of four voxels of 2 mm is as thick as one of eight of 1 mm: its outer voxels are no place to click."""
    mask = np.zeros((20, 20, 20), bool)
    mask[8:12, 2:18, 2:18] = True
    array = np.full((20, 20, 20), 100, np.uint8)
    deep_ijk = deep_voxels(mask, Volume(array, np.diag([1.0, 1.0, 8.0, 1.0])))
    assert set(deep_ijk[:, 2]) == {8, 9, 10, 11}
    assert deep_ijk[:, 0].min() == 4


def test_nobody_clicks_where_the_probe_has_not_been_and_nothing_is_tumour_there(tmp_path):
    for number in range(2):
        array = speckle(number, (FIRST,))
        array[:, :, :16] = 0
        write_patient(tmp_path / "cases" / f"p{number}", number, array=array)
    manifest = prepare(tmp_path / "cases", tmp_path / "out", crops_per_lesion=4)
    assert all(image.seed_ras_mm[0] >= 15.5 for image in manifest.images)
    for image in manifest.images:
        of_five_voxels_not_eight = volume_mm3(read(tmp_path / "out", manifest, image.name)[1])
        assert of_five_voxels_not_eight <= 8 * 8 * 5, "half a voxel beyond what was swept is interpolated"


def test_pairs_of_volume_and_label_are_prepared_each_as_a_patient(tmp_path):
    (tmp_path / "pairs").mkdir()
    for number in range(2):
        write_volume(Volume(speckle(number, (FIRST, SECOND)), OBLIQUE), tmp_path / "pairs" / f"s{number}.nii.gz")
        write_volume(Volume(labels_of((FIRST, SECOND)), OBLIQUE), tmp_path / "pairs" / f"s{number}-label.nii.gz")
    manifest = prepare(tmp_path / "pairs", tmp_path / "out")
    assert sorted(map(list, manifest.folds)) == [["s0"], ["s1"]]
    assert len(manifest.images) == 8
    assert {case.simulated for case in manifest.cases} == {None}


@pytest.mark.parametrize("variant", ["full", "crop", "crop+seed", "crop+clicks"])
def test_description_says_all_that_packing_a_model_must_know(cohort, tmp_path, variant):
    manifest = prepare(cohort, tmp_path / "out", variant=variant, held_out_share=0.0)
    text = (raw_folder(tmp_path / "out", manifest.dataset_name) / "dataset.json").read_text()
    described = json.loads(text)
    about = About(**described["crlm"])
    assert described["numTraining"] == len(manifest.images)
    expected = {"crop+seed": CHANNELS, "crop+clicks": CLICK_CHANNELS}.get(variant, CHANNELS[:1])
    assert about.channels == list(expected)
    names = ["ultrasound"] + ["noNorm"] * (len(expected) - 1)
    assert described["channel_names"] == {str(number): name for number, name in enumerate(names)}
    assert (about.region, about.crop_size_mm) == (("volume", None) if variant == "full" else ("crop", 24.0))
    assert about.trained_on["simulated"] is True
    assert about.trained_on["cases"] == sorted(case.sha256[:16] for case in manifest.cases)


def test_clicks_are_left_to_training(cohort, tmp_path):
    images = {}
    for variant in ("crop+seed", "crop+clicks"):
        manifest = prepare(cohort, tmp_path / variant, variant=variant)
        raw = raw_folder(tmp_path / variant, manifest.dataset_name)
        name = manifest.images[0].name
        paths = [*sorted((raw / "imagesTr").glob(f"{name}_*")), raw / "labelsTr" / f"{name}.nii.gz"]
        images[variant] = [sitk.GetArrayFromImage(sitk.ReadImage(str(path))) for path in paths]
    ultrasound, include, exclude, previous, label = images["crop+clicks"]
    for expected, found in zip(images["crop+seed"], (ultrasound, include, label)):
        np.testing.assert_array_equal(expected, found)
    assert not exclude.any()
    assert not previous.any()


def test_one_real_case_ends_the_claim_that_all_are_simulated(cohort, tmp_path):
    write_patient(cohort / "p2", 2, source={"kind": "recorded"})
    manifest = prepare(cohort, tmp_path / "out")
    described = json.loads((raw_folder(tmp_path / "out", manifest.dataset_name) / "dataset.json").read_text())
    assert described["crlm"]["trained_on"]["simulated"] is False


def test_two_processes_write_what_one_writes(cohort, tmp_path):
    prepare(cohort, tmp_path / "one")
    prepare(cohort, tmp_path / "two", processes=2)
    assert (tmp_path / "one" / "manifest.json").read_text() == (tmp_path / "two" / "manifest.json").read_text()


def test_images_of_a_case_do_not_depend_on_the_other_cases_but_on_the_seed(cohort, tmp_path):
    def images_of(out, **chosen):
        return {image.name: image.sha256 for image in prepare(cohort, tmp_path / out, **chosen).images}

    before, other_seed = images_of("before"), images_of("seed", seed=1)
    write_patient(cohort / "a-new-one", 7)
    after = images_of("after")
    assert set(after) > set(before)
    assert all(after[name] == sha256 for name, sha256 in before.items())
    assert all(other_seed[name] != sha256 for name, sha256 in before.items())


def test_names_that_no_file_can_have_become_names_of_files(cohort, tmp_path):
    write_patient(cohort / "p2", 2, case_id="../Müller: a/b")
    write_patient(cohort / "p3", 3, case_id="../Müller; a/b")
    manifest = prepare(cohort, tmp_path / "out")
    raw = raw_folder(tmp_path / "out", manifest.dataset_name)
    assert all((raw / name).resolve().is_relative_to(raw) for image in manifest.images for name in image.sha256)
    assert len({image.name for image in manifest.images}) == 2 * 4 + 2 * 2
    assert image_name("plain-1.2") == "plain-1.2"


def test_manifest_reads_as_it_was_written(cohort, tmp_path):
    manifest = prepare(cohort, tmp_path / "out", held_out_share=0.0)
    assert read_manifest(tmp_path / "out") == manifest
    assert (
        manifest.preparation == Preparation(crop_size_mm=24, spacing_mm=1, crops_per_lesion=2, folds=2).result_settings
    )
