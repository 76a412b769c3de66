"""`demo` as a whole on a shipped case, and what is left when its parts die or Ctrl-C is pressed."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from cli_helpers import Run, names_in, run
from CRLMSegmentationLib.core.errors import LinkError, WorkerError
from CRLMSegmentationLib.core.geometry import transform_points
from CRLMSegmentationLib.core.metrics import compare
from CRLMSegmentationLib.demo import OUTPUTS, REPLAY_SPEED, volume_check
from CRLMSegmentationLib.driver import wait_for
from CRLMSegmentationLib.igtl.client import IgtlClient
from CRLMSegmentationLib.igtl.messages import image_of
from CRLMSegmentationLib.igtl.packing import pack
from CRLMSegmentationLib.igtl.statistics import DropReason
from CRLMSegmentationLib.report.schema import FURTHER_KEYS, KEYS, TIMINGS
from CRLMSegmentationLib.scene.headless import new_scene
from CRLMSegmentationLib.session import Session, VolumeArrived

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks for processes in /proc")

REPLAY, WORKER = "CRLMSegmentationLib.replay", "inference.worker"
STOPPED = "Error: stopped before the end"
PREVIOUS = ("segmentation.previous.seg.nrrd", "scene.previous.mrb", "report.previous.json", "report.previous.html")


@pytest.fixture(scope="module")
def shown(sample, model, tmp_path_factory) -> SimpleNamespace:
    """One whole demo; `run` makes sure that it leaves no process."""
    folder = tmp_path_factory.mktemp("demo") / "new" / "folder"
    done = run("demo", "--case", sample.folder, "--model", model.folder, "--out", folder)
    assert done.code == 0, done
    return SimpleNamespace(done=done, folder=folder)


@pytest.fixture(scope="module")
def entry(shown) -> dict:
    return json.loads((shown.folder / "report.json").read_text())


def test_demo_says_what_was_found_and_where_the_report_lies(shown):
    assert shown.done.err == ""
    assert shown.done.out.startswith("Tumour 1: ")
    assert shown.done.out.splitlines()[-1] == f"Report: {shown.folder / 'report.html'}"
    assert names_in(shown.folder) == sorted(OUTPUTS)


def test_report_has_every_documented_key_every_timing_and_a_tumour_on_the_truth(entry, sample, model):
    assert set(entry) == {*KEYS, *FURTHER_KEYS}
    assert set(entry["timings_s"]) == set(TIMINGS)
    assert all(seconds > 0 for seconds in entry["timings_s"].values())
    steps = ("crop", "preprocess", "inference", "postprocess", "overlay")
    assert sum(entry["timings_s"][step] for step in steps) <= entry["timings_s"]["seed_to_overlay"]
    assert entry["case_id"] == sample.case_id
    assert entry["simulated"] is True
    assert entry["model"] == {"name": model.name, "sha256": model.sha256}
    assert entry["metrics"]["dice"] > 0.5
    assert entry["volume_identity"]["timestamp_s"] == pytest.approx(sample.volumes[0].timestamp_s, abs=1e-5)


def test_page_holds_pictures_figures_and_the_model_without_a_network(shown, entry):
    page = (shown.folder / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    for text in (f"{entry['metrics']['dice']:.3f}", entry["model"]["sha256"], entry["case_id"], "clinical use"):
        assert text in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_segmentation_opens_with_its_segment_on_the_tumour(shown, sample):
    import slicer
    from vtk.util.numpy_support import vtk_to_numpy

    node = slicer.vtkMRMLSegmentationNode()
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(shown.folder / "segmentation.seg.nrrd"))
    assert storage.ReadData(node)
    (segment_id,) = node.GetSegmentation().GetSegmentIDs()
    segment = node.GetSegmentation().GetSegment(segment_id)
    assert segment.GetName() == sample.lesions[0].name
    labelmap = segment.GetRepresentation("Binary labelmap")
    truth = sample.truth_labels()
    mask = np.zeros(truth.array.shape, bool)
    box = vtk_to_numpy(labelmap.GetPointData().GetScalars()).reshape(labelmap.GetDimensions()[::-1])
    i, j, k = np.round(transform_points(truth.ras_to_ijk, _first_voxel_ras_mm(labelmap))).astype(int)
    mask[k : k + box.shape[0], j : j + box.shape[1], i : i + box.shape[2]] = box > 0
    assert compare(mask, truth.array == sample.lesions[0].label, truth.ijk_to_ras)["dice"] > 0.5


def _first_voxel_ras_mm(labelmap) -> list[float]:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    labelmap.GetImageToWorldMatrix(matrix)
    low = labelmap.GetExtent()[::2]
    return list(matrix.MultiplyPoint([*map(float, low), 1.0])[:3])


def test_scene_opens_with_volume_seed_tools_and_segmentation(shown, sample, tmp_path):
    with zipfile.ZipFile(shown.folder / "scene.mrb") as bundle:
        bundle.extractall(tmp_path)
    (path,) = tmp_path.rglob("*.mrml")
    scene = new_scene()
    scene.SetURL(str(path))
    assert scene.Connect()

    def names(class_name: str) -> list[str]:
        return [
            scene.GetNthNodeByClass(n, class_name).GetName() for n in range(scene.GetNumberOfNodesByClass(class_name))
        ]

    assert names("vtkMRMLScalarVolumeNode") == ["recvol_Reference"]
    assert set(sample.devices.values()) <= set(names("vtkMRMLLinearTransformNode"))
    seeds = scene.GetFirstNodeByClass("vtkMRMLMarkupsFiducialNode")
    assert seeds.GetNthControlPointPosition(0) == pytest.approx(sample.lesions[0].seed_ras_mm, abs=1e-3)
    segmentation = scene.GetFirstNodeByClass("vtkMRMLSegmentationNode").GetSegmentation()
    assert [segmentation.GetSegment(s).GetName() for s in segmentation.GetSegmentIDs()] == [sample.lesions[0].name]


@pytest.fixture
def playing(sample, model, tmp_path):
    """A demo under way, over the outputs of an earlier one and a file of the user's."""
    out = tmp_path / "out"
    out.mkdir()
    for name in (*OUTPUTS, "notes.txt"):
        (out / name).write_text("of an earlier run")
    with Run("-v", "demo", "--case", sample.folder, "--model", model.folder, "--out", out) as started:
        yield started


def ends_with(started: Run, error: str, out) -> None:
    """It fails with this error, quickly, and leaves neither a process nor what looks like a result."""
    before_s = started.seconds_so_far()
    done = started.finish()
    assert done.code == 1
    assert done.out == ""
    assert done.error_lines[-1].startswith(error), done
    assert "Traceback" not in done.err
    assert done.seconds - before_s < 5
    assert started.leaves_nothing()
    assert names_in(out) == sorted(["notes.txt", *PREVIOUS])


def test_replay_that_dies_before_the_volume_ends_the_demo(playing, sample, tmp_path):
    playing.wait_for_line("err", "Playing")
    assert (sample.volumes[0].timestamp_s - next(sample.tracking_samples()).timestamp_s) / REPLAY_SPEED > 0.5
    os.kill(playing.wait_for_child(REPLAY), signal.SIGKILL)
    ends_with(playing, "Error: the replay server ended before the volume was here", tmp_path / "out")


def test_worker_that_is_killed_ends_the_demo(playing, tmp_path):
    playing.wait_for_line("err", "Segmenting")
    os.kill(playing.wait_for_child(WORKER), signal.SIGKILL)
    ends_with(playing, "Error: Tumour 1 was not segmented: the worker process was ended by SIGKILL", tmp_path / "out")


@pytest.mark.parametrize("moment", ["Starting the replay", "Playing", "Writing the report"])
def test_ctrl_c_ends_the_demo_and_all_that_it_has_started(moment, playing, tmp_path):
    playing.wait_for_line("err", moment)
    playing.press_ctrl_c()
    ends_with(playing, STOPPED, tmp_path / "out")


class IdleEngine:
    """Never asked for anything: the volume does not come."""

    def start(self) -> None: ...

    def poll(self) -> list:
        return []

    def close(self) -> None: ...


def test_server_that_vanishes_in_the_middle_of_a_volume_is_told(tiny_volume):
    """Half of an image arrives over a real socket, then the server is gone for good."""
    server = socket.create_server(("127.0.0.1", 0))
    replay = SimpleNamespace(is_running=True, last_error="")
    with Session(IdleEngine(), None, IgtlClient("127.0.0.1", server.getsockname()[1])) as session:
        while not session.link.statistics.connections:
            session.poll()
        peer, _ = server.accept()
        content = pack(image_of(tiny_volume), version=2)
        peer.sendall(content[: len(content) // 2])
        while session.link.receiving is None:
            session.poll()
        peer.close()
        server.close()
        replay.is_running = False
        while session.link.statistics.received_bytes < len(content) // 2 or session.link.receiving:
            session.poll()
        with pytest.raises(LinkError, match=r"ended before the volume was here \(.*lost .*start the demo again"):
            wait_for(session, VolumeArrived, check=volume_check(session, session.link, replay))
        assert session.volume is None


def test_server_that_falls_silent_is_told(monkeypatch):
    from CRLMSegmentationLib import demo

    monkeypatch.setattr(demo, "SILENCE_LIMIT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        link = IgtlClient("127.0.0.1", server.getsockname()[1])
        with Session(IdleEngine(), None, link) as session:
            started_s = time.monotonic()
            link.statistics.drop(DropReason.CRC, "IMAGE 'recvol'")
            replay = SimpleNamespace(is_running=True, last_error="")
            with pytest.raises(LinkError, match=r"no more has come .* \(.*; checksum wrong: IMAGE 'recvol'\)"):
                wait_for(session, VolumeArrived, check=volume_check(session, link, replay))
            assert time.monotonic() - started_s < 2


def test_worker_that_never_becomes_ready_is_told(monkeypatch, tiny_volume):
    from CRLMSegmentationLib import driver

    monkeypatch.setattr(driver, "READY_LIMIT_S", 0.2)
    with Session(IdleEngine(), None) as session:
        session.use_volume(tiny_volume)
        with pytest.raises(WorkerError, match="has not become ready in 0 s; close other programs"):
            driver.wait_for_model(session)


def test_replay_that_fails_in_mid_play_says_why():
    replay = SimpleNamespace(is_running=False, last_error="the transform 'Probe' cannot be sent")
    with socket.create_server(("127.0.0.1", 0)) as server:
        link = IgtlClient("127.0.0.1", server.getsockname()[1])
        with (
            Session(IdleEngine(), None, link) as session,
            pytest.raises(LinkError, match=r"\(the transform 'Probe' can"),
        ):
            wait_for(session, VolumeArrived, check=volume_check(session, link, replay))
