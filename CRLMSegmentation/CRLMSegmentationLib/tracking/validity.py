"""Validity checks of poses: too old, late, not tracked, jumped, or the sensor has come off the liver.

All limits are in `PoseLimits`, with their reasons. An instrument becomes reliable again by itself as soon as its poses
were valid for `recovery_s`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..core.reasons import Reason, ReasonCode
from ..igtl.messages import STATUS_AMBIGUOUS, STATUS_OK, STATUS_POSITION_ONLY
from .poses import SET_BACK_S, Pose

REASONS_BY_STATUS = {STATUS_AMBIGUOUS: ReasonCode.AMBIGUOUS_NAME, STATUS_POSITION_ONLY: ReasonCode.POSITION_ONLY}
"""Why a pose is not to be used although the tool was not lost."""


@dataclass(frozen=True)
class PoseLimits:
    """Limits of a valid pose. They are assumptions where no source is named.

    Attributes:
        age_s: a tracker sends 20 to 60 poses a second; one so old shows where the tool was.
        late_s: so much longer than usual a pose may be under way, for the same reason.
        speed_mm_s: faster than any hand guides a tool beside a vessel; glitches of electromagnetic trackers are
            centimetres from one pose to the next, which at 40 poses a second is more.
        turn_deg_s: the same for turning.
        noise_mm: what a tool at rest may jump, several times the 0.9 mm of an electromagnetic sensor.
        noise_deg: the same for turning, several times 0.31 degrees.
        recovery_s: how long poses must be valid after a jump until they are used again.
        still_s: a sensor on a breathing liver moves within this time; breaths are 3 to 5 s apart.
        still_mm: it lies still if it moves less.
        breath_mm: only a sensor that has moved so far with the breath before can be missed.
        others_mm: a tool moves if it moves more.
    """

    age_s: float = 0.5
    late_s: float = 0.5
    speed_mm_s: float = 1000.0
    turn_deg_s: float = 1000.0
    noise_mm: float = 5.0
    noise_deg: float = 5.0
    recovery_s: float = 0.25
    still_s: float = 6.0
    still_mm: float = 0.8
    breath_mm: float = 2.0
    others_mm: float = 5.0


class JumpGuard:
    """Checks one pose for jumps that no hand makes."""

    def __init__(self, limits: PoseLimits) -> None:
        self._limits = limits
        self._last: Pose | None = None
        self._jumped_at_s: float | None = None
        self._jump: Reason | None = None

    def check(self, pose: Pose, now_s: float) -> Reason | None:
        """Return why a tracked pose is invalid, or None. Call it for each new pose."""
        last, self._last = self._last, pose
        if last is not None and last.changed_s != pose.changed_s:
            self._compare(last, pose, now_s)
        if self._jumped_at_s is not None and now_s - self._jumped_at_s >= self._limits.recovery_s:
            self._jumped_at_s = None
        return None if self._jumped_at_s is None else self._jump

    def forget(self) -> None:
        """Drop the last pose, since the tool was lost and may be found again elsewhere."""
        self._last = None

    def _compare(self, last: Pose, pose: Pose, now_s: float) -> None:
        limits, apart_s = self._limits, _seconds_between(last, pose)
        moved_mm = float(np.linalg.norm(pose.matrix[:3, 3] - last.matrix[:3, 3]))
        turned_deg = _angle_deg(last.matrix, pose.matrix)
        if moved_mm > limits.noise_mm + limits.speed_mm_s * apart_s:
            self._jumped_at_s, self._jump = now_s, Reason(ReasonCode.JUMPED, {"mm": moved_mm})
        elif turned_deg > limits.noise_deg + limits.turn_deg_s * apart_s:
            self._jumped_at_s, self._jump = now_s, Reason(ReasonCode.TURNED, {"degrees": turned_deg})


def _seconds_between(last: Pose, pose: Pose) -> float:
    """Return the seconds between two poses by the sender's clock, or by ours where that is not usable."""
    sent_s = pose.sent_s - last.sent_s
    return sent_s if last.sent_s and pose.sent_s and 0 < sent_s < 10 else max(0.0, pose.changed_s - last.changed_s)


def _angle_deg(one: np.ndarray, other: np.ndarray) -> float:
    """Return the angle between two orientations; both may scale by the calibration of the tip."""
    one, other = one[:3, :3], other[:3, :3]
    trace = 3 * np.einsum("ij,ij", one, other) / (np.linalg.norm(one) * np.linalg.norm(other))
    cosine = (trace - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


class LateGuard:
    """Checks for poses that arrive long after they were sent, as over a link that has fallen behind.

    Each device is watched by itself: senders have clocks of their own.
    """

    def __init__(self, limits: PoseLimits) -> None:
        self._limits = limits
        self._delays: dict[str, _Delay] = {}

    def receive(self, device: str, sent_s: float, now_s: float) -> None:
        """Record that a pose has come now that was sent at a time of the sender's clock; 0 where it does not say."""
        if not sent_s:
            return
        delay = self._delays.get(device)
        if delay is None or delay.is_set_back(sent_s):
            self._delays[device] = _Delay(sent_s, now_s)
        else:
            delay.add(sent_s, now_s, self._limits.late_s)

    def forget(self, device: str) -> None:
        """Remove a device."""
        self._delays.pop(device, None)

    def check(self, devices: Iterable[str]) -> Reason | None:
        """Return why a pose that is composed of these devices is invalid, or None."""
        late_s = max((self._delays[device].late_s for device in devices if device in self._delays), default=0.0)
        return Reason(ReasonCode.LATE, {"seconds": late_s}) if late_s > self._limits.late_s else None


class _Delay:
    """Estimate of how much later than usual the poses of one device arrive.

    The difference between the clocks of both machines is not known, so the fastest pose is the measure. It is let rise
    slowly, for clocks drift apart, but not while poses are late, or a lag would be forgotten.
    Nothing is said of a sender whose clock has not kept step with ours yet, such as a recording that is played slowly.
    Once it has, it has to go on.
    """

    DRIFT = 1e-3
    LEAST_RATE, WATCHED_S = 0.9, 3.0

    def __init__(self, sent_s: float, now_s: float) -> None:
        self.late_s, self._keeps_step = 0.0, False
        self._begin(sent_s, now_s)

    def _begin(self, sent_s: float, now_s: float) -> None:
        self._first = self._last = now_s, sent_s
        self._quickest_s = now_s - sent_s

    def is_set_back(self, sent_s: float) -> bool:
        """Whether the sender's clock was set back, since a link keeps the order of its messages."""
        return sent_s < self._last[1] - SET_BACK_S

    def add(self, sent_s: float, now_s: float, limit_s: float) -> None:
        under_way_s = now_s - sent_s
        rise_s = self.DRIFT * (now_s - self._last[0]) if self.late_s <= limit_s else 0.0
        self._quickest_s = min(under_way_s, self._quickest_s + rise_s)
        self._last = now_s, sent_s
        if not self._keeps_step:
            self._judge()
        self.late_s = under_way_s - self._quickest_s if self._keeps_step else 0.0

    def _judge(self) -> None:
        here_s, there_s = (last - first for last, first in zip(self._last, self._first))
        if here_s < self.WATCHED_S:
            return
        self._keeps_step = there_s >= self.LEAST_RATE * here_s
        if not self._keeps_step:
            self._begin(self._last[1], self._last[0])


class BreathGuard:
    """Checks that the sensor on the liver moves with the breath; one that has come off does not.

    It takes a breath to be sure. Where the ventilator is paused everything is still; so it warns only while a tool
    that is seen moves, and never before the sensor has been seen to breathe.
    """

    def __init__(self, limits: PoseLimits) -> None:
        self._limits = limits
        self._sensor = _Places(limits.still_s)
        self._tools: dict[str, _Places] = {}
        self.has_breathed = False

    def add_sensor_pose(self, matrix: np.ndarray, now_s: float) -> None:
        """Add a pose, 4x4, of the tracked sensor in the tracker's frame."""
        self._sensor.add(matrix[:3, 3], now_s)
        self.has_breathed = self.has_breathed or self._sensor.moved_mm >= self._limits.breath_mm

    def add_tool_pose(self, name: str, matrix: np.ndarray, now_s: float) -> None:
        """Add a pose, 4x4, of a tracked tool in the tracker's frame."""
        self._tools.setdefault(name, _Places(self._limits.still_s)).add(matrix[:3, 3], now_s)

    def forget(self, name: str) -> None:
        """Remove a tool."""
        self._tools.pop(name, None)

    def check(self, now_s: float) -> Reason | None:
        """Return why no pose in the frame of the liver is reliable, or None."""
        watched_s = self._sensor.watched_s(now_s)
        if not self.has_breathed or watched_s < self._limits.still_s or self._sensor.moved_mm >= self._limits.still_mm:
            return None
        seen = (tool for tool in self._tools.values() if tool.watched_s(now_s) > 0)
        moving = any(tool.moved_mm >= self._limits.others_mm for tool in seen)
        return Reason(ReasonCode.SENSOR_STILL, {"seconds": self._limits.still_s}) if moving else None


class _Places:
    """Recent positions: a median for each half second, so that noise is not taken for motion.

    Args:
        span_s: what is older is forgotten.
    """

    BIN_S, GAP_S = 0.5, 1.0

    def __init__(self, span_s: float) -> None:
        self._count = int(np.ceil(span_s / self.BIN_S))
        self._start_over(0.0)

    def _start_over(self, now_s: float) -> None:
        self._medians: deque[np.ndarray] = deque(maxlen=self._count)
        self._bin: list[np.ndarray] = []
        self._since_s = self._bin_since_s = self._last_s = now_s

    def add(self, place_mm: np.ndarray, now_s: float) -> None:
        if now_s - self._last_s > self.GAP_S:  # not seen meanwhile, it may be anywhere
            self._start_over(now_s)
        self._last_s = now_s
        if self._bin and now_s - self._bin_since_s >= self.BIN_S:
            self._medians.append(np.median(self._bin, axis=0))
            self._bin, self._bin_since_s = [], now_s
        self._bin.append(np.array(place_mm))

    def watched_s(self, now_s: float) -> float:
        """Return how long it has been seen without a gap, in s; 0 when it is not seen now."""
        return self._last_s - self._since_s if now_s - self._last_s <= self.GAP_S else 0.0

    @property
    def moved_mm(self) -> float:
        """The diagonal of the box that holds the positions, in mm."""
        return float(np.linalg.norm(np.ptp(self._medians, axis=0))) if len(self._medians) > 1 else 0.0


def invalid_pose_reason(pose: Pose, now_s: float, limits: PoseLimits) -> Reason | None:
    """Return why a single pose is invalid: not tracked, not rigid, or too old; else None."""
    if pose.status != STATUS_OK:
        return Reason(REASONS_BY_STATUS.get(pose.status, ReasonCode.NOT_TRACKED))
    if pose.fault is not None:
        return pose.fault
    age_s = now_s - pose.arrived_s
    return Reason(ReasonCode.NO_RECENT_POSE, {"seconds": age_s}) if age_s > limits.age_s else None
