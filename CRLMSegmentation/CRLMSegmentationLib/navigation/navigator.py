"""What a surgeon steers by, from poses and outlines: no scene, no clock of its own, the same in the room and in replay.

    transforms -> `take`        lesions -> `aim_at`        60 times a second: `look` -> Situation

A distance is given only while everything that it hangs on is sound; otherwise the reason stands in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..core.errors import SweepError
from ..core.geometry import transform_points
from ..igtl.messages import TransformMessage
from .guards import TRUSTED, BreathGuard, JumpGuard, LateGuard, Limits, staleness
from .instruments import REFERENCE, TRACKER, Instrument, instruments_in
from .interval import Interval, TrackingError
from .margins import DEFAULT_MARGINS_MM
from .measuring import Measured, Target, measure_to
from .poses import Pose, Poses

SENSOR = f"{REFERENCE}To{TRACKER}"
HYSTERESIS_MM = 1.0
"""So much farther than a margin the tip must go before it counts as outside again."""


@dataclass(frozen=True, eq=False)
class Reading:
    """From the tip of an instrument to a lesion.

    Attributes:
        lesion, name: its key, and as shown.
        interval: None while it is withheld.
        point_ras_mm: of the surface, nearest to the tip; None where there is no surface that can be measured to.
        margin_mm: the narrowest margin that the tip is in; None outside all.
        doubt: why the distance is withheld, or empty.
    """

    lesion: str
    name: str
    interval: Interval | None
    point_ras_mm: np.ndarray | None
    margin_mm: float | None
    doubt: str = TRUSTED


@dataclass(frozen=True, eq=False)
class InstrumentState:
    """Attributes:
    matrix: 4x4 to Reference, of the last pose that was tracked; None before the first.
    tip_ras_mm: shape (3,), of that pose.
    doubt: why the instrument is not to be steered by, or empty.
    readings: the nearest lesion first; without any while in doubt.
    """

    instrument: Instrument
    matrix: np.ndarray | None
    tip_ras_mm: np.ndarray | None
    doubt: str
    readings: tuple[Reading, ...] = ()


@dataclass(frozen=True, eq=False)
class Situation:
    """Everything at one moment. `sensor_doubt` is about the sensor on the liver, on which all instruments hang."""

    instruments: tuple[InstrumentState, ...]
    sensor_doubt: str

    @property
    def nearest(self) -> tuple[InstrumentState, Reading] | None:
        """The instrument that is nearest to a lesion, and the lesion; None while no distance is given."""
        known = [(state, r) for state in self.instruments for r in state.readings if r.interval]
        return min(known, key=lambda pair: pair[1].interval.distance_mm, default=None)


@dataclass(eq=False)
class _Watched:
    """What is remembered of one instrument."""

    instrument: Instrument
    guard: JumpGuard
    pose: Pose | None = None
    last_tracked: np.ndarray | None = None
    jump: str = TRUSTED
    margins: dict[str, float | None] = field(default_factory=dict)


class Navigator:
    """Keeps poses, guards and targets together.

    Args:
        roles: what the devices of a case are, see `instruments.instruments_in`.
        is_live: poses are sent when they are measured, so that late ones can be told; not so of a recording, which
            may be paused.

    Attributes:
        margins_mm: ascending or not; those that are warned of.
        poses: tip calibrations that do not come over the link are put there by `poses.fix`.
    """

    def __init__(
        self,
        roles: Mapping[str, str] | None = None,
        tracking: TrackingError | None = None,
        limits: Limits | None = None,
        is_live: bool = True,
    ) -> None:
        self.poses, self.margins_mm = Poses(), DEFAULT_MARGINS_MM
        self._roles, self._tracking = dict(roles or {}), tracking or TrackingError()
        self._limits = limits = limits or Limits()
        self._watched: dict[str, _Watched] = {}
        self._targets: dict[str, Measured] = {}
        self._breath = BreathGuard(limits)
        self._late = LateGuard(limits) if is_live else None
        self._sensor = _Watched(Instrument(REFERENCE), JumpGuard(limits))
        self._usable: frozenset[str] = frozenset()

    def take(self, message: TransformMessage, now_s: float) -> None:
        """Take in a transform that has come, whatever its status."""
        self.poses.take(message, now_s)
        if self._late is not None:
            self._late.take(message.device, message.timestamp_s, now_s)
        is_new = self.poses.usable is not self._usable
        if is_new:
            self._usable = self.poses.usable
            self._find_instruments()
        for watched in (self._sensor, *self._watched.values()):
            if is_new or watched.pose is None or message.device in watched.pose.names:
                self._follow(watched, SENSOR if watched is self._sensor else watched.instrument.to_reference, now_s)
        self._watch_breath(message.device, now_s)

    def aim_at(self, targets: Mapping[str, Target]) -> None:
        """Measure to these lesions from now on; one that cannot be measured to says why in its readings."""
        self._targets = measure_to(targets, self._targets)

    def look(self, now_s: float) -> Situation:
        """How things stand now."""
        doubt = self._doubt_of_sensor(now_s)
        return Situation(tuple(self._state_of(w, doubt, now_s) for w in self._watched.values()), doubt)

    def _find_instruments(self) -> None:
        found = {i.frame: i for i in instruments_in(self.poses.names, self._roles)}
        for frame in [frame for frame in self._watched if frame not in found]:
            del self._watched[frame]
        for frame, instrument in found.items():
            if frame not in self._watched:
                self._watched[frame] = _Watched(instrument, JumpGuard(self._limits))

    def _follow(self, watched: _Watched, wanted: str, now_s: float) -> None:
        """Bring an instrument up to date when one of its transforms has come."""
        try:
            pose = self.poses.find(wanted)
        except SweepError:  # a singular matrix: there is no pose
            pose = None
        watched.pose = pose
        if pose is not None and pose.is_tracked:
            watched.jump = watched.guard.look(pose, now_s)
            watched.last_tracked = pose.matrix
        else:
            watched.guard.forget()

    def _watch_breath(self, device: str, now_s: float) -> None:
        sensor = self._sensor.pose
        if sensor is None or not sensor.is_tracked:
            return
        if device in sensor.names:
            self._breath.take_sensor(sensor.matrix, now_s)
        for frame, watched in self._watched.items():
            in_reference = watched.pose
            if in_reference is not None and in_reference.is_tracked and device in in_reference.names:
                self._breath.take_tool(frame, sensor.matrix @ in_reference.matrix, now_s)

    def _doubt_of_sensor(self, now_s: float) -> str:
        """A room whose tracker does not tell of the sensor by itself is not watched, see `watches_sensor`."""
        if self._sensor.pose is None:
            return TRUSTED
        doubt = staleness(self._sensor.pose, now_s, self._limits) or self._jump_of(self._sensor, now_s)
        return f"liver sensor: {doubt}" if doubt else self._breath.look(now_s)

    @property
    def watches_sensor(self) -> bool:
        """Whether the tracker sends the pose of the sensor on the liver, so that it can be guarded."""
        return self._sensor.pose is not None

    def _jump_of(self, watched: _Watched, now_s: float) -> str:
        watched.jump = watched.guard.look(watched.pose, now_s)
        return watched.jump

    def _state_of(self, watched: _Watched, sensor_doubt: str, now_s: float) -> InstrumentState:
        instrument, pose = watched.instrument, watched.pose
        if pose is None:
            doubt = f"no way from {instrument.frame} to {REFERENCE}"
        else:
            late = self._late.look(pose.moving) if self._late is not None else TRUSTED
            doubt = staleness(pose, now_s, self._limits) or late or self._jump_of(watched, now_s) or sensor_doubt
        matrix = watched.last_tracked
        tip = None if matrix is None else transform_points(matrix, np.array(instrument.tip_mm))
        readings = () if doubt or tip is None else self._readings(watched, tip)
        return InstrumentState(instrument, matrix, tip, doubt, readings)

    def _readings(self, watched: _Watched, tip_ras_mm: np.ndarray) -> tuple[Reading, ...]:
        made = [self._reading(watched, lesion, measured, tip_ras_mm) for lesion, measured in self._targets.items()]
        return tuple(sorted(made, key=lambda r: r.interval.distance_mm if r.interval else np.inf))

    def _reading(self, watched: _Watched, lesion: str, measured: Measured, tip_ras_mm: np.ndarray) -> Reading:
        name = measured.target.name
        if measured.surface is None:
            watched.margins.pop(lesion, None)
            return Reading(lesion, name, None, None, None, measured.doubt)
        nearest = measured.surface.nearest(tip_ras_mm)
        margin_mm = self._margin_of(watched, lesion, nearest.distance_mm)
        if measured.doubt:
            return Reading(lesion, name, None, nearest.point_ras_mm, margin_mm, measured.doubt)
        interval = measured.interval(nearest, tip_ras_mm, self._tracking)
        return Reading(lesion, name, interval, nearest.point_ras_mm, margin_mm)

    def _margin_of(self, watched: _Watched, lesion: str, distance_mm: float) -> float | None:
        """The narrowest margin that holds the tip; one that it was in holds it a little longer."""
        before = watched.margins.get(lesion)
        held = [
            margin
            for margin in self.margins_mm
            if distance_mm < margin + (HYSTERESIS_MM if before is not None and before <= margin else 0.0)
        ]
        watched.margins[lesion] = min(held, default=None)
        return watched.margins[lesion]
