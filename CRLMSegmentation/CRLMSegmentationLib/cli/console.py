"""Output of the commands: lines, JSON, progress bars."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from ..core.text import printable

if TYPE_CHECKING:
    from rich.console import Console

    from ..core.progress import OnProgress
    from ..research.training.progress import FoldState, OnState

logger = logging.getLogger(__name__)

MAX_LINE = 4000
"""Characters."""
SPEED_PERIOD_S = 600.0
"""The time left is estimated from the tasks of so long; some take minutes."""
LINES_OF_A_TRAINING = 100
"""At most, where stderr is no terminal."""


def print_text(text: str, err: bool = False) -> None:
    """Print lines with control characters escaped; on stderr with `err`."""
    for line in text.split("\n"):
        typer.echo(printable(line, MAX_LINE), err=err)


def print_data(found: Mapping[str, object], lines: Iterable[str], as_json: bool) -> None:
    """Print plain data as JSON or as lines."""
    if as_json:
        typer.echo(json.dumps(found, indent=1))  # ASCII, in which control characters are escaped
    else:
        print_text("\n".join(lines))


def terminal() -> Console:
    """Return a rich console on stderr."""
    from rich.console import Console

    return Console(stderr=True)


@contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """Show the latest step on stderr while the block lasts."""
    from rich.text import Text

    with terminal().status("Starting ...") as status:

        def show(text: str) -> None:
            logger.info("%s", text)
            status.update(Text(text))

        yield show


@contextmanager
def bars() -> Iterator[OnProgress]:
    """Show a progress bar and the time left for each name while the block lasts; nothing if stderr is no terminal."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    name = TextColumn("{task.description}", markup=False)
    columns = (name, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    console, is_hidden = terminal(), not terminal().is_terminal
    with Progress(*columns, console=console, disable=is_hidden, speed_estimate_period=SPEED_PERIOD_S) as progress:
        tasks = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total)
            progress.update(tasks[name], completed=done)

        yield show


@contextmanager
def training_bars() -> Iterator[tuple[OnProgress, OnState]]:
    """Show bars for planning and for each fold, or lines per epoch if stderr is no terminal."""
    console = terminal()
    if not console.is_terminal:
        yield _planning_line(console), _epoch_lines(console)
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    name, figures = (TextColumn(f"{{task.{field}}}", markup=False) for field in ("description", "fields[figures]"))
    columns = (SpinnerColumn(finished_text=" "), name, BarColumn(bar_width=20), TimeElapsedColumn(), figures)
    with Progress(*columns, console=console) as progress:
        tasks = {}

        def show(name: str, share: float | None, figures: str) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=None, figures="")
            progress.update(tasks[name], total=None if share is None else 1, completed=share or 0, figures=figures)

        def show_step(name: str, done: int, total: int) -> None:
            if not name.startswith("Fold"):
                show(name, 1 if done == total else None, "")

        yield show_step, lambda state: show(f"Fold {state.fold}", state.share, figures_of(state))


def _planning_line(console: Console) -> OnProgress:
    def show(name: str, done: int, total: int) -> None:
        if not name.startswith("Fold") and done < total:
            console.print(f"{name} ...", markup=False, highlight=False)

    return show


def _epoch_lines(console: Console) -> OnState:
    told: dict[int, int] = {}

    def show(state: FoldState) -> None:
        every = -(-state.epochs // LINES_OF_A_TRAINING)
        if state.epoch == told.get(state.fold) or (state.epoch % every and state.epoch < state.epochs):
            return
        told[state.fold] = state.epoch
        console.print(f"Fold {state.fold}: {figures_of(state)}", markup=False, highlight=False, soft_wrap=True)

    return show


def figures_of(state: FoldState) -> str:
    """Return a line such as `epoch 12 of 100, loss -0.41, validation -0.38, Dice 0.72, 12 min left`."""
    parts = [f"epoch {state.epoch} of {state.epochs}"]
    for name, value in (("loss", state.train_loss), ("validation", state.val_loss), ("Dice", state.dice)):
        parts += [] if value is None else [f"{name} {value:.2f}"]
    if state.seconds_left and state.epoch < state.epochs:
        parts.append(f"{duration_text(state.seconds_left)} left")
    return ", ".join(parts)


def duration_text(seconds: float) -> str:
    """Return a duration such as `45 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
