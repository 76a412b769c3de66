"""The application, and the options that all commands share."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Optional

import typer

ModelOption = Annotated[Optional[Path], typer.Option(help="Model folder; default: the shipped model.")]
CalibrationOption = Annotated[
    Optional[str],
    typer.Option(
        metavar="FILE|MATRIX",
        help="Of a sweep: ImageToProbe as 16 numbers, a text file of them, or a PLUS configuration (.xml).",
    ),
]

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
