"""nnU-Net's results become a model package, or it is said why not."""

from __future__ import annotations

import inspect
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from CRLMSegmentationLib.core.crop_format import CLICK_CHANNELS
from CRLMSegmentationLib.core.errors import ModelError, UnclearChannelsError
from CRLMSegmentationLib.core.hashing import sha256_of
from CRLMSegmentationLib.segmentation.models.checkpoints import read_checkpoint
from CRLMSegmentationLib.segmentation.models.nnunet_results import OWN_TRAINERS
from CRLMSegmentationLib.segmentation.models.pack import About, pack_model
from CRLMSegmentationLib.segmentation.models.package import (
    check_takes_points,
    default_model_package,
    export_nnunet,
    load_model_package,
)
from helpers.inference_helpers import click_package
from helpers.model_import_helpers import CreatesFile, copied_results, edit_checkpoint, edit_configuration, edit_json
from helpers.nnunet_exports import GREY, MODEL, SEEDED

SEED = About(channels=("ultrasound", "seed"))
FINAL = Path("fold_0") / "checkpoint_final.pth"


@pytest.fixture
def results(exports, tmp_path) -> Path:
    """Two folds with a seed channel, to change."""
    return copied_results(exports, SEEDED, tmp_path)


def test_package_holds_all_folds_with_their_own_weights(exports, tmp_path):
    results = exports / "results" / SEEDED / MODEL
    package = pack_model(results, tmp_path / "model", SEED)
    assert package.folds == (0, 1)
    assert package.mirroring_axes == (0, 1, 2)
    for fold in package.folds:
        written = torch.load(results / f"fold_{fold}" / "checkpoint_final.pth", weights_only=False)["network_weights"]
        for name, tensor in package.weights(fold).items():
            torch.testing.assert_close(tensor, written[name], rtol=0, atol=0)


def test_package_says_what_the_caller_says_and_of_what_it_was_made(exports, tmp_path):
    results = exports / "results" / SEEDED / MODEL
    about = About("liver", "3", 60.0, ("ultrasound", "seed"), "studies", None, {"patients": 5}, {"dice": 0.8})
    about = replace(about, one_pass=True)
    package = pack_model(results, tmp_path / "model", about, folds=[1])
    assert (package.name, package.version, package.crop_size_mm, package.folds) == ("liver", "3", 60.0, (1,))
    assert package.intended_use == "studies"
    assert package.one_pass
    assert "Not a medical device" in package.not_for_clinical_use
    assert package.trained_on == {"simulated": None, "patients": 5}
    assert not package.simulated_only
    assert package.card["dice"] == 0.8
    assert package.card["patch_size"] == [16, 16, 16]
    hashes = {"fold_1/checkpoint_final.pth": sha256_of(results / "fold_1" / "checkpoint_final.pth")}
    assert package.source == {"trainer": "nnUNetTrainer", "configuration": "3d_fullres", "checkpoints": hashes}


def test_packing_prints_nothing(exports, tmp_path, capfd):
    pack_model(exports / "results" / GREY / MODEL, tmp_path / "model")
    assert capfd.readouterr().out == ""


def test_what_the_dataset_states_of_its_crops_is_used(results, tmp_path):
    stated = {"channels": ["ultrasound", "seed"], "crop_size_mm": 44.0, "trained_on": {"simulated": True}}
    edit_json(results / "dataset.json", crlm=stated)
    package = pack_model(results, tmp_path / "model")
    assert (package.channels, package.crop_size_mm) == (("ultrasound", "seed"), 44.0)
    assert package.simulated_only
    assert not package.one_pass
    assert pack_model(results, tmp_path / "other", About(crop_size_mm=55.0)).crop_size_mm == 55.0


def test_model_of_whole_volumes_says_so_and_how_long_its_images_were(exports, results, tmp_path):
    grey = exports / "results" / GREY / MODEL
    package = pack_model(grey, tmp_path / "said", About(region="volume"))
    assert (package.region, package.crop_size_mm) == ("volume", 80.0)
    stated = {"channels": ["ultrasound", "seed"], "crop_size_mm": 44.0, "region": "volume"}
    edit_json(results / "dataset.json", crlm=stated)
    package = pack_model(results, tmp_path / "stated")
    assert (package.region, package.crop_size_mm) == ("volume", 50.0), "40 voxels of 1.25 mm, whatever a crop would be"
    assert pack_model(results, tmp_path / "crop", About(region="crop")).crop_size_mm == 44.0


def test_region_that_does_not_exist_and_crop_size_without_crops_are_refused(results, tmp_path):
    with pytest.raises(ModelError, match="the region is one of crop, volume, got 'liver'"):
        pack_model(results, tmp_path / "model", replace(SEED, region="liver"))
    with pytest.raises(ModelError, match="has no crop size; leave it out"):
        pack_model(results, tmp_path / "model", replace(SEED, region="volume", crop_size_mm=80.0))
    assert not (tmp_path / "model").exists()


def test_one_channel_is_the_ultrasound_and_thick_slices_are_left_to_nnunet(exports, tmp_path):
    package = pack_model(exports / "results" / GREY / MODEL, tmp_path / "model")
    assert package.channels == ("ultrasound",)
    assert package.name == "Grey"
    assert package.spacing_mm == 1.25
    assert package.crop_size_mm == 80.0, "40 voxels of 2 mm"
    assert package.folds == (0,)
    assert list(package.source["checkpoints"]) == ["fold_all/checkpoint_final.pth"]


def test_two_channels_that_nobody_has_named_are_not_taken_for_a_seed(results, tmp_path):
    with pytest.raises(ModelError, match=r"2 channels \(ultrasound, noNorm\), and nobody says what they are"):
        pack_model(results, tmp_path / "model")
    with pytest.raises(ModelError, match=r"which cannot be ultrasound;"):
        pack_model(results, tmp_path / "model", About(channels=("ultrasound",)))
    assert not (tmp_path / "model").exists()


def test_network_that_takes_points_is_packed_where_its_channels_are_named(tmp_path):
    package = click_package(tmp_path / "made")
    results = export_nnunet(package, tmp_path / "Dataset003_Clicks" / MODEL)
    with pytest.raises(UnclearChannelsError, match="ultrasound, include, exclude, previous") as unclear:
        pack_model(results, tmp_path / "model")
    assert unclear.value.count == 4
    with pytest.raises(ModelError, match="the network sees 4 channels"):
        pack_model(results, tmp_path / "model", SEED)
    packed = pack_model(results, tmp_path / "model", About(channels=CLICK_CHANNELS))
    assert packed.channels == CLICK_CHANNELS
    check_takes_points(packed)


@pytest.mark.parametrize("order", [("ultrasound", "exclude", "include", "previous"), ("ultrasound", "a", "b", "c")])
def test_channels_in_another_order_are_refused(tmp_path, order):
    package = click_package(tmp_path / "made")
    results = export_nnunet(package, tmp_path / "Dataset003_Clicks" / MODEL)
    with pytest.raises(
        ModelError, match="known are ultrasound; ultrasound, seed; ultrasound, include, exclude, previous"
    ):
        pack_model(results, tmp_path / "model", About(channels=order))
    edit_json(package.folder / "model.json", channels=list(order))
    with pytest.raises(ModelError, match="names the channels"):
        load_model_package(package.folder)


def test_half_precision_is_refused_where_weights_do_not_fit(results, tmp_path):
    whole = pack_model(results, tmp_path / "whole", SEED, folds=[0])
    half = pack_model(results, tmp_path / "half", SEED, folds=[0], half=True)
    sizes = [(package.folder / "fold_0.safetensors").stat().st_size for package in (whole, half)]
    assert sizes[1] < 0.75 * sizes[0]
    weights = torch.load(results / FINAL, weights_only=False)["network_weights"]
    next(iter(weights.values()))[0] = 1e6
    edit_checkpoint(results / FINAL, network_weights=weights)
    with pytest.raises(ModelError, match="too large for half precision"):
        pack_model(results, tmp_path / "half", SEED, folds=[0], half=True)


def test_failed_packing_leaves_the_earlier_package_whole(results, tmp_path):
    before = pack_model(results, tmp_path / "model", SEED)
    edit_configuration(results, patch_size=[16, 16])
    with pytest.raises(ModelError):
        pack_model(results, tmp_path / "model", SEED)
    assert load_model_package(tmp_path / "model") == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_folder_with_other_files_is_not_written_into(results, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").touch()
    with pytest.raises(ModelError, match="is no model package; name a new folder"):
        pack_model(results, tmp_path / "notes", SEED)


def test_training_that_has_not_ended_is_packed_only_when_asked_for(results, tmp_path):
    (results / FINAL).unlink()
    with pytest.raises(ModelError, match=r"fold_0 has no checkpoint_final\.pth, but checkpoint_best\.pth"):
        pack_model(results, tmp_path / "model", SEED)
    package = pack_model(results, tmp_path / "model", SEED, checkpoint="best")
    assert sorted(package.source["checkpoints"]) == ["fold_0/checkpoint_best.pth", "fold_1/checkpoint_best.pth"]


def test_missing_fold_is_told_with_those_that_are_there(results, tmp_path):
    with pytest.raises(ModelError, match=r"has no fold 4; it has: 0, 1"):
        pack_model(results, tmp_path / "model", SEED, folds=[0, 4])


def test_folder_without_plans_is_told(tmp_path):
    with pytest.raises(ModelError, match=r"has no plans\.json; name nnU-Net's folder"):
        pack_model(tmp_path, tmp_path / "model")


def test_folds_that_were_trained_differently_are_refused(results, tmp_path):
    edit_checkpoint(results / "fold_1" / "checkpoint_final.pth", inference_allowed_mirroring_axes=(2,))
    with pytest.raises(ModelError, match=r"not trained alike: mirroring_axes of fold 1 is \(2,\)"):
        pack_model(results, tmp_path / "model", SEED)


@pytest.mark.parametrize(
    ("trainer", "message"),
    [
        ("SwinTrainerOfAGroup", r"SwinTrainerOfAGroup, which nnunetv2 .* does not have"),
        ("nnUNetTrainerBN", r"builds another network than its plans say"),
        ("nnUNet_Primus_S_Trainer", r"builds another network|cannot be loaded here"),
        ("os.system", r"does not have"),
    ],
)
def test_trainer_whose_network_cannot_be_known_is_refused(results, tmp_path, trainer, message):
    for fold in (0, 1):
        edit_checkpoint(results / f"fold_{fold}" / "checkpoint_final.pth", trainer_name=trainer)
    with pytest.raises(ModelError, match=message):
        pack_model(results, tmp_path / "model", SEED)


def test_trainer_of_nnunet_that_changes_only_the_training_is_packed(results, tmp_path):
    edit_checkpoint(results / FINAL, trainer_name="nnUNetTrainer_100epochs")
    assert pack_model(results, tmp_path / "model", SEED, folds=[0]).source["trainer"] == "nnUNetTrainer_100epochs"


def test_every_trainer_of_this_project_is_known_and_builds_the_network_of_the_plans():
    from CRLMSegmentationLib.research.training import trainer
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    own = [c for _, c in inspect.getmembers(trainer, inspect.isclass) if issubclass(c, nnUNetTrainer)]
    for made in own:
        assert made is nnUNetTrainer or made.__name__ in OWN_TRAINERS
        assert made.build_network_architecture is nnUNetTrainer.build_network_architecture


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch_size": [16, 16]}, "3d_fullres is a 2D network"),
        ({"previous_stage": "3d_lowres"}, "second stage of a cascade"),
        ({"preprocessor_name": "Popen"}, "import Popen"),
        ({"normalization_schemes": ["ZScoreNormalization", "ABC"]}, "import ABC"),
        ({"resampling_fn_data": "map_coordinates"}, "import map_coordinates"),
        ({"inherits_from": "2d"}, "does not tell 3d_fullres"),
        ({"architecture": {"network_class_name": "x"}}, "is not as nnU-Net v2 writes it: KeyError"),
    ],
)
def test_plans_that_cannot_be_run_are_refused(results, tmp_path, changes, message):
    edit_configuration(results, **changes)
    with pytest.raises(ModelError, match=message):
        pack_model(results, tmp_path / "model", SEED)


def test_network_class_that_nnunet_does_not_have_is_refused(results, tmp_path):
    architecture = json.loads((results / "plans.json").read_text())["configurations"]["3d_fullres"]["architecture"]
    architecture["network_class_name"] = "dynamic_network_architectures.architectures.unet.UNetOfTomorrow"
    edit_configuration(results, architecture=architecture)
    with pytest.raises(ModelError, match=r"nnunetv2 .* cannot build or run this network"):
        pack_model(results, tmp_path / "model", SEED)


def test_weights_that_do_not_fit_the_plans_are_refused(results, tmp_path):
    architecture = json.loads((results / "plans.json").read_text())["configurations"]["3d_fullres"]["architecture"]
    architecture["arch_kwargs"]["features_per_stage"] = [4, 8, 16]
    edit_configuration(results, architecture=architecture)
    with pytest.raises(ModelError, match="does not fit its plans"):
        pack_model(results, tmp_path / "model", SEED)


def test_several_tumour_classes_are_refused_and_ignored_voxels_are_not(results, tmp_path):
    edit_json(results / "dataset.json", labels={"background": 0, "tumour": 1, "ignore": 2})
    assert pack_model(results, tmp_path / "model", SEED).folds == (0, 1)
    for labels in ({"background": 0, "liver": 1, "tumour": 2}, {"background": 0, "tumour": [1, 2]}):
        edit_json(results / "dataset.json", labels=labels)
        with pytest.raises(ModelError, match="expected the labels 0 and 1"):
            pack_model(results, tmp_path / "model", SEED)


def test_name_that_leads_elsewhere_is_refused(results, tmp_path):
    with pytest.raises(ModelError, match=r"^a name or version is .* got '\.\./\.\./evil'"):
        pack_model(results, tmp_path / "model", About("../../evil", channels=("ultrasound", "seed")))


# ---- checkpoints


def test_checkpoint_that_runs_code_is_refused_and_never_run(results, tmp_path):
    mark = tmp_path / "code_ran"
    edit_checkpoint(results / FINAL, logging=CreatesFile(mark))
    with pytest.raises(ModelError, match=r"would call pathlib\.\S*touch|would call \S*getattr|would call pathlib"):
        pack_model(results, tmp_path / "model", SEED)
    assert not mark.exists()
    torch.load(results / FINAL, weights_only=False)
    assert mark.exists(), "the checkpoint was harmless: the test has shown nothing"


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_checkpoint_that_is_cut_off_is_told(results, share):
    content = (results / FINAL).read_bytes()
    (results / FINAL).write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelError, match="cut off, or no checkpoint"):
        read_checkpoint(results / FINAL)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trainer_name": None}, "no checkpoint of nnU-Net v2: KeyError"),
        ({"network_weights": {}}, "no weights"),
        ({"network_weights": {"a": 3}}, "'a' of a kind that no network"),
        ({"network_weights": {"a": torch.ones(1).expand(10**12)}}, "claims more numbers than the file holds"),
        ({"network_weights": {"a": torch.ones(3).to_sparse()}}, "of a kind that no network"),
        ({"network_weights": {"a": torch.tensor([float("nan")])}}, "this training has failed"),
        ({"inference_allowed_mirroring_axes": (7,)}, "no checkpoint of nnU-Net v2"),
        ({"init_args": {"configuration": 3}}, "expected a name, got int"),
    ],
)
def test_checkpoint_with_other_content_is_refused(results, changes, message):
    edit_checkpoint(results / FINAL, **changes)
    with pytest.raises(ModelError, match=message):
        read_checkpoint(results / FINAL)


def test_torch_whose_safe_way_is_not_safe_is_refused(results, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
    with pytest.raises(ModelError, match="CVE-2025-32434"):
        read_checkpoint(results / FINAL)


def test_numbers_that_numpy_1_has_pickled_are_read(results, tmp_path):
    old = tmp_path / "checkpoint_final.pth"
    with zipfile.ZipFile(results / FINAL) as archive, zipfile.ZipFile(old, "w") as written:
        for entry in archive.infolist():
            content = archive.read(entry)
            written.writestr(entry.filename, content.replace(b"cnumpy._core.multi", b"cnumpy.core.multi"))
        assert b"cnumpy._core.multi" in archive.read("checkpoint_final/data.pkl")
    assert read_checkpoint(old).epochs == read_checkpoint(results / FINAL).epochs == 1


def test_shipped_model_as_nnunet_has_it_is_packed_to_the_same_model(tmp_path):
    shipped = default_model_package()
    results = export_nnunet(shipped, tmp_path / "results")
    about = About(shipped.name, shipped.version, shipped.crop_size_mm, shipped.channels)
    packed = pack_model(results, tmp_path / "model", about, half=True)
    assert packed.sha256 == shipped.sha256
    assert (packed.spacing_mm, packed.mirroring_axes) == (shipped.spacing_mm, shipped.mirroring_axes)


def test_plans_of_the_first_releases_of_nnunet_are_understood(results, tmp_path):
    """They told the parts of the network one by one, and named a class of nnU-Net's."""
    now = pack_model(results, tmp_path / "now", SEED)
    kwargs = now.plans()["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    old = {
        "UNet_class_name": "PlainConvUNet",
        "UNet_base_num_features": 4,
        "unet_max_num_features": 8,
        "n_conv_per_stage_encoder": [1] * 3,
        "n_conv_per_stage_decoder": [1] * 2,
        "num_pool_per_axis": [2] * 3,
        "conv_kernel_sizes": kwargs["kernel_sizes"],
        "pool_op_kernel_sizes": kwargs["strides"],
    }
    plans = json.loads((results / "plans.json").read_text())
    del plans["configurations"]["3d_fullres"]["architecture"]
    plans["configurations"]["3d_fullres"].update(old)
    (results / "plans.json").write_text(json.dumps(plans))
    then = pack_model(results, tmp_path / "then", SEED)
    assert then.plans()["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"] == kwargs


def test_residual_encoder_is_packed(results, tmp_path):
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    architecture = json.loads((results / "plans.json").read_text())["configurations"]["3d_fullres"]["architecture"]
    name = architecture["network_class_name"] = "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet"
    kwargs = architecture["arch_kwargs"]
    kwargs["n_blocks_per_stage"] = kwargs.pop("n_conv_per_stage")
    edit_configuration(results, architecture=architecture)
    network = get_network_from_plans(name, kwargs, architecture["_kw_requires_import"], 2, 2)
    edit_checkpoint(results / FINAL, network_weights=network.state_dict())
    assert set(pack_model(results, tmp_path / "model", SEED, folds=[0]).weights(0)) == set(network.state_dict())
