"""JSON files as damage or a hostile person might leave them: valid ones, changed where it hurts."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 1e300, -1e300, float("nan"), float("inf"), 2**40, 10**30, 10**400,
    "", "x", "a\0b", "\ud800", "a\nb", "\x1b[2J", "\u202egnp.exe", "é", "x" * 5000, "../../secret.txt", "/etc/passwd",
    "C:\\secret", "CON", [], {}, [[]], [None], ["x"], [1, 2, 3], [1e300] * 3, [float("nan")] * 16, [0] * 16, [0] * 1000,
    {"x": None}, {"": {}},
)  # fmt: skip
"""Instead of any value; the recorded ones are of every type."""
DEEP = 100_000
RAW = (
    b"[" * DEEP, b'{"a":' * DEEP, b"[" * DEEP + b"]" * DEEP, b'"\xff\xfe"', b'"\xed\xa0\x80"', b"1" * 5000, b"-",
    b"1e999", b'"\x00"', b'"' + b"\\" * 7, b'{"a": 1, "a": 2}', b"NaN", b"'x'", b'"' + b"x" * 200_000 + b'"',
)  # fmt: skip
"""Bytes instead of any value, valid JSON or not."""
MARK = "@@raw@@"


class FileMutator:
    """Makes one damaged file after the other, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def file(self, data: bytes) -> bytes:
        """A file with one JSON value, changed in one or two places."""
        if self.random.random() < 0.15:
            return self._bytes(data)
        content = json.loads(data)
        raw = self._change(content)
        if raw is None and self.random.random() < 0.2:
            raw = self._change(content)
        return self._encoded(content, raw)

    def lines(self, data: bytes) -> bytes:
        """A file with a JSON value in each line, changed in one line, or torn as a whole."""
        lines = data.splitlines(keepends=True)
        number = self.random.randrange(len(lines))
        recipe = self.random.random()
        if recipe < 0.05:
            return data[: -self.random.randrange(1, 40)]
        if recipe < 0.1:
            lines.insert(
                number, self.random.choice((b"\n", b"\0" * 50 + b"\n", b"[]\n", b"3\n", b"\xff\n", lines[number]))
            )
        elif recipe < 0.15:
            lines[number] = lines[number].rstrip(b"\n")
        else:
            lines[number] = self.file(lines[number]).rstrip(b"\n") + b"\n"
        return b"".join(lines)

    def _change(self, content: Any) -> bytes | None:
        """Change a value in place; the bytes that take the place of `MARK`, where that was put there."""
        holder, key = self.random.choice(list(places_in(content)) or [(None, None)])
        if holder is None:
            return None
        recipe = self.random.random()
        if recipe < 0.15 and isinstance(holder, dict):
            del holder[key]
        elif recipe < 0.2 and isinstance(holder, dict):
            holder[self.random.choice(("unknown", "a\0b", "x" * 3000, "../x", ""))] = holder[key]
        elif recipe < 0.3:
            holder[key] = MARK
            return self.random.choice(RAW)
        else:
            holder[key] = self.random.choice(VALUES)
        return None

    def _encoded(self, content: Any, raw: bytes | None) -> bytes:
        data = json.dumps(content, ensure_ascii=self.random.random() < 0.7).encode("utf-8", "surrogatepass")
        return data if raw is None else data.replace(f'"{MARK}"'.encode(), raw)

    def _bytes(self, data: bytes) -> bytes:
        recipe = self.random.randrange(6)
        if recipe == 0:
            return data[: self.random.randrange(len(data))]
        if recipe == 1:
            return b"\xef\xbb\xbf" + data
        if recipe == 2:
            return data.decode().encode(self.random.choice(("utf-16", "utf-32", "utf-16-be")))
        if recipe == 3:
            return self.random.choice((b"", b"\0" * 100, b"[]", b"null", b'"x"', b"[" * DEEP, b"\n"))
        flipped = bytearray(data)
        for _ in range(self.random.choice((1, 1, 4))):
            flipped[self.random.randrange(len(flipped))] ^= 1 << self.random.randrange(8)
        return bytes(flipped)


def places_in(content: Any) -> Iterator[tuple[Any, Any]]:
    """All places of values: what holds it, and its key or number."""
    waiting = [content]
    while waiting:
        holder = waiting.pop()
        if isinstance(holder, (dict, list)):
            for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
                yield holder, key
                waiting.append(holder[key])
