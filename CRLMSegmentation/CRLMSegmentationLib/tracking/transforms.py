"""A graph of named transforms, as PLUS's transform repository, that gives the transform of any pair of frames.

A name such as "ProbeToTracker" says what the matrix does: it takes points of Probe to Tracker, mm.
Finding the way from frame to frame is apart from going it: the way is found once, and gone 60 times a second.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping
from functools import lru_cache

import numpy as np

from ..core.errors import SweepError

STATUS_OK, STATUS_INVALID, STATUS_MISSING = "OK", "INVALID", "MISSING"

Pose = tuple[np.ndarray, str]
"""A 4x4 matrix, and OK, MISSING, INVALID or another word of PLUS; the matrix means something only while OK."""
Step = tuple[str, bool]
"""Name of a transform, and whether it is gone backwards."""
Chain = tuple[Step, ...]
"""The steps in the order in which a point takes them."""


def frames_of(name: str) -> tuple[str, str]:
    """Return the frames that a name contains: "StylusTipToStylus" goes from "StylusTip" to "Stylus".

    Raises:
        SweepError: not of the form AToB, or it can be read in two ways.
    """
    places = _places_of_to(name)
    if len(places) != 1:
        what = "can be read in more than one way" if places else "does not name two frames"
        raise SweepError(f"transform name '{name}' {what}; expected one such as ProbeToTracker")
    return name[: places[0]], name[places[0] + 2 :]


@lru_cache(maxsize=1024)
def _places_of_to(name: str) -> tuple[int, ...]:
    """Cached, since names come again with each pose."""
    return tuple(match.start() for match in re.finditer(r"(?<=.)To(?=[A-Z0-9])", name))


def touches(name: str, frame: str) -> bool:
    """Whether a transform starts or ends in a frame; False for a name without two frames."""
    try:
        return frame in frames_of(name)
    except SweepError:
        return False


def find_chain(names: Iterable[str], wanted: str) -> Chain:
    """Find the shortest chain of transforms; of several equally short ones the alphabetically first.

    Args:
        names: known transforms; those that do not name two frames lead nowhere.
        wanted: such as "ImageToReference".

    Raises:
        SweepError: no way leads there.
    """
    return _find_chain(frozenset(names), wanted)


@lru_cache(maxsize=256)
def _find_chain(names: frozenset[str], wanted: str) -> Chain:
    start, goal = frames_of(wanted)
    neighbours = _neighbours(names)
    ways: dict[str, Chain] = {start: ()}
    waiting = deque([start])
    while waiting and goal not in ways:
        frame = waiting.popleft()
        for name, backwards, other in neighbours.get(frame, ()):
            if other not in ways:
                ways[other] = (*ways[frame], (name, backwards))
                waiting.append(other)
    if goal not in ways:
        raise SweepError(f"no transform from {start} to {goal}; known: {', '.join(sorted(names)) or 'no transforms'}")
    return ways[goal]


def leads(names: Iterable[str], start: str, goal: str) -> bool:
    """Whether a chain of transforms leads from one frame to another."""
    try:
        _find_chain(frozenset(names), f"{start}To{goal}")
    except SweepError:
        return False
    return True


def neighbours_of(names: Iterable[str], frame: str) -> list[tuple[str, bool, str]]:
    """Return the transforms at a frame: name, whether it must be inverted, and the frame to which it leads."""
    return _neighbours(frozenset(names)).get(frame, [])


def text_of(chain: Chain) -> str:
    """Return a chain as text for a user, such as "ImageToProbe, ProbeToTracker, ReferenceToTracker inverted"."""
    return ", ".join(f"{name} inverted" if backwards else name for name, backwards in chain) or "no transform"


@lru_cache(maxsize=8)
def _neighbours(names: frozenset[str]) -> dict[str, list[tuple[str, bool, str]]]:
    """Return the transforms at each frame, by name, forwards before inverted. Do not change the result."""
    found: dict[str, list[tuple[str, bool, str]]] = {}
    for name in sorted(names):
        try:
            start, goal = frames_of(name)
        except SweepError:  # PLUS files may hold a field such as CustomTransform
            continue
        found.setdefault(start, []).append((name, False, goal))
        found.setdefault(goal, []).append((name, True, start))
    return found


def follow(chain: Chain, transforms: Mapping[str, Pose]) -> Pose:
    """Multiply the transforms of a chain; its status is the worst of theirs.

    Returns:
        The 4x4 matrix and the status; the identity where the status is not OK.

    Raises:
        SweepError: a transform with status OK cannot be inverted.
    """
    status = worst(transforms[name][1] for name, _ in chain)
    result = np.eye(4)
    if status == STATUS_OK:
        for name, backwards in chain:
            matrix = transforms[name][0]
            result = (_inverse(name, matrix) if backwards else matrix) @ result
    return result, status


def worst(statuses: Iterable[str]) -> str:
    """Return the worst status: MISSING, then any other that is not OK, then OK; the first of equal ones."""
    return max(statuses, key=_badness, default=STATUS_OK)


def _badness(status: str) -> int:
    return {STATUS_OK: 0, STATUS_MISSING: 2}.get(status, 1)


def _inverse(name: str, matrix: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.inv(matrix)
    except np.linalg.LinAlgError as error:
        raise SweepError(f"{name} is singular and cannot be inverted: {np.asarray(matrix).tolist()}") from error


def compose(transforms: Mapping[str, Pose], wanted: str) -> Pose:
    """Compose the transform of a name from known ones, such as "ImageToReference".

    Args:
        transforms: 4x4 matrix and status by name; e.g. ImageToProbe, ProbeToTracker and ReferenceToTracker.

    Returns:
        The matrix, and the worst status on the way.

    Raises:
        SweepError: no way leads there, or a matrix that must be inverted is singular.
    """
    return follow(find_chain(transforms, wanted), transforms)
