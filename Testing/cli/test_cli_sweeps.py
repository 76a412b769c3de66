"""Tracked sweeps on the command line: a shipped case, sliced into frames, must come back as the volume it was."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from CRLMSegmentationLib.cli import demo_run, segment_files
from CRLMSegmentationLib.core.volume import read_volume
from CRLMSegmentationLib.igtl.client import IgtlClient
from CRLMSegmentationLib.igtl.messages import ImageMessage
from CRLMSegmentationLib.recording.case import load_case
from CRLMSegmentationLib.recording.message_log import MESSAGES_FILE
from CRLMSegmentationLib.reports.igtl_results import SEGMENTATION, STATE
from CRLMSegmentationLib.tracking.sweeps.sequence import TrackedSequence, TransformTrack
from CRLMSegmentationLib.tracking.sweeps.sequence_io import write_sequence
from helpers.cli_helpers import TIMEOUT_S, DarkRun, InstantEngine, Run

FRAME_RATE_HZ = 30.0


@pytest.fixture(scope="module")
def sweep(sample, tmp_path_factory):
    """Path of a sweep whose frames are the slices of the sample's volume, the probe moving along its k axis."""
    volume = sample.volume()
    count = len(volume.array)
    probe = np.tile(np.eye(4), (count, 1, 1))
    probe[:, :3, 3] = [(volume.ijk_to_ras @ [0, 0, k, 1])[:3] for k in range(count)]
    times_s = 100.0 + np.arange(count) / FRAME_RATE_HZ
    track = TransformTrack(probe, ("OK",) * count)
    path = tmp_path_factory.mktemp("sweep") / "sliced.igs.mha"
    sequence = TrackedSequence("sliced", volume.array, times_s, ("OK",) * count, {"ProbeToReference": track})
    write_sequence(sequence, path)
    return path


@pytest.fixture(scope="module")
def calibration(sample, tmp_path_factory):
    """Pixels lie in the probe's frame as they lay in the volume."""
    matrix = sample.volume().ijk_to_ras.copy()
    matrix[:3, 3] = 0
    path = tmp_path_factory.mktemp("calibration") / "image-to-probe.txt"
    path.write_text("\n".join(" ".join(map(str, row)) for row in matrix))
    return path


@pytest.fixture(scope="module")
def seed(sample):
    return sample.lesions[0].seed_ras_mm


def test_sliced_volume_is_put_together_again(crlm_seg, sweep, calibration, sample, tmp_path):
    out = tmp_path / "again.nrrd"
    done = crlm_seg("reconstruct", sweep, "--calibration", calibration, "--keep-holes", "--out", out)
    assert done.code == 0, done
    assert f"{len(sample.volume().array)} of {len(sample.volume().array)} frames used" in done.out
    again, before = read_volume(out), sample.volume()
    shift = np.linalg.inv(again.ijk_to_ras) @ before.ijk_to_ras
    np.testing.assert_allclose(shift[:3, :3], np.eye(3), atol=1e-6)
    i, j, k = np.round(shift[:3, 3]).astype(int)
    size_k, size_j, size_i = before.array.shape
    part = again.array[k : k + size_k, j : j + size_j, i : i + size_i]
    np.testing.assert_array_equal(part, before.array)


def test_lesion_in_a_sweep_is_the_lesion_in_its_volume(
    crlm_seg, monkeypatch, sweep, calibration, sample, seed, tmp_path
):
    """For a stub that calls dark voxels tumour."""
    monkeypatch.setattr(segment_files, "WorkerEngine", lambda model, precision="auto": InstantEngine())
    labels = {}
    for name, source in {
        "volume": [sample.folder / "volume.nrrd"],
        "sweep": [sweep, "--calibration", calibration],
    }.items():
        out = tmp_path / f"{name}.nrrd"
        done = crlm_seg("segment", *source, "--seed", *seed, "--out", out)
        assert done.code == 0, done
        labels[name] = read_volume(out).array
    counts = {name: np.count_nonzero(array) for name, array in labels.items()}
    assert counts["volume"] > 1000
    assert counts["sweep"] == pytest.approx(counts["volume"], rel=0.03)


@pytest.mark.usefixtures("undrawn")
def test_demo_reconstructs_the_sweep_while_it_is_played(
    crlm_seg, monkeypatch, sweep, calibration, sample, seed, tmp_path
):
    """For the same stub; the network and the pictures are those of the demo of a case."""
    monkeypatch.setattr(demo_run, "WorkerEngine", lambda model, precision="auto": InstantEngine())
    arguments = ["--seed", *seed, "--out"]
    done = crlm_seg("demo", "--case", sweep, "--calibration", calibration, *arguments, tmp_path / "sweep")
    assert done.code == 0, done
    done = crlm_seg("demo", "--case", sample.folder / "volume.nrrd", *arguments, tmp_path / "volume")
    assert done.code == 0, done
    entry, of_the_volume = (json.loads((tmp_path / name / "report.json").read_text()) for name in ("sweep", "volume"))
    assert of_the_volume["volume_ml"] > 1
    assert entry["volume_ml"] == pytest.approx(of_the_volume["volume_ml"], rel=0.03)
    assert entry["simulated"] is None
    assert entry["metrics"] is None


def test_sweep_without_its_calibration_is_refused_at_once(crlm_seg, sweep, tmp_path):
    for command in (["reconstruct", sweep, "--out", tmp_path / "a.nrrd"], ["demo", "--case", sweep, "--seed", 0, 0, 0]):
        done = crlm_seg(*command)
        assert done.code == 1
        assert "--calibration" in done.err
        assert len(done.error_lines) == 1


def test_info_tells_what_a_sweep_a_volume_and_a_case_hold(crlm_seg, sweep, sample):
    told = crlm_seg("info", sweep).out
    assert f"frames: {len(sample.volume().array)}" in told
    assert "frames per second: 30" in told
    assert "ProbeToReference:" in told
    assert "spacing mm: 1 x 1 x 1" in crlm_seg("info", sample.folder / "volume.nrrd").out
    case = json.loads(crlm_seg("info", sample.folder, "--json").out)
    assert case["kind"] == "case"
    assert case["source"]["kind"] == "simulated"
    assert case["messages"]["recvol_Reference"] == "1 x volume"
    assert case["lesions"][0]["name"] == "Tumour 1"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--compounding", "median"], "mean, maximum, latest"),
        (["--spacing", "0"], "above 0"),
        (["--spacing", "nan"], "above 0"),
    ],
)
def test_wrong_options_of_reconstruct_end_with_2(crlm_seg, sweep, calibration, tmp_path, arguments, told):
    done = crlm_seg("reconstruct", sweep, "--calibration", calibration, "--out", tmp_path / "a.nrrd", *arguments)
    assert done.code == 2
    assert told in " ".join(done.err.split())


def test_spacing_that_needs_too_much_memory_is_refused_with_one_that_fits(crlm_seg, sweep, calibration, tmp_path):
    done = crlm_seg(
        "reconstruct", sweep, "--calibration", calibration, "--out", tmp_path / "a.nrrd", "--spacing", "0.05"
    )
    assert done.code == 1
    assert "choose a spacing of" in done.err


def test_unknown_peer_is_refused_with_the_known_ones(crlm_seg, sweep, tmp_path):
    for command in (["replay", sweep], ["record", "--out", tmp_path / "r"]):
        done = crlm_seg(*command, "--peer", "brainlab")
        assert done.code == 1
        assert "plus, slicer, custusx" in done.err


def wait_until_nothing_is_added(file):
    """For as long as a recorder may be kept waiting on a busy machine, whose sender has nothing more to send."""
    sizes = [-1, 0]
    while sizes[-1] != sizes[-2] or sizes[-1] == 0:
        time.sleep(1.0)
        sizes.append(file.stat().st_size if file.exists() else 0)


@pytest.mark.parametrize("peer", ["plus", "custusx"])
def test_recording_of_a_replay_of_a_sweep_gives_the_same_volume(crlm_seg, peer, sweep, calibration, tmp_path):
    with Run("replay", sweep, "--calibration", calibration, "--port", 0, "--peer", peer) as replay:
        port = replay.wait_for_line("out", "port").split()[-1]
        with Run("record", "--port", port, "--out", tmp_path / "case", "--peer", peer) as record:
            replay.wait_for_line("out", "all was played")
            wait_until_nothing_is_added(tmp_path / "case" / MESSAGES_FILE)
            record.press_ctrl_c()
            done = record.finish()
            assert done.code == 0, done
        replay.press_ctrl_c()
        assert replay.finish().code == 0
    case = load_case(tmp_path / "case")
    assert case.volumes == ()
    volumes = {}
    for name, source in {"file": [sweep, "--calibration", calibration], "case": [case.folder]}.items():
        out = tmp_path / f"{name}.nrrd"
        done = crlm_seg("reconstruct", *source, "--out", out)
        assert done.code == 0, done
        volumes[name] = read_volume(out)
    np.testing.assert_allclose(volumes["case"].ijk_to_ras, volumes["file"].ijk_to_ras, atol=1e-3)
    assert volumes["case"].array.shape == volumes["file"].array.shape
    assert np.mean(volumes["case"].array == volumes["file"].array) > 0.999


def test_results_are_offered_until_ctrl_c(sample, seed, tmp_path):
    got: dict = {}
    """Those of a worker that calls dark voxels tumour."""
    arguments = ["--seed", *seed, "--out", tmp_path / "a.nrrd", "--serve", 0]
    with DarkRun("segment", sample.folder / "volume.nrrd", *arguments) as segment:
        port = int(segment.wait_for_line("out", "offered on").split("port ")[1].split(";")[0])
        with IgtlClient("127.0.0.1", port) as client:
            end_s = time.monotonic() + TIMEOUT_S
            while STATE not in got and time.monotonic() < end_s:
                got |= {message.device: message for message in client.wait(0.2)}
        segment.press_ctrl_c()
        done = segment.finish()
    assert done.code == 0, done
    assert isinstance(got[SEGMENTATION], ImageMessage)
    assert got[SEGMENTATION].array.any()
    np.testing.assert_array_equal(got[SEGMENTATION].array, read_volume(tmp_path / "a.nrrd").array)
