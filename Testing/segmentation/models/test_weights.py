"""Weights and archives of models that are cut off say so."""

import json
import os
import zipfile

import pytest
from CRLMSegmentationLib.core.errors import ModelError
from CRLMSegmentationLib.segmentation.models.archive import opened_model
from CRLMSegmentationLib.segmentation.models.package import _verify
from CRLMSegmentationLib.segmentation.models.weights import check_safetensors


@pytest.fixture
def weights(tmp_path):
    """A safetensors file of two tensors, 24 bytes."""
    folder = tmp_path / "model"
    folder.mkdir()
    tensors = {
        "__metadata__": {"aliases": "{}"},
        "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        "b": {"dtype": "F32", "shape": [4], "data_offsets": [8, 24]},
    }
    header = json.dumps(tensors).encode()
    path = folder / "fold_0.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(24))
    return path


def test_whole_weights_are_taken(weights):
    check_safetensors(weights)


def test_weights_cut_at_any_length_are_refused(weights):
    whole = weights.read_bytes()
    for length in range(len(whole)):
        weights.write_bytes(whole[:length])
        with pytest.raises(ModelError, match=r"is cut off: expected \d+ bytes"):
            check_safetensors(weights)


def test_weights_with_other_data_behind_are_refused(weights):
    weights.write_bytes(weights.read_bytes() + b"more")
    with pytest.raises(ModelError, match="its header tells of"):
        check_safetensors(weights)


@pytest.mark.parametrize("content", [b"\x80\x02}q\x00(X\x01", b"PK\x03\x04" + bytes(40), bytes(8)])
def test_file_of_another_format_is_refused_as_that(weights, content):
    weights.write_bytes(content)
    with pytest.raises(ModelError, match="no safetensors file"):
        check_safetensors(weights)


@pytest.mark.parametrize("header", [b"[]", b"{", b'{"a": 1}', b'{"a": {"data_offsets": ["x", "y"]}}', b"[" * 100_000])
def test_header_of_weights_that_cannot_be_understood_is_refused(weights, header):
    weights.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ModelError, match="no safetensors file"):
        check_safetensors(weights)


def test_cut_off_weights_of_a_model_are_told_as_that(weights):
    weights.write_bytes(weights.read_bytes()[:-3])
    with pytest.raises(ModelError, match="is cut off"):
        _verify(weights, "0" * 64)


def test_weights_that_are_a_link_out_of_the_model_are_refused(weights, tmp_path):
    os.replace(weights, tmp_path / "elsewhere.safetensors")
    os.symlink(tmp_path / "elsewhere.safetensors", weights)
    with pytest.raises(ModelError, match="link out of its folder"):
        _verify(weights, "0" * 64)


def test_archive_cut_at_any_length_is_refused(weights, tmp_path):
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/model.json", "{}")
        archive.write(weights, "m/fold_0.safetensors")
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError, match="damaged or cut off"), opened_model(path, None, tmp_path):
            pass
