"""Atomic output files: they are written into a scratch folder beside their destination, and moved when complete."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Container, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain, count
from pathlib import Path

from .errors import CrlmError, add_note, os_reason

SCRATCH_PREFIX = ".unfinished-"
SUFFIXES = re.compile(r"((\.seg|\.nii)?\.[^.]+)?$")


def check_output_paths(places: Sequence[Path], inputs: Sequence[Path] = ()) -> None:
    """Check that output paths can be written to and are no input.

    Raises:
        CrlmError: a path is a folder, has no folder, or is an input; the message says which.
    """
    taken = {path.resolve() for path in inputs}
    for place in places:
        if place.is_dir():
            raise CrlmError(f"{place} is a folder; name a file in it")
        if not place.resolve().parent.is_dir():
            raise CrlmError(f"the folder {place.parent} does not exist; make it first")
        if place.resolve() in taken:
            raise CrlmError(f"{place} would be written over what is read or written already; choose another name")
        taken.add(place.resolve())


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, for outputs.

    Raises:
        CrlmError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CrlmError(f"the folder {folder} cannot be made: {os_reason(error)}; choose another place") from error


@contextmanager
def atomic_files(places: Sequence[Path]) -> Iterator[list[Path]]:
    """Provide a temporary path for each output path; at the end of the block, move all files to their destination.

    A file of an earlier run is renamed at the start, to `name.previous.suffix`, so that it is not mistaken for the
    result of a run that has failed; so check the input before. It is removed when the new files are in place. When
    the block ends with an exception, nothing is written, the earlier files stay aside, and a note on the exception
    says where.

    Raises:
        CrlmError: a folder cannot be written to.
    """
    with ExitStack() as stack:
        folders = list(dict.fromkeys(place.parent for place in places))
        scratch = {folder: _scratch_folder(stack, folder) for folder in folders}
        aside = {place: _free_name(place) for place in places if place.is_file()}
        try:
            for place, previous in aside.items():
                os.replace(place, previous)
            yield [scratch[place.parent] / place.name for place in places]
            for folder in folders:
                _move_all(scratch[folder], folder, {place.name for place in places})
        except BaseException as error:
            for place, previous in aside.items():
                if previous.exists():
                    add_note(error, f"the earlier {place.name} is kept as {previous}")
            raise
        for previous in aside.values():
            previous.unlink()


def _move_all(scratch: Path, folder: Path, last: Container[str]) -> None:
    """Move all files, the named ones last, so that a header appears after its data files."""
    for file in sorted(scratch.iterdir(), key=lambda file: file.name in last):
        os.replace(file, folder / file.name)


def _free_name(place: Path) -> Path:
    """Return a free path beside a file, `a.previous.seg.nrrd` for `a.seg.nrrd`, with a number where that exists."""
    marks = chain([".previous"], (f".previous-{number}" for number in count(2)))
    stem = SUFFIXES.sub("", place.name, count=1)
    names = (place.with_name(stem + mark + place.name[len(stem) :]) for mark in marks)
    return next(path for path in names if not path.exists())


def _scratch_folder(stack: ExitStack, parent: Path) -> Path:
    try:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(dir=parent, prefix=SCRATCH_PREFIX)))
    except OSError as error:
        raise CrlmError(f"nothing can be written into {parent}: {os_reason(error)}; choose another place") from error
