"""steps.jsonl: how long each step took, where, and with which versions; one line each time that it was worked on."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from ..environment import devices, versions

JOURNAL = "steps.jsonl"


@contextmanager
def noted(out: Path, step: str) -> Iterator[None]:
    """Note how long the block took; also when it ends with an error, but not when the process is killed."""
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
        with (out / JOURNAL).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")


def read_journal(out: Path) -> list[dict[str, Any]]:
    """{step, minutes, runs, ended, machines, versions} of each step, in the order in which they were begun.

    Minutes are the sum over all runs; versions those of the last one. A line cut short by a kill is left out.
    """
    path = out / JOURNAL
    lines = path.read_text("utf-8").splitlines(keepends=True) if path.is_file() else []
    steps: dict[str, dict[str, Any]] = {}
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        step = steps.setdefault(entry["step"], {"step": entry["step"], "minutes": 0.0, "runs": 0, "machines": []})
        step["minutes"] = round(step["minutes"] + entry["seconds"] / 60, 3)
        step["runs"] += 1
        step["machines"] = list(dict.fromkeys([*step["machines"], ", ".join(entry["machine"])]))
        step.update(ended=entry["ended"], versions=entry["versions"])
    return list(steps.values())
