"""The tracked instruments, as a room has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from ..core.errors import SweepError
from ..sweeps.transforms import frames_of

REFERENCE, TRACKER = "Reference", "Tracker"
"""Frames of the sensor on the liver, in which everything is shown, and of the tracker."""


class Kind(Enum):
    POINTER = "pointer"
    DISSECTOR = "dissector"
    PROBE = "probe"


KIND_BY_FRAME = {"Stylus": Kind.POINTER, "Pointer": Kind.POINTER, "Probe": Kind.PROBE, "Needle": Kind.POINTER}
"""What PLUS's configurations call them; whatever else is tracked is taken for a dissector."""
NO_TOOL = frozenset({"Image", REFERENCE, TRACKER, "RAS", "LPS", "World"})


@dataclass(frozen=True)
class Instrument:
    """A tracked tool.

    Attributes:
        frame: its own, in which its tip is the origin or `tip_mm`.
        tip_mm: where the tip is in that frame.
    """

    frame: str
    kind: Kind = Kind.POINTER
    tip_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def to_reference(self) -> str:
        return f"{self.frame}To{REFERENCE}"

    @property
    def to_tracker(self) -> str:
        return f"{self.frame}To{TRACKER}"


def instruments_in(names: Iterable[str], roles: Mapping[str, str] | None = None) -> list[Instrument]:
    """The tools that the names of transforms tell of, by name; a calibrated tip stands for its tool.

    Args:
        names: such as "StylusToTracker", "StylusTipToStylus"; those that name no two frames tell of nothing.
        roles: of a case, such as {"pointer": "StylusToReference"}; they go before what the names suggest.
    """
    frames, tips = set(), {}
    for name in names:
        try:
            start, goal = frames_of(name)
        except SweepError:
            continue
        if start == f"{goal}Tip":
            tips[goal] = start
        elif start not in NO_TOOL:
            frames.add(start)
    kinds = _kinds_by_frame(roles or {})
    tools = sorted(frame for frame in frames | set(tips) if frame not in tips.values())
    return [Instrument(tips.get(f, f), kinds.get(f, KIND_BY_FRAME.get(f, Kind.DISSECTOR))) for f in tools]


def _kinds_by_frame(roles: Mapping[str, str]) -> dict[str, Kind]:
    words = {kind.value: kind for kind in Kind}
    return {frames_of(device)[0]: words[role] for role, device in roles.items() if role in words}
