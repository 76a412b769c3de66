"""The settings of the parameter node reach the workspace, the views and the recording."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from CRLMSegmentationLib.slicer.panel.settings import apply_settings
from helpers.workspace_helpers import SEED, answer


@pytest.fixture
def settings(tmp_path):
    """Each differs from what a workspace begins with."""
    return SimpleNamespace(
        cropSize=44.0,
        autoSegment=True,
        mirroring=True,
        opacity=0.25,
        outlineOnly=True,
        outputFolder=tmp_path,
        innerMargin=0.0,
        outerMargin=15.0,
        showMargins=False,
        showShells=True,
        secondLooks=True,
        followVolumes=True,
        followTip=False,
        showNumber=False,
        record=True,
        diskBudget=3.0,
        memoryLimit=2.0,
    )


@pytest.fixture
def depth():
    """Whether the layout is to peel depth, each time it was told."""
    return []


@pytest.fixture
def applied(settings, with_volume, depth):
    views, recording = SimpleNamespace(layout=SimpleNamespace(peel_depth=depth.append)), SimpleNamespace()
    apply_settings(settings, with_volume, views, recording)
    return SimpleNamespace(workspace=with_volume, views=views, recording=recording)


def test_each_setting_reaches_its_place(applied, tmp_path):
    workspace = applied.workspace
    assert (workspace.requests.auto_segment, workspace.requests.mirroring, workspace.requests.crop_size_mm) == (
        True,
        True,
        44.0,
    )
    assert (workspace.background_refinement.enabled, workspace.resegmentation.enabled) == (True, True)
    assert workspace.memory.limit_bytes == 2e9
    navigation = workspace.navigation
    assert (navigation.margins_mm, navigation.shows_margins, navigation.shows_consensus) == ((15.0,), False, True)
    assert (applied.views.follows_tip, applied.views.shows_number) == (False, False)
    assert vars(applied.recording) == {"is_wanted": True, "budget_bytes": 3e9, "parent": Path(tmp_path)}


@pytest.mark.parametrize(
    ("opacity", "shells", "is_needed"), [(1.0, False, False), (0.8, False, True), (1.0, True, True)]
)
def test_depth_is_peeled_only_where_more_than_margins_is_translucent(
    applied, settings, depth, opacity, shells, is_needed
):
    settings.opacity, settings.showShells = opacity, shells
    apply_settings(settings, applied.workspace, applied.views, applied.recording)
    assert depth[-1] is is_needed


def display_of(workspace):
    return workspace.lesion_store.segmentation_node.GetDisplayNode()


def test_segmentation_that_appears_later_looks_as_set(applied, engine):
    applied.workspace.requests.auto_segment = False
    applied.workspace.add_seed(np.array(SEED))
    answer(applied.workspace, engine, ["Tumour 1"])
    assert display_of(applied.workspace).GetOpacity3D() == pytest.approx(0.25)
    assert not display_of(applied.workspace).GetVisibility2DFill()


def test_look_that_a_user_changes_in_the_scene_stays_until_it_is_set_again(applied, engine, settings):
    applied.workspace.requests.auto_segment = False
    applied.workspace.add_seed(np.array(SEED))
    answer(applied.workspace, engine, ["Tumour 1"])
    display_of(applied.workspace).SetOpacity3D(0.5)
    answer(applied.workspace, engine, ["Tumour 1"])
    assert display_of(applied.workspace).GetOpacity3D() == pytest.approx(0.5)
    settings.opacity = 0.75
    apply_settings(settings, applied.workspace, applied.views, applied.recording)
    assert display_of(applied.workspace).GetOpacity3D() == pytest.approx(0.75)
