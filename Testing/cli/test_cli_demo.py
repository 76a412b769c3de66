"""`demo` as a whole on a shipped case, and what is left when its parts die or Ctrl-C is pressed."""

from __future__ import annotations

import json
import os
import signal
import socket
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from CRLMSegmentationLib.cli import demo_run
from CRLMSegmentationLib.cli.demo_run import OUTPUTS, REPLAY_SPEED, volume_check
from CRLMSegmentationLib.core.errors import LinkError, SeedError, WorkerError
from CRLMSegmentationLib.core.geometry import transform_points
from CRLMSegmentationLib.core.metrics import compare
from CRLMSegmentationLib.igtl.client import IgtlClient
from CRLMSegmentationLib.igtl.messages import image_of
from CRLMSegmentationLib.igtl.packing import pack
from CRLMSegmentationLib.igtl.statistics import DropReason
from CRLMSegmentationLib.recording.case import (
    TrackingSample,
    append_tracking,
    load_case,
    save_case,
    save_volume_into_case,
)
from CRLMSegmentationLib.reports.schema import FURTHER_KEYS, KEYS, SERVER_TIMINGS, TIMINGS
from CRLMSegmentationLib.segmentation.incoming import VolumeArrived
from CRLMSegmentationLib.segmentation.session import Session
from CRLMSegmentationLib.segmentation.wait import wait_for
from CRLMSegmentationLib.slicer.scene.headless import new_scene
from CRLMSegmentationLib.tracking.interval import Interval
from CRLMSegmentationLib.tracking.surfaces import SurfaceDistance, surface_of_mask
from helpers.cli_helpers import DarkRun, Run, names_in, run
from helpers.dark_worker import WAITS
from helpers.stub_engine import StubEngine

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks for processes in /proc")

REPLAY, DARK_WORKER = "CRLMSegmentationLib.recording", "helpers.dark_worker"
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
    assert [name for name, seconds in entry["timings_s"].items() if seconds is None] == list(SERVER_TIMINGS)
    assert all(seconds > 0 for seconds in entry["timings_s"].values() if seconds is not None)
    steps = ("crop", "preprocess", "inference", "postprocess", "overlay")
    assert sum(entry["timings_s"][step] for step in steps) <= entry["timings_s"]["seed_to_overlay"]
    assert entry["case_id"] == sample.case_id
    assert entry["simulated"] is True
    assert entry["model"] == {"name": model.name, "sha256": model.sha256}
    assert entry["metrics"]["dice"] > 0.5
    assert entry["volume_identity"]["timestamp_s"] == pytest.approx(sample.volumes[0].timestamp_s, abs=1e-5)


def test_page_holds_pictures_figures_and_the_model_without_a_network(shown, entry):
    page = (shown.folder / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert f'<td class="number">{distance_of(entry)}</td>' in page
    for text in (f"{entry['metrics']['dice']:.3f}", entry["model"]["sha256"], entry["case_id"], "clinical use"):
        assert text in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def distance_of(entry: dict) -> Interval:
    return Interval(*(entry["navigation"][f"{name}_mm"] for name in ("distance", "low", "high")))


def test_interval_of_the_nearest_moment_holds_the_true_distance(shown, entry, sample):
    """The pointer of the case moves to the tumour: it was seen there, and measured as the truth says."""
    near = entry["navigation"]
    assert (near["instrument"], near["kind"], near["margins_mm"]) == ("Stylus", "pointer", [5.0, 10.0])
    assert near["time_s"] == pytest.approx(sample.volumes[0].timestamp_s, abs=0.3)
    volume = sample.volume()
    truth = surface_of_mask(sample.truth_of(sample.lesions[0], volume), volume.ijk_to_ras)
    true_mm = SurfaceDistance(truth).nearest(np.array(near["tip_ras_mm"])).distance_mm
    assert near["low_mm"] < true_mm < near["high_mm"]
    assert near["low_mm"] < near["distance_mm"] < near["high_mm"]
    assert near["margin_mm"] == (5.0 if near["distance_mm"] < 5 else 10.0)
    assert entry["stability"] is None
    assert f"Stylus came as near as {distance_of(entry)}, in the margin of" in shown.done.out
    assert "do they belong together?" not in shown.done.out, "the tracking and the volume are those of one case"


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
    assert names("vtkMRMLModelNode") == []  # tools that nobody moves and margins that nobody renews are not kept
    seeds = scene.GetFirstNodeByClass("vtkMRMLMarkupsFiducialNode")
    assert seeds.GetNthControlPointPosition(0) == pytest.approx(sample.lesions[0].seed_ras_mm, abs=1e-3)
    segmentation = scene.GetFirstNodeByClass("vtkMRMLSegmentationNode").GetSegmentation()
    assert [segmentation.GetSegment(s).GetName() for s in segmentation.GetSegmentIDs()] == [sample.lesions[0].name]


class PromptEngine(StubEngine):
    """Answers at the next look."""

    def poll(self) -> list:
        if self.pending is not None:
            self.finish()
        return super().poll()


@pytest.fixture
def stub_model(monkeypatch) -> None:
    """Dark voxels are tumour, and cost no time."""
    model = SimpleNamespace(
        name="stub",
        version="0",
        sha256="0" * 64,
        region="crop",
        crop_size_mm=34.0,
        spacing_mm=1.0,
        channels=("ultrasound", "seed"),
        not_for_clinical_use="A stub.",
        intended_use="Tests.",
        trained_on={},
        simulated_only=True,
        card={},
        calibration={},
    )
    monkeypatch.setattr(demo_run, "model_or_default", lambda folder: model)
    monkeypatch.setattr(demo_run, "WorkerEngine", lambda model, precision="auto": PromptEngine())


@pytest.fixture
def navigated_case(tiny_case) -> Path:
    """The tiny case, with a pointer that comes within 4 mm of the ball, is lost for a while, and comes no nearer."""
    samples = []
    for step in range(80):
        pose = np.eye(4)
        pose[:3, 3] = 20 + 8 + max(4.0, 34 - step), 20, 20
        status = "MISSING" if 40 <= step < 64 else "OK"
        samples.append(TrackingSample(97.0 + step / 20, "StylusToReference", status, pose))
    (tiny_case / "tracking.jsonl").unlink()
    append_tracking(tiny_case / "tracking.jsonl", samples)
    save_case(load_case(tiny_case, verify=False))
    return tiny_case


@pytest.mark.usefixtures("stub_model", "undrawn")
def test_thorough_demo_tells_how_stable_a_segmentation_is_and_for_how_long_distances_were_withheld(
    navigated_case, tmp_path
):
    (summary,) = demo_run.run_demo(navigated_case, tmp_path / "out", thorough=True)
    entry = json.loads((tmp_path / "out" / "report.json").read_text())
    near, stability = entry["navigation"], entry["stability"]
    assert near["distance_mm"] == pytest.approx(4.0, abs=0.6)
    assert near["margin_mm"] == 5.0
    assert near["low_mm"] < near["distance_mm"] < near["high_mm"]
    (lost,) = near["doubts"]
    assert (lost["instrument"], lost["doubt"]) == ("Stylus", "not tracked")
    assert lost["seconds"] > 0
    assert stability["runs"] == 8
    assert 0.8 < stability["agreement"] <= 1
    assert stability["confidence"] is None
    assert stability["change"]["largest_mm"] < 1
    assert "8 segmentations agree to" in summary
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 5
    assert "Stylus: not tracked" in page
    assert "this model has no calibration" in page


@pytest.mark.usefixtures("stub_model", "undrawn")
def test_volume_without_tracking_has_no_navigation(tiny_case, tmp_path):
    (summary,) = demo_run.run_demo(tiny_case / "volume.nrrd", tmp_path / "out", seeds=[(20.0, 20.0, 20.0)])
    entry = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (entry["navigation"], entry["stability"], entry["simulated"]) == (None, None, None)
    assert "came as near" not in summary
    assert "Navigation" not in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.usefixtures("stub_model")
def test_seed_beside_the_volume_is_refused_with_its_reason(tiny_case, tmp_path):
    with pytest.raises(SeedError, match="outside"):
        demo_run.run_demo(tiny_case, tmp_path / "out", seeds=[(500.0, 0.0, 0.0)])
    assert names_in(tmp_path / "out") == []


@pytest.fixture
def out(tmp_path) -> Path:
    """Outputs of an earlier run and a file of the user's."""
    folder = tmp_path / "out"
    folder.mkdir()
    for name in (*OUTPUTS, "notes.txt"):
        (folder / name).write_text("of an earlier run")
    return folder


@pytest.fixture
def playing(tiny_case, model, out) -> Iterator[Run]:
    """A demo under way, of a worker that calls dark voxels tumour."""
    with DarkRun("-v", "demo", "--case", tiny_case, "--model", model.folder, "--out", out) as started:
        yield started


@pytest.fixture
def late_volume(tiny_case, tiny_volume) -> None:
    """The volume is played minutes after the tracking has begun: nobody comes too late to be before it."""
    volume = replace(tiny_volume, timestamp_s=tiny_volume.timestamp_s + 240.0 * REPLAY_SPEED)
    entry = save_volume_into_case(tiny_case, "late", volume)
    save_case(replace(load_case(tiny_case, verify=False), volumes=(entry,)))


def ends_with(started: Run, error: str, out) -> None:
    """It fails with this error, and leaves neither a process nor what looks like a result."""
    done = started.finish()
    assert done.code == 1
    assert done.out == ""
    assert done.error_lines[-1].startswith(error), done
    assert "Traceback" not in done.err
    assert started.leaves_nothing()
    assert names_in(out) == sorted(["notes.txt", *PREVIOUS])


@pytest.mark.usefixtures("late_volume")
def test_replay_that_dies_before_the_volume_ends_the_demo(playing, out):
    playing.wait_for_line("err", "Playing")
    os.kill(playing.wait_for_child(REPLAY), signal.SIGKILL)
    ends_with(playing, "Error: the replay server ended before the volume was here", out)


def test_worker_that_is_killed_ends_the_demo(tiny_case, model, out):
    arguments = ["-v", "demo", "--case", tiny_case, "--model", model.folder, "--out", out]
    with DarkRun(*arguments, **{WAITS: "1"}) as started:
        started.wait_for_line("err", "Segmenting")
        os.kill(started.wait_for_child(DARK_WORKER), signal.SIGKILL)
        ends_with(started, "Error: Tumour 1 was not segmented: the worker process was ended by SIGKILL", out)


@pytest.mark.usefixtures("late_volume")
@pytest.mark.parametrize("moment", ["Starting the replay", "Playing"])
def test_ctrl_c_ends_the_demo_and_all_that_it_has_started(moment, playing, out):
    playing.wait_for_line("err", moment)
    playing.press_ctrl_c()
    ends_with(playing, STOPPED, out)


def test_ctrl_c_while_the_report_is_written_leaves_no_part_of_it(playing, out):
    playing.wait_for_line("err", "Writing the report")
    playing.press_ctrl_c()
    ends_with(playing, STOPPED, out)


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
    monkeypatch.setattr(demo_run, "SILENCE_LIMIT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        link = IgtlClient("127.0.0.1", server.getsockname()[1])
        with Session(IdleEngine(), None, link) as session:
            link.statistics.drop(DropReason.CRC, "IMAGE 'recvol'")
            replay = SimpleNamespace(is_running=True, last_error="")
            with pytest.raises(LinkError, match=r"no more has come .* \(.*; checksum wrong: IMAGE 'recvol'\)"):
                wait_for(session, VolumeArrived, check=volume_check(session, link, replay))


def test_worker_that_never_becomes_ready_is_told(monkeypatch, tiny_volume):
    from CRLMSegmentationLib.segmentation import wait

    monkeypatch.setattr(wait, "READY_LIMIT_S", 0.2)
    with Session(IdleEngine(), None) as session:
        session.use_volume(tiny_volume)
        with pytest.raises(WorkerError, match="has not become ready in 0 s; close other programs"):
            wait.wait_for_model(session)


def test_replay_that_fails_in_mid_play_says_why():
    replay = SimpleNamespace(is_running=False, last_error="the transform 'Probe' cannot be sent")
    with socket.create_server(("127.0.0.1", 0)) as server:
        link = IgtlClient("127.0.0.1", server.getsockname()[1])
        with (
            Session(IdleEngine(), None, link) as session,
            pytest.raises(LinkError, match=r"\(the transform 'Probe' can"),
        ):
            wait_for(session, VolumeArrived, check=volume_check(session, link, replay))
