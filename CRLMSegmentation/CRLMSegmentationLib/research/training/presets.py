"""Training presets: nnU-Net's planner, size of the network, number of epochs, optimizer.

Plain data, known without torch: it travels to the training process as JSON, see `fold_process`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ...core.errors import CrlmError

CONFIGURATION = "3d_fullres"
TRAINER = "CRLMTrainer"
"""The class in `trainer`; one for all presets, as their plans have different names."""


@dataclass(frozen=True)
class SmallPlan:
    """Values that replace those of the network that nnU-Net has planned."""

    features_per_stage: tuple[int, ...]
    patch_size: tuple[int, int, int]
    batch_size: int


SMALL_PLAN = SmallPlan((16, 32, 64, 128, 160), (48, 48, 48), 2)
"""A 3D U-Net of 3.6 M parameters that two processor cores train in about an hour."""


@dataclass(frozen=True)
class Preset:
    """A training preset: planner, size of the network, schedule and optimizer.

    Attributes:
        planner: nnU-Net's class.
        plans: name of the plans, and so of the folders with data and results.
        small: shrinks the plans; None to take them as they are.
        epochs: where the user does not say.
        iterations, validation_iterations: of one epoch.
        optimizer: "adamw", which gets farther in few steps, or "sgd", nnU-Net's own.
        oversample: share of the patches of a batch that must hold tumour.
        bfloat16_on_cpu: where the processor has it, in about half the time; see `per_sample`.
        compile_on_gpu: torch.compile, minutes at the start for faster steps.
        checkpoint_mb: size of one, with the state of the optimizer.
        save_after_s: a checkpoint is written after the first epoch that ends so long after the last one.
        clicks: whose errors are clicked at where the network takes clicks: "network", its own, or "deformed", those of
            a deformed ground truth; see `clicks`.
    """

    name: str
    planner: str
    plans: str
    small: SmallPlan | None
    epochs: int
    iterations: int
    validation_iterations: int
    optimizer: str
    learning_rate: float
    oversample: float
    bfloat16_on_cpu: bool
    compile_on_gpu: bool
    checkpoint_mb: int
    save_after_s: float = 20.0
    clicks: str = "network"

    def as_json(self) -> dict[str, Any]:
        """Return the preset as JSON, for `preset_from`."""
        return asdict(self)


QUICK = Preset(
    name="quick",
    planner="ExperimentPlanner",
    plans="crlmQuickPlans",
    small=SMALL_PLAN,
    epochs=100,
    iterations=100,
    validation_iterations=8,
    optimizer="adamw",
    learning_rate=1e-3,
    oversample=0.5,
    bfloat16_on_cpu=True,
    compile_on_gpu=False,
    checkpoint_mb=50,
)
STANDARD = Preset(
    name="standard",
    planner="ExperimentPlanner",
    plans="nnUNetPlans",
    small=None,
    epochs=1000,
    iterations=250,
    validation_iterations=50,
    optimizer="sgd",
    learning_rate=1e-2,
    oversample=0.33,
    bfloat16_on_cpu=False,
    compile_on_gpu=True,
    checkpoint_mb=300,
)
RESIDUAL_ENCODER = replace(
    STANDARD,
    name="residual-encoder",
    planner="nnUNetPlannerResEncM",
    plans="nnUNetResEncUNetMPlans",
    compile_on_gpu=False,
    checkpoint_mb=900,
)
PRESETS = {preset.name: preset for preset in (QUICK, STANDARD, RESIDUAL_ENCODER)}


def preset_named(name: str) -> Preset:
    """Return the preset of a name.

    Raises:
        CrlmError: there is no such preset.
    """
    if name not in PRESETS:
        raise CrlmError(f"there is no preset {name!r}; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def preset_from(fields: Mapping[str, Any]) -> Preset:
    """Return the preset that `Preset.as_json` has written."""
    small = fields["small"]
    plan = small and SmallPlan(tuple(small["features_per_stage"]), tuple(small["patch_size"]), small["batch_size"])
    return Preset(**{**fields, "small": plan})
