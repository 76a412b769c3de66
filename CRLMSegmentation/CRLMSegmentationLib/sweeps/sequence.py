"""A tracked sweep in memory: pictures, and where probe and reference were when each was taken."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..core.errors import SweepError


@dataclass(frozen=True, eq=False)
class TransformTrack:
    """One transform over all frames.

    Attributes:
        matrices: shape (N, 4, 4), mm; the identity where the frame has none.
        statuses: for each frame OK, MISSING, INVALID or another word of PLUS; only OK ones may be used.
    """

    matrices: np.ndarray
    statuses: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class TrackedSequence:
    """The content of a PLUS sequence file.

    Attributes:
        name: the file's, without its suffixes.
        frames: shape (N, rows, columns) or (N, rows, columns, C), in MF whatever the file has;
            not to be written to.
        timestamps_s: shape (N,), the recorder's clock.
        image_statuses: for each frame OK, INVALID or MISSING.
        transforms: by PLUS's name such as "ProbeToTracker".
        orientation: of the frames in the file, PLUS's letters, empty when it did not say.
        fields: what else the header holds, among it "Seq_Frame0003_<field>" of single frames.

    Raises:
        SweepError: no frames, or their number is not that of timestamps, statuses or transforms.
    """

    name: str
    frames: np.ndarray
    timestamps_s: np.ndarray
    image_statuses: tuple[str, ...]
    transforms: dict[str, TransformTrack]
    orientation: str = "MF"
    fields: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.frames.ndim not in (3, 4) or 0 in self.frames.shape:
            raise SweepError(f"{self.name} holds no 2D frames: size {self.frames.shape}")
        counts = {"timestamps": len(self.timestamps_s), "image statuses": len(self.image_statuses)}
        for name, track in self.transforms.items():
            counts[f"matrices of {name}"], counts[f"statuses of {name}"] = len(track.matrices), len(track.statuses)
        for what, count in counts.items():
            if count != len(self.frames):
                raise SweepError(f"{self.name} has {len(self.frames)} frames but {count} {what}")

    def __len__(self) -> int:
        return len(self.frames)
