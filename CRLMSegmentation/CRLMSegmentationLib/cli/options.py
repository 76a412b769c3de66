"""Options that several commands share."""

from __future__ import annotations

import enum
import math
from pathlib import Path
from typing import Annotated, Optional

import typer

ModelOption = Annotated[Optional[Path], typer.Option(help="Model folder; default: the shipped model.")]
CalibrationOption = Annotated[
    Optional[str],
    typer.Option(
        metavar="FILE|MATRIX",
        help="For a sweep: ImageToProbe as 16 numbers, a text file of them, or a PLUS configuration (.xml).",
    ),
]
FrameOption = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="For a sweep: coordinate frame of the volume; Tracker needs no reference sensor."
    ),
]
DeviceOption = Annotated[
    Optional[str],
    typer.Option(metavar="NAME", help="For a recorded case: device whose images are the ultrasound; info lists them."),
]
MirroringOption = Annotated[
    bool, typer.Option("--mirroring", help="Test-time augmentation by mirroring: slower, a little better.")
]
SlidingWindowOption = Annotated[
    bool,
    typer.Option(
        "--sliding-window", help="Cover the crop with nnU-Net's patches as nnUNetv2_predict does, not in one pass."
    ),
]


class NetworkPrecision(str, enum.Enum):
    """Precision in which a network is run: the fastest that agrees with float32 on this machine, or float32."""

    AUTO = "auto"
    FLOAT32 = "float32"


PrecisionOption = Annotated[
    NetworkPrecision,
    typer.Option(help="Precision of the network: auto takes the fastest that agrees with float32 on this machine."),
]
DialectOption = Annotated[
    str,
    typer.Option(help="Program at the other end: plus and slicer send RAS coordinates, custusx LPS.", metavar="NAME"),
]


ClusterOption = Annotated[
    str,
    typer.Option(
        "--cluster",
        metavar="local|ray://HOST:PORT",
        help="Where the tasks run: in processes of this machine, or on a Ray cluster that sees the same folders.",
    ),
]
ProcessesOption = Annotated[
    Optional[int],
    typer.Option(
        min=1, help="Number of parallel processes on this machine; default: its cores, as far as the memory allows."
    ),
]
TaskMemoryOption = Annotated[
    Optional[float],
    typer.Option(
        min=0.1, metavar="GB", help="Memory for each task: it decides how many run at once; default: by the step."
    ),
]


def point_of(text: str, option: str = "--seed") -> tuple[float, float, float]:
    """Parse `R A S` in mm.

    Args:
        option: to which it was given, for the message.

    Raises:
        typer.BadParameter: the text is not three finite numbers.
    """
    try:
        r, a, s = (float(part) for part in text.replace(",", " ").split())
        if not all(map(math.isfinite, (r, a, s))):
            raise ValueError
    except ValueError:
        raise typer.BadParameter(f"expected three numbers R A S in mm, got '{text}'", param_hint=option) from None
    return r, a, s
