"""What is looked at again in a workspace: the engine and the clock are stubs, all else is real."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from CRLMSegmentationLib.core.postprocessing import TOUCHES_EDGE
from CRLMSegmentationLib.segmentation.refinement import CUT_OFF
from CRLMSegmentationLib.slicer.scene.guidance import consensus_of, margins_of
from CRLMSegmentationLib.slicer.scene.seeds import seed_nodes
from CRLMSegmentationLib.slicer.workspace.background_refinement import QUIET_S
from CRLMSegmentationLib.slicer.workspace.lesion import CORRECTED
from CRLMSegmentationLib.tracking.colours import UNSAFE_COLOUR
from helpers.navigation_scene_helpers import (
    Tracker,
    at,
    calibration,
    draw_all,
    finish,
    finish_all,
    send_volume,
    turns,
    with_lesion,
)
from helpers.workspace_helpers import SEED, paint

RUNS = 9
"""First answer, refined once, repeated from four seeds and in three mirrors."""


@pytest.fixture
def looking(workspace, link, engine, tiny_volume):
    """A workspace that refines in the background, with the first answer of one lesion."""
    workspace.background_refinement.enabled = True
    with_lesion(workspace, link, engine, tiny_volume)
    return workspace


def row(workspace):
    return workspace.rows()[0]


def test_first_answer_is_fast_and_what_follows_waits_until_the_volume_is_at_rest(looking, engine, clock):
    assert engine.jobs[0].request.options.first_fold_only
    assert row(looking).is_current
    looking.tick()
    assert len(engine.jobs) == 1
    clock.now_s += QUIET_S
    turns(looking)
    assert (engine.jobs[1].request.options.first_fold_only, engine.jobs[1].request.options.mirroring) == (False, True)
    assert not looking.session.busy
    assert looking.background_refinement.is_at_work


def test_refined_and_repeated_lesion_has_shells_and_says_what_has_changed(looking, engine, clock):
    finish_all(looking, engine, clock)
    assert len(engine.jobs) == RUNS
    consensus = looking.background_refinement.consensus_of("Tumour 1")
    assert consensus.runs == 8
    assert 0.85 < consensus.agreement < 1  # the crops of other seeds have other voxels
    assert row(looking).refined == "refined: the segmentation moved by 0.0 mm, 0.0 mm at most"
    assert not looking.background_refinement.is_at_work
    draw_all(looking)
    assert looking.navigation.targets["Tumour 1"].outer is not None


def test_refined_segmentation_takes_the_place_of_the_first_and_undo_goes_before_both(looking, engine, clock):
    before = looking.lesion_store.entries["Tumour 1"].segmentation.result
    looking.segment()
    finish(looking, engine)
    seconds = row(looking).seconds
    clock.now_s += QUIET_S
    turns(looking)
    engine.finish()
    looking.tick()
    found = looking.lesion_store.entries["Tumour 1"].segmentation
    assert found.result.request.options.mirroring
    assert row(looking).seconds == seconds
    looking.lesion_store.undo()
    assert looking.lesion_store.entries["Tumour 1"].segmentation.result.requested_at_s == before.requested_at_s
    assert row(looking).refined == ""


def test_segmentation_corrected_by_hand_is_not_refined(looking, engine, clock):
    paint(looking, "Tumour 1", np.s_[18:23, 18:23, 20:35])
    looking.tick()
    volume_ml = row(looking).volume_ml
    finish_all(looking, engine, clock)
    assert row(looking).volume_ml == volume_ml
    assert row(looking).warnings == (CORRECTED,)
    assert (row(looking).refined, row(looking).expected_dice) == ("", None)
    assert looking.navigation.targets["Tumour 1"].outer is None


def test_refined_answer_to_a_segmentation_that_was_taken_back_is_not_shown(looking, engine, clock):
    before = looking.lesion_store.entries["Tumour 1"].segmentation.result
    looking.segment()
    finish(looking, engine)
    clock.now_s += QUIET_S
    turns(looking)
    looking.lesion_store.undo()
    engine.finish()
    looking.tick()
    assert looking.lesion_store.entries["Tumour 1"].segmentation.result.requested_at_s == before.requested_at_s


def test_new_click_begins_anew_at_once(looking, engine, clock):
    clock.now_s += QUIET_S
    turns(looking)
    seed_nodes(looking.scene)["Tumour 1"].SetNthControlPointPositionWorld(0, 19.0, 20.0, 20.0)
    looking.tick()
    looking.segment()
    looking.tick()
    newest = engine.jobs[-1].request
    assert (newest.seed_ras_mm, newest.options.first_fold_only) == ((19.0, 20.0, 20.0), True)
    engine.finish()
    looking.tick()
    assert row(looking).is_current
    assert looking.background_refinement.consensus_of("Tumour 1") is None


def test_live_volumes_are_not_looked_at_again(looking, link, engine, clock, tiny_volume):
    looking.resegmentation.enabled = True
    for number in range(1, 8):
        clock.now_s += 1.0
        send_volume(looking, link, tiny_volume, number)
        engine.finish()
        looking.tick()
    assert all(job.request.options.first_fold_only for job in engine.jobs)
    assert len(engine.jobs) == 8


def test_confidence_is_what_the_calibration_of_the_model_says(looking, engine, clock, model):
    model.calibration = calibration(with_shells_mm=1.5, alone_mm=3.0)
    finish_all(looking, engine, clock)
    assert row(looking).expected_dice == pytest.approx(
        0.2 + 0.65 * looking.background_refinement.consensus_of("Tumour 1").agreement
    )


def test_without_a_calibration_no_confidence_is_claimed(looking, engine, clock):
    finish_all(looking, engine, clock)
    assert row(looking).expected_dice is None


def test_segmentation_cut_off_by_the_crop_is_unsafe_until_a_larger_crop_has_answered(
    workspace, link, engine, clock, tiny_volume
):
    workspace.requests.crop_size_mm = 20.0
    dark = replace(tiny_volume, array=np.where(tiny_volume.array < 80, tiny_volume.array, np.uint8(120)))
    dark.array[14:27, 14:27, 4:37] = 40
    with_lesion(workspace, link, engine, dark)
    assert TOUCHES_EDGE in row(workspace).warnings
    assert row(workspace).unreliable_reason == CUT_OFF
    tracker = Tracker(workspace, link, clock)
    situation = tracker.send(StylusToReference=at(20.0, 20.0, 38.0))
    assert situation.nearest is None
    assert situation.instruments[0].readings[0].unreliable_reason == CUT_OFF
    draw_all(workspace)
    assert {node.GetDisplayNode().GetColor() for node in margins_of(workspace.scene, "Tumour 1")} == {UNSAFE_COLOUR}
    while row(workspace).unreliable_reason == CUT_OFF:
        size_mm = engine.jobs[-1].request.options.crop_size_mm
        finish(workspace, engine)
        assert engine.jobs[-1].request.options.crop_size_mm > 20.0 or size_mm > 20.0
    assert tracker.send(StylusToReference=at(20.0, 20.0, 38.0)).nearest
    assert row(workspace).volume_ml > 4


def test_shells_are_drawn_on_demand(looking, engine, clock):
    finish_all(looking, engine, clock)
    assert consensus_of(looking.scene, "Tumour 1") == []
    draw_all(looking)
    looking.navigation.shows_consensus = True
    draw_all(looking)
    names = {node.GetName() for node in consensus_of(looking.scene, "Tumour 1")}
    assert names == {"Tumour 1: always tumour", "Tumour 1: ever tumour"}
    looking.navigation.shows_consensus = False
    looking.tick()
    assert consensus_of(looking.scene, "Tumour 1") == []


def test_failure_in_the_background_is_logged_and_the_segmentation_stays(looking, engine, clock):
    clock.now_s += QUIET_S
    turns(looking)
    engine.fail("no memory")
    looking.tick()
    assert row(looking).reason == ""
    assert row(looking).is_current
    assert "Tumour 1, in the background: no memory" in looking.log[-1]


def test_mirroring_at_once_needs_no_refining(workspace, link, engine, clock, tiny_volume):
    workspace.background_refinement.enabled = workspace.requests.mirroring = True
    with_lesion(workspace, link, engine, tiny_volume)
    assert (engine.jobs[0].request.options.mirroring, engine.jobs[0].request.options.first_fold_only) == (True, False)
    finish_all(workspace, engine, clock)
    assert not any(job.request.options.mirroring for job in engine.jobs[1:])
    assert engine.jobs[1].request.seed_ras_mm != SEED
