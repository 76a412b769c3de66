"""The steps of a study behind one interface, so that tests can replace them by stubs.

Each step goes on where it was ended, and gives back at once what is there already. Heavy imports stand inside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.output_files import make_folder
from ...core.progress import OnProgress
from ...core.tasks import TaskNeeds, TaskRunner
from ...recording.dataset import CheckedCase, check_cases, table_of
from ..evaluation.settings import EvaluationSettings
from ..ray_cluster import RayCluster
from .settings import PHANTOM_VERSION, Study, folder_name

if TYPE_CHECKING:
    from ...segmentation.models.package import ModelPackage

Document = dict[str, Any]
CLICKS = 5
"""On each lesion, the first included, with the methods that can be corrected."""
PREPROCESSING = 8
"""Processes that preprocess the images of a training, at most."""
INTENDED_USE = "A network of a study on simulated patients; segments liver metastases in simulated ultrasound."
STATEMENT = (
    "Trained on simulated data only; it has never seen a patient. Research software. Not a medical device; "
    "not for clinical use."
)


def simulate(
    folder: Path, study: Study, numbers: range, runner: TaskRunner, on_progress: OnProgress
) -> list[CheckedCase]:
    """Simulate the patients of these numbers into a folder, and check them.

    Raises:
        CrlmError: one of them cannot be used.
    """
    from ...core.errors import CrlmError
    from ..phantom.cases import write_cohort

    written = []

    def count(case: object) -> None:
        written.append(case)
        on_progress("Simulating patients", len(written), len(numbers))

    make_folder(folder)
    write_cohort(folder, study.phantom_seed, numbers, 1, count, PHANTOM_VERSION, runner=runner)
    cases, problems = check_cases(folder, on_progress, runner=runner)
    if problems:
        raise CrlmError(f"some simulated patients cannot be used:\n{table_of(problems)}")
    return cases


def prepare(
    variant: str, cases: Sequence[CheckedCase], dataset: Path, study: Study, runner: TaskRunner, on_progress: OnProgress
) -> None:
    """Write the dataset of a variant; lesions too small for training are listed in its manifest."""
    from ..training.preparation import Preparation
    from ..training.prepare import prepare_dataset

    preparation = Preparation(
        variant=variant,
        crop_size_mm=study.crop_size_mm,
        spacing_mm=study.spacing_mm,
        crops_per_lesion=study.crops_per_lesion,
        folds=study.used_folds,
        held_out_share=0.0,
        seed=study.seed,
    )
    prepare_dataset(cases, dataset, preparation, on_progress, skip_bad=True, runner=runner)


def train(dataset: Path, study: Study, device: str, runner: TaskRunner, on_progress: OnProgress) -> Path:
    """Train one fold, on a node if the runner is a cluster; return nnU-Net's results folder of the configuration."""
    from ..training.train import Training, train_dataset

    training = Training(
        preset=study.training,
        folds=(0,),
        epochs=study.epochs,
        seed=study.seed,
        device=device,
        resume=True,
        processes=min(PREPROCESSING, runner.workers_for(TaskNeeds(), PREPROCESSING)),
    )
    return train_dataset(dataset, training, on_progress, cluster=runner if isinstance(runner, RayCluster) else None)


def pack(results: Path, out: Path, variant: str) -> None:
    """Make the model package of a variant."""
    from ...segmentation.models.pack import About, pack_model

    name = f"study-{folder_name(variant)}"
    about = About(name=name, version="1", intended_use=INTENDED_USE, not_for_clinical_use=STATEMENT)
    pack_model(results, out, about, folds=[0], half=True)


def load(folder: Path) -> ModelPackage:
    from ...segmentation.models.package import load_model_package

    return load_model_package(folder)


def settings_of(study: Study, takes_points: bool) -> EvaluationSettings:
    """Return the settings of the evaluations: every lesion from its recorded seed, without variations.

    Args:
        takes_points: whether a simulated user can correct what the method finds.
    """
    draws, clicks = study.bootstrap_draws, CLICKS if takes_points else 1
    return EvaluationSettings(seed=study.seed, robustness_lesions=0, bootstrap_draws=draws, clicks=clicks)


def evaluate_network(
    model: Path, cases: Path, out: Path, study: Study, runner: TaskRunner, on_progress: OnProgress
) -> Document:
    """Evaluate a model package on the held-out patients."""
    from ...segmentation.models.package import takes_points
    from ..evaluation.evaluate import evaluate_model

    settings = settings_of(study, takes_points(load(model)))
    return evaluate_model(model, cases, out, settings, on_progress=on_progress, runner=runner)


def evaluate_baseline(
    method: str, cases: Path, out: Path, study: Study, runner: TaskRunner, on_progress: OnProgress
) -> Document:
    """Evaluate a semi-automatic method on the held-out patients."""
    from ..baselines.methods import baseline_named
    from ..evaluation.evaluate import evaluate_method

    takes_points = baseline_named(method).takes_points
    settings = settings_of(study, takes_points)
    return evaluate_method(method, cases, out, settings, on_progress=on_progress, runner=runner)


def draw(
    results: Document,
    documents: Mapping[str, Document],
    held_out: Mapping[str, CheckedCase],
    folders: Mapping[str, Path],
) -> dict[str, bytes]:
    """Draw all figures as PNG, by name.

    Args:
        documents, folders: of the evaluations of each method.
        held_out: patients by their case.
    """
    from .examples import examples_of
    from .page import study_figures

    return study_figures(results, examples_of(results, documents, held_out, folders))


@dataclass(frozen=True)
class Steps:
    """What a study calls; see the functions of this module."""

    simulate: Callable[..., list[CheckedCase]] = simulate
    prepare: Callable[..., None] = prepare
    train: Callable[..., Path] = train
    pack: Callable[..., None] = pack
    load: Callable[..., Any] = load
    evaluate_network: Callable[..., Document] = evaluate_network
    evaluate_baseline: Callable[..., Document] = evaluate_baseline
    draw: Callable[..., dict[str, bytes]] = draw


REAL_STEPS = Steps()
