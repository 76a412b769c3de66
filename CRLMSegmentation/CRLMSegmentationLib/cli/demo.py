"""The command `demo`: play, segment and report a recorded case."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from .console import print_text, steps
from .options import CalibrationOption, ModelOption, point_of


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the report; created if it does not exist.")] = Path(
        "demo-output"
    ),
    case: Annotated[
        Optional[Path], typer.Option(help="Case folder, tracked sweep (.igs.mha) or volume; default: a shipped sample.")
    ] = None,
    seed: Annotated[
        Optional[list[str]],
        typer.Option(
            help="R A S of a point in the tumour, mm; once for each lesion. Default: the seeds of the case.",
            metavar="R A S",
        ),
    ] = None,
    calibration: CalibrationOption = None,
    model: ModelOption = None,
    thorough: Annotated[
        bool,
        typer.Option(
            "--thorough",
            help="Also refine the segmentations in the background and report their stability; about a minute.",
        ),
    ] = False,
) -> None:
    """Replay a recorded case, segment it live, and write a report.

    The case is played over OpenIGTLink; the distances of its tracked instruments to the lesions are in the report.
    """
    from ..core.resources import resource_path
    from .demo_run import REPORT, run_demo

    path = case or resource_path("SampleCases", "phantom-hypoechoic")
    seeds = [point_of(text) for text in seed or ()]
    with steps() as on_step:
        summary = run_demo(path, out, model, on_step, seeds, calibration, thorough)
    for line in summary:
        print_text(line)
    print_text(f"Report: {out / REPORT}")
