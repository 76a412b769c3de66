"""Writes the masks of a session recording, and the volumes that are in no message."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..core.volume import Volume
from .image_files import WrittenFile, write_mask, write_nrrd

FOLDER, MASKS_FOLDER = "volumes", "results"
MAX_NAME_CHARACTERS = 40
LOADED = "loaded"
"""How a volume is called that came over no link: the name of its file or node may be that of a patient."""
NAME_DIGITS = 16


class SavedVolumes:
    """The volumes and masks of insonified voxels in a recording; each is saved once.

    Args:
        folder: of the recording.
        on_written: told of each file.

    Attributes:
        size_bytes: of the files.
        count: of the volumes.
    """

    def __init__(self, folder: Path, on_written: Callable[[Path], None]) -> None:
        self._folder, self._on_written = folder, on_written
        self._files: dict[str, WrittenFile] = {}
        self.size_bytes = self.count = 0

    def reference(self, volume: Volume, is_in_link: bool, device: str) -> dict[str, Any]:
        """Return the entry by which a volume is read again bit for bit; save what is not saved yet.

        Args:
            is_in_link: its voxels are in the messages.
            device: to call it by.

        Raises:
            OSError: there is no room.
        """
        identity = volume.identity
        reference = {**vars(identity), "device": device, "shape": list(volume.array.shape)}
        reference["ijk_to_ras"] = volume.ijk_to_ras.ravel().tolist()
        files = {
            "file": None if is_in_link else self._file(identity.content_sha256, volume.recorded_array, volume, False)
        }
        if volume.insonified is not None:
            insonified = volume.insonified.astype(np.uint8)
            files["swept"] = self._file(hashlib.sha256(insonified.data).hexdigest(), insonified, volume, True)
        named = {name: self._named(file) for name, file in files.items()}
        return {**reference, **named, "sha256": {self._named(f): f.sha256 for f in files.values() if f}}

    def is_saved(self, volume: Volume) -> bool:
        return volume.identity.content_sha256 in self._files

    def _named(self, file: WrittenFile | None) -> str | None:
        return file and f"{FOLDER}/{file.path.name}"

    def _file(self, content_sha256: str, array: np.ndarray, volume: Volume, is_mask: bool) -> WrittenFile:
        if content_sha256 not in self._files:
            (self._folder / FOLDER).mkdir(exist_ok=True)
            name = f"{content_sha256[:NAME_DIGITS]}{'-swept' if is_mask else ''}.nrrd"
            file = write_nrrd(self._folder / FOLDER / name, array, volume.ijk_to_ras, compressed=is_mask)
            self._files[content_sha256] = file
            self.size_bytes += file.size_bytes
            self.count += not is_mask
            self._on_written(file.path)
        return self._files[content_sha256]


class SavedMasks:
    """The masks of results in a recording, named by a number and their lesion.

    Args:
        folder: of the recording.
        on_written: told of each file.

    Attributes:
        size_bytes: of the files.
    """

    def __init__(self, folder: Path, on_written: Callable[[Path], None]) -> None:
        self._folder, self._on_written = folder, on_written
        self.size_bytes, self._count = 0, 0

    def save(
        self, name: str, part: np.ndarray, offset_kji: tuple[int, int, int], volume: Volume
    ) -> dict[str, Any] | None:
        """Save a mask and return the entry by which it is read again; None for an empty mask.

        Args:
            part: bool, (K, J, I), of the mask.
            offset_kji: of its first voxel in the volume.

        Raises:
            OSError: there is no room.
        """
        if not part.any():
            return None
        self._count += 1
        (self._folder / MASKS_FOLDER).mkdir(exist_ok=True)
        path = self._folder / MASKS_FOLDER / _file_name(self._count, name)
        file = write_mask(path, part, offset_kji, volume.ijk_to_ras)
        self.size_bytes += file.size_bytes
        self._on_written(path)
        return {"file": f"{MASKS_FOLDER}/{path.name}", "sha256": file.sha256, "offset_kji": list(offset_kji)}


def _file_name(number: int, lesion: str) -> str:
    words = re.sub(r"[^A-Za-z0-9]+", "-", lesion)[:MAX_NAME_CHARACTERS].strip("-")
    return f"{number:04d}-{words or 'lesion'}.nrrd"
