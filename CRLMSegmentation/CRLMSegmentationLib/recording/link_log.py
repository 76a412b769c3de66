"""Writes the messages and events of links into one message log, fewer of them when the disk space runs out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from ..core.volume import Volume
from ..igtl.dialects import Dialect
from ..igtl.packing import HEADER_BYTES
from ..igtl.statistics import NameCounts
from .budget import BudgetStep
from .message_log import FRAME, MESSAGES_FILE, MessageLog
from .message_log_entry import Entry
from .message_log_writer import MessageLogWriter
from .summary import CONNECTED, ENDED, LINK_LOST, STARTED

VOXEL_TYPES = {2: "i1", 3: "u1", 4: "i2", 5: "u2", 6: "i4", 7: "u4", 10: "f4", 11: "f8"}
IMAGES, VOLUMES, OTHERS = "live images", "repeated volumes", "other messages"


class LinkLog:
    """The writer of a message log that records one link after another.

    Attributes:
        log: what has been written, with its counts.
        left_out: messages that were not recorded, by kind; those of a link whose frame is another included.

    Raises:
        RecordingError: nothing can be written there.
    """

    def __init__(self, folder: Path) -> None:
        self.left_out: Counter[str] = Counter()
        self._path = folder / MESSAGES_FILE
        self.log = MessageLogWriter(folder)
        self._frame: str | None = None
        self._is_taken = True
        self._volumes: dict[tuple[str, float], Entry] = {}
        self._devices: Counter[str] = NameCounts()

    def begin(self, host: str, port: int, peer: Dialect) -> bool:
        """Another link comes. Whether its messages are recorded: they are not where they count in another frame
        than those before, since a recording has one.

        Raises:
            RecordingError: the disk takes no more.
        """
        self._is_taken = self._frame in (None, peer.frame.value)
        if self._frame is None:
            self._frame = peer.frame.value
            self.log.note(STARTED, host=host, port=port, peer=peer.name, **{FRAME: self._frame})
        return self._is_taken

    def append(self, header: memoryview, body: memoryview, step: BudgetStep = BudgetStep.NOTHING) -> None:
        """Record a message, unless the budget leaves it out.

        Raises:
            RecordingError: the disk takes no more.
            MessageError: it has no header.
        """
        entry = self.log.describe(header, body)
        kind = self._kind_left_out(entry, step)
        if kind:
            self.left_out[kind] += 1
        else:
            self.log.append(header, body, entry)
        if entry.is_volume:
            self._devices[entry.device] += 1
            if not kind:
                self._volumes[entry.device, entry.timestamp_s] = entry

    def note(self, is_connected: bool, why: str = "") -> None:
        """Record that the link was connected or lost.

        Raises:
            RecordingError: the disk takes no more.
        """
        if self._is_taken:
            self.log.note(CONNECTED) if is_connected else self.log.note(LINK_LOST, why=why)

    def has_sent(self, volume: Volume) -> bool:
        """Return whether a volume has the name of one that came over a link, recorded or not."""
        return volume.device in self._devices

    def holds(self, volume: Volume) -> bool:
        """Return whether the voxels of a volume are in the recorded messages.

        Raises:
            OSError: it cannot be read.
        """
        entry = self._volumes.get((volume.device, volume.timestamp_s))
        if entry is None or entry.shape != volume.array.shape:
            return False
        layout = MessageLog(self._path, (), (), 0, 0, False).layout(entry)
        kind = VOXEL_TYPES.get(layout.scalar_type)
        if kind is None or kind != volume.array.dtype.str[1:]:
            return False
        start = entry.offset_bytes + HEADER_BYTES + layout.voxels_at_bytes
        voxels = np.memmap(self._path, (">" if layout.is_big_endian else "<") + kind, "r", start, entry.shape)
        return np.array_equal(voxels, volume.recorded_array, equal_nan=volume.missing is not None)

    def end(self, why: str, **about: object) -> None:
        """Record why the recording ends, and close it.

        Raises:
            RecordingError: the disk takes no more; it is closed all the same.
        """
        try:
            self.log.note(ENDED, why=why, **about)
        finally:
            self.log.close()

    def _kind_left_out(self, entry: Entry, step: BudgetStep) -> str:
        """Return the kind of a message that is left out; empty for one that is recorded."""
        if not self._is_taken or step >= BudgetStep.ALL_MESSAGES:
            return VOLUMES if entry.is_volume else OTHERS if entry.shape is None else IMAGES
        if entry.is_volume:
            return VOLUMES if step >= BudgetStep.REPEATED_VOLUMES and entry.device in self._devices else ""
        return IMAGES if entry.shape is not None and step >= BudgetStep.IMAGES else ""
