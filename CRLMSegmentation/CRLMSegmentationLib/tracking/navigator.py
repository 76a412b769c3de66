"""Distances from tracked instruments to lesions, from poses and surfaces; without a scene or a clock of its own.

    transforms -> `receive`     lesions -> `set_targets`     60 times a second: `update` -> Situation

A distance is given only while everything that it depends on is reliable; otherwise the reason stands in its place. What
of it may be shown is `Situation.displayed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..core.errors import SweepError
from ..core.geometry import rigid_fault, transform_points
from ..core.reasons import Reason, ReasonCode
from ..igtl.messages import STATUS_OK, TransformMessage
from .instruments import REFERENCE, TRACKERS, Instrument, instruments_in
from .interval import TrackingError
from .margins import DEFAULT_MARGINS_MM
from .poses import Pose, Poses
from .readings import InstrumentState, Reading, ReliableReading
from .situation import Situation
from .targets import PreparedTarget, Target, prepare_targets
from .validity import REASONS_BY_STATUS, BreathGuard, JumpGuard, LateGuard, PoseLimits, invalid_pose_reason

__all__ = ["Navigator", "Situation", "Target"]

SENSORS = tuple(f"{REFERENCE}To{tracker}" for tracker in TRACKERS)
"""The pose of the sensor on the liver in the tracker, as configurations name it; the usual name first."""
NOWHERE = np.full(3, np.nan)
HYSTERESIS_MM = 1.0
"""So much farther than a margin the tip must go before it counts as outside again."""


@dataclass(eq=False)
class _InstrumentTrack:
    """State of one instrument."""

    instrument: Instrument
    guard: JumpGuard
    pose: Pose | None = None
    last_tracked: np.ndarray | None = None
    jump: Reason | None = None
    margins: dict[str, float | None] = field(default_factory=dict)


class Navigator:
    """Measures the distances of all instruments to all targets, and checks which of them are reliable.

    Args:
        roles: what the devices of a case are, see `instruments.instruments_in`.
        is_live: poses are sent when they are measured, so that late ones can be detected; not so of a recording, which
            may be paused.

    Attributes:
        margins_mm: ascending or not; those that are warned of.
        poses: tip calibrations that do not come over the link are put there by `poses.fix`.
        warnings: what must be known beside any distance; those of the navigator itself are added to each situation.
    """

    def __init__(
        self,
        roles: Mapping[str, str] | None = None,
        tracking: TrackingError | None = None,
        limits: PoseLimits | None = None,
        is_live: bool = True,
    ) -> None:
        self.poses = Poses()
        self.margins_mm: tuple[float, ...] = DEFAULT_MARGINS_MM
        self.warnings: tuple[Reason, ...] = ()
        self._roles, self._tracking = dict(roles or {}), tracking or TrackingError()
        self._limits = limits = limits or PoseLimits()
        self._watched: dict[str, _InstrumentTrack] = {}
        self._targets: dict[str, PreparedTarget] = {}
        self._breath = BreathGuard(limits)
        self._late = LateGuard(limits) if is_live else None
        self._sensor = _InstrumentTrack(Instrument(REFERENCE), JumpGuard(limits))
        self._usable: frozenset[str] = frozenset()

    def receive(self, message: TransformMessage, now_s: float) -> None:
        """Store a transform that has come, whatever its status, and update the instruments that depend on it."""
        self.poses.store(message, now_s)
        if self._late is not None:
            self._late.receive(message.device, message.timestamp_s, now_s)
        is_new = self.poses.usable is not self._usable
        if is_new:
            self._usable = self.poses.usable
            self._find_instruments()
        for watched in (self._sensor, *self._watched.values()):
            if is_new or watched.pose is None or message.device in watched.pose.names:
                self._follow(watched, now_s)
        self._watch_breath(message.device, now_s)

    def forget(self, device: str, now_s: float) -> None:
        """Remove a transform that is no longer sent."""
        self.poses.forget(device)
        if self._late is not None:
            self._late.forget(device)
        self._usable = self.poses.usable
        self._find_instruments()
        for watched in (self._sensor, *self._watched.values()):
            if watched.pose is None or device in watched.pose.names:
                self._follow(watched, now_s)

    def set_targets(self, targets: Mapping[str, Target]) -> None:
        """Replace the lesions to measure to; the readings of one without a surface say why."""
        self._targets = prepare_targets(targets, self._targets)

    def update(self, now_s: float) -> Situation:
        """Return the distances of all instruments to all targets now, with the reasons that make them unreliable."""
        unreliable_reason = self._unreliable_reason_of_sensor(now_s)
        unwatched = () if self.watches_sensor else (Reason(ReasonCode.SENSOR_NOT_SENT, {"transform": SENSORS[0]}),)
        states = tuple(self._state_of(w, unreliable_reason, now_s) for w in self._watched.values())
        return Situation(states, unreliable_reason, (*unwatched, *self.warnings))

    def unreliable_reason_of(self, device: str, now_s: float) -> Reason | None:
        """Return why the transform of a device cannot be used to place a point now, or None."""
        given = self.poses.given(device)
        if given is None:
            return Reason(ReasonCode.NOT_TRACKED)
        matrix, status, arrived_s = given
        if status != STATUS_OK:
            return Reason(REASONS_BY_STATUS.get(status, ReasonCode.NOT_TRACKED))
        age_s = now_s - arrived_s
        is_old = age_s > self._limits.age_s
        return rigid_fault(matrix, device) or (
            Reason(ReasonCode.NO_RECENT_POSE, {"seconds": age_s}) if is_old else None
        )

    def _find_instruments(self) -> None:
        found = {i.frame: i for i in instruments_in(self.poses.names, self._roles)}
        for frame in [frame for frame in self._watched if frame not in found]:
            del self._watched[frame]
            self._breath.forget(frame)
        for frame, instrument in found.items():
            if frame not in self._watched:
                self._watched[frame] = _InstrumentTrack(instrument, JumpGuard(self._limits))

    def _follow(self, watched: _InstrumentTrack, now_s: float) -> None:
        """Update the pose of an instrument after one of its transforms has come.

        The pose of the liver sensor, once it was sent, stays and grows old where no way leads to it any more: the
        sensor is lost then, which is not the same as a tracker that never sends it, see `watches_sensor`.
        """
        wanted = SENSORS if watched is self._sensor else (watched.instrument.to_reference,)
        try:
            pose = next((pose for name in wanted if (pose := self.poses.find(name)) is not None), None)
        except SweepError:  # a matrix that cannot be inverted: there is no pose
            pose = None
        if pose is None and watched is self._sensor:
            watched.guard.forget()
            return
        watched.pose = pose
        if pose is not None and pose.is_tracked:
            watched.jump = watched.guard.check(pose, now_s)
            watched.last_tracked = pose.matrix
        else:
            watched.guard.forget()

    def _watch_breath(self, device: str, now_s: float) -> None:
        sensor = self._sensor.pose
        if sensor is None or not sensor.is_tracked:
            return
        if device in sensor.names:
            self._breath.add_sensor_pose(sensor.matrix, now_s)
        for frame, watched in self._watched.items():
            in_reference = watched.pose
            if in_reference is not None and in_reference.is_tracked and device in in_reference.names:
                self._breath.add_tool_pose(frame, sensor.matrix @ in_reference.matrix, now_s)

    def _unreliable_reason_of_sensor(self, now_s: float) -> Reason | None:
        """Return why the liver sensor is unreliable, or None; also where its pose is not sent, see `watches_sensor`."""
        pose = self._sensor.pose
        if pose is None:
            return None
        unreliable_reason = invalid_pose_reason(pose, now_s, self._limits) or self._jump_of(self._sensor, pose, now_s)
        return unreliable_reason.about_sensor() if unreliable_reason else self._breath.check(now_s)

    @property
    def watches_sensor(self) -> bool:
        """Whether the tracker sends the pose of the sensor on the liver, so that it can be guarded."""
        return self._sensor.pose is not None

    def _jump_of(self, watched: _InstrumentTrack, pose: Pose, now_s: float) -> Reason | None:
        watched.jump = watched.guard.check(pose, now_s)
        return watched.jump

    def _state_of(
        self, watched: _InstrumentTrack, sensor_unreliable_reason: Reason | None, now_s: float
    ) -> InstrumentState:
        instrument, pose = watched.instrument, watched.pose
        if pose is None:
            unreliable_reason: Reason | None = Reason(
                ReasonCode.NO_PATH, {"start": instrument.frame, "goal": REFERENCE}
            )
        else:
            late = self._late.check(pose.moving) if self._late is not None else None
            unreliable_reason = (
                invalid_pose_reason(pose, now_s, self._limits)
                or late
                or self._jump_of(watched, pose, now_s)
                or sensor_unreliable_reason
            )
        matrix = watched.last_tracked
        tip = NOWHERE if pose is not None and pose.fault is not None else None
        tip = tip if matrix is None else transform_points(matrix, np.array(instrument.tip_mm))
        readings = () if unreliable_reason or tip is None else self._readings(watched, tip)
        return InstrumentState(instrument, matrix, tip, unreliable_reason, readings)

    def _readings(self, watched: _InstrumentTrack, tip_ras_mm: np.ndarray) -> tuple[Reading, ...]:
        made = [self._reading(watched, lesion, measured, tip_ras_mm) for lesion, measured in self._targets.items()]
        return tuple(sorted(made, key=lambda r: r.interval.distance_mm if r.interval else np.inf))

    def _reading(
        self, watched: _InstrumentTrack, lesion: str, measured: PreparedTarget, tip_ras_mm: np.ndarray
    ) -> Reading:
        name = measured.target.name
        if measured.surface is None:
            watched.margins.pop(lesion, None)
            return Reading(lesion, name, None, None, None, measured.unreliable_reason)
        nearest = measured.surface.nearest(tip_ras_mm)
        margin_mm = self._margin_of(watched, lesion, nearest.distance_mm)
        if measured.unreliable_reason:
            return Reading(
                lesion, name, None, nearest.point_ras_mm, margin_mm, measured.unreliable_reason, nearest.distance_mm
            )
        interval = measured.interval(nearest, tip_ras_mm, self._tracking)
        return ReliableReading(lesion, name, interval, nearest.point_ras_mm, margin_mm, measured_mm=nearest.distance_mm)

    def _margin_of(self, watched: _InstrumentTrack, lesion: str, distance_mm: float) -> float | None:
        """Return the narrowest margin that holds the tip, in mm, with a hysteresis; None outside all."""
        before = watched.margins.get(lesion)
        held = [
            margin
            for margin in self.margins_mm
            if distance_mm < margin + (HYSTERESIS_MM if before is not None and before <= margin else 0.0)
        ]
        watched.margins[lesion] = min(held, default=None)
        return watched.margins[lesion]
