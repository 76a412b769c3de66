"""Closest approach of the instruments to each lesion, and how long distances were withheld.

Situation, many times a second -> `Approaches.update` -> when a tip was nearest

A moment at which no distance was shown counts for no lesion: what was withheld then, it might be said later that it had
been shown. How long that lasted, and why, is recorded for each lesion instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ..core.reasons import Reason, ReasonCode
from .displayed_distance import Withheld
from .interval import Interval
from .readings import InstrumentState, ReliableReading
from .situation import Situation

MAX_UNRELIABLE_PERIODS = 512
"""Reasons that are remembered, one for each instrument; of more, the one that held longest ago goes."""


@dataclass(frozen=True, eq=False)
class Approach:
    """The moment at which the tip of an instrument was nearest to a lesion.

    Attributes:
        state: of the instrument then; it was trusted.
        reading: of the lesion.
        time_s: the sender's, seconds since 1970; 0 where it does not say.
    """

    state: InstrumentState
    reading: ReliableReading
    time_s: float = 0.0

    @property
    def interval(self) -> Interval:
        """The distance at that moment."""
        return self.reading.interval


@dataclass(eq=False)
class _LesionRecord:
    """Record of one lesion: its closest approach, and the narrowest margin that a tip was in."""

    nearest: Approach | None = None
    margin_mm: float | None = None
    unreliable_reasons: dict[tuple, UnreliablePeriod] = field(default_factory=dict)


@dataclass(eq=False)
class UnreliablePeriod:
    """A reason to withhold distances, and how long it held; `instrument` is empty for reasons of a lesion."""

    instrument: str
    reason: Reason
    seconds: float = 0.0


class Approaches:
    """Records the closest approach to each lesion, and how long distances were withheld."""

    def __init__(self) -> None:
        self._lesions: dict[str, _LesionRecord] = {}
        self._unreliable_reasons: dict[tuple, UnreliablePeriod] = {}
        self._warnings: dict[ReasonCode, Reason] = {}
        self._before: tuple[float, Situation] | None = None

    def update(self, situation: Situation, now_s: float, time_s: float = 0.0) -> None:
        """Record the situation of one moment.

        Args:
            now_s: by the clock of this machine, which never goes back.
            time_s: the sender's, of the newest pose.
        """
        if self._before is not None:
            self._count_unreliable(self._before[1], now_s - self._before[0])
        self._before = now_s, situation
        shown = situation.displayed
        self._warnings.update({warning.code: warning for warning in shown.warnings})
        for state, reading in shown.readings:
            self._store(Approach(state, reading, time_s))

    @property
    def warnings(self) -> tuple[Reason, ...]:
        """Return each warning that was shown beside distances at any time."""
        return tuple(self._warnings.values())

    def nearest_of(self, lesion: str) -> Approach | None:
        """Return the smallest distance that was not withheld, with the narrowest margin; None before one."""
        watched = self._lesions.get(lesion)
        if watched is None or watched.nearest is None:
            return None
        reading = replace(watched.nearest.reading, margin_mm=watched.margin_mm)
        return replace(watched.nearest, reading=reading)

    def forget(self, lesion: str) -> None:
        """Remove the record of a lesion that was deleted."""
        self._lesions.pop(lesion, None)

    def margin_of(self, lesion: str) -> float | None:
        """Return the narrowest margin of a lesion that a tip was in while a distance was shown, mm; None for none."""
        return self._lesions[lesion].margin_mm if lesion in self._lesions else None

    def unreliable_reasons_of(self, lesion: str) -> list[UnreliablePeriod]:
        """Return why distances to a lesion were withheld, and for how long.

        The reasons are of instruments, of its segmentation, and of another lesion that may have been nearer.
        """
        own = self._lesions[lesion].unreliable_reasons if lesion in self._lesions else {}
        return list({**self._unreliable_reasons, **own}.values())

    def _store(self, seen: Approach) -> None:
        reading = seen.reading
        watched = self._lesions.setdefault(reading.lesion, _LesionRecord())
        if watched.nearest is None or seen.interval.distance_mm < watched.nearest.interval.distance_mm:
            watched.nearest = seen
        if reading.margin_mm is not None and (watched.margin_mm is None or reading.margin_mm < watched.margin_mm):
            watched.margin_mm = reading.margin_mm

    def _count_unreliable(self, situation: Situation, seconds: float) -> None:
        """Add the time since the last update to the reasons that held then."""
        for state in situation.instruments:
            if state.unreliable_reason is not None:
                _add(self._unreliable_reasons, state.instrument.frame, state.unreliable_reason, seconds)
        for lesion, unreliable_reason in _unreliable_by_lesion(situation).items():
            _add(self._lesions.setdefault(lesion, _LesionRecord()).unreliable_reasons, "", unreliable_reason, seconds)


def _unreliable_by_lesion(situation: Situation) -> dict[str, Reason]:
    """Return why the distance to each lesion is withheld although the instruments are reliable."""
    shown = situation.displayed
    given = {reading.lesion for _, reading in shown.readings}
    found = {}
    for line in shown.lines:
        nearer = _nearer_lesion((*shown.withheld, *([line.withheld] if line.withheld else ())))
        for reading in line.state.readings:
            if reading.unreliable_reason is not None:
                found[reading.lesion] = reading.unreliable_reason
            elif nearer is not None and reading.lesion not in given:
                found[reading.lesion] = Reason(ReasonCode.NEARER_UNRELIABLE, {"lesion": nearer.lesion})
    return found


def _nearer_lesion(withheld: Iterable[Withheld]) -> Withheld | None:
    """Return the lesion that may be nearer, so that the distances to others are withheld."""
    return next((each for each in withheld if each.lesion), None)


def _add(unreliable_reasons: dict[tuple, UnreliablePeriod], instrument: str, reason: Reason, seconds: float) -> None:
    key = (instrument, reason.kind)
    unreliable_reason = unreliable_reasons.pop(key, None) or UnreliablePeriod(instrument, reason)
    if len(unreliable_reasons) >= MAX_UNRELIABLE_PERIODS:
        del unreliable_reasons[next(iter(unreliable_reasons))]  # a peer chooses the names of its instruments
    unreliable_reasons[key] = unreliable_reason
    unreliable_reason.reason, unreliable_reason.seconds = reason, unreliable_reason.seconds + seconds
