"""Which models are installed, which is the default, and that no other is taken for the one that was meant."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from CRLMSegmentationLib.core.errors import ModelError
from CRLMSegmentationLib.segmentation.models.importer import import_model
from CRLMSegmentationLib.segmentation.models.listing import info_of, list_lines, model_choices
from CRLMSegmentationLib.segmentation.models.package import default_model_package, model_or_default, write_model_package
from CRLMSegmentationLib.segmentation.models.registry import (
    find_model,
    installed_models,
    models_folder,
    remove_model,
    set_default,
    verify_models,
)
from helpers.inference_helpers import DATASET_JSON, random_weights, tiny_info, tiny_plans
from helpers.model_helpers import shipped_key, shipped_model
from helpers.model_import_helpers import edit_json

SHIPPED = shipped_key()


@pytest.fixture
def tiny(tiny_package, models):
    return import_model(tiny_package.folder)


@pytest.fixture
def second(tiny, tmp_path):
    """Another version of the same name."""
    info = {**tiny_info(), "version": "2"}
    return import_model(
        write_model_package(tmp_path / "second", tiny_plans(), DATASET_JSON, {0: random_weights(7)}, info).folder
    )


def keys() -> list[str]:
    return [model.key for model in installed_models()]


def test_without_imports_there_is_the_shipped_model_and_it_is_the_default(models):
    assert [(model.key, model.is_default) for model in installed_models()] == [(SHIPPED, True)]
    assert find_model() == model_or_default(None) == default_model_package()


def test_model_is_found_by_name_by_version_and_by_folder(tiny, second, tmp_path, monkeypatch):
    assert find_model("tiny@2") == find_model(Path("tiny@2")) == second
    assert find_model(tiny.folder) == find_model(str(tiny.folder)) == tiny
    monkeypatch.chdir(tiny.folder.parent)
    assert find_model("tiny-1") == tiny
    with pytest.raises(ModelError, match=r"2 models are called tiny, name one of them: tiny@1 in .*; tiny@2 in "):
        find_model("tiny")


def test_name_of_an_installed_model_and_of_a_folder_here_is_refused(tiny, tiny_package, tmp_path, monkeypatch):
    shutil.copytree(tiny_package.folder, tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="an installed model and a folder here"):
        find_model("tiny")
    assert find_model(tmp_path / "tiny").folder == tmp_path / "tiny"


def test_unknown_name_is_told_with_those_that_are_installed(tiny):
    with pytest.raises(ModelError, match=rf"no model liver is installed.*installed: {SHIPPED}, tiny@1"):
        find_model("liver")
    with pytest.raises(ModelError, match=r"is no model package"):
        find_model("/no/such/folder")


def test_chosen_default_is_used_until_another_is_chosen(tiny, second):
    assert set_default("tiny@2") == second
    assert find_model() == second
    assert [model.key for model in installed_models() if model.is_default] == ["tiny@2"]
    assert set_default(None) == default_model_package() == find_model()


def test_default_that_is_gone_or_was_replaced_is_told_and_no_other_is_taken(tiny, second):
    set_default("tiny@1")
    shutil.rmtree(tiny.folder)
    with pytest.raises(ModelError, match="the default model tiny@1 is not installed any more"):
        find_model()
    shutil.copytree(second.folder, tiny.folder)
    edit_json(tiny.folder / "model.json", version="1")
    (tiny.folder / "imported.json").unlink()
    with pytest.raises(ModelError, match="tiny@1 is not the one that was chosen"):
        find_model()
    assert not any(model.is_default for model in installed_models())
    assert model_choices()[0].text == "no default model"
    assert "not the one that was chosen" in model_choices()[0].tooltip


def test_damaged_choice_of_the_default_is_told(tiny, models):
    (models / "default.json").write_text("{")
    with pytest.raises(ModelError, match=r"default\.json cannot be read"):
        find_model()
    assert keys() == [SHIPPED, "tiny@1"]


def test_damaged_default_is_told_and_no_other_is_taken(tiny):
    set_default("tiny")
    edit_json(tiny.folder / "plans.json", dataset_name="x")
    with pytest.raises(ModelError, match=r"plans\.json .* is damaged or was changed"):
        find_model()


def test_verify_hashes_every_file_and_the_manifest(tiny, second):
    assert [model.problem for model in verify_models()] == [None] * 3
    content = bytearray((tiny.folder / "fold_1.safetensors").read_bytes())
    content[-1] ^= 1
    (tiny.folder / "fold_1.safetensors").write_bytes(content)
    edit_json(second.folder / "model.json", crop_size_mm=70.0)
    problems = {model.key: model.problem for model in verify_models()}
    assert problems[SHIPPED] is None
    assert "fold_1.safetensors" in problems["tiny@1"]
    assert "model.json of tiny@2 was changed since it was imported" in problems["tiny@2"]
    assert verify_models("tiny@2")[0].problem == problems["tiny@2"]
    with pytest.raises(ModelError, match="changed since it was imported"):
        find_model("tiny@2")


def test_model_whose_manifest_cannot_be_read_is_listed_with_its_problem_and_can_be_removed(tiny):
    (tiny.folder / "model.json").write_text("{")
    broken = installed_models()[1]
    assert (broken.key, broken.package) == ("tiny-1", None)
    assert "cannot be read" in broken.problem
    assert "cannot be read" in list(list_lines(installed_models()))[1]
    assert [(c.key, c.usable) for c in model_choices()] == [(SHIPPED, True), ("tiny-1", False)]
    remove_model("tiny-1")
    assert keys() == [SHIPPED]


def test_only_what_was_imported_is_removed(tiny, second, models):
    with pytest.raises(ModelError, match="belongs to the program and stays"):
        remove_model(SHIPPED)
    shutil.copytree(second.folder, models / "by-hand")
    edit_json(models / "by-hand" / "model.json", name="by-hand")
    (models / "by-hand" / "imported.json").unlink()
    with pytest.raises(ModelError, match=r"not imported but put into .* by hand"):
        remove_model("by-hand")
    set_default("tiny@2")
    with pytest.raises(ModelError, match="tiny@2 is the default; choose another"):
        remove_model("tiny@2")
    with pytest.raises(ModelError, match="2 models are called tiny"):
        remove_model("tiny")
    assert remove_model("tiny@1").folder == tiny.folder
    assert keys() == [SHIPPED, "by-hand@2", "tiny@2"]
    assert not tiny.folder.exists()


def test_two_folders_of_one_name_and_version_are_told_and_neither_is_used(tiny, models):
    shutil.copytree(tiny.folder, models / "copy")
    assert [model.problem is None for model in installed_models()] == [True, False, False]
    assert "installed twice, also in" in installed_models()[1].problem
    with pytest.raises(ModelError, match=r"2 models are called tiny@1.*copy; tiny@1 in .*tiny-1"):
        find_model("tiny@1")
    remove_model("copy")
    assert find_model("tiny@1") == tiny


def test_models_folder_that_is_named_and_missing_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("CRLM_MODELS", str(tmp_path / "typo"))
    for call in (find_model, installed_models):
        with pytest.raises(ModelError, match=r"CRLM_MODELS names .*typo, which is no folder"):
            call()


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", "XDG_DATA_HOME", "data/CRLMSegmentation/models"),
        ("win32", "LOCALAPPDATA", "data/CRLMSegmentation/models"),
        ("linux", None, "home/.local/share/CRLMSegmentation/models"),
        ("win32", None, "home/AppData/Local/CRLMSegmentation/models"),
        ("darwin", None, "home/Library/Application Support/CRLMSegmentation/models"),
    ],
)
def test_models_lie_where_each_system_has_the_data_of_programs(monkeypatch, tmp_path, platform, variable, expected):
    for name in ("CRLM_MODELS", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "data"))
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert models_folder() == tmp_path / expected


def test_list_and_choices_say_what_a_user_must_know(tiny):
    set_default("tiny")
    lines = list(list_lines(installed_models()))
    assert lines[0] == f"  {SHIPPED}  shipped   {' + '.join(shipped_model().channels)}, crop 80 mm, simulated data only"
    assert lines[1] == "* tiny@1               imported  ultrasound + seed, crop 50 mm, simulated data only"
    shown = [(choice.text, choice.key, choice.usable, choice.is_default) for choice in model_choices()]
    assert shown == [(SHIPPED.replace("@", " "), SHIPPED, True, False), ("tiny 1 (default)", "tiny@1", True, True)]


def test_info_is_plain_data(tiny):
    info = json.loads(json.dumps(info_of(tiny)))
    assert (info["region"], info["crop_size_mm"]) == ("crop", 50.0)
    assert (info["name"], info["folds"], info["channels"]) == ("tiny", "0, 1", "ultrasound, seed")
    assert set(info["files"]) == {"plans.json", "dataset.json", "fold_0.safetensors", "fold_1.safetensors"}


def test_registry_loads_no_torch(models):
    code = "import sys; from CRLMSegmentationLib.segmentation.models import importer, listing as m; m.model_choices(); "
    code += "print([name for name in ('torch', 'nnunetv2', 'safetensors') if name in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
