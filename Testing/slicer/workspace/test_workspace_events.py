"""Listeners that subscribe to the events of a workspace."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.slicer.workspace.events import (
    Cause,
    DistancesUpdated,
    LesionAsked,
    LesionRemoved,
    ModelChanged,
    ResultShown,
    ResultWithheld,
    SeedMoved,
    SegmentationChanged,
    VolumeLeft,
    VolumeShown,
)
from CRLMSegmentationLib.slicer.workspace.result_handler import SELF_CHECK
from helpers.stub_engine import StubEngine
from helpers.workspace_helpers import SEED, answer, paint


class Log:
    """Remembers what it was told."""

    def __init__(self):
        self.events = []

    def handle(self, event):
        self.events.append(event)

    def kinds(self):
        """Without distances, which are measured all the time."""
        return [type(event) for event in self.events if not isinstance(event, DistancesUpdated)]

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def log(with_volume):
    with_volume.tick()  # the engine says that it is ready
    made = Log()
    with_volume.events.subscribe(made)
    return made


def test_seed_request_and_result_are_told_in_this_order(log, with_volume, engine):
    with_volume.add_seed(np.array(SEED))
    with_volume.tick()
    answer(with_volume, engine, ["Tumour 1"])
    assert log.kinds() == [SeedMoved, LesionAsked, ResultShown]
    (shown,) = log.of(ResultShown)
    assert shown.segmentation is with_volume.lesion_store.entries["Tumour 1"].segmentation
    assert shown.result.timings_s["overlay"] > 0


def test_turns_in_which_nothing_happens_tell_nothing(log, with_volume, engine):
    with_volume.add_seed(np.array(SEED))
    answer(with_volume, engine, ["Tumour 1"])
    before = len(log.kinds())
    for _ in range(20):
        with_volume.tick()
    assert len(log.kinds()) == before


def test_result_of_a_lesion_that_was_removed_is_withheld(log, with_volume, engine):
    with_volume.add_seed(np.array(SEED))
    with_volume.segment()
    with_volume.tick()
    engine.finish()
    with_volume.remove_seed("Tumour 1")
    with_volume.tick()
    assert len(log.of(ResultWithheld)) == 1
    assert not log.of(ResultShown)
    assert [event.lesion for event in log.of(LesionRemoved)] == ["Tumour 1"]


def test_causes_of_changed_segmentations(log, with_volume, engine):
    with_volume.add_seed(np.array(SEED))
    answer(with_volume, engine, ["Tumour 1"])
    paint(with_volume, "Tumour 1", np.s_[0:6, 0:6, 0:6])
    with_volume.tick()
    answer(with_volume, engine, ["Tumour 1"])
    with_volume.lesion_store.undo()
    with_volume.lesion_store.redo()
    with_volume.lesion_store.segmentation_node.GetSegmentation().RemoveSegment("Tumour 1")
    with_volume.tick()
    assert [event.cause for event in log.of(SegmentationChanged)] == [
        Cause.EDITED,
        Cause.UNDONE,
        Cause.REDONE,
        Cause.DELETED,
    ]


def test_volume_that_is_deleted_is_told(log, with_volume):
    with_volume.scene.RemoveNode(with_volume.volume.node)
    with_volume.tick()
    assert log.kinds() == [VolumeLeft, VolumeShown]
    assert log.of(VolumeShown)[0].volume is None


def test_model_that_is_chosen_is_told(log, with_volume, model):
    with_volume.use_model(StubEngine(), model)
    assert [event.model for event in log.of(ModelChanged)] == [model]


def test_self_check_is_no_event(log, with_volume, engine, tiny_volume):
    with_volume.run_self_check(tiny_volume, np.array(SEED))
    with_volume.tick()
    engine.finish()
    with_volume.tick()
    assert with_volume.results.self_check.request.lesion == SELF_CHECK
    assert log.kinds() == []


def test_log_that_has_left_is_told_nothing(log, with_volume):
    with_volume.events.unsubscribe(log)
    with_volume.add_seed(np.array(SEED))
    with_volume.tick()
    assert log.events == []


def test_log_that_subscribes_twice_is_told_once(log, with_volume):
    with_volume.events.subscribe(log)
    with_volume.add_seed(np.array(SEED))
    with_volume.tick()
    assert len(log.of(SeedMoved)) == 1
