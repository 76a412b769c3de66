"""The filters of all HTML pages: how numbers, metrics, dates and positions are written there."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, TypeVar

from .metric_names import METRIC_NAMES, MISSING

MAX_ROWS = 14
"""Of a long table: the first row, and the last ones. The JSON file beside the page has all."""
PERCENT_METRICS = ("rvd", "rvd_absolute")
Row = TypeVar("Row")


def is_missing(value: float | None) -> bool:
    """Return whether there is no number to show: None, NaN or infinite."""
    return value is None or not math.isfinite(value)


def number(value: float | None, digits: int = 1) -> str:
    """Write a number with this many decimal places."""
    return MISSING if value is None or is_missing(value) else f"{value:.{digits}f}"


def pattern(value: float | None, text: str) -> str:
    """Write a number by a format string such as "{:.2f}"."""
    return MISSING if value is None else text.format(value)


def metric(value: float | None, key: str) -> str:
    """Write the value of a metric of `METRIC_NAMES` without its unit."""
    return METRIC_NAMES[key].number(value)


def metric_span(values: Sequence[float] | None, key: str) -> str:
    """Write the two ends of an interval of a metric without its unit."""
    return MISSING if values is None else " to ".join(metric(value, key) for value in values)


def metric_difference(value: float | None, key: str) -> str:
    """Write a difference of a metric in its unit; of one that is shown in percent, in percentage points."""
    if value is None:
        return MISSING
    if key in PERCENT_METRICS:
        return f"{signed(100 * value, 1)} points"
    unit = METRIC_NAMES[key].unit
    return f"{signed(value, 1 if unit == 'mm' else 3)} {unit}".strip()


def signed(value: float | None, digits: int = 2) -> str:
    """Write a number with its sign; the minus is as wide as the plus."""
    return MISSING if value is None else f"{value:+.{digits}f}".replace("-", "−")


def change(share: float | None) -> str:
    """Write a relative change in percent with its sign."""
    return MISSING if share is None or is_missing(share) else f"{100 * share:+.0f} %"


def percent(share: float | None) -> str:
    """Write a share in percent."""
    return MISSING if share is None else f"{100 * share:.0f} %"


def percents(shares: Sequence[float] | None) -> str:
    """Write the two ends of an interval of shares in percent."""
    return MISSING if shares is None else f"{100 * shares[0]:.0f} to {100 * shares[1]:.0f} %"


def p_value(p: float | None) -> str:
    """Write a p value with two significant digits."""
    return MISSING if p is None else "< 0.0001" if p < 1e-4 else f"{p:.2g}" if p < 0.995 else "1"


def ratio(value: float) -> str:
    """Write a ratio of two volumes."""
    return "< 0.01" if value < 0.01 else f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def sizes(diameters_mm: Sequence[float] | None) -> str:
    """Write the three diameters of a lesion, in whole mm, without the unit."""
    return " × ".join(f"{d:.0f}" for d in diameters_mm) if diameters_mm and any(diameters_mm) else MISSING


def point(point_mm: Sequence[float] | None) -> str:
    """Write the three coordinates of a position in mm, without the unit."""
    return MISSING if point_mm is None else "  ".join(f"{x:.1f}" for x in point_mm)


def bounds(bounds_mm: Sequence[float | None] | None) -> str:
    """Write the ends of a distance interval as in the views, "(9–16)"; nothing where they are not known."""
    known = [value for value in bounds_mm or () if value is not None and math.isfinite(value)]
    if len(known) != 2:
        return ""
    low_mm, high_mm = map(round, known)
    return f"({low_mm}{' to ' if low_mm < 0 else '–'}{high_mm})"


def width(margin_mm: float) -> str:
    """Write the width of a margin."""
    return f"{margin_mm:g} mm"


def widths(margins_mm: Sequence[float]) -> str:
    """Write the widths of several margins."""
    return " and ".join(map(width, margins_mm)) or "none"


def date(created: str) -> str:
    """Write an ISO 8601 time as day, month, year and minute; a text that is no time stays as it is."""
    try:
        return datetime.fromisoformat(created).strftime("%d %B %Y, %H:%M").lstrip("0")
    except ValueError:
        return created or MISSING


def moment(timestamp_s: float) -> str:
    """Write seconds since 1970 as date and time in UTC."""
    return datetime.fromtimestamp(timestamp_s, timezone.utc).strftime("%d %B %Y, %H:%M:%S UTC")


def clock(event: Mapping[str, Any]) -> str:
    """Write the time of day of an event of a session."""
    return datetime.fromisoformat(event["time"]).strftime("%H:%M:%S")


def elapsed(seconds: float) -> str:
    """Write the time since the start as "2:05" or "1:02:05"."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def lasting(row: Mapping[str, Any]) -> str:
    """Write how long the state in a row of the table of events has lasted in all."""
    if not row["lasts"]:
        return ""
    seconds = sum(stop - start for start, stop in row["spans_s"])
    text = f"{seconds:.1f} s" if seconds < 60 else f"{elapsed(seconds)} min"
    return f"{text}, until the end" if row["is_open"] else text


def shortened(rows: Sequence[Row]) -> list[Row | None]:
    """Return the first and the last rows of a long table, with None where some are left out."""
    if len(rows) <= MAX_ROWS:
        return list(rows)
    return [rows[0], None, *rows[-(MAX_ROWS - 2) :]]


def words(key: str) -> str:
    """Write the key of a JSON object as words."""
    return sentence(str(key).replace("_", " "))


def sentence(text: str) -> str:
    """Begin a text with a capital letter."""
    return text[:1].upper() + text[1:]


def flat(values: Sequence[Any]) -> bool:
    """Return whether a list holds numbers only."""
    return all(isinstance(v, (int, float)) for v in values)


def plain(entries: Mapping[str, Any]) -> bool:
    """Return whether an object holds no other object and no list of texts or objects."""
    return all(not isinstance(v, Mapping) and (not isinstance(v, (list, tuple)) or flat(v)) for v in entries.values())


FILTERS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        number, pattern, metric, metric_span, metric_difference, signed, change, percent, percents, p_value,
        ratio, sizes, point, bounds, width, widths, date, moment, clock, elapsed, lasting, shortened, words, sentence,
        flat, plain,
    )
}  # fmt: skip
"""By the names that the templates use."""
