"""Which devices a peer has named, bounded: one that is tracked now is never kept out by those that were before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice


class KnownDevices:
    """The names that have come of late. When there are too many, the one that has been silent longest goes.

    Args:
        most: how many are known at once.
        is_needed: whether a device is kept, however long it is silent, as long as there are others.
    """

    def __init__(self, most: int, is_needed: Callable[[str], bool] = lambda name: False) -> None:
        self.most, self._is_needed = most, is_needed
        self._names: dict[str, None] = {}

    def note(self, name: str) -> str | None:
        """A message of a device has come; returns the device that had to go for it, if one had to."""
        is_known = name in self._names
        if is_known:
            del self._names[name]  # to stand last again
        gone = None
        if not is_known and len(self._names) >= self.most:
            gone = self._silent_longest()
            self._forget(gone)
        self._names[name] = None
        return gone

    def _silent_longest(self) -> str:
        return next((other for other in self._names if not self._is_needed(other)), next(iter(self._names)))

    def _forget(self, name: str) -> None:
        del self._names[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        """The one that has been silent longest first."""
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class KnownTools(KnownDevices):
    """The same for transforms. A calibration comes once and is silent then: it stays as long as its tool is known.

    Without "StylusTipToStylus" the tip of a stylus would be taken for its sensor. Half of the names are kept so at
    most, those that came first: calibrations that a peer invents drive out neither tools nor one another's.

    Args:
        frames_of: the two frames that a name tells of, None where it tells of none.
        places: frames in which tools are tracked; what leads there moves.
    """

    def __init__(
        self, most: int, frames_of: Callable[[str], tuple[str, str] | None], places: frozenset[str]
    ) -> None:  # fmt: skip
        super().__init__(most)
        self._frames_of, self._places = frames_of, places
        self._pairs: dict[str, tuple[str, str] | None] = {}
        self._tracked: Counter[str] = Counter()

    def note(self, name: str) -> str | None:
        """See `KnownDevices.note`."""
        if name not in self._pairs:
            self._pairs[name] = self._frames_of(name)
            self._tracked.update(self._tracked_by(name))
        return super().note(name)

    def names_two_frames(self, name: str) -> bool:
        """Whether the name of a known device says from where to where it leads."""
        return self._pairs[name] is not None

    def _silent_longest(self) -> str:
        kept = set(islice(filter(self._is_calibration_of_a_tool, self._pairs), self.most // 2))
        return next(other for other in self._names if other not in kept)

    def _is_calibration_of_a_tool(self, name: str) -> bool:
        pair = self._pairs[name]
        return pair is not None and not self._places & set(pair) and any(self._tracked[frame] > 0 for frame in pair)

    def _tracked_by(self, name: str) -> set[str]:
        pair = self._pairs[name]
        return set(pair) - self._places if pair is not None and self._places & set(pair) else set()

    def _forget(self, name: str) -> None:
        super()._forget(name)
        self._tracked.subtract(self._tracked_by(name))
        for frame in self._tracked_by(name):
            if self._tracked[frame] <= 0:
                del self._tracked[frame]
        del self._pairs[name]
