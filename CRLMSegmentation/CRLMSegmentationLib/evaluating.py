"""Evaluate a model on cases with a truth: check, measure through the session, write tables and a page.

DIR/lesions.jsonl    results as they come; a second run goes on from there
DIR/masks            the masks as recorded
DIR/evaluation.json  all figures, see `evaluation.document.KEYS`
DIR/lesions.csv      one line for each lesion
DIR/evaluation.html  the page
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .core.errors import CaseError
from .evaluation.document import document_of, write_csv, write_json
from .evaluation.inputs import OnProgress, Problem, check_cases
from .evaluation.ledger import Ledger
from .evaluation.lesions import header_of, measure_cases
from .evaluation.settings import Settings
from .inference.engine import Engine
from .inference.model_package import ModelPackage, model_or_default
from .inference.worker_engine import WorkerEngine
from .outputs import make_folder, whole_files

LEDGER = "lesions.jsonl"
OUTPUTS = ("evaluation.json", "lesions.csv", "evaluation.html")


def evaluate_model(
    model_folder: Path | None,
    cases_path: Path,
    out: Path,
    settings: Settings | None = None,
    skip_bad: bool = False,
    on_progress: OnProgress = lambda *_: None,
    on_problems: Callable[[Sequence[Problem]], None] = lambda problems: None,
    engine_of: Callable[[ModelPackage], Engine] = WorkerEngine,
) -> dict[str, Any]:
    """Evaluate a model package and write `OUTPUTS` into a folder.

    Args:
        model_folder: of the package; None for the shipped one.
        cases_path: see `evaluation.inputs`.
        skip_bad: go on without the cases and lesions that cannot be evaluated.
        on_problems: told what is wrong with which case, before anything is measured; see `inputs.table_of`.

    Returns:
        The content of evaluation.json.

    Raises:
        CaseError: there is no case, or one of them cannot be evaluated.
        CrlmError: the folder holds the results of another model or other settings.
        WorkerError: the worker has given up; what was measured is kept, and the next run goes on.
    """
    settings = settings or Settings()
    model = model_or_default(model_folder)
    cases, problems = check_cases(cases_path, on_progress)
    if problems:
        on_problems(problems)
    if (problems and not skip_bad) or not cases:
        raise CaseError(_refusal(problems, bool(cases)))
    make_folder(out)
    ledger = Ledger(out / LEDGER, header_of(model, settings))
    rows, ready = measure_cases(model, cases, settings, ledger, out, engine_of, on_progress)
    document = document_of(model, cases, problems, settings, rows, ready)
    from .report.evaluation_html import worst_pictures, write_evaluation_page  # only now are pictures needed

    pictures = worst_pictures(document, {checked.case_id: checked for checked in cases}, out, on_progress)
    with whole_files([out / name for name in OUTPUTS]) as unfinished:
        write_json(unfinished[0], document)
        write_csv(unfinished[1], document["lesions"])
        write_evaluation_page(unfinished[2], document, pictures)
    return document


def _refusal(problems: Sequence[Problem], some_are_good: bool) -> str:
    first = problems[0]
    place = " ".join(filter(None, (first.case, first.lesion)))
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    end = "mend them, or leave them out with --skip-bad" if some_are_good else "no case is left to evaluate"
    return f"some cases cannot be evaluated: {place}: {first.text}{more}; {end}"
