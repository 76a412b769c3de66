"""Texts about instruments and distances, in the user's language: rich text, without Qt.

A distance that is withheld is a dash with its reason in words, never an old number.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass

from ...core.i18n import tr as _
from ...core.reasons import Reason, ReasonCode, translated
from ...recording.recorded_link import RecordedLink
from ...tracking.colours import distance_colour
from ...tracking.displayed_distance import DisplayedDistance, InstrumentLine, Withheld
from ...tracking.interval import Interval
from ...tracking.readings import InstrumentState, ReliableReading
from ...tracking.situation import Situation
from ..rich_text import coloured, css, readable, rich_line
from ..state import State
from ..workspace.workspace import Workspace

Colour = tuple[float, float, float]
WITHHELD = "–"
WITHHELD_COLOUR: Colour = (0.55, 0.58, 0.62)
MINUS = "\u2212"
LONG_S = 1.0
"""The duration of a reason is shown only from here on, so that the text does not flicker."""


@dataclass(frozen=True)
class Distance:
    """A distance in words, or why it is withheld.

    Attributes:
        number: such as "12 mm"; a dash while it is withheld.
        interval: such as "9–16"; empty while it is withheld.
        words: from which instrument to which lesion; or why it is withheld.
        warning: what else must be known beside the number or its reason; mostly empty.
        colour: red, green, blue, each from 0 to 1; of the margin that the tip is in.
        short_warning: what of the warning must stand in the corner of the 3D view as well.
    """

    number: str
    interval: str
    words: str
    warning: str
    colour: Colour
    short_warning: str = ""

    @property
    def text(self) -> str:
        """In one line of plain text."""
        return f"{self.number} ({self.interval})" if self.interval else self.number


class UnreliableTimer:
    """Measures for how long each instrument has been unreliable."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since_s: dict[str, float] = {}

    def update(self, situation: Situation) -> None:
        """Note which instruments are unreliable; call it more often than once a second."""
        unreliable = {state.instrument.frame for state in situation.instruments if state.unreliable_reason is not None}
        now_s = self._clock()
        self._since_s = {frame: self._since_s.get(frame, now_s) for frame in unreliable}

    def age_s(self, frame: str) -> float:
        """Return for how long an instrument has been unreliable, seconds; 0 while it is reliable."""
        return self._clock() - self._since_s[frame] if frame in self._since_s else 0.0


def distance_of(workspace: Workspace | None) -> Distance:
    """Return the distance that is shown, see `tracking.displayed_distance`, or why there is none."""
    if workspace is None:
        return Distance(WITHHELD, "", _("no volume and no instrument yet"), "", WITHHELD_COLOUR)
    navigation = workspace.navigation
    return distance_text_of(navigation.displayed, navigation.margins_mm, paused_text(workspace))


def paused_text(workspace: Workspace) -> str:
    """Say that a recorded case stands still, and so sends no pose; empty while it is played, and for other sources."""
    link = workspace.session.link
    if not isinstance(link, RecordedLink) or link.is_playing:
        return ""
    has_ended = link.position_s >= link.duration_s
    return _("the recorded case has ended") if has_ended else _("the recorded case is paused")


def distance_text_of(shown: DisplayedDistance, margins_mm: tuple[float, ...], paused: str = "") -> Distance:
    """Return a distance in words, or why it is withheld.

    Args:
        paused: takes the place of "no pose for ..."; empty unless a recording stands still.
    """
    warnings = [translated(warning) for warning in shown.warnings]
    short = _("liver sensor not watched") if any(c.code is ReasonCode.SENSOR_NOT_SENT for c in shown.warnings) else ""
    if shown.nearest is None:
        if shown.margin_mm is not None:
            warnings.append(_("the tip is within {margin:g} mm of a segmentation").format(margin=shown.margin_mm))
        reasons = "; ".join(dict.fromkeys(withheld_text(withheld, paused) for withheld in shown.withheld))
        return Distance(WITHHELD, "", reasons, "; ".join(warnings), WITHHELD_COLOUR, short)
    state, reading = shown.nearest
    return Distance(
        number_text(reading.interval.distance_mm),
        interval_text(reading.interval),
        _words(state, reading, shown.margin_mm),
        "; ".join([*warnings, *(withheld_text(withheld, paused) for withheld in shown.others)]),
        distance_colour(shown.margin_mm, margins_mm),
        short,
    )


def withheld_text(withheld: Withheld, paused: str = "") -> str:
    """Return why a distance is withheld, with the name of the lesion or the instrument concerned."""
    if paused and withheld.reason.code is ReasonCode.NO_RECENT_POSE:
        return paused
    reason = translated(withheld.reason)
    if withheld.lesion:
        return _("{lesion} withheld: {reason}").format(lesion=withheld.name, reason=reason)
    return f"{withheld.instrument}: {reason}" if withheld.instrument else reason


def number_text(distance_mm: float) -> str:
    """Format a distance in whole millimetres."""
    return _("{number} mm").format(number=_whole(distance_mm))


def interval_text(interval: Interval) -> str:
    """Format an interval; "to" between its bounds where one is negative, as a dash beside a minus is unreadable."""
    between = _("{low} to {high}") if round(interval.low_mm) < 0 else "{low}–{high}"
    return between.format(low=_whole(interval.low_mm), high=_whole(interval.high_mm))


def distance_text(distance: Distance) -> str:
    """Return the distance in large letters, its interval smaller beside it; rich text."""
    colour = css(readable(distance.colour))
    number = f'<span style="color:{colour}">{html.escape(distance.number)}</span>'
    if not distance.interval:
        return number
    return f'{number} <span style="color:{colour}; font-size:26pt">({html.escape(distance.interval)})</span>'


def words_text(distance: Distance) -> str:
    """Return the text below the distance; rich text."""
    words = html.escape(distance.words)
    if not distance.warning:
        return words
    return f"{words}<br>{coloured(State.WARNING, distance.warning)}"


def instruments_text(workspace: Workspace | None, unreliable_reasons: UnreliableTimer | None) -> str:
    """Return a line for each instrument: its nearest lesion, or why and for how long it is not valid."""
    situation = workspace.navigation.situation if workspace is not None else None
    if situation is None or not situation.instruments:
        return html.escape(_("No instrument is tracked."))
    paused = paused_text(workspace) if workspace is not None else ""
    lines = [_instrument_line(line, unreliable_reasons, paused) for line in situation.displayed.lines]
    if situation.sensor_unreliable_reason is not None:
        lines.insert(0, rich_line(State.WARNING, withheld_text(Withheld(situation.sensor_unreliable_reason), paused)))
    return "<br>".join(lines)


def _whole(number_mm: float) -> str:
    whole = round(number_mm)
    return f"{MINUS}{-whole}" if whole < 0 else str(whole)


def _words(state: InstrumentState, reading: ReliableReading, margin_mm: float | None) -> str:
    names = {"lesion": reading.name, "instrument": state.instrument.frame}
    if reading.interval.distance_mm < 0:
        return _("{instrument} is inside {lesion}").format(**names)
    if margin_mm is None:
        return _("{instrument} to {lesion}").format(**names)
    return _("{instrument} to {lesion}, within {margin:g} mm").format(**names, margin=margin_mm)


def _instrument_line(line: InstrumentLine, unreliable_reasons: UnreliableTimer | None, paused: str) -> str:
    frame, reading, reason = line.state.instrument.frame, line.reading, line.state.unreliable_reason
    if paused and reason is not None and reason.code is ReasonCode.NO_RECENT_POSE:
        return rich_line(State.OFF, f"{frame}: {paused}")
    if reason is not None:
        text = withheld_text(line.withheld or Withheld(reason, frame))
        return rich_line(State.WARNING, text + _age_text(reason, frame, unreliable_reasons))
    if line.withheld is not None:
        return rich_line(State.WARNING, f"{frame}: {withheld_text(line.withheld)}")
    if reading is None:
        return rich_line(State.OK, _("{instrument}: tracked").format(instrument=frame))
    names = {"instrument": frame, "lesion": reading.name, "number": number_text(reading.interval.distance_mm)}
    text = _("{instrument}: {number} ({interval}) to {lesion}")
    return rich_line(State.OK, text.format(**names, interval=interval_text(reading.interval)))


def _age_text(reason: Reason, frame: str, unreliable_reasons: UnreliableTimer | None) -> str:
    """Say for how long an instrument has been unreliable, where the reason does not say it."""
    age_s = unreliable_reasons.age_s(frame) if unreliable_reasons is not None else 0.0
    return "" if age_s < LONG_S or reason.mentions_age else _(", for {seconds:.0f} s").format(seconds=age_s)
