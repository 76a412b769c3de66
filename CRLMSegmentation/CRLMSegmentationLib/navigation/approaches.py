"""How near instruments have come to the lesions, and for how long distances were withheld meanwhile.

Situation, many times a second -> `Approaches.look` -> when a tip was nearest
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..igtl.link import reason_kind
from .interval import Interval
from .navigator import InstrumentState, Reading, Situation


@dataclass(frozen=True, eq=False)
class Approach:
    """The moment at which the tip of an instrument was nearest to a lesion.

    Attributes:
        state: of the instrument then; it was trusted.
        reading: of the lesion; it has an interval and a nearest point.
        time_s: the sender's, seconds since 1970; 0 where it does not say.
    """

    state: InstrumentState
    reading: Reading
    time_s: float = 0.0

    @property
    def interval(self) -> Interval:
        return self.reading.interval


@dataclass(eq=False)
class _Watched:
    """What is remembered of one lesion: its nearest moment, and the narrowest margin that a tip was in."""

    nearest: Approach | None = None
    margin_mm: float | None = None
    doubts: dict[tuple[str, str], Doubt] = field(default_factory=dict)


@dataclass(eq=False)
class Doubt:
    """A reason as it was worded last, and for how long it held; `instrument` is empty where it is the outline's."""

    instrument: str
    text: str = ""
    seconds: float = 0.0


class Approaches:
    """Keeps the nearest trusted moment of each lesion, and for how long distances were withheld meanwhile."""

    def __init__(self) -> None:
        self._lesions: dict[str, _Watched] = {}
        self._doubts: dict[tuple[str, str], Doubt] = {}
        self._before: tuple[float, Situation] | None = None

    def look(self, situation: Situation, now_s: float, time_s: float = 0.0) -> None:
        """Take note of a moment.

        Args:
            now_s: by the clock of this machine, which never goes back.
            time_s: the sender's, of the newest pose.
        """
        if self._before is not None:
            self._count_doubts(self._before[1], now_s - self._before[0])
        self._before = now_s, situation
        for state in situation.instruments:
            for reading in state.readings:
                self._take(Approach(state, reading, time_s))

    def nearest_of(self, lesion: str) -> Approach | None:
        """The moment of the smallest trusted distance; None before there was one."""
        return self._lesions[lesion].nearest if lesion in self._lesions else None

    def forget(self, lesion: str) -> None:
        """It is gone; another may be called the same."""
        self._lesions.pop(lesion, None)

    def margin_of(self, lesion: str) -> float | None:
        """The narrowest margin of a lesion that a trusted tip was in, mm; None where it was in none."""
        return self._lesions[lesion].margin_mm if lesion in self._lesions else None

    def doubts_of(self, lesion: str) -> list[Doubt]:
        """Why distances to a lesion were withheld, and for how long: doubts of instruments and of its outline."""
        own = self._lesions[lesion].doubts if lesion in self._lesions else {}
        return list({**self._doubts, **own}.values())

    def _take(self, seen: Approach) -> None:
        reading = seen.reading
        if reading.interval is None:
            return
        watched = self._lesions.setdefault(reading.lesion, _Watched())
        if watched.nearest is None or reading.interval.distance_mm < watched.nearest.interval.distance_mm:
            watched.nearest = seen
        if reading.margin_mm is not None and (watched.margin_mm is None or reading.margin_mm < watched.margin_mm):
            watched.margin_mm = reading.margin_mm

    def _count_doubts(self, situation: Situation, seconds: float) -> None:
        """What was in doubt at the last look was so until now."""
        for state in situation.instruments:
            if state.doubt:
                _add(self._doubts, state.instrument.frame, state.doubt, seconds)
        for lesion, doubt in {r.lesion: r.doubt for s in situation.instruments for r in s.readings if r.doubt}.items():
            _add(self._lesions.setdefault(lesion, _Watched()).doubts, "", doubt, seconds)


def _add(doubts: dict[tuple[str, str], Doubt], instrument: str, text: str, seconds: float) -> None:
    doubt = doubts.setdefault((instrument, reason_kind(text)), Doubt(instrument))
    doubt.text, doubt.seconds = text, doubt.seconds + seconds
