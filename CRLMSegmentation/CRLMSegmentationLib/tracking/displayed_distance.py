"""Which distance may be shown, decided once for all outputs: panel, 3D view, sound, recording and reports.

The smallest distance of a trusted instrument to a reliable segmentation is shown, unless a segmentation that is not
reliable may be nearer: then no number is shown anywhere, and the reason takes its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..core.reasons import Reason, ReasonCode
from .readings import InstrumentState, Reading, ReliableReading

if TYPE_CHECKING:
    from .situation import Situation

ReliablePair = tuple[InstrumentState, ReliableReading]


@dataclass(frozen=True)
class Withheld:
    """Why a distance is not shown.

    Attributes:
        instrument: frame of the instrument that it is about; empty where it is about none.
        lesion, name: key and shown name of the lesion that it is about; empty where it is about none.
    """

    reason: Reason
    instrument: str = ""
    lesion: str = ""
    name: str = ""

    @property
    def kind(self) -> tuple:
        """A key that stays the same while only numbers in the reason change."""
        return self.reason.kind, self.instrument, self.lesion


@dataclass(frozen=True, eq=False)
class InstrumentLine:
    """What is shown of one instrument: its nearest distance, or why it is withheld; neither without a lesion."""

    state: InstrumentState
    reading: ReliableReading | None = None
    withheld: Withheld | None = None


@dataclass(frozen=True, eq=False)
class DisplayedDistance:
    """The distances that may be shown in a situation.

    Attributes:
        nearest: the instrument and its reading whose distance is shown; None while it is withheld.
        withheld: why no distance is shown; empty while one is.
        others: lesions that are withheld beside the distance that is shown.
        warnings: what must be known beside the distance, or beside the reason why there is none.
        margin_mm: narrowest margin of any lesion that the tip of a trusted instrument is in: it is warned of, and
            gives the distance its colour. A segmentation that is not reliable is warned of as well.
        focus: the instrument that is nearest to any lesion, reliable or not; None without one.
        lines: of each instrument.
    """

    nearest: ReliablePair | None = None
    withheld: tuple[Withheld, ...] = ()
    others: tuple[Withheld, ...] = ()
    warnings: tuple[Reason, ...] = ()
    margin_mm: float | None = None
    focus: InstrumentState | None = None
    lines: tuple[InstrumentLine, ...] = ()

    @property
    def readings(self) -> tuple[ReliablePair, ...]:
        """All readings that may be shown: they are reliable, and the line of their instrument is not withheld."""
        if self.nearest is None:
            return ()
        given = (line.state for line in self.lines if line.withheld is None)
        return tuple(_reliable((state, reading) for state in given for reading in state.readings))

    @property
    def measures(self) -> bool:
        """Whether any instrument is measured to any lesion, reliable or not."""
        return any(line.state.readings for line in self.lines)


def displayed_distance(situation: Situation) -> DisplayedDistance:
    """Decide what may be shown in a situation."""
    pairs = [(state, reading) for state in situation.instruments for reading in state.readings]
    nearest = _nearest_reliable(pairs)
    nearer = _nearer_unreliable(pairs, nearest)
    if nearer is not None:
        withheld: tuple[Withheld, ...] = (_of_lesion(nearer[1]),)
    else:
        withheld = _reasons_of(situation, pairs) if nearest is None else ()
    shown = None if withheld else nearest
    return DisplayedDistance(
        nearest=shown,
        withheld=withheld,
        others=() if withheld else _unreliable_lesions(pairs),
        warnings=_warnings_of(situation, shown is not None),
        margin_mm=min((r.margin_mm for _, r in pairs if r.margin_mm is not None), default=None),
        focus=(shown or nearer or _nearest_unreliable(pairs) or (None, None))[0],
        lines=tuple(_line_of(state, shown is not None) for state in situation.instruments),
    )


def _warnings_of(situation: Situation, is_shown: bool) -> tuple[Reason, ...]:
    """Return the warnings to show; those about an interval only beside a distance, none without instruments."""
    if not situation.instruments:
        return ()
    return tuple(c for c in situation.warnings if is_shown or c.code is not ReasonCode.UNCALIBRATED)


def _reliable(pairs: Iterable[tuple[InstrumentState, Reading]]) -> Iterator[ReliablePair]:
    return ((state, reading) for state, reading in pairs if isinstance(reading, ReliableReading))


def _nearest_reliable(pairs: Iterable[tuple[InstrumentState, Reading]]) -> ReliablePair | None:
    return min(_reliable(pairs), key=lambda pair: pair[1].interval.distance_mm, default=None)


def _nearer_unreliable(
    pairs: Iterable[tuple[InstrumentState, Reading]], nearest: ReliablePair | None
) -> tuple[InstrumentState, Reading] | None:
    """Return the nearest lesion without a reliable surface that may be nearer than the distance to be shown."""
    if nearest is None:
        return None
    return _nearest_unreliable(pair for pair in pairs if _may_be_nearer(*pair, nearest[1]))


def _may_be_nearer(state: InstrumentState, reading: Reading, shown: ReliableReading) -> bool:
    if reading.unreliable_reason is None:
        return False
    if reading.point_ras_mm is None:  # no surface, which is shown beside the number; or one whose distance is unknown
        return reading.unreliable_reason.code is ReasonCode.NOT_MEASURABLE
    is_deeper = reading.margin_mm is not None and (shown.margin_mm is None or reading.margin_mm < shown.margin_mm)
    return is_deeper or _away_mm(state, reading) <= shown.interval.distance_mm


def _nearest_unreliable(
    pairs: Iterable[tuple[InstrumentState, Reading]],
) -> tuple[InstrumentState, Reading] | None:
    unreliable = (pair for pair in pairs if pair[1].unreliable_reason is not None)
    return min(unreliable, key=lambda pair: _away_mm(*pair), default=None)


def _away_mm(state: InstrumentState, reading: Reading) -> float:
    """Return the measured distance in mm; infinite where there is no surface to measure to."""
    if reading.measured_mm is not None:
        return reading.measured_mm
    if reading.point_ras_mm is None:
        return np.inf
    return float(np.linalg.norm(state.tip_ras_mm - reading.point_ras_mm))


def _reasons_of(situation: Situation, pairs: list[tuple[InstrumentState, Reading]]) -> tuple[Withheld, ...]:
    """Return why no distance can be shown."""
    if not situation.instruments:
        return (Withheld(Reason(ReasonCode.NO_INSTRUMENT)),)
    reasons = [(s.unreliable_reason, s.instrument.frame) for s in situation.instruments if s.unreliable_reason]
    if len(reasons) == len(situation.instruments):
        if situation.sensor_unreliable_reason is not None:
            return (Withheld(situation.sensor_unreliable_reason),)
        return tuple(Withheld(reason, frame) for reason, frame in reasons)
    return _unreliable_lesions(pairs) or (Withheld(Reason(ReasonCode.NO_TARGET)),)


def _unreliable_lesions(pairs: Iterable[tuple[InstrumentState, Reading]]) -> tuple[Withheld, ...]:
    """Return the lesions whose distance is withheld although an instrument is reliable, each once."""
    return tuple({r.lesion: _of_lesion(r) for _, r in pairs if r.unreliable_reason is not None}.values())


def _of_lesion(reading: Reading) -> Withheld:
    if reading.unreliable_reason is None:
        raise ValueError(f"there is no reason to withhold the distance to {reading.lesion}")
    return Withheld(reading.unreliable_reason, lesion=reading.lesion, name=reading.name)


def _line_of(state: InstrumentState, is_shown: bool) -> InstrumentLine:
    """Return the line of an instrument, with a number only while a distance is shown and no lesion may be nearer."""
    if state.unreliable_reason is not None:
        return InstrumentLine(state, withheld=Withheld(state.unreliable_reason, state.instrument.frame))
    pairs = [(state, reading) for reading in state.readings]
    nearest = _nearest_reliable(pairs)
    nearer = _nearer_unreliable(pairs, nearest)
    if nearer is None and nearest is None:
        nearer = _nearest_unreliable(pairs)
    if nearer is not None:
        return InstrumentLine(state, withheld=_of_lesion(nearer[1]))
    return InstrumentLine(state, reading=nearest[1] if nearest and is_shown else None)
