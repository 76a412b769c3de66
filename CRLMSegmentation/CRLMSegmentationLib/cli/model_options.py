"""Options that describe a model, shared by `pack` and `model import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from ..core.errors import ModelError

if TYPE_CHECKING:
    from ..segmentation.models.pack import About


NameOption = Annotated[Optional[str], typer.Option("--name", help="Name of the model; default: that of the dataset.")]
VersionOption = Annotated[Optional[str], typer.Option("--version", help="Version of the model; default: 1.")]
CropOption = Annotated[
    Optional[float],
    typer.Option(
        "--crop-size", metavar="MM", help="Width of the crops it was trained on; default: that of the median image."
    ),
]
RegionOption = Annotated[
    Optional[str],
    typer.Option(
        "--region", help="Input of the network: crop, or volume if it was trained on whole volumes; default: crop."
    ),
]
SeedOption = Annotated[
    bool, typer.Option("--with-seed", help="The second input channel is the seed, as in the shipped model.")
]
PointsOption = Annotated[
    bool,
    typer.Option(
        "--with-points",
        help="The input channels are ultrasound, include points (the seed among them), exclude points, previous "
        "segmentation.",
    ),
]
OnePassOption = Annotated[
    bool,
    typer.Option(
        "--one-pass",
        help="A crop goes through the network as a whole, not in nnU-Net's patches; see evaluate --sliding-window.",
    ),
]
UseOption = Annotated[Optional[str], typer.Option("--intended-use", help="Intended use, in a sentence.")]
CardOption = Annotated[Optional[Path], typer.Option("--card", help="JSON file with the content of the model card.")]
FoldOption = Annotated[
    Optional[list[str]], typer.Option("--fold", metavar="FOLD", help="Fold to include; may be repeated. Default: all.")
]
CheckpointOption = Annotated[str, typer.Option("--checkpoint", help="Checkpoint of nnU-Net: final or best.")]


def about_of(
    name: str | None,
    version: str | None,
    crop_size_mm: float | None,
    with_seed: bool,
    with_points: bool,
    intended_use: str | None,
    card: Path | None,
    region: str | None,
    one_pass: bool,
) -> About:
    """Return the description of a model from its options.

    Raises:
        typer.BadParameter: its channels are described in two ways.
    """
    from ..core.crop_format import CHANNELS, CLICK_CHANNELS
    from ..segmentation.models.pack import About

    if with_seed and with_points:
        raise typer.BadParameter("give --with-seed or --with-points, not both", param_hint="--with-points")
    channels = CHANNELS if with_seed else CLICK_CHANNELS if with_points else None
    facts = None if card is None else _card(card)
    return About(
        name, version, crop_size_mm, channels, intended_use, card=facts, region=region, one_pass=one_pass or None
    )


def _card(path: Path) -> dict[str, Any]:
    from ..core.json_files import read_json_object

    return read_json_object(path, ModelError, "give a JSON file with an object of figures and facts as --card")
