"""The command `report`: write the report of a recorded session."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import bars, print_text


def report(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of a recorded session, finished or not.")],
    out: Annotated[Path, typer.Option(help="Folder for session.html and session.json; created if it does not exist.")],
) -> None:
    """Write the report of a recorded session.

    It shows lesions, distances and events. The recording is not changed.
    """
    from ..reports.session_report import PAGE, make_report, summary_of

    with bars() as on_progress:
        document = make_report(folder, out / PAGE, on_progress)
    for line in summary_of(document, out / PAGE):
        print_text(line)
