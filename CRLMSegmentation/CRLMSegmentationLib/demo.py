"""The whole way once: a recorded case over OpenIGTLink, a seed, the segmentation in a scene, a report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import slicer

from .core.case import Case, Lesion, load_case, no_volume_in
from .core.errors import CaseError, LinkError
from .driver import Check, drive_until, wait_for, wait_for_lesion
from .igtl.client import IgtlClient
from .igtl.live_reconstruction import LiveReconstruction, LiveState
from .inference.model_package import ModelPackage, model_or_default
from .inference.worker_engine import WorkerEngine
from .outputs import make_folder, whole_files
from .presenting import card_of, pictures_of, report_entry, sentence_of
from .reconstructing import check_calibrated
from .replay.process import ReplayProcess
from .replay.sweep_messages import Sweep
from .replay.timeline import DEFAULT_DEVICE, load_source
from .report.html import write_report
from .report.schema import write_json
from .scene.headless import new_scene
from .scene.instruments import show_transform
from .scene.overlay import overlay
from .scene.saving import save_scene_bundle, save_segmentation
from .scene.seeds import colour_of, show_seed
from .scene.volumes import show_volume
from .session import LesionResult, ModelReady, Session, VolumeArrived
from .sweeps.calibration import read_calibration

REPLAY_SPEED = 4.0
SILENCE_LIMIT_S = 30.0
"""A replay that sends nothing for so long has failed."""
REPORT = "report.html"
OUTPUTS = ("segmentation.seg.nrrd", "scene.mrb", "report.json", REPORT)
OnStep = Callable[[str], None]
Seed = tuple[float, float, float]
"""R, A, S in mm."""


@dataclass(frozen=True, eq=False)
class _Shown:
    """A lesion in the scene."""

    lesion: Lesion
    result: LesionResult
    node: slicer.vtkMRMLSegmentationNode
    timings_s: dict[str, float]


@dataclass(frozen=True, eq=False)
class _Played:
    """What has come out of playing a case."""

    case: Case
    ready: ModelReady
    scene: slicer.vtkMRMLScene
    shown: list[_Shown]


@dataclass(frozen=True, eq=False)
class _Source:
    """What is played.

    Attributes:
        case: with its seeds; of a single file it holds no more than that.
        devices: names under which its volumes come.
        is_sweep: volumes are reconstructed while it is played.
    """

    path: Path
    case: Case
    devices: frozenset[str]
    calibration: str | None = None
    is_sweep: bool = False


def run_demo(
    path: Path,
    out: Path,
    model_folder: Path | None = None,
    on_step: OnStep = lambda text: None,
    seeds: Sequence[Seed] = (),
    calibration: str | None = None,
) -> list[str]:
    """Play a recording from a server in another process, segment its lesions live, and write `OUTPUTS` into a folder.

    Args:
        path: a case; or a tracked sweep, of which the server reconstructs a volume while it plays; or a volume.
        seeds: instead of those of the case; the others have none of their own.
        calibration: of a sweep, see `sweeps.calibration.read_calibration`.

    Returns:
        A summary, in lines for a terminal.

    Raises:
        CaseError, SweepError, VolumeError: it is damaged or has no seed.
        LinkError: the volume does not arrive.
        WorkerError: the worker cannot answer.
    """
    source, model = _source_of(path, seeds, calibration), model_or_default(model_folder)
    make_folder(out)
    with whole_files([out / name for name in OUTPUTS]) as unfinished:
        played = _play(source, model, on_step)
        on_step("Writing the report")
        entries = _write(unfinished, played, card_of(model))
    return [_line(item.result, entry) for item, entry in zip(played.shown, entries)]


def _source_of(path: Path, seeds: Sequence[Seed], calibration: str | None) -> _Source:
    """Check what shall be played, before anything is started."""
    loaded = load_source(path, None if calibration is None else read_calibration(calibration))
    lesions = tuple(Lesion(f"Tumour {number}", seed) for number, seed in enumerate(seeds, 1))
    if isinstance(loaded, Case):
        case = replace(load_case(loaded.folder), lesions=lesions or loaded.lesions)
        if not case.volumes:
            raise CaseError(no_volume_in(case))
        source = _Source(case.folder, case, case.volume_devices)
    else:
        if isinstance(loaded, Sweep):
            check_calibrated(loaded)
        case = Case(path.parent, path.name, volumes=(), lesions=lesions)
        source = _Source(path, case, frozenset([DEFAULT_DEVICE]), calibration, isinstance(loaded, Sweep))
    if not case.lesions:
        raise CaseError(f"{case.case_id} has no seed; give one with --seed R A S, or add it to the case.json of a case")
    return source


def _play(source: _Source, model: ModelPackage, on_step: OnStep) -> _Played:
    scene, case = new_scene(), source.case
    on_step("Starting the replay server and the worker")
    replay = ReplayProcess(
        source.path, speed=REPLAY_SPEED, calibration=source.calibration, await_reconstruction=source.is_sweep
    )
    with replay:
        link = LiveReconstruction(IgtlClient("127.0.0.1", replay.port))
        with Session(WorkerEngine(model), model, link) as session:
            on_step(f"Playing {case.case_id} at {REPLAY_SPEED:.0f} times its speed over OpenIGTLink port {replay.port}")
            check = _live_check(link, volume_check(session, link.client, replay))
            if source.is_sweep:
                link.start()
            _, ready = wait_for(session, VolumeArrived, ModelReady, check=check, needed=source.devices)
            if source.is_sweep:
                _finish_sweep(session, link, replay, check)
            volume_node = show_volume(scene, session.volume, session.volume.device)
            for device, message in session.transforms.items():
                show_transform(scene, device, message.matrix, message.status)
            for number, lesion in enumerate(case.lesions):
                show_seed(scene, lesion.name, lesion.seed_ras_mm, colour_of(number))
            shown = [_segment(session, scene, volume_node, case, n, on_step) for n in range(len(case.lesions))]
    return _Played(case, ready, scene, shown)


def _live_check(link: LiveReconstruction, check: Check) -> Check:
    """A check that also raises when no volume will be reconstructed."""

    def check_link() -> None:
        if link.live_state is LiveState.FAILED:
            raise LinkError(f"no volume was reconstructed: {link.live_reason}")
        check()

    return check_link


def _finish_sweep(session: Session, link: LiveReconstruction, replay: ReplayProcess, check: Check) -> None:
    """Let the sweep be played to its end; its last volume comes with `link.stop`."""
    drive_until(session, lambda: replay.has_finished, check)
    link.stop()
    drive_until(session, lambda: link.live_state is LiveState.OFF, check)


def volume_check(session: Session, client: IgtlClient, replay: ReplayProcess) -> Check:
    """A check that raises when the volume will not come, since its replay has ended or fallen silent."""
    heard_bytes, heard_at_s = 0, time.monotonic()

    def check() -> None:
        nonlocal heard_bytes, heard_at_s
        if session.volume is not None:
            return
        if client.statistics.received_bytes != heard_bytes:
            heard_bytes, heard_at_s = client.statistics.received_bytes, time.monotonic()
        said = (replay.last_error, client.state_reason or client.state.value, client.problem)
        why = "; ".join(filter(None, said))
        if not replay.is_running:
            raise LinkError(f"the replay server ended before the volume was here ({why}); start the demo again")
        if time.monotonic() - heard_at_s > SILENCE_LIMIT_S:
            raise LinkError(
                f"no more has come from the replay server for {SILENCE_LIMIT_S:.0f} s ({why}); start it again"
            )

    return check


def _segment(
    session: Session,
    scene: slicer.vtkMRMLScene,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    case: Case,
    number: int,
    on_step: OnStep,
) -> _Shown:
    lesion = case.lesions[number]
    session.segment(lesion.name, lesion.seed_ras_mm)
    progress = lambda name, done, total: on_step(f"Segmenting {name}: tile {done} of {total}")  # noqa: E731
    result = wait_for_lesion(session, lesion.name, progress)
    return _Shown(lesion, result, *overlay(scene, volume_node, result, colour_of(number)))


def _write(paths: Sequence[Path], played: _Played, card: dict) -> list[dict]:
    """Write the outputs and return the entries of the report."""
    case = played.case
    simulated = case.source["kind"] == "simulated" if "kind" in case.source else None
    entries, pictures = [], {}
    for item in played.shown:
        truth = case.truth_of(item.lesion, item.result.volume)
        entries.append(report_entry(item.result, played.ready, case.case_id, item.timings_s, truth, simulated))
        pictures |= pictures_of(item.result, item.node, truth)
    segmentation, scene, report_json, report_html = paths
    save_segmentation(played.shown[0].node, segmentation)
    save_scene_bundle(played.scene, scene)
    write_json(report_json, entries)
    write_report(report_html, entries, pictures, card)
    return entries


def _line(result: LesionResult, entry: dict) -> str:
    text = f"{sentence_of(result)}\n  seed to overlay {entry['timings_s']['seed_to_overlay']:.1f} s"
    if entry["metrics"]:
        kind = "simulated case, " if entry["simulated"] else ""
        distance = entry["metrics"]["hausdorff95_mm"]
        shown = "" if distance is None else f", HD95 {distance:.1f} mm"
        text += f"; {kind}Dice {entry['metrics']['dice']:.2f}{shown}"
    return text
