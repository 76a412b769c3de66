"""Cache of results, one JSON line each, from which an interrupted evaluation continues.

The first line says of what: model, crop, mirroring, windows, seed. Caches of several machines may be put one after the
other into one file. Of two lines on the same measurement the later one counts.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from ...core.errors import CrlmError, JsonError, os_reason
from ...core.json_fields import (
    ANY_TEXT,
    BOOLEAN,
    COUNT,
    FILE,
    NAME,
    NUMBER,
    OBJECT,
    POINT,
    TEXT,
    TEXTS,
    FieldKind,
    check_object,
    is_list_of,
    is_number,
    is_object_of,
    is_object_with,
    listed,
)
from ...core.json_files import Damage, JsonLine, json_lines, open_regular, shown
from ...core.metrics import THOROUGH_METRICS
from .settings import Variation

Row = dict[str, Any]
Key = tuple[str, str, str, float, int]
HEADER = "header"
MAX_BYTES = 1 << 30
METRIC = NUMBER.or_null().required()
NUMBERS = FieldKind("an object of numbers", is_object_of(NUMBER.or_null().holds))
CURVE = FieldKind("a list of numbers", is_list_of(is_number)).or_null()
CLICKS = FieldKind(
    "a list of clicks with kind and dice",
    is_list_of(is_object_with({"kind": TEXT, "dice": NUMBER, "seconds": NUMBER, "changed_far": NUMBER.or_null()})),
)
FIELDS = {
    "kind": TEXT,
    "amount": NUMBER,
    "draw": COUNT,
    "case_id": NAME,
    "lesion": NAME,
    "patient": NAME,
    "case_sha256": TEXT,
    "simulated": BOOLEAN.or_null(),
    "about": OBJECT,
    "diameter_mm": NUMBER,
    "truth_ml": NUMBER,
    "seed_ras_mm": POINT.or_null(),
    "seed_away_mm": NUMBER.or_null(),
    "crop_size_mm": NUMBER.or_null(),
    "metrics": FieldKind("an object of all metrics", is_object_with(dict.fromkeys(THOROUGH_METRICS, METRIC))).or_null(),
    "roc": FieldKind("an object of curves", is_object_of(CURVE.holds)).or_null(),
    "detected": BOOLEAN.or_null(),
    "volume_ml": NUMBER.or_null(),
    "confidence": NUMBER.or_null(),
    "warnings": TEXTS.or_null(),
    "timings_s": NUMBERS.or_null(),
    "seconds": NUMBER.or_null(),
    "device": ANY_TEXT.or_null(),
    "clicks": CLICKS.or_null(),
    "strokes": ANY_TEXT.or_null(),
    "mask": FILE.or_null(),
    "error": ANY_TEXT.or_null(),
}
"""Of a row, see `rows.ROW_KEYS`."""


def key_of(case_id: str, lesion: str, variation: Variation) -> Key:
    """Return the key of a measurement."""
    return case_id, lesion, variation.kind, float(variation.amount), variation.draw


class ResultCache:
    """The measurements of one evaluation.

    Attributes:
        damage: lines of the file that are no results; what they were of is measured again.

    Args:
        path: of the file; None keeps them in memory only.
        header: what they are of; must be that of the file, where there is one.

    Raises:
        CrlmError: the file holds another evaluation, or no evaluation at all.
    """

    def __init__(self, path: Path | None, header: Row) -> None:
        self._path, self._rows, self.damage = path, dict[Key, Row](), Damage()
        header = {"kind": HEADER, **header}
        if path is not None and path.is_file():
            self._read(path, header)
        elif path is not None:
            path.write_text(json.dumps(header) + "\n", encoding="utf-8")

    def get(self, key: Key, case_sha256: str) -> Row | None:
        """Return a measurement; None if it failed, or if its case has changed since."""
        row = self._rows.get(key)
        return row if row and row["case_sha256"] == case_sha256 and row["error"] is None else None

    def failed(self, key: Key) -> Row | None:
        row = self._rows.get(key)
        return row if row and row["error"] is not None else None

    def add(self, row: Row) -> None:
        """Append a measurement to the file before returning."""
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row, allow_nan=False) + "\n")
        self._rows[_key_of_row(row)] = row

    def _read(self, path: Path, header: Row) -> None:
        """Read the file; a truncated last line is removed from it."""
        try:
            with open_regular(path) as stream:
                content = stream.read(MAX_BYTES + 1)
        except OSError as error:
            raise CrlmError(f"{path} cannot be read: {os_reason(error)}; choose another folder with --out") from error
        if len(content) > MAX_BYTES:
            raise CrlmError(f"{path} holds more than {MAX_BYTES / 1e9:.0f} GB; choose another folder with --out")
        whole, _, rest = content.rpartition(b"\n")
        if rest:
            path.write_bytes(whole + b"\n" if whole else b"")
        if not whole.strip():
            path.write_text(json.dumps(header) + "\n", encoding="utf-8")
        for line in json_lines(io.BytesIO(whole + b"\n" if whole else b"")):
            self._take_line(path, line, header)

    def _take_line(self, path: Path, line: JsonLine, header: Row) -> None:
        """Take over a line. Without the first one nobody knows of what the others are; any other is measured again."""
        problem, row = line.problem, line.value
        try:
            if not problem and isinstance(row, dict) and (line.number == 1 or row.get("kind") == HEADER):
                _check_header(path, row, header)
                return
            if not problem:
                check_object(row, FIELDS)
                _check_measured(row)
        except JsonError as error:
            problem = str(error)
        if line.number == 1:
            raise CrlmError(f"{path} line 1 is no result: {problem or 'it is no object'}; remove the file")
        if problem:
            self.damage.add(line, problem)
        else:
            self._rows[_key_of_row(row)] = {**dict.fromkeys(FIELDS), **row}


def _check_measured(row: Row) -> None:
    """Raise JsonError for a measured row that lacks a value which every measured row has."""
    if row.get("metrics") is None:
        return
    measured = {"dice": row["metrics"]["dice"], "detected": row.get("detected"), "seconds": row.get("seconds")}
    missing = [name for name, value in measured.items() if value is None]
    if missing:
        raise JsonError(f"{missing[0]} is missing, expected a value where there are metrics")


def _key_of_row(row: Row) -> Key:
    return key_of(row["case_id"], row["lesion"], Variation(row["kind"], row["amount"], row["draw"]))


def _check_header(path: Path, found: Row, expected: Row) -> None:
    other = [name for name in expected if found.get(name) != expected[name]]
    if other:
        was = listed([f"{name} {shown(found.get(name))} instead of {shown(expected[name])}" for name in other])
        raise CrlmError(f"{path} holds another evaluation ({was}); choose another folder with --out")
