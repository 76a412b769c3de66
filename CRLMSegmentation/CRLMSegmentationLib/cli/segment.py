"""From a case, a volume or a simulated patient to a segmentation."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Optional

import typer

from ..core.crop_format import CROP_SIZE_LIMITS_MM
from ..core.errors import CrlmError
from .app import CalibrationOption, DeviceOption, FrameOption, ModelOption
from .console import bars, steps, tell


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the report; made if need be.")] = Path("demo-output"),
    case: Annotated[
        Optional[Path], typer.Option(help="Case folder, tracked sweep (.igs.mha) or volume; default: a shipped sample.")
    ] = None,
    seed: Annotated[
        Optional[list[str]],
        typer.Option(
            help="R A S of a point in the tumour, mm; once for each lesion. Cases have theirs.", metavar="R A S"
        ),
    ] = None,
    calibration: CalibrationOption = None,
    model: ModelOption = None,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Also refine the outlines and tell how stable they are; about a minute.")
    ] = False,
) -> None:
    """Play a recorded case over OpenIGTLink, segment it live, navigate past it, and write a report."""
    from ..core.resources import resource_path
    from .demo import REPORT, run_demo

    path = case or resource_path("SampleCases", "phantom-hypoechoic")
    seeds = [_three_numbers(text) for text in seed or ()]
    with steps() as on_step:
        summary = run_demo(path, out, model, on_step, seeds, calibration, thorough)
    for line in summary:
        tell(line)
    tell(f"Report: {out / REPORT}")


def segment(
    volume: Annotated[Path, typer.Argument(help="3D volume (.nrrd .mha .nii.gz), or a tracked sweep (.igs.mha).")],
    seed: Annotated[
        list[str], typer.Option(help="R A S of a point in the tumour, mm; once for each lesion.", metavar="R A S")
    ],
    out: Annotated[
        Path, typer.Option(help="Segmentation to write: .seg.nrrd for Slicer, .nrrd .nii.gz .mha as labels.")
    ],
    model: ModelOption = None,
    size: Annotated[
        Optional[float],
        typer.Option(
            min=CROP_SIZE_LIMITS_MM[0],
            max=CROP_SIZE_LIMITS_MM[1],
            help="Width of the crop in mm; default: the model's. Not for models that see the whole volume.",
        ),
    ] = None,
    report: Annotated[Optional[Path], typer.Option(help="JSON report to write.")] = None,
    mirroring: Annotated[
        bool, typer.Option("--mirroring", help="Average over mirrored copies: slower, a little better.")
    ] = False,
    calibration: CalibrationOption = None,
    frame: FrameOption = "Reference",
    device: DeviceOption = None,
    serve: Annotated[
        Optional[int],
        typer.Option(
            min=0,
            max=65535,
            metavar="PORT",
            help="Then offer the results over OpenIGTLink on this machine, until Ctrl-C.",
        ),
    ] = None,
) -> None:
    """Segment one or several lesions in a volume file."""
    seeds = [_three_numbers(text) for text in seed]
    from .segment_files import segment_file

    notes: list[str] = []
    with bars() as on_progress:
        lesions = segment_file(
            volume, seeds, out, model, size, report, mirroring, on_progress, calibration, frame, device, notes.append
        )
    for note in notes:
        typer.echo(note)
    from ..reports.lesion_report import sentence_of

    for lesion in lesions:
        tell(sentence_of(lesion))
    tell(f"Segmentation: {out}")
    if all(lesion.mask.is_empty for lesion in lesions):
        change = "" if lesions[0].request.options.crop_size_mm is None else " or change the crop with --size"
        raise CrlmError(f"no tumour was found at any seed; move the seeds{change}")
    if serve is not None:
        from ..reports.serve_results import serve_results

        with suppress(KeyboardInterrupt):
            serve_results(lesions, serve, on_listening=tell)


def phantom(
    out: Annotated[Path, typer.Option(help="Folder to which one case folder for each patient is written.")],
    cases: Annotated[int, typer.Option(min=1, help="Number of patients.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Number of the cohort; the same seed gives the same patients.")] = 0,
    processes: Annotated[int, typer.Option(min=1, help="How many to simulate at once.")] = 2,
) -> None:
    """Simulate patients: a liver with metastases under a tracked probe, with the truth."""
    from ..core.output_files import make_folder
    from ..research.phantom.cases import write_cohort

    make_folder(out)
    with bars() as on_progress:
        written: list[object] = []

        def count(case: object) -> None:
            written.append(case)
            on_progress("Simulating", len(written), cases)

        write_cohort(out, seed, range(cases), min(processes, cases), on_written=count)
    tell(f"{cases} simulated case{'s' if cases > 1 else ''} in {out}")


def _three_numbers(text: str) -> tuple[float, float, float]:
    try:
        r, a, s = (float(part) for part in text.replace(",", " ").split())
        if not all(map(math.isfinite, (r, a, s))):
            raise ValueError
    except ValueError:
        raise typer.BadParameter(f"expected three numbers R A S in mm, got '{text}'", param_hint="--seed") from None
    return r, a, s
