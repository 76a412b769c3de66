"""Choice of the chain of transforms from the pixels of a sweep to a frame, and advice where there is none."""

from __future__ import annotations

from collections.abc import Iterator

from ...core.errors import SweepError
from ..transforms import Chain, find_chain, frames_of, leads
from .pixel_frame import PixelFrame
from .sweep_transforms import SweepTransforms, frames_or_none, is_pose

REFERENCE, TRACKER = "Reference", "Tracker"
FRAME_OPTION = "--frame"


def choose_chain(sweep: SweepTransforms, pixels: PixelFrame, reference: str) -> tuple[Chain, frozenset[str]]:
    """Return the chain to use, and the transforms of the sweep that a given calibration overrules."""
    overruled = frozenset(_overruled(sweep, pixels))
    try:
        return find_chain(sweep.names - overruled, f"{pixels.name}To{reference}"), overruled
    except SweepError as error:
        raise SweepError(f"{sweep.sequence.name}: {error}; {_advice(sweep, pixels, reference, overruled)}") from error


def _overruled(sweep: SweepTransforms, pixels: PixelFrame) -> Iterator[str]:
    """Return the transforms of the sweep that place an image which the calibration places, and that it overrules."""
    pictures = {frame for name in pixels.edits for frame in frames_of(name)} | {pixels.name}
    calibrated = {frame for frame in pictures if any(frame in frames_or_none(name) for name in sweep.fixed)}
    for name in sweep.tracks:
        if name not in pixels.edits and any(frame in frames_or_none(name) for frame in calibrated):
            yield name


def _advice(sweep: SweepTransforms, pixels: PixelFrame, reference: str, overruled: frozenset[str]) -> str:
    """Return what a user can do where no chain leads to a frame."""
    names = sweep.names - overruled
    nameless = sorted(name for name in sweep.tracks if not frames_or_none(name))
    if nameless and not any(is_pose(name, pixels) for name in sweep.tracks if frames_or_none(name)):
        return (
            f"the poses of {', '.join(nameless)} do not say between which two frames; name their transforms as "
            f"PLUS does, such as ProbeTo{TRACKER}, and record again"
        )
    goals = sorted({frame for name in sweep.tracks for frame in frames_or_none(name)[1:]} - {reference, pixels.name})
    reached = [frame for frame in goals if leads(names, pixels.name, frame)]
    if reached:
        frame = TRACKER if TRACKER in reached else reached[0]
        return f"record the reference sensor as well, or reconstruct in the frame {frame} with {FRAME_OPTION} {frame}"
    if overruled and leads(sweep.names, pixels.name, reference):
        return f"leave out --calibration to place the pixels by {', '.join(sorted(overruled))} of the sweep"
    if not sweep.fixed:
        return "give the probe's calibration with --calibration"
    ends = sorted({frame for name in sweep.tracks for frame in frames_or_none(name)} - {pixels.name})
    return (
        f"the calibration must lead from {pixels.name} to a tracked sensor ({', '.join(ends) or 'none is tracked'}); "
        "give a PLUS configuration that names it"
    )
