"""Times that repeat, come late or go back: what is shown as current, and what is said of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from CRLMSegmentationLib.igtl.link import LinkState
from CRLMSegmentationLib.igtl.messages import TransformMessage, image_of
from CRLMSegmentationLib.igtl.statistics import DropReason
from CRLMSegmentationLib.segmentation.incoming import (
    MAX_TOOLS,
    MAX_VOLUME_DEVICES,
    DeviceForgotten,
    LinkChanged,
    Noticed,
    Refused,
    TransformArrived,
    VolumeArrived,
)
from CRLMSegmentationLib.segmentation.session import Session


class NetworkStub:
    """A link whose messages come from a network: it has connections."""

    def __init__(self):
        self.state, self.state_reason, self.receiving, self.epoch = LinkState.CONNECTED, "", None, 1
        self.inbox = []

    def poll(self, budget_s=0.004):
        messages, self.inbox = self.inbox, []
        return messages

    def close(self): ...


class Sender:
    """Sends through a stub of a link into a session, and returns what the session tells."""

    def __init__(self, session, link, volume):
        self.session, self.link, self._volume = session, link, volume

    def volume(self, time_s, **changes):
        return self.send(image_of(dataclasses.replace(self._volume, timestamp_s=time_s, **changes)))

    def pose(self, time_s, device="ProbeToReference"):
        return self.send(TransformMessage(device, time_s, np.eye(4)))

    def send(self, *messages):
        self.link.inbox = list(messages)
        return [event for event in self.session.poll() if not isinstance(event, LinkChanged)]

    @property
    def current_s(self):
        return self.session.volume.timestamp_s


@pytest.fixture
def sender(engine, model, tiny_volume):
    link = NetworkStub()
    with Session(engine, model, link) as session:
        session.poll()
        yield Sender(session, link, tiny_volume)


def kinds(events):
    return [type(event) for event in events]


def test_same_volume_again_is_the_same_volume(sender):
    sender.volume(100.0)
    before = sender.session.volume
    (noticed,) = sender.volume(100.0)
    assert noticed.kind is DropReason.REPEATED
    assert sender.volume(100.0) == []
    assert sender.session.volume is before
    assert sender.session.problems.of(DropReason.REPEATED) == 2


def test_other_voxels_of_the_same_time_are_another_volume(sender, tiny_volume):
    sender.volume(100.0)
    assert kinds(sender.volume(100.0, array=tiny_volume.array + 1)) == [VolumeArrived]


def test_late_volume_is_not_shown_as_current(sender):
    sender.volume(100.0)
    sender.pose(101.0)
    (refused,) = sender.volume(95.0)
    assert (refused.device, refused.kind) == ("recvol_Reference", DropReason.LATE)
    assert "5.0 s older" in refused.reason
    assert sender.current_s == 100.0
    assert "5.0 s older" in sender.session.volume_warning
    assert kinds(sender.volume(102.0)) == [VolumeArrived]
    assert sender.current_s == 102.0
    assert sender.session.volume_warning == ""


def test_every_late_volume_is_warned_of_though_told_once(sender):
    sender.volume(100.0)
    sender.pose(101.0)
    sender.volume(95.0)
    assert sender.volume(90.0) == []
    assert "10.0 s older" in sender.session.volume_warning
    assert sender.session.problems.of(DropReason.LATE) == 2


def test_clock_that_was_set_back_does_not_hold_back_the_newest_volume(sender):
    sender.volume(100.0)
    sender.pose(101.0)
    assert kinds(sender.pose(41.0)) == [TransformArrived, Noticed]
    arrived, *_ = sender.volume(42.0)
    assert isinstance(arrived, VolumeArrived)
    assert sender.current_s == 42.0
    assert sender.session.problems.of(DropReason.CLOCK_BACK) == 2
    assert kinds(sender.volume(43.0)) == [VolumeArrived]


def test_volume_ahead_of_the_first_pose_of_a_clock_set_back_is_taken_with_that_pose(sender):
    sender.volume(100.0)
    sender.pose(101.0)
    assert kinds(sender.volume(41.0)) == [Refused]
    assert VolumeArrived in kinds(sender.pose(41.1))
    assert sender.current_s == 41.0
    assert sender.session.volume_warning == ""


def test_older_volume_without_poses_is_taken_and_loudly(sender):
    sender.volume(100.0)
    assert kinds(sender.volume(70.0)) == [VolumeArrived, Noticed, Noticed]
    assert sender.current_s == 70.0
    assert "30.0 s older" in sender.session.volume_warning


def test_new_connection_begins_anew_and_says_when_its_volume_is_older(sender):
    sender.volume(100.0)
    sender.pose(101.0)
    sender.link.epoch += 1
    assert VolumeArrived in kinds(sender.volume(70.0))
    assert "30.0 s older" in sender.session.volume_warning
    assert TransformArrived in kinds(sender.pose(71.0))


def test_volume_that_is_sent_again_after_a_reconnection_is_the_same(sender):
    sender.volume(100.0)
    before = sender.session.volume
    sender.link.epoch += 1
    sender.volume(100.0)
    assert sender.session.volume is before


def test_volumes_without_a_time_are_taken_as_they_come(sender, tiny_volume):
    sender.volume(100.0)
    assert kinds(sender.volume(0.0)) == [VolumeArrived]
    assert kinds(sender.volume(0.0, array=tiny_volume.array + 1)) == [VolumeArrived]


def test_poses_are_delivered_in_the_order_in_which_they_come_and_counted(sender):
    sender.pose(10.0)
    for _ in range(50):
        sender.pose(10.0)
    sender.pose(10.5)
    for _ in range(50):
        sender.pose(10.2)
    assert sender.session.transforms["ProbeToReference"].timestamp_s == 10.2
    assert sender.session.problems.of(DropReason.REPEATED) == 50
    assert sender.session.problems.of(DropReason.LATE) == 50
    assert len(sender.session.problems) == 2


def test_clock_that_goes_back_often_is_told_once(sender):
    told = []
    for n in range(100):
        told += [event for event in sender.pose(1000.0 - 5 * n) if isinstance(event, Noticed)]
    assert [event.kind for event in told] == [DropReason.CLOCK_BACK]
    assert sender.session.problems.of(DropReason.CLOCK_BACK) == 99


def test_a_time_in_the_far_future_does_not_stay_the_newest(sender):
    sender.pose(2.0**32 - 1)
    sender.pose(10.0)
    assert kinds(sender.pose(10.1)) == [TransformArrived]


def test_names_of_tools_and_volumes_are_bounded_and_none_that_sends_now_is_kept_out(sender):
    names = [f"Tool{n}ToReference" for n in range(2 * MAX_TOOLS)]
    for name in names:
        assert TransformArrived in kinds(sender.pose(1.0, name)), "a bound must not keep out what is tracked now"
    assert list(sender.session.transforms) == names[MAX_TOOLS:], "what has been silent longest goes"
    assert kinds(sender.pose(2.0, names[-1])) == [TransformArrived]
    arrived = []
    for n in range(2 * MAX_VOLUME_DEVICES):
        arrived += [event for event in sender.volume(10.0 + n, device=f"V{n}") if isinstance(event, VolumeArrived)]
    assert len(arrived) == 2 * MAX_VOLUME_DEVICES
    assert sender.session.problems.of(DropReason.TOO_MANY_DEVICES) == MAX_TOOLS + MAX_VOLUME_DEVICES


def test_device_that_goes_for_another_is_told(sender):
    for n in range(MAX_TOOLS):
        sender.pose(1.0, f"Tool{n}ToReference")
    sender.pose(2.0, "Tool0ToReference")
    gone = [event for event in sender.pose(3.0, "StylusToReference") if isinstance(event, DeviceForgotten)]
    assert gone == [DeviceForgotten("Tool1ToReference", "transform")]


def test_calibration_that_came_once_stays_as_long_as_its_tool_is_known(sender):
    sender.pose(1.0, "StylusTipToStylus")
    for n in range(3 * MAX_TOOLS):
        sender.pose(1.0 + n / 100, "StylusToReference")
        sender.pose(1.0, f"Tool{n}ToReference")
    assert {"StylusTipToStylus", "StylusToReference"} <= set(sender.session.transforms)
    for n in range(2 * MAX_TOOLS):
        sender.pose(9.0, f"Tool{n}ToReference")
    assert not {"StylusTipToStylus", "StylusToReference"} & set(sender.session.transforms), "both have gone"


def test_calibrations_of_tools_that_nobody_tracks_keep_nothing_out(sender):
    for n in range(2 * MAX_TOOLS):
        sender.pose(1.0, f"A{n}TipToA{n}")
    assert len(sender.session.transforms) == MAX_TOOLS
    assert kinds(sender.pose(2.0, "StylusToReference"))[-1] is TransformArrived


def test_recording_may_jump_in_time(sender, engine, model, tiny_volume):
    del sender.link.epoch
    sender.session.use_link(sender.link)
    sender.volume(100.0)
    sender.pose(101.0)
    assert kinds(sender.volume(50.0)) == [VolumeArrived]
    assert kinds(sender.volume(50.0)) == [VolumeArrived]


def two_volumes(volume):
    """Of a recording: of different sizes, five seconds apart."""
    image = image_of(dataclasses.replace(volume, timestamp_s=100.0))
    larger = dataclasses.replace(volume, array=np.concatenate([volume.array] * 2), timestamp_s=105.0)
    return image, image_of(larger)


@pytest.mark.parametrize("has_poses", [True, False])
def test_recording_of_two_volumes_that_is_sent_over_and_over_is_one_stream(sender, tiny_volume, has_poses):
    for _ in range(5):
        for image in two_volumes(tiny_volume):
            sender.send(image)
            if has_poses:
                sender.pose(image.timestamp_s + 0.1)
            assert sender.current_s == image.timestamp_s
    assert sender.session.mixed_devices == []
    assert sender.session.problems.of(DropReason.AMBIGUOUS) == 0


def test_recording_that_is_moved_to_and_fro_is_one_stream(sender, tiny_volume):
    del sender.link.epoch
    sender.session.use_link(sender.link)
    first, second = two_volumes(tiny_volume)
    moved = dataclasses.replace(second, timestamp_s=106.0)
    for jump, image in enumerate([first, second, first, moved] * 3):
        sender.link.jumps = jump
        pose = np.eye(4)
        pose[0, 3] = 300.0 * (jump % 2)
        sender.send(image, TransformMessage("StylusToReference", image.timestamp_s, pose))
        assert sender.current_s == image.timestamp_s
    assert sender.session.mixed_devices == []


@pytest.mark.parametrize("clock_s", [50.0, 100.5])
@pytest.mark.parametrize("has_poses", [True, False])
def test_two_streams_of_volumes_by_clocks_of_their_own_are_still_told_apart(sender, tiny_volume, clock_s, has_poses):
    first, second = two_volumes(tiny_volume)
    for second_s in range(8):
        sender.send(dataclasses.replace(first, timestamp_s=100.0 + second_s))
        sender.send(dataclasses.replace(second, timestamp_s=clock_s + second_s))
        if has_poses:
            sender.pose(100.0 + second_s)
    assert sender.session.mixed_devices == ["recvol_Reference"]


def test_recorded_streams_of_two_senders_are_told_apart_while_they_are_played(sender, tiny_volume):
    del sender.link.epoch
    sender.session.use_link(sender.link)
    first, second = two_volumes(tiny_volume)
    for second_s in range(8):
        sender.send(dataclasses.replace(first, timestamp_s=100.0 + second_s))
        sender.send(dataclasses.replace(second, timestamp_s=100.5 + second_s))
    assert sender.session.mixed_devices == ["recvol_Reference"]


def test_numbers_in_the_reason_of_a_link_are_not_told_each_time(sender):
    told = []
    for seconds in range(3, 600):
        sender.link.state_reason = f"nothing has come for {seconds} s"
        told += [event for event in sender.session.poll() if isinstance(event, LinkChanged)]
    assert told == [LinkChanged(LinkState.CONNECTED, "nothing has come for 3 s")]
