"""What a workspace says of its link: silence, refusals with counts, volumes that are not what they seem."""

from __future__ import annotations

import dataclasses
import socket
import time

import numpy as np
import pytest
from CRLMSegmentationLib.igtl.link import LinkState
from CRLMSegmentationLib.igtl.messages import ImageMessage, TransformMessage, image_of
from CRLMSegmentationLib.igtl.packing import pack
from CRLMSegmentationLib.igtl.statistics import MAX_PROBLEMS, DropReason, Problems
from CRLMSegmentationLib.segmentation.incoming import MAX_IMAGE_DEVICES, MAX_TOOLS
from CRLMSegmentationLib.slicer.panel.texts import status_texts
from CRLMSegmentationLib.slicer.scene.nodes import find_node
from CRLMSegmentationLib.slicer.state import State
from CRLMSegmentationLib.slicer.workspace.volume_source import VolumeSource
from CRLMSegmentationLib.slicer.workspace.workspace_log import LOG_LINES
from helpers.workspace_helpers import StubLink


@pytest.fixture
def network(workspace):
    """A link that has connections, as a network has."""
    link = StubLink()
    link.epoch, link.problems = 1, Problems()
    workspace.use_link(link)
    workspace.session.model.simulated_only = False
    return link


def link_text(workspace) -> str:
    """Text of the link in the strip."""
    return status_texts(workspace)["linkLabel"][1]


def link_state(workspace) -> State:
    """State of the link in the strip."""
    return status_texts(workspace)["linkLabel"][0]


def receive(workspace, link, *messages):
    link.inbox = list(messages)
    workspace.tick()


def pose(time_s):
    return TransformMessage("ProbeToReference", time_s, np.eye(4))


def test_silence_is_shown_with_its_length_and_logged_once(workspace, network):
    receive(workspace, network, pose(1.0))
    for seconds in range(3, 200):
        network.state_reason = f"nothing has come for {seconds} s"
        workspace.tick()
        assert f"Connected, but nothing has come for {seconds} s" in link_text(workspace)
        assert link_state(workspace) is State.WARNING
    assert sum("nothing has come" in line for line in workspace.log) == 1
    network.state_reason = ""
    receive(workspace, network, pose(2.0))
    assert link_state(workspace) is State.OK


def test_link_that_comes_and_goes_does_not_drive_the_rest_out_of_the_log(workspace, network, clock):
    workspace.note("what matters")
    for n in range(2 * LOG_LINES):
        network.state = (LinkState.RETRYING, LinkState.CONNECTED)[n % 2]
        network.state_reason = ("the server closed the connection", "")[n % 2]
        workspace.tick()
        assert (link_state(workspace) is State.ERROR) == (n % 2 == 0), "what is shown is always the truth"
    assert len(workspace.log) < 30
    clock.now_s += 120
    network.state = LinkState.RETRYING
    workspace.tick()
    assert "such lines before were left out" in workspace.log[-1]


def test_refusals_are_one_line_each_in_the_log_and_a_count_in_the_strip(workspace, network):
    receive(workspace, network, pose(1.0))
    for n in range(200):
        network.problems.note(DropReason.CRC, "", f"checksum wrong: IMAGE 'recvol', {n} bytes")
        receive(workspace, network, ImageMessage("Video", float(n), np.zeros((2, 4, 4, 3), np.uint8), np.eye(4)))
    assert sum("checksum" in line for line in workspace.log) == 1
    assert sum("'Video' cannot be used" in line for line in workspace.log) == 1
    assert workspace.session.problems.count == 400
    assert workspace.session.problems.lines[0] == "checksum wrong: IMAGE 'recvol', 0 bytes (200 times)"
    assert workspace.session.problems.lines[1].startswith("'Video': ")
    assert workspace.session.problems.lines[1].endswith("(200 times)")
    receive(workspace, network, pose(2.0))
    assert "400 refused or suspicious" in link_text(workspace)


def picture(number, device="Image_Reference", shape=(1, 6, 8)):
    return ImageMessage(device, float(number), np.full(shape, number % 200, np.uint8), np.eye(4))


def test_live_pictures_are_listed_and_neither_odd_nor_told(workspace, network, tiny_volume):
    receive(workspace, network, pose(0.5))
    before = list(workspace.log)
    for number in range(1, 100):
        receive(workspace, network, pose(number), picture(number), picture(number, "Camera", (1, 6, 8, 3)))
    assert workspace.devices == {"ProbeToReference": "transform", "Image_Reference": "image", "Camera": "image"}
    assert workspace.session.problems.count == 0
    assert list(workspace.log) == before
    assert "refused" not in link_text(workspace)
    assert link_state(workspace) is State.OK
    assert workspace.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
    assert workspace.volume.node is None
    receive(workspace, network, image_of(tiny_volume), picture(100))
    assert workspace.devices["recvol_Reference"] == "volume"


def test_device_that_sends_volumes_as_well_as_pictures_is_listed_for_its_volumes(workspace, network, tiny_volume):
    for time_s in (1.0, 2.0):
        receive(workspace, network, picture(time_s, "Scanner"))
        receive(workspace, network, image_of(dataclasses.replace(tiny_volume, device="Scanner", timestamp_s=time_s)))
    receive(workspace, network, picture(3.0, "Scanner"))
    assert workspace.devices == {"Scanner": "volume"}


def test_pictures_under_many_names_are_bounded_and_told_once(workspace, network):
    for number in range(500):
        receive(workspace, network, picture(number, f"Image{number}"))
    assert len(workspace.devices) == MAX_IMAGE_DEVICES
    assert workspace.session.problems.of(DropReason.TOO_MANY_DEVICES) == 500 - MAX_IMAGE_DEVICES
    assert sum("pictures" in line for line in workspace.log) <= MAX_PROBLEMS + 1


def test_forgotten_pictures_of_a_device_take_nothing_from_its_volumes_or_poses(workspace, network, tiny_volume):
    for device in ("Scanner", "Other"):
        receive(workspace, network, image_of(dataclasses.replace(tiny_volume, device=device)))
    network.inbox = [picture(1, "Scanner"), picture(1, "ProbeToReference")]
    workspace.tick()
    many = [picture(2, f"Image{number}") for number in range(MAX_IMAGE_DEVICES)]
    receive(workspace, network, pose(2.0), *many)
    assert workspace.session.device_in_use == "Scanner"
    assert (workspace.devices["Scanner"], workspace.devices["ProbeToReference"]) == ("volume", "transform")
    assert find_node(workspace.scene, "vtkMRMLLinearTransformNode", "ProbeToReference") is not None
    receive(workspace, network, image_of(dataclasses.replace(tiny_volume, device="Other", timestamp_s=9.0)))
    assert workspace.session.volume.device == "Scanner"


def test_forgotten_pose_of_a_device_takes_nothing_from_its_volumes(workspace, network, tiny_volume):
    receive(workspace, network, TransformMessage("Scanner", 1.0, np.eye(4)))
    receive(workspace, network, image_of(dataclasses.replace(tiny_volume, device="Scanner")))
    receive(workspace, network, *(TransformMessage(f"Tool{n}ToReference", 2.0, np.eye(4)) for n in range(MAX_TOOLS)))
    assert workspace.devices["Scanner"] == "volume"


def test_a_volume_each_second_does_not_fill_the_log(workspace, network, tiny_volume, clock):
    workspace.note("what matters")
    for second in range(1, 900):
        clock.now_s += 1
        receive(workspace, network, image_of(dataclasses.replace(tiny_volume, timestamp_s=float(second))))
    assert len(workspace.log) < 100
    assert "what matters" in workspace.log[0] or "what matters" in workspace.log[1]
    assert "such lines before were left out" in workspace.log[-1]


def test_live_volume_that_comes_again_while_the_probe_rests_is_not_odd(workspace, network, tiny_volume):
    network.repeats_volumes = True
    for _ in range(5):
        receive(workspace, network, image_of(tiny_volume))
    assert workspace.session.problems.count == 0
    network.repeats_volumes = False
    receive(workspace, network, image_of(tiny_volume))
    assert workspace.session.problems.of(DropReason.REPEATED) == 1


def test_names_that_a_peer_invents_fill_neither_the_log_nor_the_scene(workspace, network):
    for n in range(500):
        receive(workspace, network, ImageMessage(f"V{n}", 1.0, np.zeros((2, 4, 4, 3), np.uint8), np.eye(4)))
        receive(workspace, network, TransformMessage(f"T{n}", 1.0, np.eye(4)))
    assert len(workspace.log) < 2 * MAX_PROBLEMS
    assert workspace.scene.GetNumberOfNodesByClass("vtkMRMLLinearTransformNode") <= 256
    assert len(workspace.devices) <= 256


def test_late_volume_changes_nothing_that_is_shown_and_is_told(workspace, network, tiny_volume):
    receive(workspace, network, image_of(tiny_volume), pose(101.0))
    node, shown = workspace.volume.node, workspace.session.volume
    older = dataclasses.replace(tiny_volume, array=tiny_volume.array * 0, timestamp_s=90.0)
    receive(workspace, network, image_of(older))
    assert workspace.volume.node is node
    assert workspace.session.volume is shown
    assert node.GetImageData().GetScalarRange()[1] > 0
    assert "10.0 s older" in workspace.log[-1]
    assert link_state(workspace) is State.WARNING
    assert "10.0 s older" in link_text(workspace)


def test_older_volume_that_is_taken_does_not_look_current(workspace, network, tiny_volume):
    receive(workspace, network, image_of(tiny_volume))
    receive(workspace, network, image_of(dataclasses.replace(tiny_volume, timestamp_s=90.0)))
    assert workspace.session.volume.timestamp_s == 90.0
    assert link_state(workspace) is State.WARNING
    assert "10.0 s older" in link_text(workspace)
    receive(workspace, network, image_of(dataclasses.replace(tiny_volume, timestamp_s=102.0)))
    assert "older" not in link_text(workspace)


def test_volume_that_is_sent_again_does_not_look_fresh(workspace, network, tiny_volume, clock):
    receive(workspace, network, image_of(tiny_volume))
    arrived_s = workspace.volume.arrived_s
    clock.now_s += 600
    receive(workspace, network, image_of(tiny_volume))
    assert workspace.volume.arrived_s == arrived_s
    assert find_node(workspace.scene, "vtkMRMLScalarVolumeNode", "recvol_Reference") is workspace.volume.node


def test_link_that_the_panel_makes_tells_what_was_lost_and_what_comes_late(workspace, tiny_volume):
    workspace.session.model.simulated_only = False
    damaged = bytearray(pack(image_of(tiny_volume)))
    damaged[-1] ^= 1
    late = dataclasses.replace(tiny_volume, timestamp_s=90.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        VolumeSource(workspace).connect("127.0.0.1", server.getsockname()[1])
        end_s = time.monotonic() + 120
        while workspace.link_state is not LinkState.CONNECTED:
            assert time.monotonic() < end_s
            workspace.tick()
        peer, _ = server.accept()
        with peer:
            peer.sendall(bytes(damaged) * 3)
            peer.sendall(b"".join(map(pack, (image_of(tiny_volume), pose(101.0), image_of(late)))))
            while not workspace.session.problems.of(DropReason.LATE):
                assert time.monotonic() < end_s
                workspace.tick()
    assert workspace.session.problems.of(DropReason.CRC) == 3
    assert workspace.session.volume.timestamp_s == 100.0
    assert "10.0 s older" in link_text(workspace)
