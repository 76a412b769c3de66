"""The command `study`: compare methods on simulated patients."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from .console import bars, print_text
from .options import ClusterOption, ProcessesOption, TaskMemoryOption
from .task_runner import LOCAL, place_for, task_runner

if TYPE_CHECKING:
    from ..core.progress import OnProgress


def study(
    out: Annotated[Path, typer.Option(help="Folder of the study; an interrupted study continues there.")],
    preset: Annotated[
        str, typer.Option(help="demo, about half an hour on two processor cores; or paper, 85 patients, on a GPU.")
    ] = "demo",
    patients: Annotated[
        Optional[int], typer.Option(metavar="N", help="Number of patients for training; default: the preset's.")
    ] = None,
    held_out: Annotated[
        Optional[int],
        typer.Option(
            "--held-out", metavar="N", help="Number of other patients for the evaluation; default: the preset's."
        ),
    ] = None,
    training: Annotated[
        Optional[str],
        typer.Option(metavar="PRESET", help="Training preset, as --preset of train; default: the preset's."),
    ] = None,
    epochs: Annotated[
        Optional[int], typer.Option(metavar="N", help="Epochs of each network; default: the preset's.")
    ] = None,
    device: Annotated[str, typer.Option(help="Device for training: auto, cpu or cuda.")] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Random seed; the same seed gives the same tables.")] = 0,
    methods: Annotated[
        str,
        typer.Option(
            metavar="NAME,...", help="Methods among full, crop, crop+seed, crop+clicks, grow-cut, region-growing."
        ),
    ] = "full,crop,crop+seed,grow-cut,region-growing",
    publish: Annotated[
        Optional[Path],
        typer.Option(metavar="FOLDER", help="Folder for a copy of results, page and figures, 2 MB at most."),
    ] = None,
    processes: ProcessesOption = None,
    cluster: ClusterOption = LOCAL,
    task_memory: TaskMemoryOption = None,
) -> None:
    """Compare methods on simulated patients.

    Simulates patients, trains the networks, and measures them and the semi-automatic methods on other patients.
    """
    from ..core.errors import CrlmError
    from ..research.study.run import OUTPUTS, run_study
    from ..research.study.tables import summary_of

    if device not in ("auto", "cpu", "cuda"):
        raise CrlmError(f"there is no device {device!r}; choose auto, cpu or cuda")
    names = [name.strip() for name in methods.split(",") if name.strip()]
    changes = {"patients": patients, "held_out": held_out, "training": training, "epochs": epochs, "seed": seed}
    with task_runner(cluster, processes, task_memory) as runner, _bars_or_lines() as on_progress:
        place = place_for(runner, out)
        results = run_study(preset, place, changes, names, device, runner, publish, on_progress=on_progress)
    for line in summary_of(results):
        print_text(line)
    print_text(f"Page: {out / OUTPUTS[-1]}")


@contextmanager
def _bars_or_lines() -> Iterator[OnProgress]:
    """Show progress bars, or a line for each step if stderr is no terminal."""
    begun: set[str] = set()

    def tell_begun(name: str, done: int, total: int) -> None:
        if name not in begun:
            begun.add(name)
            print_text(f"{name} ...", err=True)

    with bars() as on_progress:
        yield on_progress if sys.stderr.isatty() else tell_begun
