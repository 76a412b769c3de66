"""Bad input: one line that says cause and next action, exit code 1, nothing written and nothing lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from CRLMSegmentationLib.core.volume import Volume, write_volume
from CRLMSegmentationLib.igtl.server import IgtlServer
from helpers.cli_helpers import names_in, run

SEED = ("--seed", 20, 20, 20)


def fails(done, *texts: str) -> None:
    """It has failed as it should, naming all of the texts in its only line."""
    assert done.code == 1
    assert done.out == ""
    (line,) = done.error_lines
    assert line.startswith("Error: ")
    for text in texts:
        assert text in line


def nan_voxels(path: Path) -> None:
    array = np.full((4, 5, 6), np.nan, np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))


def one_slice(path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((1, 5, 6), np.uint8)), str(path))


def two_dimensions(path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((5, 6), np.uint8)), str(path))


def colour(path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((4, 5, 6, 3), np.uint8), isVector=True), str(path))


def flat_colour(path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((40, 40, 3), np.uint8), isVector=True), str(path))


def four_dimensions(path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((2, 4, 5, 40), np.uint8), isVector=False), str(path))


def beyond_single_precision(path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.full((4, 5, 6), 1e300)), str(path))


def zero_size(path: Path) -> None:
    nrrd(path, "sizes: 0 5 6")


def singular(path: Path) -> None:
    nrrd(path, "space directions: (1,0,0) (1,0,0) (0,0,1)")


def sheared(path: Path) -> None:
    nrrd(path, "space directions: (1,0,0) (0.5,1,0) (0,0,1)")


def huge_spacing(path: Path) -> None:
    nrrd(path, "space directions: (1000,0,0) (0,1000,0) (0,0,1000)")


def tiny_spacing(path: Path) -> None:
    nrrd(path, "space directions: (0.000001,0,0) (0,0.000001,0) (0,0,0.000001)")


def text_file(path: Path) -> None:
    path.write_text("This is no volume.")


def cut_short(path: Path) -> None:
    nrrd(path)
    path.write_bytes(path.read_bytes()[:-60])


def nrrd(path: Path, *changed: str) -> None:
    """A fine file of 4 x 5 x 6 voxels, but for the lines that are changed."""
    fields = {"type": "uint8", "dimension": "3", "space": "left-posterior-superior", "sizes": "4 5 6"}
    fields["space directions"] = "(1,0,0) (0,1,0) (0,0,1)"
    fields |= {"kinds": "domain domain domain", "encoding": "raw", "space origin": "(0,0,0)"}
    fields |= dict(line.split(": ", 1) for line in changed)
    header = "NRRD0004\n" + "".join(f"{name}: {value}\n" for name, value in fields.items()) + "\n"
    path.write_bytes(header.encode() + bytes(range(120)))


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (nan_voxels, "no voxel holds a finite number"),
        (one_slice, "single slice"),
        (two_dimensions, "2 dimensions"),
        (colour, "colour"),
        (flat_colour, "2 dimensions"),
        (four_dimensions, "4 dimensions"),
        (beyond_single_precision, "single precision"),
        (zero_size, "size must be positive along each axis"),
        (singular, "singular matrix"),
        (sheared, "right angles"),
        (huge_spacing, "spacing"),
        (tiny_spacing, "spacing"),
        (text_file, "volume.nrrd"),
        (cut_short, "60"),
    ],
)
@pytest.mark.parametrize("command", ["segment", "replay"])
def test_impossible_volume_is_refused(crlm_seg, command, damage, cause, tmp_path):
    volume, out = tmp_path / "volume.nrrd", tmp_path / "out.nrrd"
    damage(volume)
    rest = ["--port", 0] if command == "replay" else [*SEED, "--out", out]
    fails(crlm_seg(command, volume, *rest), cause)
    assert not out.exists()


def test_volume_that_is_not_there_is_told(crlm_seg, tmp_path):
    fails(crlm_seg("segment", tmp_path / "none.nrrd", *SEED, "--out", tmp_path / "out.nrrd"), "no such file")
    fails(crlm_seg("replay", tmp_path / "none.nrrd"), "no such file")


@pytest.fixture
def volume(tmp_path, tiny_volume) -> Path:
    """The tiny volume, whose lower half in i was never swept."""
    array = tiny_volume.array.copy()
    array[:, :, :10] = 0
    write_volume(Volume(array, np.eye(4)), tmp_path / "volume.nrrd")
    return tmp_path / "volume.nrrd"


@pytest.mark.parametrize(
    ("seed", "cause"), [((100, 20, 20), "outside the volume"), ((3, 20, 20), "where the probe has not been")]
)
def test_seed_that_cannot_be_is_refused_and_earlier_output_stays(crlm_seg, volume, seed, cause, tmp_path):
    out = tmp_path / "out.seg.nrrd"
    out.write_text("of an earlier run")
    fails(crlm_seg("segment", volume, *SEED, "--seed", *seed, "--out", out), cause)
    assert out.read_text() == "of an earlier run"
    assert names_in(tmp_path) == ["out.seg.nrrd", "volume.nrrd"]


def remove_weights(folder: Path) -> None:
    (folder / "fold_0.safetensors").unlink()


def flip_a_bit(folder: Path) -> None:
    content = bytearray((folder / "fold_0.safetensors").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "fold_0.safetensors").write_bytes(content)


def break_manifest(folder: Path) -> None:
    (folder / "model.json").write_text('{"schema_version": 1,')


def remove_manifest(folder: Path) -> None:
    (folder / "model.json").unlink()


def remove_plans(folder: Path) -> None:
    (folder / "plans.json").unlink()


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (remove_weights, "lacks fold_0.safetensors"),
        (flip_a_bit, "damaged"),
        (break_manifest, "model.json"),
        (remove_manifest, "model.json"),
        (remove_plans, "lacks plans.json"),
    ],
)
def test_incomplete_or_damaged_model_is_refused(crlm_seg, damage, cause, damaged_model, volume, sample, tmp_path):
    damage(damaged_model)
    out = tmp_path / "out"
    fails(crlm_seg("segment", volume, *SEED, "--model", damaged_model, "--out", tmp_path / "out.nrrd"), cause)
    fails(crlm_seg("demo", "--case", sample.folder, "--model", damaged_model, "--out", out), cause)
    assert not out.exists()
    told = json.loads(crlm_seg("info", "--json", "--model", damaged_model).out)
    assert told["model"] is None
    assert cause in told["model_error"]


@pytest.mark.parametrize("name", ["volume.nrrd", "truth.nrrd", "tracking.jsonl"])
def test_case_whose_file_differs_from_its_hash_is_refused(crlm_seg, name, sample, tmp_path):
    case = Path(shutil.copytree(sample.folder, tmp_path / "case"))
    with (case / name).open("ab") as file:
        file.write(b" ")
    out = tmp_path / "out"
    out.mkdir()
    (out / "report.html").write_text("of an earlier run")
    fails(crlm_seg("demo", "--case", case, "--out", out), f"{name} differs from its hash", "copy the case again")
    assert (out / "report.html").read_text() == "of an earlier run"
    fails(crlm_seg("replay", case, "--port", 0), f"{name} differs from its hash")


def test_folder_without_a_case_is_told(crlm_seg, tmp_path):
    fails(crlm_seg("demo", "--case", tmp_path, "--out", tmp_path / "out"), "case.json is missing")
    fails(crlm_seg("replay", tmp_path), "case.json is missing")


def test_case_without_a_seed_is_told(crlm_seg, tiny_case, model, tmp_path):
    entry = json.loads((tiny_case / "case.json").read_text())
    (tiny_case / "case.json").write_text(json.dumps({**entry, "lesions": []}))
    fails(crlm_seg("demo", "--case", tiny_case, "--model", model.folder, "--out", tmp_path / "out"), "no seed")


def test_port_in_use_is_told(sample):
    with IgtlServer() as server:
        fails(run("replay", sample.folder, "--port", server.port), f"port {server.port}", "in use")


def test_address_that_is_not_of_this_machine_is_told_without_a_note(crlm_seg, tiny_case):
    fails(crlm_seg("replay", tiny_case, "--port", 0, "--host", "300.1.1.1"), "300.1.1.1 is no address")


def test_places_that_cannot_be_written_to_are_told_before_the_work(crlm_seg, volume, model, tmp_path):
    def segment(*arguments):
        return crlm_seg("segment", volume, *SEED, *arguments)

    content = volume.read_bytes()
    fails(segment("--out", volume), "written over")
    fails(segment("--out", tmp_path / "out.nrrd", "--report", volume), "written over")
    fails(segment("--out", tmp_path / "out.nrrd", "--report", tmp_path / "out.nrrd"), "written over")
    fails(segment("--out", tmp_path / "none" / "out.nrrd"), "does not exist; make it first")
    fails(segment("--out", tmp_path / "out.nrrd", "--report", tmp_path / "none" / "r.json"), "does not exist")
    fails(segment("--out", tmp_path / "out.png"), "out.png", ".seg.nrrd")
    fails(crlm_seg("demo", "--model", model.folder, "--out", volume), "volume.nrrd", "cannot be made")
    fails(crlm_seg("phantom", "--out", volume), "cannot be made")
    assert names_in(tmp_path) == ["volume.nrrd"]
    assert volume.read_bytes() == content


def test_names_in_brackets_are_told_as_they_are(crlm_seg, tmp_path):
    fails(crlm_seg("replay", tmp_path / "[red]case[bold]"), "[red]case[bold]")
