"""Lesions that are segmented again as newer volumes come; the engine, the link and the clock are stubs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from CRLMSegmentationLib.slicer.scene.seeds import seed_nodes
from CRLMSegmentationLib.slicer.scene.volumes import show_volume
from CRLMSegmentationLib.slicer.workspace.lesion import LesionState
from CRLMSegmentationLib.slicer.workspace.resegmentation import GRACE_S
from helpers.navigation_scene_helpers import Tracker, at, finish, send_volume, with_lesion
from helpers.workspace_helpers import SEED, paint


@pytest.fixture
def live(workspace, link, engine, tiny_volume):
    """A workspace that follows, with one lesion in the first volume of a live reconstruction."""
    workspace.resegmentation.enabled = True
    with_lesion(workspace, link, engine, tiny_volume)
    return workspace


def row(workspace, number=0):
    return workspace.rows()[number]


def name_in_scene(workspace):
    return workspace.lesion_store.segmentation_node.GetSegmentation().GetSegment("Tumour 1").GetName()


def test_newer_volume_is_segmented_from_the_same_seed_by_itself(live, link, engine, tiny_volume):
    colour = row(live).colour
    send_volume(live, link, tiny_volume, 1)
    assert len(engine.jobs) == 2
    assert engine.jobs[1].request.seed_ras_mm == SEED
    finish(live, engine)
    found = row(live)
    assert (found.is_current, found.is_renewing, found.state) == (True, False, LesionState.DONE)
    assert (found.name, found.colour) == ("Tumour 1", colour)
    assert live.lesion_store.entries["Tumour 1"].segmentation.result.volume.timestamp_s == 101.0


def test_without_following_a_newer_volume_makes_the_segmentation_old(live, link, engine, tiny_volume):
    live.resegmentation.enabled = False
    send_volume(live, link, tiny_volume, 1)
    live.tick()
    assert len(engine.jobs) == 1
    assert not row(live).is_current


def test_segmentation_says_that_it_is_being_renewed_and_keeps_its_colour_and_its_distance(
    live, link, engine, clock, tiny_volume
):
    tracker = Tracker(live, link, clock)
    tracker.send(StylusToReference=at(40.0))
    send_volume(live, link, tiny_volume, 1)
    assert name_in_scene(live) == "Tumour 1 (being renewed)"
    assert row(live).is_renewing
    assert tracker.send(StylusToReference=at(40.0)).nearest
    finish(live, engine)
    assert name_in_scene(live) == "Tumour 1"


def test_segmentation_that_is_not_renewed_in_time_is_out_of_date(live, link, clock, tiny_volume):
    send_volume(live, link, tiny_volume, 1)
    tracker = Tracker(live, link, clock)
    tracker.send(GRACE_S + 0.5, StylusToReference=at(40.0))
    assert name_in_scene(live) == "Tumour 1 (out of date)"
    assert not row(live).is_current
    assert live.navigation.situation.nearest is None


def test_volumes_that_come_while_the_network_is_at_work_are_passed_over(live, link, engine, tiny_volume):
    for number in range(1, 6):
        send_volume(live, link, tiny_volume, number)
    assert len(engine.jobs) == 2
    finish(live, engine)
    live.tick()
    assert len(engine.jobs) == 3
    assert live.session._queue.running.volume.timestamp_s == 105.0


def test_results_follow_in_the_order_of_their_volumes(live, link, engine, tiny_volume):
    seen = []
    for number in range(1, 12):
        send_volume(live, link, tiny_volume, number)
        if number % 2:
            finish(live, engine)
        seen.append(live.lesion_store.entries["Tumour 1"].segmentation.result.volume.timestamp_s)
    assert seen == sorted(seen)
    assert len(set(seen)) > 4


def test_several_lesions_take_turns_the_oldest_first(live, link, engine, clock, tiny_volume):
    live.add_seed((19.0, 20.0, 20.0))
    live.tick()
    live.segment(["Tumour 2"])
    finish(live, engine)
    asked = []
    for number in range(1, 7):
        clock.now_s += 1
        send_volume(live, link, tiny_volume, number)
        asked.append(live.session._queue.running.request.lesion)
        engine.finish()
        live.tick()
    assert asked == ["Tumour 1", "Tumour 2"] * 3


def test_history_tells_shift_and_growth_since_the_volume_before(live, link, engine, tiny_volume):
    moved = np.roll(tiny_volume.array, 2, axis=2)
    for number, array in enumerate((moved, moved), 1):
        send_volume(live, link, replace(tiny_volume, array=array), number)
        finish(live, engine)
        live.tick()
    sightings = live.lesion_store.entries["Tumour 1"].history.sightings
    assert [round(s.shift_mm, 1) for s in sightings[1:]] == [2.0, 0.0]
    assert row(live).shift_mm == pytest.approx(0, abs=0.05)
    assert abs(sightings[1].change) < 0.05
    assert len({s.volume.timestamp_s for s in sightings}) == 3


def test_lesion_corrected_by_hand_is_left_alone_and_out_of_date(live, link, engine, tiny_volume):
    paint(live, "Tumour 1", np.s_[18:23, 18:23, 20:35])
    live.tick()
    send_volume(live, link, tiny_volume, 1)
    live.tick()
    assert len(engine.jobs) == 1
    assert not row(live).is_current


def test_seed_that_has_been_moved_is_not_followed_until_it_was_asked_for(live, link, engine, tiny_volume):
    seed_nodes(live.scene)["Tumour 1"].SetNthControlPointPositionWorld(0, 22.0, 20.0, 20.0)
    live.tick()
    send_volume(live, link, tiny_volume, 1)
    live.tick()
    assert len(engine.jobs) == 1


def test_lesion_that_could_not_be_found_in_one_volume_is_looked_for_in_the_next_and_not_again_in_the_same(
    live, link, engine, tiny_volume
):
    send_volume(live, link, tiny_volume, 1)
    live.tick()
    engine.fail("no memory")
    for _ in range(5):
        live.tick()
    assert len(engine.jobs) == 2
    assert row(live).state is LesionState.FAILED
    send_volume(live, link, tiny_volume, 2)
    finish(live, engine)
    assert row(live).state is LesionState.DONE


def test_volume_of_another_device_is_no_successor(live, link, engine, tiny_volume):
    send_volume(live, link, replace(tiny_volume, device="other"), 1)
    live.tick()
    live.tick()
    assert len(engine.jobs) == 1


def test_volume_of_the_scene_is_no_successor(live, engine, tiny_volume):
    live.use_node(show_volume(live.scene, replace(tiny_volume, array=tiny_volume.array + 1), "loaded"))
    for _ in range(3):
        live.tick()
    assert len(engine.jobs) == 1


def test_what_a_user_asks_for_is_not_delayed_by_more_than_the_lesion_at_work(live, link, engine, tiny_volume):
    send_volume(live, link, tiny_volume, 1)
    live.add_seed((19.0, 20.0, 20.0))
    live.tick()
    live.segment(["Tumour 2"])
    finish(live, engine)
    assert live.session._queue.running.request.lesion == "Tumour 2"
