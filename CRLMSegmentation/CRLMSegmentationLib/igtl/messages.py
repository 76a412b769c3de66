"""OpenIGTLink messages as plain data: always RAS mm, arrays (K, J, I), points (x, y, z).

Whether a peer uses RAS or LPS is dealt with where bodies are read and written; no other code sees LPS.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Union

import numpy as np

from ..core.errors import GeometryError
from ..core.geometry import MAX_CALIBRATION_SHEAR, MAX_SHEAR, is_rigid, shear_of
from ..core.volume import Volume

MAX_NAME_BYTES = 20
"""Length of a device name in a header; a longer one is sent in full as metadata, where there is any."""
TRANSFORM_STATUS_KEY = "TransformStatus"
"""Metadata key with which PLUS says whether a tool was seen: OK, MISSING or INVALID."""
STATUS_OK = "OK"
STATUS_POSITION_ONLY = "POSITION_ONLY"
"""Status, not from PLUS, of a pose without orientation where an orientation is needed."""
STATUS_AMBIGUOUS = "AMBIGUOUS"
"""Status, not from PLUS, of a pose whose name two senders or two tools use, see `igtl.mixed_streams`."""
ORIENTATION_KEY, ORIENTATION_UNKNOWN = "Orientation", "unknown"
"""Metadata of a pose that came without an orientation: POSITION of 12 bytes, TDATA of a 3D or 5D instrument."""
SCALE_LIMITS = (1e-3, 1e3)
"""Smallest and largest scale of a transform; ImageToProbe scales by the size of a pixel."""
UNIT_SCALE = 0.01
"""Deviation from scale 1 above which a transform is a calibration, and may be sheared; see `core.geometry.is_rigid`."""
LAST_ROW = np.array([0.0, 0.0, 0.0, 1.0])


class PatientFrame(Enum):
    """Patient frame that a peer uses, whatever its image headers say. PLUS and SlicerIGT: RAS."""

    RAS = "ras"
    LPS = "lps"


@dataclass(frozen=True, eq=False)
class ImageMessage:
    """An image with its position in space.

    Attributes:
        device: the full name, such as "recvol_Reference".
        timestamp_s: the sender's clock, seconds since 1970; 0 when it is unknown.
        array: shape (K, J, I) or (K, J, I, components), native byte order, writable, owned by this message.
        ijk_to_ras: 4x4, mm, checked by `core.geometry.check_ijk_to_ras`.
        metadata: strings by key.
        labelled_frame: frame that the image header states, None for an unknown flag; for diagnosis only.
    """

    device: str
    timestamp_s: float
    array: np.ndarray
    ijk_to_ras: np.ndarray
    metadata: dict[str, str] = field(default_factory=dict)
    labelled_frame: PatientFrame | None = PatientFrame.RAS

    @property
    def is_volume(self) -> bool:
        """Whether it has several slices: a volume, not a frame of a live 2D image."""
        return len(self.array) > 1


@dataclass(frozen=True, eq=False)
class TransformMessage:
    """A pose, such as "ProbeToReference".

    Attributes:
        matrix: 4x4, RAS mm. Checked only if `status` is OK; otherwise without meaning.
    """

    device: str
    timestamp_s: float
    matrix: np.ndarray
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """OK, MISSING or INVALID; OK where the sender gives none (header version 1 cannot)."""
        return self.metadata.get(TRANSFORM_STATUS_KEY, STATUS_OK)

    @property
    def has_orientation(self) -> bool:
        """Whether the rotation of the matrix is known, not only the position."""
        return self.metadata.get(ORIENTATION_KEY) != ORIENTATION_UNKNOWN

    @property
    def full_status(self) -> str:
        """Status for uses that need the whole matrix, as placing an image: OK only with an orientation."""
        return STATUS_POSITION_ONLY if self.status == STATUS_OK and not self.has_orientation else self.status

    @property
    def is_rigid(self) -> bool:
        """Whether the matrix is rigid, as the pose of a tool is, see `core.geometry.is_rigid`."""
        return is_rigid(self.matrix)


@dataclass(frozen=True)
class StringMessage:
    """A text: PLUS commands (device CMD_<uid>) and their answers (ACK_<uid>)."""

    device: str
    timestamp_s: float
    text: str
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StatusMessage:
    """A state, or a keep-alive; code 1 is OK. See the OpenIGTLink v2 STATUS message."""

    device: str
    timestamp_s: float
    code: int = 1
    subcode: int = 0
    error_name: str = ""
    text: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class PointMessage:
    """Points that become markups in Slicer. Each of the tuples has one entry for each point, or is empty.

    Attributes:
        points_ras_mm: shape (N, 3), RAS mm.
        names: labels, at most 63 bytes each.
        groups: at most 31 bytes each; in Slicer all points are selected but those of "Unselected".
        colours_rgba: 0 to 255 each; yellow where left out. Slicer hides a point whose alpha is 0.
        diameters_mm: 0 where left out. Slicer does not keep them.
        owners: device names of the images that the points belong to, at most 19 bytes each.
    """

    device: str
    timestamp_s: float
    points_ras_mm: np.ndarray
    names: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    colours_rgba: tuple[tuple[int, int, int, int], ...] = ()
    diameters_mm: tuple[float, ...] = ()
    owners: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class PolyDataMessage:
    """A surface that becomes a model in Slicer. Without points it is empty, which clears the model there.

    Attributes:
        points_ras_mm: shape (N, 3), RAS mm; float32 on the wire.
        triangles: shape (M, 3), indices of points, counter-clockwise seen from outside.
    """

    device: str
    timestamp_s: float
    points_ras_mm: np.ndarray
    triangles: np.ndarray
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class TrackingMessage:
    """Poses of several tools in one message (TDATA, QTDATA); the protocol delivers them one by one.

    Attributes:
        elements: for each tool its pose, or the reason why that cannot be read.
        cut_names: names that fill their field, and may have been cut.
    """

    device: str
    timestamp_s: float
    elements: tuple[TransformMessage | str, ...]
    cut_names: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def poses(self) -> tuple[TransformMessage, ...]:
        """The poses that can be read."""
        return tuple(element for element in self.elements if isinstance(element, TransformMessage))

    @property
    def refusals(self) -> tuple[str, ...]:
        """The reasons why the others cannot be read."""
        return tuple(element for element in self.elements if isinstance(element, str))


Message = Union[
    ImageMessage, TransformMessage, StringMessage, StatusMessage, PointMessage, PolyDataMessage, TrackingMessage
]


def parts_of(message: Message) -> tuple[Message, ...]:
    """Return the poses of a message with several tools one by one; any other message as it is."""
    return message.poses if isinstance(message, TrackingMessage) else (message,)


def check_transform(matrix: np.ndarray) -> np.ndarray:
    """Return a float64 copy of a valid transform. It may scale, and be left-handed.

    A transform that scales is a calibration (ImageToProbe), and may be sheared as well; any other is a tool's pose.

    Raises:
        GeometryError: wrong shape, not finite, not affine, scale out of reason, singular or sheared.
    """
    checked = np.array(matrix, dtype=np.float64)
    if checked.shape != (4, 4):
        raise GeometryError(f"a transform must be 4x4, got {checked.shape}")
    if not np.isfinite(checked).all():
        raise GeometryError("the transform holds NaN or infinity")
    if np.abs(checked[3] - LAST_ROW).max() > 1e-6:  # `allclose` would take as long as all the rest
        raise GeometryError(f"a transform must end in the row 0 0 0 1, got {checked[3].tolist()}")
    scale = np.linalg.norm(checked[:3, :3], axis=0)
    low, high = SCALE_LIMITS
    if (scale < low).any() or (scale > high).any():
        raise GeometryError(f"the transform scales by {scale.tolist()}, expected {low} to {high} (singular matrix?)")
    shear = shear_of(checked)
    if shear > (MAX_SHEAR if np.abs(scale - 1).max() <= UNIT_SCALE else MAX_CALIBRATION_SHEAR):
        raise GeometryError(f"the axes of a transform must be at right angles, got a cosine of {shear:.3f}")
    return checked


def volume_of(message: ImageMessage) -> Volume:
    """Return the volume of an IMAGE. It shares the voxels of the message.

    Raises:
        VolumeError: a colour image, a single slice, or NaN.
        GeometryError: its size and spacing are impossible.
    """
    return Volume(message.array, message.ijk_to_ras, message.device, message.timestamp_s)


def image_of(volume: Volume) -> ImageMessage:
    """Return the IMAGE of a volume, with its device name and time."""
    return ImageMessage(volume.device, volume.timestamp_s, volume.recorded_array, volume.ijk_to_ras)
