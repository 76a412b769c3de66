"""*Compute on*: choosing a server in the panel; on stub engines."""

from __future__ import annotations

import pytest
from CRLMSegmentationLib.segmentation.remote.remote_engine import RemoteEngine
from CRLMSegmentationLib.segmentation.remote.status import ServerProblem
from helpers.module_helpers import card, check_everything
from helpers.stub_server import StubServer


@pytest.fixture
def servers(panel, monkeypatch) -> list[StubServer]:
    """The servers that the panel has made, with what it was given for each."""
    from CRLMSegmentationLib.slicer.widgets import server_section

    made: list[StubServer] = []

    def make(model, address, python):
        made.append(StubServer())
        made[-1].address, made[-1].python = address, python
        return made[-1]

    monkeypatch.setattr(server_section, "ServerEngine", make)
    panel.press("placeButton")
    panel.redraw()
    return made


def choose(panel, url: str) -> None:
    edit = panel.host.widget("serverEdit")
    edit.text = url
    edit._real.editingFinished.emit()
    panel.redraw()


def test_a_server_is_used_from_now_on_and_shown(panel, servers):
    choose(panel, "https://gpu.example:9000")
    assert [str(server.address) for server in servers] == ["https://gpu.example:9000"]
    engine = panel.workspace.session.engine
    assert isinstance(engine, RemoteEngine)
    servers[0].come()
    panel.redraw()
    panel.redraw()
    assert "gpu:8443: H200" in panel.host.widget("deviceStateButton").toolTip
    servers[0].go(ServerProblem.SILENT)
    panel.redraw()
    assert "it does not answer" in panel.host.widget("stripLabel").text
    assert engine.is_computing_here


def test_this_computer_again(panel, servers):
    choose(panel, "https://gpu.example:9000")
    choose(panel, "")
    assert servers[0].closed
    assert not isinstance(panel.workspace.session.engine, RemoteEngine)


def test_an_address_that_cannot_be_used_is_told_and_not_kept(panel, servers):
    choose(panel, "http://gpu.example:9000")
    assert servers == []
    assert "in clear" in panel.message
    assert panel.host.widget("serverEdit").text == ""


def test_server_only(panel, servers):
    panel.host.widget("serverFallbackCheckBox").checked = False
    choose(panel, "https://gpu.example:9000")
    servers[0].go(ServerProblem.CERTIFICATE)
    panel.redraw()
    panel.redraw()
    assert "certificate" in panel.workspace.engine_problem
    servers[0].come()
    panel.redraw()
    panel.redraw()
    assert panel.workspace.engine_problem == ""


def test_the_checks_before_the_incision_have_those_of_the_server(panel, servers):
    choose(panel, "https://gpu.example:9000")
    servers[0].come()
    check_everything(panel)
    panel.redraw()
    names = [name for name in card(panel) if "Server" in name]
    assert len(names) == 6
