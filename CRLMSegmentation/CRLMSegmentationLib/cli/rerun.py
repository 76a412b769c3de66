"""The command `rerun`: compute the results of a recorded session again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ..core.errors import WorkerError
from ..core.tasks import TasksFailedError, failures_text
from .console import bars, print_text
from .options import ClusterOption, ProcessesOption, TaskMemoryOption
from .server_options import ServerCaOption, ServerOnlyOption, ServerOption, ServerTokenOption, engine_maker
from .task_runner import LOCAL, cases_at, place_for, task_runner

if TYPE_CHECKING:
    from ..core.tasks import TaskRunner
    from ..recording.rerun import Row
    from ..recording.rerun_cases import RerunCase

IDENTICAL, DIFFERENT, CORRECTED = "identical", "different", "corrected by hand"
HEAD = ("lesion", "recorded ml", "new ml", "Dice", "largest mm", "mean mm", "recorded s", "new s", "")


def rerun(
    case: Annotated[
        str,
        typer.Argument(
            metavar="CASE", help="Case folder with recorded results, or a folder of them; or s3://BUCKET/FOLDER."
        ),
    ],
    model: Annotated[
        Optional[Path],
        typer.Option(help="Model folder or name; default: the model of the recording, if it is installed."),
    ] = None,
    out: Annotated[Optional[Path], typer.Option(help="Folder for the new masks; created if it does not exist.")] = None,
    as_json: Annotated[
        Optional[Path], typer.Option("--json", metavar="FILE", help="JSON file to write the comparison to.")
    ] = None,
    processes: ProcessesOption = None,
    cluster: ClusterOption = LOCAL,
    task_memory: TaskMemoryOption = None,
    server: ServerOption = None,
    server_token_file: ServerTokenOption = None,
    server_ca: ServerCaOption = None,
    server_only: ServerOnlyOption = False,
) -> None:
    """Segment a recorded session again, or a folder of them, and print the differences.

    Differences do not change the exit code. Of a folder, each case is a task, and those that are finished in --out are
    not computed again.
    """
    from ..recording.case import is_case_folder
    from ..recording.rerun import rerun_case
    from ..recording.rerun_cases import rerun_cases
    from ..segmentation.engine.worker_engine import WorkerEngine

    make_engine = engine_maker(server, server_token_file, server_ca, server_only)
    with task_runner(cluster, processes, task_memory) as runner, bars() as on_progress:
        place = cases_at(runner, case)
        if isinstance(place, Path) and not runner.is_remote and (not place.is_dir() or is_case_folder(place)):
            engine_of, on_note = make_engine or WorkerEngine, lambda text: print_text(text, err=True)
            rows = rerun_case(place, model, out, as_json, on_progress, engine_of, on_note)
            cases = None
        else:
            if make_engine is not None:
                raise typer.BadParameter("a server computes a single case; leave it out for a folder of cases")
            cases = rerun_cases(place, _model_for(runner, model), out, as_json, on_progress, runner)
            rows = [row for computed in cases for row in computed.rows]
    for line in lines_of(rows) if cases is None else _lines_of_cases(cases):
        print_text(line)
    _raise_for_failures(rows, cases or ())


def _model_for(runner: TaskRunner, model: Path | None) -> str | None:
    """Return the folder of a model, by which other machines find it as well, or its name."""
    if model is None or not model.is_dir():
        return None if model is None else str(model)
    runner.check_folder(model)
    return str(place_for(runner, model))


def _lines_of_cases(cases: Sequence[RerunCase]) -> Iterator[str]:
    for case in cases:
        yield f"{case.name}:"
        yield from case.notes
        yield from [f"failed: {case.problem}"] if case.problem else lines_of(case.rows)
    failed = sum(bool(case.problem) for case in cases)
    yield f"{len(cases) - failed} of {len(cases)} cases computed"


def _raise_for_failures(rows: Sequence[Row], cases: Sequence[RerunCase]) -> None:
    failed_cases = [(case.name, case.problem) for case in cases if case.problem]
    if failed_cases:
        again = "run the same command again, which with --out computes only the missing ones"
        raise TasksFailedError(failures_text(failed_cases, len(cases), again))
    failed = [row for row in rows if row.problem]
    if failed:
        raise WorkerError(f"{len(failed)} of {len(rows)} could not be computed or compared; the table says why")


def lines_of(rows: Sequence[Row]) -> Iterator[str]:
    """Return the comparison as a table for a terminal, with its conclusion."""
    table = [HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEAD) - 1)]
    for name, *figures, note in table:
        cells = [name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(figures, widths[1:])), note]
        yield "  ".join(cells).rstrip()
    yield from _conclusion(rows)


def _cells(row: Row) -> tuple[str, ...]:
    millimetres, seconds = (row.largest_mm, row.mean_mm), (row.recorded_s, row.new_s)
    figures = [_number(row.recorded_ml), _number(row.new_ml), _number(row.dice, 3)]
    return (f"{row.number} {row.lesion}", *figures, *map(_number, (*millimetres, *seconds)), _note(row))


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _note(row: Row) -> str:
    if row.problem:
        return f"not compared: {row.problem}"
    parts = [CORRECTED] if row.corrected else []
    if row.identical:
        parts.append(IDENTICAL)
    elif not row.corrected:
        parts.append(DIFFERENT)
    parts += [] if row.same_model else ["another model"]
    parts += [] if row.same_device else ["another device"]
    return ", ".join(parts)


def _conclusion(rows: Sequence[Row]) -> Iterator[str]:
    compared = [row for row in rows if not row.problem and not row.corrected]
    identical = sum(bool(row.identical) for row in compared)
    if compared:
        yield f"{identical} of {len(compared)} results are identical, voxel by voxel"
    if any(not row.identical and row.same_model and row.same_device for row in compared):
        yield "the same model on the same device gives other voxels: see the versions in the report"
    models = sorted({row.model for row in rows if not row.same_model})
    if models:
        yield f"computed with {', '.join(models)}, which is not the model of the recording"
