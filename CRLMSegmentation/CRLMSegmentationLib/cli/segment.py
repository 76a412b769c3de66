"""The command `segment`: segment lesions in a volume file."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Optional

import typer

from ..core.crop_format import CROP_SIZE_LIMITS_MM
from ..core.errors import CrlmError
from .clicks import clicks_of, option_order
from .console import bars, print_text
from .options import (
    CalibrationOption,
    DeviceOption,
    FrameOption,
    MirroringOption,
    ModelOption,
    NetworkPrecision,
    PrecisionOption,
    SlidingWindowOption,
)
from .server_options import ServerCaOption, ServerOnlyOption, ServerOption, ServerTokenOption, engine_maker


def segment(
    context: typer.Context,
    volume: Annotated[Path, typer.Argument(help="3D volume (.nrrd .mha .nii.gz), or a tracked sweep (.igs.mha).")],
    seed: Annotated[
        list[str], typer.Option(help="R A S of a point in the tumour, mm; once for each lesion.", metavar="R A S")
    ],
    out: Annotated[
        Path, typer.Option(help="Segmentation to write: .seg.nrrd for Slicer, .nrrd .nii.gz .mha as labels.")
    ],
    include: Annotated[
        Optional[list[str]],
        typer.Option(
            help="R A S of a point that belongs to the tumour too, mm; corrects the lesion of the --seed before it. "
            "May be repeated, among --exclude: the order counts.",
            metavar="R A S",
        ),
    ] = None,
    exclude: Annotated[
        Optional[list[str]],
        typer.Option(
            help="R A S of a point that does not belong to the tumour of the --seed before it, mm; may be repeated.",
            metavar="R A S",
        ),
    ] = None,
    model: ModelOption = None,
    size: Annotated[
        Optional[float],
        typer.Option(
            min=CROP_SIZE_LIMITS_MM[0],
            max=CROP_SIZE_LIMITS_MM[1],
            help="Width of the crop in mm; default: the model's. Not for models of whole volumes.",
        ),
    ] = None,
    report: Annotated[Optional[Path], typer.Option(help="JSON report to write.")] = None,
    mirroring: MirroringOption = False,
    sliding_window: SlidingWindowOption = False,
    precision: PrecisionOption = NetworkPrecision.AUTO,
    calibration: CalibrationOption = None,
    frame: FrameOption = "Reference",
    device: DeviceOption = None,
    server: ServerOption = None,
    server_token_file: ServerTokenOption = None,
    server_ca: ServerCaOption = None,
    server_only: ServerOnlyOption = False,
    serve: Annotated[
        Optional[int],
        typer.Option(
            min=0,
            max=65535,
            metavar="PORT",
            help="Then serve the results over OpenIGTLink on this machine, until Ctrl-C.",
        ),
    ] = None,
) -> None:
    """Segment one or several lesions in a volume file.

    Points correct a lesion, if the model takes points: --seed 12 -30 41 --include 15 -30 45 --exclude 12 -20 41.
    """
    given = {"seed": seed, "include": include or [], "exclude": exclude or []}
    lesions_to_find = clicks_of(option_order(context), given)
    from ..segmentation.results import Options
    from .segment_files import segment_file

    make_engine = engine_maker(server, server_token_file, server_ca, server_only)
    options = Options(size, mirroring, sliding_window=sliding_window)
    notes: list[str] = []
    with bars() as on_progress:
        lesions = segment_file(
            volume,
            lesions_to_find,
            out,
            model,
            options,
            report,
            on_progress,
            calibration,
            frame,
            device,
            notes.append,
            precision.value,
            make_engine,
        )
    for note in notes:
        typer.echo(note)
    from ..reports.lesion_report import sentence_of

    for lesion in lesions:
        print_text(sentence_of(lesion))
    print_text(f"Segmentation: {out}")
    if all(lesion.mask.is_empty for lesion in lesions):
        change = "" if lesions[0].request.options.crop_size_mm is None else " or change the crop with --size"
        raise CrlmError(f"no tumour was found at any seed; move the seeds{change}")
    if serve is not None:
        from ..reports.serve_results import serve_results

        with suppress(KeyboardInterrupt):
            serve_results(lesions, serve, on_listening=print_text)
