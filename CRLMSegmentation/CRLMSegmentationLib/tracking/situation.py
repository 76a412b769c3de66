"""Distances of all instruments to all lesions at a moment; `displayed_distance` decides what of them may be shown."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ..core.reasons import Reason
from .displayed_distance import DisplayedDistance, displayed_distance
from .readings import InstrumentState, ReliableReading


@dataclass(frozen=True, eq=False)
class Situation:
    """All instruments at one moment, and the warnings about them.

    Attributes:
        sensor_unreliable_reason: about the sensor on the liver, on which all instruments hang; None while it is
            trusted.
        warnings: what must be known beside any distance, such as that the liver sensor is not watched.
    """

    instruments: tuple[InstrumentState, ...] = ()
    sensor_unreliable_reason: Reason | None = None
    warnings: tuple[Reason, ...] = ()

    @cached_property
    def displayed(self) -> DisplayedDistance:
        """The distances that may be shown; all outputs use these."""
        return displayed_distance(self)

    @property
    def nearest(self) -> tuple[InstrumentState, ReliableReading] | None:
        """The instrument and the lesion whose distance is shown; None while it is withheld."""
        return self.displayed.nearest
