"""The command `evaluate`: measure a model or a semi-automatic method on cases with ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ..research.baselines.names import METHOD_NAMES
from .console import bars, print_text
from .options import ClusterOption, MirroringOption, ProcessesOption, SlidingWindowOption, TaskMemoryOption
from .task_runner import LOCAL, cases_at, task_runner

if TYPE_CHECKING:
    from ..research.evaluation.evaluate import HeldOut


def evaluate(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Name of a model or a method, or folder of a model package.")
    ],
    cases: Annotated[
        str,
        typer.Argument(
            metavar="CASES",
            help="Cases with a reference segmentation, or pairs NAME.nrrd, NAME-label.nrrd; or s3://BUCKET/FOLDER.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for tables and page; an interrupted run continues there.")],
    seed: Annotated[int, typer.Option(min=0, help="Random seed; the same seed gives the same tables.")] = 0,
    mirroring: MirroringOption = False,
    sliding_window: SlidingWindowOption = False,
    robustness: Annotated[
        int, typer.Option(min=0, metavar="N", help="Number of lesions with moved seeds and changed gain; 0 for none.")
    ] = 10,
    clicks: Annotated[
        int, typer.Option(min=1, metavar="N", help="Clicks of a simulated user who corrects; 1: the seed alone.")
    ] = 1,
    brush: Annotated[
        bool,
        typer.Option("--brush", help="Correct with the sphere brush of the Segment Editor, and not by points."),
    ] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out cases that cannot be evaluated.")] = False,
    keep_labels_together: Annotated[
        bool, typer.Option("--keep-labels-together", help="Unconnected parts of a label are one lesion.")
    ] = False,
    held_out_of: Annotated[
        Optional[Path],
        typer.Option(metavar="DATASET", help="Only the held-out cases of this dataset, with labels split as in it."),
    ] = None,
    processes: ProcessesOption = None,
    cluster: ClusterOption = LOCAL,
    task_memory: TaskMemoryOption = None,
) -> None:
    """Measure the accuracy of a model or a semi-automatic method.

    MODEL is the name of a model, the folder of a package, or, for a method that needs no model, one of the names
    grow-cut and region-growing (a model of that name: NAME@VERSION). The strokes for grow-cut are painted by a
    simulated user who sees the reference. With --clicks 5 a simulated user corrects each segmentation by four more
    clicks, with an error of 2 mm at the deepest point of the largest error; for grow-cut by as many strokes. With
    --brush he paints and erases balls as in the Segment Editor. CASES is a folder of cases with a reference
    segmentation, or of pairs NAME.nrrd, NAME-label.nrrd.
    """
    from ..recording.dataset import table_of
    from ..research.evaluation.document import summary_of
    from ..research.evaluation.evaluate import OUTPUTS, evaluate_method, evaluate_model
    from ..research.evaluation.settings import EvaluationSettings

    settings = EvaluationSettings(
        seed, mirroring, sliding_window, robustness_lesions=robustness, clicks=clicks, brush=brush
    )
    held_out = None if held_out_of is None else _held_out_of(held_out_of)
    if held_out is not None and held_out.labels_together and not keep_labels_together:
        print_text(f"As in {held_out_of}, unconnected parts of a label are one lesion.", err=True)
    measure = evaluate_method if model in METHOD_NAMES else evaluate_model
    with task_runner(cluster, processes, task_memory) as runner, bars() as on_progress:
        document = measure(
            model,
            cases_at(runner, cases),
            out,
            settings,
            skip_bad,
            on_progress,
            lambda bad: print_text(table_of(bad), err=True),
            held_out=held_out,
            labels_together=keep_labels_together,
            runner=runner,
        )
    for line in summary_of(document):
        print_text(line)
    print_text(f"Page: {out / OUTPUTS[-1]}")


def _held_out_of(dataset: Path) -> HeldOut:
    from ..research.evaluation.evaluate import HeldOut
    from ..research.training.manifest import read_manifest

    manifest = read_manifest(dataset)
    return HeldOut(str(dataset), frozenset(case.sha256 for case in manifest.held_out), manifest.labels_together)
