"""The entries that `case.json` may have, and their check when a case is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.errors import CaseError
from ..core.json_fields import (
    DEVICE,
    DEVICES,
    FILE,
    FILES,
    HASHES,
    LABEL,
    LIST,
    NAME,
    OBJECT,
    POINT,
    TIME,
    check_object,
    first_problem,
    listed,
)

CASE = {
    "case_id": NAME,
    "volumes": LIST,
    "lesions": LIST.or_absent(),
    "truth": FILE.or_null(),
    "tracking": FILE.or_null(),
    "recording": FILE.or_null(),
    "arrivals": FILE.or_null(),
    "frame": NAME.or_absent(),
    "devices": DEVICES.or_absent(),
    "source": OBJECT.or_absent(),
    "files": HASHES.or_absent(),
    "events": FILE.or_null(),
    "results": FILES.or_absent(),
}
VOLUME = {"file": FILE, "device": DEVICE, "timestamp_s": TIME, "swept": FILE.or_null()}
LESION = {"name": NAME, "seed_ras_mm": POINT, "label": LABEL.or_null(), "about": OBJECT.or_absent()}


def check_entries(entry: Mapping[str, Any], where: str) -> None:
    """Refuse a description of a case in which an entry is missing, unknown or of the wrong kind.

    Args:
        entry: what `case.json` holds.
        where: its path, for the error.

    Raises:
        CaseError: which entry, what was expected, what came.
    """
    problem = first_problem(entry, CASE, f"{where}: ")
    if problem is not None:
        raise CaseError(problem)
    if not entry["volumes"] and not entry.get("recording"):
        raise CaseError(f"{where}: volumes must be a list of at least one volume where there is no recording, got []")
    for number, volume in enumerate(entry["volumes"]):
        check_object(volume, VOLUME, f"{where}: volumes[{number}]", CaseError, only_these=True)
    lesions = entry.get("lesions", [])
    for number, lesion in enumerate(lesions):
        check_object(lesion, LESION, f"{where}: lesions[{number}]", CaseError, only_these=True)
    names = [lesion["name"] for lesion in lesions]
    if len(set(names)) < len(names):
        raise CaseError(f"{where}: lesions must have a name of their own each, got {listed(names)}")
