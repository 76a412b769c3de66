"""Reading of text headers (MetaImage, NRRD) with limits on their length, and of the data files that they name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import VolumeError
from .header import shown, unreadable

MAX_HEADER_BYTES = 8 << 20
MAX_LINE_BYTES = 64 << 10
MAX_LINES = 50_000
MAX_DATA_FILES = 10_000


def lines_in(file: BinaryIO, name: str) -> Iterator[tuple[str, bool]]:
    """Read the lines of a header, stripped of white space, each with whether it is complete.

    Afterwards the file's position is after the last line that was read.

    Raises:
        VolumeError: a line, their number, or the header is too long.
    """
    for _ in range(MAX_LINES):
        line = file.readline(MAX_LINE_BYTES)
        if not line:
            return
        if len(line) == MAX_LINE_BYTES:
            raise unreadable(name, f"its header has a line of more than {MAX_LINE_BYTES} bytes")
        if file.tell() > MAX_HEADER_BYTES:
            raise unreadable(name, f"its header has more than {MAX_HEADER_BYTES} bytes")
        yield line.decode("utf-8", "replace").strip(), line.endswith(b"\n")
    raise unreadable(name, f"its header has more than {MAX_LINES} lines")


def ended_in_header(name: str) -> VolumeError:
    """Return the error for a file that ends before its header is complete."""
    return unreadable(name, "cut off: it ends within its header", "copy it again")


def numbered_files(name: str, text: str) -> list[str]:
    """Return the file names that a pattern such as `slice%03d.raw 1 20 1` stands for.

    Raises:
        VolumeError: it is no such pattern.
    """
    pattern, *words = text.rsplit(maxsplit=3) if text.count("%") == 1 else [text]
    before, _, after = pattern.partition("%")
    width, letter, rest = after.partition("d")
    numbers = [int(word) for word in words if word.isascii() and word.isdigit() and len(word) < 10]
    if len(numbers) != 3 or not letter or len(width) > 2 or (width and not width.isdigit()) or not numbers[2]:
        raise unreadable(name, f"its data files must be NAME%03d MIN MAX STEP with one number, got {shown(text)}")
    first, last, step = numbers
    count = max(0, (last - first) // step + 1)
    if not 1 <= count <= MAX_DATA_FILES:
        raise unreadable(name, f"it names {count} data files, expected 1 to {MAX_DATA_FILES}")
    return [f"{before}{f'%{width}d' % number}{rest}" for number in range(first, last + 1, step)]


def data_file(path: Path, named: str, root: Path) -> Path:
    """Return the path of the data file that a header names.

    Args:
        path: of the header.
        named: as it stands there, relative to the header.
        root: folder in which it must lie, links followed.

    Raises:
        VolumeError: no name, or one that leads out of the folder.
    """
    if not named or "\0" in named or not named.isprintable():
        raise unreadable(path.name, f"it must name the file of its voxels, got {shown(named)}")
    where = path.parent / named
    try:
        is_inside = where.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError) as error:  # a loop of links
        raise unreadable(path.name, f"its data file {shown(named)} cannot be followed: {error}") from error
    if not is_inside:
        raise unreadable(
            path.name, f"its data file {shown(named)} lies outside its folder", "put both files into one folder"
        )
    return where
