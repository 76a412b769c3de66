"""The card before the incision, on a stub engine: each line turns green, amber or red for its own reason."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from CRLMSegmentationLib.igtl.link import LinkState
from CRLMSegmentationLib.igtl.messages import TransformMessage
from CRLMSegmentationLib.igtl.statistics import DropReason, Problems
from CRLMSegmentationLib.recording.case import load_case
from CRLMSegmentationLib.recording.recorded_link import RecordedLink
from CRLMSegmentationLib.segmentation.engine.engine import Failed, Ready
from CRLMSegmentationLib.segmentation.models.package import model_or_default
from CRLMSegmentationLib.segmentation.session import Session
from CRLMSegmentationLib.slicer import dependencies
from CRLMSegmentationLib.slicer.scene.headless import new_scene
from CRLMSegmentationLib.slicer.state import State
from CRLMSegmentationLib.slicer.workspace import preflight
from CRLMSegmentationLib.slicer.workspace.preflight import Preflight
from CRLMSegmentationLib.slicer.workspace.workspace import Workspace
from helpers.workspace_helpers import StubLink


@pytest.fixture
def workspace(engine):
    made = Workspace(new_scene(), Session(engine, model_or_default(None)))
    yield made
    made.close()


def card_of(workspace, tmp_path, tiny_case):
    return Preflight(workspace, tmp_path, tiny_case)


def line(card, name):
    return next(check for check in card.checks() if check.name == name)


def finish(workspace, engine):
    workspace.tick()
    engine.finish()
    workspace.tick()


def test_self_check_is_green_when_the_segmentation_is_the_true_one(workspace, engine, tmp_path, tiny_case):
    card = card_of(workspace, tmp_path, tiny_case)
    assert line(card, "Self-check case").state is State.PENDING
    assert not card.is_finished
    finish(workspace, engine)
    assert card.is_finished
    assert line(card, "Self-check case").state is State.OK
    assert "simulated case: Dice 0.9" in line(card, "Self-check case").text
    assert workspace.lesion_store.rows() == []
    assert workspace.volume.node is None


def test_self_check_is_red_when_the_segmentation_is_another(workspace, engine, tmp_path, tiny_case, monkeypatch):
    monkeypatch.setattr(preflight, "KNOWN_DICE", 0.999)
    card = card_of(workspace, tmp_path, tiny_case)
    finish(workspace, engine)
    assert line(card, "Self-check case").state is State.ERROR
    assert line(card, "Self-check case").action


def test_failed_job_and_failed_engine_are_red(workspace, engine, tmp_path, tiny_case):
    card = card_of(workspace, tmp_path, tiny_case)
    workspace.tick()
    engine.fail("the GPU is on fire")
    workspace.tick()
    assert card.is_finished
    assert (line(card, "Self-check case").state, line(card, "Self-check case").text) == (
        State.ERROR,
        "the GPU is on fire",
    )
    engine.events.append(Failed(None, "torch is missing"))
    workspace.tick()
    assert line(card, "Computer").state is State.ERROR
    assert line(card, "Model warm").state is State.ERROR


@pytest.mark.parametrize(
    ("pass_s", "warnings", "state"),
    [(0.05, (), State.OK), (3.0, (), State.WARNING), (0.05, ("the GPU is not used: too old",), State.WARNING)],
)
def test_computer_is_judged_by_the_time_of_a_pass_and_by_what_is_not_used(
    workspace, engine, tmp_path, tiny_case, pass_s, warnings, state
):
    engine.events = [Ready("OpenVINO bfloat16, 2 cores", 3.0, "stub", "0" * 64, {}, warnings, pass_s)]
    card = card_of(workspace, tmp_path, tiny_case)
    workspace.tick()
    found = line(card, "Computer")
    assert found.state is state
    assert "OpenVINO bfloat16, 2 cores" in found.text
    assert f"{pass_s:.2f} s" in found.text
    assert all(warning in found.text for warning in warnings)


def test_missing_package_that_only_saves_time_is_amber(workspace, tmp_path, tiny_case, monkeypatch):
    lacking = dependencies.Package("no-such-package", "no_such_package", ">=1", "speed")
    monkeypatch.setattr(preflight, "PACKAGES", (*dependencies.PACKAGES, lacking))
    assert line(card_of(workspace, tmp_path, tiny_case), "Packages").state is State.WARNING


def test_missing_package_is_red_and_named(workspace, tmp_path, tiny_case, monkeypatch):
    lacking = dependencies.Package("no-such-package", "no_such_package", ">=1", "segment")
    monkeypatch.setattr(preflight, "PACKAGES", (*dependencies.PACKAGES, lacking))
    found = line(card_of(workspace, tmp_path, tiny_case), "Packages")
    assert (found.state, found.text) == (State.ERROR, "missing: no-such-package>=1")


def test_shipped_model_is_amber_and_a_changed_one_red(workspace, tmp_path, tiny_case):
    assert line(card_of(workspace, tmp_path, tiny_case), "Model").state is State.WARNING
    copy = tmp_path / "model"
    shutil.copytree(workspace.session.model.folder, copy)
    object.__setattr__(workspace.session.model, "folder", copy)
    (copy / "plans.json").write_text("{}")
    found = line(card_of(workspace, tmp_path, tiny_case), "Model")
    assert found.state is State.ERROR
    assert "plans.json" in found.text


@pytest.mark.parametrize(
    ("free", "state"), [(1.0, State.ERROR), (3.0, State.WARNING), (30.0, State.OK), (None, State.WARNING)]
)
def test_memory_is_judged(workspace, tmp_path, tiny_case, monkeypatch, free, state):
    monkeypatch.setattr(preflight, "free_memory_gb", lambda: free)
    assert line(card_of(workspace, tmp_path, tiny_case), "Free memory").state is state


def test_memory_is_measured():
    assert 0.1 < preflight.free_memory_gb() < 10_000


def test_folder_that_is_not_there_is_red(workspace, tmp_path, tiny_case):
    found = line(card_of(workspace, tmp_path / "nowhere", tiny_case), "Free disk space")
    assert found.state is State.ERROR


def test_link_is_judged(workspace, tmp_path, tiny_case):
    assert line(card_of(workspace, tmp_path, tiny_case), "Link").state is State.WARNING
    link = StubLink()
    workspace.use_link(link)
    assert "silent" in line(card_of(workspace, tmp_path, tiny_case), "Link").action
    workspace.link_state, workspace.link_reason = LinkState.RETRYING, "refused"
    assert (line(card_of(workspace, tmp_path, tiny_case), "Link").state) is State.ERROR
    workspace.use_link(RecordedLink(load_case(tiny_case)))
    workspace.tick()
    assert line(card_of(workspace, tmp_path, tiny_case), "Link").text == "a recorded case is open"


def test_what_was_refused_on_the_link_is_shown(workspace, tmp_path, tiny_case):
    link = StubLink()
    link.problems = Problems()
    workspace.use_link(link)
    link.inbox = [TransformMessage("ProbeToReference", 1.0, np.eye(4))]
    workspace.tick()
    assert line(card_of(workspace, tmp_path, tiny_case), "Link").state is State.OK
    for number in range(5):
        link.problems.note(DropReason.CRC, f"recvol{number}", "checksum wrong", 7)
    workspace.tick()
    found = line(card_of(workspace, tmp_path, tiny_case), "Link")
    assert found.state is State.WARNING
    assert "'recvol0': checksum wrong (7 times)" in found.text
    assert found.text.splitlines()[-1] == "and 2 more kinds"
    assert "Check sender" in found.action


def test_sample_that_is_not_there_is_told(workspace, tmp_path):
    card = Preflight(workspace, tmp_path, Path("no-such-case"))
    assert card.is_finished
    assert line(card, "Self-check case").state is State.ERROR
