"""What a user saves, from a workspace with a stub engine; files and pages are real, one of them with its process."""

import json
import shutil
import time

import numpy as np
import pytest
import SimpleITK as sitk
from CRLMSegmentationLib.core.errors import CrlmError
from CRLMSegmentationLib.slicer.scene.nodes import to_vtk_matrix
from CRLMSegmentationLib.slicer.workspace import save as saving
from CRLMSegmentationLib.slicer.workspace.lesion import CORRECTED
from CRLMSegmentationLib.slicer.workspace.save import OUT_OF_DATE, REPORT_HTML, REPORT_JSON, SCENE, SEGMENTATION, save
from helpers.navigation_scene_helpers import Tracker, at, finish_all, with_lesion
from helpers.page_helpers import write_pages_here
from helpers.workspace_helpers import SEED, answer, paint


def wait_for_page(workspace, folder):
    end_s = time.monotonic() + 240
    while workspace.children and time.monotonic() < end_s:
        workspace.tick()
        time.sleep(0.05)
    assert not workspace.children
    return (folder / REPORT_HTML).read_text(encoding="utf-8")


@pytest.fixture
def with_lesions(with_volume, engine):
    for shift in (0, 2):
        with_volume.add_seed(np.array(SEED) + [shift, 0, 0])
    answer(with_volume, engine, ["Tumour 1", "Tumour 2"])
    return with_volume


def test_everything_lies_in_a_new_folder_and_the_page_follows(with_lesions, tmp_path, monkeypatch):
    write_pages_here(monkeypatch, saving)
    folder = save(with_lesions, tmp_path)
    assert {path.name for path in folder.iterdir()} >= {SCENE, SEGMENTATION, REPORT_JSON}
    entries = json.loads((folder / REPORT_JSON).read_text())
    assert [entry["lesion"] for entry in entries] == ["Tumour 1", "Tumour 2"]
    assert entries[0]["volume_ml"] == pytest.approx(with_lesions.lesion_store.rows()[0].volume_ml)
    assert entries[0]["timings_s"]["seed_to_overlay"] > 0
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(folder / SEGMENTATION))).any()
    page = wait_for_page(with_lesions, folder)
    assert "Tumour 1" in page
    assert "Tumour 2" in page
    assert page.count("data:image/png") == 4
    assert sorted(path.name for path in folder.iterdir()) == sorted([SCENE, SEGMENTATION, REPORT_JSON, REPORT_HTML])


def test_corrected_segmentation_is_saved_as_corrected(with_lesions, tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "missing", lambda purpose: ["jinja2"])
    before_ml = with_lesions.lesion_store.rows()[0].volume_ml
    paint(with_lesions, "Tumour 1", np.s_[0:8, 0:8, 0:8])
    with_lesions.tick()
    entry = json.loads((save(with_lesions, tmp_path) / REPORT_JSON).read_text())[0]
    assert entry["volume_ml"] > before_ml
    assert entry["warnings"][0] == CORRECTED


def test_corrected_segmentation_is_saved_in_the_voxels_it_was_painted_in_after_a_move(
    with_volume, engine, tmp_path, monkeypatch
):
    place = with_volume.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    with_volume.volume.node.SetAndObserveTransformNodeID(place.GetID())
    with_volume.tick()
    with_volume.add_seed(SEED)
    answer(with_volume, engine)
    found = with_volume.lesion_store.entries["Tumour 1"].segmentation.result.mask.mask
    expected = found.copy()
    expected[4:8, 5:8, 6:8] = True
    moved = np.eye(4)
    moved[:3, 3] = 6.0, -4.0, 2.0
    place.SetMatrixTransformToParent(to_vtk_matrix(moved))
    with_volume.tick()
    paint(with_volume, "Tumour 1", np.s_[4:8, 5:8, 6:8])
    with_volume.tick()
    reported = []
    monkeypatch.setattr(saving, "missing", lambda purpose: [])
    monkeypatch.setattr(saving, "_begin_page", lambda workspace, folder, results, entries: reported.extend(results))
    save(with_volume, tmp_path)
    np.testing.assert_array_equal(reported[0].mask.mask, expected)


def test_segmentation_that_is_out_of_date_says_so_in_the_report(with_lesions, tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "missing", lambda purpose: ["jinja2"])
    with_lesions.scene.GetFirstNodeByName("Tumour 2").SetNthControlPointPositionWorld(0, 25.0, 20.0, 20.0)
    with_lesions.tick()
    first, second = json.loads((save(with_lesions, tmp_path) / REPORT_JSON).read_text())
    assert OUT_OF_DATE not in first["warnings"]
    assert second["warnings"][0] == OUT_OF_DATE


def test_without_the_packages_for_it_there_is_no_page_and_no_trace_of_one(with_lesions, tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "missing", lambda purpose: ["jinja2"])
    folder = save(with_lesions, tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == sorted([SCENE, SEGMENTATION, REPORT_JSON])
    assert not with_lesions.children


def test_page_under_way_ends_with_the_room(with_lesions, tmp_path):
    save(with_lesions, tmp_path)
    (child,) = with_lesions.children
    with_lesions.close()
    assert child.exit_code is not None


def test_page_that_fails_is_told_in_the_log(with_lesions, tmp_path):
    with_lesions.python = shutil.which("false")
    folder = save(with_lesions, tmp_path)
    end_s = time.monotonic() + 240
    while with_lesions.children and time.monotonic() < end_s:
        with_lesions.tick()
        time.sleep(0.05)
    assert "was not written" in with_lesions.log[-1]
    assert not (folder / REPORT_HTML).exists()


def test_nothing_to_save_is_said(with_volume, tmp_path):
    with pytest.raises(CrlmError, match="segment a lesion first"):
        save(with_volume, tmp_path)
    assert not list(tmp_path.iterdir())


def test_folder_that_cannot_be_made_is_said(with_lesions, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CrlmError, match="choose another place"):
        save(with_lesions, tmp_path / "file")


def test_report_tells_how_near_an_instrument_came_and_how_stable_the_segmentation_is(
    workspace, link, engine, clock, tiny_volume, tmp_path
):
    workspace.background_refinement.enabled = True
    with_lesion(workspace, link, engine, tiny_volume)
    finish_all(workspace, engine, clock)
    Tracker(workspace, link, clock).send(StylusToReference=at(33.0))
    folder = save(workspace, tmp_path)
    entry = json.loads((folder / REPORT_JSON).read_text())
    assert entry["navigation"]["distance_mm"] == pytest.approx(5, abs=0.8)
    assert entry["navigation"]["low_mm"] < entry["navigation"]["distance_mm"] < entry["navigation"]["high_mm"]
    assert entry["stability"]["runs"] == 8
    page = wait_for_page(workspace, folder)
    assert "Stylus" in page
    assert page.count("data:image/png") >= 4
    assert sorted(path.name for path in folder.iterdir()) == sorted([SCENE, SEGMENTATION, REPORT_JSON, REPORT_HTML])
