"""Sessions and workspaces on a stub engine and a stub model, both strict and both for the logic above them only."""

from __future__ import annotations

import pytest
from CRLMSegmentationLib.segmentation.session import Session
from CRLMSegmentationLib.slicer.scene.volumes import show_volume
from CRLMSegmentationLib.slicer.workspace.workspace import Workspace
from helpers.stub_session import click_model, clock, engine, model, session  # noqa: F401  (fixtures)
from helpers.workspace_helpers import StubLink


@pytest.fixture
def workspace(engine, model, clock, make_scene):
    made = Workspace(make_scene(), Session(engine, model), clock=clock)
    made.requests.auto_segment = False
    yield made
    made.close()


@pytest.fixture
def link(workspace):
    made = StubLink()
    workspace.use_link(made)
    return made


@pytest.fixture
def with_volume(workspace, tiny_volume):
    """A workspace in which a volume of the scene has been chosen."""
    workspace.use_node(show_volume(workspace.scene, tiny_volume, "recvol"))
    return workspace
