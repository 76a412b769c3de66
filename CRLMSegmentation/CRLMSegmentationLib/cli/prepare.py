"""The command `prepare`: make a training dataset of cases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from ..core.crop_format import CROP_SIZE_LIMITS_MM
from ..core.errors import CrlmError
from ..research.training.preparation import CROP_SEED, CROP_SIZE_MM, FULL, NAMES, SPACING_MM, Preparation
from .console import bars, print_text
from .options import ClusterOption, ProcessesOption, TaskMemoryOption
from .task_runner import LOCAL, cases_at, place_for, task_runner


def prepare(
    cases: Annotated[
        str,
        typer.Argument(
            help="Cases with a reference segmentation, or pairs NAME.nrrd, NAME-label.nrrd; or s3://BUCKET/FOLDER."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DATASET", help="Folder of the dataset to create.")],
    variant: Annotated[
        str,
        typer.Option(
            metavar="|".join(NAMES),
            help="Input of the network: whole volumes, crops with all lesions, crops with the seed and its lesion, or "
            "the same with correcting clicks.",
        ),
    ] = CROP_SEED,
    crop_size: Annotated[
        Optional[float],
        typer.Option(
            min=CROP_SIZE_LIMITS_MM[0],
            max=CROP_SIZE_LIMITS_MM[1],
            metavar="MM",
            help=f"Width of a crop; default: {CROP_SIZE_MM:g}.",
        ),
    ] = None,
    spacing: Annotated[float, typer.Option(metavar="MM", help="Voxel size of the dataset.")] = SPACING_MM,
    crops: Annotated[
        Optional[int], typer.Option(min=1, metavar="N", help="Number of crops for each lesion; default: 3.")
    ] = None,
    folds: Annotated[
        int, typer.Option(min=2, metavar="K", help="Number of folds; each validates on other patients.")
    ] = 5,
    held_out: Annotated[
        float, typer.Option(min=0, max=0.9, metavar="SHARE", help="Share of the patients that is kept from training.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Random seed; the same seed gives the same files.")] = 0,
    name: Annotated[Optional[str], typer.Option(help="Name of the dataset; default: by the variant.")] = None,
    processes: ProcessesOption = None,
    cluster: ClusterOption = LOCAL,
    task_memory: TaskMemoryOption = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out cases that cannot be trained on.")] = False,
    keep_labels_together: Annotated[
        bool, typer.Option("--keep-labels-together", help="Unconnected parts of a label are one lesion.")
    ] = False,
) -> None:
    """Make an nnU-Net dataset of cases, split by patient.

    Each case needs a reference segmentation.
    """
    preparation = _preparation(
        {"crop_size_mm": crop_size, "crops_per_lesion": crops},
        variant=variant,
        spacing_mm=spacing,
        folds=folds,
        held_out_share=held_out,
        seed=seed,
        name=name,
        labels_together=keep_labels_together,
    )
    from ..recording.dataset import check_cases, table_of
    from ..research.training.prepare import prepare_dataset, prepared_before
    from ..research.training.summary import summary_of

    with task_runner(cluster, processes, task_memory) as runner, bars() as on_progress:
        source, together = cases_at(runner, cases), keep_labels_together
        found, problems = check_cases(source, on_progress, labels_together=together, runner=runner)
        is_there = (skip_bad or not problems) and prepared_before(found, out, preparation) is not None
        manifest = prepare_dataset(
            found,
            place_for(runner, out),
            preparation,
            on_progress,
            problems=problems,
            skip_bad=skip_bad,
            on_problems=lambda bad: print_text(table_of(bad), err=True),
            on_warnings=lambda warnings: print_text("Warnings:\n" + table_of(warnings), err=True),
            runner=runner,
        )
    print_text(f"{'Already prepared' if is_there else 'Prepared'}: {out}")
    for line in summary_of(manifest):
        print_text(line)
    print_text(f"Next: crlm-seg train {out}")


def _preparation(of_crops: dict[str, Any], **others: Any) -> Preparation:
    given = {field: value for field, value in of_crops.items() if value is not None}
    try:
        if others["variant"] == FULL and given:
            raise CrlmError("the variant full has no crops; leave out --crop-size and --crops, or choose another one")
        return Preparation(**given, **others)
    except CrlmError as error:
        raise typer.BadParameter(str(error)) from error
