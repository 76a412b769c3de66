"""The steps of a turn: one that fails keeps none of the others back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)


class Attempts:
    """Call it with each step; `end` raises the first error that there was."""

    def __init__(self) -> None:
        self._errors: list[Exception] = []

    def __call__(self, step: Callable[..., object], *arguments: Any) -> None:
        try:
            step(*arguments)
        except Exception as error:  # whatever it is: tools must move, and what is old must look old
            self._errors.append(error)

    def end(self) -> None:
        """Raises: Exception: of the first step that failed."""
        for error in self._errors[1:]:
            logger.warning("also failed: %s", error, exc_info=error)
        if self._errors:
            raise self._errors[0]
