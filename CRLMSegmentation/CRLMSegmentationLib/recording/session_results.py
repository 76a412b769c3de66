"""The results of a session recording: written as events, and read back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import ndimage

from ..core.errors import CaseError, os_reason
from ..core.geometry import transform_points
from ..core.json_files import Damage
from ..core.postprocessing import measure
from ..core.volume import VolumeIdentity
from ..segmentation.results import LesionResult, Request, request_from_json, request_to_json
from .case import Case
from .session_events import CORRECTED, RESULT, SEGMENTATIONS, SessionEvent, read_events

AS_THEY_ARE = (
    "number",
    "device",
    "volume_ml",
    "timings_s",
    "volume",
    "mask",
)
RESULT_KEYS = (*AS_THEY_ARE, "lesion", "crop_size_mm", "mirroring", "quick", "seed_ras_mm", "flip", "model")
"""Without one of them a result cannot be computed again."""
MAY_BE_NULL = ("crop_size_mm", "mask")
"""A model that is shown whole volumes cuts no crop; nothing was found."""


@dataclass(frozen=True)
class RecordedResult:
    """A recorded result: what it was computed from, and where its volume and mask lie.

    Attributes:
        request: as it was made; the identity of its volume is the recorded one.
        volume, mask: what `RecordedImages` reads both by; no mask where nothing was found.
        corrected: the segmentation that a user has made of it in the end, in the same words; None without.
    """

    number: int
    request: Request
    model_name: str
    model_sha256: str
    device: str
    volume_ml: float
    timings_s: dict[str, float]
    volume: dict[str, Any]
    mask: dict[str, Any] | None
    corrected: Correction | None = None


@dataclass(frozen=True)
class Correction:
    """A segmentation that a user has edited; `volume` is None where it was not recorded."""

    volume: dict[str, Any] | None
    mask: dict[str, Any] | None
    volume_ml: float | None


def measures_of(part: np.ndarray, offset_kji: tuple[int, int, int], ijk_to_ras: np.ndarray) -> dict[str, Any]:
    """Return size and centre of a segmentation as fields of an event; an empty one has no centre.

    Args:
        part: bool, (K, J, I), of the mask.
        offset_kji: of its first voxel in the volume, whose 4x4 is `ijk_to_ras`.
    """
    volume_ml, diameters_mm = measure(part, ijk_to_ras)
    return {"volume_ml": volume_ml, "diameters_mm": diameters_mm, **_centre(part, offset_kji, ijk_to_ras)}


def _centre(part: np.ndarray, offset_kji: tuple[int, int, int], ijk_to_ras: np.ndarray) -> dict[str, Any]:
    if not part.any():
        return {"centre_ras_mm": None}
    kji = np.add(ndimage.center_of_mass(part), offset_kji)
    return {"centre_ras_mm": transform_points(ijk_to_ras, kji[::-1])}


def line_of(result: LesionResult, model_version: str) -> dict[str, Any]:
    """Return the fields of the event of a result, without its number, volume and mask."""
    mask = result.mask
    return {
        **request_to_json(result.request),
        "model": {"name": result.model_name, "version": model_version, "sha256": result.model_sha256},
        "device": result.device,
        "volume_ml": mask.volume_ml,
        "diameters_mm": mask.diameters_mm,
        **_centre(mask.part, mask.offset_kji, mask.ijk_to_ras),
        "confidence": mask.mean_probability,
        "warnings": mask.warnings,
        "timings_s": result.timings_s,
    }


def recorded_results(case: Case, damage: Damage | None = None) -> list[RecordedResult]:
    """Read the results of a case in their order; none where it holds no session recording.

    Args:
        damage: takes note of the lines that were left out, since they hold no event or no whole result.

    Raises:
        CaseError: the file of the events cannot be read.
    """
    if case.events is None:
        return []
    found = Damage() if damage is None else damage
    path = case.path_of(case.events)
    try:
        events = read_events(path, found)
    except OSError as error:
        raise CaseError(f"{path} cannot be read: {os_reason(error)}; copy the case again") from error
    results = []
    for event in events:
        if event.event == RESULT:
            missing = [name for name in RESULT_KEYS if event.about.get(name) is None and name not in MAY_BE_NULL]
            if missing:
                found.add_problem(f"the result {event.about['number']} lacks {', '.join(missing)}")
            else:
                results.append(_result_of(event.about))
    return _with_corrections(results, events)


def _result_of(about: dict[str, Any]) -> RecordedResult:
    return RecordedResult(
        request=request_from_json(about, _identity_of(about["volume"])),
        model_name=about["model"]["name"],
        model_sha256=about["model"]["sha256"],
        **{name: about[name] for name in AS_THEY_ARE},
    )


def _identity_of(reference: dict[str, Any]) -> VolumeIdentity:
    """The identity in a volume's reference; whatever an old or damaged one does not say is empty."""
    names = ("device", "timestamp_s", "geometry_sha256", "content_sha256")
    device, timestamp_s, geometry_sha256, content_sha256 = (reference.get(name) for name in names)
    return VolumeIdentity(device or "", timestamp_s or 0.0, geometry_sha256 or "", content_sha256 or "")


def _with_corrections(results: list[RecordedResult], events: Iterable[SessionEvent]) -> list[RecordedResult]:
    newest: dict[Any, Correction] = {}
    for event in events:
        about = event.about
        if event.event == CORRECTED or (event.event in SEGMENTATIONS and "volume" in about):
            newest[about.get("result")] = Correction(about.get("volume"), about.get("mask"), about.get("volume_ml"))
        elif event.event in SEGMENTATIONS:  # undone, so that the result stands as it was
            newest.pop(about.get("result"), None)
    return [replace(result, corrected=newest.get(result.number)) for result in results]
