"""Packing, verifying and exporting a model; what is wrong with a package is said, and nothing in it is run."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import pydoc
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from CRLMSegmentationLib.core.errors import ModelError, WorkerError
from CRLMSegmentationLib.core.hashing import sha256_of
from CRLMSegmentationLib.segmentation.engine.engine import EngineState, Failed
from CRLMSegmentationLib.segmentation.engine.worker_engine import WorkerEngine
from CRLMSegmentationLib.segmentation.models.package import (
    MANIFEST,
    ModelPackage,
    crop_size_of,
    default_model_package,
    export_nnunet,
    load_model_package,
    write_model_package,
)
from CRLMSegmentationLib.segmentation.models.weights import load_weights
from helpers.inference_helpers import DATASET_JSON, SPACING_MM, random_weights, tiny_info, tiny_plans

FOLD = "fold_0.safetensors"


@pytest.fixture
def folder(tiny_package: ModelPackage, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(tiny_package.folder, tmp_path / "tiny"))


def edit_manifest(folder: Path, **changes: object) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest.update(changes)
    (folder / MANIFEST).write_text(json.dumps({k: v for k, v in manifest.items() if v is not None}))


def rehash(folder: Path) -> None:
    """Make the manifest agree with the files again, as someone who means harm would."""
    files = json.loads((folder / MANIFEST).read_text())["files"]
    edit_manifest(folder, files={name: sha256_of(folder / name) for name in files})


class CreatesFile:
    """A pickle of this runs code when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_package_says_what_it_is(tiny_package):
    assert (tiny_package.name, tiny_package.version, tiny_package.folds) == ("tiny", "1", (0, 1))
    assert (tiny_package.crop_size_mm, tiny_package.spacing_mm) == (50.0, SPACING_MM)
    assert tiny_package.simulated_only
    assert "not for clinical use" in tiny_package.not_for_clinical_use
    assert len(tiny_package.sha256) == 64


def test_package_that_does_not_speak_of_a_region_is_shown_crops(tiny_package):
    assert "region" not in json.loads((tiny_package.folder / MANIFEST).read_text())
    assert tiny_package.region == "crop"


def test_crop_is_as_wide_as_is_wanted_else_as_the_model_says(tiny_package):
    assert (crop_size_of(tiny_package), crop_size_of(tiny_package, 40.0)) == (50.0, 40.0)


def test_model_of_whole_volumes_has_no_crop_and_takes_none(folder):
    edit_manifest(folder, region="volume")
    package = load_model_package(folder)
    assert crop_size_of(package) is None
    with pytest.raises(ModelError, match="tiny is shown the whole volume, so there is no crop to choose; leave"):
        crop_size_of(package, 40.0)


def test_identity_follows_the_weights_and_not_the_card(folder, tmp_path):
    before = load_model_package(folder).sha256
    edit_manifest(folder, card={"dice_median": 0.9})
    assert load_model_package(folder).sha256 == before
    other = write_model_package(tmp_path / "other", tiny_plans(), DATASET_JSON, {0: random_weights(5)}, tiny_info())
    assert other.sha256 != before


def test_weights_come_back_under_all_their_names(tmp_path):
    state_dict = random_weights(3)
    package = write_model_package(tmp_path, tiny_plans(), DATASET_JSON, {2: state_dict}, tiny_info(), half=False)
    back = package.weights(2)
    assert package.folds == (2,)
    assert set(back) == set(state_dict)
    for name, tensor in state_dict.items():
        torch.testing.assert_close(back[name], tensor, rtol=0, atol=0)


def test_shared_weights_are_stored_once(tmp_path):
    state_dict = random_weights(3)
    unique = {tensor.data_ptr(): tensor.nbytes for tensor in state_dict.values()}
    write_model_package(tmp_path, tiny_plans(), DATASET_JSON, {0: state_dict}, tiny_info(), half=False)
    assert sum(t.nbytes for t in state_dict.values()) > 1.5 * sum(unique.values())
    assert (tmp_path / FOLD).stat().st_size < sum(unique.values()) + 10_000


def test_half_precision_halves_the_file_and_loads_as_float32(tmp_path):
    state_dict = random_weights(3)
    sizes = []
    for half in (False, True):
        package = write_model_package(tmp_path, tiny_plans(), DATASET_JSON, {0: state_dict}, tiny_info(), half=half)
        sizes.append(sum(np.prod(t.shape) for t in package.weights(0).values()) and (tmp_path / FOLD).stat().st_size)
    assert sizes[1] < 0.75 * sizes[0]
    assert {t.dtype for t in package.weights(0).values()} == {torch.float32}


def test_fewer_folds_leave_no_old_weights_behind(folder):
    package = write_model_package(folder, tiny_plans(), DATASET_JSON, {0: random_weights(0)}, tiny_info())
    assert package.folds == (0,)
    assert not (folder / "fold_1.safetensors").exists()


def test_package_without_intended_use_is_not_written(tmp_path):
    info = {key: value for key, value in tiny_info().items() if key != "intended_use"}
    with pytest.raises(ModelError, match="intended_use"):
        write_model_package(tmp_path, tiny_plans(), DATASET_JSON, {0: random_weights(0)}, info)


@pytest.mark.parametrize("name", ["plans.json", "dataset.json", FOLD])
def test_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"lacks {name}.*copy it again"):
        load_model_package(folder)


@pytest.mark.parametrize("name", ["plans.json", "dataset.json", FOLD])
def test_one_changed_byte_is_noticed(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[-2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match=f"{name}.*damaged or was changed"):
        load_model_package(folder)


def test_folder_without_manifest_is_no_package(tmp_path):
    with pytest.raises(ModelError, match="no model package"):
        load_model_package(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 2}, "version 2, this program reads version 1"),
        ({"files": None}, "lists no files"),
        ({"files": {}}, "does not list plans.json"),
        ({"files": {"../../etc/passwd": "0"}}, "no model package has"),
        ({"name": None}, "incomplete or wrong: name is missing, expected a text"),
        ({"trained_on": "mice"}, "incomplete or wrong"),
        ({"crop_size_mm": -3}, "crop_size_mm must be above 0"),
        ({"region": "liver"}, "the region is one of crop, volume, got 'liver'"),
        ({"spacing_mm": 2.0}, "says spacing 2.0 mm, the plans"),
    ],
)
def test_wrong_manifest_is_refused(folder, changes, message):
    edit_manifest(folder, **changes)
    with pytest.raises(ModelError, match=message):
        load_model_package(folder)


def test_manifest_that_is_no_json_is_refused(folder):
    (folder / MANIFEST).write_text("{")
    with pytest.raises(ModelError, match=r"model.json.*cannot be read"):
        load_model_package(folder)


@pytest.mark.parametrize("key", ["network_class_name", "nonlin"])
def test_plans_that_import_foreign_code_are_refused(folder, key):
    plans = json.loads((folder / "plans.json").read_text())
    architecture = plans["configurations"]["3d_fullres"]["architecture"]
    (architecture if key in architecture else architecture["arch_kwargs"])[key] = "subprocess.Popen"
    (folder / "plans.json").write_text(json.dumps(plans))
    rehash(folder)
    with pytest.raises(ModelError, match=r"import subprocess\.Popen"):
        load_model_package(folder)


def test_plans_that_name_what_torch_itself_has_imported_are_refused(folder, tmp_path):
    """nnU-Net calls `nonlin(**nonlin_kwargs)`: a name that begins with torch.nn is not harmless for that."""
    name = "torch.nn.parallel.distributed.os.system"
    assert pydoc.locate(name) is os.system
    plans = json.loads((folder / "plans.json").read_text())
    kwargs = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    kwargs.update(nonlin=name, nonlin_kwargs={"command": f"touch {tmp_path / 'code_ran'}"})
    (folder / "plans.json").write_text(json.dumps(plans))
    rehash(folder)
    with pytest.raises(ModelError, match=r"import torch\.nn\.parallel\.distributed\.os\.system"):
        load_model_package(folder)
    assert not (tmp_path / "code_ran").exists()


def test_model_with_other_labels_is_refused(folder):
    labels = {"background": 0, "liver": 1, "tumour": 2}
    (folder / "dataset.json").write_text(json.dumps({**DATASET_JSON, "labels": labels}))
    rehash(folder)
    with pytest.raises(ModelError, match="labels 0 and 1"):
        load_model_package(folder)


def test_pickle_in_place_of_the_weights_is_refused_and_never_run(tiny_package, folder, tmp_path):
    mark = tmp_path / "code_ran"
    for content in (pickle.dumps(CreatesFile(mark)), _torch_file(CreatesFile(mark), tmp_path)):
        (folder / FOLD).write_bytes(content)
        rehash(folder)
        with pytest.raises(ModelError, match="no safetensors file"):
            load_model_package(folder)
        with pytest.raises(ModelError, match="no safetensors file"):
            load_weights(folder / FOLD)
        with WorkerEngine(dataclasses.replace(tiny_package, folder=folder)) as engine:
            failed = next(e for e in _until_failed(engine) if isinstance(e, Failed))
        assert "no safetensors file" in failed.reason
    assert not mark.exists()
    pickle.loads(pickle.dumps(CreatesFile(mark)))
    assert mark.exists(), "the pickle was harmless: the test has shown nothing"


def _torch_file(content: object, folder: Path) -> bytes:
    torch.save(content, folder / "checkpoint.pth")
    return (folder / "checkpoint.pth").read_bytes()


def _until_failed(engine: WorkerEngine) -> list:
    events = []
    while engine.state is not EngineState.FAILED:
        events += engine.wait(30.0)
    return events + engine.poll()


def test_engine_that_cannot_load_its_model_says_so_and_takes_no_jobs(tiny_package, folder):
    (folder / FOLD).unlink()
    engine = WorkerEngine(dataclasses.replace(tiny_package, folder=folder))
    engine.start()
    events = _until_failed(engine)
    assert [type(e).__name__ for e in events] == ["Started", "Failed"]
    assert events[-1].job_id is None
    assert "lacks fold_0.safetensors" in events[-1].reason
    with pytest.raises(WorkerError, match=r"lacks fold_0\.safetensors"):
        engine.submit(None)
    engine.close()


def test_default_model_is_the_only_one_there(tiny_package, tmp_path):
    with pytest.raises(ModelError, match="no model package"):
        default_model_package(tmp_path)
    assert default_model_package(tiny_package.folder.parent) == tiny_package
    for name in "ab":
        shutil.copytree(tiny_package.folder, tmp_path / name)
    with pytest.raises(ModelError, match="name one: a, b"):
        default_model_package(tmp_path)


def test_exported_folder_holds_the_same_weights(tiny_package, tmp_path):
    export_nnunet(tiny_package, tmp_path)
    checkpoint = torch.load(tmp_path / "fold_1" / "checkpoint_final.pth", weights_only=True)
    assert checkpoint["trainer_name"] == "nnUNetTrainer"
    for name, tensor in tiny_package.weights(1).items():
        torch.testing.assert_close(checkpoint["network_weights"][name], tensor, rtol=0, atol=0)


def test_torch_is_not_imported_by_what_the_host_imports():
    code = "import sys, CRLMSegmentationLib.segmentation.engine.worker_engine; "
    code += "print([name for name in ('torch', 'nnunetv2', 'safetensors') if name in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


def test_channels_that_this_program_cannot_make_are_refused(tmp_path):
    info = {**tiny_info(), "channels": ["ultrasound", "doppler"]}
    with pytest.raises(ModelError, match="doppler"):
        write_model_package(tmp_path, tiny_plans(), DATASET_JSON, {0: random_weights(0)}, info)
