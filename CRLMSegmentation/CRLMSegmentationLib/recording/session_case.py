"""The part of a case that comes from a session recording: lesions, saved volumes, events and results."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.hashing import sha256_of
from ..core.json_fields import is_file_name
from ..core.json_files import Damage
from ..core.text import ascii_name
from .case import UNFINISHED_SUFFIX, CaseLesion, CaseVolume
from .saved_images import FOLDER, MASKS_FOLDER
from .session_events import (
    ENDED,
    EVENTS_FILE,
    LESS_RECORDED,
    RESULT,
    SEED_REMOVED,
    SEEDS,
    SOURCE,
    SessionEvent,
    read_events,
)
from .summary import A_CRASH, iso_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecordedSession:
    """The content of a session recording, without the messages of links.

    Attributes:
        lesions: where the seeds lay at the end.
        volumes: that lie in files.
        masks: their files.
        hashes: of all files of volumes and masks.
        missing: files that an event names and that are not there, or damaged.
        damage: lines that are no events, and were left out.
    """

    events: tuple[SessionEvent, ...]
    lesions: tuple[CaseLesion, ...]
    volumes: tuple[CaseVolume, ...]
    masks: tuple[str, ...]
    hashes: dict[str, str]
    missing: tuple[str, ...]
    damage: Damage

    @property
    def results(self) -> int:
        return sum(event.event == RESULT for event in self.events)

    @property
    def source(self) -> dict[str, Any]:
        """The entries of `source` in case.json that only a session has."""
        less = [event.about.get("what") for event in self.events if event.event == LESS_RECORDED]
        times_s = [event.time_s for event in self.events]
        times = {"started": iso_of(times_s[0]), "ended": iso_of(times_s[-1])} if times_s else {}
        told = [
            event.about["simulated"] for event in self.events if event.event == SOURCE and "simulated" in event.about
        ]
        simulated = {"simulated": any(told)} if told else {}
        return {**times, **simulated, **({"less_recorded": less} if less else {})}

    @property
    def ended_by(self) -> str:
        """Why it ended; "a crash" where it does not say."""
        return next((str(e.about.get("why")) for e in reversed(self.events) if e.event == ENDED), A_CRASH)

    @property
    def seconds(self) -> float:
        """From the start to the last event."""
        return max((event.elapsed_s for event in self.events), default=0.0)


def has_session_log(folder: Path) -> bool:
    """Return whether a folder holds the events of a session; recording a link alone leaves none."""
    return (folder / EVENTS_FILE).is_file() and (folder / EVENTS_FILE).stat().st_size > 0


def session_log_in(folder: Path) -> RecordedSession:
    """Read a session recording, and remove incomplete files.

    Raises:
        OSError: it cannot be read.
    """
    for part in (FOLDER, MASKS_FOLDER):
        for unfinished in (folder / part).glob(f"*{UNFINISHED_SUFFIX}"):
            unfinished.unlink()
    damage = Damage()
    events = read_events(folder / EVENTS_FILE, damage)
    named = dict(_named_files(events))
    hashes = {name: sha256 for name, sha256 in named.items() if _is_whole(folder, name, sha256)}
    for name in sorted(set(named) - set(hashes)):
        logger.warning("%s, which %s names, is not there as it was written", name, EVENTS_FILE)
    return RecordedSession(
        events=events,
        lesions=_lesions(events),
        volumes=tuple(_volumes(events, hashes)),
        masks=tuple(name for name in hashes if name.startswith(f"{MASKS_FOLDER}/")),
        hashes=hashes,
        missing=tuple(sorted(set(named) - set(hashes))),
        damage=damage,
    )


def _named_files(events: Iterable[SessionEvent]) -> Iterator[tuple[str, str]]:
    """Yield the name and the SHA-256 of each file that an event names."""
    for event in events:
        volume, mask = event.about.get("volume"), event.about.get("mask")
        if isinstance(volume, dict) and isinstance(volume.get("sha256"), dict):
            yield from volume["sha256"].items()
        if isinstance(mask, dict) and isinstance(mask.get("file"), str):
            yield mask["file"], str(mask.get("sha256"))


def _is_whole(folder: Path, name: str, sha256: str) -> bool:
    path = folder / name
    if not is_file_name(name):
        return False
    return folder.resolve() in path.resolve().parents and path.is_file() and sha256_of(path) == sha256


def _lesions(events: Iterable[SessionEvent]) -> tuple[CaseLesion, ...]:
    seeds: dict[str, tuple[float, float, float]] = {}
    for event in events:
        lesion, seed = event.about.get("lesion"), event.about.get("seed_ras_mm")
        if event.event in SEEDS and lesion and seed is not None:
            seeds[lesion] = (seed[0], seed[1], seed[2])
        elif event.event == SEED_REMOVED and lesion:
            seeds.pop(lesion, None)
    return tuple(CaseLesion(name, seed) for name, seed in seeds.items())


def _volumes(events: Iterable[SessionEvent], there: dict[str, str]) -> Iterator[CaseVolume]:
    seen: set[str] = set()
    for event in events:
        volume = event.about.get("volume")
        if not isinstance(volume, dict):
            continue
        file = volume.get("file")
        if file in there and file not in seen:
            seen.add(file)
            insonified = volume.get("swept") if volume.get("swept") in there else None
            device = ascii_name(volume.get("device") or "", "volume")
            yield CaseVolume(file, device, float(volume.get("timestamp_s") or 0), insonified)
