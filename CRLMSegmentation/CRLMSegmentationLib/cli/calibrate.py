"""The command `calibrate`: calibrate the confidence and the distance intervals of a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from .console import bars, print_text
from .options import ClusterOption, ProcessesOption, TaskMemoryOption
from .task_runner import LOCAL, cases_at, task_runner

if TYPE_CHECKING:
    from ..research.evaluation.calibrate import CalibratedAccuracy
    from ..segmentation.calibration import ModelCalibration
    from ..segmentation.models.package import ModelPackage


def calibrate(
    model: Annotated[str, typer.Argument(help="Name of a model, or folder of a package.")],
    cases: Annotated[
        str,
        typer.Argument(
            help="Cases with a reference segmentation, none of which the model was trained on; or s3://BUCKET/FOLDER."
        ),
    ],
    check: Annotated[
        Optional[str], typer.Option(help="Cases of other patients, on which the calibration is checked.")
    ] = None,
    report: Annotated[Optional[Path], typer.Option(help="JSON file to write all figures to.")] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Random seed of the positions from which distances are measured.")
    ] = 0,
    work: Annotated[
        Optional[Path],
        typer.Option(help="Folder for the results of finished cases; an interrupted calibration continues there."),
    ] = None,
    processes: ProcessesOption = None,
    cluster: ClusterOption = LOCAL,
    task_memory: TaskMemoryOption = None,
) -> None:
    """Calibrate a model's confidence and distance intervals.

    It is measured on cases with a reference segmentation, and written into the package of the model.
    """
    from ..research.evaluation.calibrate import calibrate_model

    with task_runner(cluster, processes, task_memory) as runner, bars() as on_progress:
        made_on, tried_on = cases_at(runner, cases), None if check is None else cases_at(runner, check)
        package, calibration, accuracy = calibrate_model(
            model, made_on, tried_on, report, seed, on_progress, runner, work
        )
    for line in (_calibration_line(package, calibration), *_accuracy_lines(accuracy)):
        print_text(line)


def _calibration_line(package: ModelPackage, calibration: ModelCalibration) -> str:
    kind, error = "simulated " if calibration.simulated else "", calibration.residual_error
    return (
        f"{package.name}@{package.version}: calibrated on {calibration.lesions} lesions of {calibration.patients} "
        f"{kind}patients; {error.with_consensus_mm:.1f} mm are added to both sides of a distance interval, "
        f"{error.alone_mm:.1f} mm before the background refinement of a lesion"
    )


def _accuracy_lines(checked: CalibratedAccuracy | None) -> Iterator[str]:
    if checked is None:
        return
    before = checked.before
    yield (
        f"  On {checked.lesions} lesions of {checked.patients} other patients: the confidence differs from the Dice by "
        f"{checked.gap:+.2f} on average (the network's own probability by {before['gap']:+.2f}), and by "
        f"{checked.error:.2f} for a single lesion ({before['error']:.2f})"
    )
    yield (
        f"  The confidence flags {checked.bad_flagged} of {checked.bad} segmentations with a Dice below 0.5, with "
        f"{checked.flagged - checked.bad_flagged} false alarms; {100 * checked.coverage:.1f} % of the distances lie in "
        f"their interval, of a median width of {checked.width_mm:.1f} mm ({100 * checked.coverage_alone:.1f} % and "
        f"{checked.width_alone_mm:.1f} mm before the background refinement of a lesion)"
    )
