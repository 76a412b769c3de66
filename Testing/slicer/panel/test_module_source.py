"""Step 1 of the panel: recorded cases and volumes of the scene."""

from __future__ import annotations

import pytest
from CRLMSegmentationLib.core.volume import write_volume
from CRLMSegmentationLib.recording.recorded_link import RecordedLink
from helpers.module_helpers import SEED, SIZE, overwrite_voxels


@pytest.fixture
def case(panel, tiny_case):
    """The panel with the path of the tiny case, 1 s long, the volume at its end."""
    panel.host.widget("sourceTabs").currentIndex = 1
    panel.host.widget("casePathLineEdit").currentPath = str(tiny_case)
    return panel


def test_opened_panel_says_what_is_there_and_what_is_not(panel):
    panel.redraw()
    assert panel.text("linkLabel") == "○ Not connected"
    assert panel.text("deviceLabel") == "● stub"
    assert panel.text("modelLabel").endswith(": simulated data only")
    assert panel.text("workerLabel") == "● Ready to segment"
    assert panel.message == ""
    assert panel.text("applyButton") == "Segment"


def test_recorded_case_is_played_into_the_scene(case):
    case.press("playButton")
    case.wait(lambda: "Recorded case: " in case.text("linkLabel"))
    case.wait(lambda: case.workspace.volume.node)
    assert case.workspace.volume.node.GetName() == "recvol_Reference"
    case.wait(lambda: case.text("playButton") == "Play the case")
    case.redraw()
    assert "paused" in case.text("linkLabel")
    devices = [case.host.widget("deviceList").item(i).text() for i in range(case.host.widget("deviceList").count)]
    assert devices == ["ProbeToReference  (transform)", "recvol_Reference  (volume)"]


def test_played_volume_is_shown_in_the_slice_views(case):
    import slicer

    case.press("playButton")
    case.wait(lambda: case.workspace.volume.node)
    case.turns(2)
    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    assert {c.GetBackgroundVolumeID() for c in composites} == {case.workspace.volume.node.GetID()}


def test_recording_is_paused_and_goes_on_where_it_was(case):
    case.host.widget("speedSpinBox").value = 0.1
    case.press("playButton")
    case.wait(lambda: case.text("playButton") == "Pause the case")
    case.press("playButton")
    stands_at_s = case.widget.logic.recordedLink.position_s
    case.redraw()
    assert case.widget.logic.recordedLink.position_s == stands_at_s
    assert case.text("playButton") == "Play the case"
    case.press("playButton")
    case.wait(lambda: case.widget.logic.recordedLink.position_s > stands_at_s)


def test_recording_is_sought_by_the_user_only(case):
    case.host.widget("speedSpinBox").value = 0.1
    case.press("playButton")
    case.press("playButton")
    case.redraw()
    assert case.widget.logic.recordedLink.position_s < 0.6
    case.host.widget("positionSlider").value = 0.6
    assert case.widget.logic.recordedLink.position_s == pytest.approx(0.6)
    case.redraw()
    assert case.host.widget("positionSlider").value == pytest.approx(0.6)


def test_shorter_recording_after_a_longer_one_begins_at_its_beginning(case, tmp_path, tiny_volume, monkeypatch):
    case.press("playButton")
    case.wait(lambda: case.text("playButton") == "Play the case")
    case.redraw()
    assert case.host.widget("positionSlider").value == pytest.approx(
        case.widget.logic.recordedLink.duration_s, abs=0.06
    )
    short = tmp_path / "short.nrrd"
    write_volume(tiny_volume, short)
    case.host.widget("casePathLineEdit").currentPath = str(short)
    sought = []
    monkeypatch.setattr(RecordedLink, "seek", lambda _recording, position_s: sought.append(position_s))
    case.press("playButton")
    case.wait(lambda: case.workspace.devices)
    case.redraw()
    assert sought == []


def test_speed_is_changed_while_it_plays(case):
    case.host.widget("speedSpinBox").value = 0.1
    case.press("playButton")
    assert case.widget.logic.recordedLink.speed == pytest.approx(0.1)
    case.host.widget("speedSpinBox").value = 5
    assert case.widget.logic.recordedLink.speed == 5
    case.wait(lambda: case.text("playButton") == "Play the case")


def test_wrong_path_is_told_and_breaks_nothing(case, tiny_case, tmp_path):
    case.host.widget("casePathLineEdit").currentPath = str(tmp_path / "nowhere")
    case.press("playButton")
    assert "nowhere" in case.message
    assert case.widget.logic.recordedLink is None
    case.press("dismissButton")
    assert case.message == ""
    case.host.widget("casePathLineEdit").currentPath = str(tiny_case)
    case.press("playButton")
    case.wait(lambda: case.workspace.volume.node)
    assert case.message == ""


def test_message_is_shown_as_it_is_written_and_never_as_markup(case, qt):
    case.host.widget("casePathLineEdit").currentPath = "it's <b>nowhere</b> & gone"
    case.press("playButton")
    assert "it's <b>nowhere" in case.message
    assert case.host.widget("messageLabel").textFormat == qt.Qt.PlainText


def test_wrong_path_leaves_the_case_that_plays(case, tmp_path):
    case.host.widget("speedSpinBox").value = 0.1
    case.press("playButton")
    playing = case.widget.logic.recordedLink
    case.host.widget("casePathLineEdit").currentPath = str(tmp_path)
    case.press("playButton")
    assert case.message
    assert case.widget.logic.recordedLink is playing


def test_log_is_copied(case):
    case.host.widget("casePathLineEdit").currentPath = "nowhere"
    case.press("playButton")
    case.press("copyLogButton")
    assert "nowhere" in case.host.qt_application.clipboard().text()


def test_volume_of_the_scene_is_segmented(with_volume):
    assert with_volume.workspace.volume.node.GetName() == "us"
    with_volume.place(SEED)
    with_volume.answer()
    assert with_volume.cell(SIZE).startswith("2.1 ml")
    assert (
        with_volume.workspace.lesion_store.entries["Tumour 1"].segmentation.result.volume.device == "recvol_Reference"
    )


def test_volume_that_cannot_be_segmented_is_told(panel):
    empty = panel.host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    panel.host.widget("volumeSelector").setCurrentNode(empty)
    assert panel.message == "'empty' has no voxels; choose another volume"
    assert panel.workspace.volume.node is None


def test_volume_chosen_after_the_scene_was_closed_is_taken(with_volume, tiny_volume):
    with_volume.host.close_scene()
    assert with_volume.workspace is None
    with_volume.show_volume(tiny_volume, "second")
    with_volume.redraw()
    assert with_volume.workspace.volume.node.GetName() == "second"


def test_error_of_every_turn_is_told_once(with_volume, caplog):
    def fail():
        raise ValueError("bad turn")

    with_volume.widget.logic.tick = fail
    with_volume.turns(25)
    assert with_volume.message == "bad turn"
    assert sum("bad turn" in record.getMessage() for record in caplog.records) == 1
    with_volume.press("dismissButton")
    with_volume.turns(25)
    assert with_volume.message == ""


def test_video_in_the_scene_does_not_stop_the_panel(with_volume):
    node = with_volume.workspace.volume.node
    for value in range(5):
        overwrite_voxels(node, value)
        with_volume.turns(2)
    assert with_volume.message == ""
