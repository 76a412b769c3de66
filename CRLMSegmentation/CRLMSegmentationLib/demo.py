"""The whole way once: a recorded case over OpenIGTLink, a seed, the segmentation in a scene, a report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import slicer

from .core.case import Case, Lesion, load_case, no_volume_in
from .core.errors import CaseError, LinkError
from .driver import Check, wait_for, wait_for_lesion
from .igtl.client import IgtlClient
from .inference.model_package import ModelPackage, model_or_default
from .inference.worker_engine import WorkerEngine
from .outputs import make_folder, whole_files
from .presenting import card_of, pictures_of, report_entry, sentence_of
from .replay.process import ReplayProcess
from .report.html import write_report
from .report.schema import write_json
from .scene.headless import new_scene
from .scene.instruments import show_transform
from .scene.overlay import overlay
from .scene.saving import save_scene_bundle, save_segmentation
from .scene.seeds import colour_of, show_seed
from .scene.volumes import show_volume
from .session import LesionResult, ModelReady, Session, VolumeArrived

REPLAY_SPEED = 4.0
SILENCE_LIMIT_S = 30.0
"""A replay that sends nothing for so long has failed."""
REPORT = "report.html"
OUTPUTS = ("segmentation.seg.nrrd", "scene.mrb", "report.json", REPORT)
OnStep = Callable[[str], None]


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


def run_demo(
    folder: Path, out: Path, model_folder: Path | None = None, on_step: OnStep = lambda text: None
) -> list[str]:
    """Play a case from a server in another process, segment its lesions live, and write `OUTPUTS` into a folder.

    Returns:
        A summary, in lines for a terminal.

    Raises:
        CaseError: the case is damaged or has no seed.
        LinkError: the volume does not arrive.
        WorkerError: the worker cannot answer.
    """
    case, model = load_case(folder), model_or_default(model_folder)
    if not case.lesions:
        raise CaseError(f"{case.case_id} has no seed; add one to its case.json")
    if not case.volumes:
        raise CaseError(no_volume_in(case))
    make_folder(out)
    with whole_files([out / name for name in OUTPUTS]) as unfinished:
        played = _play(case, model, on_step)
        on_step("Writing the report")
        entries = _write(unfinished, played, card_of(model))
    return [_line(item.result, entry) for item, entry in zip(played.shown, entries)]


def _play(case: Case, model: ModelPackage, on_step: OnStep) -> _Played:
    scene = new_scene()
    on_step("Starting the replay server and the worker")
    with ReplayProcess(case.folder, speed=REPLAY_SPEED) as replay:
        client = IgtlClient("127.0.0.1", replay.port)
        with Session(WorkerEngine(model), model, client) as session:
            on_step(f"Playing {case.case_id} at {REPLAY_SPEED:.0f} times its speed over OpenIGTLink port {replay.port}")
            check = volume_check(session, client, replay)
            _, ready = wait_for(session, VolumeArrived, ModelReady, check=check, needed=case.volume_devices)
            volume_node = show_volume(scene, session.volume, session.volume.device)
            for device, message in session.transforms.items():
                show_transform(scene, device, message.matrix, message.status)
            for number, lesion in enumerate(case.lesions):
                show_seed(scene, lesion.name, lesion.seed_ras_mm, colour_of(number))
            shown = [_segment(session, scene, volume_node, case, n, on_step) for n in range(len(case.lesions))]
    return _Played(case, ready, scene, shown)


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
