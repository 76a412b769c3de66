"""Checks of the entries of a JSON object against a table of names and kinds, with a message for the first problem."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .errors import CrlmError, JsonError
from .json_files import shown
from .text import printable, quoted

MAX_NAME = 200
"""Characters of a name that is shown, such as a lesion's."""
MAX_FILE_NAME = 1000
MAX_TIME_S = 2.0**32
"""Seconds since 1970 as OpenIGTLink carries them; more is another unit, or no time."""
MAX_COORDINATE_MM = 1e7
MAX_LABEL = 2**31 - 1
MAX_VOXELS = 2**31
SHOWN_NAMES = 12


class FieldKind(NamedTuple):
    """A kind of JSON value: its description, and a test for it.

    Attributes:
        optional: it may be missing.
        rough: a wider kind; a value that is not even of this one is described by its words.
    """

    expected: str
    holds: Callable[[Any], bool]
    optional: bool = False
    rough: FieldKind | None = None

    def or_absent(self) -> FieldKind:
        return self._replace(optional=True)

    def or_null(self) -> FieldKind:
        """Return the kind that accepts null as well, and may be missing unless it is `required`."""
        rough = self.rough and self.rough.or_null()
        return FieldKind(f"{self.expected} or null", lambda value: value is None or self.holds(value), True, rough)

    def required(self) -> FieldKind:
        return self._replace(optional=False)

    def expected_instead_of(self, value: Any) -> str:
        """Return the description to show for a value that is not of this kind."""
        return self.expected if self.rough is None or self.rough.holds(value) else self.rough.expected


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def is_name(value: Any) -> bool:
    return is_text(value) and len(value) <= MAX_NAME and value.isprintable()


def is_file_name(value: Any) -> bool:
    """Return whether a value is a relative file name, valid on every system, that does not lead out of its folder."""
    if not is_text(value) or len(value) > MAX_FILE_NAME or not value.isprintable() or "\\" in value or ":" in value:
        return False
    parts = value.split("/")
    return not {"", ".", ".."} & set(parts) and all(len(part.encode()) <= 255 for part in parts)


def is_list_of(holds: Callable[[Any], bool], count: int | None = None) -> Callable[[Any], bool]:
    """Return a test for lists, of a certain length where that is given."""
    return lambda value: isinstance(value, list) and (count is None or len(value) == count) and all(map(holds, value))


def is_object_of(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(holds, value.values()))


def in_range(low: float, high: float, holds: Callable[[Any], bool] = is_number) -> Callable[[Any], bool]:
    return lambda value: holds(value) and low <= value <= high


def is_object_with(kinds: Mapping[str, FieldKind]) -> Callable[[Any], bool]:
    """Return a test for objects whose entries are of the given kinds; other entries are allowed."""
    return lambda value: isinstance(value, dict) and first_problem(value, kinds) is None


TEXT = FieldKind("a text", is_text)
ANY_TEXT = FieldKind("a text, which may be empty", lambda value: isinstance(value, str))
NAME = FieldKind(f"a text of up to {MAX_NAME} printable characters", is_name, rough=TEXT)
DEVICE = FieldKind("a device name of ASCII characters", lambda value: is_name(value) and value.isascii())
STATUS = FieldKind("a status of ASCII characters, such as OK", lambda value: is_name(value) and value.isascii())
FILE = FieldKind("the name of a file in this folder, with / between folders", is_file_name, rough=TEXT)
BOOLEAN = FieldKind("true or false", lambda value: isinstance(value, bool))
NUMBER = FieldKind("a finite number", is_number)
COUNT = FieldKind("an integer from 0 on", in_range(0, 2**62, is_integer))
INTEGER = FieldKind("an integer", is_integer)
LABEL = FieldKind(f"an integer from 1 to {MAX_LABEL}", in_range(1, MAX_LABEL, is_integer), rough=INTEGER)
POSITIVE = FieldKind("a number above 0", lambda value: is_number(value) and value > 0)
NOT_NEGATIVE = FieldKind("a number from 0 on", in_range(0, math.inf))
TIME = FieldKind(f"seconds from 0 to {MAX_TIME_S:.0f}", in_range(0, MAX_TIME_S))
SHARE = FieldKind("a number from 0 to 1", in_range(0, 1))
POINT = FieldKind("three finite numbers R, A, S in mm", is_list_of(in_range(-MAX_COORDINATE_MM, MAX_COORDINATE_MM), 3))
MATRIX = FieldKind("16 finite numbers", is_list_of(is_number, 16))
INTEGERS_3 = FieldKind("three integers", is_list_of(is_integer, 3))
SHAPE = FieldKind(f"three integers above 0, for {MAX_VOXELS:.1e} voxels at most", lambda value: _is_shape(value))
OBJECT = FieldKind("an object", lambda value: isinstance(value, dict))
LIST = FieldKind("a list", lambda value: isinstance(value, list))
TEXTS = FieldKind("a list of texts", is_list_of(lambda value: isinstance(value, str)))
NAMES = FieldKind("a list of names", is_list_of(is_name))
FILES = FieldKind("a list of names of files in this folder", is_list_of(is_file_name))
DEVICES = FieldKind("an object of device names of ASCII characters", is_object_of(DEVICE.holds))
HASH = FieldKind("a SHA-256 of 64 hexadecimal digits", lambda value: is_text(value) and _is_hash(value))
HASHES = FieldKind("an object of file names and hashes", is_object_of(is_text))


def first_problem(entry: Mapping[str, Any], kinds: Mapping[str, FieldKind], where: str = "") -> str | None:
    """Return a sentence about the first entry of an object that is missing or not of its kind; None when all are right.

    Args:
        kinds: of the known entries; others are ignored.
        where: is put before the name of the entry, such as "volumes[0].".
    """
    for name, kind in kinds.items():
        if name not in entry:
            if kind.optional:
                continue
            return f"{where}{name} is missing, expected {kind.expected}"
        if not kind.holds(entry[name]):
            return f"{where}{name} must be {kind.expected_instead_of(entry[name])}, got {shown(entry[name])}"
    return None


def check_object(
    value: Any,
    kinds: Mapping[str, FieldKind],
    where: str = "",
    error: type[CrlmError] = JsonError,
    only_these: bool = False,
) -> None:
    """Raise an error unless a value is an object whose entries are of their kinds.

    Args:
        where: of the object, as `file: volumes[0]`; empty for the outermost one of a line.
        only_these: refuse entries that are not in `kinds` as well.

    Raises:
        CrlmError: of the given class; which entry, what was expected, what came.
    """
    if not isinstance(value, dict):
        raise error(f"{where or 'it'} must be an object, got {shown(value)}")
    unknown = [name for name in value if name not in kinds] if only_these else []
    if unknown:
        raise error(f"{where} holds the unknown entry {quoted(unknown[0], marks='')}, expected {', '.join(kinds)}")
    before = f"{where}." if where and not where.endswith(": ") else where
    problem = first_problem(value, kinds, before)
    if problem is not None:
        raise error(problem)


def listed(names: Mapping[str, Any] | list[str] | tuple[str, ...]) -> str:
    """Return names separated by commas, of a long list the first ones and the number of the others."""
    names = list(names)
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(printable(str(name), 60) for name in names[:SHOWN_NAMES]) + more


def _is_shape(value: Any) -> bool:
    return is_list_of(in_range(1, MAX_VOXELS, is_integer), 3)(value) and math.prod(value) <= MAX_VOXELS


def _is_hash(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdefABCDEF")
