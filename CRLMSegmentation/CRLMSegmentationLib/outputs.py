"""Output files appear whole or not at all: written into a scratch folder beside their places, then moved there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .core.errors import CrlmError

SCRATCH_PREFIX = ".unfinished-"


def check_places(places: Sequence[Path], inputs: Sequence[Path] = ()) -> None:
    """Refuse places that cannot be written to, or where an input lies.

    Raises:
        CrlmError: says which and why.
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
    """Make a folder for outputs.

    Raises:
        CrlmError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CrlmError(f"the folder {folder} cannot be made: {error.strerror}; choose another place") from error


@contextmanager
def whole_files(places: Sequence[Path]) -> Iterator[list[Path]]:
    """Give for each place a path of the same name to write to; at the end all are moved to their places.

    What an earlier run has left there is removed at the start, lest it be taken for the result of a run that has
    failed; so check the input before. Nothing is written when the block ends with an exception.

    Raises:
        CrlmError: a folder cannot be written to.
    """
    with ExitStack() as stack:
        scratch = [_scratch_folder(stack, place.parent) for place in places]
        for place in places:
            place.unlink(missing_ok=True)
        yield [folder / place.name for folder, place in zip(scratch, places)]
        for folder, place in zip(scratch, places):
            for file in sorted(folder.iterdir(), key=lambda file: file.name == place.name):  # its data file before it
                os.replace(file, place.parent / file.name)


def _scratch_folder(stack: ExitStack, parent: Path) -> Path:
    try:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(dir=parent, prefix=SCRATCH_PREFIX)))
    except OSError as error:
        raise CrlmError(f"nothing can be written into {parent}: {error.strerror}; choose another place") from error
