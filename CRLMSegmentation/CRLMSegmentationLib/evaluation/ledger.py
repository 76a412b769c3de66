"""Results as they come, one JSON line each, so that a run that was killed goes on where it ended.

The first line says of what: model, crop, mirroring, seed. Ledgers of several machines may be put one after the
other into one file. Of two lines on the same measurement the later one counts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..core.errors import CrlmError
from .settings import Variation

Row = dict[str, Any]
Key = tuple[str, str, str, float, int]
HEADER = "header"


def key_of(case_id: str, lesion: str, variation: Variation) -> Key:
    return case_id, lesion, variation.kind, float(variation.amount), variation.draw


class Ledger:
    """The measurements of one evaluation.

    Args:
        path: of the file; None keeps them in memory only.
        header: what they are of; must be that of the file, where there is one.

    Raises:
        CrlmError: the file holds another evaluation, or no evaluation at all.
    """

    def __init__(self, path: Path | None, header: Row) -> None:
        self._path, self._rows = path, dict[Key, Row]()
        header = {"kind": HEADER, **header}
        if path is not None and path.is_file():
            self._read(path, header)
        elif path is not None:
            path.write_text(json.dumps(header) + "\n", encoding="utf-8")

    def get(self, key: Key, case_sha256: str) -> Row | None:
        """A measurement, unless its case has changed since or it has failed."""
        row = self._rows.get(key)
        return row if row and row["case_sha256"] == case_sha256 and row["error"] is None else None

    def failed(self, key: Key) -> Row | None:
        row = self._rows.get(key)
        return row if row and row["error"] is not None else None

    def add(self, row: Row) -> None:
        """Keep a measurement; it is in the file when this returns."""
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row, allow_nan=False) + "\n")
        self._rows[_key_of_row(row)] = row

    def _read(self, path: Path, header: Row) -> None:
        """Take over the file; a last line that was cut short is removed from it."""
        content = path.read_bytes()
        whole, _, rest = content.rpartition(b"\n")
        if rest:
            path.write_bytes(whole + b"\n" if whole else b"")
        lines = whole.splitlines()
        if not lines:
            path.write_text(json.dumps(header) + "\n", encoding="utf-8")
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                if number == 1 or row.get("kind") == HEADER:
                    _check_header(path, row, header)
                else:
                    self._rows[_key_of_row(row)] = row
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise CrlmError(
                    f"{path} line {number} is no result: {error!r}; remove the line, or the file"
                ) from error


def _key_of_row(row: Row) -> Key:
    return key_of(row["case_id"], row["lesion"], Variation(row["kind"], row["amount"], row["draw"]))


def _check_header(path: Path, found: Row, expected: Row) -> None:
    other = [name for name in expected if found.get(name) != expected[name]]
    if other:
        was = ", ".join(f"{name} {found.get(name)!r} instead of {expected[name]!r}" for name in other)
        raise CrlmError(f"{path} holds another evaluation ({was}); choose another folder with --out")
