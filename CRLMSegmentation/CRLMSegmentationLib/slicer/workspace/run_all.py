"""Run the steps of a turn, so that a step that fails does not prevent the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

logger = logging.getLogger(__name__)


def run_all(steps: Iterable[Callable[[], object]]) -> None:
    """Run each step in order.

    Raises:
        Exception: the first error, after all steps have run; the others are logged.
    """
    errors: list[Exception] = []
    for step in steps:
        try:
            step()
        except Exception as error:  # whatever it is: tools must move, and what is old must look old
            errors.append(error)
    for other in errors[1:]:
        logger.warning("also failed: %s", other, exc_info=other)
    if errors:
        raise errors[0]
