"""Models on the command line."""

from __future__ import annotations

import json
import shutil

import pytest


@pytest.fixture(autouse=True)
def own_models(tmp_path, monkeypatch):
    """No test sees or changes what the user has installed."""
    folder = tmp_path / "installed"
    folder.mkdir()
    monkeypatch.setenv("CRLM_MODELS", str(folder))
    return folder


def test_shipped_model_is_listed_as_the_default_and_is_as_it_was_made(crlm_seg, model):
    listed = crlm_seg("model", "list")
    assert listed.out.startswith(f"* {model.name}@{model.version}")
    assert "simulated data only" in listed.out
    assert crlm_seg("model", "verify").out == f"{model.name}@{model.version}: unchanged\n"
    assert json.loads(crlm_seg("model", "info", "--json").out)["sha256"] == model.sha256


def test_model_goes_by_its_name_everywhere(crlm_seg, model):
    assert json.loads(crlm_seg("info", "--json", "--model", model.name).out)["model"]["sha256"] == model.sha256
    done = crlm_seg("model", "info", "nobody")
    assert done.code == 1
    assert f"installed: {model.name}@{model.version}" in done.err


def test_model_is_imported_chosen_and_removed(crlm_seg, model, tmp_path):
    imported = crlm_seg("model", "import", _renamed(model, tmp_path))
    assert imported.code == 0, imported
    key = f"mine@{model.version}"
    assert imported.out.startswith(f"{key}: installed in")
    assert crlm_seg("model", "default", "mine").code == 0
    assert f"* {key}" in crlm_seg("model", "list").out
    refused = crlm_seg("model", "remove", "mine")
    assert refused.code == 1
    assert "default" in refused.err
    assert crlm_seg("model", "default").code == 0
    assert crlm_seg("model", "remove", "mine").out == f"{key}: removed\n"
    assert key not in crlm_seg("model", "list").out


def test_exported_model_is_imported_elsewhere(crlm_seg, model, own_models, tmp_path, monkeypatch):
    assert crlm_seg("model", "import", _renamed(model, tmp_path)).code == 0
    assert crlm_seg("model", "export", "mine", "--out", tmp_path / "mine.zip").code == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("CRLM_MODELS", str(elsewhere))
    assert crlm_seg("model", "import", tmp_path / "mine.zip").code == 0
    assert json.loads(crlm_seg("model", "info", "mine", "--json").out)["sha256"] == model.sha256


def test_damaged_model_ends_verify_with_1_and_its_name(crlm_seg, model, own_models, tmp_path):
    assert crlm_seg("model", "import", _renamed(model, tmp_path)).code == 0
    weights = next(own_models.rglob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    done = crlm_seg("model", "verify")
    assert done.code == 1
    assert "mine@" in done.err
    assert len(done.error_lines) == 1


@pytest.mark.parametrize("command", [["model", "import"], ["pack", "--out", "packed"]])
def test_what_is_no_model_is_refused_in_one_line(crlm_seg, tmp_path, command):
    wrong = tmp_path / "wrong.zip"
    wrong.write_bytes(b"no zip")
    done = crlm_seg(*command, wrong)
    assert done.code == 1
    assert len(done.error_lines) == 1


def test_evaluation_of_the_shipped_model_on_a_shipped_case(crlm_seg, sample, model, tmp_path):
    """Its worker is a process of its own."""
    done = crlm_seg("evaluate", model.folder, sample.folder, "--out", tmp_path / "out", "--robustness", 0)
    assert done.code == 0, done
    assert "simulated patient" in done.out
    document = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert len(document["lesions"]) == len(sample.lesions)
    assert "simulated data" in (tmp_path / "out" / "evaluation.html").read_text(encoding="utf-8").lower()


def test_case_without_a_truth_is_told_before_anything_is_computed(crlm_seg, sample, model, tmp_path):
    case = tmp_path / "case"
    shutil.copytree(sample.folder, case)
    entry = json.loads((case / "case.json").read_text())
    (case / "case.json").write_text(json.dumps({**entry, "truth": None}))
    done = crlm_seg("evaluate", model.folder, case, "--out", tmp_path / "out")
    assert done.code == 1
    assert "truth" in done.err
    assert not (tmp_path / "out").exists()


def _renamed(model, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(model.folder, copy)
    manifest = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps({**manifest, "name": "mine"}))
    return copy
