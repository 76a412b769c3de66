"""Safe reading of JSON that may be damaged, foreign or hostile; no other module calls `json.loads`.

Size, nesting, number of values and lengths are bounded before or while the text is parsed; what remains is checked for
what JSON allows but no reader can use: numbers that are not finite, NUL, half of a surrogate pair, a repeated key.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from .errors import CrlmError, JsonError, os_reason
from .text import printable, quoted

MAX_INTEGER_DIGITS = 18
"""So that every integer fits into 64 bits."""
UNUSABLE = re.compile("[\0\ud800-\udfff]")
UNUSUAL = ("NaN", "Infinity", "\\u")
UNUSUAL_NUMBER = re.compile(r"[0-9](?:[0-9]{18}|[eE]\+?[0-9]{3})")
"""What a text must hold for `check_values` to find anything but long texts: most lines are spared the time."""
TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)
"""A string, be it without an end, or a bracket. Each character is looked at once."""
OTHER_ENCODINGS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
COPY_AGAIN = "copy it again from its source"


@dataclass(frozen=True)
class JsonLimits:
    """Upper limits for what is read.

    Attributes:
        size_bytes: of a file, or of a line.
        depth: of lists and objects in each other.
        values: counted by commas and opening brackets, those in texts included.
        text_characters: of a text or a key.
    """

    size_bytes: int = 64 << 20
    depth: int = 64
    values: int = 5_000_000
    text_characters: int = 100_000


FILE_LIMITS = JsonLimits()
LINE_LIMITS = JsonLimits(size_bytes=1 << 20, depth=32, values=100_000)


def parse_json(data: bytes | str, limits: JsonLimits = FILE_LIMITS, finite: bool = True) -> Any:
    """Return the value of a JSON text.

    Args:
        data: text, or bytes in UTF-8 with or without a byte order mark.
        finite: refuse NaN and infinite numbers.

    Raises:
        JsonError: says where (as volumes[0].file), what was expected and what came.
    """
    if len(data) > limits.size_bytes:
        raise JsonError(f"it holds more than {limits.size_bytes:,} bytes, the limit for such data")
    text = _decoded(data) if isinstance(data, bytes) else data.removeprefix("\ufeff")
    _check_structure(text, limits)
    is_plain = len(text) <= limits.text_characters and not _is_unusual(text)
    try:
        value = (PLAIN if is_plain else CAREFUL).decode(text)
    except json.JSONDecodeError as error:
        raise JsonError(f"it is not valid JSON: {error}") from error
    if not is_plain:
        check_values(value, limits, finite)
    return value


def read_json(
    path: Path,
    error: type[CrlmError] = CrlmError,
    advice: str = COPY_AGAIN,
    limits: JsonLimits = FILE_LIMITS,
    finite: bool = True,
) -> Any:
    """Return the content of a JSON file.

    Args:
        error: what is raised.
        advice: what the user can do about a file that cannot be read; it ends the message.
        finite: see `parse_json`; whoever sets it to False calls `check_values`.

    Raises:
        CrlmError: of the given class. The file cannot be read, is no JSON in UTF-8, or breaks a limit.
    """
    try:
        with open_regular(path) as stream:
            return parse_json(stream.read(limits.size_bytes + 1), limits, finite)
    except OSError as problem:
        raise error(f"{path} cannot be read: {os_reason(problem)}; {advice}") from problem
    except JsonError as problem:
        raise error(f"{path} cannot be read: {problem}; {advice}") from problem


def read_json_object(
    path: Path,
    error: type[CrlmError] = CrlmError,
    advice: str = COPY_AGAIN,
    limits: JsonLimits = FILE_LIMITS,
    finite: bool = True,
) -> dict[str, Any]:
    """Return the content of a JSON file that must be an object; see `read_json`."""
    value = read_json(path, error, advice, limits, finite)
    if not isinstance(value, dict):
        raise error(f"{path} cannot be read: expected an object {{...}}, got {shown(value)}; {advice}")
    return value


class JsonLine(NamedTuple):
    """A line of a `.jsonl` file.

    Attributes:
        number: from 1.
        value: None where it cannot be read.
        problem: why not, else empty.
        is_cut_off: it is the last one and has no end, as a program leaves it that is killed while it writes.
    """

    number: int
    value: Any
    problem: str = ""
    is_cut_off: bool = False


def json_lines(stream: BinaryIO, limits: JsonLimits = LINE_LIMITS) -> Iterator[JsonLine]:
    """Read a `.jsonl` file line by line; a line that cannot be read is returned with its problem, an empty one skipped.

    Args:
        stream: opened for bytes.

    Raises:
        OSError: the file cannot be read.
    """
    number = 0
    while line := stream.readline(limits.size_bytes + 1):
        number += 1
        is_ended = line.endswith(b"\n")
        if not is_ended and len(line) > limits.size_bytes:
            is_ended = _pass_over_line(stream)
            yield JsonLine(number, None, f"it is longer than {limits.size_bytes:,} bytes", not is_ended)
        elif line.strip(codecs.BOM_UTF8 + b" \t\r\n"):
            yield _parsed_line(number, line, is_ended, limits)


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading bytes; refuse a pipe or a device, which may never end.

    Raises:
        OSError: it is none, or cannot be opened.
    """
    if path.exists() and not path.is_file():
        what = "it is a folder" if path.is_dir() else "it is a pipe or a device"
        raise OSError(None, f"{what}, no file", str(path))
    return path.open("rb")


class Damage:
    """The lines of a file that were skipped, counted by reason.

    Attributes:
        first: number and reason of the first one, empty where there is none.
        is_cut_off: the last line had no end.
    """

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self.first = ""
        self.is_cut_off = False

    @property
    def count(self) -> int:
        """Number of skipped lines, without the one that is cut off."""
        return sum(self.reasons.values())

    @property
    def is_any(self) -> bool:
        return bool(self.count or self.is_cut_off)

    def add(self, line: JsonLine, problem: str = "") -> None:
        """Count a skipped line, for its own problem or another one."""
        if line.is_cut_off:
            self.is_cut_off = True
            return
        self.add_problem(problem or line.problem, f"line {line.number}: ")

    def add_problem(self, problem: str, where: str = "") -> None:
        """Count a skipped line whose number is not known any more."""
        self.reasons[problem] += 1
        self.first = self.first or f"{where}{problem}"

    def merge(self, other: Damage) -> None:
        """Add the counts of another file."""
        self.reasons.update(other.reasons)
        self.first = self.first or other.first
        self.is_cut_off = self.is_cut_off or other.is_cut_off

    def sentence(self, name: str) -> str:
        """Return a sentence such as "2 lines of x.jsonl cannot be used ..."; empty when no line was skipped."""
        parts = []
        if self.count:
            lines = "1 line" if self.count == 1 else f"{self.count} lines"
            parts.append(f"{lines} of {name} cannot be used and {'is' if self.count == 1 else 'are'} left out")
            parts.append(f"the first is {self.first}")
        if self.is_cut_off:
            parts.append(f"the last line of {name} is cut off and is left out")
        return "; ".join(parts)


def shown(value: Any, characters: int = 60) -> str:
    """Return a value as an error message shows it: JSON in one line, cut to a length."""
    try:
        text = json.dumps(_beginning_of(value, characters), ensure_ascii=False, default=repr)
    except (TypeError, ValueError, RecursionError):
        text = type(value).__name__
    return printable(text, characters)


def _parsed_line(number: int, line: bytes, is_ended: bool, limits: JsonLimits) -> JsonLine:
    try:
        value = parse_json(line, limits)
    except JsonError as error:
        return JsonLine(number, None, str(error), not is_ended)
    return JsonLine(number, value)


def _pass_over_line(stream: BinaryIO) -> bool:
    """Read on to the end of a line, and return whether the line ends before the file does."""
    while part := stream.readline(1 << 20):
        if part.endswith(b"\n"):
            return True
    return False


def _decoded(data: bytes) -> str:
    if data[:1] in (b"\xff", b"\xfe", b"\0"):
        name = next((name for mark, name in OTHER_ENCODINGS.items() if data.startswith(mark)), None)
        raise JsonError(f"it is {f'text in {name}' if name else 'no text'}, expected UTF-8; save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = data[error.start : error.start + 1].hex()
        raise JsonError(f"its text is not UTF-8: byte 0x{byte} at {error.start}; save it as UTF-8") from error


def _check_structure(text: str, limits: JsonLimits) -> None:
    """Check the number of values and the depth of nesting, before the parser allocates objects or recurses."""
    brackets = text.count("[") + text.count("{")
    if brackets + text.count(",") > limits.values:
        raise JsonError(f"it holds more than {limits.values:,} values")
    if brackets <= limits.depth:
        return
    depth = 0
    for token in TOKEN.finditer(text):
        first = text[token.start()]
        if first in "[{":
            depth += 1
            if depth > limits.depth:
                raise JsonError(f"lists and objects lie in each other more than {limits.depth} deep")
        elif first != '"':
            depth -= 1


def _is_unusual(text: str) -> bool:
    return any(mark in text for mark in UNUSUAL) or UNUSUAL_NUMBER.search(text) is not None


class _LongInteger(float):
    """Placeholder for an integer that is too long, until `check_values` reports where it stands."""

    digits = 0


def _integer(text: str) -> int | float:
    digits = len(text.lstrip("-"))
    if digits <= MAX_INTEGER_DIGITS:
        return int(text)
    found = _LongInteger("inf")
    found.digits = digits
    return found


def _object(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    pairs = list(pairs)
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise JsonError(f"the key {quoted(twice)} is given twice in one object; remove one of them")
    return found


PLAIN = json.JSONDecoder(object_pairs_hook=_object)
CAREFUL = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer)


def check_values(value: Any, limits: JsonLimits = FILE_LIMITS, finite: bool = True) -> None:
    """Raise an error for values that JSON allows but no reader can use.

    Raises:
        JsonError: where the first one stands, what was expected and what came.
    """
    waiting: list[tuple[Any, tuple]] = [(value, ())]
    while waiting:
        found, place = waiting.pop()
        if isinstance(found, str):
            _check_text(found, place, limits)
        elif isinstance(found, _LongInteger) and finite:
            expected = f"a number of up to {MAX_INTEGER_DIGITS} digits"
            raise JsonError(f"{_name_of(place)} must be {expected}, got {found.digits} digits")
        elif isinstance(found, float):
            if finite and not math.isfinite(found):
                raise JsonError(f"{_name_of(place)} must be a finite number, got {shown(found)}")
        elif isinstance(found, dict):
            for key, inner in found.items():
                _check_text(key, (place, key), limits)
                waiting.append((inner, (place, key)))
        elif isinstance(found, list):
            waiting.extend((inner, (place, number)) for number, inner in enumerate(found))


def _check_text(text: str, place: tuple, limits: JsonLimits) -> None:
    if len(text) > limits.text_characters:
        raise JsonError(
            f"{_name_of(place)} must be a text of up to {limits.text_characters:,} characters, got {len(text):,}"
        )
    bad = UNUSABLE.search(text)
    if bad:
        what = "NUL" if bad.group() == "\0" else "half of a surrogate pair"
        raise JsonError(f"{_name_of(place)} holds the character {what}, which no text here has: {quoted(text)}")


def _name_of(place: tuple) -> str:
    """Return a place as `volumes[0].file`; a place is a pair of the enclosing place and a key or number."""
    parts: list[str] = []
    while place:
        place, key = place
        parts.append(f"[{key}]" if isinstance(key, int) else f".{quoted(key, 40, marks='')}")
    return "".join(reversed(parts)).removeprefix(".") or "it"


def _beginning_of(value: Any, characters: int) -> Any:
    """Return as much of a value as can be shown in so many characters, so that megabytes are not formatted."""
    if isinstance(value, str):
        return value[:characters]
    if isinstance(value, list):
        return [_beginning_of(inner, characters) for inner in value[: characters // 2]]
    if isinstance(value, dict):
        return {k[:characters]: _beginning_of(value[k], characters) for k in list(value)[: characters // 4]}
    return value
