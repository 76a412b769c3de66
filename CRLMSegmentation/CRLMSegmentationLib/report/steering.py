"""How near an instrument has come to a lesion, and how far its outline can be relied on: entries of report.json.

Situation, many times a second -> Approaches.look -> when a tip was nearest -> `navigation` of an entry
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..core.geometry import transform_points
from ..igtl.link import reason_kind
from ..navigation.confidence import Calibration
from ..navigation.instruments import Instrument, Kind
from ..navigation.interval import Interval
from ..navigation.navigator import InstrumentState, Reading, Situation
from ..navigation.refinement import Change
from ..navigation.stability import Shells


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
    doubts: dict[tuple[str, str], _Doubt] = field(default_factory=dict)


@dataclass(eq=False)
class _Doubt:
    """A reason as it was worded last, and for how long it held."""

    text: str = ""
    seconds: float = 0.0


class Approaches:
    """Keeps the nearest trusted moment of each lesion, and for how long distances were withheld meanwhile."""

    def __init__(self) -> None:
        self._lesions: dict[str, _Watched] = {}
        self._doubts: dict[tuple[str, str], _Doubt] = {}
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

    def entry_of(self, lesion: str, margins_mm: Sequence[float]) -> dict[str, Any] | None:
        """`navigation` of a lesion, see `schema.NAVIGATION_KEYS`; None where nothing was tracked.

        Args:
            margins_mm: that were shown and warned of.
        """
        watched = self._lesions.get(lesion, _Watched())
        doubts = [
            {"instrument": instrument, "doubt": doubt.text, "seconds": round(doubt.seconds, 2)}
            for (instrument, _kind), doubt in {**self._doubts, **watched.doubts}.items()
        ]
        if watched.nearest is None and not doubts:
            return None
        moment = dict.fromkeys(_MOMENT) if watched.nearest is None else _moment(watched.nearest)
        margins_mm = sorted(map(float, margins_mm))
        return {**moment, "margin_mm": watched.margin_mm, "margins_mm": margins_mm, "doubts": doubts}

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


def _add(doubts: dict[tuple[str, str], _Doubt], instrument: str, text: str, seconds: float) -> None:
    doubt = doubts.setdefault((instrument, reason_kind(text)), _Doubt())
    doubt.text, doubt.seconds = text, doubt.seconds + seconds


_MOMENT = (
    "instrument",
    "kind",
    "distance_mm",
    "low_mm",
    "high_mm",
    "time_s",
    "pose",
    "tip_ras_mm",
    "point_ras_mm",
)


def _moment(seen: Approach) -> dict[str, Any]:
    state, interval = seen.state, seen.interval
    values = (
        state.instrument.frame,
        state.instrument.kind.value,
        interval.distance_mm,
        interval.low_mm,
        interval.high_mm,
        seen.time_s or None,
        np.asarray(state.matrix).tolist(),
        np.asarray(state.tip_ras_mm).tolist(),
        np.asarray(seen.reading.point_ras_mm).tolist(),
    )
    return dict(zip(_MOMENT, values))


def approach_from(entry: Mapping[str, Any] | None, lesion: str) -> Approach | None:
    """The moment that `navigation` of an entry tells of; None where no distance was trusted."""
    if not entry or entry["distance_mm"] is None:
        return None
    pose, tip_ras_mm = np.array(entry["pose"], float), np.array(entry["tip_ras_mm"], float)
    tip_mm = transform_points(np.linalg.inv(pose), tip_ras_mm)
    instrument = Instrument(entry["instrument"], Kind(entry["kind"]), tuple(map(float, tip_mm)))
    interval = Interval(*(float(entry[f"{name}_mm"]) for name in ("distance", "low", "high")))
    reading = Reading(lesion, lesion, interval, np.array(entry["point_ras_mm"], float), entry["margin_mm"])
    return Approach(InstrumentState(instrument, pose, tip_ras_mm, "", (reading,)), reading, entry["time_s"] or 0.0)


def stability_entry(
    shells: Shells | None,
    change: Change | None = None,
    confidence: float | None = None,
    calibration: Calibration | None = None,
) -> dict[str, Any] | None:
    """`stability` of a lesion, see `schema.STABILITY_KEYS`; None where the network has looked only once.

    Args:
        calibration: that the confidence comes from.
    """
    if shells is None and change is None:
        return None
    return {
        "runs": None if shells is None else shells.runs,
        "agreement": None if shells is None else shells.agreement,
        "spread_mm": None if shells is None else shells.spread_mm,
        "confidence": confidence,
        "calibration": None if confidence is None or calibration is None else _measured_on(calibration),
        "change": None if change is None else {"mean_mm": change.mean_mm, "largest_mm": change.largest_mm},
    }


def _measured_on(calibration: Calibration) -> dict[str, Any]:
    return {
        "lesions": calibration.lesions,
        "patients": calibration.patients,
        "simulated": calibration.simulated,
    }
