"""The commands of `crlm-seg`. Heavy imports stand inside them, so that --help and info answer at once."""

from __future__ import annotations

import ipaddress
import json
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from . import __version__
from .core.crop_format import CROP_SIZE_LIMITS_MM
from .core.errors import CrlmError
from .igtl.sockets import DEFAULT_PORT

if TYPE_CHECKING:
    from rich.console import Console

    from .driver import OnProgress
    from .replay.player import ReplayEvent

EXPOSED = "Note: whoever reaches {host} over the network can connect; OpenIGTLink knows no passwords."
ModelOption = Annotated[Optional[Path], typer.Option(help="Model folder; default: the shipped model.")]
logger = logging.getLogger(__name__)


app = typer.Typer(
    name="crlm-seg",
    help="Segments colorectal liver metastases in tracked 3D intraoperative ultrasound. Not for clinical use.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def _options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also say what happens inside.")] = False,
) -> None:
    # Without -v nothing is logged: what a user must know is in the answer or in the one line of the error.
    level = logging.INFO if verbose else logging.CRITICAL
    logging.basicConfig(level=level, format="%(asctime)s %(name)s: %(message)s")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the report; made if need be.")] = Path("demo-output"),
    case: Annotated[Optional[Path], typer.Option(help="Case folder; default: a shipped sample.")] = None,
    model: ModelOption = None,
) -> None:
    """Play a recorded case over OpenIGTLink, segment it live, and write a report."""
    from .core.resources import resource_path
    from .demo import REPORT, run_demo

    folder = case or resource_path("SampleCases", "phantom-hypoechoic")
    with _steps() as on_step:
        summary = run_demo(folder, out, model, on_step)
    for line in summary:
        typer.echo(line)
    typer.echo(f"Report: {out / REPORT}")


@app.command()
def replay(
    case: Annotated[Path, typer.Argument(help="Case folder, or a volume (.nrrd .mha .nii.gz).")],
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than this machine need e.g. 0.0.0.0.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = DEFAULT_PORT,
    speed: Annotated[float, typer.Option(help="2 plays twice as fast.")] = 1.0,
    loop: Annotated[bool, typer.Option("--loop", help="Start again at the end.")] = False,
) -> None:
    """Play a recorded case over OpenIGTLink until Ctrl-C, which ends it with exit code 0."""
    from .replay.player import run_replay

    if not (speed > 0 and math.isfinite(speed)):
        raise typer.BadParameter("must be above 0", param_hint="--speed")

    def show(event: ReplayEvent) -> None:
        typer.echo(event.text)
        if event.kind == "listening" and not _is_loopback(host):
            typer.echo(EXPOSED.format(host=host), err=True)

    run_replay(case, host, port, speed, loop, show)


@app.command()
def segment(
    volume: Annotated[Path, typer.Argument(help="The 3D volume (.nrrd .mha .nii.gz).")],
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
            help="Width of the crop in mm; default: the model's.",
        ),
    ] = None,
    report: Annotated[Optional[Path], typer.Option(help="JSON report to write.")] = None,
    mirroring: Annotated[
        bool, typer.Option("--mirroring", help="Average over mirrored copies: slower, a little better.")
    ] = False,
) -> None:
    """Segment one or several lesions in a volume file."""
    seeds = [_three_numbers(text) for text in seed]
    from .offline import segment_file

    with _bars() as on_progress:
        lesions = segment_file(volume, seeds, out, model, size, report, mirroring, on_progress)
    from .presenting import sentence_of

    for lesion in lesions:
        typer.echo(sentence_of(lesion))
    typer.echo(f"Segmentation: {out}")
    if all(lesion.mask.is_empty for lesion in lesions):
        raise CrlmError("no tumour was found at any seed; move the seeds or change the crop with --size")


@app.command()
def phantom(
    out: Annotated[Path, typer.Option(help="Folder to which one case folder for each patient is written.")],
    cases: Annotated[int, typer.Option(min=1, help="Number of patients.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Number of the cohort; the same seed gives the same patients.")] = 0,
    processes: Annotated[int, typer.Option(min=1, help="How many to simulate at once.")] = 2,
) -> None:
    """Simulate patients: a liver with metastases under a tracked probe, with the truth."""
    from .outputs import make_folder
    from .phantom.cases import write_cohort

    make_folder(out)
    with _bars() as on_progress:
        written: list[object] = []

        def count(case: object) -> None:
            written.append(case)
            on_progress("Simulating", len(written), cases)

        write_cohort(out, seed, range(cases), min(processes, cases), on_written=count)
    typer.echo(f"{cases} simulated case{'s' if cases > 1 else ''} in {out}")


@app.command()
def info(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON: versions, devices, model, model_error.")] = False,
    model: ModelOption = None,
) -> None:
    """Versions, devices, the model and its hash."""
    from .environment import describe

    found = describe(model)
    typer.echo(json.dumps(found, indent=1) if as_json else "\n".join(_lines_of(found)))


def _lines_of(found: dict) -> Iterator[str]:
    yield f"crlm-seg {__version__}"
    yield "Device:   " + ", ".join(found["devices"])
    if found["model"]:
        yield "Model:    {name} {version}, SHA-256 {sha256}".format(**found["model"])
        if found["model"]["simulated_only"]:
            yield "          trained on simulated data only; not for clinical use"
    else:
        yield f"Model:    none: {found['model_error']}"
    yield "Versions: " + ", ".join(f"{name} {version}" for name, version in found["versions"].items())


def _three_numbers(text: str) -> tuple[float, float, float]:
    try:
        r, a, s = (float(part) for part in text.replace(",", " ").split())
        if not all(map(math.isfinite, (r, a, s))):
            raise ValueError
    except ValueError:
        raise typer.BadParameter(f"expected three numbers R A S in mm, got '{text}'", param_hint="--seed") from None
    return r, a, s


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _terminal() -> Console:
    from rich.console import Console

    return Console(stderr=True)


@contextmanager
def _steps() -> Iterator[Callable[[str], None]]:
    """Shows the latest step while the block lasts."""
    from rich.text import Text

    with _terminal().status("Starting ...") as status:

        def show(text: str) -> None:
            logger.info("%s", text)
            status.update(Text(text))

        yield show


@contextmanager
def _bars() -> Iterator[OnProgress]:
    """Shows a bar for each name while the block lasts; nothing where stderr is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    terminal = _terminal()
    with Progress(*columns, console=terminal, disable=not terminal.is_terminal) as progress:
        tasks = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total)
            progress.update(tasks[name], completed=done)

        yield show
