"""The matrices of a chain of transforms for all frames, and a comparison with other chains to the same frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ...core.errors import SweepError
from ..transforms import STATUS_OK, Chain, find_chain, text_of, worst
from .pixel_frame import PixelFrame
from .sweep_transforms import IGNORE_OPTION, MAX_DISAGREEMENT_MM, SweepTransforms, is_invertible, is_pose


def follow_chain(sweep: SweepTransforms, chain: Chain, pixels: PixelFrame) -> tuple[np.ndarray, list[str]]:
    """Return the matrices of all frames, shape (N, 4, 4), and for each why it cannot be used, empty if it can."""
    result = np.tile(np.eye(4), (len(sweep), 1, 1))
    for name, backwards in chain:
        result = sweep.matrices(name, backwards) @ result
    not_ok = {name: sweep.unusable(name, is_pose(name, pixels)) for name, _ in chain}
    return result, [_reason(sweep, chain, not_ok, number) for number in range(len(sweep))]


def _reason(sweep: SweepTransforms, chain: Chain, unusable: Mapping[str, np.ndarray], number: int) -> str:
    for name, _ in chain:
        status = sweep.status(name, number)
        if status != STATUS_OK:
            return f"{name} {status}"
        if unusable[name][number]:
            is_placing = is_invertible(sweep.tracks[name].matrices[number][None])[0]
            return f"{name} not rigid" if is_placing else f"{name} singular"
    status = sweep.sequence.image_statuses[number]
    return "" if status == STATUS_OK else f"image {status}"


def compare_chains(
    sweep: SweepTransforms,
    chain: Chain,
    pixels: PixelFrame,
    reference: str,
    matrices: np.ndarray,
    overruled: frozenset[str],
) -> tuple[dict[int, str], list[str]]:
    """Compare the chain with all others that lead from the pixels to the frame.

    Returns:
        By frame why it cannot be used, since two ways disagree; and notes on ways that a calibration overrules.

    Raises:
        SweepError: two ways disagree in more than half of the frames that both place.
    """
    bad: dict[int, str] = {}
    notes: list[str] = []
    for other in _other_chains(sweep.names, chain, f"{pixels.name}To{reference}"):
        apart_mm, is_placed = _apart_mm(sweep, chain, other, pixels, matrices)
        wrong = is_placed & (apart_mm > MAX_DISAGREEMENT_MM)
        if not wrong.any():
            continue
        texts = f"{text_of(chain)} and {text_of(other)}"
        if any(name in overruled for name, _ in other):
            notes.append(
                f"the calibration that was given places the pixels up to {apart_mm[wrong].max():.1f} mm from "
                f"{text_of(other)} of the sweep; the given one was used"
            )
        elif np.count_nonzero(wrong) * 2 > np.count_nonzero(is_placed):
            names = [name for name, _ in (*chain, *other)]
            raise SweepError(
                f"two ways lead from {pixels.name} to {reference} of {sweep.sequence.name}, {texts}, and differ by up "
                f"to {apart_mm[wrong].max():.1f} mm; say which is wrong with {IGNORE_OPTION} NAME of crlm-seg "
                f"reconstruct: {', '.join(dict.fromkeys(names))}"
            )
        else:
            bad.update((int(number), f"{texts} disagree") for number in np.flatnonzero(wrong))
    return bad, notes


def _other_chains(names: frozenset[str], chain: Chain, wanted: str) -> Iterator[Chain]:
    """Return the shortest chain without each transform of the chain, each once."""
    seen = {chain}
    for name, _ in chain:
        try:
            other = find_chain(names - {name}, wanted)
        except SweepError:
            continue
        if other not in seen:
            seen.add(other)
            yield other


def _apart_mm(
    sweep: SweepTransforms, chain: Chain, other: Chain, pixels: PixelFrame, matrices: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return how far apart two chains place the corners of the image, mm, shape (N,), and where both are valid."""
    rows, columns = sweep.sequence.frames.shape[1:3]
    corners = np.array([[x, y, 0, 1] for x in (0, columns - 1) for y in (0, rows - 1)], float)
    others, reasons = follow_chain(sweep, other, pixels)
    difference = np.einsum("nij,cj->nci", (others - matrices)[:, :3], corners)
    statuses = [worst(sweep.status(name, n) for name, _ in (*chain, *other)) for n in range(len(sweep))]
    is_placed = np.array([status == STATUS_OK and not why for status, why in zip(statuses, reasons)])
    return np.linalg.norm(difference, axis=2).max(axis=1), is_placed
