"""The demo: replay a case over OpenIGTLink, segment it in a workspace, measure distances, and write a report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Union

import numpy as np

from ..core.errors import LinkError, SeedError, WorkerError
from ..core.output_files import atomic_files, make_folder
from ..igtl.client import IgtlClient
from ..igtl.live_reconstruction import LiveReconstruction, LiveState
from ..recording.case import CaseLesion
from ..recording.player_process import ReplayProcess
from ..reports.lesion_page import write_report
from ..reports.lesion_report import card_of, figures_of, navigation_sentences, report_entry, sentence_of
from ..reports.navigation_entry import navigation_entry, stability_entry
from ..reports.schema import write_json
from ..segmentation.engine.worker_engine import WorkerEngine
from ..segmentation.incoming import VolumeArrived
from ..segmentation.models.package import ModelPackage, model_or_default
from ..segmentation.results import LesionResult, ModelReady
from ..segmentation.session import Session
from ..segmentation.wait import Check, drive_until, wait_for, wait_for_lesion
from ..slicer.scene.headless import new_scene
from ..slicer.scene.saving import save_scene_bundle, save_segmentation
from ..slicer.scene.seeds import show_seed
from ..slicer.scene.segmentations import lesion_surface
from ..slicer.workspace.lesion import LesionState
from ..slicer.workspace.workspace import Workspace
from ..tracking.colours import colour_of
from .demo_source import DemoSource, Seed, demo_source
from .demo_tracking import replay_tracking

REPLAY_SPEED = 4.0
SILENCE_LIMIT_S = 30.0
"""A replay that sends nothing for so long has failed."""
REPORT = "report.html"
OUTPUTS = ("segmentation.seg.nrrd", "scene.mrb", "report.json", REPORT)
OnStep = Callable[[str], None]
Entry = dict[str, Any]
"""Of report.json, see `reports.schema`."""
Figures = dict[str, Union[bytes, str]]


@dataclass(frozen=True, eq=False)
class _Played:
    """The workspace after the replay, and the times of its segmentations.

    Attributes:
        timings_s: of the answer that somebody has waited for, by lesion.
    """

    source: DemoSource
    ready: ModelReady
    workspace: Workspace
    timings_s: dict[str, dict[str, float]]


def run_demo(
    path: Path,
    out: Path,
    model_folder: Path | None = None,
    on_step: OnStep = lambda text: None,
    seeds: Sequence[Seed] = (),
    calibration: str | None = None,
    thorough: bool = False,
) -> list[str]:
    """Replay a recording from another process, segment its lesions live, and write `OUTPUTS` into a folder.

    The demo drives the same workspace as the Slicer module. A volume arrives at the end of its sweep; so the tracking
    is played again after the segmentation, for the distances of instruments.

    Args:
        path: a case; or a tracked sweep, of which the server reconstructs a volume while it plays; or a volume.
        seeds: instead of those of the case; the others have none of their own.
        calibration: of a sweep, see `sweeps.calibration.read_calibration`.
        thorough: wait for the background refinement, which also measures the stability of the segmentations.

    Returns:
        A summary, in lines for a terminal.

    Raises:
        CaseError, SweepError, VolumeError: it is damaged or has no seed.
        SeedError: a seed is outside the field of view.
        LinkError: the volume does not arrive.
        WorkerError: the worker cannot answer.
    """
    source, model = demo_source(path, seeds, calibration), model_or_default(model_folder)
    make_folder(out)
    with atomic_files([out / name for name in OUTPUTS]) as unfinished:
        played = _play(source, model, on_step, thorough)
        on_step("Writing the report")
        entries = _write(unfinished, played, card_of(model))
    results = [_result_of(played.workspace, lesion) for lesion in source.case.lesions]
    return [_line(replace(result, timings_s=entry["timings_s"]), entry) for result, entry in zip(results, entries)]


def _play(source: DemoSource, model: ModelPackage, on_step: OnStep, thorough: bool) -> _Played:
    case = source.case
    on_step("Starting the replay server and the worker")
    replay = ReplayProcess(
        source.path, speed=REPLAY_SPEED, calibration=source.calibration, await_reconstruction=source.is_sweep
    )
    with replay:
        link = LiveReconstruction(IgtlClient("127.0.0.1", replay.port))
        with closing(Workspace(new_scene(), Session(WorkerEngine(model), model, link))) as workspace:
            workspace.requests.auto_segment, workspace.background_refinement.enabled = False, thorough
            on_step(f"Playing {case.case_id} at {REPLAY_SPEED:.0f} times its speed over OpenIGTLink port {replay.port}")
            check = _live_check(link, volume_check(workspace.session, link.client, replay))
            if source.is_sweep:
                link.start()
            arrived = wait_for(workspace, VolumeArrived, ModelReady, check=check, needed=source.devices)
            ready = next(event for event in arrived if isinstance(event, ModelReady))
            if source.is_sweep:
                _finish_sweep(workspace, link, replay, check)
            timings_s = {lesion.name: _segment(workspace, lesion, n, on_step) for n, lesion in enumerate(case.lesions)}
            if thorough:
                _refine(workspace, on_step)
            drive_until(
                workspace, lambda: not workspace.navigation.is_at_work
            )  # margins and consensus surfaces are made little by little
            on_step("Replaying the tracking, to measure distances to the lesions")
            replay_tracking(workspace, source.loaded, REPLAY_SPEED)
    return _Played(source, ready, workspace, timings_s)


def _live_check(link: LiveReconstruction, check: Check) -> Check:
    """Return a check that also raises if no volume will be reconstructed."""

    def check_link() -> None:
        if link.live_state is LiveState.FAILED:
            raise LinkError(f"no volume was reconstructed: {link.live_reason}")
        check()

    return check_link


def _finish_sweep(workspace: Workspace, link: LiveReconstruction, replay: ReplayProcess, check: Check) -> None:
    """Let the sweep be played to its end, and wait for its last volume."""
    drive_until(workspace, lambda: replay.has_finished, check)
    link.stop()
    drive_until(workspace, lambda: link.live_state is LiveState.OFF, check)


def volume_check(session: Session, client: IgtlClient, replay: ReplayProcess) -> Check:
    """Return a check that raises if the volume cannot arrive, since its replay has ended or stopped sending."""
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


def _segment(workspace: Workspace, lesion: CaseLesion, number: int, on_step: OnStep) -> dict[str, float]:
    """Place a seed, wait for the segmentation, and return its timings in seconds."""
    show_seed(workspace.scene, lesion.name, np.array(lesion.seed_ras_mm), colour_of(number))
    workspace.segment([lesion.name])
    entry = workspace.lesion_store.entries[lesion.name]
    if entry.state is LesionState.FAILED:
        raise SeedError(entry.reason)
    progress = lambda name, done, total: on_step(f"Segmenting {name}: tile {done} of {total}")  # noqa: E731
    wait_for_lesion(workspace, lesion.name, progress)
    drive_until(
        workspace, lambda: not workspace.session.busy, _engine_check(workspace)
    )  # a crop that was too small is grown
    return _result_of(workspace, lesion).timings_s


def _engine_check(workspace: Workspace) -> Check:
    def check() -> None:
        if workspace.engine_problem:
            raise WorkerError(workspace.engine_problem)

    return check


def _refine(workspace: Workspace, on_step: OnStep) -> None:
    on_step("Refining the segmentations, and repeating them from other seeds")
    drive_until(
        workspace,
        lambda: not (workspace.background_refinement.is_at_work or workspace.session.busy),
        _engine_check(workspace),
    )


def _result_of(workspace: Workspace, lesion: CaseLesion) -> LesionResult:
    """Return the result that the workspace shows for a lesion."""
    found = workspace.lesion_store.entries[lesion.name].segmentation
    if found is None or found.result is None:
        raise WorkerError(f"there is no segmentation of {lesion.name}; run the demo again with -v")
    return found.result


def _write(paths: Sequence[Path], played: _Played, card: Entry) -> list[Entry]:
    """Write the outputs and return the entries of the report."""
    workspace = played.workspace
    entries: list[Entry] = []
    figures: Figures = {}
    for lesion in played.source.case.lesions:
        entry, images = _reported(played, lesion)
        entries.append(entry)
        figures |= images
    segmentation, scene, report_json, report_html = paths
    save_segmentation(workspace.lesion_store.segmentation_node, segmentation)
    save_scene_bundle(workspace.scene, scene)
    write_json(report_json, entries)
    write_report(report_html, entries, figures, card)
    return entries


def _reported(played: _Played, lesion: CaseLesion) -> tuple[Entry, Figures]:
    """Return the entry of a lesion in the report, and its images."""
    workspace, source = played.workspace, played.source
    result, refinement, navigation = (
        _result_of(workspace, lesion),
        workspace.background_refinement,
        workspace.navigation,
    )
    truth = source.case.truth_of(lesion, result.volume)
    consensus, near = refinement.consensus_of(lesion.name), navigation.approaches.nearest_of(lesion.name)
    entry = report_entry(
        result,
        played.ready,
        source.case.case_id,
        played.timings_s[lesion.name],
        truth,
        source.simulated,
        navigation_entry(navigation.approaches, lesion.name, navigation.margins_mm),
        stability_entry(
            consensus,
            refinement.change_of(lesion.name),
            refinement.expected_dice_of(lesion.name),
            refinement.calibration,
        ),
    )
    surface = lesion_surface(workspace.lesion_store.segmentation_node, lesion.name)
    margins = navigation.margin_surfaces_of(lesion.name)
    return entry, figures_of(result, surface, truth, near, margins, consensus, source.simulated)


def _line(result: LesionResult, entry: Entry) -> str:
    text = f"{sentence_of(result)}\n  seed to overlay {entry['timings_s']['seed_to_overlay']:.1f} s"
    if entry["metrics"]:
        kind = "simulated case, " if entry["simulated"] else ""
        distance = entry["metrics"]["hausdorff95_mm"]
        shown = "" if distance is None else f", HD95 {distance:.1f} mm"
        text += f"; {kind}Dice {entry['metrics']['dice']:.2f}{shown}"
    return "\n  ".join([text, *navigation_sentences(entry)])
