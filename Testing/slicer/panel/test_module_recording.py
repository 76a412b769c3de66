"""The session is recorded by itself, into a folder of its own, and a report can be had at any time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.module_helpers import BY_THEMSELVES, PATIENCE_S, Panel
from helpers.page_helpers import without_figures
from helpers.plus_server import PlusServer


@pytest.fixture
def recorded(with_volume, tmp_path) -> Panel:
    """A session that is being recorded into tmp_path."""
    return record(with_volume, tmp_path)


def record(panel, folder):
    panel.host.widget("outputDirectoryButton").directory = str(folder)
    panel.host.widget("recordCheckBox").checked = True
    panel.redraw()
    return panel


def sessions(folder):
    return sorted(path for path in folder.iterdir() if path.name.startswith("crlm-session-") and path.is_dir())


def log(panel):
    return "\n".join(panel.workspace.log)


def test_what_a_surgeon_has_to_want_is_wanted_unless_it_is_unticked(host, monkeypatch):
    from helpers import module_helpers

    monkeypatch.setattr(module_helpers, "BY_THEMSELVES", ())
    Panel(host)
    assert all(host.widget(name).checked for name in BY_THEMSELVES)
    host.unload_module()


def test_recording_begins_with_the_first_volume(panel, tmp_path, tiny_volume):
    record(panel, tmp_path)
    assert panel.text("recordingLabel") == "○ Begins with the first volume or link"
    assert sessions(tmp_path) == []
    panel.show_volume(tiny_volume)
    panel.wait(lambda: sessions(tmp_path))
    panel.redraw()
    assert panel.text("recordingLabel").startswith(f"● {sessions(tmp_path)[0].name}: ")
    panel.wait(lambda: panel.text("recordingLabel").endswith("0.1 MB"))
    assert panel.message == ""


def test_session_becomes_a_case_when_it_is_no_longer_recorded(recorded, tmp_path):
    recorded.place()
    recorded.answer()
    recorded.host.widget("recordCheckBox").checked = False
    recorded.wait(lambda: "recorded into" in log(recorded), PATIENCE_S)
    recorded.redraw()
    assert recorded.text("recordingLabel") == "○ Not recorded"
    case = json.loads((sessions(tmp_path)[0] / "case.json").read_text("utf-8"))
    assert [lesion["name"] for lesion in case["lesions"]] == ["Tumour 1"]


def test_recording_that_is_wanted_again_has_a_folder_of_its_own(recorded, tmp_path):
    for on in (False, True):
        recorded.host.widget("recordCheckBox").checked = on
        recorded.redraw()
    assert len(sessions(tmp_path)) == 2
    assert "Not recorded" not in recorded.text("recordingLabel")


@pytest.mark.parametrize("how", ["close_scene", "unload_module", "quit"])
def test_recording_ends_with_the_room(recorded, tmp_path, how):
    recorded.place()
    recorded.answer()
    getattr(recorded.host, how)()
    assert (sessions(tmp_path)[0] / "case.json").is_file()
    if how == "close_scene":
        recorded.host.unload_module()
    assert not recorded.host.leaks(), recorded.host.leaks()


def test_what_comes_over_the_network_is_recorded_as_it_came(panel, tmp_path, tiny_volume):
    record(panel, tmp_path)
    with PlusServer(tiny_volume) as server:
        panel.host.widget("portSpinBox").value = server.port
        panel.press("connectButton")
        panel.wait(lambda: panel.workspace.devices.get("ProbeToTracker"))
        panel.turns(30)
        panel.host.widget("recordCheckBox").checked = False
        panel.wait(lambda: "recorded into" in log(panel), PATIENCE_S)
        panel.press("connectButton")
    case = json.loads((sessions(tmp_path)[0] / "case.json").read_text("utf-8"))
    assert case["recording"]
    assert any(path.stat().st_size > 1000 for path in sessions(tmp_path)[0].glob("*.igtl*"))


def test_report_on_a_simulated_case_will_say_so(panel, tmp_path, tiny_case):
    (tmp_path / "sessions").mkdir()
    record(panel, tmp_path / "sessions")
    panel.host.widget("sourceTabs").currentIndex = 1
    panel.host.widget("casePathLineEdit").currentPath = str(tiny_case)
    panel.press("playButton")
    panel.wait(lambda: panel.workspace.volume.node)
    panel.redraw()
    events = (sessions(tmp_path / "sessions")[0] / "events.jsonl").read_text("utf-8")
    assert any(json.loads(line).get("simulated") for line in events.splitlines())


def test_recording_that_cannot_be_written_is_told_in_red_and_all_else_goes_on(with_volume, tmp_path):
    blocked = tmp_path / "a file"
    blocked.write_text("no folder")
    record(with_volume, blocked)
    assert "#ff7b72" in with_volume.host.widget("recordingLabel").text
    with_volume.place()
    with_volume.answer()
    assert "up to date" in with_volume.details()
    told = len(with_volume.workspace.log)
    with_volume.turns(30)
    assert len(with_volume.workspace.log) == told, "it is not tried again at each turn"


def test_full_budget_is_told_in_amber(recorded, monkeypatch):
    recording = recorded.widget.logic.recording.recorder
    monkeypatch.setattr(type(recording), "notice", "live images are not recorded any more")
    recorded.redraw()
    assert recorded.text("recordingLabel").endswith("MB; live images are not recorded any more")
    assert "#e69f00" in recorded.host.widget("recordingLabel").text


def test_budget_is_taken_from_the_panel(with_volume, tmp_path, monkeypatch):
    from CRLMSegmentationLib.slicer.workspace.workspace_recorder import WorkspaceRecorder

    budgets, begin = [], WorkspaceRecorder.begin
    monkeypatch.setattr(WorkspaceRecorder, "begin", lambda self, folder, n: budgets.append(n) or begin(self, folder, n))
    with_volume.host.widget("budgetSpinBox").value = 7
    record(with_volume, tmp_path)
    assert budgets == [7e9]
    assert not with_volume.host.widget("budgetSpinBox").enabled


def test_report_without_a_recording_says_what_to_do(with_volume):
    with_volume.press("sessionReportButton")
    assert with_volume.message.startswith("nothing has been recorded yet")


def test_report_is_written_while_the_session_goes_on(recorded, tmp_path, monkeypatch):
    from CRLMSegmentationLib.slicer.workspace import workspace_recorder

    command = workspace_recorder.report_command
    monkeypatch.setattr(workspace_recorder, "report_command", lambda *arguments: without_figures(command(*arguments)))
    recorded.place()
    recorded.answer()
    recorded.press("sessionReportButton")
    recorded.redraw()
    assert "The report is being written" in recorded.text("recordingLabel")
    recorded.press("sessionReportButton")
    assert "already" in recorded.message
    recorded.press("dismissButton")
    page = recorded.widget.logic.recording.report_page
    recorded.wait(lambda: "Report:" in recorded.text("recordingLabel"), PATIENCE_S)
    assert page.is_file()
    assert page.as_uri() in recorded.host.widget("recordingLabel").text
    assert "Tumour 1" in page.read_text("utf-8")
    assert recorded.message == ""
    assert len(sessions(tmp_path)) == 1


def test_report_that_fails_is_told(recorded, monkeypatch):
    from CRLMSegmentationLib.slicer.workspace import workspace_recorder

    command = [recorded.workspace.python, "-c", "raise SystemExit('no space left')"]
    monkeypatch.setattr(workspace_recorder, "report_command", lambda *_: command)
    recorded.press("sessionReportButton")
    recorded.wait(lambda: "The report was not written" in recorded.text("recordingLabel"), PATIENCE_S)
    assert "no space left" in log(recorded)
    assert Path(recorded.widget.logic.recording.report_page).exists() is False
