"""What a command shows on a terminal while it works."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from ..driver import OnProgress

logger = logging.getLogger(__name__)


def terminal() -> Console:
    from rich.console import Console

    return Console(stderr=True)


@contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """Shows the latest step while the block lasts."""
    from rich.text import Text

    with terminal().status("Starting ...") as status:

        def show(text: str) -> None:
            logger.info("%s", text)
            status.update(Text(text))

        yield show


@contextmanager
def bars() -> Iterator[OnProgress]:
    """Shows a bar for each name while the block lasts; nothing where stderr is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = terminal()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        tasks = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total)
            progress.update(tasks[name], completed=done)

        yield show
