"""Reads the volumes and masks that the events of a recorded session name; paths and hashes are always checked.

It works in the folder of a recording, finished as a case or still being written, and changes nothing there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import CaseError, MessageError, os_reason
from ..core.hashing import sha256_of
from ..core.text import quoted
from ..core.volume import Volume, read_volume
from ..igtl.messages import ImageMessage, volume_of
from .case import path_inside
from .image_files import read_mask
from .message_log import ARRIVALS_FILE, MESSAGES_FILE, MessageLog, read_message_log
from .session_results import Correction, RecordedResult

SAME_MOMENT_S = 1e-5
GONE = "its volume is not in the recording"


class RecordedImages:
    """The volumes and masks in the folder of a recording. The volume that was read last is kept in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._last: tuple[tuple[str, str], Volume] | None = None

    def volume(self, reference: Mapping[str, Any]) -> Volume:
        """Return the volume that an event refers to, bit for bit as it was segmented.

        Args:
            reference: as `SavedVolumes.reference` has made it.

        Raises:
            CrlmError: it is not in the recording, lies outside of its folder, or is not what was recorded.
        """
        try:
            key = reference["content_sha256"], reference["geometry_sha256"]
            if self._last is None or self._last[0] != key:
                self._last = key, self._read(reference)
        except (KeyError, TypeError, ValueError) as error:
            raise CaseError(f"{GONE}: it is not described") from error
        except OSError as error:
            raise CaseError(f"{GONE}: {os_reason(error)}") from error
        return self._last[1]

    def mask(self, reference: Mapping[str, Any] | None, shape: Sequence[int]) -> np.ndarray:
        """Return the mask that an event refers to: bool, shape (K, J, I) of its volume; None gives an empty one.

        Raises:
            CrlmError: it cannot be read, lies outside of the folder, or is not what was recorded.
        """
        if reference is None:
            return np.zeros(tuple(shape), bool)
        try:
            path = self._inside(reference["file"])
            if sha256_of(path) != reference["sha256"]:
                raise CaseError("its segmentation was changed or damaged after it was recorded")
            offset = [int(start) for start in reference["offset_kji"]]
            return read_mask(path, (offset[0], offset[1], offset[2]), (shape[0], shape[1], shape[2]))
        except (KeyError, TypeError, ValueError) as error:
            raise CaseError("its segmentation is not described") from error
        except OSError as error:
            raise CaseError(f"its segmentation cannot be read: {os_reason(error)}") from error

    def mask_of(self, segmentation: RecordedResult | Correction) -> np.ndarray:
        """Return the mask of a result or of a correction: bool, shape (K, J, I) of its volume.

        Raises:
            CrlmError: as `mask`; or it is a correction of which no more is known than that it was made.
        """
        if segmentation.volume is None:
            raise CaseError("its segmentation was not recorded")
        return self.mask(segmentation.mask, segmentation.volume["shape"])

    def _read(self, reference: Mapping[str, Any]) -> Volume:
        matrix = np.array(reference["ijk_to_ras"], float).reshape(4, 4)
        expected = tuple(reference["shape"]), reference["content_sha256"], reference["geometry_sha256"]
        insonified = self._insonified(reference)
        for array in self._candidates(reference):
            if array.shape == expected[0]:
                volume = Volume(array, matrix, reference["device"], reference["timestamp_s"], insonified)
                if (array.shape, volume.identity.content_sha256, volume.identity.geometry_sha256) == expected:
                    return volume
        raise CaseError(f"{GONE}; it was left out or is damaged")

    def _insonified(self, reference: Mapping[str, Any]) -> np.ndarray | None:
        """Where the volume was imaged: bool, (K, J, I); its hash is not part of the volume's."""
        name = reference.get("swept")
        if not name:
            return None
        path, sha256 = self._inside(name), (reference.get("sha256") or {}).get(name)
        if sha256 is not None and sha256_of(path) != sha256:
            raise CaseError(f"{GONE} as it was: the mask of what was imaged is damaged")
        return read_volume(path, self.folder).array > 0

    def _candidates(self, reference: Mapping[str, Any]) -> Iterator[np.ndarray]:
        """Voxels (K, J, I) that may be those of a volume."""
        if reference["file"]:
            yield read_volume(self._inside(reference["file"]), self.folder).recorded_array
            return
        shape, time_s, log = tuple(reference["shape"]), reference["timestamp_s"], self._message_log
        if log is None:
            return
        for entry in log.entries:
            if entry.is_volume and entry.shape == shape and abs(entry.timestamp_s - time_s) < SAME_MOMENT_S:
                try:
                    message = log.load(entry)
                except MessageError:  # it is damaged; another may be the one
                    continue
                if isinstance(message, ImageMessage):
                    yield volume_of(message).recorded_array

    @cached_property
    def _message_log(self) -> MessageLog | None:
        path = self.folder / MESSAGES_FILE
        return read_message_log(path, self.folder / ARRIVALS_FILE) if path.is_file() else None

    def _inside(self, name: str) -> Path:
        """A file of the recording; a recording that comes from elsewhere may name any."""
        try:
            return path_inside(self.folder, name)
        except CaseError as error:
            raise CaseError(f"the recording names {quoted(name, marks='')}, which is not in it") from error
