"""The two buttons that speak to others on the network: live volumes from PLUS, and results for other programs."""

from __future__ import annotations

import json
import socket
from functools import partial

import numpy as np
import pytest
from CRLMSegmentationLib.igtl import live_reconstruction
from CRLMSegmentationLib.igtl.client import IgtlClient
from CRLMSegmentationLib.igtl.link import LinkState
from CRLMSegmentationLib.igtl.plus_commands import START, STOP
from CRLMSegmentationLib.reports.igtl_results import POINTS, SEGMENTATION, STATE, device_of
from helpers.module_helpers import stub_engine
from helpers.plus_server import PlusServer, free_port
from slicer_host import HostError
from vtk.util.numpy_support import vtk_to_numpy

LIVE, STOP_LIVE = "Receive volumes while the probe moves", "Stop receiving volumes"
OFFER, STOP_OFFER = "Offer results to other programs", "Stop offering results"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Ten volumes a second instead of one."""
    often = partial(live_reconstruction.LiveReconstruction, every_s=0.1)
    monkeypatch.setattr(live_reconstruction, "LiveReconstruction", often)


@pytest.fixture
def plus(tiny_volume):
    with PlusServer(tiny_volume) as server:
        yield server


@pytest.fixture
def connected(panel, plus):
    panel.host.widget("cropSizeSlider").value = 30
    return connect(panel, plus)


@pytest.fixture
def live(connected):
    connected.press("liveButton")
    connected.wait(lambda: received(connected) > 1)
    return connected


def connect(panel, server):
    panel.host.widget("portSpinBox").value = server.port
    panel.press("connectButton")
    panel.wait(lambda: "messages/s" in panel.text("linkLabel"))
    return panel


def received(panel):
    """How many live volumes the panel says have come."""
    words = panel.text("liveButton").removeprefix(STOP_LIVE).strip(" ()").split()
    return int(words[0]) if words[-1] == "received" else 0


def devices(panel):
    shown = panel.host.widget("deviceList")
    return [shown.item(index).text() for index in range(shown.count)]


def voxels(node):
    image = node.GetImageData()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def reload(panel):
    """What the button Reload does, with a stub for the engine that the new module will ask for."""
    panel.widget.onReload()
    panel.host.run_events()
    panel.host.check()
    panel.widget.logic.makeEngine = lambda _model: panel.engines.append(stub_engine()) or panel.engine


def end(panel, how):
    {"reload": lambda: reload(panel)}.get(how, getattr(panel.host, how, None))()


def test_live_volumes_need_a_server(panel):
    assert panel.text("liveButton") == LIVE
    with pytest.raises(HostError, match="disabled"):
        panel.press("liveButton")


def test_nothing_is_asked_of_a_server_before_the_button_is_pressed(connected, plus):
    connected.turns(30)
    assert plus.asked == []
    assert connected.workspace.volume.node is None


def test_live_volume_appears_in_the_scene_and_can_be_segmented(panel, tiny_volume):
    panel.host.widget("cropSizeSlider").value = 30
    with PlusServer(tiny_volume, once=True) as server:
        panel.host.widget("portSpinBox").value = server.port
        panel.press("connectButton")
        panel.wait(lambda: panel.host.widget("liveButton").enabled)
        panel.press("liveButton")
        panel.wait(lambda: received(panel) > 1)
        node = panel.workspace.volume.node
        assert node.GetName() == "recvol_Reference"
        panel.wait(lambda: np.array_equal(voxels(node), tiny_volume.array))
        panel.place()
        panel.answer()
        assert "up to date" in panel.details()
        assert panel.workspace.volume.node is node
        assert panel.message == ""


def test_live_volume_that_grows_makes_the_segmentation_old(panel, tiny_volume):
    panel.host.widget("cropSizeSlider").value = 30
    with PlusServer(tiny_volume, slices=20) as server:
        connect(panel, server)
        panel.press("liveButton")
        panel.wait(lambda: panel.workspace.volume.node and voxels(panel.workspace.volume.node)[12].any())
        panel.place((20.0, 20.0, 8.0))
        panel.answer()
        server.sweep_on()
        panel.wait(lambda: voxels(panel.workspace.volume.node)[-1].any())
        panel.redraw()
        assert "OUT OF DATE" in panel.details()


def test_live_pictures_are_listed_as_such_and_nothing_is_odd(live):
    assert devices(live) == [
        "Image_Reference  (image)",
        "ProbeToTracker  (transform)",
        "ReferenceToTracker  (transform)",
        "recvol_Reference  (volume)",
    ]
    before = received(live)
    live.wait(lambda: received(live) > before + 3)
    assert live.workspace.session.problems.lines == []
    assert "refused" not in live.text("linkLabel")
    assert live.message == ""


def test_stop_brings_the_last_volume_and_no_more(live, plus):
    live.press("liveButton")
    assert live.text("liveButton") == LIVE
    live.wait(lambda: STOP in plus.asked)
    asked = len(plus.asked)
    live.turns(30)
    assert len(plus.asked) == asked
    assert live.message == ""
    live.press("liveButton")
    live.wait(lambda: plus.asked.count(START) == 2)
    assert received(live) == 0


@pytest.mark.parametrize(
    ("failure", "why"),
    [("", "is it PLUS?"), ("no such device", "no such device")],
    ids=["does not answer", "cannot"],
)
def test_server_that_cannot_reconstruct_is_told_once_with_the_next_action(
    panel, tiny_volume, failure, why, monkeypatch
):
    monkeypatch.setattr(live_reconstruction, "REPLY_TIMEOUT_S", 0.5)
    with PlusServer(tiny_volume, failure=failure) as server:
        connect(panel, server)
        panel.press("liveButton")
        panel.wait(lambda: panel.message)
        assert why in panel.message
        assert "PLUS" in panel.message
        panel.redraw()
        assert panel.text("liveButton") == LIVE
        panel.press("dismissButton")
        panel.turns(60)
        assert panel.message == ""
        assert sum(why in line for line in panel.workspace.log) == 1
        assert "messages/s" in panel.text("linkLabel"), "all else goes on"
        panel.press("liveButton")
        panel.wait(lambda: panel.message)
        assert server.asked == [START, START]


def test_disconnecting_ends_live_volumes_at_the_server(live, plus):
    live.press("connectButton")
    live.redraw()
    assert live.text("liveButton") == LIVE
    assert not live.host.widget("liveButton").enabled
    live.wait(lambda: STOP in plus.asked and plus.clients == 0)
    assert live.workspace.volume.node is not None
    assert live.message == ""


def test_live_volumes_go_on_with_a_server_that_comes_back(live, plus, tiny_volume):
    plus.stop()
    live.wait(lambda: "messages/s" not in live.text("linkLabel"))
    assert live.text("liveButton").startswith(STOP_LIVE)
    before = received(live)
    with PlusServer(tiny_volume, port=plus.port) as again:
        live.wait(lambda: received(live) > before)
        assert again.asked[0] == START
    assert live.message == ""


@pytest.mark.parametrize("how", ["close_scene", "reload", "unload_module"])
def test_end_of_the_room_ends_live_volumes(live, plus, how):
    before = plus.asked.count(STOP)
    end(live, how)
    live.host.run_until(lambda: plus.asked.count(STOP) > before and plus.clients == 0)
    if how != "unload_module":
        assert live.text("liveButton") == LIVE
        assert not live.host.widget("liveButton").enabled
        live.host.unload_module()
    plus.stop()
    assert not live.host.leaks(), live.host.leaks()


def test_live_volumes_can_be_had_again_after_the_scene_was_closed(live, plus):
    live.host.close_scene()
    connect(live, plus)
    live.press("liveButton")
    live.wait(lambda: received(live) > 0)
    assert live.workspace.volume.node is not None


class Peer:
    """Another program that shows results."""

    def __init__(self, panel):
        self.panel, self.got = panel, {}
        self.client = IgtlClient("127.0.0.1", panel.host.widget("sharePortSpinBox").value)

    def wait(self, done):
        self.panel.host.run_until(lambda: self._poll() or done(self.got))
        return self.got

    def _poll(self):
        self.got |= {message.device: message for message in self.client.poll()}

    @property
    def segmentations(self):
        return [lesion["has_outline"] for lesion in json.loads(self.got[STATE].text)["lesions"]]


@pytest.fixture
def sharing(with_result):
    with_result.host.widget("sharePortSpinBox").value = free_port()
    with_result.press("shareButton")
    return with_result


@pytest.fixture
def peer(sharing):
    made = Peer(sharing)
    yield made
    made.client.close()


def is_free(port):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return taken.connect_ex(("127.0.0.1", port)) != 0


def test_nothing_is_offered_until_the_button_is_pressed(with_result):
    assert with_result.text("shareButton") == OFFER
    assert with_result.widget.logic.publisher.port is None
    assert is_free(with_result.host.widget("sharePortSpinBox").value)


def test_another_program_receives_the_segmentation(sharing, peer):
    assert sharing.text("shareButton").startswith(STOP_OFFER)
    got = peer.wait(lambda got: {STATE, SEGMENTATION, POINTS, device_of(1, "Tumour 1")} <= set(got))
    expected = sharing.workspace.lesion_store.entries["Tumour 1"].segmentation.result.mask.mask
    np.testing.assert_array_equal(got[SEGMENTATION].array, expected)
    assert peer.segmentations == [True]
    sharing.redraw()
    assert sharing.text("shareButton") == "Stop offering results (1 connected)"
    assert sharing.message == ""


def test_segmentation_is_withdrawn_while_its_seed_moves(sharing, peer):
    peer.wait(lambda got: STATE in got and peer.segmentations == [True])
    sharing.host.widget("autoCheckBox").checked = False
    sharing.seed().SetNthControlPointPositionWorld(0, 22.0, 20.0, 20.0)
    got = peer.wait(lambda got: peer.segmentations == [False])
    assert not got[SEGMENTATION].array.any()
    assert len(got[device_of(1, "Tumour 1")].triangles) == 0


def test_offer_is_taken_back(sharing, peer):
    peer.wait(lambda got: STATE in got and peer.segmentations == [True])
    sharing.press("shareButton")
    peer.wait(lambda got: peer.segmentations == [])
    assert sharing.text("shareButton") == OFFER
    peer.wait(lambda got: peer.client.state is not LinkState.CONNECTED)
    sharing.press("shareButton")
    peer.wait(lambda got: peer.segmentations == [True])


def test_port_that_is_taken_is_told_and_another_one_helps(with_result):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with_result.host.widget("sharePortSpinBox").value = taken.getsockname()[1]
        with_result.press("shareButton")
        assert "in use" in with_result.message
        assert with_result.text("shareButton") == OFFER
        with_result.press("dismissButton")
        with_result.turns(25)
        assert with_result.message == ""
        with_result.host.widget("sharePortSpinBox").value = free_port()
        with_result.press("shareButton")
    assert with_result.message == ""
    assert with_result.text("shareButton").startswith(STOP_OFFER)
    assert not with_result.host.widget("sharePortSpinBox").enabled, "another port counts from the next offer on"
    with_result.press("shareButton")
    assert with_result.host.widget("sharePortSpinBox").enabled


@pytest.mark.parametrize("how", ["close_scene", "reload", "unload_module", "quit"])
def test_end_of_the_room_withdraws_what_was_offered(sharing, peer, how):
    peer.wait(lambda got: STATE in got and peer.segmentations == [True])
    port = sharing.host.widget("sharePortSpinBox").value
    end(sharing, how)
    peer.wait(lambda got: peer.segmentations == [] and peer.client.state is not LinkState.CONNECTED)
    assert not peer.got[SEGMENTATION].array.any()
    assert is_free(port)
    if how in ("close_scene", "reload"):
        assert sharing.text("shareButton") == OFFER
        sharing.host.unload_module()
    assert not sharing.host.leaks(), sharing.host.leaks()


def test_live_volumes_and_an_offer_at_the_same_time(live):
    live.host.widget("sharePortSpinBox").value = free_port()
    live.press("shareButton")
    peer = Peer(live)
    live.wait(lambda: voxels(live.workspace.volume.node)[-1].any())
    live.place()
    live.answer()
    peer.wait(lambda got: STATE in got and peer.segmentations == [True])
    assert live.message == ""
    live.host.unload_module()
    peer.wait(lambda got: peer.segmentations == [])
    peer.client.close()
