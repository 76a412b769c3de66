"""The command `pack`: make a model package from results of nnU-Net."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import print_text, steps
from .model_options import (
    CardOption,
    CheckpointOption,
    CropOption,
    FoldOption,
    NameOption,
    OnePassOption,
    PointsOption,
    RegionOption,
    SeedOption,
    UseOption,
    VersionOption,
    about_of,
)


def pack(
    results: Annotated[
        Path, typer.Argument(help="Results folder of nnU-Net (plans.json, dataset.json, fold_*), or dataset folder.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the model package to create.")],
    name: NameOption = None,
    version: VersionOption = None,
    region: RegionOption = None,
    crop_size: CropOption = None,
    with_seed: SeedOption = False,
    with_points: PointsOption = False,
    one_pass: OnePassOption = False,
    intended_use: UseOption = None,
    card: CardOption = None,
    fold: FoldOption = None,
    checkpoint: CheckpointOption = "final",
    half: Annotated[bool, typer.Option("--half", help="Store weights in half precision.")] = False,
) -> None:
    """Make a model package from results of nnU-Net v2.

    Its files cannot run code.
    """
    from ..segmentation.models.pack import pack_model

    about = about_of(name, version, crop_size, with_seed, with_points, intended_use, card, region, one_pass)
    with steps() as on_step:
        on_step("Reading checkpoints, and trying the network once")
        package = pack_model(results, out, about, fold, checkpoint, half)
    print_text(f"{package.name} {package.version}: {out}, SHA-256 {package.sha256}")
