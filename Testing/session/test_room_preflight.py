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
from CRLMSegmentationLib.slicer.workspace import preflight
from CRLMSegmentationLib.slicer.workspace.preflight import Level, Preflight
from CRLMSegmentationLib.slicer.workspace.workspace import Room
from room_helpers import StubLink


@pytest.fixture
def room(engine):
    made = Room(new_scene(), Session(engine, model_or_default(None)))
    yield made
    made.close()


def card_of(room, tmp_path, tiny_case):
    return Preflight(room, tmp_path, tiny_case)


def line(card, name):
    return next(check for check in card.checks() if check.name == name)


def finish(room, engine):
    room.tick()
    engine.finish()
    room.tick()


def test_known_answer_is_green_when_the_outline_is_the_true_one(room, engine, tmp_path, tiny_case):
    card = card_of(room, tmp_path, tiny_case)
    assert line(card, "Known answer").level is Level.PENDING
    assert not card.is_finished
    finish(room, engine)
    assert card.is_finished
    assert line(card, "Known answer").level is Level.GREEN
    assert "simulated case: Dice 0.9" in line(card, "Known answer").text
    assert room.ledger.rows() == []
    assert room.volume.node is None


def test_known_answer_is_red_when_the_outline_is_another(room, engine, tmp_path, tiny_case, monkeypatch):
    monkeypatch.setattr(preflight, "KNOWN_DICE", 0.999)
    card = card_of(room, tmp_path, tiny_case)
    finish(room, engine)
    assert line(card, "Known answer").level is Level.RED
    assert line(card, "Known answer").action


def test_failed_job_and_failed_engine_are_red(room, engine, tmp_path, tiny_case):
    card = card_of(room, tmp_path, tiny_case)
    room.tick()
    engine.fail("the GPU is on fire")
    room.tick()
    assert card.is_finished
    assert (line(card, "Known answer").level, line(card, "Known answer").text) == (Level.RED, "the GPU is on fire")
    engine.events.append(Failed(None, "torch is missing"))
    room.tick()
    assert line(card, "Graphics card").level is Level.RED
    assert line(card, "Model warm").level is Level.RED


@pytest.mark.parametrize(("device", "level"), [("NVIDIA H100", Level.GREEN), ("cpu (2 threads)", Level.AMBER)])
def test_processor_instead_of_graphics_card_is_amber(room, engine, tmp_path, tiny_case, device, level):
    engine.events = [Ready(device, 3.0, "stub", "0" * 64, {}, ("the GPU is not used: too old",))]
    card = card_of(room, tmp_path, tiny_case)
    room.tick()
    assert line(card, "Graphics card").level is level
    assert ("too old" in line(card, "Graphics card").text) == (level is Level.AMBER)


def test_missing_package_is_red_and_named(room, tmp_path, tiny_case, monkeypatch):
    lacking = dependencies.Package("no-such-package", "no_such_package", ">=1", "segment")
    monkeypatch.setattr(preflight, "PACKAGES", (*dependencies.PACKAGES, lacking))
    found = line(card_of(room, tmp_path, tiny_case), "Packages")
    assert (found.level, found.text) == (Level.RED, "missing: no-such-package>=1")


def test_shipped_model_is_amber_and_a_changed_one_red(room, tmp_path, tiny_case):
    assert line(card_of(room, tmp_path, tiny_case), "Model").level is Level.AMBER
    copy = tmp_path / "model"
    shutil.copytree(room.session.model.folder, copy)
    object.__setattr__(room.session.model, "folder", copy)
    (copy / "plans.json").write_text("{}")
    found = line(card_of(room, tmp_path, tiny_case), "Model")
    assert found.level is Level.RED
    assert "plans.json" in found.text


@pytest.mark.parametrize(
    ("free", "level"), [(1.0, Level.RED), (3.0, Level.AMBER), (30.0, Level.GREEN), (None, Level.AMBER)]
)
def test_memory_is_judged(room, tmp_path, tiny_case, monkeypatch, free, level):
    monkeypatch.setattr(preflight, "free_memory_gb", lambda: free)
    assert line(card_of(room, tmp_path, tiny_case), "Free memory").level is level


def test_memory_is_measured():
    assert 0.1 < preflight.free_memory_gb() < 10_000


def test_folder_that_is_not_there_is_red(room, tmp_path, tiny_case):
    found = line(card_of(room, tmp_path / "nowhere", tiny_case), "Free disk space")
    assert found.level is Level.RED


def test_link_is_judged(room, tmp_path, tiny_case):
    assert line(card_of(room, tmp_path, tiny_case), "Link").level is Level.AMBER
    link = StubLink()
    room.use_link(link)
    assert "silent" in line(card_of(room, tmp_path, tiny_case), "Link").action
    room.link_state, room.link_reason = LinkState.RETRYING, "refused"
    assert (line(card_of(room, tmp_path, tiny_case), "Link").level) is Level.RED
    room.use_link(RecordedLink(load_case(tiny_case)))
    room.tick()
    assert line(card_of(room, tmp_path, tiny_case), "Link").text == "a recorded case is open"


def test_what_was_refused_on_the_link_is_shown(room, tmp_path, tiny_case):
    link = StubLink()
    link.problems = Problems()
    room.use_link(link)
    link.inbox = [TransformMessage("ProbeToReference", 1.0, np.eye(4))]
    room.tick()
    assert line(card_of(room, tmp_path, tiny_case), "Link").level is Level.GREEN
    for number in range(5):
        link.problems.note(DropReason.CRC, f"recvol{number}", "checksum wrong", 7)
    room.tick()
    found = line(card_of(room, tmp_path, tiny_case), "Link")
    assert found.level is Level.AMBER
    assert "'recvol0': checksum wrong (7 times)" in found.text
    assert found.text.splitlines()[-1] == "and 2 more kinds"
    assert "Check sender" in found.action


def test_sample_that_is_not_there_is_told(room, tmp_path):
    card = Preflight(room, tmp_path, Path("no-such-case"))
    assert card.is_finished
    assert line(card, "Known answer").level is Level.RED
