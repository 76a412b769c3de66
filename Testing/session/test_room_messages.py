"""What a room makes of messages that are not understood, of names that two share, and of several volume devices."""

from __future__ import annotations

import dataclasses
import html
import re

import numpy as np
import pytest
from CRLMSegmentationLib.igtl.messages import (
    ORIENTATION_KEY,
    ORIENTATION_UNKNOWN,
    StatusMessage,
    StringMessage,
    TransformMessage,
    image_of,
)
from CRLMSegmentationLib.igtl.protocol import Decoder, Progress
from CRLMSegmentationLib.igtl.statistics import DropReason, Problems
from CRLMSegmentationLib.segmentation.incoming import MAX_TOOLS, MAX_VOLUME_DEVICES
from CRLMSegmentationLib.slicer.panel.texts import AMBER, followable, status_texts
from CRLMSegmentationLib.slicer.scene.nodes import find_node
from room_helpers import StubLink
from tracking_bodies import framed, tdata

NOTHING = "Connected, nothing received yet"


@pytest.fixture
def network(room):
    link = StubLink()
    link.epoch, link.problems = 1, Problems()
    room.use_link(link)
    room.session.model.simulated_only = False
    return link


def strip(room) -> str:
    return html.unescape(re.sub("<[^>]+>", "", status_texts(room)["linkLabel"]))


def receive(room, link, *messages):
    link.inbox = list(messages)
    room.tick()


def receive_bytes(room, link, data: bytes):
    """As a client decodes it."""
    decoder = Decoder(check_crc=True)
    messages = decoder.feed(data)
    for problem in decoder.statistics.problems:
        link.problems.note(problem.kind, problem.device, problem.text, problem.count, problem.about)
    receive(room, link, *messages)


def pose(x: float, time_s: float, device: str = "StylusToReference", **metadata: str) -> TransformMessage:
    matrix = np.eye(4)
    matrix[0, 3] = x
    return TransformMessage(device, time_s, matrix, metadata)


def volumes_of(tiny_volume, *devices: str, time_s: float = 1.0):
    return [image_of(dataclasses.replace(tiny_volume, device=d, timestamp_s=time_s)) for d in devices]


def test_nothing_received_is_said_only_where_nothing_has_come(room, network):
    room.tick()
    assert NOTHING in strip(room)
    receive(room, network, StatusMessage("PlusServer", 1.0))
    assert NOTHING not in strip(room)
    assert "no image and no pose has come: 1 STATUS" in strip(room)


def test_messages_that_are_all_not_understood_are_said_by_type(room, network):
    receive_bytes(room, network, framed("SENSOR", b"123") * 3 + framed("NDARRAY", b"1", device="Other"))
    assert "not understood: 3 SENSOR, 1 NDARRAY" in strip(room)
    assert NOTHING not in strip(room)
    assert AMBER in status_texts(room)["linkLabel"]
    assert "'Tracker': SENSOR is not understood (3 times)" in room.problem_lines
    receive(room, network, pose(0, 1.0))
    assert "messages/s" in strip(room)
    assert "not understood: 3 SENSOR, 1 NDARRAY" in strip(room)


def test_messages_that_are_all_refused_are_said(room, network):
    receive_bytes(room, network, framed("TRANSFORM", b"short") * 2)
    assert NOTHING not in strip(room)
    assert "2 refused or odd" in strip(room)


def test_volume_that_is_on_its_way_is_not_nothing(room, network):
    network.receiving = Progress("recvol_Reference", 3_000_000, 27_000_000)
    room.tick()
    assert "receiving 'recvol_Reference': 3 of 27 MB" in strip(room)


def test_tracking_data_reaches_the_instruments(room, network):
    matrix = np.eye(4)
    matrix[:3, 3] = 7, 2, 3
    receive_bytes(room, network, framed("TDATA", tdata(("StylusToReference", 1, matrix))))
    (state,) = room.steering.situation.instruments
    np.testing.assert_allclose(state.tip_ras_mm, [7, 2, 3])
    assert not state.doubt
    assert room.devices == {"StylusToReference": "transform"}


def test_error_that_the_sender_reports_is_told_once_and_a_sign_of_life_is_not(room, network):
    for n in range(5):
        receive(room, network, StatusMessage("Tracker", n, 13, -5, "NoSensor", "probe lost"), StatusMessage("P", n))
    assert sum("STATUS 13.-5: NoSensor probe lost" in line for line in room.log) == 1
    assert room.session.problems.of(DropReason.SENDER_ERROR) == 5
    receive(room, network, StatusMessage("Tracker", 9.0, 2, 0, "Unplugged"))
    assert any("STATUS 2.0: Unplugged" in line for line in room.problem_lines)


def test_two_tools_under_one_name_are_withheld_and_named(room, network, clock):
    for n in range(20):
        clock.now_s += 0.025
        receive(room, network, pose(n / 10, 1 + n / 20), pose(500 + n / 10, 1 + n / 20))
    (state,) = room.steering.situation.instruments
    assert state.doubt
    assert not state.readings
    assert "two streams under one name: StylusToReference" in strip(room)
    assert room.session.mixed_devices == ["StylusToReference"]
    assert any("500 mm or degrees apart" in line for line in room.problem_lines)
    assert room.session.transforms["StylusToReference"].status == "AMBIGUOUS"


def test_position_alone_places_a_tip_but_turns_nothing(room, network):
    unknown = {ORIENTATION_KEY: ORIENTATION_UNKNOWN}
    receive(room, network, pose(5, 1.0, **unknown))
    (state,) = room.steering.situation.instruments
    assert not state.doubt
    receive(room, network, pose(150, 1.0, "StylusTipToStylus"), pose(5, 1.1, **unknown))
    (state,) = room.steering.situation.instruments
    assert state.instrument.frame == "StylusTip"
    assert state.doubt, "150 mm along an axis that nobody knows"


def test_transform_whose_name_tells_of_no_frames_is_told(room, network):
    receive(room, network, pose(0, 1.0, "Stylus"))
    assert any("'Stylus': the name does not say from which frame" in line for line in room.problem_lines)
    assert not room.steering.situation.instruments


def test_good_message_is_seen_after_senders_of_300_devices(room, network):
    for feed in range(3):
        for start in range(0, 300, 50):
            receive(room, network, *(pose(n, 1.0 + feed, f"Tool{n}") for n in range(start, start + 50)))
        receive(room, network, pose(1, 10.0 + feed, f"Good{feed}ToReference"))
        assert room.devices[f"Good{feed}ToReference"] == "transform"
        assert f"Good{feed}" in [state.instrument.frame for state in room.steering.situation.instruments]
        assert find_node(room.scene, "vtkMRMLLinearTransformNode", f"Good{feed}ToReference") is not None
    assert len(room.devices) == MAX_TOOLS
    assert len(room.steering.navigator.poses.names) <= MAX_TOOLS
    assert sum("silent longest" in line for line in room.log) == 1


def test_volumes_of_many_devices_leave_a_bounded_number_of_nodes_and_keep_what_is_shown(room, network, tiny_volume):
    receive(room, network, *volumes_of(tiny_volume, "recvol_Reference"))
    shown = room.volume.node
    for n in range(3 * MAX_VOLUME_DEVICES):
        receive(room, network, *volumes_of(tiny_volume, f"V{n}"))
    assert room.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") <= MAX_VOLUME_DEVICES
    assert room.volume.node is shown
    assert room.devices[f"V{3 * MAX_VOLUME_DEVICES - 1}"] == "volume"


def test_two_volume_devices_do_not_take_turns_in_silence(room, network, tiny_volume):
    for second in range(1, 4):
        receive(room, network, *volumes_of(tiny_volume, "recvol_A", "recvol_B", time_s=float(second)))
        assert room.volume.node.GetName() == "recvol_A"
    assert "'recvol_A' is followed, volumes come under 'recvol_B' as well" in strip(room)
    assert followable(room) == (["the newest volume", "recvol_A", "recvol_B"], 1)
    room.follow("recvol_B")
    assert room.volume.node.GetName() == "recvol_B"
    assert "is followed" not in strip(room)
    room.follow(None)
    receive(room, network, *volumes_of(tiny_volume, "recvol_A", time_s=9.0))
    assert room.volume.node.GetName() == "recvol_A"
    assert "volumes come under several names ('recvol_A', 'recvol_B'), and the newest is shown" in strip(room)


def test_single_volume_device_is_followed_without_a_word(room, network, tiny_volume):
    for second in range(1, 4):
        receive(room, network, *volumes_of(tiny_volume, "recvol_A", time_s=float(second)))
    assert room.session.volume.timestamp_s == 3.0
    assert "follow" not in strip(room)
    assert followable(room)[1] == 0


def test_server_that_comes_back_with_another_name_is_followed(room, network, tiny_volume):
    receive(room, network, *volumes_of(tiny_volume, "recvol_A"))
    network.epoch = 2
    receive(room, network, *volumes_of(tiny_volume, "recvol_B", time_s=2.0))
    assert room.volume.node.GetName() == "recvol_B"


def test_server_that_comes_back_with_another_name_is_told(room, network, tiny_volume):
    receive(room, network, *volumes_of(tiny_volume, "recvol_A"))
    network.epoch = 2
    receive(room, network, *volumes_of(tiny_volume, "recvol_B", time_s=2.0))
    assert "'recvol_B' is followed since the connection was made again, 'recvol_A' was before" in strip(room)
    room.follow("recvol_B")
    assert "is followed" not in strip(room)


def test_server_that_comes_back_with_the_same_name_is_followed_without_a_word(room, network, tiny_volume):
    for epoch in range(1, 4):
        network.epoch = epoch
        receive(room, network, *volumes_of(tiny_volume, "recvol_A", time_s=float(epoch)))
        assert "follow" not in strip(room)


def test_reconnection_does_not_change_which_of_several_devices_is_followed(room, network, tiny_volume):
    receive(room, network, *volumes_of(tiny_volume, "recvol_A", "recvol_B"))
    for epoch in range(2, 5):
        network.epoch = epoch
        receive(room, network, *volumes_of(tiny_volume, "recvol_B", time_s=2.0 * epoch))
        assert room.session.volume.device == "recvol_A"
        assert "'recvol_A' is followed, but has sent no volume since the connection was made again" in strip(room)
        if epoch > 2:
            receive(room, network, *volumes_of(tiny_volume, "recvol_A", time_s=2.0 * epoch + 1))
            assert room.session.volume.timestamp_s == 2.0 * epoch + 1
            assert "'recvol_A' is followed, volumes come under 'recvol_B' as well" in strip(room)


def test_other_device_is_not_followed_though_the_one_in_use_came_back_alone(room, network, tiny_volume):
    receive(room, network, *volumes_of(tiny_volume, "recvol_A", "recvol_B"))
    network.epoch = 2
    receive(room, network, *volumes_of(tiny_volume, "recvol_A", time_s=2.0))
    assert "follow" not in strip(room)
    network.epoch = 3
    receive(room, network, *volumes_of(tiny_volume, "recvol_B", time_s=3.0))
    assert room.session.volume.device == "recvol_A"


def test_two_volumes_under_one_name_are_withheld(room, network, tiny_volume):
    other = dataclasses.replace(tiny_volume, array=tiny_volume.array[:, :, ::-1].copy() // 2)
    moved = other.ijk_to_ras.copy()
    moved[0, 3] += 50
    other = dataclasses.replace(other, ijk_to_ras=moved)
    for second in range(1, 9):
        volume = (tiny_volume, other)[second % 2]
        receive(room, network, image_of(dataclasses.replace(volume, timestamp_s=float(second))))
    assert room.session.volume.timestamp_s < 5
    assert "two streams of volumes come in turns under this name" in strip(room)


def test_texts_are_not_taken_for_nothing_and_cost_no_word(room, network):
    receive(room, network, StringMessage("Text", 1.0, "hello"))
    assert "1 STRING" in strip(room)
    assert room.problem_count == 0


def test_volume_that_a_view_shows_stays_when_its_device_is_forgotten(room, network, tiny_volume):
    receive(room, network, *volumes_of(tiny_volume, "Current", "Shown", "Idle"))
    shown = find_node(room.scene, "vtkMRMLScalarVolumeNode", "Shown")
    view = room.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    view.SetBackgroundVolumeID(shown.GetID())
    receive(room, network, *volumes_of(tiny_volume, *(f"V{n}" for n in range(MAX_VOLUME_DEVICES + 1)), time_s=2.0))
    assert find_node(room.scene, "vtkMRMLScalarVolumeNode", "Shown") is shown
    assert find_node(room.scene, "vtkMRMLScalarVolumeNode", "Idle") is None
    assert any("'Idle' was taken out of the scene" in line for line in room.log)
