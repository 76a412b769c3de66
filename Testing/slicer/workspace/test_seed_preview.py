"""Previews of the segmentation while a seed is being moved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from CRLMSegmentationLib.igtl.messages import image_of
from CRLMSegmentationLib.segmentation.results import Purpose
from CRLMSegmentationLib.slicer.scene.guidance import MODEL, PREVIEW
from CRLMSegmentationLib.slicer.scene.nodes import find_node
from CRLMSegmentationLib.slicer.workspace.lesion import SETTLE_S, LesionState
from helpers.workspace_helpers import SEED

OUTSIDE = (500.0, 20.0, 20.0)


@pytest.fixture
def workspace_with_seeds(with_volume):
    with_volume.requests.auto_segment = True
    return with_volume


def preview_node(workspace):
    return find_node(workspace.scene, MODEL, PREVIEW)


def purposes(engine):
    return [job.request.purpose for job in engine.jobs]


def move(node, x_mm):
    node.SetNthControlPointPositionWorld(0, x_mm, 20.0, 20.0)


def finish(workspace, engine):
    """Let the engine answer, and the views show what came."""
    engine.finish()
    workspace.tick()
    workspace.tick()


def test_preview_of_a_placed_seed_is_shown_and_not_measured(workspace_with_seeds, engine):
    workspace_with_seeds.add_seed(SEED)
    workspace_with_seeds.tick()
    workspace_with_seeds.tick()
    finish(workspace_with_seeds, engine)
    request = engine.jobs[0].request
    assert (request.purpose, request.options.first_fold_only) == (Purpose.PREVIEW, True)
    bounds = np.array(preview_node(workspace_with_seeds).GetPolyData().GetBounds()).reshape(3, 2)
    np.testing.assert_allclose(bounds.mean(1), 20.0, atol=0.6)  # the dark ball of 8 mm radius
    np.testing.assert_allclose(bounds[:, 1] - bounds[:, 0], 15.5, atol=1.5)
    row = workspace_with_seeds.rows()[0]
    assert (row.state, row.volume_ml) == (LesionState.NEW, None)
    assert workspace_with_seeds.lesion_store.segmentation_node is None


def test_segmentation_takes_the_place_of_its_preview(workspace_with_seeds, engine, clock):
    workspace_with_seeds.add_seed(SEED)
    for _ in range(2):
        workspace_with_seeds.tick()
    finish(workspace_with_seeds, engine)
    clock.now_s += SETTLE_S + 0.01
    workspace_with_seeds.tick()
    workspace_with_seeds.tick()
    assert preview_node(workspace_with_seeds) is not None, "stays while the segmentation is computed"
    finish(workspace_with_seeds, engine)
    assert preview_node(workspace_with_seeds) is None
    assert purposes(engine) == [Purpose.PREVIEW, Purpose.ANSWER]


def test_one_preview_at_a_time_follows_the_hand_and_none_queue_up(workspace_with_seeds, engine, clock):
    node = workspace_with_seeds.add_seed(SEED)
    for step in range(20):
        move(node, 20.0 + step / 10)
        clock.now_s += SETTLE_S / 3
        workspace_with_seeds.tick()
    assert len(engine.jobs) == 1, "the first is under way"
    finish(workspace_with_seeds, engine)
    workspace_with_seeds.tick()
    assert [job.request.seed_ras_mm[0] for job in engine.jobs] == [20.0, 21.9]


def test_preview_that_comes_after_its_segmentation_was_asked_for_is_not_shown(workspace_with_seeds, engine, clock):
    workspace_with_seeds.add_seed(SEED)
    for _ in range(2):
        workspace_with_seeds.tick()
    clock.now_s += SETTLE_S + 0.01
    workspace_with_seeds.tick()
    workspace_with_seeds.tick()
    assert purposes(engine) == [Purpose.PREVIEW, Purpose.ANSWER]
    assert engine.pending == 2, "what is asked for in earnest takes the place of the preview"


def test_preview_goes_when_its_volume_does(workspace, link, engine, tiny_volume):
    workspace.requests.auto_segment = True
    link.inbox = [image_of(tiny_volume)]
    workspace.tick()
    workspace.add_seed(SEED)
    for _ in range(2):
        workspace.tick()
    finish(workspace, engine)
    assert preview_node(workspace) is not None
    link.inbox = [
        image_of(replace(tiny_volume, array=tiny_volume.array + 1, timestamp_s=9.0 + tiny_volume.timestamp_s))
    ]
    workspace.tick()
    assert preview_node(workspace) is None
    workspace.tick()
    finish(workspace, engine)
    assert preview_node(workspace) is not None, "the seed is still being moved: one of the new volume"


def test_preview_goes_when_its_seed_does(workspace_with_seeds, engine):
    workspace_with_seeds.add_seed(SEED)
    for _ in range(2):
        workspace_with_seeds.tick()
    finish(workspace_with_seeds, engine)
    workspace_with_seeds.remove_seed("Tumour 1")
    workspace_with_seeds.tick()
    assert preview_node(workspace_with_seeds) is None


def test_seed_dragged_out_of_the_volume_has_no_preview_and_makes_no_noise(workspace_with_seeds, engine):
    node = workspace_with_seeds.add_seed(SEED)
    for _ in range(2):
        workspace_with_seeds.tick()
    finish(workspace_with_seeds, engine)
    lines = len(workspace_with_seeds.log)
    node.SetNthControlPointPositionWorld(0, *OUTSIDE)
    for _ in range(3):
        workspace_with_seeds.tick()
    assert preview_node(workspace_with_seeds) is None
    assert len(workspace_with_seeds.log) == lines
    assert len(engine.jobs) == 1


def test_failed_preview_is_no_failure_of_the_lesion(workspace_with_seeds, engine):
    workspace_with_seeds.add_seed(SEED)
    for _ in range(2):
        workspace_with_seeds.tick()
    lines = len(workspace_with_seeds.log)
    engine.fail("no memory")
    for _ in range(2):
        workspace_with_seeds.tick()
    assert workspace_with_seeds.rows()[0].state is LesionState.NEW
    assert len(workspace_with_seeds.log) == lines


def test_no_preview_where_seeds_are_segmented_by_hand(with_volume, engine):
    with_volume.requests.auto_segment = False
    with_volume.add_seed(SEED)
    for _ in range(3):
        with_volume.tick()
    assert not engine.jobs


def test_seed_of_a_loaded_scene_has_no_preview(workspace_with_seeds, engine):
    workspace_with_seeds.add_seed(SEED)
    workspace_with_seeds.lesion_store.take_over_seeds()
    for _ in range(3):
        workspace_with_seeds.tick()
    assert not engine.jobs
