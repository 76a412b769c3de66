"""Correction points on their way from a caller to the engine, and what is refused before anything is asked."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import ModelError, SeedError
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.segmentation.results import LesionSegmented, Options, Purpose
from helpers.point_helpers import exclude, include

SEED = (20.0, 20.0, 20.0)
POINTS = (include(26, 20, 20), exclude(20, 12, 20))


@pytest.fixture
def clicked(session, click_model, tiny_volume):
    """A session whose model takes points."""
    session.use_volume(tiny_volume)
    return session


def results(session):
    return [event.result for event in session.poll() if isinstance(event, LesionSegmented)]


def test_points_go_to_the_engine_in_their_order_and_come_back_with_the_result(clicked, engine):
    request = clicked.segment("Tumour 1", np.array(SEED), points=list(POINTS))
    assert request.points == POINTS
    clicked.poll()
    assert engine.jobs[-1].request == request
    engine.finish()
    assert [result.request for result in results(clicked)] == [request]


def test_crop_is_enlarged_to_hold_the_points(clicked):
    assert clicked.segment("Tumour 1", np.array(SEED), points=POINTS).options.crop_size_mm == 32.0
    far = [include(20, 20, 38)]
    assert clicked.segment("Tumour 1", np.array(SEED), Options(40.0), points=far).options.crop_size_mm == 56.0


def test_model_of_whole_volumes_needs_no_crop_for_points(clicked, model):
    model.region = "volume"
    assert clicked.segment("Tumour 1", np.array(SEED), points=POINTS).options.crop_size_mm is None


def test_model_without_channels_for_points_refuses_them_and_names_the_segment_editor(session, tiny_volume):
    session.use_volume(tiny_volume)
    with pytest.raises(ModelError, match=r"stub takes no correction points; .* by hand in the Segment Editor"):
        session.segment("Tumour 1", np.array(SEED), points=POINTS)
    assert not session.busy


def test_preview_has_the_points_and_refuses_what_a_request_refuses(clicked, engine):
    request = clicked.preview("Tumour 1", np.array(SEED), points=POINTS)
    clicked.poll()
    assert (engine.jobs[-1].request, request.points, request.purpose) == (request, POINTS, Purpose.PREVIEW)
    with pytest.raises(SeedError, match="contradict each other"):
        clicked.preview("Tumour 1", np.array(SEED), points=[exclude(20, 21, 20)])
    assert clicked.is_previewing, "the one before goes on"


def test_contradiction_leaves_what_runs_alone(clicked, engine):
    asked = clicked.segment("Tumour 1", np.array(SEED))
    clicked.poll()
    with pytest.raises(SeedError, match="from the seed"):
        clicked.segment("Tumour 1", np.array(SEED), points=[exclude(20, 21, 20)])
    engine.finish()
    assert [result.request for result in results(clicked)] == [asked]


def test_points_are_checked_in_the_volume_that_is_segmented(clicked):
    small = Volume(np.full((24, 24, 24), 100, np.uint8), np.eye(4))
    with pytest.raises(SeedError, match=r"the include point .* lies outside the volume"):
        clicked.segment("Tumour 1", np.array(SEED), volume=small, points=POINTS[:1])
