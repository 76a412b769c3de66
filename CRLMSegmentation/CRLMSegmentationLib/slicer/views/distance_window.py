"""The distance, filling a window of its own, for the screen on the wall; its widgets are passed in."""

from __future__ import annotations

from typing import Any

from ..rich_text import COLOURS, WHITE, css, readable
from ..state import State
from .navigation_texts import Distance

NUMBER_SHARE, INTERVAL_SHARE, WORDS_SHARE, WARNING_SHARE = 0.42, 0.15, 0.09, 0.06
"""Of the height of the window, for the letters of each text; the words are wrapped, and take several lines."""
EM_PER_LETTER = 0.8
"""Width of a bold letter at most, on average, as a share of its size."""
LEAST_PX = 12


class DistanceWindow:
    """Shows the distance as large as the window is; call `show` often, it does nothing while nothing has changed.

    Args:
        window: of Resources/UI/DistanceWindow.ui, a window of its own.
        ui: its labels, by their names.
    """

    def __init__(self, window: Any, ui: Any) -> None:
        self._window, self._ui = window, ui
        self._shown: tuple[object, ...] | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is there; not when the user has closed it."""
        return bool(self._window.isVisible())

    def show(self, distance: Distance) -> None:
        """Show a distance, or why there is none."""
        width, height = self._window.width, self._window.height
        shown = distance, width, height
        if shown == self._shown:
            return
        self._shown = shown
        interval = f"({distance.interval})" if distance.interval else ""
        number_px = letters_px(distance.number, NUMBER_SHARE, width, height)
        self._write("numberLabel", distance.number, number_px, css(readable(distance.colour)))
        interval_px = letters_px(interval, INTERVAL_SHARE, width, height)
        self._write("intervalLabel", interval, interval_px, css(readable(distance.colour)))
        shorter_px = min(width, height)
        self._write("wordsLabel", distance.words, max(LEAST_PX, round(WORDS_SHARE * shorter_px)), WHITE)
        warning_px = max(LEAST_PX, round(WARNING_SHARE * shorter_px))
        self._write("warningLabel", distance.warning, warning_px, COLOURS[State.WARNING])

    def close(self) -> None:
        """Close the window for good."""
        self._window.close()
        self._window.deleteLater()

    def _write(self, name: str, text: str, size_px: int, colour: str) -> None:
        label = getattr(self._ui, name)
        label.setStyleSheet(f"QLabel {{ color: {colour}; font-size: {size_px}px; font-weight: bold; }}")
        label.setText(text)
        label.setVisible(bool(text))


def letters_px(text: str, share: float, width_px: int, height_px: int) -> int:
    """Return how large the letters of a line can be: a share of the height, if the line is no wider than the window."""
    widest_px = width_px / (EM_PER_LETTER * max(1, len(text)))
    return max(LEAST_PX, round(min(share * height_px, widest_px)))
