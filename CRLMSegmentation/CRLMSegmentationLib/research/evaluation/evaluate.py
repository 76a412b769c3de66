"""Evaluate a model or a semi-automatic method on cases with ground truth, and write tables and a page.

DIR/lesions.jsonl    results as they come; a second run goes on from there
DIR/masks            the masks as recorded
DIR/evaluation.json  all figures, see `evaluation.document.KEYS`
DIR/lesions.csv      one line for each lesion
DIR/evaluation.html  the page
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...core.errors import CaseError, CrlmError, WorkerError
from ...core.output_files import atomic_files, make_folder
from ...core.parallel import InProcess
from ...core.progress import OnProgress
from ...core.tasks import TaskRunner
from ...recording.case_storage import RemoteCases
from ...recording.dataset import CaseProblem, CheckedCase, check_cases
from ...recording.label_components import KEEP_TOGETHER
from ...segmentation.engine.engine import Engine
from ...segmentation.engine.worker_engine import WorkerEngine
from ...segmentation.models.package import ModelPackage, model_or_default
from .data_leakage import check_held_out
from .document import document_of, write_csv, write_json
from .lesions import measure_method
from .methods import Method, ModelMethod, on_all_machines
from .result_cache import ResultCache
from .settings import EvaluationSettings

RESULT_CACHE = "lesions.jsonl"
OUTPUTS = ("evaluation.json", "lesions.csv", "evaluation.html")
OnProblems = Callable[[Sequence[CaseProblem]], None]


@dataclass(frozen=True)
class HeldOut:
    """The cases that a dataset keeps from training, by their hashes; only these are measured.

    Attributes:
        labels_together: how the dataset was prepared, see `run_method`; None where it is not known.
    """

    dataset: str
    hashes: frozenset[str]
    labels_together: bool | None = None


def evaluate_model(
    model_folder: Path | str | None,
    cases_path: Path | RemoteCases,
    out: Path,
    settings: EvaluationSettings | None = None,
    skip_bad: bool = False,
    on_progress: OnProgress = lambda *_: None,
    on_problems: OnProblems = lambda problems: None,
    engine_of: Callable[[ModelPackage], Engine] = WorkerEngine,
    held_out: HeldOut | None = None,
    labels_together: bool = False,
    runner: TaskRunner | None = None,
) -> dict[str, Any]:
    """Evaluate a model package and write `OUTPUTS` into a folder.

    Args:
        model_folder: of the package; None for the shipped one.

    See `run_method` for the others, and for what it returns.

    Raises:
        ModelError: there is no such model, or it is damaged.
        WorkerError: the worker has given up; what was measured is kept, and the next run goes on.
    """
    method = ModelMethod(model_or_default(model_folder), engine_of)
    how = (settings, skip_bad, on_progress, on_problems, held_out, labels_together, runner)
    return run_method(method, cases_path, out, *how)


def evaluate_method(
    name: str,
    cases_path: Path | RemoteCases,
    out: Path,
    settings: EvaluationSettings | None = None,
    skip_bad: bool = False,
    on_progress: OnProgress = lambda *_: None,
    on_problems: OnProblems = lambda problems: None,
    held_out: HeldOut | None = None,
    labels_together: bool = False,
    runner: TaskRunner | None = None,
) -> dict[str, Any]:
    """Evaluate a semi-automatic method, see `baselines.methods.BASELINES`, and write `OUTPUTS` into a folder.

    See `run_method` for the arguments, and for what it returns.

    Raises:
        CrlmError: there is no such method.
    """
    from ..baselines.methods import baseline_named  # brings VTK, which a model needs not

    method = baseline_named(name)
    how = (settings, skip_bad, on_progress, on_problems, held_out, labels_together, runner)
    return run_method(method, cases_path, out, *how)


def run_method(
    method: Method,
    cases_path: Path | RemoteCases,
    out: Path,
    settings: EvaluationSettings | None,
    skip_bad: bool,
    on_progress: OnProgress,
    on_problems: OnProblems,
    held_out: HeldOut | None = None,
    labels_together: bool = False,
    runner: TaskRunner | None = None,
) -> dict[str, Any]:
    """Measure a method on all cases and write `OUTPUTS` into a folder.

    Args:
        cases_path: see `recording.dataset`.
        skip_bad: go on without the cases and lesions that cannot be evaluated.
        on_problems: told what is wrong with which case, before anything is measured; see `dataset.table_of`.
        held_out: to measure only what a dataset has kept from training; None for all cases.
        labels_together: parts of a label that lie apart are one lesion, see `recording.label_components`; taken
            from the dataset where that says so.
        runner: carries out the measurements; None for this process.

    Returns:
        The content of evaluation.json.

    Raises:
        CaseError: there is no case, or one of them cannot be evaluated.
        CrlmError: the folder holds the results of something else or of other settings, or the dataset was prepared
            with the parts of labels as lesions of their own, which shall be one here; or there are corrections to be
            made, and the method takes none.
        WorkerError: lesions could not be measured; the others are in the result cache. `OUTPUTS` are there only with
            `skip_bad`.
    """
    settings, runner = settings or EvaluationSettings(), runner or InProcess()
    if isinstance(method, ModelMethod) and runner.is_remote:
        method = replace(method, model=on_all_machines(method.model, runner))
    if settings.brush:
        from ..baselines.brush import BrushCorrected

        method = BrushCorrected(method)
    if settings.clicks > 1 and not method.takes_points:
        raise CrlmError(
            f"{method.about()['name']} takes no clicks that correct; measure it with --clicks 1, or take a model of "
            "the variant crop+clicks, or grow-cut, or correct with --brush"
        )
    labels_together = _labels_together(held_out, labels_together)
    header = {**method.header(settings), "labels_together": labels_together}
    cases, problems = _cases_in(cases_path, skip_bad, on_progress, on_problems, held_out, labels_together, runner)
    make_folder(out)
    result_cache = ResultCache(out / RESULT_CACHE, header)
    if result_cache.damage.is_any:
        on_problems(
            [CaseProblem(RESULT_CACHE, "", f"{result_cache.damage.sentence(RESULT_CACHE)}; they are measured again")]
        )
    measured = measure_method(method, cases, settings, result_cache, out, on_progress, runner)
    if measured.failed:
        on_problems(measured.failed)
    of = None if held_out is None else {"dataset": held_out.dataset, "listed": len(held_out.hashes)}
    if skip_bad or not measured.failed:
        problems = [*problems, *measured.failed]
        document = document_of(method, cases, problems, settings, measured.rows, measured.versions, of)
        _write(document, cases, out, on_progress)
    if measured.failed:
        raise WorkerError(_told(measured.failed, skip_bad))
    return document


def _told(failed: Sequence[CaseProblem], skip_bad: bool) -> str:
    """Return one sentence about measurements that could not be made."""
    first = failed[0]
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    end = "the tables leave them out" if skip_bad else "or leave them out with --skip-bad"
    return (
        f"some lesions could not be measured: {first.case} {first.lesion}: {first.text}{more}; the others are kept: "
        f"run the same command again, {end}"
    )


def _labels_together(held_out: HeldOut | None, wanted: bool) -> bool:
    """Return whether held-out lesions keep the parts of their labels together, as in training."""
    if held_out is None or held_out.labels_together is None:
        return wanted
    if wanted and not held_out.labels_together:
        raise CrlmError(
            f"{held_out.dataset} was prepared without {KEEP_TOGETHER}, so that its lesions are others; leave out "
            f"{KEEP_TOGETHER}, or prepare a dataset with it"
        )
    return held_out.labels_together


def _cases_in(
    path: Path | RemoteCases,
    skip_bad: bool,
    on_progress: OnProgress,
    on_problems: OnProblems,
    held_out: HeldOut | None,
    labels_together: bool,
    runner: TaskRunner,
) -> tuple[list[CheckedCase], list[CaseProblem]]:
    only: Collection[str] | None = None if held_out is None else held_out.hashes
    cases, problems = check_cases(path, on_progress, only, labels_together, runner)
    if problems:
        on_problems(problems)
    if problems and not (skip_bad and cases):
        raise CaseError(_refusal(problems, bool(cases)))
    if held_out is not None:
        check_held_out(cases, held_out.hashes, path, held_out.dataset)
    return cases, problems


def _refusal(problems: Sequence[CaseProblem], some_are_good: bool) -> str:
    first = problems[0]
    place = " ".join(filter(None, (first.case, first.lesion)))
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    end = "correct them, or leave them out with --skip-bad" if some_are_good else "no case is left to evaluate"
    return f"some cases cannot be evaluated: {place}: {first.text}{more}; {end}"


def _write(document: dict[str, Any], cases: Sequence[CheckedCase], out: Path, on_progress: OnProgress) -> None:
    from .page import worst_figures, write_evaluation_page  # only now are pictures needed

    figures = worst_figures(document, {checked.case_id: checked for checked in cases}, out, on_progress)
    with atomic_files([out / name for name in OUTPUTS]) as unfinished:
        write_json(unfinished[0], document)
        write_csv(unfinished[1], document)
        write_evaluation_page(unfinished[2], document, figures)
