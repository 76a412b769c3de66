"""The command `phantom`: simulate patients."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from .console import bars, print_text
from .options import ClusterOption, ProcessesOption, TaskMemoryOption
from .task_runner import LOCAL, place_for, task_runner


def phantom(
    out: Annotated[Path, typer.Option(help="Folder for the case folders, one for each patient.")],
    cases: Annotated[int, typer.Option(min=1, help="Number of patients.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Random seed; the same seed gives the same patients.")] = 0,
    processes: ProcessesOption = None,
    cluster: ClusterOption = LOCAL,
    task_memory: TaskMemoryOption = None,
    phantom_version: Annotated[
        int, typer.Option(min=1, max=2, help="1: one probe and one kind of sweep. 2: many, and more kinds of lesions.")
    ] = 2,
    vary: Annotated[
        Optional[str],
        typer.Option(
            metavar="NAME[,NAME...]",
            help="Of version 2, vary only these and leave all else as in version 1: probe, motion, spacing, gaps, "
            "clutter, display, speckle, tissue, lesions.  [default: all]",
        ),
    ] = None,
) -> None:
    """Simulate patients with liver metastases and ground truth.

    Each patient is a case folder with a tracked ultrasound sweep.
    """
    from ..core.output_files import make_folder
    from ..research.phantom.cases import write_cohort
    from ..research.phantom.variation import ALL_FACTORS, factors_of

    if vary is not None and phantom_version == 1:
        raise typer.BadParameter("version 1 varies nothing of it; leave it out, or take version 2", param_hint="--vary")
    try:
        factors = ALL_FACTORS if vary is None else factors_of(vary)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--vary") from error
    make_folder(out)
    with task_runner(cluster, processes, task_memory) as runner, bars() as on_progress:
        written: list[object] = []

        def count(case: object) -> None:
            written.append(case)
            on_progress("Simulating", len(written), cases)

        place, numbers = place_for(runner, out), range(cases)
        write_cohort(place, seed, numbers, 1, count, phantom_version, factors, runner)
    print_text(f"{cases} simulated case{'s' if cases > 1 else ''} in {out}")
