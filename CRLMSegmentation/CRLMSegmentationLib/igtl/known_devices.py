"""Names of the devices of a connection, bounded in number: new devices replace those that are silent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice


class KnownDevices:
    """Names of the most recent devices. Beyond the limit the one that has been silent longest is forgotten.

    Args:
        most: number of names that are kept.
        is_needed: whether a device is kept, however long it is silent, as long as another one can be forgotten.
    """

    def __init__(self, most: int, is_needed: Callable[[str], bool] = lambda name: False) -> None:
        self.most, self._is_needed = most, is_needed
        self._names: dict[str, None] = {}

    def note(self, name: str) -> str | None:
        """Record that a message of a device arrived; return the device that was forgotten for it, or None."""
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
        """Iterate over the names, the one that has been silent longest first."""
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class KnownTools(KnownDevices):
    """Names of the most recent transforms. A calibration, which is sent only once, stays as long as its tool is known.

    Without "StylusTipToStylus" the tip of a stylus would be taken for its sensor. At most half of the names are kept
    for that reason, the earliest ones: calibrations that a peer makes up replace neither tools nor one another.

    Args:
        frames_of: returns the two frames of a transform's name, None where the name has none.
        places: frames in which tools are tracked, such as Reference; a transform to one of them is a tool's pose.
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
        """Return whether the name of a known transform names two frames, such as ProbeToReference."""
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
