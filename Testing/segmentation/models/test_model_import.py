"""Models from elsewhere: what nnU-Net exports works as nnU-Net itself does; what means harm does none."""

from __future__ import annotations

import shutil
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from CRLMSegmentationLib.core.errors import ModelError
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.segmentation.engine.engine import Finished, Ready
from CRLMSegmentationLib.segmentation.engine.worker_engine import WorkerEngine
from CRLMSegmentationLib.segmentation.inference.nnunet import NnUNet
from CRLMSegmentationLib.segmentation.models import archive as model_archive
from CRLMSegmentationLib.segmentation.models.archive import zip_model_package
from CRLMSegmentationLib.segmentation.models.importer import ImportProcess, import_model
from CRLMSegmentationLib.segmentation.models.pack import About
from CRLMSegmentationLib.segmentation.models.registry import find_model, installed_models
from CRLMSegmentationLib.segmentation.results import Options
from helpers.inference_helpers import COLD_START_LIMIT_S, crop_array, lesion_job, wait_for
from helpers.model_helpers import shipped_key, shipped_model
from helpers.model_import_helpers import CreatesFile, copied_results, edit_checkpoint, edit_json, rewritten_zip
from helpers.nnunet_exports import FINER_MM, GREY, MODEL, SEEDED, SHAPE

SEED = About(channels=("ultrasound", "seed"))


def imported_keys() -> list[str]:
    return [model.key for model in installed_models() if model.imported]


def left_over(models: Path) -> list[str]:
    return [path.name for path in models.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("file", "dataset", "configuration", "about", "wanted"),
    [
        ("seeded.zip", SEEDED, "3d_fullres", SEED, None),
        ("grey.zip", GREY, "3d_fullres", About(), None),
        ("several.zip", GREY, "3d_lowres", About(), "3d_lowres"),
        (f"results/{SEEDED}/{MODEL}", SEEDED, "3d_fullres", SEED, None),
    ],
)
def test_imported_export_answers_as_nnunets_own_predictor(exports, models, file, dataset, configuration, about, wanted):
    """Two folds with a seed; one channel and thick slices; a configuration that inherits; a folder.

    In this process, where nnU-Net resamples the crop; a worker's crops have the spacing of the model.
    """
    package = import_model(exports / file, about, wanted)
    array = crop_array(SHAPE)[: len(package.channels)]
    network = NnUNet(package, torch.device("cpu"), cpu_threads=1)
    for mirroring in (False, True):
        probability = network.predict(array, FINER_MM, Options(mirroring=mirroring)).probability
        expected = np.load(exports / f"{dataset}-{configuration}-{mirroring}.npy")
        assert expected.std() > 0.01, "the model says the same everywhere: nothing would be tested"
        np.testing.assert_allclose(probability, expected, atol=1e-5)


def test_model_without_seed_channel_segments_a_volume_around_a_seed(exports, models, tiny_volume):
    package = import_model(exports / "grey.zip", About(crop_size_mm=40.0))
    with WorkerEngine(package, device="cpu", cpu_threads=1, precision="float32") as engine:
        wait_for(engine, Ready, COLD_START_LIMIT_S)
        volume = Volume(tiny_volume.array, tiny_volume.ijk_to_ras, tiny_volume.device, tiny_volume.timestamp_s)
        engine.submit(lesion_job(volume, (20.0, 20.0, 20.0), package.crop_size_mm))
        assert wait_for(engine, Finished).probability.shape == (32, 32, 32)


def test_imported_model_is_found_by_its_name_and_leaves_nothing_else_behind(exports, models):
    package = import_model(exports / "grey.zip", About("grey-liver", "2024.1"))
    assert find_model("grey-liver") == package
    assert package.folder == models / "grey-liver-2024.1"
    assert left_over(models) == []


def test_package_is_imported_as_it_is_from_a_folder_and_from_one_file(tiny_package, models, tmp_path):
    assert import_model(tiny_package.folder).sha256 == tiny_package.sha256
    shutil.rmtree(models / "tiny-1")
    zip_model_package(tiny_package, tmp_path / "tiny.zip")
    package = import_model(tmp_path / "tiny.zip")
    assert (package.sha256, package.card) == (tiny_package.sha256, tiny_package.card)
    with pytest.raises(ModelError, match="tells its name and crop itself"):
        import_model(tmp_path / "tiny.zip", About("other"))


def test_same_name_and_version_is_refused(exports, tiny_package, models):
    import_model(exports / "grey.zip", About("tiny"))
    with pytest.raises(ModelError, match=r"tiny@1 is installed already, with other weights.*another version"):
        import_model(tiny_package.folder)
    with pytest.raises(ModelError, match=r"tiny@1 is installed already, the same.*nothing to do"):
        import_model(exports / "grey.zip", About("tiny"))
    with pytest.raises(ModelError, match=f"{shipped_key()} is installed already"):
        import_model(exports / "grey.zip", About("CRLM-crop-phantom", shipped_model().version))
    assert imported_keys() == ["tiny@1"]


def test_several_models_in_one_file_are_listed_until_one_is_named(exports, models):
    listed = f"{GREY}/{MODEL}; {GREY}/{MODEL.replace('fullres', 'lowres')}"
    with pytest.raises(ModelError, match=f"holds 2 models, name one, or its configuration: {listed}"):
        import_model(exports / "several.zip")
    with pytest.raises(ModelError, match="0 of them fit '2d'"):
        import_model(exports / "several.zip", wanted="2d")
    with pytest.raises(ModelError, match=f"2 of them fit '{GREY}'"):
        import_model(exports / "results", wanted=GREY)
    assert import_model(exports / "results", SEED, wanted=SEEDED).name == "Seeded"


@pytest.mark.parametrize("content", [b"", b"no zip at all"])
def test_file_that_is_no_zip_is_told(models, tmp_path, content):
    (tmp_path / "model.zip").write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.zip is no zip file, damaged or cut off"):
        import_model(tmp_path / "model.zip")


def test_zip_that_is_cut_off_or_damaged_is_told(exports, models, tmp_path):
    content = bytearray((exports / "seeded.zip").read_bytes())
    (tmp_path / "cut.zip").write_bytes(content[: len(content) // 2])
    with zipfile.ZipFile(exports / "seeded.zip") as archive:
        entry = next(e for e in archive.infolist() if e.filename.endswith("fold_0/checkpoint_final.pth"))
    content[entry.header_offset + len(entry.filename) + 200] ^= 255
    (tmp_path / "damaged.zip").write_bytes(content)
    for name in ("cut.zip", "damaged.zip"):
        with pytest.raises(ModelError, match=rf"{name} is no zip file, damaged or cut off"):
            import_model(tmp_path / name, SEED)
    assert imported_keys() == left_over(models) == []


@pytest.mark.parametrize(
    "name", ["../escaped", "a/../../escaped", "/tmp/escaped", "C:/escaped", "..\\escaped", "C:\\escaped", "a//b"]
)
def test_zip_with_a_path_that_leads_elsewhere_is_not_unpacked(exports, models, tmp_path, name):
    path = rewritten_zip(exports / "seeded.zip", tmp_path / "bad.zip", {name: b"x"})
    with pytest.raises(ModelError, match="leads elsewhere; not unpacked"):
        import_model(path, SEED)
    assert not list(tmp_path.parent.rglob("*escaped*"))
    assert imported_keys() == left_over(models) == []


def test_zip_with_a_link_or_with_two_files_of_one_name_is_not_unpacked(exports, models, tmp_path):
    link = f"{SEEDED}/{MODEL}/fold_2/checkpoint_final.pth"
    with pytest.raises(ModelError, match="a link or a device instead of a file"):
        import_model(rewritten_zip(exports / "seeded.zip", tmp_path / "link.zip", link=link), SEED)
    twice = {f"{SEEDED}/{MODEL}/PLANS.json": b"{}"}
    with pytest.raises(ModelError, match=r"holds .*PLANS\.json' twice"):
        import_model(rewritten_zip(exports / "seeded.zip", tmp_path / "twice.zip", twice), SEED)


def test_zip_bomb_is_not_unpacked(exports, models, tmp_path):
    """A gigabyte of nothing in a megabyte, as weights and as plans."""
    nothing = bytes(200 << 20)
    for name, size in (("fold_7/checkpoint_final.pth", nothing), ("plans.json", nothing)):
        bomb = {f"bomb/{name}": size, "bomb/dataset.json": b"{}", "bomb/fold_0/checkpoint_final.pth": b""}
        bomb = {"bomb/plans.json": b"{}", **bomb}
        with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for file, content in bomb.items():
                archive.writestr(file, content)
        assert (tmp_path / "bomb.zip").stat().st_size < 1 << 20
        with pytest.raises(ModelError, match=r"would unpack to 2.. MB"):
            import_model(tmp_path / "bomb.zip")
    assert left_over(models) == []


def test_zip_with_too_many_files_or_for_a_full_disk_is_not_unpacked(exports, models, monkeypatch):
    monkeypatch.setattr(model_archive, "FREE_BYTES", 1 << 60)
    with pytest.raises(ModelError, match="make room first"):
        import_model(exports / "seeded.zip", SEED)
    monkeypatch.setattr(model_archive, "MAX_ENTRIES", 3)
    with pytest.raises(ModelError, match="a model has a few; not unpacked"):
        import_model(exports / "seeded.zip", SEED)


def test_pictures_and_pickles_of_an_export_stay_in_the_zip(exports, models, tmp_path):
    mark = tmp_path / "code_ran"
    torch.save(CreatesFile(mark), tmp_path / "post.pkl")
    extra = {f"{SEEDED}/{MODEL}/postprocessing.pkl": (tmp_path / "post.pkl").read_bytes()}
    package = import_model(rewritten_zip(exports / "seeded.zip", tmp_path / "more.zip", extra), SEED)
    files = {"plans.json", "dataset.json", "fold_0.safetensors", "fold_1.safetensors", "model.json", "imported.json"}
    assert {path.name for path in package.folder.iterdir()} == files
    assert not mark.exists()


@pytest.mark.parametrize("as_zip", [False, True])
def test_export_whose_checkpoint_runs_code_is_refused_and_nothing_runs(exports, models, tmp_path, as_zip):
    mark = tmp_path / "code_ran"
    results = copied_results(exports, SEEDED, tmp_path / "bad")
    edit_checkpoint(results / "fold_1" / "checkpoint_final.pth", optimizer_state=CreatesFile(mark))
    path = Path(shutil.make_archive(str(tmp_path / "bad"), "zip", tmp_path / "bad")) if as_zip else results
    if as_zip:
        with zipfile.ZipFile(path) as archive:
            assert any(entry.is_dir() for entry in archive.infolist())
    with pytest.raises(ModelError, match=r"would call \S+ when loaded.*not opened"):
        import_model(path, SEED)
    assert not mark.exists()
    assert imported_keys() == left_over(models) == []


def test_checkpoint_alone_is_refused_with_what_is_missing(exports, models):
    with pytest.raises(ModelError, match="is a checkpoint alone; name the folder above"):
        import_model(exports / "results" / SEEDED / MODEL / "fold_0" / "checkpoint_final.pth")
    with pytest.raises(ModelError, match=r"no model in fold_0: neither a model\.json"):
        import_model(exports / "results" / SEEDED / MODEL / "fold_0")


def test_damaged_package_is_not_installed(tiny_package, models, tmp_path):
    folder = Path(shutil.copytree(tiny_package.folder, tmp_path / "tiny"))
    edit_json(folder / "plans.json", dataset_name="other")
    with pytest.raises(ModelError, match=r"plans\.json of the model .* is damaged or was changed"):
        import_model(folder)
    (folder / "plans.json").unlink()
    with pytest.raises(ModelError, match=r"lacks plans\.json"):
        import_model(folder)
    assert imported_keys() == left_over(models) == []


def wait_until_imported(process: ImportProcess) -> object:
    end_s = time.monotonic() + COLD_START_LIMIT_S
    while time.monotonic() < end_s:
        package = process.poll()
        if package is not None:
            return package
        time.sleep(0.05)
    return pytest.fail("the import has not ended")


def test_import_in_a_process_of_its_own_installs_or_says_why_not(exports, models):
    package = wait_until_imported(ImportProcess(exports / "seeded.zip", about=SEED))
    assert package == find_model("Seeded")
    with pytest.raises(ModelError, match="nobody says what they are"):
        wait_until_imported(ImportProcess(exports / "seeded.zip"))
    with pytest.raises(ModelError, match="cannot be started"):
        ImportProcess(exports / "seeded.zip", python="/no/such/python")


def test_process_that_writes_no_answer_is_told_once_and_ended(exports, models, tmp_path):
    child = tmp_path / "child"
    child.write_text("#!/bin/sh\necho 'please cite us, please cite us'\nsleep 300\n")
    child.chmod(0o755)
    process = ImportProcess(exports / "seeded.zip", python=str(child))
    with pytest.raises(ModelError, match="no answer"):
        wait_until_imported(process)
    with pytest.raises(ModelError, match="ended with code"):
        process.poll()


def test_import_that_is_stopped_leaves_nothing(exports, models):
    process = ImportProcess(exports / "seeded.zip", about=SEED)
    end_s = time.monotonic() + COLD_START_LIMIT_S
    while not left_over(models) and time.monotonic() < end_s:
        time.sleep(0.01)
    process.stop()
    assert left_over(models) == imported_keys() == []
    with pytest.raises(ModelError, match="ended with code"):
        process.poll()
