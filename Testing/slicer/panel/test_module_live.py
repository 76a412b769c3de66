"""Step 1 of the panel: a server on the network, and a connector of OpenIGTLinkIF."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from CRLMSegmentationLib.recording.case import Case, TrackingSample, append_tracking, save_case, save_volume_into_case
from CRLMSegmentationLib.recording.player_process import ReplayProcess
from helpers.module_helpers import overwrite_voxels
from vtk.util.numpy_support import numpy_to_vtk


@pytest.fixture
def two_devices(tmp_path, tiny_volume):
    """A case in which two devices send volumes, again and again."""
    folder = tmp_path / "two-devices"
    folder.mkdir()
    entries = [
        save_volume_into_case(folder, name, replace(tiny_volume, device=device, timestamp_s=100.0 + shift))
        for name, device, shift in (("first", "recvol_A", 0.0), ("second", "recvol_B", 0.2))
    ]
    samples = [TrackingSample(100.0 + t / 20, "ProbeToReference", "OK", np.eye(4)) for t in range(10)]
    append_tracking(folder / "tracking.jsonl", samples)
    save_case(Case(folder, "two", tuple(entries), (), None, "tracking.jsonl", source={"kind": "simulated"}))
    return folder


@pytest.fixture
def server(two_devices):
    with ReplayProcess(two_devices, loop=True) as process:
        yield process


def connect(panel, port):
    panel.host.widget("portSpinBox").value = port
    panel.press("connectButton")


def followed(panel):
    return panel.host.widget("followedComboBox").currentText


def follow(panel, device):
    box = panel.host.widget("followedComboBox")
    index = box.findText(device)
    box.setCurrentIndex(index)
    box._real.activated.emit(index)
    panel.host.check()


def test_server_is_connected_its_devices_listed_and_left_again(panel, server):
    connect(panel, server.port)
    panel.wait(lambda: panel.host.widget("deviceList").count == 3)
    assert panel.text("connectButton") == "Disconnect"
    panel.wait(lambda: "messages/s" in panel.text("linkLabel"))
    panel.press("connectButton")
    assert panel.text("connectButton") == "Connect"
    panel.redraw()
    assert panel.text("linkLabel") == "○ Not connected"
    assert panel.workspace.volume.node is not None
    panel.host.unload_module()
    assert not panel.host.leaks().sockets


def test_one_device_is_followed_from_its_last_volume_on(panel, server):
    connect(panel, server.port)
    panel.wait(lambda: panel.host.widget("followedComboBox").count == 3)
    follow(panel, "recvol_A")
    assert panel.workspace.volume.node.GetName() == "recvol_A"
    panel.turns(25)
    assert panel.workspace.volume.node.GetName() == "recvol_A"
    assert followed(panel) == "recvol_A"
    follow(panel, "the newest volume")
    panel.wait(lambda: panel.workspace.volume.node.GetName() == "recvol_B")


def test_followed_device_is_still_shown_as_such_while_another_source_is_silent(panel, server):
    connect(panel, server.port)
    panel.wait(lambda: panel.host.widget("followedComboBox").count == 3)
    follow(panel, "recvol_B")
    panel.press("connectButton")
    panel.redraw()
    assert followed(panel) == "recvol_B"
    assert panel.workspace.session.followed_device == "recvol_B"


def test_server_gone_is_said_and_its_return_is_noticed(panel, two_devices):
    server = ReplayProcess(two_devices, loop=True)
    server.start()
    try:
        connect(panel, server.port)
        panel.wait(lambda: "messages/s" in panel.text("linkLabel"))
        server.stop()
        panel.wait(lambda: "messages/s" not in panel.text("linkLabel"))
        assert panel.text("connectButton") == "Disconnect"
        reason = panel.text("linkLabel")
        assert len(reason) > 10, reason
        server = ReplayProcess(two_devices, port=server.port, loop=True)
        server.start()
        panel.wait(lambda: "messages/s" in panel.text("linkLabel"), 20.0)
    finally:
        server.stop()


def test_nobody_listening_is_said(panel):
    connect(panel, 9)
    panel.wait(lambda: "nothing listens there" in panel.text("linkLabel"))
    panel.press("connectButton")
    assert panel.text("connectButton") == "Connect"


@pytest.fixture
def connector_class(host):
    """A strict stand-in for a class that only SlicerOpenIGTLink brings."""
    import slicer

    class Connector(slicer.vtkMRMLScriptedModuleNode):
        def __init__(self):
            super().__init__()
            self.incoming = []

        def GetClassName(self):
            return "vtkMRMLIGTLConnectorNode"

        def IsA(self, name):
            return name in ("vtkMRMLIGTLConnectorNode", "vtkMRMLNode")

        StateConnected = 2
        state = 2

        def GetState(self):
            return self.state

        def GetNumberOfIncomingMRMLNodes(self):
            return len(self.incoming)

        def GetIncomingMRMLNode(self, index):
            return self.incoming[index]

    return Connector


@pytest.fixture
def connector(panel, connector_class):
    """In the scene before it is chosen."""
    node = connector_class()
    node.SetName("IGTLConnector")
    node.SetHideFromEditors(0)
    panel.host.scene.AddNode(node)
    return node


def received(panel, tiny_volume, name):
    from CRLMSegmentationLib.slicer.scene.volumes import show_volume

    return show_volume(panel.host.scene, replace(tiny_volume, device=name), name)


def choose(panel, node):
    panel.host.widget("connectorSelector").setCurrentNode(node)
    panel.host.check()


def test_newest_volume_of_a_connector_is_followed(panel, connector, tiny_volume):
    connector.incoming = [received(panel, tiny_volume, name) for name in ("first", "second")]
    choose(panel, connector)
    panel.wait(lambda: panel.workspace.volume.node)
    assert panel.workspace.volume.node.GetName() == "second"
    panel.redraw()
    assert panel.host.widget("followedComboBox").count == 3
    overwrite_voxels(connector.incoming[0], 60)
    panel.wait(lambda: panel.workspace.volume.node.GetName() == "first")
    follow(panel, "second")
    panel.wait(lambda: panel.workspace.volume.node.GetName() == "second")


def test_panel_says_what_a_connector_is_connected_to(panel, connector, tiny_volume):
    panel.host.widget("sourceTabs").currentIndex = 2
    connector.incoming = [received(panel, tiny_volume, "first")]
    choose(panel, connector)
    panel.wait(lambda: panel.text("linkLabel") == "● OpenIGTLinkIF: IGTLConnector, 1 device(s)")
    assert panel.text("linkStateButton") == "● Link"
    assert panel.host.widget("sourceTabs").currentIndex == 0
    connector.state = 1
    panel.wait(lambda: panel.text("linkLabel") == "▲ OpenIGTLinkIF: IGTLConnector is not connected")
    assert "is not connected" in panel.text("stripLabel")


def test_what_a_connector_writes_makes_the_segmentation_old(panel, connector, tiny_volume):
    connector.incoming = [received(panel, tiny_volume, "first")]
    choose(panel, connector)
    panel.wait(lambda: panel.workspace.volume.node)
    panel.place()
    panel.answer()
    assert "up to date" in panel.details()
    overwrite_voxels(connector.incoming[0], 60)
    panel.wait(lambda: "OUT OF DATE" in panel.details())


def test_live_picture_of_a_connector_is_no_volume(panel, connector, tiny_volume):
    volume = received(panel, tiny_volume, "volume")
    colour = written(panel, "vtkMRMLVectorVolumeNode", np.zeros((40 * 40 * 4, 3), np.uint8), (40, 40, 4))
    single = written(panel, "vtkMRMLScalarVolumeNode", np.zeros((1600, 1), np.uint8), (40, 40, 1))
    connector.incoming = [volume, colour, single, None]
    choose(panel, connector)
    panel.wait(lambda: panel.workspace.volume.node is volume)
    assert panel.message == ""


def test_volume_of_a_connector_that_cannot_be_used_is_noted_once_and_stops_nothing(panel, connector, tiny_volume):
    volume = received(panel, tiny_volume, "volume")
    nan = np.full((6400, 1), np.nan, np.float32)
    connector.incoming = [volume, written(panel, "vtkMRMLScalarVolumeNode", nan, (40, 40, 4))]
    choose(panel, connector)
    panel.turns(25)
    assert sum("nan" in line.lower() for line in panel.workspace.log) == 1
    assert panel.message == ""
    overwrite_voxels(volume, 60)
    panel.wait(lambda: panel.workspace.volume.node is volume)


def written(panel, kind, array, dimensions):
    """A volume as OpenIGTLinkIF makes it."""
    node = panel.host.scene.AddNewNodeByClass(kind, "written")
    node.SetAndObserveImageData(image_of(array, dimensions))
    return node


def image_of(array, dimensions):
    from vtk import vtkImageData

    image = vtkImageData()
    image.SetDimensions(*dimensions)
    image.GetPointData().SetScalars(numpy_to_vtk(array, deep=True))
    return image


def test_connector_deleted_leaves_another_source_alone(panel, connector, tiny_case):
    choose(panel, connector)
    panel.turns(2)
    panel.host.widget("sourceTabs").currentIndex = 1
    panel.host.widget("casePathLineEdit").currentPath = str(tiny_case)
    panel.press("playButton")
    playing = panel.widget.logic.recordedLink
    panel.host.scene.RemoveNode(connector)
    panel.turns(2)
    assert panel.widget.logic.recordedLink is playing


def test_closing_the_scene_with_a_connector_starts_nothing(panel, connector):
    choose(panel, connector)
    panel.turns(2)
    panel.host.close_scene()
    assert panel.workspace is None
    assert len(panel.engines) == 1
