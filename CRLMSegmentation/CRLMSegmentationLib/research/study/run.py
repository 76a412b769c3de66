"""Run a study: simulate patients, train three networks, measure five methods, and write one page.

    DIR/study.json                       what is done; another study is refused
    DIR/steps.jsonl                      how long each step took
    DIR/patients/{trained-on,held-out}   simulated
    DIR/datasets/VARIANT                 see `training.layout`
    DIR/models/VARIANT                   model packages
    DIR/evaluations/METHOD               see `evaluating`
    DIR/results.json                     all figures, see `study.results.KEYS`
    DIR/tables.csv, study.html, figures  what is to be read

What is there is not done again; a study that was killed goes on at the step in which it was.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import CrlmError
from ...core.output_files import atomic_files, make_folder
from ...core.parallel import LocalPool
from ...core.progress import OnProgress
from ...core.tasks import TaskRunner
from ...recording.case import CASE_FILE
from ...recording.dataset import CheckedCase, short_hashes
from ...segmentation.models.package import MANIFEST
from .results import Network, results_of
from .settings import METHODS, NETWORKS, Study, check_methods, claim_folder, folder_name, study_named
from .step_log import logged_step
from .steps import REAL_STEPS, Document, Steps
from .stored import EVALUATION, REMOVE, read_dataset_summary, read_evaluation, read_image_counts, read_learning_curve
from .tables import write_results, write_tables

FIGURES = "figures"
OUTPUTS = ("results.json", "tables.csv", "study.html")
PUBLISHED_LIMIT_MB = 2.0


@dataclass(frozen=True)
class _Run:
    """A study, its folder, and the settings of the computation."""

    study: Study
    out: Path
    device: str
    runner: TaskRunner
    steps: Steps
    on_progress: OnProgress

    def progress_of(self, step: str) -> OnProgress:
        """Return a progress callback that puts the name of a step before each message."""
        return lambda name, done, total: self.on_progress(f"{step}: {name}", done, total)

    def patients(self, name: str) -> Path:
        return self.out / "patients" / name

    def dataset(self, variant: str) -> Path:
        return self.out / "datasets" / folder_name(variant)

    def model(self, variant: str) -> Path:
        return self.out / "models" / folder_name(variant)

    def evaluation(self, method: str) -> Path:
        return self.out / "evaluations" / folder_name(method)


def run_study(
    preset: str,
    out: Path,
    changes: Mapping[str, Any] | None = None,
    methods: Sequence[str] = METHODS,
    device: str = "auto",
    runner: TaskRunner | None = None,
    publish: Path | None = None,
    steps: Steps = REAL_STEPS,
    on_progress: OnProgress = lambda *_: None,
) -> Document:
    """Do all steps of a study that are not done yet.

    Args:
        preset: "demo" or "paper".
        changes: fields of `Study` that are other than the preset says; None as a value changes nothing.
        device: to train on, "auto", "cpu" or "cuda".
        runner: carries out the tasks of each step; None for a pool on this machine.
        publish: folder for a copy of what is small: results, page, figures.

    Returns:
        The content of results.json.

    Raises:
        CrlmError: the folder holds another study, or a step has failed; what was done before is kept.
    """
    study, methods = study_named(preset, changes or {}), check_methods(methods)
    run = _Run(study, out, device, runner or LocalPool(), steps, on_progress)
    claim_folder(study, out)
    trained_on, held_out = _simulate(run)
    trainings = {method: _train(run, method, trained_on, held_out) for method in methods if method in NETWORKS}
    documents = {method: _evaluate(run, method, held_out) for method in methods}
    return _report(run, trained_on, held_out, trainings, documents, publish)


def _simulate(run: _Run) -> tuple[list[CheckedCase], list[CheckedCase]]:
    """Simulate the patients for training, and others with higher numbers for the evaluation."""
    study, found = run.study, []
    numbers = {
        "trained-on": range(study.patients),
        "held-out": range(study.patients, study.patients + study.held_out),
    }
    for name, those in numbers.items():
        missing = len(list(run.patients(name).glob(f"*/{CASE_FILE}"))) < len(those)
        with logged_step(run.out, f"simulate {name}") if missing else nullcontext():
            found.append(run.steps.simulate(run.patients(name), study, those, run.runner, run.progress_of(name)))
    check_apart([case.sha256 for case in found[0]], found[1], "every network")
    return found[0], found[1]


def check_apart(trained_on: Sequence[str] | None, held_out: Sequence[CheckedCase], what: str) -> None:
    """Raise if a held-out patient was trained on.

    Args:
        trained_on: hashes of cases, whole or their first digits; None where they are not stated.
        held_out: patients to be measured on.
        what: who was trained on them, for the message.

    Raises:
        CrlmError: a held-out patient is among them, or they are not stated.
    """
    if not trained_on:
        raise CrlmError(f"{what} does not say on which cases it was trained; remove its folder, and run again")
    known = set(short_hashes(trained_on))
    both = [case.case_id for case in held_out if known & set(short_hashes([case.sha256]))]
    if both:
        raise CrlmError(f"{what} was trained on {', '.join(both)}, which is held out; remove its folder, and run again")


def _check_known(
    cases: Sequence[str] | None, trained_on: Sequence[CheckedCase], held_out: Sequence[CheckedCase], what: str
) -> None:
    """Raise if a network was trained on any patient outside the training set of this study."""
    check_apart(cases, held_out, what)
    if not set(short_hashes(cases or ())) <= set(short_hashes(case.sha256 for case in trained_on)):
        raise CrlmError(
            f"{what} was trained on other patients than those of this study; remove its folder, and run again"
        )


def _train(run: _Run, variant: str, trained_on: Sequence[CheckedCase], held_out: Sequence[CheckedCase]) -> Network:
    """Return the model package of a variant, trained if it is missing."""
    dataset, model = run.dataset(variant), run.model(variant)
    make_folder(dataset.parent)
    if not (model / MANIFEST).is_file():
        with logged_step(run.out, f"prepare {variant}"):
            run.steps.prepare(variant, trained_on, dataset, run.study, run.runner, run.progress_of(variant))
        with logged_step(run.out, f"train {variant}"):
            results = run.steps.train(dataset, run.study, run.device, run.runner, run.progress_of(variant))
        with logged_step(run.out, f"pack {variant}"):
            shutil.rmtree(run.evaluation(variant), ignore_errors=True)  # of a model that is no more
            make_folder(model.parent)
            run.steps.pack(results, model, variant)
    package = run.steps.load(model)
    _check_known(package.trained_on.get("cases"), trained_on, held_out, f"the network {variant}")
    manifest = read_dataset_summary(dataset)
    sizes = [len(patients) for patients in manifest["folds"]]
    patients = {"train": sum(sizes[1:]), "val": sizes[0]}
    return Network(package, read_learning_curve(dataset), read_image_counts(dataset), patients, manifest["left_out"])


def _evaluate(run: _Run, method: str, held_out: Sequence[CheckedCase]) -> Document:
    """Return the evaluation of a method, made again if it is missing or contains failures."""
    out, cases = run.evaluation(method), run.patients("held-out")
    document = _evaluated(run, method)
    if document is None:
        make_folder(out)
        how = (cases, out, run.study, run.runner, run.progress_of(method))
        with logged_step(run.out, f"evaluate {method}"):
            if method in NETWORKS:
                run.steps.evaluate_network(run.model(method), *how)
            else:
                run.steps.evaluate_baseline(method, *how)
        document = read_evaluation(out)
    if document is None:
        raise CrlmError(f"{out} holds no {EVALUATION}; {REMOVE}")
    measured = {case["case_id"]: case["sha256"] for case in document["data"]["cases"]}
    if measured != {case.case_id: case.sha256 for case in held_out}:
        raise CrlmError(f"{out} holds an evaluation of other patients; remove it, and run again")
    return document


def _evaluated(run: _Run, method: str) -> Document | None:
    document = read_evaluation(run.evaluation(method))
    if document is None or document["data"]["failed"]:
        return None
    same = method not in NETWORKS or document["model"]["sha256"] == run.steps.load(run.model(method)).sha256
    return document if same else None


def _report(
    run: _Run,
    trained_on: Sequence[CheckedCase],
    held_out: Sequence[CheckedCase],
    trainings: Mapping[str, Network],
    documents: Mapping[str, Document],
    publish: Path | None,
) -> Document:
    from .page import write_study_page  # only now are pictures needed

    run.on_progress("Writing the report", 0, 1)
    results = results_of(run.study, run.out, trained_on, held_out, trainings, documents)
    folders = {method: run.evaluation(method) for method in documents}
    figures = run.steps.draw(results, documents, {case.case_id: case for case in held_out}, folders)
    make_folder(run.out / FIGURES)
    drawn = [run.out / FIGURES / f"{name}.png" for name in figures]
    with atomic_files([*drawn, *(run.out / name for name in OUTPUTS)]) as unfinished:
        for path, image in zip(unfinished, figures.values()):
            path.write_bytes(image)
        write_results(unfinished[-3], results)
        write_tables(unfinished[-2], results)
        write_study_page(unfinished[-1], results, figures)
    run.on_progress("Writing the report", 1, 1)
    if publish is not None:
        _publish([*drawn, *(run.out / name for name in OUTPUTS)], run.out, publish)
    return results


def _publish(files: Sequence[Path], out: Path, folder: Path) -> None:
    """Copy results, page and figures that are small enough to be kept with the program.

    Raises:
        CrlmError: it is larger than `PUBLISHED_LIMIT_MB`.
    """
    size_mb = sum(file.stat().st_size for file in files) / 1e6
    if size_mb > PUBLISHED_LIMIT_MB:
        raise CrlmError(f"results, page and figures take {size_mb:.1f} MB, more than {PUBLISHED_LIMIT_MB:g} MB")
    make_folder(folder / FIGURES)
    for file in files:
        shutil.copyfile(file, folder / file.relative_to(out))
