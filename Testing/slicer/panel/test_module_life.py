"""The panel entered and left, its scene closed, the module reloaded, unloaded and translated; on a stub engine."""

from __future__ import annotations

import sys

import pytest
from helpers.module_helpers import MODULE, Panel, stub_engine, track
from helpers.paths import TESTING
from slicer_host import HostError

KEYS = 5
"""F6 to F10."""


@pytest.fixture
def running(with_volume):
    with_volume.place()
    with_volume.wait(lambda: with_volume.engine.pending)
    return with_volume


def test_shortcuts_work_only_while_the_module_is_shown(panel):
    assert len(panel.widget.shortcuts.installed) == KEYS
    panel.host.leave_module()
    assert panel.widget.shortcuts.installed == []
    assert not panel.host.leaks().shortcuts
    panel.host.enter_module()
    panel.host.enter_module()
    assert len(panel.host.leaks().shortcuts) == KEYS


def test_inference_goes_on_when_the_module_is_left(running):
    running.host.leave_module()
    running.answer()
    assert running.segment() is not None
    running.host.enter_module()
    assert "up to date" in running.details()
    assert len(running.engines) == 1


def test_settings_changed_before_leaving_are_there_after_entering(panel):
    panel.host.widget("hostLineEdit").text = "tracker.local"
    panel.host.widget("autoCheckBox").checked = False
    panel.host.leave_module()
    panel.host.enter_module()
    assert panel.host.widget("hostLineEdit").text == "tracker.local"
    assert not panel.host.widget("autoCheckBox").checked


def test_closing_the_scene_during_inference_ends_everything(running):
    running.host.close_scene()
    assert running.workspace is None
    assert running.engine.closed
    assert not running.host.leaks().timers
    assert running.table() == []
    assert running.text("workerLabel") == "○ Segmentation is not running"
    assert running.text("linkLabel") == "○ Not connected"
    assert running.host.widget("cropSizeSlider").value == 80
    running.host.run_for(0.1)
    assert len(running.engines) == 1


def test_panel_works_after_the_scene_was_closed(running, tiny_volume):
    running.host.close_scene()
    running.show_volume(tiny_volume)
    running.place()
    running.answer()
    assert "up to date" in running.details()
    assert len(running.engines) == 2


def test_scene_closed_while_another_module_is_shown(running):
    running.host.leave_module()
    running.host.close_scene()
    assert running.workspace is None
    running.host.enter_module()
    running.redraw()
    assert running.text("workerLabel") == "● Ready to segment"
    assert running.table() == []


def test_scene_closed_while_a_case_is_played(panel, tiny_case):
    panel.host.widget("sourceTabs").currentIndex = 1
    panel.host.widget("casePathLineEdit").currentPath = str(tiny_case)
    panel.press("playButton")
    panel.host.close_scene()
    assert panel.widget.logic.recordedLink is None
    assert panel.text("playButton") == "Play the case"
    assert panel.host.widget("deviceList").count == 0
    assert panel.message == ""


def reload(panel):
    """What the button Reload does, with a stub for the engine that the new module will ask for."""
    panel.widget.onReload()
    panel.host.run_events()
    panel.host.check()
    panel.widget.logic.makeEngine = lambda _model: panel.engines.append(stub_engine()) or panel.engine


def test_module_reloaded_twice_leaves_nothing_and_works(running, tiny_volume):
    for _ in range(2):
        library = sys.modules["CRLMSegmentationLib"]
        reload(running)
        assert sys.modules.get("CRLMSegmentationLib") is not library
        assert running.engine.closed
        left = running.host.leaks()
        assert (left.timers, left.processes, left.shortcuts) == ((), (), ())
        assert len([entry for entry in left.observers if "onScene" in entry]) == 4
        running.press("applyButton")
        running.answer()
        assert "up to date" in running.details()
    assert len(running.engines) == 3
    running.host.widget("mirroringCheckBox").checked = True
    assert running.widget.parameters.parameters.mirroring
    running.host.unload_module()
    assert not running.host.leaks(), running.host.leaks()


def test_module_shown_after_a_reload_still_has_its_settings(panel, tiny_case):
    panel.host.widget("hostLineEdit").text = "127.0.0.2"
    panel.host.widget("portSpinBox").value = 9
    panel.host.widget("speedSpinBox").value = 3.0
    panel.host.widget("casePathLineEdit").currentPath = str(tiny_case)
    reload(panel)
    panel.press("connectButton")
    panel.wait(lambda: "127.0.0.2" in panel.text("linkLabel"))
    reload(panel)
    panel.host.widget("sourceTabs").currentIndex = 1
    panel.press("playButton")
    assert panel.message == ""
    assert panel.widget.logic.recordedLink.speed == 3.0


@pytest.mark.parametrize("leave", ["quit", "unload_module"])
@pytest.mark.parametrize("state", ["running", "with_result", "panel"])
def test_nothing_is_left_behind(request, state, leave):
    panel = request.getfixturevalue(state)
    panel.host.widget("toolSelector").setCurrentNode(track(panel.host.scene))
    getattr(panel.host, leave)()
    assert panel.engine.closed
    assert not panel.host.leaks(), panel.host.leaks()


def test_nothing_is_left_behind_after_closing_loading_and_reloading(with_result, tmp_path):
    with_result.host.save_scene(tmp_path / "scene.mrb")
    with_result.host.close_scene()
    with_result.host.load_scene(tmp_path / "scene.mrb")
    with_result.host.leave_module()
    with_result.host.enter_module()
    with_result.redraw()
    with_result.host.unload_module()
    assert not with_result.host.leaks(), with_result.host.leaks()


def test_every_node_removed_one_after_the_other_does_no_harm(with_result):
    scene = with_result.host.scene
    track(scene)
    names = ("ScalarVolume", "MarkupsFiducial", "Segmentation", "LinearTransform", "MarkupsROI", "ScriptedModule")
    for name in names:
        for node in list(map(scene.GetNthNodeByClass, range(9), [f"vtkMRML{name}Node"] * 9)):
            if node is not None:
                scene.RemoveNode(node)
        with_result.turns(12)
    assert with_result.table() == []
    assert with_result.message == ""


def test_model_that_is_missing_is_told_and_the_panel_stays(host, monkeypatch):
    from CRLMSegmentationLib.core.errors import CrlmError
    from CRLMSegmentationLib.slicer.workspace import models

    def fail():
        raise CrlmError("the model is missing; install the extension again")

    monkeypatch.setattr(models, "find_model", fail)
    opened = Panel(host)
    assert opened.message == "the model is missing; install the extension again"
    assert opened.text("modelLabel") == "○ No model loaded"
    opened.host.widget("preflightButton").collapsed = False
    for button in ("connectButton", "placeButton", "tipButton", "applyButton", "runPreflightButton"):
        opened.press("dismissButton")
        opened.press(button)
        assert opened.message.startswith("the model is missing"), button
    with pytest.raises(HostError, match="disabled"):
        opened.press("saveButton")
    host.unload_module()
    assert not host.leaks()


def test_texts_are_shown_in_the_users_language_and_one_without_its_place_is_not_taken(with_result):
    panel = with_result
    panel.host.application.translations.update(
        {
            "Segment": "Segmentieren",
            "Ready to segment": "Bereit",
            "Not connected": "Nicht verbunden",
            "up to date": "aktuell",
            "the newest volume": "das neueste Volumen",
            "no tool is chosen; choose the transform of a tracked tool": "Kein Instrument gewählt",
            "{model}: simulated data only": "{model}: nur simulierte Daten",
            "Saved to {folder}": "Gesichert",
        }
    )
    panel.turns(25)
    assert panel.text("applyButton") == "Segmentieren"
    assert panel.text("linkLabel") == "○ Nicht verbunden"
    assert panel.text("modelLabel").endswith(": nur simulierte Daten")
    assert "aktuell" in panel.details()
    panel.press("tipButton")
    assert panel.message == "Kein Instrument gewählt"
    panel.widget.messages.show(sys.modules["CRLMSegmentation"]._("Saved to {folder}"))
    assert panel.message == "Saved to {folder}"
    panel.host.application.translations.clear()
    panel.turns(25)
    assert panel.text("applyButton") == "Segment"
    panel.press("againButton")
    panel.answer()
    assert "up to date" in panel.details()


def test_opening_the_module_takes_little_time_and_imports_no_library():
    import subprocess

    code = f"""
import sys
from slicer_host import SlicerHost
with SlicerHost() as host:
    from slicer_host.modules import ScriptedModule
    from pathlib import Path
    before = set(sys.modules)
    ScriptedModule(Path({str(MODULE)!r})).instantiate()
    print(*sorted(set(sys.modules) - before))
"""
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=TESTING, capture_output=True, text=True, check=True, timeout=240
    )
    imported = run.stdout.split()
    assert not [name for name in imported if name.startswith(("CRLMSegmentationLib", "torch", "scipy"))]
    assert len(imported) < 60, imported
