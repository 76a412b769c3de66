"""The command `report`: write the report of a recorded session."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import bars, tell


def report(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder of a recorded session, also one still being recorded.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for session.html and session.json; made if need be.")],
) -> None:
    """Report on a recorded session: lesions, distances, what happened. The recording stays as it is."""
    from ..reports.session_report import PAGE, make_report, summary_of

    with bars() as on_progress:
        document = make_report(folder, out / PAGE, on_progress)
    for line in summary_of(document, out / PAGE):
        tell(line)
