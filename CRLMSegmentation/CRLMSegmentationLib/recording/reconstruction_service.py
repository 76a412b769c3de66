"""Reconstructs volumes from the frames of a replay when a client sends the commands of PLUS.

The words of the replies are PLUS's. Differences: the region is by default that of the whole recorded sweep, and
nothing is written to files.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..core.errors import CrlmError, MessageError, SweepError
from ..igtl.messages import ImageMessage, Message, StringMessage, image_of
from ..igtl.plus_commands import RESUME, SNAPSHOT, START, STOP, SUSPEND, PlusCommand, PlusReply, command_of, pack_reply
from ..tracking.sweeps.image_region import ImageRegion
from ..tracking.sweeps.reconstruction import Grid, VolumeBuilder, grey
from ..tracking.sweeps.volume_builder import DEVICE, check_spacing
from .sweep_messages import RecordedSweep, frame_of_sweep, grid_of_sweep, region_of_sweep

logger = logging.getLogger(__name__)

FAILED = "Command failed. See error message."
"""What PLUS says of any command that fails, to clients that send commands as STRING."""
MAX_NUMBER = 1e6
"""No origin, spacing or extent that a client asks for is beyond it, mm or voxels."""


class ReconstructionService:
    """The live reconstruction of a replay, one at a time, as PLUS's VirtualVolumeReconstructor.

    Args:
        sweep: that is played; says where the volume lies unless a client does.

    Attributes:
        is_taking: frames go into a volume now.
    """

    def __init__(self, sweep: RecordedSweep) -> None:
        self._sweep = sweep
        self._region: ImageRegion = region_of_sweep(sweep)
        self._device = f"{DEVICE.rpartition('_')[0]}_{frame_of_sweep(sweep)}"
        self._builder: VolumeBuilder | None = None
        self.is_taking = False
        self._last_frame_s = 0.0
        self._actions: dict[str, Callable[[PlusCommand], tuple[str, list[Message]]]] = {
            START: self._start,
            SNAPSHOT: self._snapshot,
            SUSPEND: self._suspend,
            RESUME: self._resume,
            STOP: self._stop,
        }

    def take(self, message: Message) -> None:
        """Insert a frame that is being sent into the volume."""
        if self._builder is None or not self.is_taking or not isinstance(message, ImageMessage) or message.is_volume:
            return
        self._builder.insert(grey(message.array[0]), message.ijk_to_ras, self._region)
        self._last_frame_s = message.timestamp_s

    def answer(self, message: Message) -> list[Message]:
        """Return the answer to a client's message: a volume where one was asked for, then the reply."""
        if not isinstance(message, StringMessage):
            return []
        try:
            command = command_of(message)
        except MessageError as error:
            logger.info("%s", error)
            return [pack_reply(PlusReply(None, False, "Error attempting to process command."))]
        if command is None:
            return []
        if command.name not in self._actions:
            return [pack_reply(PlusReply(None, False, "Error attempting to process command."))]
        try:
            text, volumes = self._actions[command.name](command)
        except CrlmError as error:
            return [pack_reply(PlusReply(command.uid, False, f"{FAILED} {command.name}: {error}"))]
        return [*volumes, pack_reply(PlusReply(command.uid, True, f"{command.name}: {text}"))]

    def _start(self, command: PlusCommand) -> tuple[str, list[Message]]:
        if self.is_taking:
            raise SweepError("live volume reconstruction is in progress.")
        pixel_type = self._sweep.sequence.frames.dtype
        self._builder = VolumeBuilder(self._grid(command), pixel_type=pixel_type)
        self.is_taking = True
        return "Volume reconstruction from live frames started.", []

    def _snapshot(self, command: PlusCommand) -> tuple[str, list[Message]]:
        if self._builder is None or not self._builder.frames:
            raise SweepError("there are no frames in the volume yet.")
        fill = command.attributes.get("ApplyHoleFilling", "TRUE").upper() == "TRUE"
        device = command.attributes.get("OutputVolDeviceName", self._device)
        if not device.isascii():
            raise SweepError(f"OutputVolDeviceName must be ASCII, got '{device:.60}'")
        volume = self._builder.volume(device, self._last_frame_s, fill)
        return f"image sent as: {device}", [replace(image_of(volume), device=device)]

    def _suspend(self, command: PlusCommand) -> tuple[str, list[Message]]:
        if not self.is_taking:
            raise SweepError("live volume reconstruction is not in progress.")
        self.is_taking = False
        return "Volume reconstruction from live frames suspended.", []

    def _resume(self, command: PlusCommand) -> tuple[str, list[Message]]:
        if self.is_taking or self._builder is None:
            raise SweepError("live volume reconstruction is already in progress, or was never started.")
        self.is_taking = True
        return "Volume reconstruction from live frames resumed.", []

    def _stop(self, command: PlusCommand) -> tuple[str, list[Message]]:
        if self._builder is None:
            raise SweepError("live volume reconstruction is already stopped.")
        self.is_taking = False
        try:
            return self._snapshot(command)
        finally:
            self._builder = None

    def _grid(self, command: PlusCommand) -> Grid:
        """Return the grid that the client asks for, else that of the sweep; spacing alone may be given, as in PLUS."""
        spacing = _numbers(command, "OutputSpacing", 3)
        origin, extent = _numbers(command, "OutputOrigin", 3), _numbers(command, "OutputExtent", 6)
        if origin is None or extent is None:
            return grid_of_sweep(self._sweep, spacing)
        spacing = check_spacing(1.0 if spacing is None else (spacing[0], spacing[1], spacing[2]))
        first, last = extent[::2], extent[1::2]
        matrix = np.diag([*spacing, 1.0])
        matrix[:3, 3] = origin + first * spacing
        k, j, i = (int(count) for count in (last - first + 1)[::-1])
        return Grid((k, j, i), matrix)


def _numbers(command: PlusCommand, name: str, count: int) -> np.ndarray | None:
    text = command.attributes.get(name)
    if text is None:
        return None
    try:
        numbers = np.array([float(part) for part in text.split()])
    except ValueError:
        numbers = np.array([])
    if len(numbers) != count or not (np.abs(numbers) <= MAX_NUMBER).all():
        raise SweepError(f"{name} must be {count} numbers of at most {MAX_NUMBER:g}, got '{text:.60}'")
    return numbers
