"""steps.jsonl: duration, machine and versions of each step of a study, one line per run."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from ...core.environment import devices, versions
from ...core.errors import CrlmError, JsonError, os_reason
from ...core.json_fields import ANY_TEXT, NAME, NOT_NEGATIVE, OBJECT, TEXTS, check_object
from ...core.json_files import Damage, JsonLine, json_lines, open_regular

STEP_LOG = "steps.jsonl"
LINE = {"step": NAME, "seconds": NOT_NEGATIVE, "ended": ANY_TEXT, "machine": TEXTS, "versions": OBJECT}
logger = logging.getLogger(__name__)


@contextmanager
def logged_step(out: Path, step: str) -> Iterator[None]:
    """Log the duration of a block, also if it raises, but not if the process is killed."""
    started_s = time.monotonic()
    try:
        yield
    finally:
        line = {
            "step": step,
            "seconds": round(time.monotonic() - started_s, 1),
            "ended": datetime.now().astimezone().isoformat(timespec="seconds"),
            "machine": devices(),
            "versions": versions(),
        }
        with (out / STEP_LOG).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")


def read_step_log(out: Path) -> list[dict[str, Any]]:
    """Return {step, minutes, runs, ended, machines, versions} of each step, in the order of their starts.

    Minutes are the sum over all runs; versions those of the last one. A line cut short by a kill is left out, as is
    one that is no step.

    Raises:
        CrlmError: the file cannot be read.
    """
    path = out / STEP_LOG
    if not path.is_file():
        return []
    try:
        with open_regular(path) as stream:
            lines = list(json_lines(stream))
    except OSError as error:
        raise CrlmError(f"{path} cannot be read: {os_reason(error)}; restore it") from error
    return _steps_of(path, lines)


def _steps_of(path: Path, lines: Iterable[JsonLine]) -> list[dict[str, Any]]:
    steps: dict[str, dict[str, Any]] = {}
    damage = Damage()
    for line in lines:
        entry, problem = line.value, line.problem
        try:
            if not problem:
                check_object(entry, LINE)
        except JsonError as error:
            problem = str(error)
        if problem:
            damage.add(line, problem)
            continue
        step = steps.setdefault(entry["step"], {"step": entry["step"], "minutes": 0.0, "runs": 0, "machines": []})
        step["minutes"] = round(step["minutes"] + entry["seconds"] / 60, 3)
        step["runs"] += 1
        step["machines"] = list(dict.fromkeys([*step["machines"], ", ".join(entry["machine"])]))
        step.update(ended=entry["ended"], versions=entry["versions"])
    if damage.is_any:
        logger.warning("%s", damage.sentence(str(path)))
    return list(steps.values())
