"""Finds the ultrasound among several streams of 2D images: by the calibration, else by the name."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from ..core.errors import SweepError
from ..core.text import printable
from ..tracking.sweeps.sequence import IMAGE_FRAME
from ..tracking.transforms import frames_of, leads

OPTION = "--device"
ULTRASOUND = re.compile(r"^(image|us)$|b-?_?mode|bright|ultraso|(^|[^a-z])us([^a-z]|$)|usimage", re.IGNORECASE)
OTHER = re.compile(
    r"elasto|strain|stiff|shear|doppler|colou?r|flow|power|camera|webcam|video|endosc|lapar|depth|rgb|optic|stereo|"
    r"screen|ct$|mri?$|x-?ray|fluoro",
    re.IGNORECASE,
)
"""Names of streams that are by no means the B-mode picture."""
PLUS_FRAMES = frozenset({"Reference", "Tracker"})
"""Coordinate frames that PLUS puts behind the name of an image, whatever else is tracked."""


@dataclass(frozen=True)
class ImageStream:
    """A stream of 2D images from one device.

    Attributes:
        device: such as "Image_Reference": PLUS puts the frame in which the image lies behind its name.
        count: of its 2D images.
        known: the coordinate frames that are known: "Live" of "US_Live" is none unless a transform names it.
    """

    device: str
    count: int
    known: frozenset[str] = PLUS_FRAMES

    @property
    def base(self) -> str:
        """The name without the frame."""
        return self._parts()[0]

    @property
    def frame(self) -> str | None:
        """The frame in which its sender has placed it; None where the sender gives no frame."""
        base, frame = self._parts()
        return None if frame in (base, IMAGE_FRAME) else frame

    def _parts(self) -> tuple[str, str | None]:
        base, _, frame = self.device.rpartition("_")
        is_frame = frame in self.known or frame in (base, IMAGE_FRAME)
        return (base, frame) if base and is_frame else (self.device, None)

    def __str__(self) -> str:
        return f"'{printable(self.device, 60)}' ({self.count} images)"


def choose_stream(
    streams: Collection[ImageStream],
    names: Collection[str],
    goal: str,
    device: str | None = None,
    calibrated: Collection[str] = (),
) -> tuple[ImageStream, str]:
    """Find the stream of the ultrasound.

    Args:
        streams: at least one.
        names: of all transforms that are known, calibrated ones among them.
        goal: the frame in which the images are to be placed.
        device: that a user has named.
        calibrated: names of the transforms of a calibration that a user has given.

    Returns:
        The stream, and why it was taken.

    Raises:
        SweepError: there is no such device, or nothing tells which it is; names the candidates and the option.
    """
    if device is not None:
        found = next((stream for stream in streams if stream.device == device), None)
        if found is None:
            raise SweepError(f"{OPTION} {printable(device, 60)}: no images came from it, but from {_listed(streams)}")
        return found, f"as {OPTION} says"
    if len(streams) == 1:
        return next(iter(streams)), "the only images"
    return _by_calibration(streams, names, goal, calibrated) or _by_name(streams) or _undecided(streams)


def _by_calibration(
    streams: Collection[ImageStream], names: Collection[str], goal: str, calibrated: Collection[str]
) -> tuple[ImageStream, str] | None:
    """Return the only stream whose pixels a transform leads to the frame, unless its name says that it is no B-mode."""
    placed = [s for s in streams if _is_placed(s, names, goal, calibrated)]
    bases = {stream.base for stream in placed}
    if len(placed) > 1 and len(bases) == 1:
        placed = [stream for stream in placed if stream.frame == goal]
    if len(placed) != 1 or (OTHER.search(placed[0].base) and any(ULTRASOUND.search(s.base) for s in streams)):
        return None
    others = ", ".join(str(s) for s in streams if s is not placed[0])
    return placed[0], f"the only images that are calibrated; not taken: {others}"


def _is_placed(stream: ImageStream, names: Collection[str], goal: str, calibrated: Collection[str]) -> bool:
    if any(stream.base in frames_in(name) for name in calibrated):
        return leads(names, stream.base, goal)
    if any(IMAGE_FRAME in frames_in(name) for name in calibrated):
        return False  # another picture is calibrated
    if stream.frame is not None and (stream.frame == goal or leads(names, stream.frame, goal)):
        return True
    return any(name.startswith(f"{stream.base}To") for name in names) and leads(names, stream.base, goal)


def _by_name(streams: Collection[ImageStream]) -> tuple[ImageStream, str] | None:
    named = [s for s in streams if ULTRASOUND.search(s.base) and not OTHER.search(s.base)]
    if len(named) == 1:
        others = ", ".join(str(s) for s in streams if s is not named[0])
        return named[0], f"the only images that are called B-mode ultrasound; not taken: {others}"
    return None


def _undecided(streams: Collection[ImageStream]) -> tuple[ImageStream, str]:
    raise SweepError(
        f"images come from {len(streams)} devices and nothing tells which is the ultrasound: {_listed(streams)}; "
        f"choose one with {OPTION}"
    )


def _listed(streams: Collection[ImageStream]) -> str:
    return ", ".join(str(stream) for stream in sorted(streams, key=lambda s: s.device)[:12])


def image_frame_of(stream: ImageStream, calibrated: Collection[str]) -> str:
    """Return the frame of the pixels: the name of the stream where a calibration starts at it, else Image.

    "Ultrasound" may be the name of the images and of the sensor on the probe.
    """
    return stream.base if any(_starts_at(name, stream.base) for name in calibrated) else IMAGE_FRAME


def _starts_at(name: str, frame: str) -> bool:
    pair = frames_in(name)
    return bool(pair) and pair[0] == frame


def frames_in(name: str) -> tuple[str, ...]:
    """Return both frames that the name of a transform holds; none for another name."""
    try:
        return frames_of(name)
    except SweepError:
        return ()
