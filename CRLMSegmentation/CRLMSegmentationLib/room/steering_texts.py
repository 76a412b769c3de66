"""What the panel says of instruments and distances, in the user's language; rich text, without Qt.

A distance that is withheld is a dash with its reason in words, never an old number.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..core.i18n import tr as _
from ..navigation.interval import Interval
from ..navigation.navigator import InstrumentState, Reading, Situation
from ..scene.guidance import CLEAR_COLOUR, margin_colour
from .colours import AMBER, GREEN, dot
from .room import Room
from .steering import Steering

Colour = tuple[float, float, float]
WITHHELD = "–"
WITHHELD_COLOUR: Colour = (0.55, 0.58, 0.62)
MINUS = "\u2212"
LONG_S = 1.0
"""A doubt that is younger is told without its age, so that the text does not flicker."""


@dataclass(frozen=True)
class Distance:
    """What is to be read from a distance.

    Attributes:
        number: such as "12 mm"; a dash while it is withheld.
        interval: such as "9–16"; empty while it is withheld.
        words: from which instrument to which lesion; or why it is withheld.
        warning: what else must be known beside the number; mostly empty.
        colour: red, green, blue, each from 0 to 1; of the margin that the tip is in.
    """

    number: str
    interval: str
    words: str
    warning: str
    colour: Colour

    @property
    def text(self) -> str:
        """In one line of plain text."""
        return f"{self.number} ({self.interval})" if self.interval else self.number


class Doubts:
    """For how long each instrument has been in doubt."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since_s: dict[str, float] = {}

    def look(self, situation: Situation) -> None:
        """Call it more often than once a second."""
        doubted = {state.instrument.frame for state in situation.instruments if state.doubt}
        now_s = self._clock()
        self._since_s = {frame: self._since_s.get(frame, now_s) for frame in doubted}

    def age_s(self, frame: str) -> float:
        """0 while it is trusted."""
        return self._clock() - self._since_s[frame] if frame in self._since_s else 0.0


def distance_of(room: Room | None) -> Distance:
    """The distance from the nearest trusted instrument to the nearest lesion, or why there is none."""
    if room is None:
        return _withheld(_("no volume and no instrument yet"))
    situation, steering = room.steering.situation, room.steering
    known = situation.nearest
    nearer = _doubtful_and_nearer(situation)
    if nearer is not None:
        return _withheld(_lesion_doubt(nearer))
    if known is None:
        return _withheld(reason_of(situation, bool(steering.targets)))
    state, reading = known
    return Distance(
        number_text(reading.interval.distance_mm),
        interval_text(reading.interval),
        _words(state, reading, steering.narrowest_margin_mm),
        "; ".join([*_reservations(steering), *(_lesion_doubt(other) for other in _doubtful(situation))]),
        colour_of(steering.narrowest_margin_mm, steering.margins_mm),
    )


def reason_of(situation: Situation, has_targets: bool) -> str:
    """Why no distance is given."""
    if not situation.instruments:
        return _("no tracked instrument")
    if all(state.doubt for state in situation.instruments):
        if situation.sensor_doubt:
            return _(situation.sensor_doubt)
        return "; ".join(_instrument_doubt(state) for state in situation.instruments)
    if not has_targets:
        return _("no outline to measure to")
    return "; ".join(_lesion_doubt(reading) for reading in _doubtful(situation))


def number_text(distance_mm: float) -> str:
    """In whole millimetres."""
    return _("{number} mm").format(number=_whole(distance_mm))


def interval_text(interval: Interval) -> str:
    """Two numbers; with a word between them where one is negative, for a dash beside a minus cannot be read."""
    between = _("{low} to {high}") if round(interval.low_mm) < 0 else "{low}–{high}"
    return between.format(low=_whole(interval.low_mm), high=_whole(interval.high_mm))


def colour_of(margin_mm: float | None, margins_mm: Sequence[float]) -> Colour:
    """White outside all margins, amber in the widest, red inside."""
    if margin_mm is None:
        return CLEAR_COLOUR
    return margin_colour(margin_mm, max(margins_mm, default=0.0))


def distance_text(distance: Distance) -> str:
    """The large number, its interval smaller beside it; rich text."""
    colour = css(distance.colour)
    number = f'<span style="color:{colour}">{html.escape(distance.number)}</span>'
    if not distance.interval:
        return number
    return f'{number} <span style="color:{colour}; font-size:26pt">({html.escape(distance.interval)})</span>'


def words_text(distance: Distance) -> str:
    """What stands below the large number; rich text."""
    words = html.escape(distance.words)
    if not distance.warning:
        return words
    return f'{words}<br><span style="color:{AMBER}">{html.escape(distance.warning)}</span>'


def instruments_text(room: Room | None, doubts: Doubts | None) -> str:
    """A line for each instrument: what it is near to, or why it is not to be steered by and for how long."""
    situation = room.steering.situation if room is not None else None
    if situation is None or not situation.instruments:
        return html.escape(_("No instrument is tracked."))
    lines = [_instrument_line(state, doubts) for state in situation.instruments]
    if situation.sensor_doubt:
        lines.insert(0, dot(AMBER, _(situation.sensor_doubt)))
    return "<br>".join(lines)


def css(colour: Colour) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in colour)


def _withheld(reason: str) -> Distance:
    return Distance(WITHHELD, "", reason, "", WITHHELD_COLOUR)


def _whole(number_mm: float) -> str:
    whole = round(number_mm)
    return f"{MINUS}{-whole}" if whole < 0 else str(whole)


def _words(state: InstrumentState, reading: Reading, margin_mm: float | None) -> str:
    names = {"lesion": reading.name, "instrument": state.instrument.frame}
    if reading.interval.distance_mm < 0:
        return _("{instrument} is inside {lesion}").format(**names)
    if margin_mm is None:
        return _("{instrument} to {lesion}").format(**names)
    return _("{instrument} to {lesion}, within {margin:g} mm").format(**names, margin=margin_mm)


def _reservations(steering: Steering) -> list[str]:
    """What must be known of any number."""
    said = []
    if steering.is_of_other_source:
        said.append(_("the volume did not come with these tools: do they belong together?"))
    if not steering.is_calibrated:
        said.append(_("the interval lacks the model's own error, which was never measured"))
    return said


def _instrument_doubt(state: InstrumentState) -> str:
    return f"{state.instrument.frame}: {_(state.doubt)}"


def _lesion_doubt(reading: Reading) -> str:
    return _("{lesion} withheld: {doubt}").format(lesion=reading.name, doubt=_(reading.doubt))


def _instrument_line(state: InstrumentState, doubts: Doubts | None) -> str:
    frame = state.instrument.frame
    if state.doubt:
        age_s = doubts.age_s(frame) if doubts is not None else 0.0
        is_told = age_s < LONG_S or state.doubt.startswith("no pose for")  # which tells the age by itself
        age = "" if is_told else _(", for {seconds:.0f} s").format(seconds=age_s)
        return dot(AMBER, _instrument_doubt(state) + age)
    reading = next((reading for reading in state.readings if reading.interval), None)
    if reading is None:
        return dot(GREEN, _("{instrument}: tracked").format(instrument=frame))
    names = {"instrument": frame, "lesion": reading.name, "number": number_text(reading.interval.distance_mm)}
    text = _("{instrument}: {number} ({interval}) to {lesion}")
    return dot(GREEN, text.format(**names, interval=interval_text(reading.interval)))


def _doubtful(situation: Situation) -> list[Reading]:
    """Lesions whose distance is withheld although an instrument is trusted, each once."""
    found = {r.lesion: r for state in situation.instruments for r in state.readings if r.doubt}
    return list(found.values())


def _doubtful_and_nearer(situation: Situation) -> Reading | None:
    """A lesion of unsure outline that is nearer than what would be shown as the nearest one."""
    if situation.nearest is None:
        return None
    shown = situation.nearest[1]
    for state in situation.instruments:
        for reading in state.readings:
            if reading.doubt and reading.point_ras_mm is not None:
                away_mm = float(np.linalg.norm(state.tip_ras_mm - reading.point_ras_mm))
                if _width_mm(reading) < _width_mm(shown) or away_mm < shown.interval.distance_mm:
                    return reading
    return None


def _width_mm(reading: Reading) -> float:
    """Of the margin that the tip is in; deep inside an outline, its border may be far away."""
    return np.inf if reading.margin_mm is None else reading.margin_mm
