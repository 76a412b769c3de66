"""The section Model: choosing, importing from a file, what old results say; real packages and import processes.

Exports, which need torch, are imported in this process; in one of its own they are in `test_model_import`.
"""

from __future__ import annotations

import shutil
import sys

import pytest
from CRLMSegmentationLib.segmentation.models.package import load_model_package
from helpers.model_helpers import damage, import_here, make_export, make_package, shipped_key, shipped_model
from helpers.module_helpers import SIZE, Panel, card, check_everything, parameter_nodes, stub_engine

PATIENCE_S = 90.0
SHIPPED, TINY = shipped_key(), "tiny@1"
SHORT_HASH = shipped_model().sha256[:8]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where imported models lie: one that can be chosen beside the shipped one."""
    path = tmp_path / "models"
    make_package(path)
    monkeypatch.setenv("CRLM_MODELS", str(path))
    return path


@pytest.fixture
def panel(folder, panel) -> Panel:
    panel.host.widget("modelButton").collapsed = False
    panel.redraw()
    return panel


def settle(panel) -> None:
    """Let the panel show what has come; without a workspace it does not tick."""
    if panel.workspace is None:
        panel.host.run_for(0.05)
    else:
        panel.redraw()


def entries(panel) -> dict[str, bool]:
    """Key of each entry of the combo box, and whether it can be chosen."""
    box = panel.host.widget("modelComboBox")._real
    return {box.itemData(index): box.model().item(index).isEnabled() for index in range(box.count())}


def chosen(panel) -> str:
    return panel.host.widget("modelComboBox").currentData


def choose(panel, key: str) -> None:
    """What a user does with the combo box."""
    box = panel.host.widget("modelComboBox")
    index = box.findData(key)
    assert index >= 0, f"{key} is not offered"
    box.setCurrentIndex(index)
    box._real.activated.emit(index)
    settle(panel)


def shown(panel, name: str) -> bool:
    widget = panel.host.widget(name)._real
    return widget.isVisibleTo(panel.host.panel)


def import_from(panel, path, button: str = "importFolderButton") -> None:
    panel.host.dialog_answers.append(str(path))
    panel.press(button)


@pytest.fixture
def hold(monkeypatch, tmp_path):
    """A file; while it is there, processes that are started wait at their very beginning."""
    file, customization = tmp_path / "hold", tmp_path / "customization"
    customization.mkdir()
    wait = "import os, time\nwhile os.path.exists({!r}):\n    time.sleep(0.01)\n"
    (customization / "sitecustomize.py").write_text(wait.format(str(file)))
    monkeypatch.setenv("PYTHONPATH", str(customization))
    file.touch()
    yield file
    file.unlink(missing_ok=True)


def wait_for_import(panel) -> None:
    panel.wait(lambda: not panel.widget.logic.models.is_importing, PATIENCE_S)
    settle(panel)


# ---- choosing


def test_installed_models_are_offered_and_the_one_in_use_is_described(panel):
    assert entries(panel) == {SHIPPED: True, TINY: True}
    assert chosen(panel) == SHIPPED
    text = panel.text("modelInfoLabel")
    for words in (
        f"{SHIPPED.replace('@', ' ')}, {SHORT_HASH}",
        "simulated data only",
        "Intended use: Shows",
        "cube of 80 mm",
    ):
        assert words in text
    assert shown(panel, "cropSizeSlider")
    assert not shown(panel, "regionLabel")
    assert not shown(panel, "importFrame")


def test_chosen_model_answers_while_volume_seed_and_segmentation_stay(with_result, folder):
    panel = with_result
    before = panel.engine
    size = panel.cell(SIZE)
    choose(panel, TINY)
    assert before.closed
    assert len(panel.engines) == 2
    assert panel.workspace.session.model.name == "tiny"
    assert panel.text("modelLabel").startswith("▲ tiny ")
    assert panel.host.widget("cropSizeSlider").value == 50
    assert panel.workspace.volume.node.GetName() == "us"
    assert panel.cell(SIZE) == size
    assert panel.details().startswith(f"made with another model: crlm-crop-phantom {SHORT_HASH}")
    assert panel.engine.jobs == []
    panel.press("againButton")
    panel.answer()
    assert panel.details().startswith("up to date")
    assert panel.segment() is not None
    assert panel.message == ""


def test_strip_says_that_the_network_loads(panel):
    from CRLMSegmentationLib.segmentation.engine.engine import EngineState

    def loading(_model):
        panel.engines.append(stub_engine())
        panel.engine.start = lambda: setattr(panel.engine, "state", EngineState.STARTING)
        return panel.engine

    panel.widget.logic.makeEngine = loading
    choose(panel, TINY)
    assert panel.text("workerLabel") == "▲ Loading the model"
    assert panel.text("deviceLabel") == "○ Device not known yet"


def test_change_in_mid_segmentation_cancels_it_and_says_so(with_volume):
    panel = with_volume
    panel.place()
    panel.wait(lambda: panel.engine.pending)
    choose(panel, TINY)
    assert panel.message.startswith("Tumour 1: cancelled, because another model was chosen")
    assert panel.text("applyButton") == "Segment"
    assert panel.details() == "not segmented"
    panel.turns(30)
    assert panel.engine.jobs == [], "another network is not asked by itself"
    panel.press("applyButton")
    panel.answer()
    assert panel.details().startswith("up to date")


def test_model_that_sees_the_whole_volume_hides_the_crop(with_result, folder):
    make_package(folder, "wide", region="volume")
    panel = with_result
    panel.host.leave_module()
    panel.host.enter_module()
    choose(panel, "wide@1")
    assert not shown(panel, "cropSizeSlider")
    assert not shown(panel, "cropSizeLabel")
    assert "the whole volume" in panel.text("regionLabel")
    assert "Looks at the whole volume" in panel.text("modelInfoLabel")
    panel.press("againButton")
    panel.answer()
    assert panel.engine.jobs[0].request.options.crop_size_mm is None
    choose(panel, TINY)
    assert shown(panel, "cropSizeSlider")
    assert panel.host.widget("cropSizeSlider").value == 50


def test_damaged_model_is_refused_with_its_reason_and_listed_as_unusable(panel, folder):
    from CRLMSegmentationLib.segmentation.models.package import read_model_package

    damage(read_model_package(folder / "tiny-1"))
    choose(panel, TINY)
    assert "damaged or was changed" in panel.message
    assert entries(panel) == {SHIPPED: True, TINY: False}
    assert chosen(panel) == SHIPPED
    assert panel.workspace.session.model.name == "crlm-crop-phantom"
    assert "damaged or was changed" in panel.text("modelInfoLabel")
    assert len(panel.engines) == 1


def test_choice_is_kept_by_the_application_and_recorded_in_the_scene(panel, tiny_volume):
    choose(panel, TINY)
    (node,) = parameter_nodes(panel.host.scene)
    assert node.GetParameter("model") == TINY
    panel.host.close_scene()
    assert chosen(panel) == TINY
    panel.show_volume(tiny_volume)
    panel.redraw()
    assert panel.workspace.session.model.name == "tiny"
    assert panel.host.widget("cropSizeSlider").value == 50
    assert panel.widget.parameters.parameters.model == TINY


def test_choice_survives_a_reload(panel):
    choose(panel, TINY)
    panel.widget.onReload()
    panel.host.run_events()
    panel.host.check()
    panel.widget.logic.makeEngine = lambda _model: panel.engines.append(stub_engine()) or panel.engine
    panel.press("placeButton")
    panel.redraw()
    assert panel.workspace.session.model.name == "tiny"
    assert chosen(panel) == TINY


def test_vanished_model_falls_back_to_the_default_and_says_so(panel, folder):
    choose(panel, TINY)
    panel.host.close_scene()
    shutil.rmtree(folder / "tiny-1")
    panel.press("placeButton")
    panel.redraw()
    assert panel.message.startswith("The model tiny@1 cannot be used")
    assert f"{SHIPPED} is used instead" in panel.message
    assert panel.text("modelLabel").startswith("▲ crlm-crop-phantom")
    panel.host.leave_module()
    panel.host.enter_module()
    assert entries(panel) == {SHIPPED: True}


def test_saved_crop_size_is_that_of_the_model_with_which_it_was_set(with_result, tmp_path):
    panel = with_result
    panel.host.save_scene(tmp_path / "scene.mrb")
    panel.host.load_scene(tmp_path / "scene.mrb")
    panel.redraw()
    assert panel.host.widget("cropSizeSlider").value == 30
    panel.host.close_scene()
    choose(panel, TINY)
    panel.host.load_scene(tmp_path / "scene.mrb")
    panel.turns(25)
    assert panel.host.widget("cropSizeSlider").value == 50
    assert f"made with another model: crlm-crop-phantom {SHORT_HASH}" in panel.details()


def test_model_chosen_while_the_scene_is_closed_is_loaded(panel):
    panel.host.close_scene()
    assert panel.workspace is None
    choose(panel, TINY)
    assert panel.workspace.session.model.name == "tiny"
    assert len(panel.engines) == 2


def test_model_can_be_chosen_where_the_default_is_gone(panel, folder):
    from CRLMSegmentationLib.segmentation.models.registry import set_default

    make_package(folder, "usual")
    set_default("usual@1")
    shutil.rmtree(folder / "usual-1")
    panel.host.close_scene()
    panel.host.leave_module()
    panel.host.enter_module()
    settle(panel)
    assert "the default model usual@1 is not installed any more" in panel.message
    assert panel.workspace is None
    assert "the default model usual@1 is not installed any more" in panel.text("modelInfoLabel")
    panel.press("dismissButton")
    choose(panel, TINY)
    assert panel.workspace.session.model.name == "tiny"
    assert panel.message == ""


def test_card_before_the_incision_is_that_of_the_model_in_use(with_volume):
    panel = with_volume
    check_everything(panel)
    panel.wait(lambda: panel.engine.pending)
    choose(panel, TINY)
    assert panel.table("preflightTable") == []
    check_everything(panel)
    panel.wait(lambda: panel.engine.pending)
    panel.engine.finish()
    panel.wait(lambda: card(panel)["Self-check case"][0] != "pending")
    level, text = card(panel)["Self-check case"]
    assert level == "amber"
    assert "known for the shipped model only" in text


def test_same_weights_under_another_name_are_another_choice_and_make_no_other_segmentations(with_result, folder):
    from CRLMSegmentationLib.segmentation.models.package import read_model_package

    shutil.copytree(with_result.workspace.session.model.folder, folder / "copy")
    manifest = folder / "copy" / "model.json"
    manifest.write_text(manifest.read_text().replace('"crlm-crop-phantom"', '"copy"'))
    key = f"copy@{read_model_package(folder / 'copy').version}"
    with_result.host.leave_module()
    with_result.host.enter_module()
    choose(with_result, key)
    assert chosen(with_result) == key
    assert with_result.text("modelLabel").startswith(f"▲ copy {SHORT_HASH}")
    assert with_result.details().startswith("up to date")


def test_self_test_is_done_with_the_shipped_model_whatever_is_chosen(panel):
    from CRLMSegmentationLib.slicer.self_test import dice_of_sample

    choose(panel, TINY)
    used, engine = [], stub_engine()
    logic = sys.modules["CRLMSegmentation"].CRLMSegmentationLogic(lambda model: used.append(model.name) or engine)
    dice = dice_of_sample(logic, lambda: engine.finish() if engine.pending else None)
    assert used == ["crlm-crop-phantom"]
    assert 0 < dice <= 1
    assert logic.workspace is None
    assert engine.closed
    assert panel.widget.logic.models.wanted == TINY


# ---- importing


@pytest.fixture
def new(tmp_path):
    """A package that is not installed."""
    return make_package(tmp_path / "elsewhere", "new")


def test_imported_package_is_in_the_list_and_chosen(with_result, new):
    from CRLMSegmentationLib.segmentation.models.archive import zip_model_package

    zip_model_package(new, new.folder.with_suffix(".zip"))
    import_from(with_result, new.folder.with_suffix(".zip"), "importFileButton")
    assert with_result.text("importLabel").startswith("Importing new-1.zip")
    with pytest.raises(Exception, match="disabled"):
        with_result.press("importFileButton")
    wait_for_import(with_result)
    assert entries(with_result) == {SHIPPED: True, TINY: True, "new@1": True}
    assert chosen(with_result) == "new@1"
    assert with_result.message == "new@1 is installed."
    assert with_result.workspace.session.model.name == "new"
    assert not shown(with_result, "importFrame")
    assert "made with another model" in with_result.details()


def test_chooser_that_is_closed_without_a_file_does_nothing(panel):
    for button in ("importFileButton", "importFolderButton"):
        import_from(panel, "", button)
    assert not panel.widget.logic.models.is_importing
    assert panel.message == ""


def test_export_with_a_second_channel_is_asked_about_and_imported(panel, tmp_path, folder, monkeypatch):
    import_here(monkeypatch)
    shutil.rmtree(folder / "tiny-1")  # the export has the same name
    import_from(panel, make_export(tmp_path / "results"))
    assert not shown(panel, "channelsCheckBox")
    wait_for_import(panel)
    assert shown(panel, "channelsCheckBox")
    assert "two channels" in panel.text("importLabel")
    with pytest.raises(Exception, match="disabled"):
        panel.press("importAgainButton")
    panel.host.widget("channelsCheckBox").checked = True
    panel.press("importAgainButton")
    wait_for_import(panel)
    assert chosen(panel) == "Tiny@1"
    assert "at the map of the seed" in panel.text("modelInfoLabel")
    assert "nobody has stated" in panel.text("modelInfoLabel")
    assert not shown(panel, "importFrame")


def test_export_that_runs_code_is_refused_and_the_model_stays(panel, tmp_path, monkeypatch):
    import_here(monkeypatch)
    mark = tmp_path / "code_ran"
    import_from(panel, make_export(tmp_path / "results", mark))
    wait_for_import(panel)
    assert "not opened" in panel.message
    assert not mark.exists()
    assert chosen(panel) == SHIPPED
    assert not shown(panel, "importFrame")
    assert panel.host.messages == [], "no dialog"


def test_file_that_is_no_model_is_told_with_what_to_do(panel, tmp_path):
    (tmp_path / "scan.zip").write_bytes(b"no zip")
    import_from(panel, tmp_path / "scan.zip", "importFileButton")
    wait_for_import(panel)
    assert panel.message.startswith("scan.zip is no zip file, damaged or cut off")
    assert panel.message.endswith("copy it again")


def test_question_can_be_left_unanswered_also_while_the_scene_is_closed(panel, tmp_path, monkeypatch):
    import_here(monkeypatch)
    import_from(panel, make_export(tmp_path / "results"))
    panel.host.close_scene()
    wait_for_import(panel)
    assert not panel.host.leaks().timers
    panel.host.widget("channelsCheckBox").checked = True
    assert panel.host.widget("importAgainButton").enabled
    panel.press("cancelImportButton")
    assert not shown(panel, "importFrame")
    assert panel.message == ""


def test_cancelled_import_installs_nothing_and_another_can_begin(panel, new, folder, hold):
    import_from(panel, new.folder)
    panel.press("cancelImportButton")
    panel.redraw()
    assert not shown(panel, "importFrame")
    assert [path.name for path in folder.iterdir()] == ["tiny-1"]
    assert not panel.host.leaks().processes
    hold.unlink()
    import_from(panel, new.folder)
    wait_for_import(panel)
    assert chosen(panel) == "new@1"


def test_import_goes_on_while_the_scene_is_closed_and_its_model_is_used_next(panel, new, tiny_volume, hold):
    import_from(panel, new.folder)
    panel.host.close_scene()
    assert panel.workspace is None
    assert panel.host.leaks().timers
    hold.unlink()
    wait_for_import(panel)
    assert panel.workspace is None
    assert not panel.host.leaks().timers
    assert chosen(panel) == "new@1"
    panel.show_volume(tiny_volume)
    panel.redraw()
    assert panel.workspace.session.model.name == "new"


@pytest.mark.parametrize("leave", ["quit", "unload_module"])
def test_nothing_is_left_behind_with_an_import_under_way(panel, new, folder, leave):
    """The import of a package takes a fraction of a second: it may have ended before, and is whole then."""
    import_from(panel, new.folder)
    getattr(panel.host, leave)()
    assert not panel.host.leaks(), panel.host.leaks()
    others = [path for path in folder.iterdir() if path.name != "tiny-1"]
    assert [path.name for path in others] in ([], ["new-1"])
    for path in others:
        load_model_package(path)


def test_reload_ends_the_import_under_way(panel, new, hold):
    import_from(panel, new.folder)
    panel.widget.onReload()
    panel.host.run_events()
    panel.host.check()
    assert not panel.host.leaks().processes
    assert not panel.widget.logic.models.is_importing
    panel.widget.logic.makeEngine = lambda _model: panel.engines.append(stub_engine()) or panel.engine
    panel.host.widget("modelButton").collapsed = False
    hold.unlink()
    import_from(panel, new.folder)
    wait_for_import(panel)
    assert chosen(panel) == "new@1"


def test_precision_is_chosen_for_the_computer_and_starts_the_worker_again(panel):
    panel.press("placeButton")
    panel.redraw()
    box = panel.host.widget("fullPrecisionCheckBox")
    assert not box.checked
    box.checked = True
    panel.redraw()
    assert [engine.precision for engine in panel.engines] == ["auto", "float32"]
    assert panel.engines[0].closed
    panel.widget.onReload()
    panel.host.run_events()
    panel.host.check()
    assert panel.host.widget("fullPrecisionCheckBox").checked
