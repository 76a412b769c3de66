"""Models chosen, changed and imported around a workspace: stub engines, real packages, real import processes.

Exports, which need torch, are imported in this process; in one of its own they are in `test_model_import`.
"""

import json
import sys
from copy import copy

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import ModelError
from CRLMSegmentationLib.segmentation.models.importer import import_model
from CRLMSegmentationLib.segmentation.models.package import model_or_default
from CRLMSegmentationLib.segmentation.session import Session
from CRLMSegmentationLib.slicer.panel.lesion_texts import badge_of, details_of
from CRLMSegmentationLib.slicer.panel.model_texts import import_text, model_text, model_view
from CRLMSegmentationLib.slicer.panel.texts import status_texts
from CRLMSegmentationLib.slicer.scene.crop_box import crop_box
from CRLMSegmentationLib.slicer.state import State
from CRLMSegmentationLib.slicer.workspace import save as saving
from CRLMSegmentationLib.slicer.workspace.lesion import LesionState
from CRLMSegmentationLib.slicer.workspace.models import Models, beginning_of
from CRLMSegmentationLib.slicer.workspace.preflight import Preflight
from CRLMSegmentationLib.slicer.workspace.save import PAGE_INPUT, REPORT_JSON, save
from CRLMSegmentationLib.slicer.workspace.workspace import Workspace
from helpers.model_helpers import damage, import_here, make_export, make_package, shipped_key, wait_for_import
from helpers.stub_engine import StubEngine
from helpers.workspace_helpers import SEED, StubLink, answer


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where imported models lie: none so far."""
    path = tmp_path / "models"
    path.mkdir()
    monkeypatch.setenv("CRLM_MODELS", str(path))
    return path


@pytest.fixture
def other(model):
    """Another model than that of the workspace."""
    made = copy(model)
    made.name, made.sha256 = "other", "1" * 64
    return made


@pytest.fixture
def with_result(with_volume, engine):
    """One lesion, found by the workspace's first model."""
    with_volume.add_seed(SEED)
    answer(with_volume, engine)
    return with_volume


def change(workspace, model):
    """Use another model; returns its engine."""
    engine = StubEngine()
    workspace.use_model(engine, model)
    workspace.tick()
    return engine


def state(workspace, line=0):
    return details_of(workspace.lesion_store.rows()[line])


# ---- a workspace that changes its model


def test_link_volume_seeds_and_segmentations_stay(with_result, engine, other):
    answer(with_result, engine)
    link = StubLink()
    with_result.use_link(link)
    volume, before_ml = with_result.session.volume, with_result.lesion_store.rows()[0].volume_ml
    newer = change(with_result, other)
    assert engine.closed
    assert not link.closed
    assert not newer.closed
    assert with_result.session.volume is volume
    assert with_result.lesion_store.rows()[0].volume_ml == before_ml
    assert with_result.lesion_store.can_undo
    assert with_result.ready is not None, "that of the new engine"
    assert newer.jobs == [], "nothing is asked for by itself"


def test_segmentation_of_another_model_says_so_and_is_still_that_of_its_volume(with_result, other):
    assert state(with_result).startswith("up to date")
    assert badge_of(with_result.lesion_store.rows()[0]) == (State.OFF, "not rated")
    change(with_result, other)
    row = with_result.lesion_store.rows()[0]
    assert state(with_result).startswith("made with another model: stub 00000000")
    assert "up to date" not in state(with_result)
    assert badge_of(row) == (State.WARNING, "medium")
    assert row.is_current


def test_segmentation_that_is_old_and_of_another_model_says_both(with_result, other):
    change(with_result, other)
    with_result.scene.GetFirstNodeByName("Tumour 1").SetNthControlPointPositionWorld(0, 25.0, 20.0, 20.0)
    with_result.tick()
    assert not with_result.lesion_store.rows()[0].is_current
    assert "OUT OF DATE" in state(with_result)
    assert "made with another model" in state(with_result)


def test_lesions_of_two_models_name_their_own_and_undo_brings_the_earlier_back(with_result, other):
    engine = change(with_result, other)
    with_result.add_seed(np.array(SEED) + [2, 0, 0])
    answer(with_result, engine, ["Tumour 2"])
    assert "made with another model: stub" in state(with_result, 0)
    assert state(with_result, 1).startswith("up to date")
    answer(with_result, engine, ["Tumour 1"])
    assert state(with_result, 0).startswith("up to date")
    with_result.lesion_store.undo()
    assert "made with another model: stub" in state(with_result, 0)
    change(with_result, with_result.models["0" * 64])
    assert state(with_result, 0).startswith("up to date")
    assert "made with another model: other 11111111" in state(with_result, 1)


def test_loaded_segmentations_name_the_model_that_made_them(with_result, other, clock):
    node = with_result.volume.node
    loaded = Workspace(with_result.scene, Session(StubEngine(), other), clock=clock)
    loaded.use_node(node)
    assert "made with another model: stub 00000000" in state(loaded)
    loaded.close()


def test_what_runs_and_what_waits_is_cancelled_and_a_late_answer_is_not_shown(with_volume, engine, other):
    for shift in (0, 2):
        with_volume.add_seed(np.array(SEED) + [shift, 0, 0])
    with_volume.segment()
    with_volume.tick()
    engine.finish()  # the answer lies ready, and nobody has taken it yet
    newer = change(with_volume, other)
    assert not with_volume.session.busy
    assert [row.state for row in with_volume.lesion_store.rows()] == [LesionState.NEW] * 2
    assert with_volume.lesion_store.segmentation_node is None
    assert [line for line in with_volume.log if line.endswith("cancelled")]
    answer(with_volume, newer, ["Tumour 1"])
    assert with_volume.lesion_store.entries["Tumour 1"].segmentation.model_name == "other"


def test_engine_that_had_given_up_is_forgotten(with_volume, engine, other):
    with_volume.engine_problem = "torch is missing"
    change(with_volume, other)
    assert with_volume.engine_problem == ""


def test_model_that_sees_the_whole_volume_has_no_crop(with_result, other):
    assert crop_box(with_result.scene) is not None
    other.region = "volume"
    engine = change(with_result, other)
    assert crop_box(with_result.scene) is None
    answer(with_result, engine)
    assert engine.jobs[0].request.options.crop_size_mm is None
    assert state(with_result).startswith("up to date")
    crop = copy(other)
    crop.region, crop.sha256 = "crop", "2" * 64
    change(with_result, crop)
    assert crop_box(with_result.scene) is not None


def test_report_names_the_model_of_each_result_and_keeps_both_cards(with_result, other, tmp_path, monkeypatch):
    engine = change(with_result, other)
    with_result.add_seed(np.array(SEED) + [2, 0, 0])
    answer(with_result, engine, ["Tumour 2"])
    monkeypatch.setattr(saving, "ChildProcess", lambda command, folder: None)
    saved = save(with_result, tmp_path)
    with_result.children.clear()
    assert [entry["model"]["name"] for entry in json.loads((saved / REPORT_JSON).read_text())] == ["stub", "other"]
    card = json.loads(str(np.load(saved / PAGE_INPUT)["texts"]))["card"]
    assert sorted(card) == ["other 11111111", "stub 00000000"]


def test_report_of_earlier_results_keeps_the_card_of_the_earlier_model(with_result, other, tmp_path, monkeypatch):
    change(with_result, other)
    monkeypatch.setattr(saving, "ChildProcess", lambda command, folder: None)
    saved = save(with_result, tmp_path)
    with_result.children.clear()
    assert json.loads(str(np.load(saved / PAGE_INPUT)["texts"]))["card"]["name"] == "stub"


def test_self_check_is_not_claimed_for_another_model(engine, tmp_path, tiny_case, folder):
    from CRLMSegmentationLib.slicer.scene.headless import new_scene

    workspace = Workspace(new_scene(), Session(engine, make_package(folder)))
    card = Preflight(workspace, tmp_path, tiny_case)
    workspace.tick()
    engine.finish()
    workspace.tick()
    found = next(check for check in card.checks() if check.name == "Self-check case")
    assert found.state is State.WARNING
    assert "known for the shipped model only" in found.text
    assert "Dice" not in found.text
    workspace.close()


# ---- which there are, and which is chosen


def test_choice_is_remembered_and_a_model_that_is_gone_is_told_once(folder):
    make_package(folder)
    remembered = []
    models = Models(remember=remembered.append)
    assert models.use("tiny@1", None, StubEngine) is False
    assert remembered == ["tiny@1"]
    assert Models("tiny@1").package().name == "tiny"
    gone = Models("tiny@7")
    assert gone.package().sha256 == model_or_default(None).sha256
    assert gone.notice.startswith("The model tiny@7 cannot be used: no model tiny@7 is installed")
    assert f"{shipped_key()} is used instead" in gone.notice
    gone.notice = ""
    gone.package()
    assert (gone.notice, gone.wanted) == ("", "")


def test_damaged_model_is_refused_listed_with_its_reason_and_the_choice_stays(workspace, folder):
    damage(make_package(folder))
    models, remembered = Models(remember=lambda key: pytest.fail(key)), workspace.session.model
    assert [choice.usable for choice in models.choices] == [True, True], "nothing is hashed to list it"
    with pytest.raises(ModelError, match="damaged or was changed"):
        models.use("tiny@1", workspace, StubEngine)
    assert workspace.session.model is remembered
    assert models.wanted == ""
    view = model_view(workspace, models, False)
    assert [(text, usable) for text, _key, _tip, usable in view.choices if not usable] == [
        ("tiny 1: cannot be used", False)
    ]
    assert "damaged or was changed" in view.texts["modelInfoLabel"]


def test_unreadable_manifest_is_listed_with_its_reason(workspace, folder):
    (make_package(folder).folder / "model.json").write_text("{")
    view = model_view(workspace, Models(), False)
    assert [usable for *_more, usable in view.choices] == [True, False]
    assert "model.json" in view.texts["modelInfoLabel"]


def test_folder_for_models_that_is_not_there_is_told(workspace, monkeypatch, tmp_path):
    monkeypatch.setenv("CRLM_MODELS", str(tmp_path / "nowhere"))
    view = model_view(workspace, Models(), False)
    assert [usable for *_more, usable in view.choices] == [False]
    assert "names no" in view.texts["modelInfoLabel"] or "which is no folder" in view.texts["modelInfoLabel"]


def test_changing_during_segmentation_is_told_with_the_lesions_names(with_volume, engine, folder):
    make_package(folder)
    with_volume.add_seed(SEED)
    with_volume.segment()
    with_volume.tick()
    models = Models()
    assert models.use("tiny@1", with_volume, lambda _model: StubEngine())
    assert models.notice.startswith("Tumour 1: cancelled, because another model was chosen")
    assert with_volume.session.model.name == "tiny"
    models.notice = ""
    assert not models.use("tiny@1", with_volume, lambda _model: pytest.fail("the same model is not loaded again"))
    assert models.notice == ""


@pytest.mark.parametrize(
    ("trained_on", "words"),
    [
        ({"simulated": True}, "Trained on simulated data only: not for decisions about patients"),
        ({"simulated": None, "images": 12}, "Trained on images 12; nobody has stated whether it has seen patients"),
        ({"simulated": False, "patients": 9}, "Trained on patients 9"),
    ],
)
def test_what_it_was_trained_on_is_said_plainly(workspace, folder, trained_on, words):
    workspace.use_model(StubEngine(), make_package(folder, trained_on=trained_on, intended_use="<tests>"))
    text = model_text(workspace, Models())
    assert words in text
    assert "&lt;tests&gt;" in text, "what a package says is no markup"
    assert (State.WARNING in status_texts(workspace)["modelLabel"]) == (trained_on["simulated"] is not False)


@pytest.mark.parametrize(
    ("recorded", "size_mm", "begins_with_mm"),
    [("", 80.0, 50.0), ("", 60.0, 60.0), ("tiny@1", 60.0, 60.0), ("other@1", 60.0, 50.0)],
)
def test_crop_begins_as_the_scene_says_for_this_model_else_as_the_model_does(folder, recorded, size_mm, begins_with_mm):
    assert beginning_of(make_package(folder), recorded, size_mm) == ("tiny@1", begins_with_mm)


# ---- import


def test_package_is_imported_by_a_process_and_listed(folder, tmp_path):
    models = Models()
    models.begin_import(make_package(tmp_path / "elsewhere").folder, sys.executable)
    assert import_text(models) == "Importing tiny-1, 0 s"
    with pytest.raises(ModelError, match="still being imported"):
        models.begin_import(tmp_path, sys.executable)
    assert wait_for_import(models) == "tiny@1"
    assert models.importing is None
    assert [choice.key for choice in models.choices] == [shipped_key(), "tiny@1"]


def test_export_with_a_second_channel_asks_what_that_is(folder, tmp_path, monkeypatch):
    import_here(monkeypatch)
    models, export = Models(), make_export(tmp_path / "results")
    models.begin_import(export, sys.executable)
    assert wait_for_import(models) is None
    assert models.asked_channels == ("ultrasound", "seed")
    assert "Is it the map of the seed?" in import_text(models)
    models.begin_import(models.importing, sys.executable, channels=("ultrasound", "seed"))
    assert wait_for_import(models) == "Tiny@1"
    models.use("Tiny@1", None, StubEngine)
    assert models.package().channels == ("ultrasound", "seed")


def test_export_that_runs_code_is_refused_and_nothing_runs(folder, tmp_path, monkeypatch):
    import_here(monkeypatch)
    mark = tmp_path / "code_ran"
    models = Models()
    models.begin_import(make_export(tmp_path / "results", mark), sys.executable, channels=("ultrasound", "seed"))
    with pytest.raises(ModelError, match="not opened"):
        wait_for_import(models)
    assert models.importing is None
    assert not mark.exists()
    assert list(folder.iterdir()) == []


def test_cancelled_import_installs_nothing(folder, tmp_path):
    models = Models()
    models.begin_import(make_package(tmp_path / "elsewhere").folder, sys.executable)
    models.cancel_import()
    assert (models.is_importing, models.importing, models.poll_import()) == (False, None, None)
    assert [path for path in folder.iterdir() if not path.name.startswith(".")] == []
    models.cancel_import()


def test_import_that_is_cancelled_when_all_is_ready_installs_nothing(folder, tmp_path):
    asked = []
    with pytest.raises(ModelError, match="the import was cancelled"):
        import_model(make_package(tmp_path / "elsewhere").folder, may_install=lambda: asked.append(True))
    assert asked == [True]
    assert list(folder.iterdir()) == []


def test_interpreter_that_is_not_there_is_told(folder, tmp_path):
    models = Models()
    with pytest.raises(ModelError, match="cannot be started"):
        models.begin_import(tmp_path, str(tmp_path / "python"))
    assert models.importing is None
