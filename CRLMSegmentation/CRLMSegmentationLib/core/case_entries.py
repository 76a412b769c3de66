"""What `case.json` may say. Every entry is checked once, so that whoever reads the case can trust it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .errors import CaseError

MAX_SHOWN = 60
"""Characters of a wrong value that an error shows."""


class Kind(NamedTuple):
    """What a value must be, in words and as a test."""

    expected: str
    holds: Callable[[Any], bool]
    optional: bool = False

    def or_absent(self) -> Kind:
        return self._replace(optional=True)

    def or_null(self) -> Kind:
        return Kind(f"{self.expected} or null", lambda value: value is None or self.holds(value), True)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_device(value: Any) -> bool:
    return _is_text(value) and value.isascii()


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(_is_number, value))


def _is_dict_of(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(holds, value.values()))


TEXT = Kind("a text", _is_text)
DEVICE = Kind("a device name of ASCII characters", _is_device)
TIME = Kind("seconds from 0 on", lambda value: _is_number(value) and value >= 0)
POINT = Kind("three finite numbers R, A, S", _is_point)
INTEGER = Kind("an integer", lambda value: isinstance(value, int) and not isinstance(value, bool))
OBJECT = Kind("an object", lambda value: isinstance(value, dict))
LIST = Kind("a list", lambda value: isinstance(value, list))
DEVICES = Kind("an object of device names of ASCII characters", _is_dict_of(_is_device))
TEXTS = Kind("a list of texts", lambda value: isinstance(value, list) and all(map(_is_text, value)))
HASHES = Kind("an object of file names and hashes", _is_dict_of(_is_text))

CASE = {
    "case_id": TEXT,
    "volumes": LIST,
    "lesions": LIST.or_absent(),
    "truth": TEXT.or_null(),
    "tracking": TEXT.or_null(),
    "recording": TEXT.or_null(),
    "arrivals": TEXT.or_null(),
    "frame": TEXT.or_absent(),
    "devices": DEVICES.or_absent(),
    "source": OBJECT.or_absent(),
    "files": HASHES.or_absent(),
    "events": TEXT.or_null(),
    "results": TEXTS.or_absent(),
}
VOLUME = {"file": TEXT, "device": DEVICE, "timestamp_s": TIME, "swept": TEXT.or_null()}
LESION = {"name": TEXT, "seed_ras_mm": POINT, "label": INTEGER.or_null(), "about": OBJECT.or_absent()}


def check_entries(entry: Mapping[str, Any], where: str) -> None:
    """Refuse a description of a case in which an entry is missing, unknown or of the wrong kind.

    Args:
        entry: what `case.json` holds.
        where: its path, for the error.

    Raises:
        CaseError: which entry, what was expected, what came.
    """
    _check(entry, CASE, f"{where}: ")
    if not entry["volumes"] and not entry.get("recording"):
        raise CaseError(f"{where}: volumes must be a list of at least one volume where there is no recording, got []")
    for number, volume in enumerate(entry["volumes"]):
        _check_object(volume, VOLUME, f"{where}: volumes[{number}]")
    lesions = entry.get("lesions", [])
    for number, lesion in enumerate(lesions):
        _check_object(lesion, LESION, f"{where}: lesions[{number}]")
    names = [lesion["name"] for lesion in lesions]
    if len(set(names)) < len(names):
        raise CaseError(f"{where}: lesions must have a name of their own each, got {_shown(names)}")


def _check_object(value: Any, kinds: Mapping[str, Kind], where: str) -> None:
    if not OBJECT.holds(value):
        raise CaseError(f"{where} must be {OBJECT.expected}, got {_shown(value)}")
    unknown = sorted(set(value) - set(kinds))
    if unknown:
        raise CaseError(f"{where} holds the unknown entry {unknown[0]}, expected {', '.join(kinds)}")
    _check(value, kinds, f"{where}.")


def _check(entry: Mapping[str, Any], kinds: Mapping[str, Kind], where: str) -> None:
    for name, kind in kinds.items():
        if name not in entry and not kind.optional:
            raise CaseError(f"{where}{name} is missing, expected {kind.expected}")
        if name in entry and not kind.holds(entry[name]):
            raise CaseError(f"{where}{name} must be {kind.expected}, got {_shown(entry[name])}")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + " ..."
