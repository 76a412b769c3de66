"""Sends results to other systems as OpenIGTLink messages: segmentation, surfaces, points and a JSON text.

    IMAGE     "CRLM_Segmentation"  uint8 on the grid of the volume: 0, or the number of the lesion
    POLYDATA  "CRLM_1 Tumour 1"    closed surface of lesion 1, and so on
    POINT     "CRLM_Points"        seed and centre of each lesion
    STRING    "CRLM_State"         JSON: what is found, whether it holds, and that it is not for clinical use

What no longer holds is withdrawn: empty image, empty surface. A peer that shows what comes, and reads no states,
must never show an old segmentation as a new one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.box import Box, trimmed_mask
from ..core.geometry import transform_points
from ..core.text import printable
from ..core.volume import Volume
from ..igtl.messages import MAX_NAME_BYTES, ImageMessage, Message, PointMessage, PolyDataMessage, StringMessage

if TYPE_CHECKING:
    from ..igtl.server import IgtlServer

DEFAULT_RESULTS_PORT = 18945
"""Beside OpenIGTLink's own, at which PLUS listens on the same machine."""
PREFIX = "CRLM_"
SEGMENTATION, POINTS, STATE = PREFIX + "Segmentation", PREFIX + "Points", PREFIX + "State"
NOTICE = "research software, not for clinical use"
MAX_LABEL = 255
MAX_SHOWN_BYTES = 48
"""Of the name of a lesion, in the 64 bytes that the name of a point may have."""


@dataclass(frozen=True, eq=False)
class SharedLesion:
    """A lesion as it is sent to others.

    Attributes:
        name: of the lesion.
        seed_ras_mm: where it was clicked; None while that is open.
        mask: bool, on the grid of the volume from `offset_kji` on; None without a segmentation that holds.
        surface: points (N, 3) in RAS mm and triangles (M, 3); None without a segmentation that holds.
        about: more for the state, such as volume and warnings.
    """

    name: str
    seed_ras_mm: tuple[float, float, float] | None
    mask: np.ndarray | None = None
    offset_kji: tuple[int, int, int] = (0, 0, 0)
    surface: tuple[np.ndarray, np.ndarray] | None = None
    about: dict[str, Any] = field(default_factory=dict)


def device_of(number: int, lesion: str) -> str:
    """Return the device name of a lesion's surface: ASCII, unique, and no longer than a header holds."""
    return f"{PREFIX}{number} {printable(lesion, MAX_NAME_BYTES)}".encode("ascii", "replace")[:MAX_NAME_BYTES].decode()


def messages_of(lesions: Sequence[SharedLesion], volume: Volume) -> list[Message]:
    """Return all messages about the lesions of a volume; they carry the time of the volume."""
    time_s = volume.timestamp_s
    metadata = {"VolumeDevice": volume.device, "VolumeContentSha256": volume.identity.content_sha256}
    labels = ImageMessage(SEGMENTATION, time_s, _labels(lesions, volume), volume.ijk_to_ras, metadata)
    messages: list[Message] = [labels]
    for number, lesion in enumerate(lesions, 1):
        points, triangles = lesion.surface or _nothing()
        messages.append(PolyDataMessage(device_of(number, lesion.name), time_s, points, triangles, metadata))
    named = dict(_points(lesions, volume))
    if named:
        messages.append(PointMessage(POINTS, time_s, np.array(list(named.values())), tuple(named), metadata=metadata))
    return [*messages, state_of(lesions, volume)]


def withdrawal_of(device: str, time_s: float) -> PolyDataMessage:
    """Return the empty surface that tells others that a lesion was removed."""
    return PolyDataMessage(device, time_s, *_nothing())


def state_of(lesions: Sequence[SharedLesion], volume: Volume) -> StringMessage:
    """Return the message that lists the lesions as JSON."""
    identity = {"device": volume.device, "timestamp_s": volume.timestamp_s, "sha256": volume.identity.content_sha256}
    entries = [
        {"lesion": item.name, "label": number, "has_outline": item.mask is not None, **item.about}
        for number, item in enumerate(lesions, 1)
    ]
    text = json.dumps({"notice": NOTICE, "frame": "RAS", "volume": identity, "lesions": entries}, ensure_ascii=True)
    return StringMessage(STATE, volume.timestamp_s, text)


class ResultServer:
    """A server that sends results to all clients, also to those that connect later; `poll` must be called often.

    Args:
        server: closed together with this.
    """

    def __init__(self, server: IgtlServer) -> None:
        self.server = server
        self._surfaces: set[str] = set()

    def publish(self, lesions: Sequence[SharedLesion], volume: Volume) -> None:
        """Replace the messages that are sent.

        Raises:
            MessageError: OpenIGTLink cannot carry it.
        """
        surfaces = {device_of(number, lesion.name) for number, lesion in enumerate(lesions, 1)}
        for gone in sorted(self._surfaces - surfaces):
            self.server.broadcast(withdrawal_of(gone, volume.timestamp_s), retain=True)
        self._surfaces = surfaces
        for message in messages_of(lesions, volume):
            self.server.broadcast(message, retain=True)

    def poll(self, timeout_s: float = 0.0) -> None:
        """Serve the connected clients, and accept new ones."""
        self.server.poll(timeout_s)

    def serve_until(self, stop: Callable[[], bool]) -> None:
        """Serve until `stop` returns True or Ctrl-C is pressed, for the command line."""
        while not stop():
            self.poll(0.1)

    def close(self) -> None:
        """Disconnect all clients."""
        self.server.close()


def _labels(lesions: Iterable[SharedLesion], volume: Volume) -> np.ndarray:
    """Return the label map, numbered from 1; where lesions overlap, the first one wins."""
    labels = np.zeros(volume.array.shape, np.uint8)
    for number, lesion in enumerate(lesions, 1):
        whole = _mask_of(lesion)
        if whole is not None and number <= MAX_LABEL:
            mask, offset_kji = trimmed_mask(whole, lesion.offset_kji)
            part = labels[Box.of_part(offset_kji, mask.shape).slices]
            part[mask & (part == 0)] = number
    return labels


def _mask_of(lesion: SharedLesion) -> np.ndarray | None:
    """Return the mask of a lesion; None where it has none, or an empty one."""
    return lesion.mask if lesion.mask is not None and lesion.mask.any() else None


def _points(lesions: Iterable[SharedLesion], volume: Volume) -> Iterable[tuple[str, np.ndarray]]:
    for lesion in lesions:
        if lesion.seed_ras_mm is not None:
            yield f"{_shown(lesion)} seed", np.array(lesion.seed_ras_mm)
        whole = _mask_of(lesion)
        if whole is not None:
            mask, offset_kji = trimmed_mask(whole, lesion.offset_kji)
            center_kji = np.argwhere(mask).mean(0) + offset_kji
            yield f"{_shown(lesion)} centre", transform_points(volume.ijk_to_ras, center_kji[::-1])


def _shown(lesion: SharedLesion) -> str:
    return printable(lesion.name, MAX_SHOWN_BYTES).encode()[:MAX_SHOWN_BYTES].decode(errors="ignore")


def _nothing() -> tuple[np.ndarray, np.ndarray]:
    return np.empty((0, 3)), np.empty((0, 3), np.int64)
