"""The command `recover`: make a case of a recording that was ended by force."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import print_text


def recover(folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the recording.")]) -> None:
    """Turn an unfinished recording, as after a crash, into a case."""
    from .recording_progress import recover_case

    for line in recover_case(folder):
        print_text(line)
