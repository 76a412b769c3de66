"""Settings with which cases become a dataset."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import Any

from ...core.crop_format import CHANNELS, CLICK_CHANNELS, CROP_SIZE_LIMITS_MM
from ...core.errors import CrlmError
from ...core.json_fields import FieldKind, is_name

DATASET_ID = 511
CROP_SIZE_MM, SPACING_MM = 80.0, 1.25
FULL, CROP, CROP_SEED, CROP_CLICKS = "full", "crop", "crop+seed", "crop+clicks"
NAMES = {FULL: "CRLMFull", CROP: "CRLMCrop", CROP_SEED: "CRLMCropSeed", CROP_CLICKS: "CRLMCropClicks"}
"""Of the variants, and what their datasets are called where nothing else is said."""
SPACING_LIMITS_MM = (0.1, 10.0)
CROP_LIMITS_VOXELS = (16, 320)
NAME_PATTERN = re.compile(r"[A-Za-z0-9]+([-_][A-Za-z0-9]+)*")
"""Two underscores would mean something to nnU-Net."""
DATASET_NAME = re.compile(rf"Dataset{DATASET_ID}_{NAME_PATTERN.pattern}")


DATASET_WORD = FieldKind(
    "letters, digits and single - or _ between them",
    lambda value: is_name(value) and bool(NAME_PATTERN.fullmatch(value)),
)
"""What a dataset may be called."""


def dataset_name_of(name: str) -> str:
    """Return the name of a dataset in nnU-Net's form."""
    return f"Dataset{DATASET_ID}_{name}"


@dataclass(frozen=True)
class Preparation:
    """Settings with which cases become a dataset.

    Attributes:
        variant: "full", whole volumes in which all lesions are to be found; "crop", cubes around seeds, all lesions
            in them; "crop+seed", the same cubes with the seed as second channel, the clicked lesion alone;
            "crop+clicks", the same with channels for correcting clicks, which stay empty until they are simulated in
            training (see `clicks`).
        crop_size_mm, crops_per_lesion: of the variants with cubes.
        folds: each validates on other patients.
        held_out_share: of the patients, who are in no image.
        name: of the dataset; by the variant where None.
        labels_together: parts of a label that lie apart are one lesion, see `recording.label_components`.
        processes: at once; does not change the result.

    Raises:
        CrlmError: says what cannot be.
    """

    variant: str = CROP_SEED
    crop_size_mm: float = CROP_SIZE_MM
    spacing_mm: float = SPACING_MM
    crops_per_lesion: int = 3
    folds: int = 5
    held_out_share: float = 0.0
    seed: int = 0
    name: str | None = None
    labels_together: bool = False
    processes: int = 2

    def __post_init__(self) -> None:
        if self.variant not in NAMES:
            raise CrlmError(f"no variant '{self.variant}'; known are {', '.join(NAMES)}")
        name = NAMES[self.variant] if self.name is None else self.name
        object.__setattr__(self, "name", name)
        if not NAME_PATTERN.fullmatch(name):
            raise CrlmError(f"a dataset's name is letters, digits and single - or _ between them, got '{name}'")
        _check_range("the spacing", self.spacing_mm, SPACING_LIMITS_MM, "mm")
        if self.variant != FULL:
            _check_range("the edge of a crop", self.crop_size_mm, CROP_SIZE_LIMITS_MM, "mm")
            _check_range("the edge of a crop", round(self.crop_size_mm / self.spacing_mm), CROP_LIMITS_VOXELS, "voxels")
        for what, number, least in (
            ("crops for each lesion", self.crops_per_lesion, 1),
            ("folds", self.folds, 2),
            ("the seed", self.seed, 0),
            ("processes", self.processes, 1),
        ):
            if number < least:
                raise CrlmError(f"{what} must be {least} or more, got {number}")
        if not 0 <= self.held_out_share < 1:
            raise CrlmError(
                f"the held-out share of the patients is 0 or more and less than 1, got {self.held_out_share}"
            )

    @property
    def dataset_name(self) -> str:
        return dataset_name_of(self.name or NAMES[self.variant])

    @property
    def channels(self) -> tuple[str, ...]:
        return {CROP_SEED: CHANNELS, CROP_CLICKS: CLICK_CHANNELS}.get(self.variant, CHANNELS[:1])

    @property
    def has_seed(self) -> bool:
        """Whether the network is told which lesion is meant, so that this one alone is foreground."""
        return len(self.channels) > 1

    @property
    def region(self) -> str:
        """What the network will get, crop or volume; see `models.pack.About`."""
        return "volume" if self.variant == FULL else "crop"

    @property
    def result_settings(self) -> dict[str, Any]:
        """The settings that change the result."""
        fields = asdict(self)
        del fields["processes"]
        if self.variant == FULL:
            del fields["crop_size_mm"], fields["crops_per_lesion"]
        return fields


def _check_range(what: str, value: float, limits: tuple[float, float], unit: str) -> None:
    low, high = limits
    if not (math.isfinite(value) and low <= value <= high):
        raise CrlmError(f"{what} must be {low:g} to {high:g} {unit}, got {value:g}")
