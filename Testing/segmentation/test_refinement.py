"""From the first answer to the consensus surfaces, on segmentations that are boxes.

The network is whoever answers the requests.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from CRLMSegmentationLib.core.crop_format import LARGEST_CROP_MM
from CRLMSegmentationLib.core.point_checks import CROP_MARGIN_MM
from CRLMSegmentationLib.core.points import CorrectionPoint, PointKind
from CRLMSegmentationLib.core.postprocessing import NOTHING, TOUCHES_EDGE, TOUCHES_EMPTY, LesionMask, measure
from CRLMSegmentationLib.core.volume import VolumeIdentity
from CRLMSegmentationLib.segmentation.refinement import (
    CUT_OFF,
    NOT_INSONIFIED,
    Refinement,
    change_of,
    unreliable_reason_of,
)
from CRLMSegmentationLib.segmentation.results import Options, Purpose, Request

VOXEL = np.diag([1.0, 1.0, 1.0, 1.0])
VOLUME = VolumeIdentity("Probe", 1.0, "", "")
FIRST = Request("Tumour 1", (10.0, 10.0, 10.0), VOLUME, Options(80.0, first_fold_only=True))


def segmentation(k=(5, 15), warnings=()) -> LesionMask:
    part = np.ones((k[1] - k[0], 10, 10), bool) if k else np.zeros((0, 0, 0), bool)
    volume_ml, diameters_mm = measure(part, VOXEL) if k else (0.0, (0.0, 0.0, 0.0))
    first = (k[0] if k else 0, 5, 5)
    return LesionMask(part, first, (30, 30, 30), VOXEL, part, VOXEL, volume_ml, diameters_mm, 0.9, tuple(warnings))


def run(refinement, answer, first=FIRST):
    """Answer everything that is requested; returns the requests in their order."""
    requested, waiting = [], [first]
    while waiting:
        request = waiting.pop(0)
        requested.append(request)
        waiting += refinement.store(request, answer(request))
    return requested


def test_answer_is_refined_and_then_repeated():
    refinement = Refinement(can_refine=True)
    requested = run(refinement, lambda request: segmentation())
    assert [request.purpose for request in requested[:2]] == [Purpose.ANSWER, Purpose.REFINED]
    assert {request.purpose for request in requested[2:]} == {Purpose.REPEATED}
    assert [request.options.is_full_ensemble for request in requested] == [False, True] + [False] * 7
    assert {request.options.flip for request in requested if request.options.flip} == {(0,), (1,), (2,)}
    assert refinement.consensus_of("Tumour 1").runs == 8


def test_shells_are_those_of_the_refined_answer_and_its_repeats():
    answers = {
        Purpose.ANSWER: segmentation((0, 30)),
        Purpose.REFINED: segmentation((5, 15)),
        Purpose.REPEATED: segmentation((7, 17)),
    }
    refinement = Refinement(can_refine=True)
    run(refinement, lambda request: answers[request.purpose])
    consensus = refinement.consensus_of("Tumour 1")
    assert consensus.inner.sum() == 8 * 100
    assert consensus.outer.sum() == 12 * 100


def test_model_that_cannot_be_refined_is_repeated_at_once():
    requested = run(Refinement(can_refine=False), lambda request: segmentation())
    assert [request.purpose for request in requested] == [Purpose.ANSWER] + [Purpose.REPEATED] * 7


def test_shells_are_left_out_where_nobody_wants_them():
    requested = run(Refinement(can_refine=True, repeat=False), lambda request: segmentation())
    assert [request.purpose for request in requested] == [Purpose.ANSWER, Purpose.REFINED]


def test_refining_tells_how_far_the_segmentation_moved():
    answers = {
        Purpose.ANSWER: segmentation((5, 15)),
        Purpose.REFINED: segmentation((5, 18)),
        Purpose.REPEATED: segmentation((5, 18)),
    }
    refinement = Refinement(can_refine=True)
    run(refinement, lambda request: answers[request.purpose])
    change = refinement.change_of("Tumour 1")
    assert change.largest_mm == pytest.approx(3)
    assert 0.3 < change.mean_mm < 1.0
    assert str(change) == f"refined: the segmentation moved by {change.mean_mm:.1f} mm, 3.0 mm at most"


def test_tumour_that_touches_the_crop_is_looked_at_in_a_larger_one():
    refinement = Refinement(can_refine=False, repeat=False)
    touching, whole = segmentation(warnings=[TOUCHES_EDGE]), segmentation()
    requested = run(refinement, lambda request: touching if request.options.crop_size_mm < 150 else whole)
    assert [request.options.crop_size_mm for request in requested] == [80.0, 112.0, 156.8]
    assert {request.purpose for request in requested[1:]} == {Purpose.GROWN}


def test_larger_crop_is_segmented_with_the_options_of_the_first():
    """All folds where all folds were asked for: the larger crop replaces what the user sees."""
    first = replace(FIRST, options=Options(80.0))
    answers = {Purpose.ANSWER: segmentation(warnings=[TOUCHES_EDGE]), Purpose.GROWN: segmentation()}
    requested = run(Refinement(can_refine=False, repeat=False), lambda request: answers[request.purpose], first)
    assert [request.options for request in requested] == [Options(80.0), Options(112.0)]


def test_growing_ends_at_the_largest_crop():
    requested = run(Refinement(can_refine=False, repeat=False), lambda request: segmentation(warnings=[TOUCHES_EDGE]))
    assert requested[-1].options.crop_size_mm == LARGEST_CROP_MM


def test_refined_segmentation_that_touches_the_crop_is_grown_too_and_not_refined_twice():
    touching = segmentation(warnings=[TOUCHES_EDGE])
    answers = {Purpose.ANSWER: segmentation(), Purpose.REFINED: touching, Purpose.GROWN: segmentation()}
    requested = run(Refinement(can_refine=True, repeat=False), lambda request: answers[request.purpose])
    assert [request.purpose for request in requested] == [Purpose.ANSWER, Purpose.REFINED, Purpose.GROWN]


def test_no_crop_helps_where_nobody_has_swept():
    refinement = Refinement(can_refine=False, repeat=False)
    assert len(run(refinement, lambda request: segmentation(warnings=[TOUCHES_EMPTY]))) == 1


def test_border_of_a_segmentation_is_in_doubt_by_what_it_touches():
    assert unreliable_reason_of(segmentation()) is None
    assert unreliable_reason_of(segmentation(warnings=[TOUCHES_EDGE, TOUCHES_EMPTY])) == CUT_OFF
    assert unreliable_reason_of(segmentation(warnings=[TOUCHES_EMPTY])) == NOT_INSONIFIED


def test_points_go_with_every_request_and_crops_around_moved_seeds_hold_them():
    near, far = ((10.0 + away, 10.0, 10.0) for away in (4.0, 29.0))
    points = (CorrectionPoint(PointKind.EXCLUDE, near), CorrectionPoint(PointKind.INCLUDE, far))
    first = replace(FIRST, options=Options(80.0), points=points)
    requested = run(Refinement(can_refine=True), lambda request: segmentation(), first)
    assert Purpose.REFINED in {request.purpose for request in requested}
    repeats = [request for request in requested if request.purpose is Purpose.REPEATED]
    assert {request.points for request in requested} == {points}
    assert len({request.seed_ras_mm for request in repeats}) > 1
    for request in repeats:
        away_mm = np.abs(np.subtract(far, request.seed_ras_mm)).max()
        assert request.options.crop_size_mm == max(80.0, np.ceil(2 * (away_mm + CROP_MARGIN_MM)))
    assert max(request.options.crop_size_mm for request in repeats) > 80.0


def test_nothing_found_is_not_repeated():
    refinement = Refinement(can_refine=True)
    assert len(run(refinement, lambda request: segmentation(None, [NOTHING]))) == 1
    assert refinement.consensus_of("Tumour 1") is None


def test_new_answer_begins_anew():
    refinement = Refinement(can_refine=True)
    run(refinement, lambda request: segmentation())
    refinement.store(replace(FIRST, seed_ras_mm=(11.0, 10.0, 10.0)), segmentation())
    assert refinement.consensus_of("Tumour 1") is None
    assert refinement.change_of("Tumour 1") is None


def test_lesion_that_is_forgotten_has_nothing():
    refinement = Refinement(can_refine=True)
    run(refinement, lambda request: segmentation())
    refinement.forget("Tumour 1")
    assert refinement.consensus_of("Tumour 1") is None


def test_only_the_background_gives_way():
    background = {purpose for purpose in Purpose if purpose.is_background}
    assert background == {Purpose.REFINED, Purpose.REPEATED, Purpose.PREVIEW}


def test_change_to_nothing_has_no_distance():
    assert change_of(segmentation(), segmentation(None)) is None
