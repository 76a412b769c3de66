"""Messages that are not understood, names that two devices share, and several volume devices, in a workspace."""

from __future__ import annotations

import dataclasses

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
from CRLMSegmentationLib.igtl.protocol import Decoder, ReceiveProgress
from CRLMSegmentationLib.igtl.statistics import DropReason, Problems
from CRLMSegmentationLib.segmentation.incoming import MAX_TOOLS, MAX_VOLUME_DEVICES
from CRLMSegmentationLib.slicer.panel.texts import followable, status_texts
from CRLMSegmentationLib.slicer.scene.nodes import find_node
from CRLMSegmentationLib.slicer.state import State
from helpers.tracking_bodies import framed, tdata
from helpers.workspace_helpers import StubLink

NOTHING = "Connected, nothing received yet"


@pytest.fixture
def network(workspace):
    link = StubLink()
    link.epoch, link.problems = 1, Problems()
    workspace.use_link(link)
    workspace.session.model.simulated_only = False
    return link


def strip(workspace) -> str:
    return status_texts(workspace)["linkLabel"][1]


def receive(workspace, link, *messages):
    link.inbox = list(messages)
    workspace.tick()


def receive_bytes(workspace, link, data: bytes):
    """As a client decodes it."""
    decoder = Decoder()
    messages = decoder.feed(data)
    for problem in decoder.statistics.problems:
        link.problems.note(problem.kind, problem.device, problem.text, problem.count, problem.about)
    receive(workspace, link, *messages)


def pose(x: float, time_s: float, device: str = "StylusToReference", **metadata: str) -> TransformMessage:
    matrix = np.eye(4)
    matrix[0, 3] = x
    return TransformMessage(device, time_s, matrix, metadata)


def volumes_of(tiny_volume, *devices: str, time_s: float = 1.0):
    return [image_of(dataclasses.replace(tiny_volume, device=d, timestamp_s=time_s)) for d in devices]


def test_nothing_received_is_said_only_where_nothing_has_come(workspace, network):
    workspace.tick()
    assert NOTHING in strip(workspace)
    receive(workspace, network, StatusMessage("PlusServer", 1.0))
    assert NOTHING not in strip(workspace)
    assert "no image and no pose has come: 1 STATUS" in strip(workspace)


def test_messages_that_are_all_not_understood_are_said_by_type(workspace, network):
    receive_bytes(workspace, network, framed("SENSOR", b"123") * 3 + framed("NDARRAY", b"1", device="Other"))
    assert "not understood: 3 SENSOR, 1 NDARRAY" in strip(workspace)
    assert NOTHING not in strip(workspace)
    assert State.WARNING in status_texts(workspace)["linkLabel"]
    assert "'Tracker': SENSOR is not understood (3 times)" in workspace.session.problems.lines
    receive(workspace, network, pose(0, 1.0))
    assert "messages/s" in strip(workspace)
    assert "not understood: 3 SENSOR, 1 NDARRAY" in strip(workspace)


def test_messages_that_are_all_refused_are_said(workspace, network):
    receive_bytes(workspace, network, framed("TRANSFORM", b"short") * 2)
    assert NOTHING not in strip(workspace)
    assert "2 refused or suspicious" in strip(workspace)


def test_volume_that_is_on_its_way_is_not_nothing(workspace, network):
    network.receiving = ReceiveProgress("recvol_Reference", 3_000_000, 27_000_000)
    workspace.tick()
    assert "receiving 'recvol_Reference': 3 of 27 MB" in strip(workspace)


def test_tracking_data_reaches_the_instruments(workspace, network):
    matrix = np.eye(4)
    matrix[:3, 3] = 7, 2, 3
    receive_bytes(workspace, network, framed("TDATA", tdata(("StylusToReference", 1, matrix))))
    (state,) = workspace.navigation.situation.instruments
    np.testing.assert_allclose(state.tip_ras_mm, [7, 2, 3])
    assert not state.unreliable_reason
    assert workspace.devices == {"StylusToReference": "transform"}


def test_error_that_the_sender_reports_is_told_once_and_a_sign_of_life_is_not(workspace, network):
    for n in range(5):
        receive(
            workspace, network, StatusMessage("Tracker", n, 13, -5, "NoSensor", "probe lost"), StatusMessage("P", n)
        )
    assert sum("STATUS 13.-5: NoSensor probe lost" in line for line in workspace.log) == 1
    assert workspace.session.problems.of(DropReason.SENDER_ERROR) == 5
    receive(workspace, network, StatusMessage("Tracker", 9.0, 2, 0, "Unplugged"))
    assert any("STATUS 2.0: Unplugged" in line for line in workspace.session.problems.lines)


def test_two_tools_under_one_name_are_withheld_and_named(workspace, network, clock):
    for n in range(20):
        clock.now_s += 0.025
        receive(workspace, network, pose(n / 10, 1 + n / 20), pose(500 + n / 10, 1 + n / 20))
    (state,) = workspace.navigation.situation.instruments
    assert state.unreliable_reason
    assert not state.readings
    assert "two streams under one name: StylusToReference" in strip(workspace)
    assert workspace.session.mixed_devices == ["StylusToReference"]
    assert any("500 mm or degrees apart" in line for line in workspace.session.problems.lines)
    assert workspace.session.transforms["StylusToReference"].status == "AMBIGUOUS"


def test_position_alone_places_a_tip_but_turns_nothing(workspace, network):
    unknown = {ORIENTATION_KEY: ORIENTATION_UNKNOWN}
    receive(workspace, network, pose(5, 1.0, **unknown))
    (state,) = workspace.navigation.situation.instruments
    assert not state.unreliable_reason
    receive(workspace, network, pose(150, 1.0, "StylusTipToStylus"), pose(5, 1.1, **unknown))
    (state,) = workspace.navigation.situation.instruments
    assert state.instrument.frame == "StylusTip"
    assert state.unreliable_reason, "150 mm along an axis that nobody knows"


def test_transform_whose_name_tells_of_no_frames_is_told(workspace, network):
    receive(workspace, network, pose(0, 1.0, "Stylus"))
    assert any("'Stylus': the name does not say from which frame" in line for line in workspace.session.problems.lines)
    assert not workspace.navigation.situation.instruments


def test_good_message_is_seen_after_senders_of_300_devices(workspace, network):
    for feed in range(3):
        for start in range(0, 300, 50):
            receive(workspace, network, *(pose(n, 1.0 + feed, f"Tool{n}") for n in range(start, start + 50)))
        receive(workspace, network, pose(1, 10.0 + feed, f"Good{feed}ToReference"))
        assert workspace.devices[f"Good{feed}ToReference"] == "transform"
        assert f"Good{feed}" in [state.instrument.frame for state in workspace.navigation.situation.instruments]
        assert find_node(workspace.scene, "vtkMRMLLinearTransformNode", f"Good{feed}ToReference") is not None
    assert len(workspace.devices) == MAX_TOOLS
    assert len(workspace.navigation.navigator.poses.names) <= MAX_TOOLS
    assert sum("silent longest" in line for line in workspace.log) == 1


def test_volumes_of_many_devices_leave_a_bounded_number_of_nodes_and_keep_what_is_shown(
    workspace, network, tiny_volume
):
    receive(workspace, network, *volumes_of(tiny_volume, "recvol_Reference"))
    shown = workspace.volume.node
    for n in range(3 * MAX_VOLUME_DEVICES):
        receive(workspace, network, *volumes_of(tiny_volume, f"V{n}"))
    assert workspace.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") <= MAX_VOLUME_DEVICES
    assert workspace.volume.node is shown
    assert workspace.devices[f"V{3 * MAX_VOLUME_DEVICES - 1}"] == "volume"


def test_two_volume_devices_do_not_take_turns_in_silence(workspace, network, tiny_volume):
    for second in range(1, 4):
        receive(workspace, network, *volumes_of(tiny_volume, "recvol_A", "recvol_B", time_s=float(second)))
        assert workspace.volume.node.GetName() == "recvol_A"
    assert "'recvol_A' is followed, volumes come under 'recvol_B' as well" in strip(workspace)
    assert followable(workspace) == (["the newest volume", "recvol_A", "recvol_B"], 1)
    workspace.follow("recvol_B")
    assert workspace.volume.node.GetName() == "recvol_B"
    assert "is followed" not in strip(workspace)
    workspace.follow(None)
    receive(workspace, network, *volumes_of(tiny_volume, "recvol_A", time_s=9.0))
    assert workspace.volume.node.GetName() == "recvol_A"
    assert "volumes come under several names ('recvol_A', 'recvol_B'), and the newest is shown" in strip(workspace)


def test_single_volume_device_is_followed_without_a_word(workspace, network, tiny_volume):
    for second in range(1, 4):
        receive(workspace, network, *volumes_of(tiny_volume, "recvol_A", time_s=float(second)))
    assert workspace.session.volume.timestamp_s == 3.0
    assert "follow" not in strip(workspace)
    assert followable(workspace)[1] == 0


def test_server_that_comes_back_with_another_name_is_followed(workspace, network, tiny_volume):
    receive(workspace, network, *volumes_of(tiny_volume, "recvol_A"))
    network.epoch = 2
    receive(workspace, network, *volumes_of(tiny_volume, "recvol_B", time_s=2.0))
    assert workspace.volume.node.GetName() == "recvol_B"


def test_server_that_comes_back_with_another_name_is_told(workspace, network, tiny_volume):
    receive(workspace, network, *volumes_of(tiny_volume, "recvol_A"))
    network.epoch = 2
    receive(workspace, network, *volumes_of(tiny_volume, "recvol_B", time_s=2.0))
    assert "'recvol_B' is followed since the connection was made again, 'recvol_A' was before" in strip(workspace)
    workspace.follow("recvol_B")
    assert "is followed" not in strip(workspace)


def test_server_that_comes_back_with_the_same_name_is_followed_without_a_word(workspace, network, tiny_volume):
    for epoch in range(1, 4):
        network.epoch = epoch
        receive(workspace, network, *volumes_of(tiny_volume, "recvol_A", time_s=float(epoch)))
        assert "follow" not in strip(workspace)


def test_reconnection_does_not_change_which_of_several_devices_is_followed(workspace, network, tiny_volume):
    receive(workspace, network, *volumes_of(tiny_volume, "recvol_A", "recvol_B"))
    for epoch in range(2, 5):
        network.epoch = epoch
        receive(workspace, network, *volumes_of(tiny_volume, "recvol_B", time_s=2.0 * epoch))
        assert workspace.session.volume.device == "recvol_A"
        assert "'recvol_A' is followed, but has sent no volume since the connection was made again" in strip(workspace)
        if epoch > 2:
            receive(workspace, network, *volumes_of(tiny_volume, "recvol_A", time_s=2.0 * epoch + 1))
            assert workspace.session.volume.timestamp_s == 2.0 * epoch + 1
            assert "'recvol_A' is followed, volumes come under 'recvol_B' as well" in strip(workspace)


def test_other_device_is_not_followed_though_the_one_in_use_came_back_alone(workspace, network, tiny_volume):
    receive(workspace, network, *volumes_of(tiny_volume, "recvol_A", "recvol_B"))
    network.epoch = 2
    receive(workspace, network, *volumes_of(tiny_volume, "recvol_A", time_s=2.0))
    assert "follow" not in strip(workspace)
    network.epoch = 3
    receive(workspace, network, *volumes_of(tiny_volume, "recvol_B", time_s=3.0))
    assert workspace.session.volume.device == "recvol_A"


def test_two_volumes_under_one_name_are_withheld(workspace, network, tiny_volume):
    other = dataclasses.replace(tiny_volume, array=tiny_volume.array[:, :, ::-1].copy() // 2)
    moved = other.ijk_to_ras.copy()
    moved[0, 3] += 50
    other = dataclasses.replace(other, ijk_to_ras=moved)
    for second in range(1, 9):
        volume = (tiny_volume, other)[second % 2]
        receive(workspace, network, image_of(dataclasses.replace(volume, timestamp_s=float(second))))
    assert workspace.session.volume.timestamp_s < 5
    assert "two streams of volumes come in turns under this name" in strip(workspace)


def test_texts_are_not_taken_for_nothing_and_cost_no_word(workspace, network):
    receive(workspace, network, StringMessage("Text", 1.0, "hello"))
    assert "1 STRING" in strip(workspace)
    assert workspace.session.problems.count == 0


def test_volume_that_a_view_shows_stays_when_its_device_is_forgotten(workspace, network, tiny_volume):
    receive(workspace, network, *volumes_of(tiny_volume, "Current", "Shown", "Idle"))
    shown = find_node(workspace.scene, "vtkMRMLScalarVolumeNode", "Shown")
    view = workspace.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    view.SetBackgroundVolumeID(shown.GetID())
    receive(workspace, network, *volumes_of(tiny_volume, *(f"V{n}" for n in range(MAX_VOLUME_DEVICES + 1)), time_s=2.0))
    assert find_node(workspace.scene, "vtkMRMLScalarVolumeNode", "Shown") is shown
    assert find_node(workspace.scene, "vtkMRMLScalarVolumeNode", "Idle") is None
    assert any("'Idle' was taken out of the scene" in line for line in workspace.log)
