"""Makes the table of events of a recorded session; what lasts or repeats is one row."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..core.points import PointKind
from ..igtl.link import reason_kind
from ..recording import session_events as kinds
from ..recording.session_events import SessionEvent
from ..segmentation.results import CANCELLED, Purpose
from .session_lesions import is_volume

COMPUTING_S = ("crop", "preprocess", "inference", "postprocess")
MERGED_S = 10.0
"""The same again within this time is the same row."""
LEFT_OUT = (kinds.TIP_DISTANCE,)
"""It has a place of its own."""
WITHHELD = "distance withheld"
LINK = "link"
ADDRESS = re.compile(r"^\S+:\d+: ")
"""Of the sender, before the reason why it is lost; it is nobody's business."""
LEFT = "disconnected"
WORDS = {
    kinds.STARTED: "recording began",
    kinds.MODEL: "model chosen",
    kinds.READY: "model ready",
    kinds.VOLUME: "volume chosen",
    kinds.TAKEN_OVER: "segmentation taken over",
    kinds.RESULT: "segmented",
    kinds.ENDED: "recording ended",
}
PURPOSES = {Purpose.GROWN.value: "segmented in a larger crop", Purpose.REFINED.value: "refined"}
TROUBLE, BY_HAND, PLAIN = "trouble", "by hand", "plain"
KINDS = {
    kinds.LINK_LOST: TROUBLE,
    kinds.IN_DOUBT: TROUBLE,
    kinds.FAILED: TROUBLE,
    kinds.LESS_RECORDED: TROUBLE,
    kinds.CORRECTED: BY_HAND,
    kinds.UNDONE: BY_HAND,
    kinds.REDONE: BY_HAND,
}
NumberOf = Callable[[Mapping[str, Any]], int]
"""The number of a volume in the report."""


def moment_of(event: SessionEvent) -> dict[str, float]:
    """Return the time of an event as the document of the report holds it."""
    return {"time_s": event.time_s, "elapsed_s": event.elapsed_s}


def rows_of(events: Iterable[SessionEvent], number_of: NumberOf) -> list[dict[str, Any]]:
    """Return the rows in the order in which they began.

    Returns:
        Of each: moment; kind: "trouble", "by hand" or "plain"; what; of: lesion or instrument; detail; count;
        spans_s: [from, to] since the start of each; lasts: whether a span is more than a moment; is_open: it still
        lasted at the end.
    """
    table = _Table()
    last_s = 0.0
    for event in events:
        last_s = max(last_s, event.elapsed_s)
        if event.event not in LEFT_OUT:
            _enter(table, event, number_of)
    table.close(last_s)
    return table.rows


Key = tuple[object, ...]


class _Table:
    """The rows of the table, with those that have not ended."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self._latest: dict[Key, tuple[dict[str, Any], float]] = {}
        self._open: dict[str, tuple[dict[str, Any], Key]] = {}

    def add(self, event: SessionEvent, what: str, of: str, detail: str, kind: str | None = None) -> Key:
        """Add an event; return the key of its row, which may be an earlier one."""
        key = (what, of, _kind_of(event, detail))
        row, at_s = self._latest.get(key, (None, 0.0))
        if row is None or event.elapsed_s - at_s > MERGED_S:
            row = {"moment": moment_of(event), "kind": kind or KINDS.get(event.event, PLAIN), "what": what, "of": of}
            row.update(count=0, spans_s=[], lasts=False, is_open=False)
            self.rows.append(row)
        row.update(count=row["count"] + 1, detail=detail)
        row["spans_s"].append([event.elapsed_s, event.elapsed_s])
        self._latest[key] = (row, event.elapsed_s)
        return key

    def begin(self, name: str, event: SessionEvent, *texts: str) -> None:
        self.end(name, event)
        key = self.add(event, *texts)
        row = self._latest[key][0]
        row.update(lasts=True, is_open=True)
        self._open[name] = (row, key)

    def end(self, name: str, event: SessionEvent) -> bool:
        """End a row that lasts; return whether there was one."""
        if name not in self._open:
            return False
        row, key = self._open.pop(name)
        row["is_open"], row["spans_s"][-1][1] = False, event.elapsed_s
        self._latest[key] = (row, event.elapsed_s)
        return True

    def close(self, last_s: float) -> None:
        for row, _key in self._open.values():
            row["spans_s"][-1][1] = last_s


def _enter(table: _Table, event: SessionEvent, number_of: NumberOf) -> None:
    about, kind = event.about, event.event
    if kind == kinds.LINK_LOST:
        why = str(about.get("why") or "")
        table.begin(LINK, event, *(("link left", "", "") if why == LEFT else (kind, "", ADDRESS.sub("", why))))
    elif kind == kinds.CONNECTED:
        if not table.end(LINK, event):
            table.add(event, "link connected", "", "")
    elif kind == kinds.IN_DOUBT:
        name = str(about.get("name"))
        table.begin(name, event, kind, name, _reason_of(about, name))
    elif kind == kinds.TRUSTED_AGAIN:
        table.end(str(about.get("name")), event)
    elif kind == kinds.TIP:
        _enter_withheld(table, event)
    elif kind == kinds.FAILED and about.get("reason") == CANCELLED:
        table.add(event, CANCELLED, str(about.get("lesion") or ""), "", PLAIN)
    else:
        what = WORDS.get(kind, kind)
        if kind == kinds.RESULT:
            what = PURPOSES.get(str(about.get("purpose")), what)
        table.add(event, what, str(about.get("lesion") or ""), _detail(event, number_of))


def _enter_withheld(table: _Table, event: SessionEvent) -> None:
    """Add a row for the time without a distance because of a segmentation; unreliable instruments have their own."""
    reasons = _withheld_lesions(event.about)
    if not reasons:
        table.end(WITHHELD, event)
        return
    of = ", ".join(str(reason["lesion"]) for reason in reasons)
    table.begin(WITHHELD, event, WITHHELD, of, "; ".join(str(reason.get("reason")) for reason in reasons), TROUBLE)


def _withheld_lesions(about: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    reasons = about.get("withheld")
    listed = reasons if isinstance(reasons, list) else []
    return [reason for reason in listed if isinstance(reason, dict) and reason.get("lesion")]


def _kind_of(event: SessionEvent, detail: str) -> str:
    """Return what tells an event from others of the same name, so that it has a row of its own.

    Of a reason it is the code, which stays while its numbers change (early recordings have none); of a point its
    number.
    """
    if event.event in kinds.POINTS:
        return str(event.about.get("number"))
    if event.event == kinds.TIP:
        return ",".join(str(reason.get("code")) for reason in _withheld_lesions(event.about))
    code = event.about.get("code")
    if isinstance(code, str):
        return code
    return reason_kind(detail) if event.event in (kinds.IN_DOUBT, kinds.FAILED, kinds.NOTE) else ""


def _reason_of(about: Mapping[str, Any], name: str) -> str:
    """Return why something is unreliable; in early recordings the sentence began with its name."""
    reason = str(about.get("reason"))
    return reason if "code" in about else reason.removeprefix(f"{name}: ")


def _detail(event: SessionEvent, number_of: NumberOf) -> str:
    about, kind = event.about, event.event
    volume = f"volume {number_of(about['volume'])}" if is_volume(about.get("volume")) else ""
    if kind in (kinds.RESULT, *kinds.SEGMENTATIONS):
        size = "" if about.get("volume_ml") is None else f"{about['volume_ml']:.1f} ml"
        seconds = f"in {seconds_of(about):.1f} s" if about.get("timings_s") else ""
        points = f"with {counted(about)}" if about.get("points") else ""
        return ", ".join(filter(None, (" ".join(filter(None, (size, seconds))), points, volume)))
    if kind in kinds.SEEDS:
        return "R A S " + " ".join(f"{x:.1f}" for x in about.get("seed_ras_mm") or ()) + " mm"
    if kind in kinds.POINTS:
        point = about["point"]
        return f"{point['kind']}, R A S " + " ".join(f"{x:.1f}" for x in point["ras_mm"]) + f" mm; {counted(about)}"
    if kind == kinds.MODEL:
        return f"{about.get('name')} {about.get('version')} {str(about.get('sha256'))[:8]}"
    if kind == kinds.READY:
        return f"on {about.get('device')} after {about.get('cold_start_s') or 0:.1f} s"
    if kind == kinds.SOURCE:
        return "simulated data" if about.get("simulated") else "no simulated data"
    if kind == kinds.NOTE:  # a sender may have called its device by the name of a patient
        text, device = str(about.get("text", "")), str(about.get("device") or "")
        return text.replace(device, "the device") if device else text
    texts = (about.get(name) for name in ("what", "why", "reason"))
    return ": ".join(str(text) for text in texts if text) or volume


def counted(about: Mapping[str, Any]) -> str:
    """Return how many correction points there are in an event, by their kinds, in words."""
    points = about.get("points") or []
    counts = [(sum(point["kind"] == kind.value for point in points), kind.value) for kind in PointKind]
    return " and ".join(f"{count} {kind}" for count, kind in counts if count) or "no points"


def seconds_of(result: Mapping[str, Any]) -> float:
    """Return the seconds that computing a result took, from its event."""
    return sum(result["timings_s"].get(step) or 0.0 for step in COMPUTING_S)
