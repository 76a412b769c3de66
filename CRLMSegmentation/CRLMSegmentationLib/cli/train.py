"""The command `train`: train nnU-Net on a prepared dataset."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ..core.errors import CrlmError
from .console import print_text, training_bars
from .options import ClusterOption, TaskMemoryOption
from .task_runner import LOCAL, cluster_or_none

if TYPE_CHECKING:
    from ..research.training.train import Training

ALL_FOLDS = "all-of-them"
FoldsOption = Annotated[
    Optional[list[str]],
    typer.Option("--fold", metavar="N", help=f"Fold to train; may be repeated; or {ALL_FOLDS}. Default: 0."),
]
PresetOption = Annotated[
    str, typer.Option(help="quick (for two CPU cores), standard (nnU-Net's defaults) or residual-encoder.")
]


def train(
    dataset: Annotated[Path, typer.Argument(help="Dataset folder of `crlm-seg prepare`.")],
    preset: PresetOption = "standard",
    fold: FoldsOption = None,
    epochs: Annotated[Optional[int], typer.Option(help="Number of epochs; default: 100 for quick, else 1000.")] = None,
    seed: Annotated[int, typer.Option(help="Random seed; the same seed gives the same weights on the CPU.")] = 0,
    device: Annotated[str, typer.Option(help="Device: auto, cpu or cuda.")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Continue interrupted folds.")] = False,
    validation: Annotated[
        bool, typer.Option("--validation", help="Also predict the validation images at the end, as nnU-Net does.")
    ] = False,
    processes: Annotated[int, typer.Option(min=1, help="Number of parallel processes.")] = 2,
    start_from: Annotated[
        Optional[str],
        typer.Option(metavar="MODEL", help="Start at the weights of this model; channels that it lacks start at 0."),
    ] = None,
    cluster: ClusterOption = LOCAL,
    task_memory: TaskMemoryOption = None,
) -> None:
    """Train nnU-Net on prepared cases."""
    from ..research.training.train import Training, train_dataset
    from ..segmentation.models.registry import find_model

    if device not in ("auto", "cpu", "cuda"):
        raise CrlmError(f"there is no device {device!r}; choose auto, cpu or cuda")
    start = None if start_from is None else find_model(start_from)
    training = Training(preset, _folds(fold), epochs, seed, device, resume, validation, processes, start)
    warn = partial(print_text, err=True)
    resumable = _noting_how_to_resume(dataset, training)
    with cluster_or_none(cluster, task_memory) as nodes, resumable, training_bars() as (on_progress, on_state):
        results = train_dataset(dataset, training, on_progress, on_state, warn, nodes)
    print_text(f"Results: {results}")
    print_text(f"Next: {_command('pack', results, *_fold_words(results, training), '--out', dataset / 'model')}")


def _folds(words: list[str] | None) -> tuple[int, ...] | None:
    if not words:
        return (0,)
    if ALL_FOLDS in words:
        return None
    try:
        return tuple(int(word) for word in words)
    except ValueError as error:
        raise CrlmError(f"a fold is a number, or {ALL_FOLDS}, got {' '.join(words)}") from error


def _fold_words(results: Path, training: Training) -> list[str]:
    """Return the --fold options for `pack`, needed if the results hold other folds too."""
    folds = training.folds or ()
    others = {path.name for path in results.glob("fold_*")} - {f"fold_{fold}" for fold in folds}
    return [word for fold in folds for word in ("--fold", str(fold))] if others else []


@contextmanager
def _noting_how_to_resume(dataset: Path, training: Training) -> Iterator[None]:
    """Add to an error what is kept of the training, and the command that continues it."""
    from ..research.training.fold_process import is_begun
    from ..research.training.layout import Layout
    from ..research.training.manifest import read_manifest
    from ..research.training.step_queue import StepError

    try:
        yield
    except (StepError, KeyboardInterrupt) as error:
        results = Layout(dataset, read_manifest(dataset).dataset_name).results_of(training.preset_used)
        names = sorted(results.glob("fold_*")) if training.folds is None else [f"fold_{n}" for n in training.folds]
        begun = [(results / name).name for name in names if is_begun(results / name)]
        kept = f"{' and '.join(begun)} kept up to the last checkpoint" if begun else "nothing is trained yet"
        resume = _command("train", dataset, *_words_of(training), "--resume")
        notes = [*getattr(error, "__notes__", ()), f"{kept}; continue with: {resume}"]
        setattr(error, "__notes__", notes)  # noqa: B010  (add_note is of Python 3.11)
        raise


def _words_of(training: Training) -> list[str]:
    words = ["--preset", training.preset_used.name, "--seed", str(training.seed), "--device", training.device]
    for fold in (ALL_FOLDS,) if training.folds is None else training.folds:
        words += ["--fold", str(fold)]
    if training.epochs is not None:
        words += ["--epochs", str(training.epochs)]
    if training.start_from is not None:
        words += ["--start-from", str(training.start_from.folder)]
    return [*words, "--validation"] if training.validation else words


def _command(*words: object) -> str:
    return shlex.join(["crlm-seg", *map(str, words)])
