"""A tracked sweep in memory: 2D images, with the poses of probe and reference for each."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ...core.errors import SweepError

IMAGE_FRAME = "Image"
"""PLUS's name for the coordinate frame of pixels."""


@dataclass(frozen=True, eq=False)
class TransformTrack:
    """One transform over all frames.

    Attributes:
        matrices: shape (N, 4, 4), mm; the identity where the frame has none.
        statuses: for each frame OK, MISSING, INVALID or another word of PLUS; only OK ones may be used.
    """

    matrices: np.ndarray
    statuses: tuple[str, ...]


CONSTANT = "constant"


@dataclass(frozen=True)
class Pairing:
    """Statistics on how poses of one transform were assigned to the frames of a recording.

    Attributes:
        way: "time" for equal timestamps, "arrival" for the order and pace in which the messages came, "constant" for
            a calibration that never changed, empty where nothing can decide.
        reason: why, such as "60 frames share 1 timestamp".
    """

    way: str
    reason: str = ""

    def __str__(self) -> str:
        way = {"": "not paired", CONSTANT: "the same in all frames"}.get(self.way, f"paired by {self.way}")
        return f"{way}: {self.reason}" if self.reason else way


@dataclass(frozen=True, eq=False)
class TrackedSequence:
    """The content of a PLUS sequence file.

    Attributes:
        name: the file's, without its suffixes.
        frames: shape (N, rows, columns) or (N, rows, columns, C), in MF whatever the file has;
            not to be written to.
        timestamps_s: shape (N,), the recorder's clock; 0 for frames without a time.
        image_statuses: for each frame OK, INVALID or MISSING.
        transforms: by PLUS's name such as "ProbeToTracker".
        orientation: of the frames in the file, PLUS's letters, empty when it did not say.
        fields: what else the header holds, among it "Seq_Frame0003_<field>" of single frames.
        image_frame: the coordinate frame that the source names for its pixels.
        placed: the transform by which the sender itself has placed the pixels, empty where it has not.
        pairings: of a recording: by the name of a transform, how its poses were assigned to the frames.
        notes: what had to be assumed to read it, as sentences for a user.

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
    image_frame: str = IMAGE_FRAME
    placed: str = ""
    pairings: dict[str, Pairing] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

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


def last_known_s(timestamps_s: np.ndarray) -> float:
    """Return the last known time; 0, which is unknown in OpenIGTLink, where none is."""
    known = timestamps_s[timestamps_s > 0]
    return float(known[-1]) if len(known) else 0.0


def time_faults(timestamps_s: np.ndarray) -> str:
    """Return why the timestamps cannot tell the frames apart, such as "60 frames share 1 timestamp"; empty if they can.

    Args:
        timestamps_s: shape (N,), in the order of the frames; 0 where a frame has no time.
    """
    times_s = np.asarray(timestamps_s, float)
    values, counts = np.unique(times_s, return_counts=True)
    if (counts > 1).any():
        shared = np.count_nonzero(counts > 1)
        unknown = " (0, which means unknown)" if shared == 1 and values[counts > 1][0] == 0 else ""
        return f"{counts[counts > 1].sum()} frames share {shared} timestamp{'s' if shared > 1 else ''}{unknown}"
    back_s = -np.diff(times_s).min(initial=0.0)
    if back_s > 0:
        return f"the time goes back at {np.count_nonzero(np.diff(times_s) < 0)} frames, by up to {back_s:.3g} s"
    return ""
