"""Poses of coordinate frames: the newest transform of each name with its age, and chains of them.

What moves is tracked, and grows old; a calibration, such as "StylusTipToStylus", may be given once and does not. Names
that are silent, as of a server that was started again with others, are gone by only where no other way leads.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..core.errors import SweepError
from ..core.geometry import rigid_fault
from ..core.reasons import Reason, ReasonCode
from ..igtl.messages import STATUS_OK, STATUS_POSITION_ONLY, TransformMessage
from .instruments import PLACES, may_scale, tip_of
from .transforms import Chain, find_chain, follow, frames_of, worst

SET_BACK_S = 0.1
"""A sender's time that goes back farther was set; a little less may be two measurements in the wrong order."""

NO_MATRIX = (ReasonCode.NOT_FINITE, ReasonCode.NOT_A_TRANSFORM)
"""What not even a calibration may be."""


@dataclass(frozen=True, eq=False)
class Pose:
    """Pose of one frame in another, composed of one transform or several.

    Attributes:
        matrix: 4x4 mm; the identity while the status is not OK.
        status: OK, or the worst on the way.
        arrived_s: when the oldest of the transforms came, by this machine's clock; calibrations do not count.
        changed_s: when the newest of them came.
        sent_s: the sender's time of the newest, seconds since 1970; 0 where it does not say.
        names: of the transforms that it was made of.
        moving: those of them that are no calibrations.
        fault: why one of the matrices is no pose, or no calibration; the matrix is the identity then.
    """

    matrix: np.ndarray
    status: str
    arrived_s: float
    changed_s: float
    sent_s: float
    names: tuple[str, ...]
    moving: tuple[str, ...]
    fault: Reason | None = None

    @property
    def is_tracked(self) -> bool:
        """Whether the tracker saw the frame, and its matrix is valid."""
        return self.status == STATUS_OK and self.fault is None


class Poses:
    """The newest transforms of a link, by name; those that never change, as a tip calibration, may come once."""

    SILENT_S, SORT_S = 3.0, 0.5

    def __init__(self) -> None:
        self._poses: dict[str, tuple[np.ndarray, str]] = {}
        self._faults: dict[str, Reason] = {}
        self._times_s: dict[str, tuple[float, float]] = {}
        self._clocks: dict[str, _SenderClock] = {}
        self._fixed: set[str] = set()
        self._unoriented: set[str] = set()
        self._leading: set[str] = set()
        self._names: frozenset[str] = frozenset()
        self._moving: frozenset[str] = frozenset()
        self._usable: frozenset[str] = frozenset()
        self._chains: dict[str, Chain | None] = {}
        self._sorted_s = -np.inf

    def store(self, message: TransformMessage, now_s: float) -> None:
        """Store a transform that has come now; one that was fixed is not changed.

        One whose time stands still is a pose that was sent before: it does not become younger by that. One whose name
        does not contain two frames is part of no chain, but a seed may be placed by it.
        """
        name = message.device
        if name in self._fixed:
            return
        is_new = self._clocks.setdefault(name, _SenderClock()).tick(message.timestamp_s)
        if is_new or message.status != STATUS_OK:
            self._set(name, message.matrix, message.status)
            (self._unoriented.discard if message.has_orientation else self._unoriented.add)(name)
        if is_new:
            self._times_s[name] = (now_s, message.timestamp_s)
            is_leading = name in self._leading
            if is_leading and (name not in self._usable or now_s - self._sorted_s >= self.SORT_S):
                self._sort_out(now_s)

    def forget(self, name: str) -> None:
        """Remove a transform, unless it was fixed."""
        if name in self._fixed or name not in self._poses:
            return
        for known in (self._poses, self._faults, self._times_s, self._clocks):
            known.pop(name, None)
        self._unoriented.discard(name)
        if name in self._leading:
            self._leading.remove(name)
            self._moving = moving_in(self._leading) - self._fixed
            self._renew(self._usable - {name})

    def fix(self, name: str, matrix: np.ndarray) -> None:
        """Set a transform that does not come over the link and does not age."""
        self._set(name, np.asarray(matrix, float), STATUS_OK)
        self._fixed.add(name)
        self._moving = moving_in(self._leading) - self._fixed
        self._use(self._usable | ({name} & self._leading))

    @property
    def names(self) -> frozenset[str]:
        """Names of all transforms that name two frames."""
        return self._names

    @property
    def usable(self) -> frozenset[str]:
        """Names of the transforms that still come; chains of transforms change with them."""
        return self._usable

    def given(self, name: str) -> tuple[np.ndarray, str, float] | None:
        """Return matrix, status and time of arrival (this machine's clock) of a transform; None before it has come."""
        if name not in self._poses:
            return None
        return (*self._poses[name], self._times_s.get(name, (np.inf, 0.0))[0])

    def find(self, wanted: str) -> Pose | None:
        """Return the pose of a name such as "StylusToReference", direct or composed; None where no chain leads there.

        Raises:
            SweepError: a matrix that is OK cannot be inverted.
        """
        if wanted not in self._chains:
            self._chains[wanted] = _chain(self._usable, wanted) or _chain(self._names, wanted)
        chain = self._chains[wanted]
        if chain is None:
            return None
        names = tuple(name for name, _ in chain)
        fault = next((fault for name in names if (fault := self.fault_of(name)) is not None), None)
        if fault is None:
            matrix, status = follow(chain, self._poses)
        else:
            matrix, status = np.eye(4), worst(self._poses[name][1] for name in names)
        if status == STATUS_OK and self._lacks_orientation(chain):
            status = STATUS_POSITION_ONLY
        moving = tuple(name for name in names if name in self._moving)
        if (
            fault is None and status == STATUS_OK and any(name in self._faults for name in moving)
        ):  # a pose of an image is on the way
            fault = rigid_fault(matrix, wanted)
            matrix = matrix if fault is None else np.eye(4)
        times_s = [self._times_s[name] for name in moving]
        changed_s, sent_s = max(times_s, default=(np.inf, 0.0))
        arrived_s = min(times_s, default=(np.inf, 0.0))[0]
        return Pose(matrix, status, arrived_s, changed_s, sent_s, names, moving, fault)

    def fault_of(self, name: str) -> Reason | None:
        """Return why the matrix of a transform is invalid, or None: a pose must be rigid, a calibration may scale.

        "ImageToReference" may scale as well: it is a pose with the calibration of the image. One whose name tells of
        no two frames is taken for a pose.
        """
        fault = self._faults.get(name)
        if fault is None or fault.code in NO_MATRIX:
            return fault
        pair = _pair_of(name)
        is_pose = pair is None or (name in self._moving and not any(map(may_scale, pair)))
        return fault if is_pose else None

    def _set(self, name: str, matrix: np.ndarray, status: str) -> None:
        if name not in self._poses and _pair_of(name) is not None:
            self._leading.add(name)
        self._poses[name] = (matrix, status)
        fault = rigid_fault(matrix, name) if status == STATUS_OK else None
        if fault is not None:
            self._faults[name] = fault
        else:
            self._faults.pop(name, None)

    def _lacks_orientation(self, chain: Chain) -> bool:
        """Whether a chain needs the orientation of a transform that has only a position.

        Only the first of a chain, gone forwards, need not: it is the origin of the tool that it places.
        """
        turning = {name for number, (name, backwards) in enumerate(chain) if number or backwards}
        return bool(self._unoriented & turning)

    def _sort_out(self, now_s: float) -> None:
        self._sorted_s = now_s
        if len(self._names) != len(self._leading):
            self._moving = moving_in(self._leading) - self._fixed
        silent = {name for name in self._moving if now_s - self._times_s[name][0] > self.SILENT_S}
        self._use(frozenset(self._leading) - silent)

    def _use(self, usable: frozenset[str]) -> None:
        if usable != self._usable:
            self._renew(usable)

    def _renew(self, usable: frozenset[str]) -> None:
        """Clear the cached chains, since the names have changed."""
        self._names, self._usable, self._chains = frozenset(self._leading), usable, {}


class _SenderClock:
    """Tells new measurements of a device from repeated ones by the sender's time.

    A sender that never says the time, or always the same, is believed to measure anew each time.
    """

    def __init__(self) -> None:
        self._last_s: float | None = None
        self._advances = False

    def tick(self, sent_s: float) -> bool:
        """Whether a message with this time, 0 where it does not say, is a new measurement."""
        if not sent_s:
            return True
        last_s, self._last_s = self._last_s, sent_s
        step_s = 0.0 if last_s is None else sent_s - last_s
        self._advances = self._advances or step_s > 0
        return not self._advances or step_s > 0 or step_s < -SET_BACK_S


def moving_in(names: Iterable[str]) -> frozenset[str]:
    """Return the transforms between tracked frames, which must be sent continuously.

    These are all to or from the tracker and the sensor on the liver, and those between two tools, such as
    "CauteryToNeedle"; not so a tip in its tool.
    """
    pairs = {name: pair for name in names if (pair := _pair_of(name)) is not None}
    placed = {frame for pair in pairs.values() if PLACES & set(pair) for frame in pair}
    return frozenset(
        name
        for name, (start, goal) in pairs.items()
        if PLACES & {start, goal} or (placed >= {start, goal} and tip_of(start) != goal)
    )


def _pair_of(name: str) -> tuple[str, str] | None:
    try:
        return frames_of(name)
    except SweepError:
        return None


def _chain(names: frozenset[str], wanted: str) -> Chain | None:
    try:
        return find_chain(names, wanted)
    except SweepError:
        return None
