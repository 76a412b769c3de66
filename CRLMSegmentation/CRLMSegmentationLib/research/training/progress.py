"""Progress of a training: one line per epoch in `progress.jsonl`, and the state that a bar shows.

A child tells its parent {"type": "started", "epoch": done so far, "epochs": of}, {"type": "step", "epoch",
"iteration", "iterations", "loss"} while an epoch goes on, and {"type": "epoch", ...} with a line of the file.
"""

from __future__ import annotations

import json
import logging
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...core.errors import CrlmError, JsonError, os_reason
from ...core.json_fields import COUNT, NOT_NEGATIVE, NUMBER, check_object
from ...core.json_files import Damage, json_lines, open_regular
from .layout import replacing

EPOCH_KEYS = ("epoch", "train_loss", "val_loss", "dice", "lr", "seconds")
"""Of a line: epoch from 0; dice: of the validation patches, null where they hold no tumour; seconds: it took."""
RECENT_EPOCHS = 10
LINE = {
    "epoch": COUNT,
    "train_loss": NUMBER.or_null(),
    "val_loss": NUMBER.or_null(),
    "dice": NUMBER.or_null(),
    "lr": NUMBER.or_null(),
    "seconds": NOT_NEGATIVE,
}
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoldState:
    """Progress of the training of one fold.

    Attributes:
        epoch: done so far; iteration: within the one that goes on.
        train_loss: of the latest steps; val_loss, dice: of the last whole epoch.
        seconds_left: from the mean of recent epochs; None before the first.
    """

    fold: int
    epoch: int = 0
    epochs: int = 0
    iteration: int = 0
    iterations: int = 0
    train_loss: float | None = None
    val_loss: float | None = None
    dice: float | None = None
    seconds_left: float | None = None

    @property
    def share(self) -> float:
        """Share of the training that is done."""
        begun = self.iteration / self.iterations if self.iterations else 0.0
        return min(1.0, (self.epoch + begun) / self.epochs) if self.epochs else 0.0


OnState = Callable[[FoldState], None]


class FoldProgress:
    """Tracks the progress messages of the process that trains a fold."""

    def __init__(self, fold: int) -> None:
        self.state = FoldState(fold)
        self._recent_s: deque[float] = deque(maxlen=RECENT_EPOCHS)

    def take(self, message: Mapping[str, Any]) -> FoldState:
        kind = message["type"]
        if kind == "started":
            self.state = replace(self.state, epoch=message["epoch"], epochs=message["epochs"])
        elif kind == "step":
            step = {key: message[key] for key in ("iteration", "iterations")}
            self.state = replace(self.state, **step, train_loss=message["loss"], seconds_left=self._left_s(**step))
        elif kind == "epoch":
            self._recent_s.append(message["seconds"])
            figures = {key: message[key] for key in ("train_loss", "val_loss", "dice")}
            self.state = replace(self.state, **figures, epoch=message["epoch"] + 1, iteration=0)
            self.state = replace(self.state, seconds_left=self._left_s(0, 1))
        return self.state

    def _left_s(self, iteration: int, iterations: int) -> float | None:
        if not self._recent_s:
            return None
        epochs = self.state.epochs - self.state.epoch - iteration / iterations
        return max(0.0, epochs * sum(self._recent_s) / len(self._recent_s))


def read_progress(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a progress file; invalid lines and a truncated last one are left out.

    Raises:
        CrlmError: the file cannot be read.
    """
    if not path.is_file():
        return []
    damage, found = Damage(), []
    try:
        with open_regular(path) as stream:
            for line in json_lines(stream):
                problem = line.problem or problem_of_line(line.value)
                if problem:
                    damage.add(line, problem)
                else:
                    found.append(line.value)
    except OSError as error:
        raise CrlmError(f"{path} cannot be read: {os_reason(error)}; move it away and train again") from error
    if damage.is_any:
        logger.warning("%s", damage.sentence(str(path)))
    return found


def problem_of_line(line: Any) -> str:
    """Return why a line is not one of an epoch, as a sentence; empty if it is."""
    try:
        check_object(line, LINE)
    except JsonError as error:
        return str(error)
    return ""


def append_progress(path: Path, line: Mapping[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        known = {key: _finite(line[key]) for key in EPOCH_KEYS}
        file.write(json.dumps(known, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    """Replace a loss that is not finite by None, since JSON has no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def keep_progress(path: Path, epochs: int) -> list[dict[str, Any]]:
    """Keep the lines of the first epochs; those after the last checkpoint are trained again."""
    kept: Sequence[dict[str, Any]] = read_progress(path)[:epochs]
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:
        unfinished.write_text("".join(json.dumps(line) + "\n" for line in kept), "utf-8")
    return list(kept)
