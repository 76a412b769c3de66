"""Texts of the table of lesions and of the details of a lesion, in the user's language, without Qt.

A lesion is one line: name, volume, diameters, how reliable its segmentation is, and the distance to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum

from ...core.i18n import tr as _
from ...core.postprocessing import TOUCHES_EDGE, TOUCHES_EMPTY, TOUCHES_VOLUME_EDGE
from ...core.reasons import translated
from ...tracking.colours import distance_colour
from ...tracking.readings import InstrumentState, ReliableReading
from ...tracking.situation import Situation
from ..rich_text import COLOURS, WHITE, css, plain_line, readable
from ..state import State, StateText
from ..views.navigation_texts import MINUS, WITHHELD, interval_text, number_text
from ..workspace.lesion import CORRECTED, LesionRow, LesionState
from ..workspace.workspace import Workspace
from .point_texts import points_text

TOUCHES = (TOUCHES_EDGE, TOUCHES_EMPTY, TOUCHES_VOLUME_EDGE)
HIGH_DICE, MEDIUM_DICE = 0.84, 0.70
"""Expected Dice from which on a segmentation is called of high and of medium reliability: 0.84 is what two raters reach
with one another in 2D ultrasound of such lesions, 0.74 the published median of the method."""

Cells = dict[tuple[int, int], tuple[str, str]]
"""Text and colour of each cell of a table, by line and column."""
Distances = Mapping[str, tuple[InstrumentState, ReliableReading]]
"""The nearest instrument of each lesion whose distance is shown, by the key of the lesion."""


class Reliability(Enum):
    """How far a segmentation is to be relied on."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    BY_HAND = "by hand"
    NOT_RATED = "not rated"
    OUT_OF_DATE = "out of date"


_STATES = {
    Reliability.HIGH: State.OK,
    Reliability.MEDIUM: State.WARNING,
    Reliability.LOW: State.ERROR,
    Reliability.BY_HAND: State.BY_HAND,
    Reliability.NOT_RATED: State.OFF,
    Reliability.OUT_OF_DATE: State.OFF,
}


def lesion_cells(rows: Sequence[LesionRow], workspace: Workspace | None = None) -> Cells:
    """Return the cells of the table of lesions."""
    distances = lesion_distances(workspace.navigation.situation) if workspace is not None else {}
    margins_mm = workspace.navigation.margins_mm if workspace is not None else ()
    cells: Cells = {}
    for line, row in enumerate(rows):
        state, word = badge_of(row)
        texts = (
            (row.name, WHITE),
            ("" if row.volume_ml is None else _("{volume:.1f} ml").format(volume=row.volume_ml), WHITE),
            (diameters_text(row), WHITE),
            (plain_line(state, word), COLOURS[state]),
            _distance_cell(row, distances, margins_mm),
        )
        cells.update({(line, column): text for column, text in enumerate(texts)})
    return cells


def lesion_details(rows: Sequence[LesionRow], workspace: Workspace | None = None) -> list[str]:
    """Return what is known of each lesion beyond its line, in several lines of plain text."""
    calibration = workspace.calibrations[workspace.session.model.sha256] if workspace is not None else None
    is_simulated = calibration.simulated if calibration is not None else None
    return [details_of(row, is_simulated) for row in rows]


def details_of(row: LesionRow, is_simulated: bool | None = None) -> str:
    """Return state, what refinement has changed, expected Dice, points, time taken and age, growth since the volume
    before.

    Args:
        is_simulated: whether the expected Dice was calibrated on simulated patients; None when nobody knows.
    """
    took = "" if row.seconds is None else _("in {seconds:.1f} s").format(seconds=row.seconds)
    age = "" if row.volume_age_s is None else _("volume of {age}").format(age=_age(row.volume_age_s))
    origin = ", ".join(part for part in (took, age) if part)
    lines = (
        _state_text(row),
        _(row.refined),
        expected_dice_text(row.expected_dice, is_simulated),
        points_text(row.points),
        origin,
        _change_text(row),
    )
    return "\n".join(line for line in lines if line)


def badge_of(row: LesionRow) -> StateText:
    """Return how far a lesion's segmentation is to be relied on, as a state and a word; or what it is waiting for."""
    word = _WAITING_WORDS.get(row.state)
    if row.is_renewing or word is not None:
        return State.PENDING, _("being renewed") if word is None or row.is_renewing else _(word)
    reliability = reliability_of(row)
    if reliability is None or row.state is LesionState.FAILED:
        return State.ERROR, _("failed")
    return _STATES[reliability], _(_RELIABILITY_WORDS[reliability])


def _waiting_words(_: Callable[[str], str]) -> dict[LesionState, str]:
    """Return what a lesion is waiting for; `_` marks the words for translators."""
    return {
        LesionState.UNPLACED: _("no seed yet"),
        LesionState.NEW: _("not segmented"),
        LesionState.WAITING: _("waiting"),
        LesionState.RUNNING: _("segmenting"),
    }


def _reliability_words(_: Callable[[str], str]) -> dict[Reliability, str]:
    return {
        Reliability.HIGH: _("high"),
        Reliability.MEDIUM: _("medium"),
        Reliability.LOW: _("low"),
        Reliability.BY_HAND: _("by hand"),
        Reliability.NOT_RATED: _("not rated"),
        Reliability.OUT_OF_DATE: _("out of date"),
    }


_WAITING_WORDS, _RELIABILITY_WORDS = _waiting_words(str), _reliability_words(str)


def reliability_of(row: LesionRow) -> Reliability | None:
    """Return how far the segmentation of a lesion is to be relied on; None without one."""
    if row.volume_ml is None:
        return None
    if not row.is_current:
        return Reliability.OUT_OF_DATE
    if CORRECTED in row.warnings:
        return Reliability.BY_HAND
    if row.unreliable_reason is not None or (row.expected_dice is not None and row.expected_dice < MEDIUM_DICE):
        return Reliability.LOW
    if row.warnings or (row.expected_dice is not None and row.expected_dice < HIGH_DICE):
        return Reliability.MEDIUM
    return Reliability.NOT_RATED if row.expected_dice is None else Reliability.HIGH


def lesion_distances(situation: Situation) -> dict[str, tuple[InstrumentState, ReliableReading]]:
    """Return the nearest instrument of each lesion, of the readings that `Situation.displayed` lets be shown."""
    found: dict[str, tuple[InstrumentState, ReliableReading]] = {}
    for state, reading in situation.displayed.readings:
        before = found.get(reading.lesion)
        if before is None or reading.interval.distance_mm < before[1].interval.distance_mm:
            found[reading.lesion] = state, reading
    return found


def diameters_text(row: LesionRow) -> str:
    """Return the three diameters, largest first; empty without a segmentation."""
    if row.diameters_mm is None:
        return ""
    return _("{diameters} mm").format(diameters=" × ".join(f"{diameter:.0f}" for diameter in row.diameters_mm))


def expected_dice_text(expected_dice: float | None, is_simulated: bool | None) -> str:
    """Return the expected Dice and on what data it was calibrated; empty where it is not known."""
    if expected_dice is None:
        return ""
    measured_on = {True: _("simulated"), False: _("patients"), None: _("origin unknown")}[is_simulated]
    return _("expected Dice {dice:.2f}, {measured_on}").format(dice=expected_dice, measured_on=measured_on)


def _distance_cell(row: LesionRow, distances: Distances, margins_mm: tuple[float, ...]) -> tuple[str, str]:
    """Return the distance to a lesion; inside a margin with the sign of that margin."""
    if row.lesion not in distances:
        return WITHHELD, COLOURS[State.OFF]
    reading = distances[row.lesion][1]
    text, margin_mm = number_text(reading.interval.distance_mm), reading.margin_mm
    if margin_mm is not None:
        is_widest = margin_mm >= max(margins_mm, default=0.0)
        text = plain_line(State.WARNING if is_widest else State.ERROR, text)
    return text, css(readable(distance_colour(margin_mm, margins_mm)))


def distance_details(lesion: str, workspace: Workspace | None) -> str:
    """Return the distance to a lesion with its interval and its instrument; empty while it is not shown."""
    found = lesion_distances(workspace.navigation.situation).get(lesion) if workspace is not None else None
    if found is None:
        return ""
    state, reading = found
    names = {"number": number_text(reading.interval.distance_mm), "instrument": state.instrument.frame}
    return _("{number} ({interval}) from {instrument}").format(**names, interval=interval_text(reading.interval))


def _change_text(row: LesionRow) -> str:
    """Say how far a lesion has moved and grown since the volume before."""
    if row.shift_mm is None or row.change is None:
        return ""
    percent = round(100 * row.change)
    change = f"{percent:+d}".replace("-", MINUS) if percent else "±0"
    return _("moved {shift:.1f} mm, {change} %").format(shift=row.shift_mm, change=change)


def _state_text(row: LesionRow) -> str:
    old = [] if row.is_current or row.volume_ml is None else [_("OUT OF DATE: volume, seed or points have changed")]
    if row.reason:
        return "; ".join([*old, row.reason])
    if row.is_renewing:
        return "; ".join([_("being renewed"), *_warnings(row)])
    if row.state is LesionState.RUNNING:
        return "; ".join([row.stage, *old])
    if row.state is LesionState.UNPLACED:
        return "; ".join([_("click into the tumour"), *old])
    if row.state in _WAITING_WORDS:
        return "; ".join([_(_WAITING_WORDS[row.state]), *old])
    return "; ".join([*([*old, *_warnings(row)] or [_("up to date")]), *row.volume_warnings])


def _warnings(row: LesionRow) -> list[str]:
    """List the warnings of a lesion; an unreliable reason replaces the warning that it was derived from."""
    if row.unreliable_reason is None:
        return [*row.warnings]
    return [translated(row.unreliable_reason), *(warning for warning in row.warnings if warning not in TOUCHES)]


def _age(seconds: float) -> str:
    """Say how long ago something was, in coarse steps, so that the table is rarely redrawn."""
    if seconds < 10:
        return _("just now")
    if seconds < 60:
        return _("{seconds} s ago").format(seconds=10 * int(seconds // 10))
    return _("{minutes} min ago").format(minutes=int(seconds // 60))
