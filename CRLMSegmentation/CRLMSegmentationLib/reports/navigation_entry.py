"""The entries `navigation` and `stability` of report.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..core.geometry import transform_points
from ..segmentation.calibration import ModelCalibration
from ..segmentation.consensus import Consensus
from ..segmentation.refinement import Change
from ..tracking.closest_approach import Approach, Approaches
from ..tracking.instruments import Instrument, InstrumentKind
from ..tracking.interval import Interval
from ..tracking.readings import InstrumentState, ReliableReading

_MOMENT = (
    "instrument",
    "kind",
    "distance_mm",
    "low_mm",
    "high_mm",
    "time_s",
    "pose",
    "tip_ras_mm",
    "point_ras_mm",
)


def navigation_entry(approaches: Approaches, lesion: str, margins_mm: Sequence[float]) -> dict[str, Any] | None:
    """Return `navigation` of a lesion, see `schema.NAVIGATION_KEYS`; None where nothing was tracked.

    Args:
        margins_mm: that were shown and warned of.
    """
    nearest = approaches.nearest_of(lesion)
    unreliable_reasons = [
        {
            "instrument": unreliable_reason.instrument,
            "doubt": str(unreliable_reason.reason),
            "code": unreliable_reason.reason.code.value,
            "seconds": round(unreliable_reason.seconds, 2),
        }
        for unreliable_reason in approaches.unreliable_reasons_of(lesion)
    ]
    if nearest is None and not unreliable_reasons:
        return None
    moment = dict.fromkeys(_MOMENT) if nearest is None else _moment(nearest)
    margins = {"margin_mm": approaches.margin_of(lesion), "margins_mm": sorted(map(float, margins_mm))}
    warnings = [str(warning) for warning in approaches.warnings]
    return {**moment, **margins, "doubts": unreliable_reasons, "cautions": warnings}


def _moment(seen: Approach) -> dict[str, Any]:
    state, interval = seen.state, seen.interval
    values = (
        state.instrument.frame,
        state.instrument.kind.value,
        interval.distance_mm,
        interval.low_mm,
        interval.high_mm,
        seen.time_s or None,
        np.asarray(state.matrix).tolist(),
        np.asarray(state.tip_ras_mm).tolist(),
        np.asarray(seen.reading.point_ras_mm).tolist(),
    )
    return dict(zip(_MOMENT, values))


def approach_from(entry: Mapping[str, Any] | None, lesion: str) -> Approach | None:
    """Return the moment of the smallest distance from `navigation` of an entry; None where no distance was valid."""
    if not entry or entry["distance_mm"] is None:
        return None
    pose, tip_ras_mm = np.array(entry["pose"], float), np.array(entry["tip_ras_mm"], float)
    tip_mm = transform_points(np.linalg.inv(pose), tip_ras_mm)
    x, y, z = map(float, tip_mm)
    instrument = Instrument(entry["instrument"], InstrumentKind(entry["kind"]), (x, y, z))
    interval = Interval(*(float(entry[f"{name}_mm"]) for name in ("distance", "low", "high")))
    reading = ReliableReading(lesion, lesion, interval, np.array(entry["point_ras_mm"], float), entry["margin_mm"])
    return Approach(InstrumentState(instrument, pose, tip_ras_mm, None, (reading,)), reading, entry["time_s"] or 0.0)


def stability_entry(
    consensus: Consensus | None,
    change: Change | None = None,
    expected_dice: float | None = None,
    calibration: ModelCalibration | None = None,
) -> dict[str, Any] | None:
    """Return `stability` of a lesion, see `schema.STABILITY_KEYS`; None where it was segmented only once.

    Args:
        calibration: that the expected Dice comes from.
    """
    if consensus is None and change is None:
        return None
    return {
        "runs": None if consensus is None else consensus.runs,
        "agreement": None if consensus is None else consensus.agreement,
        "spread_mm": None if consensus is None else consensus.spread_mm,
        "confidence": expected_dice,
        "calibration": None if expected_dice is None or calibration is None else _measured_on(calibration),
        "change": None if change is None else {"mean_mm": change.mean_mm, "largest_mm": change.largest_mm},
    }


def _measured_on(calibration: ModelCalibration) -> dict[str, Any]:
    return {
        "lesions": calibration.lesions,
        "patients": calibration.patients,
        "simulated": calibration.simulated,
    }
