"""What a workspace offers to other systems: the messages are received by a client over a real socket."""

import json
import time
from copy import copy

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import LinkError
from CRLMSegmentationLib.igtl.client import IgtlClient
from CRLMSegmentationLib.igtl.messages import ImageMessage, PointMessage, PolyDataMessage, StringMessage
from CRLMSegmentationLib.reports.igtl_results import POINTS, SEGMENTATION, STATE, device_of
from CRLMSegmentationLib.slicer.workspace.publisher import Publisher
from helpers.stub_engine import StubEngine
from helpers.workspace_helpers import SEED, answer, paint


class Peer:
    """Another system on the network: keeps the newest message of each device."""

    def __init__(self, workspace, publisher):
        self.workspace, self.publisher = workspace, publisher
        self.client = IgtlClient("127.0.0.1", publisher.port)
        self.got = {}

    def wait(self, done):
        end_s = time.monotonic() + 120
        while not done(self.got):
            assert time.monotonic() < end_s, f"only {sorted(self.got)} came"
            self.workspace.tick()
            self.publisher.update()
            self.got |= {message.device: message for message in self.client.poll()}
        return self.got

    def state(self):
        return json.loads(self.got[STATE].text)


@pytest.fixture
def publisher(with_volume):
    publisher = Publisher(with_volume)
    yield publisher
    publisher.stop()


@pytest.fixture
def peer(with_volume, publisher, engine):
    with_volume.add_seed(np.array(SEED))
    answer(with_volume, engine, ["Tumour 1"])
    publisher.start(0)
    peer = Peer(with_volume, publisher)
    yield peer
    peer.client.close()


def surface(got):
    return got[device_of(1, "Tumour 1")]


def test_nothing_is_offered_unless_asked_for(with_volume, publisher):
    publisher.update()
    assert publisher.port is None


def test_segmentation_surface_points_and_state_reach_a_peer(with_volume, peer):
    got = peer.wait(lambda got: STATE in got)
    volume = with_volume.session.volume
    labels = got[SEGMENTATION]
    assert isinstance(labels, ImageMessage)
    assert labels.array.dtype == np.uint8
    assert labels.timestamp_s == pytest.approx(volume.timestamp_s)
    expected = with_volume.lesion_store.entries["Tumour 1"].segmentation.result.mask.mask
    np.testing.assert_array_equal(labels.array, expected.astype(np.uint8))
    np.testing.assert_allclose(labels.ijk_to_ras, volume.ijk_to_ras, atol=1e-4)
    assert isinstance(surface(got), PolyDataMessage)
    center = surface(got).points_ras_mm.mean(0)
    assert isinstance(got[POINTS], PointMessage)
    points = dict(zip(got[POINTS].names, got[POINTS].points_ras_mm))
    np.testing.assert_allclose(points["Tumour 1 seed"], SEED, atol=1e-4)
    np.testing.assert_allclose(points["Tumour 1 centre"], center, atol=1.0)
    assert isinstance(got[STATE], StringMessage)
    assert peer.state()["lesions"][0]["has_outline"] is True
    assert "not for clinical use" in peer.state()["notice"]


def test_who_comes_later_gets_everything(with_volume, publisher, peer):
    peer.wait(lambda got: STATE in got)
    late = Peer(with_volume, publisher)
    got = late.wait(lambda got: STATE in got and SEGMENTATION in got and POINTS in got)
    assert len(surface(got).triangles) > 0
    late.client.close()


def test_segmentation_of_a_moved_seed_is_withdrawn(with_volume, peer):
    peer.wait(lambda got: STATE in got)
    with_volume.requests.auto_segment = False
    with_volume.scene.GetFirstNodeByName("Tumour 1").SetNthControlPointPositionWorld(0, 25.0, 20.0, 20.0)
    got = peer.wait(lambda got: not json.loads(got[STATE].text)["lesions"][0]["has_outline"])
    assert not got[SEGMENTATION].array.any()
    assert len(surface(got).triangles) == 0


def test_correction_by_hand_is_sent(with_volume, peer):
    before = peer.wait(lambda got: STATE in got)[SEGMENTATION].array.sum()
    paint(with_volume, "Tumour 1", np.s_[0:8, 0:8, 0:8])
    got = peer.wait(lambda got: got[SEGMENTATION].array.sum() > before)
    assert got[SEGMENTATION].array[0:8, 0:8, 0:8].all()


def test_removed_lesion_is_withdrawn(with_volume, peer):
    peer.wait(lambda got: STATE in got)
    with_volume.remove_seed("Tumour 1")
    got = peer.wait(lambda got: json.loads(got[STATE].text)["lesions"] == [])
    assert not got[SEGMENTATION].array.any()
    assert len(surface(got).points_ras_mm) == 0


def test_everything_is_withdrawn_at_the_end(publisher, peer):
    peer.wait(lambda got: STATE in got)
    publisher.stop()
    got = peer.wait(lambda got: json.loads(got[STATE].text)["lesions"] == [])
    assert not got[SEGMENTATION].array.any()


def test_port_that_is_taken_is_told(publisher, with_volume):
    publisher.start(0)
    other = Publisher(with_volume)
    with pytest.raises(LinkError, match="in use"):
        other.start(publisher.port)
    assert other.port is None


def test_segmentation_of_a_model_that_is_no_longer_in_use_says_so(with_volume, peer, model):
    peer.wait(lambda got: STATE in got)
    assert peer.state()["lesions"][0]["warnings"] == []
    other = copy(model)
    other.name, other.sha256 = "other", "1" * 64
    with_volume.use_model(StubEngine(), other)
    peer.wait(lambda got: peer.state()["lesions"][0]["warnings"])
    assert peer.state()["lesions"][0]["warnings"] == ["made with another model: stub 00000000"]
