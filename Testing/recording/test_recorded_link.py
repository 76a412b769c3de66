from dataclasses import replace

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import CaseError
from CRLMSegmentationLib.core.resources import resource_path
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.igtl.link import LinkState
from CRLMSegmentationLib.igtl.messages import ImageMessage, TransformMessage
from CRLMSegmentationLib.recording.case import Case, load_case
from CRLMSegmentationLib.recording.recorded_link import RecordedLink
from CRLMSegmentationLib.recording.timeline import timeline


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(scope="module")
def case() -> Case:
    return load_case(resource_path("SampleCases", "phantom-hypoechoic"))


@pytest.fixture
def clock():
    return Clock()


def times_of(messages):
    return [message.timestamp_s for message in messages]


def test_everything_comes_once_and_in_order(case, clock):
    link = RecordedLink(case, clock=clock)
    received = []
    while link.is_playing:
        received += link.poll()
        clock.now_s += 0.037
    assert times_of(received) == times_of(t.load() for t in timeline(case))
    assert link.position_s == link.duration_s
    assert link.poll() == []


def test_speed_makes_it_faster(case, clock):
    link = RecordedLink(case, speed=4, clock=clock)
    link.poll()
    clock.now_s += 0.5
    assert link.poll()
    assert link.position_s == pytest.approx(2)


def test_paused_nothing_comes_and_time_stands_still(case, clock):
    link = RecordedLink(case, clock=clock)
    clock.now_s += 1
    link.poll()
    link.pause()
    clock.now_s += 5
    assert link.poll() == []
    assert link.position_s == pytest.approx(1)
    link.play()
    clock.now_s += 0.1
    assert link.poll()
    assert link.position_s == pytest.approx(1.1)


def test_seek_gives_each_device_as_it_was_at_that_time(case, clock):
    link = RecordedLink(case, clock=clock)
    link.pause()
    link.poll()
    link.seek(3.0)
    messages = link.poll()
    start_s = timeline(case)[0].load().timestamp_s
    assert {m.device for m in messages} == set(case.devices.values())
    assert all(m.timestamp_s - start_s == pytest.approx(3.0, abs=0.06) for m in messages)
    link.seek(link.duration_s)
    kinds = [type(m) for m in link.poll()]
    assert kinds.count(ImageMessage) == 1
    assert kinds.count(TransformMessage) == len(case.devices)
    link.seek(1.0)
    assert ImageMessage not in [type(m) for m in link.poll()]
    assert link.jumps == 3


def test_after_the_end_play_begins_anew(case, clock):
    link = RecordedLink(case, clock=clock)
    clock.now_s += 1000
    link.poll()
    assert not link.is_playing
    link.play()
    assert link.is_playing
    assert link.position_s == 0


def test_a_single_volume_comes_at_once(clock):
    volume = Volume(np.zeros((3, 3, 3), np.uint8), np.eye(4), "recvol_Reference")
    link = RecordedLink(volume, clock=clock)
    assert [m.device for m in link.poll()] == ["recvol_Reference"]


def test_closed_it_is_silent(case, clock):
    link = RecordedLink(case, clock=clock)
    link.close()
    clock.now_s += 10
    assert link.poll() == []
    assert link.state is LinkState.CLOSED


@pytest.mark.parametrize("speed", [0, -1, float("nan")])
def test_speed_must_be_above_zero(case, speed):
    with pytest.raises(CaseError, match="above 0"):
        RecordedLink(case, speed=speed)


def test_volumes_beyond_a_bound_are_read_when_they_are_due_and_are_the_same(tiny_case, monkeypatch):
    case = replace(tiny_case, volumes=tuple(replace(tiny_case.volumes[0], timestamp_s=100.0 + n) for n in range(4)))
    everything = timeline(case)
    monkeypatch.setattr("CRLMSegmentationLib.recording.timeline.AT_HAND_BYTES", 1)
    bounded = timeline(case)
    size = tiny_case.volume().array.nbytes
    assert [timed.memory_bytes for timed in everything if timed.is_volume] == [size] * 4
    assert [timed.memory_bytes for timed in bounded if timed.is_volume] == [size, 0, 0, 0]
    for one, other in zip(everything, bounded):
        assert (one.offset_s, one.device, one.kind, one.is_volume) == (
            other.offset_s,
            other.device,
            other.kind,
            other.is_volume,
        )
        if one.is_volume:
            assert np.array_equal(one.load().array, other.load().array)
            assert one.load().timestamp_s == other.load().timestamp_s
    assert RecordedLink(case).memory_bytes == size


def test_volume_that_is_gone_when_it_is_due_is_left_out(tiny_case, monkeypatch):
    case = replace(tiny_case, volumes=tiny_case.volumes * 2)
    monkeypatch.setattr("CRLMSegmentationLib.recording.timeline.AT_HAND_BYTES", 1)
    late = [timed for timed in timeline(case) if timed.is_volume][1]
    (case.folder / case.volumes[0].file).unlink()
    with pytest.raises(CaseError, match="no such file"):
        late.load()


def test_closed_link_holds_nothing_more(case):
    link = RecordedLink(case)
    assert link.memory_bytes > 0
    link.close()
    assert link.memory_bytes == 0
    assert link.poll() == []
