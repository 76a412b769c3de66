"""A module's life in the host: opened, used, reloaded, left, quit; and what stays behind."""

from __future__ import annotations

import sys

import pytest
from helpers.sample_path import SAMPLE
from slicer_host import HostError, SlicerHost, leaks


def test_an_opened_module_is_set_up_and_bound(host, sample, add_volume):
    import slicer

    assert slicer.modules.sample.title == "Sample"
    assert slicer.modules.SampleWidget is sample
    assert (sample.ui.sizeSlider.value, sample.ui.sizeSlider.suffix, sample.ui.modeBox.currentText) == (
        40.0,
        " mm",
        "EXACT",
    )
    assert sample.ui.statusLabel.alignment == 132
    volume = add_volume("us")
    sample.ui.volumeSelector.setCurrentNode(volume)
    assert sample._parameterNode.volume is volume
    sample._parameterNode.follow = False
    assert (sample.ui.followBox.checked, sample.ui.hostEdit.enabled) == (False, False)


def test_a_new_scene_has_the_same_observers_each_time():
    """They are counted once, with the first scene of the process."""
    for _ in range(2):
        with SlicerHost() as host:
            assert leaks.observer_counts(host.scene) == host._before.observers


def test_a_pressed_button_works_with_timers_and_processes(host, sample):
    host.press("startButton")
    host.run_until(lambda: sample.logic.received == b"hello\n" and sample.ticks > 3)
    assert host.widget("statusLabel").text == "Running sample"
    assert host.widget("progressBar").value >= 3


def test_a_button_that_the_user_cannot_press_is_refused(host, sample):
    sample.ui.startButton.enabled = False
    with pytest.raises(HostError, match="disabled"):
        host.press("startButton")
    sample.ui.inputsButton.collapsed = True
    with pytest.raises(HostError, match="hidden"):
        host.press("followBox")


def test_an_error_is_displayed_and_raised(host, sample):
    with host.expecting_errors() as errors:
        host.press("failButton")
    assert str(errors[0]) == "on purpose"
    assert [(m.kind, m.text) for m in host.messages] == [("error", "It failed\n\non purpose")]


def test_closing_the_scene_tells_the_module(host, sample, add_volume):
    sample._parameterNode.volume = add_volume("us")
    sample._parameterNode.size = 50.0
    host.close_scene()
    assert sample._parameterNode.volume is None
    assert sample.ui.sizeSlider.value == 40.0


def test_a_saved_scene_reopens_with_the_settings(host, sample, tmp_path):
    sample.ui.sizeSlider.value = 55
    host.save_scene(tmp_path / "scene.mrb")
    host.close_scene()
    host.load_scene(tmp_path / "scene.mrb")
    sample.initializeParameterNode()
    assert sample.ui.sizeSlider.value == 55.0


def test_a_reloaded_module_is_a_new_one_that_was_not_entered(host, sample):
    host.press("startButton")
    again = host.reload_module()
    assert again is not sample
    assert sample.timer.active is False
    assert again.shortcut is None
    host.press("startButton")
    host.run_until(lambda: again.ticks > 1)
    assert sample.ticks <= 1


def test_choosing_another_module_leaves_this_one(host, sample):
    import slicer

    assert sample.shortcut is not None
    slicer.util.selectModule("SegmentEditor")
    assert sample.shortcut is None
    assert host.application.module_requests == ["Sample", "SegmentEditor"]
    host.enter_module()
    assert sample.shortcut is not None


def test_a_running_module_shows_in_the_leaks(host, sample):
    host.press("startButton")
    found = host.leaks()
    assert found.timers
    assert found.shortcuts
    assert any("onSceneStartClose" in observer for observer in found.observers)


@pytest.mark.parametrize("leave", ["quit", "unload_module"])
def test_nothing_is_left_behind(host, sample, leave):
    host.press("startButton")
    host.run_until(lambda: sample.ticks > 1)
    getattr(host, leave)()
    assert not host.leaks(), host.leaks()


def test_a_timer_left_running_is_found(host, sample):
    host.press("startButton")
    sample.cleanup = lambda: None
    with host.expecting_errors():  # the timer ticks on without its panel
        host.unload_module()
    assert host.leaks().timers
    sample.removeObservers()


def test_the_modules_own_test_runs(host, sample):
    import slicer

    slicer.selfTests["Sample"]()


def test_a_picture_is_taken(host, sample, tmp_path):
    host.use_dark_style()
    host.screenshot(tmp_path / "panel.png", scale=2.0)
    assert (tmp_path / "panel.png").stat().st_size > 10_000


def test_everything_is_as_before_afterwards():
    import slicer

    before = (set(vars(slicer)), set(vars(slicer.util)), dict(sys.modules), list(sys.path), sys.excepthook)
    with SlicerHost() as host:
        host.open_module(SAMPLE)
    assert set(vars(slicer)) == before[0]
    assert set(vars(slicer.util)) == before[1]
    assert {"qt", "ctk", "Sample", "slicer.i18n"}.isdisjoint(sys.modules)
    assert {n for n in before[2] if sys.modules.get(n) is not before[2][n]} == set()
    assert (sys.path, sys.excepthook) == (before[3], before[4])


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("mrmlSceneChanged(vtkMRMLScene*)", "sceneChanged()", "connects"),
        ("qMRMLNodeComboBox", "qMRMLNavigationView", "no stand-in"),
    ],
)
def test_a_ui_file_that_slicer_would_not_take_is_refused(host, tmp_path, old, new, told):
    import slicer

    text = (SAMPLE.parent / "Resources/UI/Sample.ui").read_text(encoding="utf-8").replace(old, new)
    (tmp_path / "bad.ui").write_text(text, encoding="utf-8")
    with pytest.raises((HostError, NotImplementedError), match=told):
        slicer.util.loadUI(str(tmp_path / "bad.ui"))
