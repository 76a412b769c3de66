"""Blocking waits for the command line: poll a session, or a workspace, until an event has come.

In 3D Slicer a QTimer polls it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Container
from typing import Protocol

from ..core.errors import LinkError, WorkerError
from ..core.progress import OnProgress
from .incoming import Refused
from .refinement import Refinement
from .results import LesionFailed, LesionProgress, LesionResult, LesionSegmented, ModelReady, Purpose
from .session import Event, Session

logger = logging.getLogger(__name__)

POLL_S = 0.005
BUDGET_S = 0.1
READY_LIMIT_S = 180.0
"""A worker that is not ready after so long hangs; a slow disk and a busy processor need a minute."""
Check = Callable[[], None]
"""Called at each turn; ends the waiting by raising."""


class Driven(Protocol):
    """Anything that is polled for events: `session.Session`, or a workspace around one."""

    def poll(self, budget_s: float) -> list[Event]:
        """Do what can be done at once, and return the events."""
        ...


def wait_for(
    driven: Driven, *kinds: type[Event], check: Check = lambda: None, needed: Container[str] = ()
) -> list[Event]:
    """Poll until an event of each kind has come, and return the first of each.

    Args:
        needed: devices without whose images there is nothing to wait for; those of others may be refused.

    Raises:
        WorkerError: the engine has given up, or has not become ready in `READY_LIMIT_S`.
        LinkError: what came over the link cannot be used.
    """
    first: dict[type, Event] = {}
    end_s = time.monotonic() + READY_LIMIT_S
    while len(first) < len(kinds):
        check()
        if ModelReady in kinds and ModelReady not in first and time.monotonic() > end_s:
            raise WorkerError(
                f"the worker has not become ready in {READY_LIMIT_S:.0f} s; close other programs and try again"
            )
        for event in _turn(driven):
            if isinstance(event, LesionFailed) and event.lesion is None:
                raise WorkerError(event.reason)
            if isinstance(event, Refused) and event.device in needed:
                raise LinkError(f"'{event.device}', which came over the link, cannot be used: {event.reason}")
            if isinstance(event, kinds):
                first.setdefault(type(event), event)
    return [first[kind] for kind in kinds]


def drive_until(driven: Driven, done: Callable[[], bool], check: Check = lambda: None) -> None:
    """Poll until a condition holds."""
    while not done():
        check()
        _turn(driven)


def wait_for_model(driven: Driven) -> ModelReady:
    """Poll until the engine is ready.

    Raises:
        WorkerError: it will not be; says why.
    """
    return next(event for event in wait_for(driven, ModelReady) if isinstance(event, ModelReady))


def wait_for_lesion(driven: Driven, lesion: str, on_progress: OnProgress = lambda *_: None) -> LesionResult:
    """Poll until a lesion that was requested is segmented.

    Raises:
        WorkerError: there will be no answer; says why.
    """
    while True:
        for event in _turn(driven):
            if isinstance(event, LesionProgress) and event.lesion == lesion and event.stage == "inference":
                on_progress(lesion, event.done, event.total)
            if isinstance(event, LesionSegmented) and event.result.request.lesion == lesion:
                return event.result
            if isinstance(event, LesionFailed) and event.lesion in (lesion, None):
                raise WorkerError(f"{lesion} was not segmented: {event.reason}")


def wait_for_refinement(session: Session, refinement: Refinement, first: LesionResult) -> LesionResult:
    """Run all requests that follow from a first result, see `refinement`.

    Returns:
        The last segmentation of the lesion: that of the grown crop, refined; the consensus surfaces are with
        `refinement`.

    Raises:
        WorkerError: one of the runs has no answer.
    """
    best = first
    requests = refinement.store(first.request, first.mask)
    while requests:
        session.refine(requests.pop(0), first)
        result = wait_for_lesion(session, first.request.lesion)
        if result.request.purpose is not Purpose.REPEATED:
            best = result
        requests += refinement.store(result.request, result.mask)
    return best


def _turn(driven: Driven) -> list[Event]:
    """Poll once and return the events; sleep a little where there are none."""
    events = driven.poll(BUDGET_S)
    for event in events:
        if isinstance(event, ModelReady):
            logger.info("model ready on %s after %.1f s", event.device, event.cold_start_s)
        if isinstance(event, LesionProgress) and event.done <= 1:
            logger.info("%s: %s", event.lesion, event.stage)
    if not events:
        time.sleep(POLL_S)
    return events
