"""Assigns a pose to each frame of a recording: by the sender's times where they agree, else by arrival.

PLUS gives a frame and its poses the same time. Other senders give none, whole seconds, or the time of another clock;
then only the order and the pace in which the messages came can tell, where that was recorded. A sender puts a frame
and its poses on the wire together, one pose before or behind each frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.errors import SweepError
from ..tracking.sweeps.sequence import Pairing, time_faults

TIME, ARRIVAL = "time", "arrival"
SAME_MOMENT_S = 0.02
"""A transform belongs to an image when their times differ by no more; PLUS gives both the same."""
BURST = 0.25
"""A frame and its pose came together when less than this share of the time between two frames lies between them."""
APART = 0.5
"""The pose on the other side of the frame must be at least this share away to tell which one belongs to it."""
MIN_PERIOD_S = 0.005
"""Between two frames of any scanner; what came faster was held back on its way."""
SAME_CLOCK_S, SAME_CLOCK_SHARE = 0.001, 0.05
"""Times of a frame and a pose are equal when they differ by less, and by less than this share of a pose's period."""
MAX_DELAY_S = 1.0
"""Pictures reach us later than poses by less than this; what is farther apart was told by two clocks."""
FITTING, COVERED = 0.75, 0.95
"""Shares of the frames: with a pose at their time, of those between the first and the last pose; and between them."""
NO_POSE = -1


@dataclass(frozen=True, eq=False)
class Stream:
    """The messages of one device, in the order in which they came.

    Attributes:
        order: shape (M,), the place of each among all messages of the recording.
        sent_s: shape (M,), the sender's times, 0 where unknown.
        arrived_s: shape (M,), or None where the arrival was not recorded.
        all_arrived_s: of frames: when anything came that comes about as often as they, ascending.
    """

    order: np.ndarray
    sent_s: np.ndarray
    arrived_s: np.ndarray | None
    all_arrived_s: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.order)

    @classmethod
    def of(cls, places: Sequence[tuple[int, float, float | None]]) -> Stream:
        """Make a stream of the place, the sender's time and the arrival time of each message."""
        arrived = [arrived_s for _, _, arrived_s in places]
        known = None if any(arrived_s is None for arrived_s in arrived) else np.array(arrived, float)
        order, sent_s = (np.array([place[n] for place in places], float) for n in (0, 1))
        return cls(order, sent_s, known)


def pair(frames: Stream, poses: Stream, distinct: np.ndarray, way: str | None = None) -> tuple[Pairing, np.ndarray]:
    """Assign a pose to each frame.

    Args:
        distinct: bool, shape (M - 1,), whether a pose differs from the one before it: a tracker that repeats a pose
            may repeat its time.
        way: what a user has chosen, "time" or "arrival"; None decides.

    Returns:
        How it was done, and for each frame the index of its pose, `NO_POSE` where it has none.

    Raises:
        SweepError: the chosen way is not possible.
    """
    if way == ARRIVAL:
        return _chosen_arrival(frames, poses)
    if way == TIME:
        return Pairing(TIME, "as --pair says"), by_time(frames.sent_s, poses.sent_s)
    faults = why_not_by_time(frames, poses, distinct)
    offset_s = 0.0 if faults or _is_one_clock(frames, poses) else clock_offset_s(frames, poses)
    if not faults and not offset_s:
        return Pairing(TIME), by_time(frames.sent_s, poses.sent_s)
    if offset_s:
        faults = f"the poses' times are {abs(offset_s):.6g} s {'ahead of' if offset_s > 0 else 'behind'} the frames'"
    indices = by_arrival(frames, poses)
    if offset_s and (_side(frames, poses) is None or _may_be_delay(frames, poses, offset_s)):
        why = "nothing tells whether a clock is wrong or the images come late"
    elif indices is None:
        why = why_not_by_arrival(frames, poses)
    else:
        return Pairing(ARRIVAL, faults), indices
    return Pairing("", f"{faults}, and {why}"), np.full(len(frames), NO_POSE)


def _chosen_arrival(frames: Stream, poses: Stream) -> tuple[Pairing, np.ndarray]:
    indices = by_arrival(frames, poses)
    if indices is None:
        raise SweepError(f"--pair {ARRIVAL} is not possible: {why_not_by_arrival(frames, poses)}; record again")
    return Pairing(ARRIVAL, "as --pair says"), indices


def why_not_by_time(frames: Stream, poses: Stream, distinct: np.ndarray) -> str:
    """Return why frames and poses cannot be paired by their times; empty where they can."""
    faults = time_faults(frames.sent_s)
    if faults or not len(poses):
        return faults
    faults = time_faults(poses.sent_s[np.concatenate([[True], distinct | (np.diff(poses.sent_s) != 0)])])
    if faults and not _repairs_itself(poses.sent_s):
        return faults.replace("frames", "poses")  # its own words say frames
    return ""


def _is_one_clock(frames: Stream, poses: Stream) -> bool:
    """Return whether the times of the frames are times of poses, even if the images arrive later than the poses.

    Where poses come much more often than frames, any time is near that of a pose.
    """
    if not 1 < len(poses) < 2 * len(frames):
        return False
    period_s = float(np.median(np.abs(np.diff(poses.sent_s))))
    return _fits(frames, poses, min(SAME_CLOCK_S, SAME_CLOCK_SHARE * period_s))


def _may_be_delay(frames: Stream, poses: Stream, offset_s: float) -> bool:
    """Return whether the times fit without an offset, so that images or poses may only have arrived late."""
    if abs(offset_s) >= MAX_DELAY_S or len(frames) < 2:
        return False
    return _fits(frames, poses, min(SAME_MOMENT_S, float(np.median(np.diff(frames.sent_s))) / 3))


def _fits(frames: Stream, poses: Stream, within_s: float) -> bool:
    """Return whether poses cover the time of the frames, and most frames have a pose near to their time."""
    low_s, high_s = poses.sent_s.min() - within_s, poses.sent_s.max() + within_s
    is_covered = (frames.sent_s >= low_s) & (frames.sent_s <= high_s)
    if np.count_nonzero(is_covered) < COVERED * len(frames):
        return False
    is_near = by_time(frames.sent_s, poses.sent_s, within_s) >= 0
    return bool(np.count_nonzero(is_near) >= FITTING * np.count_nonzero(is_covered))


def _repairs_itself(sent_s: np.ndarray) -> bool:
    """Return whether times only go back by less than two frame periods: two measurements in the wrong order."""
    steps_s = np.diff(sent_s)
    return bool((steps_s != 0).all() and steps_s.min() > -SAME_MOMENT_S and (sent_s > 0).all())


def clock_offset_s(frames: Stream, poses: Stream) -> float:
    """Return by how many seconds the clock of the poses is ahead of that of the frames; 0 where it is not known.

    Poses that came just before a frame are as old as the frame or older, those that came just after it as old or
    newer. Where frame and pose came together, the pose that came with it is as old as the frame.
    """
    before, after = _neighbours(frames, poses)
    both = (before >= 0) & (after < len(poses))
    if not both.any():
        one = before if (before >= 0).any() else after
        valid = (one >= 0) & (one < len(poses))
        ages_s = poses.sent_s[one[valid]] - frames.sent_s[valid]
        return float(np.median(ages_s)) if valid.any() and abs(np.median(ages_s)) > 1 else 0.0
    side = _side(frames, poses)
    if side is not None:
        chosen = before if side < 0 else after
        offset_s = float(np.median(poses.sent_s[chosen[both]] - frames.sent_s[both]))
        period_s = float(np.median(np.diff(frames.sent_s))) if len(frames) > 1 else np.inf
        return offset_s if abs(offset_s) > min(SAME_MOMENT_S, period_s / 4) else 0.0
    low_s = float(np.median(poses.sent_s[before[both]] - frames.sent_s[both]))
    high_s = float(np.median(poses.sent_s[after[both]] - frames.sent_s[both]))
    if low_s - SAME_MOMENT_S <= 0 <= high_s + SAME_MOMENT_S:
        return 0.0
    return (low_s + high_s) / 2


def by_time(frames_s: np.ndarray, poses_s: np.ndarray, within_s: float = SAME_MOMENT_S) -> np.ndarray:
    """Return for each frame the pose whose time is nearest, within a limit."""
    if not len(poses_s):
        return np.full(len(frames_s), NO_POSE)
    ranks = np.argsort(poses_s, kind="stable")
    known_s = poses_s[ranks]
    after = np.clip(np.searchsorted(known_s, frames_s), 1, max(1, len(known_s) - 1))
    before, after = after - 1, np.minimum(after, len(known_s) - 1)
    nearest = np.where(np.abs(known_s[after] - frames_s) < np.abs(frames_s - known_s[before]), after, before)
    is_near = np.abs(known_s[nearest] - frames_s) <= within_s
    return np.where(is_near, ranks[nearest], NO_POSE)


def by_arrival(frames: Stream, poses: Stream) -> np.ndarray | None:
    """Return for each frame the pose that arrived with it; None where the arrival is not decisive."""
    if frames.arrived_s is None or poses.arrived_s is None or not len(poses):
        return None
    side = _side(frames, poses)
    if side is not None:
        return _beside(frames, poses, side)
    if len(poses) < 2 * len(frames) or _period_s(frames.arrived_s) < MIN_PERIOD_S:
        return None
    indices = by_time(frames.arrived_s, poses.arrived_s)  # a tracker that is faster than the pictures
    return indices if np.count_nonzero(indices >= 0) * 2 > len(frames) else None


def why_not_by_arrival(frames: Stream, poses: Stream) -> str:
    if frames.arrived_s is None or poses.arrived_s is None:
        return "their arrival was not recorded"
    if _period_s(frames.arrived_s) < MIN_PERIOD_S:
        return "their arrival does not tell either: all came at once"
    return "their arrival does not tell either: poses come as long before the frames as behind them"


def _side(frames: Stream, poses: Stream) -> int | None:
    """Return whether the pose of a frame arrives just before (-1) or just after it (1); None where neither is clear."""
    if frames.arrived_s is None or poses.arrived_s is None or not len(poses) or not _comes_in_bursts(frames):
        return None
    before, after = _neighbours(frames, poses)
    gaps_s = [
        _median_gap_s(frames.arrived_s, poses.arrived_s, index, valid)
        for index, valid in ((before, before >= 0), (after, after < len(poses)))
    ]
    period_s = _period_s(frames.arrived_s)
    near_s, far_s = sorted(gaps_s)
    if not (near_s <= BURST * period_s and far_s >= APART * period_s):
        return None
    return -1 if gaps_s[0] < gaps_s[1] else 1


def _period_s(arrived_s: np.ndarray) -> float:
    return float(np.median(np.diff(arrived_s))) if len(arrived_s) > 1 else 0.0


def _comes_in_bursts(frames: Stream) -> bool:
    """Return whether the sender paused between frames; without pauses the arrival shows no pairs."""
    if frames.arrived_s is None or frames.all_arrived_s is None:
        return False
    period_s = _period_s(frames.arrived_s)
    if period_s < MIN_PERIOD_S:
        return False
    pauses_s = np.diff(frames.all_arrived_s)
    starts = np.searchsorted(frames.all_arrived_s, frames.arrived_s[:-1])
    longest_s = np.maximum.reduceat(pauses_s, np.minimum(starts, len(pauses_s) - 1))
    return bool(np.median(longest_s) >= APART * period_s)


def _median_gap_s(frames_s: np.ndarray, poses_s: np.ndarray, index: np.ndarray, valid: np.ndarray) -> float:
    """Return the median time between a frame and its pose, in seconds; infinite for frames that have none."""
    gaps_s = np.abs(poses_s[np.clip(index, 0, len(poses_s) - 1)] - frames_s)
    return float(np.median(np.where(valid, gaps_s, np.inf)))


def _neighbours(frames: Stream, poses: Stream) -> tuple[np.ndarray, np.ndarray]:
    """Return the last pose before each frame and the first after it; -1 and M where there is none."""
    after = np.searchsorted(poses.order, frames.order)
    return after - 1, after


def _beside(frames: Stream, poses: Stream, side: int) -> np.ndarray:
    """Return the last pose between a frame and the frame before it, or the first between it and the next one."""
    before, after = _neighbours(frames, poses)
    if side < 0:
        earliest = np.concatenate([[-np.inf], frames.order[:-1]])
        inside = (before >= 0) & (poses.order[np.maximum(before, 0)] > earliest)
        return np.where(inside, before, NO_POSE)
    latest = np.concatenate([frames.order[1:], [np.inf]])
    inside = (after < len(poses)) & (poses.order[np.minimum(after, len(poses) - 1)] < latest)
    return np.where(inside, after, NO_POSE)
