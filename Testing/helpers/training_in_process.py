"""Fixture: the steps of a training run inside this process, which loads torch once.

That a step is a process of its own, ends with its parent and can be killed is shown by `test_train.py`.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from CRLMSegmentationLib.core.errors import CrlmError
from CRLMSegmentationLib.research.training import train
from CRLMSegmentationLib.research.training.step_queue import StepError

Send = Callable[[Mapping[str, Any]], None]


class StepInThisProcess:
    """In place of `step_queue.StepProcess`: it is over at the first look."""

    def __init__(self, what: str, module: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str]):
        self._what, self._arguments, self._environment = what, list(arguments), environment
        self._module = importlib.import_module(f"{train.__package__}.{module}")

    def poll(self) -> tuple[list[Mapping[str, Any]], bool]:
        messages: list[Mapping[str, Any]] = []

        def run_step(step: Callable[[Send], None], log: Path) -> None:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("a") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
                step(messages.append)

        with (
            mock.patch.dict(os.environ, self._environment),
            mock.patch.object(self._module, "run_step", run_step),
        ):
            try:
                self._module.main(self._arguments)
            except CrlmError as error:
                raise StepError(f"{self._what} failed: {error}") from error
        return messages, True

    def end(self) -> None: ...


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a training sets for its own process is set back."""
    import torch

    threads = torch.get_num_threads()
    monkeypatch.setattr(train, "StepProcess", StepInThisProcess)
    yield
    torch.set_num_threads(threads)
