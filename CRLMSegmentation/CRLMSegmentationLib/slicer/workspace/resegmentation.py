"""Segmentation of lesions again, from their seeds, when a newer volume of the same device has arrived."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ...core.volume import VolumeIdentity
from ...segmentation.session import Session
from .lesion import Lesion
from .lesion_store import BUSY, LesionStore

GRACE_S = 5.0
"""For so long after a newer volume has come, a segmentation of the one before still counts while it is renewed."""
REMEMBERED = 64


class Resegmentation:
    """Chooses the lesion to segment next: one at a time, in the newest volume, so that no queue forms.

    Volumes that come while the network is at work are passed over, and the lesion whose segmentation is oldest is next.
    A     lesion that was corrected by hand is left alone: the network must not undo that.

    Attributes:
        enabled: whether lesions are segmented again by themselves.
    """

    def __init__(self, session: Session, lesion_store: LesionStore, clock: Callable[[], float]) -> None:
        self._session, self._lesion_store, self._clock = session, lesion_store, clock
        self.enabled = False
        self._arrivals: deque[tuple[VolumeIdentity, float]] = deque(maxlen=REMEMBERED)

    def note_volume(self, identity: VolumeIdentity) -> None:
        """Note that a volume has become the current one."""
        self._arrivals.append((identity, self._clock()))

    def leave_volume(self) -> None:
        """Forget all, for another volume was chosen, which is no newer version of the one before."""
        for entry in self._lesion_store.entries.values():
            entry.asked_in = None
        self._arrivals.clear()

    def next_lesion(self) -> str | None:
        """Update which lesions count as being renewed, and return the one that is to be segmented now, if any."""
        self._update_renewing()
        if not self.enabled or self._session.busy or not self._lesion_store.is_volume_known:
            return None
        due = {a: e.asked_in for a, e in self._lesion_store.entries.items() if e.asked_in and self._is_due(e)}
        return min(due, key=lambda lesion: self._newer_since_s(due[lesion]), default=None)

    def _update_renewing(self) -> None:
        has_changed = False
        for entry in self._lesion_store.entries.values():
            is_renewing = self._is_renewed(entry)
            has_changed = has_changed or is_renewing != entry.is_renewing
            entry.is_renewing = is_renewing
        if has_changed:
            self._lesion_store.refresh_staleness()

    def _is_due(self, entry: Lesion) -> bool:
        asked_in, volume = entry.asked_in, self._session.volume
        if asked_in is None or volume is None or entry.state in BUSY or not self._may_follow(entry):
            return False
        return asked_in.device == volume.device and not asked_in.is_same_image(volume.identity)

    def _is_renewed(self, entry: Lesion) -> bool:
        found, volume = entry.segmentation, self._session.volume
        if not self.enabled or volume is None or found is None or found.result is None or not self._may_follow(entry):
            return False
        of = found.result.volume
        if of.device != volume.device or of.identity.is_same_image(volume.identity):
            return False
        if entry.state not in BUSY and not self._is_due(entry):
            return False
        return self._clock() - self._newer_since_s(of.identity) < GRACE_S

    @staticmethod
    def _may_follow(entry: Lesion) -> bool:
        return (
            entry.is_asked
            and entry.seed_ras_mm is not None
            and not (entry.segmentation and entry.segmentation.corrected)
        )

    def _newer_since_s(self, identity: VolumeIdentity) -> float:
        """Return when the first volume after another one arrived; minus infinity where that is not known."""
        known = list(self._arrivals)
        for (before, _), (_, arrived_s) in zip(reversed(known[:-1]), reversed(known[1:])):
            if before == identity:
                return arrived_s
        return float("-inf")
