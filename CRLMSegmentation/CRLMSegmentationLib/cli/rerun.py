"""The command `rerun`: compute the results of a recorded session again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from .console import bars, print_text

if TYPE_CHECKING:
    from ..recording.rerun import Row

IDENTICAL, DIFFERENT, CORRECTED = "identical", "different", "corrected by hand"
HEAD = ("lesion", "recorded ml", "new ml", "Dice", "largest mm", "mean mm", "recorded s", "new s", "")


def rerun(
    case: Annotated[Path, typer.Argument(metavar="CASE", help="Case folder with recorded results.")],
    model: Annotated[
        Optional[Path],
        typer.Option(help="Model folder or name; default: the model of the recording, if it is installed."),
    ] = None,
    out: Annotated[Optional[Path], typer.Option(help="Folder for the new masks; created if it does not exist.")] = None,
    as_json: Annotated[
        Optional[Path], typer.Option("--json", metavar="FILE", help="JSON file to write the comparison to.")
    ] = None,
) -> None:
    """Segment a recorded session again, and print the differences.

    Differences do not change the exit code.
    """
    from ..core.errors import WorkerError
    from ..recording.rerun import rerun_case

    with bars() as on_progress:
        rows = rerun_case(case, model, out, as_json, on_progress, on_note=lambda text: print_text(text, err=True))
    for line in lines_of(rows):
        print_text(line)
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
