"""The colours and signs of the panel: each state has a colour, a shape and words, so that no colour stands alone."""

from __future__ import annotations

import html

from .state import State

Rgb = tuple[float, float, float]

WHITE = "#e6edf3"
_GREEN, _AMBER, _RED, _GREY = "#3fb950", "#e69f00", "#ff7b72", "#a5adb8"
COLOURS = {
    State.OK: _GREEN,
    State.WARNING: _AMBER,
    State.ERROR: _RED,
    State.OFF: _GREY,
    State.PENDING: _GREY,
    State.BY_HAND: WHITE,
}
"""Each has a contrast of 7 to 1 on `BACKGROUND`."""
SIGNS = {
    State.OK: "●",
    State.WARNING: "▲",
    State.ERROR: "■",
    State.OFF: "○",
    State.PENDING: "○",
    State.BY_HAND: "◆",
}
BACKGROUND = "#0d1117"
"""Behind what is read from two metres, whatever the style of the application; the .ui file sets it."""
LEAST_CONTRAST = 7.0
"""Of text on its background, as WCAG 2 asks for at level AAA."""
STEP = 0.05


def plain_line(state: State, text: str) -> str:
    """Return plain text: the sign of a state, then the text."""
    return f"{SIGNS[state]} {text}"


def rich_line(state: State, text: str) -> str:
    """Return rich text: the sign of a state in its colour, then the plain text given."""
    return f"{coloured(state, SIGNS[state])} {html.escape(text)}"


def coloured(state: State, text: str) -> str:
    """Return rich text: a plain text in the colour of a state."""
    return f'<span style="color:{COLOURS[state]}">{html.escape(text)}</span>'


def css(colour: Rgb) -> str:
    """Return a colour as HTML writes it."""
    return "#" + "".join(f"{round(255 * part):02x}" for part in colour)


def readable(colour: Rgb) -> Rgb:
    """Return a colour, mixed with as little white as makes it readable on `BACKGROUND`."""
    share = 0.0
    while contrast(css(_mixed(colour, share)), BACKGROUND) < LEAST_CONTRAST and share < 1.0:
        share += STEP
    return _mixed(colour, min(share, 1.0))


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21, as WCAG 2 defines it."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _mixed(colour: Rgb, white: float) -> Rgb:
    red, green, blue = (part + white * (1.0 - part) for part in colour)
    return red, green, blue


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
