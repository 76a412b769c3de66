"""The tracked instruments, found by the names of their transforms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from ..core.errors import SweepError
from .transforms import frames_of

REFERENCE, TRACKER = "Reference", "Tracker"
"""Frames of the sensor on the liver, in which everything is shown, and of the tracker."""
TRACKERS = (TRACKER, "TrackerBase", "FieldGenerator", "Transmitter", "Emitter")
"""What configurations call the frame of the tracker, the usual name first."""
PLACES = frozenset({REFERENCE, *TRACKERS})
"""A tool is what is tracked in one of these."""


class InstrumentKind(Enum):
    POINTER = "pointer"
    DISSECTOR = "dissector"
    PROBE = "probe"


KIND_BY_FRAME = {
    "Stylus": InstrumentKind.POINTER,
    "Pointer": InstrumentKind.POINTER,
    "Needle": InstrumentKind.POINTER,
    "Probe": InstrumentKind.PROBE,
    "Transducer": InstrumentKind.PROBE,
    "Transd": InstrumentKind.PROBE,
}
"""What the configurations of PLUS and SlicerIGT call them; whatever else is tracked is taken for a dissector."""
NO_TOOL = frozenset(
    {"image", "ras", "lps", "world", "phantom", "liver", "patient", *(place.lower() for place in PLACES)}
)
"""Frames, in small letters, in which no tool is, although they may be placed in the tracker."""
SCALED_ENDS = ("Image", "TransducerOriginPixel", "Model")
"""Ends of the names of frames of pixels and drawings, whose unit need not be mm."""
NO_TOOL_ENDS = ("Base", "TransducerOrigin", *SCALED_ENDS)
"""Ends of the names of parts, drawings and pictures: "StylusModel", "NeedleBase"."""
TIP = "Tip"


@dataclass(frozen=True)
class Instrument:
    """A tracked tool.

    Attributes:
        frame: its own, in which its tip is the origin or `tip_mm`.
        tip_mm: where the tip is in that frame.
    """

    frame: str
    kind: InstrumentKind = InstrumentKind.POINTER
    tip_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def to_reference(self) -> str:
        return f"{self.frame}To{REFERENCE}"


def instruments_in(names: Iterable[str], roles: Mapping[str, str] | None = None) -> list[Instrument]:
    """Find the tools that transforms name, sorted by name; a calibrated tip stands for its tool.

    Tools are the frames that are placed in the tracker or the sensor on the liver, by themselves or by their tip;
    whatever else is told of, such as the model of a stylus, hangs on one of them.

    Args:
        names: such as "StylusToTracker", "StylusTipToStylus"; those that name no two frames tell of nothing.
        roles: of a case, such as {"pointer": "StylusToReference"}; they go before what the names suggest.
    """
    kinds = _kinds_by_frame(roles or {})
    placed, tips = set(), set()
    for name in names:
        try:
            start, goal = frames_of(name)
        except SweepError:
            continue
        if tip_of(start) == goal:
            tips.add(start)
        elif start in kinds or (goal in PLACES and _may_be_tool(start)):
            placed.add(start)
    calibrated = {tip for tip in tips if tip_of(tip) in placed}
    with_tip = {tip_of(frame) for frame in placed | calibrated}
    return [Instrument(frame, _kind_of(frame, kinds)) for frame in sorted((placed | calibrated) - with_tip)]


def tip_of(frame: str) -> str | None:
    """Return the tool of which a frame is the tip: "Stylus" for "StylusTip"; None where it is no tip."""
    return frame[: -len(TIP)] if frame.endswith(TIP) and frame != TIP else None


def may_scale(frame: str) -> bool:
    """Whether a frame is one of pixels or of a model, so that transforms to it or from it may scale."""
    return frame.lower() == "image" or frame.endswith(SCALED_ENDS)


def _may_be_tool(frame: str) -> bool:
    return frame.lower() not in NO_TOOL and not frame.endswith(NO_TOOL_ENDS)


def _kind_of(frame: str, kinds: Mapping[str, InstrumentKind]) -> InstrumentKind:
    """Return the kind of a tool by its role or name, or by those of the tool of which it is the tip."""
    names = [name for name in (frame, tip_of(frame)) if name is not None]
    named = (of[name] for of in (kinds, KIND_BY_FRAME) for name in names if name in of)
    return next(named, InstrumentKind.DISSECTOR)


def _kinds_by_frame(roles: Mapping[str, str]) -> dict[str, InstrumentKind]:
    words = {kind.value: kind for kind in InstrumentKind}
    return {frames_of(device)[0]: words[role] for role, device in roles.items() if role in words}
