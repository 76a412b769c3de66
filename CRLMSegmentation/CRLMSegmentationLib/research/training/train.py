"""Train nnU-Net on a dataset of `crlm-seg prepare`: check, plan, then one process for each fold.

What is done is not done again: the plan is kept, a fold that was ended goes on from its last checkpoint. A fold is
`fold_process.train_fold`, a plain function over files that can be run on another machine.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import CrlmError
from ...core.hashing import sha256_of
from ...core.progress import OnProgress
from ...core.tasks import TaskNeeds, results_of, run_tasks
from ...core.volume_files import is_hidden, read_header
from ...segmentation.models.package import ModelPackage
from .fold_process import KEEP_MEMORY, FoldSettings, is_begun, is_finished
from .layout import LOG, PROGRESS, Layout
from .manifest import IMAGES, Manifest, verify_manifest
from .presets import Preset, preset_named
from .progress import FoldProgress, OnState, read_progress
from .start import Start, copy_start_weights
from .step_queue import Running, StepError, StepProcess, run_queue

if TYPE_CHECKING:
    from ..ray_cluster import RayCluster

TRAINING_NEEDS = TaskNeeds(memory_gb=8.0, is_limited=False, whole_machine=True)
"""Of a fold on a node of a cluster; the standard preset takes about this much, quick a third."""
CHECKPOINTS = 4
"""Of a fold at the same time, at most: latest, best, final, and one that is being written."""

SLOW = "the preset {} is made for a GPU and takes weeks on this CPU; --preset quick takes about an hour"


@dataclass(frozen=True)
class Training:
    """Settings of a training.

    Attributes:
        preset: its name, see `presets`, or one that was made for the occasion.
        folds: which of the dataset's; None for all.
        epochs: None for as many as the preset has.
        device: "auto", "cpu" or "cuda".
        resume: go on with folds that were begun; without it they are refused.
        validation: predict the validation images of each fold at its end, as nnU-Net does.
        processes: to preprocess with.
        start_from: a model at whose weights the folds start, see `start`; None for random ones.
    """

    preset: str | Preset = "standard"
    folds: tuple[int, ...] | None = (0,)
    epochs: int | None = None
    seed: int = 0
    device: str = "auto"
    resume: bool = False
    validation: bool = False
    processes: int = 2
    start_from: ModelPackage | None = None

    def __post_init__(self) -> None:
        if self.epochs is not None and self.epochs < 1:
            raise CrlmError(f"a training has 1 epoch or more, got {self.epochs}")
        if self.seed < 0:
            raise CrlmError(f"the seed must be 0 or more, got {self.seed}")
        if self.folds is not None and not self.folds:
            raise CrlmError("name a fold to train")

    @property
    def preset_used(self) -> Preset:
        return self.preset if isinstance(self.preset, Preset) else preset_named(self.preset)


@dataclass(frozen=True)
class Step:
    """A step of a training, which runs in a process of its own, here or on a node of a cluster.

    Attributes:
        what: it does, for errors.
        module, arguments, log, environment: see `StepProcess`.
    """

    what: str
    module: str
    arguments: tuple[str, ...]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def launch(self) -> Running:
        return StepProcess(self.what, self.module, self.arguments, self.log, self.environment)


def run_step_task(step: Step) -> list[Mapping[str, Any]]:
    """Run a step to its end, as a task; return its messages but for those of single iterations.

    Raises:
        StepError: it has failed.
    """
    messages: list[Mapping[str, Any]] = []

    def receive(_: Step, message: Mapping[str, Any]) -> None:
        if message["type"] not in ("step", "epoch"):
            messages.append(message)

    run_queue([step], ["here"], lambda step, _: step.launch(), receive)
    return messages


def train_dataset(
    dataset: Path,
    training: Training = Training(),
    on_progress: OnProgress = lambda name, done, total: None,
    on_state: OnState = lambda state: None,
    on_warning: Callable[[str], None] = lambda text: None,
    cluster: RayCluster | None = None,
) -> Path:
    """Train folds of a prepared dataset, each in its own process; several GPUs train one each at a time.

    Args:
        cluster: trains each fold on a node; None for this machine.
        on_progress: told "Planning" (0 of 1, 1 of 1), then "Fold N" with epochs.
        on_state: told more of each fold, see `progress.FoldState`.

    Returns:
        nnU-Net's folder of the configuration, for `pack_model`.

    Raises:
        CrlmError: the dataset is not whole, a fold was begun before, there is no space or no such device, or a
            process has failed; what was trained until then is kept.
    """
    preset = training.preset_used
    manifest = verify_manifest(dataset)
    layout = Layout(dataset.resolve(), manifest.dataset_name)
    wanted = _settings(layout, manifest, training, preset)
    _check_folds(layout, wanted, training)
    waiting = [fold for fold in wanted if not is_finished(layout.fold_of(preset, fold.fold))]
    if waiting:
        _check_space(layout, preset, len(waiting))
        if cluster is not None:
            cluster.check_folder(layout.root)
        places = _plan(layout, preset, training, on_progress, on_warning, cluster)
        if training.start_from is not None:
            for fold in waiting:
                copy_start_weights(training.start_from, fold.fold, layout.fold_of(preset, fold.fold))
        if cluster is None:
            _train_all(layout, waiting, places, on_progress, on_state)
        else:
            _train_on(cluster, layout, waiting, places[0], on_progress, on_state)
    return layout.results_of(preset)


def _settings(layout: Layout, manifest: Manifest, training: Training, preset: Preset) -> list[FoldSettings]:
    count = len(layout.read_splits())
    folds = range(count) if training.folds is None else sorted(set(training.folds))
    unknown = [fold for fold in folds if not 0 <= fold < count]
    if unknown:
        raise CrlmError(f"{layout.root} has the folds 0 to {count - 1}, and no fold {', '.join(map(str, unknown))}")
    kinds = {case.simulated for case in manifest.cases}
    return [
        FoldSettings(
            fold=fold,
            preset=preset,
            epochs=training.epochs or preset.epochs,
            seed=training.seed,
            manifest=sha256_of(layout.manifest),
            simulated=next(iter(kinds)) if len(kinds) == 1 else None,
            title=f"{manifest.preparation['name']}, {preset.name}, fold {fold}",
            validation=training.validation,
            start=None if training.start_from is None else Start.of_package(training.start_from),
        )
        for fold in folds
    ]


def _check_folds(layout: Layout, wanted: Sequence[FoldSettings], training: Training) -> None:
    """Raise for folds that were started without --resume, or with other settings."""
    problems = []
    for settings in wanted:
        folder = layout.fold_of(settings.preset, settings.fold)
        if not is_begun(folder):
            continue
        state = "finished" if is_finished(folder) else "begun"
        if not training.resume:
            problems.append(f"fold {settings.fold} is {state} already")
            continue
        different = _differences(FoldSettings.read(folder), settings)
        if different:
            problems.append(f"fold {settings.fold} was {state} with {different}")
    if problems and not training.resume:
        raise CrlmError(
            f"{'; '.join(problems)} in {layout.results_of(wanted[0].preset)}; continue with --resume, or prepare "
            "another folder for a new training"
        )
    if problems:
        raise CrlmError(f"{'; '.join(problems)}; use the same settings to continue, or prepare another folder")


def _differences(before: FoldSettings, now: FoldSettings) -> str:
    told = [f"{name} {was}" for name in ("epochs", "seed") if (was := getattr(before, name)) != getattr(now, name)]
    told += ["other settings of the preset"] if before.preset != now.preset else []
    told += ["other images"] if before.manifest != now.manifest else []
    told += ["another model to start from"] if before.start != now.start else []
    return " and ".join(told)


def _check_space(layout: Layout, preset: Preset, folds: int) -> None:
    files = [] if layout.planned_mark(preset).is_file() else sorted((layout.raw / IMAGES).iterdir())
    images = [path for path in files if not is_hidden(path)]
    wanted_mb = _preprocessed_mb(images) + CHECKPOINTS * preset.checkpoint_mb * folds
    free_mb = shutil.disk_usage(layout.root).free / 1e6
    if free_mb < wanted_mb:
        raise CrlmError(
            f"{layout.root} has {free_mb / 1000:.1f} GB free, and about {wanted_mb / 1000:.1f} GB are needed; make "
            "room, or move the dataset"
        )


def _preprocessed_mb(images: Sequence[Path]) -> float:
    """Return the expected size of the preprocessed images, which nnU-Net stores as float32."""
    if not images:
        return 0.0
    return 4 * prod(read_header(images[0]).sizes) * len(images) / 1e6


def _plan(
    layout: Layout,
    preset: Preset,
    training: Training,
    on_progress: OnProgress,
    on_warning: Callable[[str], None],
    cluster: RayCluster | None,
) -> list[str]:
    """Plan and preprocess the dataset, and return the devices: ["cpu"], or the numbers of the GPUs."""
    arguments = [str(layout.root), "--preset", json.dumps(preset.as_json()), "--device", training.device]
    arguments += ["--processes", str(training.processes)]
    places: list[str] = []

    def take(_: str, message: Mapping[str, Any]) -> None:
        if message["type"] == "device":
            places.extend(map(str, range(message["gpus"])) if message["device"] == "cuda" else ["cpu"])
            slow = [SLOW.format(preset.name)] if places == ["cpu"] and not preset.small else []
            for warning in [*message["warnings"], *slow]:
                on_warning(warning)

    step = Step("planning and preprocessing", "plan", tuple(arguments), layout.planning_log)
    on_progress("Planning", 0, 1)
    if cluster is None:
        run_queue([step], ["here"], lambda step, _: step.launch(), lambda step, message: take("", message))
    else:
        needs = replace(TRAINING_NEEDS, gpus=_gpus_for(training.device, cluster))
        for message in results_of(run_tasks(cluster, run_step_task, [step], needs), [step.what])[0]:
            take("", message)
    on_progress("Planning", 1, 1)
    return places


def _gpus_for(device: str, cluster: RayCluster) -> float:
    """Return the GPUs that a fold needs on a cluster: one, where it has any and the device is not the processor."""
    return 0.0 if device == "cpu" or (device == "auto" and not cluster.has_gpus()) else 1.0


def _train_all(
    layout: Layout,
    wanted: Sequence[FoldSettings],
    places: Sequence[str],
    on_progress: OnProgress,
    on_state: OnState,
) -> None:
    followed = {settings.fold: FoldProgress(settings.fold) for settings in wanted}

    def take(settings: FoldSettings, message: Mapping[str, Any]) -> None:
        state = followed[settings.fold].take(message)
        on_state(state)
        if message["type"] != "step":
            on_progress(f"Fold {state.fold}", state.epoch, state.epochs)

    def launch(settings: FoldSettings, place: str) -> Running:
        environment = KEEP_MEMORY if place == "cpu" else {"CUDA_VISIBLE_DEVICES": _visible(place)}
        return _fold_step(layout, settings, "cpu" if place == "cpu" else "cuda", environment).launch()

    run_queue(wanted, places, launch, take)


def _fold_step(layout: Layout, settings: FoldSettings, device: str, environment: Mapping[str, str]) -> Step:
    """Write the settings of a fold, and return the step that trains it."""
    folder = layout.fold_of(settings.preset, settings.fold)
    settings.write(folder)
    arguments = (str(folder), "--device", device, "--child")
    return Step(f"the training of fold {settings.fold}", "fold_process", arguments, folder / LOG, environment)


def _train_on(
    cluster: RayCluster,
    layout: Layout,
    wanted: Sequence[FoldSettings],
    place: str,
    on_progress: OnProgress,
    on_state: OnState,
) -> None:
    """Train each fold on a node of a cluster, and follow the epochs in their progress files.

    A fold whose node is lost goes on elsewhere from its last checkpoint. One that fails does not stop the others.
    """
    is_cpu = place == "cpu"
    steps = [_fold_step(layout, settings, *(("cpu", KEEP_MEMORY) if is_cpu else ("cuda", {}))) for settings in wanted]
    followed = {settings.fold: FoldProgress(settings.fold) for settings in wanted}
    shown: dict[int, int] = {}

    def look() -> None:
        for settings in wanted:
            progress, folder = followed[settings.fold], layout.fold_of(settings.preset, settings.fold)
            lines = read_progress(folder / PROGRESS)
            if not lines or len(lines) == shown.get(settings.fold):
                continue
            if settings.fold not in shown:
                on_state(progress.take({"type": "started", "epoch": 0, "epochs": settings.epochs}))
            for line in lines[min(shown.get(settings.fold, 0), len(lines) - 1) :]:
                on_state(progress.take({"type": "epoch", **line}))
            shown[settings.fold] = len(lines)
            on_progress(f"Fold {settings.fold}", progress.state.epoch, progress.state.epochs)

    needs = replace(TRAINING_NEEDS, gpus=0.0 if is_cpu else 1.0)
    outcomes = run_tasks(cluster, run_step_task, steps, needs, lambda number, outcome: look(), look)
    try:
        results_of(outcomes, [f"fold {settings.fold}" for settings in wanted], "the folds that failed can be resumed")
    except CrlmError as error:
        raise StepError(str(error)) from error


def _visible(place: str) -> str:
    """Return the value of CUDA_VISIBLE_DEVICES for a child that shall use one GPU."""
    mine = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return mine[int(place)] if mine else place
