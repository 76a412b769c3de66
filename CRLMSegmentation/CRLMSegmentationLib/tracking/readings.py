"""Readings: the distances from the tip of an instrument to each lesion at a moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.reasons import Reason
from .instruments import Instrument
from .interval import Interval


@dataclass(frozen=True, eq=False)
class Reading:
    """Distance from the tip of an instrument to a lesion.

    Attributes:
        lesion, name: its key, and as shown.
        interval: None while it is withheld.
        point_ras_mm: of the surface, nearest to the tip; None where there is no surface that can be measured to.
        margin_mm: the narrowest margin that the tip is in; None outside all.
        unreliable_reason: why the distance is withheld; None where it is given.
        measured_mm: signed distance to the surface, also where it is withheld; for comparing, never to be shown.
    """

    lesion: str
    name: str
    interval: Interval | None
    point_ras_mm: np.ndarray | None
    margin_mm: float | None
    unreliable_reason: Reason | None = None
    measured_mm: float | None = None


@dataclass(frozen=True, eq=False)
class ReliableReading(Reading):
    """A reading whose distance is given: it has an interval and a nearest point."""

    interval: Interval
    point_ras_mm: np.ndarray


@dataclass(frozen=True, eq=False)
class InstrumentState:
    """State of one instrument.

    Attributes:
        matrix: 4x4 to Reference, of the last pose that was tracked and rigid; None before the first.
        tip_ras_mm: shape (3,), of that pose; NaN where poses have come, but none that was rigid.
        unreliable_reason: why the instrument is not to be navigated by; None while it is.
        readings: the nearest lesion first; without any while unreliable.
    """

    instrument: Instrument
    matrix: np.ndarray | None
    tip_ras_mm: np.ndarray | None
    unreliable_reason: Reason | None = None
    readings: tuple[Reading, ...] = ()
