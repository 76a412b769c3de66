"""Saving: what is written, and what is there again when the scene is opened."""

from __future__ import annotations

import json

import pytest
from CRLMSegmentationLib.core.volume import read_volume
from helpers.module_helpers import NAME, SIZE, track
from helpers.page_helpers import without_figures


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


def saved(panel, results):
    panel.host.widget("outputDirectoryButton").directory = str(results)
    panel.press("saveButton")
    (folder,) = results.iterdir()
    return folder


def test_scene_segmentations_and_report_are_written(with_result, results):
    folder = saved(with_result, results)
    assert {"scene.mrb", "segmentation.seg.nrrd", "report.json"} <= {path.name for path in folder.iterdir()}
    assert with_result.message == f"Saved to {folder}"
    assert with_result.host.widget("outputDirectoryButton").text == "results"
    mask = read_volume(folder / "segmentation.seg.nrrd").array
    assert (mask > 0).sum() / 1000 == pytest.approx(2.1, abs=0.05)
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert (report["lesion"], report["device"], report["volume_ml"]) == (
        "Tumour 1",
        "stub",
        pytest.approx(2.1, abs=0.05),
    )


def test_page_of_the_report_follows_while_the_panel_goes_on(with_result, results, monkeypatch):
    from CRLMSegmentationLib.slicer.workspace import save

    begin = save.ChildProcess
    monkeypatch.setattr(save, "ChildProcess", lambda command, folder: begin(without_figures(command), folder))
    folder = saved(with_result, results)
    assert not (folder / "report.html").exists()
    turn = with_result.widget._turn
    with_result.wait(lambda: (folder / "report.html").exists())
    with_result.wait(lambda: not with_result.workspace.children)
    assert with_result.widget._turn - turn > 5
    assert "Tumour 1" in (folder / "report.html").read_text(encoding="utf-8")
    assert not list(folder.glob(".*"))


def test_old_segmentation_is_saved_as_such(with_result, results):
    with_result.host.widget("autoCheckBox").checked = False
    with_result.seed().SetNthControlPointPositionWorld(0, 23.0, 20.0, 20.0)
    with_result.wait(lambda: "OUT OF DATE" in with_result.details())
    assert "out of date" in (saved(with_result, results) / "report.json").read_text()


def test_without_a_segmentation_nothing_is_saved(with_volume, results):
    with_volume.host.widget("autoCheckBox").checked = False
    with_volume.place()
    with_volume.redraw()
    with_volume.host.widget("outputDirectoryButton").directory = str(results)
    with_volume.press("saveButton")
    assert with_volume.message == "there is no segmentation to save; segment a lesion first"
    assert not results.exists()


def test_folder_that_cannot_be_written_is_told(with_result, tmp_path):
    (tmp_path / "file").write_text("")
    with_result.host.widget("outputDirectoryButton").directory = str(tmp_path / "file")
    with_result.press("saveButton")
    assert "cannot be made" in with_result.message


def test_saved_scene_opens_with_settings_and_segmentations_and_computes_nothing(with_result, results):
    panel = with_result
    panel.host.widget("mirroringCheckBox").checked = True
    panel.host.widget("opacitySlider").value = 0.4
    panel.host.widget("hostLineEdit").text = "tracker.local"
    panel.host.widget("toolSelector").setCurrentNode(track(panel.host.scene))
    panel.host.widget("lesionTable").item(0, NAME).setText("segment VIII")
    panel.redraw()
    size = panel.cell(SIZE)
    folder = saved(panel, results)
    panel.host.close_scene()
    assert panel.table() == []
    assert not panel.host.widget("mirroringCheckBox").checked
    panel.host.load_scene(folder / "scene.mrb")
    panel.turns(25)
    assert panel.host.widget("mirroringCheckBox").checked
    assert panel.host.widget("opacitySlider").value == pytest.approx(0.4)
    assert panel.host.widget("hostLineEdit").text == "tracker.local"
    assert panel.host.widget("cropSizeSlider").value == 30
    assert panel.host.widget("toolSelector").currentNode().GetName() == "StylusToReference"
    assert panel.workspace.volume.node.GetName() == "us"
    assert panel.cell(NAME) == "segment VIII"
    assert panel.cell(SIZE) == size
    assert panel.details() == "up to date"
    assert panel.engine.jobs == []
    assert len(panel.engines) == 2


def test_segmentations_of_a_played_case_are_there_again_without_a_chosen_volume(panel, tiny_case, tmp_path):
    panel.host.widget("sourceTabs").currentIndex = 1
    panel.host.widget("casePathLineEdit").currentPath = str(tiny_case)
    panel.press("playButton")
    panel.wait(lambda: panel.workspace.volume.node)
    panel.host.widget("cropSizeSlider").value = 30
    panel.place()
    panel.answer()
    panel.host.save_scene(tmp_path / "scene.mrb")
    panel.host.load_scene(tmp_path / "scene.mrb")
    panel.turns(25)
    assert panel.details() == "up to date"
    assert panel.cell(SIZE).startswith("2.1 ml")
    assert panel.engine.jobs == []
    assert panel.host.widget("casePathLineEdit").currentPath == str(tiny_case)


def test_seed_of_a_loaded_scene_is_not_segmented_by_itself(with_volume, tmp_path):
    with_volume.host.widget("autoCheckBox").checked = False
    with_volume.place()
    with_volume.turns(3)
    with_volume.host.widget("autoCheckBox").checked = True
    with_volume.host.save_scene(tmp_path / "scene.mrb")
    with_volume.host.load_scene(tmp_path / "scene.mrb")
    with_volume.turns(25)
    assert "not segmented" in with_volume.details()
    assert with_volume.engine.jobs == []
    with_volume.press("applyButton")
    with_volume.answer()
    assert "up to date" in with_volume.details()


def test_imported_seed_is_not_segmented_by_itself(with_result, tmp_path):
    with_result.place((22.0, 20.0, 20.0))
    with_result.host.save_scene(tmp_path / "scene.mrb")
    with_result.host.scene.RemoveNode(with_result.seed(1))
    with_result.redraw()
    jobs = len(with_result.engine.jobs)
    with_result.host.load_scene(tmp_path / "scene.mrb", clear=False)
    with_result.turns(25)
    assert len(with_result.engine.jobs) == jobs
