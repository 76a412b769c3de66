"""Makes the report of a recorded session as plain data, for its JSON and its page.

No name of a patient is in it: lesions are called by their keys, volumes by numbers, and neither the folder nor a
sender's host is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from statistics import median
from typing import Any

import numpy as np

from .. import __version__
from ..core.geometry import spacing_of
from ..recording import session_events as kinds
from ..recording.saved_images import LOADED
from ..recording.session_events import SessionEvent
from ..recording.session_reader import SessionReader
from ..segmentation.results import Purpose
from .schema import TIMINGS
from .session_lesions import LesionChange, Outline, RecordedLesion, VolumeKey, is_volume, key_of, sightings_of
from .session_table import moment_of, rows_of

SCHEMA_VERSION = 1
STATEMENT = "Research software, not for clinical use."
A_DATE_S = 1e9
"""Since 1970; what a sender counts from its own start is less."""
KEYS = {
    "kind": 'always "session"',
    "schema_version": "of this document",
    "created": "date and time of the report, ISO 8601",
    "statement": STATEMENT,
    "simulated": "whether the source said that its data are simulated; null where it said nothing",
    "session": "{started, ended, seconds, ended_by, is_case, size_bytes, events, results}; what is not known is null",
    "lesions": "of each: lesion, seed_ras_mm, removed, segmentation (with the points that it was made with), failure, "
    "nearest_tip, refined, history",
    "events": "rows of a table, see `session_table.rows_of`; moments are {time, elapsed_s}",
    "tip_distances": "[elapsed_s, lesion, instrument, distance_mm, low_mm, high_mm], about one each second, of the "
    "lesion that was nearest; lesion and all after it null: withheld from here on, for the reason in events",
    "cautions": "what was shown beside the distances, or beside the reason why there was none, each once",
    "timings_s": "step to {count, median, longest}",
    "models": "of each: name, version, sha256, device, cold_start_s, versions",
    "volumes": "of each: number, origin, acquired, size, spacing_mm, content_sha256, geometry_sha256",
    "left_out": "{steps: [{moment, what, why}], messages: {kind: count}, lines}: what the budget or the disk took no "
    "more, and lines of the recording that cannot be used, in a sentence",
    "versions": "of the program that recorded and of the one that reports",
}


def document_of(session_log: SessionReader, histories: Mapping[str, RecordedLesion]) -> dict[str, Any]:
    """Make the report from the events alone; `refined` of each lesion needs masks and is null."""
    events = session_log.events
    volumes = Volumes(events)
    document = {
        "kind": "session",
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "statement": STATEMENT,
        "simulated": session_log.is_simulated,
        "session": _session(session_log),
        "lesions": [_lesion(history, volumes) for history in histories.values()],
        "events": rows_of(events, volumes.number_of),
        "tip_distances": _tip_distances(events),
        "cautions": _warnings(events),
        "timings_s": _timings(events),
        "models": _models(events),
        "volumes": volumes.entries,
        "left_out": {**_left_out(events), "lines": session_log.damage.sentence(kinds.EVENTS_FILE)},
        "versions": {"recorded by": _program_of(events), "reported by": __version__},
    }
    return {name: _with_clock_times(value) for name, value in document.items()}


class Volumes:
    """The volumes of a session, numbered in their order."""

    def __init__(self, events: Iterable[SessionEvent]) -> None:
        self.entries: list[dict[str, Any]] = []
        self._numbers: dict[VolumeKey, int] = {}
        for event in events:
            if is_volume(event.about.get("volume")):
                self.number_of(event.about["volume"])

    def number_of(self, volume: Mapping[str, Any]) -> int:
        key = key_of(volume)
        if key not in self._numbers:
            self._numbers[key] = len(self.entries) + 1
            self.entries.append(self._entry(volume))
        return self._numbers[key]

    def _entry(self, volume: Mapping[str, Any]) -> dict[str, Any]:
        time_s = volume.get("timestamp_s") or 0.0
        return {
            "number": len(self.entries) + 1,
            "origin": "loaded" if volume.get("device") == LOADED else "received over the link",
            "acquired": iso_of(time_s) if time_s > A_DATE_S else None,
            "size": list(volume["shape"])[::-1],
            "spacing_mm": spacing_of(np.array(volume["ijk_to_ras"], float).reshape(4, 4)).round(3).tolist(),
            "content_sha256": volume["content_sha256"],
            "geometry_sha256": volume["geometry_sha256"],
        }


def iso_of(time_s: float) -> str:
    """Return a time as local ISO 8601 time with its offset, to the second."""
    return datetime.fromtimestamp(time_s).astimezone().isoformat(timespec="seconds")


def _session(session_log: SessionReader) -> dict[str, Any]:
    events = session_log.events
    return {
        "started": iso_of(events[0].time_s),
        "ended": None if session_log.ended_by is None else iso_of(events[-1].time_s),
        "seconds": max(event.elapsed_s for event in events),
        "ended_by": session_log.ended_by,
        "is_case": session_log.is_case,
        "size_bytes": session_log.size_bytes,
        "events": len(events),
        "results": sum(event.event == kinds.RESULT for event in events),
    }


def _lesion(history: RecordedLesion, volumes: Volumes) -> dict[str, Any]:
    nearest = history.nearest
    return {
        "lesion": history.lesion,
        "seed_ras_mm": history.seed_ras_mm,
        "removed": history.removed and moment_of(history.removed),
        "outline": history.segmentation and _outline(history.segmentation, volumes),
        "failure": str(history.failure.about.get("reason", "")) if history.failure else "",
        "nearest_tip": nearest
        and {
            "moment": moment_of(nearest),
            **{name: nearest.about.get(name) for name in ("distance_mm", "bounds_mm", "instrument")},
        },
        "refined": None,
        "history": [_sighting(sighting, volumes) for sighting in sightings_of(history)],
    }


def _outline(segmentation: Outline, volumes: Volumes) -> dict[str, Any]:
    result = segmentation.result or {}
    is_as_found = segmentation.about is segmentation.result
    return {
        "moment": moment_of(segmentation.event),
        "how": segmentation.how,
        "volume": volumes.number_of(segmentation.about["volume"]),
        "volume_ml": segmentation.about.get("volume_ml"),
        "diameters_mm": segmentation.about.get("diameters_mm"),
        "confidence": result.get("confidence") if is_as_found and not segmentation.is_empty else None,
        "warnings": list(result.get("warnings") or ()) if is_as_found else [],
        "points": list(result.get("points") or ()),
        "crop_size_mm": result.get("crop_size_mm"),
        "model": result.get("model"),
        "device": result.get("device"),
        "timings_s": result.get("timings_s"),
    }


def _sighting(sighting: LesionChange, volumes: Volumes) -> dict[str, Any]:
    segmentation = sighting.segmentation
    return {
        "moment": moment_of(segmentation.event),
        "how": segmentation.how,
        "volume": volumes.number_of(segmentation.about["volume"]),
        "volume_ml": segmentation.about["volume_ml"],
        "diameters_mm": segmentation.about.get("diameters_mm"),
        "centre_ras_mm": segmentation.about["centre_ras_mm"],
        "shift_mm": sighting.shift_mm,
        "change": sighting.change,
    }


def _tip_distances(events: Iterable[SessionEvent]) -> list[list[Any]]:
    shown = (event for event in events if event.event == kinds.TIP)
    return [[event.elapsed_s, *_tip(event.about)] for event in shown]


def _tip(about: Mapping[str, Any]) -> tuple[Any, ...]:
    names = ("lesion", "instrument", "distance_mm")
    bounds_mm = about.get("bounds_mm") or (None, None)
    return (*(about.get(name) for name in names), *bounds_mm) if about.get("lesion") else (None,) * 5


def _warnings(events: Iterable[SessionEvent]) -> list[str]:
    listed = (event.about.get("cautions") for event in events if event.event == kinds.TIP)
    found = (warning for warnings in listed if isinstance(warnings, list) for warning in warnings)
    return list({c.get("code"): str(c.get("reason")) for c in found if isinstance(c, dict)}.values())


def _timings(events: Iterable[SessionEvent]) -> dict[str, dict[str, float]]:
    """Return the timings of results that a user waited for, and of each start of a model."""
    seconds: dict[str, list[float]] = {step: [] for step in TIMINGS}
    for event in events:
        about = event.about
        if event.event == kinds.READY and about.get("cold_start_s") is not None:
            seconds["cold_start"].append(about["cold_start_s"])
        elif event.event == kinds.RESULT and about.get("purpose") != Purpose.REFINED.value:
            for step, value in (about.get("timings_s") or {}).items():
                if step in seconds and value is not None:
                    seconds[step].append(value)
    told = {step: values for step, values in seconds.items() if values}
    return {
        step: {"count": len(values), "median": median(values), "longest": max(values)} for step, values in told.items()
    }


def _models(events: Iterable[SessionEvent]) -> list[dict[str, Any]]:
    """Return each model once, with what the engine said after the model was chosen."""
    models: dict[str, dict[str, Any]] = {}
    current: dict[str, Any] = {}
    for event in events:
        about = event.about
        if event.event == kinds.MODEL:
            same = {name: about.get(name) for name in ("name", "version", "sha256")}
            nothing: dict[str, Any] = {"device": None, "cold_start_s": None, "versions": {}, "warnings": []}
            current = models.setdefault(str(about.get("sha256")), {**same, **nothing})
        elif event.event == kinds.READY:
            current.update({n: about.get(n) for n in ("device", "cold_start_s", "versions", "warnings")})
    return list(models.values())


def _left_out(events: Iterable[SessionEvent]) -> dict[str, Any]:
    steps, messages = [], {}
    for event in events:
        if event.event == kinds.LESS_RECORDED:
            texts = {name: str(event.about.get(name) or "") for name in ("what", "why")}
            steps.append({"moment": moment_of(event), **texts})
        elif event.event == kinds.ENDED:
            messages = dict(event.about.get("left_out") or {})
    return {"steps": steps, "messages": messages}


def _program_of(events: Iterable[SessionEvent]) -> str | None:
    return next((event.about.get("program") for event in events if event.event == kinds.STARTED), None)


def _with_clock_times(value: Any) -> Any:
    """Replace moments by {time, elapsed_s}: local time, and seconds since the recording began."""
    if isinstance(value, dict):
        if set(value) == {"time_s", "elapsed_s"}:
            return {"time": iso_of(value["time_s"]), "elapsed_s": round(value["elapsed_s"], 2)}
        return {name: _with_clock_times(entry) for name, entry in value.items()}
    return [_with_clock_times(entry) for entry in value] if isinstance(value, list) else value
