"""Seeds that miss the centre and gains that are another."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.recording.dataset import check_cases
from CRLMSegmentationLib.research.evaluation.settings import EvaluationSettings
from CRLMSegmentationLib.research.evaluation.variations import (
    equivalent_radius_mm,
    generator_of,
    moved_seed,
    sample_of,
    with_factor,
    with_gain,
)
from helpers.evaluation_helpers import box, tiny_volume, write_case

ANISOTROPIC = np.array([[-0.8, 0, 0, 40], [0, 1.1, 0, -5], [0, 0, 1.6, 9], [0, 0, 0, 1]], float)


def test_generator_depends_on_seed_and_names_alone():
    assert generator_of(1, "a", 0.5).random() == generator_of(1, "a", 0.5).random()
    assert generator_of(1, "a").random() != generator_of(2, "a").random()
    assert generator_of(1, "a").random() != generator_of(1, "b").random()


def test_seed_moves_by_its_distance_in_mm_whatever_the_spacing():
    volume = tiny_volume((16, 24), ANISOTROPIC)
    centre = volume.center_ras_mm
    moved = moved_seed(volume, centre, 6.0, np.random.default_rng(0))
    assert np.linalg.norm(moved - centre) == pytest.approx(6)


def test_seed_that_would_leave_the_volume_is_given_up():
    volume = tiny_volume((16, 24))
    assert moved_seed(volume, volume.center_ras_mm, 500.0, np.random.default_rng(0)) is None


def test_radius_of_a_box_of_known_volume():
    voxel_mm3 = 0.8 * 1.1 * 1.6
    radius_mm = equivalent_radius_mm(box((16, 24)), tiny_volume((16, 24), ANISOTROPIC))
    assert 4 / 3 * np.pi * radius_mm**3 == pytest.approx(512 * voxel_mm3)


def insonified_half() -> Volume:
    array = np.full((30, 30, 30), 120, np.uint8)
    array[:, :, :15] = 0
    array[10:20, 10:20, 20:28] = 200
    return Volume(array, np.eye(4))


def test_gain_adds_to_grey_values_and_leaves_the_unswept_empty():
    louder = with_gain(insonified_half(), 12.0).array
    assert louder[5, 5, 25] == 120 + round(12 * 255 / 60)
    assert (louder[:, :, :14] == 0).all()
    assert with_gain(insonified_half(), 30.0).array[15, 15, 24] == 255
    assert with_gain(insonified_half(), -60.0).array.max() == 0
    assert louder.dtype == np.uint8


def test_factor_multiplies_and_cuts_off():
    assert with_factor(insonified_half(), 0.5).array[5, 5, 25] == 60
    assert with_factor(insonified_half(), 2.0).array[15, 15, 24] == 255


def test_unchanged_amounts_change_nothing():
    volume = insonified_half()
    assert (with_gain(volume, 0.0).array == volume.array).all()
    assert (with_factor(volume, 1.0).array == volume.array).all()


def test_sample_takes_each_patient_before_any_second_lesion(tmp_path):
    for name in ("a1", "a2", "b1", "c1"):
        write_case(tmp_path / name, source={"patient": name[0]})
    cases, _ = check_cases(tmp_path)
    for seed in range(5):
        assert {case[0] for case, _ in sample_of(cases, 3, seed)} == {"a", "b", "c"}
    assert len(sample_of(cases, 9, 0)) == 4
    assert sample_of(cases, 0, 0) == set()


def test_variations_without_change_are_not_measured():
    settings = EvaluationSettings(
        seed_shares=(0, 1), seed_offsets_mm=(3,), seed_draws=2, gains_db=(0, 5), grey_factors=(1, 2)
    )
    assert [(v.kind, v.amount, v.draw) for v in settings.variations] == [
        ("seed share", 0, 0),
        ("seed share", 1, 0),
        ("seed share", 1, 1),
        ("seed mm", 3, 0),
        ("seed mm", 3, 1),
        ("gain dB", 5, 0),
        ("grey factor", 2, 0),
    ]
