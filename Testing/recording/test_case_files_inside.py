"""What a case is made of lies in its folder, is listed, and is genuine: also the data of detached headers."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import CaseError, CrlmError
from CRLMSegmentationLib.core.hashing import sha256_of
from CRLMSegmentationLib.recording.case import CASE_FILE, Case, CaseVolume, load_case, save_case
from helpers.volume_file_helpers import mha, nrrd, nrrd_lines

COUNTED = bytes(range(24))


@pytest.fixture
def folder(tmp_path):
    """A case folder beside a file that does not belong to it."""
    (tmp_path / "secret.txt").write_bytes(COUNTED)
    (tmp_path / "case").mkdir()
    return tmp_path / "case"


def detached(folder, name, data):
    if name.startswith("volume.n"):
        return nrrd(folder, [*nrrd_lines(), f"data file: {data}"], b"", name)
    return mha(folder, b"", name, ElementDataFile=data)


def write_case(folder, name, listed=(), **entries):
    """A `case.json` by hand, with the right hashes of a volume and of further files."""
    files = {name: sha256_of(folder / name), **{other: sha256_of(folder / other) for other in listed}}
    volume = {"file": name, "device": "Volume", "timestamp_s": 0.0}
    entry = {"schema_version": 1, "case_id": "c", "volumes": [volume], "files": files, **entries}
    (folder / CASE_FILE).write_text(json.dumps(entry))


HEADERS = ["volume.nrrd", "volume.nhdr", "volume.mha", "volume.mhd"]


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("data", ["../secret.txt", "absolute", "link.raw", "sub/../../secret.txt"])
@pytest.mark.parametrize("is_listed", [False, True])
def test_voxels_outside_the_case_are_refused(folder, name, data, is_listed):
    (folder / "sub").mkdir()
    os.symlink("../secret.txt", folder / "link.raw")
    data = str(folder.parent / "secret.txt") if data == "absolute" else data
    detached(folder, name, data)
    write_case(folder, name, [data] if is_listed else [])
    with pytest.raises(CaseError, match=r"outside its folder|no hash of .*(secret\.txt|link\.raw)"):
        load_case(folder)
    with pytest.raises(CrlmError, match="outside its folder"):
        load_case(folder, verify=False).volume()


@pytest.mark.parametrize("name", HEADERS)
def test_voxels_of_a_header_must_be_listed_and_genuine(folder, name):
    (folder / "voxels.raw").write_bytes(COUNTED)
    detached(folder, name, "voxels.raw")
    write_case(folder, name)
    with pytest.raises(CaseError, match=r"no hash of voxels\.raw"):
        load_case(folder)
    write_case(folder, name, ["voxels.raw"])
    assert load_case(folder).volume().array.ravel().tolist() == [*COUNTED]
    (folder / "voxels.raw").write_bytes(COUNTED[::-1])
    with pytest.raises(CaseError, match=r"voxels\.raw differs from its hash"):
        load_case(folder)


@pytest.mark.parametrize("name", HEADERS)
def test_saved_case_lists_the_voxels_of_its_headers(folder, name):
    (folder / "voxels.raw").write_bytes(COUNTED)
    detached(folder, name, "voxels.raw")
    save_case(Case(folder, "c", (CaseVolume(name, "Volume", 0.0),)))
    assert set(json.loads((folder / CASE_FILE).read_text())["files"]) == {name, "voxels.raw"}
    assert load_case(folder).volume().array.ravel().tolist() == [*COUNTED]


def test_case_whose_voxels_lie_outside_is_not_saved(folder):
    detached(folder, "volume.nrrd", "../secret.txt")
    with pytest.raises(CaseError, match="outside its folder"):
        save_case(Case(folder, "c", (CaseVolume("volume.nrrd", "Volume", 0.0),)))


@pytest.mark.parametrize("entry", ["truth", "tracking", "recording", "arrivals", "events", "results", "swept"])
def test_no_entry_may_name_a_file_outside_the_case(folder, entry):
    nrrd(folder.parent, nrrd_lines(), COUNTED, "other.nrrd")
    nrrd(folder, nrrd_lines(), COUNTED, "volume.nrrd")
    outside = "../other.nrrd"
    volume = {"file": "volume.nrrd", "device": "Volume", "timestamp_s": 0.0, "swept": outside}
    named = {"volumes": [volume]} if entry == "swept" else {entry: [outside] if entry == "results" else outside}
    write_case(folder, "volume.nrrd", [outside], **named)
    with pytest.raises(CaseError, match=r"outside its folder|in this folder"):
        load_case(folder)


def test_links_that_lead_outside_are_not_followed_in_a_case_that_is_not_verified(folder):
    nrrd(folder.parent, nrrd_lines(), COUNTED, "other.nrrd")
    (folder.parent / "tracking.jsonl").write_text("")
    nrrd(folder, nrrd_lines(), COUNTED, "volume.nrrd")
    for name in ("other.nrrd", "tracking.jsonl"):
        (folder / name).symlink_to(Path("..", name))
    write_case(folder, "volume.nrrd", truth="other.nrrd", tracking="tracking.jsonl")
    case = load_case(folder, verify=False)
    for read in (case.truth_labels, lambda: list(case.tracking_samples())):
        with pytest.raises(CaseError, match="outside its folder"):
            read()


@pytest.mark.parametrize("kind", ["pipe", "loop", "folder"])
def test_what_is_no_file_is_refused_without_waiting(folder, kind):
    nrrd(folder, nrrd_lines(), COUNTED, "volume.nrrd")
    write_case(folder, "volume.nrrd")
    (folder / "volume.nrrd").unlink()
    if kind == "pipe":
        os.mkfifo(folder / "volume.nrrd")
    elif kind == "loop":
        os.symlink("volume.nrrd", folder / "volume.nrrd")
    else:
        (folder / "volume.nrrd").mkdir()
    with pytest.raises(CaseError, match=r"is missing|cannot be followed"):
        load_case(folder)


def test_cut_off_truth_and_swept_mask_are_refused(folder):
    nrrd(folder, nrrd_lines(), COUNTED, "volume.nrrd")
    nrrd(folder, nrrd_lines(), COUNTED[:11], "mask.nrrd")
    volume = {"file": "volume.nrrd", "device": "Volume", "timestamp_s": 0.0, "swept": "mask.nrrd"}
    write_case(folder, "volume.nrrd", ["mask.nrrd"], truth="mask.nrrd", volumes=[volume])
    case = load_case(folder)
    for read in (case.volume, case.truth_labels):
        with pytest.raises(CrlmError, match="cut off: expected 24 bytes, found 11"):
            read()


def test_truth_may_be_a_segmentation_of_several_layers(folder):
    nrrd(folder, nrrd_lines(), COUNTED, "volume.nrrd")
    lines = nrrd_lines(
        dimension="4",
        sizes="2 2 3 4",
        kinds="list domain domain domain",
        space_directions="none (1,0,0) (0,1,0) (0,0,1)",
    )
    names = [f"Segment{n}_{key}:={value}" for n in (0, 1) for key, value in (("ID", f"s{n}"), ("Layer", n))]
    layers = np.zeros((4, 3, 2, 2), np.uint8)
    layers[0, 0, 0, 0] = layers[3, 2, 1, 1] = 1
    nrrd(folder, [*lines, *names], layers.tobytes(), "truth.seg.nrrd")
    write_case(folder, "volume.nrrd", ["truth.seg.nrrd"], truth="truth.seg.nrrd")
    labels = load_case(folder).truth_labels().array
    assert (labels[0, 0, 0], labels[3, 2, 1], np.count_nonzero(labels)) == (1, 2, 2)
