"""Requests and results of a segmentation session, and the events that carry the results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ..core.points import CorrectionPoint, points_from_json, points_to_json
from ..core.postprocessing import LesionMask
from ..core.volume import Volume, VolumeIdentity

CANCELLED = "cancelled"
SLOW_PASS_S = 1.0
"""A pass that takes longer keeps the user waiting for a first answer."""


class Purpose(Enum):
    """Why a lesion is segmented.

    Attributes:
        ANSWER: the user asked for it, or a new volume did.
        GROWN: the same in a larger crop, since the lesion touched the edge of the one before.
        REFINED: in the background, by all folds and mirrored copies.
        REPEATED: in the background, from another seed or mirrored, for the consensus surfaces.
        PREVIEW: its seed is being moved; the result is shown, and neither measured nor recorded.
    """

    ANSWER = "answer"
    GROWN = "grown"
    REFINED = "refined"
    REPEATED = "repeated"
    PREVIEW = "preview"

    @property
    def is_background(self) -> bool:
        """Whether nobody waits for the result, so that every other request goes first."""
        return self in (Purpose.REFINED, Purpose.REPEATED, Purpose.PREVIEW)

    @property
    def makes_segmentation(self) -> bool:
        """Whether the result becomes the segmentation of its lesion, and is recorded."""
        return self not in (Purpose.REPEATED, Purpose.PREVIEW)


@dataclass(frozen=True)
class Options:
    """How the network is run on a lesion.

    Attributes:
        crop_size_mm: edge of the cube around the seed that the network is shown; None for the whole volume.
        mirroring: average over mirrored copies as well; slower, a little more accurate.
        first_fold_only: run the first network of an ensemble alone; faster, a little less accurate.
        flip: array axes (0 is K) along which the network is shown the image mirrored; the result is mirrored back.
        sliding_window: cover the crop with nnU-Net's own patches, as `nnUNetv2_predict` does, where the model would
            pass it through the network as a whole.
    """

    crop_size_mm: float | None = None
    mirroring: bool = False
    first_fold_only: bool = False
    flip: tuple[int, ...] = ()
    sliding_window: bool = False

    @property
    def is_full_ensemble(self) -> bool:
        """Whether all folds and mirrored copies are averaged: the most accurate, and slowest, way to run."""
        return self.mirroring and not self.first_fold_only


DEFAULT_OPTIONS = Options()
"""All folds, without mirrored copies, in the crop of the model."""


@dataclass(frozen=True)
class Request:
    """A request to segment one lesion: unchanged from session to worker and back, and recorded with its result.

    Attributes:
        lesion: key of the lesion; a request replaces those made before for the same one.
        seed_ras_mm: a point in the lesion, RAS mm; the middle of the crop.
        volume: identity of the volume to be segmented, where it lay when the request was made.
        points: with which the user has corrected the segmentation, in their order. The result is a function of volume,
            seed, points, options and model: each point corrects what the network finds with those before it.
    """

    lesion: str
    seed_ras_mm: tuple[float, float, float]
    volume: VolumeIdentity
    options: Options = DEFAULT_OPTIONS
    purpose: Purpose = Purpose.ANSWER
    points: tuple[CorrectionPoint, ...] = ()


@dataclass(frozen=True, eq=False)
class LesionResult:
    """A segmented lesion with its request, volume, model and timings.

    Attributes:
        volume: that was segmented; may be older than the current one.
        mask: on the grid of that volume.
        timings_s: crop, preprocess, inference, postprocess and, where the volume came over a link, receive.
        requested_at_s: `time.monotonic()` when the seed was dropped.
        volume_warnings: how it was found which voxels were imaged, see `Volume.field_of_view_warnings`.
    """

    request: Request
    volume: Volume
    mask: LesionMask
    timings_s: dict[str, float]
    device: str
    model_name: str
    model_sha256: str
    requested_at_s: float
    volume_warnings: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return the warnings about the mask and about its volume, as sentences for the user."""
        return (*self.mask.warnings, *self.volume_warnings)


@dataclass(frozen=True)
class ModelReady:
    """The model is loaded.

    Attributes:
        device: runtime, precision and device, for the user.
        cold_start_s: from starting the process.
        pass_s: time of one pass of the network; None where it was not measured.
    """

    device: str
    cold_start_s: float
    versions: dict[str, str]
    warnings: tuple[str, ...] = ()
    pass_s: float | None = None

    @property
    def is_slow(self) -> bool:
        """Whether a pass of the network takes so long that the user waits for a first answer."""
        return self.pass_s is not None and self.pass_s > SLOW_PASS_S


@dataclass(frozen=True)
class LesionProgress:
    lesion: str
    stage: str
    done: int
    total: int
    purpose: Purpose = Purpose.ANSWER


@dataclass(frozen=True, eq=False)
class LesionSegmented:
    result: LesionResult


@dataclass(frozen=True)
class LesionFailed:
    """A lesion could not be segmented; `lesion` is None when the engine itself has given up."""

    lesion: str | None
    reason: str
    purpose: Purpose = Purpose.ANSWER


def request_to_json(request: Request) -> dict[str, Any]:
    """Return a request as a flat JSON object, without its volume, which each writer describes in its own way."""
    return {
        "lesion": request.lesion,
        "seed_ras_mm": request.seed_ras_mm,
        "crop_size_mm": request.options.crop_size_mm,
        "mirroring": request.options.mirroring,
        "quick": request.options.first_fold_only,
        "flip": request.options.flip,
        "sliding_window": request.options.sliding_window,
        "purpose": request.purpose.value,
        "points": points_to_json(request.points),
    }


def request_from_json(about: Mapping[str, Any], volume: VolumeIdentity) -> Request:
    """Return the request that `request_to_json` has described.

    A purpose that is absent or unknown, as in a recording of another version, counts as `Purpose.ANSWER`; earlier
    versions, which do not say `sliding_window`, knew nothing else, and knew no points.

    Raises:
        KeyError, TypeError, ValueError: it is not described whole, or a point is of an unknown kind.
    """
    x, y, z = map(float, about["seed_ras_mm"])
    manner = about["mirroring"], about["quick"], tuple(about["flip"]), bool(about.get("sliding_window", True))
    options = Options(about["crop_size_mm"], *manner)
    purposes: dict[object, Purpose] = {purpose.value: purpose for purpose in Purpose}
    purpose = purposes.get(about.get("purpose"), Purpose.ANSWER)
    return Request(about["lesion"], (x, y, z), volume, options, purpose, points_from_json(about.get("points", ())))
