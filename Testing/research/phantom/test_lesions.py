"""Shapes, places and kinds of the simulated metastases."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from CRLMSegmentationLib.research.phantom.anatomy import draw_anatomy, draw_tissue
from CRLMSegmentationLib.research.phantom.lesion_shapes import draw_level_set
from CRLMSegmentationLib.research.phantom.lesions import (
    SHAPE_SHARES,
    VARIED_DIAMETER_MM,
    VARIED_ECHOGENICITY_SHARES,
    VARIED_PATTERN_SHARES,
    draw_varied_tumours,
)
from CRLMSegmentationLib.research.phantom.motion import draw_varied_sweep
from CRLMSegmentationLib.research.phantom.probe import Probe
from CRLMSegmentationLib.research.phantom.space import Space, random_rotation
from scipy import ndimage

SPACE = Space(np.array([-50.0, -50.0, 0.0]), np.array([50.0, 50.0, 90.0]), 1.2)


@pytest.fixture(scope="module")
def patients():
    return [draw_varied_tumours(np.random.default_rng([4, n]), SPACE, lambda center, radius: True) for n in range(400)]


def voxels_of(shape, step_mm, radius_mm):
    nodes = np.arange(-2.6 * radius_mm, 2.6 * radius_mm, step_mm)
    points = shape.center_mm + np.stack(np.meshgrid(nodes, nodes, nodes, indexing="ij"), axis=-1)
    return points, shape.signed_distance_mm(points)


@pytest.mark.parametrize("number", range(12))
def test_level_sets_are_one_piece_of_the_volume_that_was_asked_for(number):
    rng = np.random.default_rng([12, number])
    shape = draw_level_set(rng, np.array([3.0, -4.0, 40.0]), np.ones(3), random_rotation(rng, np.pi), 9.0)
    points, distance_mm = voxels_of(shape, 0.6, 9.0)
    inside = distance_mm < 0
    assert ndimage.label(inside, np.ones((3, 3, 3)))[1] == 1
    assert inside.sum() * 0.6**3 == pytest.approx(4 / 3 * np.pi * 9.0**3, rel=0.06)
    assert np.linalg.norm(points[inside].mean(0) - shape.center_mm) < 0.5
    assert np.linalg.norm(points[inside] - shape.center_mm, axis=-1).max() <= shape.reach_mm


def test_level_sets_are_less_regular_than_ellipsoids():
    def roughness(number):
        rng = np.random.default_rng([13, number])
        shape = draw_level_set(rng, np.zeros(3), np.ones(3), np.eye(3), 9.0)
        points, distance_mm = voxels_of(shape, 0.8, 9.0)
        edge = np.linalg.norm(points[np.abs(distance_mm) < 0.4], axis=-1)
        return edge.std() / edge.mean()

    assert np.median([roughness(number) for number in range(10)]) > 0.1


def test_distance_of_level_sets_is_near_the_true_one():
    """Halo and edge are drawn by it."""
    rng = np.random.default_rng(14)
    shape = draw_level_set(rng, np.zeros(3), np.ones(3), np.eye(3), 10.0)
    _, distance_mm = voxels_of(shape, 0.5, 10.0)
    inside = distance_mm < 0
    true_mm = 0.5 * (ndimage.distance_transform_edt(~inside) - ndimage.distance_transform_edt(inside))
    near = np.abs(true_mm) < 2
    assert np.median(np.abs(distance_mm - true_mm)[near]) < 0.8


def test_varied_lesions_have_the_mix_that_is_written_down(patients):
    lesions = [lesion for patient in patients for lesion in patient]
    for shares, of in (
        (VARIED_ECHOGENICITY_SHARES, Counter(patient[0].echogenicity for patient in patients)),
        (VARIED_PATTERN_SHARES, Counter(lesion.pattern for lesion in lesions)),
        (SHAPE_SHARES, Counter(lesion.kind for lesion in lesions)),
    ):
        for name, share in shares.items():
            assert of[name] / of.total() == pytest.approx(share, abs=0.08)
    diameters = [lesion.diameter_mm for lesion in lesions]
    assert min(diameters) >= VARIED_DIAMETER_MM[2] - 0.01
    assert max(diameters) <= VARIED_DIAMETER_MM[3] + 0.01
    assert all(len({lesion.echogenicity for lesion in patient}) == 1 for patient in patients)
    assert any(abs(lesion.contrast_db) < 2 and not lesion.halo_mm for lesion in lesions)
    superficial = np.mean([lesion.center_mm[2] - lesion.diameter_mm / 2 < 10 for lesion in lesions])
    assert superficial > 0.2
    assert 0.2 < np.mean([lesion.touches_vessel for lesion in lesions]) < 0.4


def test_lesions_lie_where_frames_see_them():
    probe = Probe()
    for number in range(8):
        sweep = draw_varied_sweep(np.random.default_rng([15, number]))
        placed = np.einsum("nij,pj->npi", sweep.true_poses[:, :3, :3], probe.border_points_mm())
        space = Space.around((placed + sweep.true_poses[:, None, :3, 3]).reshape(-1, 3))
        rng = np.random.default_rng([16, number])
        for tumour in draw_varied_tumours(rng, space, lambda c, r, sweep=sweep: sweep.sees(probe, c, r)):
            assert sweep.sees(probe, tumour.center_mm, 0.0)
            assert not sweep.sees(probe, tumour.center_mm + [0, 0, 300], 0.0)


def test_a_vessel_runs_along_the_lesions_that_touch_one():
    rng = np.random.default_rng(17)
    for _ in range(30):
        tumours = draw_varied_tumours(rng, SPACE, lambda center, radius: True)
        if any(tumour.touches_vessel for tumour in tumours):
            break
    tissue = draw_tissue(np.random.default_rng(18))
    anatomy = draw_anatomy(np.random.default_rng(19), rng, SPACE, tissue, lambda _: tumours)
    points = SPACE.points_mm()
    for tumour in tumours:
        if tumour.touches_vessel:
            distance_mm = tumour.signed_distance_mm(points)
            beside = anatomy.attenuation_db_cm_mhz[(distance_mm > 0.5) & (distance_mm < 6)]
            assert beside.min() < 0.3
