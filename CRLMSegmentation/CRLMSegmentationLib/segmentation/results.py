"""What is asked of a segmentation session, and what it answers: requests, results, and the events that carry them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ..core.postprocessing import LesionMask
from ..core.volume import Volume

CANCELLED = "cancelled"


class Purpose(Enum):
    """ANSWER: what the user asked for. GROWN: the same in a larger crop. The others run in the background."""

    ANSWER = "answer"
    GROWN = "grown"
    REFINED = "refined"
    REPEATED = "repeated"

    @property
    def is_background(self) -> bool:
        """Whether it gives way to what a user waits for."""
        return self in (Purpose.REFINED, Purpose.REPEATED)


@dataclass(frozen=True)
class SeedRequest:
    """Segment the lesion at this point. A request with the name of an earlier one replaces it.

    Attributes:
        crop_size_mm: edge of the cube that the network sees; None where it sees the whole volume.
        mirroring, quick, flip: see `engine.engine.LesionJob`.
        purpose: what the answer is for.
    """

    lesion: str
    seed_ras_mm: tuple[float, float, float]
    crop_size_mm: float | None
    mirroring: bool = False
    quick: bool = False
    flip: tuple[int, ...] = ()
    purpose: Purpose = Purpose.ANSWER


@dataclass(frozen=True, eq=False)
class LesionResult:
    """A segmented lesion and everything that tells where it came from.

    Attributes:
        volume: that was segmented; may be older than the current one.
        mask: on the grid of that volume.
        timings_s: crop, preprocess, inference, postprocess and, where the volume came over a link, receive.
        requested_at_s: `time.monotonic()` when the seed was dropped.
        remarks: how it was found which voxels were imaged, see `Volume.field_of_view_remarks`.
    """

    request: SeedRequest
    volume: Volume
    mask: LesionMask
    timings_s: dict[str, float]
    device: str
    model_name: str
    model_sha256: str
    requested_at_s: float
    remarks: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user must know of the lesion and of its volume, in plain words."""
        return (*self.mask.warnings, *self.remarks)


@dataclass(frozen=True)
class ModelReady:
    """The engine can answer; `cold_start_s` is what it took to get there."""

    device: str
    cold_start_s: float
    versions: dict[str, str]
    warnings: tuple[str, ...] = ()


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
    """No answer for a lesion; `lesion` is None when the engine itself has given up."""

    lesion: str | None
    reason: str
    purpose: Purpose = Purpose.ANSWER
