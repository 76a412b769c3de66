"""The panel with the real worker: nnU-Net in a process of its own, on the shipped case with several lesions."""

from __future__ import annotations

import os
import signal
import time

import pytest
from CRLMSegmentationLib.recording.case import load_case
from helpers.model_helpers import shipped_key
from helpers.module_helpers import CASES, PATIENCE_S, SIZE, Panel, card, check_everything, track
from slicer_host import SlicerHost

CASE = CASES / "phantom-several"


@pytest.fixture(scope="module")
def operation():
    """A panel that all tests of this file share: the case has been played, the worker is warm."""
    with SlicerHost() as host:
        panel = Panel(host)
        host.widget("sourceTabs").currentIndex = 1
        host.widget("casePathLineEdit").currentPath = str(CASE)
        host.widget("speedSpinBox").value = 20
        panel.press("playButton")
        panel.wait(lambda: panel.workspace.volume.node, PATIENCE_S)
        panel.wait(lambda: panel.workspace.ready or panel.workspace.engine_problem, PATIENCE_S)
        assert panel.workspace.engine_problem == ""
        yield panel


@pytest.fixture
def panel(operation):
    """Without lesions, and the worker idle."""
    ask_for(operation, 80.0, has_mirrored_copies=False)
    while operation.table():
        operation.press("removeButton")
        operation.redraw()
    operation.wait(lambda: operation.text("workerLabel") == "● Ready to segment", PATIENCE_S)
    return operation


@pytest.fixture
def running(panel):
    """The first passes of a segmentation that takes many of them are done."""
    ask_for(panel, 200.0, has_mirrored_copies=True)
    panel.place(seeds()[0])
    panel.wait(lambda: panel.host.widget("progressBar").value >= 1, PATIENCE_S)
    return panel


def ask_for(panel, crop_size_mm: float, has_mirrored_copies: bool) -> None:
    """Set how large a crop is segmented and how: one of 200 mm takes 64 windows, mirrored eight times as many."""
    panel.host.widget("cropSizeSlider").value = crop_size_mm
    panel.host.widget("mirroringCheckBox").checked = has_mirrored_copies


def seeds():
    return [lesion.seed_ras_mm for lesion in load_case(CASE).lesions]


def worker_runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_strip_says_what_is_at_work(panel):
    assert panel.text("modelLabel").startswith("▲ crlm-crop-phantom ")
    assert panel.text("modelLabel").endswith(": simulated data only")
    device = panel.host.widget("deviceLabel").text
    ready = panel.workspace.ready
    assert ("#e69f00" if ready.is_slow or ready.warnings else "#3fb950") in device
    assert panel.text("workerLabel") == "● Ready to segment"


def test_transforms_go_on_moving_while_the_network_runs(panel):
    """A turn that waited for the network would see it idle before and idle after, and never at work."""
    moved, moved_meanwhile, end_s = 0, 0, time.monotonic() + PATIENCE_S
    panel.place(seeds()[0])
    while "up to date" not in panel.details():
        tool = track(panel.host.scene, "MovingToReference", (moved, 0.0, 0.0))
        assert tool.GetMatrixTransformToParent().GetElement(0, 3) == moved
        moved += 1
        panel.host.run_for(0.02)
        moved_meanwhile += panel.workspace.session.busy
        assert time.monotonic() < end_s
    assert moved_meanwhile > 2


def test_cancel_is_over_before_the_network_has_ended(running):
    assert running.text("applyButton") == "Cancel"
    running.press("applyButton")
    running.wait(lambda: not running.workspace.session.busy, PATIENCE_S)
    running.redraw()
    assert running.text("applyButton") == "Segment"
    assert running.cell(SIZE) == ""


def test_killed_worker_is_told_and_the_next_one_answers(running):
    pid = running.workspace.session.engine.worker_pid
    os.kill(pid, signal.SIGKILL)
    running.wait(lambda: "SIGKILL" in running.details(), PATIENCE_S)
    assert "try again" in running.details()
    running.wait(lambda: running.text("workerLabel") == "● Ready to segment", PATIENCE_S)
    assert running.workspace.session.engine.worker_pid != pid
    ask_for(running, 80.0, has_mirrored_copies=False)
    running.press("applyButton")
    running.wait(lambda: "up to date" in running.details(), PATIENCE_S)


def test_card_is_filled_and_the_self_check_green(panel):
    check_everything(panel)
    panel.wait(lambda: all(level != "pending" for level, _found in card(panel).values()), PATIENCE_S)
    lines = card(panel)
    assert lines["Packages"][0] == "green"
    assert lines["Self-check case"][0] == "green", lines["Self-check case"]
    assert lines["Model warm"][0] in ("green", "amber")
    assert panel.table() == []


def test_another_model_in_mid_inference_ends_the_process_and_answers(running, tmp_path, monkeypatch):
    """Weights of its own: the shipped ones, a little shrunk."""
    from CRLMSegmentationLib.segmentation.models.package import write_model_package

    shipped = running.workspace.session.model
    weights = {0: {name: value * 0.999 for name, value in shipped.weights(0).items()}}
    said = {"name": "shrunk", "version": "1", "channels": list(shipped.channels), "trained_on": {"simulated": True}}
    said |= {"crop_size_mm": 40, "spacing_mm": shipped.spacing_mm, "intended_use": "this test"}
    write_model_package(tmp_path / "shrunk", shipped.plans(), shipped.dataset(), weights, said)
    monkeypatch.setenv("CRLM_MODELS", str(tmp_path))
    pid = running.workspace.session.engine.worker_pid
    running.widget.model.use("shrunk@1")
    assert not worker_runs(pid)
    assert running.message.startswith("Tumour 1: cancelled")
    running.redraw()
    assert running.text("workerLabel") == "▲ Loading the model"
    ask_for(running, 40.0, has_mirrored_copies=False)
    running.press("applyButton")
    running.wait(lambda: "up to date" in running.details(), PATIENCE_S)
    assert running.workspace.lesion_store.entries["Tumour 1"].segmentation.model_name == "shrunk"
    running.widget.model.use(shipped_key())
    assert "made with another model: shrunk" in running.workspace.lesion_store.rows()[0].warnings[0]


def test_closing_the_scene_during_inference_ends_the_process(running):
    pid = running.workspace.session.engine.worker_pid
    running.host.close_scene()
    assert running.workspace is None
    assert not worker_runs(pid)
    assert not running.host.leaks().processes
    assert running.table() == []


def test_self_test_of_the_module_passes(operation):
    import slicer

    operation.host.close_scene()
    operation.host.leave_module()
    slicer.selfTests["CRLMSegmentation"]()
    assert not operation.host.leaks().processes
    assert "Dice 0." in operation.host.messages[-1].text
