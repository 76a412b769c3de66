"""Where frames are to each other now: the newest transform of each name, with its age, and chains of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.errors import SweepError
from ..igtl.messages import STATUS_OK, TransformMessage
from ..sweeps.transforms import Chain, find_chain, follow


@dataclass(frozen=True, eq=False)
class Pose:
    """One frame in another, by one transform or by several in a row.

    Attributes:
        matrix: 4x4 mm; the identity while the status is not OK.
        status: OK, or the worst on the way.
        arrived_s: when the oldest of the transforms came, by this machine's clock.
        changed_s: when the newest of them came.
        sent_s: the sender's time of the newest, seconds since 1970; 0 where it does not say.
        names: of the transforms that it was made of.
    """

    matrix: np.ndarray
    status: str
    arrived_s: float
    changed_s: float
    sent_s: float
    names: tuple[str, ...]

    @property
    def is_tracked(self) -> bool:
        return self.status == STATUS_OK


class Poses:
    """The newest transforms of a link, by name. What never changes, such as a tip's calibration, may be given once."""

    def __init__(self) -> None:
        self._poses: dict[str, tuple[np.ndarray, str]] = {}
        self._times_s: dict[str, tuple[float, float]] = {}
        self._fixed: set[str] = set()

    def take(self, message: TransformMessage, now_s: float) -> None:
        """Keep a transform that has come now; one that was fixed stays as it was given."""
        if message.device not in self._fixed:
            self._poses[message.device] = (message.matrix, message.status)
            self._times_s[message.device] = (now_s, message.timestamp_s)

    def fix(self, name: str, matrix: np.ndarray) -> None:
        """Give a transform that does not come over the link and never grows old."""
        self._poses[name] = (np.asarray(matrix, float), STATUS_OK)
        self._fixed.add(name)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._poses)

    def find(self, wanted: str) -> Pose | None:
        """The pose that a name asks for, such as "StylusToReference", direct or composed; None where no way leads.

        Raises:
            SweepError: a matrix that is OK cannot be inverted.
        """
        chain = self._chain(wanted)
        if chain is None:
            return None
        matrix, status = follow(chain, self._poses)
        times_s = [self._times_s[name] for name, _ in chain if name not in self._fixed]
        changed_s, sent_s = max(times_s, default=(np.inf, 0.0))
        arrived_s = min(times_s, default=(np.inf, 0.0))[0]
        return Pose(matrix, status, arrived_s, changed_s, sent_s, tuple(name for name, _ in chain))

    def _chain(self, wanted: str) -> Chain | None:
        try:
            return find_chain(self._poses, wanted)
        except SweepError:
            return None
