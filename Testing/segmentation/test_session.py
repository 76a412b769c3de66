import dataclasses
import socket
import time

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import ModelError, SeedError
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.igtl.client import IgtlClient
from CRLMSegmentationLib.igtl.link import LinkState
from CRLMSegmentationLib.igtl.messages import ImageMessage, TransformMessage, image_of
from CRLMSegmentationLib.igtl.packing import pack
from CRLMSegmentationLib.igtl.statistics import MAX_PROBLEMS, DropReason, Problems
from CRLMSegmentationLib.segmentation.engine.engine import Failed
from CRLMSegmentationLib.segmentation.incoming import LinkChanged, Refused, TransformArrived, VolumeArrived
from CRLMSegmentationLib.segmentation.results import LesionFailed, LesionProgress, LesionSegmented, ModelReady, Options
from CRLMSegmentationLib.segmentation.session import Session

SEED = (20.0, 20.0, 20.0)


class StubLink:
    def __init__(self):
        self.state, self.state_reason, self.receiving, self.inbox, self.closed = (
            LinkState.CONNECTED,
            "",
            None,
            [],
            False,
        )

    def poll(self, budget_s=0.004):
        messages, self.inbox = self.inbox, []
        return messages

    def close(self):
        self.closed = True


def of_kind(events, kind):
    return [event for event in events if isinstance(event, kind)]


def answer(session, engine):
    session.poll()
    engine.finish()
    return session.poll()


def test_volume_and_seed_give_the_lesion_on_the_grid_of_the_volume(session, engine, tiny_volume):
    session.use_volume(tiny_volume)
    session.segment("Tumour 1", SEED)
    events = answer(session, engine)
    result = of_kind(events, LesionSegmented)[0].result
    truth = tiny_volume.array < 80
    assert of_kind(events, LesionProgress)[0].lesion == "Tumour 1"
    assert 2 * (result.mask.mask & truth).sum() / (result.mask.mask.sum() + truth.sum()) > 0.95
    assert result.volume is tiny_volume
    assert result.request.options.crop_size_mm == 30.0
    assert set(result.timings_s) == {"crop", "preprocess", "inference", "postprocess"}
    assert not session.busy


def test_volume_over_the_link_is_the_one_that_is_segmented(engine, model, tiny_volume):
    link = StubLink()
    with Session(engine, model, link) as session:
        link.inbox = [image_of(tiny_volume)]
        events = session.poll()
        assert of_kind(events, LinkChanged)[0].state is LinkState.CONNECTED
        assert of_kind(events, VolumeArrived)[0].volume.identity == tiny_volume.identity
        session.segment("Tumour 1", SEED)
        result = of_kind(answer(session, engine), LesionSegmented)[0].result
        assert result.timings_s["receive"] >= 0
    assert link.closed
    assert engine.closed


def test_transforms_are_kept_by_device_and_told(engine, model):
    link = StubLink()
    session = Session(engine, model, link)
    link.inbox = [
        TransformMessage("ProbeToReference", 1.0, np.eye(4)),
        TransformMessage("ProbeToReference", 2.0, np.eye(4)),
    ]
    assert len(of_kind(session.poll(), TransformArrived)) == 2
    assert session.transforms["ProbeToReference"].timestamp_s == 2.0


def test_colour_image_is_refused_and_the_volume_stays(engine, model, tiny_volume):
    link = StubLink()
    session = Session(engine, model, link)
    session.use_volume(tiny_volume)
    link.inbox = [ImageMessage("Video", 1.0, np.zeros((4, 4, 4, 3), np.uint8), np.eye(4))]
    refused = of_kind(session.poll(), Refused)[0]
    assert refused.device == "Video"
    assert "components" in refused.reason
    assert session.volume is tiny_volume


def test_message_that_was_lost_is_told_once_for_each_reason_and_link(engine, model):
    link = StubLink()
    link.problems = lost = Problems()
    session = Session(engine, model, link)
    assert not of_kind(session.poll(), Refused)
    for size in range(1000):
        lost.note(DropReason.CRC, "", f"checksum wrong: IMAGE 'recvol', {size} bytes")
        events = of_kind([*session.poll(), *session.poll()], Refused)
        assert events == ([] if size else [Refused("", "checksum wrong: IMAGE 'recvol', 0 bytes", DropReason.CRC)])
    lost.note(DropReason.BODY, "", "body unreadable: TRANSFORM 'Probe'")
    assert [r.kind for r in of_kind([*session.poll(), *session.poll()], Refused)] == [DropReason.BODY]
    assert session.problems.of(DropReason.CRC) == 1000
    assert [str(problem) for problem in session.problems] == [
        "checksum wrong: IMAGE 'recvol', 0 bytes (1000 times)",
        "body unreadable: TRANSFORM 'Probe'",
    ]
    another = StubLink()
    another.problems = lost
    session.use_link(another)
    assert len(of_kind(session.poll(), Refused)) == 2


def test_refusals_of_many_names_and_texts_are_counted_and_not_told_one_by_one(engine, model):
    link = StubLink()
    session = Session(engine, model, link)
    told = []
    for n in range(300):
        link.inbox = [ImageMessage(f"Video{n}", 1.0, np.zeros((2, 4, 4 + n % 7, 3), np.uint8), np.eye(4))] * 2
        told += of_kind(session.poll(), Refused)
    assert session.problems.of(DropReason.NOT_A_VOLUME) == 600
    assert len(told) == len(session.problems) == MAX_PROBLEMS + 1
    assert told[-1].device == ""
    assert "others" in told[-1].reason


def test_damaged_message_over_a_socket_is_told(engine, model, tiny_volume):
    damaged = bytearray(pack(image_of(tiny_volume), version=2))
    damaged[-1] ^= 1
    server = socket.create_server(("127.0.0.1", 0))
    with server, Session(engine, model, IgtlClient("127.0.0.1", server.getsockname()[1])) as session:
        while not session.link.statistics.connections:
            session.poll()
        peer, _ = server.accept()
        events, end_s = [], time.monotonic() + 120
        with peer:
            peer.sendall(damaged)
            while not of_kind(events, Refused) and time.monotonic() < end_s:
                events += session.poll()
    (refused,) = of_kind(events, Refused)
    assert refused.device == ""
    assert refused.reason.startswith("checksum wrong: IMAGE")


def test_result_of_an_older_volume_names_that_volume(session, engine, tiny_volume):
    session.use_volume(tiny_volume)
    session.segment("Tumour 1", SEED)
    session.poll()
    session.use_volume(dataclasses.replace(tiny_volume, timestamp_s=200.0))
    engine.finish()
    result = of_kind(session.poll(), LesionSegmented)[0].result
    assert result.volume is tiny_volume
    assert result.volume.identity != session.volume.identity


def test_several_lesions_are_answered_one_after_the_other(session, engine, tiny_volume):
    session.use_volume(tiny_volume)
    session.segment("Tumour 1", SEED)
    session.segment("Tumour 2", (22.0, 20.0, 20.0))
    first, second = answer(session, engine), answer(session, engine)
    names = [of_kind(events, LesionSegmented)[0].result.request.lesion for events in (first, second)]
    assert names == ["Tumour 1", "Tumour 2"]


def test_moved_seed_replaces_the_request_that_runs(session, engine, tiny_volume):
    session.use_volume(tiny_volume)
    session.segment("Tumour 1", SEED)
    session.poll()
    session.segment("Tumour 1", (22.0, 20.0, 20.0))
    events = [*session.poll(), *answer(session, engine)]
    seeds = [event.result.request.seed_ras_mm for event in of_kind(events, LesionSegmented)]
    assert seeds == [(22.0, 20.0, 20.0)]
    assert not of_kind(events, LesionFailed), "a request that was replaced has not failed"


def test_cancel_ends_what_runs_and_what_waits(session, engine, tiny_volume):
    session.use_volume(tiny_volume)
    session.segment("Tumour 1", SEED)
    session.segment("Tumour 2", SEED)
    session.poll()
    session.cancel()
    assert {event.lesion for event in of_kind(session.poll(), LesionFailed)} == {"Tumour 1", "Tumour 2"}
    assert not session.busy


def test_failure_of_the_engine_is_told_for_the_lesion_and_for_itself(session, engine, tiny_volume):
    session.use_volume(tiny_volume)
    session.segment("Tumour 1", SEED)
    session.poll()
    engine.events += [Failed(engine.pending, "the worker was killed"), Failed(None, "gave up")]
    assert session.poll() == [LesionFailed("Tumour 1", "the worker was killed"), LesionFailed(None, "gave up")]


def test_model_of_whole_volumes_is_sent_the_whole_volume_and_no_size(engine, model, tiny_volume):
    model.region = "volume"
    session = Session(engine, model)
    session.use_volume(tiny_volume)
    request = session.segment("Tumour 1", SEED)
    assert request.options.crop_size_mm is None
    result = of_kind(answer(session, engine), LesionSegmented)[0].result
    (job,) = engine.jobs
    assert job.volume is tiny_volume
    assert job.request.options.crop_size_mm is None
    truth = tiny_volume.array < 80
    assert 2 * (result.mask.mask & truth).sum() / (result.mask.mask.sum() + truth.sum()) > 0.95
    assert result.mask.in_crop.all()


def test_crop_size_for_a_model_of_whole_volumes_is_refused(engine, model, tiny_volume):
    model.region = "volume"
    session = Session(engine, model)
    session.use_volume(tiny_volume)
    with pytest.raises(ModelError, match="stub is shown the whole volume, so there is no crop to choose"):
        session.segment("Tumour 1", SEED, Options(40.0))
    assert not session.busy


def test_volume_too_large_to_be_shown_whole_fails_before_it_is_sent(engine, model):
    model.region, model.spacing_mm = "volume", 0.05
    session = Session(engine, model)
    session.use_volume(Volume(np.full((40, 40, 40), 200, np.uint8), np.eye(4)))
    session.segment("Tumour 1", SEED)
    (failed,) = of_kind(session.poll(), LesionFailed)
    assert "800 x 800 x 800 voxels, too many" in failed.reason
    assert not engine.jobs


def test_seed_without_volume_or_outside_is_refused_at_once(session, tiny_volume):
    with pytest.raises(SeedError, match="no volume yet"):
        session.segment("Tumour 1", SEED)
    session.use_volume(tiny_volume)
    with pytest.raises(SeedError, match="outside"):
        session.segment("Tumour 1", (500.0, 0, 0))


def test_model_tells_when_it_is_ready(session):
    assert of_kind(session.poll(), ModelReady)[0].device == "stub"


def test_crop_that_sees_other_voxels_only_of_the_named_volume(session, engine, tiny_volume):
    session.use_volume(tiny_volume)
    session.segment("Tumour 1", SEED)
    session.use_volume(Volume(np.full((40, 40, 40), 200, np.uint8), np.eye(4)))
    result = of_kind(answer(session, engine), LesionSegmented)[0].result
    assert result.mask.volume_ml == pytest.approx(2.1, rel=0.15)
