"""Both methods as an evaluation sees them: what they are told, what their rows say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import CrlmError
from CRLMSegmentationLib.research.baselines.methods import BASELINES, baseline_named, grow_cut, region_growing
from CRLMSegmentationLib.research.baselines.names import METHOD_NAMES
from CRLMSegmentationLib.research.baselines.region_growing import Growth
from CRLMSegmentationLib.research.baselines.strokes import Painter
from CRLMSegmentationLib.research.evaluation.methods import ABOUT_KEYS, Click
from CRLMSegmentationLib.research.evaluation.settings import EvaluationSettings
from helpers.ball_helpers import STRAIGHT, ball, dice


@pytest.fixture
def click():
    volume, truth, centre = ball(STRAIGHT)
    return Click("Tumour 1", volume, centre, truth, np.random.default_rng(0))


def answer_of(method, click):
    with method.opened(EvaluationSettings(), lambda *_: None) as segmenter:
        return segmenter.answer(click)


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_answer_holds_a_segmentation_its_time_and_no_probability(name, click):
    answer = answer_of(baseline_named(name), click)
    assert dice(answer.mask, click.truth) > 0.85
    assert answer.volume_ml == pytest.approx(np.count_nonzero(answer.mask) / 1000)
    assert answer.probability is None
    assert answer.confidence is None
    assert answer.timings_s["grow"] > 0


def test_region_growing_knows_nothing_of_the_truth(click):
    told = answer_of(region_growing(), click).mask
    assert (answer_of(region_growing(), replace(click, truth=None)).mask == told).all()


def test_grow_cut_says_who_has_painted(click):
    assert "sees the reference segmentation" in answer_of(grow_cut(), click).strokes
    assert answer_of(region_growing(), click).strokes is None


def test_click_that_shows_no_lesion_leaves_nothing_and_is_told(click):
    answer = answer_of(grow_cut(), replace(click, seed_ras_mm=np.array([3.0, 3.0, 3.0])))
    assert not answer.mask.any()
    assert "none of the three slices" in answer.warnings[0]


def test_hash_changes_with_any_parameter():
    hashes = {
        method.sha256
        for method in (grow_cut(), grow_cut(Painter(inside=0.6)), region_growing(), region_growing(Growth(reach_mm=9)))
    }
    assert len(hashes) == 4
    assert grow_cut().sha256 == grow_cut().sha256


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_about_is_complete(name):
    about = baseline_named(name).about()
    assert set(about) == set(ABOUT_KEYS)
    assert (about["kind"], about["name"]) == ("semi-automatic", name)


def test_names_are_those_that_the_command_line_knows():
    assert tuple(BASELINES) == METHOD_NAMES
    with pytest.raises(CrlmError, match="grow-cut, region-growing"):
        baseline_named("level-set")
