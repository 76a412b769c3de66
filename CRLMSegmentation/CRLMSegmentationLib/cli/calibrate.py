"""What a model's confidence and distances are worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from .console import bars, tell


def calibrate(
    model: Annotated[str, typer.Argument(help="Name of a model, or folder of a package.")],
    cases: Annotated[Path, typer.Argument(help="Patients with a truth, on whom it was not trained.")],
    check: Annotated[Optional[Path], typer.Option(help="Other patients, to see how the calibration does.")] = None,
    report: Annotated[Optional[Path], typer.Option(help="JSON file for all figures.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the places from which distances are measured.")] = 0,
) -> None:
    """Measure what repeated outlines are worth, and write it into the model's package."""
    from ..research.evaluation.calibrate import calibrate_model

    with bars() as on_progress:
        package, calibration, worth = calibrate_model(model, cases, check, report, seed, on_progress)
    kind = "simulated " if calibration.simulated else ""
    tell(
        f"{package.name}@{package.version}: calibrated on {calibration.lesions} lesions of {calibration.patients} "
        f"{kind}patients; {calibration.unexplained.with_shells_mm:.1f} mm are added to both sides of a distance, "
        f"{calibration.unexplained.alone_mm:.1f} mm before a lesion has been looked at again"
    )
    if worth is not None:
        before = worth.before
        tell(
            f"  On {worth.lesions} lesions of {worth.patients} other patients: confidence is {worth.gap:+.2f} off the "
            f"Dice on average (the network's own probability {before['gap']:+.2f}), {worth.error:.2f} for a single one "
            f"({before['error']:.2f})"
        )
        tell(
            f"  {worth.bad_flagged} of {worth.bad} outlines with a Dice under 0.5 are told by their confidence, with "
            f"{worth.flagged - worth.bad_flagged} false alarms; {100 * worth.held:.1f} % of the distances lie in their "
            f"interval, which is {worth.width_mm:.1f} mm wide in the middle ({100 * worth.held_alone:.1f} % and "
            f"{worth.width_alone_mm:.1f} mm before a lesion has been looked at again)"
        )
