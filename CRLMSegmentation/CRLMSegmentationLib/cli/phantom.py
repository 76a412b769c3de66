"""The command `phantom`: simulate patients."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import bars, print_text


def phantom(
    out: Annotated[Path, typer.Option(help="Folder for the case folders, one for each patient.")],
    cases: Annotated[int, typer.Option(min=1, help="Number of patients.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Random seed; the same seed gives the same patients.")] = 0,
    processes: Annotated[int, typer.Option(min=1, help="Number of parallel processes.")] = 2,
) -> None:
    """Simulate patients with liver metastases and ground truth.

    Each patient is a case folder with a tracked ultrasound sweep.
    """
    from ..core.output_files import make_folder
    from ..research.phantom.cases import write_cohort

    make_folder(out)
    with bars() as on_progress:
        written: list[object] = []

        def count(case: object) -> None:
            written.append(case)
            on_progress("Simulating", len(written), cases)

        write_cohort(out, seed, range(cases), min(processes, cases), on_written=count)
    print_text(f"{cases} simulated case{'s' if cases > 1 else ''} in {out}")
