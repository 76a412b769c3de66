"""How often the views are given something new to draw, so that rendering never holds the tracking."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

SHARE = 0.5
"""Of the time, for renders at most."""
SHARE_WHILE_WAITING = 0.2
"""The same while somebody waits for an answer of the network, which has the same processors."""
LAGS_BELOW_PER_S = 10.0
IMAGES = 3
"""So many are averaged."""


class RenderLimiter:
    """Measures how long the views render, and decides which turns may change what they show.

    3D Slicer renders in the thread that tracks and measures. After a turn that was allowed to change the scene, the
    next one is allowed when the renders since then have taken no more than their share of the time. Of each view the
    last render counts: those that a user causes, who turns the camera, are no reason to stop the tools.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._share = SHARE
        self._allowed_s = float("-inf")
        self._render_s: dict[str, float] = {}
        self._pictures_s: deque[float] = deque(maxlen=IMAGES)

    def note_render(self, view: str, seconds: float) -> None:
        """Note that a view has rendered, and for how long."""
        self._render_s[view] = seconds

    def allows(self, is_waiting: bool = False, is_drawn_anyway: bool = False) -> bool:
        """Return whether this turn may change what the views show; the renders that follow are counted anew.

        Args:
            is_waiting: somebody waits for an answer of the network; then rendering gives way.
            is_drawn_anyway: something has come that is shown at once, so that the views render in any case.
        """
        now_s, picture_s = self._clock(), self._picture_s
        self._share = SHARE_WHILE_WAITING if is_waiting else SHARE
        if not is_drawn_anyway and now_s - self._allowed_s < picture_s / self._share:
            return False
        if self._render_s:
            self._pictures_s.append(picture_s)
        self._allowed_s, self._render_s = now_s, {}
        return True

    @property
    def lagging_per_s(self) -> float | None:
        """How many pictures a second there is time for; None while there are enough, so that nobody sees a lag."""
        pictures_s = [*self._pictures_s, *([self._picture_s] if self._render_s else [])]
        if not pictures_s:
            return None
        picture_s = sum(pictures_s) / len(pictures_s)
        per_s = self._share / picture_s if picture_s > 0 else float("inf")
        return per_s if per_s < LAGS_BELOW_PER_S else None

    @property
    def _picture_s(self) -> float:
        """The time that the views together take for what they were given last."""
        return sum(self._render_s.values())
