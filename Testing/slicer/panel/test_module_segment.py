"""Step 3 of the panel, on a stub engine: start, progress, cancel, failure."""

from __future__ import annotations

import pytest
from helpers.module_helpers import SEED, SIZE


def event(name, *arguments):
    from CRLMSegmentationLib.segmentation.engine import engine

    return getattr(engine, name)(*arguments)


@pytest.fixture
def running(with_volume):
    """A lesion is being segmented."""
    with_volume.place()
    with_volume.wait(lambda: with_volume.engine.pending)
    with_volume.redraw()
    return with_volume


def test_apply_turns_into_cancel_and_back(running):
    assert running.text("applyButton") == "Cancel"
    running.press("applyButton")
    running.wait(lambda: running.text("applyButton") == "Segment")
    assert "not segmented" in running.details()
    assert not running.workspace.session.busy
    running.turns(25)
    assert len(running.engine.jobs) == 1
    running.press("applyButton")
    running.answer()
    assert "up to date" in running.details()


def test_progress_is_shown_by_tiles(running):
    running.engine.events.append(event("Progress", running.engine.pending, "inference", 3, 8))
    bar = running.host.widget("progressBar")
    running.wait(lambda: bar.value == 3)
    assert (bar.maximum, bar.enabled) == (8, True)
    assert bar.text.startswith("Tumour 1: inference 3 of 8, ")
    assert "inference" in running.details()
    running.engine.finish()
    running.wait(lambda: bar.value == 0)
    assert bar.text.strip() == ""


def test_worker_is_said_to_be_at_work(running):
    from CRLMSegmentationLib.segmentation.engine.engine import EngineState

    assert running.text("workerLabel") == "● Segmenting"
    running.engine.finish()
    running.engine.state = EngineState.READY
    running.wait(lambda: running.text("workerLabel") == "● Ready to segment")


def test_failure_is_told_in_the_row(running):
    running.engine.fail("the worker process was ended by SIGKILL; a fresh worker is starting, try again")
    running.wait(lambda: "SIGKILL" in running.details())
    assert running.text("applyButton") == "Segment"
    running.press("applyButton")
    running.answer()
    assert "up to date" in running.details()


def test_engine_that_has_given_up_is_told_once_and_shown_in_the_strip(running):
    running.engine.events.append(event("Failed", None, "nnunetv2 cannot be imported"))
    running.wait(lambda: running.message == "nnunetv2 cannot be imported")
    assert running.text("workerLabel") == "■ Segmentation has failed"
    assert running.text("deviceLabel") == "○ Device not known yet"
    running.press("dismissButton")
    running.turns(25)
    assert running.message == ""


def test_device_is_amber_where_a_pass_is_slow_or_something_is_not_used(with_volume):
    slow, unused = (3.0, ()), (0.05, ("the GPU is not used: too old",))
    for (pass_s, warnings), colour, sign in (
        (slow, "#e69f00", "▲"),
        ((0.05, ()), "#3fb950", "●"),
        (unused, "#e69f00", "▲"),
    ):
        ready = event("Ready", "torch float32, 2 cores", 1.0, "nnU-Net", "0" * 64, {}, warnings, pass_s)
        with_volume.engine.events.append(ready)
        with_volume.wait(lambda text=f"{sign} torch float32, 2 cores": with_volume.text("deviceLabel") == text)
        assert colour in with_volume.host.widget("deviceLabel").text


def test_without_seed_or_volume_the_panel_says_what_to_do(panel):
    panel.press("applyButton")
    assert panel.message == "no seed has been placed; place one in the middle of the tumour"
    panel.place()
    panel.turns(25)
    panel.shortcut("F10")
    assert panel.message.startswith("there is no volume; connect to a source")


def test_seed_outside_the_volume_is_told_in_its_row(with_volume):
    with_volume.place((500.0, 0.0, 0.0))
    with_volume.wait(lambda: "outside the volume" in with_volume.details())
    assert not with_volume.engine.jobs


def test_seed_moved_during_inference_leaves_an_old_segmentation_until_it_is_done_again(running):
    running.seed().SetNthControlPointPositionWorld(0, 23.0, 20.0, 20.0)
    running.engine.finish()
    running.wait(lambda: "OUT OF DATE" in running.details())
    running.answer()
    assert "up to date" in running.details()


@pytest.mark.parametrize("what", ["volume", "seed", "tool", "box", "parameters"])
def test_node_deleted_during_inference_does_no_harm(running, what):
    from CRLMSegmentationLib.slicer.scene.crop_box import crop_box
    from helpers.module_helpers import parameter_nodes, track

    scene = running.host.scene
    running.host.widget("toolSelector").setCurrentNode(track(scene))
    node = {
        "volume": running.workspace.volume.node,
        "seed": running.seed(),
        "tool": scene.GetFirstNodeByName("StylusToReference"),
        "box": crop_box(scene),
        "parameters": parameter_nodes(scene)[0],
    }[what]
    scene.RemoveNode(node)
    running.turns(3)
    if running.engine.pending:
        running.engine.finish()
    running.redraw()
    assert running.message == ""
    assert (running.cell(SIZE) != "") == (what not in ("volume", "seed"))


def test_segmentation_deleted_during_inference_is_made_again(with_result):
    with_result.press("againButton")
    with_result.wait(lambda: with_result.engine.pending)
    with_result.host.scene.RemoveNode(with_result.workspace.lesion_store.segmentation_node)
    with_result.wait(lambda: with_result.cell(SIZE) == "")
    with_result.engine.finish()
    with_result.wait(lambda: "up to date" in with_result.details())
    assert with_result.segment() is not None


def test_deleted_parameter_node_comes_back_with_what_is_set(with_volume):
    from helpers.module_helpers import parameter_nodes

    with_volume.host.widget("mirroringCheckBox").checked = True
    with_volume.host.scene.RemoveNode(parameter_nodes(with_volume.host.scene)[0])
    with_volume.turns(3)
    assert len(parameter_nodes(with_volume.host.scene)) == 1
    assert with_volume.host.widget("cropSizeSlider").value == 30
    with_volume.host.leave_module()
    with_volume.host.enter_module()
    assert len(parameter_nodes(with_volume.host.scene)) == 1
    assert with_volume.host.widget("mirroringCheckBox").checked
    assert with_volume.host.widget("volumeSelector").currentNode() is with_volume.workspace.volume.node


def test_mirrored_copies_are_asked_for(with_volume):
    with_volume.host.widget("mirroringCheckBox").checked = True
    with_volume.place(SEED)
    with_volume.answer()
    assert with_volume.workspace.lesion_store.entries["Tumour 1"].segmentation.result.request.options.mirroring
